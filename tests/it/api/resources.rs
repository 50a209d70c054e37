//! Certificates and certificate requests as they were last seen.

use std::time::Duration;

use certhook::api::commands::CallError;
use certhook::clock::Clock;
use certhook::model::json::Json;
use certhook::model::resource::{
    Absence, AbsenceState, Agenda, Download, Kind, Removal, RemovalReason, ResourceKey, Snapshot,
};
use certhook::model::time::Timestamp;
use certhook::store::SightCommit;
use serde_json::{Value, json};

use super::door::{BEGIN, Door};

pub(super) fn snapshot(source: &str, kind: Kind, object: &Value) -> Snapshot {
    let key =
        ResourceKey { source: source.parse().unwrap(), kind, id: object["id"].as_str().unwrap().parse().unwrap() };
    Snapshot {
        key,
        object_version: 3,
        object: Json::of(object),
        observed_at: BEGIN.parse().unwrap(),
        row_fingerprint: None,
        download: Download::Available,
        removed: None,
        is_whole: true,
        open_list: None,
        agenda: Agenda::default(),
    }
}

pub(super) async fn put(door: &Door, snapshots: impl IntoIterator<Item = Snapshot>) {
    let commit = |snapshot| SightCommit { snapshot: Some(snapshot), ..SightCommit::default() };
    door.store.commit_sights(snapshots.into_iter().map(commit).collect(), None).await.unwrap();
}

fn certificate(number: u32) -> Value {
    let status = ["active", "expiring", "needs_info"][number as usize % 3];
    json!({
        "id": format!("cert_{number}"), "object": "tax.exemption_certificate", "status": status,
        "certificate_type": {"id": number.to_string(), "certificate_identifier": format!("US-{number}")},
        "customer": {"id": format!("cust_{}", number % 4), "reference_customer_id": format!("crm-{}", number % 4)},
        "jurisdictions": [{"jurisdiction_id": "US-CA", "status": status, "expiration_date": format!("2026-12-{:02}", number + 1)}],
        "expiration_date": format!("2026-12-{:02}", number + 1),
        "created_at": format!("2026-01-{:02}T00:00:00Z", number / 2 + 1), "updated_at": format!("2026-02-{:02}T00:00:00Z", number + 1),
        "livemode": true,
    })
}

fn numbers(all: &[Value]) -> Vec<u32> {
    all.iter().map(|one| one["id"].as_str().unwrap().rsplit('_').next().unwrap().parse().unwrap()).collect()
}

async fn twelve() -> Door {
    let door = Door::open().await;
    let source = |number: u32| if number < 8 { "numeral" } else { "europe" };
    put(&door, (0..12).map(|number| snapshot(source(number), Kind::Certificate, &certificate(number)))).await;
    door
}

