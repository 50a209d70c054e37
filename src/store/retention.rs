//! The store as retention needs it: the log is cut from its beginning, an endpoint gives up what it has not got, records
//! of what has ended long ago are forgotten.

use async_trait::async_trait;

use super::{DeliveryStore, StoreError};
use crate::model::event::{EventDraft, Sight};
use crate::model::id::{DeliveryId, EndpointId, EndpointNumber, Position};
use crate::model::time::Timestamp;

/// What an endpoint does not get any more.
#[derive(Clone, Debug)]
pub struct GivenUp {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// It goes on after this position.
    pub until: Position,
    /// Those of its deliveries that have a record: what is pending of them is canceled.
    pub waiting: Vec<DeliveryId>,
    /// How much that is.
    pub missed: Missed,
    /// What is told of it; nothing where it has missed nothing.
    pub told: Option<(Sight, EventDraft)>,
}

/// How many deliveries an endpoint has missed because retention cut their events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// So many were counted.
    pub count: u64,
    /// Whether there may be more.
    pub more: bool,
}

impl Missed {
    /// Both together.
    #[must_use]
    pub fn and(self, further: Self) -> Self {
        Self { count: self.count.saturating_add(further.count), more: self.more || further.more }
    }
}

/// Where a look through the records of deliveries stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// How many records were removed.
    pub count: usize,
    /// Where to go on; `None` at the end.
    pub next: Option<DeliveryId>,
}

/// The store as retention needs it.
#[async_trait]
pub trait RetentionStore: DeliveryStore {
    /// Removes events up to a position (included), the oldest first, and gives the first that is kept. Removed is only
    /// what lies at or below the live mark and every own position, and only whole sights; and so few at a time that
    /// nobody waits long for it, in one act, so that there may be more to remove.
    async fn cut_events(&self, until: Position) -> Result<Position, StoreError>;

    /// Moves an endpoint's own position up, cancels what waits for it below, adds up what it has missed and tells of it;
    /// `false` if there is no such endpoint. What waits is canceled after all the rest is durable, so that whatever a
    /// crash leaves of it is found again. The endpoint must have a position of its own.
    async fn give_up(&self, given_up: GivenUp) -> Result<bool, StoreError>;

    /// What an endpoint has missed since it was enabled last.
    async fn missed(&self, endpoint: EndpointNumber) -> Result<Missed, StoreError>;

    /// Looks at a limited number of records of deliveries after one and up to a position (included), and removes those
    /// that are no longer pending and whose last attempt began before an instant.
    async fn forget_deliveries(
        &self,
        after: Option<DeliveryId>,
        until: Position,
        before: Timestamp,
    ) -> Result<Forgotten, StoreError>;

    /// Removes a limited number of replays that have ended before an instant and have nothing pending; how many.
    async fn forget_replays(&self, before: Timestamp) -> Result<usize, StoreError>;
}
