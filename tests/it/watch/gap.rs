//! That no `changes` pass has succeeded for long, which is told once for each time, and that one has again.

use certhook::model::json::Fields;
use certhook::source::SourceError;

use super::running::Running;
use super::*;

const GAP: [&str; 1] = ["numeral gateway.gap"];
const MINUTE: u64 = 60;

fn unavailable() -> SourceError {
    SourceError::Unavailable("503".into())
}

/// What was told of gaps since the last look: when each began, and that it is over.
fn gaps(world: &World) -> Vec<String> {
    let sights = world.store.take_sights();
    let drafts = sights.iter().flat_map(|(_, drafts)| drafts);
    let gaps = drafts.filter(|draft| draft.event_type.as_str() == "gateway.gap").map(|draft| draft.details.fields());
    let since = |gap: &Fields| gap["since"].as_str().expect("an instant").to_owned();
    gaps.map(|gap| if gap["until"].is_null() { since(&gap) } else { over(since(&gap)) }).collect()
}

fn over(since: impl std::fmt::Display) -> String {
    format!("{since} is over")
}

/// A world whose `changes` pass has just been complete, and in which nothing is answered from now on.
async fn broken(trouble: SourceError) -> (World, Timestamp) {
    let world = World::new();
    let watcher = world.settled().await;
    run(&watcher, PassKind::Changes).await;
    world.source.break_always(Some(trouble));
    let since = world.now();
    (world, since)
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_told_once_after_ten_intervals() {
    let unauthorized = SourceError::Unauthorized { status: 401, kind: "UNAUTHORIZED".into(), message: "no".into() };
    for trouble in [unavailable(), unauthorized] {
        let (world, since) = broken(trouble).await;
        let running = Running::begin(&world).await;
        running.pass_time(&world, 5 * MINUTE - 1).await;
        assert_eq!(gaps(&world), [""; 0], "nine intervals, and most of the tenth");
        running.pass_time(&world, MINUTE).await;
        assert_eq!(gaps(&world), [since.to_string()]);
        running.pass_time(&world, 60 * MINUTE).await;
        assert_eq!(gaps(&world), [""; 0], "once");
        running.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_complete_changes_pass_ends_a_gap() {
    let (mut world, since) = broken(unavailable()).await;
    // So that nothing but what this test asks for runs.
    world.settings.open = Schedule::Every(Duration::from_secs(86_400));
    let running = Running::begin(&world).await;
    running.pass_time(&world, 6 * MINUTE).await;
    assert_eq!(gaps(&world), [since.to_string()]);
    running.end().await;
    world.source.break_always(None);
    let watcher = world.watcher().await;
    for pass in [PassKind::Open, PassKind::Sweep] {
        assert_eq!(run(&watcher, pass).await.status, PassStatus::Complete);
    }
    world.source.break_page((REQUEST, 1), Fault::NoCursor);
    assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Incomplete);
    assert!(world.store.only_progress().gap_since.is_some());
    assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Complete);
    assert_eq!(world.store.only_progress().gap_since, None);
    let again = world.now();
    world.source.break_always(Some(unavailable()));
    let running = Running::begin(&world).await;
    running.pass_time(&world, 6 * MINUTE).await;
    assert_eq!(gaps(&world), [over(since), again.to_string()], "another one");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_does_not_tell_a_gap_again() {
    let (world, since) = broken(unavailable()).await;
    for expected in [vec![since.to_string()], Vec::new()] {
        let running = Running::begin(&world).await;
        running.pass_time(&world, 6 * MINUTE).await;
        assert_eq!(gaps(&world), expected);
        running.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_while_no_process_ran_is_told_by_the_next_one() {
    let world = World::new();
    let watcher = world.settled().await;
    run(&watcher, PassKind::Changes).await;
    let since = world.now();
    world.tick(60 * MINUTE);
    let running = Running::begin(&world).await;
    running.pass_time(&world, MINUTE).await;
    assert_eq!(gaps(&world), [since.to_string(), over(since)]);
    assert_eq!(world.store.only_progress().gap_since, None);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_a_gap_while_passes_succeed_or_the_baseline_runs() {
    let world = World::new();
    world.source.break_always(Some(unavailable()));
    let running = Running::begin(&world).await;
    running.pass_time(&world, 20 * MINUTE).await;
    assert_eq!(gaps(&world), [""; 0], "there is no baseline yet");
    world.source.break_always(None);
    running.pass_time(&world, 20 * MINUTE).await;
    assert!(running.watcher.status().baseline.complete);
    assert_eq!(gaps(&world), [""; 0]);
    running.end().await;
}

/// Ticks of a cron expression are real seconds.
#[tokio::test]
async fn a_gap_by_cron_is_told_once_after_ten_ticks() {
    let mut world = World::new();
    world.settled().await;
    world.settings.changes = Schedule::Cron("* * * * * *".into());
    // Each pass ends at once, and begins with its tick.
    let refused = SourceError::Refused { status: 400, kind: "INVALID_REQUEST".into(), message: "no".into() };
    world.source.break_always(Some(refused));
    let running = Running::begin(&world).await;
    let began = tokio::time::Instant::now();
    let failed = |watcher: &Watcher| {
        let passes = watcher.passes();
        let is_failed = |pass: &&PassReport| (pass.pass, pass.status) == (PassKind::Changes, PassStatus::Failed);
        passes.iter().filter(is_failed).count()
    };
    running.until("a gap is told", |_| world.store.only_progress().gap_since.is_some()).await;
    assert!(began.elapsed() >= Duration::from_secs(9), "{:?}", began.elapsed());
    let so_far = failed(&running.watcher);
    running.until("two more passes failed", |watcher| failed(watcher) >= so_far + 2).await;
    let told: Vec<String> = world.told().into_iter().filter(|told| *told == GAP[0]).collect();
    assert_eq!(told, GAP);
    running.end().await;
}
