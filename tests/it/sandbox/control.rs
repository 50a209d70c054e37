//! The controls, and the life of its own.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;

#[tokio::test]
async fn a_request_is_submitted_reviewed_and_comes_to_its_end() {
    let upstream = Upstream::new(Options::default());
    let request = upstream.request().await;
    let fulfilled = upstream.order(&format!("/sandbox/requests/{request}/submit"), Value::Null).await;
    assert_eq!(fulfilled["status"], "fulfilled");
    let path = format!("/tax/certificates/{}", fulfilled["certificate_id"].as_str().expect("an id"));
    let status = async || upstream.get(&path).await.body["status"].as_str().map(String::from);
    assert_eq!(status().await.as_deref(), Some("processing"));
    for (action, expected) in [
        ("needs-info", "needs_info"),
        ("resubmit", "processing"),
        ("approve", "active"),
        ("expiring", "expiring"),
        ("expire", "expired"),
    ] {
        upstream.order(&format!("{}/{action}", path.replace("/tax", "/sandbox")), Value::Null).await;
        assert_eq!(status().await.as_deref(), Some(expected), "{action}");
    }
    let renewed =
        upstream.order(&format!("{}/renew", path.replace("/tax", "/sandbox")), json!({"until": "2029-01-31"})).await;
    assert_eq!((&renewed["status"], &renewed["expiration_date"]), (&json!("active"), &json!("2029-01-31")));
    assert!(upstream.get(&path).await.body["download_url"].is_string(), "approved, so it is ingested");
}

#[tokio::test]
async fn a_certificate_can_be_approved_before_its_document_is_there_and_linked_late() {
    let upstream = Upstream::new(Options::default());
    let id = upstream.request().await;
    let unlinked = upstream.order(&format!("/sandbox/requests/{id}/submit"), json!({"link": false})).await;
    assert_eq!((&unlinked["status"], &unlinked["certificate_id"]), (&json!("fulfilled"), &Value::Null));
    let certificate = unlinked["sandbox"]["submitted_certificate_id"].as_str().expect("an id").to_owned();
    upstream.order(&format!("/sandbox/certificates/{certificate}/approve"), json!({"attach": false})).await;
    let shown = upstream.get(&format!("/tax/certificates/{certificate}")).await.body;
    assert_eq!((&shown["status"], &shown["download_url"]), (&json!("active"), &Value::Null));
    let linked = upstream.order(&format!("/sandbox/requests/{id}/link"), Value::Null).await;
    assert_eq!(linked["certificate_id"], certificate.as_str());
}

#[tokio::test]
async fn moving_the_clock_moves_what_is_due() {
    for bump in [true, false] {
        let upstream = Upstream::new(Options::default());
        upstream.order("/sandbox/options", json!({"clock_moves_bump_updated_at": bump})).await;
        let (certificate, request) = (upstream.certificate("active").await, upstream.request().await);
        let texas = format!("/sandbox/certificates/{certificate}/jurisdictions/US-TX");
        upstream.order(&texas, json!({"expiration_date": "2026-12-31"})).await;
        let moved = upstream.order("/sandbox/clock", json!({"advance": "30d"})).await;
        assert_eq!(moved["now"], "2026-12-21T04:31:20.017Z");
        assert!(moved["moved"].as_u64() > Some(1), "{moved}");
        let shown = upstream.get(&format!("/tax/certificates/{certificate}")).await.body;
        let statuses: Vec<_> =
            shown["jurisdictions"].as_array().expect("both").iter().map(|it| &it["status"]).collect();
        assert_eq!((&shown["status"], statuses), (&json!("active"), vec![&json!("active"), &json!("expiring")]));
        let updated_at = if bump { "2026-12-01T00:00:00.000Z" } else { NOW };
        assert_eq!(shown["updated_at"], updated_at);
        let lapsed = upstream.get(&format!("/tax/certificate-requests/{request}")).await;
        assert_eq!(lapsed.body["status"], "invalid");
        assert_eq!(lapsed.headers["date"], "Mon, 21 Dec 2026 04:31:20 GMT");
    }
}

