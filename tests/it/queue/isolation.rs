//! Endpoints beside each other, in time that stands still unless everybody waits: what one does to another shows to
//! the millisecond.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use certhook::clock::Clock;
use certhook::deliver::transport::{Request, Response, Transport};
use certhook::deliver::{Deliverer, Settings};
use certhook::model::delivery::{DeliveryRecord, DeliveryStatus, Outcome};
use certhook::model::endpoint::Endpoint;
use certhook::model::event::Event;
use certhook::model::id::{DeliveryId, Position};
use certhook::model::time::Timestamp;
use certhook::store::{DeliveryCommit, DeliveryQuery, DeliveryStore, EndpointStore, EventLog, SightStore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::rig::{endpoint, settings, sight};
use crate::support::memory::Memory;

/// A clock that goes with the runtime's.
struct Frozen(Instant);

impl Clock for Frozen {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_233_600_000).plus(self.0.elapsed())
    }
}

/// What hosts were sent: when it came, and how long after its event.
#[derive(Default)]
struct Seen {
    came: HashMap<String, Vec<(Timestamp, Duration)>>,
    hanging: usize,
    hanging_most: usize,
    all: usize,
    all_most: usize,
}

/// Hosts that answer in a moment, but for those that keep a request until the deadline.
struct Hosts {
    clock: Arc<dyn Clock>,
    deadline: Duration,
    seen: Mutex<Seen>,
}

impl std::fmt::Debug for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hosts")
    }
}

#[async_trait]
impl Transport for Hosts {
    async fn send(&self, request: Request) -> Response {
        let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        let told: Timestamp = body["timestamp"].as_str().expect("a timestamp").parse().expect("an instant");
        let host = request.url.host();
        let hangs = host.starts_with("hangs");
        {
            let mut seen = self.seen.lock().expect("no panic while it is held");
            let now = self.clock.now();
            seen.came.entry(host).or_default().push((now, now.since(told)));
            seen.hanging += usize::from(hangs);
            seen.all += 1;
            seen.hanging_most = seen.hanging_most.max(seen.hanging);
            seen.all_most = seen.all_most.max(seen.all);
        }
        let took = if hangs { self.deadline } else { Duration::from_millis(20) };
        tokio::time::sleep(took).await;
        let mut seen = self.seen.lock().expect("no panic while it is held");
        seen.hanging -= usize::from(hangs);
        seen.all -= 1;
        let outcome = if hangs { Outcome::TimedOut } else { Outcome::Delivered };
        Response { outcome, status_code: None, error: None, body: None, address: None, retry_after: None, took }
    }
}

/// Deliveries in frozen time.
struct Scene {
    store: Arc<Memory>,
    clock: Arc<dyn Clock>,
    hosts: Arc<Hosts>,
    settings: Settings,
}

