//! The gateway itself.

use serde_json::json;

use super::operation::{Body, JSON, Operation};
use crate::api::error::ErrorKind;
use crate::api::health::Standing;

const GROUP: &str = "Gateway";

/// `GET /healthz`.
pub(in crate::api) fn alive() -> Operation {
    Operation::new(
        GROUP,
        "getLiveness",
        "Tell whether the process is alive",
        "Says nothing about the store or the sources.",
    )
    .answers::<Standing>(200, "It is.")
}

/// `GET /readyz`.
pub(in crate::api) fn ready() -> Operation {
    let description = "The store can be read and written. Says nothing about sources.";
    Operation::new(GROUP, "getReadiness", "Tell whether the gateway can work", description)
        .answers::<Standing>(200, "It can.")
        .fails(&[ErrorKind::StoreUnavailable])
}

/// `GET /openapi.json`.
pub(in crate::api) fn json() -> Operation {
    let schema = json!({"type": "object", "required": ["openapi", "info", "paths"]});
    let example = json!({"openapi": "3.1.0", "info": {"title": "certhook", "version": "0.1.0"}, "paths": {}});
    Operation::new(GROUP, "getOpenApi", "Get this document", "An OpenAPI 3.1 document, made from the running program.")
        .answers_with(200, "The document.", JSON, Body::Given(schema, example))
}

/// `GET /docs`.
pub(in crate::api) fn docs() -> Operation {
    let description = "The same as a page for people. It needs no script, and nothing from elsewhere.";
    Operation::new(GROUP, "getDocs", "Read this document", description)
        .answers_with(200, "The page.", "text/html", Body::Given(json!({"type": "string"}), json!("<!doctype html>…")))
        .with_headers(&[("Content-Security-Policy", "What the page may do: hardly anything.")])
}

/// `GET /metrics`.
pub(in crate::api) fn metrics() -> Operation {
    let description = "For Prometheus. Needs no key where the configuration says so (`server.metrics_public`).";
    let example = json!("# TYPE certhook_events_total counter\ncerthook_events_total{mode=\"live\"} 12\n");
    Operation::new(GROUP, "getMetrics", "Get what is measured", description).answers_with(
        200,
        "The metrics.",
        "application/openmetrics-text",
        Body::Given(json!({"type": "string"}), example),
    )
}

/// `GET /v1/backup`.
pub(in crate::api) fn backup() -> Operation {
    let description = "Everything that the store holds, as of one moment, while it goes on. Secrets stay sealed: to \
        restore it (`certhook restore`), the store's key is needed too. An answer that breaks off is no backup.";
    let schema = json!({"type": "string", "contentMediaType": "application/octet-stream"});
    Operation::new(GROUP, "getBackup", "Make a backup", description)
        .answers_with(200, "The backup.", "application/octet-stream", Body::Given(schema, json!("certhook backup…")))
        .with_headers(&[
            ("Content-Disposition", "A name for the file."),
            ("Cache-Control", "`no-store`: the answer is not to be kept by anybody between us."),
        ])
        .fails(&[ErrorKind::BackupUnderWay])
}
