//! Reminders and looks, as tables of instants.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Occasion, Policy, Reason, plan, reason, reminder_sight};
use crate::detect::transitions::snapshot;
use crate::model::event::{Cause, EventDraft, Mode};
use crate::model::json::Json;
use crate::model::resource::{Agenda, Download, Kind, Removal, RemovalReason, Snapshot};
use crate::model::time::Timestamp;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn policy(thresholds: &[u16], remind_at: &str, zone: &str) -> Policy {
    Policy {
        will_expire: thresholds.to_vec(),
        remind_at: remind_at.parse().expect("a time of day"),
        timezone: TimeZone::get(zone).expect("a time zone"),
    }
}

fn usual() -> Policy {
    policy(&[60, 30, 14, 7, 1], "09:00", "UTC")
}

/// A certificate with entries `(id, status, expiration date)`.
pub(super) fn certificate(status: &str, date: &str, entries: &[(&str, &str, &str)]) -> Snapshot {
    let entry = |&(id, status, date): &(&str, &str, &str)| json!({"jurisdiction_id": id, "status": status, "expiration_date": date});
    let entries: Vec<Value> = entries.iter().map(entry).collect();
    snapshot(Kind::Certificate, &json!({"status": status, "expiration_date": date, "jurisdictions": entries}))
}

pub(super) fn request(status: &str, expires_at: &str) -> Snapshot {
    snapshot(Kind::CertificateRequest, &json!({"status": status, "expires_at": expires_at}))
}

/// What a reminder says: whose date, all thresholds, days left.
pub(super) fn told(drafts: &[EventDraft]) -> Vec<(Option<String>, Vec<u16>, i64)> {
    let read = |draft: &EventDraft| {
        let details = draft.details.fields();
        let crossed: Vec<u16> = serde_json::from_value(details["thresholds_crossed"].clone()).expect("thresholds");
        assert_eq!(details["threshold_days"], json!(crossed.last()));
        let whose = details["jurisdiction_id"].as_str().map(Into::into);
        (whose, crossed, details["days_remaining"].as_i64().expect("days"))
    };
    drafts.iter().map(read).collect()
}

/// Works out the agenda at `now` and keeps it. Says what is told.
fn step(known: &mut Snapshot, occasion: Occasion, now: &str, policy: &Policy) -> Vec<(Option<String>, Vec<u16>, i64)> {
    let plan = plan(known, occasion, at(now), policy);
    known.agenda = plan.agenda;
    told(&plan.reminders)
}

fn california(thresholds: &[u16], days: i64) -> Vec<(Option<String>, Vec<u16>, i64)> {
    vec![(Some("US-CA".into()), thresholds.to_vec(), days)]
}

#[test]
fn a_reminder_is_told_at_its_hour_and_once() {
    let policy = policy(&[60, 30, 14, 7, 1], "09:00", "America/New_York");
    let mut known = certificate("active", "2027-05-01", &[("US-CA", "active", "2027-03-20")]);
    assert_eq!(step(&mut known, Occasion::FirstSight, "2026-11-21T00:00:00Z", &policy), []);
    // In winter nine in the morning is 14:00 in UTC, in summer 13:00.
    for (hour, thresholds, days) in [
        ("2027-01-19T14:00:00Z", 60, 60),
        ("2027-02-18T14:00:00Z", 30, 30),
        ("2027-03-06T14:00:00Z", 14, 14),
        ("2027-03-13T14:00:00Z", 7, 7),
        ("2027-03-19T13:00:00Z", 1, 1),
    ] {
        assert_eq!(known.agenda.remind_at, Some(at(hour)));
        let early = plan(&known, Occasion::Later, Timestamp::from_millis(at(hour).as_millis() - 1), &policy);
        assert_eq!((early.reminders, early.agenda.remind_at), (vec![], Some(at(hour))));
        assert_eq!(step(&mut known, Occasion::Later, hour, &policy), california(&[thresholds], days));
        assert_eq!(step(&mut known, Occasion::Later, hour, &policy), []);
    }
    assert_eq!(known.agenda.remind_at, None);
}

