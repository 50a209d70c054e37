//! What operators ask of the deliveries that run.
//!
//! What is kept of a delivery is changed either by the loop alone, or for one that has ended and is in no lane; so no
//! two ever write the same record.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::dispatch::{Dispatcher, Done};
use super::survey::Seen;
use super::work::Strand;
use crate::model::delivery::{ByHand, DeliveryStatus};
use crate::model::id::{DeliveryId, EndpointNumber, Position};
use crate::model::time::Timestamp;
use crate::store::{DeliveryCommit, Store, StoreError};

/// How many requests may wait for the loop.
pub(super) const QUEUE_LENGTH: usize = 64;

/// Something that an operator asks for, and where the answer goes.
pub(super) enum Command {
    /// Everything that waits for an endpoint becomes due; `false` if it is disabled.
    Recover { endpoint: EndpointNumber, done: oneshot::Sender<bool> },
    /// A pending delivery is tried now. One that `comes_anew` is pending since just now.
    Urge { id: DeliveryId, strand: Option<Strand>, comes_anew: bool, done: oneshot::Sender<Urged> },
    /// A pending delivery is canceled.
    Cancel { id: DeliveryId, strand: Option<Strand>, done: oneshot::Sender<ByHand> },
    /// Somebody wants to know how far a queue has come.
    Position(Question),
    /// Deliveries that have become pending for a replay.
    Replay { endpoint: EndpointNumber, deliveries: Vec<(Position, Option<Strand>)>, done: oneshot::Sender<()> },
    /// Somebody wants to know how all endpoints stand.
    Survey(oneshot::Sender<Vec<Seen>>),
}

/// How far an endpoint's queue has come: whatever was tried up to there has a durable record. The answer is `None` if
/// it has no queue because it is disabled or deleted.
pub(super) struct Question {
    pub(super) endpoint: EndpointNumber,
    pub(super) done: oneshot::Sender<Option<Position>>,
}

impl Command {
    /// The one endpoint that it is about.
    fn endpoint(&self) -> Option<EndpointNumber> {
        match self {
            Self::Urge { id, .. } | Self::Cancel { id, .. } => Some(id.endpoint),
            Self::Recover { endpoint, .. }
            | Self::Position(Question { endpoint, .. })
            | Self::Replay { endpoint, .. } => Some(*endpoint),
            Self::Survey(_) => None,
        }
    }
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
    pub(super) async fn obey(&mut self, command: Command, now: Timestamp) -> Result<(), StoreError> {
        if let Some(number) = command.endpoint()
            && !self.stations.contains_key(&number)
            && !self.arriving.contains_key(&number)
        {
            // Who asks may know of it already: it was just registered, or enabled. No news for replays, which ask, too.
            self.look_at(number).await?;
        }
        match command {
            Command::Recover { endpoint, done } => {
                let _gone = done.send(self.recover(endpoint, now));
            }
            Command::Urge { id, strand, comes_anew, done } => {
                let _gone = done.send(self.urge(id, strand, comes_anew, now));
            }
            Command::Cancel { id, strand, done } => self.cancel(id, strand.as_ref(), done, now),
            Command::Position(question) => self.questions.push(question),
            Command::Replay { endpoint, deliveries, done } => {
                self.replay(endpoint, deliveries, now);
                let _gone = done.send(());
            }
            Command::Survey(done) => {
                let _gone = done.send(self.survey());
            }
        }
        Ok(())
    }

    /// Tells how far queues have come, as soon as there is one.
    pub(super) fn answer(&mut self) {
        for Question { endpoint, done } in std::mem::take(&mut self.questions) {
            if self.arriving.contains_key(&endpoint) {
                self.questions.push(Question { endpoint, done });
            } else {
                let _gone = done.send(self.durable_position(endpoint));
            }
        }
    }

    fn durable_position(&self, number: EndpointNumber) -> Option<Position> {
        let position = self.stations.get(&number)?.lane.position(self.routed);
        let saving = self.ledger.first_saving(number).map(Position::previous);
        Some(saving.map_or(position, |saving| saving.min(position)))
    }

    fn replay(&mut self, number: EndpointNumber, deliveries: Vec<(Position, Option<Strand>)>, now: Timestamp) {
        if let Some(station) = self.stations.get_mut(&number) {
            for (position, strand) in deliveries {
                station.lane.replay(position, strand);
            }
            self.settle(number, now);
        } else {
            // What was read for it may lack them.
            self.read_anew(number);
        }
    }

    fn urge(&mut self, id: DeliveryId, strand: Option<Strand>, comes_anew: bool, now: Timestamp) -> Urged {
        let Some(station) = self.stations.get_mut(&id.endpoint) else {
            return if self.arriving.contains_key(&id.endpoint) { Urged::NotNow } else { Urged::Disabled };
        };
        let is_here = station.lane.urge(id.position, strand, comes_anew);
        self.settle(id.endpoint, now);
        if is_here { Urged::Yes } else { Urged::NotNow }
    }

    /// Cancels a delivery that nobody is busy with: neither an attempt nor a record of one on its way to the store.
    fn cancel(&mut self, id: DeliveryId, strand: Option<&Strand>, answer: oneshot::Sender<ByHand>, now: Timestamp) {
        let number = id.endpoint;
        let is_unsaved = self.ledger.unsaved(number, id.position).is_some();
        let is_free = !is_unsaved
            && match self.stations.get_mut(&number) {
                Some(station) => station.lane.cancel(id.position, strand),
                None => !self.arriving.contains_key(&number) && self.ledger.is_finished(number),
            };
        if !is_free {
            let _gone = answer.send(ByHand::UnderWay);
            return;
        }
        // Until it is written, no lane is made anew that would find it pending.
        self.ledger.begin(number);
        let store = Arc::clone(&self.tools.store);
        self.tasks.spawn(async move { Done::Canceled { id, result: canceled(&*store, id).await, answer } });
        self.settle(number, now);
    }
}

async fn canceled(store: &dyn Store, id: DeliveryId) -> Result<ByHand, StoreError> {
    let Some(record) = store.delivery(id).await? else { return Ok(ByHand::UnderWay) };
    if record.status != DeliveryStatus::Pending {
        return Ok(ByHand::Ended(record.status));
    }
    let record = record.ended(DeliveryStatus::Canceled);
    store.commit_deliveries(DeliveryCommit { records: vec![record.clone()], ..DeliveryCommit::default() }).await?;
    Ok(ByHand::Done(Box::new(record)))
}
