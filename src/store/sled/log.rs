//! The event log, for readers.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::view::View;
use super::{Reader, SledStore, keys};
use crate::model::event::{Event, EventType};
use crate::model::id::{EventId, Position};
use crate::model::time::Timestamp;
use crate::store::codec::{self, LogRow, StoredSight};
use crate::store::{EventLog, StoreError};

/// Puts events together from their rows; events of one sight that are read one after the other share it.
struct Assembly<'a> {
    view: &'a View,
    sight: Option<(Position, StoredSight)>,
}

impl<'a> Assembly<'a> {
    fn new(view: &'a View) -> Self {
        Self { view, sight: None }
    }

    fn row(&self, position: Position) -> Result<LogRow, StoreError> {
        match self.view.get(&keys::event(position))? {
            Some(row) => codec::read_log_row(&row),
            None => Err(missing(position)),
        }
    }

    fn sight(&mut self, first: Position, row: Option<StoredSight>) -> Result<&StoredSight, StoreError> {
        let known = self.sight.take().filter(|(position, _)| *position == first).map(|(_, sight)| sight);
        let sight = match known.or(row) {
            Some(sight) => sight,
            None => self.row(first)?.sight.ok_or_else(|| missing(first))?,
        };
        Ok(&self.sight.insert((first, sight)).1)
    }

    fn event(&mut self, position: Position, row: LogRow) -> Result<Arc<Event>, StoreError> {
        let first = first_of_sight(position, row.back)?;
        let sight = self.sight(first, row.sight)?;
        Ok(Arc::new(Event {
            id: EventId { position, epoch: sight.epoch, start: sight.start },
            event_type: row.event_type,
            details: row.details,
            sight: Arc::clone(&sight.sight),
        }))
    }
}

/// Where the sight of an event is that lies so many places back.
fn first_of_sight(position: Position, back: u32) -> Result<Position, StoreError> {
    Ok(Position(position.0.checked_sub(back.into()).ok_or_else(|| missing(position))?))
}

pub(super) fn missing(position: Position) -> StoreError {
    StoreError::Unreadable { what: "an event", reason: format!("there is none at position {}", position.0) }
}

/// When the event at a position was observed.
pub(super) fn timestamp(view: &View, position: Position) -> Result<Timestamp, StoreError> {
    let mut assembly = Assembly::new(view);
    let row = assembly.row(position)?;
    assembly.event(position, row).map(|event| event.timestamp())
}

impl Reader {
    /// Up to `limit` events from one position to another, both included, as far as they are kept.
    fn events(&self, first: Position, last: Position, descending: bool, limit: usize) -> EventsRead {
        self.of_what_is_kept(|kept| {
            let mut assembly = Assembly::new(&self.view);
            self.stretch(first.max(kept), last, descending, limit, |position, row| {
                assembly.event(position, codec::read_log_row(row)?)
            })
        })
    }

    /// The names of up to `limit` events from a position on, as far as they are kept.
    fn names(&self, first: Position, limit: usize) -> Result<Vec<(EventId, EventType)>, StoreError> {
        self.of_what_is_kept(|kept| {
            let mut sight = None;
            self.stretch(first.max(kept), self.recent.head(), false, limit, |position, row| {
                let name = codec::read_log_name(row)?;
                let at = first_of_sight(position, name.back)?;
                let known = sight.filter(|(known, _)| *known == at).map(|(_, origin)| origin);
                let origin = match name.origin.or(known) {
                    Some(origin) => origin,
                    None => {
                        let row = self.view.get(&keys::event(at))?.ok_or_else(|| missing(at))?;
                        codec::read_log_name(&row)?.origin.ok_or_else(|| missing(at))?
                    }
                };
                sight = Some((at, origin));
                let (epoch, start) = origin;
                Ok((EventId { position, epoch, start }, name.event_type))
            })
        })
    }

    /// Looks into the log, which begins at the position that `look` is given; once more if it was cut meanwhile.
    fn of_what_is_kept<T>(&self, look: impl Fn(Position) -> Result<T, StoreError>) -> Result<T, StoreError> {
        loop {
            let kept = self.recent.first();
            let seen = look(kept);
            if seen.is_ok() || self.recent.first() == kept {
                return seen;
            }
        }
    }

    /// The same, where all is kept. One that is not there is an error: sled can lose a row to damage without a word,
    /// and a reader that was not told would never know of its event.
    fn stretch<T>(
        &self,
        first: Position,
        last: Position,
        descending: bool,
        limit: usize,
        mut read: impl FnMut(Position, &[u8]) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let count = (last.0 + 1).saturating_sub(first.0).min(limit as u64);
        // No further than it is looked at, since a walk reads ahead.
        let (first, last) = if descending {
            (Position(last.0 + 1 - count), last)
        } else {
            (first, Position(first.0 + count).previous())
        };
        let mut rows = self.view.walk(keys::events(first, last), descending);
        let mut wanted = if descending { last } else { first };
        let mut events = Vec::new();
        for _ in 0..count {
            let (key, row) = rows.next().ok_or_else(|| missing(wanted))??;
            if keys::event_position(&key) != Some(wanted) {
                return Err(missing(wanted));
            }
            events.push(read(wanted, &row)?);
            wanted = if descending { wanted.previous() } else { wanted.next() };
        }
        Ok(events)
    }

