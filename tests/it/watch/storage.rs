//! Too little room where the store is: nothing is polled, that is told once, and room alone is enough to go on.

use super::running::Running;
use super::*;

const MIB: u64 = 1 << 20;

/// What was told of a lack of room since the last look: how much was free.
fn shortages(world: &World) -> Vec<u64> {
    let sights = world.store.take_sights();
    let drafts = sights.iter().flat_map(|(_, drafts)| drafts);
    let low = drafts.filter(|draft| draft.event_type.as_str() == "gateway.storage_low");
    low.map(|draft| draft.details.fields()["free_bytes"].as_u64().expect("a number")).collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_polled_while_there_is_too_little_room() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    world.settled().await;
    let running = Running::begin(&world).await;
    running.pass_time(&world, 60).await;
    world.store.has_free(1023 * MIB);
    running.pass_time(&world, 1).await;
    assert_eq!(shortages(&world), [1023 * MIB]);
    world.source.take_selections();
    world.set_status(CERTIFICATE, "cert_1", "expiring");
    running.pass_time(&world, 600).await;
    assert!(world.source.take_selections().is_empty(), "upstream is left alone");
    assert_eq!(shortages(&world), [0; 0], "once");
    let waiting = running.watcher.passes().iter().filter(|pass| pass.status == PassStatus::Waiting).count();
    assert!((1..=PassKind::ALL.len()).contains(&waiting), "at most one of a kind waits: {waiting}");
    world.store.has_free(1024 * MIB);
    running.pass_time(&world, 1).await;
    assert!(world.told().contains(&"cert_1 certificate.expiring".to_owned()), "room is enough to go on");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_lack_of_room_is_told_again_only_after_there_was_ample() {
    let world = World::new();
    world.settled().await;
    let mut running = Running::begin(&world).await;
    for (free, told) in
        [(900, true), (1100, false), (900, false), (1152, false), (900, true), (10, false), (900, false)]
    {
        world.store.has_free(free * MIB);
        running.pass_time(&world, 2).await;
        let wanted: &[u64] = if told { &[free * MIB] } else { &[] };
        assert_eq!(shortages(&world), wanted, "with {free} MiB");
        running.end().await;
        // Another process knows as well what was told.
        running = Running::begin(&world).await;
        running.pass_time(&world, 2).await;
        assert_eq!(shortages(&world), [0; 0], "with {free} MiB, after a start");
    }
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_lack_of_room_that_could_not_be_stored_is_told_as_soon_as_it_can() {
    let world = World::new();
    world.settled().await;
    let running = Running::begin(&world).await;
    world.store.has_free(10 * MIB);
    running.pass_time(&world, 5).await;
    assert_eq!(shortages(&world), [0; 0], "nothing can be stored");
    world.store.has_free(4096 * MIB);
    running.pass_time(&world, 2).await;
    assert_eq!(shortages(&world), [10 * MIB]);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_was_never_read_tells_it_too_and_begins_later() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    world.store.has_free(900 * MIB);
    let running = Running::begin(&world).await;
    running.pass_time(&world, 60).await;
    assert_eq!(shortages(&world), [900 * MIB]);
    assert!(world.source.take_selections().is_empty());
    world.store.has_free(4096 * MIB);
    running.until("the baseline is complete", |watcher| watcher.status().baseline.complete).await;
    running.end().await;
}

#[tokio::test]
async fn a_pass_that_runs_ends_incomplete_when_room_runs_out() {
    let world = World::new();
    for number in 0..250 {
        world.put(CERTIFICATE, certificate(&format!("cert_{number}"), "active"));
    }
    let watcher = world.settled().await;
    world.store.has_free(900 * MIB);
    let report = run(&watcher, PassKind::Sweep).await;
    assert_eq!(report.status, PassStatus::Incomplete);
    assert!(report.error.as_deref().is_some_and(|error| error.contains("room")), "{report:?}");
    assert_eq!(watcher.status().status, certhook::model::source::SourceState::Healthy, "the source did nothing wrong");
    world.store.has_free(4096 * MIB);
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
}
