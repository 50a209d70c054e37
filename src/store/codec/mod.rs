//! Versioned bytes: what a row looks like on disk.
//!
//! Every row starts with one byte, its version. Hot rows go on in postcard, rows that are rarely written in JSON,
//! whose fields may be added with a default; the version goes up where a program that does not know them would do
//! harm. A row of a version that this program does not know is [`StoreError::Unreadable`], never a guess. The files in `golden/` hold rows as they were written once; as long as
//! the tests below pass, what is on somebody's disk can be read.
//!
//! Postcard has no field names: a change to a type of [`crate::model`] that is stored in a hot row changes the bytes.
//! Then the version goes up and the former shape stays here, for reading.
//!
//! In reading order: this file (the other hot rows), `packed` (what makes large ones short), [`snapshot`] (snapshots and absences), [`endpoint`] (subscribers
//! and their sealed secrets), [`access`] (who may use the API), [`answers`] (what was
//! answered), [`rare`] (the other rows in JSON).

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::retention::Missed;
use crate::model::delivery::{Attempt, DeliveryRecord, DeliveryStatus};
use crate::model::event::{EventDraft, EventType, Sight};
use crate::model::id::{DeliveryId, EndpointId, EventId, Position};
use crate::model::json::Json;
use crate::model::replay::Replayed;
use crate::model::resource::ResourceKey;
use crate::model::time::Timestamp;

pub mod access;
pub mod answers;
pub mod endpoint;
mod packed;
pub mod rare;
pub mod snapshot;

/// The version that every row is written in so far, but for those that say otherwise.
const VERSION: u8 = 1;

/// The version that delivery records are written in. The first one did not tell probes from what a schedule is
/// charged with: there were none.
const DELIVERY_VERSION: u8 = 2;

/// The version of events that are packed; those that would not get shorter are of the first one.
const EVENT_PACKED: u8 = 2;

/// What most hot rows fit into: a delivery that went well has some 200 bytes.
const ROW_BYTES: usize = 256;

/// The bytes of a hot row of the first version.
fn compact<T: Serialize>(row: &T) -> Vec<u8> {
    compact_as(VERSION, row)
}

/// The bytes of a hot row.
fn compact_as<T: Serialize>(version: u8, row: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ROW_BYTES);
    bytes.push(version);
    postcard::to_extend(row, bytes).expect("plain data can be written to memory")
}

/// A hot row from its bytes.
fn from_compact<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    whole(what, payload(VERSION, what, bytes)?)
}

/// A hot row from all bytes after its version.
fn whole<'a, T: Deserialize<'a>>(what: &'static str, payload: &'a [u8]) -> Result<T, StoreError> {
    match with_rest(what, payload)? {
        (row, []) => Ok(row),
        (_, rest) => Err(unreadable(what, format!("it is {} bytes too long", rest.len()))),
    }
}

/// What a hot row begins with, from the bytes after its version.
fn beginning<'a, T: Deserialize<'a>>(what: &'static str, payload: &'a [u8]) -> Result<T, StoreError> {
    with_rest(what, payload).map(|(beginning, _)| beginning)
}

/// The same, and the bytes behind it.
fn with_rest<'a, T: Deserialize<'a>>(what: &'static str, payload: &'a [u8]) -> Result<(T, &'a [u8]), StoreError> {
    postcard::take_from_bytes(payload).map_err(|error| unreadable(what, error))
}

/// The bytes of a row in JSON.
fn plain<T: Serialize>(version: u8, row: &T) -> Vec<u8> {
    let mut bytes = vec![version];
    serde_json::to_writer(&mut bytes, row).expect("plain data can be written to memory");
    bytes
}

/// A row in JSON from its bytes, of any version up to `newest`: what an older one does not say has a default.
fn from_plain<T: DeserializeOwned>(newest: u8, what: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(payload(newest, what, bytes)?).map_err(|error| unreadable(what, error))
}

/// A row in parts: its version, up to the newest that we know, and what comes after it.
fn versioned<'a>(newest: u8, what: &'static str, bytes: &'a [u8]) -> Result<(u8, &'a [u8]), StoreError> {
    match bytes.split_first() {
        Some((&version, payload)) if (1..=newest).contains(&version) => Ok((version, payload)),
        Some((version, _)) => Err(unreadable(
            what,
            format!("it has version {version}, this program knows up to {newest}; run the newer program"),
        )),
        None => Err(unreadable(what, "it is empty")),
    }
}