#[test]
fn of_several_thresholds_crossed_at_once_the_smallest_is_told() {
    let mut known = certificate("active", "2027-03-31", &[("US-CA", "active", "2027-03-31")]);
    step(&mut known, Occasion::FirstSight, "2026-11-21T00:00:00Z", &usual());
    assert_eq!(step(&mut known, Occasion::Later, "2027-03-20T00:00:00Z", &usual()), california(&[60, 30, 14], 11));
    assert_eq!(known.agenda.remind_at, Some(at("2027-03-24T09:00:00Z")));
    let mut moved = certificate("active", "2027-03-31", &[("US-CA", "active", "2027-03-22")]);
    moved.agenda = known.agenda;
    assert_eq!(step(&mut moved, Occasion::Later, "2027-03-21T09:00:00Z", &usual()), california(&[60, 30, 14, 7, 1], 1));
}

#[test]
fn what_is_past_when_a_date_or_a_policy_is_new_is_not_told() {
    for occasion in [Occasion::FirstSight, Occasion::NewPolicy] {
        let mut known = certificate("processing", "2027-03-31", &[("US-CA", "processing", "2027-03-31")]);
        assert_eq!(step(&mut known, occasion, "2027-03-20T00:00:00Z", &usual()), []);
        assert_eq!(known.agenda.remind_at, None, "nobody is exempt by it yet");
        let mut active = certificate("active", "2027-03-31", &[("US-CA", "active", "2027-03-31")]);
        active.agenda = known.agenda;
        assert_eq!(step(&mut active, Occasion::Later, "2027-03-21T00:00:00Z", &usual()), []);
        assert_eq!(active.agenda.remind_at, Some(at("2027-03-24T09:00:00Z")));
    }
}

#[test]
fn only_what_is_valid_and_carries_a_date_that_is_one_is_reminded_of() {
    let check = |known: Snapshot, expected: &[Option<&str>]| {
        let plan = plan(&known, Occasion::Later, at("2027-03-30T10:00:00Z"), &usual());
        let whose: Vec<_> = told(&plan.reminders).into_iter().map(|(whose, ..)| whose).collect();
        let expected: Vec<_> = expected.iter().map(|whose| whose.map(String::from)).collect();
        assert_eq!(whose, expected, "{known:?}");
        assert_eq!(plan.agenda.reminded.len(), expected.len(), "what was not told is not done with");
    };
    const DATE: &str = "2027-03-31";
    let entry = |status| certificate("invalid", DATE, &[("US-CA", status, DATE)]);
    check(entry("active"), &[Some("US-CA")]);
    check(entry("expiring"), &[Some("US-CA")]);
    for status in ["processing", "needs_info", "expired", "invalid", "archived"] {
        check(entry(status), &[]);
        check(certificate(status, DATE, &[]), &[]);
    }
    check(certificate("active", DATE, &[]), &[None]);
    check(certificate("expiring", DATE, &[]), &[None]);
    check(certificate("active", DATE, &[("US-CA", "active", "9999-12-31")]), &[]);
    for date in ["9999-12-31", "", "soon", "2027-02-30", "31.03.2027", "2027-03-29"] {
        check(certificate("active", date, &[]), &[]);
    }
    let both = [("US-TX", "active", DATE), ("US-CA", "active", DATE), ("US-TX", "expired", DATE)];
    check(certificate("active", DATE, &both), &[Some("US-CA"), Some("US-TX")]);
    let null = json!({"status": "active", "expiration_date": null, "jurisdictions": null});
    check(snapshot(Kind::Certificate, &null), &[]);
    check(request("pending", "2027-03-31T00:00:00Z"), &[None]);
    check(request("pending", "9999-12-31T00:00:00Z"), &[]);
    check(request("fulfilled", "2027-03-31T00:00:00Z"), &[]);
    let mut gone = entry("active");
    gone.removed = Some(Removal { reason: RemovalReason::NotFound, at: Timestamp::EPOCH });
    check(gone, &[]);
}

