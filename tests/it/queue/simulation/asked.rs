//! What operators ask for: one delivery again, many again, another secret.

use std::time::Duration;

use certhook::model::delivery::{ByHand, DeliveryStatus};
use certhook::model::endpoint::{SigningSecret, rotated};
use certhook::model::filter::Filter;
use certhook::model::id::{EndpointId, Position, ReplayId};
use certhook::model::replay::{Range, Replay, Select};

use super::world::World;

/// A replay that was asked for.
pub(super) struct Asked {
    pub(super) id: ReplayId,
    pub(super) endpoint: EndpointId,
    /// How many versions of records there were before.
    pub(super) after: usize,
}

impl World {
    /// Somebody retries, repeats or cancels one of the deliveries.
    pub(super) async fn by_hand(&mut self) {
        let records = self.records().await;
        if records.is_empty() {
            return;
        }
        let (host, record) = &records[self.dice.index(records.len())];
        match self.dice.below(6) {
            0..3 => {
                if record.status != DeliveryStatus::Delivered {
                    self.receivers.ask_by_hand(host, record.event_id);
                }
                let handled = self.bench.deliverer().retry(record).await.expect("it runs");
                self.receivers.answered_by_hand(host, &handled);
            }
            3 => {
                let endpoint = self.bench.store.endpoint(record.endpoint_id).await.expect("a look");
                let event = self.bench.store.event(record.id.position).await.expect("a look");
                if let (Some(endpoint), Some(event)) = (endpoint, event) {
                    self.receivers.ask_by_hand(host, record.event_id);
                    let handled = self.bench.deliverer().redeliver(&event, &endpoint).await.expect("it runs");
                    self.receivers.answered_by_hand(host, &handled);
                }
            }
            _ => {
                if let ByHand::Done(_) = self.bench.deliverer().cancel(record).await.expect("it runs") {
                    self.canceled.insert(record.id);
                }
            }
        }
    }

    /// Somebody wants an endpoint to get something again, or what everything is now; or no longer.
    pub(super) async fn replay(&mut self) {
        let Some(index) = self.living() else { return };
        let endpoint = self.bench.endpoint(self.subscribers[index].id).await;
        let after = self.memory.as_ref().map_or(0, |memory| memory.versions().len());
        let begun = match self.dice.below(8) {
            0 => return self.cancel_replay().await,
            1 | 2 => self.bench.deliverer().resync(&endpoint, Filter::default()).await,
            _ => {
                let head = *self.bench.store.head().borrow();
                let range = Range {
                    after: Position(self.dice.below(head.0 + 1)),
                    until: head,
                    types: Vec::new(),
                    filter: self.filter(),
                    resource_id: None,
                    event_ids: Vec::new(),
                    asked_since: None,
                    asked_until: None,
                    select: [Select::Missed, Select::Failed, Select::All][self.dice.index(3)],
                };
                self.bench.deliverer().replay(&endpoint, range).await
            }
        };
        if let Some(Replay { id, endpoint_id: endpoint, .. }) = begun.expect("it runs") {
            self.asked.push(Asked { id, endpoint, after });
        }
    }

    async fn cancel_replay(&mut self) {
        if !self.asked.is_empty() {
            let asked = &self.asked[self.dice.index(self.asked.len())];
            self.bench.deliverer().cancel_replay(asked.id).await.expect("it runs");
        }
    }

    /// Another secret takes over, and the former ones sign too for a while.
    pub(super) async fn rotate(&mut self, index: usize) {
        let (id, host) = (self.subscribers[index].id, self.subscribers[index].host.clone());
        let overlap = Duration::from_millis(self.dice.below(100));
        let key: Vec<u8> = (0..32).map(|_| self.dice.below(256) as u8).collect();
        let fresh = SigningSecret { key: key.into(), expires_at: None };
        let secrets = self.bench.endpoint(id).await.secrets;
        if let Ok(secrets) = rotated(&secrets, fresh, overlap, self.clock.now()) {
            self.receivers.sign(&host, secrets.clone());
            self.bench.change(id, |endpoint| endpoint.secrets = secrets.clone()).await;
            self.receivers.signed(&host);
        }
    }
}
