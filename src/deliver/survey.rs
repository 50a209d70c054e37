//! How all endpoints stand at once, for who looks at everything every few seconds: from memory, but for the instants
//! of events that wait, of which a few are looked up each time.

use std::collections::{BTreeMap, BTreeSet};

use super::dispatch::Dispatcher;
use crate::model::health::Standing;
use crate::model::id::{EndpointId, Position};
use crate::model::time::Timestamp;
use crate::store::{Store, StoreError};

/// Look-ups in one survey: a few milliseconds. Of ten thousand endpoints that wait for different events the rest is
/// known better the next time.
const LOOKUPS_MAX: usize = 256;

/// An endpoint that is disabled.
#[derive(Clone, Debug)]
pub(super) struct Absentee {
    pub(super) id: EndpointId,
    pub(super) uid: Option<String>,
}

/// How an endpoint stands, and the oldest event that waits for it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) standing: Standing,
    pub(super) oldest: Option<Position>,
}

impl Dispatcher {
    /// How all endpoints stand; in no order.
    pub(super) fn survey(&self) -> Vec<Seen> {
        let head = *self.tools.store.head().borrow();
        let unread = |taken: Position| head.0.saturating_sub(taken.0);
        let at_work = self.stations.values().map(|station| {
            let (lane, window) = (&station.lane, station.lane.window());
            Seen {
                oldest: window.oldest,
                standing: Standing {
                    id: lane.endpoint.id,
                    uid: lane.endpoint.uid.clone(),
                    state: Some(lane.condition.health().state),
                    pending: window.pending,
                    in_flight: window.in_flight,
                    // What was routed is in the lane already.
                    unread: if lane.is_live() { 0 } else { unread(lane.taken) },
                    oldest_at: None,
                },
            }
        });
        let away = self.absent.iter().map(|(number, absentee)| {
            let unread = self.stopped.get(number).map_or(0, |position| unread(*position));
            let Absentee { id, uid } = absentee.clone();
            let standing = Standing { id, uid, state: None, pending: 0, in_flight: 0, unread, oldest_at: None };
            Seen { standing, oldest: None }
        });
        at_work.chain(away).collect()
    }
}

/// The instants of the events that were waited for at the last survey.
#[derive(Debug, Default)]
pub(super) struct Instants(BTreeMap<Position, Timestamp>);

impl Instants {
    /// Forgets what nobody waits for any more, and looks up some of what somebody does, the oldest first.
    pub(super) async fn learn(&mut self, wanted: &BTreeSet<Position>, store: &dyn Store) -> Result<(), StoreError> {
        self.0.retain(|position, _| wanted.contains(position));
        let unknown = wanted.iter().filter(|position| !self.0.contains_key(position)).take(LOOKUPS_MAX);
        for position in unknown.copied().collect::<Vec<_>>() {
            // What retention has cut is as old as what it has kept, or older.
            if let Some(event) = store.events_after(position.previous(), 1).await?.first() {
                self.0.insert(position, event.timestamp());
            }
        }
        Ok(())
    }

    /// When an event was observed, or, while that is not known, the last one before it of which it is: the log's
    /// timestamps never go back.
    pub(super) fn at(&self, position: Position) -> Option<Timestamp> {
        self.0.range(..=position).next_back().map(|(_, at)| *at)
    }
}

/// The instants that the endpoints' oldest events have.
pub(super) fn wanted(seen: &[Seen]) -> BTreeSet<Position> {
    seen.iter().filter_map(|one| one.oldest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_that_is_not_known_is_taken_for_the_last_known_one_before_it() {
        let at = Timestamp::from_millis;
        let instants = Instants(BTreeMap::from([(Position(5), at(50)), (Position(9), at(90))]));
        for (position, expected) in [(4, None), (5, Some(50)), (8, Some(50)), (9, Some(90)), (1_000, Some(90))] {
            assert_eq!(instants.at(Position(position)), expected.map(at), "{position}");
        }
    }
}
