//! Everything that a history needs: an upstream, a store in a folder, and a watcher between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use certhook::clock::{Clock, ManualClock};
use certhook::detect::agenda::Policy;
use certhook::model::event::{Event, EventType};
use certhook::model::id::Position;
use certhook::model::resource::{Kind, ResourceId, Snapshot, SourceName};
use certhook::model::source::{PassKind, PassReport, PassStatus, SourceProgress};
use certhook::model::time::Timestamp;
use certhook::sandbox::dice::Dice;
use certhook::sandbox::options::Modes;
use certhook::source::Settings as SourceSettings;
use certhook::source::numeral::Numeral;
use certhook::store::sled::SledStore;
use certhook::store::{EventLog, Settings as StoreSettings, SightStore, Store};
use certhook::watch::{Baseline, Description, RemovalGuard, Schedule, Settings, Watcher};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::check::Look;
use super::memory::Documents;
use super::reminders::Reminders;
use super::upstream::Upstream;

/// The time at which histories begin.
const NOW: &str = "2026-11-21T04:31:20.017Z";

/// A field that upstream comes to show one day.
pub(super) const FURTHER_FIELD: &str = "risk_score";

/// How many orders to fail that cost a wait a history may have: each takes half a second.
const WAITS_MAX: u32 = 4;

/// What configuration says about a history.
#[derive(Clone, Debug)]
pub(super) struct Choices {
    pub(super) guard: RemovalGuard,
    pub(super) dates: Policy,
}

impl Default for Choices {
    fn default() -> Self {
        Self { guard: RemovalGuard { count: 10, share: 0.10 }, dates: Policy::default() }
    }
}

pub(super) struct Rig {
    /// What a failure is known by.
    pub(super) label: String,
    pub(super) choices: Choices,
    pub(super) dice: Dice,
    pub(super) clock: Arc<ManualClock>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) watcher: Arc<Watcher>,
    pub(super) store: Arc<SledStore>,
    pub(super) modes: Modes,
    /// How far upstream's clock is ahead of ours.
    pub(super) shift_ms: i64,
    /// When the baseline began, by whichever clock is ahead.
    pub(super) began_at: Timestamp,
    /// What the baseline kept.
    pub(super) before: BTreeMap<String, Snapshot>,
    /// Everything that was told.
    pub(super) log: Vec<Arc<Event>>,
    pub(super) documents: Documents,
    pub(super) reminders: Reminders,
    waits: u32,
    /// Upstream was told to end a list early and to say that it is whole.
    pub(super) is_lied_to: bool,
    /// When those complete sweeps began that may have missed something without any way to know.
    pub(super) unsure: BTreeSet<Timestamp>,
    /// Since the last complete sweep a pass may have missed something without any way to know.
    pub(super) deceived: bool,
    _folder: TempDir,
}

impl Rig {
    pub(super) async fn start(seed: u64, modes: Modes, shift_ms: i64) -> Self {
        Self::start_with(seed, modes, shift_ms, Choices::default()).await
    }

    pub(super) async fn start_with(seed: u64, modes: Modes, shift_ms: i64, choices: Choices) -> Self {
        let label = format!("seed {seed}, shift {shift_ms} ms, {choices:?}, {modes:?}");
        println!("{label}");
        let clock = Arc::new(ManualClock::at(NOW.parse().expect("an instant")));
        let upstream = Upstream::start(seed, modes.clone(), &clock, shift_ms).await;
        let folder = TempDir::new().expect("a folder");
        let (path, opening) = (folder.path().join("data"), Arc::clone(&clock));
        let settings = StoreSettings { path, encryption_key: None, min_free: 0 };
        let opened = tokio::task::spawn_blocking(move || SledStore::open(&settings, &*opening)).await;
        let store = opened.expect("no panic").expect("a store");
        let watcher = watch(&upstream, &store, &clock, &choices).await;
        let began_ms = clock.now().as_millis();
        let reminders = Reminders::new(&choices.dates);
        Self {
            label,
            choices,
            dice: Dice::seeded(seed ^ 0x0a11),
            clock,
            upstream,
            watcher,
            store,
            modes,
            shift_ms,
            began_at: Timestamp::from_millis(began_ms + shift_ms.max(0)),
            before: BTreeMap::new(),
            log: Vec::new(),
            documents: Documents::default(),
            reminders,
            waits: 0,
            is_lied_to: false,
            unsure: BTreeSet::new(),
            deceived: false,
            _folder: folder,
        }
    }

