//! How an endpoint is doing, as a value: what its attempts have shown, and what it may be sent in consequence.
//!
//! Three things hold an endpoint back. Its *concurrency* falls to one request at a failure and doubles with every
//! success. Its *circuit breaker* opens when most of the last attempts failed, or when several in a row got no answer
//! at all; while it is open nothing is started, so that nobody is charged for a receiver that is away, and when its
//! time is over, one attempt is made that closes it or opens it for twice as long. And a receiver may ask for a
//! *pause*. An endpoint that fails is *probed* all the while: tried outside every schedule, to see whether it is back.

use std::time::Duration;

use super::pace::Pace;
use crate::model::delivery::Outcome;
use crate::model::endpoint::RateLimit;
use crate::model::health::{Health, HealthRecord, HealthState};
use crate::model::id::Position;
use crate::model::time::Timestamp;

/// How many of the last attempts the breaker looks at,
const RECENT: u32 = 10;

/// and how many of them must have failed for it to open.
const FAILURES_MAX: u32 = 7;

/// The breaker also opens after so many attempts in a row without any answer: they are the expensive ones.
const UNANSWERED_MAX: u32 = 3;

/// An endpoint whose last so many attempts failed is failing as a whole. Fewer can be the fault of one event.
pub(super) const FAILING_AFTER: u32 = 4;

/// For so long, one success of an endpoint that works stands for all of them: each would be one more row.
const SUCCESS_KEPT_FOR: Duration = Duration::from_secs(60);

/// How long the breaker is open, and how often a failing endpoint is probed.
#[derive(Clone, Copy, Debug)]
pub struct Circuit {
    /// For how long it opens first.
    pub first: Duration,
    /// For how long at most: it doubles up to here.
    pub most: Duration,
    /// How often a failing endpoint is tried outside every schedule.
    pub probe: Duration,
}

impl Circuit {
    /// A breaker as we promise it, over an endpoint that is probed so often.
    pub const fn probing_every(probe: Duration) -> Self {
        Self { first: Duration::from_secs(30), most: Duration::from_secs(15 * 60), probe }
    }
}

/// What an outcome says of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Works,
    Fails,
    /// It fails, and did not even answer.
    Silent,
    /// It answered with a word about this one delivery, which says nothing of the others.
    Nothing,
}

fn sign(outcome: Outcome) -> Sign {
    match outcome {
        Outcome::Delivered => Sign::Works,
        Outcome::Aborted => Sign::Nothing,
        Outcome::Redirected | Outcome::Gone | Outcome::Throttled | Outcome::Rejected | Outcome::ServerError => {
            Sign::Fails
        }
        Outcome::DnsFailed
        | Outcome::AddressRefused
        | Outcome::ConnectFailed
        | Outcome::TlsFailed
        | Outcome::TimedOut
        | Outcome::Broken => Sign::Silent,
    }
}

/// What a success ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// A failure or a few among successes, which one event can cause again and again.
    Slip,
    /// The failing of the endpoint as a whole.
    Outage,
}

/// What is told to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    /// It failed [`FAILING_AFTER`] times in a row.
    Failing,
    /// It took something again after that was told.
    Recovered,
}

/// What follows from an attempt for its endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// What it put an end to.
    pub(super) recovery: Option<Recovery>,
    /// What others are told.
    pub(super) told: Option<Transition>,
    /// Whether what is kept has changed so that it must be saved. Most successes of an endpoint that works are no news.
    pub(super) is_news: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaker {
    Closed,
    Open { until: Timestamp, wait: Duration },
}

/// How one endpoint is doing.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    circuit: Circuit,
    kept: HealthRecord,
    /// The last attempts, the latest in the lowest bit; a failure is a one.
    recent: u32,
    /// Attempts in a row that got no answer.
    unanswered: u32,
    breaker: Breaker,
    /// The success that is kept: those after it are no news for a while.
    kept_success_at: Option<Timestamp>,
    probe_at: Option<Timestamp>,
    pace: Option<Pace>,
    limit: usize,
    allowed: usize,
}

impl Condition {
    /// An endpoint of which this is known from before.
    pub(super) fn new(circuit: Circuit, kept: HealthRecord) -> Self {
        let is_failing = kept.consecutive_failures > 0;
        Self {
            circuit,
            kept,
            recent: 0,
            unanswered: 0,
            breaker: Breaker::Closed,
            kept_success_at: kept.last_success_at,
            probe_at: kept.last_failure_at.filter(|_| is_failing).map(|at| at.plus(circuit.probe)),
            pace: None,
            limit: usize::MAX,
            allowed: if is_failing { 1 } else { usize::MAX },
        }
    }

