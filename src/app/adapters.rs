//! What the API asks of other parts, answered by those parts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use crate::api::commands::{CallError, Catalogue, Deliveries, Document, Paused, Sources, Undecided, Upstream};
use crate::clock::{Clock, random_bytes};
use crate::deliver::Deliverer;
use crate::deliver::guard::Guard;
use crate::detect::catalogue::{self, About};
use crate::model::delivery::{Attempt, ByHand, DeliveryRecord};
use crate::model::endpoint::Endpoint;
use crate::model::event::{Event, EventDraft, EventType};
use crate::model::filter::Filter;
use crate::model::health::{Backlog, Health};
use crate::model::id::{EndpointNumber, EventId, Position, ReplayId};
use crate::model::json::{Fields, Json};
use crate::model::replay::{Preview, Range, Replay};
use crate::model::resource::{Absence, Kind, ResourceId, SourceName};
use crate::model::source::{PassKind, PassReport, RemovalDecision, SourceStatus};
use crate::model::time::Timestamp;
use crate::source::SourceError;
use crate::source::command::{Command, Commands};
use crate::store::{Store, StoreError};
use crate::watch::{self, CallFailed, Watcher};

/// The sources, in the order of the configuration.
pub(super) struct WatchedSources(pub(super) Vec<Arc<Watcher>>);

impl WatchedSources {
    fn find(&self, name: &SourceName) -> Option<&Arc<Watcher>> {
        self.0.iter().find(|watcher| watcher.name() == name)
    }
}

#[async_trait]
impl Sources for WatchedSources {
    fn list(&self) -> Vec<SourceStatus> {
        self.0.iter().map(|watcher| watcher.status()).collect()
    }

    fn get(&self, name: &SourceName) -> Option<SourceStatus> {
        self.find(name).map(|watcher| watcher.status())
    }

    fn poll(&self, name: &SourceName, pass: PassKind) -> Option<Result<PassReport, Paused>> {
        let watcher = self.find(name)?;
        Some(match watcher.paused() {
            Some(paused) => Err(Paused(paused.to_string())),
            None => Ok(watcher.look_now(pass)),
        })
    }

    async fn pause(&self, name: &SourceName) -> Option<Result<SourceStatus, StoreError>> {
        let watcher = self.find(name)?;
        Some(watcher.pause().await.map(|()| watcher.status()))
    }

    async fn resume(&self, name: &SourceName) -> Option<Result<SourceStatus, StoreError>> {
        let watcher = self.find(name)?;
        Some(watcher.resume().await.map(|()| watcher.status()))
    }

    fn passes(&self, name: &SourceName) -> Option<Vec<PassReport>> {
        self.find(name).map(|watcher| watcher.passes())
    }

    async fn absences(
        &self,
        name: &SourceName,
        after: Option<(Kind, ResourceId)>,
        limit: usize,
    ) -> Option<Result<Vec<Absence>, StoreError>> {
        let after = after.as_ref().map(|(kind, id)| (*kind, id));
        Some(self.find(name)?.absences(after, limit).await)
    }

    async fn decide(
        &self,
        name: &SourceName,
        decision: RemovalDecision,
        ids: Option<Vec<ResourceId>>,
    ) -> Option<Result<u64, Undecided>> {
        let decided = self.find(name)?.decide(decision, ids.as_deref()).await;
        Some(decided.map_err(|undecided| match undecided {
            watch::Undecided::NotWithheld(ids) => Undecided::NotWithheld(ids),
            watch::Undecided::Store(error) => Undecided::Store(error),
        }))
    }
}

/// The accounts of the sources, for those who wait for an answer.
pub(super) struct Accounts(pub(super) Vec<(Arc<Watcher>, Arc<dyn Commands>)>);

impl Accounts {
    fn find(&self, name: &SourceName) -> Option<&(Arc<Watcher>, Arc<dyn Commands>)> {
        self.0.iter().find(|(watcher, _)| watcher.name() == name)
    }

    async fn command(
        &self,
        source: &SourceName,
        command: Command,
        request_id: &str,
    ) -> Option<Result<ResourceId, CallError>> {
        let (watcher, account) = self.find(source)?;
        Some(watcher.command(Arc::clone(account), command, request_id.into()).await.map_err(call_error))
    }
}

/// How long the vendor's URLs are good after they were issued, by its page about certificates.
const DOCUMENT_GOOD_FOR: Duration = Duration::from_secs(60 * 60);

#[async_trait]
impl Upstream for Accounts {
    async fn refresh(
        &self,
        source: &SourceName,
        kind: Kind,
        id: &ResourceId,
        request_id: &str,
    ) -> Option<Result<Option<Timestamp>, CallError>> {
        let (watcher, _) = self.find(source)?;
        Some(watcher.refresh(kind, id.clone(), request_id.into()).await.map_err(call_error))
    }

    async fn cancel(
        &self,
        source: &SourceName,
        id: &ResourceId,
        request_id: &str,
    ) -> Option<Result<ResourceId, CallError>> {
        self.command(source, Command::Cancel(id.clone()), request_id).await
    }

