//! Plays a case: a source, a store, a clock, and processes that come and go between them.

use std::sync::Arc;
use std::time::Duration;

use certhook::clock::{Clock, ManualClock};
use certhook::detect::agenda::Policy;
use certhook::model::resource::ResourceId;
use certhook::model::source::{PassKind, PassReport, RemovalDecision};
use certhook::model::time::Timestamp;
use certhook::source::SourceError;
use certhook::watch::{Baseline, Description, RemovalGuard, Schedule, Settings, Watcher};
use futures_util::future::join_all;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use super::record::{Played, Record};
use super::steps::{Case, MEMO, Mishap, Step, World};
use super::upstream::{alter, nightly};
use crate::support::scripted_source::ScriptedSource;
use crate::support::scripted_source::book::Book;
use crate::support::scripted_source::calls::{Fault, Incident};

/// So many sweeps are enough to find all that happened.
const SWEEPS_MAX: usize = 5;

/// One run of one pass.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) kind: PassKind,
    pub(super) began: u64,
    pub(super) ended: u64,
    /// How it ended; `None`: the process was killed.
    pub(super) report: Option<PassReport>,
    /// What our clock and upstream's showed when it began.
    pub(super) clocks: [Timestamp; 2],
    /// Whether no other pass ran beside it, and nothing happened meanwhile.
    pub(super) is_undisturbed: bool,
    /// Whether the gateway was told to stop meanwhile.
    pub(super) is_cut: bool,
}

/// What somebody decided about withheld removals.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    pub(super) at: u64,
    pub(super) decision: RemovalDecision,
}

/// How many days ahead of dates there are reminders from a moment on.
#[derive(Clone, Debug)]
pub(super) struct Reminding {
    pub(super) at: u64,
    /// What our clock showed then.
    pub(super) since: Timestamp,
    pub(super) will_expire: Vec<u16>,
}

/// Where a case is played.
pub(super) struct Scene {
    world: World,
    source: Arc<ScriptedSource>,
    ledger: Arc<Ledger>,
    clock: Arc<ManualClock>,
    settings: Settings,
    watcher: Arc<Watcher>,
    looks: Vec<Look>,
    decided: Vec<Decided>,
    policies: Vec<Reminding>,
    /// When processes began whose clock was not the last one's.
    leaps: Vec<u64>,
}

fn settings(world: &World) -> Settings {
    let (count, share) = world.guard;
    let dates = Policy {
        will_expire: world.will_expire.clone(),
        remind_at: jiff::civil::time(9, 0, 0, 0),
        timezone: TimeZone::get(world.zone).expect("a time zone"),
    };
    Settings {
        changes: Schedule::Every(Duration::from_secs(30)),
        overlap: Duration::from_secs(300),
        open: Schedule::Every(Duration::from_secs(300)),
        sweep: Schedule::Every(Duration::from_secs(86_400)),
        removal_guard: RemovalGuard { count, share },
        dates,
        baseline: if world.baseline_is_told { Baseline::Emit } else { Baseline::Silent },
        ignore_fields: Vec::new(),
    }
}

