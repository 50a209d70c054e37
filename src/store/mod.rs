//! What is kept: snapshots, the event log, endpoints, delivery records and positions.
//!
//! The traits here are named for their callers and used as `Arc<dyn …>`; every backend passes the same conformance
//! suite. Callers hand over values that are committed whole. No closure and no transaction crosses the seam, and
//! no code outside this room may assume that it is the only process.
//!
//! Invariants: nothing is acknowledged before it is durable; nobody sees an event beyond the durable head; the log
//! has no gaps and its timestamps never go back; what a sight changed (snapshot, events) is durable together or
//! not at all; secrets are sealed before they reach the disk.
//!
//! In reading order: the traits below, [`retention`] (what is removed by its age), [`space`] (what the disk has left),
//! [`codec`] (versioned bytes), [`vault`] (sealed secrets), [`backup`] (all of it as one file), [`sled`].

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::model::delivery::DeliveryRecord;
use crate::model::endpoint::{DisabledReason, EndpointUrl};
use crate::model::event::{Event, EventDraft, EventType, Sight};
use crate::model::health::HealthRecord;
use crate::model::id::{DeliveryId, EndpointId, EndpointNumber, EventId, Position};
use crate::model::resource::{Absence, Kind, OpenList, ResourceId, ResourceKey, Snapshot, SourceName};
use crate::model::source::SourceProgress;
use crate::model::time::Timestamp;

use self::backup::Backup;
use self::retention::RetentionStore;
use self::space::Space;

mod access;
mod answers;
pub mod backup;
pub mod codec;
mod deeds;
mod endpoints;
mod error;
mod replays;
pub mod retention;
pub mod sled;
pub mod space;
mod states;
mod trace;
pub mod vault;

pub use access::{AuditQuery, AuditStore, KeyStore};
pub use answers::{AnswerName, AnswerStore, Claim, Claims, KeptAnswer};
pub use deeds::Deed;
pub use endpoints::{DeliveryQuery, ENTRIES_READ_MAX, EndpointStore, Filtered, Updated};
pub use error::StoreError;
pub use replays::{Advance, ReplayStore};
pub use states::{SnapshotQuery, StateStore};
pub use trace::Trace;

/// What configuration says about keeping.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the sled store.
    pub path: std::path::PathBuf,
    /// 32 bytes that seal secrets; `None`: the key file beside the store, made when it is missing.
    pub encryption_key: Option<secrecy::SecretSlice<u8>>,
    /// So many bytes of its file system should stay free.
    pub min_free: u64,
}

/// One sight to be committed: the new snapshot, and what it tells.
#[derive(Clone, Debug, Default)]
pub struct SightCommit {
    /// The snapshot after the sight; `None` for what the gateway says about itself.
    pub snapshot: Option<Snapshot>,
    /// What becomes of the entry of an absent resource: put (`Some`) or deleted (`None`).
    pub absence: Option<(ResourceKey, Option<Absence>)>,
    /// Sights and their events, in order; none if nothing is told (a silent baseline, a mere touch). More than one
    /// where our clock has something to add to what was seen.
    pub told: Vec<(Sight, Vec<EventDraft>)>,
}

/// Which part of the agenda of resources is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// A reminder is to be told.
    Remind,
    /// It is to be asked for by id.
    Fetch,
}

/// A resource about which something is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub at: Timestamp,
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: ResourceId,
}

/// A store that lies somewhere where there may be no room.
pub trait Roomy: Send + Sync {
    /// The room that is left. Marked as changed whenever it is enough for something else.
    fn space(&self) -> watch::Receiver<Space>;
}

/// The store as passes need it. One writer per source: the caller serialises what it commits for a source.
#[async_trait]
pub trait SightStore: Roomy {
    /// The snapshots of these ids, in their order; `None` where there is none.
    async fn snapshots(
        &self,
        source: &SourceName,
        kind: Kind,
        ids: &[ResourceId],
    ) -> Result<Vec<Option<Snapshot>>, StoreError>;

    /// How many snapshots a source has of a kind, removed ones left out.
    async fn snapshot_count(&self, source: &SourceName, kind: Kind) -> Result<u64, StoreError>;

