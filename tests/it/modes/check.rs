//! What must be known of what upstream shows, after a pass that nothing disturbed.

use std::collections::BTreeSet;
use std::time::Duration;

use certhook::clock::Clock;
use certhook::detect::compare::changed_fields;
use certhook::model::json::Fields;
use certhook::model::resource::Snapshot;
use certhook::model::time::Timestamp;
use serde_json::Value;

use super::rig::{FURTHER_FIELD, Rig};
use super::upstream::{State, is_archived, is_deleted, is_hidden};

const HOUR: Duration = Duration::from_secs(3_600);

/// So many hours after a date a resource is looked at that no open list shows.
const HOURS_AFTER_A_DATE: [u32; 5] = [0, 6, 12, 24, 36];

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// What moved `updated_at`.
    Changes,
    /// What stands open.
    Open,
    /// Everything.
    Sweep,
}

/// An object as upstream shows it, without what it keeps to itself and what we do not keep.
pub(super) fn shown(object: &Value) -> Fields {
    let mut fields = object.as_object().expect("an object").clone();
    fields.shift_remove("sandbox");
    fields.shift_remove("download_url");
    fields
}

/// The names of the fields that differ, `updated_at` left out.
pub(super) fn unlike(one: &Fields, other: &Fields) -> BTreeSet<String> {
    changed_fields(one, other).into_iter().filter(|name| *name != "updated_at").map(Into::into).collect()
}

fn is_open(object: &Fields) -> bool {
    ["processing", "needs_info", "expiring", "pending"].iter().any(|status| object["status"] == *status)
}

/// An object without the field that upstream has come to show one day.
pub(super) fn without_further(mut fields: Fields) -> Fields {
    fields.shift_remove(FURTHER_FIELD);
    fields
}

/// An object without the statuses of its jurisdictions, and without its own unless it is to be kept.
fn without_statuses(object: &Fields, keep_own: bool) -> Fields {
    let mut fields = object.clone();
    if !keep_own {
        fields.shift_remove("status");
    }
    let entries = fields.get_mut("jurisdictions").and_then(Value::as_array_mut).into_iter().flatten();
    entries.filter_map(Value::as_object_mut).for_each(|entry| drop(entry.shift_remove("status")));
    fields
}

impl Rig {
    /// Whether rows that the clock moved look as before.
    pub(super) fn is_blind(&self) -> bool {
        !self.modes.status_in_rows && !self.modes.clock_moves_bump_updated_at
    }

    /// Everything that this look could see is known as upstream shows it by id.
    pub(super) async fn assert_in_step(&self, look: Look, when: &str) {
        let snapshots = self.snapshots().await;
        for (id, states) in self.upstream.truth() {
            if is_hidden(&states.last().expect("a state").object) {
                continue;
            }
            let object = self.by_id(&id).await;
            let known = snapshots.get(&id).map(|snapshot| (snapshot, snapshot.object.fields()));
            let is_known_open =
                known.as_ref().is_some_and(|(snapshot, known)| snapshot.removed.is_none() && is_open(known));
            if look == Look::Open && !is_open(&object) && !is_known_open {
                continue;
            }
            let (snapshot, known) = known.unwrap_or_else(|| panic!("{}: {id} is unknown {when}", self.label));
            assert!(snapshot.removed.is_none(), "{}: {id} counts as gone {when}", self.label);
            assert!(!snapshot.object.text().contains("download_url"), "{}: {id} is kept with its URL", self.label);
            // A field that every object comes to show does not move `updated_at`.
            let [known, object] =
                if look == Look::Changes { [known, object].map(without_further) } else { [known, object] };
            let changed = changed_fields(&known, &object);
            let is_in_step = changed.is_empty() || self.may_lag(look, &known, &object);
            assert!(is_in_step, "{}: {id} differs in {changed:?} {when}: {known:?} but {object:?}", self.label);
        }
    }

