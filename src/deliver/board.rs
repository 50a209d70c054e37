//! How endpoints have been doing, for those who ask.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::delivery::{Attempt, Outcome};
use crate::model::endpoint::{Health, HealthState};
use crate::model::id::EndpointNumber;

/// Health by endpoint, written by the dispatcher and read by the API.
#[derive(Debug, Default)]
pub(super) struct Board {
    health: Mutex<HashMap<EndpointNumber, Health>>,
}

impl Board {
    /// Notes an attempt.
    pub(super) fn note(&self, endpoint: EndpointNumber, attempt: &Attempt) {
        let mut all = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let health = all.entry(endpoint).or_default();
        if attempt.outcome == Outcome::Delivered {
            health.state = HealthState::Healthy;
            health.last_success_at = Some(attempt.at);
            health.consecutive_failures = 0;
        } else {
            health.state = HealthState::Failing;
            health.last_failure_at = Some(attempt.at);
            health.consecutive_failures = health.consecutive_failures.saturating_add(1);
        }
    }

    /// How an endpoint has been doing.
    pub(super) fn health(&self, endpoint: EndpointNumber) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).get(&endpoint).copied().unwrap_or_default()
    }

    /// Forgets an endpoint that is no more.
    pub(super) fn forget(&self, endpoint: EndpointNumber) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).remove(&endpoint);
    }
}
