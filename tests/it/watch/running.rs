//! The loop: schedules, the queue, trouble, and the end. Time stands still and jumps to the next timer.

use certhook::model::source::SourceState;
use certhook::source::SourceError;
use tokio::task::JoinHandle;

use super::*;

/// A watcher that runs, until it is told to stop.
pub(super) struct Running {
    pub(super) watcher: Arc<Watcher>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    #[expect(clippy::disallowed_methods, reason = "the test waits for it in `end`")]
    pub(super) async fn begin(world: &World) -> Self {
        let (watcher, stop) = (world.watcher().await, CancellationToken::new());
        let task = tokio::spawn(Arc::clone(&watcher).run(stop.clone()));
        Self { watcher, stop, task }
    }

    /// Lets timers fire until something holds; the time stands still otherwise.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Watcher) -> bool) {
        for _ in 0..100_000 {
            if holds(&self.watcher) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it never came to pass that {what}");
    }

    /// Lets seconds pass, for the clock and the timers alike.
    pub(super) async fn pass_time(&self, world: &World, seconds: u64) {
        for _ in 0..seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            world.tick(1);
        }
    }

    pub(super) async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("the loop ends by itself");
    }
}

fn passes_of(watcher: &Watcher, kind: PassKind, status: PassStatus) -> usize {
    watcher.passes().iter().filter(|report| report.pass == kind && report.status == status).count()
}

fn unauthorized() -> SourceError {
    SourceError::Unauthorized { status: 401, kind: "UNAUTHORIZED".into(), message: "no".into() }
}

