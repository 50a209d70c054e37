//! How endpoints are doing, and what they have not got yet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::id::{EndpointId, Position};
use super::time::Timestamp;

/// How an endpoint has been doing, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// Its last attempt succeeded, or there was none.
    #[default]
    Healthy,
    /// Its last attempt failed.
    Failing,
    /// It failed so often that it is tried only now and then.
    CircuitOpen,
}

impl HealthState {
    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Failing => "failing",
            Self::CircuitOpen => "circuit_open",
        }
    }
}

/// How an endpoint has been doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Health {
    /// In one word.
    pub state: HealthState,
    /// The last attempt that delivered.
    pub last_success_at: Option<Timestamp>,
    /// The last attempt that did not.
    pub last_failure_at: Option<Timestamp>,
    /// Failed attempts since the last success.
    pub consecutive_failures: u32,
}

/// What is kept of how an endpoint has been doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthRecord {
    /// The last attempt that delivered, give or take a minute of successes.
    pub last_success_at: Option<Timestamp>,
    /// The last attempt that did not.
    pub last_failure_at: Option<Timestamp>,
    /// Failed attempts since the last success.
    pub consecutive_failures: u32,
    /// The first of them, or the first one since the endpoint was enabled again.
    pub failing_since: Option<Timestamp>,
    /// Whether it was told that it is failing.
    pub is_told: bool,
    /// Until when its receiver asked to be left alone.
    pub paused_until: Option<Timestamp>,
    /// The first event in the log whose delivery has run out of attempts since the last success.
    pub first_given_up: Option<Position>,
}

/// What an endpoint has not got yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many deliveries.
    pub pending: usize,
    /// Whether there are more than were counted.
    pub more: bool,
    /// When the event of the oldest one was observed.
    pub oldest_at: Option<Timestamp>,
}

/// How an endpoint stands at the moment, as far as memory tells: nothing is read or counted in the store for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which endpoint.
    pub id: EndpointId,
    /// The subscriber's own name.
    pub uid: Option<String>,
    /// How it has been doing; `None` while it is disabled.
    pub state: Option<HealthState>,
    /// Deliveries in memory that have not ended: a bounded window. What lies behind it is in `unread`.
    pub pending: usize,
    /// Of these, those that are being tried.
    pub in_flight: usize,
    /// Events of the log that were not looked at for it yet. How many of them are meant for it is not known.
    pub unread: u64,
    /// When the event of the oldest pending one was observed, or a bit before that.
    pub oldest_at: Option<Timestamp>,
}
