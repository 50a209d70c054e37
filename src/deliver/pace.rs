//! Requests per second to one endpoint, evenly spaced: a generic cell rate algorithm without a burst, so that a
//! receiver never sees more than it asked for, whichever second it looks at.

use std::time::Duration;

use crate::model::endpoint::RateLimit;
use crate::model::time::Timestamp;

/// How fast one endpoint may be called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// When the next request may start: an instant, and what is finer than its milliseconds.
    next: (Timestamp, Duration),
}

impl Pace {
    /// At that rate.
    pub(super) fn of(rate: RateLimit) -> Self {
        Self { interval: rate.interval(), next: (Timestamp::EPOCH, Duration::ZERO) }
    }

    /// The same at another rate: what was sent counts.
    pub(super) fn at(self, rate: RateLimit) -> Self {
        Self { interval: rate.interval(), ..self }
    }

    /// When the next request may start.
    pub(super) fn next(&self) -> Timestamp {
        let (at, rest) = self.next;
        at.plus(if rest.is_zero() { Duration::ZERO } else { Duration::from_millis(1) })
    }

    /// A request starts.
    pub(super) fn begin(&mut self, now: Timestamp) {
        let (at, rest) = self.next;
        let (at, rest) = if at.plus(Duration::from_millis(1)) < now { (now, Duration::ZERO) } else { (at, rest) };
        let total = rest + self.interval;
        let whole = Duration::from_millis(u64::try_from(total.as_millis()).unwrap_or(u64::MAX));
        self.next = (at.plus(whole), total.saturating_sub(whole));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_second_has_more_than_its_share(count in 1..=1_000_u32, waits in prop::collection::vec(0..40_u64, 1..400)) {
            let mut pace = Pace::of(format!("{count}/s").parse().expect("a rate"));
            let mut now = Timestamp::from_millis(1_000_000);
            let mut starts = Vec::new();
            for wait in waits {
                now = now.plus(Duration::from_millis(wait)).max(pace.next());
                pace.begin(now);
                starts.push(now);
            }
            for (index, start) in starts.iter().enumerate() {
                // A millisecond less, because instants are whole ones.
                let within = starts[index..].iter().filter(|other| other.since(*start) < Duration::from_millis(999));
                prop_assert!(within.count() <= count as usize);
            }
        }
    }

    #[test]
    fn requests_are_spaced_evenly_and_the_rate_is_reached() {
        for (rate, seconds, expected) in [("5/s", 10, 50), ("3/s", 10, 30), ("1000/s", 2, 2_000), ("30/m", 60, 30)] {
            let mut pace = Pace::of(rate.parse().expect("a rate"));
            let begin = Timestamp::from_millis(1_000_000);
            let (mut now, mut count) = (begin, 0);
            while now.since(begin) < Duration::from_secs(seconds) {
                pace.begin(now);
                count += 1;
                now = now.max(pace.next());
            }
            assert_eq!(count, expected, "{rate}");
        }
    }
}
