//! What is to be committed next: records, and how far the queues have come.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::dispatch::{Dispatcher, Done};
use super::lane::Feed;
use crate::model::delivery::{DeliveryRecord, DeliveryStatus};
use crate::model::id::{EndpointNumber, Position};
use crate::model::time::Timestamp;
use crate::store::{Consequence, DeliveryCommit};

/// Records in one commit. A success is about 200 bytes, so that a commit stays within one batch of the store.
const RECORDS_MAX: usize = 256;

/// Records that are not durable yet. Where the store is slower than the receivers, attempts wait: memory, and what a
/// crash sends again, are bounded by this and by what is in flight, however many endpoints there are.
const UNSAVED_MAX: usize = 4 * RECORDS_MAX;

/// How far the mark may lag behind the router before an endpoint that holds it back gets a position of its own, and
/// before the mark is saved although there is nothing else to save. A restart looks at so many events again.
pub(super) const MARK_LAG_MAX: u64 = 1_024;

/// The mark is saved after this time at the latest where it has moved by less: retention keeps what lies behind it.
const MARK_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// A delivery of this log.
type Delivery = (EndpointNumber, Position);

fn delivery(record: &DeliveryRecord) -> Delivery {
    (record.id.endpoint, record.id.position)
}

/// A record, and what it brings about for its endpoint.
pub(super) type Saved = (DeliveryRecord, Option<Consequence>);

/// What became of a delivery that the store does not show yet.
#[derive(Clone, Debug)]
pub(super) enum Unsaved {
    /// It will be tried again.
    Pending(Box<DeliveryRecord>),
    /// It has ended, with its so-manieth attempt.
    Ended(u32),
}

impl Unsaved {
    fn of(record: &DeliveryRecord) -> Self {
        match record.status {
            DeliveryStatus::Pending => Self::Pending(Box::new(record.clone())),
            DeliveryStatus::Delivered | DeliveryStatus::Failed | DeliveryStatus::Canceled => {
                Self::Ended(record.attempt_count)
            }
        }
    }

    fn attempts(&self) -> u32 {
        match self {
            Self::Pending(record) => record.attempt_count,
            Self::Ended(attempts) => *attempts,
        }
    }
}

/// Collects what the next commit saves.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    records: Vec<Saved>,
    /// Those of the commit that is being written.
    saving: Vec<(Delivery, u32)>,
    /// Whether one of them was part of a replay.
    saving_replayed: bool,
    /// Deliveries whose last attempt the store does not show yet.
    unsaved: HashMap<Delivery, Unsaved>,
    /// How many attempts of an endpoint are under way or have a record that is not durable.
    unfinished: HashMap<EndpointNumber, usize>,
    positions: BTreeMap<EndpointNumber, Option<Position>>,
    /// The first open event of each endpoint without a position of its own.
    held: BTreeSet<(Position, EndpointNumber)>,
    saved_mark: Position,
    /// When anything was saved last.
    saved_at: Timestamp,
}

impl Ledger {
    /// A ledger whose mark was saved at `mark`.
    pub(super) fn new(mark: Position) -> Self {
        Self { saved_mark: mark, ..Self::default() }
    }

    /// An attempt begins. It is finished once its record is durable.
    pub(super) fn begin(&mut self, number: EndpointNumber) {
        *self.unfinished.entry(number).or_default() += 1;
    }

    /// An attempt is finished; from here on it leaves nothing behind that the store does not show.
    pub(super) fn finish(&mut self, number: EndpointNumber) {
        if let Entry::Occupied(mut unfinished) = self.unfinished.entry(number) {
            *unfinished.get_mut() -= 1;
            if *unfinished.get() == 0 {
                unfinished.remove();
            }
        }
    }

    /// Whether the store shows all that was ever tried for an endpoint.
    pub(super) fn is_finished(&self, number: EndpointNumber) -> bool {
        !self.unfinished.contains_key(&number)
    }

