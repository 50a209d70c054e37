//! The tests that go through a public door, in one binary.

mod api;
mod config;
mod deliver;
mod house;
mod queue;
mod sandbox;
mod source;
mod store;
mod support;
mod watch;