    async fn trigger(
        &self,
        source: &SourceName,
        customer_id: &ResourceId,
        body: Fields,
        request_id: &str,
    ) -> Option<Result<ResourceId, CallError>> {
        self.command(source, Command::Trigger { customer_id: customer_id.clone(), body }, request_id).await
    }

    async fn document(&self, source: &SourceName, id: &ResourceId) -> Option<Result<Option<Document>, CallError>> {
        let (_, account) = self.find(source)?;
        let found = account.document(id).await.map_err(|error| call_error(CallFailed::Source(error)));
        Some(found.map(|found| {
            found.map(|found| Document { url: found.url, expires_at: found.exchange.asked_at.plus(DOCUMENT_GOOD_FOR) })
        }))
    }
}

/// What a caller of our API is told of a call that failed.
fn call_error(failed: CallFailed) -> CallError {
    match failed {
        CallFailed::Source(SourceError::Unauthorized { status, kind, message }) => {
            let message = format!("upstream refuses the API key of this source: {message}");
            CallError::Refused { status, kind, message }
        }
        CallFailed::Source(SourceError::Refused { status, kind, message }) => {
            CallError::Refused { status, kind, message }
        }
        CallFailed::Source(SourceError::Throttled { retry_after }) => CallError::Throttled(retry_after),
        CallFailed::Source(error @ SourceError::Unavailable(_)) => CallError::NoAnswer(error.to_string()),
        CallFailed::Stopping => CallError::Stopping,
        CallFailed::Store(error) => CallError::Store(error),
    }
}

/// A type's example as an event that was never in the log. Those of one epoch differ by their `start`.
fn example(event_type: EventType, now: Timestamp, epoch: u32, start: u32) -> Event {
    let (sight, draft) = catalogue::example(event_type, now);
    // Before the first place in the log, so that it is never taken for an event that is there.
    let id = EventId { position: Position::START, epoch, start };
    let EventDraft { event_type, details } = draft;
    Event { id, event_type, details, sight: Arc::new(sight) }
}

/// Those who are delivered to.
pub(super) struct Subscribers {
    pub(super) deliverer: Arc<Deliverer>,
    pub(super) guard: Arc<Guard>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Deliveries for Subscribers {
    async fn send_test(&self, endpoint: &Endpoint, event_type: EventType) -> Option<Attempt> {
        let start = u32::from_le_bytes(random_bytes());
        // The epoch of the log, since a subscriber drops what has a smaller one than it has seen.
        let event = example(event_type, self.clock.now(), self.store.epoch(), start);
        self.deliverer.send_once(endpoint, &event).await
    }

    async fn admit(&self, url: &Url) -> Result<(), String> {
        self.guard.admit(url).await.map_err(|refusal| refusal.to_string())
    }

    fn health(&self, endpoint: EndpointNumber) -> Health {
        self.deliverer.health(endpoint)
    }

    async fn backlog(&self, endpoint: &Endpoint) -> Result<Backlog, StoreError> {
        self.deliverer.backlog(endpoint).await
    }

    async fn retry_failed(&self, endpoint: &Endpoint) -> Result<(), StoreError> {
        self.deliverer.retry_failed(endpoint).await
    }

    async fn replay(&self, endpoint: &Endpoint, range: Range) -> Result<Option<Replay>, StoreError> {
        self.deliverer.replay(endpoint, range).await
    }

    async fn preview(&self, endpoint: &Endpoint, range: Range) -> Result<Option<Preview>, StoreError> {
        self.deliverer.preview(endpoint, range).await
    }

    async fn resync(&self, endpoint: &Endpoint, filter: Filter) -> Result<Option<Replay>, StoreError> {
        self.deliverer.resync(endpoint, filter).await
    }

    async fn cancel_replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError> {
        self.deliverer.cancel_replay(id).await
    }

    async fn retry(&self, record: &DeliveryRecord) -> Result<ByHand, StoreError> {
        self.deliverer.retry(record).await
    }

    async fn cancel(&self, record: &DeliveryRecord) -> Result<ByHand, StoreError> {
        self.deliverer.cancel(record).await
    }

    async fn redeliver(&self, event: &Event, endpoint: &Endpoint) -> Result<ByHand, StoreError> {
        self.deliverer.redeliver(event, endpoint).await
    }

    async fn recover(&self, endpoint: EndpointNumber) -> Result<bool, StoreError> {
        self.deliverer.recover(endpoint).await
    }
}

/// The event types that detection knows.
pub(super) struct EventTypes;

/// When the examples that the catalogue shows were observed, so that they do not change with each look:
/// 2026-11-21T04:31:20.017Z.
const SHOWN_AT: Timestamp = Timestamp::from_millis(1_795_235_480_017);

impl Catalogue for EventTypes {
    fn description(&self, event_type: EventType) -> &'static str {
        catalogue::entry(event_type).description
    }

    fn about(&self, event_type: EventType) -> Option<&'static str> {
        catalogue::entry(event_type).about.map(About::as_str)
    }

    fn schema(&self, event_type: EventType) -> Json {
        Json::of(&catalogue::schema(event_type))
    }

    fn example(&self, event_type: EventType) -> Json {
        example(event_type, SHOWN_AT, SHOWN_AT.as_seconds() as u32, 0).body()
    }
}
