//! Whose call is next: the token bucket's waiting policy as a value, with time as an argument.
//!
//! Instants are durations since the bucket was made. The policy is public so that a simulation can share it: whoever
//! asks in simulated time gets the answers that a source's calls get.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::Urgency;

/// The slowest bucket there is: one call an hour. A source asked less often than that is a mistake in the unit.
pub(super) const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// A place in the queue. Orders by urgency, then by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    urgency: Urgency,
    arrival: u64,
}

/// What somebody who waits is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Take the token; the place is given up.
    Go,
    /// You are the next: ask again after this, when a token is there that you may have.
    Wait(Duration),
    /// Somebody else is next: ask again when told to.
    Behind,
    /// Nobody gets a token for this long; the place is given up.
    Paused(Duration),
}

/// Tokens that come one by one, up to so many.
///
/// They are kept as one instant (the "generic cell rate algorithm"), so that nothing is added up and nothing drifts:
/// each token taken moves the instant at which all are there again by one interval.
#[derive(Debug)]
struct Tokens {
    interval: Duration,
    /// What may be missing until all are there while one is still left.
    slack: Duration,
    full_at: Duration,
}

impl Tokens {
    fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, slack: interval * (burst - 1), full_at: Duration::ZERO }
    }

    /// From when on there is a token.
    fn at(&self) -> Duration {
        self.full_at.saturating_sub(self.slack)
    }

    /// How many there are, and parts of the next one.
    fn left(&self, now: Duration) -> f64 {
        let missing = self.full_at.saturating_sub(now);
        (self.slack + self.interval).saturating_sub(missing).div_duration_f64(self.interval)
    }

    fn take(&mut self, now: Duration) {
        self.full_at = self.full_at.max(now) + self.interval;
    }
}

/// Tokens and those who wait for one.
///
/// Calls of [`Urgency::Open`] take theirs from a share of the bucket: half of its rate and half of its burst (yet at
/// least one token), and no more although nobody else asks. Open lists may be long and are read every few minutes;
/// at the whole rate they would leave nothing to a sweep. One whose share is used up stands aside, and
/// whoever is behind goes first.
#[derive(Debug)]
pub struct Turns {
    all: Tokens,
    /// What calls of [`Urgency::Open`] may take of them.
    open: Tokens,
    paused_until: Duration,
    waiting: BTreeSet<Place>,
    arrivals: u64,
}

impl Turns {
    /// A full bucket that holds what comes in a second, and at least one. `None` if the rate is not above 0, or
    /// below one call an hour.
    pub fn new(per_second: f64) -> Option<Self> {
        let interval = Duration::try_from_secs_f64(1.0 / per_second).ok()?;
        if !per_second.is_finite() || interval > INTERVAL_MAX {
            return None;
        }
        let burst = per_second.floor().clamp(1.0, f64::from(u32::MAX)) as u32;
        Some(Self {
            all: Tokens::new(interval, burst),
            open: Tokens::new(interval * 2, (burst / 2).max(1)),
            paused_until: Duration::ZERO,
            waiting: BTreeSet::new(),
            arrivals: 0,
        })
    }

    /// Takes a place behind those who are as urgent or more so.
    pub fn enter(&mut self, urgency: Urgency) -> Place {
        let place = Place { urgency, arrival: self.arrivals };
        self.arrivals += 1;
        self.waiting.insert(place);
        place
    }

    /// Gives a place up; nothing happens if that has been done.
    pub fn leave(&mut self, place: Place) {
        self.waiting.remove(&place);
    }

    /// Who gets the next token: the most urgent of those who may have it when it is there.
    pub fn next(&self, now: Duration) -> Option<Place> {
        let first = self.waiting.first().copied()?;
        if self.ready_at(first) <= self.all.at().max(now) {
            return Some(first);
        }
        let mut waiting = self.waiting.iter().copied();
        waiting.find(|place| place.urgency != Urgency::Open).or(Some(first))
    }

    /// What the holder of a place is told at `now`.
    pub fn ask(&mut self, place: Place, now: Duration) -> Turn {
        if now < self.paused_until {
            self.leave(place);
            return Turn::Paused(self.paused_until - now);
        }
        if self.next(now) != Some(place) {
            return Turn::Behind;
        }
        let ready_at = self.ready_at(place);
        if now < ready_at {
            return Turn::Wait(ready_at - now);
        }
        self.all.take(now);
        if place.urgency == Urgency::Open {
            self.open.take(now);
        }
        self.leave(place);
        Turn::Go
    }

    /// How many calls could be made at once: none during a pause.
    pub(super) fn left(&self, now: Duration) -> f64 {
        if now < self.paused_until { 0.0 } else { self.all.left(now) }
    }

