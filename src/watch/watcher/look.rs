//! One pass: what each kind looks at, what a complete one moves, and what is told of its end.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::account::{News, Passed, news};
use super::super::pass::{Halt, Pass, Surroundings, Tally};
use super::super::progress::{Proof, after_baseline, after_changes, after_sweep};
use super::show::{log, show};
use super::{Watcher, has_baseline};
use crate::detect::gateway;
use crate::model::source::{PassKind, PassReport, PassStatus, SourceProgress, SourceState};
use crate::model::time::Timestamp;
use crate::source::Selection;
use crate::store::StoreError;
use crate::store::space::Space;
use crate::telemetry::meters::{PassCounts, PassResult};

/// How a pass ended.
pub(super) struct Ending {
    status: PassStatus,
    error: Option<String>,
    /// How the source stands after it; `None` if the pass says nothing about that.
    state: Option<SourceState>,
}

impl Ending {
    /// That of a call through our API, which is no pass and says nothing of how the source stands.
    pub(super) fn of_a_call() -> Self {
        Self { status: PassStatus::Complete, error: None, state: None }
    }
}

impl Watcher {
    pub(super) async fn run_pass(&self, kind: PassKind, id: &str, stop: &CancellationToken) -> PassReport {
        let _turn = self.turns[kind as usize].lock().await;
        let (started_at, began) = (self.clock.now(), Instant::now());
        self.lock().begun[kind as usize] = Some(began);
        let is_baseline = !has_baseline(self.applier.progress().as_ref());
        self.report(id, |report| {
            report.status = PassStatus::Running;
            report.started_at = Some(started_at);
        });
        let observe = |tally: &Tally| {
            self.report(id, |report| show(report, tally, is_baseline));
            if is_baseline {
                self.account.standing().baseline_seen = tally.seen;
            }
        };
        let (applier, upstream, clock, settings) = (&self.applier, &self.upstream, &*self.clock, &self.settings);
        let halt = stop.child_token();
        let surroundings = Surroundings { applier, upstream, clock, settings, stop: &halt, observe: &observe };
        let mut pass = Pass::new(kind, surroundings);
        let looked = async {
            let looked = self.look_while_it_may(kind, started_at, &mut pass, &halt).await;
            // What was seen is known to this process only, while a decision outlives it.
            let forgotten = self.applier.forget_present().await;
            looked?;
            Ok(forgotten?)
        };
        let looked = AssertUnwindSafe(looked).catch_unwind().await;
        let tally = pass.tally().clone();
        let ending = match looked {
            // Nobody was asked: that says nothing of how the source stands.
            Ok(Ok(())) if kind == PassKind::Deadline && tally.is_untouched() => {
                Ending { state: None, ..ending_of(&tally) }
            }
            Ok(Ok(())) => ending_of(&tally),
            Ok(Err(Halt::Paused)) => {
                // Once the source is resumed, it looks at what it has not come to.
                self.poll(kind);
                halted(Halt::Paused, &tally)
            }
            Ok(Err(halt)) => halted(halt, &tally),
            Err(_) => {
                self.meter.panicked();
                failed("the pass panicked; this is a bug in certhook".into())
            }
        };
        if tally.wants_sweep {
            self.poll(PassKind::Sweep);
        }
        if let Err(error) = self.tell_of_end(&tally, &ending).await {
            tracing::error!(source = %self.account.name, %error, "how the source stands cannot be stored");
        }
        self.ended(id, &tally, ending, began.elapsed(), is_baseline)
    }

    /// The pass, halted as soon as there is no room for what it may find, or the source is paused.
    async fn look_while_it_may(
        &self,
        kind: PassKind,
        started_at: Timestamp,
        pass: &mut Pass<'_>,
        halt: &CancellationToken,
    ) -> Result<(), Halt> {
        let (mut space, mut pause) = (self.applier.space(), self.pause.subscribe());
        let look = self.look(kind, started_at, pass);
        tokio::pin!(look);
        let why = tokio::select! {
            biased;
            Ok(_) = space.wait_for(|space| !space.can_grow()) => Halt::NoRoom,
            Ok(_) = pause.wait_for(|is_paused| *is_paused) => Halt::Paused,
            looked = &mut look => return looked,
        };
        halt.cancel();
        match look.await {
            Err(Halt::Stopped) => Err(why),
            looked => looked,
        }
    }

