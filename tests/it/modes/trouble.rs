//! Trouble with upstream as it comes over real HTTP: what is tried again, what is waited for, and what is said.

use std::time::Duration;

use certhook::clock::Clock;
use certhook::model::event::EventType;
use certhook::model::source::{PassKind, PassReport, PassStatus, SourceProgress, SourceState};
use certhook::sandbox::options::Modes;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::check::Look;
use super::rig::Rig;

/// A rig whose baseline is complete, and one change that the next pass should find.
async fn with_a_change() -> Rig {
    let mut rig = Rig::start(7, Modes::default(), 0).await;
    rig.baseline().await;
    rig.clock_on(Duration::from_secs(30)).await;
    rig.upstream.order("POST", "/sandbox/certificates", &json!({"status": "active"})).await;
    rig.upstream.record().await;
    rig.upstream.order("DELETE", "/sandbox/calls", &Value::Null).await;
    rig
}

async fn fail(rig: &Rig, order: Value) {
    rig.upstream.order("POST", "/sandbox/faults", &order).await;
}

/// What the vendor's API was asked since the last look: path and status of each call.
async fn calls(rig: &Rig) -> Vec<(String, u64)> {
    let calls = rig.upstream.order("GET", "/sandbox/calls", &Value::Null).await;
    rig.upstream.order("DELETE", "/sandbox/calls", &Value::Null).await;
    let recent = calls["recent"].as_array().expect("a list");
    let call =
        |call: &Value| (call["path"].as_str().expect("a path").to_owned(), call["status"].as_u64().expect("one"));
    recent.iter().map(call).collect()
}

