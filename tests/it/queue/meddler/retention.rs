//! What retention removes: nothing to meddle with.

use async_trait::async_trait;
use certhook::model::id::{DeliveryId, EndpointNumber, Position};
use certhook::model::time::Timestamp;
use certhook::store::StoreError;
use certhook::store::retention::{Forgotten, GivenUp, Missed, RetentionStore};

use super::Meddler;

#[async_trait]
impl RetentionStore for Meddler {
    async fn cut_events(&self, until: Position) -> Result<Position, StoreError> {
        self.inner.cut_events(until).await
    }

    async fn give_up(&self, given_up: GivenUp) -> Result<bool, StoreError> {
        self.inner.give_up(given_up).await
    }

    async fn missed(&self, endpoint: EndpointNumber) -> Result<Missed, StoreError> {
        self.inner.missed(endpoint).await
    }

    async fn forget_deliveries(
        &self,
        after: Option<DeliveryId>,
        until: Position,
        before: Timestamp,
    ) -> Result<Forgotten, StoreError> {
        self.inner.forget_deliveries(after, until, before).await
    }

    async fn forget_replays(&self, before: Timestamp) -> Result<usize, StoreError> {
        self.inner.forget_replays(before).await
    }
}
