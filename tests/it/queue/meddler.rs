//! A store that does what the real one does, when the test lets it; and a network that answers when the test lets it.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use certhook::deliver::transport::{Request, Response, Transport};
use certhook::model::criteria::ListPlace;
use certhook::model::delivery::DeliveryRecord;
use certhook::model::endpoint::Endpoint;
use certhook::model::event::Event;
use certhook::model::health::HealthRecord;
use certhook::model::id::{DeliveryId, EndpointId, EndpointNumber, Position};
use certhook::model::resource::{Absence, Kind, OpenList, ResourceId, Snapshot, SourceName};
use certhook::model::source::SourceProgress;
use certhook::model::time::Timestamp;
use certhook::store::backup::Backup;
use certhook::store::space::Space;
use certhook::store::{
    Deed, DeliveryCommit, DeliveryQuery, DeliveryStore, Due, EndpointStore, EventLog, Filtered, Positions, Roomy,
    SightCommit, SightStore, SnapshotQuery, StateStore, Store, StoreError, Task, Updated, Waiting,
};
use tokio::sync::{Semaphore, broadcast, watch};

mod access;
mod replays;
mod retention;

/// Something that is let through as often as the test says; from the beginning without end.
#[derive(Debug)]
pub(super) struct Gate {
    open: Semaphore,
    passed: AtomicUsize,
}

const WITHOUT_END: usize = 1 << 40;

impl Gate {
    pub(super) fn open() -> Self {
        Self { open: Semaphore::new(WITHOUT_END), passed: AtomicUsize::new(0) }
    }

    /// Lets nothing through.
    pub(super) fn shut(&self) {
        self.open.forget_permits(usize::MAX);
    }

    pub(super) fn let_pass(&self, count: usize) {
        self.open.add_permits(count);
    }

    pub(super) fn let_all_pass(&self) {
        self.let_pass(WITHOUT_END);
    }

    pub(super) fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }

    async fn wait(&self) {
        self.open.acquire().await.expect("it is never closed").forget();
    }

    fn note(&self) {
        self.passed.fetch_add(1, Ordering::SeqCst);
    }
}

/// A network whose answers wait at a gate.
#[derive(Debug)]
pub(super) struct Slow {
    pub(super) inner: Arc<dyn Transport>,
    pub(super) answers: Gate,
}

#[async_trait]
impl Transport for Slow {
    async fn send(&self, request: Request) -> Response {
        let response = self.inner.send(request).await;
        self.answers.wait().await;
        response
    }
}

pub(super) struct Meddler {
    inner: Arc<dyn Store>,
    pub(super) commits: Gate,
    /// Reads of the log that found nothing.
    pub(super) empty_pages: Gate,
    /// Looks at an endpoint that has changed.
    pub(super) looks: Gate,
    /// Reads of everybody's records.
    pub(super) sweeps: Gate,
    /// After which positions the log was read.
    pub(super) reads: Mutex<Vec<Position>>,
    /// Is registered as soon as something of what a start reads was read.
    pub(super) newcomer: Mutex<Option<Endpoint>>,
}

impl Meddler {
    pub(super) fn over(inner: &Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            commits: Gate::open(),
            empty_pages: Gate::open(),
            looks: Gate::open(),
            sweeps: Gate::open(),
            reads: Mutex::default(),
            newcomer: Mutex::default(),
        })
    }

    async fn register_newcomer(&self) {
        let newcomer = self.newcomer.lock().expect("no panic while it is held").take();
        if let Some(newcomer) = newcomer {
            self.inner.create(newcomer).await.expect("it is registered");
        }
    }
}

impl Roomy for Meddler {
    fn space(&self) -> watch::Receiver<Space> {
        self.inner.space()
    }
}

#[async_trait]
impl SightStore for Meddler {
    async fn snapshots(
        &self,
        source: &SourceName,
        kind: Kind,
        ids: &[ResourceId],
    ) -> Result<Vec<Option<Snapshot>>, StoreError> {
        self.inner.snapshots(source, kind, ids).await
    }

    async fn snapshot_count(&self, source: &SourceName, kind: Kind) -> Result<u64, StoreError> {
        self.inner.snapshot_count(source, kind).await
    }

