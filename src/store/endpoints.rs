//! What callers need of the store for endpoints and for lists of their deliveries.

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::{Deed, StoreError};
use crate::model::delivery::{DeliveryRecord, DeliveryStatus};
use crate::model::endpoint::Endpoint;
use crate::model::id::{DeliveryId, EndpointId, EndpointNumber, Position};
use crate::model::resource::ResourceId;
use crate::model::time::Timestamp;

/// Which deliveries a list is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryQuery {
    /// Only those for this endpoint.
    pub endpoint: Option<EndpointNumber>,
    /// Only those of the event at this position.
    pub position: Option<Position>,
    /// Only those of this resource.
    pub resource_id: Option<ResourceId>,
    /// Only those that stand so.
    pub status: Option<DeliveryStatus>,
    /// Only those of events from this instant on; of an event that is no longer kept, the first attempt counts.
    pub since: Option<Timestamp>,
    /// Only those of events before this instant; likewise.
    pub until: Option<Timestamp>,
    /// Only those after this one in the order of the list.
    pub after: Option<DeliveryId>,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// At most so many.
    pub limit: usize,
}

/// A page of a list that is filtered while it is read.
#[derive(Clone, Debug)]
pub struct Filtered<T, C> {
    /// What matched; may be fewer than asked for, even none, although there is more.
    pub found: Vec<T>,
    /// Where to go on; `None` at the end.
    pub next: Option<C>,
}

/// How many entries a filtered page reads at most.
pub const ENTRIES_READ_MAX: usize = 10_000;

/// What became of an endpoint's change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updated {
    /// It is durable.
    Yes,
    /// Somebody else has changed the endpoint since it was seen; nothing was written.
    Changed,
    /// There is no endpoint of that id.
    Gone,
}

/// Endpoints and delivery records as the API needs them.
#[async_trait]
pub trait EndpointStore: Send + Sync {
    /// Tells the number of every endpoint that was created, changed or deleted from now on. A receiver that lags
    /// must read them all again.
    fn changes(&self) -> broadcast::Receiver<EndpointNumber>;

    /// Registers an endpoint, with its start as a position of its own. The store gives the number in its id; the rest
    /// of the id comes with the value. The deed, which has that id too, is committed in one act with it.
    async fn create_with(&self, endpoint: Endpoint, deed: Deed) -> Result<Endpoint, StoreError>;

    /// The same where nothing tells of it.
    async fn create(&self, endpoint: Endpoint) -> Result<Endpoint, StoreError> {
        self.create_with(endpoint, Deed::default()).await
    }

    /// Replaces an endpoint, if it is still as it was `seen`: it may have been disabled meanwhile, and whoever changes
    /// something else of it must not undo that. The deed is committed in one act with it, or comes to nothing.
    async fn update_with(&self, seen: &Endpoint, endpoint: Endpoint, deed: Deed) -> Result<Updated, StoreError>;

    /// The same where nothing tells of it.
    async fn update(&self, seen: &Endpoint, endpoint: Endpoint) -> Result<Updated, StoreError> {
        self.update_with(seen, endpoint, Deed::default()).await
    }

    /// Forgets those of an endpoint's secrets that no longer sign at `now`, and leaves everything else of it as it is;
    /// `false` if there are none such. While the disk is full it waits.
    async fn forget_secrets(&self, id: EndpointId, now: Timestamp) -> Result<bool, StoreError>;

    /// Deletes an endpoint and cancels what waits for its next attempt; `false` if there is none of that id, and then
    /// nothing comes of the deed, which is committed in one act with the deletion.
    async fn delete_with(&self, id: EndpointId, deed: Deed) -> Result<bool, StoreError>;

    /// The same where nothing tells of it.
    async fn delete(&self, id: EndpointId) -> Result<bool, StoreError> {
        self.delete_with(id, Deed::default()).await
    }

    /// One endpoint by id.
    async fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError>;

    /// One endpoint by number.
    async fn by_number(&self, number: EndpointNumber) -> Result<Option<Endpoint>, StoreError>;

    /// One endpoint by its subscriber's name for it.
    async fn by_uid(&self, uid: &str) -> Result<Option<Endpoint>, StoreError>;

    /// Up to `limit` endpoints beyond a number, in the order of registration or against it.
    async fn endpoints(
        &self,
        beyond: Option<EndpointNumber>,
        ascending: bool,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError>;

    /// A page of delivery records. Reads at most [`ENTRIES_READ_MAX`] entries.
    async fn deliveries(&self, query: DeliveryQuery) -> Result<Filtered<DeliveryRecord, DeliveryId>, StoreError>;
}
