//! `docs/events.md`: what the catalogue says of every event type, for people.

use std::fmt::Write;
use std::sync::Arc;

use certhook::detect::catalogue::{About, Entry, entries, example, schema};
use certhook::model::event::{Event, EventType};
use certhook::model::id::{EventId, Position};
use certhook::model::time::Timestamp;
use serde_json::{Value, json};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/events.md");

const UPDATE: &str = "UPDATE=1 cargo test --test it -- docs::";

/// When the examples were observed: 2026-11-21T04:31:20.017Z.
const SHOWN_AT: Timestamp = Timestamp::from_millis(1_795_235_480_017);

/// Up to this width an object or a list stays on one line.
const WIDTH: usize = 120;

/// The sections, by the first part of the names of their types, with what each is about.
const SECTIONS: [(&str, &str); 6] = [
    ("certificate", "Certificates"),
    ("certificate_request", "Certificate requests"),
    ("gateway", "The gateway about its sources"),
    ("endpoint", "The gateway about its endpoints"),
    ("delivery", "The gateway about its deliveries"),
    ("webhook", "Tests"),
];

const OPENING: &str = "# Events

<!-- Generated from the catalogue in src/detect/catalogue. Change it there, then run:
     UPDATE=1 cargo test --test it -- docs:: -->

Every event type: when it is told, what its body has beside what all have, and an example. The same comes from a running
gateway as JSON Schema: `GET /v1/event-types/{type}`. [How to receive them](receiving.md) is another page.

Fields and types may be added at any time, and a status may be a word that is not listed here. Where a field is said to
be a *word*, those named are the ones that are known.
";

#[test]
fn the_page_of_events_is_what_the_catalogue_says() {
    let page = page();
    #[expect(clippy::disallowed_methods, reason = "a person asks the test to write, which no configuration is for")]
    let is_update = std::env::var_os("UPDATE").is_some();
    if is_update {
        std::fs::write(FILE, &page).expect("the page is written");
    }
    let kept = std::fs::read_to_string(FILE).unwrap_or_default();
    let differing = kept.lines().zip(page.lines()).position(|(kept, page)| kept != page);
    let line = differing.unwrap_or_else(|| kept.lines().count().min(page.lines().count())) + 1;
    assert!(kept == page, "docs/events.md differs from the catalogue at line {line}; {UPDATE} writes it anew");
}

fn page() -> String {
    let mut page = OPENING.to_owned();
    body(&mut page);
    objects(&mut page);
    for (section, title) in SECTIONS {
        write!(page, "\n## {title}\n").expect("a text takes everything");
        for entry in entries().filter(|entry| entry.event_type.as_str().split('.').next() == Some(section)) {
            event_type(&mut page, &entry);
        }
    }
    page
}

/// What every body has, and one that is whole.
fn body(page: &mut String) {
    let shown = EventType::JurisdictionActive;
    let mut schema = schema(shown);
    schema["properties"]["type"] = json!({"type": "string", "description": "What happened: one of the types below."});
    schema["properties"]["source"]["description"] =
        "The name of the source that it is about, as configured; null for what is about no source.".into();
    schema["properties"]["source"]["type"] = json!(["string", "null"]);
    let data = &mut schema["properties"]["data"]["properties"];
    let about = "What it is about, as it is now: the resource as the vendor last showed it, or an object of ours.";
    let former = said(&data["previous_attributes"]);
    *data = json!({
        "object": {"type": "object", "description": about},
        "previous_attributes": {"type": "object", "description": former},
    });
    page.push_str("\n## The body\n\n");
    table(page, &schema, "");
    write!(page, "\n```json\n{}\n```\n", shape(&shown_body(shown), 0)).expect("a text takes everything");
}

/// What `data.object` and its parts are.
fn objects(page: &mut String) {
    let (certificate, request) = (schema(EventType::CertificateUpdated), schema(EventType::RequestUpdated));
    let own = |event_type| schema(event_type)["properties"]["data"]["properties"]["object"].clone();
    let objects = [
        ("certificate", certificate["$defs"]["certificate"].clone()),
        ("jurisdiction", certificate["$defs"]["jurisdiction"].clone()),
        ("certificate_type", certificate["$defs"]["certificate_type"].clone()),
        ("certificate_request", request["$defs"]["certificate_request"].clone()),
        ("customer", certificate["$defs"]["customer"].clone()),
        ("source", own(EventType::GatewaySourceFailing)),
        ("endpoint", own(EventType::EndpointFailing)),
        ("delivery", own(EventType::DeliveryExhausted)),
    ];
    page.push_str("\n## The objects\n");
    for (name, schema) in objects {
        write!(page, "\n### Object {name}\n\n{}\n\n", said(&schema)).expect("a text takes everything");
        table(page, &schema, "");
    }
}

