//! The vendor's pages, line by line.

use std::collections::HashSet;
use std::time::Duration;

use super::*;

#[tokio::test]
async fn lists_show_everything_once_and_leave_next_cursor_out_at_the_end() {
    let upstream = Upstream::new(Options::default());
    let state = upstream.control("GET", "/sandbox/state", Value::Null).await.body;
    for (path, key) in [("/tax/certificates", "certificates"), ("/tax/certificate-requests", "certificate_requests")] {
        let listed = ids_of(&upstream.list(path, key).await);
        let hidden = |row: &&Value| {
            let hidden = &row["sandbox"];
            hidden["archived"] == true || hidden["deleted"] == true || hidden["revision_of"].is_string()
        };
        let all = state[key].as_array().expect("rows");
        let expected: HashSet<_> = all.iter().filter(|row| !hidden(row)).map(id_of).collect();
        assert_eq!(listed.len(), expected.len(), "each once");
        assert_eq!(listed.into_iter().collect::<HashSet<_>>(), expected);
        let page = upstream.get(path).await.body;
        let rows = page[key].as_array().expect("rows");
        assert_eq!((page["object"].as_str(), rows.len()), (Some("list"), 10), "ten is the default");
        assert_eq!(page["next_cursor"], rows[9]["id"], "the cursor is the last id of the page");
        assert!(rows.iter().all(|row| row.get("download_url").is_none()));
    }
    assert!(state["certificates"].as_array().expect("rows").iter().any(|row| row["sandbox"]["archived"] == true));
}

#[tokio::test]
async fn filters_mean_what_the_pages_say() {
    let upstream = Upstream::new(Options::default());
    let all = upstream.list("/tax/certificates", "certificates").await;
    let customer = all.iter().map(|row| &row["customer"]).find(|one| one["reference_customer_id"].is_string());
    let customer = customer.expect("somebody has a reference");
    let (id, reference) =
        (customer["id"].as_str().expect("id"), customer["reference_customer_id"].as_str().expect("id"));
    let covers_texas = |row: &Value| {
        row["jurisdictions"].as_array().is_some_and(|entries| entries.iter().any(|it| it["jurisdiction_id"] == "US-TX"))
    };
    type Means<'a> = Box<dyn Fn(&Value) -> bool + 'a>;
    let table: Vec<(String, Means<'_>)> = vec![
        ("status=expiring".into(), Box::new(|row| row["status"] == "expiring")),
        (format!("customer_id={id}"), Box::new(|row| row["customer"]["id"] == id)),
        (format!("customer_id={reference}&id_type=reference_customer_id"), Box::new(|row| row["customer"]["id"] == id)),
        ("customer_id=nobody".into(), Box::new(|_| false)),
        ("jurisdiction=US-TX".into(), Box::new(covers_texas)),
        ("certificate_type_id=12".into(), Box::new(|row| row["certificate_type"]["id"] == "12")),
        (
            "certificate_type_id=US-CA-CDTFA-230".into(),
            Box::new(|row| row["certificate_type"]["certificate_identifier"] == "US-CA-CDTFA-230"),
        ),
        ("certificate_type_id=unknown".into(), Box::new(|_| false)),
        ("created_after=2026-01-01T00:00:00Z".into(), Box::new(|row| row["created_at"].as_str() > Some("2026-01-01"))),
        ("updated_before=2026-01-01T00:00:00Z".into(), Box::new(|row| row["updated_at"].as_str() < Some("2026-01-01"))),
    ];
    for (query, means) in table {
        let shown = ids_of(&upstream.list(&format!("/tax/certificates?{query}"), "certificates").await);
        let expected: Vec<_> = all.iter().filter(|row| means(row)).map(id_of).collect();
        assert_eq!(shown, expected, "{query}");
        assert!(
            query.contains("nobody") || query.contains("unknown") || !expected.is_empty(),
            "{query} says something"
        );
    }
}

#[tokio::test]
async fn refusals_have_the_vendors_words_and_statuses() {
    let upstream = Upstream::new(Options::default());
    let table = [
        ("GET", "/tax/certificates/cert_none", 404, "CERTIFICATE_NOT_FOUND"),
        ("GET", "/tax/certificate-requests/cert_req_none", 404, "CERTIFICATE_REQUEST_NOT_FOUND"),
        ("DELETE", "/tax/certificate-requests/cert_req_none", 404, "CERTIFICATE_REQUEST_NOT_FOUND"),
        ("POST", "/tax/customers/cust_none/certificate-requests", 404, "CUSTOMER_NOT_FOUND"),
        ("GET", "/tax/certificates?expand=customer", 400, "UNRECOGNIZED_FIELD"),
        ("GET", "/tax/certificate-requests?jurisdiction=US-CA", 400, "UNRECOGNIZED_FIELD"),
        ("GET", "/tax/certificates?id_type=email", 400, "INVALID_REQUEST"),
        ("GET", "/tax/certificates?status=pending", 400, "INVALID_REQUEST"),
        ("GET", "/tax/certificates?limit=101", 400, "INVALID_REQUEST"),
        ("GET", "/tax/certificates?cursor=cert_none", 400, "INVALID_REQUEST"),
        ("GET", "/tax/certificates?updated_after=1795233600", 400, "INVALID_REQUEST"),
        ("GET", "/tax/elsewhere", 404, "NOT_FOUND"),
    ];
    for (method, path, status, kind) in table {
        let reply = upstream.vendor(method, path).await;
        assert_eq!(reply.status.as_u16(), status, "{path}: {}", reply.body);
        assert_eq!((&reply.body["code"], &reply.body["type"]), (&json!(status), &json!(kind)), "{path}");
        assert!(reply.body["message"].as_str().is_some_and(|text| !text.is_empty()), "{path}");
    }
}

