//! What a real gateway knows of its callers after it was killed: keys, answers, and who has changed what.

use serde_json::{Value, json};

use crate::support::process::{Process, ROOT_KEY, free_port};

/// Posts JSON, and gives status, whether it was answered before, and the body.
async fn post(url: &str, bearer: &str, idempotency_key: &str, body: &Value) -> (u16, bool, String) {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = http.post(url).bearer_auth(bearer).header("idempotency-key", idempotency_key);
    let answer = request.header("content-type", "application/json").body(body.to_string()).send().await;
    let answer = answer.expect("an answer");
    let replayed = answer.headers().contains_key("idempotency-replayed");
    (answer.status().as_u16(), replayed, answer.text().await.expect("a body"))
}

async fn status(url: &str, bearer: &str) -> u16 {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    http.get(url).bearer_auth(bearer).send().await.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_makes_no_key_no_answer_and_no_entry_of_the_audit_log_undone() {
    let folder = tempfile::tempdir().expect("a folder");
    let upstream = Process::sandbox(folder.path()).await;
    let port = free_port();
    let gateway = Process::gateway(folder.path(), port, &upstream.url).await;
    let made = gateway.post("/v1/keys", &json!({"name": "the CRM", "scopes": ["read", "endpoints"]})).await;
    let key = made["key"].as_str().expect("a key");
    let url = format!("{}/v1/endpoints", gateway.url);
    let body = json!({"url": "http://127.0.0.1:9/", "types": ["certificate.removed"]});
    let first = post(&url, key, "order-7", &body).await;
    assert_eq!((first.0, first.1), (201, false), "{}", first.2);
    let revoked = gateway.post("/v1/keys", &json!({"name": "gone", "scopes": ["read"]})).await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let path = format!("{}/v1/keys/{}", gateway.url, revoked["id"].as_str().expect("an id"));
    assert!(http.delete(path).bearer_auth(ROOT_KEY).send().await.expect("an answer").status().is_success());
    let log = gateway.list("/v1/audit").await;
    gateway.kill().await;

    let gateway = Process::gateway(folder.path(), port, &upstream.url).await;
    assert_eq!(status(&url, key).await, 200);
    assert_eq!(status(&url, revoked["key"].as_str().expect("a key")).await, 401);
    assert_eq!(post(&url, key, "order-7", &body).await, (201, true, first.2));
    assert_eq!(post(&url, key, "order-7", &json!({})).await.0, 422);
    let after = gateway.list("/v1/audit").await;
    assert_eq!(after, log, "nothing was done twice");
    let registered = after.iter().find(|entry| entry["operation"] == "POST /v1/endpoints").expect("an entry");
    assert_eq!((&registered["key"]["name"], &registered["address"]), (&json!("the CRM"), &json!("127.0.0.1")));
    assert!(gateway.terminate().await.success());
}
