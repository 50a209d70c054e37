//! What follows from an attempt: the record, the lane, the endpoint.

use std::sync::Arc;

use super::attempt::{Tried, Untried};
use super::dispatch::{Dispatcher, Done, UNREADABLE_WAIT};
use super::lane::{Verdict, Work};
use super::policy::{self, Next};
use crate::clock::chance;
use crate::model::delivery::{Attempt, DeliveryRecord, DeliveryStatus, Outcome};
use crate::model::endpoint::{DisabledReason, Endpoint, EndpointStatus};
use crate::model::event::Event;
use crate::model::id::{DeliveryId, EndpointNumber};
use crate::model::time::Timestamp;
use crate::store::{Store, StoreError};

impl Dispatcher {
    /// An attempt has ended, one way or another.
    pub(super) fn tried(
        &mut self,
        lane: (EndpointNumber, u64),
        endpoint: &Arc<Endpoint>,
        work: &Work,
        result: Result<Tried, Untried>,
        now: Timestamp,
    ) {
        let is_moot = matches!(result, Err(Untried::Moot));
        let verdict = match result {
            Ok(tried) => self.concluded(lane, endpoint, tried, now),
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
        if let Some(station) = self.stations.get_mut(&lane.0).filter(|station| station.generation == lane.1) {
            station.lane.finish(work, verdict, now);
            if is_moot {
                // There will be no record that closes it.
                station.lane.close(work.position);
            }
            self.settle(lane.0, now);
        }
    }

    fn concluded(
        &mut self,
        lane: (EndpointNumber, u64),
        endpoint: &Arc<Endpoint>,
        tried: Tried,
        now: Timestamp,
    ) -> Verdict {
        let Tried { event, record, attempt, retry_after } = tried;
        let schedule = endpoint.retry.as_deref().unwrap_or(&self.settings.retry);
        let retry_after = retry_after.as_deref();
        let next = policy::next(attempt.outcome, attempt.number, schedule, retry_after, now, chance());
        self.board.note(lane.0, &attempt);
        log(endpoint, &event, &attempt, &next);
        let known = self.stations.contains_key(&lane.0);
        let current = self.stations.get_mut(&lane.0).filter(|station| station.generation == lane.1);
        let stale = current.is_none();
        if let Some(station) = current
            && let Some(until) = policy::paused_until(attempt.outcome, retry_after, now)
        {
            station.lane.pause(until);
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
        if stale && known && verdict != Verdict::Delivered {
            // The lane was made anew while this attempt was in flight and makes it again itself.
            return verdict;
        }
        let pending = known || self.stopped.contains_key(&lane.0);
        let mut record = record.unwrap_or_else(|| new_record(endpoint, &event));
        record.push(attempt);
        (record.status, record.next_attempt_at) = match verdict {
            Verdict::Delivered => (DeliveryStatus::Delivered, None),
            Verdict::Ended => (DeliveryStatus::Failed, None),
            Verdict::RetryAt(at) if pending => (DeliveryStatus::Pending, Some(at)),
            Verdict::RetryAt(_) => (DeliveryStatus::Canceled, None),
        };
        self.ledger.record(record);
        verdict
    }

    /// The receiver wants no more. Nothing further is sent to it; what it has not got stays pending.
    fn disable(&mut self, endpoint: &Arc<Endpoint>) {
        if let Some(position) = self.close(endpoint.id.number) {
            self.stopped.insert(endpoint.id.number, position);
            self.ledger.position(endpoint.id.number, Some(position));
        }
        let (store, clock, id) = (Arc::clone(&self.tools.store), Arc::clone(&self.tools.clock), endpoint.id);
        self.tasks.spawn(async move { Done::Disabled(mark_gone(&*store, id.number, clock.now()).await) });
    }
}

async fn mark_gone(store: &dyn Store, number: EndpointNumber, now: Timestamp) -> Result<(), StoreError> {
    if let Some(mut endpoint) = store.by_number(number).await? {
        endpoint.status = EndpointStatus::Disabled;
        endpoint.disabled_reason = Some(DisabledReason::Gone);
        endpoint.updated_at = now;
        store.update(endpoint).await?;
    }
    Ok(())
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
