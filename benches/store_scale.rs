//! How the store behaves at the scale that it is built for, beside what the disk could do.
//!
//! `cargo bench --bench store_scale` fills a store with 200 000 certificates; `-- --rows 10000000 --events 2000000`
//! is the trial at full size. `-- --folder PATH` chooses the file system: a folder of the bench's own is made there, and
//! removed at the end. Each phase is a process of its own, so that its peak memory is its own, and the first one ends
//! without closing the store. The last one tells, delivers and cuts over and over (`--rounds N`), with nothing to do in
//! between (`--pause SECONDS`), while what is kept stays as much as it is: the file must stop growing.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use certhook::clock::SystemClock;
use certhook::model::delivery::{Attempt, DeliveryRecord, DeliveryStatus, Outcome, Trigger};
use certhook::model::event::{Cause, Detection, Event, EventDraft, EventType, Mode, Sight, Subject};
use certhook::model::id::{DeliveryId, EndpointId, EndpointNumber, Position, base62};
use certhook::model::json::Json;
use certhook::model::resource::{Agenda, Download, Kind, ResourceId, ResourceKey, Snapshot, SourceName};
use certhook::model::time::Timestamp;
use certhook::store::sled::SledStore;
use certhook::store::{DeliveryCommit, Settings, SightCommit, Store};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A page of a listing: what a baseline commits at once.
const PAGE: u64 = 100;
/// A page of ids: what a sweep compares at once.
const IDS: usize = 4_000;
const GETS: u64 = 200_000;
const COMMITS: u64 = 5_000;
const SYNCS: usize = 1_000;
/// After how many rounds what was told in one is cut.
const ROUNDS_KEPT: usize = 3;

struct Arguments {
    rows: u64,
    events: u64,
    rounds: u64,
    pause: Duration,
    folder: PathBuf,
    phase: Option<String>,
}

fn arguments() -> Arguments {
    let (pause, folder) = (Duration::from_secs(2), std::env::temp_dir());
    let mut arguments = Arguments { rows: 200_000, events: 50_000, rounds: 40, pause, folder, phase: None };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let mut value = || given.next().unwrap_or_else(|| panic!("{name} needs a value"));
        match name.as_str() {
            "--rows" => arguments.rows = value().parse().expect("a number of rows"),
            "--events" => arguments.events = value().parse().expect("a number of events"),
            "--rounds" => arguments.rounds = value().parse().expect("a number of rounds"),
            "--pause" => arguments.pause = Duration::from_secs_f64(value().parse().expect("a number of seconds")),
            "--folder" => arguments.folder = value().into(),
            "--phase" => arguments.phase = Some(value()),
            "--bench" => {}
            unknown => panic!("unknown argument {unknown}"),
        }
    }
    arguments
}

fn main() {
    let arguments = arguments();
    match arguments.phase.as_deref() {
        None => conduct(&arguments),
        Some(phase) => {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            match phase {
                "fill" => runtime.block_on(fill(&arguments)),
                "log" => runtime.block_on(log(&arguments)),
                "use" => runtime.block_on(make_use(&arguments)),
                "retention" => runtime.block_on(retention(&arguments)),
                unknown => panic!("unknown phase {unknown}"),
            }
            // Not even the destructors run: the next phase opens what a crash leaves.
            std::process::exit(0);
        }
    }
}

/// Runs the phases, each in a process of its own.
fn conduct(arguments: &Arguments) {
    let folder = tempfile::tempdir_in(&arguments.folder).expect("--folder names a folder that can be written to");
    let (rows, events, own) = (arguments.rows, arguments.events, folder.path());
    println!("{rows} snapshots of about 400 bytes, {events} events, in {}", own.display());
    for phase in ["fill", "log", "use", "retention"] {
        let mut part = std::process::Command::new(std::env::current_exe().expect("this program"));
        // Of two folders the last one counts.
        let part = part.args(std::env::args_os().skip(1)).arg("--folder").arg(own).args(["--phase", phase]);
        assert!(part.status().expect("a process").success(), "{phase} failed");
    }
    folder.close().expect("the folder was ours");
}

