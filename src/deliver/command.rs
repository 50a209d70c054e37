//! What operators ask of the deliveries that run.
//!
//! What is kept of a delivery is changed either by the loop alone, or for one that has ended and is in no lane; so no
//! two ever write the same record.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::dispatch::{Dispatcher, Done};
use crate::model::delivery::{ByHand, DeliveryRecord, DeliveryStatus};
use crate::model::id::{DeliveryId, EndpointNumber, Position};
use crate::model::resource::ResourceKey;
use crate::model::time::Timestamp;
use crate::store::{DeliveryCommit, Store, StoreError};

/// How many requests may wait for the loop.
pub(super) const QUEUE_LENGTH: usize = 64;

/// Something that an operator asks for, and where the answer goes.
pub(super) enum Command {
    /// Everything that waits for an endpoint becomes due; `false` if it is disabled.
    Recover { endpoint: EndpointNumber, done: oneshot::Sender<bool> },
    /// A pending delivery is tried now. One that `comes_anew` is pending since just now.
    Urge { id: DeliveryId, resource: Option<ResourceKey>, comes_anew: bool, done: oneshot::Sender<Urged> },
    /// A pending delivery is canceled.
    Cancel { id: DeliveryId, resource: Option<ResourceKey>, done: oneshot::Sender<ByHand> },
    /// How far an endpoint's queue has come; `None` if it has none.
    Position { endpoint: EndpointNumber, done: oneshot::Sender<Option<Position>> },
}

/// Whether a delivery will be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urged {
    /// As soon as there is a slot.
    Yes,
    /// It is just ending, or being taken up.
    NotNow,
    /// Its endpoint is disabled.
    Disabled,
}

impl Dispatcher {
    /// Does what was asked for. Whoever asked may have given up; it is done all the same.
    pub(super) fn obey(&mut self, command: Command, now: Timestamp) {
        match command {
            Command::Recover { endpoint, done } => {
                let _gone = done.send(self.recover(endpoint, now));
            }
            Command::Urge { id, resource, comes_anew, done } => {
                let _gone = done.send(self.urge(id, resource, comes_anew, now));
            }
            Command::Cancel { id, resource, done } => self.cancel(id, resource.as_ref(), done, now),
            Command::Position { endpoint, done } => {
                let lane = self.stations.get(&endpoint).map(|station| &station.lane);
                let _gone = done.send(lane.map(|lane| lane.position(self.routed)));
            }
        }
    }

    fn urge(&mut self, id: DeliveryId, resource: Option<ResourceKey>, comes_anew: bool, now: Timestamp) -> Urged {
        let Some(station) = self.stations.get_mut(&id.endpoint) else {
            return if self.arriving.contains_key(&id.endpoint) { Urged::NotNow } else { Urged::Disabled };
        };
        let is_here = station.lane.urge(id.position, resource, comes_anew);
        self.settle(id.endpoint, now);
        if is_here { Urged::Yes } else { Urged::NotNow }
    }

    /// Cancels a delivery that nobody is busy with: neither an attempt nor a record of one on its way to the store.
    fn cancel(
        &mut self,
        id: DeliveryId,
        resource: Option<&ResourceKey>,
        answer: oneshot::Sender<ByHand>,
        now: Timestamp,
    ) {
        let number = id.endpoint;
        let is_unsaved = self.ledger.unsaved(number, id.position).is_some();
        let is_free = !is_unsaved
            && match self.stations.get_mut(&number) {
                Some(station) => station.lane.cancel(id.position, resource),
                None => !self.arriving.contains_key(&number) && self.ledger.is_finished(number),
            };
        if !is_free {
            let _gone = answer.send(ByHand::UnderWay);
            return;
        }
        // Until it is written, no lane is made anew that would find it pending.
        self.ledger.begin(number);
        let store = Arc::clone(&self.tools.store);
        self.tasks.spawn(async move { Done::Canceled { number, result: canceled(&*store, id).await, answer } });
        self.settle(number, now);
    }
}

async fn canceled(store: &dyn Store, id: DeliveryId) -> Result<ByHand, StoreError> {
    let Some(record) = store.delivery(id).await? else { return Ok(ByHand::UnderWay) };
    if record.status != DeliveryStatus::Pending {
        return Ok(ByHand::Ended(record.status));
    }
    let record = DeliveryRecord { status: DeliveryStatus::Canceled, next_attempt_at: None, ..record };
    store.commit_deliveries(DeliveryCommit { records: vec![record.clone()], ..DeliveryCommit::default() }).await?;
    Ok(ByHand::Done(Box::new(record)))
}
