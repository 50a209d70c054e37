//! Endpoints in memory.

use async_trait::async_trait;
use certhook::model::delivery::{DeliveryRecord, DeliveryStatus};
use certhook::model::endpoint::{Endpoint, EndpointStatus};
use certhook::model::id::{DeliveryId, EndpointId, EndpointNumber, Position};
use certhook::model::time::Timestamp;
use certhook::store::{Deed, DeliveryQuery, ENTRIES_READ_MAX, EndpointStore, EventLog, Filtered, StoreError, Updated};
use tokio::sync::broadcast;

use super::Memory;

#[async_trait]
impl EndpointStore for Memory {
    fn changes(&self) -> broadcast::Receiver<EndpointNumber> {
        self.changes.subscribe()
    }

    async fn create_with(&self, mut endpoint: Endpoint, deed: Deed) -> Result<Endpoint, StoreError> {
        self.disk
            .act("endpoint", || {
                let mut state = self.state()?;
                state.check_uid(&endpoint, None)?;
                state.endpoints_created += 1;
                let unnumbered = endpoint.id;
                endpoint.id.number = EndpointNumber(state.endpoints_created);
                state.access.keep_deed(deed.clone().renamed(&unnumbered, &endpoint.id));
                let start = endpoint.start.max(self.first().previous());
                state.positions.own.push((endpoint.id.number, start));
                state.endpoints.insert(endpoint.id.number, endpoint.clone());
                self.changed(endpoint.id.number);
                Ok(endpoint)
            })
            .await
    }

    async fn update_with(&self, seen: &Endpoint, endpoint: Endpoint, deed: Deed) -> Result<Updated, StoreError> {
        self.disk
            .act("endpoint", || {
                let mut state = self.state()?;
                if let Some(reason) = state.disabling.take() {
                    state.disable(endpoint.id, &seen.url, reason, seen.updated_at);
                }
                match state.endpoints.get(&endpoint.id.number).filter(|known| known.id == endpoint.id) {
                    None => return Ok(Updated::Gone),
                    Some(known) if known != seen => return Ok(Updated::Changed),
                    Some(_) => {}
                }
                state.check_uid(&endpoint, Some(endpoint.id.number))?;
                state.access.keep_deed(deed.clone());
                self.changed(endpoint.id.number);
                let is_enabled = endpoint.status == EndpointStatus::Enabled;
                let former = state.endpoints.insert(endpoint.id.number, endpoint.clone());
                if is_enabled && former.is_some_and(|former| former.status == EndpointStatus::Disabled) {
                    state.missed.remove(&endpoint.id.number);
                }
                Ok(Updated::Yes)
            })
            .await
    }

    async fn forget_secrets(&self, id: EndpointId, now: Timestamp) -> Result<bool, StoreError> {
        self.disk
            .act("endpoint", || {
                let mut state = self.state()?;
                let Some(known) = state.endpoints.get_mut(&id.number).filter(|known| known.id == id) else {
                    return Ok(false);
                };
                let before = known.secrets.len();
                known.secrets.retain(|secret| secret.is_live(now));
                let forgotten = known.secrets.len() < before;
                if forgotten {
                    self.changed(id.number);
                }
                Ok(forgotten)
            })
            .await
    }

    async fn delete_with(&self, id: EndpointId, deed: Deed) -> Result<bool, StoreError> {
        self.disk
            .act("endpoint", || {
                let mut state = self.state()?;
                if state.endpoints.get(&id.number).is_none_or(|known| known.id != id) {
                    return Ok(false);
                }
                state.endpoints.remove(&id.number);
                state.access.keep_deed(deed.clone());
                state.healths.remove(&id.number);
                state.positions.own.retain(|(known, _)| *known != id.number);
                let waits = |record: &&DeliveryRecord| {
                    record.id.endpoint == id.number && record.status == DeliveryStatus::Pending
                };
                let waiting: Vec<_> = state.records.values().filter(waits).cloned().collect();
                waiting.into_iter().for_each(|record| state.record(record.ended(DeliveryStatus::Canceled)));
                self.changed(id.number);
                Ok(true)
            })
            .await
    }

    async fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        Ok(self.state()?.endpoints.get(&id.number).filter(|known| known.id == id).cloned())
    }

    async fn by_number(&self, number: EndpointNumber) -> Result<Option<Endpoint>, StoreError> {
        Ok(self.state()?.endpoints.get(&number).cloned())
    }

    async fn by_uid(&self, uid: &str) -> Result<Option<Endpoint>, StoreError> {
        Ok(self.state()?.endpoints.values().find(|endpoint| endpoint.uid.as_deref() == Some(uid)).cloned())
    }

    async fn endpoints(
        &self,
        beyond: Option<EndpointNumber>,
        ascending: bool,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        let state = self.state()?;
        let all = state.endpoints.values();
        Ok(if ascending {
            all.filter(|one| beyond.is_none_or(|number| one.id.number > number)).take(limit).cloned().collect()
        } else {
            all.rev().filter(|one| beyond.is_none_or(|number| one.id.number < number)).take(limit).cloned().collect()
        })
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<Filtered<DeliveryRecord, DeliveryId>, StoreError> {
        let state = self.state()?;
        let head = Position(state.events.len() as u64);
        let mut ordered: Vec<_> = state.records.values().filter(|record| record.id.position <= head).collect();
        if !query.ascending {
            ordered.reverse();
        }
        let passed = |record: &&DeliveryRecord| {
            query.after.is_some_and(|last| if query.ascending { record.id <= last } else { record.id >= last })
        };
        let mut found = Vec::new();
        let mut last = None;
        for (read, record) in ordered.into_iter().skip_while(passed).enumerate() {
            if read == ENTRIES_READ_MAX {
                return Ok(Filtered { found, next: last });
            }
            if state.matches(record, &query, self.first()) {
                if found.len() == query.limit {
                    return Ok(Filtered { found, next: last });
                }
                found.push(record.clone());
            }
            last = Some(record.id);
        }
        Ok(Filtered { found, next: None })
    }
}