    /// Up to `limit` snapshots beyond an id, in the order of the ids; removed ones too.
    async fn snapshots_after(
        &self,
        source: &SourceName,
        kind: Kind,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Result<Vec<Snapshot>, StoreError>;

    /// The same, but only the ids, and of each whether it is removed. Cheaper where there are millions.
    async fn ids_after(
        &self,
        source: &SourceName,
        kind: Kind,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Result<Vec<(ResourceId, bool)>, StoreError>;

    /// The same, but only what rows are recognised by. Cheaper where there are millions, if the store can do better than
    /// this.
    async fn traces_after(
        &self,
        source: &SourceName,
        kind: Kind,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Result<Vec<Trace>, StoreError> {
        Ok(self.snapshots_after(source, kind, after, limit).await?.into_iter().map(Trace::of).collect())
    }

    /// Up to `limit` ids of the snapshots in an open list beyond an id, in the order of the ids.
    async fn open_after(
        &self,
        source: &SourceName,
        list: OpenList,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Result<Vec<ResourceId>, StoreError>;

    /// Up to `limit` resources with something to be done by `until`, what is due first first.
    async fn due(
        &self,
        source: &SourceName,
        task: Task,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError>;

    /// Up to `limit` absent resources beyond one, in the order of kind and id.
    async fn absences_after(
        &self,
        source: &SourceName,
        after: Option<(Kind, &ResourceId)>,
        limit: usize,
    ) -> Result<Vec<Absence>, StoreError>;

    /// The entries of these absent resources, in their order; `None` where there is none.
    async fn absences(
        &self,
        source: &SourceName,
        kind: Kind,
        ids: &[ResourceId],
    ) -> Result<Vec<Option<Absence>>, StoreError>;

    /// Where a source's passes stand; `None` if it was never read.
    async fn progress(&self, source: &SourceName) -> Result<Option<SourceProgress>, StoreError>;

    /// Commits sights in their order, each whole or not at all, then the progress. Returns once all is durable. After
    /// an error, the sights before the one that is refused are durable, and nothing after them is;
    /// [`StoreError::TooLarge`] says how many they are.
    /// A sight's `observed_before` is moved up to the log's latest timestamp if it lies before it.
    async fn commit_sights(&self, sights: Vec<SightCommit>, progress: Option<SourceProgress>)
    -> Result<(), StoreError>;
}

/// The event log as readers need it.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// The durable head: the last position that may be read. Marked as changed after every commit with events.
    fn head(&self) -> watch::Receiver<Position>;

    /// The first position that is kept: what lies before it can no longer be read. The one after the head if nothing is
    /// kept.
    fn first(&self) -> Position;

    /// When the last event was observed that was removed from the log's beginning. `None` if none was, or if the last
    /// one that was removed is not known: by a former program.
    fn last_cut(&self) -> Option<Timestamp>;

    /// Up to `limit` events after a position, oldest first; from the first one that is kept if that lies later. Recent
    /// ones come from memory.
    async fn events_after(&self, after: Position, limit: usize) -> Result<Vec<Arc<Event>>, StoreError>;

    /// The same, but only what each is called. Cheaper where there are thousands, if the store can do better than this.
    async fn names_after(&self, after: Position, limit: usize) -> Result<Vec<(EventId, EventType)>, StoreError> {
        let events = self.events_after(after, limit).await?;
        Ok(events.iter().map(|event| (event.id, event.event_type)).collect())
    }

    /// Up to `limit` events before a position, newest first.
    async fn events_before(&self, before: Position, limit: usize) -> Result<Vec<Arc<Event>>, StoreError>;

    /// The event at a position.
    async fn event(&self, position: Position) -> Result<Option<Arc<Event>>, StoreError>;

    /// The first position that is kept whose event is not earlier than an instant; the one after the head if there is
    /// none.
    async fn position_at(&self, instant: Timestamp) -> Result<Position, StoreError>;
}

/// The numbers that endpoints can have.
pub const EVERY_ENDPOINT: RangeInclusive<EndpointNumber> = EndpointNumber(0)..=EndpointNumber(u32::MAX);

/// Where every queue stood when it was last saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// Nothing is pending at or below it for any endpoint that has no position of its own.
    pub live_mark: Position,
    /// Endpoints that have one of their own: nothing is pending at or below it, deliveries that wait apart.
    pub own: Vec<(EndpointNumber, Position)>,
}

/// A delivery that waits for its next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which delivery.
    pub id: DeliveryId,
    /// When it is due.
    pub due: Timestamp,
}

/// What a record brings about for its endpoint, committed in one act with it.
#[derive(Clone, Debug, Default)]
pub struct Consequence {
    /// How the endpoint is doing by now, if that is to be kept.
    pub health: Option<HealthRecord>,
    /// What the gateway tells of it.
    pub told: Vec<(Sight, EventDraft)>,
    /// Whether the endpoint gets nothing more.
    pub disabling: Option<Disabling>,
}

/// An endpoint is disabled if it is enabled and still has that URL; everything else of it stays as it is, so that
/// whoever changes it at the same time loses nothing.
#[derive(Clone, Debug)]
pub struct Disabling {
    /// Which endpoint.
    pub id: EndpointId,
    /// The URL that was called.
    pub url: EndpointUrl,
    /// Why.
    pub reason: DisabledReason,
    /// When.
    pub at: Timestamp,
    /// What is told of it, if it is disabled.
    pub told: (Sight, EventDraft),
}

/// What deliveries leave behind, committed together.
#[derive(Clone, Debug, Default)]
pub struct DeliveryCommit {
    /// Records, each as it is now. One that is pending with an instant is found again by [`DeliveryStore::waiting`].
    pub records: Vec<DeliveryRecord>,
    /// What some of them bring about, by their place.
    pub consequences: BTreeMap<usize, Consequence>,
    /// The live mark, if it moved.
    pub live_mark: Option<Position>,
    /// Own positions that were set, moved (`Some`) or given up (`None`). None is before the first event that is kept.
    pub positions: Vec<(EndpointNumber, Option<Position>)>,
    /// How far replays have come with these records.
    pub advances: Vec<Advance>,
}

/// The store as deliveries need it.
#[async_trait]
pub trait DeliveryStore: EventLog {
    /// Where the queues stood.
    async fn positions(&self) -> Result<Positions, StoreError> {
        self.positions_of(EVERY_ENDPOINT).await
    }

    /// The same, with the own positions of these endpoints alone.
    async fn positions_of(&self, endpoints: RangeInclusive<EndpointNumber>) -> Result<Positions, StoreError>;

    /// An endpoint's deliveries that wait for their next attempt, the earliest due first.
    async fn waiting(&self, endpoint: EndpointNumber, limit: usize) -> Result<Vec<Waiting>, StoreError>;

    /// Which deliveries at the positions after `after` and up to `until` have a record.
    async fn recorded(&self, after: Position, until: Position) -> Result<Vec<DeliveryId>, StoreError>;

    /// Which of these deliveries have a record, in the same order. Cheapest for those that ascend.
    async fn recorded_of(&self, ids: Vec<DeliveryId>) -> Result<Vec<DeliveryId>, StoreError>;

    /// One record.
    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError>;

    /// How an endpoint was doing when that was last kept.
    async fn health(&self, endpoint: EndpointNumber) -> Result<Option<HealthRecord>, StoreError>;

    /// Commits all of it in one act. Returns once it is durable. What is too large for one act is committed in its
    /// order: each record with its consequence, then the replays and the positions, and last the mark, which may rely
    /// on every one of them. A delivery for an endpoint that was deleted meanwhile, or of an event that was cut, is kept
    /// as canceled if it would be pending; the health of such an endpoint is not kept. While the disk is full it waits.
    async fn commit_deliveries(&self, commit: DeliveryCommit) -> Result<(), StoreError>;
}

/// All of it, for the place that composes the gateway.
#[async_trait]
pub trait Store:
    SightStore
    + StateStore
    + DeliveryStore
    + ReplayStore
    + EndpointStore
    + RetentionStore
    + KeyStore
    + AuditStore
    + AnswerStore
{
    /// What the ids of all events that are told from now on have in common: the second in which the store was made, or
    /// last restored, and never less than before.
    fn epoch(&self) -> u32;

    /// Writes something and reads it back: whether the store can be used.
    async fn check(&self) -> Result<(), StoreError>;

    /// Begins a backup at `now`: everything as it is at one moment, which is that of the last byte. Commits go on
    /// meanwhile.
    async fn backup(&self, now: Timestamp) -> Result<Box<dyn Backup>, StoreError>;

    /// Everything acknowledged is on disk when this returns; nothing can be written afterwards.
    async fn close(&self);
}