    /// Never more than so many requests at a time, at least one, and never faster than this.
    pub(super) fn limit(&mut self, limit: usize, rate: Option<RateLimit>) {
        self.pace = rate.map(|rate| self.pace.map_or_else(|| Pace::of(rate), |pace| pace.at(rate)));
        let limit = limit.max(1);
        self.allowed = if self.allowed >= self.limit { limit } else { self.allowed.min(limit) };
        self.limit = limit;
    }

    /// Starts nothing before `until`.
    pub(super) fn pause(&mut self, until: Timestamp) {
        self.kept.paused_until = self.kept.paused_until.max(Some(until));
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.pace.iter_mut().for_each(|pace| pace.begin(now));
    }

    /// An attempt that began at `at` has ended. `tells` says whether its failure may be told to others.
    pub(super) fn note(&mut self, outcome: Outcome, at: Timestamp, now: Timestamp, tells: bool) -> Noted {
        self.unanswered = if sign(outcome) == Sign::Silent { self.unanswered + 1 } else { 0 };
        let noted = match sign(outcome) {
            Sign::Works => self.succeed(at),
            Sign::Fails | Sign::Silent => self.fail(at, now, tells),
            Sign::Nothing => Noted::default(),
        };
        if noted.is_news {
            self.kept_success_at = self.kept.last_success_at;
        }
        noted
    }

    /// A delivery has run out of attempts.
    pub(super) fn give_up(&mut self, position: Position) {
        self.kept.first_given_up = Some(self.kept.first_given_up.map_or(position, |first| first.min(position)));
    }

    fn succeed(&mut self, at: Timestamp) -> Noted {
        let failures = self.kept.consecutive_failures;
        let recovery = match failures {
            0 => None,
            _ if self.is_open() || failures >= FAILING_AFTER => Some(Recovery::Outage),
            _ => Some(Recovery::Slip),
        };
        self.recent = if self.is_open() { 0 } else { self.recent << 1 };
        self.kept.last_success_at = self.kept.last_success_at.max(Some(at));
        self.kept.consecutive_failures = 0;
        self.kept.failing_since = None;
        self.kept.first_given_up = None;
        let told = std::mem::take(&mut self.kept.is_told).then_some(Transition::Recovered);
        self.breaker = Breaker::Closed;
        self.probe_at = None;
        self.allowed = self.allowed.saturating_mul(2).min(self.limit);
        let is_old = self.kept_success_at.is_none_or(|kept| at.since(kept) >= SUCCESS_KEPT_FOR);
        Noted { recovery, told, is_news: recovery.is_some() || told.is_some() || is_old }
    }

    fn fail(&mut self, at: Timestamp, now: Timestamp, tells: bool) -> Noted {
        self.kept.last_failure_at = self.kept.last_failure_at.max(Some(at));
        self.kept.consecutive_failures = self.kept.consecutive_failures.saturating_add(1);
        self.kept.failing_since.get_or_insert(at);
        let begins = tells && !self.kept.is_told && self.kept.consecutive_failures >= FAILING_AFTER;
        self.kept.is_told |= begins;
        self.trip(now);
        Noted { recovery: None, told: begins.then_some(Transition::Failing), is_news: true }
    }

    fn trip(&mut self, now: Timestamp) {
        self.recent = self.recent << 1 | 1;
        self.probe_at = Some(now.plus(self.circuit.probe));
        self.allowed = 1;
        let failures = (self.recent & ((1 << RECENT) - 1)).count_ones();
        let trips = failures >= FAILURES_MAX || self.unanswered >= UNANSWERED_MAX;
        let wait = match self.breaker {
            Breaker::Closed if trips => self.circuit.first,
            Breaker::Open { until, wait } if now >= until => (wait * 2).min(self.circuit.most),
            // What was under way when it opened, and probes, do not make it longer.
            Breaker::Closed | Breaker::Open { .. } => return,
        };
        self.breaker = Breaker::Open { until: now.plus(wait), wait };
    }

    /// Closes the breaker and ends a pause, because an operator says that the receiver is back.
    pub(super) fn give_a_chance(&mut self) {
        self.breaker = Breaker::Closed;
        self.recent = 0;
        self.unanswered = 0;
        self.kept.paused_until = None;
        self.kept.failing_since = None;
    }

    /// What is to be kept of it.
    pub(super) fn kept(&self) -> HealthRecord {
        self.kept
    }