fn open(folder: &Path) -> Arc<dyn Store> {
    let settings = Settings { path: folder.join("data"), encryption_key: None, min_free: 0 };
    let began = Instant::now();
    let store = SledStore::open(&settings, &SystemClock::default()).expect("a store");
    println!("  open                  {:>10.2} s, {} MiB", began.elapsed().as_secs_f64(), resident("VmRSS"));
    store
}

fn source() -> SourceName {
    "numeral".parse().expect("a name")
}

/// Scattered over all ids, as the vendor's are.
fn id(number: u64) -> ResourceId {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    format!("cert_{}", base62(bits.into())).parse().expect("an id")
}

fn snapshot(number: u64, object_version: u64) -> Snapshot {
    let id = id(number);
    let object = serde_json::json!({
        "id": id.as_str(),
        "status": if object_version.is_multiple_of(2) { "active" } else { "expiring" },
        "certificate_type": {"id": "cert_type_01HZX", "certificate_identifier": "resale", "name": "Resale certificate"},
        "customer": {"id": format!("cus_{number:020}"), "reference_customer_id": format!("crm-{number}")},
        "jurisdictions": [{"jurisdiction_id": "US-CA", "status": "active", "expiration_date": "2027-03-31"}],
        "created_at": "2026-03-01T12:00:00Z",
        "updated_at": "2026-06-10T18:24:09Z",
    });
    Snapshot {
        key: ResourceKey { source: source(), kind: Kind::Certificate, id },
        object_version,
        object: Json::of(&object),
        observed_at: Timestamp::from_millis(1_795_000_000_000),
        row_fingerprint: Some(u128::from(number) << 64 | 7),
        download: Download::Available,
        removed: None,
        is_whole: false,
        open_list: None,
        agenda: Agenda::default(),
    }
}

fn silent(number: u64) -> SightCommit {
    SightCommit { snapshot: Some(snapshot(number, 0)), ..SightCommit::default() }
}

fn told(number: u64, object_version: u64) -> SightCommit {
    let snapshot = snapshot(number, object_version);
    let sight = Sight {
        subject: Subject::Resource(snapshot.key.clone()),
        api_version: "2026-03-01".into(),
        livemode: true,
        object: snapshot.object.clone(),
        previous_attributes: Json::of(&serde_json::json!({"status": "active"})),
        detection: Detection {
            mode: Mode::Live,
            pass: Some(Cause::Changes),
            request_id: None,
            object_version,
            observed_after: Some(Timestamp::from_millis(1_795_000_000_000)),
            observed_before: Timestamp::from_millis(1_795_000_030_000),
        },
    };
    let events = vec![EventDraft::plain(EventType::CertificateExpiring)];
    SightCommit { snapshot: Some(snapshot), told: vec![(sight, events)], ..SightCommit::default() }
}

async fn fill(arguments: &Arguments) {
    println!("fill: pages of {PAGE}, each acknowledged before the next");
    let store = open(&arguments.folder);
    let began = Instant::now();
    let tenth = (arguments.rows / 10).max(PAGE);
    let mut shown = (0, began);
    for first in (0..arguments.rows).step_by(PAGE as usize) {
        let page = (first..(first + PAGE).min(arguments.rows)).map(silent).collect();
        store.commit_sights(page, None).await.expect("a commit");
        let done = first + PAGE;
        if done >= shown.0 + tenth {
            let rate = (done - shown.0) as f64 / shown.1.elapsed().as_secs_f64();
            println!("  {done:>10} rows       {rate:>10.0} rows/s, {} MiB", resident("VmRSS"));
            shown = (done, Instant::now());
        }
    }
    report_rate("snapshots", arguments.rows, began.elapsed());
    report_size(&arguments.folder);
    let resources: usize = (0..arguments.rows).map(|number| snapshot(number, 0).object.text().len()).sum();
    let ratio = disk(&arguments.folder) as f64 / resources as f64;
    println!("  {ratio:.2} times the {} MiB of the resources", resources >> 20);
}

