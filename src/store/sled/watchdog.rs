//! Ends the process when a commit hangs: sled knows deadlocks, a restart recovers from them, waiting does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How often it looks.
const TICK: Duration = Duration::from_secs(1);

/// In how many looks in a row it may find the same commit under way: 30 seconds.
const TICKS_MAX: u32 = 30;

/// What the writer tells the watchdog.
#[derive(Debug, Default)]
struct Shared {
    /// Counts beginnings and ends of commits: odd while one is under way.
    steps: AtomicU64,
    ended: AtomicBool,
}

/// The writer's end of it. The thread ends with it.
#[derive(Debug)]
pub(super) struct Watchdog {
    shared: Arc<Shared>,
    thread: thread::Thread,
}

impl Watchdog {
    /// Starts the thread.
    pub(super) fn start() -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        let thread = thread::Builder::new().name("store-watchdog".into()).spawn(move || watch(&watched))?;
        Ok(Self { shared, thread: thread.thread().clone() })
    }

    /// A commit begins.
    pub(super) fn begin(&self) {
        self.shared.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// It has ended.
    pub(super) fn end(&self) {
        self.shared.steps.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

fn watch(shared: &Shared) {
    let mut patience = Patience::default();
    while !shared.ended.load(Ordering::Relaxed) {
        thread::park_timeout(TICK);
        if patience.has_ended(shared.steps.load(Ordering::Relaxed)) {
            tracing::error!(seconds = TICKS_MAX, "a commit hangs; ending the process, since only a restart recovers");
            std::process::abort();
        }
    }
}

/// Counts the looks that found the same commit under way.
#[derive(Debug, Default)]
struct Patience {
    steps: u64,
    ticks: u32,
}

impl Patience {
    /// Whether it has lasted too long, after a look that found `steps`.
    fn has_ended(&mut self, steps: u64) -> bool {
        let is_under_way = steps % 2 == 1;
        self.ticks = if is_under_way && steps == self.steps { self.ticks + 1 } else { 0 };
        self.steps = steps;
        self.ticks >= TICKS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_and_the_same_commit_for_thirty_seconds_ends_patience() {
        let ends_within = |looks: &[u64]| {
            let mut patience = Patience::default();
            looks.iter().any(|&steps| patience.has_ended(steps))
        };
        assert!(ends_within(&[7; 31]));
        assert!(!ends_within(&[7; 30]));
        assert!(!ends_within(&[8; 100]), "nothing is under way");
        assert!(!ends_within(&(0..100).map(|look| 2 * look + 1).collect::<Vec<_>>()), "each is another one");
    }
}
