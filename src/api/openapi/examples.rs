//! Examples, one for each thing that answers are made of. A test holds each against its schema.

use serde_json::{Value, json};

const ENDPOINT: &str = "ep_00004BeXn2Qd7LxK9mTzRw";
const EVENT: &str = "evt_0000000000E1hZXgQ8L7aB";
const DELIVERY: &str = "dlv_0000000000E1hZXgQ8L7aB";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU";
const KEY: &str = "key_00004BeXn2Qd7LxK9mTzRw";
const WHEN: &str = "2026-11-21T04:31:20.017Z";

fn filter() -> Value {
    json!({
        "sources": [], "customer_ids": [], "reference_customer_ids": [], "jurisdictions": ["US-CA"],
        "certificate_type_ids": [], "will_expire_days": [],
    })
}

fn resource() -> Value {
    json!({"source": "numeral", "kind": "certificate", "id": "cert_8f3K2"})
}

/// An endpoint.
pub(in crate::api) fn endpoint() -> Value {
    json!({
        "id": ENDPOINT, "object": "endpoint", "uid": "crm", "url": "https://crm.example.com/webhooks?***",
        "description": "The CRM", "types": ["certificate.*"], "filter": filter(), "payload": "full",
        "format": "standard", "headers": {"x-api-key": "***"}, "ordering": "per_resource", "retry": null,
        "max_in_flight": null, "rate_limit": "5/s", "metadata": {"team": "tax"}, "status": "enabled",
        "disabled_reason": null,
        "health": {"state": "healthy", "last_success_at": WHEN, "last_failure_at": null, "consecutive_failures": 0},
        "created_at": WHEN, "updated_at": WHEN,
    })
}

/// What is left of one.
pub(in crate::api) fn deleted() -> Value {
    json!({"id": ENDPOINT, "object": "endpoint", "deleted": true})
}

/// A secret.
pub(in crate::api) fn secret() -> Value {
    let former = json!({"secret": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "expires_at": "2026-11-22T04:31:20.017Z"});
    json!({"secret": SECRET, "previous": [former]})
}

/// A secret that took over.
pub(in crate::api) fn rotated() -> Value {
    json!({"secret": SECRET, "previous_expires_at": "2026-11-22T04:31:20.017Z"})
}

/// An attempt.
pub(in crate::api) fn attempt() -> Value {
    json!({
        "number": 1, "at": WHEN, "duration_ms": 84, "outcome": "server_error", "status_code": 500,
        "error": "the receiver answered 500", "response_body": "oops", "address": "203.0.113.7:443", "signed_at": WHEN,
        "trigger": "scheduled",
    })
}

/// A delivery.
pub(in crate::api) fn delivery() -> Value {
    json!({
        "id": DELIVERY, "object": "delivery", "event_id": EVENT, "event_type": "certificate.expiring",
        "endpoint_id": ENDPOINT, "resource": resource(), "status": "pending",
        "next_attempt_at": "2026-11-21T04:31:25.101Z", "attempt_count": 1, "attempts": [attempt()],
    })
}

/// An event at an endpoint.
pub(in crate::api) fn event_delivery() -> Value {
    json!({
        "id": null, "object": "delivery", "event_id": EVENT, "event_type": "certificate.expiring",
        "endpoint_id": ENDPOINT, "resource": resource(), "status": "filtered", "reason": "jurisdiction",
        "next_attempt_at": null, "attempt_count": 0,
    })
}

/// A replay.
pub(in crate::api) fn replay() -> Value {
    json!({
        "id": "rp_00004BeXn2Qd7LxK9mTzRw", "object": "replay", "kind": "replay", "endpoint_id": ENDPOINT,
        "status": "running", "progress": 0.25, "matched": 40, "delivered": 31, "failed": 1, "canceled": 0,
        "cut": 0, "since": WHEN, "until": null, "select": "missed", "filter": filter(), "created_at": WHEN, "ended_at": null,
    })
}

/// What a replay would do.
pub(in crate::api) fn preview() -> Value {
    let sample = json!({"id": EVENT, "type": "certificate.expiring", "timestamp": WHEN, "resource_id": "cert_8f3K2"});
    json!({"matched": 160, "sample": [sample]})
}

/// An event type.
pub(in crate::api) fn event_type() -> Value {
    json!({
        "object": "event_type", "type": "certificate.expiring",
        "description": "The certificate's status became expiring.", "about": "certificate",
    })
}

/// An event type with its schema.
pub(in crate::api) fn event_type_details() -> Value {
    let mut details = event_type();
    details["schema"] = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"});
    details["example"] = event();
    details
}

