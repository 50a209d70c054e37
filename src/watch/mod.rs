//! Passes: the loops that look at a source, ask [`crate::detect`] what changed, and commit it.
//!
//! Invariants: at most one pass of a kind runs on a source; what is committed for one source goes through one
//! place, so that an older answer never overwrites a newer one; the watermark moves only after a complete pass;
//! nothing is inferred from an incomplete listing; before the baseline is complete nothing first seen is told.
//!
//! This room knows nothing of deliveries, endpoints, our API or HTTP.
//!
//! In reading order: [`watcher`] (the door, one per source, and its loop), `pass` (one run over a source),
//! `applier` (the one place where answers become commits), `ruling` and `crossing` (which answer is newer),
//! `progress` (what a complete pass moves), `upstream` (calls that wait and try again), `queue`, [`schedule`] and
//! `reports` (when passes run and what is remembered of them), [`backoff`].

use std::time::Duration;

pub mod backoff;
pub mod schedule;
pub mod watcher;

mod applier;
mod crossing;
mod pass;
mod progress;
mod queue;
mod reports;
mod ruling;
mod upstream;

pub use watcher::{Description, Watcher};

/// When a pass is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// So long after the last one began.
    Every(Duration),
    /// By a six-field cron expression, in UTC.
    Cron(String),
}

/// What the first full listing tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// Nothing.
    Silent,
    /// A `created` and what goes with it for everything, marked `baseline`.
    Emit,
}

/// What configuration says about looking at a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When to ask for what was updated.
    pub changes: Schedule,
    /// How far behind the watermark such a pass begins, because upstream may show a change late.
    pub overlap: Duration,
    /// When to list everything.
    pub sweep: Schedule,
    /// What the first full listing tells.
    pub baseline: Baseline,
    /// Top-level fields that are not watched, beside those that never are.
    pub ignore_fields: Vec<String>,
}
