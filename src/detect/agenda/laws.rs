//! What must hold of any sequence of calls about a resource, whatever its dates, the time zone and the clock.

use std::collections::BTreeMap;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::{at, certificate, request, told};
use super::{Occasion, Policy, plan, reason};
use crate::model::resource::{Agenda, Download, Kind, Removal, RemovalReason, Snapshot};
use crate::model::time::Timestamp;

const ZONES: [&str; 7] = [
    "UTC",
    "America/New_York",
    "America/St_Johns",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
];

/// Days on which clocks change somewhere, or a day is left out (Samoa's 30 December 2011), or nothing happens.
const DAYS: [&str; 6] = ["2010-12-20", "2011-03-08", "2011-03-26", "2011-10-25", "2011-12-26", "2010-04-26"];

fn any_policy() -> impl Strategy<Value = Policy> {
    let thresholds = proptest::collection::vec(0..30_u16, 0..6);
    (thresholds, 0..24_i8, 0..60_i8, proptest::sample::select(ZONES.to_vec())).prop_map(
        |(will_expire, hour, minute, zone)| Policy {
            will_expire,
            remind_at: Time::constant(hour, minute, 0, 0),
            timezone: TimeZone::get(zone).expect("a time zone"),
        },
    )
}

/// What one resource can look like: what it is, its dates, and the jurisdictions that it covers, all of them if it
/// always carries the same.
#[derive(Clone, Debug)]
struct Outline {
    kind: Kind,
    start: Timestamp,
    dates: Vec<String>,
    ids: Vec<&'static str>,
    is_fixed: bool,
}

fn any_outline() -> impl Strategy<Value = Outline> {
    let ids = proptest::sample::subsequence(vec!["US-CA", "US-TX", "US-TX"], 0..=3);
    let kind = proptest::sample::select(vec![Kind::Certificate, Kind::Certificate, Kind::CertificateRequest]);
    let days = proptest::collection::vec(0..40_i32, 3);
    (kind, proptest::sample::select(DAYS.to_vec()), days, ids, any::<bool>()).prop_map(
        |(kind, start, days, ids, is_fixed)| {
            let day: Date = start.parse().expect("a date");
            let date = |days: &i32| day.checked_add(jiff::Span::new().days(*days)).expect("a date").to_string();
            let dates = days.iter().take(if is_fixed { 1 } else { 3 }).map(date).collect();
            Outline { kind, start: at(&format!("{start}T00:00:00Z")), dates, ids, is_fixed }
        },
    )
}

/// A state of such a resource.
fn any_state(outline: &Outline) -> impl Strategy<Value = Snapshot> + use<> {
    let word = || proptest::sample::select(vec!["processing", "active", "expiring", "expired", "pending", "fulfilled"]);
    let dates = outline.dates.clone();
    let date = move || proptest::sample::select(dates.clone());
    let least = if outline.is_fixed { outline.ids.len() } else { 0 };
    let ids = proptest::sample::subsequence(outline.ids.clone(), least..=outline.ids.len());
    let entries = (ids, [word(), word(), word()], [date(), date(), date()]);
    let download = proptest::sample::select(vec![Download::Unknown, Download::Missing, Download::Available]);
    let kind = outline.kind;
    (word(), date(), entries, download, proptest::bool::weighted(0.1)).prop_map(
        move |(status, date, (ids, words, dates), download, is_gone)| {
            let entries: Vec<_> =
                (ids.iter().zip(words).zip(&dates)).map(|((id, word), date)| (*id, word, &**date)).collect();
            let mut known = match kind {
                Kind::Certificate => certificate(status, &date, &entries),
                Kind::CertificateRequest => request(status, &format!("{date}T15:30:00Z")),
            };
            known.download = download;
            known.removed = is_gone.then_some(Removal { reason: RemovalReason::NotFound, at: Timestamp::EPOCH });
            known
        },
    )
}

fn any_occasion() -> impl Strategy<Value = Occasion> {
    prop_oneof![
        1 => Just(Occasion::FirstSight),
        6 => Just(Occasion::Later),
        3 => Just(Occasion::Fetched),
        1 => Just(Occasion::NewPolicy),
    ]
}

/// One call: what is known of the resource, why, how many minutes later (or earlier), and whether it is told at the
/// very instant of the agenda instead.
type Call = (Snapshot, Occasion, i64, bool);