#[tokio::test]
async fn keys_are_judged_as_the_vendor_does() {
    let fixed = Options { api_key: Some("sandbox-key-for-local-use-only".into()), ..Options::default() };
    let (open, fixed) = (Upstream::new(Options::default()), Upstream::new(fixed));
    let table = [
        (&open, Some("Bearer anything"), "/tax/certificates", 200, None),
        (&open, Some("Bearer sk_test_1"), "/tax/certificates", 403, Some("TESTMODE_NOT_SUPPORTED")),
        (&open, Some("Bearer sk_test_1"), "/tax/certificate-requests/x", 403, Some("TESTMODE_NOT_SUPPORTED")),
        (&open, Some("Bearer sk_test_1"), "/tax/ping", 200, None),
        (&open, Some("Basic anything"), "/tax/certificates", 401, Some("UNAUTHORIZED")),
        (&open, None, "/tax/certificates", 401, Some("UNAUTHORIZED")),
        (&fixed, Some("Bearer sandbox-key-for-local-use-only"), "/tax/certificates", 200, None),
        (&fixed, Some("Bearer anything"), "/tax/certificates", 401, Some("UNAUTHORIZED")),
        (&fixed, Some("Bearer sk_test_1"), "/tax/certificates", 403, Some("TESTMODE_NOT_SUPPORTED")),
    ];
    for (upstream, key, path, status, kind) in table {
        let mut request = Request::builder().uri(path).header("x-api-version", "2026-03-01");
        if let Some(key) = key {
            request = request.header("authorization", key);
        }
        let reply = upstream.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!((reply.status.as_u16(), reply.body["type"].as_str()), (status, kind), "{key:?} {path}");
    }
    let ping = open.get("/tax/ping").await.body;
    assert_eq!(ping, json!({"status": "ok", "env": "prod", "timestamp": NOW, "api_version": "2026-03-01"}));
}

#[tokio::test]
async fn errors_are_nested_where_the_version_is_missing_or_old() {
    let upstream = Upstream::new(Options::default());
    for (version, nested) in [(None, true), (Some("2025-05-12"), true), (Some("2026-01-01"), false)] {
        let mut request = Request::builder().uri("/tax/certificates/none").header("authorization", "Bearer k");
        if let Some(version) = version {
            request = request.header("x-api-version", version);
        }
        let body = upstream.send(request.body(Body::empty()).expect("a request")).await.body;
        let error = if nested { &body["error"] } else { &body };
        assert_eq!(error["type"], "CERTIFICATE_NOT_FOUND", "{version:?}: {body}");
    }
}

#[tokio::test]
async fn canceling_is_terminal_and_idempotent() {
    let upstream = Upstream::new(Options::default());
    let path = format!("/tax/certificate-requests/{}", upstream.request().await);
    let first = upstream.vendor("DELETE", &path).await;
    assert_eq!((first.status.as_u16(), &first.body["status"]), (200, &json!("canceled")));
    upstream.sandbox.advance(Duration::from_secs(5));
    let again = upstream.vendor("DELETE", &path).await;
    assert_eq!((again.status.as_u16(), again.body), (200, first.body), "the same body");

    for (action, kind) in [("submit", "REQUEST_ALREADY_FULFILLED"), ("invalidate", "REQUEST_INVALID")] {
        let id = upstream.request().await;
        upstream.order(&format!("/sandbox/requests/{id}/{action}"), Value::Null).await;
        let refused = upstream.vendor("DELETE", &format!("/tax/certificate-requests/{id}")).await;
        assert_eq!((refused.status.as_u16(), &refused.body["type"]), (409, &json!(kind)));
    }
}