impl Scene {
    async fn new(world: &World) -> Self {
        let clock = Arc::new(ManualClock::at("2026-11-21T04:30:00.250Z".parse().expect("an instant")));
        let source = Arc::new(ScriptedSource::new(Arc::clone(&clock)));
        source.set_ahead_ms(world.ahead * 1_000);
        source.set_rules(|rules| {
            rules.page_size = world.page_size;
            rules.is_descending = world.is_descending;
            rules.bounds_are_exclusive = world.bounds_are_exclusive;
            rules.lost_cursor = world.lost_cursor;
            rules.rows_lack_status = world.rows_lack_status;
            rules.rows_lack = Some(MEMO).filter(|_| world.rows_lack_memo[0]);
            rules.entries_lack = Some(MEMO).filter(|_| world.rows_lack_memo[1]);
            rules.rows_in_whole_seconds = world.rows_in_whole_seconds;
            rules.answers_omit_nulls = world.answers_omit_nulls;
            rules.tells_time = world.tells_time;
        });
        let ledger = Arc::new(Ledger::new(source.moments()));
        let settings = settings(world);
        let watcher = open(&source, &ledger, &clock, &settings).await;
        let first = Reminding { at: 0, since: Timestamp::EPOCH, will_expire: world.will_expire.clone() };
        let (looks, decided, policies, leaps) = (Vec::new(), Vec::new(), vec![first], Vec::new());
        Self { world: world.clone(), source, ledger, clock, settings, watcher, looks, decided, policies, leaps }
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Change(change) => {
                let now = self.source.upstream_now();
                self.source.edit(|book| alter(book, change, &self.world, now));
            }
            Step::Tick(seconds) => self.tick(*seconds),
            Step::Nightly => {
                let now = self.source.upstream_now();
                self.source.edit(|book| nightly(book, &self.world, now));
            }
            Step::Look(kinds, mishaps) => self.look(kinds, mishaps).await,
            Step::Restart(offset, will_expire) => self.restart(*offset, will_expire.as_deref()).await,
            Step::Decide(confirms) => {
                let decision = if *confirms { RemovalDecision::Confirm } else { RemovalDecision::Keep };
                self.decide(decision, None).await;
            }
        }
    }

    fn tick(&self, seconds: u32) {
        self.clock.advance(Duration::from_secs(seconds.into()));
    }

    /// The process ends, and another one begins.
    async fn restart(&mut self, offset: i32, will_expire: Option<&[u16]>) {
        if offset != 0 {
            let now = Timestamp::from_millis(self.clock.now().as_millis() + i64::from(offset) * 1_000);
            self.clock = Arc::new(ManualClock::at(now));
            self.source.set_clock(Arc::clone(&self.clock));
            self.leaps.push(self.source.moments().next());
        }
        if let Some(will_expire) = will_expire {
            self.settings.dates.will_expire = will_expire.to_vec();
            let (at, since) = (self.source.moments().next(), self.clock.now());
            self.policies.push(Reminding { at, since, will_expire: will_expire.to_vec() });
        }
        self.watcher = open(&self.source, &self.ledger, &self.clock, &self.settings).await;
    }

    async fn decide(&mut self, decision: RemovalDecision, ids: Option<&[ResourceId]>) {
        self.watcher.decide(decision, ids).await.expect("it is withheld, and the store works");
        self.decided.push(Decided { at: self.source.moments().next(), decision });
    }

    /// Runs passes side by side, and lets things happen at their calls.
    async fn look(&mut self, kinds: &[PassKind], mishaps: &[(u64, Mishap)]) {
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        for (call, mishap) in mishaps {
            self.arrange(*call, mishap, &stop, &kill);
        }
        let is_undisturbed = kinds.len() == 1 && mishaps.is_empty();
        let passes = kinds.iter().map(|&kind| self.run(kind, is_undisturbed, &stop, &kill));
        let looks = join_all(passes).await;
        self.looks.extend(looks);
        self.source.forget_faults();
        if stop.is_cancelled() || kill.is_cancelled() {
            self.restart(0, None).await;
        }
    }

    async fn run(
        &self,
        kind: PassKind,
        is_undisturbed: bool,
        stop: &CancellationToken,
        kill: &CancellationToken,
    ) -> Look {
        let moments = self.source.moments();
        let (began, clocks) = (moments.next(), [self.clock.now(), self.source.upstream_now()]);
        let report = tokio::select! {
            biased;
            () = kill.cancelled() => None,
            report = self.watcher.pass(kind, stop) => Some(report),
        };
        Look { kind, began, ended: moments.next(), report, clocks, is_undisturbed, is_cut: stop.is_cancelled() }
    }

    fn arrange(&self, call: u64, mishap: &Mishap, stop: &CancellationToken, kill: &CancellationToken) {
        let then = |hook: Box<dyn FnOnce(&mut Book) + Send>| self.source.at_call(call, Incident::Then(hook));
        match mishap {
            Mishap::Change(change) => {
                let (change, world, now) = (change.clone(), self.world.clone(), self.upstream_clock());
                then(Box::new(move |book| alter(book, &change, &world, now())));
            }
            Mishap::Tick(seconds) => {
                let (clock, by) = (Arc::clone(&self.clock), Duration::from_secs((*seconds).into()));
                then(Box::new(move |_| clock.advance(by)));
            }
            Mishap::Late(turns) => self.source.at_call(call, Incident::Late(*turns)),
            Mishap::Fault(fault) => self.source.at_call(call, Incident::Fault(fault.clone())),
            Mishap::Trouble(times) => {
                for nth in 0..*times {
                    let fault = Fault::Error(SourceError::Unavailable("connection reset".into()));
                    self.source.at_call(call + nth, Incident::Fault(fault));
                }
            }
            Mishap::Stop => {
                let stop = stop.clone();
                then(Box::new(move |_| stop.cancel()));
            }
            Mishap::Kill => {
                let kill = kill.clone();
                then(Box::new(move |_| kill.cancel()));
            }
        }
    }

    /// Upstream's clock, for what happens while the source is busy.
    fn upstream_clock(&self) -> impl Fn() -> Timestamp + Send + 'static {
        let ahead_ms = self.source.upstream_now().as_millis() - self.clock.now().as_millis();
        let clock = Arc::clone(&self.clock);
        move || Timestamp::from_millis(clock.now().as_millis() + ahead_ms)
    }

    /// One pass, during which nothing happens.
    async fn quiet(&mut self, kind: PassKind) {
        self.look(&[kind], &[]).await;
    }

    /// All is well from now on: lists are swept, what is withheld may go, and whatever is looked at after a while is
    /// looked at. Upstream stays as it is.
    async fn heal(&mut self) {
        self.tick(60);
        self.quiet(PassKind::Sweep).await;
        // The looks that an agenda knows: for documents, and after dates.
        for seconds in [0, 360, 3_600, 18_000, 21_600, 21_600, 21_600, 43_200, 43_200] {
            self.tick(seconds);
            self.quiet(PassKind::Deadline).await;
        }
        self.quiet(PassKind::Open).await;
        self.quiet(PassKind::Changes).await;
        // What is gone may have named others, which are seen then, and are gone too.
        for _ in 0..SWEEPS_MAX {
            self.quiet(PassKind::Sweep).await;
            self.confirm_all().await;
            let last = self.looks.iter().rfind(|look| look.kind == PassKind::Sweep);
            let report = last.and_then(|look| look.report.as_ref());
            if self.looks.last().is_some_and(|look| look.kind == PassKind::Sweep)
                && report.is_some_and(|it| it.changed == 0)
            {
                return;
            }
        }
    }

    /// What is absent may go, also what was to be kept.
    async fn confirm_all(&mut self) {
        let absences = self.watcher.absences(None, 1_000).await.expect("the store works");
        if !absences.is_empty() {
            let ids: Vec<ResourceId> = absences.into_iter().map(|absence| absence.key.id).collect();
            self.decide(RemovalDecision::Confirm, Some(&ids)).await;
            self.quiet(PassKind::Deadline).await;
        }
    }
}