/// An event.
pub(in crate::api) fn event() -> Value {
    json!({
        "id": EVENT, "object": "event", "schema": "1", "type": "certificate.expiring", "timestamp": WHEN,
        "source": "numeral", "api_version": "2026-03-01", "livemode": true,
        "data": {
            "object": {"id": "cert_8f3K2", "status": "expiring", "expiration_date": "2026-12-20"},
            "previous_attributes": {"status": "active"},
        },
        "detection": {
            "mode": "live", "pass": "changes", "epoch": 1_795_233_600, "object_version": 3,
            "observed_after": "2026-11-21T04:30:50.001Z", "observed_before": WHEN,
        },
    })
}

/// A certificate.
pub(in crate::api) fn certificate() -> Value {
    json!({
        "id": "cert_8f3K2", "status": "active", "effective_date": "2025-12-21", "expiration_date": "2026-12-20",
        "source": "numeral", "object_version": 3, "observed_at": WHEN,
    })
}

/// A certificate request.
pub(in crate::api) fn request() -> Value {
    json!({"id": "cert_req_2hT", "status": "pending", "source": "numeral", "object_version": 0, "observed_at": WHEN})
}

/// An exemption.
pub(in crate::api) fn exemption() -> Value {
    json!({
        "object": "exemption", "exempt": true, "valid_from": "2025-12-21", "valid_until": "2026-12-20",
        "certificate_ids": ["cert_8f3K2"], "as_of": WHEN,
    })
}

/// What may be gone.
pub(in crate::api) fn removal() -> Value {
    json!({"object": "removal", "resource": "certificate", "id": "cert_8f3K2", "removal": "withheld", "absent_since": WHEN})
}

/// What was decided about it.
pub(in crate::api) fn decided() -> Value {
    json!({"object": "removal_decision", "decision": "keep", "decided": 12})
}

/// What came of canceling.
pub(in crate::api) fn cancellation() -> Value {
    let one = json!({"id": "cert_req_2hT", "source": "numeral", "status": "canceled", "error": null});
    let why = "no whole answer within 60s";
    let error = json!({"code": 504, "type": "UPSTREAM_OUTCOME_UNKNOWN", "message": why});
    let last = json!({"id": "cert_req_3jU", "source": "numeral", "status": "unknown", "error": error});
    json!({"object": "cancellation", "dry_run": false, "matched": 2, "has_more": false, "data": [one, last]})
}

/// Where a document is.
pub(in crate::api) fn link() -> Value {
    json!({"url": "https://files.example.com/cert_8f3K2.pdf?signature=…", "expires_at": "2026-11-21T05:31:20.000Z"})
}

/// A pass.
pub(in crate::api) fn pass() -> Value {
    json!({
        "id": "pass_12", "pass": "changes", "status": "complete", "pages": 1, "seen": 3, "changed": 1, "found_late": 0,
        "started_at": WHEN, "duration_ms": 210, "error": null,
    })
}

/// A source.
pub(in crate::api) fn source() -> Value {
    json!({
        "name": "numeral", "object": "source", "kind": "numeral", "base_url": "https://api.numeralhq.com/",
        "status": "healthy", "lag_seconds": 12, "baseline": {"complete": true, "seen": 350, "rate": null}, "watermark": WHEN,
        "clock_skew_seconds": 0, "passes": [pass()],
    })
}

/// A key that has just been made.
pub(in crate::api) fn key() -> Value {
    json!({
        "id": KEY, "object": "key", "name": "the CRM", "prefix": "ck_1mTzRwQ", "scopes": ["read", "endpoints"],
        "created_at": WHEN, "expires_at": null, "last_used_at": null,
        "key": "ck_1mTzRwQE1hZXgQ8L7aB4BeX0n2Qd7LxK9mTzRwQE1hZXgQ8",
    })
}

/// What is left of one.
pub(in crate::api) fn deleted_key() -> Value {
    json!({"id": KEY, "object": "key", "deleted": true})
}

/// A change.
pub(in crate::api) fn audit_entry() -> Value {
    json!({
        "id": "aud_0000000000E1hZXgQ8L7aB", "object": "audit_entry", "at": WHEN, "key": {"id": KEY, "name": "the CRM"},
        "address": "192.0.2.7", "operation": "POST /v1/endpoints/{name}/disable", "resource_id": ENDPOINT,
        "before": {"id": ENDPOINT, "status": "enabled"}, "after": {"id": ENDPOINT, "status": "disabled"},
        "request_id": "req_00004BeXn2Qd7LxK9mTzRw",
    })
}
