//! A store, the loop over it, and a network that follows a script.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use certhook::clock::{Clock, SystemClock};
use certhook::deliver::health::Circuit;
use certhook::deliver::replay::resync::ResyncSource;
use certhook::deliver::transport::{Request, Response, Transport};
use certhook::deliver::{Deliverer, Settings};
use certhook::model::delivery::{DeliveryStatus, Outcome};
use certhook::model::endpoint::{
    Endpoint, EndpointStatus, EndpointUrl, Format, Ordering, OwnHeaders, Payload, SigningSecret,
};
use certhook::model::event::{Cause, Detection, EventDraft, EventType, Mode, Sight, Subject};
use certhook::model::filter::Filter;
use certhook::model::id::{EndpointId, EndpointNumber, Position};
use certhook::model::json::{Fields, Json};
use certhook::model::pattern::Pattern;
use certhook::model::resource::{Kind, ResourceKey};
use certhook::model::time::Timestamp;
use certhook::store::sled::SledStore;
use certhook::store::{DeliveryQuery, SightCommit, Store, Updated};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dice::Dice;
use crate::support::memory::Memory;
use crate::support::process::until;

/// What the network answers to the `n`th request (from 0), of which it sees the URL and the resource.
pub(super) type Answers = Box<dyn Fn(u64, &str, &str) -> Outcome + Send + Sync>;

/// What came, in the order in which it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) url: String,
    pub(super) id: String,
    pub(super) resource: String,
    pub(super) attempt: String,
    /// The replay that it says it is part of.
    pub(super) replay: Option<String>,
}

pub(super) struct Script {
    answers: Answers,
    sent: Mutex<Vec<Sent>>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request) -> Response {
        let header = |name: &str| {
            let found = request.headers.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone()).expect("the header is there")
        };
        let replay = request.headers.iter().find(|(known, _)| *known == "certhook-replay");
        let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        let sent = Sent {
            url: request.url.expose().to_owned(),
            id: header("webhook-id"),
            resource: body["data"]["object"]["id"].as_str().expect("an id").to_owned(),
            attempt: header("certhook-attempt"),
            replay: replay.map(|(_, value)| value.clone()),
        };
        let number = {
            let mut all = self.sent.lock().expect("no panic while it is held");
            all.push(sent.clone());
            all.len() as u64 - 1
        };
        let outcome = (self.answers)(number, &sent.url, &sent.resource);
        let failed = outcome != Outcome::Delivered;
        Response {
            outcome,
            status_code: Some(if failed { 500 } else { 204 }),
            error: failed.then(|| "scripted".to_owned()),
            body: None,
            address: None,
            retry_after: (outcome == Outcome::Throttled).then(|| "3600".to_owned()),
            took: Duration::ZERO,
        }
    }
}

/// A store, and a deliverer that can be stopped and started again.
pub(super) struct Bench {
    pub(super) store: Arc<dyn Store>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) settings: Settings,
    script: Arc<Script>,
    clock: Arc<dyn Clock>,
    running: Option<(CancellationToken, JoinHandle<()>)>,
    deliverer: Option<Arc<Deliverer>>,
    _folder: Option<tempfile::TempDir>,
}

/// A clock that goes with tokio's, which a test may have stopped, and chance that can be had again.
pub(super) struct TestClock {
    began: Instant,
    dice: Mutex<Dice>,
}

impl TestClock {
    /// Shows the epoch now. Only for who is in the runtime whose clock it goes with.
    pub(super) fn new(dice: Dice) -> Self {
        Self { began: Instant::now(), dice: Mutex::new(dice) }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH.plus(self.began.elapsed())
    }

    fn chance(&self) -> f64 {
        let bound = 1 << 53;
        self.dice.lock().expect("no panic while it is held").below(bound) as f64 / bound as f64
    }
}

impl Bench {
    pub(super) async fn new(answers: impl Fn(u64, &str, &str) -> Outcome + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let store = open(&folder, &clock).await;
        Self { _folder: Some(folder), ..Self::on(store, clock, Box::new(answers)) }
    }

