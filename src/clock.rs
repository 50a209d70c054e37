//! Time and chance: the two things that no decision fetches by itself.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use crate::model::time::Timestamp;

/// Where loops get the time from, and chance, to hand them to decisions.
pub trait Clock: Send + Sync {
    /// The current instant. Never earlier than one that was given before.
    fn now(&self) -> Timestamp;

    /// A number drawn evenly from 0 (included) to 1 (excluded), for decisions that take one.
    fn chance(&self) -> f64 {
        chance()
    }
}

/// The machine's clock. When that is set back, this one stands still until it has caught up.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest: AtomicI64,
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        let latest = self.latest.fetch_max(now, Ordering::Relaxed);
        Timestamp::from_millis(latest.max(now))
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self { now: AtomicI64::new(now.as_millis()) }
    }

    /// Moves it on.
    pub fn advance(&self, by: std::time::Duration) {
        self.now.fetch_max(self.now().plus(by).as_millis(), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::Relaxed))
    }
}

/// Random bytes from the operating system.
///
/// # Panics
/// If the operating system has none to give, which it has not survived itself.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A number drawn evenly from 0 (included) to 1 (excluded), the `chance` that decisions take.
pub fn chance() -> f64 {
    (u64::from_le_bytes(random_bytes()) >> 11) as f64 / (1_u64 << 53) as f64
}
