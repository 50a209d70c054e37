//! Events and event types.

use serde_json::{Value, json};

use super::EventBody;
use super::operation::{Body, Operation};
use super::resources::{customer, resource_id};
use super::sources::source_name;
use super::words::{form, id, instant, text};
use crate::api::error::ErrorKind;
use crate::api::event_types::{DetailedView, EventTypeView};
use crate::api::events::{Row, WAIT_MAX};
use crate::api::page::Page;
use crate::model::event::EventType;

const GROUP: &str = "Events";

/// The id of an event.
pub(super) fn event_id(description: &str) -> Value {
    id(description, "evt", "evt_0000000000E1hZXgQ8L7aB")
}

/// Patterns over event types with commas between them. Whether a pattern means anything is for the catalogue to say,
/// so that all that do are named.
fn types() -> Value {
    let one = patterns().replace('.', r"\.").replace('*', r"\*");
    let description = "Only these types: names, prefixes such as `certificate.*`, or `*` (everything about \
        certificates and requests), with commas between them.";
    form(description, &format!("^({one})(,({one}))*$"), "certificate.*,gateway.gap")
}

/// Every pattern that means something, with bars between them.
pub(super) fn patterns() -> String {
    let mut patterns = vec!["*".to_owned()];
    for event_type in EventType::ALL {
        let name = event_type.as_str();
        for (at, _) in name.match_indices('.') {
            let prefix = format!("{}.*", &name[..at]);
            if !patterns.contains(&prefix) {
                patterns.push(prefix);
            }
        }
        patterns.push(name.into());
    }
    patterns.join("|")
}

/// An event's body; its type says more.
pub(super) fn event() -> Value {
    let instant = json!({"$ref": "#/components/schemas/Timestamp"});
    let detection = json!({
        "type": "object", "description": "How and when it became known.",
        "required": ["mode", "pass", "epoch", "object_version", "observed_after", "observed_before"],
        "properties": {
            "mode": {"type": "string", "enum": ["live", "baseline", "derived", "resync", "test"]},
            "pass": {"enum": ["changes", "open", "sweep", "deadline", "write", "clock", null]},
            "request_id": {"type": "string", "description": "The call whose answer showed it."},
            "epoch": {"type": "integer", "description": "When the store was created or last restored, in seconds."},
            "object_version": {"type": "integer", "minimum": 0},
            "observed_after": {"anyOf": [instant, {"type": "null"}]},
            "observed_before": instant,
        },
    });
    json!({
        "type": "object",
        "description": "An event, byte for byte as subscribers get it. The schema of its type, under `webhooks` and at \
            `GET /v1/event-types/{name}`, says what `data` carries.",
        "required": ["id", "object", "schema", "type", "timestamp", "source", "api_version", "livemode", "data", "detection"],
        "properties": {
            "id": {"$ref": "#/components/schemas/EventId"},
            "object": {"const": "event"},
            "schema": {"const": "1"},
            "type": {"$ref": "#/components/schemas/EventType"},
            "timestamp": instant,
            "source": {"type": ["string", "null"], "description": "The source that it is about, if any."},
            "api_version": {"type": "string", "description": "The version of the vendor's API in force."},
            "livemode": {"type": "boolean", "description": "Whether it is about live data."},
            "data": {
                "type": "object", "description": "What happened to what.", "required": ["object", "previous_attributes"],
                "properties": {
                    "object": {"type": "object", "description": "What it is about, as it is now."},
                    "previous_attributes": {"type": "object", "description": "Former values of what changed."},
                },
                "additionalProperties": true,
            },
            "detection": detection,
        },
        "examples": [super::examples::event()],
    })
}