#[tokio::test]
async fn a_resource_is_shown_as_upstream_showed_it_with_what_is_known_of_that_sight() {
    let door = twelve().await;
    let mut expected = certificate(2);
    expected["source"] = json!("numeral");
    expected["object_version"] = json!(3);
    expected["observed_at"] = json!(BEGIN);
    assert_eq!(door.json("GET /v1/certificates/cert_2", "").await, expected);
    let page = door.json("GET /v1/certificates?customer_id=cust_2&limit=1&order=asc", "").await;
    assert_eq!(page["data"], json!([expected]));
    assert!(door.upstream.asked.lock().unwrap().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn lists_come_newest_first_page_by_page_and_say_how_far_they_are_known() {
    let door = twelve().await;
    let page = door.json("GET /v1/certificates", "").await;
    assert_eq!(numbers(page["data"].as_array().unwrap()), [11, 10, 9, 8, 7, 6, 5, 4, 3, 2], "by creation, then by id");
    let source = |name| json!({"name": name, "as_of": "2026-11-21T04:00:00.000Z", "complete": true});
    assert_eq!(page["sources"], json!([source("numeral"), source("europe"), source("broken")]));
    let (sizes, all) = door.pages("/v1/certificates?limit=5&order=asc").await;
    assert_eq!(sizes, [5, 5, 2]);
    let wanted: Vec<u32> = (0..12).collect();
    assert_eq!(numbers(&all), wanted);
    let page = door.json("GET /v1/certificates?source=europe&limit=100", "").await;
    assert_eq!(numbers(page["data"].as_array().unwrap()), [11, 10, 9, 8]);
    assert_eq!(page["sources"], json!([source("europe")]));
    let empty = door.json("GET /v1/certificate-requests", "").await;
    assert_eq!((&empty["data"], &empty["has_more"]), (&json!([]), &json!(false)));
}

#[tokio::test]
async fn every_filter_of_the_vendors_narrows_the_list() {
    let door = twelve().await;
    for (query, wanted) in [
        ("status=needs_info", vec![11, 8, 5, 2]),
        ("customer_id=cust_1", vec![9, 5, 1]),
        ("customer_id=crm-1&id_type=reference_customer_id", vec![9, 5, 1]),
        ("customer_id=crm-1&id_type=id", vec![]),
        ("id_type=reference_customer_id&status=needs_info", vec![11, 8, 5, 2]),
        ("jurisdiction=US-CA&certificate_type_id=7", vec![7]),
        ("certificate_type_id=US-7", vec![7]),
        ("jurisdiction=US-TX", vec![]),
        ("created_after=2026-01-05T00:00:00Z&created_before=2026-01-05T00:00:00Z", vec![9, 8]),
        ("updated_after=2026-02-11T01:00:00%2B01:00", vec![11, 10]),
        ("updated_before=2026-02-02T00:00:00Z", vec![1, 0]),
        ("customer_id=cust_3&status=active&source=numeral", vec![3]),
        ("removed=true", vec![]),
        ("removed=false&certificate_type_id=1", vec![1]),
    ] {
        let (_, all) = door.pages(&format!("/v1/certificates?limit=3&{query}")).await;
        assert_eq!(numbers(&all), wanted, "{query}");
    }
}

#[tokio::test]
async fn what_expires_within_some_days_is_found_by_the_certificates_date_or_that_of_a_jurisdiction() {
    let door = twelve().await;
    let mut other = certificate(20);
    other["expiration_date"] = json!("2026-12-02");
    other["jurisdictions"] = json!([{"jurisdiction_id": "US-TX", "expiration_date": "2026-11-20"}]);
    put(&door, [snapshot("numeral", Kind::Certificate, &other)]).await;
    // It is the evening of the 20th in the configured zone.
    for (query, wanted) in [
        ("expiring_within=11d", vec![0]),
        ("expiring_within=12d", vec![20, 1, 0]),
        ("expiring_within=12d&jurisdiction=US-CA", vec![1, 0]),
        ("expiring_within=0d&jurisdiction=US-TX", vec![20]),
        ("expiring_within=0d", vec![]),
    ] {
        let (_, all) = door.pages(&format!("/v1/certificates?{query}")).await;
        assert_eq!(numbers(&all), wanted, "{query}");
    }
    door.clock.advance(Duration::from_secs(3_600));
    let (_, all) = door.pages("/v1/certificates?expiring_within=0d&jurisdiction=US-TX").await;
    assert_eq!(all, [] as [Value; 0], "its last valid day is over");
    let request = json!({"id": "req_1", "status": "pending", "expires_at": "2026-11-30T10:00:00Z"});
    put(&door, [snapshot("numeral", Kind::CertificateRequest, &request)]).await;
    for (days, wanted) in [(9, 1), (8, 0)] {
        let (_, all) = door.pages(&format!("/v1/certificate-requests?expiring_within={days}d")).await;
        assert_eq!(all.len(), wanted);
    }
}

#[tokio::test]
async fn bad_parameters_are_refused_by_name() {
    let door = Door::open().await;
    for (path, word, field) in [
        ("certificates?status=pending", "INVALID_REQUEST", "status"),
        ("certificate-requests?status=active", "INVALID_REQUEST", "status"),
        ("certificates?id_type=uuid", "INVALID_REQUEST", "id_type"),
        ("certificates?created_after=yesterday", "INVALID_REQUEST", "created_after"),
        ("certificates?updated_before=2026-01-01", "INVALID_REQUEST", "updated_before"),
        ("certificates?limit=0", "INVALID_REQUEST", "limit"),
        ("certificates?limit=101", "INVALID_REQUEST", "limit"),
        ("certificates?order=newest", "INVALID_REQUEST", "order"),
        ("certificates?cursor=cert_1", "INVALID_REQUEST", "cursor"),
        ("certificates?source=nowhere", "INVALID_REQUEST", "source"),
        ("certificates?removed=yes", "INVALID_REQUEST", "removed"),
        ("certificates?expiring_within=30", "INVALID_REQUEST", "expiring_within"),
        ("certificates?expiring_within=-1d", "INVALID_REQUEST", "expiring_within"),
        ("certificates?expiring_within=12h", "INVALID_REQUEST", "expiring_within"),
        ("certificates?expiring_within=3651d", "INVALID_REQUEST", "expiring_within"),
        ("certificates?colour=red", "UNRECOGNIZED_FIELD", "colour"),
        ("certificate-requests?jurisdiction=US-CA", "UNRECOGNIZED_FIELD", "jurisdiction"),
        ("certificates/cert_1?limit=1", "UNRECOGNIZED_FIELD", "limit"),
        ("certificates/cert_1?fresh=1", "INVALID_REQUEST", "fresh"),
        ("exemptions?jurisdiction=US-CA", "INVALID_REQUEST", "customer_id"),
        ("exemptions?customer_id=cust_1", "INVALID_REQUEST", "jurisdiction"),
        ("exemptions?customer_id=a&jurisdiction=b&on=today", "UNRECOGNIZED_FIELD", "on"),
    ] {
        let answer = door.call(&format!("GET /v1/{path}"), "").await;
        assert_eq!(answer.status.as_u16(), 400, "{path}");
        let body = answer.json();
        assert_eq!((&body["type"], &body["errors"][0]["field"]), (&json!(word), &json!(field)), "{path}: {body}");
    }
    let answer = door.call("GET /v1/certificates?status=gone&limit=x&colour=red", "").await;
    assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 3, "all at once");
}

#[tokio::test]
async fn a_cursor_of_one_kind_means_nothing_to_the_other() {
    let door = twelve().await;
    let page = door.json("GET /v1/certificates?limit=1", "").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let answer = door.call(&format!("GET /v1/certificate-requests?cursor={cursor}"), "").await;
    assert_eq!(answer.json()["errors"][0]["field"], "cursor");
}

fn gone(snapshot: Snapshot) -> Snapshot {
    let removed = Some(Removal { reason: RemovalReason::Unlisted, at: BEGIN.parse().unwrap() });
    Snapshot { removed, ..snapshot }
}

#[tokio::test]
async fn what_was_removed_is_shown_only_to_who_asks_for_it() {
    let door = twelve().await;
    put(&door, [gone(snapshot("numeral", Kind::Certificate, &certificate(3)))]).await;
    let (_, all) = door.pages("/v1/certificates?limit=100").await;
    assert_eq!(all.len(), 11);
    let (_, all) = door.pages("/v1/certificates?removed=true").await;
    assert_eq!(numbers(&all), [3]);
    assert_eq!(all[0]["removed"], json!({"reason": "unlisted", "at": BEGIN}));
    let answer = door.call("GET /v1/certificates/cert_3", "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (404, &json!("CERTIFICATE_NOT_FOUND")));
    assert!(answer.text.contains("was removed at 2026-11-21T04:00:00.000Z; removed=true shows it"), "{}", answer.text);
    assert_eq!(door.json("GET /v1/certificates/cert_3?removed=true", "").await["removed"]["reason"], "unlisted");
    assert_eq!(door.json("GET /v1/certificates/cert_4?removed=true", "").await.get("removed"), None);
}

#[tokio::test]
async fn a_removal_that_is_withheld_shows_on_the_resource() {
    let door = twelve().await;
    let mut absences = Vec::new();
    for (number, state) in [(1, AbsenceState::Withheld), (2, AbsenceState::Kept), (3, AbsenceState::Confirmed)] {
        let key = snapshot("numeral", Kind::Certificate, &certificate(number)).key;
        let absence = Absence { key: key.clone(), state, since: BEGIN.parse().unwrap() };
        absences.push(SightCommit { absence: Some((key, Some(absence))), ..SightCommit::default() });
    }
    door.store.commit_sights(absences, None).await.unwrap();
    let (_, all) = door.pages("/v1/certificates?limit=5").await;
    let marked: Vec<Value> = all.into_iter().filter(|one| one.get("removal").is_some()).collect();
    assert_eq!(numbers(&marked), [1]);
    assert_eq!(marked[0]["removal"], "withheld");
    assert_eq!(door.json("GET /v1/certificates/cert_1", "").await["removal"], "withheld");
    assert_eq!(door.json("GET /v1/certificates/cert_2", "").await.get("removal"), None);
}

#[tokio::test]
async fn an_id_that_two_sources_hold_needs_the_source() {
    let door = twelve().await;
    let mut other = certificate(1);
    other["status"] = json!("invalid");
    put(&door, [snapshot("europe", Kind::Certificate, &other)]).await;
    for query in ["", "?fresh=true"] {
        let answer = door.call(&format!("GET /v1/certificates/cert_1{query}"), "").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (400, &json!("SOURCE_AMBIGUOUS")));
        assert_eq!(answer.json()["errors"][0]["field"], "source");
        assert!(answer.text.contains("numeral, europe"), "{}", answer.text);
    }
    assert!(door.upstream.asked.lock().unwrap().is_empty());
    assert_eq!(door.json("GET /v1/certificates/cert_1?source=europe", "").await["status"], "invalid");
    assert_eq!(door.json("GET /v1/certificates/cert_1?source=numeral", "").await["status"], "expiring");
    put(&door, [gone(snapshot("europe", Kind::Certificate, &other))]).await;
    let only = door.json("GET /v1/certificates/cert_1?removed=true", "").await;
    assert_eq!(only["source"], "numeral", "what is gone from one source is held by the other alone");
}

#[tokio::test]
async fn what_is_not_there_is_not_found_whatever_its_name() {
    let door = twelve().await;
    for (path, word) in [
        ("certificates/cert_99", "CERTIFICATE_NOT_FOUND"),
        ("certificates/no%20id%21", "CERTIFICATE_NOT_FOUND"),
        ("certificates/cert_1?source=europe", "CERTIFICATE_NOT_FOUND"),
        ("certificate-requests/cert_1", "CERTIFICATE_REQUEST_NOT_FOUND"),
        ("certificates/cert_99?fresh=true", "CERTIFICATE_NOT_FOUND"),
    ] {
        let answer = door.call(&format!("GET /v1/{path}"), "").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (404, &json!(word)), "{path}");
    }
}

