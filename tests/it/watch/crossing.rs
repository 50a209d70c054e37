//! Answers that cross, and answers that are older than what is known.

use super::*;

#[tokio::test]
async fn a_page_that_was_rendered_before_a_newer_answer_does_not_undo_it() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    // The sweep's page shows the state before. It arrives after the changes pass has told the state after, and all
    // within one millisecond.
    let late = world.source.delay_page((CERTIFICATE, 1));
    let sweep = run(&watcher, PassKind::Sweep);
    let meanwhile = async {
        late.rendered.notified().await;
        world.set_status(CERTIFICATE, "cert_1", "expired");
        run(&watcher, PassKind::Changes).await;
        late.released.notify_one();
    };
    let (report, ()) = tokio::join!(sweep, meanwhile);
    assert_eq!(report.status, PassStatus::Complete);
    assert_eq!(world.told(), ["cert_1 certificate.expired"]);
    assert_eq!(world.store.snapshot(CERTIFICATE, "cert_1").expect("kept").object.fields()["status"], "expired");
}

#[tokio::test]
async fn a_crossing_answer_is_dropped_and_the_resource_asked_for_by_id() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    // The sweep renders B; then A is back, and the changes pass confirms A by a row that it recognises, so that no
    // snapshot remembers it. B must not be told: it was over before A was seen.
    let now = world.now().to_string();
    let original = {
        let mut object = certificate("cert_1", "active");
        object["updated_at"] = json!(now);
        object
    };
    world.put(CERTIFICATE, original.clone());
    run(&watcher, PassKind::Changes).await;
    world.source.edit(|book| book.change(CERTIFICATE, "cert_1", |object| object["status"] = json!("expired")));
    let late = world.source.delay_page((CERTIFICATE, 1));
    let meanwhile = async {
        late.rendered.notified().await;
        world.put(CERTIFICATE, original);
        run(&watcher, PassKind::Changes).await;
        late.released.notify_one();
    };
    let (report, ()) = tokio::join!(run(&watcher, PassKind::Sweep), meanwhile);
    assert_eq!(report.status, PassStatus::Complete);
    assert_eq!(world.source.take_gets(), ["cert_1"]);
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn an_answer_with_an_earlier_updated_at_is_dropped_and_asked_about() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    world.set_status(CERTIFICATE, "cert_1", "expired");
    run(&watcher, PassKind::Changes).await;
    world.told();
    // A replica that lags behind shows the former state.
    world.source.edit(|book| {
        let stale = certificate("cert_1", "active");
        book.put(CERTIFICATE, stale);
    });
    let report = run(&watcher, PassKind::Sweep).await;
    assert_eq!((report.status, report.changed), (PassStatus::Complete, 0));
    assert_eq!(world.source.take_gets(), ["cert_1"]);
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn an_answer_by_id_that_crossed_is_asked_for_again() {
    let world = World::new();
    world.source.drop_status_from_rows();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    world.set_status(CERTIFICATE, "cert_1", "expiring");
    let late = world.source.delay_get("cert_1");
    let meanwhile = async {
        late.rendered.notified().await;
        world.set_status(CERTIFICATE, "cert_1", "expired");
        run(&watcher, PassKind::Changes).await;
        late.released.notify_one();
    };
    let (report, ()) = tokio::join!(run(&watcher, PassKind::Sweep), meanwhile);
    assert_eq!(report.status, PassStatus::Complete);
    assert_eq!(world.told(), ["cert_1 certificate.expired"]);
    assert_eq!(world.source.take_gets(), ["cert_1", "cert_1", "cert_1"]);
}

#[tokio::test]
async fn a_row_that_a_fetch_overtook_is_not_recognised_as_the_state_that_the_fetch_showed() {
    let world = World::new();
    world.source.drop_status_from_rows();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    world.set_status(CERTIFICATE, "cert_1", "expiring");
    let row_of = world.now().to_string();
    world.tick(1);
    let later = world.now().to_string();
    world.source.after_page((CERTIFICATE, 1), move |book| {
        book.change(CERTIFICATE, "cert_1", |object| {
            object["status"] = json!("expired");
            object["updated_at"] = json!(later);
        });
    });
    run(&watcher, PassKind::Changes).await;
    assert_eq!(world.told(), ["cert_1 certificate.expired"]);
    assert_eq!(world.store.snapshot(CERTIFICATE, "cert_1").expect("kept").row_fingerprint, None);
    world.source.take_gets();
    // The former row is back, with its old instant: a lagging replica, and no unchanged row.
    world.source.edit(|book| book.change(CERTIFICATE, "cert_1", |object| object["updated_at"] = json!(row_of)));
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.source.take_gets(), ["cert_1"]);
}

/// Pages show cert_1 from now on, which was `active`, a second time as `expired`.
fn show_twice(world: &World) {
    let now = world.now().to_string();
    world.put(CERTIFICATE, certificate("cert_2", "active"));
    world.source.edit(|book| {
        book.change(CERTIFICATE, "cert_2", |object| {
            object["id"] = json!("cert_1");
            object["status"] = json!("expired");
            object["updated_at"] = json!(now);
        });
    });
}

#[tokio::test]
async fn a_page_that_shows_one_resource_twice_and_not_alike_is_settled_by_id() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    show_twice(&world);
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.source.take_gets(), ["cert_1"]);
}

#[tokio::test]
async fn what_a_page_shows_twice_and_not_alike_is_not_gone_where_its_id_is_not_found() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    show_twice(&world);
    world.source.after_page((CERTIFICATE, 1), |book| {
        book.remove(CERTIFICATE, "cert_1");
        book.remove(CERTIFICATE, "cert_2");
    });
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    assert_eq!(world.told(), [""; 0], "the list has shown it");
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    assert_eq!(world.told(), ["cert_1 certificate.removed"]);
}

#[tokio::test]
async fn a_clock_that_was_ahead_before_a_restart_keeps_nothing_from_being_told() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    world.settled().await;
    // The snapshot is from an instant that will come again in an hour: no request of the present was under way when
    // it was made.
    let clock = Arc::new(ManualClock::at(world.now().minus(Duration::from_secs(3_600))));
    let source = Arc::new(ScriptedSource::new(Arc::clone(&clock)));
    let world = World { source, clock, ..world };
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    world.set_status(CERTIFICATE, "cert_1", "expired");
    let watcher = world.watcher().await;
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    assert_eq!(world.source.take_gets(), [""; 0]);
    let sights = world.store.take_sights();
    assert_eq!(sights[0].1[0].event_type.as_str(), "certificate.expired");
    let detection = &sights[0].0.detection;
    assert!(detection.observed_after <= Some(detection.observed_before), "{detection:?}");
}
