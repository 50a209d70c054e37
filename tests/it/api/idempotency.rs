//! A POST that is repeated with its idempotency key is done once.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use certhook::api::commands::CallError;
use certhook::store::StoreError;
use serde_json::{Value, json};

use super::door::{Answer, Door, KEY};
use super::resources::put;
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
async fn what_stood_in_the_way_of_a_call_may_be_taken_away() {
    let door = Door::open().await;
    let named = r#"{"url":"https://crm.example/","uid":"crm"}"#;
    post(&door, "POST /v1/endpoints", "first", named).await;
    assert_eq!(word(&post(&door, "POST /v1/endpoints", "second", named).await), (409, json!("UID_TAKEN")));
    door.call("DELETE /v1/endpoints/crm", "").await;
    let made = post(&door, "POST /v1/endpoints", "second", named).await;
    assert_eq!((made.status, made.header("idempotency-replayed")), (StatusCode::CREATED, ""));

    door.json("POST /v1/endpoints/crm/disable", "").await;
    let refused = post(&door, "POST /v1/endpoints/crm/replay", "replay", "").await;
    assert_eq!(word(&refused), (409, json!("ENDPOINT_DISABLED")));
    door.json("POST /v1/endpoints/crm/enable", "").await;
    let begun = post(&door, "POST /v1/endpoints/crm/replay", "replay", "").await;
    assert_eq!((begun.status, begun.header("idempotency-replayed")), (StatusCode::ACCEPTED, ""), "{}", begun.text);
    let again = post(&door, "POST /v1/endpoints/crm/replay", "replay", "").await;
    assert_eq!((&again.text, again.header("idempotency-replayed")), (&begun.text, "true"), "what was done is kept");

    let open = CallError::Refused { status: 409, kind: "REQUEST_OPEN".into(), message: "one is open".into() };
    let opened = super::upstream::request("req_1", "cust_1", "pending");
    door.upstream.changes.lock().unwrap().extend([Err(open), Ok(opened)]);
    let line = "POST /v1/customers/cust_1/certificate-requests?source=numeral";
    assert_eq!(word(&post(&door, line, "trigger", "{}").await), (409, json!("REQUEST_OPEN")));
    assert_eq!(post(&door, line, "trigger", "{}").await.status, StatusCode::CREATED);
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

/// What is there of what a call makes.
struct Made {
    endpoints: usize,
    keys: usize,
    secrets: usize,
    /// Replays that were begun, and calls that were passed upstream.
    elsewhere: usize,
    entries: usize,
}

async fn made(door: &Door, operation: &str) -> Made {
    let list = async |path: &str| door.pages(path).await.1;
    let entries = list("/v1/audit").await;
    let crm = door.store.by_uid("crm").await.unwrap().unwrap();
    let (ranges, asked) = (door.deliveries.ranges.lock().unwrap().len(), door.upstream.asked.lock().unwrap().len());
    Made {
        endpoints: list("/v1/endpoints").await.len(),
        keys: list("/v1/keys").await.len(),
        secrets: crm.secrets.len(),
        elsewhere: ranges + asked,
        entries: entries.iter().filter(|entry| entry["operation"] == operation).count(),
    }
}

/// Kills the process after each call of the store in turn, and asks again with the same key. Gives how often that was, and
/// how often nobody could tell what had become of it.
async fn killed_everywhere(line: &str, body: &str, is_right: impl Fn(&Made) -> bool) -> (u32, u32) {
    let operation = line.split('?').next().unwrap().replace("/crm/", "/{name}/").replace("/cust_1/", "/{customer_id}/");
    let mut unknown = 0;
    for calls in 0.. {
        let store = Arc::new(Memory::new());
        let door = Door::over(Arc::clone(&store) as _);
        door.json("PUT /v1/endpoints/crm", URL).await;
        put(&door, [super::upstream::request("req_0", "cust_1", "pending")]).await;
        door.clock.advance(Duration::from_secs(1));
        let opened = || Ok(super::upstream::request("req_1", "cust_1", "pending"));
        door.upstream.changes.lock().unwrap().extend([opened(), opened()]);
        store.answer_only(Some(calls));
        let first = post(&door, line, "the-key", body).await;
        store.answer_only(None);
        let again = post(&door, line, "the-key", body).await;
        let made = made(&door, &operation).await;
        let shown = format!("{line} killed after {calls} calls: {} {}, then {}", first.status, first.text, again.text);
        if !again.status.is_success() {
            assert_eq!(word(&again), (409, json!("IDEMPOTENCY_CONFLICT")), "{shown}");
            assert!(made.elsewhere <= 1, "{shown}");
            unknown += 1;
            continue;
        }
        assert!(is_right(&made) && made.entries == 1, "{shown}");
        if first.status.is_success() {
            assert_eq!(again.text, first.text, "{shown}");
            return (calls, unknown);
        }
    }
    unreachable!("some time it is answered")
}

/// A call whose answer is committed with what it does, and what is there of that when it was done once.
type Own = (&'static str, &'static str, fn(&Made) -> bool);

#[tokio::test]
async fn a_kill_at_any_moment_leaves_no_second_thing_and_the_answer_of_the_first() {
    let key = r#"{"name":"x","scopes":["read"]}"#;
    let own: [Own; 4] = [
        ("POST /v1/endpoints", URL, |made| made.endpoints == 2),
        ("POST /v1/keys", key, |made| made.keys == 1),
        ("POST /v1/endpoints/crm/secret/rotate", "", |made| made.secrets == 2),
        ("POST /v1/endpoints/crm/disable", "", |made| made.endpoints == 1),
    ];
    for (line, body, is_right) in own {
        let (calls, unknown) = killed_everywhere(line, body, is_right).await;
        assert!(calls > 2 && unknown == 0, "{line}: {calls} {unknown}");
    }
    let elsewhere = [
        ("POST /v1/endpoints/crm/replay", ""),
        ("POST /v1/endpoints/crm/resync", ""),
        ("POST /v1/certificate-requests/cancel", r#"{"customer_id":"cust_1"}"#),
        ("POST /v1/customers/cust_1/certificate-requests?source=numeral", r#"{"email":"a@b.example"}"#),
    ];
    for (line, body) in elsewhere {
        let (calls, unknown) = killed_everywhere(line, body, |made| made.elsewhere <= 1).await;
        assert!(unknown > 0 && unknown < calls, "{line}: {calls} {unknown}");
    }
}

#[tokio::test]
async fn of_a_call_upstream_that_was_not_answered_nobody_asks_for_a_second_one_by_its_key() {
    let door = Door::open().await;
    let line = "POST /v1/customers/cust_1/certificate-requests?source=numeral";
    assert_eq!(word(&post(&door, line, "k", "{}").await), (504, json!("UPSTREAM_OUTCOME_UNKNOWN")));
    assert_eq!(word(&post(&door, line, "k", "{}").await), (409, json!("IDEMPOTENCY_CONFLICT")));
    assert_eq!(door.upstream.asked.lock().unwrap().len(), 1);
    assert_eq!(word(&post(&door, line, "another", "{}").await), (504, json!("UPSTREAM_OUTCOME_UNKNOWN")));
    assert_eq!(door.upstream.asked.lock().unwrap().len(), 2);
    // What says that nothing was done can be asked for again at once.
    let refused = CallError::Throttled(Duration::from_secs(7));
    door.upstream.changes.lock().unwrap().push_back(Err(refused));
    assert_eq!(post(&door, line, "third", "{}").await.status.as_u16(), 429);
    assert_eq!(word(&post(&door, line, "third", "{}").await), (504, json!("UPSTREAM_OUTCOME_UNKNOWN")));
}
