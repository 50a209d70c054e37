//! What the gateway says about itself: sources, endpoints, deliveries, and tests, as its events show them.

use serde_json::{Value, json};

use super::field::{count, counts, flag, instant, nullable, object, open_word, prefixed, text};
use crate::model::event::EventType;

/// A source.
pub(super) fn source(event_type: EventType) -> Value {
    let baseline = json!({
        "complete": flag("Whether it is done; until then what is seen for the first time belongs to it."),
        "seen": count("How many resources it has seen."),
        "rate": nullable(count("How many of them a second, so far; null once it is done.")),
    });
    let mut properties = json!({
        "object": {"const": "source", "description": "The word for a source."},
        "name": text("The source's name in the configuration."),
        "kind": open_word("The vendor's dialect that it speaks.", &["numeral"]),
        "base_url": text("Where it is."),
        "status": open_word(
            "healthy (passes succeed), failing (the last one did not), unauthorized (the vendor refuses the API key), \
             paused (somebody wants it to be left alone).",
            &["healthy", "failing", "unauthorized", "paused"],
        ),
        "baseline": object("The first full listing.", &["complete", "seen", "rate"], &baseline),
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
    let health = json!({
        "state": open_word(
            "healthy (its last attempt succeeded), failing (it did not), circuit_open (it is tried only now and then).",
            &["healthy", "failing", "circuit_open"],
        ),
        "last_success_at": nullable(instant("The last attempt that delivered; null if there was none.")),
        "last_failure_at": nullable(instant("The last attempt that did not; null if there was none.")),
        "consecutive_failures": count("Failed attempts since the last success."),
    });
    let reason = "Why it is disabled: manual (through the API), gone (the receiver answered 410), failing (for too \
        long without interruption). Null while it is enabled.";
    let properties = json!({
        "object": {"const": "endpoint", "description": "The word for an endpoint."},
        "id": prefixed("The endpoint's id.", "ep_"),
        "uid": nullable(text("Your own name for it, if it has one.")),
        "url": text("Where its events go, with the query masked."),
        "description": text("What you wrote about it."),
        "status": open_word("enabled, or disabled (nothing is sent).", &["enabled", "disabled"]),
        "disabled_reason": nullable(open_word(reason, &["manual", "gone", "failing"])),
        "health": object("How it is doing.", &required(&health), &health),
    });
    object("The endpoint, as it stood when this was told.", &required(&properties), &properties)
}

/// A delivery.
pub(super) fn delivery() -> Value {
    let resource = json!({
        "source": text("The name of its source."),
        "kind": open_word("What it is.", &["certificate", "certificate_request"]),
        "id": text("Its id upstream."),
    });
    let last_attempt = json!({
        "number": count("Counted from 1."),
        "at": instant("When it began."),
        "outcome": open_word("What it meant.", &["redirected", "rejected", "server_error", "timed_out"]),
        "status_code": nullable(count("The status of the response; null if none came.")),
        "error": nullable(text("What went wrong, in words.")),
    });
    let properties = json!({
        "object": {"const": "delivery", "description": "The word for a delivery."},
        "id": prefixed("The delivery's id.", "dlv_"),
        "event_id": prefixed("The event that was to be delivered.", "evt_"),
        "event_type": text("The type of that event."),
        "endpoint_id": prefixed("The endpoint that it was for.", "ep_"),
        "resource": nullable(object("The resource that the event is about, if any.", &required(&resource), &resource)),
        "status": open_word("failed: every attempt failed.", &["failed"]),
        "attempt_count": count("How many attempts there were."),
        "last_attempt": object("The last one of them.", &required(&last_attempt), &last_attempt),
    });
    object("The delivery, as it stood when this was told.", &required(&properties), &properties)
}

/// Everything that is described is always there.
fn required(properties: &Value) -> Vec<&str> {
    properties.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// What a test is about: nothing.
pub(super) fn test() -> Value {
    let properties = json!({
        "object": {"const": "test", "description": "The word for a test."},
        "message": text("A word to whoever reads it."),
    });
    object("Nothing has happened.", &["object", "message"], &properties)
}