    /// The pass itself, and what a complete one moves.
    async fn look(&self, kind: PassKind, started_at: Timestamp, pass: &mut Pass<'_>) -> Result<(), Halt> {
        let progress = self.applier.begin(started_at).await?;
        let Some(watermark) = progress.watermark.filter(|_| progress.baseline_completed_at.is_some()) else {
            return if kind == PassKind::Sweep {
                self.look_first(started_at, pass).await
            } else {
                Err(Halt::NoBaseline)
            };
        };
        match kind {
            PassKind::Deadline => {
                let has_decisions = self.has_decisions.swap(false, Ordering::Relaxed);
                let done = pass.run_due(has_decisions).await;
                if has_decisions && !matches!(done, Ok(false)) {
                    self.has_decisions.store(true, Ordering::Relaxed);
                }
                done.map(|_| ())
            }
            PassKind::Changes => {
                let selection = Selection::UpdatedAfter(watermark.minus(self.settings.overlap));
                let Some(proof) = pass.run(&selection).await? else { return Ok(()) };
                let (now, behind) = (self.clock.now(), pass.behind());
                let step = |progress: &_| {
                    let told = self.end_of_gap(progress, now);
                    (after_changes(progress, started_at, now, behind, &proof), told.into_iter().collect())
                };
                Ok(self.applier.advance(step).await?)
            }
            PassKind::Open => {
                let mut resume = std::mem::take(&mut self.lock().resume);
                let done = pass.run_open(&mut resume).await;
                self.lock().resume = resume;
                done
            }
            PassKind::Sweep => {
                pass.begin_sweep().await?;
                let Some(proof) = pass.run(&Selection::Everything).await? else { return Ok(()) };
                let Some(proof) = pass.infer_removals(started_at, proof).await? else { return Ok(()) };
                self.applier.note_unread(started_at).await?;
                let step = |progress: &_| (after_sweep(progress, started_at, &proof), Vec::new());
                Ok(self.applier.advance(step).await?)
            }
        }
    }

    /// The sweep that is the baseline.
    async fn look_first(&self, started_at: Timestamp, pass: &mut Pass<'_>) -> Result<(), Halt> {
        pass.begin_sweep().await?;
        let Some(proof) = pass.run(&Selection::Everything).await? else { return Ok(()) };
        self.applier.note_unread(started_at).await?;
        self.complete_baseline(started_at, pass.behind(), &proof).await
    }

    async fn complete_baseline(&self, started_at: Timestamp, behind: Duration, proof: &Proof) -> Result<(), Halt> {
        let counts = self.applier.counts().await?;
        let now = self.clock.now();
        let told = self.account.tell_baseline(counts, now);
        let step = |progress: &_| (after_baseline(progress, started_at, now, behind, proof), vec![told]);
        self.applier.advance(step).await?;
        self.account.standing().baseline_seen = counts.iter().sum();
        Ok(())
    }

    /// Tells what follows from how a pass ended: a baseline that has grown, a source that fails or has recovered.
    pub(super) async fn tell_of_end(&self, tally: &Tally, ending: &Ending) -> Result<(), StoreError> {
        let now = self.clock.now();
        if tally.absorbed > 0 {
            let counts = self.applier.counts().await?;
            let told = self.account.tell_baseline(counts, now);
            self.applier.advance(|progress| (progress.clone(), vec![told])).await?;
            self.account.standing().baseline_seen = counts.iter().sum();
        }
        let Some(state) = ending.state else { return Ok(()) };
        let passed = match state {
            SourceState::Healthy => Passed::Well,
            SourceState::Failing => Passed::Badly,
            SourceState::Unauthorized => Passed::Unauthorized,
            // No pass finds that.
            SourceState::Paused => return Ok(()),
        };
        let failed = {
            let mut standing = self.account.standing();
            standing.state = state;
            standing.failed = if passed == Passed::Well { 0 } else { standing.failed.saturating_add(1) };
            standing.failed
        };
        let failing_since = self.applier.progress().and_then(|progress| progress.failing_since);
        if news(passed, failed, failing_since) == News::None {
            return Ok(());
        }
        let step = |progress: &SourceProgress| {
            let mut moved = progress.clone();
            // A pass that ended at the same time may have told it.
            let (draft, failing_since) = match news(passed, failed, progress.failing_since) {
                News::None => return (moved, Vec::new()),
                News::Failing(passes) => {
                    let error = ending.error.as_deref().unwrap_or("the pass did not complete");
                    (gateway::source_failing(error, passes.into()), Some(now))
                }
                News::Recovered(since) => (gateway::source_recovered(since), None),
            };
            moved.failing_since = failing_since;
            (moved, vec![self.account.tell(draft, progress, now)])
        };
        self.applier.advance(step).await
    }

