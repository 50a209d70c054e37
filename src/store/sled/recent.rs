//! The durable head, and the events before it that are still in memory: who keeps up with the log never reads the
//! disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::model::event::Event;
use crate::model::id::Position;
use crate::model::time::Timestamp;
use crate::store::codec::Head;

/// At most so many events are kept,
const EVENTS_MAX: usize = 4096;

/// and at most so many bytes of JSON: the memory that readers who keep up may cost.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// The end of the log.
#[derive(Debug)]
pub(super) struct Recent {
    head: watch::Sender<Position>,
    events: Mutex<Events>,
}

#[derive(Debug)]
struct Events {
    /// The first one that is kept, here or on disk.
    first: Position,
    /// When the last one before it was observed, if that is known.
    last_cut: Option<Timestamp>,
    /// Without gaps, up to the head.
    events: VecDeque<(Arc<Event>, usize)>,
    bytes: usize,
}

impl Recent {
    /// A log from `first` to `head` of which nothing is in memory; what was before that ended at `last_cut`.
    pub(super) fn new(first: Position, last_cut: Option<Timestamp>, head: Position) -> Self {
        let events = Events { first, last_cut, events: VecDeque::new(), bytes: 0 };
        Self { head: watch::Sender::new(head), events: Mutex::new(events) }
    }

    /// The last event that may be read.
    pub(super) fn head(&self) -> Position {
        *self.head.borrow()
    }

    /// The first event that is kept; the one after the head if there is none.
    pub(super) fn first(&self) -> Position {
        self.events().first
    }

    /// When the last event before it was observed, if that is known.
    pub(super) fn last_cut(&self) -> Option<Timestamp> {
        self.events().last_cut
    }

    /// Nothing up to `last` is kept any more.
    pub(super) fn cut(&self, last: Head) {
        self.events().cut(last);
    }

    /// A receiver that is told when it moves.
    pub(super) fn follow(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows durable events, the next ones after the head, and wakes who waits for them.
    pub(super) fn publish(&self, events: Vec<Arc<Event>>) {
        let Some(head) = events.last().map(|event| event.position()) else { return };
        self.events().push(events);
        self.head.send_replace(head);
    }

    /// Up to `limit` events that are kept after a position; `None` if they are no longer all in memory.
    pub(super) fn after(&self, after: Position, limit: usize) -> Option<Vec<Arc<Event>>> {
        let head = self.head();
        let events = self.events();
        let after = after.max(events.first.previous());
        if after >= head {
            return Some(Vec::new());
        }
        let skipped = events.index(after.next())?;
        let until = usize::try_from(head.0 - after.0).unwrap_or(usize::MAX).min(limit);
        Some(events.events.iter().skip(skipped).take(until).map(|(event, _)| Arc::clone(event)).collect())
    }

    /// Up to `limit` events that are kept before a position, newest first; `None` if they are no longer all in memory.
    pub(super) fn before(&self, before: Position, limit: usize) -> Option<Vec<Arc<Event>>> {
        let newest = before.previous().min(self.head());
        let events = self.events();
        let kept = newest.next().0.saturating_sub(events.first.0);
        let count = usize::try_from(kept).unwrap_or(usize::MAX).min(limit);
        if count == 0 {
            return Some(Vec::new());
        }
        let oldest = events.index(Position(newest.0 - count as u64 + 1))?;
        Some(events.events.range(oldest..oldest + count).rev().map(|(event, _)| Arc::clone(event)).collect())
    }
}

impl Events {
    fn push(&mut self, events: Vec<Arc<Event>>) {
        for event in events {
            let bytes = bytes_of(&event, self.events.back().map(|(event, _)| event.as_ref()));
            self.bytes += bytes;
            self.events.push_back((event, bytes));
        }
        while self.events.len() > EVENTS_MAX || self.bytes > BYTES_MAX {
            self.drop_first();
        }
    }

    fn cut(&mut self, last: Head) {
        (self.first, self.last_cut) = (last.position.next(), Some(last.timestamp));
        while self.events.front().is_some_and(|(event, _)| event.position() <= last.position) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        self.bytes -= self.events.pop_front().map_or(0, |(_, bytes)| bytes);
    }

