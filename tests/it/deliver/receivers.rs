//! Receivers of every kind, from the polite to the hostile.

use std::time::Duration;

use certhook::deliver::transport::{Response, Transport};
use certhook::model::delivery::Outcome;

use super::fixture::{IMPATIENT, PATIENT, Receiver, Step, answer, request, say, send, settings, transport};

const MOMENT: Duration = Duration::from_millis(20);

fn shown(response: &Response) -> (Outcome, Option<u16>, Option<&str>, Option<&str>) {
    (response.outcome, response.status_code, response.error.as_deref(), response.body.as_deref())
}

#[tokio::test]
async fn the_status_says_what_became_of_it() {
    for (status, outcome, error) in [
        (200, Outcome::Delivered, None),
        (201, Outcome::Delivered, None),
        (299, Outcome::Delivered, None),
        (304, Outcome::Redirected, Some("the receiver answered 304 Not Modified; redirects are not followed")),
        (400, Outcome::Rejected, Some("the receiver answered 400 Bad Request")),
        (404, Outcome::Rejected, Some("the receiver answered 404 Not Found")),
        (408, Outcome::Rejected, Some("the receiver answered 408 Request Timeout")),
        (410, Outcome::Gone, Some("the receiver answered 410 Gone; it wants no more deliveries")),
        (429, Outcome::Throttled, Some("the receiver answered 429 Too Many Requests")),
        (500, Outcome::ServerError, Some("the receiver answered 500 Internal Server Error")),
        (503, Outcome::Throttled, Some("the receiver answered 503 Service Unavailable")),
        (799, Outcome::ServerError, Some("the receiver answered 799")),
    ] {
        let response = send(vec![answer(status, "retry-after: 7\r\n", "")], PATIENT).await;
        assert_eq!(shown(&response), (outcome, Some(status), error, None));
        let asked = matches!(status, 429 | 503).then(|| "7".to_owned());
        assert_eq!(response.retry_after, asked, "{status}");
    }
}

#[tokio::test]
async fn a_receiver_can_end_a_delivery_or_all_of_them_by_a_header() {
    let response = send(vec![answer(500, "webhook-delivery: abort-message\r\n", "")], PATIENT).await;
    assert_eq!((response.outcome, response.status_code), (Outcome::Aborted, Some(500)));
    let response = send(vec![answer(200, "Webhook-Delivery: disable\r\n", "")], PATIENT).await;
    assert_eq!((response.outcome, response.status_code), (Outcome::Gone, Some(200)));
}

#[tokio::test]
async fn of_a_failure_the_first_kib_of_the_body_is_kept_and_of_a_success_nothing() {
    let long = format!("{}€{}", "x".repeat(1022), "y".repeat(9_000));
    let response = send(vec![answer(500, "", &long)], PATIENT).await;
    assert_eq!(response.body, Some(format!("{}\u{fffd}", "x".repeat(1022))), "cut in the middle of a character");
    let response = send(vec![answer(200, "", &long)], PATIENT).await;
    assert_eq!(response.body, None);
}

#[tokio::test]
async fn a_compressed_body_is_left_alone() {
    let response = send(vec![answer(500, "content-encoding: gzip\r\n", "\x1f not gzip at all")], PATIENT).await;
    assert_eq!(response.outcome, Outcome::ServerError);
    assert_eq!(response.body.as_deref(), Some("\x1f not gzip at all"));
}

#[tokio::test]
async fn interim_responses_are_passed_over() {
    let script = vec![say("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"), answer(200, "", "")];
    assert_eq!(send(script, PATIENT).await.outcome, Outcome::Delivered);
}

#[tokio::test]
async fn a_success_stands_whatever_becomes_of_its_body() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for script in [
        vec![say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ntoo short"), Step::Close],
        vec![say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"), Step::Reset],
        vec![say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"), Step::Hang],
        vec![say("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"), Step::Hang],
        vec![say(chunked), say("not a chunk\r\n"), Step::Close],
        vec![say(chunked), Step::Repeat(b"1\r\nx\r\n".to_vec(), MOMENT)],
        vec![say(chunked), Step::Repeat([b"1000\r\n", &[b'x'; 4096][..], b"\r\n"].concat(), Duration::ZERO)],
    ] {
        let mut receiver = Receiver::start(script.clone()).await;
        let transport = transport(&settings(PATIENT));
        let response = transport.send(request(&receiver.url("/"))).await;
        assert_eq!(shown(&response), (Outcome::Delivered, Some(200), None, None), "{script:?}");
        assert!(response.took < PATIENT / 2, "a slow body does not hold the slot until the deadline");
        receiver.left_alone().await;
    }
}

#[tokio::test]
async fn a_failure_with_a_broken_or_slow_body_is_still_that_failure() {
    let head = "HTTP/1.1 500 No\r\ncontent-length: 100\r\n\r\n";
    let drip = vec![say("HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n"), say("3\r\nwhy\r\n"), Step::Hang];
    for (script, body) in [
        (vec![say(head), say("because"), Step::Close], Some("because")),
        (vec![say(head), Step::Hang], None),
        (drip, Some("why")),
    ] {
        let response = send(script.clone(), PATIENT).await;
        assert_eq!((response.outcome, response.body.as_deref()), (Outcome::ServerError, body), "{script:?}");
        assert!(response.took < PATIENT / 2);
    }
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_meets_the_deadline() {
    for script in [
        vec![Step::Hang],
        vec![say("HTTP/1.1 200 OK\r\n"), Step::Hang],
        vec![say("HTTP/1.1 200 OK\r\n"), Step::Repeat(b"x-drip: 1\r\n".to_vec(), MOMENT)],
        vec![say("HTTP/1.1 100 Continue\r\n\r\n"), Step::Hang],
    ] {
        let response = send(script.clone(), IMPATIENT).await;
        assert_eq!(response.outcome, Outcome::TimedOut, "{script:?}");
        assert_eq!(response.error.as_deref(), Some("no response within 300 ms"));
        assert!(response.took >= IMPATIENT && response.took < PATIENT / 2, "{:?}", response.took);
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_broken_connection() {
    let many = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect::<String>();
    for script in [
        vec![Step::Close],
        vec![Step::Reset],
        vec![say("SSH-2.0-OpenSSH_9.6\r\n"), Step::Close],
        vec![say([0_u8, 1, 2, 255, 13, 10, 13, 10]), Step::Close],
        vec![say("HTTP/1.1 2000 OK\r\n\r\n"), Step::Close],
        vec![say("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n"), Step::Close],
        vec![say("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx"), Step::Close],
        vec![say("HTTP/1.1 200 OK\r\nx: "), say(vec![b'x'; 1024 * 1024]), say("\r\n\r\n"), Step::Close],
        vec![say("HTTP/1.1 200 OK\r\n"), say(many), say("\r\n"), Step::Close],
        vec![say("HTTP/1.1 200 OK\r\nx"), Step::Reset],
    ] {
        let response = send(script.clone(), PATIENT).await;
        assert_eq!((response.outcome, response.status_code), (Outcome::Broken, None));
        assert!(response.error.is_some_and(|error| !error.is_empty()));
    }
}
