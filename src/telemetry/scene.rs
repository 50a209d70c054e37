//! What is looked at for one scrape: the meters, and beside them what is no sum.

use super::meters::{Attempts, Calls, Commits, Passes, Requests};
use super::process::Usage;
use crate::model::health::Standing;
use crate::model::id::Position;
use crate::model::source::{PassKind, SourceStatus};
use crate::model::time::Timestamp;

/// One source.
#[derive(Clone, Debug)]
pub struct SourceScene {
    /// How it stands.
    pub status: SourceStatus,
    /// When the last complete pass of each kind began, as far as that is known.
    pub completed: [Option<Timestamp>; PassKind::ALL.len()],
    /// Calls that could be sent at once.
    pub tokens: f64,
    /// What its passes have measured.
    pub passes: Passes,
    /// What its calls have measured.
    pub calls: Calls,
}

/// The deliveries.
#[derive(Clone, Debug)]
pub struct DeliveriesScene {
    /// What was measured.
    pub attempts: Attempts,
    /// Attempts that may be made at a time.
    pub in_flight_max: usize,
    /// Every endpoint; `None` if nobody says, because deliveries have ended or hang.
    pub endpoints: Option<Vec<Standing>>,
}

/// What the disk is enough for. One of them is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Nothing is written.
    Full,
    /// Nothing is added.
    Low,
    /// Everything.
    Enough,
}

impl Room {
    pub(super) const ALL: [Self; 3] = [Self::Full, Self::Low, Self::Enough];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Low => "low",
            Self::Enough => "enough",
        }
    }
}

/// The store.
#[derive(Clone, Debug)]
pub struct StoreScene {
    /// What its commits have measured.
    pub commits: Commits,
    /// The last position of the log.
    pub head: Position,
    /// The first one that is kept.
    pub first: Position,
    /// Bytes that its folder has; `None` if that cannot be told.
    pub size: Option<u64>,
    /// Bytes that its file system has left.
    pub free: u64,
    /// Bytes that it should have left.
    pub min_free: u64,
    /// What that is enough for.
    pub room: Room,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Scene {
    /// When it was looked at.
    pub at: Timestamp,
    /// When the gateway started.
    pub started_at: Timestamp,
    /// The sources, in the order of the configuration.
    pub sources: Vec<SourceScene>,
    /// The deliveries.
    pub deliveries: DeliveriesScene,
    /// The store.
    pub store: StoreScene,
    /// Requests to our API.
    pub requests: Requests,
    /// What the process uses.
    pub usage: Usage,
}
