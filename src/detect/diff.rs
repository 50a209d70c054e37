//! The transitions: what a sight of a resource tells, given the last one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::compare::{JURISDICTIONS, changed_fields, complete, is_later, merge, same};
use super::{jurisdictions, lifecycle};
use crate::model::event::{Cause, Detection, EventDraft, EventType, Mode, Sight, Subject};
use crate::model::json::{Fields, Json};
use crate::model::resource::{Agenda, Coverage, Download, Kind, OpenList, Seen, Snapshot};
use crate::model::time::Timestamp;

/// What the first sight of a resource tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstSight {
    /// Nothing: it belongs to a silent baseline. Its version is 0.
    Silent,
    /// That it is there, as part of a baseline that is emitted.
    Baseline,
    /// That it is new.
    Live,
}

/// What a comparison needs to know beside the two states.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// When the answer arrived.
    pub arrived_at: Timestamp,
    /// What a first sight tells. What changes on a resource that is known is always told, and always live.
    pub first_sight: FirstSight,
    /// What made us look; `None`: the call through our API whose answer this is, a mere question.
    pub cause: Option<Cause>,
    /// The call through our API whose answer this is.
    pub request_id: Option<&'a str>,
    /// The fingerprint of the row that shows this very state, where there is one.
    pub row_fingerprint: Option<u128>,
    /// The start of the last complete sweep.
    pub swept_at: Option<Timestamp>,
    /// Since when each top-level field has been known on resources of this kind, the fields of `seen` included. One
    /// that appeared after the former state was last seen is absorbed without a word.
    pub fields_since: &'a BTreeMap<String, Timestamp>,
    /// Top-level fields that are not watched, beside `updated_at`, which never is.
    pub ignored_fields: &'a [String],
    /// The upstream's API version in force.
    pub api_version: &'a str,
}

/// What follows from a sight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is to be written.
    Same,
    /// The snapshot is to be written, and there is nothing to tell: a silent first sight, another spelling, fields
    /// that are not watched, knowledge about the document or the row.
    Touched(Snapshot),
    /// The snapshot, the sight and its events, in the order in which they are told; never without an event.
    Told(Snapshot, Sight, Vec<EventDraft>),
}

/// Compares a resource as an answer showed it with our last sight of it. A pure function: the same arguments give
/// the same verdict.
pub fn diff(before: Option<&Snapshot>, seen: &Seen, context: &Context<'_>) -> Verdict {
    match before {
        Some(before) => next_sight(before, seen, context),
        None => first_sight(seen, context),
    }
}

/// Whether what an answer carries, `updated_at` included, means something else than what is known. A row that
/// carries no status is worth asking about only then.
pub fn carries_news(before: &Snapshot, seen: &Seen, ignored_fields: &[String]) -> bool {
    let old = before.object.fields();
    changed_fields(&old, &after(&old, seen)).iter().any(|name| !ignored_fields.iter().any(|ignored| ignored == name))
}

/// Whether a status is missing that the resource must have: its own, or that of a jurisdiction's entry.
pub fn lacks_status(seen: &Seen) -> bool {
    !seen.fields.contains_key("status") || entries(seen).any(|entry| !entry.contains_key("status"))
}

/// Whether it has entries of jurisdictions, which have a status each.
pub fn has_entries(seen: &Seen) -> bool {
    entries(seen).next().is_some()
}

fn entries(seen: &Seen) -> impl Iterator<Item = &Fields> {
    let entries = seen.fields.get(JURISDICTIONS).and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(Value::as_object)
}

/// Whether a row and an answer by id show the same state, as far as the row goes. If the resource moved between
/// the two, the row must not be recognised later as the state that the answer showed.
pub fn row_agrees(row: &Seen, whole: &Seen) -> bool {
    changed_fields(&whole.fields, &merge(&whole.fields, &row.fields)).is_empty()
}

