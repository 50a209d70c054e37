//! A store without a disk: what the traits promise, as plainly as it can be said.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use certhook::model::criteria::ListPlace;
use certhook::model::delivery::DeliveryRecord;
use certhook::model::endpoint::{DisabledReason, Endpoint, EndpointStatus, EndpointUrl};
use certhook::model::event::{Event, EventDraft, Sight};
use certhook::model::health::HealthRecord;
use certhook::model::id::{DeliveryId, EndpointId, EndpointNumber, EventId, Position};
use certhook::model::resource::Snapshot;
use certhook::model::source::SourceProgress;
use certhook::model::time::Timestamp;
use certhook::store::backup::Backup;
use certhook::store::retention::Missed;
use certhook::store::space::Space;
use certhook::store::{
    DeliveryQuery, ENTRIES_READ_MAX, EventLog, Filtered, Positions, SightCommit, SnapshotQuery, StateStore, Store,
    StoreError,
};
use tokio::sync::{broadcast, watch};

use self::access::Access;
use self::disk::Disk;
use self::replays::Replays;
use super::book::{Book, ample_room, reads_from_its_book};

mod access;
mod deliveries;
mod disk;
mod endpoints;
mod replays;
mod retention;

const EPOCH: u32 = 1_795_233_600;
const START: u32 = 5;

#[derive(Default)]
struct State {
    events: Vec<Arc<Event>>,
    book: Book,
    endpoints: BTreeMap<EndpointNumber, Endpoint>,
    endpoints_created: u32,
    records: BTreeMap<DeliveryId, DeliveryRecord>,
    /// All that was ever recorded, in its order.
    versions: Vec<DeliveryRecord>,
    positions: Positions,
    healths: BTreeMap<EndpointNumber, HealthRecord>,
    replays: Replays,
    access: Access,
    missed: BTreeMap<EndpointNumber, Missed>,
    failing: Option<fn() -> StoreError>,
    /// After how many further calls the process is no more, if it is to end.
    calls_left: Option<u32>,
    disabling: Option<DisabledReason>,
}

/// The store.
pub(crate) struct Memory {
    state: Mutex<State>,
    head: watch::Sender<Position>,
    /// The last position that retention has passed.
    cut: AtomicU64,
    /// The last position up to which a former program did that.
    formerly: AtomicU64,
    changes: broadcast::Sender<EndpointNumber>,
    room: watch::Sender<Space>,
    disk: Disk,
}

