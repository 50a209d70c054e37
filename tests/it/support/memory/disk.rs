//! What a disk would add to the store in memory: writes that take their time, one after the other, and an end of the
//! process right after one of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{MutexGuard, Notify};

/// Gives the time that the next wait takes.
type Pace = Box<dyn FnMut() -> Duration + Send>;

/// What a killed process waits for: nothing comes any more.
const NEVER: Duration = Duration::MAX;

#[derive(Default)]
pub(crate) struct Disk {
    /// Who waits for it is served in turn, as by a store with one writer.
    turn: tokio::sync::Mutex<()>,
    pace: Mutex<Option<Pace>>,
    /// Steps that cannot be undone, by what they were.
    steps: Mutex<Vec<&'static str>>,
    /// After how many of them the process is killed; 0 for never.
    last: AtomicUsize,
    is_dead: AtomicBool,
    died: Notify,
}

impl Disk {
    /// From now on every write takes its time, before it is durable and before that is known.
    pub(crate) fn take_time(&self, pace: impl FnMut() -> Duration + Send + 'static) {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(pace));
    }

    /// The process is killed after so many further steps; until [`Self::revive`] nobody hears of anything any more.
    pub(crate) fn die_after(&self, steps: usize) {
        self.last.store(self.steps().len() + steps, Ordering::SeqCst);
    }

    /// Waits until the process is killed.
    pub(crate) async fn death(&self) {
        self.died.notified().await;
    }

    /// Another process begins.
    pub(crate) fn revive(&self) {
        self.last.store(0, Ordering::SeqCst);
        self.is_dead.store(false, Ordering::SeqCst);
    }

    /// Steps so far.
    pub(crate) fn steps(&self) -> Vec<&'static str> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A step that cannot be undone: something is durable, or somebody outside knows of it.
    pub(crate) async fn step(&self, what: &'static str) {
        let count = {
            let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
            steps.push(what);
            steps.len()
        };
        if count == self.last.load(Ordering::SeqCst) {
            self.is_dead.store(true, Ordering::SeqCst);
            self.died.notify_one();
        }
        self.live().await;
    }

    /// Something that is written whole or not at all.
    pub(super) async fn act<T>(&self, what: &'static str, act: impl FnOnce() -> T) -> T {
        let turn = self.begin().await;
        let done = act();
        self.step(what).await;
        self.end(turn).await;
        done
    }

    /// Waits for its turn.
    pub(super) async fn begin(&self) -> MutexGuard<'_, ()> {
        self.live().await;
        let turn = self.turn.lock().await;
        self.wait().await;
        turn
    }

    /// The next one may write.
    pub(super) async fn end(&self, turn: MutexGuard<'_, ()>) {
        drop(turn);
        self.wait().await;
    }

    async fn live(&self) {
        if self.is_dead.load(Ordering::SeqCst) {
            tokio::time::sleep(NEVER).await;
        }
    }

    async fn wait(&self) {
        let wait = self.pace.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(|pace| pace());
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            tokio::time::sleep(wait).await;
        }
    }
}
