//! What an answer other than the one that was hoped for means. Pure: the whole taxonomy is [`judge`].
//!
//! The vendor's errors are `{code, type, message}`; before its API version 2026-01-01 the same lay under `error`.
//! Proxies in between answer whatever they like.

use serde_json::{Map, Value};
use url::Url;

use super::super::SourceError;
use super::{foreign, retry};
use crate::model::time::Timestamp;

/// The `kind` of an error that names no type of its own.
pub(in crate::source) const NO_TYPE: &str = "NO_TYPE";

/// The vendor's word for a test key at an endpoint that is live-only. Its HTTP status is not documented.
const TESTMODE: &str = "TESTMODE_NOT_SUPPORTED";

/// An answer, as far as it bears on errors.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'a> {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body, or as much of it as came.
    pub(super) body: &'a [u8],
    /// The `Retry-After` header.
    pub(super) retry_after: Option<&'a str>,
    /// The `Location` header.
    pub(super) location: Option<&'a str>,
    /// The `Date` header.
    pub(super) date: Option<Timestamp>,
}

/// The words of an error's body.
#[derive(Debug, Default)]
struct Words {
    kind: Option<String>,
    message: Option<String>,
}

/// What an answer whose status is not 200 means: by the error's type first, then by the status.
pub(super) fn judge(said: &Said<'_>, now: Timestamp, api_key: &str) -> SourceError {
    let status = said.status;
    let words = read(said.body);
    let is_json = words.is_some();
    let words = words.unwrap_or_default();
    let kind = words.kind.as_deref().map_or_else(|| NO_TYPE.into(), |kind| foreign::word(kind, api_key));
    let message = message(said, &words, api_key);
    if is_testmode(&words) {
        return SourceError::Unauthorized { status, kind, message };
    }
    match status {
        401 | 403 => SourceError::Unauthorized { status, kind, message },
        429 => SourceError::Throttled { retry_after: retry::retry_after(said.retry_after, said.date, now) },
        // The vendor's own 404 is JSON. Any other is from something in between that knows nothing of what exists.
        404 if !is_json => SourceError::Unavailable(format!("404 that is not the API's: {message}")),
        300..=399 => SourceError::Refused { status, kind, message },
        408 => SourceError::Unavailable(format!("{kind} ({status}): {message}")),
        400..=499 => SourceError::Refused { status, kind, message },
        // A success that is not 200, a server's error, and a status that is none ("process the response as if it
        // had a 5xx status code", RFC 9110, section 15).
        _ => SourceError::Unavailable(format!("{kind} ({status}): {message}")),
    }
}

/// The same where a change was asked for. A server's error in the API's own words is its answer, and not silence.
pub(super) fn judge_change(said: &Said<'_>, now: Timestamp, api_key: &str) -> SourceError {
    let words = read(said.body).unwrap_or_default();
    match (judge(said, now, api_key), words.kind.as_deref()) {
        (SourceError::Unavailable(_), Some(kind)) if said.status >= 500 => SourceError::Refused {
            status: said.status,
            kind: foreign::word(kind, api_key),
            message: message(said, &words, api_key),
        },
        (error, _) => error,
    }
}

/// What an answer with status 200 means that is no answer to what was asked.
pub(super) fn judge_useless(body: &[u8], reason: &str, api_key: &str) -> SourceError {
    match read(body) {
        Some(words) if is_testmode(&words) => {
            judge(&Said { status: 200, body, ..Said::default() }, Timestamp::EPOCH, api_key)
        }
        // The body itself is not repeated: it may be half of a resource.
        Some(_) | None => SourceError::Unavailable(format!("an answer that is none: {reason}")),
    }
}

fn is_testmode(words: &Words) -> bool {
    words.kind.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case(TESTMODE))
}

/// Reads both shapes of an error's body; `None` if it is no JSON object.
fn read(body: &[u8]) -> Option<Words> {
    let outer: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let words = |fields: &Map<String, Value>| {
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(String::from);
        // The older shape may name its type in `code`, which in the newer one is the status as a number.
        Words { kind: text("type").or_else(|| text("code")), message: text("message") }
    };
    let flat = words(&outer);
    Some(match outer.get("error") {
        Some(Value::Object(nested)) if flat.kind.is_none() => {
            let nested = words(nested);
            Words { kind: nested.kind, message: nested.message.or(flat.message) }
        }
        Some(Value::String(text)) if flat.message.is_none() => Words { message: Some(text.clone()), ..flat },
        Some(_) | None => flat,
    })
}

