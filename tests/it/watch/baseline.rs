//! The first full listing.

use super::*;

/// 200 certificates and 150 requests.
fn fill(world: &World) {
    for number in 0..200 {
        world.put(CERTIFICATE, certificate(&format!("cert_{number:03}"), "active"));
    }
    for number in 0..150 {
        world.put(REQUEST, request(&format!("cert_req_{number:03}"), "pending"));
    }
}

#[tokio::test]
async fn a_baseline_of_350_is_silent_until_it_is_complete() {
    let world = World::new();
    fill(&world);
    let watcher = world.watcher().await;
    assert!(!watcher.status().baseline.complete);
    let report = run(&watcher, PassKind::Sweep).await;
    assert_eq!((report.status, report.pages, report.seen, report.changed), (PassStatus::Complete, 35, 350, 0));
    assert_eq!(world.store.len(), 350);
    let sights = world.store.take_sights();
    assert_eq!(sights.len(), 1, "only the end of the baseline is told");
    let (sight, drafts) = &sights[0];
    assert_eq!(drafts[0].event_type.as_str(), "gateway.baseline_completed");
    let object = sight.object.fields();
    assert_eq!(object["object"], "source");
    assert_eq!(object["counts"], json!({"certificate": 200, "certificate_request": 150}));
    assert!(!sight.livemode);
    assert!(watcher.status().baseline.complete);
    assert_eq!(watcher.status().baseline.seen, 350);
    assert_eq!(world.store.snapshot(CERTIFICATE, "cert_000").expect("stored").object_version, 0);
}

#[tokio::test]
async fn an_emitted_baseline_tells_everything_and_says_so() {
    let mut world = World::new();
    world.settings.baseline = Baseline::Emit;
    world.put(REQUEST, request("cert_req_1", "pending"));
    let watcher = world.watcher().await;
    run(&watcher, PassKind::Sweep).await;
    let sights = world.store.take_sights();
    assert_eq!(sights[0].1[0].event_type.as_str(), "certificate_request.created");
    assert_eq!(sights[0].0.detection.mode, certhook::model::event::Mode::Baseline);
    world.put(REQUEST, request("cert_req_2", "pending"));
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.store.take_sights()[0].0.detection.mode, certhook::model::event::Mode::Live);
}

#[tokio::test]
async fn a_crash_in_the_middle_lists_again_and_tells_what_changed_between_two_sights() {
    let world = World::new();
    fill(&world);
    let began = world.now();
    // The process dies after page 5 of the certificates: 50 are stored.
    let stop = CancellationToken::new();
    let kill = stop.clone();
    world.source.after_page((CERTIFICATE, 5), move |_| kill.cancel());
    let report = world.watcher().await.pass(PassKind::Sweep, &stop).await;
    assert_eq!(report.status, PassStatus::Incomplete);
    assert!(world.store.len() <= 50);
    assert_eq!(world.told(), [""; 0]);

    world.tick(3600);
    world.set_status(CERTIFICATE, "cert_003", "expiring"); // was stored
    world.set_status(CERTIFICATE, "cert_120", "expiring"); // was not
    world.put(CERTIFICATE, certificate("cert_new", "active"));
    let watcher = world.watcher().await;
    assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Failed, "there is no watermark yet");
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    assert_eq!(world.told(), ["cert_003 certificate.expiring", "numeral gateway.baseline_completed"]);
    assert_eq!(world.store.only_progress().baseline_started_at, began);
    assert_eq!(world.store.only_progress().watermark, Some(began), "the first changes pass goes back to the start");
}

#[tokio::test]
async fn what_changed_while_the_baseline_ran_is_told_by_the_first_changes_pass() {
    let world = World::new();
    fill(&world);
    let during = world.now().to_string();
    world.source.after_page((CERTIFICATE, 9), move |book| {
        book.change(CERTIFICATE, "cert_000", |object| {
            object["status"] = json!("invalid");
            object["updated_at"] = json!(during);
        });
    });
    let watcher = world.watcher().await;
    run(&watcher, PassKind::Sweep).await;
    world.told();
    world.tick(30);
    run(&watcher, PassKind::Changes).await;
    assert_eq!(world.told(), ["cert_000 certificate.invalid"]);
}

#[tokio::test]
async fn an_incomplete_baseline_stays_silent_and_is_not_over() {
    let world = World::new();
    fill(&world);
    let watcher = world.watcher().await;
    world.source.break_page((REQUEST, 3), Fault::NoCursor);
    let report = run(&watcher, PassKind::Sweep).await;
    assert_eq!(report.status, PassStatus::Incomplete);
    assert_eq!(
        report.error.as_deref(),
        Some("the listing of certificate_requests is incomplete: page 3 says has_more and gives no next_cursor")
    );
    assert_eq!(world.told(), [""; 0]);
    assert!(!watcher.status().baseline.complete);
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    assert_eq!(world.told(), ["numeral gateway.baseline_completed"]);
}