    /// Adds a record, and what it brings about.
    pub(super) fn record(&mut self, record: DeliveryRecord, consequence: Option<Consequence>) {
        self.unsaved.insert(delivery(&record), Unsaved::of(&record));
        self.records.push((record, consequence));
    }

    /// Whether so much waits for the store that nothing more should be tried.
    pub(super) fn is_full(&self) -> bool {
        self.records.len() + self.saving.len() >= UNSAVED_MAX
    }

    /// What became of a delivery, if the store does not show its last attempt yet.
    pub(super) fn unsaved(&self, number: EndpointNumber, position: Position) -> Option<&Unsaved> {
        self.unsaved.get(&(number, position))
    }

    /// Whether the commit that was just written has records of replays.
    fn has_saved_replayed(&self) -> bool {
        self.saving_replayed
    }

    /// The first position of an endpoint whose record is on its way to the store.
    pub(super) fn first_saving(&self, number: EndpointNumber) -> Option<Position> {
        let saving = self.saving.iter().filter(|((endpoint, _), _)| *endpoint == number);
        saving.map(|((_, position), _)| *position).min()
    }

    /// The commit that was being written is durable; gives the deliveries of its records.
    fn saved(&mut self) -> Vec<Delivery> {
        let mut saved = Vec::new();
        for (delivery, attempts) in std::mem::take(&mut self.saving) {
            if self.unsaved.get(&delivery).is_some_and(|known| known.attempts() == attempts) {
                self.unsaved.remove(&delivery);
            }
            self.finish(delivery.0);
            saved.push(delivery);
        }
        saved
    }

    /// Saves an endpoint's own position, or gives it up.
    pub(super) fn position(&mut self, number: EndpointNumber, own: Option<Position>) {
        self.positions.insert(number, own);
    }

    /// Notes which event an endpoint without a position of its own holds the mark back with.
    pub(super) fn hold(&mut self, number: EndpointNumber, before: Option<Position>, now: Option<Position>) {
        if before != now {
            before.map(|position| self.held.remove(&(position, number)));
            now.map(|position| self.held.insert((position, number)));
        }
    }

    /// Nothing is pending at or below it for any endpoint without a position of its own.
    pub(super) fn mark(&self, routed: Position) -> Position {
        self.held.first().map_or(routed, |(first, _)| first.previous())
    }

    /// The endpoint that holds the mark back for too long, if one does.
    pub(super) fn holdout(&self, routed: Position) -> Option<EndpointNumber> {
        let (first, number) = self.held.first()?;
        (first.0 + MARK_LAG_MAX <= routed.0).then_some(*number)
    }

    /// Whether there is anything that is worth a commit at `now`.
    pub(super) fn is_due(&self, routed: Position, now: Timestamp) -> bool {
        let is_old = now >= self.saved_at.plus(MARK_AGE_MAX);
        !self.records.is_empty()
            || !self.positions.is_empty()
            || self.mark(routed).0 >= self.saved_mark.0.saturating_add(MARK_LAG_MAX)
            || is_old && self.mark(routed) > self.saved_mark
    }

    /// Whether saving would move anything at all.
    pub(super) fn has_news(&self, routed: Position) -> bool {
        !self.records.is_empty() || !self.positions.is_empty() || self.mark(routed) > self.saved_mark
    }

    /// The records of the next commit.
    pub(super) fn take_records(&mut self) -> Vec<Saved> {
        let rest = self.records.split_off(self.records.len().min(RECORDS_MAX));
        std::mem::replace(&mut self.records, rest)
    }