fn payload<'a>(newest: u8, what: &'static str, bytes: &'a [u8]) -> Result<&'a [u8], StoreError> {
    versioned(newest, what, bytes).map(|(_, payload)| payload)
}

fn unreadable(what: &'static str, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Unreadable { what, reason: reason.to_string() }
}

const EVENT: &str = "an event";
const DELIVERY: &str = "a delivery record";
const NUMBER: &str = "a number";

/// A sight, and what its events' ids have beside their positions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredSight {
    /// The store's epoch when it was committed.
    pub(crate) epoch: u32,
    /// Drawn when the process that committed it started.
    pub(crate) start: u32,
    /// The sight.
    pub(crate) sight: Arc<Sight>,
}

/// One place of the log. The first event of a sight carries the sight, those after it say how far back it is:
/// most sights give one event or two, and every row costs memory for as long as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogRow {
    /// How many places back the sight is; 0: it is here.
    pub(crate) back: u32,
    /// What happened.
    pub(crate) event_type: EventType,
    /// What `data` carries beside the sight's part.
    pub(crate) details: Json,
    /// There where `back` is 0.
    pub(crate) sight: Option<StoredSight>,
}

/// The rows of a sight's events, in their order.
pub(crate) fn log_rows(sight: StoredSight, events: &[EventDraft]) -> Vec<Vec<u8>> {
    let mut sight = Some(sight);
    let rows = events.iter().zip(0..).map(|(event, back)| LogRow {
        back,
        event_type: event.event_type,
        details: event.details.clone(),
        sight: sight.take(),
    });
    rows.map(|row| log_row(&row)).collect()
}

/// The row of a place of the log: what the event is called, and then the rest, packed, if that gets shorter.
fn log_row(row: &LogRow) -> Vec<u8> {
    let sight = row.sight.as_ref().map(|stored| &stored.sight);
    let told = postcard::to_stdvec(&(&row.details, sight)).expect("plain data can be written to memory");
    let Some(packed) = packed::pack(&told, "") else { return compact(row) };
    let origin = row.sight.as_ref().map(|stored| (stored.epoch, stored.start));
    let name = LogName { back: row.back, event_type: row.event_type, origin };
    [compact_as(EVENT_PACKED, &name), packed].concat()
}

/// The place of the log in a row.
pub(crate) fn read_log_row(bytes: &[u8]) -> Result<LogRow, StoreError> {
    let (version, payload) = versioned(EVENT_PACKED, EVENT, bytes)?;
    let row: LogRow = if version == EVENT_PACKED {
        let (LogName { back, event_type, origin }, packed) = with_rest(EVENT, payload)?;
        let (details, sight) = whole(EVENT, &packed::unpack(EVENT, packed, "")?)?;
        let sight = origin.zip(sight).map(|((epoch, start), sight)| StoredSight { epoch, start, sight });
        LogRow { back, event_type, details, sight }
    } else {
        whole(EVENT, payload)?
    };
    if (row.back == 0) == row.sight.is_some() { Ok(row) } else { Err(unreadable(EVENT, "its sight is missing")) }
}

/// What the event in a row is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogName {
    /// How many places back the sight is.
    pub(crate) back: u32,
    /// What happened.
    pub(crate) event_type: EventType,
    /// The epoch and the start of the sight, where it is here.
    pub(crate) origin: Option<(u32, u32)>,
}

/// The name of the event in a row; what it tells is not read.
pub(crate) fn read_log_name(bytes: &[u8]) -> Result<LogName, StoreError> {
    let (version, payload) = versioned(EVENT_PACKED, EVENT, bytes)?;
    if version == EVENT_PACKED {
        return beginning(EVENT, payload);
    }
    let (back, event_type, _details, origin): (u32, EventType, &str, Option<(u32, u32)>) = beginning(EVENT, payload)?;
    Ok(LogName { back, event_type, origin })
}

/// Whether the event in a row is the first one of its sight.
pub(crate) fn begins_sight(bytes: &[u8]) -> Result<bool, StoreError> {
    let back: u32 = beginning(EVENT, payload(EVENT_PACKED, EVENT, bytes)?)?;
    Ok(back == 0)
}

