//! What callers need of the store for replays.

use async_trait::async_trait;

use super::StoreError;
use crate::model::delivery::DeliveryRecord;
use crate::model::event::{EventDraft, Sight};
use crate::model::id::{DeliveryId, ReplayId, ReplayNumber};
use crate::model::replay::{Cursor, Replay, ReplayStatus};
use crate::model::time::Timestamp;

/// How far a replay has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Which replay.
    pub id: ReplayId,
    /// Where it goes on.
    pub cursor: Cursor,
    /// How many of the events between that and where it was are no longer kept.
    pub cut: u64,
}

/// Replays as deliveries and the API need them. What a replay counts follows from the records of its deliveries: one
/// that becomes pending for it is matched, and what it ends as is counted in the same act. So is one that would become
/// pending but for the end of its endpoint or of its event: it is matched, and canceled.
#[async_trait]
pub trait ReplayStore: Send + Sync {
    /// Keeps a new replay, which begins to run. The store gives the number in its id; the rest of the id comes with
    /// the value. `None`: the endpoint is not registered.
    async fn begin_replay(&self, replay: Replay) -> Result<Option<Replay>, StoreError>;

    /// One replay by id.
    async fn replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError>;

    /// Up to `limit` replays beyond a number, in the order in which they were begun or against it.
    async fn replays(
        &self,
        beyond: Option<ReplayNumber>,
        ascending: bool,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError>;

    /// Up to `limit` deliveries that are pending for a replay.
    async fn outstanding(&self, id: ReplayId, limit: usize) -> Result<Vec<DeliveryId>, StoreError>;

    /// Puts what resources are now at the end of the log, each as one event, together with its delivery to the
    /// endpoint of a resync, due at `now`, and moves the cursor of the resync past it. Gives the records; none if the
    /// replay or its endpoint has ended meanwhile. While the disk is full it waits.
    async fn tell_snapshots(
        &self,
        id: ReplayId,
        told: Vec<(Sight, EventDraft)>,
        now: Timestamp,
    ) -> Result<Vec<DeliveryRecord>, StoreError>;

    /// A replay has come to stand so; `false` if it no longer ran. While the disk is full it waits.
    async fn end_replay(&self, id: ReplayId, status: ReplayStatus, now: Timestamp) -> Result<bool, StoreError>;
}
