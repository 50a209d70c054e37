//! What operators do with one delivery: try it now, try it anew, cancel it.

use super::Deliverer;
use super::command::{Command, Urged};
use super::conclude::untried;
use super::work::Strand;
use crate::model::delivery::{ByHand, DeliveryRecord, DeliveryStatus};
use crate::model::endpoint::{Endpoint, EndpointStatus};
use crate::model::event::Event;
use crate::model::id::DeliveryId;
use crate::store::{DeliveryCommit, StoreError};

impl Deliverer {
    /// Tries a delivery now. One that waits stays due when it was if that fails; one that has failed or was canceled
    /// begins its schedule anew; one that was delivered has ended.
    ///
    /// # Errors
    /// If the store fails, or the deliveries have ended.
    pub async fn retry(&self, record: &DeliveryRecord) -> Result<ByHand, StoreError> {
        let _one_at_a_time = self.by_hand.lock().await;
        let Some(record) = self.tools.store.delivery(record.id).await? else { return Ok(ByHand::UnderWay) };
        match record.status {
            DeliveryStatus::Pending => self.urge(record, false).await,
            DeliveryStatus::Failed | DeliveryStatus::Canceled => self.begin_anew(record).await,
            DeliveryStatus::Delivered => Ok(ByHand::Ended(record.status)),
        }
    }

    /// Cancels a delivery that waits for its next attempt. One that has ended stays as it is.
    ///
    /// # Errors
    /// If the store fails, or the deliveries have ended.
    pub async fn cancel(&self, record: &DeliveryRecord) -> Result<ByHand, StoreError> {
        let _one_at_a_time = self.by_hand.lock().await;
        let Some(record) = self.tools.store.delivery(record.id).await? else { return Ok(ByHand::UnderWay) };
        match record.status {
            DeliveryStatus::Pending => {
                let (id, strand) = (record.id, Strand::of(&record));
                self.ask(|done| Command::Cancel { id, strand, done }).await
            }
            DeliveryStatus::Delivered | DeliveryStatus::Failed | DeliveryStatus::Canceled => {
                Ok(ByHand::Ended(record.status))
            }
        }
    }

    /// Sends an event to an endpoint once more, or for the first time, whatever its types and filter.
    ///
    /// # Errors
    /// If the store fails, or the deliveries have ended.
    pub async fn redeliver(&self, event: &Event, endpoint: &Endpoint) -> Result<ByHand, StoreError> {
        let _one_at_a_time = self.by_hand.lock().await;
        let number = endpoint.id.number;
        let id = DeliveryId { position: event.position(), endpoint: number, epoch: event.id.epoch };
        // In this order: whatever was tried up to that position has a record by now.
        let position = self.position(number).await?;
        match (self.tools.store.delivery(id).await?, position) {
            (Some(record), _) if record.status == DeliveryStatus::Pending => self.urge(record, false).await,
            (Some(record), _) => self.begin_anew(record).await,
            (None, Some(position)) if event.position() <= position => self.begin_anew(untried(endpoint, event)).await,
            // What the queue has not come to would be sent by it as well.
            (None, Some(_)) => Ok(ByHand::UnderWay),
            (None, None) => Ok(ByHand::Disabled),
        }
    }

    /// A delivery that has ended, or was never one, becomes pending and is tried now.
    async fn begin_anew(&self, record: DeliveryRecord) -> Result<ByHand, StoreError> {
        let endpoint = self.tools.store.endpoint(record.endpoint_id).await?;
        if endpoint.is_none_or(|endpoint| endpoint.status == EndpointStatus::Disabled) {
            return Ok(ByHand::Disabled);
        }
        // A record may be kept for longer than its event.
        if record.id.position < self.tools.store.first() {
            return Ok(ByHand::NotKept);
        }
        let record = record.anew(self.tools.clock.now(), None);
        let commit = DeliveryCommit { records: vec![record.clone()], ..DeliveryCommit::default() };
        self.tools.store.commit_deliveries(commit).await?;
        self.urge(record, true).await
    }

    async fn urge(&self, record: DeliveryRecord, comes_anew: bool) -> Result<ByHand, StoreError> {
        let (id, strand) = (record.id, Strand::of(&record));
        let urged = self.ask(|done| Command::Urge { id, strand, comes_anew, done }).await?;
        Ok(match urged {
            Urged::Yes => ByHand::Done(Box::new(record)),
            // It is pending and due, so whatever lane comes takes it up.
            Urged::NotNow | Urged::Disabled if comes_anew => ByHand::Done(Box::new(record)),
            Urged::NotNow => ByHand::UnderWay,
            Urged::Disabled => ByHand::Disabled,
        })
    }
}