async fn log(arguments: &Arguments) {
    println!("log: sights with one event each, without snapshots, in commits of {PAGE}");
    let store = open(&arguments.folder);
    let began = Instant::now();
    for first in (0..arguments.events).step_by(PAGE as usize) {
        let page = first..(first + PAGE).min(arguments.events);
        let page = page.map(|number| SightCommit { snapshot: None, ..told(number, 1) }).collect();
        store.commit_sights(page, None).await.expect("a commit");
    }
    report_rate("events", arguments.events, began.elapsed());
    report_size(&arguments.folder);
}

async fn make_use(arguments: &Arguments) {
    println!("use: after a stop without a close");
    let store = open(&arguments.folder);
    let began = Instant::now();
    for first in (0..GETS).step_by(PAGE as usize) {
        let ids: Vec<_> = (first..first + PAGE).map(|at| id(at.wrapping_mul(7_919_993) % arguments.rows)).collect();
        let found = store.snapshots(&source(), Kind::Certificate, &ids).await.expect("snapshots");
        assert!(found.iter().all(Option::is_some), "a snapshot is missing");
    }
    report_rate("random snapshots read", GETS, began.elapsed());
    let began = Instant::now();
    let (mut after, mut known) = (None, 0);
    loop {
        let ids = store.ids_after(&source(), Kind::Certificate, after.as_ref(), IDS).await.expect("ids");
        known += ids.len() as u64;
        let Some((last, _)) = ids.into_iter().next_back() else { break };
        after = Some(last);
    }
    assert_eq!(known, arguments.rows, "an id is missing");
    report_rate("ids read in order", known, began.elapsed());
    let began = Instant::now();
    let mut after = Position::START;
    while let Some(last) = store.events_after(after, 200).await.expect("events").last() {
        after = last.position();
    }
    report_rate("events read in order", after.0, began.elapsed());
    let bare = bare_syncs(&arguments.folder);
    println!("  bare 4 KiB write + fdatasync: median {:.0} µs", bare.as_secs_f64() * 1e6);
    for sights in [1, 8] {
        commits(&store, arguments.rows, sights).await;
    }
    together(&store, arguments.rows).await;
    let bare = bare_syncs(&arguments.folder);
    println!("  bare 4 KiB write + fdatasync: median {:.0} µs", bare.as_secs_f64() * 1e6);
    assert_eq!(store.snapshot_count(&source(), Kind::Certificate).await.expect("a count"), arguments.rows);
    report_size(&arguments.folder);
}

/// One commit after the other, each of random snapshots and their events.
async fn commits(store: &Arc<dyn Store>, rows: u64, sights: u64) {
    let mut waits = Vec::new();
    let began = Instant::now();
    for commit in 0..COMMITS {
        let sights = (0..sights).map(|at| told((commit * 8 + at).wrapping_mul(6_700_417) % rows, commit)).collect();
        let asked = Instant::now();
        store.commit_sights(sights, None).await.expect("a commit");
        waits.push(asked.elapsed());
    }
    let rate = COMMITS as f64 / began.elapsed().as_secs_f64();
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    let (median, late) = (at(0.5), at(0.99));
    println!("  commits of {sights} sights   {rate:>10.0} a second, median {median:.0} µs, 99 % within {late:.0} µs");
}

/// Many who commit one sight each at the same time, and share syncs.
async fn together(store: &Arc<dyn Store>, rows: u64) {
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..64 {
        let store = Arc::clone(store);
        callers.spawn(async move {
            for commit in 0..COMMITS / 64 {
                let number = (caller * COMMITS + commit).wrapping_mul(6_700_417) % rows;
                store.commit_sights(vec![told(number, commit)], None).await.expect("a commit");
            }
        });
    }
    callers.join_all().await;
    report_rate("commits by 64 callers", COMMITS / 64 * 64, began.elapsed());
}

/// What an endpoint's delivery of an event leaves behind.
fn delivered(event: &Event) -> DeliveryRecord {
    let attempt = Attempt {
        number: 1,
        at: event.timestamp(),
        duration_ms: 3,
        outcome: Outcome::Delivered,
        status_code: Some(204),
        error: None,
        response_body: None,
        address: Some("192.0.2.1:443".into()),
        signed_at: event.timestamp(),
        trigger: Trigger::Scheduled,
    };
    DeliveryRecord {
        id: DeliveryId { position: event.position(), endpoint: EndpointNumber(1), epoch: event.id.epoch },
        event_id: event.id,
        event_type: event.event_type,
        endpoint_id: EndpointId { number: EndpointNumber(1), random: 7 },
        resource: event.sight.resource().cloned(),
        status: DeliveryStatus::Delivered,
        next_attempt_at: None,
        attempt_count: 1,
        charged: 1,
        attempts: vec![attempt],
        replay: None,
    }
}

