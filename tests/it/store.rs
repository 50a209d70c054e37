//! The `store` room, through its door.
//!
//! `conformance` is what every backend must do, written against the traits; `sled` runs it, and adds what is true of
//! the folder alone: keys, locks, secrets; `damage` to its files; `kill` at any moment.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod conformance;
mod damage;
mod endpoints;
mod history;
mod kill;
mod kill_child;
mod model;
mod samples;
mod sled;
