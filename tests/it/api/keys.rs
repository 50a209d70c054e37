//! Keys: made, used, listed, limited to their scopes, and deleted.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use certhook::model::key::Scope;
use certhook::store::DeliveryCommit;
use serde_json::{Value, json};

use super::deliveries::fill;
use super::door::{Answer, BEGIN, Door};

impl Door {
    /// Makes a key with these scopes and gives its text.
    pub(super) async fn key(&self, scopes: &[&str]) -> String {
        let made = self.json("POST /v1/keys", &json!({"name": "a test's", "scopes": scopes}).to_string()).await;
        made["key"].as_str().unwrap().to_owned()
    }

    /// Calls with another key than the root key.
    pub(super) async fn call_as(&self, key: &str, line: &str, body: &str) -> Answer {
        let (method, path) = line.split_once(' ').unwrap();
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"));
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }
}

#[tokio::test]
async fn a_key_is_shown_once_and_then_only_how_it_begins() {
    let door = Door::open().await;
    let body = r#"{"name":"the CRM","scopes":["replay","read","replay"],"expires_at":"2027-01-01T00:00:00Z"}"#;
    let answer = door.call("POST /v1/keys", body).await;
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::CREATED, "no-store"));
    let mut made = answer.json();
    let key = made.as_object_mut().unwrap().remove("key").unwrap();
    let key = key.as_str().unwrap();
    assert!(key.starts_with("ck_") && key.len() == 47 && key[3..].bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert!(made["id"].as_str().unwrap().starts_with("key_"));
    let expected = json!({
        "id": made["id"], "object": "key", "name": "the CRM", "prefix": key[..10], "scopes": ["read", "replay"],
        "created_at": BEGIN, "expires_at": "2027-01-01T00:00:00.000Z", "last_used_at": null,
    });
    assert_eq!(made, expected);
    let listed = door.call("GET /v1/keys", "").await;
    assert_eq!(listed.json()["data"], json!([expected]));
    assert!(!listed.text.contains(&key[10..]), "{}", listed.text);
    assert_ne!(door.key(&["read"]).await, door.key(&["read"]).await);
}