    /// For how long it has been failing without interruption.
    pub(super) fn failing_for(&self, now: Timestamp) -> Duration {
        self.kept.failing_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Whether an attempt that is due may start at `now` beside those in flight.
    pub(super) fn permits(&self, in_flight: usize, now: Timestamp) -> bool {
        let breaker = match self.breaker {
            Breaker::Closed => true,
            Breaker::Open { until, .. } => now >= until && in_flight == 0,
        };
        breaker && in_flight < self.allowed && now >= self.held_until()
    }

    /// Whether one more request keeps within what the endpoint's owner has set, whatever else speaks against it.
    pub(super) fn has_room(&self, in_flight: usize, now: Timestamp) -> bool {
        in_flight < self.limit && now >= self.paced_until()
    }

    /// Whether the endpoint should be probed at `now`. One that is being tried needs no probe.
    pub(super) fn wants_probe(&self, in_flight: usize, now: Timestamp) -> bool {
        in_flight == 0 && self.probes_at().is_some_and(|at| now >= at)
    }

    /// Until when it wants nothing: it asked for a pause, or has just been sent something.
    fn held_until(&self) -> Timestamp {
        self.paced_until().max(self.kept.paused_until.unwrap_or(Timestamp::EPOCH))
    }

    /// When the time between two requests is over.
    pub(super) fn paced_until(&self) -> Timestamp {
        self.pace.map_or(Timestamp::EPOCH, |pace| pace.next())
    }

    /// When the breaker's time, a pause, or the time between two requests is over, if that is after `now`.
    pub(super) fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        let until = match self.breaker {
            Breaker::Closed => self.held_until(),
            Breaker::Open { until, .. } => until.max(self.held_until()),
        };
        (until > now).then_some(until)
    }

    /// When it is to be probed next, while it is failing.
    pub(super) fn probes_at(&self) -> Option<Timestamp> {
        Some(self.probe_at?.max(self.held_until()))
    }

    /// Whether its last attempt failed.
    pub(super) fn is_failing(&self) -> bool {
        self.kept.consecutive_failures > 0
    }

    fn is_open(&self) -> bool {
        self.breaker != Breaker::Closed
    }

