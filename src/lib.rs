//! certhook tells your systems what happened to tax-exemption certificates at a vendor whose API can only be
//! polled: it finds the changes itself, keeps them in a log, and delivers them as signed webhooks.

pub mod api;
pub mod app;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod deliver;
pub mod detect;
pub mod model;
pub mod sandbox;
pub mod source;
pub mod store;
pub mod telemetry;
pub mod watch;
