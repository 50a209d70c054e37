//! What is known of a source and of the passes over it.

use serde::{Deserialize, Serialize};

use super::resource::SourceName;
use super::time::Timestamp;

/// One run over a source, by what it looks at. In order of urgency: the more urgent one gets its page first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassKind {
    /// What was updated since the watermark.
    Changes,
    /// Everything; the baseline is the first of these.
    Sweep,
}

impl PassKind {
    /// The word used in the API and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changes => "changes",
            Self::Sweep => "sweep",
        }
    }
}

/// Where a pass stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassReport {
    /// `pass_…`.
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
    /// When it began; `None` while it waits.
    pub started_at: Option<Timestamp>,
    /// How long it took; `None` until it has ended.
    pub duration_ms: Option<u64>,
    /// Why it is not complete.
    pub error: Option<String>,
}

/// Whether a source can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// Passes succeed.
    Healthy,
    /// The last pass did not complete, or the last call failed.
    Failing,
    /// The upstream refuses our key.
    Unauthorized,
}

/// How far the first full listing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BaselineStatus {
    /// Whether it is done; until then nothing is told.
    pub complete: bool,
    /// Resources that it has seen.
    pub seen: u64,
}

/// A source, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceStatus {
    /// Its identity.
    pub name: SourceName,
    /// Always `source`.
    pub object: &'static str,
    /// The dialect that it speaks.
    pub kind: String,
    /// Where it is.
    pub base_url: String,
    /// Whether it can be read.
    pub status: SourceState,
    /// Seconds since the watermark; `None` before there is one.
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
    /// Top-level keys ever seen on a certificate and on a request.
    #[serde(default)]
    pub known_fields: [Vec<String>; 2],
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
            known_fields: [Vec::new(), Vec::new()],
        }
    }
}
