//! A page of the log, and where a reader goes on.
//!
//! A reader says how far it has come by the id of an event. An id is given once, so that one that retention has passed
//! or that a restored log does not have is found out, where a bare position would lead on into other events.

use std::sync::Arc;

use super::wanted::Wanted;
use crate::api::error::{ApiError, ErrorKind};
use crate::api::page::{Order, PageQuery};
use crate::model::event::Event;
use crate::model::id::{EventId, Position};
use crate::model::time::Timestamp;
use crate::store::{ENTRIES_READ_MAX, EventLog, StoreError};

/// How many events are read at a time under a filter: a few MiB at the largest that events get.
const CHUNK: usize = 100;

/// Whether a reader can go on from an event, which it named in `field`.
///
/// # Errors
/// If retention has passed it, or the log does not have it.
pub(super) async fn check(log: &dyn EventLog, id: EventId, field: &str) -> Result<(), ApiError> {
    // Looked for before retention is asked, which may pass it in between.
    let found = log.event(id.position).await;
    check_kept(log, id)?;
    // The last event that is no longer kept cannot be compared, and everything after it is still there.
    let is_last_cut = id.position == log.first().previous() && id.position != Position::START;
    if is_last_cut || found?.is_some_and(|event| event.id == id) {
        return Ok(());
    }
    Err(ApiError::of_field(field, "is no event of this log, which may have been restored since; begin without it"))
}

/// Whether everything is kept that comes after an event.
///
/// # Errors
/// If not.
pub(super) fn check_kept(log: &dyn EventLog, id: EventId) -> Result<(), ApiError> {
    let last_cut = log.first().previous();
    if id.position >= last_cut {
        return Ok(());
    }
    let earliest = EventId { position: last_cut, ..id };
    let message = format!("what came next is no longer kept; {earliest} is the earliest to go on from");
    Err(ApiError::new(ErrorKind::CursorExpired, message).with_earliest(earliest))
}

/// A part of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    first: Position,
    /// The first position that is no longer part of it.
    end: Position,
    /// Whether it grows with the log.
    pub(super) is_open: bool,
}

impl Span {
    /// What was observed from `since` on and before `until`, and is kept.
    pub(super) async fn between(
        log: &dyn EventLog,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Self, StoreError> {
        let behind = log.head().borrow().next();
        let first = match since {
            Some(instant) => log.position_at(instant).await?.max(log.first()),
            None => log.first(),
        };
        let end = match until {
            Some(instant) => log.position_at(instant).await?.min(behind),
            None => behind,
        };
        Ok(Self { first, end, is_open: end == behind })
    }

    /// What is left of it once a position was dealt with.
    fn after(self, done: Option<Position>, order: Order) -> Self {
        match (done, order) {
            (None, _) => self,
            (Some(done), Order::OldestFirst) => Self { first: self.first.max(done.next()), ..self },
            (Some(done), Order::NewestFirst) => Self { end: self.end.min(done), ..self },
        }
    }

    /// How many events it has at most, as a number that can be read at once.
    fn len(self) -> usize {
        usize::try_from(self.end.0.saturating_sub(self.first.0)).unwrap_or(usize::MAX)
    }
}

/// A page in the making.
pub(super) struct Reading<'a> {
    log: &'a dyn EventLog,
    order: Order,
    limit: usize,
    wanted: Wanted,
    /// What is on the page so far.
    pub(super) found: Vec<Arc<Event>>,
    /// The last event that was dealt with.
    last: Option<EventId>,
    /// How many more may be read.
    left: usize,
}

impl<'a> Reading<'a> {
    /// Nothing read yet.
    pub(super) fn new(log: &'a dyn EventLog, page: &PageQuery<EventId>, wanted: Wanted) -> Self {
        let PageQuery { order, limit, after, .. } = *page;
        Self { log, order, limit, wanted, found: Vec::new(), last: after, left: ENTRIES_READ_MAX }
    }

    /// Reads until the page is full and one more match is known to follow, the span is at its end, or enough was read.
    /// Gives where the next page begins; `None` at the end.
    pub(super) async fn read(&mut self, span: Span) -> Result<Option<EventId>, StoreError> {
        let chunk = if self.wanted.is_everything() { self.limit + 1 } else { CHUNK };
        loop {
            let rest = span.after(self.last.map(|id| id.position), self.order);
            if rest.len() == 0 {
                return Ok(None);
            }
            if self.left == 0 {
                return Ok(self.last);
            }
            let count = chunk.min(self.left).min(rest.len());
            let events = match self.order {
                Order::OldestFirst => self.log.events_after(rest.first.previous(), count).await?,
                Order::NewestFirst => self.log.events_before(rest.end, count).await?,
            };
            if events.is_empty() {
                return Ok(None);
            }
            self.left = self.left.saturating_sub(events.len());
            for event in events {
                if self.wanted.matches(&event) {
                    if self.found.len() == self.limit {
                        return Ok(self.last);
                    }
                    self.found.push(Arc::clone(&event));
                }
                self.last = Some(event.id);
            }
        }
    }
}