impl Memory {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let (changes, _) = broadcast::channel(64);
        let head = watch::Sender::new(Position::START);
        let (cut, formerly) = (AtomicU64::default(), AtomicU64::default());
        let (state, disk) = (Mutex::default(), Disk::default());
        Self { state, head, cut, formerly, changes, room: ample_room(), disk }
    }

    /// What it costs to write, and how the process ends.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// All records as they ever were, in the order in which they became so.
    pub(crate) fn versions(&self) -> Vec<DeliveryRecord> {
        self.state.lock().unwrap().versions.clone()
    }

    /// Forgets the events up to a position, as retention does.
    pub(crate) fn cut(&self, last: Position) {
        self.cut.store(last.0, Ordering::SeqCst);
    }

    /// The same as a former program did it, which did not note what it cut last.
    pub(crate) fn cut_as_formerly(&self, last: Position) {
        self.cut(last);
        self.formerly.store(last.0, Ordering::SeqCst);
    }

    /// From now on so many bytes of a GiB that should be free are.
    pub(crate) fn has_free(&self, free: u64) {
        self.room.send_replace(Space::of(free, 1 << 30));
    }

    /// From now on every call gives this error.
    pub(crate) fn fail_with(&self, error: fn() -> StoreError) {
        self.state.lock().unwrap().failing = Some(error);
    }

    /// So many further calls are answered, as by a process that is killed then; `None`: all of them.
    pub(crate) fn answer_only(&self, calls: Option<u32>) {
        self.state.lock().unwrap().calls_left = calls;
    }

    /// An endpoint is disabled by its deliveries at the last moment before it is changed the next time.
    pub(crate) fn disable_before_the_next_change(&self, reason: DisabledReason) {
        self.state.lock().unwrap().disabling = Some(reason);
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.state.lock().unwrap();
        if state.calls_left == Some(0) {
            return Err(StoreError::Closed);
        }
        state.calls_left = state.calls_left.map(|calls| calls - 1);
        match state.failing {
            Some(error) => Err(error()),
            None => Ok(state),
        }
    }

    fn book(&self) -> Result<impl Deref<Target = Book>, StoreError> {
        Ok(InState(self.state()?))
    }

    async fn commit(&self, sights: Vec<SightCommit>, progress: Option<SourceProgress>) -> Result<(), StoreError> {
        let turn = self.disk.begin().await;
        for commit in sights {
            self.keep(commit)?;
            self.disk.step("sight").await;
        }
        if progress.is_some() {
            self.state()?.book.put_progress(progress);
            self.disk.step("progress").await;
        }
        self.disk.end(turn).await;
        Ok(())
    }

    fn keep(&self, commit: SightCommit) -> Result<(), StoreError> {
        let mut state = self.state()?;
        state.book.put(&commit);
        for (sight, drafts) in commit.told {
            state.append(sight, drafts);
        }
        self.show(&state);
        Ok(())
    }

    /// What is in the log may be read.
    fn show(&self, state: &State) {
        self.head.send_replace(Position(state.events.len() as u64));
    }

    fn changed(&self, number: EndpointNumber) {
        // Without a receiver there is nobody to tell.
        let _ = self.changes.send(number);
    }
}

/// The book, for as long as the state is locked.
struct InState<'a>(MutexGuard<'a, State>);

impl Deref for InState<'_> {
    type Target = Book;

    fn deref(&self) -> &Book {
        &self.0.book
    }
}

impl State {
    fn append(&mut self, mut sight: Sight, drafts: Vec<EventDraft>) {
        let latest = self.events.last().map_or(Timestamp::EPOCH, |event| event.timestamp());
        sight.detection.observed_before = sight.detection.observed_before.max(latest);
        let sight = Arc::new(sight);
        for EventDraft { event_type, details } in drafts {
            let position = Position(self.events.len() as u64 + 1);
            let id = EventId { position, epoch: EPOCH, start: START };
            self.events.push(Arc::new(Event { id, event_type, details, sight: Arc::clone(&sight) }));
        }
    }

    fn record(&mut self, record: DeliveryRecord) {
        self.replays.count(&record);
        self.versions.push(record.clone());
        self.records.insert(record.id, record);
    }

    fn disable(&mut self, id: EndpointId, url: &EndpointUrl, reason: DisabledReason, now: Timestamp) -> bool {
        let known = self.endpoints.get_mut(&id.number);
        let meant =
            |known: &&mut Endpoint| known.id == id && known.url == *url && known.status == EndpointStatus::Enabled;
        let Some(known) = known.filter(meant) else { return false };
        known.status = EndpointStatus::Disabled;
        known.disabled_reason = Some(reason);
        known.updated_at = now;
        true
    }

    fn check_uid(&self, endpoint: &Endpoint, number: Option<EndpointNumber>) -> Result<(), StoreError> {
        let Some(uid) = &endpoint.uid else { return Ok(()) };
        let taken =
            self.endpoints.values().any(|other| Some(other.id.number) != number && other.uid.as_ref() == Some(uid));
        if taken { Err(StoreError::UidTaken(uid.clone())) } else { Ok(()) }
    }