#[test]
fn a_date_is_the_last_valid_day_and_an_instant_is_over_when_it_has_come() {
    let policy = policy(&[0], "23:30", "America/New_York");
    let check = |known: &Snapshot, due: Option<&str>, last: &str, over: &str| {
        assert_eq!(plan(known, Occasion::Later, at("2027-01-01T00:00:00Z"), &policy).agenda.remind_at, due.map(at));
        let is_told = |now: &str| !plan(known, Occasion::Later, at(now), &policy).reminders.is_empty();
        assert_eq!((is_told(last), is_told(over)), (due.is_some(), false), "{known:?}");
    };
    let known = certificate("active", "2027-03-31", &[]);
    check(&known, Some("2027-04-01T03:30:00Z"), "2027-04-01T03:59:59.999Z", "2027-04-01T04:00:00Z");
    let known = request("pending", "2027-04-01T03:45:00Z");
    check(&known, Some("2027-04-01T03:30:00Z"), "2027-04-01T03:44:59.999Z", "2027-04-01T03:45:00Z");
    let known = request("pending", "2027-04-01T03:15:00Z");
    check(&known, None, "2027-04-01T03:14:59.999Z", "2027-04-01T03:30:00Z");
}

#[test]
fn a_local_time_that_does_not_exist_is_taken_as_much_later() {
    for (zone, remind_at, date, due) in [
        ("America/New_York", "02:30", "2027-03-14", "2027-03-14T07:30:00Z"),
        ("America/New_York", "01:30", "2027-11-07", "2027-11-07T05:30:00Z"),
        ("Australia/Lord_Howe", "02:15", "2027-10-03", "2027-10-02T15:45:00Z"),
        ("Africa/Cairo", "00:30", "2027-04-30", "2027-04-29T22:30:00Z"),
    ] {
        let known = certificate("active", date, &[]);
        let plan = plan(&known, Occasion::Later, at("2027-01-01T00:00:00Z"), &policy(&[0], remind_at, zone));
        assert_eq!(plan.agenda.remind_at, Some(at(due)), "{zone}");
    }
}

#[test]
fn a_date_that_moves_away_and_back_or_is_spelled_otherwise_is_not_told_again() {
    let dated = |known: &Snapshot, expires_at: &str| Snapshot {
        agenda: known.agenda.clone(),
        ..request("pending", expires_at)
    };
    let mut known = request("pending", "2027-03-31T12:00:00Z");
    assert_eq!(step(&mut known, Occasion::Later, "2027-03-20T00:00:00Z", &usual()).len(), 1);
    known = dated(&known, "2027-03-31T12:00:00.456Z");
    assert_eq!(step(&mut known, Occasion::Later, "2027-03-20T00:00:00Z", &usual()), []);
    known = dated(&known, "2027-09-30T12:00:00Z");
    assert_eq!(step(&mut known, Occasion::Later, "2027-03-21T00:00:00Z", &usual()), []);
    assert_eq!(known.agenda.reminded.len(), 1);
    known = dated(&known, "2027-03-31T12:00:00Z");
    assert_eq!(step(&mut known, Occasion::Later, "2027-03-22T00:00:00Z", &usual()), []);
    assert_eq!(step(&mut known, Occasion::Later, "2027-03-24T09:00:00Z", &usual()), [(None, vec![7], 7)]);
    known = dated(&known, "2027-09-30T12:00:00Z");
    assert_eq!(step(&mut known, Occasion::Later, "2027-04-01T00:00:00Z", &usual()), []);
    assert_eq!(known.agenda.reminded, [], "it is over and gone");
}

#[test]
fn what_is_remembered_is_bounded_and_never_at_the_price_of_telling_twice() {
    let entries: Vec<(String, &str, &str)> =
        (0..300).map(|number| (format!("US-{number:03}"), "active", "2027-03-31")).collect();
    let entries: Vec<(&str, &str, &str)> =
        entries.iter().map(|(id, status, date)| (id.as_str(), *status, *date)).collect();
    let mut known = certificate("active", "9999-12-31", &entries);
    assert_eq!(step(&mut known, Occasion::Later, "2027-03-30T10:00:00Z", &usual()).len(), 200);
    assert_eq!(known.agenda.reminded.len(), 200);
    assert_eq!(step(&mut known, Occasion::Later, "2027-03-30T11:00:00Z", &usual()), []);
    let mut fewer = certificate("active", "9999-12-31", &entries[290..]);
    fewer.agenda = known.agenda;
    assert_eq!(step(&mut fewer, Occasion::Later, "2027-03-30T11:00:00Z", &usual()).len(), 10);
    assert_eq!(fewer.agenda.reminded.len(), 200);
    assert_eq!(step(&mut fewer, Occasion::Later, "2027-03-30T12:00:00Z", &usual()), []);
}

