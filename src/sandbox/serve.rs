//! The shell around the vendor's API: reads a call, asks for the answer, lets it go wrong if it is to, sends it.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use url::form_urlencoded;

use super::faults::{Break, Instead, PageShape};
use super::numeral::error::VendorError;
use super::numeral::{self, Answer, Call};
use super::wire::http_date;
use super::world::World;
use super::{Sandbox, Shared};
use crate::model::time::Timestamp;

/// The largest body of a call that is read; the vendor's calls have a few hundred bytes.
const BODY_MAX: usize = 64 * 1024;

/// What a proxy in front of the vendor might say.
const HTML: &str = "<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n";

/// An answer, ready to be sent.
#[derive(Debug)]
struct Outgoing {
    status: u16,
    content_type: &'static str,
    retry_after: Option<String>,
    body: Vec<u8>,
    broken: Option<Break>,
    /// What the `Date` header shows.
    date: Timestamp,
}

/// Answers every call that is none of the controls.
pub async fn vendor(State(sandbox): State<Sandbox>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_MAX).await else {
        let error = VendorError::new(413, "PAYLOAD_TOO_LARGE", format!("the body may have {BODY_MAX} bytes"));
        return respond(json_answer(Answer { status: error.status, body: error.body(None) }, sandbox.now()));
    };
    let call = Call {
        path: parts.uri.path().into(),
        query: parts.uri.query().unwrap_or_default().into(),
        authorization: text(&parts.headers, header::AUTHORIZATION.as_str()),
        version: text(&parts.headers, "x-api-version"),
        host: text(&parts.headers, header::HOST.as_str()),
        method: parts.method,
        body,
    };
    if let Some(delay) = sandbox.shared.arrive(&call) {
        tokio::time::sleep(delay).await;
    }
    respond(sandbox.shared.answer(&call))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

impl Shared {
    fn arrive(&self, call: &Call) -> Option<Duration> {
        let World { faults, dice, .. } = &mut *self.world();
        faults.wait(call.target(), dice)
    }

    fn answer(&self, call: &Call) -> Outgoing {
        let mut world = self.world();
        let now = world.settle(self.clock.now());
        let World { faults, dice, .. } = &mut *world;
        let mut outgoing = match faults.instead(call.target(), dice) {
            Some(instead) => refuse(instead, call, now),
            None => {
                let mut answer = numeral::answer(&mut world, call, now);
                spoil_page(&mut world, call, &mut answer);
                json_answer(answer, now)
            }
        };
        let World { faults, dice, modes, calls, .. } = &mut *world;
        outgoing.broken = faults.breaking(call.target(), dice);
        let skew_ms = modes.clock_skew_seconds.saturating_mul(1000);
        outgoing.date = Timestamp::from_millis(now.as_millis().saturating_add(skew_ms));
        calls.record(call, outgoing.status, now);
        outgoing
    }
}

fn refuse(instead: Instead, call: &Call, now: Timestamp) -> Outgoing {
    match instead {
        Instead::Html { status } => Outgoing {
            status,
            content_type: "text/html; charset=utf-8",
            retry_after: None,
            body: HTML.into(),
            broken: None,
            date: now,
        },
        Instead::Error { status, retry_after } => {
            let (kind, message) = match status {
                429 => ("RATE_LIMIT_EXCEEDED", "too many requests"),
                500.. => ("INTERNAL_SERVER_ERROR", "the sandbox was told to fail"),
                0..500 => ("INVALID_REQUEST", "the sandbox was told to refuse this"),
            };
            let body = VendorError::new(status, kind, message).body(call.version.as_deref());
            Outgoing { retry_after, ..json_answer(Answer { status, body }, now) }
        }
    }
}

fn spoil_page(world: &mut World, call: &Call, answer: &mut Answer) {
    let has_rows = |rows: &Value| rows.as_array().map(|rows| !rows.is_empty());
    let Some(has_rows) = answer.body.as_object().and_then(|page| page.values().find_map(has_rows)) else { return };
    // The answers by id have arrays too, but no `has_more`.
    let Some(has_more) = answer.body["has_more"].as_bool() else { return };
    let mut pairs = form_urlencoded::parse(call.query.as_bytes());
    let cursor = pairs.find(|(name, _)| name == "cursor").map(|(_, value)| value.into_owned());
    let page = PageShape { has_rows, has_more, has_cursor: cursor.is_some() };
    let World { faults, dice, .. } = world;
    if let Some(spoiling) = faults.spoiling(call.target(), page, dice) {
        spoiling.spoil(&mut answer.body, cursor.as_deref());
    }
}

fn json_answer(answer: Answer, date: Timestamp) -> Outgoing {
    Outgoing {
        status: answer.status,
        content_type: "application/json",
        retry_after: None,
        body: answer.body.to_string().into_bytes(),
        broken: None,
        date,
    }
}

fn respond(outgoing: Outgoing) -> Response {
    let length = outgoing.body.len();
    let body = match outgoing.broken {
        None => Body::from(outgoing.body),
        Some(Break::Before) => broken(Vec::new()),
        Some(Break::Within) => broken(outgoing.body[..length / 2].to_vec()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(outgoing.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(outgoing.content_type));
    // Said even when less will come: that is what makes the loss visible to the caller.
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let texts = [(header::DATE, Some(http_date(outgoing.date))), (header::RETRY_AFTER, outgoing.retry_after)];
    for (name, value) in texts {
        if let Some(value) = value.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(name, value);
        }
    }
    response
}

/// A body that breaks off after its beginning, which makes the server close the connection. With an empty beginning
/// it does so before it has sent anything, even the head.
fn broken(beginning: Vec<u8>) -> Body {
    let aborted = || io::Error::new(io::ErrorKind::ConnectionAborted, "the sandbox was told to break the connection");
    if beginning.is_empty() {
        return Body::from_stream(stream::once(async move { Err::<Bytes, _>(aborted()) }));
    }
    let rest = stream::once(async move {
        // One turn for the server to send what it has got, before the error makes it drop that.
        tokio::task::yield_now().await;
        Err(aborted())
    });
    Body::from_stream(stream::once(async { Ok(Bytes::from(beginning)) }).chain(rest))
}
