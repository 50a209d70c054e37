//! What subscribers get: one webhook for each event type, as the catalogue describes it.

use serde_json::{Value, json};

use crate::api::commands::Catalogue;
use crate::model::event::EventType;
use crate::model::json::Fields;

/// What the definitions of the catalogue are called among our schemas.
const PREFIX: &str = "Vendor_";

/// What is the same in events of every type.
const ENVELOPE: [&str; 7] = ["id", "object", "schema", "timestamp", "api_version", "livemode", "detection"];

/// What every delivery says of itself.
const HEADERS: [(&str, &str); 4] = [
    ("webhook-id", "The id of the event, the same on every attempt and replay."),
    ("webhook-timestamp", "The second of this attempt, since 1970 in UTC."),
    (
        "webhook-signature",
        "`v1,` and the base64 of the HMAC-SHA256 of `{id}.{timestamp}.{body}`; one for each secret that signs, with \
         spaces between them.",
    ),
    ("certhook-attempt", "The number of this attempt, from 1."),
];

/// One of each type.
pub(super) fn webhooks(catalogue: &dyn Catalogue) -> Fields {
    EventType::ALL.iter().map(|&event_type| (event_type.to_string(), webhook(catalogue, event_type))).collect()
}

fn webhook(catalogue: &dyn Catalogue, event_type: EventType) -> Value {
    let mut schema = catalogue.schema(event_type).fields();
    schema.retain(|name, _| !["$schema", "$defs"].contains(&name.as_str()));
    if let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        fields.retain(|name, _| !ENVELOPE.contains(&name.as_str()));
    }
    schema.insert("allOf".into(), json!([{"$ref": "#/components/schemas/EventEnvelope"}]));
    let mut schema = Value::Object(schema);
    move_references(&mut schema);
    let example: Value = catalogue.example(event_type).parse().unwrap_or_default();
    json!({"post": {
        "tags": ["Events"],
        "operationId": format!("on {event_type}"),
        "summary": event_type,
        "description": catalogue.description(event_type),
        "security": [],
        "parameters": HEADERS.map(|(name, _)| json!({"$ref": format!("#/components/parameters/{name}")})),
        "requestBody": {"required": true, "content": {"application/json": {"schema": schema, "example": example}}},
        "responses": {
            "2XX": {"description": "It was taken."},
            "410": {"description": "No more, please: the endpoint is disabled."},
            "default": {"description": "It is tried again."},
        },
    }})
}

/// The headers of deliveries.
pub(super) fn parameters() -> Fields {
    let header = |(name, meaning): (&str, &str)| {
        let schema = json!({"type": "string"});
        let header = json!({"name": name, "in": "header", "required": true, "description": meaning, "schema": schema});
        (name.to_owned(), header)
    };
    HEADERS.into_iter().map(header).collect()
}

/// What is the same in all events, and the vendor's resources, as the catalogue describes them.
pub(super) fn definitions(catalogue: &dyn Catalogue) -> Fields {
    let mut definitions = Fields::new();
    let mut shared = catalogue.schema(EventType::WebhookTest).fields().shift_remove("properties").unwrap_or_default();
    if let Some(fields) = shared.as_object_mut() {
        fields.retain(|name, _| ENVELOPE.contains(&name.as_str()));
    }
    let description = "What is the same in events of every type.";
    let envelope = json!({"type": "object", "description": description, "required": ENVELOPE, "properties": shared});
    definitions.insert("EventEnvelope".into(), envelope);
    for event_type in [EventType::CertificateCreated, EventType::RequestCreated] {
        let Some(Value::Object(known)) = catalogue.schema(event_type).fields().shift_remove("$defs") else { continue };
        for (name, mut schema) in known {
            move_references(&mut schema);
            definitions.insert(format!("{PREFIX}{name}"), schema);
        }
    }
    definitions
}

/// Makes a schema speak of definitions where the document keeps them.
fn move_references(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/$defs/")
            {
                *reference = format!("#/components/schemas/{PREFIX}{name}");
            }
            fields.values_mut().for_each(move_references);
        }
        Value::Array(entries) => entries.iter_mut().for_each(move_references),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
