//! What a field that is absent stands for: unknown, null, or not yet there at all.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::diff::{Context, Verdict, diff};
use super::removal::removed;
use super::transitions::{OBSERVED, context, names, seen, snapshot, status, told};
use crate::model::event::Cause;
use crate::model::json::Json;
use crate::model::resource::{Coverage, Kind, RemovalReason, Snapshot};
use crate::model::time::Timestamp;

#[test]
fn a_field_that_a_row_leaves_out_is_unknown_and_one_that_an_answer_leaves_out_is_null() {
    let before = snapshot(Kind::Certificate, &json!({"status": "active", "customer": {"id": "c1"}}));
    let row = seen(Kind::Certificate, Coverage::Row, &json!({"customer": {"id": "c2"}}));
    let (after, sight, _) = told(diff(Some(&before), &row, &context()));
    assert_eq!(after.object.text(), r#"{"status":"active","customer":{"id":"c2"}}"#);
    assert_eq!(sight.previous_attributes.text(), r#"{"customer":{"id":"c1"}}"#);
    let whole = seen(Kind::Certificate, Coverage::Whole, &json!({"status": "active"}));
    let (after, sight, _) = told(diff(Some(&before), &whole, &context()));
    assert_eq!(after.object.text(), r#"{"status":"active"}"#);
    assert_eq!(sight.previous_attributes.text(), r#"{"customer":{"id":"c1"}}"#);
}

/// Checks what the first answer by id tells of a resource that only rows have shown.
fn check_first_whole(row: Value, whole: Value, events: &[&str], previous: &Value) {
    let rows_only = Snapshot { is_whole: false, ..snapshot(Kind::Certificate, &row) };
    let context = Context { row_fingerprint: None, ..context() };
    let (after, events_told, shown) =
        match diff(Some(&rows_only), &seen(Kind::Certificate, Coverage::Whole, &whole), &context) {
            Verdict::Told(after, sight, drafts) => (after, names(&drafts), sight.previous_attributes),
            Verdict::Touched(after) => (after, Vec::new(), Json::of(&json!({}))),
            Verdict::Same => panic!("that it is whole now is to be kept"),
        };
    assert_eq!(
        (events_told, shown),
        (events.iter().map(|&event| event.to_owned()).collect(), Json::of(previous)),
        "{row} {whole}"
    );
    assert_eq!((after.is_whole, after.object.text()), (true, whole.to_string().as_str()));
    assert_eq!(after.row_fingerprint, Some(7).filter(|_| events.is_empty()), "the row shows no less than before");
    let again = diff(Some(&after), &seen(Kind::Certificate, Coverage::Whole, &row), &context);
    let told_now = matches!(again, Verdict::Told(..));
    assert_eq!(told_now, row != whole, "from now on, what is absent is null");
}

#[test]
fn what_no_row_carried_is_filled_in_by_the_first_answer_by_id_without_a_word() {
    let row = json!({
        "status": "active", "customer": {"id": "c1"}, "expiration_date": null,
        "jurisdictions": [{"jurisdiction_id": "US-CA", "expiration_date": "2027-01-01"}],
    });
    let with = |change: &dyn Fn(&mut Value)| {
        let mut whole = row.clone();
        whole["customer"]["reference_customer_id"] = json!("7");
        whole["jurisdictions"][0]["status"] = json!("active");
        whole["effective_date"] = json!("2026-01-01");
        change(&mut whole);
        whole
    };
    check_first_whole(row.clone(), row.clone(), &[], &json!({}));
    check_first_whole(row.clone(), with(&|_| {}), &[], &json!({}));
    check_first_whole(
        row.clone(),
        with(&|whole| whole["status"] = json!("expired")),
        &["certificate.expired"],
        &json!({"status": "active"}),
    );
    let updated = ["certificate.updated"];
    let filled = with(&|_| {});
    let texas = json!({"jurisdiction_id": "US-TX", "status": "active"});
    check_first_whole(
        row.clone(),
        with(&|whole| whole["expiration_date"] = json!("2027-01-01")),
        &updated,
        &json!({"expiration_date": null}),
    );
    let another = with(&|whole| whole["customer"] = json!({"id": "c2", "reference_customer_id": "8"}));
    check_first_whole(row.clone(), another, &updated, &json!({"customer": {"id": "c1"}}));
    check_first_whole(
        row.clone(),
        with(&|whole| whole["jurisdictions"][0]["expiration_date"] = json!("2028-01-01")),
        &["certificate.renewed"],
        &json!({"jurisdictions": filled["jurisdictions"]}),
    );
    check_first_whole(
        row.clone(),
        with(&|whole| whole["jurisdictions"].as_array_mut().expect("entries").push(texas.clone())),
        &["certificate.jurisdiction.added US-TX", "certificate.jurisdiction.active US-TX"],
        &json!({"jurisdictions": filled["jurisdictions"]}),
    );
    let mut without = with(&|_| {});
    without.as_object_mut().expect("an object").shift_remove("customer");
    check_first_whole(row.clone(), without, &updated, &json!({"customer": {"id": "c1"}}));
}

#[test]
fn a_row_that_carries_more_than_the_former_row_tells_it() {
    let rows_only = Snapshot { is_whole: false, ..snapshot(Kind::CertificateRequest, &status("fulfilled")) };
    let named = json!({"status": "fulfilled", "certificate_id": "cert_1"});
    let (after, sight, drafts) =
        told(diff(Some(&rows_only), &seen(Kind::CertificateRequest, Coverage::Row, &named), &context()));
    assert_eq!((names(&drafts), after.is_whole), (vec!["certificate_request.updated".to_owned()], false));
    assert_eq!(sight.previous_attributes.text(), r#"{"certificate_id":null}"#);
}

#[test]
fn a_field_that_is_new_upstream_is_absorbed_without_a_word() {
    let check = |before: &Value, after: &Value, since: i64, swept_at: Option<i64>, events: &[&str], previous: &str| {
        let since = |name: &str| (name.to_owned(), Timestamp::from_millis(OBSERVED.as_millis() + since));
        let fields_since = BTreeMap::from([since("risk"), since("status")]);
        let swept_at = swept_at.map(|swept_at| Timestamp::from_millis(OBSERVED.as_millis() + swept_at));
        let context = Context { fields_since: &fields_since, swept_at, ..context() };
        for coverage in [Coverage::Row, Coverage::Whole] {
            let former = snapshot(Kind::Certificate, before);
            let (kept, drafts, shown) = match diff(Some(&former), &seen(Kind::Certificate, coverage, after), &context) {
                Verdict::Told(kept, sight, drafts) => {
                    (kept, names(&drafts), sight.previous_attributes.text().to_owned())
                }
                Verdict::Touched(kept) => (kept, Vec::new(), "{}".to_owned()),
                Verdict::Same => panic!("the field is to be kept"),
            };
            assert_eq!((drafts, shown.as_str()), (events.iter().map(|&event| event.to_owned()).collect(), previous));
            assert_eq!(kept.object.text(), after.to_string());
        }
    };
    let (plain, expired) = (status("active"), json!({"status": "expired", "risk": "low"}));
    let risky = |risk: Value| json!({"status": "active", "risk": risk});
    let updated = ["certificate.updated"];
    check(&plain, &risky(json!("low")), 1, None, &[], "{}");
    check(&plain, &risky(json!({"id": 1})), 1, Some(0), &[], "{}");
    check(&plain, &expired, 1, None, &["certificate.expired"], r#"{"status":"active"}"#);
    check(&plain, &risky(json!("low")), 0, None, &updated, r#"{"risk":null}"#);
    check(&plain, &risky(json!("low")), 1, Some(1), &updated, r#"{"risk":null}"#);
    check(&risky(Value::Null), &risky(json!("low")), 1, None, &updated, r#"{"risk":null}"#);
    check(&risky(json!("low")), &risky(json!("high")), 1, None, &updated, r#"{"risk":"low"}"#);
}

#[test]
fn a_field_that_upstream_came_to_show_while_a_resource_was_gone_is_absorbed_without_a_word() {
    let at = |millis: i64| Timestamp::from_millis(OBSERVED.as_millis() + millis);
    let reason = RemovalReason::NotFound;
    let before = snapshot(Kind::Certificate, &status("active"));
    let (gone, ..) = removed(&before, reason, at(5), OBSERVED, Cause::Sweep, "2026-03-01");
    let back = json!({"status": "active", "risk": "low", "usual": 1});
    let fields_since = BTreeMap::from([("risk".to_owned(), at(1)), ("usual".to_owned(), Timestamp::EPOCH)]);
    let context = Context { fields_since: &fields_since, swept_at: Some(at(9)), ..context() };
    for coverage in [Coverage::Row, Coverage::Whole] {
        let (kept, sight, drafts) = told(diff(Some(&gone), &seen(Kind::Certificate, coverage, &back), &context));
        assert_eq!(names(&drafts), ["certificate.restored", "certificate.updated"]);
        assert_eq!(sight.previous_attributes.text(), r#"{"usual":null}"#, "everybody carried that before");
        assert_eq!(kept.object.text(), back.to_string());
    }
}

#[test]
fn a_row_without_a_status_that_shows_nothing_new_is_no_sight_of_the_state() {
    let entry = |status: Option<&str>| match status {
        Some(status) => json!({"jurisdiction_id": "US-CA", "status": status}),
        None => json!({"jurisdiction_id": "US-CA"}),
    };
    let before = json!({
        "status": "active", "jurisdictions": [entry(Some("active"))], "updated_at": "2026-01-05T11:00:00.000Z",
    });
    let former = snapshot(Kind::Certificate, &before);
    for (own, of_entry, is_sight) in [(true, Some("active"), true), (false, None, false), (true, None, false)] {
        let mut row = json!({"jurisdictions": [entry(of_entry)], "updated_at": "2026-01-05T11:00:00Z"});
        if own {
            row["status"] = json!("active");
        }
        let context = Context { row_fingerprint: Some(8), ..context() };
        let verdict = diff(Some(&former), &seen(Kind::Certificate, Coverage::Row, &row), &context);
        let Verdict::Touched(after) = verdict else { panic!("it is spelled otherwise: {row}") };
        let expected = if is_sight { context.arrived_at } else { OBSERVED };
        assert_eq!((after.observed_at, after.row_fingerprint), (expected, Some(8)), "{row}");
    }
}
