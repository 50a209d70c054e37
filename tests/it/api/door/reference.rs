//! The document of the API, and every answer that passes the door held against it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use jsonschema::Validator;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::Answer;
use crate::support::schemas::{problems, validator};

/// The document, and the validators that were made from it.
pub(in crate::api) struct Reference {
    pub(in crate::api) document: Value,
    /// The document with the schemas of our own values closed: a field that is not described is wrong.
    closed: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

static REFERENCE: OnceLock<Reference> = OnceLock::new();

/// What a router says of itself, which is the same for all of them.
pub(in crate::api) async fn reference(router: &Router) -> &'static Reference {
    if let Some(reference) = REFERENCE.get() {
        return reference;
    }
    let request = Request::builder().uri("/openapi.json").body(Body::empty()).unwrap();
    let answer = router.clone().oneshot(request).await.unwrap();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    let document: Value = serde_json::from_slice(&bytes).unwrap();
    REFERENCE.get_or_init(|| {
        let mut closed = document.clone();
        for (name, schema) in closed["components"]["schemas"].as_object_mut().unwrap() {
            if !name.starts_with("Vendor_") && name != "EventEnvelope" {
                close(schema);
            }
        }
        Reference { document, closed, validators: Mutex::default() }
    })
}

/// Lets objects have no other fields than those that are described. What is put together by `allOf` is left as it is.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".into(), json!(false));
            }
            fields.iter_mut().filter(|(name, _)| *name != "allOf").for_each(|(_, inner)| close(inner));
        }
        Value::Array(entries) => entries.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Reference {
    /// Method, path and description of every call.
    pub(in crate::api) fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.document["paths"].as_object().unwrap();
        paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            methods.iter().map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
        })
    }

    /// The part of the document, the path or event type, the method and the description of whatever is called.
    pub(in crate::api) fn everything(&self) -> impl Iterator<Item = (&str, &str, &str, &Value)> {
        ["paths", "webhooks"].into_iter().flat_map(|part| {
            let described = self.document[part].as_object().unwrap();
            described.iter().flat_map(move |(path, methods)| {
                let methods = methods.as_object().unwrap();
                methods.iter().map(move |(method, operation)| (part, path.as_str(), method.as_str(), operation))
            })
        })
    }

    /// The path of the document that a request's path fits, and what is said of the method there.
    fn find(&self, method: &str, path: &str) -> Option<(&str, Option<&Value>)> {
        let fits = |template: &str| {
            let (mut known, mut given) = (template.split('/'), path.split('/'));
            known.by_ref().zip(given.by_ref()).all(|(known, given)| known == given || known.starts_with('{'))
                && template.split('/').count() == path.split('/').count()
        };
        let paths = self.document["paths"].as_object().unwrap();
        // A path without variables comes first.
        let mut fitting: Vec<_> = paths.iter().filter(|(template, _)| fits(template)).collect();
        fitting.sort_by_key(|(template, _)| template.matches('{').count());
        let (template, methods) = fitting.first()?;
        Some((template.as_str(), methods.get(method)))
    }

    /// The validator of a schema, by its place in the document.
    fn validator(&self, pointer: String) -> Arc<Validator> {
        let mut validators = self.validators.lock().unwrap();
        let made = validators.entry(pointer).or_insert_with_key(|pointer| {
            let mut schema = self.closed.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}")).clone();
            schema["components"] = self.closed["components"].clone();
            Arc::new(validator(&schema))
        });
        Arc::clone(made)
    }

    /// What is wrong with a value, by a schema at that place of the document.
    pub(in crate::api) fn problems(&self, pointer: String, value: &Value) -> Vec<String> {
        problems(&self.validator(pointer), value)
    }

    /// Asserts that an answer is one that the document describes.
    pub(super) fn assert_described(&self, method: &str, path: &str, answer: &Answer) {
        let line = format!("{method} {path}: {}", answer.status);
        let method = if method == "HEAD" { "get" } else { &method.to_ascii_lowercase() };
        let Some((template, Some(operation))) = self.find(method, path) else {
            // A call that does not exist.
            assert!(matches!(answer.status.as_u16(), 401 | 404 | 405), "{line}: no such call is described");
            return self.assert_error(&line, answer);
        };
        let status = answer.status.as_str();
        let told = if operation["responses"].get(status).is_some() { status } else { "default" };
        let Some(described) = operation["responses"].get(told) else { panic!("{line}: the status is not described") };
        for (name, header) in described["headers"].as_object().into_iter().flatten() {
            let is_required = header["required"] == true || header.get("$ref").is_some();
            assert!(!is_required || answer.headers.contains_key(name), "{line}: the header {name} is missing");
        }
        let Some(content) = described.get("content").and_then(Value::as_object) else {
            assert!(answer.text.is_empty(), "{line}: no body is described");
            return;
        };
        let media_type = answer.header("content-type").split(';').next().unwrap_or_default().trim();
        assert!(content.contains_key(media_type), "{line}: {media_type:?} is not described");
        if media_type == "application/json" && !answer.text.is_empty() {
            let pointer = format!(
                "/paths/{}/{method}/responses/{told}/content/application~1json/schema",
                template.replace('/', "~1"),
            );
            let wrong = self.problems(pointer, &answer.json());
            assert!(wrong.is_empty(), "{line}: {wrong:#?} of {}", answer.text);
        }
    }

    fn assert_error(&self, line: &str, answer: &Answer) {
        if !answer.text.is_empty() {
            let wrong = self.problems("/components/schemas/Error".into(), &answer.json());
            assert!(wrong.is_empty(), "{line}: {wrong:#?}");
        }
    }
}
