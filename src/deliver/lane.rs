//! One endpoint's queue, as a value: what may start, what waits, and how far the log has been dealt with.
//!
//! A lane takes events in log order, either *live*, as the router offers them, or *behind*, from pages that it asks
//! to be read from the log. An event that was taken is *open* until its record goes to the store; the lane's
//! position is the last one with nothing open at or below it. Only positions are kept of what cannot start now, so
//! that a lane's size is bounded however long its backlog.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use self::order::Order;
use super::feed::PAGE_MAX;
use super::health::{Condition, Recovery};
use super::room::{Room, Share};
use super::work::{Resumed, Strand, Verdict, Work};
use crate::model::delivery::Trigger;
use crate::model::endpoint::{Endpoint, Ordering};
use crate::model::event::Event;
use crate::model::id::Position;
use crate::model::time::Timestamp;

mod by_hand;
mod order;
mod window;

/// Events taken and not yet recorded at one endpoint: what a crash sends again at most.
const OPEN_MAX: usize = 1_024;

/// Where a lane gets its events from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    /// The router offers them.
    Live,
    /// It reads the log; a page is due when there is room.
    Behind,
}

/// One endpoint's queue.
#[derive(Debug)]
pub(super) struct Lane {
    /// Who it is for.
    pub(super) endpoint: Arc<Endpoint>,
    /// Where its events come from.
    pub(super) feed: Feed,
    /// Everything up to it was looked at. Of a live lane, the router knows better.
    pub(super) taken: Position,
    /// Up to it an event may have a record already, from before this lane was made.
    pub(super) recheck_until: Position,
    /// Whether a page for it is being read.
    pub(super) reading: bool,
    /// How much of the last page was for it.
    pub(super) share: Share,
    /// Whether more deliveries with a record wait than were taken up.
    pub(super) leaves_some: bool,
    /// How it is doing, and what it may be sent therefore.
    pub(super) condition: Condition,
    /// What is in flight.
    running: BTreeSet<Position>,
    /// What an operator wants to be tried now, whatever the endpoint's health.
    urgent: VecDeque<Work>,
    ready: VecDeque<Work>,
    /// What is replayed goes out when nothing else is ready.
    replayed: VecDeque<Work>,
    /// All that is pending for replays, wherever it is.
    replaying: HashSet<Position>,
    open: BTreeSet<Position>,
    order: Order,
    /// What is given up or canceled, and holds its strand until that is durable.
    ending: BTreeMap<Position, Option<Strand>>,
    waiting: BTreeMap<(Timestamp, Position), Option<Strand>>,
    /// What was made due early by a success after a mere slip: once is enough for what keeps failing by itself.
    hurried: BTreeSet<Position>,
}

impl Lane {
    /// A lane that has dealt with everything up to `taken`.
    pub(super) fn new(
        endpoint: Arc<Endpoint>,
        limit: usize,
        mut condition: Condition,
        order_wait: Duration,
        taken: Position,
    ) -> Self {
        condition.limit(limit_of(&endpoint, limit), endpoint.rate_limit);
        Self {
            endpoint,
            feed: Feed::Behind,
            taken,
            recheck_until: Position::START,
            reading: false,
            share: Share::default(),
            leaves_some: false,
            condition,
            running: BTreeSet::new(),
            urgent: VecDeque::new(),
            ready: VecDeque::new(),
            replayed: VecDeque::new(),
            replaying: HashSet::new(),
            open: BTreeSet::new(),
            order: Order::new(order_wait),
            ending: BTreeMap::new(),
            waiting: BTreeMap::new(),
            hurried: BTreeSet::new(),
        }
    }

    /// Goes on for an endpoint that was changed.
    pub(super) fn replace(&mut self, endpoint: Arc<Endpoint>, limit: usize) {
        self.condition.limit(limit_of(&endpoint, limit), endpoint.rate_limit);
        self.endpoint = endpoint;
    }