/// All looks from `now` on: each is made, and shows nothing new.
fn looks(known: &Snapshot, now: &str, policy: &Policy) -> Vec<(String, Reason)> {
    let mut known = known.clone();
    known.agenda = plan(&known, Occasion::Later, at(now), policy).agenda;
    let mut looks = Vec::new();
    while let Some(fetch_at) = known.agenda.fetch_at {
        assert_eq!(reason(&known, Timestamp::from_millis(fetch_at.as_millis() - 1), policy), None);
        looks.push((fetch_at.to_string(), reason(&known, fetch_at, policy).expect("it is due")));
        known.agenda = plan(&known, Occasion::Fetched, fetch_at, policy).agenda;
        assert!(known.agenda.fetch_at > Some(fetch_at) || known.agenda.fetch_at.is_none());
    }
    looks
}

#[test]
fn a_resource_is_looked_at_after_the_dates_that_no_list_may_tell_of() {
    let policy = policy(&[], "09:00", "America/New_York");
    let check = |known: &Snapshot, expected: &[&str]| {
        let looks = looks(known, "2027-01-01T00:00:00Z", &policy);
        let expected: Vec<_> = expected.iter().map(|look| (at(look).to_string(), Reason::Deadline)).collect();
        assert_eq!(looks, expected, "{known:?}");
    };
    const FIVE: [&str; 5] = [
        "2027-04-01T04:00:00Z",
        "2027-04-01T10:00:00Z",
        "2027-04-01T16:00:00Z",
        "2027-04-02T04:00:00Z",
        "2027-04-02T16:00:00Z",
    ];
    check(&certificate("active", "2027-03-31", &[]), &FIVE);
    check(&certificate("active", "2027-03-31", &[("US-CA", "active", "2027-03-31")]), &FIVE);
    check(&certificate("invalid", "2027-03-31", &[("US-CA", "expiring", "2027-03-31")]), &FIVE);
    check(&certificate("active", "9999-12-31", &[("US-CA", "expired", "2027-03-31")]), &[]);
    for status in ["processing", "needs_info", "expiring"] {
        check(&certificate(status, "2027-03-31", &[]), &[]);
        check(&certificate(status, "2027-01-31", &[("US-CA", "active", "2027-03-31")]), &FIVE);
    }
    for status in ["pending", "fulfilled", "canceled", "invalid"] {
        check(&request(status, "2027-03-31T12:00:00Z"), &[]);
    }
    let mut seen_since = certificate("active", "2027-03-31", &[]);
    seen_since.observed_at = at("2027-04-01T10:00:00Z");
    check(&seen_since, &FIVE[2..]);
    let mut gone = certificate("active", "2027-03-31", &[]);
    gone.removed = Some(Removal { reason: RemovalReason::NotFound, at: Timestamp::EPOCH });
    check(&gone, &[]);
}

#[test]
fn looks_that_were_missed_are_made_up_for_by_one() {
    let mut known = certificate("active", "2027-03-31", &[("US-CA", "active", "2027-04-05")]);
    known.observed_at = at("2027-01-01T00:00:00Z");
    let plan_at = |known: &Snapshot, occasion, now: &str| plan(known, occasion, at(now), &usual()).agenda;
    known.agenda = plan_at(&known, Occasion::Later, "2027-04-01T13:00:00Z");
    assert_eq!(known.agenda.fetch_at, Some(at("2027-04-01T00:00:00Z")), "overdue, so at once");
    known.agenda = plan_at(&known, Occasion::Fetched, "2027-04-01T13:00:00Z");
    assert_eq!(known.agenda.fetch_at, Some(at("2027-04-02T00:00:00Z")));
    known.agenda = plan_at(&known, Occasion::Fetched, "2027-04-02T12:00:00Z");
    assert_eq!(known.agenda.fetch_at, Some(at("2027-04-06T00:00:00Z")), "the next date");
}

