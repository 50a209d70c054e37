//! What every handler can reach.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use secrecy::SecretString;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use super::auth::RootKey;
use super::changes::CHANGES_MAX;
use super::commands::{Catalogue, Deliveries, Sources, Upstream};
use super::followers::Followers;
use super::guesses::Guesses;
use super::metrics::Metrics;
use super::pace::Paces;
use super::upkeep::Upkeep;
use crate::clock::Clock;
use crate::store::Store;

/// What the API is composed of.
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What is asked of the sources.
    pub sources: Arc<dyn Sources>,
    /// What is asked of the upstream accounts while a caller waits.
    pub upstream: Arc<dyn Upstream>,
    /// What is asked of the deliveries.
    pub deliveries: Arc<dyn Deliveries>,
    /// What is asked of the catalogue of event types.
    pub catalogue: Arc<dyn Catalogue>,
    /// When endpoints are created and changed, and which day it is.
    pub clock: Arc<dyn Clock>,
    /// The root key.
    pub api_key: SecretString,
    /// What is measured, and who may see it.
    pub metrics: Metrics,
    /// The proxies that are believed when they say from whom they have a request.
    pub trusted_proxies: Vec<IpNet>,
    /// What calls leave to be done.
    pub upkeep: Arc<Upkeep>,
    /// Ends the calls that would go on by themselves: streams, and long polls.
    pub stop: CancellationToken,
    /// Where the vendor's plain dates are, and with them the day that it is.
    pub timezone: TimeZone,
}

/// [`Parts`], ready for use.
pub(super) struct Api {
    pub(super) store: Arc<dyn Store>,
    pub(super) sources: Arc<dyn Sources>,
    pub(super) upstream: Arc<dyn Upstream>,
    pub(super) deliveries: Arc<dyn Deliveries>,
    pub(super) catalogue: Arc<dyn Catalogue>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timezone: TimeZone,
    pub(super) metrics: Metrics,
    pub(super) root_key: RootKey,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) guesses: Guesses,
    pub(super) paces: Paces,
    pub(super) upkeep: Arc<Upkeep>,
    /// The places for calls that change something.
    pub(super) change_places: Arc<Semaphore>,
    pub(super) followers: Followers,
    /// Held from reading an endpoint to writing it back, so that of two changes at a time neither is lost.
    pub(super) changing_endpoints: Mutex<()>,
}

impl From<Parts> for Api {
    fn from(parts: Parts) -> Self {
        let Parts { store, sources, upstream, deliveries, catalogue, clock, .. } = parts;
        let Parts { api_key, trusted_proxies, upkeep, timezone, metrics, stop, .. } = parts;
        Self {
            store,
            sources,
            upstream,
            deliveries,
            catalogue,
            clock,
            timezone,
            metrics,
            root_key: RootKey::new(&api_key),
            trusted_proxies,
            guesses: Guesses::default(),
            paces: Paces::default(),
            upkeep,
            change_places: Arc::new(Semaphore::new(CHANGES_MAX)),
            followers: Followers::new(stop),
            changing_endpoints: Mutex::new(()),
        }
    }
}