    /// Takes up a delivery that waited when the process ended, or while the endpoint was disabled; in the order of the
    /// log. What an operator wants to be tried anew, and what failed before the last success, is due at once.
    pub(super) fn resume(&mut self, resumed: Resumed, now: Timestamp) {
        let Resumed { position, due, failed_at, tried_at, is_fresh, is_replayed, strand } = resumed;
        if is_replayed {
            if is_fresh && due <= now {
                return self.replay(position, strand);
            }
            self.replaying.insert(position);
        }
        let hurries = self.condition.health().last_success_at.is_some_and(|at| tried_at < at);
        if hurries || is_fresh && due <= now {
            if self.lines_up(position, strand.as_ref()) {
                self.ready.push_back(Work::again(position, strand));
            }
            return;
        }
        if let Some(key) = self.ordered(strand.as_ref()) {
            self.order.hold(position, &key);
            self.order.fail(position, &key, failed_at);
        }
        self.waiting.insert((due, position), strand);
    }

    /// How many deliveries wait here that were tried before, or wait behind others.
    pub(super) fn backlog(&self) -> usize {
        self.ready.len() + self.replayed.len() + self.waiting.len() + self.order.parked()
    }

    /// Whether it can take no more until something ends.
    pub(super) fn is_full(&self, room: Room) -> bool {
        self.ready.len() >= room.ready
            || self.open.len() >= OPEN_MAX
            || self.order.parked() >= room.parked
            || self.waiting.len() >= room.waiting
    }

    /// Whether it wants a page of the log: it is behind, none is on its way, and there is room for half of one.
    pub(super) fn wants_page(&self, room: Room) -> bool {
        self.feed == Feed::Behind && !self.reading && !self.is_full(room) && self.ready.len() <= room.ready / 2
    }

    /// How many events of the log it asks for: as many as should fill its room; never none, since an empty page says that
    /// there is nothing more.
    pub(super) fn page_size(&self, room: Room) -> usize {
        self.share.events_for(room.ready.saturating_sub(self.ready.len())).clamp(1, PAGE_MAX)
    }

    /// Takes a delivery of a replay, unless it is here already.
    pub(super) fn replay(&mut self, position: Position, strand: Option<Strand>) {
        if self.replaying.insert(position) && self.lines_up(position, strand.as_ref()) {
            self.replayed.push_back(Work::again(position, strand));
        }
    }

    /// Takes an event that is meant for it. The caller has made sure that the lane is not full.
    pub(super) fn take(&mut self, event: &Arc<Event>) {
        let position = event.position();
        let strand = Strand::of_event(event);
        self.open.insert(position);
        let may_go = self.ordered(strand.as_ref()).is_none_or(|key| self.order.admit(position, &key));
        if may_go {
            let trigger = Trigger::Scheduled;
            self.ready.push_back(Work { position, event: Some(Arc::clone(event)), strand, trigger });
        }
    }

    /// The next attempt that may start at `now`, if any; it counts as in flight from here on.
    pub(super) fn start(&mut self, now: Timestamp) -> Option<Work> {
        let in_flight = self.running.len();
        let urgent = if self.condition.has_room(in_flight, now) { self.urgent.pop_front() } else { None };
        let due = if urgent.is_none() && self.condition.permits(in_flight, now) { self.next_ready() } else { None };
        let work = match urgent.or(due) {
            None if self.condition.wants_probe(in_flight, now) => self.oldest()?,
            work => work?,
        };
        self.running.insert(work.position);
        self.condition.begin(now);
        Some(work)
    }

    fn next_ready(&mut self) -> Option<Work> {
        self.ready.pop_front().or_else(|| self.replayed.pop_front())
    }

    /// The oldest delivery that waits for anything but another one, for a probe.
    fn oldest(&mut self) -> Option<Work> {
        let ready = self.ready.iter().enumerate().min_by_key(|(_, work)| work.position);
        let ready = ready.map(|(index, work)| (work.position, index));
        let waiting = self.waiting.keys().min_by_key(|(_, position)| *position).copied();
        let work = match (ready, waiting) {
            (Some((position, index)), waiting) if waiting.is_none_or(|(_, other)| position < other) => {
                self.ready.remove(index)?
            }
            (_, waiting) => {
                let Some(waiting) = waiting else { return self.replayed.pop_front().map(Work::into_probe) };
                Work::again(waiting.1, self.waiting.remove(&waiting)?)
            }
        };
        Some(work.into_probe())
    }