#[test]
fn a_missing_document_is_looked_for_for_thirty_days() {
    let mut known = certificate("processing", "2027-03-31", &[]);
    known.download = Download::Missing;
    let found = looks(&known, "2027-01-01T00:00:00Z", &usual());
    assert!(found.iter().all(|(_, reason)| *reason == Reason::Document));
    let found: Vec<&str> = found.iter().map(|(look, _)| look.as_str()).collect();
    assert_eq!(found.len(), 33);
    let expected = [
        "2027-01-01T00:05:00.000Z",
        "2027-01-01T01:00:00.000Z",
        "2027-01-01T06:00:00.000Z",
        "2027-01-02T00:00:00.000Z",
    ];
    assert_eq!((&found[..4], found[32]), (&expected[..], "2027-01-31T00:00:00.000Z"));
    known.agenda = plan(&known, Occasion::FirstSight, at("2027-01-01T00:00:00Z"), &usual()).agenda;
    known.observed_at = at("2027-01-05T00:00:00Z");
    assert_eq!(reason(&known, at("2027-01-06T00:00:00Z"), &usual()), Some(Reason::Document), "a row shows none");
    known.download = Download::Available;
    known.agenda = plan(&known, Occasion::Later, at("2027-01-06T00:00:00Z"), &usual()).agenda;
    assert_eq!(known.agenda, Agenda::default());
    for (kind, download) in [(Kind::Certificate, Download::Unknown), (Kind::CertificateRequest, Download::Missing)] {
        let unconcerned = Snapshot { download, ..snapshot(kind, &json!({"status": "active"})) };
        assert_eq!(looks(&unconcerned, "2027-01-01T00:00:00Z", &usual()), []);
    }
}

#[test]
fn a_clock_that_was_ahead_does_not_put_looks_off() {
    let mut known = certificate("active", "2027-01-20", &[]);
    known.download = Download::Missing;
    known.agenda = plan(&known, Occasion::FirstSight, at("2027-06-01T00:00:00Z"), &usual()).agenda;
    known.agenda = plan(&known, Occasion::Fetched, at("2027-06-01T00:05:00Z"), &usual()).agenda;
    known.agenda = plan(&known, Occasion::Later, at("2027-01-20T00:00:00Z"), &usual()).agenda;
    assert_eq!(known.agenda.fetch_at, Some(at("2027-01-20T00:05:00Z")));
    known.download = Download::Available;
    known.agenda = plan(&known, Occasion::Later, at("2027-01-20T00:00:00Z"), &usual()).agenda;
    assert_eq!(known.agenda.fetch_at, Some(at("2027-01-21T00:00:00Z")));
}

#[test]
fn a_reminder_belongs_to_a_sight_that_our_clock_made() {
    let known = certificate("active", "2027-03-31", &[]);
    let sight = reminder_sight(&known, at("2027-03-30T09:00:00Z"), "2026-03-01");
    assert_eq!((sight.detection.mode, sight.detection.pass), (Mode::Derived, Some(Cause::Clock)));
    assert_eq!((sight.detection.object_version, sight.detection.observed_after), (known.object_version, None));
    assert_eq!(sight.detection.observed_before, at("2027-03-30T09:00:00Z"));
    assert_eq!((sight.object, sight.previous_attributes.text()), (known.object, "{}"));
}

#[test]
fn a_resource_without_fields_has_no_agenda() {
    let mut known = certificate("active", "2027-03-31", &[]);
    known.object = Json::of(&json!([]));
    let planned = plan(&known, Occasion::Later, at("2027-03-30T10:00:00Z"), &usual());
    assert_eq!((planned.agenda, planned.reminders), (Agenda::default(), vec![]));
}
