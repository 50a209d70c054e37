//! The tests that go through a public door, in one binary.

mod api;
mod backup;
mod cli;
mod config;
mod crash;
mod crm_sync;
mod deliver;
mod docs;
mod end_to_end;
mod following;
mod house;
mod metrics;
mod modes;
mod queue;
mod restarting;
mod sandbox;
mod secrets;
mod source;
mod store;
mod support;
mod traps;
mod upstream_calls;
mod watch;
