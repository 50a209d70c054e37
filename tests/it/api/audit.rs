//! The audit log: who has changed what.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use certhook::api::commands::CallError;
use certhook::store::StoreError;
use serde_json::{Value, json};

use super::deliveries::fill;
use super::door::{BEGIN, Door, KEY};
use super::resources::put;
use super::upstream::request;
use crate::support::memory::Memory;

const URL: &str =
    r#"{"url":"https://crm.example/hook?token=hidden-in-the-query","headers":{"x-key":"hidden-in-a-header"}}"#;

/// All that is in the log, oldest first.
async fn log(door: &Door) -> Vec<Value> {
    door.pages("/v1/audit?order=asc&limit=100").await.1
}

/// What was asked for, and about what.
fn outlines(log: &[Value]) -> Vec<(&str, Value)> {
    log.iter().map(|entry| (entry["operation"].as_str().unwrap(), entry["resource_id"].clone())).collect()
}

#[tokio::test]
async fn an_entry_tells_who_has_changed_what_from_where() {
    let door = Door::open().await;
    let made = door.json("POST /v1/keys", r#"{"name":"the CRM","scopes":["endpoints"]}"#).await;
    let created = door.json("POST /v1/endpoints", URL).await;
    let path = format!("/v1/endpoints/{}", created["id"].as_str().unwrap());
    let mut request = Request::builder()
        .method("PATCH")
        .uri(&path)
        .header("authorization", format!("Bearer {}", made["key"].as_str().unwrap()))
        .header("x-request-id", "change-7")
        .header("x-forwarded-for", "203.0.113.66, 198.51.100.9")
        .body(Body::from(r#"{"description":"better"}"#))
        .unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 7], 4711))));
    assert_eq!(door.send(request).await.status, StatusCode::OK);

    let log = log(&door).await;
    let [_, registered, patched] = log.as_slice() else { panic!("{log:?}") };
    let mut before = created.clone();
    before.as_object_mut().unwrap().remove("secret").unwrap();
    let mut after = before.clone();
    after["description"] = "better".into();
    let key = json!({"id": made["id"], "name": "the CRM"});
    let expected = json!({
        "id": patched["id"], "object": "audit_entry", "at": BEGIN, "key": key, "address": "198.51.100.9",
        "operation": "PATCH /v1/endpoints/{name}", "resource_id": created["id"], "before": before, "after": after,
        "request_id": "change-7",
    });
    assert_eq!(*patched, expected);
    assert!(patched["id"].as_str().unwrap().starts_with("aud_"));
    assert_eq!(registered["key"], json!({"id": null, "name": "root"}));
    assert_eq!((&registered["before"], &registered["after"]), (&Value::Null, &before));
    assert_eq!(registered["address"], Value::Null, "this connection has none");
}

