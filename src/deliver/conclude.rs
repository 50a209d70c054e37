//! What follows from an attempt: the record, the lane, the endpoint.

use std::sync::Arc;
use std::time::Duration;

use super::attempt::{Tried, Untried};
use super::dispatch::{Dispatcher, UNREADABLE_WAIT};
use super::health::{Condition, Noted, Recovery, Transition};
use super::lane::Lane;
use super::policy::{self, Next, Turn};
use super::told;
use super::work::{Verdict, Work};
use crate::model::delivery::{Attempt, DeliveryRecord, DeliveryStatus, Outcome};
use crate::model::endpoint::{DisabledReason, Endpoint};
use crate::model::event::{Event, EventType};
use crate::model::id::{DeliveryId, EndpointNumber};
use crate::model::time::Timestamp;
use crate::store::{Consequence, Disabling};

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
        let mut recovery = None;
        let mut is_moot = false;
        let verdict = match result {
            Ok(tried) => {
                self.measure(number, work, &tried);
                let (verdict, ended) = self.concluded(endpoint, tried, now);
                recovery = ended;
                verdict
            }
            Err(untried) => {
                // There is no record that would say so when it is durable.
                self.ledger.finish(number);
                is_moot = matches!(untried, Untried::Moot);
                if matches!(untried, Untried::Panicked) {
                    self.board.attempts.panicked();
                }
                without_attempt(endpoint, work, &untried, now)
            }
        };
        let Some(station) = self.stations.get_mut(&number) else { return };
        station.lane.finish(work, verdict, now);
        recovery.into_iter().for_each(|recovery| station.lane.hurry(recovery));
        if is_moot {
            // There will be no record that closes it.
            station.lane.close(work.position);
        }
        self.settle(number, now);
    }

    /// Adds an attempt to those before it. How long its event has waited says something of us only if it came straight
    /// from the log, while the endpoint was enabled, worked and kept up.
    fn measure(&self, number: EndpointNumber, work: &Work, tried: &Tried) {
        let attempts = &self.board.attempts;
        attempts.ended(tried.attempt.outcome, Duration::from_millis(tried.attempt.duration_ms));
        let observed_at = tried.event.timestamp();
        let is_prompt =
            |lane: &Lane| lane.is_live() && !lane.condition.is_failing() && observed_at >= lane.endpoint.enabled_at;
        let is_first = work.event.is_some() && tried.record.is_none();
        if is_first && self.stations.get(&number).is_some_and(|station| is_prompt(&station.lane)) {
            attempts.began_after(tried.attempt.at.since(observed_at));
        }
    }

    /// The record of an attempt, what it brings about, and what follows for the lane.
    fn concluded(&mut self, endpoint: &Arc<Endpoint>, tried: Tried, now: Timestamp) -> (Verdict, Option<Recovery>) {
        let Tried { event, record, attempt, retry_after } = tried;
        let (number, outcome) = (endpoint.id.number, attempt.outcome);
        let schedule = endpoint.retry.as_deref().unwrap_or(&self.settings.retry);
        let retry_after = retry_after.as_deref();
        let mut record = record.unwrap_or_else(|| untried(endpoint, &event));
        let turn = policy::turn(attempt.trigger, record.charged, record.next_attempt_at, attempt.at);
        // Nothing waits after a success, and a random number may come from the operating system.
        let chance = if outcome == Outcome::Delivered { 0.0 } else { self.tools.clock.chance() };
        let next = policy::next(outcome, turn, schedule, retry_after, now, chance);
        log(endpoint, &event, &attempt, &next);
        let verdict = match next {
            Next::Delivered => Verdict::Delivered,
            Next::Exhausted => Verdict::GivenUp,
            Next::RetryAt(at) => Verdict::RetryAt(at),
            Next::EndpointGone => Verdict::RetryAt(now),
        };
        // Who wants no more has not refused this one.
        if let Turn::Charged(charged) = turn
            && next != Next::EndpointGone
        {
            record.charged = charged;
        }
        let (paused_until, at) = (policy::paused_until(outcome, retry_after, now), attempt.at);
        record.push(attempt);
        let is_registered = self.stations.contains_key(&number) || self.stopped.contains_key(&number);
        if !matches!(verdict, Verdict::RetryAt(_)) {
            self.board.attempts.closed(verdict == Verdict::Delivered);
        }
        let record = match verdict {
            Verdict::Delivered => record.ended(DeliveryStatus::Delivered),
            Verdict::GivenUp | Verdict::Ended => record.ended(DeliveryStatus::Failed),
            Verdict::RetryAt(at) if is_registered => DeliveryRecord { next_attempt_at: Some(at), ..record },
            Verdict::RetryAt(_) => record.ended(DeliveryStatus::Canceled),
        };
        let tells = !event.event_type.is_about_delivering();
        let Some(condition) = self.condition(number) else {
            self.ledger.record(record, None);
            return (verdict, None);
        };
        let noted = condition.note(outcome, at, now, tells);
        paused_until.into_iter().for_each(|until| condition.pause(until));
        // What a receiver never wants has failed, too, but not for want of attempts.
        let is_exhausted = next == Next::Exhausted && outcome != Outcome::Aborted;
        if is_exhausted {
            condition.give_up(record.id.position);
        }
        let consequence = self.consequence(endpoint, &record, noted, is_exhausted && tells, now);
        self.ledger.record(record, consequence);
        (verdict, noted.recovery)
    }

    /// How an endpoint is doing, unless it was deleted.
    fn condition(&mut self, number: EndpointNumber) -> Option<&mut Condition> {
        match self.stations.get_mut(&number) {
            Some(station) => Some(&mut station.lane.condition),
            None => self.conditions.get_mut(&number),
        }
    }

    /// What an attempt brings about for its endpoint: what is kept of it, told of it, and whether it is disabled.
    fn consequence(
        &mut self,
        endpoint: &Arc<Endpoint>,
        record: &DeliveryRecord,
        noted: Noted,
        is_exhausted: bool,
        now: Timestamp,
    ) -> Option<Consequence> {
        let (livemode, disable_after) = (self.settings.livemode, self.settings.disable_after);
        let number = endpoint.id.number;
        let condition = self.condition(number)?;
        let (kept, health, failing_for) = (condition.kept(), condition.health(), condition.failing_for(now));
        self.board.show(number, health);
        if !noted.is_news && !is_exhausted {
            return None;
        }
        let mut told = Vec::new();
        if is_exhausted {
            told.push(told::of_exhaustion(record, livemode, now));
        }
        if let Some(transition) = noted.told {
            let event_type = match transition {
                Transition::Failing => EventType::EndpointFailing,
                Transition::Recovered => EventType::EndpointRecovered,
            };
            told.push(told::of_endpoint(event_type, endpoint, &health, livemode, now));
        }
        let is_gone = record.attempts.last().is_some_and(|attempt| attempt.outcome == Outcome::Gone);
        let is_beyond_hope = kept.failing_since.is_some() && failing_for >= disable_after;
        let reason = is_gone.then_some(DisabledReason::Gone);
        let reason = reason.or_else(|| is_beyond_hope.then_some(DisabledReason::Failing));
        let disabling = reason.filter(|_| self.disable(endpoint)).map(|reason| Disabling {
            id: endpoint.id,
            url: endpoint.url.clone(),
            reason,
            at: now,
            told: told::of_disabling(endpoint, &health, reason, livemode, now),
        });
        Some(Consequence { health: Some(kept).filter(|_| noted.is_news), told, disabling })
    }

    /// Sends nothing further to an endpoint, whose receiver wants no more or has failed for too long; what it has not
    /// got stays pending. An answer that comes late says nothing about an endpoint that was changed to another URL,
    /// or disabled and enabled, since; then it gives `false`.
    fn disable(&mut self, endpoint: &Arc<Endpoint>) -> bool {
        let station = self.stations.get(&endpoint.id.number);
        if station.is_none_or(|station| station.lane.endpoint.url != endpoint.url) {
            return false;
        }
        self.park(endpoint, None);
        true
    }
}