fn event_type(page: &mut String, entry: &Entry) {
    let name = entry.event_type;
    let about = entry.about.map(About::as_str).map_or_else(String::new, |about| {
        format!(" `data.object` is a [{}](#object-{about}).", about.replace('_', " "))
    });
    write!(page, "\n### {name}\n\n{}{about}", entry.description).expect("a text takes everything");
    let mut data = schema(name)["properties"]["data"].clone();
    if let Some(words) = data["properties"]["object"]["properties"]["status"]["enum"].as_array() {
        let words: Vec<String> = words.iter().map(|word| format!("`{}`", word.as_str().unwrap_or_default())).collect();
        write!(page, " Its `status` is {}.", words.join(" or ")).expect("a text takes everything");
    }
    page.push_str("\n\n");
    let properties = data["properties"].as_object_mut().expect("an object");
    properties.shift_remove("previous_attributes");
    let object = properties.shift_remove("object").expect("every event is about something");
    if let Some(counts) = object["properties"].get("counts") {
        properties.insert("object.counts".into(), counts.clone());
    }
    if !properties.is_empty() {
        table(page, &data, "data.");
        page.push('\n');
    }
    let example = shown_body(name);
    write!(page, "```json\n\"data\": {}\n```\n", shape(&example["data"], 0)).expect("a text takes everything");
}

/// The example of a type, as the API shows it.
fn shown_body(event_type: EventType) -> Value {
    let (sight, draft) = example(event_type, SHOWN_AT);
    let id = EventId { position: Position(0), epoch: 1_795_235_480, start: 0 };
    let event = Event { id, event_type, details: draft.details, sight: Arc::new(sight) };
    event.body().parse().expect("JSON")
}

/// A row for each field of an object, and of the objects in it.
fn table(page: &mut String, schema: &Value, prefix: &str) {
    page.push_str("| field | what it is | meaning |\n|---|---|---|\n");
    rows(page, schema, prefix);
}

fn rows(page: &mut String, schema: &Value, prefix: &str) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let row = format!("| `{prefix}{name}` | {} | {} |\n", sort(field), said(field).replace('|', "\\|"));
        page.push_str(&row);
        rows(page, field, &format!("{prefix}{name}."));
    }
}

fn said(schema: &Value) -> &str {
    schema["description"].as_str().expect("everything is described")
}

/// What values a field has, in a few words.
fn sort(field: &Value) -> String {
    let reference = |field: &Value| {
        let name = field["$ref"].as_str()?.strip_prefix("#/$defs/")?.to_owned();
        Some(format!("[{}](#object-{name})", name.replace('_', " ")))
    };
    if let Some(constant) = field.get("const") {
        return format!("`{constant}`");
    }
    if let Some(name) = reference(field) {
        return name;
    }
    if let Some(name) = field["anyOf"].get(0).and_then(reference) {
        return format!("{name} or null");
    }
    let types: Vec<&str> = match field["type"].as_array() {
        Some(types) => types.iter().filter_map(Value::as_str).collect(),
        None => field["type"].as_str().into_iter().collect(),
    };
    let words = field.get("enum").or(field.get("examples")).and_then(Value::as_array);
    let one = |name: &str| match (name, field["format"].as_str(), words) {
        ("string", _, Some(words)) => {
            let words = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`"));
            format!("word: {}", words.collect::<Vec<_>>().join(", "))
        }
        ("string", Some("date-time"), None) => "instant".into(),
        ("string", Some(format), None) => format.into(),
        ("string", None, None) => "text".into(),
        ("array", ..) => format!("list of {}", sort(&field["items"])),
        (name, ..) => name.into(),
    };
    types.into_iter().map(one).collect::<Vec<_>>().join(" or ")
}

/// JSON for people: what fits stays on one line.
fn shape(value: &Value, depth: usize) -> String {
    let flat = value.to_string().replace("\":", "\": ").replace(",\"", ", \"").replace("},{", "}, {");
    let parts: Vec<String> = match value {
        _ if flat.len() + 2 * depth <= WIDTH => return flat,
        Value::Array(items) => items.iter().map(|item| shape(item, depth + 1)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| format!("\"{name}\": {}", shape(value, depth + 1))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return flat,
    };
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    let margin = "  ".repeat(depth + 1);
    format!("{open}\n{margin}{}\n{}{close}", parts.join(&format!(",\n{margin}")), "  ".repeat(depth))
}