/// What to show of an answer: its message, else where it redirects to, else what its body says.
fn message(said: &Said<'_>, words: &Words, api_key: &str) -> String {
    if let Some(message) = &words.message {
        return foreign::text(message, api_key);
    }
    if (300..=399).contains(&said.status) {
        let target = said.location.and_then(|location| Url::parse(location).ok());
        let target = target.map_or_else(|| "elsewhere".into(), |url| url.origin().ascii_serialization());
        let target = foreign::text(&target, api_key);
        return format!("a redirect to {target}, which is not followed; correct base_url if it has moved");
    }
    let body = foreign::text(&String::from_utf8_lossy(said.body), api_key);
    if body.is_empty() { "no text".into() } else { body }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn judged(status: u16, body: &str) -> SourceError {
        let said = Said { status, body: body.as_bytes(), ..Said::default() };
        judge(&said, Timestamp::EPOCH, "sk_live_1")
    }

    fn refused(status: u16, kind: &str, message: &str) -> SourceError {
        SourceError::Refused { status, kind: kind.into(), message: message.into() }
    }

    fn unauthorized(status: u16, kind: &str, message: &str) -> SourceError {
        SourceError::Unauthorized { status, kind: kind.into(), message: message.into() }
    }

    #[test]
    fn both_shapes_of_an_error_and_no_shape_at_all_are_read() {
        for (body, kind, message) in [
            (r#"{"code":400,"type":"INVALID_REQUEST","message":"bad"}"#, "INVALID_REQUEST", "bad"),
            (r#"{"error":{"code":400,"type":"INVALID_REQUEST","message":"bad"}}"#, "INVALID_REQUEST", "bad"),
            (r#"{"error":{"code":"invalid_request","message":"bad"}}"#, "invalid_request", "bad"),
            (r#"{"error":{"type":"X"},"message":"bad"}"#, "X", "bad"),
            (r#"{"error":"bad"}"#, NO_TYPE, "bad"),
            (r#"{"message":"bad"}"#, NO_TYPE, "bad"),
            (r#"{"type":5,"message":["bad"]}"#, NO_TYPE, r#"{"type":5,"message":["bad"]}"#),
            ("<h1>\n  Bad\n</h1>", NO_TYPE, "<h1> Bad </h1>"),
            ("[1]", NO_TYPE, "[1]"),
            ("", NO_TYPE, "no text"),
        ] {
            assert_eq!(judged(400, body), refused(400, kind, message), "{body}");
        }
    }

    #[test]
    fn a_test_key_is_unauthorized_whatever_the_status() {
        for status in [200, 302, 400, 403, 404, 409, 422, 429, 500, 503] {
            let body = r#"{"code":400,"type":"TESTMODE_NOT_SUPPORTED","message":"live only"}"#;
            assert_eq!(judged(status, body), unauthorized(status, "TESTMODE_NOT_SUPPORTED", "live only"));
        }
        let useless = judge_useless(br#"{"type":"testmode_not_supported","message":"m"}"#, "no list", "");
        assert_eq!(useless, unauthorized(200, "testmode_not_supported", "m"));
    }

    #[test]
    fn the_status_decides_where_the_type_does_not() {
        let unavailable = |status: u16| matches!(judged(status, r#"{"type":"X"}"#), SourceError::Unavailable(_));
        for status in [201, 204, 206, 408, 500, 501, 502, 503, 504, 599, 600, 999] {
            assert!(unavailable(status), "{status}");
        }
        for status in [300, 304, 400, 402, 404, 405, 409, 410, 413, 418, 422, 425, 451, 499] {
            assert!(matches!(judged(status, r#"{"type":"X"}"#), SourceError::Refused { .. }), "{status}");
        }
        for status in [401, 403] {
            assert!(matches!(judged(status, "<html>"), SourceError::Unauthorized { .. }), "{status}");
        }
        assert_eq!(judged(429, "<html>"), SourceError::Throttled { retry_after: Duration::from_secs(30) });
    }

    #[test]
    fn a_change_that_a_server_refuses_in_the_apis_words_is_refused_and_anything_else_is_no_answer() {
        let judged = |status, body: &str| {
            let said = Said { status, body: body.as_bytes(), ..Said::default() };
            judge_change(&said, Timestamp::EPOCH, "sk_live_1")
        };
        let body = r#"{"code":500,"type":"INTERNAL_ERROR","message":"oh no"}"#;
        assert_eq!(judged(500, body), refused(500, "INTERNAL_ERROR", "oh no"));
        assert_eq!(judged(409, r#"{"type":"REQUEST_INVALID","message":"m"}"#), refused(409, "REQUEST_INVALID", "m"));
        for (status, body) in [(502, "<html>"), (504, ""), (500, r#"{"message":"m"}"#), (204, ""), (408, body)] {
            assert!(matches!(judged(status, body), SourceError::Unavailable(_)), "{status} {body}");
        }
    }

    #[test]
    fn a_404_that_is_no_json_is_not_the_vendors() {
        for body in ["<html>no such page</html>", "", "404", "[]", r#"{"type":"#] {
            assert!(matches!(judged(404, body), SourceError::Unavailable(_)), "{body}");
        }
        assert_eq!(judged(404, r#"{"code":404,"message":"none"}"#), refused(404, NO_TYPE, "none"));
    }

    #[test]
    fn a_redirect_names_where_it_leads_and_not_what_it_carries() {
        let said = Said { status: 301, location: Some("https://new.test/tax?sig=secret"), ..Said::default() };
        let error = judge(&said, Timestamp::EPOCH, "").to_string();
        assert!(error.contains("https://new.test, which is not followed"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn errors_never_repeat_the_api_key() {
        for body in [
            r#"{"type":"NO_sk_live_1","message":"no key sk_live_1"}"#,
            r#"{"error":{"type":"x","message":"Bearer sk_live_1"}}"#,
            "no key sk_live_1",
        ] {
            for status in [400, 401, 403, 404, 409, 500] {
                let error = judged(status, body).to_string();
                assert!(error.contains("***") && !error.contains("sk_live_1"), "{error}");
            }
        }
    }

    #[test]
    fn a_deeply_nested_body_is_no_json_and_no_crash() {
        let body = "[".repeat(60_000);
        assert!(matches!(judged(404, &body), SourceError::Unavailable(_)));
        assert!(matches!(judged(400, &format!(r#"{{"error":{body}"#)), SourceError::Refused { .. }));
    }
}
