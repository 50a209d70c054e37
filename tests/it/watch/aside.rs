//! Resources that are not answered for by id, while the lists are: they hold nothing else up, and are not lost.

use certhook::source::SourceError;

use super::*;

fn unavailable() -> SourceError {
    SourceError::Unavailable("upstream answers 500".into())
}

/// Five that become active without a status in their row, and one, `cert_9`, whose row says all.
async fn world() -> (World, Arc<Watcher>) {
    let world = World::new();
    world.source.set_page_size(2);
    for number in (0..5).chain([9]) {
        world.put(CERTIFICATE, certificate(&format!("cert_{number}"), "processing"));
    }
    let watcher = world.settled().await;
    world.source.drop_status_from_rows();
    for number in (0..5).chain([9]) {
        world.set_status(CERTIFICATE, &format!("cert_{number}"), "active");
    }
    (world, watcher)
}

#[tokio::test(start_paused = true)]
async fn ids_that_are_not_answered_for_good_hold_up_the_others_for_seconds() {
    let (world, watcher) = world().await;
    for number in 0..5 {
        (0..100).for_each(|_| world.source.break_get(&format!("cert_{number}"), unavailable()));
    }
    for _ in 0..3 {
        let began = tokio::time::Instant::now();
        let report = run(&watcher, PassKind::Changes).await;
        assert_eq!(report.status, PassStatus::Incomplete);
        let error = report.error.expect("it says why");
        assert!(error.starts_with("certificate cert_") && error.ends_with("upstream answers 500"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
    }
    let told = world.told();
    assert_eq!(told[..2], ["cert_9 certificate.processing_completed", "cert_9 certificate.active"]);
    assert_eq!(told[2..], ["numeral gateway.source_failing"], "three passes were not complete");
    world.source.forget_faults();
    assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Complete);
    let told = world.told();
    assert_eq!(told.iter().filter(|told| told.starts_with("cert_")).count(), 10, "nothing of the others is lost");
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_at_the_end_of_the_pass_is_as_good_as_at_once() {
    let (world, watcher) = world().await;
    for number in 0..5 {
        (0..2).for_each(|_| world.source.break_get(&format!("cert_{number}"), unavailable()));
    }
    assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Complete);
    assert_eq!(world.told().len(), 12);
}
