//! Who starts next, over all endpoints: a fixed number of slots, and turns for them, as a value.
//!
//! A quarter of the slots is the *failing lane*: endpoints whose last attempt failed, or that have kept an attempt
//! waiting for more than a second, get no others. An attempt that becomes that old moves there if there is room, and
//! gives its slot back. If there is none, and somebody waits, it is cut off: otherwise a few hundred receivers that begin
//! to hang at the same moment would hold everybody up until the deadline. The next attempt at its endpoint has a slot
//! of the failing lane, and all the time that there is. Of the other slots some are kept for endpoints that have nothing
//! under way, so that the first second of those that are about to hang costs the others nothing. No host has more than half of all slots with attempts that
//! are not old yet, however many endpoints it serves: the old ones must not stop those of its endpoints that answer at
//! once. Within these bounds endpoints take turns.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::id::EndpointNumber;
use crate::model::time::Timestamp;

/// Receivers should answer at once and work afterwards; who takes longer is on the way to the deadline.
const OLD_AFTER: Duration = Duration::from_secs(1);

/// Which slots an endpoint waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has nothing under way.
    First,
    /// It has something under way already.
    Further,
    /// It is failing or slow.
    Failing,
}

/// An attempt that holds a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
struct Held {
    endpoint: EndpointNumber,
    host: Arc<str>,
    began: Timestamp,
    in_failing_lane: bool,
    is_old: bool,
    is_cut: bool,
}

/// What one endpoint has under way.
#[derive(Debug, Default)]
struct Share {
    in_flight: usize,
    old: usize,
}

#[derive(Debug, Default)]
struct Host {
    /// Attempts that are not old yet.
    young: usize,
    waiting: VecDeque<EndpointNumber>,
}

/// All slots, who holds them, and who waits for them.
#[derive(Debug)]
pub(super) struct Slots {
    ordinary_max: usize,
    failing_max: usize,
    /// So many of the ordinary ones are kept for endpoints that have nothing under way.
    kept: usize,
    host_max: usize,
    max: usize,
    next: u64,
    held: HashMap<Ticket, Held>,
    failing: usize,
    /// Ordinary ones that are not old yet, by when they began.
    young: BTreeSet<(Timestamp, Ticket)>,
    /// Old ones for which the failing lane had no room.
    overdue: BTreeSet<(Timestamp, Ticket)>,
    /// How many have been cut off and have not ended yet.
    cut: usize,
    shares: HashMap<EndpointNumber, Share>,
    hosts: HashMap<Arc<str>, Host>,
    first: VecDeque<EndpointNumber>,
    further: VecDeque<EndpointNumber>,
    behind: VecDeque<EndpointNumber>,
}

