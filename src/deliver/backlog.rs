//! What an endpoint has not got yet, read from the store: taken up where it stopped, counted, tried once more.

use super::feed::{is_for, is_for_by_type};
use super::work::Resumed;
use crate::model::delivery::{DeliveryRecord, DeliveryStatus, Outcome};
use crate::model::endpoint::Endpoint;
use crate::model::event::EventType;
use crate::model::health::Backlog;
use crate::model::id::{DeliveryId, EndpointNumber, EventId};
use crate::model::time::Timestamp;
use crate::store::{DeliveryCommit, DeliveryQuery, Store, StoreError, Waiting};

/// Waiting deliveries that are taken up for one endpoint at once: more than a lane ever lets wait by itself.
const WAITING_LOAD: usize = 16_384;

/// Records in one commit here: even those with every answer kept are a few hundred KiB.
const RECORDS_AT_ONCE: usize = 100;

/// What is looked at for one count: more would keep a caller waiting for seconds.
const COUNTED_MAX: usize = 10_000;

/// Events in one read of the log.
const PAGE: usize = 500;

/// Events of which only the ids and types are read at once: a few bytes each.
const NAMES: usize = 5 * PAGE;

/// What waits for an endpoint.
pub(super) struct Waits {
    /// Deliveries with a record.
    pub(super) resumed: Vec<Resumed>,
    /// Whether there are more of them.
    pub(super) more: bool,
}

/// Reads what waits for an endpoint. If it was told to skip that, what lies before its start is canceled.
pub(super) async fn waiting_of(store: &dyn Store, endpoint: &Endpoint, skips: bool) -> Result<Waits, StoreError> {
    loop {
        let rows = store.waiting(endpoint.id.number, WAITING_LOAD).await?;
        let more = rows.len() == WAITING_LOAD;
        let (mut resumed, mut skipped) = (Vec::with_capacity(rows.len()), Vec::new());
        for Waiting { id, due } in rows {
            match store.delivery(id).await? {
                // What was asked for since is none of that.
                Some(record) if skips && id.position <= endpoint.start && record.pending_for().is_none() => {
                    skipped.push(record.ended(DeliveryStatus::Canceled));
                }
                record => resumed.extend(record.map(|record| Resumed::of(&record, due))),
            }
        }
        if skipped.is_empty() {
            resumed.sort_by_key(|one| one.position);
            return Ok(Waits { resumed, more });
        }
        for records in skipped.chunks(RECORDS_AT_ONCE) {
            let records = records.to_vec();
            store.commit_deliveries(DeliveryCommit { records, ..DeliveryCommit::default() }).await?;
        }
    }
}

/// Makes pending again, with a schedule of its own, what has run out of attempts since the endpoint took something
/// last. Only for an endpoint that is disabled: otherwise its lane would not know.
pub(super) async fn retry_failed(store: &dyn Store, endpoint: &Endpoint, now: Timestamp) -> Result<(), StoreError> {
    let health = store.health(endpoint.id.number).await?.unwrap_or_default();
    let Some(first) = health.first_given_up else { return Ok(()) };
    let before = DeliveryId { position: first.previous(), endpoint: EndpointNumber(u32::MAX), epoch: u32::MAX };
    let mut query = DeliveryQuery {
        endpoint: Some(endpoint.id.number),
        status: Some(DeliveryStatus::Failed),
        after: Some(before),
        ascending: true,
        limit: RECORDS_AT_ONCE,
        ..DeliveryQuery::default()
    };
    let again = |record: DeliveryRecord| record.anew(now, None);
    loop {
        let page = store.deliveries(query.clone()).await?;
        let is_meant = |record: &DeliveryRecord| {
            let last = record.attempts.last();
            last.is_some_and(|last| Some(last.at) > health.last_success_at && last.outcome != Outcome::Aborted)
                && record.endpoint_id == endpoint.id
                && record.id.position > endpoint.start
        };
        let records = page.found.into_iter().filter(is_meant).map(again);
        let commit = DeliveryCommit { records: records.collect(), ..DeliveryCommit::default() };
        if !commit.records.is_empty() {
            store.commit_deliveries(commit).await?;
        }
        query.after = page.next;
        if page.next.is_none() {
            return Ok(());
        }
    }
}

/// Counts what an endpoint has not got yet: what waits with a record, and what has none behind its position.
pub(super) async fn count(store: &dyn Store, endpoint: &Endpoint) -> Result<Backlog, StoreError> {
    let number = endpoint.id.number;
    let waiting = store.waiting(number, COUNTED_MAX).await?;
    let mut backlog = Backlog { pending: waiting.len(), more: waiting.len() == COUNTED_MAX, oldest_at: None };
    let mut oldest = waiting.iter().map(|row| row.id.position).min();
    let positions = store.positions_of(number..=number).await?;
    let own = positions.own.first().map(|(_, position)| *position);
    let mut after = own.unwrap_or(positions.live_mark).max(endpoint.start);
    let head = *store.head().borrow();
    let mut looked_at = 0;
    while after < head {
        if looked_at >= COUNTED_MAX {
            backlog.more = true;
            break;
        }
        let names = store.names_after(after, NAMES.min(COUNTED_MAX - looked_at)).await?;
        let Some((last, _)) = names.last() else { break };
        (after, looked_at) = (last.position, looked_at + names.len());
        let mut ids = Vec::new();
        for names in names.chunks(PAGE) {
            ids.extend(meant(store, endpoint, names).await?);
        }
        let recorded = store.recorded_of(ids.clone()).await?;
        backlog.pending += ids.len() - recorded.len();
        // Both ascend, so the first one without a record is where they part.
        let tried = ids.iter().zip(&recorded).take_while(|(id, recorded)| id == recorded).count();
        oldest = oldest.into_iter().chain(ids.get(tried).map(|id| id.position)).min();
    }
    if let Some(oldest) = oldest {
        // The log's timestamps never go back.
        backlog.oldest_at = store.event(oldest).await?.map(|event| event.timestamp());
    }
    Ok(backlog)
}

/// Those of some events, one after the other in the log, that are meant for an endpoint; they are read whole only if
/// their types do not tell.
async fn meant(
    store: &dyn Store,
    endpoint: &Endpoint,
    names: &[(EventId, EventType)],
) -> Result<Vec<DeliveryId>, StoreError> {
    let delivery =
        |event: EventId| DeliveryId { position: event.position, endpoint: endpoint.id.number, epoch: event.epoch };
    let by_type: Option<Vec<bool>> =
        names.iter().map(|(_, event_type)| is_for_by_type(endpoint, *event_type)).collect();
    if let Some(is_meant) = by_type {
        let meant = names.iter().zip(is_meant).filter(|(_, is_meant)| *is_meant);
        return Ok(meant.map(|((id, _), _)| delivery(*id)).collect());
    }
    let (Some((first, _)), Some((last, _))) = (names.first(), names.last()) else { return Ok(Vec::new()) };
    let events = store.events_after(first.position.previous(), names.len()).await?;
    // Where the log was cut meanwhile, later ones came instead.
    let meant = events.iter().filter(|event| event.position() <= last.position && is_for(endpoint, event));
    Ok(meant.map(|event| delivery(event.id)).collect())
}
