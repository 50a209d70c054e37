//! The traps of the vendor's pages, each as a story from the wire to the store: a real account over HTTP, its
//! watcher, and what it tells. What one room decides by itself is tested there.

mod certificates;
mod listings;
mod requests;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use certhook::clock::{Clock, ManualClock};
use certhook::detect::agenda::Policy;
use certhook::model::event::{EventDraft, Sight};
use certhook::model::json::Fields;
use certhook::model::resource::{Kind, Snapshot};
use certhook::model::source::{PassKind, PassReport, PassStatus};
use certhook::source::http::Limits;
use certhook::source::numeral::Numeral;
use certhook::watch::{Baseline, Description, RemovalGuard, Schedule, Settings, Watcher};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::source::settings as source_settings;
use crate::support::sight_memory::SightMemory;
use crate::support::vendor_pages;
use upstream::{Book, Upstream};

const PAGE_SIZE: u8 = 2;

/// An upstream, the watcher of the account there, and what it has told.
struct World {
    upstream: Upstream,
    store: Arc<SightMemory>,
    clock: Arc<ManualClock>,
    watcher: Arc<Watcher>,
}

impl World {
    /// A watcher whose baseline is complete; a minute later nothing of it is left to look at.
    async fn settled(fill: impl FnOnce(&mut Book)) -> Self {
        let clock = Arc::new(ManualClock::at("2026-06-20T12:00:00Z".parse().expect("an instant")));
        let mut book = Book::default();
        fill(&mut book);
        let upstream = Upstream::start(book, &clock).await;
        let mut account = source_settings(&upstream.url());
        account.page_size = PAGE_SIZE;
        let reader: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let numeral = Numeral::with_limits(account, Arc::clone(&reader), Limits::default()).expect("good settings");
        let store = Arc::new(SightMemory::default());
        let seen: Arc<SightMemory> = Arc::clone(&store);
        let description = Description { kind: "numeral".into(), base_url: upstream.url(), livemode: true };
        let watcher =
            Watcher::open(Arc::new(numeral), seen, reader, settings(), description).await.expect("it can be read");
        let world = Self { upstream, store, clock, watcher };
        assert_eq!(world.told_by(PassKind::Sweep).await, ["numeral gateway.baseline_completed"]);
        world.tick(60);
        world.upstream.take_calls();
        world
    }

    fn tick(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn edit(&self, change: impl FnOnce(&mut Book)) {
        self.upstream.edit(change);
    }

    /// Changes a resource, and its `updated_at` with it.
    fn update(&self, id: &str, change: impl FnOnce(&mut Value)) {
        let now = self.clock.now().to_string();
        self.edit(|book| {
            book.change(id, |object| {
                change(object);
                object["updated_at"] = json!(now);
            });
        });
    }

    /// Adds a resource that came to be just now.
    fn add(&self, mut object: Value) {
        let now = json!(self.clock.now().to_string());
        (object["created_at"], object["updated_at"]) = (now.clone(), now);
        self.edit(|book| book.put(object));
    }

    async fn pass(&self, kind: PassKind) -> PassReport {
        self.watcher.pass(kind, &CancellationToken::new()).await
    }

    /// What a pass told, which must be complete; half a minute after whatever happened.
    async fn told_by(&self, kind: PassKind) -> Vec<String> {
        self.tick(30);
        let report = self.pass(kind).await;
        assert_eq!((report.status, report.error), (PassStatus::Complete, None));
        self.store.take_told()
    }

    /// What the next `changes` pass told.
    async fn told(&self) -> Vec<String> {
        self.told_by(PassKind::Changes).await
    }

    /// The sights that told something in the next `changes` pass.
    async fn sights(&self) -> Vec<(Sight, Vec<EventDraft>)> {
        self.tick(30);
        assert_eq!(self.pass(PassKind::Changes).await.status, PassStatus::Complete);
        self.store.take_sights()
    }

    fn snapshot(&self, kind: Kind, id: &str) -> Snapshot {
        self.store.snapshot(kind, id).expect("it is known")
    }

    fn fields(&self, kind: Kind, id: &str) -> Fields {
        self.snapshot(kind, id).object.fields()
    }
}

fn settings() -> Settings {
    Settings {
        changes: Schedule::Every(Duration::from_secs(30)),
        overlap: Duration::from_secs(300),
        open: Schedule::Every(Duration::from_secs(300)),
        sweep: Schedule::Every(Duration::from_secs(86_400)),
        baseline: Baseline::Silent,
        removal_guard: RemovalGuard { count: 10, share: 0.10 },
        dates: Policy::default(),
        ignore_fields: Vec::new(),
    }
}

/// The vendor's own certificate under another id.
fn certificate(id: &str) -> Value {
    let mut object: Value = serde_json::from_str(vendor_pages::CERTIFICATE).expect("JSON");
    object["id"] = json!(id);
    object
}

/// The same with that status, its own and that of its jurisdiction.
fn certificate_that_is(id: &str, status: &str) -> Value {
    let mut object = certificate(id);
    turn(&mut object, status);
    object
}

/// Gives a certificate that status, its own and that of its jurisdiction.
fn turn(object: &mut Value, status: &str) {
    (object["status"], object["jurisdictions"][0]["status"]) = (json!(status), json!(status));
}

/// The vendor's own pending request under another id.
fn request(id: &str) -> Value {
    let list: Value = serde_json::from_str(vendor_pages::PENDING_REQUEST_LIST).expect("JSON");
    let mut object = list["certificate_requests"][0].clone();
    object["id"] = json!(id);
    object
}

/// The same with that status.
fn request_that_is(id: &str, status: &str) -> Value {
    let mut object = request(id);
    object["status"] = json!(status);
    object
}
