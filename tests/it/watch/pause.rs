//! A source that is left alone because somebody wants that.

use certhook::detect::agenda::Policy;
use certhook::model::source::SourceState;
use certhook::source::Urgency;
use certhook::watch::Paused;

use super::running::Running;
use super::*;

const MINUTE: u64 = 60;

/// A world with one certificate, whose `changes` pass has just been complete.
async fn watched() -> World {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    run(&watcher, PassKind::Changes).await;
    world.source.take_selections();
    world
}

async fn pause(running: &Running) {
    running.watcher.pause().await.expect("it is stored");
}

async fn resume(running: &Running) {
    running.watcher.resume().await.expect("it is stored");
}

/// What upstream was asked for since the last look, and what was told.
fn nothing_happened(world: &World) -> bool {
    world.source.take_selections().is_empty() && world.told().is_empty()
}

#[tokio::test(start_paused = true)]
async fn a_paused_source_is_left_alone_until_it_is_resumed() {
    let world = watched().await;
    let since = world.now();
    let running = Running::begin(&world).await;
    running.until("the first passes are over", |watcher| !watcher.passes().iter().any(is_under_way)).await;
    world.source.take_selections();
    pause(&running).await;
    assert_eq!(running.watcher.status().status, SourceState::Paused);
    assert_eq!(running.watcher.paused(), Some(Paused::Source));
    world.set_status(CERTIFICATE, "cert_1", "expiring");
    running.pass_time(&world, 60 * MINUTE).await;
    assert!(nothing_happened(&world), "no pass, and no gap");
    assert_eq!(running.watcher.status().lag_seconds, Some(60 * MINUTE), "which says how old everything is");
    let waiting = running.watcher.passes().iter().filter(|pass| pass.status == PassStatus::Waiting).count();
    assert!((1..=PassKind::ALL.len()).contains(&waiting), "at most one of a kind waits: {waiting}");
    pause(&running).await;
    resume(&running).await;
    assert_eq!(running.watcher.paused(), None);
    running.pass_time(&world, 1).await;
    assert_eq!(world.told(), ["numeral gateway.gap", "cert_1 certificate.expiring", "numeral gateway.gap"]);
    let progress = world.store.only_progress();
    assert_eq!((progress.gap_since, progress.paused_at), (None, None), "{since}");
    assert_eq!(running.watcher.status().status, SourceState::Healthy);
    running.end().await;
}

fn is_under_way(report: &PassReport) -> bool {
    matches!(report.status, PassStatus::Waiting | PassStatus::Running)
}

