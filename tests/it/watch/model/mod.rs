//! Detection against plain maps: whatever happens upstream, on the way and to the process, what is told is what
//! happened.
//!
//! A case is a world, what is in it at first, and steps. It is played with a source, a store and a clock in memory; all
//! that happens is put down in one record, and the laws are looked for in that, without any code of `detect`.
//!
//! In reading order: [`steps`] (what can happen), [`chances`] (how likely), [`upstream`] (what it does), [`scene`] (how it
//! is played), [`ledger`] (the store), [`life`] and [`record`] (all that happened), [`meaning`], [`story`] and [`calendar`]
//! (when two states are the same, what is to be told if they are not, and when a date is near and over), [`laws`].

use std::cell::RefCell;
use std::collections::BTreeMap;

use certhook::clock::random_bytes;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use self::chances::{Emphasis, cases};
use self::record::Record;
use self::steps::Case;

mod calendar;
mod chances;
mod laws;
mod ledger;
mod life;
mod meaning;
mod record;
mod scene;
mod steps;
mod story;
mod upstream;

/// Set it to the seed that a failure printed, to see the same again.
const SEED: Option<u64> = None;

/// How many cases each test plays.
const CASES: u32 = 520;

const USUAL: Emphasis = Emphasis { rows_lack_status: 0, dates: 25, small_guard: 15, mishaps_max: 4 };

/// Plays one case, and looks for the laws in what happened.
fn hold(case: &Case) -> Result<Record, String> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    let record = runtime.block_on(scene::play(case));
    laws::check(&record).map(|()| record)
}

/// Plays cases until one breaks a law, and shows the smallest that does.
fn play(emphasis: Emphasis) {
    let seed = SEED.unwrap_or_else(|| u64::from_le_bytes(random_bytes()));
    println!("seed {seed}");
    let bytes: [u8; 32] = std::array::from_fn(|place| seed.to_le_bytes()[place % 8]);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let told = RefCell::new(BTreeMap::<&'static str, u32>::new());
    let result = runner.run(&cases(emphasis), |case| {
        let record = hold(&case).map_err(TestCaseError::fail)?;
        record.told().for_each(|event_type| *told.borrow_mut().entry(event_type).or_default() += 1);
        Ok(())
    });
    let told = told.into_inner();
    match result {
        // 36 types can come of this; cases so poor that they show few of them would prove little.
        Ok(()) => assert!(told.len() >= 28, "seed {seed}: only {told:?} were told"),
        Err(TestError::Fail(why, case)) => panic!("seed {seed}: {why}\n{case}"),
        Err(TestError::Abort(why)) => panic!("seed {seed}: {why}"),
    }
}

#[test]
fn what_is_told_is_what_happened() {
    play(USUAL);
}

#[test]
fn what_is_told_is_what_happened_where_rows_show_no_status() {
    play(Emphasis { rows_lack_status: 100, ..USUAL });
}

#[test]
fn what_is_told_is_what_happened_while_everything_fails() {
    play(Emphasis { rows_lack_status: 30, small_guard: 50, mishaps_max: 12, ..USUAL });
}

#[test]
fn what_is_told_is_what_happened_while_the_days_go_by() {
    play(Emphasis { rows_lack_status: 30, dates: 100, mishaps_max: 2, ..USUAL });
}