#[tokio::test]
async fn whatever_may_be_triggered_happens() {
    let upstream = Upstream::new(Options::default());
    let types = [
        ("certificate.created", json!("processing")),
        ("certificate.processing", json!("processing")),
        ("certificate.processing_completed", Value::Null),
        ("certificate.needs_info", json!("needs_info")),
        ("certificate.active", json!("active")),
        ("certificate.expiring", json!("expiring")),
        ("certificate.expired", json!("expired")),
        ("certificate.invalid", json!("invalid")),
        ("certificate.renewed", json!("active")),
        ("certificate.document_available", Value::Null),
        ("certificate.will_expire", Value::Null),
        ("certificate.updated", Value::Null),
        ("certificate.removed", Value::Null),
        ("certificate.restored", Value::Null),
        ("certificate.jurisdiction.processing", Value::Null),
        ("certificate.jurisdiction.needs_info", Value::Null),
        ("certificate.jurisdiction.active", Value::Null),
        ("certificate.jurisdiction.expiring", Value::Null),
        ("certificate.jurisdiction.expired", Value::Null),
        ("certificate.jurisdiction.invalid", Value::Null),
        ("certificate.jurisdiction.added", Value::Null),
        ("certificate.jurisdiction.removed", Value::Null),
        ("certificate_request.created", json!("pending")),
        ("certificate_request.fulfilled", json!("fulfilled")),
        ("certificate_request.canceled", json!("canceled")),
        ("certificate_request.invalid", json!("invalid")),
        ("certificate_request.reopened", json!("pending")),
        ("certificate_request.will_expire", json!("pending")),
        ("certificate_request.updated", json!("pending")),
        ("certificate_request.removed", Value::Null),
        ("certificate_request.restored", Value::Null),
    ];
    for (name, status) in types {
        let happened = upstream.order("/sandbox/trigger", json!({"type": name})).await;
        assert_eq!((&happened["type"], &happened["object"]["updated_at"]), (&json!(name), &json!(NOW)));
        assert!(status.is_null() || happened["object"]["status"] == status, "{name}: {happened}");
    }
    let empty = Upstream::new(Options { size: 0, ..Options::default() });
    let refused = empty.control("POST", "/sandbox/trigger", json!({"type": "certificate.expiring"})).await;
    assert_eq!((refused.status.as_u16(), &refused.body["type"]), (409, &json!("NOTHING_SUITABLE")));
}

#[tokio::test]
async fn what_is_about_to_end_ends_in_six_days_and_not_as_a_whole() {
    let upstream = Upstream::new(Options::default());
    let happened = upstream.order("/sandbox/trigger", json!({"type": "certificate.will_expire"})).await;
    let shown = upstream.get(&format!("/tax/certificates/{}", id_of(&happened["object"]))).await.body;
    let entries = shown["jurisdictions"].as_array().expect("entries");
    let near: Vec<_> = entries.iter().filter(|entry| entry["expiration_date"] == "2026-11-27").collect();
    assert_eq!((near.len(), &near[0]["status"]), (1, &json!("expiring")), "{shown}");
    assert!(shown["expiration_date"].as_str() > Some("2027-01"), "{shown}");
    let happened = upstream.order("/sandbox/trigger", json!({"type": "certificate_request.will_expire"})).await;
    assert_eq!(happened["object"]["expires_at"], "2026-11-27T04:31:20.017Z");
    let path = format!("/sandbox/requests/{}/shorten", id_of(&happened["object"]));
    let again = upstream.control("POST", &path, Value::Null).await;
    assert_eq!((again.status.as_u16(), &again.body["type"]), (409, &json!("WRONG_STATE")));
}

#[tokio::test]
async fn what_went_last_comes_back_first() {
    let upstream = Upstream::new(Options::default());
    for kind in ["certificate", "certificate_request"] {
        upstream.order("/sandbox/trigger", json!({"type": format!("{kind}.removed")})).await;
        upstream.order("/sandbox/clock", json!({"advance": "1m"})).await;
        let gone = upstream.order("/sandbox/trigger", json!({"type": format!("{kind}.removed")})).await;
        upstream.order("/sandbox/clock", json!({"advance": "1m"})).await;
        let back = upstream.order("/sandbox/trigger", json!({"type": format!("{kind}.restored")})).await;
        assert_eq!(back["object"]["id"], gone["object"]["id"]);
    }
}

