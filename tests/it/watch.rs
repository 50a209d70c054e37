//! The `watch` room, through its door: passes over a scripted source into a store in memory. No sockets, no sleeps.

use std::sync::Arc;
use std::time::Duration;

use certhook::clock::{Clock, ManualClock};
use certhook::detect::agenda::Policy;
use certhook::model::resource::Kind;
use certhook::model::source::{PassKind, PassReport, PassStatus};
use certhook::model::time::Timestamp;
use certhook::store::SightStore;
use certhook::watch::{Baseline, Description, RemovalGuard, Schedule, Settings, Watcher};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::scripted_source::{Fault, ScriptedSource};
use crate::support::sight_memory::SightMemory;

mod aside;
mod baseline;
mod calls;
mod changes;
mod crossing;
mod documents;
mod due;
mod gap;
mod gateway;
mod model;
mod open;
mod order;
mod oversized;
mod passes;
mod pause;
mod reminders;
mod removal;
mod restored;
mod running;
mod shapes;
mod sharing;
mod silent;
mod storage;
mod strays;
mod unread;
mod withheld;

const CERTIFICATE: Kind = Kind::Certificate;
const REQUEST: Kind = Kind::CertificateRequest;

/// A source, a store and a clock, and watchers that come and go between them.
struct World {
    source: Arc<ScriptedSource>,
    store: Arc<SightMemory>,
    clock: Arc<ManualClock>,
    settings: Settings,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at("2026-11-21T04:30:00Z".parse().expect("an instant")));
        let settings = Settings {
            changes: Schedule::Every(Duration::from_secs(30)),
            overlap: Duration::from_secs(300),
            sweep: Schedule::Every(Duration::from_secs(86_400)),
            baseline: Baseline::Silent,
            open: Schedule::Every(Duration::from_secs(300)),
            removal_guard: RemovalGuard { count: 10, share: 0.10 },
            dates: Policy::default(),
            ignore_fields: Vec::new(),
        };
        let source = Arc::new(ScriptedSource::new(Arc::clone(&clock)));
        Self { source, store: Arc::new(SightMemory::default()), clock, settings }
    }

    /// A watcher, as a process that starts makes it.
    async fn watcher(&self) -> Arc<Watcher> {
        self.watcher_over(Arc::clone(&self.store)).await
    }

    /// The same, with another store.
    async fn watcher_over(&self, store: Arc<impl SightStore + 'static>) -> Arc<Watcher> {
        let (source, clock) = (Arc::clone(&self.source), Arc::clone(&self.clock));
        let description =
            Description { kind: "numeral".into(), base_url: "http://127.0.0.1:8091/".into(), livemode: false };
        Watcher::open(source, store, clock, self.settings.clone(), description).await.expect("the store can be read")
    }

    /// A watcher whose baseline is complete, and nothing of it left to look at.
    async fn settled(&self) -> Arc<Watcher> {
        let watcher = self.watcher().await;
        assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
        self.tick(60);
        self.store.take_told();
        self.source.take_gets();
        self.source.take_selections();
        watcher
    }

    fn tick(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn wait_until(&self, instant: Timestamp) {
        self.clock.advance(instant.since(self.now()));
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn put(&self, kind: Kind, object: Value) {
        self.source.edit(|book| book.put(kind, object));
    }

    /// Changes a resource's status, and `updated_at` with it.
    fn set_status(&self, kind: Kind, id: &str, status: &str) {
        let now = self.now().to_string();
        self.source.edit(|book| {
            book.change(kind, id, |object| {
                object["status"] = json!(status);
                object["updated_at"] = json!(now);
            });
        });
    }

    fn remove(&self, kind: Kind, id: &str) {
        self.source.edit(|book| book.remove(kind, id));
    }

    fn told(&self) -> Vec<String> {
        self.store.take_told()
    }
}

/// Runs one pass.
async fn run(watcher: &Watcher, kind: PassKind) -> PassReport {
    watcher.pass(kind, &CancellationToken::new()).await
}

fn certificate(id: &str, status: &str) -> Value {
    json!({
        "id": id, "object": "tax.exemption_certificate", "status": status,
        "customer": {"id": "cust_1", "reference_customer_id": "20506"},
        "jurisdictions": [{"jurisdiction_id": "US-CA", "status": "active", "expiration_date": "2027-01-01"}],
        "expiration_date": "2027-01-01", "created_at": "2026-01-02T10:15:23Z",
        "updated_at": "2026-01-05T11:00:00Z", "livemode": true,
        "download_url": "https://signed.example.com/canary",
    })
}

fn request(id: &str, status: &str) -> Value {
    json!({
        "id": id, "object": "tax.certificate_request", "status": status,
        "customer": {"id": "cust_1", "reference_customer_id": "20506"}, "certificate_id": null,
        "jurisdictions": ["US-CA"], "created_at": "2026-01-02T10:15:23Z", "updated_at": "2026-01-05T11:00:00Z",
        "expires_at": "2027-01-10T18:24:09Z", "livemode": true,
    })
}
