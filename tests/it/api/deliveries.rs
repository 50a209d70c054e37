//! Deliveries: as their records tell.

use certhook::model::delivery::{Attempt, DeliveryRecord, DeliveryStatus, Outcome, Trigger};
use certhook::model::event::EventType;
use certhook::model::id::{DeliveryId, EndpointId, Position};
use certhook::model::time::Timestamp;
use certhook::store::DeliveryCommit;
use serde_json::{Value, json};

use super::door::Door;
use super::events::tell;

/// Two endpoints, three events, and a record of each event for each endpoint; of the third still pending.
pub(super) async fn fill(door: &Door) -> Vec<DeliveryRecord> {
    let mut endpoints = Vec::new();
    for uid in ["e1", "e2"] {
        let endpoint = door.json(&format!("PUT /v1/endpoints/{uid}"), r#"{"url":"https://a.example/"}"#).await;
        endpoints.push(endpoint["id"].as_str().unwrap().parse::<EndpointId>().unwrap());
    }
    let mut records = Vec::new();
    for second in 1..=3 {
        let at = Timestamp::from_millis(second * 1000);
        tell(door, &format!("c{second}"), at, &[EventType::CertificateCreated]).await;
        let event = door.store.event(Position(second as u64)).await.unwrap().unwrap();
        for endpoint in &endpoints {
            let status = if second == 3 { DeliveryStatus::Pending } else { DeliveryStatus::Delivered };
            let mut record = DeliveryRecord {
                id: DeliveryId { position: event.position(), endpoint: endpoint.number, epoch: event.id.epoch },
                event_id: event.id,
                event_type: event.event_type,
                endpoint_id: *endpoint,
                resource: event.sight.resource().cloned(),
                status,
                next_attempt_at: (status == DeliveryStatus::Pending).then(|| Timestamp::from_millis(9000)),
                attempt_count: 0,
                charged: 0,
                replay: None,
                attempts: Vec::new(),
            };
            record.push(attempt(at));
            records.push(record);
        }
    }
    let commit = DeliveryCommit { records: records.clone(), ..DeliveryCommit::default() };
    door.store.commit_deliveries(commit).await.unwrap();
    records
}

fn attempt(at: Timestamp) -> Attempt {
    Attempt {
        number: 1,
        at,
        duration_ms: 30,
        outcome: Outcome::TimedOut,
        status_code: None,
        error: Some("no answer within 15 s".into()),
        response_body: None,
        address: None,
        signed_at: at,
        trigger: Trigger::Scheduled,
    }
}

pub(super) fn ids(list: &[Value]) -> Vec<String> {
    list.iter().map(|row| row["id"].as_str().unwrap().into()).collect()
}

#[tokio::test]
async fn a_delivery_is_shown_with_its_attempts_and_listed_without() {
    let door = Door::open().await;
    let records = fill(&door).await;
    let last = &records[5];
    let mut expected = json!({
        "id": last.id, "object": "delivery", "event_id": last.event_id, "event_type": "certificate.created",
        "endpoint_id": last.endpoint_id, "resource": {"source": "numeral", "kind": "certificate", "id": "c3"},
        "status": "pending", "next_attempt_at": "1970-01-01T00:00:09.000Z", "attempt_count": 1,
    });
    assert_eq!(door.json("GET /v1/deliveries", "").await["data"][0], expected);
    expected["attempts"] = json!([{
        "number": 1, "at": "1970-01-01T00:00:03.000Z", "duration_ms": 30, "outcome": "timed_out", "status_code": null,
        "error": "no answer within 15 s", "response_body": null, "address": null,
        "signed_at": "1970-01-01T00:00:03.000Z", "trigger": "scheduled",
    }]);
    assert_eq!(door.json(&format!("GET /v1/deliveries/{}", last.id), "").await, expected);
}

#[tokio::test]
async fn deliveries_are_found_by_what_they_are_for() {
    let door = Door::open().await;
    let records = fill(&door).await;
    let (event, endpoint) = (records[2].event_id, records[1].endpoint_id);
    let mut other_event = event;
    other_event.start += 1;
    let other_endpoint = EndpointId { random: endpoint.random ^ 1, ..endpoint };
    let cases: &[(String, &[usize])] = &[
        (String::new(), &[0, 1, 2, 3, 4, 5]),
        (format!("endpoint_id={endpoint}"), &[1, 3, 5]),
        (format!("endpoint_id={other_endpoint}"), &[]),
        ("endpoint_id=e2".into(), &[1, 3, 5]),
        (format!("event_id={event}"), &[2, 3]),
        (format!("event_id={other_event}"), &[]),
        (format!("event_id={event}&endpoint_id={endpoint}"), &[3]),
        ("resource_id=c1".into(), &[0, 1]),
        ("status=pending".into(), &[4, 5]),
        ("status=failed".into(), &[]),
        ("since=1970-01-01T00:00:02Z".into(), &[2, 3, 4, 5]),
        ("until=1970-01-01T00:00:02Z".into(), &[0, 1]),
    ];
    for (query, expected) in cases {
        let mut expected: Vec<_> = expected.iter().map(|&place| records[place].id.to_string()).collect();
        let (_, rows) = door.pages(&format!("/v1/deliveries?{query}&order=asc&limit=2")).await;
        assert_eq!(ids(&rows), expected, "{query}");
        expected.reverse();
        assert_eq!(ids(&door.pages(&format!("/v1/deliveries?{query}")).await.1), expected, "{query}");
    }
}

#[tokio::test]
async fn the_history_outlives_its_endpoint() {
    let door = Door::open().await;
    let records = fill(&door).await;
    door.json("DELETE /v1/endpoints/e2", "").await;
    let (_, rows) = door.pages(&format!("/v1/deliveries?endpoint_id={}", records[1].endpoint_id)).await;
    let states: Vec<_> = rows.iter().map(|row| row["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["canceled", "delivered", "delivered"]);
}

#[tokio::test]
async fn a_delivery_is_retried_and_canceled_and_an_event_redelivered_by_hand() {
    let door = Door::open().await;
    let records = fill(&door).await;
    let (delivered, pending) = (&records[0], &records[4]);
    for what in ["retry", "cancel"] {
        let answer = door.json(&format!("POST /v1/deliveries/{}/{what}", pending.id), "").await;
        assert_eq!((&answer["id"], &answer["attempts"][0]["number"]), (&json!(pending.id), &json!(1)));
        let refused = door.call(&format!("POST /v1/deliveries/{}/{what}", delivered.id), "").await;
        assert_eq!((refused.status.as_u16(), refused.json()["type"].take()), (409, json!("DELIVERY_ENDED")));
        let unknown = door.call(&format!("POST /v1/deliveries/dlv_1/{what}"), "").await;
        assert_eq!(unknown.json()["type"], "DELIVERY_NOT_FOUND");
    }
    let line = format!("POST /v1/events/{}/redeliver", delivered.event_id);
    let body = json!({"endpoint_id": delivered.endpoint_id}).to_string();
    assert_eq!(door.call(&line, &body).await.json()["type"], "DELIVERY_UNDER_WAY");
    let asked = door.deliveries.asked.lock().unwrap().clone();
    let mut expected: Vec<String> = Vec::new();
    for what in ["retry", "cancel"] {
        expected.extend([pending, delivered].map(|record| format!("{what} {}", record.id)));
    }
    expected.push(format!("redeliver {} {}", delivered.event_id, delivered.endpoint_id));
    assert_eq!(asked, expected);
    let unknown = EndpointId { random: 1, ..delivered.endpoint_id };
    for (body, word) in [
        (json!({}), "INVALID_REQUEST"),
        (json!({"endpoint_id": "nobody"}), "ENDPOINT_NOT_FOUND"),
        (json!({"endpoint_id": 7}), "INVALID_REQUEST"),
        (json!({"endpoint": "crm"}), "UNRECOGNIZED_FIELD"),
        (json!({"endpoint_id": unknown}), "ENDPOINT_NOT_FOUND"),
    ] {
        assert_eq!(door.call(&line, &body.to_string()).await.json()["type"], word, "{body}");
    }
}
