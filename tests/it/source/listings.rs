//! Listings: what makes one complete, and what an incomplete one still shows.

use std::time::Duration;

use certhook::model::resource::{Download, Kind};
use certhook::source::http::Limits;
use certhook::source::listing::{Incomplete, Listing};
use certhook::source::{Selection, Source, SourceError, Urgency};
use serde_json::{Value, json};
use wiremock::matchers::{path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::raw::{Deed, RawUpstream};
use super::{
    CERTIFICATES, REQUESTS, Shown, account, account_at, first_page, id, ok, page_of, read, read_as, settings, upstream,
};

/// An upstream whose pages lie at their cursors, and what a listing of it shows.
async fn shown_of(pages: &[(Option<&str>, ResponseTemplate)]) -> Shown {
    let server = MockServer::start().await;
    for (cursor, answer) in pages {
        let mock = Mock::given(path(CERTIFICATES));
        let mock = match cursor {
            Some(cursor) => mock.and(query_param("cursor", *cursor)),
            None => mock.and(query_param_is_missing("cursor")),
        };
        mock.respond_with(answer.clone()).mount(&server).await;
    }
    read(&account_at(&server.uri())).await
}

fn ids(shown: &Shown) -> Vec<&str> {
    shown.rows.iter().map(|row| row.id.as_str()).collect()
}

#[tokio::test]
async fn a_listing_is_complete_when_its_last_page_says_so() {
    let shown = shown_of(&[
        (None, ok(&page_of(&["a", "b"], true, Some("b")))),
        (Some("b"), ok(&page_of(&["c"], true, Some("c")))),
        (Some("c"), ok(&page_of(&["d"], false, None))),
    ])
    .await;
    assert_eq!(ids(&shown), ["a", "b", "c", "d"]);
    assert!(shown.verdict.is_ok());
}

#[tokio::test]
async fn an_empty_listing_is_complete() {
    let shown = shown_of(&[(None, ok(&page_of(&[], false, None)))]).await;
    assert!(shown.rows.is_empty() && shown.verdict.is_ok());
}

/// The page with one more field.
fn with(name: &str, page: &Value) -> Value {
    let mut page = page.clone();
    page[name] = "c".into();
    page
}

#[tokio::test]
async fn a_listing_that_contradicts_itself_is_incomplete_and_still_shows_what_it_showed() {
    let first = (None, ok(&page_of(&["a", "b"], true, Some("b"))));
    for (second, expected) in [
        (page_of(&["c"], true, None), Incomplete::NoCursor { page: 2 }),
        (page_of(&["c"], true, Some("b")), Incomplete::RepeatedCursor { page: 2 }),
        (page_of(&["c"], false, Some("c")), Incomplete::StrayCursor { page: 2 }),
        (page_of(&[], true, Some("c")), Incomplete::EmptyPage { page: 2 }),
        // The vendor's other endpoints page by these, and a listing that goes on must not seem to be at its end.
        (with("last_customer_id", &page_of(&["c"], true, None)), Incomplete::NoCursor { page: 2 }),
        (with("last_merchant_id", &page_of(&["c"], true, None)), Incomplete::NoCursor { page: 2 }),
    ] {
        let shown = shown_of(&[first.clone(), (Some("b"), ok(&second))]).await;
        assert!(ids(&shown).starts_with(&["a", "b"]), "{second}");
        assert_eq!(shown.verdict.expect_err("incomplete"), expected, "{second}");
    }
}

#[tokio::test]
async fn a_cursor_that_is_refused_leaves_the_listing_incomplete() {
    let gone = json!({"code": 400, "type": "INVALID_REQUEST", "message": "unknown cursor"});
    let shown = shown_of(&[
        (None, ok(&page_of(&["a"], true, Some("a")))),
        (Some("a"), ResponseTemplate::new(400).set_body_json(gone)),
    ])
    .await;
    assert_eq!(ids(&shown), ["a"]);
    let Err(Incomplete::Page { page: 2, error: SourceError::Refused { status: 400, kind, message } }) = shown.verdict
    else {
        panic!("it must be the second page, refused")
    };
    assert_eq!((kind.as_str(), message.as_str()), ("INVALID_REQUEST", "unknown cursor"));
}

fn text(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_string(body)
}

fn unavailable(reason: &str) -> SourceError {
    SourceError::Unavailable(reason.into())
}

#[tokio::test]
async fn a_page_that_cannot_be_read_leaves_the_listing_incomplete_whatever_it_is_instead() {
    let whole = page_of(&["c"], false, None).to_string();
    let error = json!({"code": 500, "type": "INTERNAL_ERROR", "message": "oops"});
    let denied = json!({"code": 403, "type": "FORBIDDEN", "message": "no"});
    for (third, expected) in [
        (ResponseTemplate::new(500).set_body_json(error), unavailable("INTERNAL_ERROR (500): oops")),
        (text(502, "<h1>Bad Gateway</h1>"), unavailable("NO_TYPE (502): <h1>Bad Gateway</h1>")),
        (text(200, &whole[..whole.len() - 1]), unavailable("an answer that is none: not JSON, cut off, or no list")),
        (text(200, "<html>Sign in to go on</html>"), unavailable("an answer that is none: no JSON object")),
        (text(200, ""), unavailable("an answer that is none: no JSON object")),
        (ResponseTemplate::new(204), unavailable("NO_TYPE (204): no text")),
        (
            ResponseTemplate::new(403).set_body_json(denied),
            SourceError::Unauthorized { status: 403, kind: "FORBIDDEN".into(), message: "no".into() },
        ),
        (
            text(429, "slow down").insert_header("retry-after", "40"),
            SourceError::Throttled { retry_after: Duration::from_secs(40) },
        ),
    ] {
        let shown = shown_of(&[
            (None, ok(&page_of(&["a"], true, Some("a")))),
            (Some("a"), ok(&page_of(&["b"], true, Some("b")))),
            (Some("b"), third),
        ])
        .await;
        assert_eq!(ids(&shown), ["a", "b"], "{expected}");
        assert_eq!(shown.verdict.expect_err("incomplete"), Incomplete::Page { page: 3, error: expected });
    }
}

#[tokio::test]
async fn a_connection_that_breaks_or_stalls_between_two_pages_leaves_the_listing_incomplete() {
    let answer = |body: &str, cut: usize| {
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        Vec::from(format!("{head}{}", &body[..length - cut]))
    };
    let first = Deed::Send(answer(&page_of(&["a"], true, Some("a")).to_string(), 0));
    let last = page_of(&["b"], false, None).to_string();
    let limits = Limits { read: Duration::from_millis(200), ..Limits::default() };
    for (second, reason) in [
        (Deed::Reset, "the answer broke off: "),
        (Deed::SendAndReset(answer(&last, 5)), "the answer broke off: "),
        (Deed::Send(answer(&last, 1)), "the answer broke off: "),
        (Deed::SendAndHang(answer(&last, 1)), "no whole answer within 60s, or silence for 200ms: "),
    ] {
        let upstream = RawUpstream::start_in_turn(vec![first.clone(), second]).await;
        let shown = read(&account(settings(&upstream.url), limits)).await;
        assert_eq!(ids(&shown), ["a"]);
        let Err(Incomplete::Page { page: 2, error: SourceError::Unavailable(told) }) = shown.verdict else {
            panic!("it must be the second page: {:?}", shown.verdict)
        };
        assert!(told.starts_with(reason), "{told}");
    }
}

#[tokio::test]
async fn cursors_that_lead_in_a_circle_leave_the_listing_incomplete() {
    for back_to in ["a", "b", "c"] {
        let shown = shown_of(&[
            (None, ok(&page_of(&["a"], true, Some("a")))),
            (Some("a"), ok(&page_of(&["b"], true, Some("b")))),
            (Some("b"), ok(&page_of(&["c"], true, Some("c")))),
            (Some("c"), ok(&page_of(&["d"], true, Some(back_to)))),
        ])
        .await;
        assert_eq!(ids(&shown), ["a", "b", "c", "d"], "{back_to}");
        assert_eq!(shown.verdict.expect_err("incomplete"), Incomplete::RepeatedCursor { page: 4 }, "{back_to}");
    }
}

#[tokio::test]
async fn a_listing_that_never_ends_is_given_up_at_its_page_cap() {
    let server = MockServer::start().await;
    let pages = |request: &Request| {
        let cursor = request.url.query_pairs().find(|(name, _)| name == "cursor");
        let page = 1 + cursor.map_or(0, |(_, cursor)| cursor.parse::<u64>().expect("a number"));
        let next = page.to_string();
        ok(&page_of(&[&format!("cert_{page}")], page < 9, (page < 9).then_some(&next)))
    };
    Mock::given(path(CERTIFICATES)).respond_with(pages).mount(&server).await;
    let numeral = account_at(&server.uri());
    let shown = read_as(&numeral, Listing::of_at_most(8)).await;
    assert_eq!(shown.rows.len(), 8);
    let verdict = shown.verdict.expect_err("incomplete");
    assert_eq!(verdict, Incomplete::TooLong { pages_max: 8 });
    assert_eq!(verdict.to_string(), "the listing has more than 8 pages");
    assert_eq!(server.received_requests().await.expect("they are recorded").len(), 8, "no page is asked for in vain");
    assert!(read_as(&numeral, Listing::of_at_most(9)).await.verdict.is_ok(), "as many pages as that are allowed");
    assert!(read(&numeral).await.verdict.is_ok(), "and by default far more");
}

#[tokio::test]
async fn an_answer_that_is_no_list_of_that_kind_is_unavailable() {
    for body in [
        json!({}),
        json!([]),
        json!(null),
        json!({"object": "list", "has_more": false}),
        json!({"object": "list", "certificates": []}),
        json!({"certificates": [], "has_more": false}),
        json!({"object": "list", "certificate_requests": [], "has_more": false}),
        json!({"object": "list", "data": [], "has_more": false}),
        json!({"object": "list", "certificates": {"id": "a"}, "has_more": false}),
        json!({"object": "tax.exemption_certificate", "id": "a"}),
    ] {
        let (_server, numeral) = upstream(CERTIFICATES, ok(&body)).await;
        let error = first_page(&numeral).await.expect_err("no list");
        assert!(matches!(error, SourceError::Unavailable(_)), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_malformed_item_never_spoils_its_page() {
    let huge = json!({"id": "huge", "padding": "x".repeat(24 * 1024)});
    let rows = json!([{"id": "a"}, null, {"id": "no/id"}, {"object": "x"}, huge, {"id": "b", "status": 5}]);
    let page = json!({"object": "list", "certificates": rows, "has_more": false});
    let (_server, numeral) = upstream(CERTIFICATES, ok(&page)).await;
    let shown = read(&numeral).await;
    assert!(shown.verdict.is_ok(), "the page counts as read");
    assert_eq!(ids(&shown), ["a", "b"]);
    let shielded: Vec<_> = shown.malformed.iter().map(|malformed| malformed.id.clone()).collect();
    assert_eq!(shielded, [None, None, None, Some(id("huge"))]);
    assert!(numeral.open_row(Kind::Certificate, &shown.rows[0]).is_ok());
    let malformed = numeral.open_row(Kind::Certificate, &shown.rows[1]).expect_err("a status that is a number");
    assert_eq!(malformed.id, Some(id("b")), "it shields its id");
}

#[tokio::test]
async fn requests_may_lack_a_buyer_a_certificate_and_an_end_and_their_jurisdictions_are_words() {
    let row = json!({
        "id": "cert_req_b2f1e4a3", "object": "tax.certificate_request", "status": "pending", "customer": null,
        "certificate_id": null, "certificate_type_id": "US-CA-CDTFA-230", "jurisdictions": ["US-CA", "US-TX"],
        "created_at": "2026-06-10T18:24:09.123Z", "updated_at": "2026-06-10T18:24:09.123Z", "expires_at": null,
        "livemode": true, "a_field_of_next_year": {"deep": [1.50]}
    });
    let page = json!({"object": "list", "certificate_requests": [row], "has_more": false});
    let (_server, numeral) = upstream(REQUESTS, ok(&page)).await;
    let page = numeral
        .page(Kind::CertificateRequest, &Selection::Status("pending"), None, Urgency::Open)
        .await
        .expect("a page");
    let seen = numeral.open_row(Kind::CertificateRequest, &page.rows[0]).expect("it can be used");
    assert_eq!(Value::Object(seen.fields.clone()), row);
    assert_eq!((seen.status(), seen.download), (Some("pending"), Download::Unknown));
}

#[tokio::test]
async fn a_row_is_shown_by_debug_without_its_bytes() {
    let row = json!({"id": "a", "download_url": "https://signed.example.com/?sig=secret"});
    let page = json!({"object": "list", "certificates": [row], "has_more": false});
    let (_server, numeral) = upstream(CERTIFICATES, ok(&page)).await;
    let page = first_page(&numeral).await.expect("a page");
    let seen = numeral.open_row(Kind::Certificate, &page.rows[0]).expect("it can be used");
    assert_eq!(seen.download, Download::Available);
    for shown in [format!("{page:?}"), format!("{seen:?}")] {
        assert!(!shown.contains("secret"), "{shown}");
    }
}
