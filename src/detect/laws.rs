//! What must hold of every two states, however odd.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::compare::{changed_fields, jurisdiction_id, merge, same_field};
use super::diff::{Context, FirstSight, Verdict, carries_news, diff, lacks_status, row_agrees};
use super::transitions::{OBSERVED, context, seen, snapshot};
use crate::model::event::{EventDraft, EventType};
use crate::model::json::{Fields, Json};
use crate::model::resource::{Agenda, Coverage, Kind, OpenList, Seen, Snapshot};
use crate::model::time::Timestamp;

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

/// The value as a row could show it that leaves out some of the fields that are objects' own, each in turn by chance.
/// What says which thing it is stays, and so does an entry without an id of its own.
fn thinned(value: &Value, left_out: &mut impl FnMut() -> bool) -> Value {
    let Value::Object(fields) = value else { return value.clone() };
    let mut kept = Fields::new();
    for (name, value) in fields {
        if name != "jurisdiction_id" && name != "id" && left_out() {
            continue;
        }
        let value = if let ("jurisdictions", Value::Array(entries)) = (name.as_str(), value) {
            let ids: Vec<_> = entries.iter().map(jurisdiction_id).collect();
            let is_alone = |entry: &Value| {
                let id = jurisdiction_id(entry);
                id.is_some() && ids.iter().filter(|other| **other == id).count() == 1
            };
            let thin = |entry: &Value| if is_alone(entry) { thinned(entry, left_out) } else { entry.clone() };
            Value::Array(entries.iter().map(thin).collect())
        } else {
            thinned(value, left_out)
        };
        kept.insert(name.clone(), value);
    }
    Value::Object(kept)
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

/// Whether the former value of a field is told.
fn diff_tells(before: &Snapshot, seen: &Seen, name: &str) -> bool {
    match diff(Some(before), seen, &context()) {
        Verdict::Told(_, sight, _) => sight.previous_attributes.fields().contains_key(name),
        Verdict::Same | Verdict::Touched(_) => false,
    }
}

proptest! {
    #[test]
    fn a_difference_is_told_and_no_difference_is_not(
        kind in kind(), (before, after) in two_states(), whole: bool,
    ) {
        let agenda = Agenda { fetched_at: Some(OBSERVED), ..Agenda::default() };
        let former = Snapshot { agenda, ..snapshot(kind, &before) };
        let coverage = if whole { Coverage::Whole } else { Coverage::Row };
        let seen = seen(kind, coverage, &after);
        let verdict = diff(Some(&former), &seen, &context());
        if let Verdict::Touched(snapshot) | Verdict::Told(snapshot, ..) = &verdict {
            let fields = snapshot.object.fields();
            prop_assert_eq!(snapshot.open_list, OpenList::of(kind, fields.get("status").and_then(Value::as_str)));
            prop_assert_eq!(&snapshot.agenda, &former.agenda);
        }
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
    fn the_first_answer_by_id_fills_in_what_rows_left_out_and_tells_only_what_they_showed(
        kind in kind(), (before, after) in two_states(), left_out in proptest::collection::vec(any::<bool>(), 64),
    ) {
        let mut left_out = left_out.into_iter().cycle();
        let row = thinned(&before, &mut || left_out.next().unwrap_or_default());
        let rows_only = Snapshot { is_whole: false, ..snapshot(kind, &row) };
        let Verdict::Touched(filled) = diff(Some(&rows_only), &seen(kind, Coverage::Whole, &before), &context()) else {
            panic!("nothing that a row showed has changed, and the rest is to be kept");
        };
        prop_assert_eq!(&filled.object, &snapshot(kind, &before).object);
        prop_assert!(filled.is_whole);

        let (row, after) = (rows_only.object.fields(), seen(kind, Coverage::Whole, &after));
        let previous = match diff(Some(&rows_only), &after, &context()) {
            Verdict::Told(snapshot, sight, _) => {
                prop_assert!(snapshot.is_whole);
                sight.previous_attributes.fields()
            }
            Verdict::Touched(_) => Fields::new(),
            Verdict::Same => panic!("that it is whole now is to be kept"),
        };
        for (name, value) in previous {
            let known = row.get(&name);
            prop_assert!(known.is_some(), "{name} was unknown and is told");
            // What is told of the former value is what was known of it, filled in with what was unknown.
            let both = [(name.clone(), value.clone())].into_iter().collect();
            let known = known.map(|known| (name.clone(), known.clone())).into_iter().collect();
            prop_assert!(same_field(&name, Some(&value), merge(&both, &known).get(&name)), "{name}: {value}");
        }
        for (name, known) in row.iter().filter(|(name, known)| !known.is_object() && *name != "jurisdictions") {
            let is_told = diff_tells(&rows_only, &after, name);
            let is_watched = name != "updated_at";
            prop_assert_eq!(is_told, is_watched && !same_field(name, Some(known), after.fields.get(name)), "{}", name);
        }
    }

    #[test]
    fn a_row_is_compared_the_same_whether_or_not_it_was_ever_asked_for_by_id(
        kind in kind(), (before, after) in two_states(),
    ) {
        let whole = snapshot(kind, &before);
        let rows_only = Snapshot { is_whole: false, ..whole.clone() };
        let row = seen(kind, Coverage::Row, &after);
        let as_whole = |snapshot| Snapshot { is_whole: true, ..snapshot };
        let verdict = match diff(Some(&rows_only), &row, &context()) {
            Verdict::Same => Verdict::Same,
            Verdict::Touched(snapshot) => Verdict::Touched(as_whole(snapshot)),
            Verdict::Told(snapshot, sight, drafts) => Verdict::Told(as_whole(snapshot), sight, drafts),
        };
        prop_assert_eq!(verdict, diff(Some(&whole), &row, &context()));
    }

    #[test]
    fn a_field_that_is_new_upstream_tells_nothing_and_hides_nothing(
        kind in kind(), (before, after) in two_states(), swept: bool,
        new in proptest::collection::btree_set("[a-d]", 0..4),
    ) {
        let since = |name: &String| (name.clone(), Timestamp::from_millis(OBSERVED.as_millis() + 1));
        let fields_since = new.iter().map(since).collect();
        let swept_at = swept.then_some(Timestamp::from_millis(OBSERVED.as_millis() + 1));
        let context = Context { fields_since: &fields_since, swept_at, ..context() };
        let former = snapshot(kind, &before);
        let old = former.object.fields();
        let is_absorbed = |name: &String| new.contains(name) && !old.contains_key(name) && !swept;
        let mut without = after.clone();
        without.as_object_mut().expect("an object").retain(|name, _| !is_absorbed(name));
        let told = |object: &Value| match diff(Some(&former), &seen(kind, Coverage::Whole, object), &context) {
            Verdict::Told(snapshot, sight, drafts) => (Some(snapshot.object), sight.previous_attributes, drafts),
            Verdict::Touched(snapshot) => (Some(snapshot.object), Json::of(&json!({})), Vec::new()),
            Verdict::Same => (None, Json::of(&json!({})), Vec::new()),
        };
        let ((kept, previous, drafts), (_, expected_previous, expected)) = (told(&after), told(&without));
        prop_assert_eq!((previous, drafts), (expected_previous, expected));
        prop_assert_eq!(kept.unwrap_or(former.object.clone()), Json::of(&after));
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
