//! Reminders, worked out anew from what the rules say: so many days ahead of a date, each once.

use std::collections::{BTreeMap, BTreeSet};

use certhook::detect::agenda::Policy;
use certhook::model::event::{Event, EventType, Mode, Subject};
use certhook::model::json::Fields;
use certhook::model::resource::Snapshot;
use certhook::model::time::Timestamp;
use jiff::civil::Date;
use jiff::{Span, tz::TimeZone};
use serde_json::Value;

/// A date that a resource carries: whose it is, and its text, of an instant without what is below a second.
type Name = (Option<String>, String);

/// A date, as far as reminders look at it.
#[derive(Debug)]
struct Carried {
    name: Name,
    /// The last valid day.
    day: Date,
    /// When it is over.
    end: Timestamp,
    /// Whether its status is one that is reminded of.
    is_valid: bool,
}

/// How a resource was first seen.
#[derive(Debug)]
struct First {
    at: Timestamp,
    /// The dates that it carried then; `None` if it may have changed since, before anybody looked.
    dates: Option<BTreeSet<Name>>,
}

/// Everything that reminders were told of.
pub(super) struct Reminders {
    policy: Policy,
    first: BTreeMap<String, First>,
    told: BTreeMap<(String, Name), BTreeSet<u16>>,
}

impl Reminders {
    pub(super) fn new(policy: &Policy) -> Self {
        Self { policy: policy.clone(), first: BTreeMap::new(), told: BTreeMap::new() }
    }

    /// What a baseline found in one go.
    pub(super) fn begin(&mut self, snapshots: &BTreeMap<String, Snapshot>, now: Timestamp) {
        for (id, snapshot) in snapshots {
            self.meet_exactly(id, &snapshot.object.fields(), now);
        }
    }

    /// Whatever is known now and was not told to be new.
    pub(super) fn meet(&mut self, snapshots: &BTreeMap<String, Snapshot>, now: Timestamp) {
        for id in snapshots.keys() {
            self.first.entry(id.clone()).or_insert(First { at: now, dates: None });
        }
    }

    fn meet_exactly(&mut self, id: &str, object: &Fields, at: Timestamp) {
        let dates = carried(object, &self.policy.timezone).into_iter().map(|date| date.name).collect();
        self.first.insert(id.into(), First { at, dates: Some(dates) });
    }

    fn due_at(&self, day: Date, threshold: u16) -> Timestamp {
        let day = day.checked_sub(Span::new().days(threshold)).expect("a date of our time");
        let at = self.policy.timezone.to_timestamp(day.to_datetime(self.policy.remind_at)).expect("a time of our time");
        Timestamp::from_millis(at.as_millisecond())
    }

    /// The thresholds of a date that must have been told by an instant, and those that may have been.
    fn crossed(&self, id: &str, date: &Carried, by: Timestamp) -> (BTreeSet<u16>, BTreeSet<u16>) {
        let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
        for &days in &self.policy.will_expire {
            let due_at = self.due_at(date.day, days);
            let first = self.first.get(id);
            let is_skipped = first.is_some_and(|first| {
                due_at <= first.at && first.dates.as_ref().is_some_and(|dates| dates.contains(&date.name))
            });
            if by < due_at || is_skipped {
                continue;
            }
            may.insert(days);
            if first.is_some_and(|first| first.dates.is_some() || first.at < due_at) {
                must.insert(days);
            }
        }
        (must, may)
    }

    /// An event as it was told; checks it if it is a reminder.
    pub(super) fn hear(&mut self, event: &Event, label: &str) {
        let Subject::Resource(key) = &event.sight.subject else { return };
        let id = key.id.as_str();
        let is = |types: [EventType; 2]| types.contains(&event.event_type);
        if is([EventType::CertificateCreated, EventType::RequestCreated]) {
            self.meet_exactly(id, &event.sight.object.fields(), event.timestamp());
        }
        if is([EventType::CertificateWillExpire, EventType::RequestWillExpire]) {
            self.check(id, event, &format!("{label}: {}", event.body().text()));
        }
    }