impl Slots {
    /// So many slots.
    pub(super) fn new(max: usize) -> Self {
        let failing_max = (max / 4).max(1);
        let ordinary_max = max.saturating_sub(failing_max).max(1);
        Self {
            ordinary_max,
            failing_max,
            kept: ordinary_max / 4,
            host_max: (max / 2).max(1),
            max,
            next: 0,
            held: HashMap::new(),
            failing: 0,
            young: BTreeSet::new(),
            overdue: BTreeSet::new(),
            cut: 0,
            shares: HashMap::new(),
            hosts: HashMap::new(),
            first: VecDeque::new(),
            further: VecDeque::new(),
            behind: VecDeque::new(),
        }
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    /// Which slots an endpoint may have.
    pub(super) fn turn_of(&self, endpoint: EndpointNumber, is_failing: bool) -> Turn {
        match self.shares.get(&endpoint) {
            Some(share) if is_failing || share.old > 0 => Turn::Failing,
            None if is_failing => Turn::Failing,
            Some(_) => Turn::Further,
            None => Turn::First,
        }
    }

    /// Lets an endpoint wait for its turn. It must not wait already.
    pub(super) fn queue(&mut self, endpoint: EndpointNumber, turn: Turn) {
        match turn {
            Turn::First => self.first.push_back(endpoint),
            Turn::Further => self.further.push_back(endpoint),
            Turn::Failing => self.behind.push_back(endpoint),
        }
    }

    /// The next endpoint for which there is a slot; it waits no longer.
    pub(super) fn next(&mut self) -> Option<(EndpointNumber, Turn)> {
        if self.held.len() >= self.max {
            return None;
        }
        let ordinary = self.held.len() - self.failing;
        let first = if ordinary < self.ordinary_max { self.first.pop_front() } else { None };
        if let Some(endpoint) = first {
            return Some((endpoint, Turn::First));
        }
        let further = if ordinary + self.kept < self.ordinary_max { self.further.pop_front() } else { None };
        if let Some(endpoint) = further {
            return Some((endpoint, Turn::Further));
        }
        let behind = if self.failing < self.failing_max { self.behind.pop_front() } else { None };
        behind.map(|endpoint| (endpoint, Turn::Failing))
    }

    /// Whether a host may get another request; if not, the endpoint waits until one of the others has ended.
    pub(super) fn admit(&mut self, endpoint: EndpointNumber, host: &Arc<str>) -> bool {
        match self.hosts.get_mut(host) {
            Some(known) if known.young >= self.host_max => {
                known.waiting.push_back(endpoint);
                false
            }
            Some(_) | None => true,
        }
    }

    /// An attempt begins, in the slot that [`Self::next`] found.
    pub(super) fn begin(&mut self, endpoint: EndpointNumber, host: &Arc<str>, turn: Turn, now: Timestamp) -> Ticket {
        self.next += 1;
        let ticket = Ticket(self.next);
        let in_failing_lane = turn == Turn::Failing;
        if in_failing_lane {
            self.failing += 1;
        } else {
            self.young.insert((now, ticket));
        }
        self.shares.entry(endpoint).or_default().in_flight += 1;
        self.hosts.entry(Arc::clone(host)).or_default().young += 1;
        let held = Held { endpoint, host: Arc::clone(host), began: now, in_failing_lane, is_old: false, is_cut: false };
        self.held.insert(ticket, held);
        ticket
    }

    /// An attempt has ended. Who waited for its host waits for a turn from here on; what kind of slot it may have is
    /// looked at then.
    pub(super) fn end(&mut self, ticket: Ticket) {
        let Some(held) = self.held.remove(&ticket) else { return };
        self.young.remove(&(held.began, ticket));
        self.overdue.remove(&(held.began, ticket));
        self.cut -= usize::from(held.is_cut);
        if held.in_failing_lane {
            self.failing -= 1;
            self.move_overdue();
        }
        if let Some(share) = self.shares.get_mut(&held.endpoint) {
            share.in_flight -= 1;
            share.old -= usize::from(held.is_old);
            if share.in_flight == 0 {
                self.shares.remove(&held.endpoint);
            }
        }
        if !held.is_old {
            self.leave(&held.host);
        }
    }

    /// One attempt less counts for a host. Who waited for it waits for a turn from here on.
    fn leave(&mut self, name: &Arc<str>) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        host.young -= 1;
        if host.young > 0 {
            self.first.extend(host.waiting.pop_front());
        } else if let Some(host) = self.hosts.remove(name) {
            // All of them: no other end will call the rest.
            self.first.extend(host.waiting);
        }
    }

    /// Moves to the failing lane what has become old by `now`, as far as there is room.
    pub(super) fn age(&mut self, now: Timestamp) {
        while let Some(&(began, ticket)) = self.young.first()
            && now.since(began) >= OLD_AFTER
        {
            self.young.remove(&(began, ticket));
            self.overdue.insert((began, ticket));
            if let Some(held) = self.held.get_mut(&ticket) {
                held.is_old = true;
                self.shares.entry(held.endpoint).or_default().old += 1;
                let host = Arc::clone(&held.host);
                self.leave(&host);
            }
        }
        self.move_overdue();
    }

    /// The attempts that are to end now, the oldest first, so that those who wait for an ordinary slot get one.
    pub(super) fn cut_off(&mut self) -> Vec<Ticket> {
        let wanted = (self.first.len() + self.further.len()).saturating_sub(self.cut);
        let mut cut = Vec::new();
        while cut.len() < wanted
            && let Some((_, ticket)) = self.overdue.pop_first()
        {
            if let Some(held) = self.held.get_mut(&ticket) {
                held.is_cut = true;
            }
            cut.push(ticket);
        }
        self.cut += cut.len();
        cut
    }

