//! Calls that are passed upstream.

use certhook::api::commands::CallError;
use certhook::model::resource::{Kind, Snapshot};
use serde_json::{Value, json};

use super::door::{BEGIN, Door};
use super::resources::{put, snapshot};

pub(super) fn request(id: &str, customer: &str, status: &str) -> Snapshot {
    let object = json!({
        "id": id, "object": "tax.certificate_request", "status": status, "certificate_type_id": "US-CA",
        "customer": {"id": customer, "reference_customer_id": "20506"}, "created_at": BEGIN,
    });
    snapshot("numeral", Kind::CertificateRequest, &object)
}

fn refused(status: u16, kind: &str) -> CallError {
    CallError::Refused { status, kind: kind.into(), message: "the vendor's text".into() }
}

#[tokio::test]
async fn a_request_is_canceled_where_it_is_held_and_shown_as_it_is_then() {
    let door = Door::open().await;
    put(&door, [request("req_1", "cust_1", "pending")]).await;
    door.upstream.changes.lock().unwrap().push_back(Ok(request("req_1", "cust_1", "canceled")));
    let canceled = door.json("DELETE /v1/certificate-requests/req_1", "").await;
    assert_eq!((&canceled["status"], &canceled["source"]), (&json!("canceled"), &json!("numeral")));
    let asked = door.upstream.asked.lock().unwrap().clone();
    assert_eq!((asked[0].0.as_str(), asked[0].2.as_str()), ("numeral", "req_1"));
}

#[tokio::test]
async fn upstreams_errors_come_back_as_they_are_and_silence_is_an_unknown_outcome() {
    let door = Door::open().await;
    put(&door, [request("req_1", "cust_1", "fulfilled")]).await;
    for (error, status, word) in [
        (refused(409, "REQUEST_ALREADY_FULFILLED"), 409, "REQUEST_ALREADY_FULFILLED"),
        (refused(404, "CERTIFICATE_REQUEST_NOT_FOUND"), 404, "CERTIFICATE_REQUEST_NOT_FOUND"),
        (refused(500, "INTERNAL_ERROR"), 500, "INTERNAL_ERROR"),
        (refused(401, "INVALID_API_KEY"), 502, "INVALID_API_KEY"),
        (refused(200, "TESTMODE_NOT_SUPPORTED"), 502, "TESTMODE_NOT_SUPPORTED"),
        (CallError::NoAnswer("no whole answer within 60s".into()), 504, "UPSTREAM_OUTCOME_UNKNOWN"),
        (CallError::Stopping, 504, "UPSTREAM_OUTCOME_UNKNOWN"),
    ] {
        door.upstream.changes.lock().unwrap().push_back(Err(error));
        let answer = door.call("DELETE /v1/certificate-requests/req_1", "").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (status, &json!(word)));
        assert_eq!(answer.json()["code"], status);
    }
    let answer = door.call("POST /v1/customers/cust_1/certificate-requests?source=numeral", "{}").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (504, &json!("UPSTREAM_OUTCOME_UNKNOWN")));
}

#[tokio::test]
async fn a_redirect_from_upstream_is_none_of_ours() {
    let door = Door::open().await;
    put(
        &door,
        [request("req_1", "cust_1", "pending"), snapshot("numeral", Kind::Certificate, &json!({"id": "cert_1"}))],
    )
    .await;
    for (line, status) in [
        ("DELETE /v1/certificate-requests/req_1", 301),
        ("POST /v1/customers/cust_1/certificate-requests?source=numeral", 307),
        ("GET /v1/certificate-requests/req_1?fresh=true", 302),
        ("GET /v1/certificates/cert_1?fresh=true", 308),
    ] {
        let moved = || refused(status, "NO_TYPE");
        door.upstream.changes.lock().unwrap().push_back(Err(moved()));
        door.upstream.answers.lock().unwrap().push(("numeral".parse().unwrap(), Err(moved())));
        let answer = door.call(line, "").await;
        let expected = json!({"code": 502, "type": "UPSTREAM_REFUSED", "message": "the vendor's text"});
        assert_eq!((answer.status.as_u16(), answer.json()), (502, expected), "{line}");
        door.upstream.changes.lock().unwrap().clear();
        door.upstream.answers.lock().unwrap().clear();
    }
}