fn last(rig: &Rig, kind: PassKind) -> PassReport {
    rig.watcher.status().passes.into_iter().find(|report| report.pass == kind).expect("a pass has run")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_pass_is_tried_again_within_the_pass() {
    let orders = [
        json!({"fault": "status", "status": 500}),
        json!({"fault": "status", "status": 408}),
        json!({"fault": "html", "status": 502}),
        json!({"fault": "html", "status": 200}),
        json!({"fault": "close"}),
        json!({"fault": "truncate"}),
    ];
    // Side by side, because each waits for up to a second.
    join_all(orders.map(|order| async move {
        let rig = with_a_change().await;
        fail(&rig, order.clone()).await;
        let report = rig.watcher_pass(PassKind::Changes).await;
        assert_eq!((report.status, report.pages, report.changed), (PassStatus::Complete, 2, 1), "{order}");
        let asked = calls(&rig).await;
        assert_eq!(asked.len(), 3, "{order}: {asked:?}");
        assert_eq!(asked[0].0, asked[1].0, "{order}: the same page again");
        assert_eq!(rig.watcher.status().status, SourceState::Healthy);
        rig.assert_in_step(Look::Sweep, "after a retry").await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_not_tried_again_and_keeps_the_watermark() {
    for (status, path, kind) in [
        (400, "/tax/certificates", "INVALID_REQUEST"),
        (404, "/tax/certificates", "INVALID_REQUEST"),
        (409, "/tax/certificate-requests", "INVALID_REQUEST"),
        (302, "/tax/certificate-requests", "INVALID_REQUEST"),
    ] {
        let rig = with_a_change().await;
        let before = rig.progress().await;
        fail(&rig, json!({"fault": "status", "status": status, "path": path})).await;
        let report = rig.watcher_pass(PassKind::Changes).await;
        assert_eq!(report.status, PassStatus::Incomplete, "{status}");
        assert_eq!(calls(&rig).await.len(), 2, "{status}: the other listing is read all the same");
        assert_eq!(rig.progress().await, before, "{status}");
        let (shown, error) = (rig.watcher.status(), last(&rig, PassKind::Changes).error.expect("a reason"));
        assert_eq!((shown.status, shown.watermark), (SourceState::Failing, before.watermark));
        assert!(error.contains(&status.to_string()) && error.contains(kind), "{error}");
        // The next pass makes up for it.
        assert_eq!(rig.watcher_pass(PassKind::Changes).await.status, PassStatus::Complete);
        assert_eq!(rig.watcher.status().status, SourceState::Healthy);
        rig.assert_in_step(Look::Sweep, "after the next pass").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_key_stops_the_pass_at_once_and_is_said() {
    for status in [401, 403] {
        let mut rig = with_a_change().await;
        let before = rig.progress().await;
        fail(&rig, json!({"fault": "status", "status": status, "next": 9})).await;
        let report = rig.watcher_pass(PassKind::Changes).await;
        assert_eq!((report.status, report.pages), (PassStatus::Failed, 0), "{status}");
        assert_eq!(calls(&rig).await.len(), 1, "{status}: nothing is asked after that");
        assert_eq!(rig.watcher.status().status, SourceState::Unauthorized);
        assert!(last(&rig, PassKind::Changes).error.expect("a reason").contains("refuses the API key"));
        let after = rig.progress().await;
        assert_eq!(after.failing_since, Some(rig.clock.now()), "{status}");
        assert_eq!(SourceProgress { failing_since: None, ..after }, before, "{status}");
        rig.clear_faults().await;
        assert_eq!(rig.watcher_pass(PassKind::Changes).await.status, PassStatus::Complete);
        assert_eq!(rig.watcher.status().status, SourceState::Healthy);
        let told = rig.told_so_far().await;
        let about =
            |name: &EventType| matches!(name, EventType::GatewaySourceFailing | EventType::GatewaySourceRecovered);
        let told: Vec<EventType> = told.into_iter().filter(about).collect();
        assert_eq!(told, [EventType::GatewaySourceFailing, EventType::GatewaySourceRecovered], "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_could_not_be_asked_for_is_asked_for_by_the_next_pass() {
    let mut rig = Rig::start(7, Modes::default(), 0).await;
    let object = rig.upstream.order("POST", "/sandbox/certificates", &json!({"status": "processing"})).await;
    let id = object["id"].as_str().expect("an id");
    rig.baseline().await;
    rig.clock_on(Duration::from_secs(30)).await;
    rig.upstream.order("POST", &format!("/sandbox/certificates/{id}/attach"), &Value::Null).await;
    let path = format!("/tax/certificates/{id}");
    fail(&rig, json!({"fault": "status", "status": 409, "path": path})).await;
    assert_eq!(rig.watcher_pass(PassKind::Changes).await.status, PassStatus::Incomplete);
    let told =
        |told: Vec<EventType>| told.iter().filter(|told| **told == EventType::CertificateDocumentAvailable).count();
    assert_eq!(told(rig.told_so_far().await), 0);
    rig.upstream.order("DELETE", "/sandbox/calls", &Value::Null).await;
    let asked = [("/tax/certificates".to_owned(), 200), (path, 200), ("/tax/certificate-requests".to_owned(), 200)];
    assert_eq!(rig.watcher_pass(PassKind::Changes).await.status, PassStatus::Complete);
    assert_eq!((told(rig.told_so_far().await), calls(&rig).await.as_slice()), (1, &asked[..]));
    rig.watcher_pass(PassKind::Changes).await;
    assert_eq!(calls(&rig).await, [asked[0].clone(), asked[2].clone()], "that is known now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_upstream_asks_for_holds_for_every_pass_and_ends_none() {
    let rig = with_a_change().await;
    fail(&rig, json!({"fault": "throttle", "retry_after": "2", "path": "/tax/certificates"})).await;
    let began = Instant::now();
    let changes = rig.watcher_pass(PassKind::Changes);
    let sweep = async {
        // Until the refusal is there; a sweep that begins then must not ask before the wait is over.
        while rig.upstream.order("GET", "/sandbox/calls", &Value::Null).await["total"] == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        rig.watcher_pass(PassKind::Sweep).await
    };
    let look = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        calls(&rig).await
    };
    let (changes, sweep, asked) = tokio::join!(changes, sweep, look);
    assert_eq!(asked, [("/tax/certificates".to_owned(), 429)], "nothing is asked while the wait lasts");
    assert_eq!((changes.status, sweep.status), (PassStatus::Complete, PassStatus::Complete));
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(rig.watcher.status().status, SourceState::Healthy);
    rig.assert_in_step(Look::Sweep, "after the wait").await;
}
