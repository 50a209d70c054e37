//! Delivery records, what waits among them, and where the queues stand.

use std::sync::Arc;

use async_trait::async_trait;
use std::ops::RangeInclusive;

use super::act::Act;
use super::stage::Stage;
use super::view::View;
use super::{SledStore, keys};
use crate::model::delivery::{DeliveryRecord, DeliveryStatus};
use crate::model::health::HealthRecord;
use crate::model::id::{DeliveryId, EndpointNumber, Position};
use crate::store::codec::{self, Standing};
use crate::store::{Consequence, DeliveryCommit, DeliveryStore, Positions, StoreError, Waiting};

/// So many rows are walked over in the time in which one is looked up.
const ROWS_PER_LOOKUP: usize = 4;

impl Stage<'_> {
    /// A record as it is now. What would wait is canceled if its endpoint was deleted, or its event cut, while it was
    /// tried.
    pub(super) fn delivery(&mut self, record: &DeliveryRecord) -> Result<(), StoreError> {
        let is_pending = record.status == DeliveryStatus::Pending;
        if is_pending && (!self.is_registered(record.id.endpoint)? || record.id.position < self.first()?) {
            if !self.is_in_its_replay(record)? {
                // It is part of that all the same, as one that ends at once.
                self.count_for_replay(record)?;
            }
            self.record(&record.clone().ended(DeliveryStatus::Canceled))
        } else {
            self.record(record)
        }
    }

    /// Whether the store knows already that a delivery is or was part of the replay that it names.
    fn is_in_its_replay(&self, record: &DeliveryRecord) -> Result<bool, StoreError> {
        let row = self.get(&keys::delivery(record.id))?;
        let known = row.map(|row| codec::read_delivery(record.id, &row)).transpose()?;
        Ok(known.and_then(|known| known.replay).map(|known| known.id) == record.replay.map(|replay| replay.id))
    }

    /// What a record brings about for its endpoint.
    pub(super) fn consequence(&mut self, of: &DeliveryRecord, consequence: &Consequence) -> Result<(), StoreError> {
        let endpoint = of.id.endpoint;
        if let Some(health) = &consequence.health
            && self.is_registered(endpoint)?
        {
            self.put(&keys::health(endpoint), codec::rare::health(health))?;
        }
        for (sight, draft) in &consequence.told {
            self.told(sight.clone(), std::slice::from_ref(draft))?;
        }
        match &consequence.disabling {
            Some(disabling) if self.disable(disabling)? => {
                let (sight, draft) = &disabling.told;
                self.told(sight.clone(), std::slice::from_ref(draft)).map(|_| ())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Writes a record and its entry among those that wait, and counts it for its replay.
    fn record(&mut self, record: &DeliveryRecord) -> Result<(), StoreError> {
        let former = self.replace(&keys::delivery(record.id), codec::delivery(record))?;
        if let Some(row) = former
            && let Some(entry) = entry(record.id, codec::delivery_standing(&row)?)
        {
            self.remove(&entry)?;
        }
        let standing = Standing { status: record.status, next_attempt_at: record.next_attempt_at };
        if let Some(entry) = entry(record.id, standing) {
            self.put(&entry, Vec::new())?;
        }
        self.count_for_replay(record)
    }

    /// Cancels the delivery that an entry among those that wait means.
    pub(super) fn cancel(&mut self, entry: &[u8]) -> Result<(), StoreError> {
        let Some((id, _)) = keys::waiting_entry(entry) else { return self.remove(entry) };
        if let Some(row) = self.get(&keys::delivery(id))? {
            self.record(&codec::read_delivery(id, &row)?.ended(DeliveryStatus::Canceled))?;
        }
        self.remove(entry)
    }

    /// The live mark, if it moved.
    pub(super) fn live_mark(&mut self, mark: Option<Position>) -> Result<(), StoreError> {
        mark.map_or(Ok(()), |mark| self.put(keys::LIVE_MARK, codec::number(mark.0)))
    }

    /// Own positions. An endpoint that was deleted meanwhile gets none.
    pub(super) fn positions(&mut self, positions: &[(EndpointNumber, Option<Position>)]) -> Result<(), StoreError> {
        for (endpoint, position) in positions {
            let key = keys::own_position(*endpoint);
            match position {
                Some(position) if self.is_registered(*endpoint)? => {
                    let position = self.kept_from(*position)?;
                    self.put(&key, codec::number(position.0))?;
                }
                Some(_) | None => self.remove(&key)?,
            }
        }
        Ok(())
    }
}

/// The entry among those that wait of a delivery that stands so.
fn entry(id: DeliveryId, standing: Standing) -> Option<keys::Key> {
    (standing.status == DeliveryStatus::Pending).then(|| keys::waiting(id, standing.next_attempt_at))
}

/// A key that is none of those that are written.
pub(super) fn bad_key() -> StoreError {
    StoreError::Unreadable { what: "a row", reason: "its key is none that this program writes".into() }
}

/// Which of these deliveries have a record, in their order. Where it is that of their keys, and few records of others lie
/// between them, to walk over all is cheaper than to look up each.
fn recorded_of(view: &View, ids: &[DeliveryId]) -> Result<Vec<DeliveryId>, StoreError> {
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Ok(Vec::new()) };
    let rows_max = if ids.is_sorted() { ids.len().saturating_mul(ROWS_PER_LOOKUP) } else { 0 };
    let mut rows = view.walk(keys::delivery(*first)..=keys::delivery(*last), false);
    let (mut recorded, mut left) = (Vec::new(), ids.iter().copied().peekable());
    for _ in 0..rows_max {
        let Some(row) = rows.next() else { return Ok(recorded) };
        let row = keys::delivery_id(&row?.0).ok_or_else(bad_key)?;
        while left.next_if(|id| *id < row).is_some() {}
        recorded.extend(left.next_if_eq(&row));
    }
    for id in left {
        if view.has(&keys::delivery(id))? {
            recorded.push(id);
        }
    }
    Ok(recorded)
}

#[async_trait]
impl DeliveryStore for SledStore {
    async fn positions_of(&self, endpoints: RangeInclusive<EndpointNumber>) -> Result<Positions, StoreError> {
        self.read(move |reader| {
            let live_mark = reader.view.get(keys::LIVE_MARK)?.map_or(Ok(0), |row| codec::read_number(&row))?;
            let own = reader.view.walk(keys::own_positions(&endpoints), false).map(|row| {
                let (key, row) = row?;
                let endpoint = keys::endpoint_number(&key).ok_or_else(bad_key)?;
                Ok((endpoint, Position(codec::read_number(&row)?)))
            });
            Ok(Positions { live_mark: Position(live_mark), own: own.collect::<Result<_, StoreError>>()? })
        })
        .await
    }

    async fn waiting(&self, endpoint: EndpointNumber, limit: usize) -> Result<Vec<Waiting>, StoreError> {
        self.read(move |reader| {
            let entries = reader.view.walk(keys::due(endpoint), false).take(limit);
            let waiting = entries.map(|entry| match keys::waiting_entry(&entry?.0) {
                Some((id, Some(due))) => Ok(Waiting { id, due }),
                Some((_, None)) | None => Err(bad_key()),
            });
            waiting.collect()
        })
        .await
    }

    async fn recorded(&self, after: Position, until: Position) -> Result<Vec<DeliveryId>, StoreError> {
        if after >= until {
            return Ok(Vec::new());
        }
        self.read(move |reader| {
            let rows = reader.view.walk(keys::deliveries(after.next(), until), false);
            rows.map(|row| keys::delivery_id(&row?.0).ok_or_else(bad_key)).collect()
        })
        .await
    }

    async fn recorded_of(&self, ids: Vec<DeliveryId>) -> Result<Vec<DeliveryId>, StoreError> {
        self.read(move |reader| recorded_of(&reader.view, &ids)).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        self.read(move |reader| {
            let row = reader.view.get(&keys::delivery(id))?;
            row.map(|row| codec::read_delivery(id, &row)).transpose()
        })
        .await
    }

    async fn health(&self, endpoint: EndpointNumber) -> Result<Option<HealthRecord>, StoreError> {
        self.read(move |reader| {
            let row = reader.view.get(&keys::health(endpoint))?;
            row.map(|row| codec::rare::read_health(&row)).transpose()
        })
        .await
    }

    async fn commit_deliveries(&self, commit: DeliveryCommit) -> Result<(), StoreError> {
        let commit = Arc::new(commit);
        self.write_some_day(|done| Act::Deliveries { commit: Arc::clone(&commit), done }).await
    }
}
