//! Failing on demand.

use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const LIST: &str = "/tax/certificates?limit=100";

#[tokio::test]
async fn the_next_answers_fail_as_ordered_and_the_one_after_them_does_not() {
    let upstream = Upstream::new(Options::default());
    upstream.order("/sandbox/faults", json!({"fault": "status", "status": 503, "next": 2})).await;
    upstream.order("/sandbox/faults", json!({"fault": "throttle", "retry_after": "2"})).await;
    upstream.order("/sandbox/faults", json!({"fault": "html"})).await;
    for _ in 0..2 {
        let failed = upstream.get(LIST).await;
        assert_eq!((failed.status.as_u16(), &failed.body["type"]), (503, &json!("INTERNAL_SERVER_ERROR")));
    }
    let throttled = upstream.get(LIST).await;
    assert_eq!((throttled.status.as_u16(), &throttled.headers["retry-after"]), (429, &"2".parse().expect("a header")));
    let html = upstream.get(LIST).await;
    assert_eq!(html.status, StatusCode::BAD_GATEWAY);
    assert!(html.body.as_str().is_some_and(|text| text.starts_with("<html>")), "{}", html.body);
    assert_eq!(upstream.get(LIST).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_fails_before_it_is_done_is_not_done() {
    let upstream = Upstream::new(Options::default());
    let path = format!("/tax/certificate-requests/{}", upstream.request().await);
    upstream.order("/sandbox/faults", json!({"fault": "status", "method": "delete"})).await;
    assert_eq!(upstream.get(&path).await.status, StatusCode::OK, "that order is for another method");
    assert_eq!(upstream.vendor("DELETE", &path).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(upstream.get(&path).await.body["status"], "pending");
}

#[tokio::test]
async fn pages_contradict_themselves_as_ordered() {
    let upstream = Upstream::new(Options::default());
    let first = upstream.get(LIST).await.body;
    let next = format!("{LIST}&cursor={}", first["next_cursor"].as_str().expect("more than a page"));
    for (fault, path, has_more, next_cursor, rows) in [
        ("no_cursor", LIST, true, None, 100),
        ("cut_short", LIST, false, None, 100),
        ("empty_page", LIST, true, first.get("next_cursor"), 0),
        ("repeat_cursor", next.as_str(), true, first.get("next_cursor"), 100),
    ] {
        upstream.order("/sandbox/faults", json!({ "fault": fault })).await;
        let page = upstream.get(path).await.body;
        assert_eq!((page["has_more"].as_bool(), page.get("next_cursor")), (Some(has_more), next_cursor), "{fault}");
        assert_eq!(page["certificates"].as_array().map(Vec::len), Some(rows), "{fault}");
    }
    upstream.order("/sandbox/faults", json!({"fault": "malformed_row"})).await;
    assert_eq!(upstream.get(LIST).await.body["certificates"][0]["id"], 17);
    assert_eq!(upstream.get(LIST).await.body, first, "and then all is well");
}

#[tokio::test]
async fn orders_are_shown_and_cleared() {
    let upstream = Upstream::new(Options::default());
    let order = json!({"fault": "status", "share": 1.0});
    let shown = upstream.order("/sandbox/faults", order.clone()).await;
    assert_eq!(shown, json!({"faults": [{"order": order, "left": null}]}));
    assert_eq!(upstream.get(LIST).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(upstream.order("/sandbox/faults", json!({"clear": true})).await, json!({"faults": []}));
    assert_eq!(upstream.get(LIST).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_answer_comes_late_and_whole() {
    let upstream = Upstream::new(Options::default());
    upstream.order("/sandbox/faults", json!({"fault": "delay", "delay": "40s"})).await;
    let asked = tokio::time::Instant::now();
    assert_eq!(upstream.get(LIST).await.status, StatusCode::OK);
    assert_eq!(asked.elapsed(), Duration::from_secs(40));
}

/// Serves one connection, sends one call over it, and gives every byte that came back before it was closed.
async fn over_a_socket(upstream: &Upstream) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        let service = TowerToHyperService::new(upstream.router.clone());
        let builder = Builder::new(TokioExecutor::new());
        // A broken answer ends the connection with an error, as it should.
        builder.serve_connection(TokioIo::new(stream), service).await.is_ok()
    };
    let client = async {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let call = format!(
            "GET {LIST} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer k\r\n\
             X-API-Version: 2026-03-01\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(call.as_bytes()).await.expect("sent");
        let mut bytes = Vec::new();
        // A reset is one of the ways in which a broken connection ends; what came before it counts.
        while let Ok(read) = stream.read_buf(&mut bytes).await {
            if read == 0 {
                break;
            }
        }
        bytes
    };
    tokio::join!(server, client).1
}

fn body_and_promised_length(answer: &[u8]) -> (usize, usize) {
    let text = String::from_utf8_lossy(answer).to_lowercase();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let promised = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    (body.len(), promised.parse().expect("a number"))
}

#[tokio::test]
async fn connections_break_where_they_are_to_break() {
    let upstream = Upstream::new(Options::default());
    let (body, promised) = body_and_promised_length(&over_a_socket(&upstream).await);
    assert_eq!(body, promised, "a whole answer");

    upstream.order("/sandbox/faults", json!({"fault": "truncate"})).await;
    let (body, promised) = body_and_promised_length(&over_a_socket(&upstream).await);
    assert!(0 < body && body < promised, "{body} of {promised}");

    upstream.order("/sandbox/faults", json!({"fault": "close"})).await;
    assert_eq!(over_a_socket(&upstream).await, b"", "closed without a word");
}