    /// The first sweep, which tells nothing, and a second, which has nothing to tell.
    pub(super) async fn baseline(&mut self) {
        for _ in 0..2 {
            let report = self.watcher_pass(PassKind::Sweep).await;
            let ended = (report.status, report.changed);
            assert_eq!(ended, (PassStatus::Complete, 0), "{}: {:?}", self.label, report.error);
        }
        assert_eq!(self.told_so_far().await, [EventType::GatewayBaselineCompleted], "{}", self.label);
        self.before = self.snapshots().await;
        self.reminders.begin(&self.before, self.clock.now());
        self.assert_in_step(Look::Sweep, "after the baseline").await;
        self.look_back().await;
    }

    /// A baseline that breaks off, is taken up by another watcher, and during which things happen. Until it is
    /// complete no first sight is told.
    pub(super) async fn disturbed_baseline(&mut self) {
        self.upstream.set_drift(0.3);
        for status in [400, 401, 503] {
            let order = json!({"fault": "status", "status": status, "next": 1, "share": 0.5});
            self.upstream.order("POST", "/sandbox/faults", &order).await;
            self.watcher_pass(PassKind::Sweep).await;
            self.restart().await;
        }
        self.clear_faults().await;
        self.upstream.set_drift(0.0);
        self.clock_on(Duration::from_secs(10)).await;
        if !self.watcher.status().baseline.complete {
            let created = [EventType::CertificateCreated, EventType::RequestCreated];
            let told = self.told_so_far().await;
            assert!(!told.iter().any(|name| created.contains(name)), "{}: {told:?}", self.label);
        }
        let report = self.watcher_pass(PassKind::Sweep).await;
        assert_eq!(report.status, PassStatus::Complete, "{}: {:?}", self.label, report.error);
        self.before = self.snapshots().await;
        self.reminders.meet(&self.before, self.clock.now());
        self.assert_in_step(Look::Sweep, "after the baseline").await;
        self.look_back().await;
    }

    pub(super) async fn told_so_far(&self) -> Vec<EventType> {
        let told = self.store.events_after(Position::START, 1_000).await.expect("the log");
        told.iter().map(|event| event.event_type).collect()
    }

    pub(super) async fn watcher_pass(&self, kind: PassKind) -> PassReport {
        let limit = Duration::from_secs(60);
        let (watcher, stop) = (&self.watcher, CancellationToken::new());
        let report = tokio::time::timeout(limit, watcher.pass(kind, &stop)).await;
        report.unwrap_or_else(|_| panic!("{}: a pass of {kind:?} takes more than {limit:?}", self.label))
    }

    /// Lets time pass, and whatever becomes due with it.
    pub(super) async fn clock_on(&self, by: Duration) {
        self.upstream.clock_on(by).await;
    }

    /// Makes one call of the next pass go wrong, at random.
    pub(super) async fn order_a_fault(&mut self) {
        let waits = [
            json!({"fault": "status", "status": 503}),
            json!({"fault": "status", "status": 408}),
            json!({"fault": "status", "status": 200}),
            json!({"fault": "html", "status": 200}),
            json!({"fault": "html"}),
            json!({"fault": "html", "status": 404}),
            json!({"fault": "close"}),
            json!({"fault": "truncate"}),
            json!({"fault": "throttle", "retry_after": "0"}),
        ];
        // What is refused by id lets a request go without its certificate, so only requests are refused.
        let others = [
            json!({"fault": "no_cursor"}),
            json!({"fault": "repeat_cursor"}),
            json!({"fault": "cut_short"}),
            json!({"fault": "empty_page"}),
            json!({"fault": "malformed_row"}),
            json!({"fault": "delay", "delay": "5ms"}),
            json!({"fault": "status", "status": 401}),
            json!({"fault": "status", "status": 403}),
            json!({"fault": "status", "status": 400, "path": "/tax/certificate-requests"}),
            json!({"fault": "status", "status": 404, "path": "/tax/certificate-requests"}),
            json!({"fault": "status", "status": 409, "path": "/tax/certificate-requests"}),
            json!({"fault": "status", "status": 302, "path": "/tax/certificate-requests"}),
        ];
        let waiting = self.waits < WAITS_MAX && self.dice.chance() < 0.4;
        self.waits += u32::from(waiting);
        let mut order = if waiting { self.dice.pick(&waits).clone() } else { self.dice.pick(&others).clone() };
        self.is_lied_to = order["fault"] == "cut_short";
        order["next"] = json!(1);
        order["share"] = json!(0.3);
        self.upstream.order("POST", "/sandbox/faults", &order).await;
    }

