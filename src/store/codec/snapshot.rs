//! The rows of snapshots and of absences. Their names are the rows' keys.
//!
//! What counting and the indexes need comes first in a snapshot's row, so that they need not read the object.
//!
//! Version 1 of that row knew nothing of open lists, agendas and wholeness, and wrote the reason of a removal as a
//! text.

use serde::{Deserialize, Serialize};

use super::{StoreError, beginning, compact, compact_as, from_compact, payload, unreadable, whole};
use crate::model::json::Json;
use crate::model::resource::{
    Absence, AbsenceState, Agenda, Download, OpenList, Removal, RemovalReason, ResourceKey, Snapshot,
};
use crate::model::time::Timestamp;

const SNAPSHOT: &str = "a snapshot";
const ABSENCE: &str = "an absence";

/// The version in which snapshots are written.
const VERSION: u8 = 2;

#[derive(Serialize)]
struct Row<'a> {
    removed: &'a Option<Removal>,
    open_list: Option<OpenList>,
    /// `None` stands for the empty one, which most resources have.
    agenda: Option<&'a Agenda>,
    is_whole: bool,
    object_version: u64,
    observed_at: Timestamp,
    row_fingerprint: Option<u128>,
    download: Download,
    object: &'a Json,
}

#[derive(Deserialize)]
struct Beginning {
    removed: Option<Removal>,
    open_list: Option<OpenList>,
    agenda: Option<Agenda>,
}

/// What both versions end with.
#[derive(Deserialize)]
struct Ending {
    object_version: u64,
    observed_at: Timestamp,
    row_fingerprint: Option<u128>,
    download: Download,
    object: Json,
}

/// The same, to look at the object where it lies.
#[derive(Deserialize)]
struct EndingInPlace<'a> {
    _object_version: u64,
    _observed_at: Timestamp,
    _row_fingerprint: Option<u128>,
    _download: Download,
    object: &'a str,
}

#[derive(Deserialize)]
struct FormerRemoval {
    reason: String,
    at: Timestamp,
}

impl FormerRemoval {
    fn read(self) -> Result<Removal, StoreError> {
        let reason = match self.reason.as_str() {
            "not_found" => RemovalReason::NotFound,
            "unlisted" => RemovalReason::Unlisted,
            unknown => return Err(unreadable(SNAPSHOT, format!("it was removed for {unknown:?}, which is no reason"))),
        };
        Ok(Removal { reason, at: self.at })
    }
}

/// The row of a snapshot.
pub(crate) fn snapshot(snapshot: &Snapshot) -> Vec<u8> {
    let row = Row {
        removed: &snapshot.removed,
        open_list: snapshot.open_list,
        agenda: Some(&snapshot.agenda).filter(|agenda| **agenda != Agenda::default()),
        is_whole: snapshot.is_whole,
        object_version: snapshot.object_version,
        observed_at: snapshot.observed_at,
        row_fingerprint: snapshot.row_fingerprint,
        download: snapshot.download,
        object: &snapshot.object,
    };
    compact_as(VERSION, &row)
}

/// Whether a row is of the version that is written today; otherwise it is of the former one.
fn is_of_today(bytes: &[u8]) -> bool {
    bytes.first() == Some(&VERSION)
}

/// The snapshot in a row.
pub(crate) fn read_snapshot(key: ResourceKey, bytes: &[u8]) -> Result<Snapshot, StoreError> {
    let payload = payload(VERSION, SNAPSHOT, bytes)?;
    let (beginning, is_whole, ending) = if is_of_today(bytes) {
        whole::<(Beginning, bool, Ending)>(SNAPSHOT, payload)?
    } else {
        let (removed, ending) = whole::<(Option<FormerRemoval>, Ending)>(SNAPSHOT, payload)?;
        let removed = removed.map(FormerRemoval::read).transpose()?;
        (Beginning { removed, open_list: None, agenda: None }, false, ending)
    };
    Ok(Snapshot {
        key,
        object_version: ending.object_version,
        object: ending.object,
        observed_at: ending.observed_at,
        row_fingerprint: ending.row_fingerprint,
        download: ending.download,
        removed: beginning.removed,
        is_whole,
        open_list: beginning.open_list,
        agenda: beginning.agenda.unwrap_or_default(),
    })
}

/// The text of the object in a row, not looked into.
pub(crate) fn object_text(bytes: &[u8]) -> Result<&str, StoreError> {
    let payload = payload(VERSION, SNAPSHOT, bytes)?;
    let ending = if is_of_today(bytes) {
        beginning::<(Beginning, bool, EndingInPlace<'_>)>(SNAPSHOT, payload)?.2
    } else {
        beginning::<(Option<FormerRemoval>, EndingInPlace<'_>)>(SNAPSHOT, payload)?.1
    };
    Ok(ending.object)
}

/// Whether the snapshot in a row was removed, and the fingerprint of the row that it was made of. The object is not read.
pub(crate) fn row_fingerprint(bytes: &[u8]) -> Result<(bool, Option<u128>), StoreError> {
    let payload = payload(VERSION, SNAPSHOT, bytes)?;
    if is_of_today(bytes) {
        let row: (Beginning, bool, u64, Timestamp, Option<u128>) = beginning(SNAPSHOT, payload)?;
        Ok((row.0.removed.is_some(), row.4))
    } else {
        let row: (Option<FormerRemoval>, u64, Timestamp, Option<u128>) = beginning(SNAPSHOT, payload)?;
        Ok((row.0.is_some(), row.3))
    }
}

/// What counting and the indexes need of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    /// Whether it was removed.
    pub(crate) is_removed: bool,
    /// The open list that it says it is in.
    pub(crate) open_list: Option<OpenList>,
    /// When its next reminder is due.
    pub(crate) remind_at: Option<Timestamp>,
    /// When it is to be asked for by id.
    pub(crate) fetch_at: Option<Timestamp>,
}

impl Outline {
    /// That of a snapshot.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self {
            is_removed: snapshot.removed.is_some(),
            open_list: snapshot.open_list,
            remind_at: snapshot.agenda.remind_at,
            fetch_at: snapshot.agenda.fetch_at,
        }
    }

    /// That of the snapshot in a row.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let payload = payload(VERSION, SNAPSHOT, bytes)?;
        if is_of_today(bytes) {
            let Beginning { removed, open_list, agenda } = beginning(SNAPSHOT, payload)?;
            let Agenda { remind_at, fetch_at, .. } = agenda.unwrap_or_default();
            Ok(Self { is_removed: removed.is_some(), open_list, remind_at, fetch_at })
        } else {
            let removed: Option<FormerRemoval> = beginning(SNAPSHOT, payload)?;
            Ok(Self { is_removed: removed.is_some(), open_list: None, remind_at: None, fetch_at: None })
        }
    }
}

#[derive(Serialize, Deserialize)]
struct AbsenceRow {
    state: AbsenceState,
    since: Timestamp,
}

/// The row of an absence.
pub(crate) fn absence(absence: &Absence) -> Vec<u8> {
    compact(&AbsenceRow { state: absence.state, since: absence.since })
}

/// The absence in a row.
pub(crate) fn read_absence(key: ResourceKey, bytes: &[u8]) -> Result<Absence, StoreError> {
    let AbsenceRow { state, since } = from_compact(ABSENCE, bytes)?;
    Ok(Absence { key, state, since })
}