impl Scene {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(Frozen(Instant::now()));
        let deadline = Duration::from_secs(15);
        let hosts = Arc::new(Hosts { clock: Arc::clone(&clock), deadline, seen: Mutex::default() });
        let retry = vec![Duration::from_secs(5), Duration::from_secs(300)];
        let settings =
            Settings { timeout: deadline, max_in_flight: 512, per_endpoint_in_flight: 16, retry, ..settings() };
        Self { store: Arc::new(Memory::new()), clock, hosts, settings }
    }

    async fn register(&self, name: &str, change: impl FnOnce(&mut Endpoint)) {
        let mut endpoint = endpoint(name);
        change(&mut endpoint);
        self.store.create(endpoint).await.expect("it is registered");
    }

    /// Delivers an event every so often.
    async fn play(&self, every: Duration, events: u32) {
        let store = Arc::clone(&self.store) as _;
        let deliverer =
            Deliverer::new(store, Arc::clone(&self.hosts) as _, Arc::clone(&self.clock), self.settings.clone());
        let stop = CancellationToken::new();
        let tell = async {
            for number in 0..events {
                let told = vec![sight(&format!("cert_{number}"), self.clock.now())];
                self.store.commit_sights(told, None).await.expect("it is committed");
                tokio::time::sleep(every).await;
                if number == events / 2 {
                    self.forget_peaks();
                }
            }
            stop.cancel();
        };
        let (delivered, ()) = tokio::join!(deliverer.run(stop.clone()), tell);
        delivered.expect("the store works");
    }

    fn forget_peaks(&self) {
        let mut seen = self.hosts.seen.lock().expect("no panic while it is held");
        seen.hanging_most = seen.hanging;
        seen.all_most = seen.all;
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_hang_do_not_move_the_others() {
    const EVENTS: u32 = 300;
    let scene = Scene::new();
    for number in 0..50 {
        scene.register(&format!("hangs-{number}"), |_| {}).await;
        scene.register(&format!("works-{number}"), |_| {}).await;
    }
    scene.play(Duration::from_millis(200), EVENTS).await;
    let seen = scene.hosts.seen.lock().expect("no panic while it is held");
    for number in 0..50 {
        let came = &seen.came[&format!("works-{number}.test")];
        assert_eq!(came.len(), EVENTS as usize, "each event once");
        let latest = came.iter().map(|(_, late)| *late).max().expect("one");
        assert!(latest <= Duration::from_millis(2), "works-{number} had to wait {latest:?}");
        assert!(seen.came.contains_key(&format!("hangs-{number}.test")), "and everybody is tried");
    }
    assert!(seen.all_most <= 512);
    assert!(seen.hanging_most <= 128, "{} hang in the second half: more than a quarter", seen.hanging_most);
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_begin_to_hang_all_at_once_hold_up_the_others_for_a_moment() {
    const HANGING: usize = 700;
    let scene = Scene::new();
    for number in 0..HANGING {
        scene.register(&format!("hangs-{number}"), |_| {}).await;
    }
    for number in 0..50 {
        scene.register(&format!("works-{number}"), |_| {}).await;
    }
    scene.play(Duration::from_secs(20), 3).await;
    let seen = scene.hosts.seen.lock().expect("no panic while it is held");
    for number in 0..50 {
        let latest = seen.came[&format!("works-{number}.test")].iter().map(|(_, late)| *late).max().expect("one");
        assert!(latest <= Duration::from_millis(1_100), "works-{number} had to wait {latest:?}");
    }
    let tried = (0..HANGING).filter(|number| seen.came.contains_key(&format!("hangs-{number}.test")));
    assert_eq!(tried.count(), HANGING, "everybody is tried");
    assert!(seen.all_most <= 512);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_called_no_faster_than_it_wants() {
    let scene = Scene::new();
    scene.register("works-slowly", |endpoint| endpoint.rate_limit = Some("5/s".parse().expect("a rate"))).await;
    scene.register("works", |_| {}).await;
    scene.play(Duration::from_millis(100), 100).await;
    let seen = scene.hosts.seen.lock().expect("no panic while it is held");
    assert_eq!(seen.came["works.test"].len(), 100);
    let came = &seen.came["works-slowly.test"];
    assert_eq!(came.len(), 50, "half of what came in ten seconds");
    let within =
        |at: Timestamp| came.iter().filter(move |(other, _)| *other >= at && other.since(at).as_millis() < 1000);
    assert!(came.iter().all(|(at, _)| within(*at).count() <= 5));
}

#[tokio::test(start_paused = true)]
async fn what_waits_and_does_not_fit_into_memory_is_taken_up_in_its_turn() {
    const WAITING: u64 = 17_000;
    let scene = Scene::new();
    let crm = scene.store.create(endpoint("works")).await.expect("it is registered");
    let told = (0..WAITING).map(|number| sight(&format!("cert_{number}"), scene.clock.now())).collect();
    scene.store.commit_sights(told, None).await.expect("they are committed");
    let waits = |event: &Arc<Event>| DeliveryRecord {
        id: DeliveryId { position: event.position(), endpoint: crm.id.number, epoch: event.id.epoch },
        event_id: event.id,
        event_type: event.event_type,
        endpoint_id: crm.id,
        resource: event.sight.resource().cloned(),
        status: DeliveryStatus::Pending,
        next_attempt_at: Some(scene.clock.now()),
        attempt_count: 1,
        charged: 1,
        replay: None,
        attempts: Vec::new(),
    };
    let events = scene.store.events_after(Position::START, usize::MAX).await.expect("the log");
    let records = events.iter().map(waits).collect();
    let positions = vec![(crm.id.number, Some(Position(WAITING)))];
    let commit = DeliveryCommit { records, positions, ..DeliveryCommit::default() };
    scene.store.commit_deliveries(commit).await.expect("they are committed");
    scene.play(Duration::from_secs(1), 60).await;
    let came = scene.hosts.seen.lock().expect("no panic while it is held").came["works.test"].len();
    assert_eq!(came as u64, WAITING + 60, "each once");
    let query = DeliveryQuery { status: Some(DeliveryStatus::Pending), limit: 1, ..DeliveryQuery::default() };
    assert!(scene.store.deliveries(query).await.expect("a list").found.is_empty());
}
