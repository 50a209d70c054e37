//! Secrets whose overlap is over.

use std::sync::Arc;
use std::time::Duration;

use certhook::clock::Clock;
use certhook::deliver::forget_former_secrets;
use certhook::model::endpoint::{Endpoint, SigningSecret, rotated};
use certhook::model::id::EndpointNumber;
use certhook::model::time::Timestamp;
use certhook::store::{EndpointStore, Updated};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fixture::{endpoint, secret};
use crate::support::memory::Memory;

/// Shows the time that tokio makes pass while everybody sleeps.
struct Frozen(Instant);

impl Clock for Frozen {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_233_600_000).plus(self.0.elapsed())
    }
}

struct Bench {
    store: Arc<Memory>,
    clock: Arc<Frozen>,
    changes: broadcast::Receiver<EndpointNumber>,
    running: JoinSet<()>,
    stop: CancellationToken,
}

impl Bench {
    fn new() -> Self {
        let store = Arc::new(Memory::new());
        let changes = store.changes();
        let clock = Arc::new(Frozen(Instant::now()));
        Self { store, clock, changes, running: JoinSet::new(), stop: CancellationToken::new() }
    }

    fn start(&mut self) {
        let run = forget_former_secrets(Arc::clone(&self.store) as _, Arc::clone(&self.clock) as _, self.stop.clone());
        self.running.spawn(async move { run.await.expect("the store works") });
    }

    /// Gives an endpoint another secret.
    async fn rotate(&mut self, number: EndpointNumber, byte: u8, overlap: Duration) {
        let known = self.store.by_number(number).await.expect("a store").expect("an endpoint");
        let fresh = SigningSecret { key: vec![byte; 32].into(), expires_at: None };
        let secrets = rotated(&known.secrets, fresh, overlap, self.clock.now()).expect("another secret");
        let changed = Endpoint { secrets, ..known.clone() };
        assert_eq!(self.store.update(&known, changed).await.expect("a store"), Updated::Yes);
        assert_eq!(self.changes.recv().await.expect("a change"), number);
    }

    async fn register(&mut self) -> EndpointNumber {
        let created = self.store.create(endpoint("https://a.example/")).await.expect("a store");
        assert_eq!(self.changes.recv().await.expect("a change"), created.id.number);
        created.id.number
    }

    /// Waits for the next change that nobody here made; gives the time since the start, and how many secrets are left.
    async fn forgotten(&mut self) -> (EndpointNumber, Duration, usize) {
        let changed = tokio::time::timeout(minutes(10_000), self.changes.recv()).await;
        let number = changed.expect("something is forgotten").expect("a change");
        let known = self.store.by_number(number).await.expect("a store").expect("an endpoint");
        (number, self.clock.0.elapsed(), known.secrets.len())
    }
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

#[tokio::test(start_paused = true)]
async fn each_former_secret_is_forgotten_at_its_instant() {
    let mut bench = Bench::new();
    let (one, other) = (bench.register().await, bench.register().await);
    bench.rotate(one, 1, minutes(300)).await;
    bench.rotate(other, 1, minutes(30)).await;
    bench.start();
    // While it waits for one, an earlier one comes.
    tokio::time::sleep(minutes(10)).await;
    bench.rotate(one, 2, minutes(5)).await;
    assert_eq!(bench.forgotten().await, (one, minutes(15), 2));
    assert_eq!(bench.forgotten().await, (other, minutes(30), 1));
    assert_eq!(bench.forgotten().await, (one, minutes(300), 1));
    let kept = bench.store.by_number(one).await.expect("a store").expect("an endpoint");
    assert_eq!(kept.secrets, [SigningSecret { key: vec![2; 32].into(), expires_at: None }]);
}

#[tokio::test(start_paused = true)]
async fn what_ended_while_nobody_looked_is_forgotten_at_the_start() {
    let mut bench = Bench::new();
    let ended = bench.register().await;
    let untouched = bench.register().await;
    bench.rotate(ended, 1, minutes(1)).await;
    tokio::time::sleep(minutes(60)).await;
    bench.start();
    assert_eq!(bench.forgotten().await, (ended, minutes(60), 1));
    tokio::time::sleep(minutes(10_000)).await;
    assert!(bench.changes.try_recv().is_err(), "nothing else was written");
    let kept = bench.store.by_number(untouched).await.expect("a store").expect("an endpoint");
    assert_eq!(kept.secrets, [secret()]);
    bench.stop.cancel();
    bench.running.join_next().await.expect("it runs").expect("it ends in order");
}

#[tokio::test(start_paused = true)]
async fn more_changes_than_can_be_told_hide_no_end() {
    let mut bench = Bench::new();
    let (number, other) = (bench.register().await, bench.register().await);
    bench.start();
    tokio::task::yield_now().await;
    bench.rotate(number, 1, minutes(5)).await;
    let mut other = bench.store.by_number(other).await.expect("a store").expect("an endpoint");
    for nth in 0..200 {
        // Nothing here waits, so the loop has no turn until all is told, and by then the rotation is no longer told.
        let changed = Endpoint { description: nth.to_string(), ..other.clone() };
        assert_eq!(bench.store.update(&other, changed.clone()).await.expect("a store"), Updated::Yes);
        other = changed;
    }
    bench.changes = bench.store.changes();
    assert_eq!(bench.forgotten().await, (number, minutes(5), 1));
}
