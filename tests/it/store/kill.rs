//! `kill -9` of a process that does nothing but commit, again and again on the same folder, at moments between its
//! start and some hundred commits later. After each, all that it was told is there, and all that is there is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use certhook::clock::ManualClock;
use certhook::model::delivery::{DeliveryRecord, DeliveryStatus};
use certhook::model::event::Event;
use certhook::model::id::{EndpointId, EndpointNumber, EventId, Position};
use certhook::model::resource::{Kind, ResourceKey, Snapshot};
use certhook::model::time::Timestamp;
use certhook::store::sled::SledStore;
use certhook::store::{DeliveryQuery, Settings, Store};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::kill_child::{self, Chance, RECEIVERS, RESOURCES, SOURCES, Told, position, sight, snapshots};
use super::lists::assert_in_step;
use super::samples::*;

/// How often the process is killed.
const ROUNDS: u64 = 32;

/// Stands before the folder and the seed in the arguments of the child; the test runner takes it for the name of a
/// test that there is not.
const FOR_CHILD: &str = "killed-in=";

pub(super) fn open(folder: &Path) -> Arc<dyn Store> {
    let settings = Settings { path: folder.join("data"), encryption_key: None, min_free: 0 };
    SledStore::open(&settings, &ManualClock::at(at(0))).unwrap()
}

/// No test by itself: it is what the other one starts as a process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_commits_until_it_is_killed() {
    let argument = std::env::args().find_map(|argument| argument.strip_prefix(FOR_CHILD).map(str::to_owned));
    let Some((seed, folder)) = argument.as_deref().and_then(|argument| argument.split_once(',')) else { return };
    kill_child::work(open(Path::new(folder)), seed.parse().unwrap()).await;
}

