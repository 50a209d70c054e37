//! Errors: what the caller can do about each, and what they never tell.

use std::time::Duration;

use certhook::source::SourceError;
use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::raw::{Deed, RawUpstream};
use super::{API_KEY, CERTIFICATES, account_at, fetch, first_page, upstream};

/// What a listing makes of an answer.
async fn listed(answer: ResponseTemplate) -> SourceError {
    let (_server, numeral) = upstream(CERTIFICATES, answer).await;
    first_page(&numeral).await.expect_err("an error")
}

fn error(status: u16, kind: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"code": status, "type": kind, "message": "said so"}))
}

fn unauthorized(status: u16, kind: &str) -> SourceError {
    SourceError::Unauthorized { status, kind: kind.into(), message: "said so".into() }
}

fn refused(status: u16, kind: &str) -> SourceError {
    SourceError::Refused { status, kind: kind.into(), message: "said so".into() }
}

#[tokio::test]
async fn a_refused_key_is_unauthorized_by_type_first_and_then_by_status() {
    // Which status comes with it is not documented.
    for status in [302, 400, 401, 403, 404, 409, 418, 422, 429, 500, 503] {
        let expected = unauthorized(status, "TESTMODE_NOT_SUPPORTED");
        assert_eq!(listed(error(status, "TESTMODE_NOT_SUPPORTED")).await, expected);
        let nested = json!({"error": {"code": status, "type": "TESTMODE_NOT_SUPPORTED", "message": "said so"}});
        assert_eq!(listed(ResponseTemplate::new(status).set_body_json(nested)).await, expected);
        let (_server, numeral) = upstream("/tax/certificates/cert_1", error(status, "TESTMODE_NOT_SUPPORTED")).await;
        assert_eq!(fetch(&numeral, "cert_1").await.expect_err("never taken for not found"), expected);
    }
    for status in [401, 403] {
        assert_eq!(listed(error(status, "INVALID_API_KEY")).await, unauthorized(status, "INVALID_API_KEY"));
        let page = ResponseTemplate::new(status).set_body_string("<html>denied</html>");
        assert!(matches!(listed(page).await, SourceError::Unauthorized { .. }));
    }
    let as_success =
        ResponseTemplate::new(200).set_body_json(json!({"type": "TESTMODE_NOT_SUPPORTED", "message": "said so"}));
    assert_eq!(listed(as_success).await, unauthorized(200, "TESTMODE_NOT_SUPPORTED"));
}

#[tokio::test]
async fn the_older_nested_shape_of_an_error_means_the_same() {
    let overloaded = SourceError::Unavailable("OVERLOADED (503): said so".into());
    let throttled = SourceError::Throttled { retry_after: Duration::from_secs(30) };
    for (status, kind, expected) in [
        (401, "INVALID_API_KEY", unauthorized(401, "INVALID_API_KEY")),
        (403, "FORBIDDEN", unauthorized(403, "FORBIDDEN")),
        (400, "INVALID_REQUEST", refused(400, "INVALID_REQUEST")),
        (404, "ROUTE_NOT_FOUND", refused(404, "ROUTE_NOT_FOUND")),
        (409, "REQUEST_INVALID", refused(409, "REQUEST_INVALID")),
        (429, "RATE_LIMITED", throttled),
        (503, "OVERLOADED", overloaded),
    ] {
        let body = json!({"error": {"code": status, "type": kind, "message": "said so"}});
        assert_eq!(listed(ResponseTemplate::new(status).set_body_json(body)).await, expected);
        assert_eq!(listed(error(status, kind)).await, expected);
    }
}

