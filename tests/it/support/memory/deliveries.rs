//! Deliveries in memory, and where their queues stand.

use async_trait::async_trait;
use certhook::model::delivery::{DeliveryRecord, DeliveryStatus};
use certhook::model::health::HealthRecord;
use certhook::model::id::{DeliveryId, EndpointNumber, Position};
use certhook::store::{
    Advance, Consequence, DeliveryCommit, DeliveryStore, Disabling, EventLog, Positions, StoreError, Waiting,
};
use std::ops::RangeInclusive;

use super::Memory;

#[async_trait]
impl DeliveryStore for Memory {
    async fn positions_of(&self, endpoints: RangeInclusive<EndpointNumber>) -> Result<Positions, StoreError> {
        let mut positions = self.state()?.positions.clone();
        positions.own.retain(|(number, _)| endpoints.contains(number));
        Ok(positions)
    }

    async fn waiting(&self, endpoint: EndpointNumber, limit: usize) -> Result<Vec<Waiting>, StoreError> {
        let state = self.state()?;
        let mut waiting: Vec<_> = state
            .records
            .values()
            .filter(|record| record.id.endpoint == endpoint && record.status == DeliveryStatus::Pending)
            .filter_map(|record| record.next_attempt_at.map(|due| Waiting { id: record.id, due }))
            .collect();
        waiting.sort_by_key(|one| (one.due, one.id));
        waiting.truncate(limit);
        Ok(waiting)
    }

    async fn recorded(&self, after: Position, until: Position) -> Result<Vec<DeliveryId>, StoreError> {
        let within = |id: &&DeliveryId| id.position > after && id.position <= until;
        Ok(self.state()?.records.keys().filter(within).copied().collect())
    }

    async fn recorded_of(&self, mut ids: Vec<DeliveryId>) -> Result<Vec<DeliveryId>, StoreError> {
        let state = self.state()?;
        ids.retain(|id| state.records.contains_key(id));
        Ok(ids)
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        Ok(self.state()?.records.get(&id).cloned())
    }

    async fn health(&self, endpoint: EndpointNumber) -> Result<Option<HealthRecord>, StoreError> {
        Ok(self.state()?.healths.get(&endpoint).copied())
    }

    async fn commit_deliveries(&self, commit: DeliveryCommit) -> Result<(), StoreError> {
        let turn = self.disk.begin().await;
        let mut consequences = commit.consequences;
        for (place, record) in commit.records.into_iter().enumerate() {
            self.keep_record(record, consequences.remove(&place).unwrap_or_default())?;
            self.disk.step("record").await;
        }
        if !commit.advances.is_empty() {
            self.keep_advances(commit.advances)?;
            self.disk.step("cursor").await;
        }
        for (number, position) in commit.positions {
            self.keep_position(number, position)?;
            self.disk.step("position").await;
        }
        if let Some(mark) = commit.live_mark {
            self.state()?.positions.live_mark = mark;
            self.disk.step("mark").await;
        }
        self.disk.end(turn).await;
        Ok(())
    }
}

impl Memory {
    fn keep_record(&self, record: DeliveryRecord, consequence: Consequence) -> Result<(), StoreError> {
        let mut state = self.state()?;
        let (endpoint, first) = (record.id.endpoint, self.first());
        let is_moot = record.id.position < first || !state.endpoints.contains_key(&endpoint);
        let is_lost = record.status == DeliveryStatus::Pending && is_moot;
        let known = state.records.get(&record.id).and_then(|known| known.replay).map(|replay| replay.id);
        if is_lost && known != record.replay.map(|replay| replay.id) {
            state.replays.count(&record);
        }
        state.record(if is_lost { record.ended(DeliveryStatus::Canceled) } else { record });
        let Consequence { health, told, disabling } = consequence;
        if let Some(health) = health.filter(|_| state.endpoints.contains_key(&endpoint)) {
            state.healths.insert(endpoint, health);
        }
        told.into_iter().for_each(|(sight, draft)| state.append(sight, vec![draft]));
        if let Some(Disabling { id, url, reason, at, told: (sight, draft) }) = disabling
            && state.disable(id, &url, reason, at)
        {
            state.append(sight, vec![draft]);
            self.changed(id.number);
        }
        self.show(&state);
        Ok(())
    }

    fn keep_advances(&self, advances: Vec<Advance>) -> Result<(), StoreError> {
        let mut state = self.state()?;
        advances.into_iter().for_each(|advance| state.replays.advance(advance));
        Ok(())
    }

    fn keep_position(&self, number: EndpointNumber, position: Option<Position>) -> Result<(), StoreError> {
        let kept_from = self.first().previous();
        let mut state = self.state()?;
        let position = position.filter(|_| state.endpoints.contains_key(&number));
        let own = &mut state.positions.own;
        own.retain(|(known, _)| *known != number);
        own.extend(position.map(|position| (number, position.max(kept_from))));
        Ok(())
    }
}