    /// For those who ask.
    pub(super) fn health(&self) -> Health {
        let state = match self.breaker {
            Breaker::Open { .. } => HealthState::CircuitOpen,
            Breaker::Closed if self.is_failing() => HealthState::Failing,
            Breaker::Closed => HealthState::Healthy,
        };
        Health {
            state,
            last_success_at: self.kept.last_success_at,
            last_failure_at: self.kept.last_failure_at,
            consecutive_failures: self.kept.consecutive_failures,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROBE: Duration = Duration::from_secs(300);
    const CIRCUIT: Circuit = Circuit::probing_every(PROBE);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn condition() -> Condition {
        let mut condition = Condition::new(CIRCUIT, HealthRecord::default());
        condition.limit(8, None);
        condition
    }

    /// The letters of a history: `.` delivered, `x` refused, `-` no answer, `a` aborted.
    fn outcome(letter: char) -> Outcome {
        match letter {
            '.' => Outcome::Delivered,
            'x' => Outcome::ServerError,
            '-' => Outcome::TimedOut,
            'a' => Outcome::Aborted,
            other => panic!("{other} is no letter of a history"),
        }
    }

    /// A condition after a history, one attempt a second.
    fn after(history: &str) -> Condition {
        let mut condition = condition();
        for (second, letter) in (0..).zip(history.chars()) {
            condition.note(outcome(letter), at(second), at(second), true);
        }
        condition
    }

    #[test]
    fn the_breaker_opens_at_seven_failures_of_ten_or_three_silences_in_a_row() {
        use HealthState::{CircuitOpen, Failing, Healthy};
        for (history, state, failures) in [
            ("", Healthy, 0),
            (".", Healthy, 0),
            ("x", Failing, 1),
            ("x.", Healthy, 0),
            ("xxxxxx", Failing, 6),
            ("xxxxxxx", CircuitOpen, 7),
            ("..........xxxxxx", Failing, 6),
            ("..........xxxxxxx", CircuitOpen, 7),
            ("xx.xx.xx.x", CircuitOpen, 1),
            ("xx.xx.xx..", Healthy, 0),
            ("xxx...xxx.x", Failing, 1),
            ("--", Failing, 2),
            ("---", CircuitOpen, 3),
            (".---", CircuitOpen, 3),
            ("--x--", Failing, 5),
            ("--.--", Failing, 2),
            ("--a--", Failing, 4),
            ("aaaaaaaaaa", Healthy, 0),
            ("---.", Healthy, 0),
            ("---.xx", Failing, 2),
        ] {
            let health = after(history).health();
            assert_eq!((health.state, health.consecutive_failures), (state, failures), "{history:?}");
        }
    }

    #[test]
    fn an_open_breaker_lets_one_attempt_pass_when_its_time_is_over_and_doubles_up_to_a_quarter_of_an_hour() {
        let mut condition = after("---");
        let mut now = at(2);
        for wait in [30, 60, 120, 240, 480, 900, 900] {
            let opens = condition.opens_at(now).expect("it is open");
            assert_eq!(opens.since(now), Duration::from_secs(wait));
            assert!(!condition.permits(0, Timestamp::from_millis(opens.as_millis() - 1)));
            assert!(condition.permits(0, opens) && !condition.permits(1, opens), "one at a time");
            now = opens;
            condition.note(Outcome::TimedOut, now, now, true);
        }
        condition.note(Outcome::Delivered, now, now, true);
        assert!(condition.permits(1, now) && !condition.permits(2, now), "closed, and ramped up from one");
        for letter in "---".chars() {
            condition.note(outcome(letter), now, now, true);
        }
        assert_eq!(condition.opens_at(now), Some(now.plus(CIRCUIT.first)), "and the next time it is short again");
    }

    #[test]
    fn what_is_kept_of_an_endpoint_that_works_is_a_minute_old_at_most() {
        let mut condition = condition();
        let mut kept = Vec::new();
        for second in 0..150 {
            if condition.note(Outcome::Delivered, at(second), at(second), true).is_news {
                kept.push(second);
            }
        }
        assert_eq!(kept, [0, 60, 120]);
        condition.note(Outcome::Rejected, at(150), at(150), true);
        condition.give_up(Position(9));
        condition.give_up(Position(4));
        assert_eq!(condition.kept().first_given_up, Some(Position(4)));
        assert!(condition.note(Outcome::Delivered, at(151), at(151), true).is_news);
        assert_eq!(condition.kept().first_given_up, None);
        assert!(!condition.note(Outcome::Delivered, at(152), at(152), true).is_news);
        condition.pause(at(200));
        let again = Condition::new(CIRCUIT, condition.kept());
        assert!(!again.permits(0, at(199)) && again.permits(0, at(200)), "a restart does not end a pause");
    }

    #[test]
    fn what_ends_late_does_not_keep_the_breaker_open_for_longer() {
        let mut condition = after("---");
        let opens = condition.opens_at(at(2));
        condition.note(Outcome::TimedOut, at(0), at(15), true);
        assert_eq!(condition.opens_at(at(15)), opens);
        assert_eq!(condition.note(Outcome::Delivered, at(1), at(16), true).recovery, Some(Recovery::Outage));
        assert_eq!(condition.opens_at(at(16)), None, "and a success ends it at once");
    }

    #[test]
    fn a_failing_endpoint_is_probed_in_the_interval_after_its_last_failure() {
        let mut condition = after("x");
        assert!(!condition.wants_probe(0, at(299)) && condition.wants_probe(0, at(300)));
        assert!(!condition.wants_probe(1, at(300)), "not while it is being tried");
        condition.pause(at(400));
        assert_eq!(condition.probes_at(), Some(at(400)), "nor while it asks to be left alone");
        condition.note(Outcome::ServerError, at(400), at(410), true);
        assert_eq!(condition.probes_at(), Some(at(710)));
        condition.note(Outcome::Delivered, at(710), at(710), true);
        assert_eq!(condition.probes_at(), None);
    }

    #[test]
    fn a_success_tells_an_outage_from_a_slip() {
        for (history, ended) in [
            ("", None),
            (".", None),
            ("x", Some(Recovery::Slip)),
            ("xxx", Some(Recovery::Slip)),
            ("xxxx", Some(Recovery::Outage)),
            ("---", Some(Recovery::Outage)),
            ("xxxx.", None),
            ("a", None),
        ] {
            assert_eq!(after(history).note(Outcome::Delivered, at(99), at(99), true).recovery, ended, "{history:?}");
        }
    }

    #[test]
    fn the_fourth_failure_in_a_row_is_told_once_and_then_the_next_success() {
        use Transition::{Failing, Recovered};
        // `X` is the failure of a delivery of which nothing may be told.
        for (history, expected) in [
            ("xxx.", vec![]),
            ("xxxx", vec![(3, Failing)]),
            ("xxxxxx", vec![(3, Failing)]),
            ("xxxx..", vec![(3, Failing), (4, Recovered)]),
            ("xxxx.xxxx", vec![(3, Failing), (4, Recovered), (8, Failing)]),
            ("XXXXX.", vec![]),
            ("XXXXx.", vec![(4, Failing), (5, Recovered)]),
            ("xxxaxa.", vec![(4, Failing), (6, Recovered)]),
        ] {
            let mut condition = condition();
            let mut told = Vec::new();
            for (second, letter) in (0..).zip(history.chars()) {
                let outcome = outcome(letter.to_ascii_lowercase());
                let noted = condition.note(outcome, at(second), at(second), letter != 'X');
                told.extend(noted.told.map(|transition| (second, transition)));
                // A restart in between changes nothing.
                condition = Condition::new(CIRCUIT, condition.kept());
            }
            assert_eq!(told, expected, "{history:?}");
        }
    }

    #[test]
    fn failing_is_measured_from_the_first_failure_and_anew_after_an_operator_stepped_in() {
        let mut condition = after(".xx");
        assert_eq!(condition.failing_for(at(100)), Duration::from_secs(99));
        condition.give_a_chance();
        assert_eq!(condition.failing_for(at(100)), Duration::ZERO);
        condition.note(Outcome::ServerError, at(101), at(101), true);
        assert_eq!(condition.failing_for(at(111)), Duration::from_secs(10));
        condition.note(Outcome::Delivered, at(112), at(112), true);
        assert_eq!(condition.failing_for(at(999)), Duration::ZERO);
    }

    #[test]
    fn requests_follow_each_other_no_faster_than_the_endpoint_wants() {
        let mut condition = condition();
        condition.limit(8, Some("2/s".parse().expect("a rate")));
        condition.begin(at(1));
        assert!(!condition.permits(0, Timestamp::from_millis(1_499)));
        assert_eq!(condition.opens_at(at(1)), Some(Timestamp::from_millis(1_500)));
        assert!(condition.permits(0, Timestamp::from_millis(1_500)));
        condition.limit(8, Some("1/s".parse().expect("a rate")));
        assert!(condition.permits(1, Timestamp::from_millis(1_500)), "what was sent counts at the rate of then");
        condition.limit(8, None);
        assert!(condition.permits(0, at(1)));
    }

    #[test]
    fn an_operator_may_give_it_a_chance() {
        let mut condition = after("---");
        condition.pause(at(9_999));
        condition.give_a_chance();
        assert!(condition.permits(0, at(3)) && !condition.permits(1, at(3)), "one request, to begin with");
        assert_eq!(condition.health().consecutive_failures, 3, "which is no success yet");
    }

    fn history() -> impl Strategy<Value = Vec<(char, u64)>> {
        prop::collection::vec((prop::sample::select(vec!['.', 'x', '-', 'a']), 0..400_u64), 0..60)
    }

    proptest! {
        /// Whatever happens when: the endpoint is never shut out for good, never allowed more than its limit, and one
        /// success makes it healthy.
        #[test]
        fn no_history_shuts_an_endpoint_out(history in history()) {
            let mut condition = condition();
            let mut now = at(0);
            for (letter, wait) in history {
                now = now.plus(Duration::from_secs(wait));
                condition.note(outcome(letter), now, now, true);
                prop_assert!(!condition.permits(8, now), "the limit is eight");
                let opens = condition.opens_at(now).unwrap_or(now);
                prop_assert!(opens.since(now) <= CIRCUIT.most);
                prop_assert!(condition.permits(0, opens));
                prop_assert_eq!(condition.probes_at().is_some(), condition.is_failing());
                let healthy = condition.health().state == HealthState::Healthy;
                prop_assert_eq!(healthy, !condition.is_failing());
                let mut well = condition.clone();
                well.note(Outcome::Delivered, now, now, true);
                prop_assert_eq!(well.health().state, HealthState::Healthy);
                prop_assert!(well.permits(1, now), "and twice as many as before may start");
            }
        }

        /// The breaker says what the last ten attempts since it closed, and the last three, say.
        #[test]
        fn the_breaker_agrees_with_a_count(history in history()) {
            let mut condition = condition();
            let mut counted: Vec<char> = Vec::new();
            let mut last: Vec<char> = Vec::new();
            let mut is_open = false;
            for (letter, _) in history {
                condition.note(outcome(letter), at(0), at(0), true);
                last.push(letter);
                if letter == '.' && is_open {
                    counted.clear();
                    is_open = false;
                } else if letter != 'a' {
                    counted.push(letter);
                }
                let failures = counted.iter().rev().take(10).filter(|letter| **letter != '.').count();
                let fails = letter == 'x' || letter == '-';
                is_open |= fails && failures >= 7 || last.ends_with(&['-', '-', '-']);
                prop_assert_eq!(condition.health().state == HealthState::CircuitOpen, is_open, "{:?}", last);
            }
        }
    }
}