fn first_sight(seen: &Seen, context: &Context<'_>) -> Verdict {
    let mode = match context.first_sight {
        FirstSight::Silent => return Verdict::Touched(snapshot(seen, &seen.fields, 0, seen.download, context)),
        FirstSight::Baseline => Mode::Baseline,
        FirstSight::Live => Mode::Live,
    };
    let kind = seen.key.kind;
    let opening = match kind {
        Kind::Certificate => EventType::CertificateCreated,
        Kind::CertificateRequest => EventType::RequestCreated,
    };
    let before = lifecycle::start(kind);
    let drafts = Story { kind, opening: Some(opening), before: &before, after: &seen.fields, changed: &[] }.tell(false);
    let snapshot = snapshot(seen, &seen.fields, 1, seen.download, context);
    let detection = context.detection(mode, snapshot.object_version, None);
    let sight = sight(&snapshot, &seen.fields, &Fields::new(), context.api_version, detection);
    Verdict::Told(snapshot, sight, drafts)
}

fn next_sight(before: &Snapshot, seen: &Seen, context: &Context<'_>) -> Verdict {
    let known = before.object.fields();
    let new = after(&known, seen);
    // What no row ever carried is unknown, and not null: the first answer by id says what it was all along.
    let is_first_whole = seen.coverage == Coverage::Whole && !before.is_whole;
    let old = if is_first_whole { complete(&known, &new) } else { known };
    let mut changed = changed_fields(&old, &new);
    let is_unchanged = changed.is_empty();
    let last_seen = context.swept_at.map_or(before.observed_at, |swept_at| swept_at.max(before.observed_at));
    // Whatever a resource has come to carry while it was gone, no sweep since could see.
    let fields_seen = if before.removed.is_some() { Timestamp::EPOCH } else { last_seen };
    let is_new_upstream = |name: &str| {
        !old.contains_key(name) && context.fields_since.get(name).is_some_and(|&since| fields_seen < since)
    };
    let is_ignored = |name: &str| name == "updated_at" || context.ignored_fields.iter().any(|ignored| ignored == name);
    changed.retain(|name| !is_ignored(name) && !is_new_upstream(name));
    let kind = seen.key.kind;
    let opening = before.removed.as_ref().map(|_| match kind {
        Kind::Certificate => EventType::CertificateRestored,
        Kind::CertificateRequest => EventType::RequestRestored,
    });
    let download = if seen.download == Download::Unknown { before.download } else { seen.download };
    let has_document = (before.download, download) == (Download::Missing, Download::Available);
    let drafts = Story { kind, opening, before: &old, after: &new, changed: &changed }.tell(has_document);

    let mut snapshot = snapshot(seen, &new, before.object_version, download, context);
    if snapshot.row_fingerprint.is_none() && is_unchanged {
        // An answer by id that shows nothing new leaves the row that showed the same state valid. After any other,
        // that row would be the former state, and seeing it again would be a change.
        snapshot.row_fingerprint = before.row_fingerprint;
    }
    snapshot.is_whole |= before.is_whole;
    snapshot.agenda = before.agenda.clone();
    if drafts.is_empty() {
        snapshot.observed_at = before.observed_at;
        let is_same = snapshot == *before;
        if !lacks_status(seen) {
            // A row without a status is no sight of the state, which time may have moved without a trace in it.
            snapshot.observed_at = context.arrived_at;
        }
        return if is_same { Verdict::Same } else { Verdict::Touched(snapshot) };
    }
    snapshot.object_version += 1;
    let previous: Fields =
        changed.iter().map(|&name| (name.to_owned(), old.get(name).cloned().unwrap_or_default())).collect();
    // The clock may have been set back since, while no process ran.
    let observed_after = last_seen.min(context.arrived_at);
    let detection = context.detection(Mode::Live, snapshot.object_version, Some(observed_after));
    let sight = sight(&snapshot, &new, &previous, context.api_version, detection);
    Verdict::Told(snapshot, sight, drafts)
}

/// A resource's fields after an answer.
fn after(before: &Fields, seen: &Seen) -> Fields {
    match seen.coverage {
        Coverage::Row => merge(before, &seen.fields),
        Coverage::Whole => seen.fields.clone(),
    }
}

fn snapshot(seen: &Seen, fields: &Fields, version: u64, download: Download, context: &Context<'_>) -> Snapshot {
    Snapshot {
        key: seen.key.clone(),
        object_version: version,
        object: Json::of(fields),
        observed_at: context.arrived_at,
        row_fingerprint: context.row_fingerprint,
        download,
        removed: None,
        is_whole: seen.coverage == Coverage::Whole,
        open_list: OpenList::of(seen.key.kind, fields.get("status").and_then(Value::as_str)),
        agenda: Agenda::default(),
    }
}

