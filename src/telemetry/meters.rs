//! What the loops hold: sums and histograms, each looked up once, when its part is made.
//!
//! Clones of a meter share their numbers. A sum costs one atomic addition, a histogram one lock that nobody holds for
//! longer than that; nothing is looked up by a label, but for requests to our API.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::model::delivery::Outcome;
use crate::model::source::PassKind;

/// Answers of a network, in seconds: from a neighbour's to the longest deadline there is.
const NETWORK: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 120.0];

/// Waits of events, in seconds: from one commit to what nobody calls prompt any more.
const DELAYS: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 3600.0];

/// Passes, in seconds: from one page to a first listing of millions at a few pages a second.
const PASSES: [f64; 11] = [0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 28800.0];

/// The disk, in seconds: from one that only says so to the 30 s after which a commit that hangs ends the process.
const DISK: [f64; 13] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

fn seconds(of: Duration) -> f64 {
    of.as_secs_f64()
}

/// Attempts of deliveries, over all endpoints.
#[derive(Clone, Debug)]
pub struct Attempts {
    pub(super) outcomes: [Counter; Outcome::ALL.len()],
    pub(super) took: Histogram,
    pub(super) delay: Histogram,
    pub(super) delivered: Counter,
    pub(super) failed: Counter,
    pub(super) panics: Counter,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            outcomes: Default::default(),
            took: Histogram::new(NETWORK),
            delay: Histogram::new(DELAYS),
            delivered: Counter::default(),
            failed: Counter::default(),
            panics: Counter::default(),
        }
    }
}

impl Attempts {
    /// One has ended.
    pub fn ended(&self, outcome: Outcome, took: Duration) {
        self.outcomes[outcome as usize].inc();
        self.took.observe(seconds(took));
    }

    /// The first one of a delivery began so long after its event was observed.
    pub fn began_after(&self, delay: Duration) {
        self.delay.observe(seconds(delay));
    }

    /// A delivery has ended with its last attempt, well or not.
    pub fn closed(&self, is_delivered: bool) {
        if is_delivered { &self.delivered } else { &self.failed }.inc();
    }

    /// One panicked, and was contained.
    pub fn panicked(&self) {
        self.panics.inc();
    }
}

/// What became of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassResult {
    /// It has seen everything.
    Complete,
    /// Something was missing.
    Incomplete,
    /// It has seen nothing.
    Failed,
}

impl PassResult {
    pub(super) const ALL: [Self; 3] = [Self::Complete, Self::Incomplete, Self::Failed];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// What a pass has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassCounts {
    /// Pages read.
    pub pages: u64,
    /// Items on them.
    pub seen: u64,
    /// Items that had changed.
    pub changed: u64,
    /// Of these, what only a sweep found.
    pub found_late: u64,
    /// Items that could not be used.
    pub malformed: u64,
}

/// The passes of one kind over one source.
#[derive(Clone, Debug)]
pub(super) struct KindOfPass {
    pub(super) results: [Counter; PassResult::ALL.len()],
    pub(super) took: Histogram,
    pub(super) pages: Counter,
    pub(super) seen: Counter,
    pub(super) changed: Counter,
    pub(super) found_late: Counter,
    pub(super) malformed: Counter,
}

impl Default for KindOfPass {
    fn default() -> Self {
        Self {
            results: Default::default(),
            took: Histogram::new(PASSES),
            pages: Counter::default(),
            seen: Counter::default(),
            changed: Counter::default(),
            found_late: Counter::default(),
            malformed: Counter::default(),
        }
    }
}

/// The passes over one source.
#[derive(Clone, Debug, Default)]
pub struct Passes {
    pub(super) kinds: [KindOfPass; PassKind::ALL.len()],
    pub(super) panics: Counter,
}

impl Passes {
    /// One has ended.
    pub fn ended(&self, kind: PassKind, result: PassResult, took: Duration, counts: PassCounts) {
        let of_kind = &self.kinds[kind as usize];
        of_kind.results[result as usize].inc();
        of_kind.took.observe(seconds(took));
        of_kind.pages.inc_by(counts.pages);
        of_kind.seen.inc_by(counts.seen);
        of_kind.changed.inc_by(counts.changed);
        of_kind.found_late.inc_by(counts.found_late);
        of_kind.malformed.inc_by(counts.malformed);
    }

