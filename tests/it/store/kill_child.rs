//! What a store is doing when it is killed: several tasks commit without a pause, and each says on the standard output
//! what it was told is durable.
//!
//! All that is committed follows from a name and a number, so that whoever looks at the store afterwards knows what
//! must be there.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use certhook::model::delivery::{DeliveryRecord, DeliveryStatus};
use certhook::model::endpoint::Endpoint;
use certhook::model::id::{EndpointId, Position};
use certhook::model::resource::{Absence, AbsenceState, Agenda, Kind, OpenList, Snapshot, SourceName};
use certhook::model::source::SourceProgress;
use certhook::model::time::Timestamp;
use certhook::store::{DeliveryCommit, SightCommit, Store, StoreError};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::samples::*;

/// The sources that are written, each by a task of its own.
pub(super) const SOURCES: [&str; 3] = ["one", "two", "three"];

/// How many resources each of them has.
pub(super) const RESOURCES: u64 = 24;

/// The endpoints whose deliveries are recorded, each by a task of its own. The first one moves the live mark as well.
pub(super) const RECEIVERS: [&str; 2] = ["first", "second"];

/// Something that a caller was told is durable; or is about to ask for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// The store is open.
    Open,
    /// A source's resource has this version.
    Version(usize, u64, u64),
    /// So many sights of a source had been committed.
    Progress(usize, u64),
    /// An endpoint's queue stands here.
    Reached(usize, u64),
    /// The delivery of the event at that place was tried so often.
    Tried(usize, u64, u32),
    /// An endpoint was registered.
    Created(EndpointId),
    /// It will be asked to go, with what waits for it.
    Deleting(EndpointId),
    /// It is gone.
    Deleted(EndpointId),
    /// A backup is about to begin, into the file of that number.
    BackingUp(u32),
    /// It is whole.
    BackedUp(u32),
}

pub(super) fn tell(told: &Told) {
    let line = serde_json::to_string(told).unwrap() + "\n";
    let mut output = io::stdout().lock();
    if output.write_all(line.as_bytes()).and_then(|()| output.flush()).is_err() {
        // Nobody listens any more.
        std::process::exit(1);
    }
}

/// Numbers that follow from a seed.
#[derive(Clone)]
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ bits >> 31) % end
    }
}

pub(super) fn source_at(index: usize) -> SourceName {
    SOURCES[index].parse().unwrap()
}

/// What gives a resource this version: one to four events, sometimes long, sometimes the last one, sometimes with a
/// reminder behind them. Now it is in this list, now in that one, or absent.
pub(super) fn sight(source: usize, resource: u64, version: u64) -> SightCommit {
    let mixed = version + resource;
    // Some rows are so long that they are cut into parts, some are packed, and some are too short for either.
    let bytes = if mixed.is_multiple_of(8) { 23_000 } else { [100, 400][mixed as usize % 2] };
    let plain = sized_snapshot(resource, version, bytes);
    let mut key = plain.key.clone();
    key.source = source_at(source);
    let every = |nth: u64, plus: u64| mixed.is_multiple_of(nth).then(|| at((mixed + plus).cast_signed()));
    let agenda = Agenda { remind_at: every(3, 5), fetch_at: every(2, 7), ..Agenda::default() };
    let open_list = [None, Some(OpenList::Processing), Some(OpenList::Expiring)][mixed as usize % 3];
    let snapshot = Snapshot { key, open_list, agenda, ..plain };
    let snapshot = if mixed.is_multiple_of(5) { removed(snapshot) } else { snapshot };
    let (key, instant) = (snapshot.key.clone(), at((mixed * 7919 % 1000).cast_signed()));
    let mut commit = told(snapshot.clone(), instant, 1 + (mixed % 4) as usize);
    if mixed.is_multiple_of(6) {
        commit.told.extend(told(snapshot, instant.plus(Duration::from_millis(100)), 2).told);
    }
    let absence = Absence { key: key.clone(), state: AbsenceState::Withheld, since: at(version.cast_signed()) };
    commit.absence = (mixed % 4 < 2).then(|| (key, Some(absence).filter(|_| mixed.is_multiple_of(4))));
    commit
}

/// The absence that is there once a resource has that version.
pub(super) fn absence(source: usize, resource: u64, version: u64) -> Option<Absence> {
    let former = (1..=version).rev().find_map(|version| sight(source, resource, version).absence);
    former.and_then(|(_, absence)| absence)
}

/// What a source's resources are at the moment.
pub(super) async fn snapshots(store: &Arc<dyn Store>, source: usize) -> Vec<Option<Snapshot>> {
    let ids: Vec<_> = (0..RESOURCES).map(resource_id).collect();
    store.snapshots(&source_at(source), Kind::Certificate, &ids).await.unwrap()
}

