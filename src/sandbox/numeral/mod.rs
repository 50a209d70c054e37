//! The vendor's API, page for page: a function of the world, a call and the time.
//!
//! Where its pages leave something open, [`Modes`](super::options::Modes) decide. Where they say nothing at all, the
//! sandbox does the plain thing: a trigger is answered with 201 and takes `certificate_type_id` and `jurisdictions`;
//! a call without `X-API-Version` is served, with errors in the old form; a version that was never published is
//! refused.
//!
//! In reading order: [`error`], [`query`], [`document`], and the routes below.

use axum::body::Bytes;
use axum::http::Method;
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::error::{VERSIONS, VendorError};
use self::query::ListQuery;
use super::book::command::{Command, NewRequest, Refusal, RequestAction};
use super::book::object::{Listed, RequestStatus};
use super::book::shelf::{BadCursor, Page, PageWanted};
use super::faults::Target;
use super::wire::Writer;
use super::world::World;
use crate::model::time::Timestamp;

pub mod document;
pub mod error;
pub mod query;

/// How keys for the vendor's test mode begin, in which certificates do not exist.
const TEST_KEY: &str = "sk_test_";

/// A call, as far as the vendor looks at it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The HTTP method.
    pub method: Method,
    /// The path, as sent.
    pub path: String,
    /// The query, as sent, without the question mark.
    pub query: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `X-API-Version` header.
    pub version: Option<String>,
    /// The `Host` header.
    pub host: Option<String>,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// What orders to fail look at.
    pub fn target(&self) -> Target<'_> {
        Target { method: &self.method, path: &self.path }
    }
}

/// What a call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET /tax/ping`
    Ping,
    /// `GET /tax/certificates`
    ListCertificates,
    /// `GET /tax/certificates/{id}`
    Certificate(String),
    /// `GET /tax/certificate-requests`
    ListRequests,
    /// `GET /tax/certificate-requests/{id}`
    Request(String),
    /// `DELETE /tax/certificate-requests/{id}`
    Cancel(String),
    /// `POST /tax/customers/{customer_id}/certificate-requests`
    Trigger(String),
}

impl Route {
    /// The route of a method and path.
    ///
    /// # Errors
    /// There is none.
    pub fn of(method: &Method, path: &str) -> Result<Self, VendorError> {
        let segments: Vec<_> = path
            .split('/')
            .skip(1)
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let segments: Vec<_> = segments.iter().map(String::as_str).collect();
        let route = match (method.as_str(), segments.as_slice()) {
            ("GET", ["tax", "ping"]) => Self::Ping,
            ("GET", ["tax", "certificates"]) => Self::ListCertificates,
            ("GET", ["tax", "certificates", id]) => Self::Certificate((*id).into()),
            ("GET", ["tax", "certificate-requests"]) => Self::ListRequests,
            ("GET", ["tax", "certificate-requests", id]) => Self::Request((*id).into()),
            ("DELETE", ["tax", "certificate-requests", id]) => Self::Cancel((*id).into()),
            ("POST", ["tax", "customers", id, "certificate-requests"]) => Self::Trigger((*id).into()),
            _ => return Err(VendorError::new(404, "NOT_FOUND", format!("there is no {method} {path}"))),
        };
        Ok(route)
    }

    /// The path with the names of its variables.
    pub const fn template(&self) -> &'static str {
        match self {
            Self::Ping => "/tax/ping",
            Self::ListCertificates => "/tax/certificates",
            Self::Certificate(_) => "/tax/certificates/{id}",
            Self::ListRequests => "/tax/certificate-requests",
            Self::Request(_) | Self::Cancel(_) => "/tax/certificate-requests/{id}",
            Self::Trigger(_) => "/tax/customers/{customer_id}/certificate-requests",
        }
    }
}

/// What the vendor answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body.
    pub body: Value,
}

/// Answers a call.
pub fn answer(world: &mut World, call: &Call, now: Timestamp) -> Answer {
    decide(world, call, now)
        .unwrap_or_else(|error| Answer { status: error.status, body: error.body(call.version.as_deref()) })
}

