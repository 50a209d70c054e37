//! Which events of a stretch of the log are meant by a replay.

use std::sync::Arc;

use super::Step;
use crate::deliver::Deliverer;
use crate::deliver::conclude::untried;
use crate::deliver::feed::is_for;
use crate::model::delivery::DeliveryRecord;
use crate::model::endpoint::Endpoint;
use crate::model::event::Event;
use crate::model::id::{DeliveryId, EventId, Position};
use crate::model::replay::{Course, Cursor, Preview, Range, Replay, Replayed};
use crate::store::{Advance, Store, StoreError};

/// Events that are looked at in one step.
const PAGE: usize = 256;

/// Events that are looked at for a preview: more would keep a caller waiting for many seconds.
const PREVIEWED_MAX: usize = 200_000;

/// Events that a preview shows.
const SAMPLE: usize = 10;

/// A part of a range.
struct Page {
    /// What is asked for in it, whatever became of that.
    asked_for: Vec<Arc<Event>>,
    /// Where the next one begins; `None` at the end.
    next: Option<Position>,
    /// How many events were looked at.
    read: usize,
    /// How many there would have been besides, but for retention.
    cut: u64,
}

impl Deliverer {
    /// Makes the next part of a replay pending.
    pub(super) async fn go_through_log(
        &self,
        replay: &Replay,
        endpoint: &Endpoint,
        after: Position,
    ) -> Result<Step, StoreError> {
        let Course::Log(range) = &replay.course else { return Ok(Step::Waits) };
        let page = page(&*self.tools.store, range, after).await?;
        // Nobody else changes what has ended meanwhile, nor cancels the replay.
        let _one_at_a_time = self.by_hand.lock().await;
        if !self.runs(replay.id).await? {
            return Ok(Step::Moved);
        }
        let now = self.tools.clock.now();
        let mut records = Vec::new();
        for (event, record) in meant(&*self.tools.store, endpoint, range, page.asked_for).await? {
            if record.as_ref().and_then(|record| record.replay).is_some_and(|replayed| replayed.id == replay.id) {
                // It became pending before the process ended, and this page was not noted.
                continue;
            }
            let replayed = Replayed { id: replay.id, former: record.as_ref().map(|record| record.status), ended: None };
            records.push(record.unwrap_or_else(|| untried(endpoint, &event)).anew(now, Some(replayed)));
        }
        let cursor = page.next.map_or(Cursor::End, Cursor::Log);
        self.note(Advance { id: replay.id, cursor, cut: page.cut }, records.clone()).await?;
        self.hand_over(replay, records).await?;
        Ok(Step::Moved)
    }
}

/// What a replay of a range would do.
pub(super) async fn preview(store: &dyn Store, endpoint: &Endpoint, range: &Range) -> Result<Preview, StoreError> {
    let mut preview = Preview::default();
    let mut next = Some(range.after);
    let mut read = 0;
    while let Some(after) = next {
        if read >= PREVIEWED_MAX {
            preview.more = true;
            break;
        }
        let page = page(store, range, after).await?;
        (next, read) = (page.next, read + page.read);
        for (event, _) in meant(store, endpoint, range, page.asked_for).await? {
            preview.matched += 1;
            if preview.sample.len() < SAMPLE {
                preview.sample.push(event);
            }
        }
    }
    Ok(preview)
}

/// The next part of a range: by their ids if they are named, or one after the other.
async fn page(store: &dyn Store, range: &Range, after: Position) -> Result<Page, StoreError> {
    let mut events = Vec::new();
    let mut cut = 0;
    let next;
    if range.event_ids.is_empty() {
        let left = range.until.0.saturating_sub(after.0);
        let limit = PAGE.min(usize::try_from(left).unwrap_or(PAGE));
        if limit > 0 {
            events = store.events_after(after, limit).await?;
            // The log has no holes: what is missing was cut from its beginning.
            let found = events.first().map_or(range.until, |first| first.position().previous());
            cut = found.min(range.until).0 - after.0;
        }
        next = events.last().map(|event| event.position()).filter(|last| *last < range.until);
    } else {
        let beyond = |id: &&EventId| id.position > after && id.position <= range.until;
        let mut ids = range.event_ids.iter().filter(beyond).peekable();
        let mut last = None;
        for id in ids.by_ref().take(PAGE) {
            last = Some(id.position);
            let event = store.event(id.position).await?;
            cut += u64::from(event.is_none());
            events.extend(event);
        }
        next = last.filter(|_| ids.peek().is_some());
    }
    let read = events.len();
    events.retain(|event| range.asks_for(event));
    Ok(Page { asked_for: events, next, read, cut })
}

/// Those events that are meant, by what became of them, each with its delivery if it has one.
async fn meant(
    store: &dyn Store,
    endpoint: &Endpoint,
    range: &Range,
    events: Vec<Arc<Event>>,
) -> Result<Vec<(Arc<Event>, Option<DeliveryRecord>)>, StoreError> {
    let id =
        |event: &Event| DeliveryId { position: event.position(), endpoint: endpoint.id.number, epoch: event.id.epoch };
    let recorded = store.recorded_of(events.iter().map(|event| id(event)).collect()).await?;
    let mut meant = Vec::new();
    for event in events {
        let id = id(&event);
        let record = if recorded.contains(&id) { store.delivery(id).await? } else { None };
        if range.select.means(record.as_ref().map(|record| record.status), is_for(endpoint, &event)) {
            meant.push((event, record));
        }
    }
    Ok(meant)
}