#[tokio::test]
async fn another_account_shows_other_objects_and_the_former_ones_stay() {
    let upstream = Upstream::new(Options::default());
    let lists = [("/tax/certificates", "certificates"), ("/tax/certificate-requests", "certificate_requests")];
    let all = async || {
        let mut ids = Vec::new();
        for (path, key) in lists {
            ids.extend(ids_of(&upstream.list(path, key).await));
        }
        ids
    };
    let ours = all().await;
    let shown = upstream.order("/sandbox/account", json!({"number": 7})).await;
    assert_eq!(shown, json!({"number": 7, "certificates": 224, "certificate_requests": 126}));
    let theirs = all().await;
    assert!(theirs.len() > 300 && ours.iter().all(|id| !theirs.contains(id)));
    assert_eq!(upstream.get(&format!("{}/{}", lists[0].0, ours[0])).await.status, StatusCode::NOT_FOUND);
    let created = upstream.certificate("active").await;
    upstream.order("/sandbox/account", json!({"number": 1})).await;
    assert_eq!(all().await, ours);
    upstream.order("/sandbox/account", json!({"number": 7})).await;
    assert_eq!(all().await.iter().filter(|id| !theirs.contains(id)).collect::<Vec<_>>(), [&created]);
}

#[tokio::test]
async fn every_object_can_come_to_show_a_further_field() {
    let upstream = Upstream::new(Options::default());
    let fields = json!({"risk_score": {"grade": "low"}, "status": "never"});
    upstream.order("/sandbox/options", json!({"further_fields": fields})).await;
    for (path, key) in [("/tax/certificates", "certificates"), ("/tax/certificate-requests", "certificate_requests")] {
        let row = upstream.get(path).await.body[key][0].clone();
        let whole = upstream.get(&format!("{path}/{}", id_of(&row))).await.body;
        for object in [row, whole] {
            assert_eq!(object["risk_score"], json!({"grade": "low"}));
            assert_ne!(object["status"], "never", "a documented field stays what it is");
        }
    }
}

/// A control call, and the status and words that it is to be refused with.
type Refused<'a> = (&'a str, &'a str, Value, u16, &'a str);

