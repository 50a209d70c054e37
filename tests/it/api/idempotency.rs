//! A POST that is repeated with its idempotency key is done once.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use certhook::store::StoreError;
use serde_json::{Value, json};

use super::door::{Answer, Door, KEY};
use crate::support::memory::Memory;

const URL: &str = r#"{"url":"https://crm.example/"}"#;

fn request(bearer: &str, line: &str, key: &str, body: &str) -> Request<Body> {
    let (method, path) = line.split_once(' ').unwrap();
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {bearer}"));
    request.header("idempotency-key", key).body(Body::from(body.to_owned())).unwrap()
}

async fn post(door: &Door, line: &str, key: &str, body: &str) -> Answer {
    door.send(request(KEY, line, key, body)).await
}

async fn endpoints(door: &Door) -> usize {
    door.json("GET /v1/endpoints", "").await["data"].as_array().unwrap().len()
}

fn word(answer: &Answer) -> (u16, Value) {
    (answer.status.as_u16(), answer.json()["type"].clone())
}

#[tokio::test]
async fn a_repeated_call_is_done_once_and_answered_as_before() {
    let door = Door::open().await;
    let first = post(&door, "POST /v1/endpoints", "order-7", URL).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (StatusCode::CREATED, ""));
    door.clock.advance(Duration::from_secs(24 * 60 * 60 - 1));
    let again = post(&door, "POST /v1/endpoints", "order-7", URL).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text), "with the secret that was shown");
    assert_eq!(again.header("idempotency-replayed"), "true");
    for name in ["content-type", "location", "cache-control"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"), "it is another request");
    assert_eq!(endpoints(&door).await, 1);
    assert_eq!(door.json("GET /v1/audit", "").await["data"].as_array().unwrap().len(), 1, "and one change");

    door.clock.advance(Duration::from_secs(1));
    let later = post(&door, "POST /v1/endpoints", "order-7", URL).await;
    assert_eq!((later.status, later.header("idempotency-replayed")), (StatusCode::CREATED, ""), "a day is over");
    assert_eq!(endpoints(&door).await, 2);
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_caller() {
    let door = Door::open().await;
    post(&door, "POST /v1/endpoints", "k", URL).await;
    let other_body = post(&door, "POST /v1/endpoints", "k", r#"{"url":"https://other.example/"}"#).await;
    let other_path = post(&door, "POST /v1/sources/numeral/poll", "k", URL).await;
    for reused in [other_body, other_path] {
        assert_eq!(word(&reused), (422, json!("IDEMPOTENCY_KEY_REUSED")), "{}", reused.text);
    }
    let somebody = door.key(&["endpoints"]).await;
    let theirs = door.send(request(&somebody, "POST /v1/endpoints", "k", URL)).await;
    assert_eq!((theirs.status, theirs.header("idempotency-replayed")), (StatusCode::CREATED, ""));
    assert_eq!(endpoints(&door).await, 2);
}

#[tokio::test]
async fn a_call_that_is_under_way_is_not_begun_again() {
    let door = Door::open().await;
    let gate = door.deliveries.close_the_gate();
    let mut first = Box::pin(door.send(request(KEY, "POST /v1/endpoints", "k", URL)));
    tokio::select! {
        _ = &mut first => panic!("it is not done yet"),
        () = gate.reached.notified() => {}
    }
    let meanwhile = post(&door, "POST /v1/endpoints", "k", URL).await;
    assert_eq!(word(&meanwhile), (409, json!("IDEMPOTENCY_CONFLICT")));
    assert_eq!(meanwhile.header("retry-after"), "1");
    gate.open.notify_one();
    let first = first.await;
    assert_eq!(post(&door, "POST /v1/endpoints", "k", URL).await.text, first.text);
    assert_eq!(endpoints(&door).await, 1);
}

#[tokio::test]
async fn who_hangs_up_hears_the_answer_when_he_asks_again() {
    let door = Door::open().await;
    let gate = door.deliveries.close_the_gate();
    let mut first = Box::pin(door.begin(request(KEY, "POST /v1/endpoints", "k", URL)));
    tokio::select! {
        _ = &mut first => panic!("it is not done yet"),
        () = gate.reached.notified() => {}
    }
    drop(first);
    gate.open.notify_one();
    door.upkeep.finish().await;
    let again = post(&door, "POST /v1/endpoints", "k", URL).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::CREATED, "true"));
    assert_eq!(endpoints(&door).await, 1);
}