fn later(door: &Door) -> Timestamp {
    door.clock.now().plus(Duration::from_secs(9))
}

#[tokio::test]
async fn a_fresh_look_asks_the_source_that_holds_it_and_shows_the_answer() {
    let door = twelve().await;
    let mut after = certificate(9);
    after["status"] = json!("expired");
    let answer = Ok(Some((later(&door), snapshot("europe", Kind::Certificate, &after))));
    door.upstream.answers.lock().unwrap().push(("europe".parse().unwrap(), answer));
    let shown = door.json("GET /v1/certificates/cert_9?fresh=true", "").await;
    assert_eq!(shown["status"], "expired");
    assert_eq!(
        shown["observed_at"], "2026-11-21T04:00:09.000Z",
        "as of the answer, although the sight said nothing new"
    );
    let asked = door.upstream.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].0.as_str(), asked[0].1, asked[0].2.as_str()), ("europe", Kind::Certificate, "cert_9"));
    assert!(asked[0].3.starts_with("req_"), "{asked:?}");
}

#[tokio::test]
async fn an_id_that_nobody_knows_is_asked_of_all_sources() {
    let door = twelve().await;
    let answer = Ok(Some((later(&door), snapshot("europe", Kind::Certificate, &certificate(21)))));
    door.upstream.answers.lock().unwrap().push(("europe".parse().unwrap(), answer));
    assert_eq!(door.json("GET /v1/certificates/cert_21?fresh=true", "").await["source"], "europe");
    assert_eq!(door.upstream.asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn who_asks_for_what_is_fresh_gets_nothing_stale() {
    let door = twelve().await;
    let refused = |status| CallError::Refused { status, kind: "THE_VENDORS_WORD".into(), message: "no".into() };
    for (error, status, word) in [
        (CallError::NoAnswer("no connection".into()), 504, "UPSTREAM_UNAVAILABLE"),
        (CallError::Throttled(Duration::from_secs(7)), 429, "UPSTREAM_THROTTLED"),
        (refused(409), 409, "THE_VENDORS_WORD"),
        (refused(403), 403, "THE_VENDORS_WORD"),
        (refused(401), 502, "THE_VENDORS_WORD"),
        (CallError::Stopping, 503, "STOPPING"),
    ] {
        door.upstream.answers.lock().unwrap().push(("numeral".parse().unwrap(), Err(error)));
        let answer = door.call("GET /v1/certificates/cert_1?fresh=true", "").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (status, &json!(word)));
        assert_eq!(answer.json()["code"], status);
        assert_eq!(answer.header("retry-after"), if status == 429 { "7" } else { "" });
        assert_eq!(answer.header("www-authenticate"), "");
    }
    let answer = door.call("GET /v1/certificates/cert_1?fresh=true", "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (404, &json!("CERTIFICATE_NOT_FOUND")));
    assert_eq!(door.json("GET /v1/certificates/cert_1", "").await["status"], "expiring", "one 404 removes nothing");
}
