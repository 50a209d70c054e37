//! Events to subscribers: signed, in order, at least once, one record per delivery.
//!
//! The log is the queue. An endpoint has a position in it; only exceptions are rows (a delivery that was tried).
//!
//! Invariants: nothing is sent before it is durable; a refused address is never connected to; the deadline covers
//! a whole attempt, name look-up to last byte; no response is read beyond its limit; the same event has the same
//! id and body on every attempt.
//!
//! This room knows nothing of sources, detection, passes or our API.
//!
//! In reading order: [`sign`], [`guard`] (which addresses may be called), [`transport`] (one HTTP request),
//! [`policy`] (what follows from an outcome).

use std::time::Duration;

use ipnet::IpNet;

pub mod guard;
pub mod policy;
pub mod sign;
pub mod transport;

/// What configuration says about delivering.
#[derive(Clone, Debug)]
pub struct Settings {
    /// One deadline over an attempt: look-up, connection, TLS, headers and body.
    pub timeout: Duration,
    /// The waits between attempts; the first attempt is immediate.
    pub retry: Vec<Duration>,
    /// Attempts at a time over all endpoints.
    pub max_in_flight: usize,
    /// Attempts at a time for one endpoint.
    pub per_endpoint_in_flight: usize,
    /// How long an event that is being retried may hold back later events of its resource.
    pub order_wait: Duration,
    /// Networks that may be called although they are private, loopback or link-local.
    pub allow_networks: Vec<IpNet>,
    /// Whether plain http is allowed everywhere, and not only to `allow_networks`.
    pub allow_http: bool,
    /// PEM file with further trusted roots.
    pub ca_file: Option<std::path::PathBuf>,
    /// The proxy for every delivery, if any. It must keep private addresses out: the guard cannot see behind it.
    pub proxy: Option<url::Url>,
}
