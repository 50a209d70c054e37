//! Composition: builds the parts, starts the loops, stops them in order.
//!
//! In reading order: [`Gateway`] here, `http` (a router on a socket), `adapters` (what the API asks of other
//! parts), `scrape` (a look at everything that is measured), [`sandbox`] (the simulated upstream, alone or under a
//! gateway), `rekey` and `backup` (work on a store at rest), [`check`] (what would go wrong), [`webhook`] (deliveries
//! without a gateway).

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::adapters::{Accounts, EventTypes, Subscribers, WatchedSources};
use self::scrape::Scraper;
use crate::api;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, SourceSettings};
use crate::deliver::guard::Guard;
use crate::deliver::replay::resync::ResyncSource;
use crate::deliver::transport::HttpTransport;
use crate::deliver::{self, Deliverer, forget_former_secrets};
use crate::source::numeral::Numeral;
use crate::store::Store;
use crate::store::sled::SledStore;
use crate::telemetry::meters::{Commits, Requests};
use crate::watch::{Description, Watcher};

/// Where memory comes from, in the program, its tests and its benches. With that of the C library, a fifth of a
/// delivery's processor time goes into taking memory and giving it back, much of it on another thread.
#[cfg(not(feature = "allocations"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The same where it is counted how much is taken.
#[cfg(feature = "allocations")]
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

mod adapters;
mod backup;
pub mod check;
mod http;
mod rekey;
pub mod sandbox;
mod scrape;
pub mod webhook;

pub use backup::{examine_backup, restore};
pub use rekey::rekey;

/// A gateway that runs.
pub struct Gateway {
    address: SocketAddr,
    store: Arc<dyn Store>,
    /// Ends what brings work in: the API and the passes.
    intake: CancellationToken,
    intakes: JoinSet<anyhow::Result<()>>,
    /// Ends the deliveries, once no more work comes in.
    outlet: CancellationToken,
    outlets: JoinSet<anyhow::Result<()>>,
}

impl Gateway {
    /// Opens the store, binds the API, and starts polling and delivering.
    ///
    /// # Errors
    /// If a part cannot start: the store is in use, the address is taken, a root certificate cannot be read.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let listen = config.api.listen;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}; is server.listen free?"))?;
        let address = listener.local_addr().context("cannot tell the address that the API listens on")?;
        let (store, commits) = open_store(&config, &clock).await?;

        let guard = Arc::new(Guard::new(&config.delivery));
        let deliverer = open_deliverer(&config, &guard, &store, &clock)?;
        let sources = open_sources(config.sources, &store, &clock).await?;
        let watchers: Vec<_> = sources.iter().map(|(watcher, _)| Arc::clone(watcher)).collect();
        let accounts = sources.iter().map(|(watcher, source)| (Arc::clone(watcher), Arc::clone(source) as _)).collect();
        if config.paused {
            hold(&watchers, &deliverer);
        }
        let (intake, outlet) = (CancellationToken::new(), CancellationToken::new());
        let requests = Requests::default();
        let scraper = Scraper {
            started_at: clock.now(),
            clock: Arc::clone(&clock),
            sources,
            deliverer: Arc::clone(&deliverer),
            in_flight_max: config.delivery.max_in_flight,
            store: Arc::clone(&store),
            folder: config.store.path,
            commits,
            requests: requests.clone(),
            turn: Mutex::default(),
        };
        let metrics = api::Metrics { scrape: Arc::new(scraper), requests, is_public: config.api.metrics_public };
        let upkeep = Arc::new(api::Upkeep::default());
        let (deliveries, kept, now) = (Arc::clone(&deliverer), Arc::clone(&store), Arc::clone(&clock));
        let subscribers = Subscribers { deliverer: deliveries, guard, store: kept, clock: now };
        let router = api::router(api::Parts {
            upkeep: Arc::clone(&upkeep),
            store: Arc::clone(&store),
            sources: Arc::new(WatchedSources(watchers.clone())),
            upstream: Arc::new(Accounts(accounts)),
            deliveries: Arc::new(subscribers),
            catalogue: Arc::new(EventTypes),
            clock: Arc::clone(&clock),
            api_key: config.api.api_key,
            metrics,
            trusted_proxies: config.api.trusted_proxies,
            stop: intake.clone(),
            timezone: config.api.timezone,
        });