#[tokio::test]
async fn keys_are_paged_like_every_list() {
    let door = Door::open().await;
    for number in 1..=5 {
        door.json("POST /v1/keys", &json!({"name": format!("{number}"), "scopes": ["read"]}).to_string()).await;
    }
    let names =
        |keys: Vec<Value>| -> Vec<String> { keys.iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect() };
    let (sizes, newest_first) = door.pages("/v1/keys?limit=2").await;
    assert_eq!((sizes, names(newest_first)), (vec![2, 2, 1], ["5", "4", "3", "2", "1"].map(String::from).into()));
    let (_, oldest_first) = door.pages("/v1/keys?limit=3&order=asc").await;
    assert_eq!(names(oldest_first), ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_new_key_is_told_at_once() {
    let door = Door::open().await;
    let body = r#"{"scopes":["read","write"],"expires_at":"2020-01-01T00:00:00Z","colour":"red"}"#;
    let answer = door.call("POST /v1/keys", body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let scopes = "read, endpoints, replay, documents, upstream, admin";
    let errors = json!([
        {"field": "name", "message": "is required: whose key it is, or what it is for"},
        {"field": "scopes[1]", "message": format!("must be one of: {scopes}")},
        {"field": "expires_at", "message": format!("must be in the future; it is {BEGIN} now")},
        {"field": "colour", "message": "unrecognized; known here: name, scopes, expires_at"},
    ]);
    assert_eq!(answer.json()["errors"], errors);
    for none in [r#"{"name":"x"}"#, r#"{"name":"x","scopes":[]}"#] {
        let message = format!("must name at least one of: {scopes}");
        let expected = json!([{"field": "scopes", "message": message}]);
        assert_eq!(door.call("POST /v1/keys", none).await.json()["errors"], expected, "{none}");
    }
    assert_eq!(door.json("GET /v1/keys", "").await["data"], json!([]));
}

/// One call that each scope opens, and how it is answered where it is.
const OPENED: [(Scope, &str, &str, u16); 6] = [
    (Scope::Read, "GET /v1/endpoints", "", 200),
    (Scope::Endpoints, "GET /v1/endpoints/nobody/secret", "", 404),
    (Scope::Replay, "POST /v1/endpoints/nobody/replay", "", 404),
    (Scope::Documents, "GET /v1/certificates/cert_0/download", "", 400),
    (Scope::Upstream, "DELETE /v1/certificate-requests/req_0", "", 400),
    (Scope::Admin, "GET /v1/keys", "", 200),
];

#[tokio::test]
async fn a_key_opens_what_its_scopes_say_and_nothing_else() {
    let door = Door::open().await;
    for (scope, ..) in OPENED {
        let key = door.key(&[scope.as_str()]).await;
        for (part, line, body, status) in OPENED {
            let answer = door.call_as(&key, line, body).await;
            if part == scope || scope == Scope::Admin {
                assert_eq!(answer.status.as_u16(), status, "{scope:?} {line}: {}", answer.text);
            } else {
                let message = format!("this key may not do that: it lacks the scope {}", part.as_str());
                let expected = json!({"code": 403, "type": "FORBIDDEN", "message": message});
                assert_eq!(answer.json(), expected, "{scope:?} {line}");
            }
        }
    }
}

#[tokio::test]
async fn a_deleted_key_opens_nothing_at_once() {
    let door = Door::open().await;
    let made = door.json("POST /v1/keys", r#"{"name":"gone soon","scopes":["read"]}"#).await;
    let (key, line) = (made["key"].as_str().unwrap(), format!("DELETE /v1/keys/{}", made["id"].as_str().unwrap()));
    assert_eq!(door.call_as(key, "GET /v1/endpoints", "").await.status, StatusCode::OK);
    assert_eq!(door.json(&line, "").await, json!({"id": made["id"], "object": "key", "deleted": true}));
    let refused = door.call_as(key, "GET /v1/endpoints", "").await;
    assert_eq!((refused.status, &refused.json()["type"]), (StatusCode::UNAUTHORIZED, &json!("UNAUTHORIZED")));
    for gone in [&*line, "DELETE /v1/keys/nonsense"] {
        assert_eq!(door.call(gone, "").await.json()["type"], "KEY_NOT_FOUND", "{gone}");
    }
}

#[tokio::test]
async fn a_key_opens_nothing_from_its_end_on() {
    let door = Door::open().await;
    let body = r#"{"name":"for an hour","scopes":["read"],"expires_at":"2026-11-21T05:00:00Z"}"#;
    let made = door.json("POST /v1/keys", body).await;
    let key = made["key"].as_str().unwrap();
    door.clock.advance(std::time::Duration::from_millis(3_599_999));
    assert_eq!(door.call_as(key, "GET /v1/endpoints", "").await.status, StatusCode::OK);
    door.clock.advance(std::time::Duration::from_millis(1));
    let refused = door.call_as(key, "GET /v1/endpoints", "").await;
    let expected = json!({"code": 401, "type": "UNAUTHORIZED", "message": "this key has expired; ask for another one"});
    assert_eq!(refused.json(), expected);
}

#[tokio::test]
async fn a_key_that_differs_by_one_character_is_another_one() {
    let door = Door::open().await;
    let key = door.key(&["read"]).await;
    let other = if key.ends_with('7') { "8" } else { "7" };
    for wrong in [&key[..46], &format!("{key}0"), &format!("{}{other}", &key[..46]), &key[3..], ""] {
        let answer = door.call_as(wrong, "GET /v1/endpoints", "").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{wrong}");
    }
}

#[tokio::test]
async fn the_last_use_is_kept_to_the_minute_and_not_on_the_way_of_a_call() {
    let door = Door::open().await;
    let key = door.key(&["read"]).await;
    let last_used_at = async || door.json("GET /v1/keys", "").await["data"][0]["last_used_at"].clone();
    assert_eq!(door.call_as(&key, "GET /v1/endpoints", "").await.status, StatusCode::OK);
    door.clock.advance(std::time::Duration::from_secs(5));
    assert_eq!(door.call_as(&key, "GET /v1/endpoints", "").await.status, StatusCode::OK);
    assert_eq!(last_used_at().await, Value::Null, "no call writes");
    door.upkeep.look(&*door.store, &*door.clock).await.unwrap();
    assert_eq!(last_used_at().await, "2026-11-21T04:00:05.000Z");
}

#[tokio::test]
async fn what_receivers_answered_is_for_those_who_may_read_secrets() {
    let door = Door::open().await;
    let mut failed = fill(&door).await.remove(0);
    failed.attempts[0].response_body = Some("whatever it said".into());
    let path = format!("/v1/deliveries/{}", failed.id);
    door.store.commit_deliveries(DeliveryCommit { records: vec![failed], ..DeliveryCommit::default() }).await.unwrap();
    let answered = json!("whatever it said");
    for (scopes, shown) in [(&["read"][..], &Value::Null), (&["read", "endpoints"], &answered), (&["admin"], &answered)]
    {
        let key = door.key(scopes).await;
        let delivery = door.call_as(&key, &format!("GET {path}"), "").await.json();
        assert_eq!(&delivery["attempts"][0]["response_body"], shown, "{scopes:?}");
        assert_eq!(delivery["attempts"][0]["number"], 1, "everything else is there");
    }
}
