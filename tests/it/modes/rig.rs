//! Everything that a history needs: an upstream, a store in a folder, and a watcher between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use certhook::clock::{Clock, ManualClock};
use certhook::detect::agenda::Policy;
use certhook::model::event::EventType;
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

use super::upstream::Upstream;

/// The time at which histories begin.
const NOW: &str = "2026-11-21T04:31:20.017Z";

/// How many orders to fail that cost a wait a history may have: each takes half a second.
const WAITS_MAX: u32 = 4;

pub(super) struct Rig {
    /// What a failure is known by.
    pub(super) label: String,
    pub(super) dice: Dice,
    pub(super) clock: Arc<ManualClock>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) watcher: Arc<Watcher>,
    pub(super) store: Arc<SledStore>,
    pub(super) modes: Modes,
    /// How far upstream's clock is ahead of ours.
    shift_ms: i64,
    /// What the baseline kept.
    pub(super) before: BTreeMap<String, Snapshot>,
    waits: u32,
    /// Since the last complete sweep a pass may have missed something without any way to know.
    deceived: bool,
    _folder: TempDir,
}

impl Rig {
    pub(super) async fn start(seed: u64, modes: Modes, shift_ms: i64) -> Self {
        let label = format!("seed {seed}, shift {shift_ms} ms, {modes:?}");
        println!("{label}");
        let clock = Arc::new(ManualClock::at(NOW.parse().expect("an instant")));
        let upstream = Upstream::start(seed, modes.clone(), &clock, shift_ms).await;
        let folder = TempDir::new().expect("a folder");
        let (path, opening) = (folder.path().join("data"), Arc::clone(&clock));
        let settings = StoreSettings { path, encryption_key: None };
        let opened = tokio::task::spawn_blocking(move || SledStore::open(&settings, &*opening)).await;
        let store = opened.expect("no panic").expect("a store");
        let watcher = watch(&upstream, &store, &clock).await;
        Self {
            label,
            dice: Dice::seeded(seed ^ 0x0a11),
            clock,
            upstream,
            watcher,
            store,
            modes,
            shift_ms,
            before: BTreeMap::new(),
            waits: 0,
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
        self.assert_in_step("after the baseline").await;
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
        self.assert_in_step("after the baseline").await;
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

    /// A `changes` pass; if nothing disturbs it, everything that moves `updated_at` is known then.
    pub(super) async fn changes(&mut self, disturbed: bool) {
        let (before, began) = (self.progress().await, self.clock.now());
        let report = self.watcher_pass(PassKind::Changes).await;
        self.assert_watermark(&report, &before, began).await;
        self.deceived |= disturbed;
        if !disturbed {
            assert_eq!(report.status, PassStatus::Complete, "{}: {:?}", self.label, report.error);
            if !self.deceived && self.modes.clock_moves_bump_updated_at {
                self.assert_in_step("after an undisturbed pass").await;
            }
        }
    }

    pub(super) async fn sweep(&mut self, disturbed: bool) {
        let before = self.progress().await;
        let report = self.watcher_pass(PassKind::Sweep).await;
        let after = self.progress().await;
        assert_eq!(after.watermark, before.watermark, "{}: a sweep moved the watermark", self.label);
        if report.status != PassStatus::Complete {
            assert_eq!(after.swept_at, before.swept_at, "{}: {:?}", self.label, report.error);
        }
        self.deceived |= disturbed;
        if !disturbed {
            assert_eq!(report.status, PassStatus::Complete, "{}: {:?}", self.label, report.error);
            self.deceived = false;
            self.assert_in_step("after an undisturbed sweep").await;
        }
    }

    /// Both kinds side by side.
    pub(super) async fn both(&mut self) {
        let (before, began) = (self.progress().await, self.clock.now());
        let (_, report) = tokio::join!(self.watcher_pass(PassKind::Sweep), self.watcher_pass(PassKind::Changes));
        self.assert_watermark(&report, &before, began).await;
        self.deceived = true;
    }

    /// Only a complete pass moves the watermark: to where both clocks had got when it began.
    async fn assert_watermark(&self, report: &PassReport, before: &SourceProgress, began: Timestamp) {
        let after = self.progress().await.watermark;
        if report.status != PassStatus::Complete {
            assert_eq!(after, before.watermark, "{}: {:?} {:?}", self.label, report.status, report.error);
            return;
        }
        let ahead_ms = self.shift_ms + self.modes.clock_skew_seconds * 1_000;
        let exact_ms = began.as_millis() + ahead_ms.min(0);
        let watermark_ms = after.expect("a watermark").as_millis();
        // `Date` counts whole seconds, and time may pass while the first page is on its way, which counts as if
        // upstream were behind.
        assert!((exact_ms - 10_000..=exact_ms).contains(&watermark_ms), "{}: {}", self.label, watermark_ms - exact_ms);
    }

    /// Lets time pass, and whatever becomes due with it.
    pub(super) async fn clock_on(&self, by: Duration) {
        self.clock.advance(by);
        self.upstream.record().await;
    }

    /// Makes one call of the next pass go wrong, at random.
    pub(super) async fn order_a_fault(&mut self) {
        let waits = [
            json!({"fault": "status", "status": 503}),
            json!({"fault": "status", "status": 408}),
            json!({"fault": "status", "status": 200}),
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
        order["next"] = json!(1);
        order["share"] = json!(0.3);
        self.upstream.order("POST", "/sandbox/faults", &order).await;
    }

    pub(super) async fn clear_faults(&self) {
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
        self.watcher = watch(&self.upstream, &self.store, &self.clock).await;
    }

    /// Upstream writes instants in the other form from now on.
    pub(super) async fn respell(&mut self) {
        let form = *self.dice.pick(&["milliseconds", "seconds"]);
        self.upstream.order("POST", "/sandbox/options", &json!({"timestamps": form})).await;
        self.upstream.record().await;
    }

    pub(super) async fn end(self) {
        self.store.close().await;
    }
}

pub(super) fn source() -> SourceName {
    "numeral".parse().expect("a name")
}

/// A watcher over the upstream, as a gateway that starts makes it.
pub(super) async fn watch(upstream: &Upstream, store: &Arc<SledStore>, clock: &Arc<ManualClock>) -> Arc<Watcher> {
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
        removal_guard: RemovalGuard { count: 10, share: 0.10 },
        dates: Policy::default(),
        ignore_fields: Vec::new(),
    };
    let description = Description { kind: "numeral".into(), base_url: upstream.url.clone(), livemode: false };
    let sights = Arc::<SledStore>::clone(store);
    Watcher::open(numeral, sights, clock, settings, description).await.expect("the store can be read")
}
