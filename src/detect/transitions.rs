//! Every transition, as a table: two states of a resource, and the events that tell the step between them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::diff::{Context, FirstSight, Verdict, diff};
use crate::model::event::{Cause, EventDraft, Mode, Sight};
use crate::model::json::Json;
use crate::model::resource::{
    Agenda, Coverage, Download, Kind, OpenList, Removal, RemovalReason, ResourceKey, Seen, Snapshot,
};
use crate::model::time::Timestamp;

pub(super) const ARRIVED: Timestamp = Timestamp::from_millis(2_000_000);
pub(super) const OBSERVED: Timestamp = Timestamp::from_millis(1_000_000);

pub(super) static NO_FIELDS: BTreeMap<String, Timestamp> = BTreeMap::new();

fn key(kind: Kind) -> ResourceKey {
    ResourceKey { source: "numeral".parse().expect("a name"), kind, id: "res_1".parse().expect("an id") }
}

pub(super) fn context() -> Context<'static> {
    Context {
        arrived_at: ARRIVED,
        first_sight: FirstSight::Live,
        cause: Some(Cause::Changes),
        request_id: None,
        row_fingerprint: Some(7),
        swept_at: None,
        fields_since: &NO_FIELDS,
        ignored_fields: &[],
        api_version: "2026-03-01",
    }
}

pub(super) fn snapshot(kind: Kind, object: &Value) -> Snapshot {
    Snapshot {
        key: key(kind),
        object_version: 4,
        object: Json::of(object),
        observed_at: OBSERVED,
        row_fingerprint: Some(7),
        download: Download::Unknown,
        removed: None,
        is_whole: true,
        open_list: OpenList::of(kind, object.get("status").and_then(Value::as_str)),
        agenda: Agenda::default(),
    }
}

pub(super) fn seen(kind: Kind, coverage: Coverage, object: &Value) -> Seen {
    let fields = object.as_object().expect("an object").clone();
    Seen { key: key(kind), fields, coverage, download: Download::Unknown }
}

pub(super) fn told(verdict: Verdict) -> (Snapshot, Sight, Vec<EventDraft>) {
    match verdict {
        Verdict::Told(snapshot, sight, drafts) => (snapshot, sight, drafts),
        Verdict::Same | Verdict::Touched(_) => panic!("something was to be told: {verdict:?}"),
    }
}

/// The names of the drafts, each with its jurisdiction, if it has one.
pub(super) fn names(drafts: &[EventDraft]) -> Vec<String> {
    let name = |draft: &EventDraft| match draft.details.fields().get("jurisdiction_id") {
        Some(id) => format!("{} {}", draft.event_type, id.as_str().expect("text")),
        None => draft.event_type.to_string(),
    };
    drafts.iter().map(name).collect()
}

/// Checks the events and the names of the previous attributes of one step. No event: nothing may be told.
fn check(kind: Kind, before: &Value, after: &Value, events: &[&str], previous: &[&str]) {
    let former = snapshot(kind, before);
    match diff(Some(&former), &seen(kind, Coverage::Whole, after), &context()) {
        Verdict::Told(snapshot, sight, drafts) => {
            assert_eq!(names(&drafts), events, "{before} -> {after}");
            let mut shown: Vec<String> = sight.previous_attributes.fields().keys().cloned().collect();
            shown.sort_unstable();
            assert_eq!(shown, previous, "{before} -> {after}");
            assert_eq!((snapshot.object_version, sight.detection.object_version), (5, 5));
            assert_eq!(sight.object, snapshot.object);
        }
        Verdict::Same | Verdict::Touched(_) => assert!(events.is_empty(), "{before} -> {after} told nothing"),
    }
}

fn check_certificate(before: Value, after: Value, events: &[&str], previous: &[&str]) {
    check(Kind::Certificate, &before, &after, events, previous);
}

fn check_request(before: Value, after: Value, events: &[&str], previous: &[&str]) {
    check(Kind::CertificateRequest, &before, &after, events, previous);
}

