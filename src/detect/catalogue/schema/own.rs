//! What the gateway says about itself: sources, endpoints, deliveries, and tests, as its events show them.

use serde_json::{Value, json};

use super::field::{count, counts, flag, nullable, object, open_word, prefixed, text};
use crate::model::event::EventType;

/// A source.
pub(super) fn source(event_type: EventType) -> Value {
    let baseline = json!({
        "complete": flag("Whether it is done; until then no change is told."),
        "seen": count("How many resources it has seen."),
    });
    let mut properties = json!({
        "object": {"const": "source", "description": "The word for a source."},
        "name": text("The source's name in the configuration."),
        "kind": open_word("The vendor's dialect that it speaks.", &["numeral"]),
        "base_url": text("Where it is."),
        "status": open_word(
            "healthy (passes succeed), failing (the last one did not), unauthorized (the vendor refuses the API key).",
            &["healthy", "failing", "unauthorized"],
        ),
        "baseline": object("The first full listing.", &["complete", "seen"], &baseline),
    });
    let mut required = vec!["object", "name", "kind", "base_url", "status", "baseline"];
    if event_type == EventType::GatewayBaselineCompleted {
        properties["counts"] = counts("What the baseline found.");
        required.push("counts");
    }
    object("The source, as it stood when this was told.", &required, &properties)
}

/// An endpoint.
pub(super) fn endpoint() -> Value {
    let properties = json!({
        "object": {"const": "endpoint", "description": "The word for an endpoint."},
        "id": prefixed("The endpoint's id.", "ep_"),
        "uid": nullable(text("Your own name for it, if it has one.")),
        "status": open_word("enabled, or disabled (nothing is sent).", &["enabled", "disabled"]),
    });
    object("The endpoint, as it stood when this was told.", &["object", "id", "uid", "status"], &properties)
}

/// A delivery.
pub(super) fn delivery() -> Value {
    let properties = json!({
        "object": {"const": "delivery", "description": "The word for a delivery."},
        "id": prefixed("The delivery's id.", "dlv_"),
        "status": open_word("failed: every attempt failed.", &["failed"]),
        "attempt_count": count("How many attempts there were."),
    });
    object("The delivery, as it stood when this was told.", &["object", "id", "status", "attempt_count"], &properties)
}

/// What a test is about: nothing.
pub(super) fn test() -> Value {
    let properties = json!({
        "object": {"const": "test", "description": "The word for a test."},
        "message": text("A word to whoever reads it."),
    });
    object("Nothing has happened.", &["object", "message"], &properties)
}