#[tokio::test]
async fn no_secret_is_in_the_log() {
    let door = Door::open().await;
    let key = door.key(&["admin"]).await;
    let created = door.json("POST /v1/endpoints", URL).await;
    let path = format!("/v1/endpoints/{}", created["id"].as_str().unwrap());
    let rotated = door.json(&format!("POST {path}/secret/rotate"), "{}").await;
    door.json(&format!("POST {path}/test"), "{}").await;
    door.json(&format!("DELETE {path}"), "").await;
    let text = Value::from(log(&door).await).to_string();
    let secrets = [&key, created["secret"].as_str().unwrap(), rotated["secret"].as_str().unwrap(), KEY];
    for secret in secrets.into_iter().chain(["hidden-in-the-query", "hidden-in-a-header", "no such page"]) {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test]
async fn every_kind_of_change_is_in_the_log_and_nothing_else() {
    let door = Door::open().await;
    let crm = door.json("PUT /v1/endpoints/crm", r#"{"url":"https://crm.example/"}"#).await["id"].clone();
    let pending = fill(&door).await.remove(4);
    let made = door.json("POST /v1/keys", r#"{"name":"x","scopes":["read"]}"#).await;
    let key = made["id"].as_str().unwrap();
    door.json("PUT /v1/endpoints/crm", r#"{"url":"https://crm.example/2"}"#).await;
    door.json("POST /v1/endpoints/crm/disable", "").await;
    door.json("POST /v1/endpoints/crm/enable", "").await;
    let since = r#"{"since":"2026-11-20T00:00:00Z"}"#;
    for (asked, body) in [("replay", since), ("resync", "{}"), ("recover", "{}"), ("test", "{}")] {
        door.json(&format!("POST /v1/endpoints/crm/{asked}"), body).await;
    }
    door.json(&format!("POST /v1/deliveries/{}/cancel", pending.id), "").await;
    door.json("POST /v1/sources/numeral/poll", "").await;
    door.json("POST /v1/sources/numeral/removals", r#"{"decision":"keep"}"#).await;
    door.json(&format!("DELETE /v1/keys/{key}"), "").await;
    door.json("DELETE /v1/endpoints/crm", "").await;
    let all = log(&door).await;
    let begun = all.len();
    // The store gives the id; every entry about an endpoint has its uid too, whatever the path calls it.
    let id = |uid: &str| all.iter().find(|entry| entry["resource_uid"] == uid).unwrap()["resource_id"].clone();
    let about = |entry: &Value| entry["operation"].as_str().unwrap().contains("/v1/endpoints/");
    assert!(all.iter().all(|entry| about(entry) == entry.get("resource_uid").is_some()), "{all:?}");
    assert_eq!(all.iter().filter(|entry| entry["resource_uid"] == "crm").count(), 9);
    let expected = json!([
        ["PUT /v1/endpoints/{name}", crm],
        ["PUT /v1/endpoints/{name}", id("e1")],
        ["PUT /v1/endpoints/{name}", id("e2")],
        ["POST /v1/keys", key],
        ["PUT /v1/endpoints/{name}", crm],
        ["POST /v1/endpoints/{name}/disable", crm],
        ["POST /v1/endpoints/{name}/enable", crm],
        ["POST /v1/endpoints/{name}/replay", crm],
        ["POST /v1/endpoints/{name}/resync", crm],
        ["POST /v1/endpoints/{name}/recover", crm],
        ["POST /v1/endpoints/{name}/test", crm],
        ["POST /v1/deliveries/{id}/cancel", pending.id],
        ["POST /v1/sources/{name}/poll", "numeral"],
        ["POST /v1/sources/{name}/removals", "numeral"],
        ["DELETE /v1/keys/{id}", key],
        ["DELETE /v1/endpoints/{name}", crm],
    ]);
    assert_eq!(json!(outlines(&log(&door).await)), expected);
    assert_eq!(log(&door).await[7]["after"]["since"], "2026-11-20T00:00:00.000Z");
    let deleted = &log(&door).await[15];
    assert_eq!((&deleted["before"]["url"], &deleted["after"]), (&json!("https://crm.example/2"), &Value::Null));

    let renamed = door.json("PATCH /v1/endpoints/e2", r#"{"uid":null}"#).await;
    let last = log(&door).await.pop().unwrap();
    assert_eq!((&last["resource_uid"], &last["resource_id"]), (&json!("e2"), &renamed["id"]), "as it was called");
    let begun = begun + 1;

    // What is refused, what only would be done, what changes nothing and what is merely read.
    door.call("POST /v1/endpoints", "{}").await;
    door.call("DELETE /v1/endpoints/crm", "").await;
    door.call("DELETE /v1/keys/key_0", "").await;
    door.json("POST /v1/endpoints/e1/replay", r#"{"dry_run":true}"#).await;
    door.json("PATCH /v1/endpoints/e1", r#"{"description":""}"#).await;
    door.json("POST /v1/endpoints/e1/enable", "").await;
    door.json("GET /v1/endpoints", "").await;
    assert_eq!(log(&door).await.len(), begun);
}

#[tokio::test]
async fn what_upstream_was_asked_for_and_may_have_done_is_in_the_log() {
    let door = Door::open().await;
    put(&door, [request("req_1", "cust_1", "pending")]).await;
    let silence = || Err(CallError::NoAnswer("no whole answer within 60s".into()));
    let refused = Err(CallError::Refused { status: 409, kind: "REQUEST_OPEN".into(), message: "one is open".into() });
    door.upstream.changes.lock().unwrap().extend([silence(), silence(), refused]);
    let cancel = "DELETE /v1/certificate-requests/req_1";
    let trigger = "POST /v1/customers/cust_1/certificate-requests?source=numeral";
    let mut answers = Vec::new();
    for line in [cancel, trigger, trigger] {
        answers.push(door.call(line, "").await);
    }
    assert_eq!(answers.iter().map(|answer| answer.status.as_u16()).collect::<Vec<_>>(), [504, 504, 409]);
    let all = log(&door).await;
    let expected = json!([
        ["DELETE /v1/certificate-requests/{id}", "req_1"],
        ["POST /v1/customers/{customer_id}/certificate-requests", "cust_1"],
    ]);
    assert_eq!(json!(outlines(&all)), expected);
    for (entry, answer) in all.iter().zip(&answers) {
        assert_eq!((&entry["before"], &entry["after"]), (&Value::Null, &Value::Null), "neither is known");
        assert_eq!(
            (&entry["key"]["name"], &entry["request_id"]),
            (&json!("root"), &json!(answer.header("x-request-id")))
        );
    }
}

#[tokio::test]
async fn the_log_is_paged_and_asked_for_by_time() {
    let door = Door::open().await;
    for pass in 0..5 {
        door.json("POST /v1/sources/numeral/poll", "").await;
        door.clock.advance(std::time::Duration::from_secs(60));
        assert_eq!(log(&door).await.len(), pass + 1);
    }
    let (sizes, newest_first) = door.pages("/v1/audit?limit=2").await;
    let mut oldest_first = log(&door).await;
    assert_eq!(sizes, [2, 2, 1]);
    oldest_first.reverse();
    assert_eq!(newest_first, oldest_first);
    let between = "/v1/audit?since=2026-11-21T04:01:00Z&until=2026-11-21T04:03:00Z&limit=1";
    let (_, between) = door.pages(between).await;
    assert_eq!(between, newest_first[2..4]);
    let key = door.key(&["read", "endpoints", "replay"]).await;
    assert_eq!(door.call_as(&key, "GET /v1/audit", "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn nothing_is_changed_that_could_not_be_recorded() {
    let store = Arc::new(Memory::new());
    let door = Door::over(Arc::clone(&store) as _);
    store.has_free(1);
    let refused = door.call("POST /v1/sources/numeral/poll", "").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["type"]), (507, &json!("INSUFFICIENT_STORAGE")));
    assert!(door.sources.polls.lock().unwrap().is_empty());
    store.has_free(1 << 30);
    store.fail_with(|| StoreError::Full);
    let unrecorded = door.call("POST /v1/sources/numeral/poll", "").await;
    let message = "it was done, but could not be written into the audit log; look before you do it again";
    assert_eq!(unrecorded.json(), json!({"code": 500, "type": "CHANGE_NOT_RECORDED", "message": message}));
    assert_eq!(door.sources.polls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn who_hangs_up_gets_done_what_he_asked_for_and_it_is_recorded() {
    let door = Door::open().await;
    let gate = door.deliveries.close_the_gate();
    let request =
        Request::builder().method("POST").uri("/v1/endpoints").header("authorization", format!("Bearer {KEY}"));
    let mut call = Box::pin(door.begin(request.body(Body::from(r#"{"url":"https://crm.example/"}"#)).unwrap()));
    // It has come to the look at the network, and stands there.
    tokio::select! {
        _ = &mut call => panic!("it is not done yet"),
        () = gate.reached.notified() => {}
    }
    drop(call);
    gate.open.notify_one();
    door.upkeep.finish().await;
    assert_eq!(outlines(&log(&door).await).len(), 1);
    assert_eq!(door.json("GET /v1/endpoints", "").await["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn entries_go_after_a_year() {
    let door = Door::open().await;
    door.json("POST /v1/sources/numeral/poll", "").await;
    door.clock.advance(std::time::Duration::from_secs(365 * 24 * 60 * 60));
    door.upkeep.look(&*door.store, &*door.clock).await.unwrap();
    assert_eq!(log(&door).await.len(), 1);
    door.clock.advance(std::time::Duration::from_millis(1));
    door.upkeep.look(&*door.store, &*door.clock).await.unwrap();
    assert_eq!(log(&door).await.len(), 0);
}
