//! The `sandbox` room, through its door.

mod control;
mod failing;
mod vendor;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use certhook::clock::ManualClock;
use certhook::sandbox::Sandbox;
use certhook::sandbox::options::Options;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

const NOW: &str = "2026-11-21T04:31:20.017Z";

/// A sandbox whose clock stands still, and what a caller needs to talk to it.
struct Upstream {
    sandbox: Sandbox,
    router: Router,
}

/// What came back.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Upstream {
    fn new(options: Options) -> Self {
        let clock = ManualClock::at(NOW.parse().expect("an instant"));
        let sandbox = Sandbox::new(options, Arc::new(clock));
        Self { router: sandbox.router(), sandbox }
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.expect("a router does not fail");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Reply { status: parts.status, headers: parts.headers, body }
    }

    /// Calls the vendor's API as its pages say.
    async fn vendor(&self, method: &str, path: &str) -> Reply {
        self.send(vendor_request(method, path).body(Body::empty()).expect("a request")).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.vendor("GET", path).await
    }

    /// Gives an order that is to succeed.
    async fn order(&self, path: &str, body: Value) -> Value {
        let reply = self.control("POST", path, body).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.body);
        reply.body
    }

    async fn control(&self, method: &str, path: &str, body: Value) -> Reply {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path);
        self.send(request.body(body).expect("a request")).await
    }

    /// All rows of a list, page by page.
    async fn list(&self, path: &str, key: &str) -> Vec<Value> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}{joint}limit=100{cursor}")).await;
            assert_eq!(page.status, StatusCode::OK, "{}", page.body);
            rows.extend(page.body[key].as_array().expect("rows").iter().cloned());
            match page.body.get("next_cursor") {
                Some(next) => cursor = format!("&cursor={}", next.as_str().expect("text")),
                None => return rows,
            }
        }
    }

    /// A fresh certificate of that status: US-CA, one year from now.
    async fn certificate(&self, status: &str) -> String {
        let new = json!({"certificate_type_id": "12", "status": status});
        id_of(&self.order("/sandbox/certificates", new).await)
    }

    async fn request(&self) -> String {
        id_of(&self.order("/sandbox/requests", json!({"certificate_type_id": "US-CA-CDTFA-230"})).await)
    }
}

fn vendor_request(method: &str, path: &str) -> axum::http::request::Builder {
    let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:8091");
    request.header("authorization", "Bearer sk_prod_1").header("x-api-version", "2026-03-01")
}

fn id_of(object: &Value) -> String {
    object["id"].as_str().expect("an id").into()
}

fn ids_of(rows: &[Value]) -> Vec<String> {
    rows.iter().map(id_of).collect()
}