    /// One panicked, and was contained.
    pub fn panicked(&self) {
        self.panics.inc();
    }
}

/// What became of a call to upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// It was answered with what was asked for.
    Ok,
    /// The key is refused.
    Unauthorized,
    /// We are asked to wait.
    Throttled,
    /// The call is refused: a 404 by id, for example.
    Refused,
    /// No answer, or a server's error.
    Unavailable,
}

impl CallResult {
    pub(super) const ALL: [Self; 5] = [Self::Ok, Self::Unauthorized, Self::Throttled, Self::Refused, Self::Unavailable];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unauthorized => "unauthorized",
            Self::Throttled => "throttled",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Calls to one source.
#[derive(Clone, Debug)]
pub struct Calls {
    pub(super) results: [Counter; CallResult::ALL.len()],
    pub(super) took: Histogram,
}

impl Default for Calls {
    fn default() -> Self {
        Self { results: Default::default(), took: Histogram::new(NETWORK) }
    }
}

impl Calls {
    /// One that was sent has ended; the wait for its token is no part of it.
    pub fn ended(&self, result: CallResult, took: Duration) {
        self.results[result as usize].inc();
        self.took.observe(seconds(took));
    }
}

/// Commits to the store.
#[derive(Clone, Debug)]
pub struct Commits {
    pub(super) took: Histogram,
    pub(super) sync_took: Histogram,
    pub(super) rows: Counter,
    pub(super) bytes: Counter,
}

impl Default for Commits {
    fn default() -> Self {
        let (took, sync_took) = (Histogram::new(DISK), Histogram::new(DISK));
        Self { took, sync_took, rows: Counter::default(), bytes: Counter::default() }
    }
}

impl Commits {
    /// One is durable.
    pub fn ended(&self, took: Duration, rows: usize, bytes: usize) {
        self.took.observe(seconds(took));
        self.rows.inc_by(rows as u64);
        self.bytes.inc_by(bytes as u64);
    }

    /// Its sync alone.
    pub fn synced(&self, took: Duration) {
        self.sync_took.observe(seconds(took));
    }
}

/// Which call of our API. Of a route there is its template, never a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Call {
    route: String,
    method: &'static str,
}

/// The same, with the class of its answer's status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Answered {
    route: String,
    method: &'static str,
    status: &'static str,
}

/// Requests to our API.
#[derive(Clone, Debug)]
pub struct Requests {
    pub(super) answered: Family<Answered, Counter>,
    pub(super) took: Family<Call, Histogram>,
    pub(super) panics: Counter,
}

impl Default for Requests {
    fn default() -> Self {
        let took = Family::new_with_constructor(network as fn() -> Histogram);
        Self { answered: Family::default(), took, panics: Counter::default() }
    }
}

fn network() -> Histogram {
    Histogram::new(NETWORK)
}

impl Requests {
    /// One was answered. `route` is the template of what answers it; `None` if nothing of ours does.
    pub fn ended(&self, route: Option<&str>, method: &str, status: u16, took: Duration) {
        let (route, method) = (route.unwrap_or("none").to_owned(), known_method(method));
        let call = Call { route: route.clone(), method };
        self.took.get_or_create(&call).observe(seconds(took));
        self.answered.get_or_create(&Answered { route, method, status: class_of(status) }).inc();
    }

    /// One panicked, and was contained.
    pub fn panicked(&self) {
        self.panics.inc();
    }
}

/// A caller can invent methods; we do not count each.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}

fn class_of(status: u16) -> &'static str {
    match status {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_indexed_by_a_variant_is_listed_in_the_order_of_the_variants() {
        assert!(Outcome::ALL.into_iter().enumerate().all(|(place, one)| one as usize == place));
        assert!(PassKind::ALL.into_iter().enumerate().all(|(place, one)| one as usize == place));
        assert!(PassResult::ALL.into_iter().enumerate().all(|(place, one)| one as usize == place));
        assert!(CallResult::ALL.into_iter().enumerate().all(|(place, one)| one as usize == place));
    }
}
