//! A look at everything that is measured, for one scrape.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use crate::api::commands::Scrape;
use crate::clock::Clock;
use crate::deliver::Deliverer;
use crate::model::health::Standing;
use crate::model::time::Timestamp;
use crate::source::numeral::Numeral;
use crate::store::Store;
use crate::store::space::{Level, Space, size_of};
use crate::telemetry::meters::{Commits, Requests};
use crate::telemetry::process::Usage;
use crate::telemetry::scene::{DeliveriesScene, Room, Scene, SourceScene, StoreScene};
use crate::telemetry::text::{CONTENT_TYPE, text};
use crate::watch::Watcher;

/// So long the deliveries have to tell how their endpoints stand: a scrape is given up after ten seconds by default,
/// and must come back above all when something hangs.
const SURVEY_WAIT_MAX: Duration = Duration::from_secs(3);

/// What there is to look at.
pub(super) struct Scraper {
    pub(super) started_at: Timestamp,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) sources: Vec<(Arc<Watcher>, Arc<Numeral>)>,
    pub(super) deliverer: Arc<Deliverer>,
    pub(super) in_flight_max: usize,
    pub(super) store: Arc<dyn Store>,
    /// Where the store is.
    pub(super) folder: PathBuf,
    pub(super) commits: Commits,
    pub(super) requests: Requests,
    /// Held by the one look that is under way: of ten thousand endpoints, each is a megabyte of text.
    pub(super) turn: Mutex<()>,
}

#[async_trait]
impl Scrape for Scraper {
    async fn text(&self) -> (&'static str, String) {
        let _turn = self.turn.lock().await;
        let scene = self.scene(self.endpoints().await);
        let folder = self.folder.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut scene = scene;
            scene.store.size = size_of(&folder).ok();
            scene.usage = Usage::now();
            text(scene)
        });
        match written.await {
            Ok(text) => (CONTENT_TYPE, text),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl Scraper {
    /// How all endpoints stand, unless nobody says in time.
    async fn endpoints(&self) -> Option<Vec<Standing>> {
        match tokio::time::timeout(SURVEY_WAIT_MAX, self.deliverer.survey()).await {
            Ok(Ok(standings)) => Some(standings),
            Ok(Err(error)) => {
                tracing::warn!(%error, "metrics.no_survey");
                None
            }
            Err(_) => {
                tracing::warn!(waited_s = SURVEY_WAIT_MAX.as_secs(), "metrics.no_survey");
                None
            }
        }
    }

    /// Everything else, without a look at the disk.
    fn scene(&self, endpoints: Option<Vec<Standing>>) -> Scene {
        let sources = self.sources.iter().map(|(watcher, source)| SourceScene {
            status: watcher.status(),
            completed: watcher.completed(),
            tokens: source.tokens(),
            passes: watcher.meter().clone(),
            calls: source.calls().clone(),
        });
        let Space { level, free, min_free } = *self.store.space().borrow();
        Scene {
            at: self.clock.now(),
            started_at: self.started_at,
            sources: sources.collect(),
            deliveries: DeliveriesScene {
                attempts: self.deliverer.meter().clone(),
                in_flight_max: self.in_flight_max,
                endpoints,
            },
            store: StoreScene {
                commits: self.commits.clone(),
                head: *self.store.head().borrow(),
                first: self.store.first(),
                size: None,
                free,
                min_free,
                room: room(level),
            },
            requests: self.requests.clone(),
            usage: Usage::default(),
        }
    }
}

fn room(level: Level) -> Room {
    match level {
        Level::Full => Room::Full,
        Level::Low => Room::Low,
        Level::Enough | Level::Ample => Room::Enough,
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::clock::SystemClock;
    use crate::config::Config;
    use crate::deliver::guard::Guard;
    use crate::deliver::transport::HttpTransport;
    use crate::store::sled::SledStore;

    /// What there is to look at where nothing runs, over a store with one commit.
    async fn scraper(folder: &std::path::Path) -> Scraper {
        let upstream = "http://127.0.0.1:1".parse().expect("a URL");
        let mut config = Config::sandbox(None, [], &upstream).expect("the sandbox needs nothing");
        config.store.path = folder.join("data");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let (settings, opening) = (config.store.clone(), Arc::clone(&clock));
        let opened = tokio::task::spawn_blocking(move || SledStore::open(&settings, &*opening)).await;
        let store = opened.expect("no panic").expect("it opens");
        let commits = store.meter().clone();
        let store: Arc<dyn Store> = store;
        store.check().await.expect("it can be written");
        let guard = Arc::new(Guard::new(&config.delivery));
        let transport = Arc::new(HttpTransport::new(&config.delivery, guard).expect("a transport"));
        let in_flight_max = config.delivery.max_in_flight;
        let deliverer = Deliverer::new(Arc::clone(&store), transport, Arc::clone(&clock), config.delivery);
        Scraper {
            started_at: clock.now(),
            clock,
            sources: Vec::new(),
            deliverer: Arc::new(deliverer),
            in_flight_max,
            store,
            folder: config.store.path,
            commits,
            requests: Requests::default(),
            turn: Mutex::default(),
        }
    }

    /// Everything but what the loop alone knows.
    async fn assert_sane(scraper: &Scraper) {
        let (_, text) = scraper.text().await;
        for line in [
            "certhook_deliveries_running 0",
            "certhook_store_commit_duration_seconds_count 1",
            "certhook_log_head 0",
            "certhook_log_first 1",
            "certhook_attempts_in_flight_max 512",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} is not in {text}");
        }
        assert!(text.contains("\ncerthook_store_size_bytes ") && text.ends_with("# EOF\n"), "{text}");
        assert!(!text.contains("certhook_endpoint_state{"), "{text}");
    }

    #[tokio::test]
    async fn once_the_deliveries_have_ended_and_the_store_is_closed_the_rest_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let scraper = scraper(folder.path()).await;
        let stop = CancellationToken::new();
        stop.cancel();
        scraper.deliverer.run(stop).await.expect("it ends in order");
        scraper.store.close().await;
        assert_sane(&scraper).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_scrape_comes_back_although_the_deliveries_hang() {
        let folder = tempfile::tempdir().expect("a folder");
        let scraper = scraper(folder.path()).await;
        let began = tokio::time::Instant::now();
        assert_sane(&scraper).await;
        assert!(began.elapsed() < 2 * SURVEY_WAIT_MAX);
    }
}
