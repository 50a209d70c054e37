//! Where each lane is registered: with the slots, the readers, the mark, and the times at which it wakes.

use std::sync::Arc;

use super::dispatch::Dispatcher;
use super::lane::Lane;
use super::room::Room;
use crate::model::id::{EndpointNumber, Position};
use crate::model::time::Timestamp;

/// A lane, and where it is registered.
pub(super) struct Station {
    pub(super) lane: Lane,
    /// Tells a lane from the one that the same endpoint had before it was disabled.
    pub(super) generation: u64,
    /// Whether it has a position of its own.
    pub(super) own: bool,
    /// Whom its requests go to.
    pub(super) host: Arc<str>,
    pub(super) held: Option<Position>,
    pub(super) queued: bool,
    pub(super) hungry: bool,
    pub(super) wake: Option<Timestamp>,
}

impl Dispatcher {
    /// Registers a lane anew for everything that it may want after it was touched.
    pub(super) fn settle(&mut self, number: EndpointNumber, now: Timestamp) {
        let room = self.room();
        let Some(station) = self.stations.get_mut(&number) else { return };
        let held = if station.own { None } else { station.lane.first_open() };
        self.ledger.hold(number, station.held, held);
        station.held = held;
        if station.own {
            self.own_moved.insert(number);
        }
        if !station.queued && station.lane.has_ready(now) {
            station.queued = true;
            self.slots.queue(number, self.slots.turn_of(number, station.lane.condition.is_failing()));
        }
        let wake = station.lane.next_wake(now);
        if wake != station.wake {
            station.wake.map(|at| self.wakes.remove(&(at, number)));
            wake.map(|at| self.wakes.insert((at, number)));
            station.wake = wake;
        }
        if !station.hungry && station.lane.wants_page(room) {
            station.hungry = true;
            self.hungry.push_back(number);
        }
    }

    /// What each lane may hold at the moment.
    pub(super) fn room(&self) -> Room {
        Room::of(self.stations.len())
    }

    /// Puts a lane to work.
    pub(super) fn open(&mut self, number: EndpointNumber, lane: Lane, own: bool, now: Timestamp) {
        self.generations += 1;
        self.index.insert(&lane.endpoint);
        let generation = self.generations;
        let host = lane.endpoint.url.host().into();
        let station = Station { lane, generation, own, host, held: None, queued: false, hungry: false, wake: None };
        self.stations.insert(number, station);
        self.settle(number, now);
    }

    /// Takes a lane away; gives the position where it stopped.
    pub(super) fn close(&mut self, number: EndpointNumber) -> Option<Position> {
        let station = self.stations.remove(&number)?;
        self.index.remove(&station.lane.endpoint);
        self.ledger.hold(number, station.held, None);
        station.wake.map(|at| self.wakes.remove(&(at, number)));
        // Left in, an endpoint that is switched off and on would have two turns where others have one.
        if station.queued {
            self.slots.forget(number);
        }
        if station.hungry {
            self.hungry.retain(|waiting| *waiting != number);
        }
        self.own_moved.remove(&number);
        let position = station.lane.position(self.routed);
        self.conditions.insert(number, station.lane.condition);
        Some(position)
    }
}
