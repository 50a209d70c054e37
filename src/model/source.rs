//! What is known of a source and of the passes over it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::resource::SourceName;
use super::time::Timestamp;

/// One run over a source, by what it looks at. In order of urgency: the more urgent one gets its page first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PassKind {
    /// What is due for a look by id: a date has passed, a document is missing, somebody has decided on a removal.
    Deadline,
    /// What was updated since the watermark.
    Changes,
    /// What the clock or the vendor's people may move without a trace in `updated_at`.
    Open,
    /// Everything; the baseline is the first of these.
    Sweep,
}

impl PassKind {
    /// All of them, the more urgent first.
    pub const ALL: [Self; 4] = [Self::Deadline, Self::Changes, Self::Open, Self::Sweep];

    /// The word used in the API and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Changes => "changes",
            Self::Open => "open",
            Self::Sweep => "sweep",
        }
    }
}

/// Where a pass stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PassStatus {
    /// Asked for, not begun.
    Waiting,
    /// Under way.
    Running,
    /// Every listing was complete and every fetch was answered.
    Complete,
    /// Something was missing; what was seen is applied, nothing is inferred from the rest.
    Incomplete,
    /// Nothing could be read.
    Failed,
}

/// One pass, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Pass")]
pub struct PassReport {
    /// Names it: `pass_…`.
    pub id: String,
    /// What it looks at.
    pub pass: PassKind,
    /// Where it stands.
    pub status: PassStatus,
    /// Pages read so far.
    pub pages: u64,
    /// Items seen so far.
    pub seen: u64,
    /// Items that had changed.
    pub changed: u64,
    /// Of these, what a sweep found that the more frequent passes should have: removals and restorations left out.
    pub found_late: u64,
    /// When it began; null while it waits.
    pub started_at: Option<Timestamp>,
    /// How long it took; null until it has ended.
    pub duration_ms: Option<u64>,
    /// Why it is not complete.
    pub error: Option<String>,
}

/// Whether a source can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// Passes succeed.
    Healthy,
    /// The last pass did not complete, the last call failed, or one has been out for ten seconds without an answer.
    Failing,
    /// The upstream refuses our key.
    Unauthorized,
    /// It is left alone because somebody wants that.
    Paused,
}

impl SourceState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Failing, Self::Unauthorized, Self::Paused];

    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Failing => "failing",
            Self::Unauthorized => "unauthorized",
            Self::Paused => "paused",
        }
    }
}

/// What is to become of removals that are withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemovalDecision {
    /// They may go: each is asked for by id, and removed if it is gone.
    Confirm,
    /// They are still there: nothing is asked about them before a list has shown them again.
    Keep,
}

/// How far the first full listing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BaselineStatus {
    /// Whether it is done; until then what is seen for the first time belongs to it.
    pub complete: bool,
    /// Resources that it has seen.
    pub seen: u64,
    /// How many of them a second, so far; null once it is done.
    pub rate: Option<u64>,
}

impl BaselineStatus {
    /// Of a baseline that is done.
    pub const fn done(seen: u64) -> Self {
        Self { complete: true, seen, rate: None }
    }

    /// How far that of a source has come at `now`. One that has not begun has no rate.
    pub fn of(progress: Option<&SourceProgress>, seen: u64, now: Timestamp) -> Self {
        let Some(progress) = progress else { return Self { complete: false, seen, rate: None } };
        if progress.baseline_completed_at.is_some() {
            return Self::done(seen);
        }
        let seconds = now.since(progress.baseline_started_at).as_secs().max(1);
        Self { complete: false, seen, rate: Some(seen.div_ceil(seconds)) }
    }
}

/// A source, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Source")]
pub struct SourceStatus {
    /// Its identity.
    pub name: SourceName,
    /// Always `source`.
    #[schemars(extend("const" = "source"))]
    pub object: &'static str,
    /// The dialect that it speaks.
    pub kind: String,
    /// Where it is.
    pub base_url: String,
    /// Whether it can be read.
    pub status: SourceState,
    /// Seconds since the watermark; null before there is one.
    pub lag_seconds: Option<u64>,
    /// How far the first full listing has come.
    pub baseline: BaselineStatus,
    /// The instant from which the next `changes` pass asks, before the overlap is taken off.
    pub watermark: Option<Timestamp>,
    /// How far upstream's clock is ahead of ours, as of its last `Date` header.
    pub clock_skew_seconds: Option<i64>,
    /// The last pass of each kind that has begun.
    pub passes: Vec<PassReport>,
}

/// What must survive a restart of a source's passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceProgress {
    /// Which source.
    pub name: SourceName,
    /// When the first full listing began.
    pub baseline_started_at: Timestamp,
    /// When it was complete; until then first sights are silent.
    #[serde(default)]
    pub baseline_completed_at: Option<Timestamp>,
    /// The smaller of our clock and upstream's at the start of the last complete `changes` pass (or baseline).
    #[serde(default)]
    pub watermark: Option<Timestamp>,
    /// The start of the last complete sweep: everything stored was still so then.
    #[serde(default)]
    pub swept_at: Option<Timestamp>,
    /// The smaller of our clock and upstream's when the first full listing began: what was created before belongs to
    /// the baseline.
    #[serde(default)]
    pub baseline_watermark: Option<Timestamp>,
    /// When the last complete `changes` pass ended.
    #[serde(default)]
    pub changes_completed_at: Option<Timestamp>,
    /// Top-level fields ever seen on a certificate and on a request, and since when.
    #[serde(default)]
    pub fields_since: [BTreeMap<String, Timestamp>; 2],
    /// For which settings the agenda of every snapshot was worked out; `None`: for none yet.
    #[serde(default)]
    pub agenda_for: Option<String>,
    /// Since when the source has been told to be failing.
    #[serde(default)]
    pub failing_since: Option<Timestamp>,
    /// Since when no `changes` pass had succeeded, if that was told as a gap and still is one.
    #[serde(default)]
    pub gap_since: Option<Timestamp>,
    /// Since when it has been told that there is too little room to look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_low_since: Option<Timestamp>,
    /// Since when it is left alone because somebody paused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
}

impl SourceProgress {
    /// A source that has never been read.
    pub fn new(name: SourceName, now: Timestamp) -> Self {
        Self {
            name,
            baseline_started_at: now,
            baseline_completed_at: None,
            watermark: None,
            swept_at: None,
            baseline_watermark: None,
            changes_completed_at: None,
            fields_since: [BTreeMap::new(), BTreeMap::new()],
            agenda_for: None,
            failing_since: None,
            gap_since: None,
            storage_low_since: None,
            paused_at: None,
        }
    }
}
