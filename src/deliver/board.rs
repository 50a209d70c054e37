//! How endpoints have been doing, for those who ask.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::health::Health;
use crate::model::id::EndpointNumber;
use crate::telemetry::meters::Attempts;

/// Health by endpoint, and what attempts have measured, written by the dispatcher and read by the API.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) attempts: Attempts,
    health: Mutex<HashMap<EndpointNumber, Health>>,
}

impl Board {
    /// Shows how an endpoint is doing by now.
    pub(super) fn show(&self, endpoint: EndpointNumber, health: Health) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).insert(endpoint, health);
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
