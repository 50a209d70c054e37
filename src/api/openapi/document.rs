//! The whole document: what is said of each call, completed by what holds for every call.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::operation::{Answer, Body, JSON, Mounted, Operation, Parameter};
use super::words::form;
use super::{ErrorBody, examples, failures, webhooks};
use crate::api::commands::Catalogue;
use crate::model::json::Fields;

/// Where schemas that have a name are kept.
const SCHEMAS: &str = "/components/schemas";

const DESCRIPTION: &str = "certhook tells your systems what happened to tax-exemption certificates at a vendor whose \
    API can only be polled. It finds the changes itself, keeps them in a log, and delivers them as signed webhooks \
    (Standard Webhooks 1.0); their bodies are described under `webhooks`.\n\n\
    Send `Authorization: Bearer KEY`; each call says which scope the key needs, and `admin` opens all. Lists answer \
    `{\"object\": \"list\", \"data\": […], \"has_more\": …, \"next_cursor\": …}`: send `next_cursor` as `cursor` for \
    the next page. Fields may be added to answers at any time; unknown fields and parameters of requests are refused. \
    Every answer has an `x-request-id`, which the log knows it by.";

/// The groups of calls, in the order in which people read about them.
const GROUPS: [(&str, &str); 9] = [
    ("Endpoints", "Your subscribers: where events go, which ones, and how."),
    ("Events", "What happened, in the order in which it was observed."),
    ("Deliveries", "What was tried for whom, and how it went."),
    ("Replays", "Sending again what was sent, or what is there."),
    ("Resources", "Certificates and certificate requests as they were last seen."),
    ("Upstream", "Calls that are passed upstream while you wait."),
    ("Sources", "The accounts that are polled."),
    ("Access", "Who may use this API, and what was changed through it."),
    ("Gateway", "The gateway itself."),
];

/// The document about these calls.
pub(super) fn document(calls: &[Mounted], catalogue: &dyn Catalogue) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    generator.subschema_for::<ErrorBody>();
    let mut paths = Fields::new();
    for call in calls {
        let described = operation(call, &mut generator);
        let at = paths.entry(call.path).or_insert_with(|| json!({}));
        at[call.method] = described;
    }
    let mut schemas = generator.take_definitions(true);
    // Types of `model` know nothing of examples.
    for (name, example) in
        [("Attempt", examples::attempt()), ("Pass", examples::pass()), ("Source", examples::source())]
    {
        if let Some(schema) = schemas.get_mut(name) {
            schema["examples"] = json!([example]);
        }
    }
    schemas.extend(webhooks::definitions(catalogue));
    schemas.sort_keys();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "certhook", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This gateway."}],
        "tags": GROUPS.map(|(name, description)| json!({"name": name, "description": description})),
        "paths": paths,
        "webhooks": webhooks::webhooks(catalogue),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A key, with the scopes that it has."},
            },
            "parameters": webhooks::parameters(),
            "headers": {
                "RequestId": {
                    "description": "Names the request in the log: your own `x-request-id`, or one that was drawn.",
                    "required": true, "schema": {"type": "string"},
                },
            },
        },
        "x-errors": failures::table(),
    });
    give_examples(&mut document);
    document
}

fn operation(call: &Mounted, generator: &mut SchemaGenerator) -> Value {
    let operation = with_idempotency_key(call, (call.describe)());
    let mut description = operation.description.clone();
    if let Some(scope) = call.scope {
        description += &format!("\n\nNeeds the scope `{}`.", scope.as_str());
    }
    let security = match call.scope {
        Some(scope) => json!([{"key": [scope.as_str()]}]),
        None => json!([]),
    };
    let mut described = json!({
        "tags": [operation.group], "operationId": operation.id, "summary": operation.summary,
        "description": description, "security": security,
    });
    if !operation.parameters.is_empty() {
        described["parameters"] = operation.parameters.iter().map(parameter).collect();
    }
    if let Some((schema, example)) = &operation.body {
        let is_required = schema.get("required").is_some();
        described["requestBody"] =
            json!({"required": is_required, "content": {JSON: {"schema": schema, "example": example}}});
    }
    described["responses"] = json!(answers(call, &operation, generator));
    described
}