    /// Tells that there is too little room to go on, once for each time.
    pub(super) async fn tell_storage_low(&self, space: Space) -> Result<(), StoreError> {
        let now = self.clock.now();
        // Whether anything was ever read of the source or not.
        self.applier.begin(now).await?;
        let step = |progress: &SourceProgress| {
            let mut moved = progress.clone();
            if moved.storage_low_since.replace(now).is_some() {
                return (progress.clone(), Vec::new());
            }
            (moved, vec![self.account.tell(gateway::storage_low(space.free, space.min_free), progress, now)])
        };
        self.applier.advance(step).await
    }

    /// Notes that there is so much room again that it would be news if there were too little.
    pub(super) async fn note_ample_storage(&self) -> Result<(), StoreError> {
        let step =
            |progress: &SourceProgress| (SourceProgress { storage_low_since: None, ..progress.clone() }, Vec::new());
        self.applier.advance(step).await
    }

    /// Notes how a pass ended, in the report and one line of the log.
    fn ended(&self, id: &str, tally: &Tally, ending: Ending, took: Duration, is_baseline: bool) -> PassReport {
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let report = self.report(id, |report| {
            show(report, tally, is_baseline);
            report.status = ending.status;
            report.duration_ms = Some(duration_ms);
            report.error = ending.error;
        });
        self.measure(&report, tally, took);
        if let Some(state) = ending.state {
            let failed = is_baseline && report.pass == PassKind::Sweep && state != SourceState::Healthy;
            let mut shared = self.lock();
            shared.failed_baselines = if failed { shared.failed_baselines.saturating_add(1) } else { 0 };
        }
        log(&self.account.name, &report, tally);
        report
    }

    fn measure(&self, report: &PassReport, tally: &Tally, took: Duration) {
        let result = match report.status {
            PassStatus::Complete => PassResult::Complete,
            PassStatus::Incomplete => PassResult::Incomplete,
            PassStatus::Failed => PassResult::Failed,
            // Neither is how a pass ends.
            PassStatus::Waiting | PassStatus::Running => return,
        };
        if result == PassResult::Complete {
            self.lock().completed[report.pass as usize] = report.started_at;
        }
        let PassReport { pages, seen, changed, found_late, .. } = *report;
        let counts = PassCounts { pages, seen, changed, found_late, malformed: tally.malformed };
        self.meter.ended(report.pass, result, took, counts);
    }

    fn report(&self, id: &str, change: impl FnOnce(&mut PassReport)) -> PassReport {
        let mut shared = self.lock();
        let mut report =
            shared.reports.get(id).cloned().unwrap_or_else(|| shared.reports.add(id.into(), PassKind::Changes));
        change(&mut report);
        shared.reports.put(report.clone());
        report
    }
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

/// That says nothing of how the source stands.
fn broken_off(why: &str) -> Ending {
    Ending { status: PassStatus::Incomplete, error: Some(why.into()), state: None }
}

fn failed(error: String) -> Ending {
    Ending { status: PassStatus::Failed, error: Some(error), state: Some(SourceState::Failing) }
}

fn halted(halt: Halt, tally: &Tally) -> Ending {
    match halt {
        Halt::Stopped => broken_off("the gateway is stopping"),
        Halt::NoRoom => {
            broken_off("there is too little room on the store's file system; polling goes on once there is more")
        }
        Halt::Paused => broken_off("the source was paused"),
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