        let (mut intakes, mut outlets) = (JoinSet::new(), JoinSet::new());
        intakes.spawn(answered(http::serve(listener, router, intake.clone()), Arc::clone(&upkeep)));
        for watcher in watchers {
            let stop = intake.clone();
            intakes.spawn(served(watcher.run(stop)));
        }
        let forgetting = forget_former_secrets(Arc::clone(&store), Arc::clone(&clock), intake.clone());
        intakes.spawn(async move { forgetting.await.context("forgetting former secrets ended") });
        let keeping = upkeep.run(Arc::clone(&store), clock, intake.clone());
        intakes.spawn(async move { keeping.await.context("the upkeep of the API ended") });
        if !config.paused {
            // What was due while no process ran has a chance before it is too old.
            let removing = deliverer.retention(config.retention).run(intake.clone());
            intakes.spawn(async move { removing.await.context("removing what is old ended") });
        }
        let stop = outlet.clone();
        outlets.spawn(async move { deliverer.run(stop).await.context("deliveries ended") });
        Ok(Self { address, store, intake, intakes, outlet, outlets })
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hands a line about every event from now on to `show`, for a person who watches.
    pub fn follow(&mut self, show: impl Fn(&str) + Send + 'static) {
        let follow = sandbox::follow(Arc::clone(&self.store) as _, self.intake.clone(), show);
        self.intakes.spawn(async move { Ok(follow.await?) });
    }

    /// Runs until `stop`, then ends the parts in order: first what brings work in, then the deliveries with what is
    /// in flight, then the store.
    ///
    /// # Errors
    /// If a part ends by itself. The others are ended in order all the same.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut result = tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = ended(&mut self.intakes) => ended,
            ended = ended(&mut self.outlets) => ended,
        };
        self.intake.cancel();
        while !self.intakes.is_empty() {
            result = result.and(ended(&mut self.intakes).await);
        }
        self.outlet.cancel();
        while !self.outlets.is_empty() {
            result = result.and(ended(&mut self.outlets).await);
        }
        self.store.close().await;
        result
    }
}

/// Serves until the stop, and until what was begun for those who hung up is done.
async fn answered(server: impl Future<Output = ()>, upkeep: Arc<api::Upkeep>) -> anyhow::Result<()> {
    server.await;
    upkeep.finish().await;
    Ok(())
}

/// A part that cannot fail.
async fn served(server: impl Future<Output = ()>) -> anyhow::Result<()> {
    server.await;
    Ok(())
}

/// How the next part of a set ended.
async fn ended(parts: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    match parts.join_next().await {
        Some(joined) => joined.context("a part of the gateway panicked")?,
        None => std::future::pending().await,
    }
}

/// Lets nothing be looked at or sent by itself.
fn hold(watchers: &[Arc<Watcher>], deliverer: &Deliverer) {
    watchers.iter().for_each(|watcher| watcher.hold());
    deliverer.hold();
    tracing::warn!("gateway.paused: nothing is polled, delivered or removed by its age until a start without --paused");
}

fn open_deliverer(
    config: &Config,
    guard: &Arc<Guard>,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<Deliverer>> {
    let transport = Arc::new(HttpTransport::new(&config.delivery, Arc::clone(guard))?);
    let sources = config
        .sources
        .iter()
        .map(|one| ResyncSource { name: one.source.name.clone(), api_version: one.source.api_version.clone() });
    let livemode = config.sources.iter().any(|one| one.source.is_live());
    let settings = deliver::Settings { sources: sources.collect(), livemode, ..config.delivery.clone() };
    Ok(Arc::new(Deliverer::new(Arc::clone(store), transport, Arc::clone(clock), settings)))
}

/// The upstream accounts, each with what watches it.
async fn open_sources(
    configured: Vec<SourceSettings>,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Vec<(Arc<Watcher>, Arc<Numeral>)>> {
    let mut sources = Vec::new();
    for SourceSettings { source, watch } in configured {
        let (base_url, livemode) = (source.base_url.to_string(), source.is_live());
        let description = Description { kind: "numeral".into(), base_url, livemode };
        let source = Arc::new(Numeral::new(source, Arc::clone(clock))?);
        let (watched, sights) = (Arc::clone(&source), Arc::clone(store));
        let watcher = Watcher::open(watched, sights, Arc::clone(clock), watch, description).await?;
        sources.push((watcher, source));
    }
    Ok(sources)
}

async fn open_store(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<(Arc<dyn Store>, Commits)> {
    let (settings, clock) = (config.store.clone(), Arc::clone(clock));
    // The simulated upstream begins anew at every start; a store that remembers would see that as changes.
    let open = if config.sandbox { SledStore::open_empty } else { SledStore::open };
    let opened = tokio::task::spawn_blocking(move || open(&settings, &*clock)).await;
    let store = opened.context("opening the store panicked")??;
    let commits = store.meter().clone();
    Ok((store, commits))
}