    /// Gives nobody a token for `wait`. A pause under way is never shortened.
    pub(super) fn pause(&mut self, now: Duration, wait: Duration) {
        self.paused_until = self.paused_until.max(now + wait);
    }

    /// From when on there is a token that the holder of a place may have.
    fn ready_at(&self, place: Place) -> Duration {
        match place.urgency {
            Urgency::Open => self.all.at().max(self.open.at()),
            Urgency::Api | Urgency::Deadline | Urgency::Changes | Urgency::Sweep => self.all.at(),
        }
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
    fn what_is_left_goes_with_each_call_and_comes_back_at_the_rate() {
        let mut turns = Turns::new(4.0).expect("a rate");
        assert_eq!(turns.left(ms(0)), 4.0);
        for left in [3.0, 2.0, 1.0, 0.0] {
            let place = turns.enter(Urgency::Sweep);
            assert_eq!(turns.ask(place, ms(0)), Turn::Go);
            assert_eq!(turns.left(ms(0)), left);
        }
        assert_eq!((turns.left(ms(125)), turns.left(ms(750)), turns.left(ms(9_000))), (0.5, 3.0, 4.0));
        turns.pause(ms(9_000), ms(1_000));
        assert_eq!((turns.left(ms(9_999)), turns.left(ms(10_000))), (0.0, 4.0));
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
        assert_eq!(turns.next(ms(60_000)), None);
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
        assert_eq!(turns.next(ms(60_000)), None);
        let later = turns.enter(Urgency::Sweep);
        assert_eq!(turns.ask(later, ms(5000)), Turn::Go);
    }

    const URGENCIES: [Urgency; 5] = [Urgency::Api, Urgency::Deadline, Urgency::Changes, Urgency::Open, Urgency::Sweep];

    #[test]
    fn open_calls_take_at_most_half_although_nobody_else_asks() {
        for (rate, burst, interval) in [(10.0, 5, ms(200)), (5.0, 2, ms(400)), (1.0, 1, ms(2000)), (0.1, 1, ms(20_000))]
        {
            let mut turns = Turns::new(rate).expect("a rate");
            for _ in 0..burst {
                let place = turns.enter(Urgency::Open);
                assert_eq!(turns.ask(place, ms(0)), Turn::Go, "at {rate}");
            }
            let place = turns.enter(Urgency::Open);
            assert_eq!(turns.ask(place, ms(0)), Turn::Wait(interval), "at {rate}");
            assert_eq!(turns.ask(place, interval), Turn::Go, "at {rate}");
        }
    }

    #[test]
    fn an_open_call_whose_share_is_used_up_stands_aside_until_it_may_go_again() {
        let mut turns = Turns::new(1.0).expect("a rate");
        let first = turns.enter(Urgency::Open);
        assert_eq!(turns.ask(first, ms(0)), Turn::Go);
        let open = turns.enter(Urgency::Open);
        assert_eq!(turns.ask(open, ms(0)), Turn::Wait(ms(2000)), "nobody else waits");
        let sweeps = [turns.enter(Urgency::Sweep), turns.enter(Urgency::Sweep)];
        assert_eq!(turns.ask(open, ms(0)), Turn::Behind);
        assert_eq!(turns.ask(sweeps[0], ms(0)), Turn::Wait(ms(1000)));
        assert_eq!(turns.ask(sweeps[0], ms(1000)), Turn::Go);
        assert_eq!(turns.ask(sweeps[1], ms(1000)), Turn::Behind, "the next token comes when the share is there again");
        assert_eq!(turns.ask(open, ms(1000)), Turn::Wait(ms(1000)));
        assert_eq!(turns.ask(open, ms(2000)), Turn::Go);
        assert_eq!(turns.ask(sweeps[1], ms(3000)), Turn::Go);
    }

    #[test]
    fn what_others_take_does_not_count_against_the_share() {
        let mut turns = Turns::new(4.0).expect("a rate");
        for _ in 0..4 {
            let place = turns.enter(Urgency::Changes);
            assert_eq!(turns.ask(place, ms(0)), Turn::Go);
        }
        for (open, now) in [(turns.enter(Urgency::Open), ms(250)), (turns.enter(Urgency::Open), ms(500))] {
            assert_eq!(turns.ask(open, now), Turn::Go);
        }
    }

    /// Who went when, over random arrivals, with the laws checked at every step. The laws are those of the two
    /// limits in words; they share nothing with how the policy keeps its tokens.
    struct Run {
        rate: f64,
        turns: Turns,
        now: Duration,
        waiting: Vec<Place>,
        gone: Vec<(Place, Duration)>,
    }

    impl Run {
        fn at(rate: f64) -> Self {
            let turns = Turns::new(rate).expect("a rate");
            Self { rate, turns, now: Duration::ZERO, waiting: Vec::new(), gone: Vec::new() }
        }

        fn enter(&mut self, urgency: Urgency) -> Place {
            let place = self.turns.enter(urgency);
            self.waiting.push(place);
            place
        }

        fn leave(&mut self, place: Place) {
            self.turns.leave(place);
            self.waiting.retain(|other| *other != place);
        }

        /// Everybody who may goes, up to the instant; then that is the time.
        fn until(&mut self, end: Duration) {
            while let Some(next) = self.turns.next(self.now) {
                match self.turns.ask(next, self.now) {
                    Turn::Go => self.went(next),
                    Turn::Wait(wait) => {
                        assert!(wait > Duration::ZERO);
                        for place in &self.waiting {
                            assert!(!self.may_go(*place), "{place:?} is kept waiting at {:?}", self.now);
                        }
                        if self.now + wait > end {
                            break;
                        }
                        self.now += wait;
                    }
                    Turn::Behind | Turn::Paused(_) => panic!("{next:?} is next, and nothing was paused"),
                }
            }
            self.now = self.now.max(end);
        }

        fn went(&mut self, place: Place) {
            assert!(self.may_go(place) || self.is_close_call(place), "{place:?} went at {:?}", self.now);
            self.waiting.retain(|other| *other != place);
            for other in &self.waiting {
                assert!(*other > place || !self.may_go(*other), "{place:?} went before {other:?} at {:?}", self.now);
            }
            self.gone.push((place, self.now));
        }

        /// Whether one more call now keeps the limits, with room to spare for the rounding of an interval.
        fn may_go(&self, place: Place) -> bool {
            self.room(place) >= ROUNDING
        }

        fn is_close_call(&self, place: Place) -> bool {
            self.room(place) > -ROUNDING
        }

        /// How many calls beyond one more the place may make now.
        fn room(&self, place: Place) -> f64 {
            let burst = self.rate.floor().max(1.0);
            let all = self.room_within(|_| true, self.rate, burst);
            let open = self.room_within(
                |place| place.urgency == Urgency::Open,
                self.rate / 2.0,
                (burst / 2.0).floor().max(1.0),
            );
            if place.urgency == Urgency::Open { all.min(open) } else { all }
        }

        /// In no window do more calls go than its length times the rate, and one burst.
        fn room_within(&self, counts: impl Fn(&Place) -> bool, rate: f64, burst: f64) -> f64 {
            let counted = self.gone.iter().filter(|(place, _)| counts(place)).rev();
            let windows = counted
                .enumerate()
                .map(|(later, (_, from))| burst + (self.now - *from).as_secs_f64() * rate - (later + 2) as f64);
            windows.fold(burst - 1.0, f64::min)
        }
    }

    /// An interval is kept in whole nanoseconds; over the 80 calls of a run, at 20 a second, that is
    /// less than this part of a call.
    const ROUNDING: f64 = 1e-5;

    proptest! {
        #[test]
        fn the_limits_hold_in_every_window_and_nobody_who_may_go_is_kept_waiting_or_passed_over(
            rate in 0.2_f64..20.0,
            arrivals in prop::collection::vec((0_usize..5, 0_u64..400, any::<bool>()), 1..80),
        ) {
            let mut run = Run::at(rate);
            for (urgency, gap, gives_up) in arrivals {
                let place = run.enter(URGENCIES[urgency]);
                run.until(run.now + ms(gap));
                if gives_up {
                    run.leave(place);
                }
            }
            // Nobody is left behind for ever: each needs one token, or two intervals of the share.
            let patience = Duration::from_secs_f64((2 * run.waiting.len() + 2) as f64 / rate);
            run.until(run.now + patience);
            prop_assert_eq!(run.waiting, []);
        }

        #[test]
        fn where_everybody_always_wants_more_open_calls_get_half_and_a_sweep_the_other(
            rate in 0.2_f64..20.0,
            calls in 10_usize..80,
        ) {
            let mut run = Run::at(rate);
            while run.gone.len() < calls {
                for urgency in [Urgency::Open, Urgency::Sweep] {
                    if !run.waiting.iter().any(|place| place.urgency == urgency) {
                        run.enter(urgency);
                    }
                }
                run.until(run.now);
                let wait = run.turns.next(run.now).map(|next| run.turns.ask(next, run.now));
                if let Some(Turn::Wait(wait)) = wait {
                    run.until(run.now + wait);
                }
            }
            let open = run.gone.iter().filter(|(place, _)| place.urgency == Urgency::Open).count();
            let half = run.gone.len() / 2;
            prop_assert!(open.abs_diff(half) <= 1, "{} of {}", open, run.gone.len());
        }
    }
}
