//! What holds for every call.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use certhook::store::StoreError;
use futures_util::stream::{self, StreamExt};
use hyper::body::{Frame, SizeHint};

use super::door::{Door, KEY, reference};
use super::openapi::filled;
use crate::support::memory::Memory;

/// Every route below `/v1` with every method that it has, and something in the place of each variable.
async fn calls(door: &Door) -> Vec<String> {
    let operations = reference(&door.router).await.operations().filter(|(_, path, _)| path.starts_with("/v1/"));
    let calls: Vec<_> =
        operations.map(|(method, path, _)| format!("{} {}", method.to_uppercase(), filled(path))).collect();
    assert!(calls.len() > 40, "only {}", calls.len());
    calls
}

fn request(line: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let (method, path) = line.split_once(' ').unwrap();
    let begun = Request::builder().method(method).uri(path);
    headers.iter().fold(begun, |request, (name, value)| request.header(*name, *value)).body(body.into()).unwrap()
}

fn bearer() -> String {
    format!("Bearer {KEY}")
}

#[tokio::test]
async fn nothing_is_done_without_a_key() {
    let door = Door::open().await;
    for line in &calls(&door).await {
        let answer = door.send(request(line, &[], "")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{line}");
        assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="certhook""#, "{line}");
        let answer = door.send(request(line, &[("authorization", "Bearer wrong")], "")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{line}");
        assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="certhook", error="invalid_token""#, "{line}");
    }
    for line in ["GET /healthz", "GET /readyz"] {
        assert_eq!(door.send(request(line, &[], "")).await.status, StatusCode::OK, "{line}");
    }
}

#[tokio::test]
async fn the_scheme_of_a_key_is_read_in_any_case() {
    let door = Door::open().await;
    let answer = door.send(request("GET /v1/endpoints", &[("authorization", &format!("bearer {KEY}"))], "")).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn no_call_overlooks_an_unknown_query_parameter() {
    let door = Door::open().await;
    for line in calls(&door).await {
        let answer = door.call(&format!("{line}?colour=red"), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{line}");
        assert_eq!(answer.json()["type"], "UNRECOGNIZED_FIELD", "{line}");
    }
}

#[tokio::test]
async fn no_call_overlooks_an_unknown_field() {
    let door = Door::open().await;
    door.json("PUT /v1/endpoints/crm", r#"{"url":"https://crm.example/"}"#).await;
    // What is passed upstream as it is, is for upstream to refuse.
    let passed_on = |line: &String| line.contains("/v1/customers/");
    for line in calls(&door).await.iter().filter(|line| !line.starts_with("GET") && !line.starts_with("DELETE")) {
        let answer = door.call(line, r#"{"colour":"red"}"#).await;
        if passed_on(line) {
            assert_eq!(answer.json()["type"], "SOURCE_AMBIGUOUS", "{line}");
            continue;
        }
        assert_eq!(answer.json()["type"], "UNRECOGNIZED_FIELD", "{line}");
    }
}

#[tokio::test]
async fn a_refused_method_names_those_that_are_there() {
    let door = Door::open().await;
    let allowed = |line: &'static str| {
        let door = &door;
        async move { door.call(line, "").await.header("allow").to_owned() }
    };
    assert_eq!(allowed("DELETE /v1/endpoints").await, "GET,HEAD,POST");
    assert_eq!(allowed("POST /v1/endpoints/crm").await, "GET,HEAD,PUT,PATCH,DELETE");
    assert_eq!(allowed("GET /v1/endpoints/crm/test").await, "POST");
    assert_eq!(allowed("POST /readyz").await, "GET,HEAD");
}

#[tokio::test]
async fn a_body_is_read_up_to_256_kib_announced_or_not() {
    let door = Door::open().await;
    let refusal = r#"{"code":413,"type":"BODY_TOO_LARGE","message":"the body has more than 262144 bytes"}"#;
    let headers = [("authorization", &*bearer()), ("content-type", "application/json")];
    let body = |length: usize| format!("{{{}}}", " ".repeat(length - 2));
    let at_limit = door.send(request("POST /v1/endpoints/crm/test", &headers, body(256 * 1024))).await;
    assert_eq!(at_limit.json()["type"], "ENDPOINT_NOT_FOUND");
    let over = door.send(request("POST /v1/endpoints/crm/test", &headers, body(256 * 1024 + 1))).await;
    assert_eq!((over.status, &*over.text), (StatusCode::PAYLOAD_TOO_LARGE, refusal));
    let pieces = (0..5).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 64 * 1024])));
    let streamed = request("POST /v1/endpoints", &headers, Body::from_stream(stream::iter(pieces)));
    assert_eq!(door.send(streamed).await.text, refusal);
}

fn incomplete(why: &str) -> String {
    let errors = format!(r#"[{{"field":"body","message":"{why}"}}]"#);
    format!(r#"{{"code":400,"type":"BODY_INCOMPLETE","message":"body: {why}","errors":{errors}}}"#)
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told_from_a_bad_one() {
    let door = Door::open().await;
    let pieces = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))];
    let headers = [("authorization", &*bearer()), ("content-type", "application/json")];
    let answer = door.send(request("POST /v1/endpoints", &headers, Body::from_stream(stream::iter(pieces)))).await;
    assert_eq!(answer.text, incomplete("broke off"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let door = Door::open().await;
    let half = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"{")) });
    let body = Body::from_stream(half.chain(stream::pending()));
    let headers = [("authorization", &*bearer()), ("content-type", "application/json")];
    let answer = door.send(request("POST /v1/endpoints", &headers, body)).await;
    assert_eq!(answer.text, incomplete("was not there within 10 s"));
}