    fn matches(&self, record: &DeliveryRecord, query: &DeliveryQuery, first: Position) -> bool {
        let at = if record.id.position < first {
            record.attempts.first().map_or(Timestamp::EPOCH, |attempt| attempt.at)
        } else {
            self.events[record.id.position.0 as usize - 1].timestamp()
        };
        query.endpoint.is_none_or(|number| number == record.id.endpoint)
            && query.position.is_none_or(|position| position == record.id.position)
            && query.resource_id.as_ref().is_none_or(|id| record.resource.as_ref().is_some_and(|key| key.id == *id))
            && query.status.is_none_or(|status| status == record.status)
            && query.since.is_none_or(|since| at >= since)
            && query.until.is_none_or(|until| at < until)
    }
}

reads_from_its_book!(Memory);

#[async_trait]
impl EventLog for Memory {
    fn head(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    fn first(&self) -> Position {
        Position(self.cut.load(Ordering::SeqCst)).next()
    }

    fn last_cut(&self) -> Option<Timestamp> {
        let last = self.first().previous().0;
        let index = last.checked_sub(1).filter(|_| last > self.formerly.load(Ordering::SeqCst))? as usize;
        self.state.lock().unwrap().events.get(index).map(|event| event.timestamp())
    }

    async fn events_after(&self, after: Position, limit: usize) -> Result<Vec<Arc<Event>>, StoreError> {
        let skipped = after.max(self.first().previous()).0 as usize;
        Ok(self.state()?.events.iter().skip(skipped).take(limit).cloned().collect())
    }

    async fn events_before(&self, before: Position, limit: usize) -> Result<Vec<Arc<Event>>, StoreError> {
        let first = self.first();
        let within = |event: &&Arc<Event>| event.position() < before && event.position() >= first;
        Ok(self.state()?.events.iter().rev().filter(within).take(limit).cloned().collect())
    }

    async fn event(&self, position: Position) -> Result<Option<Arc<Event>>, StoreError> {
        let first = self.first();
        let index = position.0.checked_sub(1).filter(|_| position >= first);
        Ok(self.state()?.events.get(index.map_or(usize::MAX, |index| index as usize)).cloned())
    }

    async fn position_at(&self, instant: Timestamp) -> Result<Position, StoreError> {
        let state = self.state()?;
        let earlier = state.events.iter().take_while(|event| event.timestamp() < instant).count();
        Ok(Position(earlier as u64 + 1).max(self.first()))
    }
}

#[async_trait]
impl StateStore for Memory {
    async fn listed(&self, query: SnapshotQuery) -> Result<Filtered<Snapshot, ListPlace>, StoreError> {
        let state = self.state()?;
        let own = state.book.snapshots.values();
        let own = own.filter(|known| known.key.kind == query.kind && query.sources.contains(&known.key.source));
        let mut ordered: Vec<(ListPlace, &Snapshot)> = own.map(|known| (ListPlace::of(known), known)).collect();
        ordered.sort_by(|(one, _), (other, _)| one.cmp(other));
        if !query.ascending {
            ordered.reverse();
        }
        let passed = |(place, _): &(ListPlace, &Snapshot)| {
            query.after.as_ref().is_some_and(|last| if query.ascending { place <= last } else { place >= last })
        };
        let mut found = Vec::new();
        let mut last = None;
        for (read, (place, known)) in ordered.into_iter().skip_while(passed).enumerate() {
            if read == ENTRIES_READ_MAX || query.means(known) && found.len() == query.limit {
                return Ok(Filtered { found, next: last });
            }
            found.extend(query.means(known).then(|| known.clone()));
            last = Some(place);
        }
        Ok(Filtered { found, next: None })
    }
}

#[async_trait]
impl Store for Memory {
    fn epoch(&self) -> u32 {
        EPOCH
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.state().map(|_| ())
    }

    async fn backup(&self, _: Timestamp) -> Result<Box<dyn Backup>, StoreError> {
        Err(StoreError::Unreadable { what: "a store in memory", reason: "it has no rows to back up".into() })
    }

    async fn close(&self) {}
}