fn decide(world: &mut World, call: &Call, now: Timestamp) -> Result<Answer, VendorError> {
    let key = bearer(call)?;
    let route = Route::of(&call.method, &call.path)?;
    if key.starts_with(TEST_KEY) {
        if route != Route::Ping {
            let message = "certificate endpoints are live-only: use a live key";
            return Err(VendorError::new(403, "TESTMODE_NOT_SUPPORTED", message));
        }
    } else if world.api_key.as_ref().is_some_and(|accepted| accepted.expose_secret() != key) {
        return Err(unauthorized("the API key is not valid"));
    }
    if let Some(version) = &call.version
        && !VERSIONS.contains(&version.as_str())
    {
        return Err(VendorError::invalid(format!("X-API-Version: must be one of {}", VERSIONS.join(", "))));
    }
    match route {
        Route::ListCertificates => list_certificates(world, call),
        Route::ListRequests => list_requests(world, call),
        Route::Ping => ping(world, call, key, now),
        Route::Certificate(id) => certificate(world, call, &id, now),
        Route::Request(id) => {
            query::none(&call.query)?;
            request(world, &id).map(|body| Answer { status: 200, body })
        }
        Route::Cancel(id) => cancel(world, call, &id, now),
        Route::Trigger(customer_id) => trigger(world, call, customer_id, now),
    }
}

fn unauthorized(message: &str) -> VendorError {
    VendorError::new(401, "UNAUTHORIZED", message)
}

fn bearer(call: &Call) -> Result<&str, VendorError> {
    let header = call.authorization.as_deref().ok_or_else(|| unauthorized("the Authorization header is missing"))?;
    let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = token.map(|(_, token)| token.trim()).filter(|token| !token.is_empty());
    token.ok_or_else(|| unauthorized("the Authorization header must be: Bearer <token>"))
}

fn ping(world: &World, call: &Call, key: &str, now: Timestamp) -> Result<Answer, VendorError> {
    query::none(&call.query)?;
    let body = json!({
        "status": "ok",
        "env": if key.starts_with(TEST_KEY) { "test" } else { "prod" },
        "timestamp": Writer { modes: &world.modes }.instant(now),
        "api_version": call.version.as_deref().unwrap_or(VERSIONS[0]),
    });
    Ok(Answer { status: 200, body })
}

fn list_certificates(world: &World, call: &Call) -> Result<Answer, VendorError> {
    let wanted = query::certificate_list(&call.query)?;
    let (writer, bounds) = (Writer { modes: &world.modes }, world.modes.time_bounds);
    let means = |certificate: &_| wanted.filter.matches_certificate(certificate, bounds);
    let page = world.book.certificates().page(page_wanted(world, &wanted), means);
    list("certificates", page, |certificate| writer.certificate_row(certificate))
}

fn list_requests(world: &World, call: &Call) -> Result<Answer, VendorError> {
    let wanted = query::request_list(&call.query)?;
    let (writer, bounds) = (Writer { modes: &world.modes }, world.modes.time_bounds);
    let means = |request: &_| wanted.filter.matches_request(request, bounds);
    let page = world.book.requests().page(page_wanted(world, &wanted), means);
    list("certificate_requests", page, |request| writer.request_row(request))
}

fn page_wanted<'a>(world: &World, wanted: &'a ListQuery) -> PageWanted<'a> {
    PageWanted {
        cursor: wanted.cursor.as_deref(),
        limit: wanted.limit,
        order: world.modes.order,
        lost_cursor: world.modes.lost_cursor,
    }
}

fn list<T: Listed>(
    key: &str,
    page: Result<Page<'_, T>, BadCursor>,
    write: impl Fn(&T) -> Map<String, Value>,
) -> Result<Answer, VendorError> {
    let page = page.map_err(|BadCursor| VendorError::invalid("cursor: is not valid"))?;
    let rows: Vec<Value> = page.rows.iter().map(|object| Value::Object(write(object))).collect();
    let mut body = json!({ "object": "list", key: rows, "has_more": page.has_more });
    // The vendor leaves next_cursor out at the end, instead of writing null.
    if let Some(last) = page.rows.last().filter(|_| page.has_more) {
        body["next_cursor"] = last.id().into();
    }
    Ok(Answer { status: 200, body })
}