    /// An attempt has ended. What follows from it for the deliveries behind it is ready at once.
    pub(super) fn finish(&mut self, work: &Work, verdict: Verdict, now: Timestamp) {
        self.running.remove(&work.position);
        match verdict {
            Verdict::Delivered | Verdict::Ended => {
                self.forget(work.position);
                // What was handed over twice is ended by the first of its attempts.
                if self.ending.get(&work.position) != Some(&work.strand) {
                    self.release(work.position, work.strand.as_ref());
                }
            }
            Verdict::GivenUp => {
                self.forget(work.position);
                self.end(work.position, work.strand.clone());
            }
            Verdict::RetryAt(due) => {
                self.waiting.insert((due, work.position), work.strand.clone());
                if let Some(key) = self.ordered(work.strand.as_ref()) {
                    self.order.fail(work.position, &key, now);
                }
            }
        }
    }

    /// Makes what waits due at once, before anything that is ready, in the order of the log, and each behind the
    /// earlier ones of its resource. After a mere slip it does so once for each delivery: the next time, that one may
    /// be what fails.
    pub(super) fn hurry(&mut self, recovery: Recovery) {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let (chosen, rest): (Vec<_>, Vec<_>) = waiting.partition(|((_, position), _)| match recovery {
            Recovery::Outage => true,
            Recovery::Slip => self.hurried.insert(*position),
        });
        if recovery == Recovery::Outage {
            self.hurried.clear();
        }
        self.waiting = rest.into_iter().collect();
        let chosen: BTreeMap<_, _> = chosen.into_iter().map(|((_, position), strand)| (position, strand)).collect();
        let ready: Vec<_> =
            chosen.into_iter().filter(|(position, strand)| self.lines_up(*position, strand.as_ref())).collect();
        for (position, strand) in ready.into_iter().rev() {
            self.ready.push_front(Work::again(position, strand));
        }
    }

    /// Whether a delivery that is due again may go. If an earlier one of its strand holds it back, it is parked: then
    /// both had been given up, or overtaken.
    fn lines_up(&mut self, position: Position, strand: Option<&Strand>) -> bool {
        self.ordered(strand).is_none_or(|key| self.order.line_up(position, &key))
    }

    /// Whether its time is all that a delivery has waited for. One that others have overtaken waits for nobody; one
    /// that holds back later ones lines up behind an earlier one that does so, too.
    fn may_go(&mut self, position: Position, strand: Option<&Strand>) -> bool {
        self.ordered(strand).is_none_or(|key| !self.order.holds(position, &key) || self.order.line_up(position, &key))
    }

    /// The record of this event goes to the store: it no longer holds the position back.
    pub(super) fn close(&mut self, position: Position) {
        self.open.remove(&position);
    }

    /// Makes ready what is due at `now`, and lets pass what has been held back for too long.
    pub(super) fn wake(&mut self, now: Timestamp) {
        let later = self.waiting.split_off(&(now.plus(Duration::from_millis(1)), Position::START));
        for ((_, position), strand) in std::mem::replace(&mut self.waiting, later).into_iter().rev() {
            if self.may_go(position, strand.as_ref()) {
                self.ready.push_front(Work::again(position, strand));
            }
        }
        for (position, key) in self.order.pass(now) {
            self.let_go(position, key);
        }
    }

