//! The door of the room: one watcher per source, which runs its passes when they are due.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::json;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::applier::Applier;
use super::pass::{Halt, Pass, Tally};
use super::progress::{Proof, after_baseline, after_changes, after_sweep};
use super::queue::{Asked, PassQueue};
use super::reports::Reports;
use super::schedule::KINDS;
use super::upstream::Upstream;
use crate::clock::{Clock, random_bytes};
use crate::model::event::{Detection, EventDraft, EventType, Mode, Sight, Subject};
use crate::model::id::base62;
use crate::model::json::Json;
use crate::model::resource::{Kind, SourceName};
use crate::model::source::{
    BaselineStatus, PassKind, PassReport, PassStatus, SourceProgress, SourceState, SourceStatus,
};
use crate::model::time::Timestamp;
use crate::source::{Selection, Source};
use crate::store::{SightStore, StoreError};

mod run;

/// What a source is called in answers and in events about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The dialect that it speaks.
    pub kind: String,
    /// Where it is.
    pub base_url: String,
    /// Whether what it holds is real; `false` for the sandbox.
    pub livemode: bool,
}

/// Watches one source: runs its passes, at most one of each kind at a time, and commits what they find.
pub struct Watcher {
    name: SourceName,
    description: Description,
    settings: Settings,
    store: Arc<dyn SightStore>,
    clock: Arc<dyn Clock>,
    applier: Applier,
    upstream: Upstream,
    /// Held by the running pass of each kind, so that two can never overlap, whoever starts them.
    turns: [AsyncMutex<()>; KINDS.len()],
    shared: Mutex<Shared>,
    wake: Notify,
}

#[derive(Debug)]
struct Shared {
    queue: PassQueue,
    reports: Reports,
    state: SourceState,
    /// Resources that the baseline has seen.
    baseline_seen: u64,
    /// When the last pass of each kind began.
    begun: [Option<Instant>; KINDS.len()],
    failed_baselines: u32,
}