/// Every POST may carry one.
fn with_idempotency_key(call: &Mounted, operation: Operation) -> Operation {
    if !call.takes_idempotency_key() {
        return operation;
    }
    let description = "Drawn anew for each thing that is to be done: the same call with the same key, within 24 hours, \
        does nothing and is answered as the first time, with the header `idempotency-replayed`. That holds although \
        certhook is killed in between: what no answer was kept to was not done, or the call is refused because nobody can \
        tell (`IDEMPOTENCY_CONFLICT`).";
    operation.header("Idempotency-Key", form(description, "^[!-~]{1,255}$", "8e03978e-40d5-43e8-bc93-6894a57f9324"))
}

/// A parameter's description and example stand beside its schema.
fn parameter(parameter: &Parameter) -> Value {
    let mut schema = parameter.schema.clone();
    let mut told = json!({"name": parameter.name, "in": parameter.place, "required": parameter.required});
    if let Value::Object(schema) = &mut schema {
        if let Some(description) = schema.shift_remove("description") {
            told["description"] = description;
        }
        if let Some(Value::Array(mut examples)) = schema.shift_remove("examples") {
            told["example"] = examples.swap_remove(0);
        }
    }
    told["schema"] = schema;
    told
}

fn answers(call: &Mounted, operation: &Operation, generator: &mut SchemaGenerator) -> Fields {
    let mut answers = Fields::new();
    for Answer { status, description, content, headers } in &operation.answers {
        let mut answer = json!({"description": description});
        if !headers.is_empty() {
            let told = headers.iter().map(|(name, meaning)| {
                ((*name).to_owned(), json!({"description": meaning, "required": true, "schema": {"type": "string"}}))
            });
            answer["headers"] = Value::Object(told.collect());
        }
        if let Some((media_type, body)) = content {
            let content = match body {
                Body::Typed(schema) => json!({"schema": schema(generator)}),
                Body::Given(schema, example) => json!({"schema": schema, "example": example}),
            };
            answer["content"] = json!({ *media_type: content });
        }
        answers.insert(status.to_string(), answer);
    }
    answers.extend(failures::answers(call, operation));
    for answer in answers.values_mut() {
        answer["headers"]["X-Request-Id"] = json!({"$ref": "#/components/headers/RequestId"});
    }
    answers
}

/// Gives every answer that has none the example of its schema.
fn give_examples(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let Some(paths) = document["paths"].as_object_mut() else { return };
    let operations = paths.values_mut().filter_map(Value::as_object_mut).flat_map(|path| path.values_mut());
    for operation in operations {
        let Some(answers) = operation["responses"].as_object_mut() else { continue };
        let contents = answers.values_mut().filter_map(|answer| answer.pointer_mut("/content/application~1json"));
        for content in contents.filter_map(Value::as_object_mut) {
            if content.contains_key("example") || content.contains_key("examples") {
                continue;
            }
            if let Some(example) = content.get("schema").and_then(|schema| example(schema, &schemas)) {
                content.insert("example".into(), example);
            }
        }
    }
}

/// An example of a schema: its own, or put together from those of its fields.
pub(super) fn example(schema: &Value, schemas: &Value) -> Option<Value> {
    if let Some(example) = schema.pointer("/examples/0").or_else(|| schema.get("const")) {
        return Some(example.clone());
    }
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        return example(&schemas[name], schemas);
    }
    if let Some(parts) = schema.get("anyOf").and_then(Value::as_array) {
        return example(parts.first()?, schemas);
    }
    if let Some(items) = schema.get("items") {
        return Some(json!([example(items, schemas)?]));
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let required: Vec<&str> = schema["required"].as_array()?.iter().filter_map(Value::as_str).collect();
        let needed = properties.iter().filter(|(name, _)| required.contains(&name.as_str()));
        let fields: Option<Fields> =
            needed.map(|(name, field)| Some((name.clone(), example(field, schemas)?))).collect();
        return fields.map(Value::Object);
    }
    (schema.get("type")? == "boolean").then_some(Value::Bool(false))
}