    /// When [`Lane::wake`] has something to do next, or when something may start that may not start yet.
    pub(super) fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let due = self.waiting.first_key_value().map(|((due, _), _)| *due);
        let opens = self.condition.opens_at(now).filter(|_| self.has_fresh());
        let probe = self.condition.probes_at().filter(|at| *at > now && self.running.is_empty() && self.has_any());
        let paced = Some(self.condition.paced_until()).filter(|at| *at > now && !self.urgent.is_empty());
        [due, self.order.next_pass(), opens, probe, paced].into_iter().flatten().min()
    }

    /// Whether there is anything to be tried, now or later.
    fn has_any(&self) -> bool {
        self.has_fresh() || !self.waiting.is_empty()
    }

    fn has_fresh(&self) -> bool {
        !self.ready.is_empty() || !self.replayed.is_empty()
    }

    /// The last position with nothing open at or below it; `routed` is how far the router is.
    pub(super) fn position(&self, routed: Position) -> Position {
        let taken = match self.feed {
            Feed::Live => routed.max(self.taken),
            Feed::Behind => self.taken,
        };
        self.first_open().map_or(taken, Position::previous)
    }

    /// The first event that is taken and not recorded.
    pub(super) fn first_open(&self) -> Option<Position> {
        self.open.first().copied()
    }

    /// Whether it has something that could start if there were a slot.
    pub(super) fn has_ready(&self, now: Timestamp) -> bool {
        let in_flight = self.running.len();
        !self.urgent.is_empty() && self.condition.has_room(in_flight, now)
            || self.has_fresh() && self.condition.permits(in_flight, now)
            || self.has_any() && self.condition.wants_probe(in_flight, now)
    }

    fn ordered(&self, strand: Option<&Strand>) -> Option<Strand> {
        match self.endpoint.ordering {
            Ordering::PerResource => strand.cloned(),
            Ordering::None => None,
        }
    }

    fn forget(&mut self, position: Position) {
        self.hurried.remove(&position);
        self.replaying.remove(&position);
    }

    /// A delivery has ended undelivered. It holds its strand until that is durable.
    fn end(&mut self, position: Position, strand: Option<Strand>) {
        // It was begun anew in another strand, so that it is durable how it ended in the former one.
        if let Some(former) = self.ending.insert(position, strand) {
            self.release(position, former.as_ref());
        }
    }

    /// What became of a delivery is durable: if it ended undelivered, the next one of its strand is ready, and `true`
    /// is given.
    pub(super) fn settled(&mut self, position: Position) -> bool {
        let ended = self.ending.remove(&position);
        if let Some(strand) = &ended {
            self.release(position, strand.as_ref());
        }
        ended.is_some()
    }

    /// A delivery has ended; the next one of its strand is ready.
    fn release(&mut self, position: Position, strand: Option<&Strand>) {
        let Some(key) = self.ordered(strand) else { return };
        if let Some(next) = self.order.end(position, &key) {
            self.let_go(next, key);
        }
    }

    /// A delivery that was parked is ready.
    fn let_go(&mut self, position: Position, strand: Strand) {
        let queue = if strand.replay.is_some() { &mut self.replayed } else { &mut self.ready };
        queue.push_back(Work::again(position, Some(strand)));
    }
}