/// Lets a process commit, kills it, and gives what it was told until then.
async fn killed(folder: &Path, seed: u64, chance: &mut Chance) -> Vec<Told> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["store::kill::a_process_that_commits_until_it_is_killed", "--exact", "--nocapture"])
        .arg(format!("{FOR_CHILD}{seed},{}", folder.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut text = Vec::new();
    if chance.below(5) > 0 {
        // Otherwise it may be killed while it starts.
        while !String::from_utf8_lossy(&text).contains("\"Open\"") {
            assert_ne!(output.read_buf(&mut text).await.unwrap(), 0, "the process ended by itself (seed {seed})");
        }
    }
    let lifetime = Duration::from_micros(chance.below(180_000));
    tokio::select! {
        _ = tokio::time::sleep(lifetime) => child.start_kill().unwrap(),
        read = output.read_to_end(&mut text) => panic!("the process ended by itself (seed {seed}): {read:?}"),
    }
    output.read_to_end(&mut text).await.unwrap();
    child.wait().await.unwrap();
    let text = String::from_utf8(text).unwrap();
    // The last line may be cut; and the test runner says something too.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What was told, and what was found, in all rounds so far.
#[derive(Default)]
pub(super) struct Ledger {
    versions: BTreeMap<(usize, u64), u64>,
    progress: BTreeMap<usize, u64>,
    reached: BTreeMap<usize, u64>,
    tried: BTreeMap<(usize, u64), u32>,
    created: BTreeSet<EndpointId>,
    deleting: BTreeSet<EndpointId>,
    deleted: BTreeSet<EndpointId>,
    numbers: BTreeMap<EndpointNumber, EndpointId>,
    /// The ids of all events, the first one at position 1.
    ids: Vec<EventId>,
    /// What the log says of each resource.
    chains: BTreeMap<(usize, u64), u64>,
    starts: BTreeSet<u32>,
}

impl Ledger {
    pub(super) fn take(&mut self, told: Told) {
        match told {
            Told::Open | Told::BackingUp(_) | Told::BackedUp(_) => {}
            Told::Version(source, resource, version) => drop(self.versions.insert((source, resource), version)),
            Told::Progress(source, sights) => drop(self.progress.insert(source, sights)),
            Told::Reached(receiver, position) => drop(self.reached.insert(receiver, position)),
            Told::Tried(receiver, position, attempts) => drop(self.tried.insert((receiver, position), attempts)),
            Told::Created(id) => assert!(self.created.insert(id), "{id} was given twice"),
            Told::Deleting(id) => drop(self.deleting.insert(id)),
            Told::Deleted(id) => drop(self.deleted.insert(id)),
        }
    }

    pub(super) async fn check(&mut self, store: &Arc<dyn Store>) {
        self.check_log(store).await;
        for source in 0..SOURCES.len() {
            self.check_source(store, source).await;
        }
        for (receiver, uid) in RECEIVERS.iter().enumerate() {
            self.check_receiver(store, receiver, uid).await;
        }
        self.check_endpoints(store).await;
    }

    /// The part of the log that is new since the round before.
    async fn check_log(&mut self, store: &Arc<dyn Store>) {
        let head = *store.head().borrow();
        let former_starts = self.starts.clone();
        let mut latest = match self.ids.last() {
            Some(id) => store.event(id.position).await.unwrap().expect("what was there is there").timestamp(),
            None => at(0),
        };
        while self.ids.len() < head.0 as usize {
            let checked = self.ids.len();
            let events = store.events_after(Position(checked as u64), 1000).await.unwrap();
            let mut rest = events.as_slice();
            while let Some(first) = rest.first() {
                let count = self.check_commit(first, rest, latest, head);
                if rest.len() < count {
                    // Its end is on the next page.
                    break;
                }
                let (told, others) = rest.split_at(count);
                *self.chains.entry(name(first)).or_default() += 1;
                latest = told[count - 1].timestamp();
                for event in told {
                    assert_eq!(event.position().0, self.ids.len() as u64 + 1, "the log has a gap");
                    assert!(!former_starts.contains(&event.id.start), "an id can be given twice");
                    self.starts.insert(event.id.start);
                    self.ids.push(event.id);
                }
                rest = others;
            }
            assert!(self.ids.len() > checked, "the log ends before its head");
        }
        assert_eq!(self.ids.len() as u64, head.0, "the log ends at its head");
    }

    /// The commit whose events begin here, as far as the page shows it; how many they are.
    fn check_commit(&self, first: &Event, rest: &[Arc<Event>], mut latest: Timestamp, head: Position) -> usize {
        let (source, resource) = name(first);
        let version = self.chains.get(&(source, resource)).copied().unwrap_or(0) + 1;
        let mut wanted = Vec::new();
        for (mut sight, drafts) in sight(source, resource, version).told {
            latest = latest.max(sight.detection.observed_before);
            sight.detection.observed_before = latest;
            wanted.extend(drafts.into_iter().map(|draft| (sight.clone(), draft)));
        }
        assert!(first.position().0 + wanted.len() as u64 <= head.0 + 1, "the last commit was cut");
        for (event, (sight, draft)) in rest.iter().zip(&wanted) {
            assert_eq!(*event.sight, *sight);
            assert_eq!((event.event_type, &event.details), (draft.event_type, &draft.details));
        }
        wanted.len()
    }

    async fn check_source(&self, store: &Arc<dyn Store>, source: usize) {
        let found = snapshots(store, source).await;
        for (resource, found) in (0..RESOURCES).zip(&found) {
            let version = found.as_ref().map_or(0, |snapshot| snapshot.object_version);
            let chain = self.chains.get(&(source, resource)).copied().unwrap_or(0);
            assert_eq!(version, chain, "a snapshot is what its last event says");
            assert!(version >= self.versions.get(&(source, resource)).copied().unwrap_or(0), "a sight is lost");
            if let Some(found) = found {
                assert_eq!(Some(found), sight(source, resource, version).snapshot.as_ref());
            }
        }
        let name = kill_child::source_at(source);
        let counted = found.iter().flatten().filter(|snapshot| snapshot.removed.is_none()).count();
        assert_eq!(store.snapshot_count(&name, Kind::Certificate).await.unwrap(), counted as u64);
        let mut all: Vec<_> = found.iter().flatten().cloned().collect();
        all.sort_by(|one, other| one.key.id.cmp(&other.key.id));
        assert_eq!(store.snapshots_after(&name, Kind::Certificate, None, 1_000).await.unwrap(), all);
        assert_in_step(store, &name, &all).await;
        let absent = |one: &Snapshot| kill_child::absence(source, number(&one.key), one.object_version);
        let absences: Vec<_> = all.iter().filter_map(absent).collect();
        assert_eq!(store.absences_after(&name, None, 1_000).await.unwrap(), absences);
        let progress = store.progress(&name).await.unwrap();
        let progress = progress.map_or(0, |progress| progress.watermark.unwrap().as_millis().cast_unsigned());
        let sights: u64 = self.chains.iter().filter(|((of, _), _)| *of == source).map(|(_, version)| version).sum();
        assert!(progress <= sights, "progress that was saved before its sights: {progress}, {sights}");
        assert!(progress >= self.progress.get(&source).copied().unwrap_or(0), "progress is lost");
    }

    async fn check_receiver(&self, store: &Arc<dyn Store>, receiver: usize, uid: &str) {
        let Some(endpoint) = store.by_uid(uid).await.unwrap() else {
            return assert!(!self.reached.contains_key(&receiver), "an endpoint is lost");
        };
        let reached = position(store, &endpoint).await;
        let acknowledged = self.reached.get(&receiver).copied().unwrap_or(0);
        assert!(reached >= acknowledged, "a position is lost");
        if receiver == 0 {
            // Of a large commit, the mark is saved last.
            let mark = store.positions().await.unwrap().live_mark.0;
            assert!((acknowledged..=reached).contains(&mark), "the mark is lost, or ran ahead: {mark}, {reached}");
        }
        let all = DeliveryQuery { endpoint: Some(endpoint.id.number), ascending: true, ..DeliveryQuery::default() };
        let records = records(store, all.clone()).await;
        for (position, record) in (1..=reached).zip(&records) {
            assert_eq!(record.id.position.0, position, "a position ran ahead of its records");
        }
        assert!(records.len() as u64 >= reached);
        for ((_, position), attempts) in self.tried.range((receiver, 0)..(receiver + 1, 0)) {
            assert!(records[*position as usize - 1].attempt_count >= *attempts, "an attempt is lost");
        }
        let mut pending: Vec<_> = records;
        pending.retain(|record| record.status == DeliveryStatus::Pending);
        let indexed = self::records(store, DeliveryQuery { status: Some(DeliveryStatus::Pending), ..all }).await;
        assert_eq!(indexed, pending, "the index of what is pending agrees with the records");
        let mut due: Vec<_> = pending.iter().filter_map(|record| Some((record.next_attempt_at?, record.id))).collect();
        due.sort_unstable();
        let waiting = store.waiting(endpoint.id.number, usize::MAX).await.unwrap();
        assert_eq!(waiting.iter().map(|one| (one.due, one.id)).collect::<Vec<_>>(), due);
    }

    async fn check_endpoints(&mut self, store: &Arc<dyn Store>) {
        let endpoints = store.endpoints(None, true, usize::MAX).await.unwrap();
        let there: BTreeSet<EndpointId> = endpoints.iter().map(|endpoint| endpoint.id).collect();
        for endpoint in &endpoints {
            let by_uid = store.by_uid(endpoint.uid.as_deref().unwrap()).await.unwrap();
            assert_eq!(by_uid.as_ref(), Some(endpoint));
            let known = self.numbers.insert(endpoint.id.number, endpoint.id);
            assert!(known.is_none_or(|known| known == endpoint.id), "a number was given twice");
        }
        let lost: Vec<_> = self.created.difference(&there).filter(|id| !self.deleting.contains(id)).collect();
        assert!(lost.is_empty(), "endpoints are lost: {lost:?}");
        for id in &self.deleted {
            assert!(!there.contains(id), "a deleted endpoint is back");
            assert!(store.waiting(id.number, 1).await.unwrap().is_empty(), "something waits for a deleted endpoint");
        }
    }
}

/// Which resource an event is about: the source's place in the list and the number.
fn name(event: &Event) -> (usize, u64) {
    let key = event.sight.resource().unwrap();
    let source = SOURCES.iter().position(|source| *source == key.source.as_str()).unwrap();
    (source, number(key))
}

fn number(key: &ResourceKey) -> u64 {
    key.id.as_str().trim_start_matches("cert_").parse().unwrap()
}

/// All pages of a list.
async fn records(store: &Arc<dyn Store>, query: DeliveryQuery) -> Vec<DeliveryRecord> {
    let mut query = DeliveryQuery { limit: 1000, ..query };
    let mut found = Vec::new();
    loop {
        let page = store.deliveries(query.clone()).await.unwrap();
        found.extend(page.found);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return found,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_that_was_acknowledged_and_leaves_nothing_by_half() {
    let seed = u64::from_le_bytes(certhook::clock::random_bytes());
    println!("seed {seed}");
    let folder = TempDir::new().unwrap();
    let mut chance = Chance(seed);
    let mut ledger = Ledger::default();
    for round in 0..ROUNDS {
        for told in killed(folder.path(), seed.wrapping_add(round), &mut chance).await {
            ledger.take(told);
        }
        let store = open(folder.path());
        ledger.check(&store).await;
        // Closed, so that the next process need not wait for the folder.
        store.close().await;
    }
    let store = open(folder.path());
    let mut ids: Vec<EventId> =
        store.events_after(Position::START, usize::MAX).await.unwrap().iter().map(|event| event.id).collect();
    assert_eq!(ids, ledger.ids, "no id of a former round changed");
    ids.reverse();
    let backwards = store.events_before(Position(u64::MAX), usize::MAX).await.unwrap();
    assert_eq!(backwards.iter().map(|event| event.id).collect::<Vec<_>>(), ids);
    println!("{} events, {} attempts, {} endpoints", ids.len(), ledger.tried.len(), ledger.created.len());
    assert!(ledger.versions.len() > 50 && ledger.reached.len() == 2 && !ledger.deleted.is_empty(), "it did work");
}
