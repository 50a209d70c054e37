//! The door of the room: one watcher per source, which runs its passes when they are due.
//!
//! In reading order: this file (what others ask of a watcher), `look` (one pass, and what a complete one moves),
//! `run` (the loop), `gap` (that it has been too long), `pause` (a source that is left alone), `decide` (removals that wait
//! for a decision), `call` (what somebody waits for), `show` (reports and the log).

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::call::Calls;
use self::show::{pass_id, with_trouble};
use super::account::Account;
use super::applier::Applier;
use super::pass::Resume;
use super::queue::{Asked, PassQueue};
use super::reports::Reports;
use super::upstream::Upstream;
use super::{Description, Settings};
use crate::clock::Clock;
use crate::model::resource::{Kind, SourceName};
use crate::model::source::{BaselineStatus, PassKind, PassReport, SourceProgress, SourceState, SourceStatus};
use crate::model::time::Timestamp;
use crate::source::Source;
use crate::store::{SightStore, StoreError};
use crate::telemetry::meters::Passes;

mod call;
mod decide;
mod gap;
mod look;
mod pause;
mod run;
mod show;

pub use call::CallFailed;
pub use decide::Undecided;
pub use pause::Paused;

/// Watches one source: runs its passes, at most one of each kind at a time, and commits what they find.
pub struct Watcher {
    account: Arc<Account>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    applier: Applier,
    upstream: Upstream,
    /// Held by the running pass of each kind, so that two can never overlap, whoever starts them.
    turns: [AsyncMutex<()>; PassKind::ALL.len()],
    shared: Mutex<Shared>,
    /// Whether somebody may have decided on removals since they were last looked through.
    has_decisions: AtomicBool,
    /// Whether the source is left alone, for the passes under way.
    pause: watch::Sender<bool>,
    wake: Notify,
    calls: Calls,
    meter: Passes,
}

#[derive(Debug, Default)]
struct Shared {
    queue: PassQueue,
    reports: Reports,
    /// When the last pass of each kind began.
    begun: [Option<Instant>; PassKind::ALL.len()],
    /// When the last one of each kind that was complete began, in this process.
    completed: [Option<Timestamp>; PassKind::ALL.len()],
    failed_baselines: u32,
    /// Where the last open pass stopped asking for those who have left a list.
    resume: Resume,
}

impl Watcher {
    /// A watcher that takes up where the store says. It does nothing until it is run.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn open(
        source: Arc<dyn Source>,
        store: Arc<dyn SightStore>,
        clock: Arc<dyn Clock>,
        settings: Settings,
        description: Description,
    ) -> Result<Arc<Self>, StoreError> {
        let (name, api_version) = (source.name().clone(), source.api_version().to_owned());
        let mut seen = 0;
        for kind in Kind::ALL {
            seen += store.snapshot_count(&name, kind).await?;
        }
        let account = Arc::new(Account::new(name, description, api_version, seen));
        let applier = Applier::open(Arc::clone(&source), store, Arc::clone(&account), &settings).await?;
        let is_paused = applier.progress().is_some_and(|progress| progress.paused_at.is_some());
        Ok(Arc::new(Self {
            account,
            settings,
            clock,
            applier,
            upstream: Upstream::new(source),
            turns: Default::default(),
            shared: Mutex::default(),
            // A decision from before a restart may not have been carried out.
            has_decisions: AtomicBool::new(true),
            pause: watch::Sender::new(is_paused),
            wake: Notify::new(),
            calls: Calls::default(),
            meter: Passes::default(),
        }))
    }

    /// The source's identity.
    pub fn name(&self) -> &SourceName {
        &self.account.name
    }

    /// Where the source stands.
    pub fn status(&self) -> SourceStatus {
        let progress = self.applier.progress();
        let now = self.clock.now();
        let watermark = progress.as_ref().and_then(|progress| progress.watermark);
        let trouble = self.upstream.trouble();
        let standing = *self.account.standing();
        let state = standing.shown(progress.as_ref());
        let state = if trouble.is_some() { state.max(SourceState::Failing) } else { state };
        let shared = self.lock();
        let passes = PassKind::ALL.into_iter().filter_map(|kind| shared.reports.last(kind).cloned());
        SourceStatus {
            name: self.account.name.clone(),
            object: "source",
            kind: self.account.description.kind.clone(),
            base_url: self.account.description.base_url.clone(),
            status: state,
            lag_seconds: watermark.map(|watermark| now.since(watermark).as_secs()),
            baseline: BaselineStatus::of(progress.as_ref(), standing.baseline_seen, now),
            watermark,
            clock_skew_seconds: self.upstream.skew_seconds(),
            passes: passes.map(|report| with_trouble(report, trouble.as_deref())).collect(),
        }
    }

    /// What its passes have measured.
    pub fn meter(&self) -> &Passes {
        &self.meter
    }

    /// When the last complete pass of each kind began. What was before this process is known of some.
    pub fn completed(&self) -> [Option<Timestamp>; PassKind::ALL.len()] {
        let mut completed = self.lock().completed;
        if let Some(progress) = self.applier.progress() {
            completed[PassKind::Changes as usize] = completed[PassKind::Changes as usize].or(progress.watermark);
            completed[PassKind::Sweep as usize] = completed[PassKind::Sweep as usize].or(progress.swept_at);
        }
        completed
    }

    /// Asks for a pass. If one of that kind waits already, that one is answered. It begins when the watcher is run
    /// and its turn has come; all but a sweep wait for the baseline.
    pub fn poll(&self, kind: PassKind) -> PassReport {
        let mut shared = self.lock();
        let id = pass_id();
        let report = match shared.queue.ask(kind, &id) {
            Asked::New => shared.reports.add(id, kind),
            Asked::Joined(waiting) => {
                let known = shared.reports.get(&waiting).cloned();
                known.unwrap_or_else(|| shared.reports.add(waiting, kind))
            }
        };
        drop(shared);
        self.wake.notify_one();
        report
    }

    /// Asks for a pass like [`Self::poll`], for somebody who wants to know now: a wait after failures is cut short,
    /// and a key that was refused is tried without waiting for the next probe. What upstream asked for itself
    /// (`Retry-After`) is waited for all the same.
    pub fn look_now(&self, kind: PassKind) -> PassReport {
        {
            let mut standing = self.account.standing();
            if standing.state == SourceState::Unauthorized {
                standing.state = SourceState::Failing;
            }
        }
        let report = self.poll(kind);
        self.upstream.hurry();
        report
    }

    /// The last passes, newest first; a bounded memory that a restart empties.
    pub fn passes(&self) -> Vec<PassReport> {
        self.lock().reports.newest_first()
    }

    /// Runs one pass now, outside the queue; waits for the running one of its kind. What [`Self::run`] does at its
    /// own times.
    pub async fn pass(&self, kind: PassKind, stop: &CancellationToken) -> PassReport {
        let id = pass_id();
        self.lock().reports.add(id.clone(), kind);
        self.run_pass(kind, &id, stop).await
    }

    /// Brings the agendas of all resources in line with the settings, where they were worked out for others. What
    /// [`Self::run`] does at its start.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn plan(&self) -> Result<(), StoreError> {
        self.applier.plan_all(self.clock.now()).await
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing that can panic is done while it is held.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_baseline(progress: Option<&SourceProgress>) -> bool {
    progress.is_some_and(|progress| progress.baseline_completed_at.is_some())
}