#[tokio::test]
async fn a_change_is_asked_of_one_source_only() {
    let door = Door::open().await;
    for line in ["DELETE /v1/certificate-requests/req_9", "POST /v1/customers/cust_1/certificate-requests"] {
        let answer = door.call(line, "").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (400, &json!("SOURCE_AMBIGUOUS")), "{line}");
        assert_eq!(answer.json()["errors"][0]["field"], "source", "{line}");
    }
    let answer = door.call("POST /v1/customers/..%2Fcust/certificate-requests?source=europe", "").await;
    assert_eq!(answer.json()["errors"][0]["field"], "customer_id");
    assert!(door.upstream.asked.lock().unwrap().is_empty(), "nobody was asked");
    door.upstream.changes.lock().unwrap().push_back(Ok(request("req_9", "cust_1", "canceled")));
    door.call("DELETE /v1/certificate-requests/req_9?source=europe", "").await;
    assert_eq!(door.upstream.asked.lock().unwrap()[0].0, "europe", "whoever names a source is asked there");
}

#[tokio::test]
async fn a_trigger_passes_its_body_on_and_shows_the_request_that_it_made() {
    let door = Door::open().await;
    door.upstream.changes.lock().unwrap().push_back(Ok(request("req_2", "cust_1", "pending")));
    let body = r#"{"certificate_type_id":"US-CA","whatever":[1.50]}"#;
    let answer = door.call("POST /v1/customers/cust_1/certificate-requests?source=numeral", body).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["id"]), (201, &json!("req_2")));
    let asked = door.upstream.asked.lock().unwrap().clone();
    assert_eq!((asked[0].2.as_str(), asked[0].3.as_str()), ("cust_1", body), "word for word");
}

