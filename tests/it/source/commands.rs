//! Changes and documents: what is sent, and what the answers mean.

use std::time::Duration;

use certhook::model::json::Fields;
use certhook::model::resource::{Coverage, Kind};
use certhook::source::SourceError;
use certhook::source::command::{Command, Commands};
use certhook::source::http::Limits;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{account, account_at, id, now, ok, settings, upstream};

const CANCEL: &str = "/tax/certificate-requests/req_1";

fn canceled(request: &str) -> Value {
    json!({"id": request, "object": "tax.certificate_request", "status": "canceled", "download_url": "canary"})
}

/// An upstream that gives everything the same answer, and what came of asking it to cancel `req_1`.
async fn cancel(answer: ResponseTemplate) -> Result<Value, SourceError> {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let numeral = account_at(&server.uri());
    let answered = numeral.command(&Command::Cancel(id("req_1"))).await;
    let requests = server.received_requests().await.expect("they are recorded");
    let [request] = requests.as_slice() else { panic!("nothing is tried twice: {requests:?}") };
    assert_eq!((request.method.as_str(), request.url.path(), request.body.len()), ("DELETE", CANCEL, 0));
    let (seen, exchange) = answered?;
    assert_eq!(
        (seen.key.kind, seen.coverage, exchange.answered_at),
        (Kind::CertificateRequest, Coverage::Row, now()),
        "what it does not show is not known to be null"
    );
    Ok(Value::Object(seen.fields))
}

#[tokio::test]
async fn a_cancel_gives_the_request_as_it_is_then() {
    let mut expected = canceled("req_1");
    expected.as_object_mut().expect("an object").remove("download_url");
    assert_eq!(cancel(ok(&canceled("req_1"))).await, Ok(expected));
}

#[tokio::test]
async fn what_upstream_refuses_is_refused_and_what_tells_nothing_is_no_answer() {
    let error = |status: u16, kind: &str| {
        ResponseTemplate::new(status).set_body_json(json!({"code": status, "type": kind, "message": "no"}))
    };
    for (status, kind) in [(409, "REQUEST_ALREADY_FULFILLED"), (404, "CERTIFICATE_REQUEST_NOT_FOUND"), (500, "OH_NO")] {
        let expected = SourceError::Refused { status, kind: kind.into(), message: "no".into() };
        assert_eq!(cancel(error(status, kind)).await, Err(expected));
    }
    for answer in [
        ResponseTemplate::new(502).set_body_string("<html>"),
        ResponseTemplate::new(204),
        ok(&canceled("req_2")),
        ok(&json!({"status": "canceled"})),
        ok(&json!({"id": "req_1", "object": "tax.exemption_certificate"})),
        ResponseTemplate::new(200).set_body_string("{\"id\":\"req_1\""),
    ] {
        let told = cancel(answer).await;
        assert!(matches!(told, Err(SourceError::Unavailable(_))), "{told:?}");
    }
}

#[tokio::test]
async fn a_change_without_an_answer_is_not_asked_for_again() {
    let server = MockServer::start().await;
    let late = ok(&canceled("req_1")).set_delay(Duration::from_secs(30));
    Mock::given(any()).respond_with(late).mount(&server).await;
    let limits = Limits { total: Duration::from_millis(200), ..Limits::default() };
    let numeral = account(settings(&server.uri()), limits);
    let told = numeral.command(&Command::Cancel(id("req_1"))).await;
    assert!(matches!(told, Err(SourceError::Unavailable(_))), "{told:?}");
    assert_eq!(server.received_requests().await.expect("they are recorded").len(), 1);
}

#[tokio::test]
async fn a_trigger_sends_its_body_as_it_is_and_gives_the_request_that_it_made() {
    let server = MockServer::start().await;
    let made = ResponseTemplate::new(201).set_body_json(json!({"id": "req_7", "status": "pending"}));
    let target = path("/tax/customers/cust_1/certificate-requests");
    Mock::given(method("POST")).and(target).respond_with(made).expect(1).mount(&server).await;
    let body: Fields = serde_json::from_str(r#"{"z":1.50,"a":[null]}"#).expect("JSON");
    let command = Command::Trigger { customer_id: id("cust_1"), body };
    let (seen, _) = account_at(&server.uri()).command(&command).await.expect("an answer");
    assert_eq!(seen.key.id, id("req_7"));
    let requests = server.received_requests().await.expect("they are recorded");
    assert_eq!(requests[0].body, br#"{"z":1.50,"a":[null]}"#);
    assert_eq!(requests[0].headers["content-type"], "application/json");
}

#[tokio::test]
async fn a_document_is_a_url_that_debug_does_not_show_or_not_there_yet() {
    let at = "/tax/certificates/cert_1";
    let url = "https://signed.example.com/canary";
    let (_server, numeral) = upstream(at, ok(&json!({"id": "cert_1", "download_url": url}))).await;
    let found = numeral.document(&id("cert_1")).await.expect("an answer").expect("a certificate");
    assert!(!format!("{found:?}").contains("canary"), "{found:?}");
    assert_eq!(found.url.expect("a document").expose_secret(), url);
    for missing in [json!({"id": "cert_1", "download_url": null}), json!({"id": "cert_1"})] {
        let (_server, numeral) = upstream(at, ok(&missing)).await;
        assert!(numeral.document(&id("cert_1")).await.expect("an answer").expect("a certificate").url.is_none());
    }
    let (_server, numeral) = upstream(at, ok(&json!({"id": "cert_2", "download_url": url}))).await;
    let told = numeral.document(&id("cert_1")).await.expect_err("another certificate");
    assert!(!told.to_string().contains("canary"), "{told}");
    let unknown = json!({"code": 404, "type": "CERTIFICATE_NOT_FOUND", "message": "no"});
    let (_server, numeral) = upstream(at, ResponseTemplate::new(404).set_body_json(unknown)).await;
    assert!(numeral.document(&id("cert_1")).await.expect("an answer").is_none());
}