    /// Where the event at a position is, if it is here.
    fn index(&self, position: Position) -> Option<usize> {
        let (first, _) = self.events.front()?;
        let index = usize::try_from(position.0.checked_sub(first.position().0)?).ok()?;
        (index < self.events.len()).then_some(index)
    }
}

/// What an event costs after the one before it: they share their sight if it is the same.
fn bytes_of(event: &Event, before: Option<&Event>) -> usize {
    let shared = before.is_some_and(|before| Arc::ptr_eq(&before.sight, &event.sight));
    let sight = &event.sight;
    let own = if shared { 0 } else { sight.object.text().len() + sight.previous_attributes.text().len() };
    size_of::<Event>() + event.details.text().len() + own
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::event::{Detection, EventType, Mode, Sight, Subject};
    use crate::model::id::EventId;
    use crate::model::json::Json;

    fn event(position: u64, bytes: usize) -> Arc<Event> {
        let detection = Detection {
            mode: Mode::Test,
            pass: None,
            request_id: None,
            object_version: 0,
            observed_after: None,
            observed_before: Timestamp::EPOCH,
        };
        Arc::new(Event {
            id: EventId { position: Position(position), epoch: 1, start: 1 },
            event_type: EventType::WebhookTest,
            details: Json::of(&json!({})),
            sight: Arc::new(Sight {
                subject: Subject::Own("ep_1".into()),
                api_version: String::new(),
                livemode: true,
                object: Json::of(&"x".repeat(bytes)),
                previous_attributes: Json::of(&json!({})),
                detection,
            }),
        })
    }

    #[test]
    fn memory_is_bounded_by_events_and_by_bytes() {
        for (bytes, kept_max, more) in [(1, EVENTS_MAX, 50), (3 * 1024 * 1024, 2, 3)] {
            let recent = Recent::new(Position(1), None, Position(100));
            let count = kept_max as u64 + more;
            (101..=100 + count).for_each(|position| recent.publish(vec![event(position, bytes)]));
            assert_eq!(recent.head(), Position(100 + count));
            let oldest = Position(100 + count - kept_max as u64);
            assert_eq!(recent.after(oldest, usize::MAX).expect("in memory").len(), kept_max);
            assert!(recent.after(oldest.previous(), 1).is_none(), "older ones are on disk");
            assert_eq!(recent.before(Position(u64::MAX), 2).expect("in memory").len(), 2);
            assert!(recent.before(oldest.next(), 1).is_none());
        }
    }

    #[test]
    fn what_was_there_before_the_start_is_not_in_memory() {
        let recent = Recent::new(Position(1), None, Position(2));
        assert_eq!(recent.after(Position(2), 9), Some(Vec::new()));
        assert_eq!(recent.after(Position(1), 9), None);
        assert_eq!(recent.before(Position(3), 9), None);
        assert_eq!(recent.before(Position(1), 9), Some(Vec::new()));
    }

    #[test]
    fn what_was_cut_is_not_in_memory_either() {
        let recent = Recent::new(Position(1), None, Position(0));
        (1..=5).for_each(|position| recent.publish(vec![event(position, 1)]));
        let positions = |events: Option<Vec<Arc<Event>>>| {
            events.expect("in memory").iter().map(|event| event.position().0).collect::<Vec<_>>()
        };
        assert_eq!(recent.last_cut(), None);
        let end = |position, millis| Head { position: Position(position), timestamp: Timestamp::from_millis(millis) };
        recent.cut(end(2, 7));
        assert_eq!((recent.first(), recent.last_cut()), (Position(3), Some(Timestamp::from_millis(7))));
        assert_eq!(positions(recent.after(Position(0), 9)), [3, 4, 5]);
        assert_eq!(positions(recent.before(Position(9), 9)), [5, 4, 3]);
        assert_eq!(recent.before(Position(3), 9), Some(Vec::new()));
        recent.cut(end(5, 9));
        assert_eq!((recent.after(Position(0), 9), recent.before(Position(9), 9)), (Some(Vec::new()), Some(Vec::new())));
        assert_eq!(recent.events().bytes, 0);
        recent.publish(vec![event(6, 1)]);
        assert_eq!(positions(recent.after(Position(0), 9)), [6]);
    }
}