#[tokio::test]
async fn a_trigger_opens_a_request_for_an_existing_customer() {
    let upstream = Upstream::new(Options::default());
    let state = upstream.control("GET", "/sandbox/state", Value::Null).await.body;
    let path = format!("/tax/customers/{}/certificate-requests", id_of(&state["customers"][0]));
    let body = json!({"certificate_type_id": "US-TX-01-339", "jurisdictions": ["US-TX"]});
    let request = vendor_request("POST", &path).body(Body::from(body.to_string())).expect("a request");
    let reply = upstream.send(request).await;
    assert_eq!(reply.status, StatusCode::CREATED);
    let expected = json!({
        "id": reply.body["id"],
        "object": "tax.certificate_request",
        "status": "pending",
        "customer": {
            "id": state["customers"][0]["id"],
            "reference_customer_id": state["customers"][0]["reference_customer_id"],
        },
        "certificate_id": null,
        "certificate_type_id": "US-TX-01-339",
        "jurisdictions": ["US-TX"],
        "created_at": NOW,
        "updated_at": NOW,
        "expires_at": "2026-12-21T04:31:20.017Z",
        "livemode": false,
    });
    assert_eq!(reply.body.to_string(), expected.to_string(), "in this order too");
    assert_eq!(upstream.get(&format!("/tax/certificate-requests/{}", id_of(&reply.body))).await.body, expected);

    let request = vendor_request("POST", &path).body(Body::from(r#"{"colour":"red"}"#)).expect("a request");
    assert_eq!(upstream.send(request).await.body["type"], "UNRECOGNIZED_FIELD");
}

#[tokio::test]
async fn a_download_url_is_fresh_each_time_opens_for_an_hour_and_is_null_while_there_is_no_document() {
    let upstream = Upstream::new(Options::default());
    let path = format!("/tax/certificates/{}", upstream.certificate("active").await);
    let [first, second] = [upstream.get(&path).await.body, upstream.get(&path).await.body];
    assert_ne!(first["download_url"], second["download_url"]);
    assert_eq!(first["updated_at"], second["updated_at"]);
    let url = first["download_url"].as_str().expect("a URL").strip_prefix("http://127.0.0.1:8091").expect("our host");
    let document = upstream.control("GET", url, Value::Null).await;
    assert_eq!(
        (document.status.as_u16(), &document.headers["content-type"]),
        (200, &"application/pdf".parse().expect("a type"))
    );
    upstream.sandbox.advance(Duration::from_secs(3600));
    assert_eq!(upstream.control("GET", url, Value::Null).await.status, StatusCode::FORBIDDEN);

    let id = upstream.certificate("processing").await;
    let shown = upstream.get(&format!("/tax/certificates/{id}")).await.body;
    assert_eq!(shown.get("download_url"), Some(&Value::Null));
    upstream.order(&format!("/sandbox/certificates/{id}/attach"), Value::Null).await;
    assert!(upstream.get(&format!("/tax/certificates/{id}")).await.body["download_url"].is_string());
}

#[tokio::test]
async fn every_mode_shows() {
    let upstream = Upstream::new(Options::default());
    let all = ids_of(&upstream.list("/tax/certificates", "certificates").await);
    let updated_at = upstream.certificate("active").await;
    let at = |bound: &str| format!("/tax/certificates?{bound}={NOW}");
    assert!(upstream.list(&at("updated_after"), "certificates").await.is_empty(), "exclusive is the default");

    let modes = json!({
        "order": "ascending", "time_bounds": "inclusive", "status_in_rows": false, "archived_by_id": false,
        "clock_skew_seconds": 90, "timestamps": "seconds", "livemode": true,
    });
    upstream.order("/sandbox/options", modes).await;
    let mut ascending = ids_of(&upstream.list("/tax/certificates", "certificates").await);
    assert_eq!(ascending.pop(), Some(updated_at.clone()), "the newest comes last");
    ascending.reverse();
    assert_eq!(ascending, all);
    let rows = upstream.list(&at("updated_after"), "certificates").await;
    assert_eq!(ids_of(&rows), [updated_at.as_str()]);
    assert_eq!((rows[0].get("status"), rows[0]["jurisdictions"][0].get("status")), (None, None));
    assert_eq!((&rows[0]["updated_at"], &rows[0]["livemode"]), (&json!("2026-11-21T04:31:20Z"), &json!(true)));
    let by_id = upstream.get(&format!("/tax/certificates/{updated_at}")).await;
    assert_eq!(
        (&by_id.body["status"], &by_id.body["jurisdictions"][0]["status"]),
        (&json!("active"), &json!("active"))
    );
    assert_eq!(by_id.headers["date"], "Sat, 21 Nov 2026 04:32:50 GMT", "ninety seconds ahead");

    upstream.order(&format!("/sandbox/certificates/{updated_at}/archive"), Value::Null).await;
    let path = format!("/tax/certificates/{updated_at}");
    assert_eq!(upstream.get(&path).await.status, StatusCode::NOT_FOUND);
    upstream.order("/sandbox/options", json!({"archived_by_id": true})).await;
    assert_eq!(upstream.get(&path).await.status, StatusCode::OK);
    assert!(upstream.list(&at("updated_after"), "certificates").await.is_empty(), "lists hide it all the same");
}