fn certificate(world: &mut World, call: &Call, id: &str, now: Timestamp) -> Result<Answer, VendorError> {
    query::none(&call.query)?;
    let nonce = world.dice.number();
    let by_id = world.modes.archived_by_id;
    let shown = world.book.certificate(id).filter(|certificate| by_id || certificate.is_listed());
    let certificate = shown
        .ok_or_else(|| VendorError::new(404, "CERTIFICATE_NOT_FOUND", format!("there is no certificate {id:?}")))?;
    let host = call.host.as_deref().unwrap_or("sandbox.invalid");
    let url = certificate.has_document.then(|| document::mint(host, id, world.secret, nonce, now));
    let body = Writer { modes: &world.modes }.certificate_by_id(certificate, url);
    Ok(Answer { status: 200, body: Value::Object(body) })
}

fn request(world: &World, id: &str) -> Result<Value, VendorError> {
    let request = world.book.request(id).ok_or_else(|| no_request(id))?;
    Ok(Value::Object(Writer { modes: &world.modes }.request_by_id(request)))
}

fn no_request(id: &str) -> VendorError {
    VendorError::new(404, "CERTIFICATE_REQUEST_NOT_FOUND", format!("there is no certificate request {id:?}"))
}

fn cancel(world: &mut World, call: &Call, id: &str, now: Timestamp) -> Result<Answer, VendorError> {
    query::none(&call.query)?;
    match world.book.request(id).ok_or_else(|| no_request(id))?.status {
        RequestStatus::Fulfilled => {
            return Err(VendorError::new(409, "REQUEST_ALREADY_FULFILLED", "cannot cancel a fulfilled request"));
        }
        RequestStatus::Invalid => {
            return Err(VendorError::new(
                409,
                "REQUEST_INVALID",
                "cannot cancel a request in a terminal invalid state",
            ));
        }
        RequestStatus::Pending | RequestStatus::Canceled => {}
    }
    let command = Command::Request(id.into(), RequestAction::Cancel);
    world.book.apply(command, now).map_err(|refusal| VendorError::invalid(refusal.to_string()))?;
    request(world, id).map(|body| Answer { status: 200, body })
}

/// The body of a trigger. The vendor has not published it; these are the fields that a request shows.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TriggerBody {
    certificate_type_id: Option<String>,
    jurisdictions: Option<Vec<String>>,
}

fn trigger(world: &mut World, call: &Call, customer_id: String, now: Timestamp) -> Result<Answer, VendorError> {
    query::none(&call.query)?;
    let bytes: &[u8] = if call.body.is_empty() { b"{}" } else { &call.body };
    let body: TriggerBody = serde_json::from_slice(bytes).map_err(|error| {
        let text = error.to_string();
        let kind = if text.starts_with("unknown field") { "UNRECOGNIZED_FIELD" } else { "INVALID_REQUEST" };
        VendorError::new(400, kind, text)
    })?;
    let new = NewRequest {
        customer_id: Some(customer_id),
        certificate_type_id: body.certificate_type_id,
        jurisdictions: body.jurisdictions,
        ..NewRequest::default()
    };
    match world.book.open_request(new, now) {
        Ok(id) => request(world, &id).map(|body| Answer { status: 201, body }),
        Err(refusal @ Refusal::NotFound { .. }) => {
            Err(VendorError::new(404, "CUSTOMER_NOT_FOUND", refusal.to_string()))
        }
        Err(refusal @ (Refusal::WrongState { .. } | Refusal::NothingSuitable { .. } | Refusal::Invalid { .. })) => {
            Err(VendorError::invalid(refusal.to_string()))
        }
    }
}
