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
        ("certificate.created", "status", json!("processing")),
        ("certificate.active", "status", json!("active")),
        ("certificate.expiring", "status", json!("expiring")),
        ("certificate.removed", "status", Value::Null),
        ("certificate.jurisdiction.expired", "object", json!("tax.exemption_certificate")),
        ("certificate_request.fulfilled", "status", json!("fulfilled")),
        ("certificate_request.reopened", "status", json!("pending")),
        ("certificate_request.removed", "status", Value::Null),
        ("certificate_request.restored", "object", json!("tax.certificate_request")),
    ];
    for (name, field, value) in types {
        let happened = upstream.order("/sandbox/trigger", json!({"type": name})).await;
        assert_eq!(happened["type"], name);
        assert!(value.is_null() || happened["object"][field] == value, "{name}: {happened}");
        let moved_now = happened["object"]["updated_at"] == NOW;
        assert!(moved_now, "{name}: {happened}");
    }
    let empty = Upstream::new(Options { size: 0, ..Options::default() });
    let refused = empty.control("POST", "/sandbox/trigger", json!({"type": "certificate.expiring"})).await;
    assert_eq!((refused.status.as_u16(), &refused.body["type"]), (409, &json!("NOTHING_SUITABLE")));
}

#[tokio::test]
async fn a_bad_control_call_is_told_what_is_wrong() {
    let upstream = Upstream::new(Options::default());
    let active = upstream.certificate("active").await;
    let request = upstream.request().await;
    let table = [
        ("POST", "/sandbox/certificates/none/approve".into(), Value::Null, 404, "there is no certificate \"none\""),
        ("POST", "/sandbox/requests/none/submit".into(), Value::Null, 404, "there is no certificate request \"none\""),
        (
            "POST",
            format!("/sandbox/certificates/{active}/approve"),
            Value::Null,
            409,
            "is active; only processing and needs_info can be approved",
        ),
        ("POST", format!("/sandbox/certificates/{active}/frame"), Value::Null, 404, "there is no action \"frame\""),
        ("POST", format!("/sandbox/certificates/{active}/touch"), json!({"twice": true}), 400, "unknown field `twice`"),
        (
            "POST",
            format!("/sandbox/certificates/{active}/renew"),
            json!({"until": "2026-12-01"}),
            400,
            "until: must be after",
        ),
        (
            "POST",
            format!("/sandbox/requests/{request}/reopen"),
            Value::Null,
            409,
            "is pending; only a closed one can be reopened",
        ),
        (
            "POST",
            "/sandbox/requests".into(),
            json!({"customer_id": "cust_none"}),
            404,
            "there is no customer \"cust_none\"",
        ),
        (
            "POST",
            "/sandbox/certificates".into(),
            json!({"certificate_type_id": "13"}),
            400,
            "there is no certificate type \"13\"",
        ),
        (
            "POST",
            "/sandbox/certificates".into(),
            json!({"jurisdictions": ["Texas"]}),
            400,
            "\"Texas\" is no jurisdiction such as US-CA",
        ),
        ("POST", "/sandbox/clock".into(), json!({"advance": "soon"}), 400, "advance: expected number at 0"),
        ("POST", "/sandbox/clock".into(), json!({"advance": "999999999y"}), 400, "advance: "),
        ("POST", "/sandbox/clock".into(), Value::Null, 400, "missing field `advance`"),
        (
            "POST",
            "/sandbox/trigger".into(),
            json!({"type": "certificate.gone"}),
            400,
            "type: \"certificate.gone\" is none of certificate.created, ",
        ),
        ("POST", "/sandbox/options".into(), json!({"order": "sideways"}), 400, "unknown variant `sideways`"),
        (
            "POST",
            "/sandbox/faults".into(),
            json!({"fault": "status", "status": 9}),
            400,
            "status: must be from 200 to 599",
        ),
        ("GET", "/sandbox/nothing".into(), Value::Null, 404, "there is no such control"),
        ("GET", "/sandbox/trigger".into(), Value::Null, 405, "this control does not take that method"),
    ];
    for (method, path, body, status, message) in table {
        let reply = upstream.control(method, &path, body).await;
        assert_eq!((reply.status.as_u16(), &reply.body["code"]), (status, &json!(status)), "{path}: {}", reply.body);
        let said = reply.body["message"].as_str().expect("a message");
        assert!(said.contains(message), "{path}: {said}");
    }
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
