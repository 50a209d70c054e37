//! Chance against the queue: endpoints come, change, stop and go, receivers fail, operators step in, the process is
//! killed; in the end all is well again, and then every event must have arrived or been given up in the open, in order,
//! within all limits, never before its time.
//!
//! Over a store in memory with a clock that goes on when everybody waits, a seed decides everything. What failed can be
//! had again: `SEED=17 cargo test --test it queue::simulation`; more seeds than the suite has: `SEED=1001-9000`. Over the
//! real store `DISK_SEED` says the same.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use self::world::{Over, World};
use super::dice::Dice;
use crate::support::process::PATIENCE;

mod asked;
mod check;
mod crash_points;
mod laws;
mod world;

/// How often it is looked whether everything has ended.
const LOOK: Duration = Duration::from_millis(200);

async fn run(seed: u64, over: Over) {
    let mut world = World::new(seed, over).await;
    world.start().await;
    for _ in 0..over.steps() {
        world.step().await;
    }
    world.receivers.heal();
    world.drain(seed).await;
    world.stop().await;
    world.check().await;
    // Once more, to see that nothing of it is sent again.
    world.start().await;
    world.bench.commit(["r0".to_owned()]).await;
    world.drain(seed).await;
    world.stop().await;
    assert_eq!(world.receivers.wrongs(), [] as [String; 0], "seed {seed}");
}

impl World {
    /// Waits until everything has ended. Thousands may be left, and the machine may be busy; but something must end all
    /// the time. What is under way may yet leave something pending that nobody had to get, so one look is not enough.
    async fn drain(&mut self, seed: u64) {
        let (mut fewest, mut deadline) = (usize::MAX, tokio::time::Instant::now());
        let mut has_ended = false;
        loop {
            let missing = self.missing().await;
            let replays = self.unfinished().await;
            let left = missing.len() + replays.len();
            if left == 0 && has_ended {
                return;
            }
            has_ended = left == 0;
            if left < fewest {
                (fewest, deadline) = (left, tokio::time::Instant::now() + PATIENCE);
            }
            let (first, wrongs) = (&missing[..missing.len().min(20)], self.receivers.wrongs());
            assert!(
                tokio::time::Instant::now() < deadline,
                "seed {seed}: {fewest} never end, the first of them {first:#?}; {replays:#?}; {wrongs:#?}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Seeds of each run over the disk: they fix what happens, though not how the threads run.
const DISK_SEEDS: RangeInclusive<u64> = 1..=4;

/// More would only wait for the same disk.
const DISK_RUNS_AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_every_event_arrives_in_order_and_within_all_limits() {
    let runs = seeds("DISK_SEED", DISK_SEEDS).map(|seed| {
        println!("seed {seed}");
        #[expect(clippy::disallowed_methods, reason = "it is awaited below")]
        async move {
            tokio::spawn(run(seed, Over::Disk)).await
        }
    });
    let mut runs = stream::iter(runs).buffer_unordered(DISK_RUNS_AT_ONCE);
    while let Some(ended) = runs.next().await {
        ended.expect("the run held its promises");
    }
}

/// What each run of the suite tries in memory.
const SEEDS: RangeInclusive<u64> = 1..=1_000;

/// Who tries them side by side.
const SHARES: u64 = 4;

#[expect(clippy::disallowed_methods, reason = "it is for whoever looks for the cause of a failure")]
fn seeds(variable: &str, usual: RangeInclusive<u64>) -> RangeInclusive<u64> {
    let Ok(text) = std::env::var(variable) else { return usual };
    let number = |text: &str| text.parse().expect("seeds are a number, or two with a - between them");
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    number(first)..=number(last)
}

fn share(share: u64) {
    for seed in seeds("SEED", SEEDS).filter(|seed| seed % SHARES == share) {
        println!("seed {seed}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(run(seed, Over::Memory));
    }
}

#[test]
fn in_short_histories_too_a_first_share() {
    share(0);
}

#[test]
fn in_short_histories_too_a_second_share() {
    share(1);
}

#[test]
fn in_short_histories_too_a_third_share() {
    share(2);
}

#[test]
fn in_short_histories_too_a_fourth_share() {
    share(3);
}
