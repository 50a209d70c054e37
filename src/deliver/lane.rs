//! One endpoint's queue, as a value: what may start, what waits, and how far the log has been dealt with.
//!
//! A lane takes events in log order, either *live*, as the router offers them, or *behind*, from pages that it asks
//! to be read from the log. An event that was taken is *open* until its record goes to the store; the lane's
//! position is the last one with nothing open at or below it. Only positions are kept of what cannot start now, so
//! that a lane's size is bounded however long its backlog.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::endpoint::{Endpoint, Ordering};
use crate::model::event::Event;
use crate::model::id::Position;
use crate::model::resource::ResourceKey;
use crate::model::time::Timestamp;

/// First attempts that are ready at one endpoint, and at all of them. Enough to keep the widest endpoint busy while a
/// page is read; each costs some 600 bytes.
const READY: Bound = Bound { least: 8, most: 256, all: 1 << 18 };

/// Deliveries parked behind others of their resource; beyond it the endpoint's position waits.
const PARKED: Bound = Bound { least: 16, most: 1_000, all: 1 << 20 };

/// Deliveries waiting for a retry; beyond it the endpoint's position waits. Each costs some 250 bytes.
const WAITING: Bound = Bound { least: 32, most: 4_096, all: 1 << 20 };

/// Events taken and not yet recorded at one endpoint: what a crash sends again at most.
const OPEN_MAX: usize = 1_024;

/// How much of something an endpoint may hold in memory: its share of what all may hold, within limits.
struct Bound {
    least: usize,
    most: usize,
    all: usize,
}

impl Bound {
    fn share(&self, lanes: usize) -> usize {
        (self.all / lanes.max(1)).clamp(self.least, self.most)
    }
}

/// How much a lane may hold, so that all together have room in memory however many there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    ready: usize,
    parked: usize,
    waiting: usize,
}

impl Room {
    /// For each of so many lanes.
    pub(super) fn of(lanes: usize) -> Self {
        Self { ready: READY.share(lanes), parked: PARKED.share(lanes), waiting: WAITING.share(lanes) }
    }
}

/// Where a lane gets its events from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    /// The router offers them.
    Live,
    /// It reads the log; a page is due when there is room.
    Behind,
}

/// An attempt that may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Work {
    /// Which event.
    pub(super) position: Position,
    /// The event, if it is still in memory.
    pub(super) event: Option<Arc<Event>>,
    /// The resource that it is about.
    pub(super) resource: Option<ResourceKey>,
}

/// What an attempt leads to, for the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The receiver has it.
    Delivered,
    /// It is given up, or canceled: nothing waits for it any longer.
    Ended,
    /// It is tried again at that instant.
    RetryAt(Timestamp),
}

/// Deliveries of one resource: later ones wait while earlier ones hold them back.
#[derive(Debug, Default)]
struct Chain {
    /// In flight or to be retried; with the instant of the first failure, once there was one.
    holders: BTreeMap<Position, Option<Timestamp>>,
    parked: VecDeque<Position>,
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
    limit: usize,
    allowed: usize,
    in_flight: usize,
    paused_until: Timestamp,
    order_wait: Duration,
    ready: VecDeque<Work>,
    open: BTreeSet<Position>,
    chains: HashMap<ResourceKey, Chain>,
    parked: usize,
    waiting: BTreeMap<(Timestamp, Position), Option<ResourceKey>>,
    /// Holders that have failed, by the instant of their first failure.
    failing: BTreeMap<(Timestamp, Position), ResourceKey>,
}

impl Lane {
    /// A lane that has dealt with everything up to `taken`.
    pub(super) fn new(endpoint: Arc<Endpoint>, limit: usize, order_wait: Duration, taken: Position) -> Self {
        let limit = limit_of(&endpoint, limit);
        Self {
            endpoint,
            feed: Feed::Behind,
            taken,
            recheck_until: Position::START,
            reading: false,
            limit,
            allowed: limit,
            in_flight: 0,
            paused_until: Timestamp::EPOCH,
            order_wait,
            ready: VecDeque::new(),
            open: BTreeSet::new(),
            chains: HashMap::new(),
            parked: 0,
            waiting: BTreeMap::new(),
            failing: BTreeMap::new(),
        }
    }

    /// Goes on for an endpoint that was changed.
    pub(super) fn replace(&mut self, endpoint: Arc<Endpoint>, limit: usize) {
        self.limit = limit_of(&endpoint, limit);
        self.allowed = self.allowed.min(self.limit);
        self.endpoint = endpoint;
    }

    /// Takes up a delivery that waited when the process ended; its first failure was at `failed_at`.
    pub(super) fn resume(
        &mut self,
        position: Position,
        due: Timestamp,
        failed_at: Timestamp,
        resource: Option<ResourceKey>,
    ) {
        if let Some(key) = self.ordered(resource.as_ref()) {
            self.chains.entry(key.clone()).or_default().holders.insert(position, Some(failed_at));
            self.failing.insert((failed_at, position), key);
        }
        self.waiting.insert((due, position), resource);
    }

