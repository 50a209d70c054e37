//! Answers by id.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use certhook::clock::Clock;
use certhook::model::resource::{Coverage, Download, Kind};
use certhook::model::time::Timestamp;
use certhook::source::numeral::Numeral;
use certhook::source::{Fetched, Source, SourceError, Urgency};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::{fetch, id, now, ok, settings, upstream};

const AT: &str = "/tax/certificates/cert_1";

/// What an answer by id is taken for.
async fn fetched(answer: ResponseTemplate) -> Result<Fetched, SourceError> {
    let (_server, numeral) = upstream(AT, answer).await;
    fetch(&numeral, "cert_1").await
}

fn error(status: u16, kind: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"code": status, "type": kind, "message": "said so"}))
}

#[tokio::test]
async fn a_certificate_comes_whole_and_without_its_url() {
    let certificate = json!({
        "id": "cert_1", "object": "tax.exemption_certificate", "status": "active",
        "customer": {"id": "cus_1", "reference_customer_id": null},
        "jurisdictions": [{"jurisdiction_id": "US-CA", "status": "active", "effective_date": "2026-01-01",
            "expiration_date": "2027-01-01"}],
        "created_at": "2026-01-02T10:15:23.456Z", "updated_at": "2026-01-05T11:00:00.000Z", "livemode": true
    });
    let mut answer = certificate.clone();
    answer["download_url"] = "https://signed.example.com/doc?X-Amz-Expires=3600".into();
    let Ok(Fetched::Found(seen, _)) = fetched(ok(&answer)).await else { panic!("it is there") };
    assert_eq!(Value::Object(seen.fields.clone()), certificate);
    assert_eq!((seen.status(), seen.coverage, seen.download), (Some("active"), Coverage::Whole, Download::Available));
    assert!(!format!("{seen:?}").contains("signed.example.com"));
}

#[tokio::test]
async fn a_document_that_is_not_there_yet_is_missing_whether_null_or_absent() {
    for answer in [json!({"id": "cert_1", "download_url": null}), json!({"id": "cert_1"})] {
        let Ok(Fetched::Found(seen, _)) = fetched(ok(&answer)).await else { panic!("it is there") };
        assert_eq!(seen.download, Download::Missing);
        assert!(!seen.fields.contains_key("download_url"));
    }
}

#[tokio::test]
async fn an_answer_that_is_not_the_resource_asked_for_is_malformed_and_shields_it() {
    let too_large = json!({"id": "cert_1", "padding": "x".repeat(24 * 1024)});
    for answer in [
        json!({"id": "cert_2"}),
        json!({"id": "CERT_1"}),
        json!({"id": null}),
        json!({}),
        json!([]),
        json!(null),
        json!("cert_1"),
        json!({"id": "cert_1", "object": "tax.certificate_request"}),
        json!({"id": "cert_1", "status": {}}),
        json!({"object": "list", "certificates": [{"id": "cert_1"}], "has_more": false}),
        too_large,
    ] {
        let Ok(Fetched::Malformed(malformed)) = fetched(ok(&answer)).await else { panic!("malformed: {answer}") };
        assert_eq!(malformed.id, Some(id("cert_1")), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_json_is_unavailable_and_not_repeated() {
    for body in ["", "<html>maintenance</html>", r#"{"id":"cert_1","download_url":"https://x.test/?sig=secret"#] {
        let error = fetched(ResponseTemplate::new(200).set_body_string(body)).await.expect_err("no JSON");
        assert!(matches!(error, SourceError::Unavailable(_)), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn deep_nesting_is_malformed_and_no_crash() {
    let deep = format!(r#"{{"id":"cert_1","x":{}{}}}"#, "[".repeat(12_000), "]".repeat(12_000));
    let Ok(Fetched::Malformed(_)) = fetched(ResponseTemplate::new(200).set_body_string(deep)).await else {
        panic!("malformed")
    };
    let unclosed = "[".repeat(2_000_000);
    let error = fetched(ResponseTemplate::new(200).set_body_string(unclosed)).await.expect_err("no JSON");
    assert!(matches!(error, SourceError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_404_of_the_vendors_is_not_found() {
    let nested = json!({"error": {"code": 404, "type": "CERTIFICATE_NOT_FOUND", "message": "none"}});
    for answer in [
        error(404, "CERTIFICATE_NOT_FOUND"),
        error(404, "CERTIFICATE_REQUEST_NOT_FOUND"),
        error(404, "NOT_FOUND"),
        ResponseTemplate::new(404).set_body_json(nested),
        ResponseTemplate::new(404).set_body_json(json!({"code": 404, "message": "none"})),
    ] {
        assert!(matches!(fetched(answer).await, Ok(Fetched::NotFound(_))));
    }
}

#[tokio::test]
async fn a_404_of_something_in_between_is_no_answer_of_the_vendors() {
    for body in ["<html>404 page not found</html>", "", "404 page not found", "null"] {
        let error = fetched(ResponseTemplate::new(404).set_body_string(body)).await.expect_err("not the vendor's");
        assert!(matches!(error, SourceError::Unavailable(_)), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_404_about_something_else_and_a_410_are_refusals() {
    for (status, kind) in [(404, "ROUTE_NOT_FOUND"), (404, "CUSTOMER_NOT_FOUND"), (410, "CERTIFICATE_NOT_FOUND")] {
        let Err(SourceError::Refused { status: told, kind: word, .. }) = fetched(error(status, kind)).await else {
            panic!("{kind} must be refused")
        };
        assert_eq!((told, word.as_str()), (status, kind));
    }
}

/// A clock that moves on by a second whenever it is read.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1000, Ordering::Relaxed))
    }
}

#[tokio::test]
async fn an_exchange_knows_when_it_was_asked_answered_and_what_upstreams_clock_said() {
    let begun = now();
    for (date, upstream_at) in [
        ("Sat, 21 Nov 2026 05:00:00 GMT", "2026-11-21T05:00:00Z".parse().ok()),
        ("Saturday, 21-Nov-26 05:00:00 GMT", "2026-11-21T05:00:00Z".parse().ok()),
        ("some time ago", None),
    ] {
        for answer in [ok(&json!({"id": "cert_1"})), error(404, "CERTIFICATE_NOT_FOUND")] {
            let (server, _) = upstream(AT, answer.insert_header("date", date)).await;
            let clock = Ticking(AtomicI64::new(begun.as_millis()));
            let numeral = Numeral::new(settings(&server.uri()), Arc::new(clock)).expect("good settings");
            let exchange = match numeral.get(Kind::Certificate, &id("cert_1"), Urgency::Api).await.expect("an answer") {
                Fetched::Found(_, exchange) | Fetched::NotFound(exchange) => exchange,
                Fetched::Malformed(malformed) => panic!("{malformed}"),
            };
            assert_eq!(exchange.asked_at, begun);
            assert_eq!(exchange.answered_at, begun.plus(std::time::Duration::from_secs(1)));
            assert_eq!(exchange.upstream_at, upstream_at, "{date}");
        }
    }
}
