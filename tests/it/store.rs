//! The `store` room, through its door.
//!
//! `conformance`, `lists`, `by_creation`, `endpoints`, `history`, `retention`, `access` and `answers` are what every backend must do, written
//! against the traits;
//! `sled` runs them, and adds what is true of the folder alone: keys, locks, secrets; `damage` to its files; `kill` at
//! any moment; `rekey` gives it another key; `backup` makes a file of it and it of a file; `formats`, `unpacked` and `older` are what other versions have left. `memory` runs what
//! the stores in memory of other tests must do like it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod answers;
mod backup;
mod by_creation;
mod conformance;
mod damage;
mod endpoints;
mod formats;
mod history;
mod kill;
mod kill_child;
mod kill_cut;
mod lists;
mod memory;
mod model;
mod older;
mod rekey;
mod replays;
mod retention;
mod samples;
mod sled;
mod space;
mod unpacked;
