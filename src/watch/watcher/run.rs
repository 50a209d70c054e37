//! The loop: what is due goes into the queue, what waits begins when it may, and a source whose key is refused is
//! only probed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::Schedule;
use super::super::backoff::{PROBE_EVERY, wait_after};
use super::super::schedule::{Crons, GAP_INTERVALS, first_sweep_in, has_missed};
use super::{Watcher, has_baseline};
use crate::clock::chance;
use crate::model::resource::Kind;
use crate::model::source::{PassKind, PassReport, PassStatus, SourceState};
use crate::model::time::Timestamp;
use crate::source::{Selection, Urgency};
use crate::store::space::{Level, Space};
use crate::store::{StoreError, Task};

/// An interval below which no schedule goes, so that a mistaken setting cannot turn polling into a busy loop.
const SHORTEST: Duration = Duration::from_millis(10);

/// How long the loop sleeps at most while something is on an agenda. Agendas go by the wall clock, which may be set.
const LONGEST: Duration = Duration::from_secs(30);

/// How long after something that is due could not be done the next try waits.
const DUE_AGAIN: Duration = Duration::from_secs(60);

/// What the loop waits for beside its tasks.
#[derive(Debug, Default)]
struct Timers {
    /// When each kind is due by its interval, while it has not begun in this process.
    first_due: [Option<Instant>; PassKind::ALL.len()],
    /// When to look again whether the key is accepted.
    probe_at: Option<Instant>,
    /// When to try the baseline again.
    baseline_at: Option<Instant>,
    /// When the agendas have something due, as of the last look at them.
    agenda: Agendas,
    /// What is due to be asked for by id waits until then, because the last try did not get through.
    due_after: Option<Instant>,
    /// Reminders, gaps and a lack of room wait until then, because the store did not take the last one.
    chores_after: Option<Instant>,
    /// Whether the agendas are those of the settings.
    is_planned: bool,
    /// A lack of room that is not told yet.
    shortage: Option<Space>,
    /// So often a `changes` pass was due by its cron expression since the last complete one.
    missed_ticks: u32,
}

/// When the agendas of all resources have something due.
#[derive(Clone, Copy, Debug, Default)]
struct Agendas {
    remind_at: Option<Timestamp>,
    fetch_at: Option<Timestamp>,
    is_reminding: bool,
}