/// How a pass ended.
struct Ending {
    status: PassStatus,
    error: Option<String>,
    state: Option<SourceState>,
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
        let name = source.name().clone();
        let applier = Applier::open(Arc::clone(&source), Arc::clone(&store), &settings).await?;
        let mut baseline_seen = 0;
        for kind in Kind::ALL {
            baseline_seen += store.snapshot_count(&name, kind).await?;
        }
        Ok(Arc::new(Self {
            name,
            description,
            settings,
            store,
            clock,
            applier,
            upstream: Upstream::new(source),
            turns: Default::default(),
            shared: Mutex::new(Shared {
                queue: PassQueue::default(),
                reports: Reports::default(),
                state: SourceState::Healthy,
                baseline_seen,
                begun: Default::default(),
                failed_baselines: 0,
            }),
            wake: Notify::new(),
        }))
    }

    /// The source's identity.
    pub fn name(&self) -> &SourceName {
        &self.name
    }

    /// Where the source stands.
    pub fn status(&self) -> SourceStatus {
        let progress = self.applier.progress();
        let watermark = progress.as_ref().and_then(|progress| progress.watermark);
        let trouble = self.upstream.trouble();
        let shared = self.lock();
        let state = if trouble.is_some() { shared.state.max(SourceState::Failing) } else { shared.state };
        let passes = KINDS.into_iter().filter_map(|kind| shared.reports.last(kind).cloned());
        SourceStatus {
            name: self.name.clone(),
            object: "source",
            kind: self.description.kind.clone(),
            base_url: self.description.base_url.clone(),
            status: state,
            lag_seconds: watermark.map(|watermark| self.clock.now().since(watermark).as_secs()),
            baseline: BaselineStatus { complete: has_baseline(progress.as_ref()), seen: shared.baseline_seen },
            watermark,
            clock_skew_seconds: self.upstream.skew_seconds(),
            passes: passes.map(|report| with_trouble(report, trouble.as_deref())).collect(),
        }
    }

    /// Asks for a pass. If one of that kind waits already, that one is answered. It begins when the watcher is run
    /// and its turn has come; a `changes` pass waits for the baseline.
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
        let mut shared = self.lock();
        if shared.state == SourceState::Unauthorized {
            shared.state = SourceState::Failing;
        }
        drop(shared);
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

    async fn run_pass(&self, kind: PassKind, id: &str, stop: &CancellationToken) -> PassReport {
        let _turn = self.turns[kind as usize].lock().await;
        let (started_at, began) = (self.clock.now(), Instant::now());
        self.lock().begun[kind as usize] = Some(began);
        let is_baseline = !has_baseline(self.applier.progress().as_ref());
        self.report(id, |report| {
            report.status = PassStatus::Running;
            report.started_at = Some(started_at);
        });
        let observe = |tally: &Tally| {
            self.report(id, |report| show(report, tally));
            if is_baseline {
                self.lock().baseline_seen = tally.seen;
            }
        };
        let mut pass = Pass::new(kind, &self.applier, &self.upstream, stop, &observe);
        let ran = AssertUnwindSafe(self.look(kind, started_at, &mut pass)).catch_unwind().await;
        let tally = pass.tally().clone();
        let ending = match ran {
            Ok(Ok(())) => ending_of(&tally),
            Ok(Err(halt)) => halted(halt, &tally),
            Err(_) => failed("the pass panicked; this is a bug in certhook".into()),
        };
        self.ended(id, &tally, ending, began.elapsed(), is_baseline)
    }

    /// The pass itself, and what a complete one moves.
    async fn look(&self, kind: PassKind, started_at: Timestamp, pass: &mut Pass<'_>) -> Result<(), Halt> {
        let progress = self.applier.begin(started_at).await?;
        let selection = match (kind, progress.watermark) {
            (PassKind::Sweep, _) => Selection::Everything,
            (PassKind::Changes, Some(watermark)) => Selection::UpdatedAfter(watermark.minus(self.settings.overlap)),
            (PassKind::Changes, None) => return Err(Halt::NoBaseline),
        };
        let Some(proof) = pass.run(&selection).await? else { return Ok(()) };
        let behind = pass.behind();
        if progress.baseline_completed_at.is_none() {
            return self.complete_baseline(started_at, behind, &proof).await;
        }
        match kind {
            PassKind::Changes => {
                self.applier.advance(|progress| after_changes(progress, started_at, behind, &proof), None).await?;
            }
            PassKind::Sweep => self.applier.advance(|progress| after_sweep(progress, started_at, &proof), None).await?,
        }
        Ok(())
    }

    async fn complete_baseline(&self, started_at: Timestamp, behind: Duration, proof: &Proof) -> Result<(), Halt> {
        let certificates = self.store.snapshot_count(&self.name, Kind::Certificate).await?;
        let requests = self.store.snapshot_count(&self.name, Kind::CertificateRequest).await?;
        let now = self.clock.now();
        let object = json!({
            "object": "source",
            "name": self.name,
            "kind": self.description.kind,
            "base_url": self.description.base_url,
            "status": SourceState::Healthy,
            "baseline": { "complete": true, "seen": certificates + requests },
            "counts": { "certificate": certificates, "certificate_request": requests },
        });
        let sight = Sight {
            subject: Subject::Source(self.name.clone()),
            api_version: self.upstream.api_version().to_owned(),
            livemode: self.description.livemode,
            object: Json::of(&object),
            previous_attributes: Json::of(&json!({})),
            detection: Detection {
                mode: Mode::Live,
                pass: None,
                request_id: None,
                object_version: 0,
                observed_after: None,
                observed_before: now,
            },
        };
        let told = (sight, vec![EventDraft::plain(EventType::GatewayBaselineCompleted)]);
        let step = |progress: &SourceProgress| after_baseline(progress, started_at, now, behind, proof);
        self.applier.advance(step, Some(told)).await?;
        self.lock().baseline_seen = certificates + requests;
        Ok(())
    }

    /// Notes how a pass ended, in the report, the source's state and one line of the log.
    fn ended(&self, id: &str, tally: &Tally, ending: Ending, took: Duration, is_baseline: bool) -> PassReport {
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let report = self.report(id, |report| {
            show(report, tally);
            report.status = ending.status;
            report.duration_ms = Some(duration_ms);
            report.error = ending.error;
        });
        let mut shared = self.lock();
        if let Some(state) = ending.state {
            shared.state = state;
            let failed = is_baseline && report.pass == PassKind::Sweep && state != SourceState::Healthy;
            shared.failed_baselines = if failed { shared.failed_baselines.saturating_add(1) } else { 0 };
        }
        drop(shared);
        log(&self.name, &report, tally);
        report
    }

    fn report(&self, id: &str, change: impl FnOnce(&mut PassReport)) -> PassReport {
        let mut shared = self.lock();
        let mut report =
            shared.reports.get(id).cloned().unwrap_or_else(|| shared.reports.add(id.into(), PassKind::Changes));
        change(&mut report);
        shared.reports.put(report.clone());
        report
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing that can panic is done while it is held.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_baseline(progress: Option<&SourceProgress>) -> bool {
    progress.is_some_and(|progress| progress.baseline_completed_at.is_some())
}

fn show(report: &mut PassReport, tally: &Tally) {
    report.pages = tally.pages;
    report.seen = tally.seen;
    report.changed = tally.changed;
}

/// A pass that is running shows what it struggles with, and not only once it has given up.
fn with_trouble(report: PassReport, trouble: Option<&str>) -> PassReport {
    let error = match report.status {
        PassStatus::Running => report.error.or_else(|| trouble.map(str::to_owned)),
        PassStatus::Waiting | PassStatus::Complete | PassStatus::Incomplete | PassStatus::Failed => report.error,
    };
    PassReport { error, ..report }
}

/// One wide line per pass; one that went well and found nothing only for those who want to see it.
fn log(source: &SourceName, report: &PassReport, tally: &Tally) {
    macro_rules! polled {
        ($level:ident) => {
            tracing::$level!(
                %source,
                pass = report.pass.as_str(),
                pass_id = report.id,
                status = status_word(report.status),
                pages = tally.pages,
                seen = tally.seen,
                changed = tally.changed,
                dropped = tally.dropped,
                malformed = tally.malformed,
                duration_ms = report.duration_ms,
                error = report.error.as_deref(),
                "source.polled"
            )
        };
    }
    let told_nothing = tally.changed + tally.dropped + tally.malformed == 0;
    if report.status == PassStatus::Complete && told_nothing && report.pass == PassKind::Changes {
        polled!(debug);
    } else {
        polled!(info);
    }
}

fn status_word(status: PassStatus) -> &'static str {
    match status {
        PassStatus::Waiting => "waiting",
        PassStatus::Running => "running",
        PassStatus::Complete => "complete",
        PassStatus::Incomplete => "incomplete",
        PassStatus::Failed => "failed",
    }
}

