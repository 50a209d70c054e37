//! What follows from an attempt: the record, the lane, the endpoint.

use std::sync::Arc;

use super::attempt::{Tried, Untried};
use super::dispatch::{Dispatcher, Done, UNREADABLE_WAIT};
use super::health::Recovery;
use super::lane::{Verdict, Work};
use super::policy::{self, Next, Turn};
use crate::clock::chance;
use crate::model::delivery::{Attempt, DeliveryRecord, DeliveryStatus, Outcome};
use crate::model::endpoint::{DisabledReason, Endpoint};
use crate::model::event::Event;
use crate::model::id::{DeliveryId, EndpointNumber};
use crate::model::time::Timestamp;

impl Dispatcher {
    /// An attempt has ended, one way or another. Its endpoint may have no lane any more, but not another one than the
    /// attempt was made from: a lane is made only when nothing is under way.
    pub(super) fn tried(
        &mut self,
        number: EndpointNumber,
        endpoint: &Arc<Endpoint>,
        work: &Work,
        result: Result<Tried, Untried>,
        now: Timestamp,
    ) {
        let has_record = result.is_ok();
        let is_moot = matches!(result, Err(Untried::Moot));
        let mut recovery = None;
        let verdict = match result {
            Ok(tried) => {
                recovery = self.note(number, &tried.attempt, now);
                self.concluded(number, endpoint, tried, now)
            }
            Err(Untried::Moot) => Verdict::Ended,
            Err(Untried::Unreadable(error)) => {
                tracing::error!(endpoint_id = %endpoint.id, position = work.position.0, %error, "delivery.unreadable");
                Verdict::RetryAt(now.plus(UNREADABLE_WAIT))
            }
            Err(Untried::Panicked) => {
                tracing::error!(endpoint_id = %endpoint.id, position = work.position.0, "delivery.panicked");
                Verdict::RetryAt(now.plus(UNREADABLE_WAIT))
            }
        };
        if !has_record {
            self.ledger.finish(number);
        }
        if let Some(station) = self.stations.get_mut(&number) {
            station.lane.finish(work, verdict, now);
            if let Some(recovery) = recovery {
                station.lane.hurry(recovery);
            }
            if is_moot {
                // There will be no record that closes it.
                station.lane.close(work.position);
            }
            self.settle(number, now);
        }
    }

    /// What an attempt says of its endpoint, unless that was deleted meanwhile.
    fn note(&mut self, number: EndpointNumber, attempt: &Attempt, now: Timestamp) -> Option<Recovery> {
        let condition = match self.stations.get_mut(&number) {
            Some(station) => &mut station.lane.condition,
            None => self.conditions.get_mut(&number)?,
        };
        let recovery = condition.note(attempt.outcome, attempt.at, now);
        self.board.show(number, condition.health());
        recovery
    }

    fn concluded(&mut self, number: EndpointNumber, endpoint: &Arc<Endpoint>, tried: Tried, now: Timestamp) -> Verdict {
        let Tried { event, record, attempt, retry_after } = tried;
        let schedule = endpoint.retry.as_deref().unwrap_or(&self.settings.retry);
        let retry_after = retry_after.as_deref();
        let mut record = record.unwrap_or_else(|| new_record(endpoint, &event));
        let turn = policy::turn(attempt.trigger, record.charged, record.next_attempt_at, attempt.at);
        let next = policy::next(attempt.outcome, turn, schedule, retry_after, now, chance());
        log(endpoint, &event, &attempt, &next);
        if let Some(station) = self.stations.get_mut(&number)
            && let Some(until) = policy::paused_until(attempt.outcome, retry_after, now)
        {
            station.lane.condition.pause(until);
        }
        let verdict = match next {
            Next::Delivered => Verdict::Delivered,
            Next::Exhausted => Verdict::Ended,
            Next::RetryAt(at) => Verdict::RetryAt(at),
            Next::EndpointGone => {
                self.disable(endpoint);
                Verdict::RetryAt(now)
            }
        };
        let is_registered = self.stations.contains_key(&number) || self.stopped.contains_key(&number);
        // Who wants no more has not refused this one.
        if let Turn::Charged(charged) = turn
            && next != Next::EndpointGone
        {
            record.charged = charged;
        }
        record.push(attempt);
        (record.status, record.next_attempt_at) = match verdict {
            Verdict::Delivered => (DeliveryStatus::Delivered, None),
            Verdict::Ended => (DeliveryStatus::Failed, None),
            Verdict::RetryAt(at) if is_registered => (DeliveryStatus::Pending, Some(at)),
            Verdict::RetryAt(_) => (DeliveryStatus::Canceled, None),
        };
        self.ledger.record(record);
        verdict
    }

    /// The receiver wants no more. Nothing further is sent to it; what it has not got stays pending. An answer that
    /// comes late says nothing about an endpoint that was changed to another URL, or disabled and enabled, since.
    fn disable(&mut self, endpoint: &Arc<Endpoint>) {
        let number = endpoint.id.number;
        if self.stations.get(&number).is_none_or(|station| station.lane.endpoint.url != endpoint.url) {
            return;
        }
        self.park(endpoint, None);
        self.disabling += 1;
        let (store, clock, endpoint) =
            (Arc::clone(&self.tools.store), Arc::clone(&self.tools.clock), Arc::clone(endpoint));
        self.tasks.spawn(async move {
            let disabled = store.disable(endpoint.id, &endpoint.url, DisabledReason::Gone, clock.now());
            Done::Disabled(disabled.await.map(|_| ()))
        });
    }
}

fn new_record(endpoint: &Endpoint, event: &Event) -> DeliveryRecord {
    DeliveryRecord {
        id: DeliveryId { position: event.position(), endpoint: endpoint.id.number, epoch: event.id.epoch },
        event_id: event.id,
        event_type: event.event_type,
        endpoint_id: endpoint.id,
        resource: event.sight.resource().cloned(),
        status: DeliveryStatus::Pending,
        next_attempt_at: None,
        attempt_count: 0,
        charged: 0,
        attempts: Vec::new(),
    }
}

/// One wide line per attempt; successes only for those who want to see them.
fn log(endpoint: &Endpoint, event: &Event, tried: &Attempt, next: &Next) {
    let (endpoint_id, event_id, event_type) = (endpoint.id, event.id, event.event_type);
    let Attempt { number: attempt, outcome, status_code, duration_ms, .. } = *tried;
    let (address, error) = (tried.address.as_deref(), tried.error.as_deref());
    let next_attempt_at = match next {
        Next::RetryAt(at) => Some(tracing::field::display(*at)),
        Next::Delivered | Next::Exhausted | Next::EndpointGone => None,
    };
    let word = outcome.as_str();
    if outcome == Outcome::Delivered {
        tracing::debug!(
            %endpoint_id, %event_id, %event_type, attempt, outcome = word, status_code, address, duration_ms,
            "delivery.attempted"
        );
    } else {
        tracing::info!(
            %endpoint_id, %event_id, %event_type, attempt, outcome = word, status_code, address, error, duration_ms,
            next_attempt_at, "delivery.attempted"
        );
    }
}
