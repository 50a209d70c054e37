//! What is said of our API: an OpenAPI 3.1 document, and the same as a page for people.
//!
//! Invariants: a call that nothing is said of cannot be mounted, because [`Calls`] is the only way to mount one; the
//! shapes of answers are derived from the types that answers are made of; what a call takes is written here by hand,
//! with the limits that its reader checks, and tests hold the two against each other, and every answer that any test
//! gets against the document.
//!
//! To add a call: a function in the file of its resource says what it takes, answers and fails with, and the table in
//! `routes` names it beside the handler. What comes with every call (the key, its scope, errors of bodies) is added
//! here.
//!
//! In reading order: `operation` (what is said of a call), `words` (what schemas are written in), one file for each
//! resource, `failures` (errors), `examples`, `webhooks` (what subscribers get), `document` (all of it together),
//! `page` (the same for people).

pub(super) mod access;
pub(super) mod deliveries;
mod document;
pub(super) mod endpoints;
pub(super) mod events;
pub(super) mod examples;
mod failures;
pub(super) mod gateway;
mod operation;
mod page;
pub(super) mod replays;
pub(super) mod resources;
pub(super) mod sources;
mod webhooks;
mod words;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use axum::Extension;
use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

pub(super) use self::operation::Calls;
use self::operation::Mounted;
use super::commands::Catalogue;
use super::request::NoQuery;

/// The document and the page, made when they are first asked for.
pub(super) struct Reference {
    calls: Vec<Mounted>,
    catalogue: Arc<dyn Catalogue>,
    document: OnceLock<(Value, Bytes)>,
    page: OnceLock<Bytes>,
}

impl Reference {
    /// Of these calls, and of the events that the catalogue knows.
    pub(super) fn new(calls: Vec<Mounted>, catalogue: Arc<dyn Catalogue>) -> Self {
        Self { calls, catalogue, document: OnceLock::new(), page: OnceLock::new() }
    }

    fn document(&self) -> &(Value, Bytes) {
        self.document.get_or_init(|| {
            let document = document::document(&self.calls, &*self.catalogue);
            let text = Bytes::from(document.to_string());
            (document, text)
        })
    }

    fn page(&self) -> Bytes {
        self.page.get_or_init(|| page::page(&self.document().0).into()).clone()
    }
}

/// `GET /openapi.json`.
pub(super) async fn json(Extension(reference): Extension<Arc<Reference>>, _: NoQuery) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], reference.document().1.clone())
}

/// `GET /docs`: a page without scripts, and with nothing from elsewhere.
pub(super) async fn docs(Extension(reference): Extension<Arc<Reference>>, _: NoQuery) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, page::POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, reference.page())
}

/// Stands for a body that is put together elsewhere, under the name that the document has for it.
macro_rules! body_of {
    ($(#[$doc:meta])* $name:ident, $component:literal, $schema:expr) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $component.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema.try_into().unwrap_or_else(|_| json_schema!({}))
            }
        }
    };
}

body_of!(
    /// An error.
    ErrorBody, "Error", failures::schema()
);
body_of!(
    /// An event, as subscribers get it.
    EventBody, "Event", events::event()
);
body_of!(
    /// A certificate.
    CertificateBody, "Certificate", resources::certificate_body()
);
body_of!(
    /// A certificate request.
    RequestBody, "CertificateRequest", resources::request_body()
);