    /// The first position that is kept whose event is not earlier than an instant; the one after the head if there is
    /// none.
    pub(super) fn position_at(&self, instant: Timestamp) -> Result<Position, StoreError> {
        self.of_what_is_kept(|kept| self.position_from(kept, instant))
    }

    fn position_from(&self, first: Position, instant: Timestamp) -> Result<Position, StoreError> {
        let last = self.recent.head();
        if first > last {
            return Ok(first);
        }
        let at = |position| timestamp(&self.view, position);
        let (low, high) = ((first, at(first)?), (last, at(last)?));
        match (low.1 < instant, high.1 < instant) {
            (false, _) => Ok(first),
            (true, true) => Ok(last.next()),
            (true, false) => first_not_before(instant, low, high, at),
        }
    }
}

/// The first position whose event is not earlier than an instant. The event at `low` is earlier, the one at `high` is
/// not, and timestamps never go back.
///
/// Halving alone finds it, but each look reads parts of the tree that nobody may have read before, and in a long log they
/// are many. Where events came evenly, their times say nearly where it is; where they did not, every other step halves.
fn first_not_before<E>(
    instant: Timestamp,
    mut low: (Position, Timestamp),
    mut high: (Position, Timestamp),
    timestamp: impl Fn(Position) -> Result<Timestamp, E>,
) -> Result<Position, E> {
    let mut halves = false;
    while low.0.next() < high.0 {
        let span = high.0.0 - low.0.0;
        let steps = if halves { span / 2 } else { share(span, low.1, instant, high.1) };
        let middle = Position(low.0.0 + steps.clamp(1, span - 1));
        let at = timestamp(middle)?;
        *if at < instant { &mut low } else { &mut high } = (middle, at);
        halves = !halves;
    }
    Ok(high.0)
}

/// As much of a span as an instant is on its way from one to another.
fn share(span: u64, from: Timestamp, instant: Timestamp, to: Timestamp) -> u64 {
    let since = |at: Timestamp| u128::from(at.as_millis().abs_diff(from.as_millis()));
    let share = u128::from(span) * since(instant) / since(to).max(1);
    u64::try_from(share).unwrap_or(span)
}

type EventsRead = Result<Vec<Arc<Event>>, StoreError>;

#[async_trait]
impl EventLog for SledStore {
    fn head(&self) -> watch::Receiver<Position> {
        self.reader.recent.follow()
    }

    fn first(&self) -> Position {
        self.reader.recent.first()
    }

    fn last_cut(&self) -> Option<Timestamp> {
        self.reader.recent.last_cut()
    }

    async fn events_after(&self, after: Position, limit: usize) -> EventsRead {
        if let Some(events) = self.reader.recent.after(after, limit) {
            return Ok(events);
        }
        self.read(move |reader| reader.events(after.next(), reader.recent.head(), false, limit)).await
    }

    async fn names_after(&self, after: Position, limit: usize) -> Result<Vec<(EventId, EventType)>, StoreError> {
        if let Some(events) = self.reader.recent.after(after, limit) {
            return Ok(events.iter().map(|event| (event.id, event.event_type)).collect());
        }
        self.read(move |reader| reader.names(after.next(), limit)).await
    }

    async fn events_before(&self, before: Position, limit: usize) -> EventsRead {
        if let Some(events) = self.reader.recent.before(before, limit) {
            return Ok(events);
        }
        self.read(move |reader| {
            let newest = before.previous().min(reader.recent.head());
            reader.events(Position::START.next(), newest, true, limit)
        })
        .await
    }

    async fn event(&self, position: Position) -> Result<Option<Arc<Event>>, StoreError> {
        if position == Position::START {
            return Ok(None);
        }
        Ok(self.events_after(position.previous(), 1).await?.into_iter().find(|event| event.position() == position))
    }

    async fn position_at(&self, instant: Timestamp) -> Result<Position, StoreError> {
        self.read(move |reader| reader.position_at(instant)).await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// Where it is found among events at these times, and how many of them were looked at.
    fn found(times: impl Fn(u64) -> i64, count: u64, instant: i64) -> (u64, u32) {
        let looks = Cell::new(0);
        let at = |position: Position| {
            looks.set(looks.get() + 1);
            Ok::<_, Infallible>(Timestamp::from_millis(times(position.0)))
        };
        let end = |position| (Position(position), Timestamp::from_millis(times(position)));
        let Ok(found) = first_not_before(Timestamp::from_millis(instant), end(1), end(count), at);
        (found.0, looks.get())
    }

    proptest! {
        #[test]
        fn what_is_found_is_the_first_one_that_is_not_earlier(
            mut times in prop::collection::vec(prop_oneof![0..20_i64, any::<i64>()], 2..200),
            instant in prop_oneof![0..20_i64, any::<i64>()],
        ) {
            times.sort_unstable();
            prop_assume!(times[0] < instant && instant <= times[times.len() - 1]);
            let (found, looks) = found(|position| times[position as usize - 1], times.len() as u64, instant);
            prop_assert_eq!(found as usize - 1, times.partition_point(|at| *at < instant));
            prop_assert!(looks <= 2 * times.len().ilog2() + 2, "{} looks at {} events", looks, times.len());
        }
    }

    #[test]
    fn where_events_come_evenly_few_are_looked_at() {
        let evenly = |position: u64| 170 * position as i64 + (position % 7) as i64;
        for instant in [500, 850_000_333, 1_699_000_000] {
            let (_, looks) = found(evenly, 10_000_000, instant);
            assert!(looks <= 8, "{looks} looks");
        }
    }
}
