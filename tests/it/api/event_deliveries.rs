//! Who gets an event and who does not.

use std::sync::Arc;

use certhook::model::event::{EventDraft, EventType, Sight, Subject};
use certhook::model::id::{EndpointId, Position};
use certhook::model::json::Json;
use certhook::store::DeliveryCommit;
use serde_json::{Value, json};

use super::deliveries::{fill, ids};
use super::door::Door;
use super::events::{commit_sight, seconds, sight, tell};
use crate::support::memory::Memory;

async fn register(door: &Door, uid: &str, settings: Value) -> EndpointId {
    let mut body = json!({ "url": "https://a.example/" });
    body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let endpoint = door.json(&format!("PUT /v1/endpoints/{uid}"), &body.to_string()).await;
    endpoint["id"].as_str().unwrap().parse().unwrap()
}

/// The rows of the event at a position: endpoint, status and reason of each, oldest endpoint first.
async fn rows(door: &Door, position: u64) -> Vec<(String, String)> {
    let id = door.store.event(Position(position)).await.unwrap().unwrap().id;
    let (_, rows) = door.pages(&format!("/v1/events/{id}/deliveries?order=asc&limit=3")).await;
    let (_, reversed) = door.pages(&format!("/v1/events/{id}/deliveries?limit=2")).await;
    assert!(rows.iter().eq(reversed.iter().rev()), "both orders show the same");
    let mut named = Vec::new();
    for row in rows {
        let endpoint = door.json(&format!("GET /v1/endpoints/{}", row["endpoint_id"].as_str().unwrap()), "").await;
        let reason = row["reason"].as_str().map(|reason| format!(" {reason}")).unwrap_or_default();
        let status = format!("{}{reason}", row["status"].as_str().unwrap());
        named.push((endpoint["uid"].as_str().unwrap().to_owned(), status));
    }
    named
}

fn expected(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(uid, status)| ((*uid).to_owned(), (*status).to_owned())).collect()
}

#[tokio::test]
async fn every_endpoint_has_a_row_that_says_why_it_stands_so() {
    let door = Door::open().await;
    let filter = |key: &str, value: Value| json!({ "filter": { key: value } });
    for (uid, settings) in [
        ("everything", json!({})),
        ("other_type", json!({ "types": ["certificate.created", "gateway.*"] })),
        ("other_source", filter("sources", json!(["europe"]))),
        ("other_customer", filter("customer_ids", json!(["cus_2"]))),
        ("same_customer", json!({ "filter": { "customer_ids": ["cus_2"], "reference_customer_ids": ["77"] } })),
        ("other_jurisdiction", filter("jurisdictions", json!(["US-NY"]))),
        ("other_certificate_type", filter("certificate_type_ids", json!(["resale"]))),
        ("other_days", filter("will_expire_days", json!([7]))),
        ("disabled", json!({ "status": "disabled" })),
        ("disabled_and_other_type", json!({ "types": ["gateway.*"], "status": "disabled" })),
    ] {
        register(&door, uid, settings).await;
    }
    let object = r#"{"id":"c1","customer":{"id":"cus_1","reference_customer_id":"77"},
        "jurisdictions":[{"jurisdiction_id":"US-CA"},{"jurisdiction_id":"US-NY"}],
        "certificate_type":{"certificate_identifier":"exempt"}}"#;
    let reminder = EventDraft {
        event_type: EventType::CertificateWillExpire,
        details: Json::of(&json!({"jurisdiction_id": "US-CA", "threshold_days": 30, "thresholds_crossed": [60, 30]})),
    };
    commit_sight(&door, sight("numeral", Some("c1"), object, seconds(1)), vec![reminder]).await;
    register(&door, "registered_later", json!({})).await;
    let rows = rows(&door, 1).await;
    let wanted = [
        ("everything", "pending"),
        ("other_type", "filtered type"),
        ("other_source", "filtered source"),
        ("other_customer", "filtered customer"),
        ("same_customer", "pending"),
        ("other_jurisdiction", "filtered jurisdiction"),
        ("other_certificate_type", "filtered certificate_type"),
        ("other_days", "filtered will_expire_days"),
        ("disabled", "pending disabled"),
        ("disabled_and_other_type", "filtered type"),
        ("registered_later", "filtered before_start"),
    ];
    assert_eq!(rows, expected(&wanted));
}