#[tokio::test(start_paused = true)]
async fn it_begins_with_the_baseline_and_goes_on_by_its_interval() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let running = Running::begin(&world).await;
    let began = tokio::time::Instant::now();
    running
        .until("five changes passes ran", |watcher| passes_of(watcher, PassKind::Changes, PassStatus::Complete) >= 5)
        .await;
    assert!((119..=122).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(passes_of(&running.watcher, PassKind::Sweep, PassStatus::Complete), 1);
    assert_eq!(running.watcher.status().passes.len(), PassKind::ALL.len());
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_poll_joins_the_pass_that_waits() {
    let world = World::new();
    let watcher = world.watcher().await;
    let first = watcher.poll(PassKind::Sweep);
    assert_eq!(first.status, PassStatus::Waiting);
    assert!(first.id.starts_with("pass_"));
    assert_eq!(watcher.poll(PassKind::Sweep).id, first.id);
    assert_ne!(watcher.poll(PassKind::Changes).id, first.id);
}

#[tokio::test(start_paused = true)]
async fn trouble_shows_while_a_pass_is_still_trying() {
    let world = World::new();
    let watcher = world.settled().await;
    world.source.break_always(Some(SourceError::Unavailable("500".into())));
    let stop = CancellationToken::new();
    let shown = async {
        loop {
            let status = watcher.status();
            if status.status == SourceState::Failing {
                break status;
            }
            tokio::task::yield_now().await;
        }
    };
    let status = tokio::select! {
        status = shown => status,
        _ = watcher.pass(PassKind::Changes, &stop) => panic!("the pass gave up before it told"),
    };
    let running = status.passes.iter().find(|pass| pass.status == PassStatus::Running).expect("the pass");
    assert_eq!(running.error.as_deref(), Some("upstream is in trouble: 500"));
    world.source.break_always(None);
    watcher.pass(PassKind::Changes, &stop).await;
    assert_eq!(watcher.status().status, SourceState::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_stops_polling_until_a_probe_is_accepted() {
    let world = World::new();
    world.settled().await;
    world.source.break_always(Some(unauthorized()));
    let running = Running::begin(&world).await;
    running.until("the source is unauthorized", |watcher| watcher.status().status == SourceState::Unauthorized).await;
    world.source.take_selections();
    tokio::time::sleep(Duration::from_secs(3601)).await;
    assert_eq!(world.source.take_selections().len(), 12, "one probe every five minutes and nothing else");
    world.source.break_always(None);
    running.until("it is healthy again", |watcher| watcher.status().status == SourceState::Healthy).await;
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_look_does_not_wait_for_the_next_probe() {
    let world = World::new();
    world.settled().await;
    world.source.break_always(Some(unauthorized()));
    let running = Running::begin(&world).await;
    running.until("the source is unauthorized", |watcher| watcher.status().status == SourceState::Unauthorized).await;
    world.source.break_always(None);
    let began = tokio::time::Instant::now();
    running.watcher.look_now(PassKind::Changes);
    running.until("it is healthy again", |watcher| watcher.status().status == SourceState::Healthy).await;
    assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_asks_for_a_pause_gets_it_and_the_pass_goes_on() {
    let world = World::new();
    let watcher = world.settled().await;
    let retry_after = Duration::from_secs(90);
    world.source.break_page((REQUEST, 1), Fault::Error(SourceError::Throttled { retry_after }));
    let began = tokio::time::Instant::now();
    assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Complete);
    assert_eq!(began.elapsed().as_secs(), 90);
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_a_pass_and_not_the_gateway() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    world.settled().await;
    world.source.break_always(Some(SourceError::Unavailable("connection refused".into())));
    let running = Running::begin(&world).await;
    running
        .until("three passes failed", |watcher| passes_of(watcher, PassKind::Changes, PassStatus::Failed) >= 3)
        .await;
    assert_eq!(running.watcher.status().status, SourceState::Failing);
    world.source.break_always(None);
    world.set_status(CERTIFICATE, "cert_1", "expired");
    running.until("a pass is complete", |watcher| watcher.status().status == SourceState::Healthy).await;
    let told = ["numeral gateway.source_failing", "cert_1 certificate.expired", "numeral gateway.source_recovered"];
    assert_eq!(world.told(), told);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_look_does_not_wait_for_the_end_of_a_backoff() {
    let mut world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    world.settled().await;
    // Both kinds fail together, and neither is due again for a day but by what is asked for.
    world.settings.changes = Schedule::Every(Duration::from_secs(86_400));
    world.source.break_always(Some(SourceError::Unavailable("connection refused".into())));
    let running = Running::begin(&world).await;
    for failed in 1..=8 {
        running.watcher.look_now(PassKind::Changes);
        let what = "a pass failed";
        let fails = |watcher: &Watcher| passes_of(watcher, PassKind::Changes, PassStatus::Failed) >= failed;
        running.until(what, fails).await;
    }
    world.source.break_always(None);
    let began = tokio::time::Instant::now();
    running.watcher.look_now(PassKind::Changes);
    let is_complete = |watcher: &Watcher| passes_of(watcher, PassKind::Changes, PassStatus::Complete) == 1;
    running.until("a pass is complete", is_complete).await;
    assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_baseline_that_broke_off_is_tried_again_soon() {
    let mut world = World::new();
    world.settings.sweep = Schedule::Cron("0 15 3 1 1 *".into());
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    world.source.break_page((CERTIFICATE, 1), Fault::NoCursor);
    world.source.break_page((CERTIFICATE, 1), Fault::NoCursor);
    let running = Running::begin(&world).await;
    running.until("the baseline is complete", |watcher| watcher.status().baseline.complete).await;
    assert_eq!(passes_of(&running.watcher, PassKind::Sweep, PassStatus::Incomplete), 2);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn it_stops_in_the_middle_of_a_wait() {
    let world = World::new();
    let late = world.source.delay_page((CERTIFICATE, 1));
    let running = Running::begin(&world).await;
    late.rendered.notified().await;
    let watcher = Arc::clone(&running.watcher);
    running.end().await;
    assert_eq!(passes_of(&watcher, PassKind::Sweep, PassStatus::Incomplete), 1);
    assert_eq!(watcher.status().status, SourceState::Healthy, "a stop is no failure");
}

#[tokio::test]
async fn a_cron_expression_makes_passes_due() {
    let mut world = World::new();
    world.settings.sweep = Schedule::Cron("* * * * * *".into());
    let running = Running::begin(&world).await;
    running
        .until("the baseline and one sweep more ran", |watcher| {
            passes_of(watcher, PassKind::Sweep, PassStatus::Complete) >= 2
        })
        .await;
    running.end().await;
}

fn over() -> Timestamp {
    "2027-01-02T00:00:00Z".parse().expect("when the dates of these certificates are over")
}

/// Upstream's clock moves them on, without a trace in `updated_at`.
fn expire(world: &World, count: u64) {
    for number in 0..count {
        world.source.edit(|book| {
            book.change(CERTIFICATE, &format!("cert_{number:03}"), |object| object["status"] = json!("expired"));
        });
    }
}

/// So many active certificates, known, two minutes before their date is over.
async fn about_to_expire(world: &World, count: u64) {
    world.source.set_page_size(100);
    (0..count).for_each(|number| world.put(CERTIFICATE, certificate(&format!("cert_{number:03}"), "active")));
    world.settled().await;
    world.wait_until(over().minus(Duration::from_secs(120)));
}

#[tokio::test(start_paused = true)]
async fn a_date_that_passes_is_asked_about_when_it_does_and_a_look_that_failed_a_minute_later() {
    let world = World::new();
    about_to_expire(&world, 3).await;
    let running = Running::begin(&world).await;
    running.pass_time(&world, 119).await;
    expire(&world, 3);
    assert_eq!(world.source.take_gets(), [""; 0]);
    // A pass tries twice and goes on to the third; the next one comes a minute later.
    (0..2).for_each(|_| world.source.break_get("cert_001", SourceError::Unavailable("503".into())));
    world.told();
    let mut told = Vec::new();
    while told.len() < 2 {
        running.pass_time(&world, 1).await;
        told.extend(world.told());
    }
    assert_eq!(told, ["cert_000 certificate.expired", "cert_002 certificate.expired"]);
    running.pass_time(&world, 55).await;
    assert_eq!(world.told(), [""; 0]);
    running.pass_time(&world, 40).await;
    assert_eq!(world.told(), ["cert_001 certificate.expired"]);
    assert_eq!(world.source.take_gets().iter().filter(|id| *id == "cert_001").count(), 3);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn more_than_100_dates_at_once_are_found_by_a_sweep_at_once() {
    let world = World::new();
    // A hundred are told by the page that shows that lists tell.
    about_to_expire(&world, 201).await;
    let running = Running::begin(&world).await;
    running.pass_time(&world, 119).await;
    expire(&world, 201);
    world.told();
    running.pass_time(&world, 60).await;
    assert_eq!((world.told().len(), world.source.take_gets().len()), (201, 0));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn more_than_100_dates_at_once_are_all_told_where_rows_do_not_show_a_status() {
    let world = World::new();
    world.source.drop_status_from_rows();
    about_to_expire(&world, 1_250).await;
    let running = Running::begin(&world).await;
    running.pass_time(&world, 119).await;
    expire(&world, 1_250);
    world.told();
    running.pass_time(&world, 60).await;
    let told = world.told();
    assert_eq!((told.len(), world.source.take_gets().len()), (1_250, 1_250));
    assert!(told.iter().all(|event| event.ends_with(" certificate.expired")));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_document_is_looked_for_when_its_time_has_come() {
    let world = World::new();
    let mut object = certificate("cert_1", "processing");
    object["download_url"] = Value::Null;
    world.put(CERTIFICATE, object);
    let running = Running::begin(&world).await;
    running.pass_time(&world, 290).await;
    assert_eq!(world.source.take_gets(), ["cert_1"], "at first sight");
    running.pass_time(&world, 60).await;
    assert_eq!(world.source.take_gets(), ["cert_1"], "after five minutes");
    running.pass_time(&world, 600).await;
    assert_eq!(world.source.take_gets(), [""; 0]);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_decision_is_carried_out_at_once_and_what_could_not_be_told_after_the_next_sweep() {
    let world = World::new();
    (0..30).for_each(|number| world.put(CERTIFICATE, certificate(&format!("cert_{number:03}"), "active")));
    let watcher = world.settled().await;
    (0..12).for_each(|number| world.remove(CERTIFICATE, &format!("cert_{number:03}")));
    run(&watcher, PassKind::Sweep).await;
    drop(watcher);
    let running = Running::begin(&world).await;
    running.pass_time(&world, 10).await;
    world.told();
    let refused = SourceError::Refused { status: 400, kind: "INVALID_REQUEST".into(), message: "no".into() };
    world.source.break_get("cert_003", refused);
    let decided = running.watcher.decide(certhook::model::source::RemovalDecision::Confirm, None).await;
    assert_eq!(decided.expect("decided"), 12);
    running.pass_time(&world, 5).await;
    assert_eq!(world.told().len(), 11);
    running.watcher.poll(PassKind::Sweep);
    running.pass_time(&world, 5).await;
    assert_eq!(world.told(), ["cert_003 certificate.removed"]);
    running.end().await;
}