pub(super) fn status(status: &str) -> Value {
    json!({ "status": status })
}

fn entries(list: &[(&str, &str, &str)]) -> Value {
    let entry = |&(id, status, date): &(&str, &str, &str)| json!({"jurisdiction_id": id, "status": status, "expiration_date": date});
    json!({"status": "active", "jurisdictions": list.iter().map(entry).collect::<Vec<_>>()})
}

#[test]
fn a_certificate_tells_its_new_status_and_the_end_of_its_review() {
    let words = ["processing", "needs_info", "active", "expiring", "expired", "invalid"];
    for before in words {
        for after in words {
            let mut events = Vec::new();
            if words[..2].contains(&before) && words[2..].contains(&after) {
                events.push("certificate.processing_completed".to_owned());
            }
            events.push(format!("certificate.{after}"));
            let events: Vec<&str> = events.iter().map(String::as_str).collect();
            let expected = if before == after { &[][..] } else { &events[..] };
            check_certificate(status(before), status(after), expected, &["status"]);
        }
    }
}

#[test]
fn a_request_tells_its_new_status() {
    check_request(status("pending"), status("fulfilled"), &["certificate_request.fulfilled"], &["status"]);
    check_request(status("pending"), status("canceled"), &["certificate_request.canceled"], &["status"]);
    check_request(status("pending"), status("invalid"), &["certificate_request.invalid"], &["status"]);
    check_request(status("invalid"), status("fulfilled"), &["certificate_request.fulfilled"], &["status"]);
    for closed in ["fulfilled", "canceled", "invalid"] {
        check_request(status(closed), status("pending"), &["certificate_request.reopened"], &["status"]);
    }
    let fulfilled = json!({"status": "fulfilled", "certificate_id": "cert_1"});
    let events = ["certificate_request.fulfilled"];
    check_request(status("pending"), fulfilled.clone(), &events, &["certificate_id", "status"]);
    let later = ["certificate_request.updated"];
    check_request(status("fulfilled"), fulfilled, &later, &["certificate_id"]);
}

#[test]
fn a_word_that_nobody_knows_is_told_as_updated() {
    check_certificate(status("active"), status("archived"), &["certificate.updated"], &["status"]);
    check_certificate(status("archived"), status("active"), &["certificate.active"], &["status"]);
    check_certificate(status("active"), json!({}), &["certificate.updated"], &["status"]);
    check_request(status("pending"), status("in_review"), &["certificate_request.updated"], &["status"]);
    check_request(status("in_review"), status("pending"), &["certificate_request.updated"], &["status"]);
    check_certificate(
        entries(&[("US-CA", "active", "2027-01-01")]),
        entries(&[("US-CA", "frozen", "2027-01-01")]),
        &["certificate.updated"],
        &["jurisdictions"],
    );
}

#[test]
fn a_jurisdiction_tells_its_own_story() {
    check_certificate(
        entries(&[("US-TX", "active", "2027-01-01"), ("US-CA", "active", "2027-01-01")]),
        entries(&[("US-CA", "expiring", "2027-01-01"), ("US-WA", "processing", "2027-01-01")]),
        &[
            "certificate.jurisdiction.expiring US-CA",
            "certificate.jurisdiction.removed US-TX",
            "certificate.jurisdiction.added US-WA",
            "certificate.jurisdiction.processing US-WA",
        ],
        &["jurisdictions"],
    );
    check_certificate(
        entries(&[("US-TX", "active", "2027-01-01"), ("US-CA", "active", "2027-01-01")]),
        entries(&[("US-CA", "active", "2027-01-01"), ("US-TX", "active", "2027-01-01")]),
        &[],
        &[],
    );
    let before = json!({"status": "active", "jurisdictions": [{"jurisdiction_id": "US-CA", "status": "active"}]});
    let after = json!({
        "status": "active", "jurisdictions": [{"jurisdiction_id": "US-CA", "status": "expired", "note": "x"}]
    });
    check_certificate(before, after, &["certificate.jurisdiction.expired US-CA"], &["jurisdictions"]);
}

