//! The loop: what is due goes into the queue, what waits begins when it may, and a source whose key is refused is
//! only probed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::Schedule;
use super::super::backoff::{PROBE_EVERY, wait_after};
use super::super::schedule::{Crons, KINDS, first_sweep_in};
use super::{Watcher, has_baseline};
use crate::clock::chance;
use crate::model::resource::Kind;
use crate::model::source::{PassKind, SourceState};
use crate::source::{Selection, Urgency};

/// An interval below which no schedule goes, so that a mistaken setting cannot turn polling into a busy loop.
const SHORTEST: Duration = Duration::from_millis(10);

/// What the loop waits for beside its tasks.
#[derive(Debug, Default)]
struct Timers {
    /// When each kind is due by its interval, while it has not begun in this process.
    first_due: [Option<Instant>; KINDS.len()],
    /// When to look again whether the key is accepted.
    probe_at: Option<Instant>,
    /// When to try the baseline again.
    baseline_at: Option<Instant>,
}

/// What a task of the loop was.
enum Ended {
    Pass(PassKind),
    Probe,
}

/// Gives a kind's turn back to the queue, whatever becomes of its pass.
struct Turn {
    watcher: Arc<Watcher>,
    kind: PassKind,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.watcher.lock().queue.done(self.kind);
        self.watcher.wake.notify_one();
    }
}

impl Watcher {
    /// Runs passes until `stop` is cancelled: one at the start, then as their schedules say and as they are asked
    /// for. Returns when the pages that are being applied are committed, and everything that it started has ended.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let (due, mut ticks) = mpsc::channel(KINDS.len());
        let crons = match Crons::start(&self.settings, &due).await {
            Ok(crons) => Some(crons),
            Err(error) => {
                tracing::error!(source = %self.name, %error, "a cron schedule cannot be started; its passes run only when asked for");
                None
            }
        };
        let mut timers = self.begin();
        let mut tasks = JoinSet::new();
        while !stop.is_cancelled() {
            self.start_tasks(&mut tasks, &mut timers, &stop);
            let wake_at = self.next_due(&timers);
            tokio::select! {
                () = stop.cancelled() => {}
                Some(kind) = ticks.recv() => { self.poll(kind); }
                () = self.wake.notified() => {}
                Some(ended) = tasks.join_next() => self.task_ended(ended, &mut timers),
                () = sleep_until(wake_at) => self.ask_for_what_is_due(&mut timers),
            }
        }
        while tasks.join_next().await.is_some() {}
        if let Some(crons) = crons {
            crons.stop().await;
        }
    }

    /// The pass at the start, and the first sweep by interval.
    fn begin(&self) -> Timers {
        let progress = self.applier.progress();
        if !has_baseline(progress.as_ref()) {
            self.poll(PassKind::Sweep);
        }
        self.poll(PassKind::Changes);
        let mut timers = Timers::default();
        if let Schedule::Every(every) = self.settings.schedule(PassKind::Sweep) {
            let swept_at = progress.and_then(|progress| progress.swept_at);
            let wait = first_sweep_in(*every, swept_at, self.clock.now());
            timers.first_due[PassKind::Sweep as usize] = Some(Instant::now() + wait);
        }
        timers
    }

    /// Starts the passes that may begin, or the probe that is due.
    fn start_tasks(self: &Arc<Self>, tasks: &mut JoinSet<Ended>, timers: &mut Timers, stop: &CancellationToken) {
        if self.lock().state == SourceState::Unauthorized {
            let probe_at = *timers.probe_at.get_or_insert_with(|| Instant::now() + PROBE_EVERY);
            if probe_at <= Instant::now() {
                timers.probe_at = Some(Instant::now() + PROBE_EVERY);
                let (watcher, stop) = (Arc::clone(self), stop.clone());
                tasks.spawn(async move {
                    watcher.probe(&stop).await;
                    Ended::Probe
                });
            }
            return;
        }
        timers.probe_at = None;
        let has_baseline = has_baseline(self.applier.progress().as_ref());
        let may_begin = |kind| has_baseline || kind == PassKind::Sweep;
        loop {
            let mut shared = self.lock();
            let Some((kind, id)) = shared.queue.next(may_begin) else { return };
            // Before the task gets to run, or the interval would seem to be over once more.
            shared.begun[kind as usize] = Some(Instant::now());
            drop(shared);
            if kind == PassKind::Sweep {
                timers.baseline_at = None;
            }
            let (turn, stop) = (Turn { watcher: Arc::clone(self), kind }, stop.clone());
            tasks.spawn(async move {
                turn.watcher.run_pass(kind, &id, &stop).await;
                Ended::Pass(kind)
            });
        }
    }

    /// One cheap call, to see whether the key is accepted again.
    async fn probe(&self, stop: &CancellationToken) {
        let selection = Selection::UpdatedAfter(self.clock.now());
        let answer = self.upstream.page(Kind::Certificate, &selection, None, Urgency::Changes, stop).await;
        let is_accepted = answer.is_ok();
        tracing::info!(source = %self.name, accepted = is_accepted, "source.probed");
        if is_accepted {
            self.lock().state = SourceState::Failing;
            self.poll(if has_baseline(self.applier.progress().as_ref()) { PassKind::Changes } else { PassKind::Sweep });
        }
    }

    fn task_ended(&self, ended: Result<Ended, tokio::task::JoinError>, timers: &mut Timers) {
        match ended {
            Ok(Ended::Pass(PassKind::Sweep)) if !has_baseline(self.applier.progress().as_ref()) => {
                let failures = self.lock().failed_baselines;
                timers.baseline_at = Some(Instant::now() + wait_after(failures, chance()));
            }
            Ok(Ended::Pass(_) | Ended::Probe) => {}
            Err(error) => tracing::error!(source = %self.name, %error, "a task of the source ended by itself"),
        }
    }

    /// When the next pass is due by an interval, or the next look at a source in trouble.
    fn next_due(&self, timers: &Timers) -> Option<Instant> {
        let passes = KINDS.into_iter().filter_map(|kind| self.due_at(kind, timers));
        passes.chain(timers.probe_at).chain(timers.baseline_at).min()
    }

    /// When a kind is due by its interval; `None` while it waits already, or follows a cron expression.
    fn due_at(&self, kind: PassKind, timers: &Timers) -> Option<Instant> {
        let Schedule::Every(every) = self.settings.schedule(kind) else { return None };
        let shared = self.lock();
        if shared.queue.is_waiting(kind) {
            return None;
        }
        match shared.begun[kind as usize] {
            Some(begun) => Some(begun + (*every).max(SHORTEST)),
            None => timers.first_due[kind as usize],
        }
    }

    fn ask_for_what_is_due(&self, timers: &mut Timers) {
        let now = Instant::now();
        for kind in KINDS {
            if self.due_at(kind, timers).is_some_and(|at| at <= now) {
                timers.first_due[kind as usize] = None;
                self.poll(kind);
            }
        }
        if timers.baseline_at.is_some_and(|at| at <= now) {
            timers.baseline_at = None;
            self.poll(PassKind::Sweep);
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