    fn check(&mut self, id: &str, event: &Event, told: &str) {
        let (details, now) = (event.details.fields(), event.timestamp());
        let whose = details["jurisdiction_id"].as_str();
        let dates = carried(&event.sight.object.fields(), &self.policy.timezone);
        let date =
            dates.into_iter().find(|date| date.name.0.as_deref() == whose).unwrap_or_else(|| panic!("no date: {told}"));
        assert!(date.is_valid, "of something that is not valid: {told}");
        assert!(now < date.end, "after the date: {told}");
        let days = |value: &Value| u16::try_from(value.as_u64().expect("a number of days")).expect("a few");
        let crossed: BTreeSet<u16> =
            details["thresholds_crossed"].as_array().expect("a list").iter().map(days).collect();
        assert_eq!(crossed.first(), Some(&days(&details["threshold_days"])), "the smallest: {told}");
        let (must, may) = self.crossed(id, &date, now);
        let done = self.told.entry((id.into(), date.name)).or_default();
        assert!(crossed.is_disjoint(done), "a second time: {told}");
        assert!(crossed.is_subset(&may), "early, or past at first sight: {told}, {may:?} may be");
        let left: BTreeSet<u16> = must.difference(done).copied().collect();
        assert!(left.is_subset(&crossed), "{left:?} are due, too: {told}");
        done.extend(crossed);
        let instant = jiff::Timestamp::from_millisecond(now.as_millis()).expect("an instant of our time");
        let remaining = (date.day - self.policy.timezone.to_datetime(instant).date()).get_days();
        assert_eq!(details["days_remaining"], remaining, "{told}");
        let detection = &event.sight.detection;
        assert_eq!((detection.mode, detection.observed_after), (Mode::Derived, None), "{told}");
    }

    /// What was due by now was told, of everything that is there.
    pub(super) fn assert_told(&self, snapshots: &BTreeMap<String, Snapshot>, now: Timestamp, label: &str) {
        for (id, snapshot) in snapshots.iter().filter(|(_, snapshot)| snapshot.removed.is_none()) {
            for date in carried(&snapshot.object.fields(), &self.policy.timezone) {
                if !date.is_valid || date.end <= now {
                    continue;
                }
                let (must, _) = self.crossed(id, &date, now);
                let done = self.told.get(&(id.clone(), date.name.clone())).cloned().unwrap_or_default();
                // Of several that were crossed at once only the smallest is told; it names the others.
                assert!(must.is_subset(&done), "{label}: {id} was not reminded of {date:?}: {must:?}, only {done:?}");
            }
        }
    }
}

fn carried(object: &Fields, zone: &TimeZone) -> Vec<Carried> {
    if object["object"] == "tax.certificate_request" {
        let Some(text) = object["expires_at"].as_str() else { return Vec::new() };
        let end: Timestamp = text.parse().expect("an instant");
        let instant: jiff::Timestamp = text.parse().expect("an instant");
        let day = zone.to_datetime(instant).date();
        return vec![Carried { name: (None, text[..19].into()), day, end, is_valid: object["status"] == "pending" }];
    }
    let entry = |entry: &Value| {
        let text = entry["expiration_date"].as_str().filter(|text| !text.starts_with("9999"))?;
        let day: Date = text.parse().expect("a date");
        let end = zone.to_timestamp(day.tomorrow().expect("a date of our time").at(0, 0, 0, 0)).expect("a midnight");
        let is_valid = ["active", "expiring"].iter().any(|status| entry["status"] == *status);
        let name = (entry["jurisdiction_id"].as_str().map(Into::into), text.to_owned());
        Some(Carried { name, day, end: Timestamp::from_millis(end.as_millisecond()), is_valid })
    };
    object["jurisdictions"].as_array().expect("a list").iter().filter_map(entry).collect()
}