async fn retention(arguments: &Arguments) {
    let round = (arguments.events / 20).max(PAGE);
    println!("retention: rounds of {round} events with a record each, {ROUNDS_KEPT} of them kept");
    let store = open(&arguments.folder);
    let mut ends = Vec::new();
    for turn in 0..arguments.rounds {
        for first in (turn * round..(turn + 1) * round).step_by(PAGE as usize) {
            let page = (first..first + PAGE).map(|at| told(at.wrapping_mul(6_700_417) % arguments.rows, at));
            let before = *store.head().borrow();
            store.commit_sights(page.collect(), None).await.expect("a commit");
            let events = store.events_after(before, PAGE as usize).await.expect("events");
            let records = events.iter().map(|event| delivered(event)).collect();
            let live_mark = Some(*store.head().borrow());
            let commit = DeliveryCommit { records, live_mark, ..DeliveryCommit::default() };
            store.commit_deliveries(commit).await.expect("a commit");
        }
        tokio::time::sleep(arguments.pause).await;
        ends.push(*store.head().borrow());
        if let Some(until) = ends.iter().rev().nth(ROUNDS_KEPT) {
            forget(&store, *until).await;
        }
        let kept = store.head().borrow().0 + 1 - store.first().0;
        println!(
            "  after round {:>2}         {:>8} events kept, disk {} MiB",
            turn + 1,
            kept,
            disk(&arguments.folder) >> 20
        );
    }
}

/// Removes the events up to a position, and the records of their deliveries.
async fn forget(store: &Arc<dyn Store>, until: Position) {
    let mut first = store.first();
    while first <= until {
        let before = first;
        first = store.cut_events(until).await.expect("a cut");
        assert!(first > before, "the live mark lies beyond what is to be cut");
    }
    let (mut after, before) = (None, Timestamp::from_millis(i64::MAX));
    while let Some(next) = store.forget_deliveries(after, until, before).await.expect("a look").next {
        after = Some(next);
    }
}

/// What the disk can do: the median of a write of 4 KiB with its sync.
fn bare_syncs(folder: &Path) -> Duration {
    let path = folder.join("bare");
    let file = File::create(&path).expect("a file");
    file.write_all_at(&vec![1; 4096 * 64], 0).expect("a write");
    file.sync_all().expect("a sync");
    let mut waits: Vec<Duration> = (0..SYNCS)
        .map(|turn| {
            let began = Instant::now();
            file.write_all_at(&[turn as u8; 4096], (turn as u64 % 64) * 4096).expect("a write");
            file.sync_data().expect("a sync");
            began.elapsed()
        })
        .collect();
    fs::remove_file(path).expect("the file was ours");
    waits.sort_unstable();
    waits[SYNCS / 2]
}

fn report_rate(what: &str, count: u64, took: Duration) {
    let seconds = took.as_secs_f64();
    println!("  {what:<22}{:>10.0} a second ({count} in {seconds:.1} s)", count as f64 / seconds);
}

fn report_size(folder: &Path) {
    let (disk, blobs) = (disk(folder) >> 20, files(&folder.join("data/blobs")).len());
    println!("  peak memory {} MiB, disk {disk} MiB, {blobs} blob files", resident("VmHWM"));
}

/// How many bytes the store has on disk.
fn disk(folder: &Path) -> u64 {
    files(&folder.join("data")).iter().map(|(_, bytes)| bytes).sum()
}

fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.len()))).collect()
}

/// A figure of this process's memory, in MiB.
fn resident(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a Linux system");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("a known figure");
    let kilobytes: u64 = line.trim_matches(|sign: char| !sign.is_ascii_digit()).parse().expect("a number");
    kilobytes >> 10
}
