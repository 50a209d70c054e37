//! The words that schemas are written in: one function for each sort of field. A field always says what it means.

use serde_json::{Value, json};

use crate::model::resource::Kind;

/// A text.
pub(super) fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

/// A text out of a few that we know, among which others may come: the known ones are named as examples.
pub(super) fn open_word(description: &str, known: &[&str]) -> Value {
    json!({"type": "string", "description": description, "examples": known})
}

/// A text out of a few, and no other.
pub(super) fn word(description: &str, words: &[&str]) -> Value {
    json!({"type": "string", "description": description, "enum": words})
}

/// A text that begins so.
pub(super) fn prefixed(description: &str, prefix: &str) -> Value {
    json!({"type": "string", "description": description, "pattern": format!("^{prefix}")})
}

/// An RFC 3339 instant.
pub(super) fn instant(description: &str) -> Value {
    json!({"type": "string", "description": description, "format": "date-time"})
}

/// A date without a time zone.
pub(super) fn date(description: &str) -> Value {
    json!({"type": "string", "description": description, "format": "date"})
}

/// Yes or no.
pub(super) fn flag(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

/// A whole number from 0 on.
pub(super) fn count(description: &str) -> Value {
    json!({"type": "integer", "description": description, "minimum": 0})
}

/// A list whose entries are all of one sort.
pub(super) fn list(description: &str, items: &Value) -> Value {
    json!({"type": "array", "description": description, "items": items})
}

/// An object with these properties, of which those named in `required` are always there. Others may come at any time.
pub(super) fn object(description: &str, required: &[&str], properties: &Value) -> Value {
    let mut object =
        json!({"type": "object", "description": description, "required": required, "properties": properties});
    if required.is_empty() {
        object.as_object_mut().expect("an object").shift_remove("required");
    }
    object
}

/// A number for each kind of resource.
pub(super) fn counts(description: &str) -> Value {
    let properties =
        json!({"certificate": count("How many certificates."), "certificate_request": count("How many requests.")});
    object(description, &Kind::ALL.map(Kind::as_str), &properties)
}

/// What a definition of the same schema says, under a description of its own.
pub(super) fn defined(description: &str, name: &str) -> Value {
    json!({"description": description, "$ref": format!("#/$defs/{name}")})
}

/// Null, always.
pub(super) fn null(description: &str) -> Value {
    json!({"type": "null", "description": description})
}

/// The same field where it may also be null.
pub(super) fn nullable(mut field: Value) -> Value {
    if let Some(reference) = field.get("$ref").cloned() {
        return json!({"description": field["description"], "anyOf": [{"$ref": reference}, {"type": "null"}]});
    }
    field["type"] = json!([field["type"], "null"]);
    if let Some(words) = field.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    field
}
