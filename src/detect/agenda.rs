//! What is to be done about a resource when its time has come: reminders ahead of a date, looks by id after it, and
//! looks for a document that was missing.
//!
//! In reading order: this file (the whole agenda, and the looks), `dates` (what a resource carries), `reminders`.

use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;

use self::dates::{Carried, carried};
use self::reminders::Reminders;
use super::diff;
use crate::model::event::{Cause, Detection, EventDraft, Mode, Sight};
use crate::model::json::Fields;
use crate::model::resource::{Agenda, Download, Kind, Snapshot};
use crate::model::time::Timestamp;

mod dates;
mod reminders;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long after a date a resource is looked at. Upstream may move a status in a nightly run of its own, in a time
/// zone of its own.
const AFTER_A_DATE: [Duration; 5] =
    [Duration::ZERO, HOUR.saturating_mul(6), HOUR.saturating_mul(12), DAY, HOUR.saturating_mul(36)];

/// How long after a document was first missed it is looked for; after that daily.
const FOR_A_DOCUMENT: [Duration; 3] = [Duration::from_secs(5 * 60), HOUR, HOUR.saturating_mul(6)];

/// For how many days a document is looked for.
const FOR_A_DOCUMENT_DAYS: u32 = 30;

/// What configuration says about dates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Days ahead of a date on which to remind of it, each from 0 to 3650; empty: never.
    pub will_expire: Vec<u16>,
    /// The time of day of a reminder.
    pub remind_at: Time,
    /// Where that time, and upstream's dates, which carry no time zone, are.
    pub timezone: TimeZone,
}

impl Default for Policy {
    /// No reminders, and dates in UTC.
    fn default() -> Self {
        Self { will_expire: Vec::new(), remind_at: Time::midnight(), timezone: TimeZone::UTC }
    }
}

/// Why the agenda of a resource is worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It was seen for the first time: what is past is skipped.
    FirstSight,
    /// It was seen again, or the time of a reminder has come: what was crossed since is told.
    Later,
    /// It was asked for by id because its agenda said so; whatever the answer was.
    Fetched,
    /// The policy is another than the one its agenda was worked out for: what is past is skipped.
    NewPolicy,
}

/// What follows from an agenda.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The agenda from now on. No reminder in it is due at `now` or before. A look by id may be, and then is due at
    /// once, unless the occasion was [`Occasion::Fetched`].
    pub agenda: Agenda,
    /// The reminders to be told now, in the order of their jurisdictions.
    pub reminders: Vec<EventDraft>,
}

/// Why a resource is to be asked for by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A date has passed, and its status has not moved yet.
    Deadline,
    /// Its document is missing.
    Document,
}

/// Works out the agenda of a resource; `snapshot` carries the former one. Doing so again at the same instant gives
/// the same agenda and no reminder.
pub fn plan(snapshot: &Snapshot, occasion: Occasion, now: Timestamp, policy: &Policy) -> Plan {
    let (kind, former) = (snapshot.key.kind, &snapshot.agenda);
    let is_there = snapshot.removed.is_none();
    let fields = snapshot.object.fields();
    let mut carried = carried(kind, &fields, &policy.timezone);
    carried.iter_mut().for_each(|date| date.is_reminded &= is_there);
    let reminders = Reminders { kind, carried: &carried, former: &former.reminded, occasion, now, policy }.work_out();

    let lacks_document = is_there && kind == Kind::Certificate && snapshot.download == Download::Missing;
    // The clock may have been set back since; what is ahead of it cannot have been.
    let missing_since = former.document_missing_since.unwrap_or(now).min(now);
    let mut agenda = Agenda {
        remind_at: reminders.remind_at,
        fetch_at: None,
        fetched_at: if occasion == Occasion::Fetched { Some(now) } else { former.fetched_at.map(|at| at.min(now)) },
        document_missing_since: lacks_document.then_some(missing_since),
        reminded: reminders.reminded,
    };
    agenda.fetch_at = Looks::of(snapshot, &agenda, &carried).earliest();
    Plan { agenda, reminders: reminders.drafts }
}

/// Why a resource is due to be asked for by id at `now`; `None` if it is not. It is if its agenda, worked out by the
/// same policy, says so.
pub fn reason(snapshot: &Snapshot, now: Timestamp, policy: &Policy) -> Option<Reason> {
    let fields = snapshot.object.fields();
    let carried = carried(snapshot.key.kind, &fields, &policy.timezone);
    let looks = Looks::of(snapshot, &snapshot.agenda, &carried);
    let is_due = |look: Option<Timestamp>| look.is_some_and(|at| at <= now);
    if is_due(looks.after_a_date) {
        Some(Reason::Deadline)
    } else {
        is_due(looks.for_a_document).then_some(Reason::Document)
    }
}

/// The sight that reminders belong to: the resource as it is known, derived by our clock.
pub fn reminder_sight(snapshot: &Snapshot, now: Timestamp, api_version: &str) -> Sight {
    let detection = Detection {
        mode: Mode::Derived,
        pass: Some(Cause::Clock),
        request_id: None,
        object_version: snapshot.object_version,
        observed_after: None,
        observed_before: now,
    };
    diff::sight(snapshot, &snapshot.object.fields(), &Fields::new(), api_version, detection)
}

/// The next looks at a resource, which may be overdue.
#[derive(Debug)]
struct Looks {
    after_a_date: Option<Timestamp>,
    for_a_document: Option<Timestamp>,
}

impl Looks {
    /// Of what was due, everything up to the last look is done.
    fn of(snapshot: &Snapshot, agenda: &Agenda, carried: &[Carried<'_>]) -> Self {
        if snapshot.removed.is_some() {
            return Self { after_a_date: None, for_a_document: None };
        }
        let is_left = |at: &Timestamp| agenda.fetched_at.is_none_or(|fetched_at| fetched_at < *at);
        let ends = carried.iter().filter(|date| date.is_looked_after).map(|date| date.when.end);
        let after_a_date = ends.flat_map(|end| AFTER_A_DATE.map(|wait| end.plus(wait)));
        // A row that showed something new showed the status as well, and nothing of the document.
        let after_a_date = after_a_date.filter(|at| snapshot.observed_at < *at && is_left(at)).min();
        let daily = (1..=FOR_A_DOCUMENT_DAYS).map(|days| DAY.saturating_mul(days));
        let mut waits = FOR_A_DOCUMENT.into_iter().chain(daily);
        let for_a_document = agenda
            .document_missing_since
            .and_then(|since| waits.find_map(|wait| Some(since.plus(wait)).filter(is_left)));
        Self { after_a_date, for_a_document }
    }

    fn earliest(&self) -> Option<Timestamp> {
        self.after_a_date.into_iter().chain(self.for_a_document).min()
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
