//! Replays and resyncs as callers see them.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use certhook::model::event::{Event, EventType};
use certhook::model::id::Position;
use certhook::model::replay::Select;
use certhook::model::time::Timestamp;
use certhook::store::EventLog;
use serde_json::{Value, json};

use super::door::{BEGIN, Door};
use super::events::tell;
use crate::support::memory::Memory;

async fn register(door: &Door) {
    door.json("PUT /v1/endpoints/crm", r#"{"url": "https://crm.example/"}"#).await;
}

#[tokio::test]
async fn a_replay_is_accepted_with_where_to_look_for_it() {
    let door = Door::open().await;
    register(&door).await;
    let answer = door.call("POST /v1/endpoints/crm/replay", "").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let replay = answer.json();
    let endpoint = door.json("GET /v1/endpoints/crm", "").await;
    assert_eq!(
        replay,
        json!({
            "id": replay["id"], "object": "replay", "kind": "replay", "endpoint_id": endpoint["id"],
            "status": "running", "progress": 0.0, "matched": 0, "delivered": 0, "failed": 0, "canceled": 0,
            "cut": 0, "since": null, "until": null, "select": "missed", "filter": replay["filter"], "created_at": BEGIN, "ended_at": null,
        })
    );
    assert_eq!(answer.header("location"), format!("/v1/replays/{}", replay["id"].as_str().unwrap()));
    let [range] = &door.deliveries.ranges.lock().unwrap()[..] else { panic!("one was asked for") };
    assert_eq!((range.after, range.until, range.select), (Position::START, Position::START, Select::Missed));
}

#[tokio::test]
async fn what_is_to_be_replayed_is_said_in_the_body() {
    let door = Door::open().await;
    register(&door).await;
    let body = r#"{"since": "2026-11-20T00:00:00Z", "until": "2026-11-21T00:00:00Z", "types": ["certificate.*"],
        "filter": {"jurisdictions": ["US-CA"]}, "resource_id": "cert_1", "select": "failed",
        "event_ids": ["evt_000000000000000000009a", "evt_0000000000000000000001", "evt_0000000000000000000001"]}"#;
    let replay = door.json("POST /v1/endpoints/crm/replay", body).await;
    assert_eq!((&replay["select"], &replay["types"]), (&json!("failed"), &json!(["certificate.*"])));
    assert_eq!(replay["filter"]["jurisdictions"], json!(["US-CA"]));
    assert_eq!(replay["resource_id"], "cert_1");
    assert_eq!([&replay["since"], &replay["until"]], ["2026-11-20T00:00:00.000Z", "2026-11-21T00:00:00.000Z"]);
    assert_eq!(replay["event_ids"], json!(["evt_0000000000000000000001", "evt_000000000000000000009a"]));
    let range = door.deliveries.ranges.lock().unwrap()[0].clone();
    assert_eq!((range.event_ids.len(), range.event_ids.is_sorted()), (2, true));
    assert_eq!(range.resource_id.map(|id| id.to_string()).as_deref(), Some("cert_1"));
}