/// A delivery that was never tried.
pub(super) fn untried(endpoint: &Endpoint, event: &Event) -> DeliveryRecord {
    DeliveryRecord::untried(event.id, event.event_type, endpoint.id, event.sight.resource().cloned())
}

/// What follows for the lane from an attempt that could not be made.
fn without_attempt(endpoint: &Endpoint, work: &Work, untried: &Untried, now: Timestamp) -> Verdict {
    match untried {
        Untried::Moot => return Verdict::Ended,
        Untried::Unreadable(error) => {
            tracing::error!(endpoint_id = %endpoint.id, position = work.position.0, %error, "delivery.unreadable");
        }
        Untried::Panicked => {
            tracing::error!(endpoint_id = %endpoint.id, position = work.position.0, "delivery.panicked");
        }
    }
    Verdict::RetryAt(now.plus(UNREADABLE_WAIT))
}

/// One wide line per attempt; successes only for those who want to see them.
fn log(endpoint: &Endpoint, event: &Event, tried: &Attempt, next: &Next) {
    let (endpoint_id, event_id, event_type) = (endpoint.id, event.id, event.event_type);
    let delivery_id = DeliveryId { position: event_id.position, endpoint: endpoint_id.number, epoch: event_id.epoch };
    let Attempt { number: attempt, outcome, status_code, duration_ms, .. } = *tried;
    let (address, error) = (tried.address.as_deref(), tried.error.as_deref());
    let next_attempt_at = match next {
        Next::RetryAt(at) => Some(tracing::field::display(*at)),
        Next::Delivered | Next::Exhausted | Next::EndpointGone => None,
    };
    let word = outcome.as_str();
    if outcome == Outcome::Delivered {
        tracing::debug!(
            %endpoint_id, %delivery_id, %event_id, %event_type, attempt, outcome = word, status_code, address,
            duration_ms, "delivery.attempted"
        );
    } else {
        tracing::info!(
            %endpoint_id, %delivery_id, %event_id, %event_type, attempt, outcome = word, status_code, address, error,
            duration_ms, next_attempt_at, "delivery.attempted"
        );
    }
}
