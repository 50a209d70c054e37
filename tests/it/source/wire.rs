//! Connections that break, stall, lie about their length or never end: always `Unavailable`, always in time.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use certhook::source::SourceError;
use certhook::source::http::Limits;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::raw::{Deed, RawUpstream};
use super::{CERTIFICATES, account, account_at, fetch, first_page, ok, page_of, read, settings, upstream};

/// Far more than any limit that is tested here, and far less than the usual ones.
const PATIENCE: Duration = Duration::from_secs(20);

/// The error of a call to an upstream that does this deed.
async fn error_of(deed: Deed, limits: Limits) -> SourceError {
    let upstream = RawUpstream::start(deed).await;
    let numeral = account(settings(&upstream.url), limits);
    let calls = async { (first_page(&numeral).await, fetch(&numeral, "cert_1").await) };
    let (listed, fetched) = tokio::time::timeout(PATIENCE, calls).await.expect("the limits end it");
    let (listed, fetched) = (listed.expect_err("no page"), fetched.expect_err("no resource"));
    assert_eq!(std::mem::discriminant(&listed), std::mem::discriminant(&fetched), "{listed} / {fetched}");
    listed
}

fn answer(length: usize, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

#[track_caller]
fn assert_unavailable(error: &SourceError, text: &str) {
    let SourceError::Unavailable(reason) = error else { panic!("not unavailable: {error}") };
    assert!(reason.contains(text), "{reason:?} does not say {text:?}");
}

#[tokio::test]
async fn a_connection_that_is_refused_or_reset_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let closed = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let error = first_page(&account_at(&closed)).await.expect_err("nobody listens");
    assert_unavailable(&error, "no connection");
    assert_unavailable(&error_of(Deed::Reset, Limits::default()).await, "broke off");
    let begun = answer(100, r#"{"object":"#);
    assert_unavailable(&error_of(Deed::SendAndReset(begun), Limits::default()).await, "broke off");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_unavailable_even_if_it_could_be_read() {
    let whole = page_of(&["cert_1"], false, None).to_string();
    let short = answer(whole.len() + 1, &whole);
    assert_unavailable(&error_of(Deed::Send(short), Limits::default()).await, "broke off");
    let chunked = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{whole}\r\n", whole.len());
    assert_unavailable(&error_of(Deed::Send(chunked.into_bytes()), Limits::default()).await, "broke off");
}

#[tokio::test]
async fn an_answer_without_a_length_that_is_cut_off_is_unavailable() {
    let half = b"HTTP/1.1 200 OK\r\n\r\n{\"object\":\"list\",\"certificates\":[{\"id\":\"cert_1\"}".to_vec();
    assert_unavailable(&error_of(Deed::Send(half), Limits::default()).await, "an answer that is none");
}

#[tokio::test]
async fn what_is_not_http_is_unavailable() {
    for bytes in [&b"SSH-2.0-OpenSSH_9.7\r\n"[..], b"", b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01\x00\x05hello"] {
        assert_unavailable(&error_of(Deed::Send(bytes.to_vec()), Limits::default()).await, "broke off");
    }
}

#[tokio::test]
async fn silence_is_unavailable_before_the_first_byte_and_in_the_middle() {
    let limits = Limits { read: Duration::from_millis(100), ..Limits::default() };
    for sent in [Vec::new(), answer(100, r#"{"object":"#)] {
        assert_unavailable(&error_of(Deed::SendAndHang(sent), limits).await, "silence for 100ms");
    }
}

#[tokio::test]
async fn an_answer_that_drips_ends_at_the_total_limit() {
    let limits = Limits { total: Duration::from_millis(300), ..Limits::default() };
    let error = error_of(Deed::Drip(answer(1_000_000, "")), limits).await;
    assert_unavailable(&error, "no whole answer within 300ms");
}

#[tokio::test]
async fn an_answer_that_never_ends_ends_at_the_size_limit() {
    let endless = b"HTTP/1.1 200 OK\r\n\r\n{\"object\":".to_vec();
    assert_unavailable(&error_of(Deed::Flood(endless), Limits::default()).await, "larger than 8388608 bytes");
}

#[tokio::test]
async fn an_error_page_that_never_ends_is_judged_by_its_status() {
    let upstream = RawUpstream::start(Deed::Flood(b"HTTP/1.1 403 Forbidden\r\n\r\n<html>".to_vec())).await;
    let numeral = account_at(&upstream.url);
    let page = tokio::time::timeout(PATIENCE, first_page(&numeral)).await.expect("the limits end it");
    let error = page.expect_err("no page");
    assert!(matches!(error, SourceError::Unauthorized { status: 403, .. }), "{error}");
    assert!(error.to_string().len() < 500, "{error}");
}

#[tokio::test]
async fn a_page_of_a_hundred_resources_of_24_kib_passes() {
    let rows: Vec<_> = (0..100)
        .map(|number| {
            let id = format!("cert_{number:02}");
            json!({"id": id, "padding": "x".repeat(24 * 1024 - r#"{"id":"cert_00","padding":""}"#.len())})
        })
        .collect();
    let page = json!({"object": "list", "certificates": rows, "has_more": false});
    let (_server, numeral) = upstream(CERTIFICATES, ok(&page)).await;
    let shown = read(&numeral).await;
    assert_eq!((shown.rows.len(), shown.malformed.len(), shown.verdict.is_ok()), (100, 0, true));
}

/// `{"object":"list","certificates":[],"has_more":false}`, with 100 000 spaces behind the opening brace, gzipped.
const GZIPPED: &str = "H4sIAAAAAAACA+3BQQrCMBAAwK/InvuCfEVEYthipFJociv9u9/wMDPnDQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPhbsb8+2WaU2PqY\
    sUTLY/a1tzpzRLk/lnjX8fzuR0ZZ6zby+gGIQsWO1IYBAA==";

#[tokio::test]
async fn a_compressed_answer_is_read_and_counted_as_what_it_becomes() {
    let bytes = BASE64_STANDARD.decode(GZIPPED).expect("base64");
    let template = ResponseTemplate::new(200).insert_header("content-encoding", "gzip").set_body_bytes(bytes.clone());
    let (server, numeral) = upstream(CERTIFICATES, template).await;
    assert!(read(&numeral).await.verdict.is_ok(), "it is small enough");
    let strict = account(settings(&server.uri()), Limits { body_bytes: 50_000, ..Limits::default() });
    assert!(bytes.len() < 1000, "on the wire it is small");
    assert_unavailable(&first_page(&strict).await.expect_err("too large"), "larger than 50000 bytes");
    let half =
        ResponseTemplate::new(200).insert_header("content-encoding", "gzip").set_body_bytes(&bytes[..bytes.len() / 2]);
    let (_server, numeral) = upstream(CERTIFICATES, half).await;
    assert_unavailable(&first_page(&numeral).await.expect_err("cut off"), "broke off");
}
