//! Answers that cross: one that was asked for before another arrived may be the older one, although it comes later.
//!
//! The snapshot remembers when its answer arrived, but not every sight is written (an unchanged row is not), two
//! instants can fall into one millisecond, and the clock may have been set back since, while no process ran. So the
//! requests under way are counted here, and what arrived while any of them was is remembered until it has come back.
//! A request that is not under way when an answer arrives cannot cross it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::resource::{Kind, ResourceId};
use crate::model::time::Timestamp;

/// The requests of one source that are under way, and what arrived meanwhile.
#[derive(Clone, Debug, Default)]
pub(super) struct Crossings(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Counts departures and arrivals alike, so that it orders them.
    clock: u64,
    under_way: BTreeSet<u64>,
    arrived: HashMap<(Kind, ResourceId), Arrival>,
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    order: u64,
    at: Timestamp,
}

/// A request under way. Taken before it is sent, and dropped when its answer has been applied.
#[derive(Debug)]
pub(super) struct Ticket {
    order: u64,
    crossings: Crossings,
}

impl Crossings {
    /// That a request is about to be sent.
    pub(super) fn depart(&self) -> Ticket {
        let mut state = self.lock();
        state.clock += 1;
        let order = state.clock;
        state.under_way.insert(order);
        Ticket { order, crossings: self.clone() }
    }

    /// Whether an answer about a resource was applied that arrived after this request was sent.
    pub(super) fn crossed(&self, ticket: &Ticket, asked_at: Timestamp, kind: Kind, id: &ResourceId) -> bool {
        self.lock().crossed(ticket, asked_at, kind, id)
    }

    /// Those of these resources of which no answer was applied that arrived after this request was sent.
    pub(super) fn uncrossed(
        &self,
        ticket: &Ticket,
        asked_at: Timestamp,
        kind: Kind,
        mut ids: Vec<ResourceId>,
    ) -> Vec<ResourceId> {
        let state = self.lock();
        ids.retain(|id| !state.crossed(ticket, asked_at, kind, id));
        ids
    }

    /// That an answer about these resources was applied; `own` is the ticket of the request that it answers, if that
    /// is still held. Nobody needs to know if no other request is under way.
    pub(super) fn arrived(
        &self,
        own: Option<&Ticket>,
        at: Timestamp,
        kind: Kind,
        ids: impl IntoIterator<Item = ResourceId>,
    ) {
        let mut state = self.lock();
        if state.under_way.iter().all(|order| own.is_some_and(|own| own.order == *order)) {
            return;
        }
        state.clock += 1;
        let order = state.clock;
        state.arrived.extend(ids.into_iter().map(|id| ((kind, id), Arrival { order, at })));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A pass that panicked left nothing half done here: every change is a single insertion or removal.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn crossed(&self, ticket: &Ticket, asked_at: Timestamp, kind: Kind, id: &ResourceId) -> bool {
        if self.arrived.is_empty() {
            return false;
        }
        self.arrived.get(&(kind, id.clone())).is_some_and(|arrival| {
            // A ticket is taken before the wait for the bucket, so the instants decide, and the order of the
            // tickets only where the instants are equal.
            asked_at < arrival.at || asked_at == arrival.at && ticket.order < arrival.order
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.crossings.lock();
        state.under_way.remove(&self.order);
        match state.under_way.first().copied() {
            Some(earliest) => state.arrived.retain(|_, arrival| arrival.order > earliest),
            None => state.arrived.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ResourceId {
        text.parse().expect("an id")
    }

    #[test]
    fn an_answer_asked_for_before_another_arrived_has_crossed_it() {
        let crossings = Crossings::default();
        let (kind, at) = (Kind::Certificate, Timestamp::from_millis);
        let early = crossings.depart();
        let late = crossings.depart();
        crossings.arrived(None, at(20), kind, [id("a")]);
        assert!(crossings.crossed(&early, at(10), kind, &id("a")));
        assert!(!crossings.crossed(&early, at(10), kind, &id("b")));
        assert_eq!(crossings.uncrossed(&early, at(10), kind, vec![id("a"), id("b")]), [id("b")]);
        assert!(!crossings.crossed(&early, at(21), kind, &id("a")), "it waited for the bucket and was sent later");
        assert!(crossings.crossed(&early, at(20), kind, &id("a")), "within one millisecond the tickets decide");
        drop(late);
        let after = crossings.depart();
        assert!(!crossings.crossed(&after, at(20), kind, &id("a")));
        assert_eq!(crossings.uncrossed(&after, at(20), kind, vec![id("a"), id("b")]), [id("a"), id("b")]);
    }

    #[test]
    fn what_nobody_can_cross_any_more_is_forgotten() {
        let crossings = Crossings::default();
        let first = crossings.depart();
        crossings.arrived(None, Timestamp::EPOCH, Kind::Certificate, [id("a")]);
        let second = crossings.depart();
        crossings.arrived(None, Timestamp::EPOCH, Kind::Certificate, [id("b")]);
        drop(first);
        assert_eq!(crossings.lock().arrived.len(), 1);
        drop(second);
        assert!(crossings.lock().arrived.is_empty());
    }

    #[test]
    fn what_nobody_else_can_cross_is_not_remembered() {
        let crossings = Crossings::default();
        let own = crossings.depart();
        crossings.arrived(Some(&own), Timestamp::EPOCH, Kind::Certificate, [id("a")]);
        assert!(crossings.lock().arrived.is_empty());
        let other = crossings.depart();
        crossings.arrived(Some(&own), Timestamp::EPOCH, Kind::Certificate, [id("a")]);
        assert!(crossings.crossed(&other, Timestamp::EPOCH, Kind::Certificate, &id("a")));
    }
}
