//! Deliveries that only write down what is asked of them.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use certhook::api::commands::Deliveries;
use certhook::model::delivery::{Attempt, ByHand, DeliveryRecord, DeliveryStatus, Outcome, Trigger};
use certhook::model::endpoint::{Endpoint, EndpointStatus};
use certhook::model::event::{Event, EventType};
use certhook::model::filter::Filter;
use certhook::model::health::{Backlog, Health, HealthState};
use certhook::model::id::{EndpointNumber, ReplayId, ReplayNumber};
use certhook::model::replay::{Course, Preview, Progress, Range, Replay};
use certhook::store::StoreError;
use tokio::sync::Notify;
use url::Url;

use super::BEGIN;

/// Deliveries that go nowhere: tests are written down, and every URL but those of 10.0.0.1 is admitted.
#[derive(Default)]
pub(in crate::api) struct Receivers {
    pub(in crate::api) tests: Mutex<Vec<(String, EventType)>>,
    /// Whether nothing is sent.
    pub(in crate::api) is_held: Mutex<bool>,
    pub(in crate::api) looked_at: Mutex<Vec<String>>,
    /// The endpoint that has been failing, if any.
    pub(in crate::api) failing: Mutex<Option<EndpointNumber>>,
    /// What every endpoint has not got yet.
    pub(in crate::api) backlog: Mutex<Backlog>,
    /// What was asked for.
    pub(in crate::api) asked: Mutex<Vec<String>>,
    /// What was to be replayed.
    pub(in crate::api) ranges: Mutex<Vec<Range>>,
    gate: Mutex<Option<Gate>>,
}

/// Where a look at the network stands until somebody lets it pass.
#[derive(Clone, Default)]
pub(in crate::api) struct Gate {
    /// Told when one has come here.
    pub(in crate::api) reached: Arc<Notify>,
    /// Lets it pass.
    pub(in crate::api) open: Arc<Notify>,
}

impl Receivers {
    /// The next look at the network stands there.
    pub(in crate::api) fn close_the_gate(&self) -> Gate {
        self.gate.lock().unwrap().insert(Gate::default()).clone()
    }

    fn begin(&self, endpoint: &Endpoint, course: Course) -> Result<Option<Replay>, StoreError> {
        if let Course::Log(range) = &course {
            self.ranges.lock().unwrap().push(range.clone());
        }
        let is_enabled = endpoint.status == EndpointStatus::Enabled;
        Ok(is_enabled.then(|| Replay {
            id: ReplayId { number: ReplayNumber(1), random: 1 },
            endpoint_id: endpoint.id,
            created_at: BEGIN.parse().unwrap(),
            progress: Progress::before(&course),
            course,
        }))
    }

    fn handle(&self, what: &str, record: &DeliveryRecord) -> ByHand {
        self.asked.lock().unwrap().push(format!("{what} {}", record.id));
        if record.status == DeliveryStatus::Pending {
            let record = record.clone();
            ByHand::Done(Box::new(if what == "cancel" { record.ended(DeliveryStatus::Canceled) } else { record }))
        } else {
            ByHand::Ended(record.status)
        }
    }
}

#[async_trait]
impl Deliveries for Receivers {
    async fn send_test(&self, endpoint: &Endpoint, event_type: EventType) -> Option<Attempt> {
        if *self.is_held.lock().unwrap() {
            return None;
        }
        self.tests.lock().unwrap().push((endpoint.id.to_string(), event_type));
        Some(Attempt {
            number: 1,
            at: BEGIN.parse().unwrap(),
            duration_ms: 12,
            outcome: Outcome::Rejected,
            status_code: Some(404),
            error: None,
            response_body: Some("no such page".into()),
            address: Some("203.0.113.7:443".into()),
            signed_at: BEGIN.parse().unwrap(),
            trigger: Trigger::Manual,
        })
    }

    async fn admit(&self, url: &Url) -> Result<(), String> {
        self.looked_at.lock().unwrap().push(url.to_string());
        // A look at the network takes its time, and other calls go on meanwhile.
        tokio::task::yield_now().await;
        let gate = self.gate.lock().unwrap().take();
        if let Some(Gate { reached, open }) = gate {
            reached.notify_one();
            open.notified().await;
        }
        if url.host_str() == Some("10.0.0.1") {
            return Err("10.0.0.1 is a private address; allow_networks = [\"10.0.0.1/32\"] would permit it".into());
        }
        Ok(())
    }

    fn health(&self, endpoint: EndpointNumber) -> Health {
        if *self.failing.lock().unwrap() != Some(endpoint) {
            return Health::default();
        }
        let last_failure_at = Some(BEGIN.parse().unwrap());
        Health { state: HealthState::Failing, last_success_at: None, last_failure_at, consecutive_failures: 3 }
    }

    async fn backlog(&self, _: &Endpoint) -> Result<Backlog, StoreError> {
        Ok(*self.backlog.lock().unwrap())
    }

    async fn retry_failed(&self, endpoint: &Endpoint) -> Result<(), StoreError> {
        assert_eq!(endpoint.status, EndpointStatus::Disabled, "while nothing is sent");
        self.asked.lock().unwrap().push(format!("retry {}", endpoint.uid.as_deref().unwrap_or_default()));
        Ok(())
    }

    async fn replay(&self, endpoint: &Endpoint, range: Range) -> Result<Option<Replay>, StoreError> {
        self.begin(endpoint, Course::Log(range))
    }

    async fn preview(&self, endpoint: &Endpoint, range: Range) -> Result<Option<Preview>, StoreError> {
        let is_enabled = endpoint.status == EndpointStatus::Enabled;
        self.ranges.lock().unwrap().push(range);
        Ok(is_enabled.then(|| Preview { matched: 7, ..Preview::default() }))
    }

    async fn resync(&self, endpoint: &Endpoint, filter: Filter) -> Result<Option<Replay>, StoreError> {
        self.begin(endpoint, Course::Snapshots(filter))
    }

    async fn cancel_replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError> {
        self.asked.lock().unwrap().push(format!("cancel {id}"));
        Ok(None)
    }

    async fn retry(&self, record: &DeliveryRecord) -> Result<ByHand, StoreError> {
        Ok(self.handle("retry", record))
    }

    async fn cancel(&self, record: &DeliveryRecord) -> Result<ByHand, StoreError> {
        Ok(self.handle("cancel", record))
    }

    async fn redeliver(&self, event: &Event, endpoint: &Endpoint) -> Result<ByHand, StoreError> {
        self.asked.lock().unwrap().push(format!("redeliver {} {}", event.id, endpoint.id));
        Ok(ByHand::UnderWay)
    }

    async fn recover(&self, endpoint: EndpointNumber) -> Result<bool, StoreError> {
        self.asked.lock().unwrap().push(format!("recover {}", endpoint.0));
        Ok(true)
    }
}