async fn check_refusals(upstream: &Upstream, table: &[Refused<'_>]) {
    for (method, path, body, status, message) in table {
        let reply = upstream.control(method, path, body.clone()).await;
        assert_eq!((reply.status.as_u16(), &reply.body["code"]), (*status, &json!(status)), "{path}: {}", reply.body);
        let said = reply.body["message"].as_str().expect("a message");
        assert!(said.contains(message), "{path}: {said}");
    }
}

#[tokio::test]
async fn a_control_call_on_something_missing_or_in_a_wrong_state_is_told_so() {
    let upstream = Upstream::new(Options::default());
    let certificate = format!("/sandbox/certificates/{}", upstream.certificate("active").await);
    let request = format!("/sandbox/requests/{}", upstream.request().await);
    let [approve, unarchive, attach] =
        ["approve", "unarchive", "attach"].map(|action| format!("{certificate}/{action}"));
    let [frame, dropped] = ["frame", "jurisdictions/US-TX"].map(|rest| format!("{certificate}/{rest}"));
    let [reopen, link] = ["reopen", "link"].map(|action| format!("{request}/{action}"));
    let table = [
        ("POST", "/sandbox/certificates/none/approve", Value::Null, 404, "there is no certificate \"none\""),
        ("POST", "/sandbox/requests/none/submit", Value::Null, 404, "there is no certificate request \"none\""),
        ("POST", &approve, Value::Null, 409, "is active; only processing and needs_info can be approved"),
        ("POST", &unarchive, Value::Null, 409, "is active; only an archived one can be unarchived"),
        ("POST", &attach, Value::Null, 409, "is active; it has its document already"),
        ("DELETE", &dropped, Value::Null, 404, "there is no jurisdiction \"US-TX\""),
        ("POST", &frame, Value::Null, 404, "there is no action \"frame\""),
        ("POST", &reopen, Value::Null, 409, "is pending; only a closed one can be reopened"),
        ("POST", &link, Value::Null, 409, "is pending; only a fulfilled one can be linked"),
        ("GET", "/sandbox/nothing", Value::Null, 404, "there is no such control"),
        ("GET", "/sandbox/trigger", Value::Null, 405, "this control does not take that method"),
    ];
    check_refusals(&upstream, &table).await;
}

#[tokio::test]
async fn a_control_call_with_a_bad_body_is_told_what_is_wrong_with_it() {
    let upstream = Upstream::new(Options::default());
    let certificate = format!("/sandbox/certificates/{}", upstream.certificate("active").await);
    let [touch, renew] = ["touch", "renew"].map(|action| format!("{certificate}/{action}"));
    let (certificates, trigger) = ("/sandbox/certificates", "/sandbox/trigger");
    let table = [
        ("POST", touch.as_str(), json!({"twice": true}), 400, "unknown field `twice`"),
        ("POST", &renew, json!({"until": "2026-12-01"}), 400, "until: must be after 2027-11-21"),
        ("POST", &renew, json!({"until": "soon"}), 400, "not a date such as 2027-01-31"),
        ("POST", "/sandbox/requests", json!({"customer_id": "cust_none"}), 404, "there is no customer \"cust_none\""),
        ("POST", certificates, json!({"certificate_type_id": "13"}), 400, "there is no certificate type \"13\""),
        ("POST", certificates, json!({"jurisdictions": ["Texas"]}), 400, "\"Texas\" is no jurisdiction such as US-CA"),
        ("POST", certificates, json!({"jurisdictions": []}), 400, "must name at least one, and each once"),
        ("POST", "/sandbox/clock", json!({"advance": "soon"}), 400, "advance: expected number at 0"),
        ("POST", "/sandbox/clock", json!({"advance": "11y"}), 400, "advance: at most ten years at a time"),
        ("POST", "/sandbox/clock", Value::Null, 400, "missing field `advance`"),
        (
            "POST",
            trigger,
            json!({"type": "certificate.gone"}),
            400,
            "type: \"certificate.gone\" is none of certificate.",
        ),
        ("POST", "/sandbox/options", json!({"order": "sideways"}), 400, "unknown variant `sideways`"),
        ("POST", "/sandbox/faults", json!({"fault": "status", "status": 9}), 400, "status: must be from 200 to 599"),
    ];
    check_refusals(&upstream, &table).await;
}

#[tokio::test]
async fn calls_are_counted_by_method_and_route() {
    let upstream = Upstream::new(Options::default());
    let certificate = upstream.certificate("active").await;
    upstream.get("/tax/certificates?limit=5").await;
    upstream.get(&format!("/tax/certificates/{certificate}")).await;
    upstream.get("/tax/certificates/none").await;
    let request = Request::builder().uri("/tax/ping").body(Body::empty()).expect("a request");
    upstream.send(request).await;
    let calls = upstream.control("GET", "/sandbox/calls", Value::Null).await.body;
    assert_eq!((&calls["total"], &calls["without_version"]), (&json!(4), &json!(1)));
    let by_route = json!({"GET /tax/certificates": 1, "GET /tax/certificates/{id}": 2, "GET /tax/ping": 1});
    assert_eq!(calls["by_route"], by_route);
    assert_eq!(calls["recent"][0]["query"], "limit=5");
    let statuses: Vec<_> =
        calls["recent"].as_array().expect("calls").iter().map(|call| call["status"].as_u64()).collect();
    assert_eq!(statuses, [Some(200), Some(200), Some(404), Some(401)]);
    assert_eq!(upstream.control("DELETE", "/sandbox/calls", Value::Null).await.body["total"], 0);
}

#[tokio::test(start_paused = true)]
async fn within_ten_seconds_a_newcomer_sees_what_matters_most_and_it_stops_when_told() {
    let upstream = Upstream::new(Options::default());
    let before = upstream.control("GET", "/sandbox/state", Value::Null).await.body;
    let stop = CancellationToken::new();
    let life = upstream.sandbox.live(stop.clone());
    let watcher = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        stop.cancel();
    };
    tokio::join!(life, watcher);
    let after = upstream.control("GET", "/sandbox/state", Value::Null).await.body;
    let became = |key: &str, status: &str| {
        let rows = |state: &Value| state[key].as_array().expect("rows").clone();
        let former = rows(&before);
        let was = |id: &Value| former.iter().find(|row| row["id"] == *id).map(|row| row["status"].clone());
        rows(&after).iter().filter(|row| row["status"] == status && was(&row["id"]) != Some(status.into())).count()
    };
    assert_eq!(became("certificate_requests", "fulfilled"), 2);
    assert_eq!(became("certificates", "active"), 1);
    assert_eq!(became("certificates", "expiring"), 1);
}