#[test]
fn a_jurisdictions_event_carries_the_entry_before_and_after() {
    let before = snapshot(Kind::Certificate, &entries(&[("US-CA", "active", "2027-01-01")]));
    let moved = seen(Kind::Certificate, Coverage::Whole, &entries(&[("US-CA", "expired", "2027-01-01")]));
    let (_, _, drafts) = told(diff(Some(&before), &moved, &context()));
    let details = drafts[0].details.fields();
    assert_eq!(details["jurisdiction"]["status"], "expired");
    assert_eq!(details["previous_jurisdiction"]["status"], "active");
    let gone = seen(Kind::Certificate, Coverage::Whole, &entries(&[]));
    let (_, _, drafts) = told(diff(Some(&before), &gone, &context()));
    assert_eq!(drafts[0].details.fields()["jurisdiction"], Value::Null);
    assert_eq!(drafts[0].details.fields()["previous_jurisdiction"]["status"], "active");
}

#[test]
fn a_later_expiration_date_is_a_renewal_and_an_earlier_one_an_update() {
    let dated = |date: &str| json!({"status": "active", "expiration_date": date});
    check_certificate(dated("2027-01-01"), dated("2028-01-01"), &["certificate.renewed"], &["expiration_date"]);
    check_certificate(dated("2028-01-01"), dated("2027-01-01"), &["certificate.updated"], &["expiration_date"]);
    check_certificate(status("active"), dated("2027-01-01"), &["certificate.updated"], &["expiration_date"]);
    let california = |date: &str| entries(&[("US-CA", "active", date)]);
    check_certificate(california("2027-01-01"), california("2028-01-01"), &["certificate.renewed"], &["jurisdictions"]);
    check_certificate(california("2028-01-01"), california("2027-01-01"), &["certificate.updated"], &["jurisdictions"]);
    check_certificate(
        json!({"status": "expired", "expiration_date": "2026-01-01", "jurisdictions": [
            {"jurisdiction_id": "US-CA", "status": "expired", "expiration_date": "2026-01-01"}]}),
        json!({"status": "active", "expiration_date": "2027-01-01", "jurisdictions": [
            {"jurisdiction_id": "US-CA", "status": "active", "expiration_date": "2027-01-01"}]}),
        &["certificate.active", "certificate.renewed", "certificate.jurisdiction.active US-CA"],
        &["expiration_date", "jurisdictions", "status"],
    );
    let expires = |at: &str| json!({"status": "pending", "expires_at": at});
    let events = ["certificate_request.updated"];
    check_request(expires("2026-07-10T18:24:09Z"), expires("2026-08-10T18:24:09Z"), &events, &["expires_at"]);
}

#[test]
fn what_no_other_event_accounts_for_is_an_update() {
    let of = |customer: &str, status: &str| json!({"status": status, "customer": {"id": customer}});
    check_certificate(of("c1", "active"), of("c2", "active"), &["certificate.updated"], &["customer"]);
    let both = ["certificate.expired", "certificate.updated"];
    check_certificate(of("c1", "active"), of("c2", "expired"), &both, &["customer", "status"]);
    let covers = |ids: &[&str]| json!({"status": "pending", "jurisdictions": ids});
    let events = ["certificate_request.updated"];
    check_request(covers(&["US-CA"]), covers(&["US-CA", "US-TX"]), &events, &["jurisdictions"]);
    check_request(covers(&["US-TX", "US-CA"]), covers(&["US-CA", "US-TX"]), &[], &[]);
    let gone = json!({"status": "pending", "customer": null});
    check_request(json!({"status": "pending", "customer": {"id": "c1"}}), gone, &events, &["customer"]);
    check_certificate(
        json!({"status": "active", "jurisdictions": null}),
        json!({"status": "active", "jurisdictions": []}),
        &["certificate.updated"],
        &["jurisdictions"],
    );
}