#[tokio::test]
async fn a_refusal_is_kept_and_a_failure_is_not() {
    let store = Arc::new(Memory::new());
    let door = Door::over(Arc::clone(&store) as _);
    let refused = post(&door, "POST /v1/endpoints", "refused", "{}").await;
    let again = post(&door, "POST /v1/endpoints", "refused", "{}").await;
    assert_eq!((refused.status, &again.text), (StatusCode::BAD_REQUEST, &refused.text));
    assert_eq!(again.header("idempotency-replayed"), "true");
    for (line, status) in [("POST /v1/nothing", 404), ("POST /v1/endpoints/nobody/enable", 404)] {
        let again = [post(&door, line, "none", "").await, post(&door, line, "none", "").await];
        assert!(again.iter().all(|answer| answer.status.as_u16() == status), "{line}");
        assert_eq!(again[1].header("idempotency-replayed"), "", "{line}");
    }
    let reader = door.key(&["read"]).await;
    for _ in 0..2 {
        let forbidden = door.send(request(&reader, "POST /v1/endpoints", "k", URL)).await;
        assert_eq!((forbidden.status, forbidden.header("idempotency-replayed")), (StatusCode::FORBIDDEN, ""));
    }
    store.has_free(1);
    assert_eq!(post(&door, "POST /v1/sources/numeral/poll", "failed", "").await.status.as_u16(), 507);
    store.has_free(1 << 30);
    let later = post(&door, "POST /v1/sources/numeral/poll", "failed", "").await;
    assert_eq!((later.status, later.header("idempotency-replayed")), (StatusCode::ACCEPTED, ""));
    store.fail_with(|| StoreError::Closed);
    assert_eq!(post(&door, "POST /v1/sources/numeral/poll", "failed", "").await.status.as_u16(), 503);
}

#[tokio::test]
async fn a_key_is_visible_ascii_and_given_once() {
    let door = Door::open().await;
    for wrong in ["", "two words", "schlüssel", &"k".repeat(256)] {
        let answer = post(&door, "POST /v1/endpoints", wrong, URL).await;
        assert_eq!(word(&answer), (400, json!("INVALID_REQUEST")), "{wrong}");
        assert_eq!(answer.json()["errors"][0]["field"], "idempotency-key", "{wrong}");
    }
    let mut twice = request(KEY, "POST /v1/endpoints", "a", URL);
    twice.headers_mut().append("idempotency-key", "b".parse().unwrap());
    assert_eq!(word(&door.send(twice).await), (400, json!("INVALID_REQUEST")));
    assert_eq!(endpoints(&door).await, 0);
    for right in ["!", &"~".repeat(255)] {
        assert_eq!(post(&door, "POST /v1/endpoints", right, URL).await.status, StatusCode::CREATED);
    }
    // What is idempotent by itself needs none.
    let put = |uid: &str| request(KEY, &format!("PUT /v1/endpoints/{uid}"), "one key", URL);
    for uid in ["a", "b"] {
        assert_eq!(door.send(put(uid)).await.status, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn what_has_expired_is_forgotten() {
    let door = Door::open().await;
    post(&door, "POST /v1/endpoints", "k", URL).await;
    assert_eq!(door.store.answers_kept().await.unwrap(), 1);
    door.clock.advance(Duration::from_secs(24 * 60 * 60));
    door.upkeep.look(&*door.store, &*door.clock).await.unwrap();
    assert_eq!(door.store.answers_kept().await.unwrap(), 0);
}
