//! The words that hand-written schemas are made of: what a caller may send. Limits are those that the readers check.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

/// Any text.
pub(super) fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

/// A text of a certain form.
pub(super) fn form(description: &str, pattern: &str, example: &str) -> Value {
    json!({"type": "string", "description": description, "pattern": pattern, "examples": [example]})
}

/// An id of ours: a prefix and 22 digits of base 62, which name a number below 2^128.
pub(super) fn id(description: &str, prefix: &str, example: &str) -> Value {
    form(description, &format!("^{prefix}_{ID_DIGITS}$"), example)
}

/// 22 base-62 digits of which the first keeps the number below 2^128.
pub(in crate::api) const ID_DIGITS: &str = "[0-6][0-9A-Za-z]{21}";

/// A text out of a few: those that a reader chooses from.
pub(super) fn choice<T>(description: &str, choices: &[(&str, T)]) -> Value {
    let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
    json!({"type": "string", "description": description, "enum": words})
}

/// A whole number.
pub(super) fn whole(description: &str, range: RangeInclusive<u32>) -> Value {
    json!({"type": "integer", "description": description, "minimum": range.start(), "maximum": range.end()})
}

/// Yes or no.
pub(super) fn flag(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

/// An RFC 3339 instant.
pub(super) fn instant(description: &str) -> Value {
    json!({"type": "string", "description": description, "format": "date-time", "examples": ["2026-11-21T04:31:20Z"]})
}

/// A list.
pub(super) fn list(description: &str, items: &Value, size: RangeInclusive<usize>) -> Value {
    let mut list = json!({"type": "array", "description": description, "items": items, "maxItems": size.end()});
    if *size.start() > 0 {
        list["minItems"] = json!(size.start());
    }
    list
}

/// An object with these fields and no others.
pub(super) fn object(description: &str, required: &[&str], properties: Value) -> Value {
    let mut object = json!({"type": "object", "description": description});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object["properties"] = properties;
    object["additionalProperties"] = json!(false);
    object
}

/// An object that maps names of a certain form to values.
pub(super) fn map(description: &str, names: &str, values: &Value, entries_max: usize) -> Value {
    json!({
        "type": "object", "description": description, "propertyNames": {"pattern": names}, "maxProperties": entries_max,
        "additionalProperties": values,
    })
}

/// The same, with what holds if it is left out.
pub(super) fn by_default(mut schema: Value, default: impl Into<Value>) -> Value {
    schema["default"] = default.into();
    schema
}

/// The same, where null means the same as absence.
pub(super) fn or_null(mut schema: Value) -> Value {
    let kind = schema["type"].take();
    schema["type"] = json!([kind, "null"]);
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    schema
}