#[tokio::test]
async fn a_row_has_one_shape_tried_or_not() {
    let door = Door::open().await;
    let records = fill(&door).await;
    let endpoint = register(&door, "late", json!({})).await;
    let last = &records[5];
    let (_, rows) = door.pages(&format!("/v1/events/{}/deliveries?order=asc", last.event_id)).await;
    let tried = json!({
        "id": last.id, "object": "delivery", "event_id": last.event_id, "event_type": "certificate.created",
        "endpoint_id": last.endpoint_id, "resource": {"source": "numeral", "kind": "certificate", "id": "c3"},
        "status": "pending", "reason": null, "next_attempt_at": "1970-01-01T00:00:09.000Z", "attempt_count": 1,
    });
    let mut untried = tried.clone();
    untried["id"] = Value::Null;
    untried["endpoint_id"] = json!(endpoint);
    untried["status"] = "filtered".into();
    untried["reason"] = "before_start".into();
    untried["next_attempt_at"] = Value::Null;
    untried["attempt_count"] = 0.into();
    assert_eq!(rows[1..], [tried, untried]);
}

#[tokio::test]
async fn what_an_endpoint_has_passed_without_a_try_is_not_called_pending() {
    let door = Door::open().await;
    let live = register(&door, "live", json!({})).await;
    let behind = register(&door, "behind", json!({})).await;
    for number in 1..=3 {
        tell(&door, &format!("c{number}"), seconds(number), &[EventType::CertificateCreated]).await;
    }
    let commit = DeliveryCommit {
        live_mark: Some(Position(2)),
        positions: vec![(live.number, None), (behind.number, Some(Position(1)))],
        ..DeliveryCommit::default()
    };
    door.store.commit_deliveries(commit).await.unwrap();
    let (passed, pending) = ("filtered passed", "pending");
    for (position, live, behind) in [(1, passed, passed), (2, passed, pending), (3, pending, pending)] {
        assert_eq!(rows(&door, position).await, expected(&[("live", live), ("behind", behind)]), "{position}");
    }
}

#[tokio::test]
async fn an_event_that_speaks_of_an_endpoint_is_not_for_it() {
    let door = Door::over(Arc::new(Memory::new()));
    let types = json!({ "types": ["endpoint.*"] });
    let first = register(&door, "first", types.clone()).await;
    register(&door, "second", types).await;
    let object = format!(r#"{{"id":"{first}"}}"#);
    let sight = Sight { subject: Subject::Own(first.to_string()), ..sight("numeral", None, &object, seconds(1)) };
    commit_sight(&door, sight, vec![EventDraft::plain(EventType::EndpointFailing)]).await;
    assert_eq!(rows(&door, 1).await, expected(&[("first", "filtered about_itself"), ("second", "pending")]));
}

#[tokio::test]
async fn the_rows_of_an_event_are_those_alone_and_outlive_their_endpoints() {
    let door = Door::open().await;
    let records = fill(&door).await;
    let path = format!("/v1/events/{}/deliveries?limit=1&order=asc", records[2].event_id);
    let all = || async {
        let (sizes, rows) = door.pages(&path).await;
        assert_eq!((sizes, ids(&rows)), (vec![1, 1], vec![records[2].id.to_string(), records[3].id.to_string()]));
    };
    all().await;
    let mut page = door.json(&format!("GET {path}"), "").await;
    let cursor = page["next_cursor"].take();
    let line = format!("GET /v1/deliveries?cursor={}", cursor.as_str().unwrap());
    assert_eq!(door.call(&line, "").await.json()["message"], "cursor: belongs to another list (event_deliveries)");
    let line = format!("GET /v1/events/{}/deliveries?cursor={}", records[0].event_id, cursor.as_str().unwrap());
    let message = door.call(&line, "").await.json()["message"].take();
    assert_eq!(message, "cursor: belongs to the deliveries of another event");
    door.json("DELETE /v1/endpoints/e1", "").await;
    all().await;
}