/// When they begin, and calls about one resource. Where its dates may move, time only goes on: what is remembered of
/// a date that is over and gone is forgotten.
fn any_calls() -> impl Strategy<Value = (Timestamp, Vec<Call>)> {
    any_outline().prop_flat_map(|outline| {
        let earliest = if outline.is_fixed { -30 * 24 * 60 } else { 0 };
        let minutes = prop_oneof![1 => earliest..40 * 24 * 60_i64, 2 => earliest / 8..5 * 24 * 60, 1 => Just(0)];
        let call = (any_state(&outline), any_occasion(), minutes, any::<bool>());
        (Just(outline.start), proptest::collection::vec(call, 1..20))
    })
}

/// When a reminder may be told at the earliest, and from when on not any more, read without the code under test.
fn bounds(date: &str, threshold: u16, policy: &Policy) -> (Timestamp, Timestamp) {
    let millis = |zoned: jiff::Zoned| Timestamp::from_millis(zoned.timestamp().as_millisecond());
    let zone = || policy.timezone.clone();
    let (day, end) = match date.parse::<jiff::Timestamp>() {
        Ok(instant) => (instant.to_zoned(zone()).date(), millis(instant.to_zoned(zone()))),
        Err(_) => {
            let day: Date = date.parse().expect("a date");
            (day, millis(day.tomorrow().expect("a date").to_zoned(zone()).expect("a start")))
        }
    };
    let due = day.checked_sub(jiff::Span::new().days(threshold)).expect("a date").to_datetime(policy.remind_at);
    (millis(due.to_zoned(zone()).expect("an instant")), end)
}

/// The date that a reminder is about, as the resource shows it.
fn date_of(known: &Snapshot, whose: Option<&str>, days: i64, now: Timestamp, policy: &Policy) -> String {
    let fields = known.object.fields();
    let today =
        jiff::Timestamp::from_millisecond(now.as_millis()).expect("an instant").to_zoned(policy.timezone.clone());
    let is_meant = |date: &&str| {
        let (_, end) = bounds(date, 0, policy);
        let day = date
            .parse::<jiff::Timestamp>()
            .map_or_else(|_| date.parse().expect("a date"), |instant| instant.to_zoned(policy.timezone.clone()).date());
        now < end && i64::from(day.since(today.date()).expect("days").get_days()) == days
    };
    let dates: Vec<&str> = match whose {
        None => ["expiration_date", "expires_at"].iter().filter_map(|name| fields.get(*name)?.as_str()).collect(),
        Some(id) => {
            let entries = fields["jurisdictions"].as_array().expect("entries").iter();
            entries
                .filter(|entry| entry["jurisdiction_id"] == id)
                .filter_map(|entry| entry["expiration_date"].as_str())
                .collect()
        }
    };
    dates.into_iter().find(is_meant).expect("a date that is not over and so far ahead").to_owned()
}

/// When the next reminder is due, read from what is remembered without the code under test. Fails if what is crossed
/// is not done with.
fn next_reminder(known: &Snapshot, now: Timestamp, policy: &Policy) -> Option<Timestamp> {
    let fields = known.object.fields();
    let text = |value: &Value, name: &str| value[name].as_str().map(String::from);
    let own = json!(fields);
    let (status, entries) = (text(&own, "status"), own["jurisdictions"].as_array().cloned().unwrap_or_default());
    let is_valid = |status: Option<String>| matches!(status.as_deref(), Some("active" | "expiring"));
    let mut dates: Vec<(Option<String>, Option<String>)> = Vec::new();
    if known.key.kind == Kind::CertificateRequest {
        dates.extend((status.as_deref() == Some("pending")).then(|| (None, text(&own, "expires_at"))));
    } else if entries.is_empty() {
        dates.extend(is_valid(status).then(|| (None, text(&own, "expiration_date"))));
    }
    let valid = entries.iter().filter(|entry| is_valid(text(entry, "status")));
    dates.extend(valid.map(|entry| (text(entry, "jurisdiction_id"), text(entry, "expiration_date"))));
    let mut next = Vec::new();
    for (whose, date) in dates.into_iter().filter(|_| known.removed.is_none()) {
        let date = date.expect("a date");
        let done = known.agenda.reminded.iter().find(|known| known.jurisdiction_id == whose && known.date == date);
        for &threshold in &policy.will_expire {
            let (due_at, end) = bounds(&date, threshold, policy);
            if done.is_none_or(|done| threshold < done.threshold_days) && now < end && due_at < end {
                assert!(now < due_at, "{date} {threshold} is due and not done with at {now}");
                next.push(due_at);
            }
        }
    }
    next.into_iter().min()
}