#[tokio::test]
async fn json_is_json_by_any_of_its_names_and_without_one() {
    let door = Door::open().await;
    let body = r#"{"url":"https://crm.example/"}"#;
    let post = |content_type: Option<&str>| {
        let authorization = bearer();
        let mut headers = vec![("authorization", &*authorization)];
        headers.extend(content_type.map(|value| ("content-type", value)));
        request("POST /v1/endpoints", &headers, body)
    };
    for name in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
        assert_eq!(door.send(post(Some(name))).await.status, StatusCode::CREATED, "{name}");
    }
    assert_eq!(door.send(post(None)).await.status, StatusCode::CREATED);
    for name in ["text/plain", "application/jsonp", "json", "text/x+json"] {
        assert_eq!(door.send(post(Some(name))).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{name}");
    }
    // Without a body there is nothing whose type could be wrong.
    let form = [("authorization", &*bearer()), ("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(door.send(request("POST /v1/sources/numeral/poll", &form, "")).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn every_answer_carries_the_id_of_its_request() {
    let door = Door::open().await;
    let id = |line: &'static str, given: &'static str| {
        let door = &door;
        async move { door.send(request(line, &[("x-request-id", given)], "")).await.header("x-request-id").to_owned() }
    };
    assert_eq!(id("GET /healthz", "order-7/try.2").await, "order-7/try.2");
    assert_eq!(id("GET /nowhere", "a").await, "a");
    for insane in ["", "two words", "semi;colon", "\"quoted\""] {
        let drawn = id("GET /v1/endpoints", insane).await;
        assert!(drawn.starts_with("req_") && drawn.len() == 26, "{insane:?}: {drawn}");
    }
    assert_ne!(id("GET /healthz", "").await, id("GET /healthz", "").await);
}

#[tokio::test]
async fn a_panic_is_an_error_like_any_other_and_tells_nothing() {
    let door = Door::open().await;
    let answer = door.call("POST /v1/sources/broken/poll", "").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.json()["type"], "INTERNAL_ERROR");
    assert!(!answer.text.contains("secret inside"), "{}", answer.text);
    assert!(answer.header("x-request-id").starts_with("req_"));
    assert_eq!(door.call("GET /healthz", "").await.status, StatusCode::OK, "and the next call is answered");
}

#[tokio::test]
async fn a_store_that_fails_is_reported_without_its_insides() {
    let unreadable: fn() -> StoreError =
        || StoreError::Unreadable { what: "an endpoint", reason: "/var/lib/inside".into() };
    let closed: fn() -> StoreError = || StoreError::Closed;
    for (error, code, word) in [(unreadable, 500, "INTERNAL_ERROR"), (closed, 503, "STORE_UNAVAILABLE")] {
        let store = Arc::new(Memory::new());
        let door = Door::over(Arc::clone(&store) as _);
        store.fail_with(error);
        for line in ["GET /v1/endpoints", "GET /v1/deliveries", "GET /v1/events/evt_0000000000000000000001"] {
            let answer = door.call(line, "").await;
            assert_eq!((answer.status.as_u16(), answer.json()["type"].as_str()), (code, Some(word)), "{line}");
            assert!(!answer.text.contains("inside"), "{}", answer.text);
        }
        let ready = door.call("GET /readyz", "").await;
        assert_eq!((ready.status.as_u16(), ready.json()["type"].as_str()), (503, Some("STORE_UNAVAILABLE")));
        assert_eq!(door.call("GET /healthz", "").await.text, r#"{"status":"ok"}"#, "the process is alive all the same");
    }
}

/// A body that says how long it is, and of which nothing comes.
struct Announced(u64);

impl hyper::body::Body for Announced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_says_that_it_is_too_large_is_not_waited_for() {
    let door = Door::open().await;
    let began = tokio::time::Instant::now();
    for (bytes, status, seconds) in [(262_145, 413, 0), (262_144, 400, 10)] {
        let (bearer, key) = (bearer(), format!("try-{bytes}"));
        for headers in [&[("authorization", &*bearer)][..], &[("authorization", &*bearer), ("idempotency-key", &*key)]]
        {
            let answer = door.send(request("POST /v1/keys", headers, Body::new(Announced(bytes)))).await;
            assert_eq!(answer.status.as_u16(), status, "{bytes}: {}", answer.text);
        }
        assert_eq!(began.elapsed().as_secs(), 2 * seconds, "{bytes}");
    }
}