#[test]
fn a_jurisdiction_that_stands_twice_is_not_guessed_at() {
    let twice = [("US-CA", "active", "2027-01-01"), ("US-CA", "expired", "2025-01-01")];
    let turned = [("US-CA", "expired", "2025-01-01"), ("US-CA", "active", "2027-01-01")];
    let moved = [("US-CA", "expired", "2027-01-01"), ("US-CA", "expired", "2025-01-01")];
    check_certificate(entries(&twice), entries(&turned), &[], &[]);
    check_certificate(entries(&twice), entries(&moved), &["certificate.updated"], &["jurisdictions"]);
}

#[test]
fn a_first_sight_is_compared_with_the_start_of_the_lifecycle() {
    let first = |kind, object: Value| {
        let (snapshot, sight, drafts) = told(diff(None, &seen(kind, Coverage::Row, &object), &context()));
        assert_eq!((snapshot.object_version, snapshot.observed_at), (1, ARRIVED));
        assert_eq!(sight.previous_attributes.text(), "{}");
        assert_eq!((sight.detection.observed_after, sight.detection.observed_before), (None, ARRIVED));
        names(&drafts)
    };
    let california = json!({"id": "c", "status": "active", "customer": {"id": "x"}, "jurisdictions": [
        {"jurisdiction_id": "US-CA", "status": "active"}]});
    assert_eq!(
        first(Kind::Certificate, california),
        [
            "certificate.created",
            "certificate.processing_completed",
            "certificate.active",
            "certificate.jurisdiction.active US-CA"
        ]
    );
    assert_eq!(first(Kind::Certificate, status("processing")), ["certificate.created"]);
    assert_eq!(first(Kind::Certificate, status("needs_info")), ["certificate.created", "certificate.needs_info"]);
    assert_eq!(first(Kind::Certificate, status("archived")), ["certificate.created"]);
    assert_eq!(first(Kind::CertificateRequest, status("pending")), ["certificate_request.created"]);
    assert_eq!(
        first(Kind::CertificateRequest, status("canceled")),
        ["certificate_request.created", "certificate_request.canceled"]
    );
}

#[test]
fn a_silent_first_sight_is_stored_and_not_told() {
    let silent = Context { first_sight: FirstSight::Silent, ..context() };
    let verdict = diff(None, &seen(Kind::Certificate, Coverage::Row, &status("active")), &silent);
    let Verdict::Touched(stored) = verdict else { panic!("nothing may be told: {verdict:?}") };
    assert_eq!((stored.object_version, stored.row_fingerprint), (0, Some(7)));
    let changed = diff(Some(&stored), &seen(Kind::Certificate, Coverage::Row, &status("expired")), &silent);
    let (after, sight, _) = told(changed);
    assert_eq!((after.object_version, sight.detection.mode), (1, Mode::Live), "both sights were successful");
    let emitted = Context { first_sight: FirstSight::Baseline, ..context() };
    let (_, sight, _) = told(diff(None, &seen(Kind::Certificate, Coverage::Row, &status("active")), &emitted));
    assert_eq!(sight.detection.mode, Mode::Baseline);
}