    /// The next commit, once the lanes know which records it holds.
    pub(super) fn commit(&mut self, saved: Vec<Saved>, routed: Position, now: Timestamp) -> DeliveryCommit {
        self.saved_at = now;
        let mark = self.mark(routed);
        let live_mark = (mark > self.saved_mark).then_some(mark);
        self.saved_mark = self.saved_mark.max(mark);
        let (records, consequences): (Vec<_>, Vec<_>) = saved.into_iter().unzip();
        let consequences = consequences.into_iter().enumerate();
        let consequences = consequences.filter_map(|(place, one)| Some((place, one?))).collect();
        self.saving = records.iter().map(|record| (delivery(record), record.attempt_count)).collect();
        self.saving_replayed = records.iter().any(|record| record.replay.is_some());
        let positions = std::mem::take(&mut self.positions).into_iter().collect();
        DeliveryCommit { records, consequences, live_mark, positions, advances: Vec::new() }
    }
}

impl Dispatcher {
    /// Starts the next commit, unless one is being written or there is nothing that is worth one.
    pub(super) fn start_commit(&mut self) {
        if self.committing {
            return;
        }
        let now = self.tools.clock.now();
        let records = self.ledger.take_records();
        for (record, _) in &records {
            if let Some(station) = self.stations.get_mut(&record.id.endpoint) {
                station.lane.close(record.id.position);
                self.settle(record.id.endpoint, now);
            }
        }
        self.place_lanes(now);
        let worth =
            if self.stopping { self.ledger.has_news(self.routed) } else { self.ledger.is_due(self.routed, now) };
        if records.is_empty() && !worth {
            return;
        }
        let commit = self.ledger.commit(records, self.routed, now);
        let store = Arc::clone(&self.tools.store);
        self.committing = true;
        self.tasks.spawn(async move { Done::Committed(store.commit_deliveries(commit).await) });
    }

    /// The commit that was being written is durable.
    pub(super) fn committed(&mut self, now: Timestamp) {
        if self.ledger.has_saved_replayed() {
            self.news.tell();
        }
        for (number, position) in self.ledger.saved() {
            // It may have been tried again meanwhile, and then its end is on its way.
            if self.ledger.unsaved(number, position).is_none() {
                self.settled(number, position, now);
            }
            self.welcome(number);
        }
    }

    /// What became of a delivery is durable: those behind it may go.
    pub(super) fn settled(&mut self, number: EndpointNumber, position: Position, now: Timestamp) {
        let station = self.stations.get_mut(&number);
        if station.is_some_and(|station| station.lane.settled(position)) {
            self.settle(number, now);
        }
    }

    /// Gives a position of its own to whoever holds the mark back, saves those that moved, and takes them away
    /// from lanes that keep up again.
    fn place_lanes(&mut self, now: Timestamp) {
        while let Some(number) = self.ledger.holdout(self.routed) {
            if let Some(station) = self.stations.get_mut(&number) {
                station.own = true;
            }
            self.settle(number, now);
        }
        for number in std::mem::take(&mut self.own_moved) {
            let Some(station) = self.stations.get_mut(&number) else { continue };
            let position = station.lane.position(self.routed);
            if station.lane.feed == Feed::Live && position >= self.ledger.mark(self.routed) {
                station.own = false;
                self.ledger.position(number, None);
                self.settle(number, now);
            } else {
                self.ledger.position(number, Some(position));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_moves_little_is_saved_once_an_hour() {
        let at = |minutes: u64| Timestamp::EPOCH.plus(Duration::from_secs(60 * minutes));
        let mut ledger = Ledger::new(Position(5));
        assert_eq!(ledger.commit(Vec::new(), Position(7), at(0)).live_mark, Some(Position(7)));
        for (routed, minutes, is_due) in [(8, 59, false), (8, 60, true), (7, 60, false), (2_000, 1, true)] {
            assert_eq!(ledger.is_due(Position(routed), at(minutes)), is_due, "{routed} after {minutes} minutes");
        }
        ledger.hold(EndpointNumber(1), None, Some(Position(8)));
        assert!(!ledger.is_due(Position(20), at(60)), "it has not moved");
        assert_eq!(ledger.commit(Vec::new(), Position(20), at(60)).live_mark, None);
    }
}