fn pass_id() -> String {
    format!("pass_{}", base62(u128::from_le_bytes(random_bytes())))
}

fn ending_of(tally: &Tally) -> Ending {
    match &tally.error {
        None => Ending { status: PassStatus::Complete, error: None, state: Some(SourceState::Healthy) },
        Some(error) => {
            let status = if tally.pages == 0 { PassStatus::Failed } else { PassStatus::Incomplete };
            Ending { status, error: Some(error.clone()), state: Some(SourceState::Failing) }
        }
    }
}

fn failed(error: String) -> Ending {
    Ending { status: PassStatus::Failed, error: Some(error), state: Some(SourceState::Failing) }
}

fn halted(halt: Halt, tally: &Tally) -> Ending {
    match halt {
        Halt::Stopped => {
            Ending { status: PassStatus::Incomplete, error: Some("the gateway is stopping".into()), state: None }
        }
        Halt::NoBaseline => {
            let error = Some("the baseline is not complete; a sweep completes it".into());
            Ending { status: PassStatus::Failed, error, state: None }
        }
        Halt::Unauthorized(error) => Ending {
            state: Some(SourceState::Unauthorized),
            ..ending_of(&Tally { error: Some(error.to_string()), ..tally.clone() })
        },
        Halt::Store(error) => ending_of(&Tally { error: Some(error.to_string()), ..tally.clone() }),
    }
}