/// `GET /v1/events`.
pub(in crate::api) fn list() -> Operation {
    let wait = format!(
        "How long to wait for an event if there is none: whole seconds, or a duration such as `30s`; at most {} s. \
         Needs `order=asc`.",
        WAIT_MAX.as_secs()
    );
    let description = "The log, newest first unless `order=asc`. At the end there is no `next_cursor`: whoever follows \
        the log goes on from the id of the last event, with `order=asc` and `wait`. A filtered page reads at most 10 000 \
        events and may be short; `has_more` tells.";
    let operation = Operation::new(GROUP, "listEvents", "List events", description)
        .ordered_page()
        .query("types", types())
        .query("source", source_name("Only about this source."))
        .query("resource_id", resource_id("Only about this resource."));
    customer(operation)
        .query("jurisdiction", text("Only about this jurisdiction, such as `US-CA`."))
        .query("since", instant("Only what was observed from then on."))
        .query("until", instant("Only what was observed before."))
        .query("wait", form(&wait, "^([0-9]|[1-5][0-9]|60)s?$", "30s"))
        .answers::<Page<EventBody>>(200, "A page of events.")
        .fails(&[ErrorKind::CursorExpired, ErrorKind::TooManyFollowers])
}

/// `GET /v1/events/stream`.
pub(in crate::api) fn stream() -> Operation {
    let description = "Server-sent events, from now on or from behind `Last-Event-ID`. Each has the event's id as `id`, \
        its type as `event` and its body as `data`. A comment every 15 seconds tells that the stream is alive.";
    let schema = json!({
        "type": "object", "description": "One event of the stream.", "required": ["id", "event", "data"],
        "properties": {
            "id": {"$ref": "#/components/schemas/EventId"},
            "event": {"$ref": "#/components/schemas/EventType"},
            "data": {
                "type": "string", "contentMediaType": "application/json",
                "contentSchema": {"$ref": "#/components/schemas/Event"},
            },
        },
    });
    let example = json!("id: evt_0000000000E1hZXgQ8L7aB\nevent: certificate.expiring\ndata: {\"id\": …}\n\n");
    Operation::new(GROUP, "streamEvents", "Follow the log", description)
        .query("types", types())
        .header("Last-Event-ID", event_id("The id of the last event that you have got."))
        .answers_with(200, "The stream.", "text/event-stream", Body::Given(schema, example))
        .fails(&[ErrorKind::CursorExpired, ErrorKind::TooManyFollowers])
}

/// `GET /v1/events/{id}`.
pub(in crate::api) fn show() -> Operation {
    about("getEvent", "Show an event", "Byte for byte as subscribers get it.").answers::<EventBody>(200, "The event.")
}

/// `GET /v1/events/{id}/deliveries`.
pub(in crate::api) fn deliveries() -> Operation {
    let description = "One row for each endpoint, also for those that it has not reached yet and for those that it is \
        not for, with the reason. In the order in which the endpoints were registered, or against it.";
    about("listEventDeliveries", "Tell who gets an event", description)
        .ordered_page()
        .answers::<Page<Row>>(200, "A page of rows.")
}

fn about(id: &'static str, summary: &'static str, description: &str) -> Operation {
    Operation::new(GROUP, id, summary, description)
        .path("id", event_id("The event's id."))
        .fails(&[ErrorKind::EventNotFound])
}

/// `GET /v1/event-types`.
pub(in crate::api) fn types_listed() -> Operation {
    Operation::new(GROUP, "listEventTypes", "List event types", "All of them, unless `limit` is given.")
        .page_of_few()
        .answers::<Page<EventTypeView>>(200, "Event types, in the order of the catalogue.")
}

/// `GET /v1/event-types/{name}`.
pub(in crate::api) fn type_shown() -> Operation {
    Operation::new(GROUP, "getEventType", "Show an event type", "With the JSON Schema of its bodies, and an example.")
        .path("name", form("The type's name.", "^[a-z_.]+$", "certificate.expiring"))
        .answers::<DetailedView>(200, "The event type.")
        .fails(&[ErrorKind::EventTypeNotFound])
}