    pub(super) async fn clear_faults(&mut self) {
        self.is_lied_to = false;
        self.upstream.order("DELETE", "/sandbox/faults", &Value::Null).await;
    }

    pub(super) async fn progress(&self) -> SourceProgress {
        self.store.progress(&source()).await.expect("the store").expect("it has begun")
    }

    /// What is stored of everything that upstream ever had, by id.
    pub(super) async fn snapshots(&self) -> BTreeMap<String, Snapshot> {
        let mut found = BTreeMap::new();
        for kind in Kind::ALL {
            let truth = self.upstream.truth();
            let ids: Vec<ResourceId> = truth.keys().map(|id| id.parse().expect("an id")).collect();
            let snapshots = self.store.snapshots(&source(), kind, &ids).await.expect("the store");
            found.extend(snapshots.into_iter().flatten().map(|one| (one.key.id.as_str().to_owned(), one)));
        }
        found
    }

    /// The watcher goes, and another takes up where the store says.
    pub(super) async fn restart(&mut self) {
        self.watcher = watch(&self.upstream, &self.store, &self.clock, &self.choices).await;
    }

    /// Upstream writes instants in the other form from now on.
    pub(super) async fn respell(&mut self) {
        let form = *self.dice.pick(&["milliseconds", "seconds"]);
        self.upstream.order("POST", "/sandbox/options", &json!({"timestamps": form})).await;
        self.upstream.record().await;
    }

    /// Upstream shows a further field from now on. Nothing else happens in that very millisecond.
    pub(super) async fn show_a_further_field(&mut self) {
        self.clock_on(Duration::from_millis(1)).await;
        let fields = json!({FURTHER_FIELD: "low"});
        self.upstream.order("POST", "/sandbox/options", &json!({"further_fields": fields})).await;
        self.clock_on(Duration::from_millis(1)).await;
    }

    pub(super) async fn end(self) {
        self.store.close().await;
    }
}

pub(super) fn source() -> SourceName {
    "numeral".parse().expect("a name")
}

/// A watcher over the upstream, as a gateway that starts makes it.
pub(super) async fn watch(
    upstream: &Upstream,
    store: &Arc<SledStore>,
    clock: &Arc<ManualClock>,
    choices: &Choices,
) -> Arc<Watcher> {
    let settings = SourceSettings {
        name: source(),
        base_url: upstream.url.parse().expect("a URL"),
        api_key: "sk_prod_1".into(),
        api_version: "2026-03-01".into(),
        requests_per_second: 100_000.0,
        page_size: 7,
        ca_file: None,
        proxy: None,
    };
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    let numeral = Arc::new(Numeral::new(settings, Arc::clone(&clock)).expect("good settings"));
    let settings = Settings {
        changes: Schedule::Every(Duration::from_secs(30)),
        overlap: Duration::from_secs(300),
        sweep: Schedule::Every(Duration::from_secs(86_400)),
        baseline: Baseline::Silent,
        open: Schedule::Every(Duration::from_secs(300)),
        removal_guard: choices.guard,
        dates: choices.dates.clone(),
        ignore_fields: Vec::new(),
    };
    let description = Description { kind: "numeral".into(), base_url: upstream.url.clone(), livemode: false };
    let sights = Arc::<SledStore>::clone(store);
    Watcher::open(numeral, sights, clock, settings, description).await.expect("the store can be read")
}
