//! certhook tells your systems what happened to tax-exemption certificates at a vendor whose API can only be
//! polled: it finds the changes itself, keeps them in a log, and delivers them as signed webhooks.
//!
//! # The way the data flows
//!
//! ```text
//! upstream ──pages──▶ source ──rows──▶ detect ──changes──▶ watch ──one commit──▶ store (snapshots + event log)
//!                                                                                  │ wake
//! subscriber ◀──HTTP── deliver: lanes ◀── router ◀── tail of the log ◀─────────────┘
//!                        └── records, positions ──▶ store        api reads the store and asks for work; it never does it
//! ```
//!
//! One direction, no way back: a room knows only what lies upstream of it by value, never by call. Each folder is a
//! room, its `mod.rs` the door: what the room is, what always holds in it, in which order to read it.
//!
//! # Words
//!
//! **Source**: an upstream account that is polled · **Resource**: one certificate or certificate request ·
//! **Snapshot**: the stored last sight of a resource · **Pass**: one run over a source · **Event**: one observed
//! transition, immutable · **Endpoint**: a subscriber · **Delivery**: one event for one endpoint · **Attempt**: one
//! HTTP try of a delivery · **Outcome**: what an attempt meant · **Position**: a place in the event log.
//!
//! # What always holds
//!
//! - Snapshot and events of a sight are committed in one atomic act; nothing is sent before it is durable.
//! - The events of a resource form a chain: each starts where the last ended, versions without gaps.
//! - The log is the queue: an endpoint has a position in it, and only deliveries that were tried are rows.
//! - A listing proves the absence of something only if it was complete, and completeness is a value that only
//!   [`source::listing`] can make.
//! - Decisions are functions of values, with time and chance as arguments; loops only fetch, call them, and commit.
//!
//! # The rooms, in reading order

pub mod model;

pub mod clock;

pub mod source;

pub mod detect;

pub mod watch;

pub mod store;

pub mod deliver;

pub mod api;

pub mod sandbox;

pub mod config;

pub mod telemetry;

pub mod app;

pub mod client;

pub mod cli;