proptest! {
    #[test]
    fn a_reminder_is_told_once_at_its_time_and_in_descending_order(
        policy in any_policy(), (start, calls) in any_calls(),
    ) {
        let mut now = start;
        let mut agenda = Agenda::default();
        let mut smallest_told: BTreeMap<(Option<String>, String), u16> = BTreeMap::new();
        for (known, occasion, minutes, at_its_instant) in calls {
            now = match agenda.remind_at {
                Some(remind_at) if at_its_instant => now.max(remind_at),
                _ => Timestamp::from_millis(now.as_millis() + minutes * 60_000),
            };
            let known = Snapshot { agenda, ..known };
            let planned = plan(&known, occasion, now, &policy);
            for (whose, crossed, days) in told(&planned.reminders) {
                prop_assert!(days >= 0 && crossed.windows(2).all(|pair| pair[0] > pair[1]));
                let date = date_of(&known, whose.as_deref(), days, now, &policy);
                for threshold in crossed {
                    prop_assert!(policy.will_expire.contains(&threshold));
                    let (due_at, end) = bounds(&date, threshold, &policy);
                    prop_assert!(due_at <= now && now < end, "{date} {threshold} at {now}");
                    let former = smallest_told.insert((whose.clone(), date.clone()), threshold);
                    prop_assert!(former.is_none_or(|former| threshold < former), "{date} {threshold} after {former:?}");
                }
            }
            if matches!(occasion, Occasion::FirstSight | Occasion::NewPolicy) {
                prop_assert!(planned.reminders.is_empty());
            }
            let ids: Vec<_> = told(&planned.reminders).into_iter().map(|(whose, ..)| whose).collect();
            prop_assert!(ids.is_sorted());
            agenda = planned.agenda;
        }
    }

    #[test]
    fn an_agenda_is_complete_and_worked_out_again_the_same(
        policy in any_policy(), (start, calls) in any_calls(), later in 0..10_000_i64,
    ) {
        let mut now = start;
        let mut agenda = Agenda::default();
        for (known, occasion, minutes, _) in calls {
            now = Timestamp::from_millis(now.as_millis() + minutes * 60_000);
            let planned = plan(&Snapshot { agenda, ..known.clone() }, occasion, now, &policy);
            let known = Snapshot { agenda: planned.agenda.clone(), ..known };
            let again = plan(&known, occasion, now, &policy);
            prop_assert_eq!((&again.agenda, again.reminders.len()), (&planned.agenda, 0));
            agenda = planned.agenda;
            if known.removed.is_some() {
                prop_assert_eq!((agenda.remind_at, agenda.fetch_at), (None, None));
            }
            if let Some(remind_at) = agenda.remind_at {
                prop_assert!(remind_at > now);
                let told_at = |at: Timestamp| plan(&known, Occasion::Later, at, &policy).reminders.len();
                prop_assert!(told_at(remind_at) > 0);
                if !matches!(occasion, Occasion::FirstSight | Occasion::NewPolicy) {
                    prop_assert_eq!(told_at(Timestamp::from_millis(remind_at.as_millis() - 1)), 0);
                }
            }
            prop_assert_eq!(agenda.remind_at, next_reminder(&known, now, &policy));
            if occasion == Occasion::Fetched {
                prop_assert!(agenda.fetch_at.is_none_or(|fetch_at| fetch_at > now));
            }
            let look_at = Timestamp::from_millis(now.as_millis() + later * 60_000);
            let is_due = agenda.fetch_at.is_some_and(|fetch_at| fetch_at <= look_at);
            prop_assert_eq!(reason(&known, look_at, &policy).is_some(), is_due);
        }
    }

    #[test]
    fn no_date_makes_an_agenda_panic(text in "[0-9T:Z.+-]{0,30}", year in 0..10_000, now: i64, policy in any_policy()) {
        for date in [text, format!("{year:04}-12-31"), format!("{year:04}-01-01T00:00:00Z")] {
            for known in [certificate("active", &date, &[("US-CA", "active", &date)]), request("pending", &date)] {
                for occasion in [Occasion::FirstSight, Occasion::Later, Occasion::Fetched, Occasion::NewPolicy] {
                    plan(&known, occasion, Timestamp::from_millis(now), &policy);
                    reason(&known, Timestamp::from_millis(now), &policy);
                }
            }
        }
    }
}
