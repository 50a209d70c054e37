//! When two values are the same, and what a row of a listing adds to what is known.
//!
//! Two values are the same if they mean the same: the order of keys, the spelling of a number (`1.50`, `1.5`) and
//! of an instant (`…09Z`, `…09.456Z`) do not matter, and a key that is absent is a key that is null. Jurisdictions
//! are compared by their ids, whatever their order.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::model::json::Fields;
use crate::model::time::plain_date;

/// The field that lists what a resource covers: objects on certificates, texts on requests.
pub const JURISDICTIONS: &str = "jurisdictions";

/// Whether two values mean the same; `None` is an absent key.
pub fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    one == other || alike(one.unwrap_or(&Value::Null), other.unwrap_or(&Value::Null))
}

/// Whether two texts mean the same: they are the same, or they are the same instant.
pub(super) fn same_text(one: &str, other: &str) -> bool {
    one == other || instant(one).zip(instant(other)).is_some_and(|(one, other)| one.may_be(other))
}

/// Whether a top-level field means the same in two states of a resource.
pub fn same_field(name: &str, one: Option<&Value>, other: Option<&Value>) -> bool {
    match (name, one, other) {
        (JURISDICTIONS, Some(Value::Array(one)), Some(Value::Array(other))) => {
            one == other || alike_entries(one, other)
        }
        _ => same(one, other),
    }
}

/// The names of the top-level fields that mean something else in `after`, in the order of `before`, new ones last.
pub fn changed_fields<'a>(before: &'a Fields, after: &'a Fields) -> Vec<&'a str> {
    let added = after.keys().filter(|name| !before.contains_key(*name));
    before
        .keys()
        .chain(added)
        .filter(|name| !same_field(name, before.get(*name), after.get(*name)))
        .map(String::as_str)
        .collect()
}

/// Whether `before` and `after` are dates (or instants) and `after` is the later one.
pub fn is_later(before: Option<&Value>, after: Option<&Value>) -> bool {
    let (Some(before), Some(after)) = (before.and_then(Value::as_str), after.and_then(Value::as_str)) else {
        return false;
    };
    match (plain_date(before), plain_date(after)) {
        (Some(before), Some(after)) => before < after,
        _ => match (instant(before), instant(after)) {
            (Some(before), Some(after)) => before.nanosecond < after.nanosecond && !before.may_be(after),
            _ => false,
        },
    }
}

/// Whether both are instants and `one` is before `other`, whatever part of its second an instant in whole seconds
/// may have meant.
pub fn is_earlier(one: Option<&Value>, other: Option<&Value>) -> bool {
    let read = |value: Option<&Value>| value.and_then(Value::as_str).and_then(read_instant);
    let Some((one, other)) = read(one).zip(read(other)) else { return false };
    one.nanosecond < other.nanosecond && !one.may_be(other)
}

/// The id of an entry of `jurisdictions`, in either of its two forms.
pub fn jurisdiction_id(entry: &Value) -> Option<&str> {
    entry.get("jurisdiction_id").unwrap_or(entry).as_str()
}

/// What is known after a row of a listing: what it carries, over what was known before. What it does not carry
/// stays, inside objects and jurisdiction entries too, as long as they speak of the same thing.
pub fn merge(before: &Fields, row: &Fields) -> Fields {
    let mut merged = before.clone();
    for (name, value) in row {
        let value = match (before.get(name), value) {
            (Some(Value::Array(before)), Value::Array(row)) if name == JURISDICTIONS => {
                Value::Array(row.iter().map(|entry| merge_entry(before, entry)).collect())
            }
            (Some(before), row) => merge_value(before, row),
            (None, row) => row.clone(),
        };
        merged.insert(name.clone(), value);
    }
    merged
}

/// What is known with what a fuller answer adds to it: every field that was absent, inside objects and jurisdiction
/// entries too, as long as they speak of the same thing. What was there stays, whatever the answer says of it.
pub fn complete(known: &Fields, fuller: &Fields) -> Fields {
    let mut completed = known.clone();
    for (name, value) in fuller {
        let value = match (known.get(name), value) {
            (Some(Value::Array(known)), Value::Array(fuller)) if name == JURISDICTIONS => {
                Value::Array(known.iter().map(|entry| complete_entry(known, entry, fuller)).collect())
            }
            (Some(known), fuller) => complete_value(known, fuller),
            (None, fuller) => fuller.clone(),
        };
        completed.insert(name.clone(), value);
    }
    completed
}

/// A known entry of `jurisdictions` with what the one of the same id adds to it. Where that id stands twice, which of
/// them became which was not observed.
fn complete_entry(known: &[Value], entry: &Value, fuller: &[Value]) -> Value {
    match (only(known, entry), only(fuller, entry)) {
        (Some(known), Some(fuller)) => complete_value(known, fuller),
        _ => entry.clone(),
    }
}

