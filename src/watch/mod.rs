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
//! `recognised` (what is known without a look into the store), `guard` (how much may be gone at once), `progress`
//! (what a complete pass moves), `account` (what is said of the source itself), `upstream` (calls that wait and try
//! again), `queue`, [`schedule`] and `reports` (when passes run and what is remembered of them), [`backoff`].

use std::time::Duration;

use crate::detect::agenda::Policy;

pub mod backoff;
pub mod schedule;
pub mod watcher;

mod account;
mod applier;
mod crossing;
mod guard;
mod pass;
mod progress;
mod queue;
mod recognised;
mod reports;
mod ruling;
mod upstream;

pub use watcher::{CallFailed, Paused, Undecided, Watcher};

/// What a source is called in answers and in events about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The dialect that it speaks.
    pub kind: String,
    /// Where it is.
    pub base_url: String,
    /// Whether what it holds is real; `false` for a simulated upstream.
    pub livemode: bool,
}

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

/// When what a sweep did not show is too much to be believed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RemovalGuard {
    /// At least so many resources, of both kinds together,
    pub count: u64,
    /// and at least this share of all that there are of one kind, from 0 to 1.
    pub share: f64,
}

/// What configuration says about looking at a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// When to ask for what was updated.
    pub changes: Schedule,
    /// How far behind the watermark such a pass begins, because upstream may show a change late.
    pub overlap: Duration,
    /// When to list what the clock or people may move without a trace in `updated_at`.
    pub open: Schedule,
    /// When to list everything.
    pub sweep: Schedule,
    /// From when on so many resources are gone, or new, that it looks like a mistake of upstream's.
    pub removal_guard: RemovalGuard,
    /// Reminders, and the time zone of dates.
    pub dates: Policy,
    /// What the first full listing tells.
    pub baseline: Baseline,
    /// Top-level fields that are not watched, beside those that never are.
    pub ignore_fields: Vec<String>,
}