#[tokio::test]
async fn all_that_a_customer_is_still_asked_for_is_canceled_at_once() {
    let door = Door::open().await;
    let mut other = request("req_3", "cust_1", "pending");
    other.key.source = "europe".parse().unwrap();
    put(
        &door,
        [
            request("req_1", "cust_1", "pending"),
            request("req_2", "cust_1", "pending"),
            other,
            request("req_4", "cust_1", "fulfilled"),
            request("req_5", "cust_2", "pending"),
        ],
    )
    .await;
    let ids = |answer: &Value| -> Vec<String> {
        answer["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().into()).collect()
    };
    let dry = r#"{"customer_id":"20506","id_type":"reference_customer_id","source":"numeral","dry_run":true}"#;
    let answer = door.json("POST /v1/certificate-requests/cancel", dry).await;
    assert_eq!(ids(&answer), ["req_1", "req_2", "req_5"]);
    assert_eq!((&answer["matched"], &answer["dry_run"], &answer["has_more"]), (&json!(3), &json!(true), &json!(false)));
    assert!(door.upstream.asked.lock().unwrap().is_empty(), "nobody was asked");
    {
        let mut changes = door.upstream.changes.lock().unwrap();
        changes.push_back(Ok(request("req_1", "cust_1", "canceled")));
        changes.push_back(Err(refused(409, "REQUEST_ALREADY_FULFILLED")));
    }
    let wanted = r#"{"customer_id":"cust_1","certificate_type_id":"US-CA"}"#;
    let answer = door.json("POST /v1/certificate-requests/cancel", wanted).await;
    assert_eq!(ids(&answer), ["req_1", "req_2", "req_3"]);
    assert_eq!(door.upstream.asked.lock().unwrap().len(), 3, "one that is refused spoils no other");
    assert_eq!(answer["data"][0], json!({"id": "req_1", "source": "numeral", "status": "canceled", "error": null}));
    let error = json!({"code": 409, "type": "REQUEST_ALREADY_FULFILLED", "message": "the vendor's text"});
    assert_eq!(answer["data"][1], json!({"id": "req_2", "source": "numeral", "status": "pending", "error": error}));
    let bad = door.call("POST /v1/certificate-requests/cancel", r#"{"dry_run":"yes","all":true}"#).await;
    let fields: Vec<Value> =
        bad.json()["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
    assert_eq!(fields, ["customer_id", "dry_run", "all"]);
}

#[tokio::test]
async fn the_first_request_that_upstream_does_not_answer_is_the_last_that_is_asked_for() {
    let door = Door::open().await;
    put(&door, (1..=4).map(|number| request(&format!("req_{number}"), "cust_1", "pending"))).await;
    let silence = || CallError::NoAnswer("no whole answer within 60s".into());
    let error = json!({"code": 504, "type": "UPSTREAM_OUTCOME_UNKNOWN", "message": "no whole answer within 60s"});
    let wanted = r#"{"customer_id":"cust_1"}"#;
    let told = |status: [&str; 4], error: [Value; 4]| -> Value {
        (1..).zip(status.iter().zip(error)).map(|(number, (status, error))| {
            json!({"id": format!("req_{number}"), "source": "numeral", "status": status, "error": error})
        }).collect()
    };
    door.upstream.changes.lock().unwrap().push_back(Ok(request("req_1", "cust_1", "canceled")));
    door.upstream.changes.lock().unwrap().push_back(Err(silence()));
    let answer = door.json("POST /v1/certificate-requests/cancel", wanted).await;
    let none = || Value::Null;
    assert_eq!(
        answer["data"],
        told(["canceled", "unknown", "pending", "pending"], [none(), error.clone(), none(), none()])
    );
    assert_eq!(door.upstream.asked.lock().unwrap().len(), 2);
    let entries = async || door.json("GET /v1/audit?order=asc", "").await["data"].as_array().unwrap().clone();
    let entry = entries().await.pop().unwrap();
    assert_eq!((&entry["resource_id"], &entry["after"]), (&json!("cust_1"), &answer), "whose requests they were");

    let known = entries().await.len();
    door.upstream.changes.lock().unwrap().push_back(Err(silence()));
    let answer = door.json("POST /v1/certificate-requests/cancel", r#"{"customer_id":"cust_1"}"#).await;
    assert_eq!(answer["data"][0]["status"], "unknown", "{answer}");
    assert_eq!(entries().await.len(), known + 1, "it may have been done");
}

#[tokio::test]
async fn a_document_is_where_upstream_says_for_now_and_kept_by_nobody() {
    let door = Door::open().await;
    put(&door, [snapshot("numeral", Kind::Certificate, &json!({"id": "cert_1"}))]).await;
    let path = "GET /v1/certificates/cert_1/download";
    let answer = door.call(path, "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (404, &json!("CERTIFICATE_NOT_FOUND")));
    *door.upstream.document.lock().unwrap() = Some(None);
    let answer = door.call(path, "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (404, &json!("DOCUMENT_NOT_AVAILABLE")));
    let url = "https://signed.example.com/doc?X-Amz-Signature=abc";
    *door.upstream.document.lock().unwrap() = Some(Some(url.into()));
    let answer = door.call(path, "").await;
    assert_eq!((answer.status.as_u16(), answer.header("location"), answer.text.as_str()), (302, url, ""));
    assert_eq!(answer.header("cache-control"), "no-store");
    let answer = door.call(&format!("{path}?redirect=false"), "").await;
    assert_eq!(answer.json(), json!({"url": url, "expires_at": "2026-11-21T05:00:00.000Z"}));
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
    *door.upstream.document.lock().unwrap() = Some(Some("https://a.test/\nset-cookie: x".into()));
    assert_eq!(door.call(path, "").await.status.as_u16(), 504, "no header can be smuggled in");
}