    /// Whether it can take no more until something ends.
    pub(super) fn is_full(&self, room: Room) -> bool {
        self.ready.len() >= room.ready
            || self.open.len() >= OPEN_MAX
            || self.parked >= room.parked
            || self.waiting.len() >= room.waiting
    }

    /// Whether it wants a page of the log: it is behind, none is on its way, and there is room for half of one.
    pub(super) fn wants_page(&self, room: Room) -> bool {
        self.feed == Feed::Behind && !self.reading && !self.is_full(room) && self.ready.len() <= room.ready / 2
    }

    /// Takes an event that is meant for it. The caller has made sure that the lane is not full.
    pub(super) fn take(&mut self, event: &Arc<Event>) {
        let position = event.position();
        let resource = event.sight.resource().cloned();
        self.open.insert(position);
        if let Some(key) = self.ordered(resource.as_ref()) {
            let chain = self.chains.entry(key).or_default();
            if !chain.holders.is_empty() {
                chain.parked.push_back(position);
                self.parked += 1;
                return;
            }
            chain.holders.insert(position, None);
        }
        self.ready.push_back(Work { position, event: Some(Arc::clone(event)), resource });
    }

    /// The next attempt that may start at `now`, if any; it counts as in flight from here on.
    pub(super) fn start(&mut self, now: Timestamp) -> Option<Work> {
        if self.in_flight >= self.allowed || now < self.paused_until {
            return None;
        }
        let work = self.ready.pop_front()?;
        self.in_flight += 1;
        Some(work)
    }

    /// An attempt has ended. What follows from it for the deliveries behind it is ready at once.
    pub(super) fn finish(&mut self, work: &Work, verdict: Verdict, now: Timestamp) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match verdict {
            Verdict::Delivered => {
                self.allowed = (self.allowed * 2).min(self.limit);
                self.release(work.position, work.resource.as_ref());
            }
            Verdict::Ended => self.release(work.position, work.resource.as_ref()),
            Verdict::RetryAt(due) => {
                self.allowed = 1;
                self.waiting.insert((due, work.position), work.resource.clone());
                self.hold(work, now);
            }
        }
    }

    /// A holder that fails for the first time starts the wait after which later events may overtake it.
    fn hold(&mut self, work: &Work, now: Timestamp) {
        let Some(key) = self.ordered(work.resource.as_ref()) else { return };
        let holder = self.chains.get_mut(&key).and_then(|chain| chain.holders.get_mut(&work.position));
        if let Some(since @ None) = holder {
            *since = Some(now);
            self.failing.insert((now, work.position), key);
        }
    }

    /// Starts nothing before `until`.
    pub(super) fn pause(&mut self, until: Timestamp) {
        self.paused_until = self.paused_until.max(until);
    }

    /// The record of this event goes to the store: it no longer holds the position back.
    pub(super) fn close(&mut self, position: Position) {
        self.open.remove(&position);
    }

    /// Makes ready what is due at `now`, and lets pass what has been held back for too long.
    pub(super) fn wake(&mut self, now: Timestamp) {
        let later = self.waiting.split_off(&(now.plus(Duration::from_millis(1)), Position::START));
        for ((_, position), resource) in std::mem::replace(&mut self.waiting, later).into_iter().rev() {
            self.ready.push_front(Work { position, event: None, resource });
        }
        while let Some(first) = self.failing.first_entry() {
            if first.key().0.plus(self.order_wait) > now {
                break;
            }
            let ((_, position), key) = first.remove_entry();
            self.let_go(position, &key);
        }
    }

    /// When [`Lane::wake`] has something to do next, or a pause ends that something waits for.
    pub(super) fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let due = self.waiting.first_key_value().map(|((due, _), _)| *due);
        let overtake = self.failing.first_key_value().map(|((since, _), _)| since.plus(self.order_wait));
        let pause = (!self.ready.is_empty() && self.paused_until > now).then_some(self.paused_until);
        [due, overtake.filter(|_| self.parked > 0), pause].into_iter().flatten().min()
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
        !self.ready.is_empty() && self.in_flight < self.allowed && now >= self.paused_until
    }

    fn ordered(&self, resource: Option<&ResourceKey>) -> Option<ResourceKey> {
        match self.endpoint.ordering {
            Ordering::PerResource => resource.cloned(),
            Ordering::None => None,
        }
    }

    fn release(&mut self, position: Position, resource: Option<&ResourceKey>) {
        let Some(key) = self.ordered(resource) else { return };
        let holder = self.chains.get(&key).and_then(|chain| chain.holders.get(&position));
        if let Some(Some(since)) = holder.copied() {
            self.failing.remove(&(since, position));
        }
        self.let_go(position, &key);
    }

    /// This delivery no longer holds back the later ones of its resource.
    fn let_go(&mut self, position: Position, key: &ResourceKey) {
        let Some(chain) = self.chains.get_mut(key) else { return };
        chain.holders.remove(&position);
        if chain.holders.is_empty() {
            self.unpark(key);
        }
    }

    /// The first one parked in a chain that nothing holds becomes ready and holds the rest.
    fn unpark(&mut self, key: &ResourceKey) {
        let Some(chain) = self.chains.get_mut(key) else { return };
        match chain.parked.pop_front() {
            Some(position) => {
                chain.holders.insert(position, None);
                self.parked -= 1;
                self.ready.push_back(Work { position, event: None, resource: Some(key.clone()) });
            }
            None => {
                self.chains.remove(key);
            }
        }
    }
}

