//! Passes of different kinds share a source page by page, the more urgent first.

use std::collections::BTreeSet;

use certhook::source::Urgency;

use super::*;

#[tokio::test]
async fn every_call_of_a_pass_is_as_urgent_as_the_pass() {
    let world = World::new();
    for id in ["cert_1", "cert_2", "cert_3"] {
        world.put(CERTIFICATE, certificate(id, "active"));
    }
    world.put(REQUEST, request("cert_req_1", "pending"));
    world.put(REQUEST, request("cert_req_2", "pending"));
    let watcher = world.settled().await;
    world.source.take_urgencies();
    // Each pass has something to ask for by id.
    world.source.edit(|book| book.archive("cert_3"));
    world.set_status(REQUEST, "cert_req_1", "fulfilled");
    world.source.edit(|book| {
        book.change(REQUEST, "cert_req_1", |object| object["certificate_id"] = json!("cert_hidden"));
        book.archive("cert_req_2");
    });
    world.tick(60 * 86_400);
    for (pass, urgency) in [
        (PassKind::Changes, Urgency::Changes),
        (PassKind::Open, Urgency::Open),
        (PassKind::Deadline, Urgency::Deadline),
        (PassKind::Sweep, Urgency::Sweep),
    ] {
        assert_eq!(run(&watcher, pass).await.status, PassStatus::Complete);
        assert!(!world.source.take_gets().is_empty(), "{pass:?} asks by id");
        let urgencies: BTreeSet<Urgency> = world.source.take_urgencies().into_iter().collect();
        assert_eq!(urgencies, BTreeSet::from([urgency]), "{pass:?}");
    }
}

#[tokio::test]
async fn nobody_waits_for_a_document_as_for_a_date() {
    let world = World::new();
    let mut undocumented = certificate("cert_1", "processing");
    undocumented["download_url"] = Value::Null;
    undocumented["jurisdictions"] = json!([]);
    world.put(CERTIFICATE, undocumented);
    world.put(CERTIFICATE, certificate("cert_2", "active"));
    let watcher = world.settled().await;
    world.tick(60 * 86_400);
    world.source.take_urgencies();
    run(&watcher, PassKind::Deadline).await;
    assert_eq!(world.source.take_gets(), ["cert_2", "cert_1"]);
    assert_eq!(world.source.take_urgencies(), [Urgency::Deadline, Urgency::Sweep]);
}

#[tokio::test]
async fn a_long_sweep_delays_a_changes_pass_by_no_more_than_a_page() {
    let world = World::new();
    for number in 0..95 {
        world.put(CERTIFICATE, certificate(&format!("cert_{number:02}"), "active"));
    }
    let watcher = world.settled().await;
    let late = world.source.delay_page((CERTIFICATE, 2));
    let meanwhile = async {
        late.rendered.notified().await;
        world.set_status(CERTIFICATE, "cert_94", "expired");
        // While the sweep waits for its second page, the pass begins, tells and ends.
        assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Complete);
        assert_eq!(world.told(), ["cert_94 certificate.expired"]);
        late.released.notify_one();
    };
    let (report, ()) = tokio::join!(run(&watcher, PassKind::Sweep), meanwhile);
    assert_eq!((report.status, report.pages, report.changed), (PassStatus::Complete, 11, 0));
}

#[tokio::test]
async fn passes_of_one_kind_never_overlap() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    let late = world.source.delay_page((CERTIFICATE, 1));
    let second = async {
        late.rendered.notified().await;
        world.source.take_selections();
        let second = run(&watcher, PassKind::Sweep);
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!(world.source.take_selections().len(), 0, "it has not asked for anything yet");
        late.released.notify_one();
        second.await.status
    };
    let (first, second) = tokio::join!(run(&watcher, PassKind::Sweep), second);
    assert_eq!((first.status, second), (PassStatus::Complete, PassStatus::Complete));
}