    /// Over a store in memory, in which nothing waits for anything but time.
    pub(super) fn in_memory(
        clock: Arc<dyn Clock>,
        answers: impl Fn(u64, &str, &str) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self::on(Arc::new(Memory::new()), clock, Box::new(answers))
    }

    fn on(store: Arc<dyn Store>, clock: Arc<dyn Clock>, answers: Answers) -> Self {
        let script = Arc::new(Script { answers, sent: Mutex::default() });
        let transport = Arc::clone(&script) as _;
        Self { store, transport, settings: settings(), script, clock, running: None, deliverer: None, _folder: None }
    }

    /// The same over another store.
    pub(super) fn with(self, store: Arc<dyn Store>) -> Self {
        Self { store, ..self }
    }

    /// A store whose deliveries go over another network than the scripted one.
    pub(super) async fn over(transport: Arc<dyn Transport>) -> Self {
        Self { transport, ..Self::new(|_, _, _| Outcome::Delivered).await }
    }

    pub(super) fn start(&mut self) {
        self.start_with(|_| {});
    }

    pub(super) fn start_with(&mut self, prepare: impl FnOnce(&Deliverer)) {
        let (store, transport) = (Arc::clone(&self.store), Arc::clone(&self.transport));
        let deliverer = Deliverer::new(store, transport, Arc::clone(&self.clock), self.settings.clone());
        prepare(&deliverer);
        let deliverer = Arc::new(deliverer);
        self.deliverer = Some(Arc::clone(&deliverer));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        #[expect(clippy::disallowed_methods, reason = "the handle is awaited when the deliverer is stopped")]
        let task = tokio::spawn(async move { deliverer.run(stopped).await.expect("the store works") });
        self.running = Some((stop, task));
    }

    pub(super) fn deliverer(&self) -> &Deliverer {
        self.deliverer.as_ref().expect("it was started")
    }

    pub(super) async fn stop(&mut self) {
        let (stop, task) = self.running.take().expect("it runs");
        stop.cancel();
        task.await.expect("it ends in order");
    }

    /// Waits until the deliveries have ended in order, and keeps them until then: whoever waits may be killed with them.
    pub(super) async fn stop_or_die(&mut self) {
        let (stop, task) = self.running.as_ref().expect("it runs");
        stop.cancel();
        while !task.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.stop().await;
    }

    /// Ends the deliveries without a word, as a killed process would; what is in the store is all that is left.
    pub(super) async fn crash(&mut self) {
        let (_, task) = self.running.take().expect("it runs");
        task.abort();
        drop(task.await);
        // A killed process leaves nothing in the writer's queue either; this comes after all that is in it.
        self.store.check().await.expect("the store works");
    }

    pub(super) async fn register(&self, name: &str, change: impl FnOnce(&mut Endpoint)) -> Endpoint {
        let mut endpoint = endpoint(name);
        endpoint.start = *self.store.head().borrow();
        change(&mut endpoint);
        self.store.create(endpoint).await.expect("it is registered")
    }

    pub(super) async fn endpoint(&self, id: EndpointId) -> Endpoint {
        self.store.endpoint(id).await.expect("a look").expect("it is there")
    }

    /// Changes an endpoint as it is by now.
    pub(super) async fn change(&self, id: EndpointId, change: impl Fn(&mut Endpoint)) {
        loop {
            let seen = self.endpoint(id).await;
            let mut changed = seen.clone();
            change(&mut changed);
            match self.store.update(&seen, changed).await.expect("a change") {
                Updated::Yes => return,
                Updated::Changed => {}
                Updated::Gone => panic!("it was deleted"),
            }
        }
    }

    /// Switches an endpoint on or off, as an operator would.
    pub(super) async fn switch(&self, id: EndpointId, status: EndpointStatus) {
        self.change(id, |endpoint| *endpoint = endpoint.clone().with_status(status, self.clock.now())).await;
    }

    /// Switches an endpoint on, and lets it skip what lies before `start`.
    pub(super) async fn enable(&self, id: EndpointId, start: Option<Position>) {
        self.change(id, |endpoint| {
            *endpoint = endpoint.clone().with_status(EndpointStatus::Enabled, self.clock.now());
            endpoint.start = start.unwrap_or(endpoint.start);
        })
        .await;
    }

