//! Lists of delivery records, filtered while they are read.

use super::deliveries::bad_key;
use super::{Reader, keys};
use crate::model::delivery::{DeliveryRecord, DeliveryStatus};
use crate::model::id::{DeliveryId, EndpointNumber, Position};
use crate::store::codec;
use crate::store::{DeliveryQuery, ENTRIES_READ_MAX, Filtered, StoreError};

type Page = Filtered<DeliveryRecord, DeliveryId>;

/// So many entries of the index of what is pending may be read for one page; with a record for each, that is the
/// limit of entries. If there are more, the records are read in their own order instead.
const PENDING_MAX: usize = ENTRIES_READ_MAX / 2;

impl Reader {
    /// A page of delivery records.
    pub(super) fn deliveries(&self, query: &DeliveryQuery) -> Result<Page, StoreError> {
        let Some((first, last)) = self.bounds(query)? else { return Ok(Filtered { found: Vec::new(), next: None }) };
        if query.status == Some(DeliveryStatus::Pending)
            && let Some(ids) = self.pending(query.endpoint)?
        {
            return self.listed(ids, first, last, query);
        }
        self.scanned(first, last, query)
    }

    /// The first and the last delivery that a list can have; `None` if it is empty.
    fn bounds(&self, query: &DeliveryQuery) -> Result<Option<(DeliveryId, DeliveryId)>, StoreError> {
        let mut first = Position::START.next();
        let mut last = self.recent.head();
        if let Some(since) = query.since {
            let at = self.position_at(since)?;
            // Where the log was cut, only the records can tell.
            if at > self.recent.first() {
                first = at;
            }
        }
        if let Some(until) = query.until {
            last = last.min(self.position_at(until)?.previous());
        }
        if let Some(position) = query.position {
            (first, last) = (first.max(position), last.min(position));
        }
        let (lowest, highest) = match query.endpoint.filter(|_| query.position.is_some()) {
            Some(endpoint) => (endpoint, endpoint),
            None => (EndpointNumber(0), EndpointNumber(u32::MAX)),
        };
        let mut first = DeliveryId { position: first, endpoint: lowest, epoch: 0 };
        let mut last = DeliveryId { position: last, endpoint: highest, epoch: u32::MAX };
        match query.after {
            Some(after) if query.ascending => first = first.max(after),
            Some(after) => last = last.min(after),
            None => {}
        }
        Ok((first <= last).then_some((first, last)))
    }

    /// What is pending, if that is not too much to be sorted in memory.
    fn pending(&self, endpoint: Option<EndpointNumber>) -> Result<Option<Vec<DeliveryId>>, StoreError> {
        let mut ids = Vec::new();
        for entry in self.view.walk(keys::pending(endpoint), false) {
            if ids.len() == PENDING_MAX {
                return Ok(None);
            }
            ids.push(keys::waiting_entry(&entry?.0).ok_or_else(bad_key)?.0);
        }
        Ok(Some(ids))
    }

    /// A page out of known deliveries.
    fn listed(
        &self,
        mut ids: Vec<DeliveryId>,
        first: DeliveryId,
        last: DeliveryId,
        query: &DeliveryQuery,
    ) -> Result<Page, StoreError> {
        ids.retain(|id| (first..=last).contains(id));
        ids.sort_unstable();
        if !query.ascending {
            ids.reverse();
        }
        let rows = ids.into_iter().filter_map(|id| {
            let row = self.view.get(&keys::delivery(id)).transpose()?;
            Some(row.map(|row| (id, row)))
        });
        page(rows, self.recent.first(), query)
    }

    /// A page out of all records between two.
    fn scanned(&self, first: DeliveryId, last: DeliveryId, query: &DeliveryQuery) -> Result<Page, StoreError> {
        let rows = self.view.walk(keys::delivery(first)..=keys::delivery(last), !query.ascending).map(|row| {
            let (key, row) = row?;
            Ok((keys::delivery_id(&key).ok_or_else(bad_key)?, row))
        });
        page(rows, self.recent.first(), query)
    }
}

/// Whether a delivery was first tried when the query asks for. That stands for the instant of an event that is no
/// longer there.
fn is_tried_within(record: &DeliveryRecord, query: &DeliveryQuery) -> bool {
    let at = record.attempts.first().map(|attempt| attempt.at);
    query.since.is_none_or(|since| at.is_some_and(|at| at >= since))
        && query.until.is_none_or(|until| at.is_some_and(|at| at < until))
}

/// The first rows that match, out of as many as may be read. The log is kept from `kept` on.
fn page(
    rows: impl Iterator<Item = Result<(DeliveryId, ::sled::IVec), StoreError>>,
    kept: Position,
    query: &DeliveryQuery,
) -> Result<Page, StoreError> {
    let mut rows = rows.filter(|row| row.as_ref().map_or(true, |(id, _)| Some(*id) != query.after)).peekable();
    let mut found = Vec::new();
    let mut last_read = None;
    for _ in 0..ENTRIES_READ_MAX {
        if found.len() >= query.limit {
            break;
        }
        let Some(row) = rows.next() else { return Ok(Filtered { found, next: None }) };
        let (id, row) = row?;
        last_read = Some(id);
        if query.endpoint.is_some_and(|endpoint| endpoint != id.endpoint) {
            continue;
        }
        if query.status.is_some_and(|status| codec::delivery_standing(&row).is_ok_and(|now| now.status != status)) {
            continue;
        }
        let record = codec::read_delivery(id, &row)?;
        if id.position < kept && !is_tried_within(&record, query) {
            continue;
        }
        let resource_id = record.resource.as_ref().map(|resource| &resource.id);
        if query.resource_id.as_ref().is_none_or(|wanted| resource_id == Some(wanted)) {
            found.push(record);
        }
    }
    let next = if rows.peek().is_some() { last_read } else { None };
    Ok(Filtered { found, next })
}