async fn open(
    source: &Arc<ScriptedSource>,
    ledger: &Arc<Ledger>,
    clock: &Arc<ManualClock>,
    settings: &Settings,
) -> Arc<Watcher> {
    let (source, ledger, clock) = (Arc::clone(source), Arc::clone(ledger), Arc::clone(clock));
    let description =
        Description { kind: "numeral".into(), base_url: "http://127.0.0.1:8091/".into(), livemode: false };
    let watcher = Watcher::open(source, ledger, clock, settings.clone(), description).await;
    let watcher = watcher.expect("the store can be read");
    // So begins what runs.
    watcher.plan().await.expect("the store works");
    watcher
}

/// Plays a case to its good end.
pub(super) async fn play(case: &Case) -> Record {
    let mut scene = Scene::new(&case.world).await;
    for change in &case.first {
        scene.step(&Step::Change(change.clone())).await;
        scene.tick(7);
    }
    if case.world.begins_well {
        scene.quiet(PassKind::Sweep).await;
    }
    for step in &case.steps {
        scene.step(step).await;
    }
    scene.heal().await;
    let history = scene.source.edit(|book| book.history().clone());
    let calls = scene.source.take_calls();
    let Scene { world, ledger, settings, looks, decided, policies, leaps, .. } = scene;
    let played = Played { world, settings, calls, looks, decided, policies, leaps };
    Record::new(played, &history, ledger.committed())
}
