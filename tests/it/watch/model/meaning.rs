//! What a resource's fields mean, whatever their spelling: two states are the same if their meanings are equal.
//!
//! A key that is null is no key, an instant is its second, jurisdictions stand in the order of their ids. Written
//! anew: it shares nothing with the comparisons of `detect`.

use serde_json::Value;

use super::steps::MEMO;

/// What a value means.
pub(super) fn meaning(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| {
                    (name.clone(), if name == "jurisdictions" { entries(value) } else { meaning(value) })
                })
                .collect(),
        ),
        Value::Array(values) => Value::Array(values.iter().map(meaning).collect()),
        Value::String(text) => Value::String(second(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// The second of an instant; any other text as it is.
fn second(text: &str) -> String {
    let is_instant = text.len() >= 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
    if is_instant { text[..19].to_owned() } else { text.to_owned() }
}

fn entries(list: &Value) -> Value {
    let Value::Array(list) = list else { return meaning(list) };
    let mut list: Vec<Value> = list.iter().map(meaning).collect();
    list.sort_by_key(|entry| jurisdiction(entry).to_owned());
    Value::Array(list)
}

/// Which jurisdiction an entry is of.
pub(super) fn jurisdiction(entry: &Value) -> &str {
    entry["jurisdiction_id"].as_str().or(entry.as_str()).unwrap_or_default()
}

/// A resource's fields, and those of its entries, without what rows may lack.
pub(super) fn without_memos(state: &Value) -> Value {
    let mut state = state.clone();
    if let Some(fields) = state.as_object_mut() {
        fields.shift_remove(MEMO);
        for entry in fields.get_mut("jurisdictions").and_then(Value::as_array_mut).into_iter().flatten() {
            entry.as_object_mut().map(|entry| entry.shift_remove(MEMO));
        }
    }
    state
}

/// What rows may lack, with its place.
pub(super) fn memos(state: &Value) -> Vec<(String, Value)> {
    let own = state.get(MEMO).map(|memo| (String::new(), memo.clone()));
    let entries = state["jurisdictions"].as_array().into_iter().flatten();
    own.into_iter()
        .chain(entries.filter_map(|entry| Some((jurisdiction(entry).to_owned(), entry.get(MEMO)?.clone()))))
        .collect()
}

/// The names of the fields in which two states differ.
pub(super) fn differences<'a>(one: &'a Value, other: &'a Value) -> Vec<&'a str> {
    let names = |state: &'a Value| state.as_object().into_iter().flat_map(|fields| fields.keys().map(String::as_str));
    let added = names(other).filter(|name| one.get(*name).is_none());
    names(one).chain(added).filter(|name| one.get(*name) != other.get(*name)).collect()
}
