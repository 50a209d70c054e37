//! What a lane holds, in numbers.

use super::{Feed, Lane};
use crate::model::id::Position;

/// What a lane holds that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::deliver) struct Window {
    /// How many deliveries.
    pub(in crate::deliver) pending: usize,
    /// Of these, those that are being tried.
    pub(in crate::deliver) in_flight: usize,
    /// The oldest of them.
    pub(in crate::deliver) oldest: Option<Position>,
}

impl Lane {
    /// What it holds. Takes a look at each delivery that waits for a retry or a slot.
    pub(in crate::deliver) fn window(&self) -> Window {
        let in_flight = self.running.len();
        let pending = in_flight + self.urgent.len() + self.backlog();
        let queued = [&self.urgent, &self.ready, &self.replayed].into_iter().flatten().map(|work| work.position);
        let waiting = self.waiting.keys().map(|(_, position)| *position);
        let running = self.running.first().copied();
        // What is parked is open, or behind one of these.
        let oldest = queued.chain(waiting).chain(running).chain(self.first_open()).min();
        Window { pending, in_flight, oldest: oldest.filter(|_| pending > 0) }
    }

    /// Whether it keeps up: what the router offers, it takes.
    pub(in crate::deliver) fn is_live(&self) -> bool {
        self.feed == Feed::Live
    }
}
