//! The shape of events: for every type a JSON Schema (draft 2020-12) of the whole body as it is delivered.
//!
//! The schemas are open everywhere: fields may be added at any time, by the vendor and by us. What they require is
//! what is always there, so that no event that is delivered ever breaks the schema of its type, as long as the
//! vendor keeps to its own pages.
//!
//! In reading order: the body here, `details` (what single types add to `data`), `status` (which words they tell),
//! `resource` and `own` (what `data.object` is), `field` (the words that all this is written in).

use serde_json::{Value, json};

use self::field::{count, defined, flag, instant, nullable, object, prefixed, text, word};
use super::{About, Entry, entry};
use crate::model::event::EventType;
use crate::model::json::Fields;

mod details;
mod field;
mod own;
mod resource;
mod status;

const LIVEMODE: &str = "Whether it is about live data. What the gateway says of a source, or of endpoints and \
    deliveries, is live if that source, or any, is: one that is called over plain http is a simulated one.";

/// The JSON Schema of a type's events.
pub fn schema(event_type: EventType) -> Value {
    let entry = entry(event_type);
    let properties = json!({
        "id": prefixed("Given once and never again; the same on every attempt and replay. Opaque.", "evt_"),
        "object": {"const": "event", "description": "The word for an event."},
        "schema": {
            "const": "1",
            "description": "Changes only if something is taken away or changes its meaning; fields may be added.",
        },
        "type": {"const": event_type, "description": "What happened."},
        "timestamp": instant("When it was observed; the same as detection.observed_before."),
        "source": source(&entry),
        "api_version": text("The version of the vendor's API in force; empty for what is not about a source."),
        "livemode": flag(LIVEMODE),
        "data": data(&entry),
        "detection": detection(),
    });
    let required =
        ["id", "object", "schema", "type", "timestamp", "source", "api_version", "livemode", "data", "detection"];
    let mut schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "title": event_type});
    let body = object(entry.description, &required, &properties);
    for part in [body, json!({"$defs": definitions(&entry)})] {
        for (name, value) in part.as_object().into_iter().flatten() {
            schema[name] = value.clone();
        }
    }
    schema
}

fn source(entry: &Entry) -> Value {
    let field = text("The name of the source that it is about, as configured.");
    match entry.about {
        Some(About::Resource(_) | About::Source) => field,
        Some(About::Endpoint | About::Delivery) | None => nullable(field),
    }
}

fn definitions(entry: &Entry) -> Value {
    match entry.about {
        Some(About::Resource(kind)) => resource::definitions(kind),
        Some(About::Source | About::Endpoint | About::Delivery) | None => json!({}),
    }
}

/// What happened to what.
fn data(entry: &Entry) -> Value {
    let mut properties = Fields::new();
    properties.insert("object".into(), data_object(entry));
    properties.insert("previous_attributes".into(), previous_attributes(entry));
    properties.extend(details::details(entry.event_type).into_iter().map(|(name, field)| (name.to_owned(), field)));
    let required: Vec<&str> = properties.keys().map(String::as_str).collect();
    object("What happened to what.", &required, &json!(properties))
}

fn data_object(entry: &Entry) -> Value {
    match entry.about {
        Some(About::Resource(kind)) => {
            let mut object = defined("The resource as the vendor last showed it.", kind.as_str());
            object["required"] = json!(["id"]);
            status::narrow(&mut object, &status::of_a_resource(entry.event_type, kind));
            object
        }
        Some(About::Source) => own::source(entry.event_type),
        Some(About::Endpoint) => own::endpoint(),
        Some(About::Delivery) => own::delivery(),
        None => own::test(),
    }
}

fn previous_attributes(entry: &Entry) -> Value {
    match entry.about {
        Some(About::Resource(kind)) => {
            let meaning = "The former value of every top-level field that changed (an array whole, null for a field \
                that was not there), updated_at apart. Empty on a first sight.";
            defined(meaning, kind.as_str())
        }
        Some(About::Source | About::Endpoint | About::Delivery) | None => {
            object("Empty: nothing is compared.", &[], &json!({}))
        }
    }
}

/// How it became known.
fn detection() -> Value {
    let modes = "live (observed upstream), baseline (part of a first listing that was configured to be told), \
        derived (made by our clock), resync (a current state that an operator asked for), test (an example that an \
        operator asked for; nothing has happened).";
    let passes = "What made us look: changes (what was updated lately), open (what is pending), sweep (everything), \
        deadline (a date that has passed), write (the answer to a change made through us), clock (our own). Null where \
        nothing of all that did: a question put through us, which request_id names, or nobody looked.";
    let version = "Counts the sights of the resource that gave an observed event; 0 if there was none yet. Drop \
        whatever has a smaller (epoch, object_version) than what you have applied, unless it is a replay that you \
        asked for.";
    let properties = json!({
        "mode": word(modes, &["live", "baseline", "derived", "resync", "test"]),
        "pass": nullable(word(passes, &["changes", "open", "sweep", "deadline", "write", "clock"])),
        "request_id": text("The call through our API whose answer showed it; absent where it was no call."),
        "epoch": count("The second in which the gateway's store was created or last restored, since 1970 in UTC."),
        "object_version": count(version),
        "observed_after": nullable(instant("The last sight of the former state; null if there was none.")),
        "observed_before": instant("The sight that showed it. It happened between the two."),
    });
    let required = ["mode", "pass", "epoch", "object_version", "observed_after", "observed_before"];
    object("How and when it became known.", &required, &properties)
}

#[cfg(test)]
mod tests;
