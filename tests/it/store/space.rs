//! A disk that becomes full under the store.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use certhook::clock::ManualClock;
use certhook::model::delivery::DeliveryStatus;
use certhook::model::id::Position;
use certhook::model::replay::ReplayStatus;
use certhook::store::sled::SledStore;
use certhook::store::space::{Disk, Level};
use certhook::store::{DeliveryCommit, Settings, Store, StoreError};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::replays::{begun, of_the_log};
use super::samples::*;

const MIB: u64 = 1 << 20;

/// As much is free as somebody says.
struct Faked(AtomicU64);

impl Disk for Faked {
    fn free(&self) -> io::Result<u64> {
        match self.0.load(Ordering::SeqCst) {
            u64::MAX => Err(io::Error::other("it does not say")),
            free => Ok(free),
        }
    }
}

fn open(folder: &TempDir, disk: &Arc<Faked>) -> Result<Arc<dyn Store>, StoreError> {
    let settings = Settings { path: folder.path().join("data"), encryption_key: None, min_free: 1024 * MIB };
    let opened = SledStore::open_on(&settings, &ManualClock::at(at(0)), Arc::clone(disk) as _);
    opened.map(|store| store as Arc<dyn Store>)
}

async fn with_free(store: &Arc<dyn Store>, disk: &Faked, mib: u64, level: Level) {
    disk.0.store(mib * MIB, Ordering::SeqCst);
    store.space().wait_for(|space| space.level == level).await.unwrap();
}

fn is_full<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Full))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_a_full_disk_takes_nothing_and_goes_on_once_there_is_room() {
    let (folder, disk) = (TempDir::new().unwrap(), Arc::new(Faked(AtomicU64::new(4096 * MIB))));
    let store = open(&folder, &disk).unwrap();
    assert_eq!(store.space().borrow().level, Level::Ample);
    fill_log(&store, 9).await;
    let one = store.create(endpoint(Some("one"))).await.unwrap();
    with_free(&store, &disk, 900, Level::Low).await;
    let replay = begun(&store, &one, of_the_log()).await;
    // Below what should be free, what comes is still taken: whoever would add to it asks first.
    store.commit_sights(vec![told(snapshot(20, 1), at(20), 1)], None).await.unwrap();
    with_free(&store, &disk, 63, Level::Full).await;
    let sights = store.commit_sights(vec![told(snapshot(21, 1), at(21), 1)], None).await;
    let created = store.create(endpoint(Some("other"))).await;
    let replayed = store.begin_replay(replay.clone()).await;
    let (updated, deleted) = (store.update(&one, one.clone()).await, store.delete(one.id).await);
    let (cut, checked) = (store.cut_events(Position(5)).await, store.check().await);
    assert!(is_full(&sights) && is_full(&created) && is_full(&updated), "{sights:?} {created:?} {updated:?}");
    assert!(is_full(&replayed), "{replayed:?}");
    assert!(is_full(&deleted) && is_full(&cut) && is_full(&checked), "{deleted:?} {cut:?} {checked:?}");
    assert_eq!(store.events_after(Position::START, 99).await.unwrap().len(), 10, "it can be read");
    let mut waits = JoinSet::new();
    let (writer, record) = (Arc::clone(&store), record(3, &one, DeliveryStatus::Delivered, None));
    waits.spawn(async move {
        writer.commit_deliveries(DeliveryCommit { records: vec![record], ..DeliveryCommit::default() }).await.unwrap();
    });
    let (writer, id) = (Arc::clone(&store), one.id);
    waits.spawn(async move { assert!(writer.forget_secrets(id, at(99)).await.unwrap()) });
    let writer = Arc::clone(&store);
    waits.spawn(async move { assert!(writer.end_replay(replay.id, ReplayStatus::Canceled, at(99)).await.unwrap()) });
    with_free(&store, &disk, 64, Level::Low).await;
    waits.join_all().await;
    assert!(store.delivery(delivery_id(3, &one)).await.unwrap().is_some(), "what could not be taken back has waited");
    store.check().await.unwrap();
    store.close().await;
    drop(store);
    let store = open(&folder, &disk).unwrap();
    assert_eq!(*store.head().borrow(), Position(10), "nothing of what was refused is there");
    assert!(store.by_uid("other").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_being_canceled_waits_for_room() {
    let (folder, disk) = (TempDir::new().unwrap(), Arc::new(Faked(AtomicU64::new(4096 * MIB))));
    let store = open(&folder, &disk).unwrap();
    fill_log(&store, 600).await;
    let one = store.create(endpoint(None)).await.unwrap();
    let pending = (1..=600).map(|position| record(position, &one, DeliveryStatus::Pending, Some(at(1)))).collect();
    commit_records(&store, pending).await;
    let (deleter, id) = (Arc::clone(&store), one.id);
    let mut deletions = JoinSet::new();
    deletions.spawn(async move { deleter.delete(id).await });
    with_free(&store, &disk, 0, Level::Full).await;
    with_free(&store, &disk, 4096, Level::Ample).await;
    // Whatever was left of it is taken up with the next thing that is asked for.
    store.check().await.unwrap();
    match deletions.join_next().await.unwrap().unwrap() {
        Ok(deleted) => assert!(deleted && store.waiting(one.id.number, 9).await.unwrap().is_empty()),
        Err(error) => {
            assert!(matches!(error, StoreError::Full) && store.by_number(one.id.number).await.unwrap().is_some())
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_says_nothing_leaves_things_as_they_are() {
    let (folder, disk) = (TempDir::new().unwrap(), Arc::new(Faked(AtomicU64::new(u64::MAX))));
    let refused = open(&folder, &disk).err().unwrap().to_string();
    assert!(refused.contains("cannot tell how much room there is"), "{refused}");
    disk.0.store(900 * MIB, Ordering::SeqCst);
    let store = open(&folder, &disk).unwrap();
    disk.0.store(u64::MAX, Ordering::SeqCst);
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert_eq!(store.space().borrow().level, Level::Low);
    store.check().await.unwrap();
}
