//! Replays: nothing to meddle with.

use async_trait::async_trait;
use certhook::model::delivery::DeliveryRecord;
use certhook::model::event::{EventDraft, Sight};
use certhook::model::id::{DeliveryId, ReplayId, ReplayNumber};
use certhook::model::replay::{Replay, ReplayStatus};
use certhook::model::time::Timestamp;
use certhook::store::{ReplayStore, StoreError};

use super::Meddler;

#[async_trait]
impl ReplayStore for Meddler {
    async fn begin_replay(&self, replay: Replay) -> Result<Option<Replay>, StoreError> {
        self.inner.begin_replay(replay).await
    }

    async fn replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError> {
        self.inner.replay(id).await
    }

    async fn replays(
        &self,
        beyond: Option<ReplayNumber>,
        ascending: bool,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        self.inner.replays(beyond, ascending, limit).await
    }

    async fn outstanding(&self, id: ReplayId, limit: usize) -> Result<Vec<DeliveryId>, StoreError> {
        self.inner.outstanding(id, limit).await
    }

    async fn tell_snapshots(
        &self,
        id: ReplayId,
        told: Vec<(Sight, EventDraft)>,
        now: Timestamp,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        self.inner.tell_snapshots(id, told, now).await
    }

    async fn end_replay(&self, id: ReplayId, status: ReplayStatus, now: Timestamp) -> Result<bool, StoreError> {
        self.inner.end_replay(id, status, now).await
    }
}
