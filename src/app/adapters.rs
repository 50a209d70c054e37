//! What the API asks of other parts, answered by those parts.

use std::sync::Arc;

use async_trait::async_trait;
use url::Url;

use crate::api::commands::{Deliveries, Sources};
use crate::clock::{Clock, random_bytes};
use crate::deliver::Deliverer;
use crate::deliver::guard::Guard;
use crate::detect::catalogue;
use crate::model::delivery::Attempt;
use crate::model::endpoint::{Endpoint, Health};
use crate::model::event::{Event, EventDraft, EventType};
use crate::model::id::{EndpointNumber, EventId, Position};
use crate::model::resource::SourceName;
use crate::model::source::{PassKind, PassReport, SourceStatus};
use crate::watch::Watcher;

/// The sources, in the order of the configuration.
pub(super) struct WatchedSources(pub(super) Vec<Arc<Watcher>>);

impl WatchedSources {
    fn find(&self, name: &SourceName) -> Option<&Watcher> {
        self.0.iter().map(AsRef::as_ref).find(|watcher| watcher.name() == name)
    }
}

impl Sources for WatchedSources {
    fn list(&self) -> Vec<SourceStatus> {
        self.0.iter().map(|watcher| watcher.status()).collect()
    }

    fn get(&self, name: &SourceName) -> Option<SourceStatus> {
        self.find(name).map(Watcher::status)
    }

    fn poll(&self, name: &SourceName, pass: PassKind) -> Option<PassReport> {
        self.find(name).map(|watcher| watcher.look_now(pass))
    }
}

/// So that no two examples have the same id.
fn random_id() -> u32 {
    u32::from_le_bytes(random_bytes())
}

/// Those who are delivered to.
pub(super) struct Subscribers {
    pub(super) deliverer: Arc<Deliverer>,
    pub(super) guard: Arc<Guard>,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Deliveries for Subscribers {
    async fn send_test(&self, endpoint: &Endpoint, event_type: EventType) -> Attempt {
        let now = self.clock.now();
        let (sight, draft) = catalogue::example(event_type, now);
        // Before the first place in the log, so that it is never taken for an event that is there.
        let id = EventId { position: Position::START, epoch: now.as_seconds() as u32, start: random_id() };
        let EventDraft { event_type, details } = draft;
        self.deliverer.send_once(endpoint, &Event { id, event_type, details, sight: Arc::new(sight) }).await
    }

    async fn admit(&self, url: &Url) -> Result<(), String> {
        self.guard.admit(url).await.map_err(|refusal| refusal.to_string())
    }

    fn health(&self, endpoint: EndpointNumber) -> Health {
        self.deliverer.health(endpoint)
    }
}