    /// Commits one event for each resource, in order.
    pub(super) async fn commit(&self, resources: impl IntoIterator<Item = String>) {
        let commits = resources.into_iter().map(|id| sight(&id, self.clock.now())).collect();
        self.store.commit_sights(commits, None).await.expect("it is committed");
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.script.sent.lock().expect("no panic while it is held").clone()
    }

    /// Waits until so many deliveries have ended so.
    pub(super) async fn await_ended(&self, status: DeliveryStatus, count: usize) {
        until(&format!("{count} deliveries that are {status:?}"), || async {
            let query = DeliveryQuery { status: Some(status), limit: count + 1, ..DeliveryQuery::default() };
            let found = self.store.deliveries(query).await.expect("a list").found;
            (found.len() >= count).then_some(())
        })
        .await;
    }
}

pub(super) fn settings() -> Settings {
    Settings {
        timeout: Duration::from_secs(1),
        retry: vec![Duration::from_millis(5); 3],
        max_in_flight: 64,
        per_endpoint_in_flight: 16,
        order_wait: Duration::from_secs(3600),
        disable_after: Duration::from_secs(5 * 24 * 3600),
        sources: vec![ResyncSource { name: "numeral".parse().expect("a name"), api_version: "2026-03-01".into() }],
        livemode: true,
        circuit: Circuit {
            first: Duration::from_millis(20),
            most: Duration::from_millis(80),
            probe: Duration::from_secs(3600),
        },
        allow_networks: Vec::new(),
        allow_http: true,
        ca_file: None,
        proxy: None,
    }
}

pub(super) async fn open(folder: &tempfile::TempDir, clock: &Arc<dyn Clock>) -> Arc<dyn Store> {
    let settings = certhook::store::Settings { path: folder.path().join("data"), encryption_key: None, min_free: 0 };
    let clock = Arc::clone(clock);
    tokio::task::spawn_blocking(move || SledStore::open(&settings, &*clock)).await.expect("no panic").expect("it opens")
}

pub(super) fn endpoint(name: &str) -> Endpoint {
    Endpoint {
        id: EndpointId { number: EndpointNumber(0), random: 7 },
        uid: Some(name.to_owned()),
        url: EndpointUrl::new(&format!("http://{name}.test/").parse().expect("a URL")),
        description: String::new(),
        types: vec![Pattern::Everything],
        filter: Filter::default(),
        payload: Payload::Full,
        format: Format::Standard,
        headers: OwnHeaders::default(),
        ordering: Ordering::PerResource,
        retry: None,
        max_in_flight: None,
        rate_limit: None,
        metadata: BTreeMap::new(),
        secrets: vec![SigningSecret { key: vec![7; 32].into(), expires_at: None }],
        status: EndpointStatus::Enabled,
        disabled_reason: None,
        start: Position::START,
        created_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
        enabled_at: Timestamp::EPOCH,
    }
}

pub(super) fn sight(id: &str, now: Timestamp) -> SightCommit {
    let key = ResourceKey {
        source: "numeral".parse().expect("a name"),
        kind: Kind::Certificate,
        id: id.parse().expect("an id"),
    };
    let sight = Sight {
        subject: Subject::Resource(key),
        api_version: "2026-03-01".into(),
        livemode: true,
        object: Json::of(&serde_json::json!({"id": id, "customer": {"id": format!("cus_{id}")}})),
        previous_attributes: Json::of(&Fields::new()),
        detection: Detection {
            mode: Mode::Live,
            pass: Some(Cause::Changes),
            request_id: None,
            object_version: 1,
            observed_after: None,
            observed_before: now,
        },
    };
    SightCommit {
        told: vec![(sight, vec![EventDraft::plain(EventType::CertificateUpdated)])],
        ..SightCommit::default()
    }
}

pub(super) fn names(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|index| format!("cert_{index}"))
}

pub(super) fn resources(sent: &[Sent]) -> Vec<&str> {
    sent.iter().map(|one| one.resource.as_str()).collect()
}
