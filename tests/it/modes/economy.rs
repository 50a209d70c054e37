//! What looking costs: calls, counted by the upstream.

use std::time::Duration;

use certhook::model::source::{PassKind, PassStatus};
use certhook::sandbox::options::{Modes, TimestampForm};
use serde_json::{Value, json};

use super::check::Look;
use super::rig::Rig;

const CERTIFICATE: &str = "GET /tax/certificates/{id}";
const REQUEST: &str = "GET /tax/certificate-requests/{id}";

/// Runs a pass and gives how many certificates and requests were asked for by id, and how many pages.
async fn cost(rig: &Rig, kind: PassKind) -> (u64, u64, u64) {
    rig.upstream.order("DELETE", "/sandbox/calls", &Value::Null).await;
    let report = rig.watcher_pass(kind).await;
    assert_eq!(report.status, PassStatus::Complete, "{:?}", report.error);
    let calls = rig.upstream.order("GET", "/sandbox/calls", &Value::Null).await;
    let count = |route: &str| calls["by_route"][route].as_u64().unwrap_or(0);
    let (certificates, requests) = (count(CERTIFICATE), count(REQUEST));
    (certificates, requests, calls["total"].as_u64().expect("a number") - certificates - requests)
}

/// The objects that lists show.
async fn listed(rig: &Rig) -> (u64, u64) {
    let state = rig.upstream.order("GET", "/sandbox/state", &Value::Null).await;
    let count = |list: &str| {
        let hidden = |object: &Value| {
            let inner = &object["sandbox"];
            inner["archived"] == true || inner["deleted"] == true || inner["revision_of"].is_string()
        };
        state[list].as_array().expect("a list").iter().filter(|object| !hidden(object)).count() as u64
    };
    (count("certificates"), count("certificate_requests"))
}

/// A certificate of that status; its id.
async fn certificate(rig: &Rig, status: &str) -> String {
    let new = json!({"certificate_type_id": "12", "status": status});
    let object = rig.upstream.order("POST", "/sandbox/certificates", &new).await;
    object["id"].as_str().expect("an id").into()
}

async fn act(rig: &Rig, id: &str, action: &str) {
    rig.upstream.order("POST", &format!("/sandbox/certificates/{id}/{action}"), &Value::Null).await;
    rig.clock_on(Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_without_a_status_costs_a_fetch_when_it_differs_and_not_at_every_pass() {
    for timestamps in [TimestampForm::Milliseconds, TimestampForm::Seconds] {
        let modes = Modes { status_in_rows: false, timestamps, ..Modes::default() };
        let rig = Rig::start(3, modes, 0).await;
        let (certificates, requests) = listed(&rig).await;
        let pages = certificates.div_ceil(7) + requests.div_ceil(7);
        assert_eq!(cost(&rig, PassKind::Sweep).await, (certificates, requests, pages), "each once at first sight");
        assert_eq!(cost(&rig, PassKind::Sweep).await, (0, 0, pages), "every row is recognised");

        let id = certificate(&rig, "active").await;
        rig.clock_on(Duration::from_secs(30)).await;
        assert_eq!(cost(&rig, PassKind::Changes).await, (1, 0, 2), "a first sight");
        act(&rig, &id, "expiring").await;
        act(&rig, &id, "expire").await;
        assert_eq!(cost(&rig, PassKind::Changes).await, (1, 0, 2), "a row that differs, however often it moved");
        for _ in 0..3 {
            rig.clock_on(Duration::from_secs(30)).await;
            assert_eq!(cost(&rig, PassKind::Changes).await, (0, 0, 2), "the overlap shows it again, and costs nothing");
        }
        assert_eq!(cost(&rig, PassKind::Sweep).await, (0, 0, (certificates + 1).div_ceil(7) + requests.div_ceil(7)));

        // Seen in the very second in which it moved: another move within that second would leave the row as it is.
        rig.upstream.order("POST", &format!("/sandbox/certificates/{id}/renew"), &Value::Null).await;
        assert_eq!(cost(&rig, PassKind::Changes).await, (1, 0, 2));
        rig.clock_on(Duration::from_secs(30)).await;
        assert_eq!(cost(&rig, PassKind::Changes).await, (1, 0, 2), "once more, to be sure");
        assert_eq!(cost(&rig, PassKind::Changes).await, (0, 0, 2));
        rig.assert_in_step(Look::Sweep, "in the end").await;
    }
}

/// The certificates that lists show under review, which may lack their document.
async fn under_review(rig: &Rig) -> u64 {
    let mut count = 0;
    for status in ["processing", "needs_info"] {
        let path = format!("/tax/certificates?limit=100&status={status}");
        count += rig.upstream.order("GET", &path, &Value::Null).await["certificates"].as_array().map_or(0, Vec::len);
    }
    count as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_with_a_status_is_asked_about_only_for_a_document_that_may_be_missing() {
    let rig = Rig::start(4, Modes::default(), 0).await;
    let (certificates, requests) = listed(&rig).await;
    let pages = certificates.div_ceil(7) + requests.div_ceil(7);
    let reviewed = under_review(&rig).await;
    assert!(reviewed > 0);
    assert_eq!(cost(&rig, PassKind::Sweep).await, (reviewed, 0, pages), "each once at first sight");
    assert_eq!(cost(&rig, PassKind::Sweep).await, (0, 0, pages));
    let id = certificate(&rig, "active").await;
    assert_eq!(cost(&rig, PassKind::Changes).await, (0, 0, 2));
    act(&rig, &id, "expiring").await;
    assert_eq!(cost(&rig, PassKind::Changes).await, (0, 0, 2));
    rig.clock_on(Duration::from_secs(400)).await;
    assert_eq!(cost(&rig, PassKind::Changes).await, (0, 0, 2), "one page of each kind, with nothing on it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_names_an_unknown_certificate_costs_one_fetch_and_comes_after_it() {
    let rig = Rig::start(5, Modes::default(), 0).await;
    let request = rig.upstream.order("POST", "/sandbox/requests", &json!({})).await;
    let path = format!("/sandbox/requests/{}", request["id"].as_str().expect("an id"));
    cost(&rig, PassKind::Sweep).await;
    rig.upstream.order("POST", &format!("{path}/submit"), &json!({"link": false})).await;
    // The lists of this pass show the certificate first: only its document is asked for, which it may lack.
    assert_eq!(cost(&rig, PassKind::Changes).await, (1, 0, 2));
    rig.upstream.order("POST", &format!("{path}/link"), &Value::Null).await;
    assert_eq!(cost(&rig, PassKind::Changes).await, (0, 0, 2));
    // A certificate that lists hide is known only by the request that names it.
    let request = rig.upstream.order("POST", "/sandbox/requests", &json!({})).await;
    let path = format!("/sandbox/requests/{}", request["id"].as_str().expect("an id"));
    let request = rig.upstream.order("POST", &format!("{path}/submit"), &Value::Null).await;
    let id = request["certificate_id"].as_str().expect("a certificate");
    rig.upstream.order("POST", &format!("/sandbox/certificates/{id}/archive"), &Value::Null).await;
    assert_eq!(cost(&rig, PassKind::Changes).await, (1, 0, 2));
    assert_eq!(cost(&rig, PassKind::Changes).await, (0, 0, 2));
}