#[tokio::test]
async fn what_retention_has_cut_cannot_be_replayed() {
    let store = Arc::new(Memory::new());
    let door = Door::over(Arc::clone(&store) as _);
    register(&door).await;
    let second = |number: i64| Timestamp::from_millis(1_000 * number);
    for number in 1..=9 {
        tell(&door, &format!("c{number}"), second(number), &[EventType::CertificateCreated]).await;
    }
    let replay = async |body: &str| door.call("POST /v1/endpoints/crm/replay", body).await;
    let since = |number| json!({ "since": second(number) }).to_string();
    assert_eq!(replay(&since(0)).await.status, StatusCode::ACCEPTED, "everything is kept");
    let log = store.events_after(Position::START, 9).await.unwrap();
    store.cut(Position(4));
    let named = |event: &Event| json!({ "event_ids": [event.id] }).to_string();
    let [cut, kept] = [&log[3], &log[4]].map(|event| named(event));
    let until = |number| json!({ "until": second(number) }).to_string();
    for body in [since(0), since(4), until(4), cut.clone()] {
        for dry_run in ["", r#", "dry_run": true"#] {
            let answer = replay(&body.replace('}', &format!("{dry_run}}}"))).await;
            let refused = answer.json();
            assert_eq!((answer.status.as_u16(), &refused["type"]), (400, &json!("RANGE_EXPIRED")), "{body} {refused}");
            assert_eq!(refused["earliest"], "1970-01-01T00:00:04.001Z");
            assert!(refused["message"].as_str().unwrap().contains("1970-01-01T00:00:04.001Z"), "{refused}");
        }
    }
    let earliest = json!({ "since": "1970-01-01T00:00:04.001Z" }).to_string();
    for (body, after) in [(earliest, 4), (since(5), 4), (String::new(), 4), (since(6), 5), (kept, 4), (until(5), 4)] {
        assert_eq!(replay(&body).await.status, StatusCode::ACCEPTED, "{body}");
        assert_eq!(door.deliveries.ranges.lock().unwrap().last().unwrap().after, Position(after), "{body}");
    }
}

#[tokio::test]
async fn what_was_quiet_was_not_cut() {
    let store = Arc::new(Memory::new());
    let door = Door::over(Arc::clone(&store) as _);
    register(&door).await;
    let day = |number: i64| Timestamp::from_millis(number * 24 * 60 * 60 * 1_000);
    for number in [10, 48] {
        tell(&door, &format!("c{number}"), day(number), &[EventType::CertificateCreated]).await;
    }
    let log = store.events_after(Position::START, 9).await.unwrap();
    let asked = async |body: Value| {
        let answer = door.call("POST /v1/endpoints/crm/replay", &body.to_string()).await;
        (answer.status.as_u16(), answer.json())
    };
    store.cut(Position(1));
    assert_eq!(asked(json!({ "since": day(47) })).await.0, 202, "nothing of these days was cut");
    assert_eq!(asked(json!({ "since": day(10) })).await.1["type"], "RANGE_EXPIRED");
    store.cut(Position(2));
    let [first, last] = [&log[0], &log[1]].map(|event| event.id);
    for body in [
        json!({}),
        json!({ "since": day(49) }),
        json!({ "since": day(48).plus(Duration::from_millis(1)) }),
        json!({ "until": day(49) }),
    ] {
        assert_eq!(asked(body.clone()).await.0, 202, "{body}");
    }
    for body in [
        json!({ "since": day(1) }),
        json!({ "since": day(48) }),
        json!({ "since": day(10), "until": day(49) }),
        json!({ "until": day(48) }),
        json!({ "event_ids": [first] }),
        json!({ "event_ids": [last] }),
    ] {
        let (status, refused) = asked(body.clone()).await;
        assert_eq!((status, &refused["type"]), (400, &json!("RANGE_EXPIRED")), "nothing is kept: {body} {refused}");
        assert_eq!(refused["earliest"], "1970-02-18T00:00:00.001Z");
    }
}