#[test]
fn a_tombstone_that_is_seen_again_is_restored() {
    let mut gone = snapshot(Kind::Certificate, &status("active"));
    gone.removed = Some(Removal { reason: RemovalReason::NotFound, at: OBSERVED });
    let (after, sight, drafts) =
        told(diff(Some(&gone), &seen(Kind::Certificate, Coverage::Row, &status("active")), &context()));
    assert_eq!(names(&drafts), ["certificate.restored"]);
    assert_eq!((after.removed, after.object_version), (None, 5));
    assert_eq!(sight.previous_attributes.text(), "{}");
    let (_, sight, drafts) =
        told(diff(Some(&gone), &seen(Kind::Certificate, Coverage::Row, &status("expired")), &context()));
    assert_eq!(names(&drafts), ["certificate.restored", "certificate.expired"]);
    assert_eq!(sight.previous_attributes.text(), r#"{"status":"active"}"#);
}

#[test]
fn a_document_is_told_only_where_it_was_known_to_be_missing() {
    let check = |former: Download, shown: Download, expected: &[&str], kept: Download| {
        let mut before = snapshot(Kind::Certificate, &status("active"));
        before.download = former;
        let mut seen = seen(Kind::Certificate, Coverage::Whole, &status("active"));
        seen.download = shown;
        let (after, events) = match diff(Some(&before), &seen, &Context { row_fingerprint: None, ..context() }) {
            Verdict::Told(after, _, drafts) => (after, names(&drafts)),
            Verdict::Touched(after) => (after, Vec::new()),
            Verdict::Same => (before, Vec::new()),
        };
        assert_eq!((events.iter().map(String::as_str).collect::<Vec<_>>(), after.download), (expected.to_vec(), kept));
        assert_eq!(after.row_fingerprint, Some(7), "the row shows no document, so it stays recognised");
    };
    use Download::{Available, Missing, Unknown};
    check(Missing, Available, &["certificate.document_available"], Available);
    check(Unknown, Available, &[], Available);
    check(Unknown, Missing, &[], Missing);
    check(Available, Missing, &[], Missing);
    check(Missing, Unknown, &[], Missing);
}

#[test]
fn what_does_not_matter_touches_the_snapshot_and_tells_nothing() {
    let before = json!({"status": "active", "updated_at": "2026-01-05T11:00:00Z", "rate": 1.5, "seen_by": 1});
    let former = snapshot(Kind::Certificate, &before);
    let ignored = ["seen_by".to_owned()];
    let context = Context { ignored_fields: &ignored, ..context() };
    let verdict = |text: &str| {
        let object: Value = serde_json::from_str(text).expect("JSON");
        diff(Some(&former), &seen(Kind::Certificate, Coverage::Whole, &object), &context)
    };
    for text in [
        r#"{"status":"active","updated_at":"2026-02-05T11:00:00Z","rate":1.5,"seen_by":1}"#,
        r#"{"rate":1.5,"status":"active","updated_at":"2026-01-05T11:00:00Z","seen_by":1}"#,
        r#"{"status":"active","updated_at":"2026-01-05T11:00:00.000Z","rate":1.50,"seen_by":1}"#,
        r#"{"status":"active","updated_at":"2026-01-05T11:00:00Z","rate":1.5,"seen_by":2}"#,
    ] {
        let Verdict::Touched(after) = verdict(text) else { panic!("{text}") };
        assert_eq!((after.object_version, after.observed_at), (4, ARRIVED));
    }
    assert_eq!(verdict(&before.to_string()), Verdict::Same);
}

#[test]
fn an_answer_by_id_that_shows_a_change_forgets_the_row() {
    let before = snapshot(Kind::Certificate, &status("active"));
    let whole = seen(Kind::Certificate, Coverage::Whole, &status("expired"));
    let (after, _, _) = told(diff(Some(&before), &whole, &Context { row_fingerprint: None, ..context() }));
    assert_eq!(after.row_fingerprint, None, "the former row coming back is a change");
}

#[test]
fn a_former_state_was_last_seen_by_its_snapshot_or_by_a_later_sweep() {
    let before = snapshot(Kind::Certificate, &status("active"));
    let whole = seen(Kind::Certificate, Coverage::Whole, &status("expired"));
    for (swept_at, expected) in [
        (None, OBSERVED),
        (Some(Timestamp::from_millis(5)), OBSERVED),
        (Some(Timestamp::from_millis(1_500_000)), Timestamp::from_millis(1_500_000)),
    ] {
        let (_, sight, _) = told(diff(Some(&before), &whole, &Context { swept_at, ..context() }));
        assert_eq!(sight.detection.observed_after, Some(expected));
    }
}