#[tokio::test]
async fn an_error_whose_body_is_no_json_is_judged_by_its_status() {
    let bodies: [&[u8]; 5] =
        [b"", b"<html><body>denied</body></html>", br#"{"type":"TESTMODE_NOT_SUPP"#, b"[]", b"\xff"];
    for body in bodies {
        let told = async |status| listed(ResponseTemplate::new(status).set_body_bytes(body)).await;
        for status in [401, 403] {
            let told = told(status).await;
            assert!(matches!(told, SourceError::Unauthorized { .. }), "{status} {body:?}: {told}");
        }
        for status in [400, 402, 409, 410, 422] {
            let told = told(status).await;
            assert!(matches!(told, SourceError::Refused { .. }), "{status} {body:?}: {told}");
        }
        for status in [404, 408, 500, 502, 503, 504] {
            let told = told(status).await;
            assert!(matches!(told, SourceError::Unavailable(_)), "{status} {body:?}: {told}");
        }
        assert_eq!(told(429).await, SourceError::Throttled { retry_after: Duration::from_secs(30) });
    }
}

#[tokio::test]
async fn what_will_not_help_to_repeat_is_refused_a_409_among_it() {
    for (status, kind) in [
        (400, "INVALID_REQUEST"),
        (400, "UNRECOGNIZED_FIELD"),
        (404, "ROUTE_NOT_FOUND"),
        (404, "CERTIFICATE_NOT_FOUND"),
        (409, "REQUEST_INVALID"),
        (409, "REQUEST_ALREADY_FULFILLED"),
        (422, "SOMETHING_NEW"),
    ] {
        assert_eq!(listed(error(status, kind)).await, refused(status, kind));
    }
}

#[tokio::test]
async fn request_invalid_is_not_invalid_request() {
    let (conflict, mistake) =
        (listed(error(409, "REQUEST_INVALID")).await, listed(error(400, "INVALID_REQUEST")).await);
    assert_eq!((&conflict, &mistake), (&refused(409, "REQUEST_INVALID"), &refused(400, "INVALID_REQUEST")));
    assert_eq!(conflict.to_string(), "upstream refuses the call: REQUEST_INVALID (409): said so");
}

#[tokio::test]
async fn trouble_of_theirs_is_unavailable() {
    for status in [201, 204, 206, 408, 500, 502, 503, 504, 520] {
        let told = listed(ResponseTemplate::new(status)).await;
        assert!(matches!(told, SourceError::Unavailable(_)), "{status}: {told}");
    }
    let told = listed(error(503, "OVERLOADED")).await.to_string();
    assert_eq!(told, "upstream is in trouble: OVERLOADED (503): said so");
}

#[tokio::test]
async fn a_429_tells_how_long_to_wait() {
    for (header, seconds) in [
        (Some("7"), 7),
        (Some("900"), 900),
        (Some("901"), 900),
        (Some("86400"), 900),
        (Some("99999999999999999999"), 900),
        (Some("0"), 1),
        (Some("Sat, 21 Nov 2026 04:33:20 GMT"), 120),
        (Some("Saturday, 21-Nov-26 04:33:20 GMT"), 120),
        (Some("Sat Nov 21 04:33:20 2026"), 120),
        (Some("Sat, 21 Nov 2026 09:00:00 GMT"), 900),
        (Some("Fri, 31 Dec 9999 23:59:59 GMT"), 900),
        (Some("Sat, 21 Nov 2026 04:00:00 GMT"), 1),
        (Some("never"), 30),
        (Some("-7"), 30),
        (Some("7.5"), 30),
        (Some("7s"), 30),
        (Some("2026-11-21T04:33:20Z"), 30),
        (Some(""), 30),
        (None, 30),
    ] {
        let mut answer = error(429, "RATE_LIMITED").insert_header("date", "Sat, 21 Nov 2026 04:31:20 GMT");
        if let Some(header) = header {
            answer = answer.insert_header("retry-after", header);
        }
        let expected = SourceError::Throttled { retry_after: Duration::from_secs(seconds) };
        assert_eq!(listed(answer).await, expected, "{header:?}");
    }
}

#[tokio::test]
async fn a_429_without_a_clock_of_its_own_is_measured_by_ours() {
    for date in ["", "date: some time ago\r\n"] {
        let answer = format!(
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: Sat, 21 Nov 2026 04:33:20 GMT\r\n{date}content-length: 0\r\n\r\n"
        );
        let upstream = RawUpstream::start(Deed::Send(answer.into_bytes())).await;
        let told = first_page(&account_at(&upstream.url)).await.expect_err("throttled");
        assert_eq!(told, SourceError::Throttled { retry_after: Duration::from_secs(120) }, "{date}");
    }
}

#[tokio::test]
async fn a_redirect_is_refused_and_never_followed() {
    let elsewhere = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).expect(0).mount(&elsewhere).await;
    for status in [301, 302, 303, 307, 308] {
        let target = format!("{}/login?token=secret", elsewhere.uri());
        let told = listed(ResponseTemplate::new(status).insert_header("location", target.as_str())).await;
        assert!(matches!(told, SourceError::Refused { .. }), "{status}: {told}");
        let text = told.to_string();
        assert!(text.contains(&elsewhere.uri()) && text.contains("base_url") && !text.contains("secret"), "{text}");
    }
    elsewhere.verify().await;
}

#[tokio::test]
async fn no_error_tells_the_key_or_a_query_or_more_than_a_few_lines() {
    let echo = format!("Bad token {API_KEY} in GET https://api.test/tax/certificates?limit=100&cursor=secret");
    for status in [301, 400, 401, 403, 404, 408, 409, 500] {
        let typed = json!({"type": API_KEY, "message": format!("{echo} {}", "and so on ".repeat(1000))});
        for answer in [
            ResponseTemplate::new(status).set_body_json(typed),
            ResponseTemplate::new(status).set_body_json(json!({"error": {"type": echo, "message": echo}})),
            ResponseTemplate::new(status).set_body_string(format!("<p>{echo}</p>{}", "x".repeat(100_000))),
        ] {
            let (_server, numeral) = upstream(CERTIFICATES, answer).await;
            let error = first_page(&numeral).await.expect_err("an error");
            for text in [error.to_string(), format!("{error:?}"), format!("{numeral:?}")] {
                assert!(!text.contains(API_KEY) && !text.contains("secret"), "{text}");
                assert!(text.chars().count() < 600, "{text}");
            }
        }
    }
    // Nobody listens here: this is the HTTP client's own error, which would name the URL.
    let error = first_page(&account_at("http://127.0.0.1:1")).await.expect_err("no connection").to_string();
    assert!(!error.contains("limit=100") && !error.contains(API_KEY), "{error}");
}

#[tokio::test]
async fn an_error_by_id_means_what_it_means_in_a_listing() {
    for (status, kind) in [(400, "INVALID_REQUEST"), (401, "INVALID_API_KEY"), (409, "REQUEST_INVALID"), (500, "OOPS")]
    {
        let (_server, numeral) = upstream("/tax/certificates/cert_1", error(status, kind)).await;
        let by_id = fetch(&numeral, "cert_1").await.expect_err("an error");
        assert_eq!(by_id, listed(error(status, kind)).await);
    }
}