#[tokio::test]
async fn where_a_former_program_has_cut_what_is_kept_tells_what_is_not() {
    let store = Arc::new(Memory::new());
    let door = Door::over(Arc::clone(&store) as _);
    register(&door).await;
    let second = |number: i64| Timestamp::from_millis(1_000 * number);
    for number in 1..=3 {
        tell(&door, &format!("c{number}"), second(number), &[EventType::CertificateCreated]).await;
    }
    let log = store.events_after(Position::START, 9).await.unwrap();
    let asked = async |body: Value| {
        let answer = door.call("POST /v1/endpoints/crm/replay", &body.to_string()).await;
        (answer.status.as_u16(), answer.json()["type"].clone(), answer.json()["earliest"].clone())
    };
    let expired = |earliest| (400, json!("RANGE_EXPIRED"), earliest);
    let (since, ids) =
        (|number| json!({ "since": second(number) }), |index: usize| json!({ "event_ids": [log[index].id] }));
    store.cut_as_formerly(Position(2));
    for body in [since(2), ids(1), json!({ "until": second(2) })] {
        assert_eq!(asked(body.clone()).await, expired(json!(second(3))), "{body}");
    }
    for body in [since(3), ids(2), json!({})] {
        assert_eq!(asked(body.clone()).await.0, 202, "{body}");
    }
    store.cut_as_formerly(Position(3));
    for index in 0..3 {
        assert_eq!(asked(ids(index)).await, expired(Value::Null));
    }
    assert_eq!(asked(since(1)).await.0, 202, "nothing tells when it was cut");
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_sent_and_begins_nothing() {
    let door = Door::open().await;
    register(&door).await;
    let answer = door.call("POST /v1/endpoints/crm/replay", r#"{"dry_run": true, "select": "all"}"#).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({"matched": 7, "sample": []})));
    assert_eq!(door.json("GET /v1/replays", "").await["data"], json!([]));
}

#[tokio::test]
async fn a_resync_takes_a_filter() {
    let door = Door::open().await;
    register(&door).await;
    let answer = door.call("POST /v1/endpoints/crm/resync", r#"{"filter": {"customer_ids": ["c"]}}"#).await;
    assert_eq!((answer.status, &answer.json()["kind"]), (StatusCode::ACCEPTED, &json!("resync")));
    assert_eq!(answer.json()["filter"]["customer_ids"], json!(["c"]));
}

#[tokio::test]
async fn what_cannot_be_replayed_is_refused_with_the_reason() {
    let door = Door::open().await;
    register(&door).await;
    door.json("POST /v1/endpoints/crm/disable", "").await;
    let cases = [
        ("POST /v1/endpoints/crm/replay", "", 409, "ENDPOINT_DISABLED"),
        ("POST /v1/endpoints/crm/replay", r#"{"dry_run": true}"#, 409, "ENDPOINT_DISABLED"),
        ("POST /v1/endpoints/crm/resync", "", 409, "ENDPOINT_DISABLED"),
        ("POST /v1/endpoints/erp/replay", "", 404, "ENDPOINT_NOT_FOUND"),
        ("POST /v1/endpoints/crm/replay", r#"{"select": "some"}"#, 400, "INVALID_REQUEST"),
        ("POST /v1/endpoints/crm/replay", r#"{"event_ids": []}"#, 400, "INVALID_REQUEST"),
        ("POST /v1/endpoints/crm/replay", r#"{"event_ids": ["cert_1"]}"#, 400, "INVALID_REQUEST"),
        ("POST /v1/endpoints/crm/replay", r#"{"since": "yesterday"}"#, 400, "INVALID_REQUEST"),
        (
            "POST /v1/endpoints/crm/replay",
            r#"{"since": "2026-11-21T00:00:00Z", "until": "2026-11-20T00:00:00Z"}"#,
            400,
            "INVALID_REQUEST",
        ),
        ("POST /v1/endpoints/crm/resync", r#"{"since": "2026-11-21T00:00:00Z"}"#, 400, "UNRECOGNIZED_FIELD"),
        ("GET /v1/replays/rp_0000000000000000000001", "", 404, "REPLAY_NOT_FOUND"),
        ("GET /v1/replays/x", "", 404, "REPLAY_NOT_FOUND"),
        ("DELETE /v1/replays/rp_0000000000000000000001", "", 404, "REPLAY_NOT_FOUND"),
        ("GET /v1/replays?status=running", "", 400, "UNRECOGNIZED_FIELD"),
    ];
    for (line, body, code, word) in cases {
        let answer = door.call(line, body).await;
        let error = answer.json();
        assert_eq!((answer.status.as_u16(), &error["type"]), (code, &json!(word)), "{line} {body}: {error}");
    }
}
