//! The status that an event tells, asked of detection itself: a schema cannot promise a word that does not give the
//! event.

use serde_json::{Value, json};

use super::super::super::lifecycle::{completes_processing, jurisdiction_event, status_event};
use super::resource::{CERTIFICATE_WORDS, REQUEST_WORDS};
use crate::model::event::EventType;
use crate::model::resource::Kind;

/// The words that a resource's status can be in events of a type; none if the type does not depend on it.
pub(super) fn of_a_resource(event_type: EventType, kind: Kind) -> Vec<&'static str> {
    let tells = |before: &str, after: &str| {
        let (before, after) = (json!(before), json!(after));
        let is_its_event = status_event(kind, Some(&before), Some(&after)) == Some(event_type);
        is_its_event
            || event_type == EventType::CertificateProcessingCompleted
                && completes_processing(Some(&before), Some(&after))
    };
    let words: &[&str] = match kind {
        Kind::Certificate => &CERTIFICATE_WORDS,
        Kind::CertificateRequest => &REQUEST_WORDS,
    };
    words.iter().copied().filter(|after| words.iter().any(|before| tells(before, after))).collect()
}

/// The words that a jurisdiction's status can be in events of a type.
pub(super) fn of_a_jurisdiction(event_type: EventType) -> Vec<&'static str> {
    let tells = |word: &&str| jurisdiction_event(Some(&json!(word))) == Some(event_type);
    CERTIFICATE_WORDS.into_iter().filter(tells).collect()
}

/// Requires of an object that it has a status out of these words; of no words, nothing.
pub(super) fn narrow(object: &mut Value, words: &[&str]) {
    if words.is_empty() {
        return;
    }
    object["properties"] = json!({"status": {"description": "The status that this event tells.", "enum": words}});
    let mut required = object["required"].as_array().cloned().unwrap_or_default();
    required.push(json!("status"));
    object["required"] = Value::Array(required);
}
