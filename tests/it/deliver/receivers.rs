//! What receivers can say, and what is made of it.

use certhook::deliver::transport::Response;
use certhook::model::delivery::Outcome;

use super::fixture::{PATIENT, answer, say, send};

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
    assert_eq!(response.body, Some("x".repeat(1022)), "a character that is cut in its middle is left out");
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
