//! What the API asks other parts to do, as traits that the composition fills in.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use url::Url;

use crate::model::delivery::{Attempt, ByHand, DeliveryRecord};
use crate::model::endpoint::Endpoint;
use crate::model::event::{Event, EventType};
use crate::model::filter::Filter;
use crate::model::health::{Backlog, Health};
use crate::model::id::{EndpointNumber, ReplayId};
use crate::model::json::{Fields, Json};
use crate::model::replay::{Preview, Range, Replay};
use crate::model::resource::{Absence, Kind, ResourceId, SourceName};
use crate::model::source::{PassKind, PassReport, RemovalDecision, SourceStatus};
use crate::model::time::Timestamp;
use crate::store::StoreError;

/// Why nothing was decided about removals.
#[derive(Debug)]
pub enum Undecided {
    /// The removal of these ids is not withheld.
    NotWithheld(Vec<ResourceId>),
    /// The store failed.
    Store(StoreError),
}

/// The source is left alone; why, and what ends that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paused(pub String);

/// What the API asks of the sources.
#[async_trait]
pub trait Sources: Send + Sync {
    /// All of them, in the order of the configuration.
    fn list(&self) -> Vec<SourceStatus>;

    /// One of them.
    fn get(&self, name: &SourceName) -> Option<SourceStatus>;

    /// Asks for a pass. If one of that kind waits already, that one is answered. `None`: no such source.
    fn poll(&self, name: &SourceName, pass: PassKind) -> Option<Result<PassReport, Paused>>;

    /// Leaves one of them alone until it is resumed, and shows it then. `None`: no such source.
    async fn pause(&self, name: &SourceName) -> Option<Result<SourceStatus, StoreError>>;

    /// Looks at one of them again, and shows it then. `None`: no such source.
    async fn resume(&self, name: &SourceName) -> Option<Result<SourceStatus, StoreError>>;

    /// The last passes, newest first. `None`: no such source.
    fn passes(&self, name: &SourceName) -> Option<Vec<PassReport>>;

    /// Up to `limit` resources that no list shows and that were not removed, beyond one. `None`: no such source.
    async fn absences(
        &self,
        name: &SourceName,
        after: Option<(Kind, ResourceId)>,
        limit: usize,
    ) -> Option<Result<Vec<Absence>, StoreError>>;

    /// Decides on the withheld removals of these ids, or of all, and gives how many that were. `None`: no such source.
    async fn decide(
        &self,
        name: &SourceName,
        decision: RemovalDecision,
        ids: Option<Vec<ResourceId>>,
    ) -> Option<Result<u64, Undecided>>;
}

/// Why a call to an upstream account did not do what it was asked.
#[derive(Debug)]
pub enum CallError {
    /// Upstream's own error.
    Refused {
        /// Its HTTP status.
        status: u16,
        /// Its word for it.
        kind: String,
        /// Its text.
        message: String,
    },
    /// Upstream wants nothing to be asked for so long.
    Throttled(Duration),
    /// There is no answer that tells anything.
    NoAnswer(String),
    /// The gateway is stopping.
    Stopping,
    /// The store failed.
    Store(StoreError),
}

/// A certificate's document.
#[derive(Debug)]
pub struct Document {
    /// Where it can be read by whoever has the URL; `None`: there is none yet.
    pub url: Option<SecretString>,
    /// Until when.
    pub expires_at: Timestamp,
}

/// What the API asks of the upstream accounts while its caller waits. `None`: no such source.
#[async_trait]
pub trait Upstream: Send + Sync {
    /// Asks for a resource by id and applies the answer. Gives the instant as of which its snapshot is true; within,
    /// `None` if upstream does not show such a resource.
    async fn refresh(
        &self,
        source: &SourceName,
        kind: Kind,
        id: &ResourceId,
        request_id: &str,
    ) -> Option<Result<Option<Timestamp>, CallError>>;

    /// Withdraws a certificate request and applies the answer; which one that was about.
    async fn cancel(
        &self,
        source: &SourceName,
        id: &ResourceId,
        request_id: &str,
    ) -> Option<Result<ResourceId, CallError>>;

    /// Asks a customer for a certificate, in the words of the body, and applies the answer; which request that made.
    async fn trigger(
        &self,
        source: &SourceName,
        customer_id: &ResourceId,
        body: Fields,
        request_id: &str,
    ) -> Option<Result<ResourceId, CallError>>;

    /// Asks for a certificate's document; within, `None` if there is no such certificate.
    async fn document(&self, source: &SourceName, id: &ResourceId) -> Option<Result<Option<Document>, CallError>>;
}

/// What the API asks of the deliveries.
#[async_trait]
pub trait Deliveries: Send + Sync {
    /// Sends that type's example to an endpoint, now and once, outside its queue. `None`: nothing is sent, because the
    /// gateway was started so.
    async fn send_test(&self, endpoint: &Endpoint, event_type: EventType) -> Option<Attempt>;

    /// Whether a URL may be registered; the error says why not and what would permit it.
    async fn admit(&self, url: &Url) -> Result<(), String>;

    /// How an endpoint has been doing.
    fn health(&self, endpoint: EndpointNumber) -> Health;

    /// What it has not got yet.
    async fn backlog(&self, endpoint: &Endpoint) -> Result<Backlog, StoreError>;

    /// Makes pending again what has failed since a disabled endpoint took something last, for the time when it is
    /// enabled.
    async fn retry_failed(&self, endpoint: &Endpoint) -> Result<(), StoreError>;

    /// Begins to send it what is meant of a stretch of the log. `None`: it is disabled.
    async fn replay(&self, endpoint: &Endpoint, range: Range) -> Result<Option<Replay>, StoreError>;

    /// What a replay would send. `None`: it is disabled.
    async fn preview(&self, endpoint: &Endpoint, range: Range) -> Result<Option<Preview>, StoreError>;

    /// Begins to send it what every resource is now. `None`: it is disabled.
    async fn resync(&self, endpoint: &Endpoint, filter: Filter) -> Result<Option<Replay>, StoreError>;

    /// Stops a replay. `None`: there is none of that id.
    async fn cancel_replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError>;

    /// Tries a delivery now.
    async fn retry(&self, record: &DeliveryRecord) -> Result<ByHand, StoreError>;

    /// Cancels a delivery.
    async fn cancel(&self, record: &DeliveryRecord) -> Result<ByHand, StoreError>;

    /// Sends an event to an endpoint once more, or for the first time.
    async fn redeliver(&self, event: &Event, endpoint: &Endpoint) -> Result<ByHand, StoreError>;

    /// Everything that waits for it becomes due; `false` if it is disabled.
    async fn recover(&self, endpoint: EndpointNumber) -> Result<bool, StoreError>;
}

/// What the API asks of whoever can look at everything that is measured.
#[async_trait]
pub trait Scrape: Send + Sync {
    /// It as text, and what that is, for the header `content-type`. What cannot be told is left out.
    async fn text(&self) -> (&'static str, String);
}

/// What the API asks of the catalogue of event types.
pub trait Catalogue: Send + Sync {
    /// When events of a type are told, in one line.
    fn description(&self, event_type: EventType) -> &'static str;

    /// The word for what they are about; `None` if they are about nothing.
    fn about(&self, event_type: EventType) -> Option<&'static str>;

    /// The JSON Schema of their bodies.
    fn schema(&self, event_type: EventType) -> Json;

    /// The body of one of them, the same every time.
    fn example(&self, event_type: EventType) -> Json;
}