/// Where a delivery stands; comes first in its row, so that the index of what waits can be kept without reading
/// the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// Where it stands.
    pub(crate) status: DeliveryStatus,
    /// When it is due again.
    pub(crate) next_attempt_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct DeliveryRow<'a> {
    standing: Standing,
    event_id: EventId,
    endpoint_id: EndpointId,
    event_type: EventType,
    resource: &'a Option<ResourceKey>,
    attempt_count: u32,
    attempts: &'a [Attempt],
    charged: u32,
    replay: Option<Replayed>,
}

/// What both versions have; the second one goes on with how many attempts the schedule was charged with, and with the
/// last replay.
#[derive(Deserialize)]
struct DeliveryRowRead {
    standing: Standing,
    event_id: EventId,
    endpoint_id: EndpointId,
    event_type: EventType,
    resource: Option<ResourceKey>,
    attempt_count: u32,
    attempts: Vec<Attempt>,
}

/// The row of a delivery record; its id is the key.
pub(crate) fn delivery(record: &DeliveryRecord) -> Vec<u8> {
    compact_as(
        DELIVERY_VERSION,
        &DeliveryRow {
            standing: Standing { status: record.status, next_attempt_at: record.next_attempt_at },
            event_id: record.event_id,
            endpoint_id: record.endpoint_id,
            event_type: record.event_type,
            resource: &record.resource,
            attempt_count: record.attempt_count,
            attempts: &record.attempts,
            charged: record.charged,
            replay: record.replay,
        },
    )
}

/// The delivery record in a row.
pub(crate) fn read_delivery(id: DeliveryId, bytes: &[u8]) -> Result<DeliveryRecord, StoreError> {
    let (version, payload) = versioned(DELIVERY_VERSION, DELIVERY, bytes)?;
    let (row, charged, replay): (DeliveryRowRead, u32, Option<Replayed>) = if version == 1 {
        let row: DeliveryRowRead = whole(DELIVERY, payload)?;
        let charged = row.attempt_count;
        (row, charged, None)
    } else {
        whole(DELIVERY, payload)?
    };
    Ok(DeliveryRecord {
        id,
        event_id: row.event_id,
        event_type: row.event_type,
        endpoint_id: row.endpoint_id,
        resource: row.resource,
        status: row.standing.status,
        next_attempt_at: row.standing.next_attempt_at,
        attempt_count: row.attempt_count,
        charged,
        attempts: row.attempts,
        replay,
    })
}

/// Where the delivery in a row stands.
pub(crate) fn delivery_standing(bytes: &[u8]) -> Result<Standing, StoreError> {
    beginning(DELIVERY, payload(DELIVERY_VERSION, DELIVERY, bytes)?)
}

/// An end of the log: its last event, or the last one that was cut from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// That event's place.
    pub(crate) position: Position,
    /// That event's instant.
    pub(crate) timestamp: Timestamp,
}

/// The row of an end of the log.
pub(crate) fn head(head: &Head) -> Vec<u8> {
    compact(head)
}

/// The end of the log in a row.
pub(crate) fn read_head(bytes: &[u8]) -> Result<Head, StoreError> {
    from_compact("an end of the log", bytes)
}

/// The row of a counter, a position or an endpoint's number.
pub(crate) fn number(number: u64) -> Vec<u8> {
    compact(&number)
}

/// The number in a row.
pub(crate) fn read_number(bytes: &[u8]) -> Result<u64, StoreError> {
    from_compact(NUMBER, bytes)
}

/// The row of what an endpoint has missed.
pub(crate) fn missed(missed: &Missed) -> Vec<u8> {
    compact(&(missed.count, missed.more))
}

/// What an endpoint has missed, in a row.
pub(crate) fn read_missed(bytes: &[u8]) -> Result<Missed, StoreError> {
    let (count, more) = from_compact("what an endpoint has missed", bytes)?;
    Ok(Missed { count, more })
}

/// How far the snapshots of an older version have been put into the lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ListsProgress {
    /// Up to this key of a snapshot; empty: none yet.
    UpTo(Vec<u8>),
    /// All of them.
    Complete,
}

/// The row of that progress.
pub(crate) fn lists_progress(progress: &ListsProgress) -> Vec<u8> {
    compact(progress)
}

/// That progress in a row.
pub(crate) fn read_lists_progress(bytes: &[u8]) -> Result<ListsProgress, StoreError> {
    from_compact("the progress of the lists", bytes)
}

#[cfg(test)]
mod golden;
