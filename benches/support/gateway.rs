//! A gateway without its passes and its API: the real store with its real syncs, and the real deliveries over it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certhook::clock::{Clock, SystemClock};
use certhook::deliver::guard::Guard;
use certhook::deliver::health::Circuit;
use certhook::deliver::transport::HttpTransport;
use certhook::deliver::{Deliverer, Settings};
use certhook::model::endpoint::Endpoint;
use certhook::model::event::Event;
use certhook::model::id::{EndpointId, EndpointNumber, Position};
use certhook::store::Store;
use certhook::store::sled::SledStore;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::sample::sight;

/// Endpoints that are registered at the same time, so that their commits share syncs.
const REGISTERED_AT_ONCE: usize = 256;

/// How often it is looked whether everything is delivered.
const LOOK: Duration = Duration::from_millis(5);

/// Sights in one commit.
const SIGHTS_AT_ONCE: usize = 500;

/// A store, and deliveries while something runs.
#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl Gateway {
    /// Opens the store in a folder, or makes it.
    pub(crate) async fn open(folder: &Path) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let settings = certhook::store::Settings { path: folder.join("data"), encryption_key: None, min_free: 0 };
        let opened = Arc::clone(&clock);
        let store = tokio::task::spawn_blocking(move || SledStore::open(&settings, &*opened)).await??;
        Ok(Self { store, clock })
    }

    /// The last position of the log.
    pub(crate) fn head(&self) -> Position {
        *self.store.head().borrow()
    }

    /// Commits one event for each of so many certificates of so many customers.
    pub(crate) async fn fill(&self, numbers: std::ops::Range<usize>, customers: usize) -> anyhow::Result<()> {
        let mut numbers = numbers.peekable();
        while numbers.peek().is_some() {
            let sights = numbers.by_ref().take(SIGHTS_AT_ONCE).map(|number| sight(number, customers, self.clock.now()));
            self.store.commit_sights(sights.collect(), None).await?;
        }
        Ok(())
    }

    /// Commits one event.
    pub(crate) async fn tell(&self, number: usize, customers: usize) -> anyhow::Result<()> {
        Ok(self.store.commit_sights(vec![sight(number, customers, self.clock.now())], None).await?)
    }

    /// The first events of the log, as examples.
    pub(crate) async fn examples(&self) -> anyhow::Result<Vec<Arc<Event>>> {
        Ok(self.store.events_after(Position::START, 100).await?)
    }

    /// Registers endpoints; gives their ids in the same order.
    pub(crate) async fn register(&self, endpoints: Vec<Endpoint>) -> anyhow::Result<Vec<EndpointId>> {
        let registered =
            stream::iter(endpoints).map(|endpoint| self.store.create(endpoint)).buffered(REGISTERED_AT_ONCE);
        Ok(registered.map_ok(|endpoint| endpoint.id).try_collect().await?)
    }

    /// Delivers until `work` has ended, and what is then in flight.
    pub(crate) async fn while_delivering<T>(
        &self,
        settings: Settings,
        work: impl AsyncFnOnce(&Deliverer) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let transport = HttpTransport::new(&settings, Arc::new(Guard::new(&settings)))?;
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let deliverer = Arc::new(Deliverer::new(store, Arc::new(transport), clock, settings));
        let stop = CancellationToken::new();
        // A task of its own, as in the gateway.
        let (running, ending) = (Arc::clone(&deliverer), stop.clone());
        let mut delivering = JoinSet::new();
        delivering.spawn(async move { running.run(ending).await });
        let worked = work(&deliverer).await;
        stop.cancel();
        while let Some(ended) = delivering.join_next().await {
            ended??;
        }
        worked
    }

    /// Waits until the deliveries have taken up what waits, and every endpoint keeps up with the log.
    pub(crate) async fn caught_up(&self, deliverer: &Deliverer) -> anyhow::Result<()> {
        ready(deliverer).await?;
        while !self.store.positions().await?.own.is_empty() {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Waits until every endpoint has everything up to `position`, and that is recorded.
    pub(crate) async fn delivered(&self, position: Position) -> anyhow::Result<()> {
        loop {
            let positions = self.store.positions().await?;
            let own = positions.own.iter().map(|(_, own)| *own).min().unwrap_or(Position(u64::MAX));
            if own.min(positions.live_mark) >= position {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Waits until the deliveries have taken up what waits, and start attempts.
pub(crate) async fn ready(deliverer: &Deliverer) -> anyhow::Result<()> {
    // Nobody has that number, but the answer comes from the loop that delivers.
    deliverer.recover(EndpointNumber(u32::MAX)).await?;
    Ok(())
}

/// The settings of a gateway that nobody has configured, but for what a bench needs.
pub(crate) fn settings() -> Settings {
    Settings {
        timeout: Duration::from_secs(15),
        retry: [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400].map(Duration::from_secs).to_vec(),
        max_in_flight: 512,
        per_endpoint_in_flight: 16,
        order_wait: Duration::from_secs(3600),
        sources: Vec::new(),
        disable_after: Duration::from_secs(5 * 24 * 3600),
        livemode: true,
        circuit: Circuit::probing_every(Duration::from_secs(300)),
        allow_networks: vec!["127.0.0.0/8".parse().expect("a network")],
        allow_http: true,
        ca_file: None,
        proxy: None,
    }
}
