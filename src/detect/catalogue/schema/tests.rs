//! The schemas, read by a validator that we did not write.

use std::sync::Arc;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::super::example;
use super::schema;
use crate::model::event::{Event, EventType};
use crate::model::id::{EventId, Position};
use crate::model::json::Fields;
use crate::model::time::Timestamp;

fn body(event_type: EventType) -> Value {
    let (sight, draft) = example(event_type, Timestamp::from_millis(1_795_233_600_000));
    let id = EventId { position: Position(1), epoch: 1_795_233_600, start: 1 };
    Event { id, event_type, details: draft.details, sight: Arc::new(sight) }.body().parse().expect("JSON")
}

fn validator(event_type: EventType) -> Validator {
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    options.build(&schema(event_type)).expect("a schema")
}

/// Runs `check` over every type's validator and example.
fn for_every_type(check: impl Fn(EventType, &Validator, &Value)) {
    for &event_type in EventType::ALL {
        check(event_type, &validator(event_type), &body(event_type));
    }
}

/// The pointers to everything within a value, itself apart.
fn pointers(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(place, value)| (place.to_string(), value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let below = |(name, value): (String, &Value)| {
        let inner = pointers(value).into_iter().map(|rest| format!("/{name}{rest}")).collect::<Vec<_>>();
        std::iter::once(format!("/{name}")).chain(inner)
    };
    children.into_iter().flat_map(below).collect()
}

fn fields_mut<'a>(body: &'a mut Value, pointer: &str) -> &'a mut Fields {
    body.pointer_mut(pointer).and_then(Value::as_object_mut).expect(pointer)
}

#[test]
fn every_schema_is_one_and_every_example_fits_its_own() {
    for_every_type(|event_type, validator, body| {
        let schema = schema(event_type);
        assert!(jsonschema::draft202012::meta::validate(&schema).is_ok(), "{event_type}");
        let problems: Vec<_> = validator.iter_errors(body).map(|why| why.to_string()).collect();
        assert!(problems.is_empty(), "{event_type}: {problems:?}");
        assert_eq!(
            (&schema["title"], &schema["properties"]["type"]["const"]),
            (&json!(event_type), &json!(event_type))
        );
    });
}

#[test]
fn data_has_exactly_the_fields_of_its_type() {
    for_every_type(|event_type, _, body| {
        let schema = schema(event_type);
        let data = &schema["properties"]["data"];
        let described: Vec<_> = data["properties"].as_object().expect("an object").keys().collect();
        let shown: Vec<_> = body["data"].as_object().expect("an object").keys().collect();
        assert_eq!(described, shown, "{event_type}");
        assert_eq!(data["required"], json!(shown), "{event_type}");
    });
}

/// Checks that everything that a schema calls a property says what it means.
fn check_descriptions(event_type: EventType, schema: &Value, place: &str) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, property) in properties {
            let description = property.get("description").and_then(Value::as_str).unwrap_or_default();
            assert!(
                description.ends_with('.') && !description.contains("  "),
                "{event_type}: {place}/{name}: {property}"
            );
        }
    }
    if let Some(fields) = schema.as_object() {
        fields.iter().for_each(|(name, inner)| check_descriptions(event_type, inner, &format!("{place}/{name}")));
    }
}

#[test]
fn every_field_says_what_it_means() {
    EventType::ALL.iter().for_each(|&event_type| check_descriptions(event_type, &schema(event_type), ""));
}

#[test]
fn an_event_tells_the_status_that_its_name_says() {
    for (event_type, place, words) in [
        (EventType::CertificateExpiring, "/data/object", &["expiring"][..]),
        (EventType::CertificateProcessingCompleted, "/data/object", &["active", "expiring", "expired", "invalid"]),
        (EventType::RequestFulfilled, "/data/object", &["fulfilled"]),
        (EventType::RequestReopened, "/data/object", &["pending"]),
        (EventType::JurisdictionInvalid, "/data/jurisdiction", &["invalid"]),
    ] {
        let validator = validator(event_type);
        for word in
            ["processing", "needs_info", "active", "expiring", "expired", "invalid", "pending", "fulfilled", "odd"]
        {
            let mut body = body(event_type);
            fields_mut(&mut body, place).insert("status".into(), json!(word));
            assert_eq!(validator.is_valid(&body), words.contains(&word), "{event_type} with {word}");
        }
    }
    let (validator, mut odd) = (validator(EventType::CertificateUpdated), body(EventType::CertificateUpdated));
    fields_mut(&mut odd, "/data/object").insert("status".into(), json!("a word of tomorrow"));
    assert!(validator.is_valid(&odd), "others are free");
}

#[test]
fn a_gap_may_last_or_be_over() {
    let (validator, mut body) = (validator(EventType::GatewayGap), body(EventType::GatewayGap));
    for (until, fits) in [(json!(null), true), (json!("2026-11-21T04:31:20.017Z"), true), (json!("soon"), false)] {
        fields_mut(&mut body, "/data").insert("until".into(), until);
        assert_eq!(validator.is_valid(&body), fits, "{body}");
    }
}

#[test]
fn an_example_of_which_any_part_is_of_another_sort_does_not_fit() {
    for_every_type(|event_type, validator, body| {
        for pointer in pointers(body) {
            for other in [json!({"not": "this"}), json!([{"not": "this"}]), json!(-1.5), json!(true), json!("nor this")]
            {
                let mut broken = body.clone();
                let part = broken.pointer_mut(&pointer).expect("a part of it");
                let is_same_sort = std::mem::discriminant(part) == std::mem::discriminant(&other);
                // What was null may be of one sort of its own.
                if is_same_sort && !part.is_number() || part.is_null() && !other.is_array() {
                    continue;
                }
                *part = other.clone();
                assert!(!validator.is_valid(&broken), "{event_type} with {other} at {pointer}");
            }
        }
    });
}

#[test]
fn an_example_that_lacks_what_is_always_there_does_not_fit() {
    for_every_type(|event_type, validator, body| {
        let holders = ["", "/data", "/detection"];
        let required = holders.iter().flat_map(|holder| {
            let names = body.pointer(holder).and_then(Value::as_object).expect("an object").keys();
            names.map(move |name| (*holder, name.as_str()))
        });
        for (holder, name) in
            required.chain([("/data/object", if body["data"]["object"].get("id").is_some() { "id" } else { "object" })])
        {
            let mut broken = body.clone();
            fields_mut(&mut broken, holder).shift_remove(name);
            assert!(!validator.is_valid(&broken), "{event_type} without {name} in {holder}");
        }
    });
}

#[test]
fn fields_that_nobody_knows_yet_are_welcome_anywhere() {
    for_every_type(|event_type, validator, body| {
        let mut extended = body.clone();
        let objects = pointers(body).into_iter().chain([String::new()]);
        for pointer in objects.filter(|pointer| body.pointer(pointer).is_some_and(Value::is_object)) {
            fields_mut(&mut extended, &pointer).insert("from_the_future".into(), json!([{"a": 1.5}]));
        }
        assert!(validator.is_valid(&extended), "{event_type}");
    });
}
