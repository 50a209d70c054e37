//! What the gateway tells of its endpoints and their deliveries, as sights with one event each.

use serde_json::{Value, json};

use crate::model::delivery::DeliveryRecord;
use crate::model::endpoint::{DisabledReason, Endpoint, EndpointStatus};
use crate::model::event::{Detection, Event, EventDraft, EventType, Mode, Sight, Subject};
use crate::model::health::Health;
use crate::model::json::{Fields, Json};
use crate::model::time::Timestamp;
use crate::store::retention::Missed;

/// An event that is about something of the gateway's own.
pub(super) type Told = (Sight, EventDraft);

/// An endpoint began to fail, or works again.
pub(super) fn of_endpoint(
    event_type: EventType,
    endpoint: &Endpoint,
    health: &Health,
    livemode: bool,
    now: Timestamp,
) -> Told {
    let object = endpoint_object(endpoint, health, endpoint.status, endpoint.disabled_reason);
    told(event_type, endpoint.id.to_string(), &object, livemode, now)
}

/// An endpoint was disabled.
pub(super) fn of_disabling(
    endpoint: &Endpoint,
    health: &Health,
    reason: DisabledReason,
    livemode: bool,
    now: Timestamp,
) -> Told {
    let object = endpoint_object(endpoint, health, EndpointStatus::Disabled, Some(reason));
    told(EventType::EndpointDisabled, endpoint.id.to_string(), &object, livemode, now)
}

/// An endpoint does not get any more what lies between two events, both included.
pub(super) fn of_gap(
    endpoint: &Endpoint,
    health: &Health,
    (first, last): (&Event, &Event),
    missed: Missed,
    livemode: bool,
    now: Timestamp,
) -> Told {
    let object = endpoint_object(endpoint, health, endpoint.status, endpoint.disabled_reason);
    let details = json!({
        "since": first.timestamp(), "until": last.timestamp(), "first_event_id": first.id, "last_event_id": last.id,
        "missed": missed.count, "missed_more": missed.more,
    });
    let (sight, draft) = told(EventType::EndpointGap, endpoint.id.to_string(), &object, livemode, now);
    (sight, EventDraft { details: Json::of(&details), ..draft })
}

/// A delivery has no wait left.
pub(super) fn of_exhaustion(record: &DeliveryRecord, livemode: bool, now: Timestamp) -> Told {
    let last = record.attempts.last().map(|attempt| {
        json!({
            "number": attempt.number, "at": attempt.at, "outcome": attempt.outcome,
            "status_code": attempt.status_code, "error": attempt.error,
        })
    });
    let object = json!({
        "object": "delivery", "id": record.id, "event_id": record.event_id, "event_type": record.event_type,
        "endpoint_id": record.endpoint_id, "resource": record.resource, "status": record.status,
        "attempt_count": record.attempt_count, "last_attempt": last,
    });
    told(EventType::DeliveryExhausted, record.id.to_string(), &object, livemode, now)
}

fn endpoint_object(
    endpoint: &Endpoint,
    health: &Health,
    status: EndpointStatus,
    disabled_reason: Option<DisabledReason>,
) -> Value {
    json!({
        "object": "endpoint", "id": endpoint.id, "uid": endpoint.uid, "url": endpoint.url.masked(),
        "description": endpoint.description, "status": status, "disabled_reason": disabled_reason, "health": health,
    })
}

fn told(event_type: EventType, id: String, object: &Value, livemode: bool, now: Timestamp) -> Told {
    let sight = Sight {
        subject: Subject::Own(id),
        api_version: String::new(),
        livemode,
        object: Json::of(object),
        previous_attributes: Json::of(&Fields::new()),
        detection: Detection {
            mode: Mode::Live,
            pass: None,
            request_id: None,
            object_version: 0,
            observed_after: None,
            observed_before: now,
        },
    };
    (sight, EventDraft::plain(event_type))
}
