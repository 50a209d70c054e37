//! The `api` room, through its door.

mod broken_calls;
mod deliveries;
mod door;
mod endpoints;
mod events;
mod rules;
mod sources;
