//! The numbers move as what they stand for does.

use std::time::Duration;

use serde_json::{Value, json};

use super::door::{house, scrape};
use super::exposition::Exposition;
use crate::support::process::{Process, free_port, until};
use crate::support::receiver::{Receiver, SECRET};

/// What a scrape tells once it tells `what`.
async fn scraped(gateway: &Process, what: &str, tells: impl Fn(&Exposition) -> bool) -> Exposition {
    until(what, || async { Some(scrape(gateway).await).filter(|told| tells(told)) }).await
}

async fn happen(upstream: &Process, event_type: &str) -> Value {
    upstream.post("/sandbox/trigger", &json!({ "type": event_type })).await["object"].take()
}

fn id_of(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_passes_calls_commits_and_requests_are_counted() {
    let (folder, upstream, gateway) = house(&[]).await;
    let receiver = Receiver::refusing(|number| number < 2).await;
    gateway.register(&receiver.url, SECRET).await;
    let seen = gateway.baseline().await;
    let before = scrape(&gateway).await;
    let sweep = [("source", "numeral"), ("pass", "sweep")];
    assert_eq!(before.get("certhook_pass_seen_total", &sweep), seen as f64);
    assert_eq!(before.get("certhook_passes_total", &[sweep[0], sweep[1], ("result", "complete")]), 1.0);
    assert_eq!(before.get("certhook_pass_duration_seconds_count", &sweep), 1.0);
    assert!(before.get("certhook_pass_pages_total", &sweep) >= seen as f64 / 100.0);
    assert_eq!(before.sum("certhook_pass_changed_total", &[]), 0.0);
    assert_eq!(before.get("certhook_log_head", &[]), 1.0, "the end of the baseline");
    assert_eq!(before.get("certhook_source_baseline_complete", &[]), 1.0);
    assert_eq!(before.get("certhook_attempts_total", &[("outcome", "delivered")]), 0.0);

    let request = happen(&upstream, "certificate_request.created").await;
    until("the webhook", || async { receiver.told("certificate_request.created", id_of(&request)).pop() }).await;
    // The event is delivered before the pass that found it has ended.
    let is_over = |told: &Exposition| {
        told.get("certhook_deliveries_total", &[("status", "delivered")]) > 0.0
            && told.sum("certhook_pass_changed_total", &[]) > 0.0
            && told.find("certhook_pass_age_seconds", &[("pass", "changes")]).is_some()
    };
    let told = scraped(&gateway, "the delivery, and the end of the pass", is_over).await;

    assert_eq!(told.get("certhook_attempts_total", &[("outcome", "delivered")]), 1.0);
    assert_eq!(told.get("certhook_attempts_total", &[("outcome", "server_error")]), 2.0);
    assert_eq!(told.get("certhook_attempt_duration_seconds_count", &[]), 3.0);
    assert_eq!(told.get("certhook_deliveries_total", &[("status", "failed")]), 0.0);
    assert_eq!(told.get("certhook_first_attempt_delay_seconds_count", &[]), 1.0, "once for each delivery");
    let delay = told.get("certhook_first_attempt_delay_seconds_sum", &[]);
    assert!((0.0..60.0).contains(&delay), "{delay}");
    assert_eq!(told.get("certhook_log_head", &[]), gateway.list("/v1/events").await.len() as f64);
    assert_eq!(told.get("certhook_log_first", &[]), 1.0);
    assert_eq!(told.sum("certhook_pass_changed_total", &[]), 1.0);
    assert!(told.get("certhook_pass_age_seconds", &[("pass", "changes")]) < 60.0);
    assert!(told.get("certhook_source_lag_seconds", &[]) < 60.0);
    let calls = [("source", "numeral"), ("result", "ok")];
    assert!(told.get("certhook_source_calls_total", &calls) > before.get("certhook_source_calls_total", &calls));
    let tokens = told.get("certhook_source_tokens", &[("source", "numeral")]);
    assert!((0.0..=500.0).contains(&tokens), "{tokens}");
    for name in
        ["store_commit_duration_seconds_count", "store_sync_duration_seconds_count", "store_committed_rows_total"]
    {
        let name = format!("certhook_{name}");
        assert!(told.get(&name, &[]) > before.get(&name, &[]), "{name}");
    }
    assert!(told.get("certhook_store_committed_bytes_total", &[]) > seen as f64 * 100.0);
    let registered = [("route", "/v1/endpoints"), ("method", "POST"), ("status", "2xx")];
    assert_eq!(told.get("certhook_api_requests_total", &registered), 1.0);
    assert_eq!(told.get("certhook_api_request_duration_seconds_count", &registered[..2]), 1.0);

    let late = Receiver::start().await;
    gateway.post("/v1/endpoints", &json!({ "url": late.url, "secret": SECRET, "start": "earliest" })).await;
    let delivered = |told: &Exposition| told.get("certhook_deliveries_total", &[("status", "delivered")]) == 2.0;
    let told = scraped(&gateway, "the delivery of what was there before", delivered).await;
    let count = told.get("certhook_first_attempt_delay_seconds_count", &[]);
    assert_eq!(count, 1.0, "what is older than its endpoint was not delayed by us");
    assert!(gateway.terminate().await.success());
    assert_logged(&folder);
}

/// Of each attempt and each pass there is a line with what it was about and how long it took.
fn assert_logged(folder: &tempfile::TempDir) {
    let log = std::fs::read_to_string(folder.path().join("gateway.log")).unwrap();
    let has_line = |message: &str, fields: &[&str]| {
        log.lines()
            .any(|line| line.contains(message) && fields.iter().all(|field| line.contains(&format!(" {field}="))))
    };
    let ids = ["endpoint_id", "delivery_id", "event_id", "attempt", "duration_ms"];
    for outcome in ["outcome=\"delivered\"", "outcome=\"server_error\""] {
        assert!(has_line(outcome, &ids), "{outcome}");
    }
    assert!(has_line("source.polled", &["source", "pass", "pass_id", "status", "duration_ms"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_and_the_store_tell_what_they_use() {
    let (folder, _upstream, gateway) = house(&[]).await;
    let told = scrape(&gateway).await;
    assert_eq!(told.get("certhook_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    let memory = told.get("certhook_process_resident_memory_bytes", &[]);
    assert!((1e6..4e9).contains(&memory), "{memory}");
    assert!(told.get("certhook_process_cpu_seconds_total", &[]) > 0.0);
    let (files, max) = (told.get("certhook_process_open_fds", &[]), told.get("certhook_process_max_fds", &[]));
    assert!(3.0 < files && files < max, "{files} of {max}");
    let started = Duration::from_secs_f64(told.get("certhook_process_start_time_seconds", &[]));
    let made = std::fs::metadata(folder.path().join("gateway.toml")).unwrap().modified().unwrap();
    let made = made.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(started.abs_diff(made) < Duration::from_secs(60), "{started:?} and {made:?}");
    let size = told.get("certhook_store_size_bytes", &[]);
    let on_disk = std::fs::metadata(folder.path().join("data/db")).unwrap().len() as f64;
    assert!(size >= on_disk / 2.0 && on_disk > 0.0, "{size} and {on_disk}");
    assert!(told.get("certhook_store_free_bytes", &[]) > 0.0);
    assert_eq!(told.get("certhook_store_min_free_bytes", &[]), f64::from(1 << 30));
    let levels = ["full", "low", "enough"].map(|level| told.get("certhook_store_space", &[("level", level)]));
    assert_eq!(levels.iter().sum::<f64>(), 1.0, "{levels:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_in_trouble_is_seen_with_what_waits_for_it() {
    let (_folder, upstream, gateway) = house(&[]).await;
    let nobody = format!("http://127.0.0.1:{}/", free_port());
    let body = json!({ "url": nobody, "types": ["*"], "retry": ["1h"] });
    let put = |uid: &str, body: &Value| {
        let request =
            reqwest::Client::builder().no_proxy().build().unwrap().put(format!("{}/v1/endpoints/{uid}", gateway.url));
        request
            .bearer_auth(crate::support::process::ROOT_KEY)
            .header("content-type", "application/json")
            .body(body.to_string())
    };
    let answer = put("crm", &body).send().await.unwrap();
    let endpoint: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let endpoint = [("endpoint", id_of(&endpoint))];
    gateway.baseline().await;
    let told = scrape(&gateway).await;
    assert_eq!(told.get("certhook_endpoint_state", &[endpoint[0], ("uid", "crm"), ("state", "healthy")]), 1.0);
    assert_eq!(told.get("certhook_endpoints", &[("state", "healthy")]), 1.0);
    assert_eq!(told.find("certhook_endpoint_pending", &endpoint), None, "nothing waits");
    assert_eq!(told.get("certhook_deliveries_running", &[]), 1.0);

    happen(&upstream, "certificate_request.created").await;
    let failing = [endpoint[0], ("uid", "crm"), ("state", "failing")];
    let is_failing = |told: &Exposition| told.find("certhook_endpoint_state", &failing).is_some();
    let told = scraped(&gateway, "the failing endpoint", is_failing).await;
    assert_eq!(told.get("certhook_endpoints", &[("state", "healthy")]), 0.0);
    assert_eq!(told.get("certhook_endpoints", &[("state", "failing")]), 1.0);
    assert_eq!(told.get("certhook_endpoint_pending", &endpoint), 1.0);
    assert_eq!(told.get("certhook_endpoint_in_flight", &endpoint), 0.0);
    assert_eq!(told.get("certhook_attempts_total", &[("outcome", "connect_failed")]), 1.0);
    let age = told.get("certhook_endpoint_oldest_pending_age_seconds", &endpoint);
    let older = |told: &Exposition| told.get("certhook_endpoint_oldest_pending_age_seconds", &endpoint) > age;
    scraped(&gateway, "the event to grow older", older).await;

    gateway.post("/v1/endpoints/crm/disable", &json!({})).await;
    let disabled = [endpoint[0], ("uid", "crm"), ("state", "disabled")];
    let is_disabled = |told: &Exposition| told.find("certhook_endpoint_state", &disabled).is_some();
    scraped(&gateway, "the disabled endpoint", is_disabled).await;
    happen(&upstream, "certificate_request.created").await;
    let is_unread = |told: &Exposition| told.find("certhook_endpoint_unread_events", &endpoint) == Some(1.0);
    let told = scraped(&gateway, "an event that it will read one day", is_unread).await;
    assert_eq!(told.find("certhook_endpoint_pending", &endpoint), None);
    assert_eq!(told.find("certhook_endpoint_state", &failing), None, "one state at a time");
    assert!(gateway.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_in_trouble_is_seen() {
    let (_folder, upstream, gateway) = house(&[]).await;
    gateway.baseline().await;
    let state =
        |told: &Exposition, state: &str| told.get("certhook_source_state", &[("source", "numeral"), ("state", state)]);
    scraped(&gateway, "a source that works", |told| state(told, "healthy") == 1.0).await;
    upstream.post("/sandbox/faults", &json!({ "fault": "status", "status": 500, "share": 1.0 })).await;
    let told = scraped(&gateway, "a source that fails", |told| state(told, "failing") == 1.0).await;
    assert_eq!(state(&told, "healthy"), 0.0);
    assert!(told.get("certhook_source_calls_total", &[("result", "unavailable")]) > 0.0);
    upstream.post("/sandbox/faults", &json!({ "clear": true })).await;
    upstream.post("/sandbox/faults", &json!({ "fault": "status", "status": 401, "share": 1.0 })).await;
    gateway.post("/v1/sources/numeral/poll", &json!({})).await;
    let told = scraped(&gateway, "a key that is refused", |told| state(told, "unauthorized") == 1.0).await;
    assert!(told.get("certhook_source_calls_total", &[("result", "unauthorized")]) > 0.0);
    let bad = |told: &Exposition| {
        ["incomplete", "failed"]
            .map(|result| told.sum("certhook_passes_total", &[("result", result)]))
            .iter()
            .sum::<f64>()
    };
    // The state is known before the pass that found it has ended.
    scraped(&gateway, "the end of that pass", |told| bad(told) > 0.0).await;
}
