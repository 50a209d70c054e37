//! What retention removes from the store in memory.

use std::sync::Arc;

use async_trait::async_trait;
use certhook::model::delivery::{DeliveryRecord, DeliveryStatus};
use certhook::model::id::{DeliveryId, EndpointNumber, Position};
use certhook::model::time::Timestamp;
use certhook::store::retention::{Forgotten, GivenUp, Missed, RetentionStore};
use certhook::store::{EventLog, StoreError};

use super::Memory;

#[async_trait]
impl RetentionStore for Memory {
    async fn cut_events(&self, until: Position) -> Result<Position, StoreError> {
        self.disk
            .act("retention", || {
                let state = self.state()?;
                let own = state.positions.own.iter().map(|(number, position)| {
                    state.endpoints.get(number).map_or(*position, |endpoint| endpoint.start.max(*position))
                });
                let last = own.chain([until, state.positions.live_mark]).min().unwrap_or(until);
                let first = self.first().previous().0 as usize;
                for (index, event) in state.events.iter().enumerate().skip(first) {
                    let next = state.events.get(index + 1);
                    let is_whole = next.is_none_or(|next| !Arc::ptr_eq(&next.sight, &event.sight));
                    if event.position() <= last && is_whole {
                        self.cut(event.position());
                    }
                }
                Ok(self.first())
            })
            .await
    }

    async fn give_up(&self, given_up: GivenUp) -> Result<bool, StoreError> {
        self.disk
            .act("retention", || {
                let mut state = self.state()?;
                let number = given_up.endpoint.number;
                let Some(endpoint) = state.endpoints.get_mut(&number).filter(|known| known.id == given_up.endpoint)
                else {
                    return Ok(false);
                };
                endpoint.start = endpoint.start.max(given_up.until);
                for (_, position) in state.positions.own.iter_mut().filter(|(known, _)| *known == number) {
                    *position = given_up.until.max(*position);
                }
                for id in given_up.waiting {
                    let pending =
                        state.records.get(&id).filter(|record| record.status == DeliveryStatus::Pending).cloned();
                    if let Some(record) = pending {
                        state.record(record.ended(DeliveryStatus::Canceled));
                    }
                }
                let missed = state.missed.entry(number).or_default();
                *missed = missed.and(given_up.missed);
                if let Some((sight, draft)) = given_up.told {
                    state.append(sight, vec![draft]);
                }
                self.show(&state);
                self.changed(number);
                Ok(true)
            })
            .await
    }

    async fn missed(&self, endpoint: EndpointNumber) -> Result<Missed, StoreError> {
        Ok(self.state()?.missed.get(&endpoint).copied().unwrap_or_default())
    }

    async fn forget_deliveries(
        &self,
        after: Option<DeliveryId>,
        until: Position,
        before: Timestamp,
    ) -> Result<Forgotten, StoreError> {
        self.disk
            .act("retention", || {
                let mut state = self.state()?;
                let is_meant = |record: &DeliveryRecord| {
                    after.is_none_or(|after| record.id > after)
                        && record.id.position <= until
                        && record.status != DeliveryStatus::Pending
                        && record.attempts.last().is_none_or(|last| last.at < before)
                };
                let known = state.records.len();
                state.records.retain(|_, record| !is_meant(record));
                Ok(Forgotten { count: known - state.records.len(), next: None })
            })
            .await
    }

    async fn forget_replays(&self, before: Timestamp) -> Result<usize, StoreError> {
        self.disk.act("retention", || Ok(self.state()?.replays.forget(before))).await
    }
}
