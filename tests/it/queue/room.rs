//! Deliveries while the disk is full: nothing is sent that cannot be recorded.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use certhook::clock::SystemClock;
use certhook::model::delivery::{DeliveryStatus, Outcome};
use certhook::store::sled::SledStore;
use certhook::store::space::{Disk, Space};
use certhook::store::{Settings, Store};

use super::rig::*;

const GIB: u64 = 1 << 30;

/// As much is free as somebody says.
struct Faked(AtomicU64);

impl Disk for Faked {
    fn free(&self) -> io::Result<u64> {
        Ok(self.0.load(Ordering::SeqCst))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_while_the_disk_is_full_and_all_of_it_afterwards() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings { path: folder.path().join("data"), encryption_key: None, min_free: GIB };
    let disk = Arc::new(Faked(AtomicU64::new(2 * GIB)));
    let store: Arc<dyn Store> =
        SledStore::open_on(&settings, &SystemClock::default(), Arc::clone(&disk) as _).expect("it opens");
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await.with(Arc::clone(&store));
    bench.register("crm", |_| {}).await;
    bench.commit(names(0..5)).await;
    disk.0.store(0, Ordering::SeqCst);
    let mut space = store.space();
    space.wait_for(|space| !space.can_be_written()).await.expect("somebody looks");
    bench.start();
    // Long enough for all five, had they been tried.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(bench.sent().len(), 0);
    assert!(store.check().await.is_err(), "and the store says that it takes nothing");
    disk.0.store(GIB / 2, Ordering::SeqCst);
    space.wait_for(Space::can_be_written).await.expect("somebody looks");
    bench.await_ended(DeliveryStatus::Delivered, 5).await;
    assert_eq!(bench.sent().len(), 5, "each once, with less room than there should be");
    bench.stop().await;
}