fn complete_value(known: &Value, fuller: &Value) -> Value {
    match (known, fuller) {
        (Value::Object(known), Value::Object(fuller)) if same_identity(known, fuller) => {
            Value::Object(complete(known, fuller))
        }
        _ => known.clone(),
    }
}

/// The one entry of a list that has the id of `entry`; `None` if there is none, or more than one.
fn only<'a>(list: &'a [Value], entry: &Value) -> Option<&'a Value> {
    let id = jurisdiction_id(entry)?;
    let mut found = list.iter().filter(|candidate| jurisdiction_id(candidate) == Some(id));
    found.next().filter(|_| found.next().is_none())
}

/// An entry of `jurisdictions` over the known one of the same id. Where that id stands twice, what the entry
/// leaves out cannot be known.
fn merge_entry(before: &[Value], entry: &Value) -> Value {
    only(before, entry).map_or_else(|| entry.clone(), |known| merge_value(known, entry))
}

fn merge_value(before: &Value, row: &Value) -> Value {
    match (before, row) {
        (Value::Object(before), Value::Object(row)) if same_identity(before, row) => Value::Object(merge(before, row)),
        _ => row.clone(),
    }
}

/// A customer whose id changed is another customer, and nothing that was known of the former one is true of it.
fn same_identity(before: &Fields, row: &Fields) -> bool {
    ["id", "jurisdiction_id"].iter().all(|name| match (before.get(*name), row.get(*name)) {
        (Some(before), Some(row)) => same(Some(before), Some(row)),
        _ => true,
    })
}

fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => decimal(&one.to_string()) == decimal(&other.to_string()),
        (Value::String(one), Value::String(other)) => same_text(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let mut names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
            names.all(|name| same(one.get(name), other.get(name)))
        }
        (one, other) => one == other,
    }
}

/// Whether two lists of jurisdictions have the same entries, whatever their order; plain texts are a set.
fn alike_entries(one: &[Value], other: &[Value]) -> bool {
    if one.iter().chain(other).all(Value::is_string) {
        let texts = |entries: &[Value]| entries.iter().filter_map(|entry| entry.as_str().map(String::from)).collect();
        let (one, other): (BTreeSet<String>, BTreeSet<String>) = (texts(one), texts(other));
        return one == other;
    }
    let mut left: Vec<&Value> = other.iter().collect();
    let is_found = |entry: &Value| {
        let found = left.iter().position(|candidate| alike(entry, candidate));
        found.map(|place| left.swap_remove(place)).is_some()
    };
    one.len() == other.len() && one.iter().all(is_found)
}

/// A decimal as its sign, its significant digits and their exponent: `1.50` and `15e-1` are both `15e-1`.
fn decimal(text: &str) -> String {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, unsigned) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    let trimmed = significant.trim_end_matches('0');
    let dropped = significant.len() - trimmed.len();
    // An exponent beyond 64 bits is compared as it is spelled: nobody can have meant it.
    let exponent = exponent.parse::<i64>().ok().and_then(|exponent| {
        exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_add(i64::try_from(dropped).ok()?)
    });
    match (trimmed, exponent) {
        ("", _) => "0".into(),
        (_, Some(exponent)) => format!("{sign}{trimmed}e{exponent}"),
        (_, None) => text.into(),
    }
}

/// An RFC 3339 instant as it was written.
#[derive(Clone, Copy)]
struct Instant {
    nanosecond: i128,
    /// Without a fraction it stands for a whole second, and does not say which part of it was meant. The vendor's
    /// pages write instants with milliseconds in one place and in whole seconds in another.
    is_whole_second: bool,
}

impl Instant {
    fn second(self) -> i128 {
        self.nanosecond.div_euclid(1_000_000_000)
    }

    /// Whether both can be the same instant.
    fn may_be(self, other: Self) -> bool {
        self.nanosecond == other.nanosecond
            || (self.is_whole_second || other.is_whole_second) && self.second() == other.second()
    }
}

/// Reads an instant, to the nanosecond. The look at its form spares a parse for almost every other text.
fn instant(text: &str) -> Option<Instant> {
    let bytes = text.as_bytes();
    let looks_right = (20..=40).contains(&bytes.len())
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && bytes[10].eq_ignore_ascii_case(&b'T');
    if looks_right { read_instant(text) } else { None }
}

