//! What goes out, and how connections are used.

use std::time::Duration;

use certhook::deliver::transport::Transport;
use certhook::model::delivery::Outcome;
use certhook::model::endpoint::OwnHeaders;
use tokio::net::TcpSocket;

use super::fixture::{PATIENT, Receiver, answer, request, send, settings, transport};

#[tokio::test]
async fn a_delivery_is_a_post_of_the_exact_bytes_with_our_headers() {
    let receiver = Receiver::start(vec![answer(200, "", "")]).await;
    let response = transport(&settings(PATIENT)).send(request(&receiver.url("/hook?token=1"))).await;
    assert_eq!(response.outcome, Outcome::Delivered);
    assert_eq!((response.status_code, response.error, response.body), (Some(200), None, None));
    assert_eq!(response.address, Some(receiver.address.to_string()));
    assert!(response.took > Duration::ZERO);

    let seen = receiver.requests().remove(0);
    let (head, body) = seen.split_once("\r\n\r\n").expect("a head and a body");
    let mut lines: Vec<&str> = head.lines().collect();
    lines[1..].sort_unstable();
    let host = format!("host: {}", receiver.address);
    let agent = concat!("user-agent: certhook/", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        lines,
        [
            "POST /hook?token=1 HTTP/1.1",
            "accept: */*",
            "content-length: 14",
            "content-type: application/json",
            &host,
            agent,
            "webhook-id: evt_1"
        ]
    );
    assert_eq!(body, r#"{"id":"evt_1"}"#);
}

#[tokio::test]
async fn a_refused_connection_is_told_from_one_that_broke() {
    // A port that is taken and not listened at.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let closed = format!("http://{}/", socket.local_addr().expect("an address"));
    let response = transport(&settings(PATIENT)).send(request(&closed)).await;
    assert_eq!(response.outcome, Outcome::ConnectFailed);
    assert!(response.error.is_some_and(|error| error.starts_with("Connection refused")));
    assert_eq!((response.status_code, response.address), (None, None));
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_failure_of_dns() {
    // RFC 6761 reserves the name, and no resolver has to be asked for it.
    let response = transport(&settings(PATIENT)).send(request("https://nowhere.invalid/?token=secret")).await;
    assert_eq!(response.outcome, Outcome::DnsFailed);
    let error = response.error.expect("a reason");
    assert!(error.starts_with("cannot resolve nowhere.invalid: "), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Receiver::start(vec![answer(200, "", "")]).await;
    for status in [301, 302, 303, 307, 308] {
        let response = send(vec![answer(status, &format!("location: {}\r\n", target.url("/")), "")], PATIENT).await;
        assert_eq!((response.outcome, response.status_code), (Outcome::Redirected, Some(status)));
    }
    assert!(target.was_never_called().await);
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_an_outcome_and_no_panic() {
    let receiver = Receiver::start(vec![answer(200, "", "")]).await;
    let mut request = request(&receiver.url("/"));
    request.headers.push(("certhook-attempt", "1\r\nevil: 1".into()));
    let response = transport(&settings(PATIENT)).send(request).await;
    assert_eq!(response.outcome, Outcome::Broken);
    assert_eq!(response.error.as_deref(), Some("the request could not be made: certhook-attempt is malformed"));
    assert!(receiver.was_never_called().await);
}

#[tokio::test]
async fn an_own_header_that_cannot_be_sent_is_told_without_its_value() {
    let receiver = Receiver::start(vec![answer(200, "", "")]).await;
    let mut request = request(&receiver.url("/"));
    request.own_headers = OwnHeaders::new([("x-key".into(), "canary\r\nevil: 1".into())].into());
    assert!(!format!("{request:?}").contains("canary"));
    let response = transport(&settings(PATIENT)).send(request).await;
    assert_eq!(response.outcome, Outcome::Broken);
    assert_eq!(response.error.as_deref(), Some("the request could not be made: x-key is malformed"));
    assert!(receiver.was_never_called().await);
}
