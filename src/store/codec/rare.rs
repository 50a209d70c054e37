//! Rows that are written rarely, in JSON: what a store is, how far its sources were read, how endpoints are doing.

use serde::{Deserialize, Serialize};

use super::{StoreError, VERSION, from_plain, plain};
use crate::model::health::HealthRecord;
use crate::model::id::{EndpointId, ReplayId};
use crate::model::replay::{Course, Progress};
use crate::model::source::SourceProgress;
use crate::model::time::Timestamp;

/// The layout of the rows that this program writes. A store with a higher one is refused; one with a lower one is
/// read, and refused by older programs from then on.
///
/// | format | since then |
/// |---|---|
/// | 3 | delivery records tell probes from what a schedule is charged with, and name their replay; replays; a log may begin later than at its first position; what an endpoint has missed; absences of which could not be told what they mean; lists of snapshots by creation |
/// | 5 | keys to the API, the audit log, answers that are kept for whoever asks again |
/// | 7 | objects of snapshots and events are packed |
pub(crate) const FORMAT: u32 = 7;

/// The same, but endpoints count as they are in the rows that will take the place of theirs: another key has taken
/// over, and not all of them are there yet: 4 went with 3. A store with a higher format is refused.
pub(crate) const FORMAT_REKEYED: u32 = FORMAT + 1;

/// Whether a format, of this program or of a former one, is that of a store that another key has taken over: 2 was the
/// one that went with 1.
pub(crate) fn is_rekeyed(format: u32) -> bool {
    format.is_multiple_of(2)
}

/// What a store is: its first row, written when it is created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// The layout of its rows.
    pub(crate) format: u32,
    /// The second in which it was created or last restored; part of every event's id.
    pub(crate) epoch: u32,
    /// When it was created.
    pub(crate) created_at: Timestamp,
    /// A known text, sealed: opens only with the key that sealed everything else.
    pub(crate) key_check: String,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The row that says what the store is.
pub(crate) fn meta(meta: &Meta) -> Vec<u8> {
    plain(VERSION, meta)
}

/// What a store says that it is, or the layout that it has if that is newer than ours (whatever else it says).
pub(crate) fn read_meta(bytes: &[u8]) -> Result<Result<Meta, u32>, StoreError> {
    let what = "what the store is";
    let Format { format } = from_plain(VERSION, what, bytes)?;
    if format > FORMAT_REKEYED { Ok(Err(format)) } else { from_plain(VERSION, what, bytes).map(Ok) }
}

/// The row of a source's progress.
pub(crate) fn progress(progress: &SourceProgress) -> Vec<u8> {
    plain(VERSION, progress)
}

/// The progress in a row.
pub(crate) fn read_progress(bytes: &[u8]) -> Result<SourceProgress, StoreError> {
    from_plain(VERSION, "a source's progress", bytes)
}

/// The row of how an endpoint is doing.
pub(crate) fn health(health: &HealthRecord) -> Vec<u8> {
    plain(VERSION, health)
}

/// How the endpoint of a row is doing.
pub(crate) fn read_health(bytes: &[u8]) -> Result<HealthRecord, StoreError> {
    from_plain(VERSION, "an endpoint's health", bytes)
}

/// A replay as it was asked for; how it is doing is a row of its own, since that changes all the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Its id.
    pub(crate) id: ReplayId,
    /// To whom.
    pub(crate) endpoint_id: EndpointId,
    /// When it was asked for.
    pub(crate) created_at: Timestamp,
    /// What it goes through.
    pub(crate) course: Course,
}

/// The row of a replay as it was asked for.
pub(crate) fn replay(asked: &Asked) -> Vec<u8> {
    plain(VERSION, asked)
}

/// The replay in a row.
pub(crate) fn read_replay(bytes: &[u8]) -> Result<Asked, StoreError> {
    from_plain(VERSION, "a replay", bytes)
}

/// The row of how a replay is doing.
pub(crate) fn replay_progress(progress: &Progress) -> Vec<u8> {
    plain(VERSION, progress)
}

/// How the replay of a row is doing.
pub(crate) fn read_replay_progress(bytes: &[u8]) -> Result<Progress, StoreError> {
    from_plain(VERSION, "a replay's progress", bytes)
}