fn read_instant(text: &str) -> Option<Instant> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    Some(Instant { nanosecond: instant.as_nanosecond(), is_whole_second: !text.contains(['.', ',']) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        for (one, other) in [
            (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#),
            (r#"{"a":1,"b":null}"#, r#"{"a":1}"#),
            ("1.50", "1.5"),
            ("15e-1", "1.5"),
            ("100", "1E2"),
            ("-0.0", "0"),
            (r#""2026-06-10T18:24:09Z""#, r#""2026-06-10T18:24:09.000Z""#),
            (r#""2026-06-10T18:24:09Z""#, r#""2026-06-10T20:24:09+02:00""#),
            // Whole seconds do not say which millisecond: the vendor writes one instant both ways.
            (r#""2026-06-10T18:24:09Z""#, r#""2026-06-10T18:24:09.456Z""#),
            (r#"{"at":["2026-06-10T18:24:09.456Z"]}"#, r#"{"at":["2026-06-10T18:24:09Z"]}"#),
            (r#"{"customer":{"id":"c","reference_customer_id":null}}"#, r#"{"customer":{"id":"c"}}"#),
        ] {
            assert!(same(Some(&value(one)), Some(&value(other))), "{one} and {other}");
        }
        assert!(same(None, Some(&Value::Null)));
    }

    #[test]
    fn what_means_something_else_is_not() {
        for (one, other) in [
            ("1", "\"1\""),
            ("1", "-1"),
            ("10", "1"),
            ("123456789012345678901", "123456789012345678902"),
            ("[1,2]", "[2,1]"),
            ("[1,null]", "[1]"),
            ("[]", "null"),
            ("\"\"", "null"),
            (r#""2026-06-10""#, r#""2026-06-10T00:00:00Z""#),
            (r#""2026-06-10T18:24:09.000001Z""#, r#""2026-06-10T18:24:09.000002Z""#),
            (r#""2026-06-10T18:24:09.000Z""#, r#""2026-06-10T18:24:09.456Z""#),
            (r#""2026-06-10T18:24:09Z""#, r#""2026-06-10T18:24:10.000Z""#),
            (r#""2026-06-10T18:24:09Z""#, r#""2026-06-10T18:24:08.999Z""#),
            (r#"["a","b"]"#, r#"["a,b"]"#),
            (r#"{"a":"b"}"#, r#"{"a":{"b":1}}"#),
        ] {
            assert!(!same(Some(&value(one)), Some(&value(other))), "{one} and {other}");
        }
    }

    #[test]
    fn jurisdictions_are_compared_whatever_their_order() {
        let check = |one: Value, other: Value| same_field(JURISDICTIONS, Some(&one), Some(&other));
        assert!(check(json!(["US-CA", "US-TX"]), json!(["US-TX", "US-CA", "US-CA"])));
        assert!(!check(json!(["US-CA"]), json!(["US-TX"])));
        let california = json!({"jurisdiction_id": "US-CA", "status": "active"});
        let texas = json!({"jurisdiction_id": "US-TX", "status": "active"});
        assert!(check(json!([california, texas]), json!([texas, california])));
        assert!(!check(json!([california, california]), json!([california])), "no set of objects");
        assert!(!check(json!([]), Value::Null));
    }

    #[test]
    fn a_row_leaves_what_it_does_not_carry() {
        let before = json!({
            "status": "active", "customer": {"id": "c1", "reference_customer_id": "7"},
            "jurisdictions": [{"jurisdiction_id": "US-CA", "status": "active", "expiration_date": "2027-01-01"}],
        });
        let row = json!({
            "customer": {"id": "c1"},
            "jurisdictions": [
                {"jurisdiction_id": "US-TX"}, {"jurisdiction_id": "US-CA", "expiration_date": "2028-01-01"}
            ],
        });
        let expected = json!({
            "status": "active", "customer": {"id": "c1", "reference_customer_id": "7"},
            "jurisdictions": [
                {"jurisdiction_id": "US-TX"},
                {"jurisdiction_id": "US-CA", "status": "active", "expiration_date": "2028-01-01"},
            ],
        });
        let fields = |value: &Value| value.as_object().expect("an object").clone();
        assert_eq!(Value::Object(merge(&fields(&before), &fields(&row))), expected);
        let another = json!({"customer": {"id": "c2"}});
        assert_eq!(merge(&fields(&before), &fields(&another))["customer"], json!({"id": "c2"}));
    }

    #[test]
    fn only_a_date_after_a_date_is_later() {
        let check = |before: Value, after: Value| is_later(Some(&before), Some(&after));
        assert!(check(json!("2026-12-31"), json!("2027-01-01")));
        assert!(check(json!("2027-01-01"), json!("9999-12-31")));
        assert!(check(json!("2026-06-10T18:24:09Z"), json!("2026-06-10T18:24:10Z")));
        assert!(!check(json!("2027-01-01"), json!("2027-01-01")));
        assert!(!check(json!("2027-01-01"), json!("2026-01-01")));
        assert!(!check(Value::Null, json!("2027-01-01")));
        assert!(!check(json!("soon"), json!("later")));
    }
}
