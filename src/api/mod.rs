//! Our own API: endpoints, events, deliveries, replays, sources.
//!
//! Invariants: every answer of `/v1` is JSON in one of two shapes (a value or an error); nothing is done without
//! a key; secrets leave only at registration and through the one call that exists for them; no call waits on a
//! source or a subscriber except those that exist for it.
//!
//! This room knows nothing of how sources are read, changes found or deliveries made: it reads the store, and asks
//! for work through the traits in [`commands`].
//!
//! In reading order: `routes` (the whole API in one table), [`commands`] (what is asked of other parts), `state`
//! (what handlers reach), `auth` with `address`, `guesses` and `pace`, `bounds`, `request_id` and `metrics` (around every
//! call), `changes`, `idempotency`, `audit` and `deed` (around every call that changes something), `request` and `input` (what a
//! caller gave),
//! `error` and `page` (the two shapes of answers beside single values), `followers` (calls that wait for events),
//! `upkeep` (what is done beside the calls), one file or folder for each resource, and `openapi` (what is said of all
//! that). [`examine`] tells callers beforehand what is wrong with a body.

pub mod commands;
pub mod examine;

mod address;
mod audit;
mod auth;
mod backup;
mod bounds;
mod changes;
mod deed;
mod deliveries;
mod endpoints;
mod error;
mod event_types;
mod events;
mod exemptions;
mod followers;
mod guesses;
mod health;
mod idempotency;
mod input;
mod keys;
mod metrics;
mod openapi;
mod pace;
mod page;
mod removals;
mod replays;
mod request;
mod request_id;
mod resources;
mod routes;
mod sources;
mod state;
mod upkeep;
mod upstream;

pub use metrics::Metrics;
pub use page::LIMIT_MAX as PAGE_LIMIT_MAX;
pub use routes::router;
pub use state::Parts;
pub use upkeep::Upkeep;

/// What configuration says about our API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: std::net::SocketAddr,
    /// Whether metrics are shown without a key.
    pub metrics_public: bool,
    /// The root key.
    pub api_key: secrecy::SecretString,
    /// The proxies that are believed when they say from whom they have a request.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Where the vendor's plain dates are, and with them the day that it is.
    pub timezone: jiff::tz::TimeZone,
}
