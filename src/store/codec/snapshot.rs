//! The rows of snapshots and of absences. Their names are the rows' keys.
//!
//! What counting and the indexes need comes first in a snapshot's row, so that they need not read the object.
//!
//! Version 1 of that row knew nothing of open lists, agendas and wholeness, and wrote the reason of a removal as a
//! text. Version 2 is of today, but its object lies in it as it is. In version 3 it is packed, together with the id, which
//! is in the row's key.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::packed::{pack, unpack};
use super::{StoreError, beginning, compact, compact_as, from_compact, unreadable, versioned, whole, with_rest};
use crate::model::json::Json;
use crate::model::resource::{
    Absence, AbsenceState, Agenda, Download, OpenList, Removal, RemovalReason, ResourceId, ResourceKey, Snapshot,
};
use crate::model::time::Timestamp;

const SNAPSHOT: &str = "a snapshot";
const ABSENCE: &str = "an absence";

/// The version of snapshots that are read, and no longer written;
const FORMER: u8 = 1;

/// that of those whose object does not get shorter when it is packed,
const PLAIN: u8 = 2;

/// and that of all others.
const PACKED: u8 = 3;

/// What a row has before the object.
#[derive(Serialize)]
struct Head<'a> {
    removed: &'a Option<Removal>,
    open_list: Option<OpenList>,
    /// `None` stands for the empty one, which most resources have.
    agenda: Option<&'a Agenda>,
    is_whole: bool,
    object_version: u64,
    observed_at: Timestamp,
    row_fingerprint: Option<u128>,
    download: Download,
}

#[derive(Deserialize)]
struct Beginning {
    removed: Option<Removal>,
    open_list: Option<OpenList>,
    agenda: Option<Agenda>,
}

/// What all versions have before the object.
#[derive(Deserialize)]
struct Ending {
    object_version: u64,
    observed_at: Timestamp,
    row_fingerprint: Option<u128>,
    download: Download,
}

/// What is in a row of any version.
struct Row<'a> {
    beginning: Beginning,
    is_whole: bool,
    ending: Ending,
    object: Cow<'a, str>,
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
    let head = Head {
        removed: &snapshot.removed,
        open_list: snapshot.open_list,
        agenda: Some(&snapshot.agenda).filter(|agenda| **agenda != Agenda::default()),
        is_whole: snapshot.is_whole,
        object_version: snapshot.object_version,
        observed_at: snapshot.observed_at,
        row_fingerprint: snapshot.row_fingerprint,
        download: snapshot.download,
    };
    let object = snapshot.object.text();
    match pack(object.as_bytes(), snapshot.key.id.as_str()) {
        Some(packed) => [compact_as(PACKED, &head), packed].concat(),
        None => compact_as(PLAIN, &(head, object)),
    }
}

/// What is in the row of the resource with that id.
fn read<'a>(id: &ResourceId, bytes: &'a [u8]) -> Result<Row<'a>, StoreError> {
    let (version, payload) = versioned(PACKED, SNAPSHOT, bytes)?;
    if version == FORMER {
        let (removed, ending, object) = whole::<(Option<FormerRemoval>, Ending, &str)>(SNAPSHOT, payload)?;
        let removed = removed.map(FormerRemoval::read).transpose()?;
        let beginning = Beginning { removed, open_list: None, agenda: None };
        return Ok(Row { beginning, is_whole: false, ending, object: object.into() });
    }
    let ((beginning, is_whole, ending), object) = with_rest::<(Beginning, bool, Ending)>(SNAPSHOT, payload)?;
    let object = if version == PLAIN {
        whole::<&str>(SNAPSHOT, object)?.into()
    } else {
        let object = unpack(SNAPSHOT, object, id.as_str())?;
        String::from_utf8(object).map_err(|error| unreadable(SNAPSHOT, error))?.into()
    };
    Ok(Row { beginning, is_whole, ending, object })
}

/// The snapshot in a row.
pub(crate) fn read_snapshot(key: ResourceKey, bytes: &[u8]) -> Result<Snapshot, StoreError> {
    let Row { beginning, is_whole, ending, object } = read(&key.id, bytes)?;
    let object = Json::from_text(object.into_owned()).map_err(|error| unreadable(SNAPSHOT, error))?;
    Ok(Snapshot {
        key,
        object_version: ending.object_version,
        object,
        observed_at: ending.observed_at,
        row_fingerprint: ending.row_fingerprint,
        download: ending.download,
        removed: beginning.removed,
        is_whole,
        open_list: beginning.open_list,
        agenda: beginning.agenda.unwrap_or_default(),
    })
}

/// The text of the object in the row of the resource with that id, not looked into.
pub(crate) fn object_text<'a>(id: &ResourceId, bytes: &'a [u8]) -> Result<Cow<'a, str>, StoreError> {
    read(id, bytes).map(|row| row.object)
}

/// Whether the snapshot in a row was removed, and the fingerprint of the row that it was made of. The object is not read.
pub(crate) fn row_fingerprint(bytes: &[u8]) -> Result<(bool, Option<u128>), StoreError> {
    let (version, payload) = versioned(PACKED, SNAPSHOT, bytes)?;
    if version == FORMER {
        let row: (Option<FormerRemoval>, u64, Timestamp, Option<u128>) = beginning(SNAPSHOT, payload)?;
        Ok((row.0.is_some(), row.3))
    } else {
        let row: (Beginning, bool, u64, Timestamp, Option<u128>) = beginning(SNAPSHOT, payload)?;
        Ok((row.0.removed.is_some(), row.4))
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
        let (version, payload) = versioned(PACKED, SNAPSHOT, bytes)?;
        if version == FORMER {
            let removed: Option<FormerRemoval> = beginning(SNAPSHOT, payload)?;
            return Ok(Self { is_removed: removed.is_some(), open_list: None, remind_at: None, fetch_at: None });
        }
        let Beginning { removed, open_list, agenda } = beginning(SNAPSHOT, payload)?;
        let Agenda { remind_at, fetch_at, .. } = agenda.unwrap_or_default();
        Ok(Self { is_removed: removed.is_some(), open_list, remind_at, fetch_at })
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
