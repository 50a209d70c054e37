//! What lists do not show any more, step by step.

use std::time::Duration;

use certhook::clock::Clock;
use certhook::model::event::{Event, EventType};
use certhook::model::source::{PassKind, PassStatus, RemovalDecision};
use certhook::model::time::Timestamp;
use certhook::sandbox::options::Modes;
use certhook::watch::RemovalGuard;
use serde_json::{Value, json};

use super::rig::{Choices, Rig};

const DAY: Duration = Duration::from_secs(86_400);

/// A rig whose baseline is complete, and whose guard believes in no removal.
async fn unbelieving() -> Rig {
    let choices = Choices { guard: RemovalGuard { count: 1, share: 0.0 }, ..Choices::default() };
    let mut rig = Rig::start_with(11, Modes::default(), 0, choices).await;
    rig.baseline().await;
    rig.clock_on(DAY).await;
    rig
}

async fn certificate(rig: &mut Rig) -> String {
    let new = json!({"certificate_type_id": "12", "status": "active"});
    let object = rig.upstream.order("POST", "/sandbox/certificates", &new).await;
    rig.clock_on(DAY).await;
    rig.changes(false).await;
    object["id"].as_str().expect("an id").into()
}

async fn act(rig: &Rig, id: &str, action: &str) -> Timestamp {
    rig.upstream.order("POST", &format!("/sandbox/certificates/{id}/{action}"), &Value::Null).await;
    let at = rig.clock.now();
    rig.clock_on(DAY).await;
    at
}

/// When the event of a type says that it happened: not before, and not after.
fn told(rig: &Rig, event_type: EventType, id: &str) -> (Timestamp, Timestamp) {
    let is_meant = |event: &&std::sync::Arc<Event>| {
        event.event_type == event_type && event.sight.resource().is_some_and(|key| key.id.as_str() == id)
    };
    let detection = &rig.log.iter().rfind(is_meant).expect("it is told").sight.detection;
    (detection.observed_after.expect("it was seen before"), detection.observed_before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_that_did_not_show_something_is_no_sight_of_it() {
    let mut rig = unbelieving().await;
    let (gone, hidden) = (certificate(&mut rig).await, certificate(&mut rig).await);
    let archived_at = act(&rig, &gone, "archive").await;
    act(&rig, &hidden, "archive").await;
    for _ in 0..2 {
        rig.sweep(false).await;
        rig.clock_on(DAY).await;
    }
    let corrected_at = act(&rig, &hidden, "correct").await;
    rig.sweep(false).await;
    act(&rig, &hidden, "unarchive").await;
    rig.changes(false).await;
    let (after, before) = told(&rig, EventType::CertificateUpdated, &hidden);
    assert!(after <= corrected_at && corrected_at <= before, "{after} {corrected_at} {before}");

    rig.watcher.decide(RemovalDecision::Confirm, Some(&[gone.parse().expect("an id")])).await.expect("it is withheld");
    rig.deadline(false).await;
    let (after, before) = told(&rig, EventType::CertificateRemoved, &gone);
    assert!(after <= archived_at && archived_at <= before, "{after} {archived_at} {before}");
    assert_eq!(rig.watcher_pass(PassKind::Sweep).await.status, PassStatus::Complete);
}
