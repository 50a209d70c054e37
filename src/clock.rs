//! Time and chance: the two things that no decision fetches by itself.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::model::time::Timestamp;

/// Where loops get the time from, and chance, to hand them to decisions.
pub trait Clock: Send + Sync {
    /// The current instant. Never earlier than one that was given before.
    fn now(&self) -> Timestamp;

    /// What the machine's clock shows, for whoever compares it with another machine's. It may have been set back.
    fn shown(&self) -> Timestamp {
        self.now()
    }

    /// A number drawn evenly from 0 (included) to 1 (excluded), for decisions that take one.
    fn chance(&self) -> f64 {
        chance()
    }
}

/// The machine's clock. When that is set back, this one goes on at half its speed until it is caught up with: what is due
/// later than it was told must not wait for hours, and no instant comes twice.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest: AtomicI64,
    /// What was given last while the machine's clock was behind.
    slowed: Mutex<Option<Given>>,
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
    fn now(&self) -> Timestamp {
        self.following(self.shown(), Instant::now)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
    fn shown(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

impl SystemClock {
    /// What to give while the machine's clock shows `shown`; `passing` is asked for a clock that nobody sets, where it is
    /// needed.
    fn following(&self, shown: Timestamp, passing: impl FnOnce() -> Instant) -> Timestamp {
        let latest = Timestamp::from_millis(self.latest.fetch_max(shown.as_millis(), Ordering::Relaxed));
        if shown >= latest {
            return shown;
        }
        let mut slowed = self.slowed.lock().unwrap_or_else(PoisonError::into_inner);
        let at = passing();
        let given = slowed.filter(|given| given.now >= latest).unwrap_or(Given { now: latest, at });
        let next = given.next(at);
        *slowed = Some(next);
        self.latest.fetch_max(next.now.as_millis(), Ordering::Relaxed);
        next.now
    }
}

/// An instant that was given.
#[derive(Clone, Copy, Debug)]
struct Given {
    now: Timestamp,
    /// When that was, by a clock that nobody sets.
    at: Instant,
}

impl Given {
    /// What to give next, while the machine's clock shows something earlier.
    fn next(self, at: Instant) -> Self {
        // Whole milliseconds; what is less counts the next time.
        let halves = at.duration_since(self.at).as_millis() / 2;
        let passed = Duration::from_millis(u64::try_from(halves).unwrap_or(u64::MAX));
        Self { now: self.now.plus(passed), at: self.at + 2 * passed }
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
    pub fn advance(&self, by: Duration) {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// What a clock gives after a while, in ms, when the machine's clock shows so much.
    fn given(clock: &SystemClock, begun: Instant, passed: u64, shown: i64) -> i64 {
        let passing = || begun + Duration::from_millis(passed);
        clock.following(Timestamp::from_millis(shown), passing).as_millis()
    }

    #[test]
    fn a_clock_that_is_set_back_is_followed_at_half_speed_and_caught_up_with() {
        let (clock, begun) = (SystemClock::default(), tokio::time::Instant::now().into_std());
        let mut passed = 0;
        // The second time it goes on from where it was, and not from where the first one ended.
        for start in [10_000, 20_000] {
            assert_eq!(given(&clock, begun, passed, start), start);
            // Set back by 100 ms, and looked at every 15 ms.
            let mut look = |since: u64| given(&clock, begun, passed + since, start - 100 + since as i64) - start;
            let seen: Vec<i64> = (0..=240).step_by(15).map(&mut look).collect();
            assert_eq!(seen, [0, 7, 15, 22, 30, 37, 45, 52, 60, 67, 75, 82, 90, 95, 110, 125, 140], "from {start}");
            passed += 10_000;
        }
    }

    #[test]
    fn a_clock_that_is_set_forward_is_followed_at_once() {
        let (clock, begun) = (SystemClock::default(), tokio::time::Instant::now().into_std());
        assert_eq!(given(&clock, begun, 0, 1), 1);
        assert_eq!(given(&clock, begun, 0, 50_000), 50_000);
    }

    #[test]
    fn a_clock_that_is_set_back_gives_no_earlier_instant_to_any_thread() {
        let (clock, begun) = (SystemClock::default(), tokio::time::Instant::now().into_std());
        assert_eq!(given(&clock, begun, 0, 10_000), 10_000);
        let (passed, latest) = (AtomicU64::new(0), AtomicI64::new(0));
        let look = || {
            let shown = 9_000 + passed.fetch_add(1, Ordering::SeqCst) as i64;
            let passing = || begun + Duration::from_millis(passed.load(Ordering::SeqCst));
            let before = latest.load(Ordering::SeqCst);
            let now = clock.following(Timestamp::from_millis(shown), passing).as_millis();
            assert!(now >= before, "{now} came after {before}");
            latest.fetch_max(now, Ordering::SeqCst);
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| look()));
            }
        });
        assert!(latest.into_inner() >= 12_999, "it caught up");
    }
}
