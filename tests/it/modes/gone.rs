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

/// A guard that believes in no removal, and one that believes in all but that of a whole kind.
const UNBELIEVING: RemovalGuard = RemovalGuard { count: 1, share: 0.0 };
const BELIEVING: RemovalGuard = RemovalGuard { count: 1_000, share: 1.0 };

/// A rig whose baseline is complete.
async fn settled(guard: RemovalGuard) -> Rig {
    let choices = Choices { guard, ..Choices::default() };
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

/// Runs a sweep; gives how it ended and the types that it told.
async fn sweep(rig: &mut Rig) -> (PassStatus, Vec<EventType>) {
    let status = rig.watcher_pass(PassKind::Sweep).await.status;
    let begin = rig.look_back().await;
    (status, rig.log[begin..].iter().map(|event| event.event_type).collect())
}

async fn absent(rig: &Rig) -> usize {
    rig.watcher.absences(None, 1_000).await.expect("the store").len()
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
    let mut rig = settled(UNBELIEVING).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_silently_end_early_remove_nothing() {
    for (guard, expected) in [
        (UNBELIEVING, (PassStatus::Complete, vec![EventType::GatewayRemovalsWithheld])),
        (BELIEVING, (PassStatus::Incomplete, vec![])),
    ] {
        let mut rig = settled(guard).await;
        let order = json!({"fault": "cut_short", "share": 1.0});
        rig.upstream.order("POST", "/sandbox/faults", &order).await;
        assert_eq!(sweep(&mut rig).await, expected);
        let withheld = absent(&rig).await;
        assert_eq!(withheld > 0, guard == UNBELIEVING);
        assert_eq!(sweep(&mut rig).await, (expected.0, vec![]), "once is enough");
        if withheld > 0 {
            // Whoever believes it nevertheless is saved by the look at each.
            assert_eq!(rig.watcher.decide(RemovalDecision::Confirm, None).await.expect("the store"), withheld as u64);
            rig.deadline(false).await;
        }
        rig.clear_faults().await;
        rig.sweep(false).await;
        assert_eq!(absent(&rig).await, 0);
        rig.assert_log().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_another_account_is_told_as_such_and_not_as_a_thousand_changes() {
    let mut rig = settled(Choices::default().guard).await;
    let ours = rig.snapshots().await.len();
    rig.upstream.order("POST", "/sandbox/account", &json!({"number": 12})).await;
    rig.upstream.record().await;
    let said = vec![EventType::GatewayRemovalsWithheld, EventType::GatewayBaselineCompleted];
    assert_eq!(sweep(&mut rig).await, (PassStatus::Complete, said));
    assert_eq!(absent(&rig).await, ours);
    assert_eq!(sweep(&mut rig).await, (PassStatus::Complete, vec![]), "once is enough");
    // The right key is back: what it shows is what was known, and only the others are missing.
    rig.upstream.order("POST", "/sandbox/account", &json!({"number": 11})).await;
    let theirs = rig.snapshots().await.len() - ours;
    assert_eq!(sweep(&mut rig).await, (PassStatus::Complete, vec![EventType::GatewayRemovalsWithheld]));
    assert_eq!(absent(&rig).await, theirs);
    rig.watcher.decide(RemovalDecision::Confirm, None).await.expect("the store");
    assert_eq!(rig.watcher_pass(PassKind::Deadline).await.status, PassStatus::Complete);
    let begin = rig.look_back().await;
    let removed = [EventType::CertificateRemoved, EventType::RequestRemoved];
    assert!(rig.log[begin..].iter().all(|event| removed.contains(&event.event_type)));
    assert_eq!((rig.log[begin..].len(), absent(&rig).await), (theirs, 0));
    assert_eq!(sweep(&mut rig).await, (PassStatus::Complete, vec![]));
}
