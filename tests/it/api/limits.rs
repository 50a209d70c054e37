//! How often and how long: rates, wrong keys, deadlines, paths.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use serde_json::json;

use super::door::{Answer, Door, KEY};

impl Door {
    /// Reads the endpoints with a key from an address.
    async fn look(&self, key: &str, address: [u8; 4]) -> Answer {
        let request = Request::builder().uri("/v1/endpoints").header("authorization", format!("Bearer {key}"));
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((address, 4711))));
        self.send(request).await
    }
}

#[tokio::test]
async fn a_key_may_be_used_so_often_and_the_root_key_always() {
    let door = Door::open().await;
    let (one, other) = (door.key(&["read"]).await, door.key(&["read"]).await);
    for number in 0..200 {
        assert_eq!(door.call_as(&one, "GET /v1/endpoints", "").await.status, StatusCode::OK, "{number}");
    }
    let refused = door.call_as(&one, "GET /v1/endpoints", "").await;
    let message = "this key was used more than 100 times a second; use it more slowly";
    assert_eq!(refused.json(), json!({"code": 429, "type": "RATE_LIMITED", "message": message}));
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(door.call_as(&other, "GET /v1/endpoints", "").await.status, StatusCode::OK, "others go on");
    for _ in 0..201 {
        assert_eq!(door.call("GET /v1/endpoints", "").await.status, StatusCode::OK);
    }
    door.clock.advance(Duration::from_secs(1));
    assert_eq!(door.call_as(&one, "GET /v1/endpoints", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_address_that_guesses_has_to_wait_and_keeps_nobody_out() {
    let door = Door::open().await;
    let (here, elsewhere) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    assert_eq!(door.look(KEY, here).await.status, StatusCode::OK);
    for _ in 0..10 {
        assert_eq!(door.look("wrong", here).await.status, StatusCode::UNAUTHORIZED);
    }
    let refused = door.look("wrong", here).await;
    let message = "too many wrong keys came from this address; try again later";
    assert_eq!(refused.json(), json!({"code": 429, "type": "RATE_LIMITED", "message": message}));
    assert_eq!(refused.header("retry-after"), "60");
    assert_eq!(door.look(KEY, here).await.status, StatusCode::OK, "it was right from here before");
    let late = door.key(&["read"]).await;
    assert_eq!(door.look(&late, here).await.status, StatusCode::TOO_MANY_REQUESTS, "it is not even looked at");
    assert_eq!(door.look("wrong", elsewhere).await.status, StatusCode::UNAUTHORIZED);
    door.clock.advance(Duration::from_secs(60));
    assert_eq!(door.look(&late, here).await.status, StatusCode::OK);
    assert_eq!(door.look("wrong", here).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn no_call_takes_longer_than_half_a_minute_and_a_change_is_made_all_the_same() {
    let door = Door::open().await;
    let gate = door.deliveries.close_the_gate();
    let body = r#"{"url":"https://crm.example/"}"#;
    let began = tokio::time::Instant::now();
    let answer = door.call("POST /v1/endpoints", body).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (503, &json!("TOOK_TOO_LONG")), "{}", answer.text);
    assert_eq!(began.elapsed().as_secs(), 30);
    gate.open.notify_one();
    door.upkeep.finish().await;
    assert_eq!(door.json("GET /v1/endpoints", "").await["data"].as_array().unwrap().len(), 1);
    assert_eq!(door.json("GET /v1/audit", "").await["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_path_may_be_so_long() {
    let door = Door::open().await;
    let line = |bytes: usize| format!("GET /v1/endpoints/{}", "x".repeat(bytes - "/v1/endpoints/".len()));
    assert_eq!(door.call(&line(8_192), "").await.status, StatusCode::NOT_FOUND);
    let refused = door.call(&line(8_193), "").await;
    let message = "path and query have 8193 bytes; they may have 8192";
    assert_eq!(refused.json(), json!({"code": 414, "type": "URI_TOO_LONG", "message": message}));
}

#[tokio::test]
async fn head_and_options_are_answered_like_everything_else() {
    let door = Door::open().await;
    let head = door.call("HEAD /v1/endpoints", "").await;
    assert_eq!((head.status, &*head.text), (StatusCode::OK, ""));
    assert_eq!(door.call("HEAD /v1/endpoints/nobody", "").await.status, StatusCode::NOT_FOUND);
    for line in ["OPTIONS /v1/endpoints", "TRACE /v1/endpoints"] {
        let answer = door.call(line, "").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (405, &json!("METHOD_NOT_ALLOWED")), "{line}");
        assert_eq!(answer.header("allow"), "GET,HEAD,POST", "{line}");
    }
}
