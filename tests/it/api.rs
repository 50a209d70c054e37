//! The `api` room, through its door.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod audit;
mod backup;
mod broken_calls;
mod deliveries;
mod door;
mod endpoints;
mod event_deliveries;
mod event_types;
mod events;
mod exemptions;
mod following;
mod headers;
mod idempotency;
mod keys;
mod limits;
mod openapi;
mod replays;
mod resources;
mod rotation;
mod rules;
mod sources;
mod stream;
mod switching;
mod upstream;