    fn move_overdue(&mut self) {
        while self.failing < self.failing_max
            && let Some((_, ticket)) = self.overdue.pop_first()
            && let Some(held) = self.held.get_mut(&ticket)
        {
            held.in_failing_lane = true;
            self.failing += 1;
        }
    }

    /// When [`Self::age`] may make room for somebody who waits.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        let waits_for_a_host = || self.hosts.values().any(|host| !host.waiting.is_empty());
        let somebody_waits = !self.first.is_empty() || !self.further.is_empty() || waits_for_a_host();
        self.young.first().filter(|_| somebody_waits).map(|(began, _)| began.plus(OLD_AFTER))
    }

    /// An endpoint waits no longer.
    pub(super) fn forget(&mut self, endpoint: EndpointNumber) {
        let hosts = self.hosts.values_mut().map(|host| &mut host.waiting);
        for queue in [&mut self.first, &mut self.further, &mut self.behind].into_iter().chain(hosts) {
            queue.retain(|waiting| *waiting != endpoint);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn host(name: &str) -> Arc<str> {
        name.into()
    }

    /// Starts for every endpoint in turn as often as it can, each on a host of its own; gives the tickets.
    fn fill(slots: &mut Slots, endpoints: std::ops::Range<u32>, now: Timestamp) -> Vec<(u32, Ticket)> {
        let mut begun = Vec::new();
        for number in endpoints.map(EndpointNumber) {
            slots.queue(number, slots.turn_of(number, false));
        }
        while let Some((number, turn)) = slots.next() {
            let current = slots.turn_of(number, false);
            if current == turn {
                begun.push((number.0, slots.begin(number, &host(&number.0.to_string()), turn, now)));
            }
            slots.queue(number, slots.turn_of(number, false));
        }
        slots.first.clear();
        slots.further.clear();
        slots.behind.clear();
        begun
    }

    #[test]
    fn attempts_that_take_long_leave_room_for_other_endpoints_of_their_host() {
        let mut slots = Slots::new(16);
        let (slow, prompt, shared) = (EndpointNumber(1), EndpointNumber(2), host("shared"));
        for _ in 0..8 {
            assert!(slots.admit(slow, &shared));
            slots.begin(slow, &shared, Turn::Further, at(0));
        }
        assert!(!slots.admit(prompt, &shared), "the host has its half");
        assert_eq!(slots.next_wake(), Some(at(1_000)));
        slots.age(at(1_000));
        assert_eq!(slots.next(), Some((prompt, Turn::First)));
        assert!(slots.admit(prompt, &shared));
        slots.begin(prompt, &shared, Turn::First, at(1_000));
    }

    #[test]
    fn endpoints_take_turns_and_leave_room_for_those_that_have_nothing_under_way() {
        let mut slots = Slots::new(64);
        let begun = fill(&mut slots, 0..4, at(0));
        assert_eq!(begun.len(), 36, "48 ordinary ones, of which 12 are kept");
        for number in 0..4 {
            assert_eq!(begun.iter().filter(|(one, _)| *one == number).count(), 9);
        }
        assert_eq!(fill(&mut slots, 10..30, at(0)).len(), 12, "they are kept for these");
    }

    #[test]
    fn what_is_old_moves_to_the_failing_lane_as_far_as_that_has_room() {
        let mut slots = Slots::new(64);
        let begun = fill(&mut slots, 0..100, at(0));
        assert_eq!(begun.len(), 48);
        assert!(fill(&mut slots, 100..101, at(0)).is_empty());
        slots.age(at(999));
        assert!(fill(&mut slots, 100..101, at(999)).is_empty());
        slots.age(at(1_000));
        assert_eq!(slots.turn_of(EndpointNumber(0), false), Turn::Failing, "it has kept us waiting");
        assert_eq!(fill(&mut slots, 200..300, at(1_000)).len(), 16, "a quarter of all has moved");
        assert_eq!(slots.held.len(), 64, "and there are never more than all");
        slots.age(at(5_000));
        for (_, ticket) in &begun[..16] {
            slots.end(*ticket);
        }
        assert_eq!(slots.failing, 16, "the next ones have moved up");
        assert_eq!(fill(&mut slots, 400..500, at(5_000)).len(), 16);
    }

    #[test]
    fn what_is_old_and_has_no_room_in_the_failing_lane_is_cut_off_for_those_who_wait() {
        let mut slots = Slots::new(64);
        let begun = fill(&mut slots, 0..48, at(0));
        slots.age(at(1_000));
        assert_eq!(slots.cut_off(), [], "nobody waits");
        assert_eq!(slots.failing, 16);
        assert_eq!(fill(&mut slots, 100..200, at(1_000)).len(), 16, "their places");
        slots.queue(EndpointNumber(100), Turn::First);
        slots.queue(EndpointNumber(101), Turn::Further);
        let cut = slots.cut_off();
        assert_eq!(cut, [begun[16].1, begun[17].1], "the oldest that have not moved, one for each who waits");
        assert_eq!(slots.cut_off(), [], "and only once");
        cut.into_iter().for_each(|ticket| slots.end(ticket));
        assert_eq!(slots.cut_off(), [begun[18].1, begun[19].1], "they still wait");
    }

    #[test]
    fn the_failing_have_a_quarter_and_no_more() {
        let mut slots = Slots::new(64);
        for number in (0..100).map(EndpointNumber) {
            slots.queue(number, slots.turn_of(number, true));
        }
        let mut begun = 0;
        while let Some((number, turn)) = slots.next() {
            assert_eq!(turn, Turn::Failing);
            slots.begin(number, &host("one"), turn, at(0));
            begun += 1;
        }
        assert_eq!(begun, 16);
    }

    #[test]
    fn a_host_has_half_of_all_slots_however_many_endpoints_it_serves() {
        let mut slots = Slots::new(64);
        let one = host("one");
        let mut tickets = Vec::new();
        for number in (0..40).map(EndpointNumber) {
            if slots.admit(number, &one) {
                tickets.push(slots.begin(number, &one, Turn::First, at(0)));
            }
        }
        assert_eq!(tickets.len(), 32);
        assert!(slots.admit(EndpointNumber(99), &host("another")));
        slots.end(tickets[0]);
        assert_eq!(slots.next(), Some((EndpointNumber(32), Turn::First)), "the first one that waits is next");
        slots.forget(EndpointNumber(33));
        tickets[1..].iter().for_each(|ticket| slots.end(*ticket));
        let rest: Vec<u32> = std::iter::from_fn(|| slots.next()).map(|(number, _)| number.0).collect();
        assert_eq!(rest, [34, 35, 36, 37, 38, 39], "and nobody is left behind");
    }

    proptest! {
        /// Whatever begins and ends when: the bounds hold, and nothing is left of what has ended.
        #[test]
        fn the_bounds_hold(max in 1..40_usize, steps in prop::collection::vec((0..6_u32, 0..12_u32, 0..700_i64), 0..200)) {
            let mut slots = Slots::new(max);
            let mut now = at(0);
            let mut tickets = Vec::new();
            let mut waiting = BTreeSet::new();
            for (step, number, wait) in steps {
                now = now.plus(Duration::from_millis(wait.unsigned_abs()));
                slots.age(now);
                let number = EndpointNumber(number);
                for cut in slots.cut_off() {
                    prop_assert!(slots.held[&cut].is_old && !slots.held[&cut].in_failing_lane);
                }
                if step == 0 && !tickets.is_empty() {
                    slots.end(tickets.remove(number.0 as usize % tickets.len()));
                } else if waiting.insert(number) {
                    slots.queue(number, slots.turn_of(number, number.0 < 3));
                }
                while let Some((number, turn)) = slots.next() {
                    let current = slots.turn_of(number, number.0 < 3);
                    let host = host(&(number.0 % 2).to_string());
                    if current != turn {
                        slots.queue(number, current);
                    } else if slots.admit(number, &host) {
                        waiting.remove(&number);
                        tickets.push(slots.begin(number, &host, turn, now));
                    }
                }
                prop_assert!(slots.held.len() <= max && slots.failing <= slots.failing_max);
                prop_assert!(slots.held.len() - slots.failing <= slots.ordinary_max);
                prop_assert!(slots.hosts.values().all(|host| host.young <= slots.host_max));
            }
            for ticket in tickets {
                slots.end(ticket);
            }
            prop_assert!(slots.is_idle() && slots.failing == 0 && slots.young.is_empty() && slots.overdue.is_empty());
            prop_assert!(slots.shares.is_empty() && slots.cut == 0);
        }
    }
}