    /// Whether the difference is one that this look could not see: what only the clock moved leaves no trace in rows
    /// without a status, and where it does not move `updated_at`, only rows show it.
    fn may_lag(&self, look: Look, known: &Fields, object: &Fields) -> bool {
        let unseen = match look {
            Look::Changes => !self.modes.clock_moves_bump_updated_at,
            Look::Open | Look::Sweep => self.is_blind(),
        };
        // An open list says by itself what status its members have.
        let keep_own = look == Look::Open;
        unseen && changed_fields(&without_statuses(known, keep_own), &without_statuses(object, keep_own)).is_empty()
    }

    /// In the end the status of everything that lists show is known, in every mode.
    pub(super) async fn assert_every_status(&self) {
        let snapshots = self.snapshots().await;
        for (id, states) in self.upstream.truth() {
            if is_hidden(&states.last().expect("a state").object) {
                continue;
            }
            let (known, object) = (snapshots[&id].object.fields(), self.by_id(&id).await);
            assert_eq!(known["status"], object["status"], "{}: {id} in the end", self.label);
        }
    }

    async fn by_id(&self, id: &str) -> Fields {
        let list = if id.starts_with("cert_req_") { "certificate-requests" } else { "certificates" };
        let (_, object) = self.upstream.call("GET", &format!("/tax/{list}/{id}"), &Value::Null).await;
        shown(&object)
    }

    /// What has become of every date that is over, and of which no open list tells, is known by the first look after
    /// upstream moved the status.
    pub(super) async fn assert_dates_that_are_over(&self) {
        let (snapshots, now) = (self.snapshots().await, self.clock.now());
        for (id, states) in self.upstream.truth() {
            let Some(snapshot) = snapshots.get(&id).filter(|snapshot| self.answers_by_id(snapshot, &states)) else {
                continue;
            };
            let (known, object) = (snapshot.object.fields(), self.by_id(&id).await);
            let is_told_by_list = is_open(&known) && self.modes.status_in_rows;
            if is_told_by_list || known["object"] != "tax.exemption_certificate" || has_moved(&known, &object) {
                continue;
            }
            let own = (known["status"] == "active" && self.is_looked_after(&known, now))
                .then(|| (&known["status"], &object["status"]));
            let entries = |object: &Fields| object["jurisdictions"].as_array().expect("a list").clone();
            let (known_entries, true_entries) = (entries(&known), entries(&object));
            let of_entry = |(entry, truth): (&Value, &Value)| {
                let fields = entry.as_object().expect("an entry");
                let is_valid = ["active", "expiring"].iter().any(|status| entry["status"] == *status);
                let is_late = is_valid && self.is_looked_after(fields, now) && entry["status"] != truth["status"];
                assert!(!is_late, "{}: {id}: {entry} is {truth} since its date", self.label);
            };
            known_entries.iter().zip(&true_entries).for_each(of_entry);
            assert!(own.is_none_or(|(known, truth)| known == truth), "{}: {id} is not {own:?}", self.label);
        }
    }

    fn answers_by_id(&self, snapshot: &Snapshot, states: &[State]) -> bool {
        let object = &states.last().expect("a state").object;
        let is_there = !is_deleted(object) && (!is_archived(object) || self.modes.archived_by_id);
        snapshot.removed.is_none() && is_there
    }

    /// Whether a date is over, and a time to look has come after upstream's clock had it over, too.
    fn is_looked_after(&self, carrier: &Fields, now: Timestamp) -> bool {
        let Some(text) = carrier["expiration_date"].as_str().filter(|text| !text.starts_with("9999")) else {
            return false;
        };
        let day: jiff::civil::Date = text.parse().expect("a date");
        let end = |zone: &jiff::tz::TimeZone| {
            let end = zone.to_timestamp(day.tomorrow().expect("a date of our time").at(0, 0, 0, 0));
            Timestamp::from_millis(end.expect("a midnight").as_millisecond())
        };
        let moved_at = Timestamp::from_millis(end(&jiff::tz::TimeZone::UTC).as_millis() - self.shift_ms);
        let over = end(&self.choices.dates.timezone);
        HOURS_AFTER_A_DATE.iter().map(|hours| over.plus(HOUR * *hours)).any(|look| moved_at <= look && look <= now)
    }
}

/// Whether something moved it that shows in its row.
fn has_moved(known: &Fields, object: &Fields) -> bool {
    !changed_fields(&without_statuses(known, false), &without_statuses(object, false)).is_empty()
}
