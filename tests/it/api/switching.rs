//! Endpoints that are switched off and on, by calls and by what becomes of their deliveries.

use std::sync::Arc;

use certhook::model::endpoint::{DisabledReason, EndpointStatus};
use certhook::model::event::EventType;
use certhook::model::health::Backlog;
use certhook::model::id::{EndpointId, Position};
use certhook::model::time::Timestamp;
use certhook::store::retention::{GivenUp, Missed};
use serde_json::{Value, json};

use super::door::Door;
use super::endpoints::start_of;
use super::events::tell;
use crate::support::memory::Memory;

#[tokio::test]
async fn an_endpoint_is_switched_off_and_on() {
    let door = Door::open().await;
    door.json("PUT /v1/endpoints/crm", r#"{"url":"https://a.example/"}"#).await;
    for (line, body, status, reason) in [
        ("POST /v1/endpoints/crm/disable", "", "disabled", json!("manual")),
        ("POST /v1/endpoints/crm/disable", "{}", "disabled", json!("manual")),
        ("POST /v1/endpoints/crm/enable", "", "enabled", Value::Null),
        ("PATCH /v1/endpoints/crm", r#"{"status":"disabled"}"#, "disabled", json!("manual")),
        ("PATCH /v1/endpoints/crm", r#"{"status":null}"#, "enabled", Value::Null),
    ] {
        let endpoint = door.json(line, body).await;
        assert_eq!((&endpoint["status"], &endpoint["disabled_reason"]), (&json!(status), &reason), "{line} {body}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_enabled_takes_up_what_it_has_not_got_or_skips_it() {
    let door = Door::open().await;
    door.json("PUT /v1/endpoints/crm", r#"{"url":"https://a.example/"}"#).await;
    let oldest_at = Some(Timestamp::from_millis(1_000));
    *door.deliveries.backlog.lock().unwrap() = Backlog { pending: 10_250, more: true, oldest_at };
    let shown = door.json("GET /v1/endpoints/crm", "").await;
    let fields = [&shown["pending"], &shown["pending_more"], &shown["oldest_pending_at"]];
    assert_eq!(fields, [&json!(10_250), &json!(true), &json!("1970-01-01T00:00:01.000Z")]);
    let asked = || std::mem::take(&mut *door.deliveries.asked.lock().unwrap());
    for (line, body, wanted) in [
        ("POST /v1/endpoints/crm/enable", "", &["retry crm"][..]),
        ("POST /v1/endpoints/crm/enable", r#"{"catch_up":true}"#, &["retry crm"]),
        ("PATCH /v1/endpoints/crm", r#"{"status":"enabled"}"#, &["retry crm"]),
        ("PUT /v1/endpoints/crm", r#"{"url":"https://a.example/","status":"enabled"}"#, &["retry crm"]),
        ("POST /v1/endpoints/crm/enable", r#"{"catch_up":false}"#, &[]),
    ] {
        door.json("POST /v1/endpoints/crm/disable", "").await;
        tell(&door, "c1", Timestamp::from_millis(1_000), &[EventType::CertificateCreated]).await;
        let answer = door.json(line, body).await;
        assert_eq!((asked(), &answer["status"]), (wanted.iter().map(|one| (*one).into()).collect(), &json!("enabled")));
        if line.ends_with("enable") {
            let expected = if wanted.is_empty() { (json!(0), json!(0)) } else { (json!(10_250), json!(0)) };
            assert_eq!((answer["resumed"].clone(), answer["cut"].clone()), expected, "{body}");
            assert_eq!(answer["resumed_more"] == true, !wanted.is_empty());
        }
        let start = if wanted.is_empty() { *door.store.head().borrow() } else { Position::START };
        assert_eq!(start_of(&door, &answer).await, start, "{line} {body}");
    }
    assert_eq!(door.call("POST /v1/endpoints/crm/enable", r#"{"catch_up":1}"#).await.status.as_u16(), 400);
    door.json("POST /v1/endpoints/crm/recover", "").await;
    assert_eq!(asked(), ["recover 1"]);
    door.json("POST /v1/endpoints/crm/disable", "").await;
    let refused = door.call("POST /v1/endpoints/crm/recover", "").await;
    assert_eq!((refused.status.as_u16(), refused.json()["type"].take()), (409, json!("ENDPOINT_DISABLED")));
    assert!(asked().is_empty());
}

#[tokio::test]
async fn whoever_enables_an_endpoint_is_told_what_was_cut_meanwhile() {
    let door = Door::open().await;
    let created = door.json("PUT /v1/endpoints/crm", r#"{"url":"https://a.example/"}"#).await;
    let endpoint: EndpointId = created["id"].as_str().unwrap().parse().unwrap();
    for (body, missed, shown) in [
        ("", Missed { count: 7, more: false }, (json!(7), Value::Null)),
        ("", Missed::default(), (json!(0), Value::Null)),
        (r#"{"catch_up":false}"#, Missed { count: 10_000, more: true }, (json!(10_000), json!(true))),
    ] {
        door.json("POST /v1/endpoints/crm/disable", "").await;
        let given_up = GivenUp { endpoint, until: Position::START, waiting: Vec::new(), missed, told: None };
        assert!(door.store.give_up(given_up).await.unwrap());
        let enabled = door.json("POST /v1/endpoints/crm/enable", body).await;
        assert_eq!((enabled["cut"].clone(), enabled["cut_more"].clone()), shown, "{body}");
    }
    let again = door.json("POST /v1/endpoints/crm/enable", "").await;
    assert_eq!(again["cut"], 0, "it was enabled already");
}

#[tokio::test]
async fn a_change_of_something_else_does_not_enable_what_was_disabled_meanwhile() {
    let store = Arc::new(Memory::new());
    let door = Door::over(Arc::clone(&store) as _);
    let mut secrets = 1;
    for (line, body) in [
        ("PATCH /v1/endpoints/crm", r#"{"description":"x"}"#),
        ("PUT /v1/endpoints/crm", r#"{"url":"https://a.example/","description":"y"}"#),
        ("POST /v1/endpoints/crm/secret/rotate", ""),
        ("POST /v1/endpoints/crm/disable", ""),
    ] {
        let enabled = door.json("PUT /v1/endpoints/crm", r#"{"url":"https://a.example/","status":"enabled"}"#).await;
        let id: EndpointId = enabled["id"].as_str().unwrap().parse().unwrap();
        store.disable_before_the_next_change(DisabledReason::Gone);
        door.json(line, body).await;
        let known = door.store.endpoint(id).await.unwrap().unwrap();
        let stands = (known.status, known.disabled_reason);
        assert_eq!(stands, (EndpointStatus::Disabled, Some(DisabledReason::Gone)), "{line}");
        assert!(!body.contains("description") || body.contains(&known.description), "{line} is done all the same");
        secrets += usize::from(line.ends_with("rotate"));
        assert_eq!(known.secrets.len(), secrets, "{line}");
    }
    store.disable_before_the_next_change(DisabledReason::Gone);
    let answer = door.json("PATCH /v1/endpoints/crm", r#"{"status":"enabled"}"#).await;
    assert_eq!(answer["status"], "enabled", "unless that is what was asked for");
}