async fn see(store: Arc<dyn Store>, source: usize, mut chance: Chance) {
    let found = snapshots(&store, source).await;
    let mut versions: Vec<u64> = found.iter().map(|found| found.as_ref().map_or(0, |one| one.object_version)).collect();
    loop {
        let mut seen = Vec::new();
        for _ in 0..=chance.below(4) {
            let resource = chance.below(RESOURCES);
            versions[resource as usize] += 1;
            seen.push((resource, versions[resource as usize]));
        }
        let sights = seen.iter().map(|(resource, version)| sight(source, *resource, *version)).collect();
        let count: u64 = versions.iter().sum();
        let mut progress = SourceProgress::new(source_at(source), at(0));
        progress.watermark = Some(Timestamp::from_millis(count.cast_signed()));
        store.commit_sights(sights, Some(progress)).await.unwrap();
        seen.iter().for_each(|(resource, version)| tell(&Told::Version(source, *resource, *version)));
        tell(&Told::Progress(source, count));
    }
}

/// A delivery after so many attempts: long ones are committed in several acts.
fn tried(receiver: &Endpoint, position: u64, attempts: u32) -> DeliveryRecord {
    let (status, due) = match position % 3 {
        0 if attempts < 3 => (DeliveryStatus::Pending, Some(at(i64::from(attempts) * 1_000))),
        1 if attempts < 3 => (DeliveryStatus::Pending, None),
        _ => (DeliveryStatus::Delivered, None),
    };
    let mut record = record(position, receiver, status, due);
    record.attempt_count = attempts;
    record.charged = attempts;
    record.attempts = (1..=attempts).map(attempt).collect();
    record
}

async fn named(store: &Arc<dyn Store>, uid: &str) -> Endpoint {
    match store.by_uid(uid).await.unwrap() {
        Some(found) => found,
        None => store.create(Endpoint { start: Position::START, ..endpoint(Some(uid)) }).await.unwrap(),
    }
}

/// Where an endpoint's queue stands.
pub(super) async fn position(store: &Arc<dyn Store>, endpoint: &Endpoint) -> u64 {
    let own = store.positions().await.unwrap().own;
    own.iter().find(|(number, _)| *number == endpoint.id.number).map_or(0, |(_, position)| position.0)
}

async fn deliver(store: Arc<dyn Store>, receiver: usize, mut chance: Chance) {
    let endpoint = named(&store, RECEIVERS[receiver]).await;
    let mut reached = position(&store, &endpoint).await;
    let mut head = store.head();
    loop {
        let wanted = if chance.below(16) == 0 { 40 } else { 1 + chance.below(12) };
        let until = head.borrow_and_update().0.min(reached + wanted);
        let mut attempts: Vec<(u64, u32)> = (reached + 1..=until).map(|position| (position, 1)).collect();
        for one in store.waiting(endpoint.id.number, 3).await.unwrap() {
            let record = store.delivery(one.id).await.unwrap().unwrap();
            // A commit that was broken off may have left records beyond the position.
            if one.id.position.0 <= reached {
                attempts.push((one.id.position.0, record.attempt_count + 1));
            }
        }
        if attempts.is_empty() {
            head.changed().await.unwrap();
            continue;
        }
        let mut records: Vec<_> =
            attempts.iter().map(|(position, attempts)| tried(&endpoint, *position, *attempts)).collect();
        if wanted == 40 {
            records.iter_mut().for_each(|record| record.attempts[0].response_body = Some("x".repeat(8_000)));
        }
        let positions = vec![(endpoint.id.number, Some(Position(until)))];
        let live_mark = (receiver == 0).then_some(Position(until));
        store
            .commit_deliveries(DeliveryCommit { records, live_mark, positions, ..DeliveryCommit::default() })
            .await
            .unwrap();
        reached = until;
        attempts.iter().for_each(|(position, attempts)| tell(&Told::Tried(receiver, *position, *attempts)));
        tell(&Told::Reached(receiver, reached));
    }
}

/// Registers endpoints and deletes those whose names it wants, with what waits for them.
async fn register(store: Arc<dyn Store>, mut chance: Chance) {
    loop {
        let uid = format!("churn-{}", chance.below(4));
        match store.create(endpoint(Some(&uid))).await {
            Ok(created) => {
                tell(&Told::Created(created.id));
                let pending =
                    (1..=80).map(|position| record(position, &created, DeliveryStatus::Pending, Some(at(1)))).collect();
                commit_records(&store, pending).await;
            }
            Err(StoreError::UidTaken(_)) => {
                let former = store.by_uid(&uid).await.unwrap().unwrap();
                tell(&Told::Deleting(former.id));
                assert!(store.delete(former.id).await.unwrap());
                tell(&Told::Deleted(former.id));
            }
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(chance.below(20))).await;
    }
}

/// Commits until the process is killed.
pub(super) async fn work(store: Arc<dyn Store>, seed: u64) {
    tell(&Told::Open);
    let mut tasks = JoinSet::new();
    let chance = |nth: usize| Chance(seed.wrapping_mul(100) + nth as u64);
    (0..SOURCES.len()).for_each(|source| drop(tasks.spawn(see(Arc::clone(&store), source, chance(source)))));
    (0..RECEIVERS.len())
        .for_each(|receiver| drop(tasks.spawn(deliver(Arc::clone(&store), receiver, chance(10 + receiver)))));
    tasks.spawn(register(store, chance(20)));
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err() {
            // What went wrong is on the standard error; the parent sees that the child ended by itself.
            std::process::exit(1);
        }
    }
}
