//! What an operator sees of a running gateway: logs and metrics.
//!
//! Invariants: one direction, from the loops to here; a decision neither logs nor measures; nothing here is global, so
//! that gateways of one process share no number; labels have few values, and none of them is the id of a resource,
//! an event or a delivery. Per endpoint there are gauges alone, and whatever adds up is added up over all endpoints.
//!
//! A part of the gateway makes its own meter when it is made, and measures whether anybody looks or not. Whoever
//! composes the gateway hands the meters over for every scrape, with a look at what is no sum: see [`scene`].
//!
//! This room knows the nouns and nothing of who works with them.
//!
//! In reading order: [`logs`]; [`meters`] (what the loops hold), [`scene`] (what is looked at for a scrape),
//! [`text`] (both as OpenMetrics text, each metric with its name and help), [`process`] (what the system says of us).

pub mod logs;
pub mod meters;
pub mod process;
pub mod scene;
pub mod text;

pub use logs::{AlreadyInstalled, Format, Level, NoLevel, Settings, install};