    async fn snapshots_after(
        &self,
        source: &SourceName,
        kind: Kind,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Result<Vec<Snapshot>, StoreError> {
        self.inner.snapshots_after(source, kind, after, limit).await
    }

    async fn ids_after(
        &self,
        source: &SourceName,
        kind: Kind,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Result<Vec<(ResourceId, bool)>, StoreError> {
        self.inner.ids_after(source, kind, after, limit).await
    }

    async fn open_after(
        &self,
        source: &SourceName,
        list: OpenList,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Result<Vec<ResourceId>, StoreError> {
        self.inner.open_after(source, list, after, limit).await
    }

    async fn due(
        &self,
        source: &SourceName,
        task: Task,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.inner.due(source, task, until, limit).await
    }

    async fn absences_after(
        &self,
        source: &SourceName,
        after: Option<(Kind, &ResourceId)>,
        limit: usize,
    ) -> Result<Vec<Absence>, StoreError> {
        self.inner.absences_after(source, after, limit).await
    }

    async fn absences(
        &self,
        source: &SourceName,
        kind: Kind,
        ids: &[ResourceId],
    ) -> Result<Vec<Option<Absence>>, StoreError> {
        self.inner.absences(source, kind, ids).await
    }

    async fn progress(&self, source: &SourceName) -> Result<Option<SourceProgress>, StoreError> {
        self.inner.progress(source).await
    }

    async fn commit_sights(
        &self,
        sights: Vec<SightCommit>,
        progress: Option<SourceProgress>,
    ) -> Result<(), StoreError> {
        self.inner.commit_sights(sights, progress).await
    }
}

#[async_trait]
impl EventLog for Meddler {
    fn head(&self) -> watch::Receiver<Position> {
        self.inner.head()
    }

    fn first(&self) -> Position {
        self.inner.first()
    }

    fn last_cut(&self) -> Option<Timestamp> {
        self.inner.last_cut()
    }

    async fn events_after(&self, after: Position, limit: usize) -> Result<Vec<Arc<Event>>, StoreError> {
        self.reads.lock().expect("no panic while it is held").push(after);
        let events = self.inner.events_after(after, limit).await?;
        if events.is_empty() {
            self.empty_pages.note();
            self.empty_pages.wait().await;
        }
        Ok(events)
    }

    async fn events_before(&self, before: Position, limit: usize) -> Result<Vec<Arc<Event>>, StoreError> {
        self.inner.events_before(before, limit).await
    }

    async fn event(&self, position: Position) -> Result<Option<Arc<Event>>, StoreError> {
        self.inner.event(position).await
    }

    async fn position_at(&self, instant: Timestamp) -> Result<Position, StoreError> {
        self.inner.position_at(instant).await
    }
}

#[async_trait]
impl DeliveryStore for Meddler {
    async fn positions_of(&self, endpoints: RangeInclusive<EndpointNumber>) -> Result<Positions, StoreError> {
        let positions = self.inner.positions_of(endpoints).await;
        self.register_newcomer().await;
        positions
    }

    async fn waiting(&self, endpoint: EndpointNumber, limit: usize) -> Result<Vec<Waiting>, StoreError> {
        self.inner.waiting(endpoint, limit).await
    }

    async fn recorded(&self, after: Position, until: Position) -> Result<Vec<DeliveryId>, StoreError> {
        self.sweeps.note();
        self.inner.recorded(after, until).await
    }

    async fn recorded_of(&self, ids: Vec<DeliveryId>) -> Result<Vec<DeliveryId>, StoreError> {
        self.inner.recorded_of(ids).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        self.inner.delivery(id).await
    }

    async fn health(&self, endpoint: EndpointNumber) -> Result<Option<HealthRecord>, StoreError> {
        self.inner.health(endpoint).await
    }

    async fn commit_deliveries(&self, commit: DeliveryCommit) -> Result<(), StoreError> {
        self.commits.wait().await;
        let result = self.inner.commit_deliveries(commit).await;
        self.commits.note();
        result
    }
}

#[async_trait]
impl EndpointStore for Meddler {
    fn changes(&self) -> broadcast::Receiver<EndpointNumber> {
        self.inner.changes()
    }

    async fn create_with(&self, endpoint: Endpoint, deed: Deed) -> Result<Endpoint, StoreError> {
        self.inner.create_with(endpoint, deed).await
    }

    async fn update_with(&self, seen: &Endpoint, endpoint: Endpoint, deed: Deed) -> Result<Updated, StoreError> {
        self.inner.update_with(seen, endpoint, deed).await
    }

    async fn forget_secrets(&self, id: EndpointId, now: Timestamp) -> Result<bool, StoreError> {
        self.inner.forget_secrets(id, now).await
    }

    async fn delete_with(&self, id: EndpointId, deed: Deed) -> Result<bool, StoreError> {
        self.inner.delete_with(id, deed).await
    }

    async fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        self.inner.endpoint(id).await
    }

    async fn by_number(&self, number: EndpointNumber) -> Result<Option<Endpoint>, StoreError> {
        self.looks.wait().await;
        let found = self.inner.by_number(number).await;
        self.looks.note();
        found
    }

    async fn by_uid(&self, uid: &str) -> Result<Option<Endpoint>, StoreError> {
        self.inner.by_uid(uid).await
    }

    async fn endpoints(
        &self,
        beyond: Option<EndpointNumber>,
        ascending: bool,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        let endpoints = self.inner.endpoints(beyond, ascending, limit).await;
        self.register_newcomer().await;
        endpoints
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<Filtered<DeliveryRecord, DeliveryId>, StoreError> {
        self.inner.deliveries(query).await
    }
}

#[async_trait]
impl StateStore for Meddler {
    async fn listed(&self, query: SnapshotQuery) -> Result<Filtered<Snapshot, ListPlace>, StoreError> {
        self.inner.listed(query).await
    }
}

#[async_trait]
impl Store for Meddler {
    fn epoch(&self) -> u32 {
        self.inner.epoch()
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }

    async fn backup(&self, now: Timestamp) -> Result<Box<dyn Backup>, StoreError> {
        self.inner.backup(now).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