/// A sight of a resource in the state that its snapshot shows, whose fields these are.
pub(super) fn sight(
    snapshot: &Snapshot,
    fields: &Fields,
    previous: &Fields,
    api_version: &str,
    detection: Detection,
) -> Sight {
    Sight {
        subject: Subject::Resource(snapshot.key.clone()),
        api_version: api_version.into(),
        // Upstream serves certificates to live keys only; a resource that does not say is a live one.
        livemode: fields.get("livemode").and_then(Value::as_bool).unwrap_or(true),
        object: snapshot.object.clone(),
        previous_attributes: Json::of(previous),
        detection,
    }
}

impl Context<'_> {
    fn detection(&self, mode: Mode, object_version: u64, observed_after: Option<Timestamp>) -> Detection {
        Detection {
            mode,
            pass: self.cause,
            request_id: self.request_id.map(Into::into),
            object_version,
            observed_after,
            observed_before: self.arrived_at,
        }
    }
}

/// Two states of a resource, to be put into events.
struct Story<'a> {
    kind: Kind,
    /// `created` or `restored`, where the sight begins with that.
    opening: Option<EventType>,
    before: &'a Fields,
    after: &'a Fields,
    /// The watched top-level fields that differ; none on a first sight, which `created` tells whole.
    changed: &'a [&'a str],
}

impl Story<'_> {
    /// The events, in the order in which they are told.
    fn tell(&self, has_document: bool) -> Vec<EventDraft> {
        let first_sight = matches!(self.opening, Some(EventType::CertificateCreated | EventType::RequestCreated));
        let mut drafts: Vec<EventDraft> = self.opening.map(EventDraft::plain).into_iter().collect();
        let status = self.status_event(first_sight);
        if status.is_some() && self.kind == Kind::Certificate {
            let (before, after) = (self.before.get("status"), self.after.get("status"));
            let completed = lifecycle::completes_processing(before, after);
            drafts.extend(completed.then(|| EventDraft::plain(EventType::CertificateProcessingCompleted)));
        }
        drafts.extend(status.map(EventDraft::plain));
        let entries = self.entries(first_sight);
        let date_renewed = self.date_is_renewed();
        let renewed = date_renewed || entries.renewed;
        drafts.extend(renewed.then(|| EventDraft::plain(EventType::CertificateRenewed)));
        drafts.extend(entries.drafts);
        drafts.extend(has_document.then(|| EventDraft::plain(EventType::CertificateDocumentAvailable)));
        let updated = self.changed.iter().any(|&name| match name {
            "status" => status.is_none(),
            "certificate_id" => status != Some(EventType::RequestFulfilled),
            "expiration_date" => !date_renewed,
            JURISDICTIONS => self.kind == Kind::CertificateRequest || entries.unaccounted,
            _ => true,
        });
        drafts.extend(updated.then(|| {
            EventDraft::plain(match self.kind {
                Kind::Certificate => EventType::CertificateUpdated,
                Kind::CertificateRequest => EventType::RequestUpdated,
            })
        }));
        drafts
    }

    /// The event of the top-level status, if it changed to a word that we know.
    fn status_event(&self, first_sight: bool) -> Option<EventType> {
        let (before, after) = (self.before.get("status"), self.after.get("status"));
        let changed = if first_sight { !same(before, after) } else { self.changed.contains(&"status") };
        if changed { lifecycle::status_event(self.kind, before, after) } else { None }
    }

    fn entries(&self, first_sight: bool) -> jurisdictions::Found {
        let watched = first_sight || self.changed.contains(&JURISDICTIONS);
        if self.kind == Kind::Certificate && watched {
            jurisdictions::compare(self.before.get(JURISDICTIONS), self.after.get(JURISDICTIONS), first_sight)
        } else {
            jurisdictions::Found::default()
        }
    }

    fn date_is_renewed(&self) -> bool {
        self.kind == Kind::Certificate
            && self.changed.contains(&"expiration_date")
            && is_later(self.before.get("expiration_date"), self.after.get("expiration_date"))
    }
}