/// What a task of the loop was.
enum Ended {
    /// Its turn is given back once what follows from it is known.
    Pass(PassReport, Turn),
    Probe,
    Chores(Result<(), StoreError>),
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
        let (due, mut ticks) = mpsc::channel(PassKind::ALL.len());
        let crons = match Crons::start(&self.settings, &due).await {
            Ok(crons) => Some(crons),
            Err(error) => {
                tracing::error!(source = %self.name(), %error, "a cron schedule cannot be started; its passes run only when asked for");
                None
            }
        };
        let mut timers = self.begin();
        let mut tasks = JoinSet::new();
        let mut space = self.applier.space();
        self.start_chores(&mut tasks, &mut timers);
        while !stop.is_cancelled() {
            let room = *space.borrow_and_update();
            self.mind_the_room(room, &mut timers).await;
            self.start_tasks(&mut tasks, &mut timers, &stop);
            let wake_at = self.next_due(&timers);
            tokio::select! {
                () = stop.cancelled() => {}
                Some(kind) = ticks.recv() => self.ticked(kind, &mut timers).await,
                () = self.wake.notified() => {
                    if self.calls.take_news() {
                        self.look_at_agendas(&mut timers).await;
                    }
                }
                Ok(()) = space.changed() => {}
                Some(ended) = tasks.join_next() => self.task_ended(ended, &mut timers).await,
                () = sleep_until(wake_at) => self.ask_for_what_is_due(&mut timers).await,
            }
        }
        self.calls.end().await;
        while tasks.join_next().await.is_some() {}
        if let Some(crons) = crons {
            crons.stop().await;
        }
    }

    /// The passes at the start, and the first sweep by interval.
    fn begin(&self) -> Timers {
        let progress = self.applier.progress();
        let swept_at = progress.as_ref().and_then(|progress| progress.swept_at);
        let mut timers = Timers::default();
        match self.settings.schedule(PassKind::Sweep) {
            Some(Schedule::Every(every)) => {
                let wait = first_sweep_in(*every, swept_at, self.clock.now());
                timers.first_due[PassKind::Sweep as usize] = Some(Instant::now() + wait);
            }
            Some(Schedule::Cron(expression)) if has_missed(expression, swept_at, self.clock.now()) => {
                self.poll(PassKind::Sweep);
            }
            Some(Schedule::Cron(_)) | None => {}
        }
        if !has_baseline(progress.as_ref()) {
            self.poll(PassKind::Sweep);
        }
        self.poll(PassKind::Changes);
        self.poll(PassKind::Open);
        self.poll(PassKind::Deadline);
        timers
    }

    /// Starts the passes that may begin, or the probe that is due; and reminders, which need no upstream.
    fn start_tasks(self: &Arc<Self>, tasks: &mut JoinSet<Ended>, timers: &mut Timers, stop: &CancellationToken) {
        let has_baseline = has_baseline(self.applier.progress().as_ref());
        let is_due = !timers.is_planned || timers.agenda.remind_at.is_some_and(|at| at <= self.clock.now());
        let is_early = timers.chores_after.is_some_and(|after| after > Instant::now());
        if has_baseline && is_due && !is_early && !timers.agenda.is_reminding {
            self.start_chores(tasks, timers);
        }
        if self.paused().is_some() || !self.applier.space().borrow().can_grow() {
            timers.probe_at = None;
            return;
        }
        if self.account.standing().state == SourceState::Unauthorized {
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
                let report = turn.watcher.run_pass(kind, &id, &stop).await;
                Ended::Pass(report, turn)
            });
        }
    }

    /// What needs no upstream: agendas of other settings, once, and reminders.
    fn start_chores(self: &Arc<Self>, tasks: &mut JoinSet<Ended>, timers: &mut Timers) {
        timers.agenda.is_reminding = true;
        let (watcher, is_planned) = (Arc::clone(self), timers.is_planned);
        tasks.spawn(async move {
            let planned = if is_planned { Ok(()) } else { watcher.plan().await };
            let reminded = watcher.remind().await;
            Ended::Chores(planned.and(reminded))
        });
    }

    /// Tells when there is too little room for what passes may find, as soon as that can be stored.
    async fn mind_the_room(&self, space: Space, timers: &mut Timers) {
        let is_told = self.applier.progress().is_some_and(|progress| progress.storage_low_since.is_some());
        if !space.can_grow() && !is_told {
            timers.shortage.get_or_insert(space);
        }
        if timers.chores_after.is_some_and(|after| after > Instant::now()) || !space.can_be_written() {
            return;
        }
        let noted = match timers.shortage {
            Some(shortage) => self.tell_storage_low(shortage).await,
            None if is_told && space.level == Level::Ample => self.note_ample_storage().await,
            None => Ok(()),
        };
        match noted {
            Ok(()) => timers.shortage = None,
            Err(error) => {
                timers.chores_after = Some(Instant::now() + DUE_AGAIN);
                tracing::error!(source = %self.name(), %error, "that there is too little room cannot be stored");
            }
        }
    }

    fn chores_ended(&self, done: Result<(), StoreError>, timers: &mut Timers) {
        timers.agenda.is_reminding = false;
        timers.is_planned |= done.is_ok();
        timers.chores_after = done.is_err().then(|| Instant::now() + DUE_AGAIN);
        if let Err(error) = done {
            tracing::error!(source = %self.name(), %error, "reminders cannot be told");
        }
    }

    async fn remind(&self) -> Result<(), StoreError> {
        if has_baseline(self.applier.progress().as_ref()) {
            while self.applier.remind(self.clock.now()).await? {}
        }
        Ok(())
    }

    /// One cheap call, to see whether the key is accepted again.
    async fn probe(&self, stop: &CancellationToken) {
        let selection = Selection::UpdatedAfter(self.clock.now());
        let answer = self.upstream.page(Kind::Certificate, &selection, None, Urgency::Changes, stop).await;
        let is_accepted = answer.is_ok();
        tracing::info!(source = %self.name(), accepted = is_accepted, "source.probed");
        if is_accepted {
            self.account.standing().state = SourceState::Failing;
            self.poll(if has_baseline(self.applier.progress().as_ref()) { PassKind::Changes } else { PassKind::Sweep });
        }
    }

    async fn ticked(&self, kind: PassKind, timers: &mut Timers) {
        self.poll(kind);
        if kind == PassKind::Changes && has_baseline(self.applier.progress().as_ref()) {
            timers.missed_ticks = timers.missed_ticks.saturating_add(1);
            if timers.missed_ticks > GAP_INTERVALS && self.paused().is_none() {
                self.say_gap(timers).await;
            }
        }
    }

    async fn task_ended(&self, ended: Result<Ended, tokio::task::JoinError>, timers: &mut Timers) {
        let turn = match ended {
            Ok(Ended::Pass(report, turn)) => {
                self.pass_ended(&report, timers);
                Some(turn)
            }
            Ok(Ended::Probe) => None,
            Ok(Ended::Chores(done)) => {
                self.chores_ended(done, timers);
                None
            }
            Err(error) => {
                tracing::error!(source = %self.name(), %error, "a task of the source ended by itself");
                None
            }
        };
        self.look_at_agendas(timers).await;
        drop(turn);
    }

    fn pass_ended(&self, report: &PassReport, timers: &mut Timers) {
        let is_complete = report.status == PassStatus::Complete;
        match report.pass {
            PassKind::Sweep if !has_baseline(self.applier.progress().as_ref()) => {
                let failures = self.lock().failed_baselines;
                timers.baseline_at = Some(Instant::now() + wait_after(failures, chance()));
            }
            PassKind::Changes if is_complete => timers.missed_ticks = 0,
            PassKind::Deadline => timers.due_after = (!is_complete).then(|| Instant::now() + DUE_AGAIN),
            PassKind::Sweep if self.has_decisions.load(Ordering::Relaxed) => drop(self.poll(PassKind::Deadline)),
            PassKind::Changes | PassKind::Open | PassKind::Sweep => {}
        }
    }

    /// Reads when the agendas have something due. Whatever changes an agenda is a task of this loop, or an answer to
    /// a call through our API, which wakes it.
    async fn look_at_agendas(&self, timers: &mut Timers) {
        let remind_at = self.applier.next_due(Task::Remind).await;
        let fetch_at = self.applier.next_due(Task::Fetch).await;
        match (remind_at, fetch_at) {
            (Ok(remind_at), Ok(fetch_at)) => {
                timers.agenda = Agendas { remind_at, fetch_at, ..timers.agenda };
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(source = %self.name(), %error, "what is due cannot be read");
            }
        }
    }

    /// When the next pass is due by an interval, or the next look at a source in trouble.
    fn next_due(&self, timers: &Timers) -> Option<Instant> {
        let now = Instant::now();
        let passes = PassKind::ALL.into_iter().filter_map(|kind| self.due_at(kind, timers, now));
        // Until the baseline is complete nobody is reminded of anything.
        let may_remind = !timers.agenda.is_reminding && has_baseline(self.applier.progress().as_ref());
        let remind_at = timers.agenda.remind_at.filter(|_| may_remind).map(|at| self.wake_for(at, now));
        let gap_at = self.gap_at().map(|at| self.wake_for(at, now));
        let chores =
            remind_at.into_iter().chain(gap_at).map(|at| timers.chores_after.map_or(at, |after| after.max(at)));
        let shortage_at = timers.shortage.and(timers.chores_after);
        passes.chain(timers.probe_at).chain(timers.baseline_at).chain(chores).chain(shortage_at).min()
    }

    /// When a kind is due; `None` while it waits already, or follows a cron expression.
    fn due_at(&self, kind: PassKind, timers: &Timers, now: Instant) -> Option<Instant> {
        let shared = self.lock();
        if shared.queue.is_waiting(kind) {
            return None;
        }
        match self.settings.schedule(kind) {
            Some(Schedule::Every(every)) => match shared.begun[kind as usize] {
                Some(begun) => Some(begun + (*every).max(SHORTEST)),
                None => timers.first_due[kind as usize],
            },
            Some(Schedule::Cron(_)) => None,
            None if shared.queue.is_running(kind) => None,
            None => {
                let fetch_at = self.wake_for(timers.agenda.fetch_at?, now);
                Some(timers.due_after.map_or(fetch_at, |after| after.max(fetch_at)))
            }
        }
    }

    /// When to look at the clock again for something that is due at an instant: `now` if it is due.
    fn wake_for(&self, at: Timestamp, now: Instant) -> Instant {
        now + at.since(self.clock.now()).min(LONGEST)
    }

    async fn say_gap(&self, timers: &mut Timers) {
        if let Err(error) = self.tell_gap().await {
            timers.chores_after = Some(Instant::now() + DUE_AGAIN);
            tracing::error!(source = %self.name(), %error, "a gap cannot be told");
        }
    }

    async fn ask_for_what_is_due(&self, timers: &mut Timers) {
        let now = Instant::now();
        for kind in PassKind::ALL {
            if self.due_at(kind, timers, now).is_some_and(|at| at <= now) {
                timers.first_due[kind as usize] = None;
                self.poll(kind);
            }
        }
        if timers.baseline_at.is_some_and(|at| at <= now) {
            timers.baseline_at = None;
            self.poll(PassKind::Sweep);
        }
        let is_early = timers.chores_after.is_some_and(|after| after > now);
        if !is_early && self.gap_at().is_some_and(|at| at <= self.clock.now()) {
            self.say_gap(timers).await;
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
