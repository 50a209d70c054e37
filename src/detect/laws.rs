//! What must hold of every two states, however odd.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::compare::{changed_fields, same_field};
use super::diff::{Context, FirstSight, Verdict, carries_news, diff, lacks_status, row_agrees};
use super::transitions::{context, seen, snapshot};
use crate::model::event::{EventDraft, EventType};
use crate::model::json::Fields;
use crate::model::resource::{Coverage, Kind};

/// Any JSON, odd numbers and instants among it.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,4})?([eE][-+]?[0-9]{1,25})?"
            .prop_map(|text| serde_json::from_str(&text).expect("a number")),
        "[a-zA-Z\"@ -]{0,6}".prop_map(Value::from),
        Just(json!("2026-06-10T18:24:09Z")),
        Just(json!("2026-06-10T18:24:09.000Z")),
        Just(json!("2026-06-10")),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec(("[a-c]", inner), 0..4)
                .prop_map(|fields| Value::Object(Fields::from_iter(fields))),
        ]
    })
}

fn word() -> impl Strategy<Value = Value> {
    let words = ["processing", "needs_info", "active", "expiring", "expired", "invalid", "archived"];
    let requests = ["pending", "fulfilled", "canceled"];
    prop_oneof![
        8 => proptest::sample::select(words.to_vec()).prop_map(Value::from),
        4 => proptest::sample::select(requests.to_vec()).prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn date() -> impl Strategy<Value = Value> {
    proptest::sample::select(vec![json!("2026-01-01"), json!("2027-01-01"), json!("9999-12-31"), Value::Null])
}

fn entry() -> impl Strategy<Value = Value> {
    prop_oneof![
        12 => ("US-(CA|TX|WA)", proptest::option::of(word()), date(), 0..2_u8).prop_map(|(id, status, date, note)| {
            let mut entry = json!({"jurisdiction_id": id, "expiration_date": date, "note": note});
            if let Some(status) = status {
                entry["status"] = status;
            }
            entry
        }),
        2 => "US-(CA|TX)".prop_map(Value::from),
        1 => any_json(),
    ]
}

/// A resource as upstream could show it, and sometimes as it could not.
fn state() -> impl Strategy<Value = Value> {
    let jurisdictions =
        prop_oneof![9 => proptest::collection::vec(entry(), 0..4).prop_map(Value::Array), 1 => any_json()];
    let further = proptest::collection::vec(("[a-c]", any_json()), 0..3);
    (
        proptest::option::of(word()),
        proptest::option::of(jurisdictions),
        date(),
        proptest::option::of("cert_[12]".prop_map(Value::from)),
        further,
        0..3_u8,
    )
        .prop_map(|(status, jurisdictions, date, certificate_id, further, second)| {
            let mut state = json!({"id": "res_1", "expiration_date": date});
            state["updated_at"] = json!(format!("2026-01-01T00:00:0{second}Z"));
            for (name, value) in
                [("status", status), ("jurisdictions", jurisdictions), ("certificate_id", certificate_id)]
            {
                if let Some(value) = value {
                    state[name] = value;
                }
            }
            for (name, value) in further {
                state[name] = value;
            }
            state
        })
}

fn kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(Kind::ALL.to_vec())
}

/// Two states that often differ in little.
fn two_states() -> impl Strategy<Value = (Value, Value)> {
    (state(), state(), proptest::collection::vec(any::<bool>(), 8)).prop_map(|(one, other, keep)| {
        let mut mixed = one.clone();
        for ((name, value), keep) in other.as_object().expect("an object").iter().zip(keep) {
            if !keep {
                mixed[name.as_str()] = value.clone();
            }
        }
        (one, mixed)
    })
}

/// Where an event stands within its sight: opening, review, status, renewal, entries by id, document, update.
fn rank(draft: &EventDraft) -> (u8, String, usize) {
    let name = draft.event_type.as_str();
    let details = draft.details.fields();
    // As text: JSON's escapes sort elsewhere.
    let id = details.get("jurisdiction_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let place = match name.split_once('.').map(|(_, rest)| rest) {
        Some("created" | "restored") => 0,
        Some("processing_completed") => 1,
        Some("renewed") => 3,
        Some("document_available") => 5,
        Some("updated") => 6,
        Some(entry) if entry.starts_with("jurisdiction.") => 4,
        _ => 2,
    };
    let order = [EventType::JurisdictionAdded, EventType::JurisdictionRemoved];
    let within = order.iter().position(|known| *known == draft.event_type).unwrap_or(order.len());
    (place, id, within)
}

fn unlike(before: &Fields, after: &Fields) -> Vec<String> {
    changed_fields(before, after).into_iter().filter(|name| *name != "updated_at").map(Into::into).collect()
}

proptest! {
    #[test]
    fn a_difference_is_told_and_no_difference_is_not(
        kind in kind(), (before, after) in two_states(), whole: bool,
    ) {
        let former = snapshot(kind, &before);
        let coverage = if whole { Coverage::Whole } else { Coverage::Row };
        let seen = seen(kind, coverage, &after);
        let verdict = diff(Some(&former), &seen, &context());
        prop_assert_eq!(&verdict, &diff(Some(&former), &seen, &context()), "the same input gives the same output");
        let old = former.object.fields();
        match verdict {
            Verdict::Same => prop_assert!(!carries_news(&former, &seen, &[])),
            Verdict::Touched(snapshot) => {
                prop_assert!(unlike(&old, &snapshot.object.fields()).is_empty());
                prop_assert_eq!(snapshot.object_version, former.object_version);
            }
            Verdict::Told(snapshot, sight, drafts) => {
                prop_assert!(!drafts.is_empty());
                prop_assert_eq!(snapshot.object_version, former.object_version + 1);
                let new = sight.object.fields();
                let previous = sight.previous_attributes.fields();
                let changed = unlike(&old, &new);
                prop_assert!(!changed.is_empty());
                prop_assert_eq!(changed, previous.keys().cloned().collect::<Vec<_>>());
                // The chain: the former values over the new object are the former object.
                let mut back = new.clone();
                back.extend(previous);
                prop_assert!(unlike(&old, &back).is_empty());
                prop_assert!(drafts.windows(2).all(|pair| rank(&pair[0]) <= rank(&pair[1])), "{:?}", drafts);
            }
        }
    }

    #[test]
    fn a_sight_of_what_is_stored_is_the_same(kind in kind(), state in state(), whole: bool) {
        let coverage = if whole { Coverage::Whole } else { Coverage::Row };
        let seen = seen(kind, coverage, &state);
        prop_assert_eq!(diff(Some(&snapshot(kind, &state)), &seen, &context()), Verdict::Same);
        let Verdict::Told(first, ..) = diff(None, &seen, &context()) else { panic!("a first sight is told") };
        prop_assert_eq!(diff(Some(&first), &seen, &context()), Verdict::Same);
    }

    #[test]
    fn there_and_back_is_told_both_times(kind in kind(), (a, b) in two_states()) {
        let first = snapshot(kind, &a);
        let (seen_a, seen_b) = (seen(kind, Coverage::Whole, &a), seen(kind, Coverage::Whole, &b));
        if let Verdict::Told(second, ..) = diff(Some(&first), &seen_b, &context()) {
            let told_back = matches!(diff(Some(&second), &seen_a, &context()), Verdict::Told(..));
            prop_assert!(told_back);
        }
    }

    #[test]
    fn no_json_makes_detection_panic(kind in kind(), one in any_json(), other in any_json(), silent: bool) {
        let first_sight = if silent { FirstSight::Silent } else { FirstSight::Live };
        let context = Context { first_sight, ..context() };
        let object = |value: &Value| if value.is_object() { value.clone() } else { json!({"jurisdictions": value}) };
        for coverage in [Coverage::Row, Coverage::Whole] {
            let seen = seen(kind, coverage, &object(&other));
            let former = snapshot(kind, &one);
            diff(Some(&former), &seen, &context);
            diff(None, &seen, &context);
            carries_news(&former, &seen, &[]);
            lacks_status(&seen);
            row_agrees(&seen, &seen);
        }
        same_field("jurisdictions", Some(&one), Some(&other));
    }
}
