//! What retention removes: events from the beginning of the log, and records of deliveries that have ended long ago.

use async_trait::async_trait;

use super::act::Act;
use super::deliveries::bad_key;
use super::keys::{self, Key};
use super::log::{self, missing};
use super::stage::{BATCH_BYTES_MAX, Stage};
use super::writer::Writer;
use super::{Reader, SledStore};
use crate::model::delivery::{DeliveryRecord, DeliveryStatus};
use crate::model::id::{DeliveryId, EndpointNumber, Position};
use crate::model::time::Timestamp;
use crate::store::codec::{self, Head};
use crate::store::retention::{Forgotten, GivenUp, Missed, RetentionStore};
use crate::store::{EVERY_ENDPOINT, StoreError};

/// Events that are removed in one act, but for a sight that has more: their rows are held in memory until the act is
/// durable, for those who read.
const EVENTS_AT_ONCE: usize = 512;

/// Records that are looked at before others have their turn: each is read whole, some 10 milliseconds in all.
const RECORDS_AT_ONCE: usize = 1_000;

impl Stage<'_> {
    /// The first event that is kept.
    pub(super) fn first(&self) -> Result<Position, StoreError> {
        Ok(self.number(keys::FIRST)?.map_or(Position::START.next(), Position))
    }

    /// Where an endpoint goes on that was found at `position`: nowhere before the log begins.
    pub(super) fn kept_from(&self, position: Position) -> Result<Position, StoreError> {
        Ok(position.max(self.first()?.previous()))
    }

    /// An endpoint goes on after another position; `false` if there is none of that id.
    fn give_up(&mut self, given_up: &GivenUp) -> Result<bool, StoreError> {
        let Some(mut known) = self.endpoint(given_up.endpoint)? else { return Ok(false) };
        let number = given_up.endpoint.number;
        let own = keys::own_position(number);
        if self.number(&own)?.is_some_and(|position| position < given_up.until.0) {
            self.put(&own, codec::number(given_up.until.0))?;
        }
        // The dispatcher looks at an endpoint that has changed, and takes nothing up that lies before its start.
        known.start = known.start.max(given_up.until);
        self.write_endpoint(&known)?;
        let key = keys::missed(number);
        let missed = self.get(&key)?.map_or(Ok(Missed::default()), |row| codec::read_missed(&row))?;
        self.put(&key, codec::missed(&missed.and(given_up.missed)))?;
        match given_up.told.clone() {
            Some((sight, draft)) => self.told(sight, &[draft]).map(|_| true),
            None => Ok(true),
        }
    }

    /// Cancels a delivery if it is pending.
    fn cancel_pending(&mut self, id: DeliveryId) -> Result<(), StoreError> {
        match self.get(&keys::delivery(id))? {
            Some(row) => {
                let standing = codec::delivery_standing(&row)?;
                if standing.status == DeliveryStatus::Pending {
                    self.cancel(&keys::waiting(id, standing.next_attempt_at))?;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Removes records that have still ended before an instant.
    fn forget(&mut self, ids: &[DeliveryId], before: Timestamp) -> Result<usize, StoreError> {
        let mut count = 0;
        for id in ids {
            let key = keys::delivery(*id);
            if let Some(row) = self.get(&key)?
                && ended_before(&codec::read_delivery(*id, &row)?, before)
            {
                self.remove(&key)?;
                count += 1;
            }
        }
        Ok(count)
    }
}

/// Whether nothing of a delivery is younger. One that was never tried is as old as its event.
fn ended_before(record: &DeliveryRecord, instant: Timestamp) -> bool {
    record.status != DeliveryStatus::Pending && record.attempts.last().is_none_or(|last| last.at < instant)
}

impl Writer {
    /// Removes some events up to a position; gives the first that is kept. The batch is empty before, so the tree knows
    /// all there is.
    pub(super) fn cut_events(&mut self, until: Position) -> Result<Position, StoreError> {
        let first = self.recent.first();
        let head = self.recent.head();
        let last = self.dealt_with(until.min(head))?;
        let mut stage = Stage::new(&self.tree, &self.batch, &self.vault, self.identity);
        let mut kept = first;
        // One that may be as large as an act goes alone.
        let goes = |sight: &[Key], kept: Position| kept == first || sight.len() <= EVENTS_AT_ONCE;
        // The rows of the last sight, as far as it was read.
        let mut sight: Vec<Key> = Vec::new();
        let mut wanted = first;
        for row in self.view.walk(keys::events(first, head), false) {
            let (key, row) = row?;
            if keys::event_position(&key) != Some(wanted) {
                return Err(missing(wanted));
            }
            if codec::begins_sight(&row)? {
                if wanted.previous() > last || !goes(&sight, kept) {
                    break;
                }
                kept = wanted;
                sight.drain(..).try_for_each(|key| stage.remove(&key))?;
                if kept.0 - first.0 >= EVENTS_AT_ONCE as u64 || stage.bytes() >= BATCH_BYTES_MAX {
                    break;
                }
            }
            sight.push(key.to_vec());
            wanted = wanted.next();
        }
        if wanted > head && last == head && goes(&sight, kept) {
            kept = wanted;
            sight.drain(..).try_for_each(|key| stage.remove(&key))?;
        }
        if kept > first {
            let position = kept.previous();
            stage.cut_after(Head { position, timestamp: log::timestamp(&self.view, position)? })?;
            let changes = stage.finish()?;
            self.batch.add(changes);
        }
        Ok(kept)
    }

    /// Up to where all endpoints have dealt with the log, or `until` if that is less. Who has given something up goes on
    /// from there, whatever its lane still says.
    fn dealt_with(&self, until: Position) -> Result<Position, StoreError> {
        let mark = self.view.get(keys::LIVE_MARK)?.map_or(Ok(0), |row| codec::read_number(&row))?;
        let mut dealt_with = until.min(Position(mark));
        for row in self.view.walk(keys::own_positions(&EVERY_ENDPOINT), false) {
            let (key, row) = row?;
            let own = Position(codec::read_number(&row)?);
            if own < dealt_with {
                let number = keys::endpoint_number(&key).ok_or_else(bad_key)?;
                let row = self.view.get(&keys::endpoint(number))?;
                let start = row.map(|row| codec::endpoint::read_endpoint(&row, &self.vault)).transpose()?;
                dealt_with = dealt_with.min(own.max(start.map_or(own, |endpoint| endpoint.start)));
            }
        }
        Ok(dealt_with)
    }

    /// Lets an endpoint go on after another position, then cancels what waits for it below.
    pub(super) fn give_up(&mut self, given_up: &GivenUp) -> Result<bool, StoreError> {
        if !self.stage(|stage| stage.give_up(given_up))? {
            return Ok(false);
        }
        for id in &given_up.waiting {
            self.stage(|stage| stage.cancel_pending(*id))?;
        }
        Ok(true)
    }

    /// Removes records that have ended before an instant; how many.
    pub(super) fn forget(&mut self, ids: &[DeliveryId], before: Timestamp) -> Result<usize, StoreError> {
        self.stage(|stage| stage.forget(ids, before))
    }
}

impl Reader {
    /// Records that have ended before an instant, among so many; and where to go on.
    fn ended(
        &self,
        after: Option<DeliveryId>,
        until: Position,
        before: Timestamp,
    ) -> Result<(Vec<DeliveryId>, Option<DeliveryId>), StoreError> {
        let (first, last) = keys::deliveries(Position::START, until).into_inner();
        let first = after.map_or(first, keys::delivery);
        let mut rows = self.view.walk(first..=last, false).peekable();
        let mut ended = Vec::new();
        let mut looked_at = after;
        for row in rows.by_ref().take(RECORDS_AT_ONCE) {
            let (key, row) = row?;
            let id = keys::delivery_id(&key).ok_or_else(bad_key)?;
            if Some(id) != after && ended_before(&codec::read_delivery(id, &row)?, before) {
                ended.push(id);
            }
            looked_at = Some(id);
        }
        let next = if rows.peek().is_some() { looked_at } else { None };
        Ok((ended, next))
    }
}

#[async_trait]
impl RetentionStore for SledStore {
    async fn cut_events(&self, until: Position) -> Result<Position, StoreError> {
        self.write(|done| Act::CutEvents { until, done }).await
    }

    async fn give_up(&self, given_up: GivenUp) -> Result<bool, StoreError> {
        self.write(|done| Act::GiveUp { given_up: Box::new(given_up), done }).await
    }

    async fn missed(&self, endpoint: EndpointNumber) -> Result<Missed, StoreError> {
        self.read(move |reader| {
            let row = reader.view.get(&keys::missed(endpoint))?;
            row.map_or(Ok(Missed::default()), |row| codec::read_missed(&row))
        })
        .await
    }

    async fn forget_deliveries(
        &self,
        after: Option<DeliveryId>,
        until: Position,
        before: Timestamp,
    ) -> Result<Forgotten, StoreError> {
        let (ids, next) = self.read(move |reader| reader.ended(after, until, before)).await?;
        let count = if ids.is_empty() { 0 } else { self.write(|done| Act::Forget { ids, before, done }).await? };
        Ok(Forgotten { count, next })
    }

    async fn forget_replays(&self, before: Timestamp) -> Result<usize, StoreError> {
        let ended = self.read(move |reader| reader.ended_replays(before)).await?;
        if ended.is_empty() { Ok(0) } else { self.write(|done| Act::ForgetReplays { ended, done }).await }
    }
}
