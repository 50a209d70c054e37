//! Detection against the simulated upstream in every one of its modes: the real source over real HTTP, the real
//! watcher, the real store, and a random history that happens between, behind and within the passes.

mod check;
mod economy;
mod expected;
mod gone;
mod memory;
mod passes;
mod reminders;
mod rig;
mod story;
mod trouble;
mod upstream;

use std::collections::BTreeSet;
use std::time::Duration;

use certhook::clock::random_bytes;
use certhook::detect::agenda::Policy;
use certhook::model::event::EventType;
use certhook::sandbox::dice::Dice;
use certhook::sandbox::options::{LostCursor, Modes, Order, TimeBounds, TimestampForm};
use certhook::watch::RemovalGuard;
use jiff::civil;
use jiff::tz::TimeZone;
use serde_json::Map;
use tokio::task::JoinSet;

use self::rig::{Choices, Rig};

/// Set it to the seed that a failure printed, to see the same again.
const SEED: Option<u64> = None;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// How many steps a history has.
const STEPS: u32 = 10;

/// How many values each mode has, in the order of [`modes`]. The clock comes last: right, with a `Date` header that
/// is ahead or behind, and truly ahead or behind.
const VALUES: [usize; 8] = [2, 2, 2, 2, 2, 2, 3, 5];

type Choice = [usize; VALUES.len()];

/// What a choice means: the modes, and how far upstream's clock is ahead of ours, in milliseconds.
fn modes(choice: Choice) -> (Modes, i64) {
    let [order, bounds, status, bump, archived, form, lost, clock] = choice;
    let (skew, shift) = [(0, 0), (180, 0), (-180, 0), (0, 180_000), (0, -180_000)][clock];
    let modes = Modes {
        order: [Order::Ascending, Order::Descending][order],
        time_bounds: [TimeBounds::Inclusive, TimeBounds::Exclusive][bounds],
        status_in_rows: status == 0,
        clock_moves_bump_updated_at: bump == 0,
        archived_by_id: archived == 0,
        clock_skew_seconds: skew,
        timestamps: [TimestampForm::Milliseconds, TimestampForm::Seconds][form],
        lost_cursor: [LostCursor::Refused, LostCursor::EmptyPage, LostCursor::Continues][lost],
        livemode: false,
        further_fields: Map::new(),
    };
    (modes, shift)
}

/// Every two values of two modes in a choice.
fn pairs(choice: Choice) -> impl Iterator<Item = [(usize, usize); 2]> {
    let count = VALUES.len();
    (0..count).flat_map(move |one| (one + 1..count).map(move |other| [(one, choice[one]), (other, choice[other])]))
}

/// Choices in which every value of every mode meets every value of every other.
fn covering(dice: &mut Dice) -> Vec<Choice> {
    let (mut covered, mut choices) = (BTreeSet::new(), Vec::new());
    let wanted: usize = (0..VALUES.len()).map(|one| VALUES[one] * VALUES[one + 1..].iter().sum::<usize>()).sum();
    while covered.len() < wanted {
        let candidates: Vec<Choice> = (0..200).map(|_| VALUES.map(|count| dice.below(count as u64) as usize)).collect();
        let news = |choice: &Choice| pairs(*choice).filter(|pair| !covered.contains(pair)).count();
        let best = candidates.into_iter().max_by_key(news).expect("there are candidates");
        covered.extend(pairs(best));
        choices.push(best);
    }
    choices
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_every_mode_exactly_what_happened_is_told() {
    let seed = SEED.unwrap_or_else(|| u64::from_le_bytes(random_bytes()));
    println!("seed {seed}");
    let mut runs = JoinSet::new();
    for (number, choice) in covering(&mut Dice::seeded(seed)).into_iter().enumerate() {
        runs.spawn(history(seed.wrapping_add(number as u64), choice));
    }
    let (mut told, mut failures) = (BTreeSet::new(), Vec::new());
    while let Some(ended) = runs.join_next().await {
        match ended {
            Ok(types) => told.extend(types),
            Err(panic) => failures.push(panic.to_string()),
        }
    }
    assert!(failures.is_empty(), "{} histories of seed {seed} failed, as said above", failures.len());
    // 36 types can come of this; histories so poor that they show few of them would prove little.
    assert!(told.len() >= 28, "only {told:?} were told");
}

/// One history from the baseline to a last complete sweep. Gives what was told.
async fn history(seed: u64, choice: Choice) -> BTreeSet<EventType> {
    let (modes, shift) = modes(choice);
    let mut rig = Rig::start_with(seed, modes, shift, choices(&mut Dice::seeded(seed ^ 0xc401))).await;
    match rig.dice.below(2) {
        0 => rig.baseline().await,
        _ => rig.disturbed_baseline().await,
    }
    for _ in 0..STEPS {
        step(&mut rig).await;
    }
    end(&mut rig).await;
    let told = rig.assert_log().await;
    rig.end().await;
    told
}

/// What configuration says: a guard that believes less or more, and reminders or none.
fn choices(dice: &mut Dice) -> Choices {
    let guards = [RemovalGuard { count: 2, share: 0.04 }, RemovalGuard { count: 10, share: 0.10 }];
    let zone = *dice.pick(&["UTC", "America/New_York", "Asia/Tokyo"]);
    let reminding = Policy {
        will_expire: vec![60, 30, 14, 7, 1],
        remind_at: civil::time(9, 0, 0, 0),
        timezone: TimeZone::get(zone).expect("a zone"),
    };
    let dates = if dice.chance() < 0.6 { reminding } else { Policy::default() };
    Choices { guard: *dice.pick(&guards), dates }
}

/// Something happens, time passes, somebody looks.
async fn step(rig: &mut Rig) {
    for _ in 0..rig.dice.below(6) {
        rig.upstream.act().await;
    }
    let wait_ms = *rig.dice.pick(&[0, 1, 300, 1_000, 5_000, 30_000, 600_000, 7 * HOUR_MS, DAY_MS, 40 * DAY_MS]);
    rig.clock_on(Duration::from_millis(wait_ms)).await;
    for _ in 0..rig.dice.below(4) {
        rig.upstream.act().await;
    }
    match rig.dice.below(14) {
        0 => rig.restart().await,
        1 => rig.respell().await,
        2 => rig.show_a_further_field().await,
        _ => {}
    }
    if rig.dice.chance() < 0.5 {
        rig.decide().await;
    }
    let look = rig.dice.below(12);
    let (drift, fault) = (rig.dice.chance() < 0.4, rig.dice.chance() < 0.4);
    if drift {
        rig.upstream.set_drift(0.3);
    }
    if fault {
        rig.order_a_fault().await;
    }
    match look {
        0..4 => rig.changes(drift || fault).await,
        4..6 => rig.open(drift || fault).await,
        6..8 => rig.deadline(drift || fault).await,
        8..10 => rig.sweep(drift || fault).await,
        _ => rig.together().await,
    }
    rig.upstream.set_drift(0.0);
    rig.clear_faults().await;
}

/// In the end all is quiet, and whatever can be known is.
async fn end(rig: &mut Rig) {
    rig.clock_on(Duration::from_secs(10)).await;
    rig.changes(false).await;
    rig.sweep(false).await;
    rig.clock_on(Duration::from_millis(37 * HOUR_MS)).await;
    rig.open(false).await;
    rig.deadline(false).await;
    rig.sweep(false).await;
    rig.assert_every_status().await;
}