#[tokio::test(start_paused = true)]
async fn a_gap_after_a_pause_is_told_once_and_only_if_it_was_long_enough() {
    for (seconds, told) in [(5 * MINUTE - 2, false), (5 * MINUTE + 1, true)] {
        let world = watched().await;
        let since = world.now();
        let running = Running::begin(&world).await;
        running.until("the first passes are over", |watcher| !watcher.passes().iter().any(is_under_way)).await;
        pause(&running).await;
        running.pass_time(&world, seconds).await;
        world.store.take_sights();
        world.source.break_always(Some(certhook::source::SourceError::Unavailable("503".into())));
        for _ in 0..3 {
            resume(&running).await;
        }
        let sights = world.store.take_sights();
        let drafts: Vec<_> = sights.iter().flat_map(|(_, drafts)| drafts).collect();
        let gaps: Vec<_> = drafts.iter().map(|draft| draft.details.fields()["since"].clone()).collect();
        assert_eq!(gaps, if told { vec![json!(since.to_string())] } else { Vec::new() }, "after {seconds} s");
        let status = sights.first().map(|(sight, _)| sight.object.fields()["status"].clone());
        assert_eq!(status, told.then(|| json!("healthy")), "it is paused no more");
        running.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_outlives_restarts() {
    let world = watched().await;
    world.watcher().await.pause().await.expect("it is stored");
    for _ in 0..2 {
        let running = Running::begin(&world).await;
        running.pass_time(&world, 10 * MINUTE).await;
        assert_eq!(running.watcher.status().status, SourceState::Paused);
        assert!(nothing_happened(&world));
        running.end().await;
    }
    let running = Running::begin(&world).await;
    resume(&running).await;
    running.pass_time(&world, 1).await;
    assert_eq!(world.told(), ["numeral gateway.gap"; 2], "that there was one, and that it is over");
    assert!(!world.source.take_selections().is_empty());
    running.end().await;
    assert_eq!(world.watcher().await.paused(), None);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_was_never_read_can_be_paused_too() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    world.watcher().await.pause().await.expect("it is stored");
    let running = Running::begin(&world).await;
    running.pass_time(&world, 10 * MINUTE).await;
    assert!(nothing_happened(&world));
    resume(&running).await;
    running.until("the baseline is complete", |watcher| watcher.status().baseline.complete).await;
    assert_eq!(world.told(), ["numeral gateway.baseline_completed"]);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_pass_under_way_ends_at_the_pause_and_is_made_up_for() {
    let mut world = watched().await;
    world.settings.sweep = Schedule::Cron("0 15 3 1 1 *".into());
    let running = Running::begin(&world).await;
    running.until("the first passes are over", |watcher| !watcher.passes().iter().any(is_under_way)).await;
    let late = world.source.delay_page((CERTIFICATE, 1));
    let sweep = running.watcher.poll(PassKind::Sweep);
    late.rendered.notified().await;
    pause(&running).await;
    let report = |watcher: &Watcher| watcher.passes().into_iter().find(|pass| pass.id == sweep.id).expect("a pass");
    running.until("it ends", |watcher| report(watcher).status == PassStatus::Incomplete).await;
    assert_eq!(report(&running.watcher).error.as_deref(), Some("the source was paused"));
    running.pass_time(&world, 10).await;
    resume(&running).await;
    let sweeps = |watcher: &Watcher| {
        let passes = watcher.passes().into_iter();
        passes.filter(|pass| (pass.pass, pass.status) == (PassKind::Sweep, PassStatus::Complete)).count()
    };
    running.until("another sweep is complete", |watcher| sweeps(watcher) == 1).await;
    assert_eq!(running.watcher.status().status, SourceState::Healthy, "it did nothing wrong");
    assert_eq!(world.told(), [""; 0]);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn reminders_and_calls_of_people_go_on() {
    let mut world = World::new();
    world.settings.dates = Policy { will_expire: vec![30], ..Policy::default() };
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    world.settled().await;
    world.wait_until("2026-12-02T08:59:50Z".parse().expect("an instant"));
    world.watcher().await.pause().await.expect("it is stored");
    world.source.take_urgencies();
    let running = Running::begin(&world).await;
    running.pass_time(&world, 5 * MINUTE).await;
    assert_eq!(world.told(), ["cert_1 certificate.will_expire"]);
    assert_eq!(world.source.take_urgencies(), []);
    world.set_status(CERTIFICATE, "cert_1", "invalid");
    let looked = running.watcher.refresh(CERTIFICATE, "cert_1".parse().expect("an id"), "req_1".into()).await;
    assert!(looked.expect("an answer").is_some());
    assert_eq!(world.told(), ["cert_1 certificate.invalid"]);
    assert_eq!(world.source.take_urgencies(), [Urgency::Api]);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_looks_at_nothing_leaves_no_trace_of_that() {
    let world = watched().await;
    let held = world.watcher().await;
    held.hold();
    let stop = CancellationToken::new();
    let run = Arc::clone(&held).run(stop.clone());
    let look = async {
        tokio::time::sleep(Duration::from_secs(10 * MINUTE)).await;
        assert_eq!((held.paused(), held.status().status), (Some(Paused::Process), SourceState::Paused));
        held.pause().await.expect("it is stored");
        held.resume().await.expect("it is stored");
        assert_eq!(held.paused(), Some(Paused::Process), "only another start ends that");
        stop.cancel();
    };
    tokio::join!(run, look);
    assert!(nothing_happened(&world));
    let running = Running::begin(&world).await;
    running.pass_time(&world, 1).await;
    assert!(!world.source.take_selections().is_empty());
    running.end().await;
}
