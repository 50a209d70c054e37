//! Whose call is next: the token bucket's waiting policy as a value, with time as an argument.
//!
//! Instants are durations since the bucket was made.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::Urgency;

/// The slowest bucket there is: one call an hour. A source asked less often than that is a mistake in the unit.
pub(super) const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// A place in the queue. Orders by urgency, then by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    urgency: Urgency,
    arrival: u64,
}

/// What somebody who waits is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Take the token; the place is given up.
    Go,
    /// You are the first: ask again after this, when the next token is there.
    Wait(Duration),
    /// Somebody else is first: ask again when told to.
    Behind,
    /// Nobody gets a token for this long; the place is given up.
    Paused(Duration),
}

/// Tokens and those who wait for one.
///
/// The tokens are kept as one instant (the "generic cell rate algorithm"), so that nothing is added up and nothing
/// drifts: each token taken moves the instant at which the bucket is full again by one interval.
#[derive(Debug)]
pub(super) struct Turns {
    interval: Duration,
    /// What may be missing from a full bucket while one token is still left.
    slack: Duration,
    full_at: Duration,
    paused_until: Duration,
    waiting: BTreeSet<Place>,
    arrivals: u64,
}

impl Turns {
    /// A full bucket that holds what comes in a second, and at least one. `None` if the rate is not above 0, or
    /// below one call an hour.
    pub(super) fn new(per_second: f64) -> Option<Self> {
        let interval = Duration::try_from_secs_f64(1.0 / per_second).ok()?;
        if !per_second.is_finite() || interval > INTERVAL_MAX {
            return None;
        }
        let burst = per_second.floor().clamp(1.0, f64::from(u32::MAX)) as u32;
        Some(Self {
            interval,
            slack: interval * (burst - 1),
            full_at: Duration::ZERO,
            paused_until: Duration::ZERO,
            waiting: BTreeSet::new(),
            arrivals: 0,
        })
    }

    /// Takes a place behind those who are as urgent or more so.
    pub(super) fn enter(&mut self, urgency: Urgency) -> Place {
        let place = Place { urgency, arrival: self.arrivals };
        self.arrivals += 1;
        self.waiting.insert(place);
        place
    }

    /// Gives a place up; nothing happens if that has been done.
    pub(super) fn leave(&mut self, place: Place) {
        self.waiting.remove(&place);
    }

    /// Who gets the next token.
    pub(super) fn first(&self) -> Option<Place> {
        self.waiting.first().copied()
    }

    /// What the holder of a place is told at `now`.
    pub(super) fn ask(&mut self, place: Place, now: Duration) -> Turn {
        if now < self.paused_until {
            self.leave(place);
            return Turn::Paused(self.paused_until - now);
        }
        if self.first() != Some(place) {
            return Turn::Behind;
        }
        let token_at = self.full_at.saturating_sub(self.slack);
        if now < token_at {
            return Turn::Wait(token_at - now);
        }
        self.full_at = self.full_at.max(now) + self.interval;
        self.leave(place);
        Turn::Go
    }

    /// Gives nobody a token for `wait`. A pause under way is never shortened.
    pub(super) fn pause(&mut self, now: Duration, wait: Duration) {
        self.paused_until = self.paused_until.max(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_rate_is_above_zero_and_at_least_one_call_an_hour() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.000_1, 1e-300] {
            assert!(Turns::new(bad).is_none(), "{bad}");
        }
        for good in [1.0 / 3600.0, 0.5, 5.0, 1e12] {
            assert!(Turns::new(good).is_some(), "{good}");
        }
    }

    #[test]
    fn a_burst_is_what_comes_in_one_second() {
        for (rate, burst, interval) in [(5.0, 5, ms(200)), (2.5, 2, ms(400)), (1.0, 1, ms(1000)), (0.1, 1, ms(10_000))]
        {
            let mut turns = Turns::new(rate).expect("a rate");
            for _ in 0..burst {
                let place = turns.enter(Urgency::Sweep);
                assert_eq!(turns.ask(place, ms(0)), Turn::Go, "at {rate}");
            }
            let place = turns.enter(Urgency::Sweep);
            assert_eq!(turns.ask(place, ms(0)), Turn::Wait(interval), "at {rate}");
            assert_eq!(turns.ask(place, interval), Turn::Go, "at {rate}");
        }
    }

    #[test]
    fn the_most_urgent_goes_first_and_among_equals_the_first() {
        let mut turns = Turns::new(1.0).expect("a rate");
        let sweep = turns.enter(Urgency::Sweep);
        let early = turns.enter(Urgency::Changes);
        let late = turns.enter(Urgency::Changes);
        let api = turns.enter(Urgency::Api);
        let order = [api, early, late, sweep];
        for (second, next) in order.iter().enumerate() {
            let now = Duration::from_secs(second as u64);
            for other in order.iter().skip(second + 1) {
                assert_eq!(turns.ask(*other, now), Turn::Behind);
            }
            assert_eq!(turns.ask(*next, now), Turn::Go);
        }
        assert_eq!(turns.first(), None);
    }

    #[test]
    fn who_leaves_takes_no_token_along() {
        let mut turns = Turns::new(1.0).expect("a rate");
        let gone = turns.enter(Urgency::Api);
        let stays = turns.enter(Urgency::Sweep);
        assert_eq!(turns.ask(stays, ms(0)), Turn::Behind);
        turns.leave(gone);
        assert_eq!(turns.ask(stays, ms(0)), Turn::Go);
    }

    #[test]
    fn a_pause_sends_everybody_away_and_is_never_shortened() {
        let mut turns = Turns::new(1.0).expect("a rate");
        turns.pause(ms(0), ms(5000));
        turns.pause(ms(1000), ms(1000));
        let (first, second) = (turns.enter(Urgency::Api), turns.enter(Urgency::Sweep));
        assert_eq!(turns.ask(second, ms(2000)), Turn::Paused(ms(3000)));
        assert_eq!(turns.ask(first, ms(2000)), Turn::Paused(ms(3000)));
        assert_eq!(turns.first(), None);
        let later = turns.enter(Urgency::Sweep);
        assert_eq!(turns.ask(later, ms(5000)), Turn::Go);
    }

    const URGENCIES: [Urgency; 5] = [Urgency::Api, Urgency::Deadline, Urgency::Changes, Urgency::Open, Urgency::Sweep];

    proptest! {
        #[test]
        fn in_no_window_do_more_calls_go_than_the_rate_and_one_burst(
            rate in 0.2_f64..20.0,
            arrivals in prop::collection::vec((0_usize..5, 0_u64..400), 1..80),
        ) {
            let mut turns = Turns::new(rate).expect("a rate");
            let mut now = Duration::ZERO;
            let mut gone = Vec::new();
            for (urgency, gap) in arrivals {
                turns.enter(URGENCIES[urgency]);
                now += ms(gap);
                while let Some(first) = turns.first() {
                    if turns.ask(first, now) != Turn::Go {
                        break;
                    }
                    gone.push(now);
                }
            }
            let burst = rate.floor().max(1.0);
            for (earlier, from) in gone.iter().enumerate() {
                for (later, to) in gone.iter().enumerate().skip(earlier) {
                    let calls = (later - earlier + 1) as f64;
                    let allowed = burst + (*to - *from).as_secs_f64() * rate;
                    prop_assert!(calls <= allowed + 1e-6, "{calls} calls, {allowed} allowed");
                }
            }
        }
    }
}