fn limit_of(endpoint: &Endpoint, limit: usize) -> usize {
    endpoint.max_in_flight.map_or(limit, |own| own as usize)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::deliver::health::Circuit;
    use crate::deliver::testing::{endpoint, event};
    use crate::model::delivery::Outcome;
    use crate::model::health::HealthRecord;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);
    const CIRCUIT: Circuit = Circuit::probing_every(Duration::from_secs(300));

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    /// A live lane with a limit of eight.
    fn lane(ordering: Ordering) -> Lane {
        let mut endpoint = endpoint(1);
        endpoint.ordering = ordering;
        let mut lane =
            Lane::new(Arc::new(endpoint), 8, Condition::new(CIRCUIT, HealthRecord::default()), HOUR, Position::START);
        lane.feed = Feed::Live;
        lane
    }

    fn started(lane: &mut Lane, now: Timestamp) -> Vec<u64> {
        std::iter::from_fn(|| lane.start(now)).map(|work| work.position.0).collect()
    }

    fn work(position: u64, resource: &str) -> Work {
        let event = event(position, resource);
        Work::again(event.position(), Strand::of_event(&event))
    }

    #[test]
    fn events_of_one_resource_wait_for_each_other_and_others_go_on() {
        let mut lane = lane(Ordering::PerResource);
        for (position, resource) in [(1, "a"), (2, "a"), (3, "b"), (4, "a")] {
            lane.take(&event(position, resource));
        }
        assert_eq!(started(&mut lane, at(0)), [1, 3]);
        lane.finish(&work(1, "a"), Verdict::Delivered, at(1));
        assert_eq!(started(&mut lane, at(1)), [2]);
        lane.finish(&work(2, "a"), Verdict::GivenUp, at(2));
        lane.finish(&work(2, "a"), Verdict::Ended, at(2));
        assert_eq!(started(&mut lane, at(2)), [] as [u64; 0], "nobody would know of it after a restart");
        assert!(lane.settled(Position(2)) && !lane.settled(Position(2)));
        assert_eq!(started(&mut lane, at(2)), [4], "a delivery that is given up releases those behind it");
    }

    #[test]
    fn a_retry_holds_back_its_resource_until_the_order_wait_is_over() {
        let mut lane = lane(Ordering::PerResource);
        lane.take(&event(1, "a"));
        lane.take(&event(2, "a"));
        assert_eq!(started(&mut lane, at(0)), [1]);
        lane.finish(&work(1, "a"), Verdict::RetryAt(at(7200)), at(0));
        lane.wake(at(3599));
        assert_eq!(started(&mut lane, at(3599)), [] as [u64; 0]);
        assert_eq!(lane.next_wake(at(3599)), Some(at(3600)));
        lane.wake(at(3600));
        assert_eq!(started(&mut lane, at(3600)), [2], "the later one overtakes");
        lane.finish(&work(2, "a"), Verdict::Delivered, at(3601));
        lane.wake(at(7200));
        assert_eq!(started(&mut lane, at(7200)), [1], "and the earlier one is still tried");
    }

    #[test]
    fn without_ordering_nothing_waits() {
        let mut lane = lane(Ordering::None);
        lane.take(&event(1, "a"));
        lane.take(&event(2, "a"));
        assert_eq!(started(&mut lane, at(0)), [1, 2]);
    }

    #[test]
    fn the_position_waits_for_the_first_event_without_a_record() {
        let mut lane = lane(Ordering::PerResource);
        lane.take(&event(3, "a"));
        lane.take(&event(5, "b"));
        assert_eq!(lane.position(Position(9)), Position(2));
        lane.close(Position(5));
        assert_eq!(lane.position(Position(9)), Position(2));
        lane.close(Position(3));
        assert_eq!(lane.position(Position(9)), Position(9));
    }

    /// A lane whose attempt ends like this.
    fn end(lane: &mut Lane, work: &Work, outcome: Outcome, verdict: Verdict, now: Timestamp) {
        let recovery = lane.condition.note(outcome, now, now, true).recovery;
        lane.finish(work, verdict, now);
        recovery.into_iter().for_each(|recovery| lane.hurry(recovery));
    }

    #[test]
    fn after_a_failure_one_request_at_a_time_and_then_twice_as_many() {
        let mut lane = lane(Ordering::None);
        for position in 1..=40 {
            lane.take(&event(position, "a"));
        }
        assert_eq!(started(&mut lane, at(0)).len(), 8);
        for position in 1..=6 {
            end(&mut lane, &work(position, "a"), Outcome::Rejected, Verdict::RetryAt(at(60)), at(0));
        }
        for position in 7..=8 {
            lane.finish(&work(position, "a"), Verdict::Ended, at(0));
        }
        assert_eq!(started(&mut lane, at(1)), [9]);
        end(&mut lane, &work(9, "a"), Outcome::Delivered, Verdict::Delivered, at(1));
        assert_eq!(started(&mut lane, at(1)), [1, 2], "what failed is due at once, and first");
        end(&mut lane, &work(1, "a"), Outcome::Delivered, Verdict::Delivered, at(1));
        assert_eq!(started(&mut lane, at(1)), [3, 4, 5]);
    }

    #[test]
    fn a_paused_lane_starts_nothing_and_wakes_when_the_pause_ends() {
        let mut lane = lane(Ordering::None);
        lane.take(&event(1, "a"));
        lane.condition.pause(at(60));
        assert_eq!(started(&mut lane, at(59)), [] as [u64; 0]);
        assert_eq!(lane.next_wake(at(59)), Some(at(60)));
        assert_eq!(started(&mut lane, at(60)), [1]);
    }

    #[test]
    fn a_failing_endpoint_is_probed_with_the_oldest_that_waits() {
        let mut lane = lane(Ordering::PerResource);
        for (position, resource) in [(1, "a"), (2, "b"), (3, "c")] {
            lane.take(&event(position, resource));
        }
        assert_eq!(started(&mut lane, at(0)), [1, 2, 3]);
        for (position, resource, due) in [(1, "a", 7200), (2, "b", 3600), (3, "c", 5400)] {
            let verdict = Verdict::RetryAt(at(due));
            end(&mut lane, &work(position, resource), Outcome::TimedOut, verdict, at(0));
        }
        assert_eq!(lane.next_wake(at(0)), Some(at(300)));
        assert!(lane.start(at(299)).is_none() && !lane.has_ready(at(299)));
        assert!(lane.has_ready(at(300)));
        let probe = lane.start(at(300)).expect("a probe");
        assert_eq!((probe.position, probe.trigger), (Position(1), Trigger::Probe));
        assert!(lane.start(at(300)).is_none(), "one at a time");
        end(&mut lane, &probe, Outcome::TimedOut, Verdict::RetryAt(at(7200)), at(315));
        assert_eq!(lane.next_wake(at(315)), Some(at(615)));
        let probe = lane.start(at(615)).expect("a probe");
        end(&mut lane, &probe, Outcome::Delivered, Verdict::Delivered, at(616));
        assert_eq!(started(&mut lane, at(616)), [2, 3], "it is back, and so all that waits is due");
    }

    #[test]
    fn an_open_breaker_does_not_keep_probes_out() {
        let mut lane = lane(Ordering::None);
        for position in 1..=5 {
            lane.take(&event(position, "a"));
        }
        for position in 1..=3 {
            let work = lane.start(at(0)).expect("it may");
            assert_eq!(work.position, Position(position));
            end(&mut lane, &work, Outcome::ConnectFailed, Verdict::RetryAt(at(5)), at(0));
        }
        lane.wake(at(5));
        assert_eq!(lane.next_wake(at(5)), Some(at(30)), "the breaker is open");
        assert!(!lane.has_ready(at(29)) && lane.start(at(29)).is_none());
        let due = lane.start(at(30)).expect("one may start");
        assert_eq!((due.position, due.trigger), (Position(1), Trigger::Scheduled));
        assert!(lane.start(at(30)).is_none());
        lane.condition.note(Outcome::ConnectFailed, at(30), at(30), true);
        lane.condition.note(Outcome::ConnectFailed, at(90), at(90), true);
        lane.condition.note(Outcome::ConnectFailed, at(210), at(210), true);
        lane.condition.note(Outcome::ConnectFailed, at(450), at(450), true);
        lane.finish(&due, Verdict::RetryAt(at(9_999)), at(450));
        assert_eq!(lane.next_wake(at(450)), Some(at(750)), "it is open for eight minutes, and probed in five");
        let probe = lane.start(at(750)).expect("a probe");
        assert_eq!((probe.position, probe.trigger), (Position(1), Trigger::Probe));
    }

    #[test]
    fn what_fails_by_itself_is_hurried_once_and_not_again_by_every_success() {
        let mut lane = lane(Ordering::None);
        (1..=3).for_each(|position| lane.take(&event(position, "a")));
        let poison = lane.start(at(0)).expect("it may");
        end(&mut lane, &poison, Outcome::ServerError, Verdict::RetryAt(at(60)), at(0));
        for (position, expected) in [(2, 1), (3, 3)] {
            let work = lane.start(at(1)).expect("it may");
            assert_eq!(work.position, Position(position));
            end(&mut lane, &work, Outcome::Delivered, Verdict::Delivered, at(1));
            let next = lane.start(at(1));
            assert_eq!(next.as_ref().map(|work| work.position.0), (position == 2).then_some(expected));
            if let Some(work) = next {
                end(&mut lane, &work, Outcome::ServerError, Verdict::RetryAt(at(60)), at(1));
            }
        }
        lane.wake(at(60));
        assert_eq!(started(&mut lane, at(60)), [1], "but it keeps its own time");
    }

    #[test]
    fn what_is_taken_up_again_goes_before_later_ones_of_its_resource_that_wait() {
        let mut lane = lane(Ordering::PerResource);
        let resumed = |position: u64, due: i64, is_fresh: bool| Resumed {
            position: Position(position),
            due: at(due),
            failed_at: at(90),
            tried_at: at(90),
            is_fresh,
            is_replayed: false,
            strand: work(position, "a").strand,
        };
        lane.resume(resumed(1, 100, true), at(100));
        lane.resume(resumed(2, 101, false), at(100));
        assert_eq!(started(&mut lane, at(100)), [1]);
        lane.wake(at(101));
        assert_eq!(started(&mut lane, at(101)), [] as [u64; 0], "its time has come, but not its turn");
        end(&mut lane, &work(1, "a"), Outcome::Rejected, Verdict::RetryAt(at(200)), at(102));
        lane.wake(at(200));
        assert_eq!(started(&mut lane, at(200)), [1]);
        end(&mut lane, &work(1, "a"), Outcome::Delivered, Verdict::Delivered, at(201));
        assert_eq!(started(&mut lane, at(201)), [2]);
    }

    #[test]
    fn what_an_operator_wants_is_tried_whatever_waits_and_later_events_of_its_resource_wait_for_it() {
        let mut lane = lane(Ordering::PerResource);
        (1..=3).for_each(|position| lane.take(&event(position, "a")));
        let key = |position| work(position, "a").strand;
        assert_eq!(started(&mut lane, at(0)), [1]);
        assert!(lane.urge(Position(1), key(1), false), "it is being tried");
        end(&mut lane, &work(1, "a"), Outcome::Rejected, Verdict::RetryAt(at(7200)), at(0));
        lane.condition.pause(at(3600));
        assert!(lane.urge(Position(1), key(1), false) && lane.has_ready(at(1)));
        let urgent = lane.start(at(1)).expect("the pause does not matter");
        assert_eq!((urgent.position, urgent.trigger), (Position(1), Trigger::Manual));
        assert!(lane.start(at(1)).is_none());
        end(&mut lane, &urgent, Outcome::Rejected, Verdict::RetryAt(at(7200)), at(1));
        assert!(!lane.urge(Position(9), key(9), false), "it is not here");
        assert!(lane.urge(Position(9), key(9), true), "unless it comes anew");
        assert_eq!(started(&mut lane, at(2)), [9]);
        assert!(lane.cancel(Position(1), key(1).as_ref()));
        assert!(!lane.cancel(Position(1), key(1).as_ref()) && !lane.cancel(Position(9), key(9).as_ref()));
        end(&mut lane, &work(9, "a"), Outcome::Delivered, Verdict::Delivered, at(3));
        assert_eq!(started(&mut lane, at(3600)), [] as [u64; 0], "not before it is durable");
        assert!(lane.settled(Position(1)));
        assert_eq!(started(&mut lane, at(3600)), [2], "those behind it go on");
        assert!(lane.cancel(Position(3), key(3).as_ref()), "also one that is parked");
        end(&mut lane, &work(2, "a"), Outcome::Delivered, Verdict::Delivered, at(3600));
        assert_eq!(started(&mut lane, at(9999)), [] as [u64; 0]);
        assert_eq!(lane.backlog(), 0);
    }

    #[test]
    fn what_an_operator_wants_keeps_to_the_rate_that_the_endpoint_wants() {
        let mut lane = lane(Ordering::None);
        let rate_limit = Some("1/s".parse().expect("a rate"));
        lane.replace(Arc::new(Endpoint { rate_limit, ..Endpoint::clone(&lane.endpoint) }), 8);
        (1..=2).for_each(|position| lane.take(&event(position, "a")));
        assert_eq!(started(&mut lane, at(10)), [1]);
        assert!(lane.urge(Position(2), None, false));
        assert!(!lane.has_ready(at(10)) && lane.start(at(10)).is_none());
        assert_eq!(lane.next_wake(at(10)), Some(at(11)));
        assert_eq!(lane.start(at(11)).map(|work| work.trigger), Some(Trigger::Manual));
    }

    #[test]
    fn after_an_outage_the_events_of_a_resource_go_out_in_order_again() {
        let mut lane = lane(Ordering::PerResource);
        (1..=3).for_each(|position| lane.take(&event(position, "a")));
        let mut now = at(0);
        for position in 1..=3 {
            assert_eq!(started(&mut lane, now), [position]);
            end(&mut lane, &work(position, "a"), Outcome::Rejected, Verdict::RetryAt(at(99_999)), now);
            now = now.plus(HOUR);
            lane.wake(now);
        }
        lane.take(&event(4, "b"));
        assert_eq!(started(&mut lane, now), [4]);
        end(&mut lane, &work(4, "b"), Outcome::Rejected, Verdict::RetryAt(at(99_999)), now);
        lane.take(&event(5, "c"));
        assert_eq!(started(&mut lane, now), [5]);
        end(&mut lane, &work(5, "c"), Outcome::Delivered, Verdict::Delivered, now);
        assert_eq!(started(&mut lane, now), [1, 4], "all are due, but of one resource the first goes first");
        for (position, next) in [(1, vec![2]), (2, vec![3]), (3, vec![])] {
            end(&mut lane, &work(position, "a"), Outcome::Delivered, Verdict::Delivered, now);
            assert_eq!(started(&mut lane, now), next);
        }
    }

    #[test]
    fn a_lane_takes_no_more_than_its_bounds() {
        let mut lane = lane(Ordering::PerResource);
        let mut taken = 0;
        while !lane.is_full(Room::of(1)) {
            taken += 1;
            lane.take(&event(taken, "a"));
        }
        assert_eq!(taken, Room::of(1).parked as u64 + 1);
        assert!(!lane.wants_page(Room::of(1)), "a lane that is full reads nothing");
    }

    proptest! {
        /// Whatever the receiver does, events of one resource are never in flight together and never start out of
        /// order, and in the end each was delivered or given up exactly once.
        #[test]
        fn order_holds_whatever_the_outcomes(outcomes in prop::collection::vec((0..3_u8, 0..4_usize), 1..200)) {
            let mut lane = lane(Ordering::PerResource);
            let resources = ["a", "b", "c", "d"];
            for (index, (_, resource)) in outcomes.iter().enumerate() {
                lane.take(&event(index as u64 + 1, resources[*resource]));
            }
            let mut now = at(0);
            let mut ended: HashMap<Strand, u64> = HashMap::new();
            let mut finished = 0;
            let mut tries: HashMap<u64, u8> = HashMap::new();
            while finished < outcomes.len() {
                let running: Vec<Work> = std::iter::from_fn(|| lane.start(now)).collect();
                let resources: HashSet<_> = running.iter().map(|work| work.strand.clone()).collect();
                prop_assert_eq!(resources.len(), running.len(), "two of one resource at a time");
                prop_assert!(!running.is_empty() || lane.next_wake(now).is_some(), "the lane is stuck");
                for work in running {
                    let position = work.position.0;
                    let key = work.strand.clone().expect("a resource");
                    prop_assert!(ended.get(&key).is_none_or(|last| *last < position), "out of order");
                    let failures = tries.entry(position).or_default();
                    let verdict = match outcomes[position as usize - 1].0 {
                        0 => Verdict::Delivered,
                        1 => Verdict::Ended,
                        wanted if *failures < wanted => { *failures += 1; Verdict::RetryAt(now.plus(MINUTE)) }
                        _ => Verdict::Delivered,
                    };
                    lane.finish(&work, verdict, now);
                    lane.close(work.position);
                    if !matches!(verdict, Verdict::RetryAt(_)) {
                        ended.insert(key, position);
                        finished += 1;
                    }
                }
                now = now.plus(MINUTE);
                lane.wake(now);
            }
            prop_assert_eq!(lane.position(Position(10_000)), Position(10_000));
        }
    }
}
