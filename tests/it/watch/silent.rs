//! An upstream that accepts connections and says nothing: every call takes its time to fail.

use certhook::model::source::SourceState;

use super::running::Running;
use super::*;

/// The longest silence of a call.
const TIME_OUT: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn a_silence_shows_before_it_is_over() {
    let world = World::new();
    let watcher = world.settled().await;
    run(&watcher, PassKind::Changes).await;
    world.source.hang(Some(TIME_OUT));
    let running = Running::begin(&world).await;
    running.pass_time(&world, 9).await;
    assert_eq!(running.watcher.status().status, SourceState::Healthy);
    running.pass_time(&world, 2).await;
    let status = running.watcher.status();
    assert_eq!((status.status, status.lag_seconds), (SourceState::Failing, Some(11)));
    let changes = status.passes.iter().find(|pass| pass.pass == PassKind::Changes).expect("it runs");
    assert_eq!(changes.status, PassStatus::Running);
    let error = changes.error.as_deref().unwrap_or_default();
    assert!(error.starts_with("upstream has not answered for 1"), "{error}");
    world.source.hang(None);
    let is_healthy = |watcher: &Watcher| watcher.status().status == SourceState::Healthy;
    running.until("it is healthy once it is answered", is_healthy).await;
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn three_passes_have_failed_before_it_is_a_gap() {
    let world = World::new();
    let watcher = world.settled().await;
    world.source.hang(Some(TIME_OUT));
    let began = tokio::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Failed);
    }
    assert_eq!(world.told(), ["numeral gateway.source_failing"]);
    assert!(began.elapsed() < Duration::from_secs(300), "ten intervals are five minutes: {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_hiccup_of_half_a_minute_loses_no_listing() {
    let world = World::new();
    let watcher = world.settled().await;
    world.source.hang(Some(TIME_OUT));
    let stop = CancellationToken::new();
    let over = async {
        tokio::time::sleep(TIME_OUT).await;
        world.source.hang(None);
    };
    let (report, ()) = tokio::join!(watcher.pass(PassKind::Sweep, &stop), over);
    assert_eq!(report.status, PassStatus::Complete, "{:?}", report.error);
}