fn limit_of(endpoint: &Endpoint, limit: usize) -> usize {
    endpoint.max_in_flight.map_or(limit, |own| own as usize).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::deliver::testing::{endpoint, event};

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    /// A live lane with a limit of eight.
    fn lane(ordering: Ordering) -> Lane {
        let mut endpoint = endpoint(1);
        endpoint.ordering = ordering;
        let mut lane = Lane::new(Arc::new(endpoint), 8, HOUR, Position::START);
        lane.feed = Feed::Live;
        lane
    }

    fn started(lane: &mut Lane, now: Timestamp) -> Vec<u64> {
        std::iter::from_fn(|| lane.start(now)).map(|work| work.position.0).collect()
    }

    fn work(position: u64, resource: &str) -> Work {
        let event = event(position, resource);
        Work { position: Position(position), resource: event.sight.resource().cloned(), event: None }
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
        lane.finish(&work(2, "a"), Verdict::Ended, at(2));
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

    #[test]
    fn after_a_failure_one_request_at_a_time_and_then_twice_as_many() {
        let mut lane = lane(Ordering::None);
        for position in 1..=40 {
            lane.take(&event(position, "a"));
        }
        assert_eq!(started(&mut lane, at(0)).len(), 8);
        for position in 1..=8 {
            lane.finish(&work(position, "a"), Verdict::RetryAt(at(60)), at(0));
        }
        assert_eq!(started(&mut lane, at(1)), [9]);
        lane.finish(&work(9, "a"), Verdict::Delivered, at(1));
        assert_eq!(started(&mut lane, at(1)), [10, 11]);
    }

    #[test]
    fn a_paused_lane_starts_nothing_and_wakes_when_the_pause_ends() {
        let mut lane = lane(Ordering::None);
        lane.take(&event(1, "a"));
        lane.pause(at(60));
        assert_eq!(started(&mut lane, at(59)), [] as [u64; 0]);
        assert_eq!(lane.next_wake(at(59)), Some(at(60)));
        assert_eq!(started(&mut lane, at(60)), [1]);
    }

    #[test]
    fn a_lane_takes_no_more_than_its_bounds() {
        let mut lane = lane(Ordering::PerResource);
        let mut taken = 0;
        while !lane.is_full(Room::of(1)) {
            taken += 1;
            lane.take(&event(taken, "a"));
        }
        assert_eq!(taken, PARKED.most as u64 + 1);
        assert!(!lane.wants_page(Room::of(1)), "a lane that is full reads nothing");
    }

    #[test]
    fn ten_thousand_lanes_together_hold_little_more_than_a_thousand() {
        for lanes in [0, 1, 100, 1_000, 10_000] {
            let room = Room::of(lanes);
            assert!(room.ready >= 16 && room.parked >= 100 && room.waiting >= 100, "{lanes}: {room:?}");
            assert!(room.ready * lanes <= 1_024 * READY.most, "{lanes}: {room:?}");
            assert!(room.parked * lanes <= 1_050 * PARKED.most, "{lanes}: {room:?}");
            assert!(room.waiting * lanes <= 256 * WAITING.most, "{lanes}: {room:?}");
        }
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
            let mut ended: HashMap<ResourceKey, u64> = HashMap::new();
            let mut finished = 0;
            let mut tries: HashMap<u64, u8> = HashMap::new();
            while finished < outcomes.len() {
                let running: Vec<Work> = std::iter::from_fn(|| lane.start(now)).collect();
                let resources: BTreeSet<_> = running.iter().map(|work| work.resource.clone()).collect();
                prop_assert_eq!(resources.len(), running.len(), "two of one resource at a time");
                prop_assert!(!running.is_empty() || lane.next_wake(now).is_some(), "the lane is stuck");
                for work in running {
                    let position = work.position.0;
                    let key = work.resource.clone().expect("a resource");
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
