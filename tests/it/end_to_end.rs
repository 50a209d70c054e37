//! The gateway as a process, over a simulated upstream as another, with a receiver that verifies independently.

use std::collections::BTreeMap;
use std::path::Path;

use certhook::clock::SystemClock;
use certhook::model::event::{EventType, Sight};
use certhook::model::id::Position;
use certhook::model::resource::Kind;
use certhook::store::sled::SledStore;
use certhook::store::{EventLog, Settings, SightStore, Store};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::process::{Process, UPSTREAM_KEY, free_port, until};
use crate::support::receiver::{Receiver, SECRET};
use crate::support::schemas::{problems, validator};

/// A folder, an upstream and a gateway over it.
async fn house() -> (tempfile::TempDir, Process, Process) {
    let folder = tempfile::tempdir().expect("a folder");
    let upstream = Process::sandbox(folder.path()).await;
    let gateway = Process::gateway(folder.path(), free_port(), &upstream.url).await;
    (folder, upstream, gateway)
}

/// Makes a type's transition happen upstream; gives the resource as it is now.
async fn happen(upstream: &Process, event_type: &str) -> Value {
    upstream.post("/sandbox/trigger", &json!({ "type": event_type })).await["object"].take()
}

/// The one event of a type about a resource, once it is there.
async fn told(receiver: &Receiver, event_type: &str, id: &str) -> Value {
    let found = until(event_type, || async { receiver.told(event_type, id).into_iter().next() }).await;
    assert_eq!(receiver.told(event_type, id).len(), 1, "{event_type} once");
    found
}

fn id_of(resource: &Value) -> &str {
    resource["id"].as_str().expect("an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_upstream_becomes_one_verified_webhook() {
    let (_folder, upstream, gateway) = house().await;
    let receiver = Receiver::start().await;
    gateway.register(&receiver.url, SECRET).await;
    assert_eq!(gateway.baseline().await, upstream.listed().await.len() as u64);
    assert!(upstream.listed().await.len() >= 350);
    let log = gateway.list("/v1/events").await;
    let types: Vec<&str> = log.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(types, ["gateway.baseline_completed"], "a baseline tells nothing of them");
    assert_eq!(receiver.requests(), 0);

    let request = happen(&upstream, "certificate_request.fulfilled").await;
    let event = told(&receiver, "certificate_request.fulfilled", id_of(&request)).await;
    assert_eq!(event["data"]["previous_attributes"], json!({ "status": "pending", "certificate_id": null }));
    assert_eq!(event["data"]["object"]["certificate_id"], request["certificate_id"]);
    assert_eq!(event["detection"]["object_version"], 1);
    let certificate = request["certificate_id"].as_str().expect("a certificate");
    told(&receiver, "certificate.created", certificate).await;

    let expiring = happen(&upstream, "certificate.expiring").await;
    let event = told(&receiver, "certificate.expiring", id_of(&expiring)).await;
    assert_eq!(event["data"]["previous_attributes"]["status"], "active");
    assert_eq!(event["data"]["object"]["status"], "expiring");
    assert_eq!(event["source"], "numeral");

    let approved = upstream.post(&format!("/sandbox/certificates/{certificate}/approve"), &json!({})).await;
    let event = told(&receiver, "certificate.active", certificate).await;
    assert_eq!(event["data"]["previous_attributes"]["status"], "processing");
    assert_eq!(event["data"]["object"]["status"], approved["status"]);
    let completed = told(&receiver, "certificate.processing_completed", certificate).await;
    assert_eq!(completed["detection"]["object_version"], event["detection"]["object_version"], "of one sight");

    receiver.assert_content();
    assert_eq!(receiver.repeats(), 0);
    let log = gateway.list("/v1/events").await;
    assert_chains(&log);
    assert_described(&gateway, &log).await;
    assert!(gateway.terminate().await.success(), "SIGTERM ends with 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_told_over_a_simulated_upstream_is_live() {
    let (_folder, upstream, gateway) = house().await;
    let gone = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(410)).mount(&gone).await;
    gateway.post("/v1/endpoints", &json!({ "url": gone.uri() })).await;
    gateway.baseline().await;
    happen(&upstream, "certificate.expiring").await;
    let log = until("the endpoint to be disabled", || async {
        let log = gateway.list("/v1/events").await;
        log.iter().any(|event| event["type"] == "endpoint.disabled").then_some(log)
    })
    .await;
    let live: Vec<&Value> = log.iter().filter(|event| event["livemode"] != false).collect();
    assert!(log.len() >= 3 && live.is_empty(), "{live:#?}");
    gateway.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_about_to_end_what_is_gone_and_what_only_time_moved_is_told() {
    let (_folder, upstream, gateway) = house().await;
    let receiver = Receiver::start().await;
    gateway.register(&receiver.url, SECRET).await;
    gateway.baseline().await;
    let poll = async |pass: &str| gateway.post("/v1/sources/numeral/poll", &json!({ "pass": pass })).await;

    let ending = happen(&upstream, "certificate.will_expire").await;
    let event = told(&receiver, "certificate.will_expire", id_of(&ending)).await;
    assert_eq!(event["data"]["thresholds_crossed"], json!([60, 30, 14, 7]));
    assert_eq!((&event["data"]["threshold_days"], &event["detection"]["mode"]), (&json!(7), &json!("derived")));

    let gone = happen(&upstream, "certificate.removed").await;
    poll("sweep").await;
    let event = told(&receiver, "certificate.removed", id_of(&gone)).await;
    assert_eq!((&event["data"]["reason"], &event["detection"]["pass"]), (&json!("unlisted"), &json!("sweep")));
    let back = happen(&upstream, "certificate.restored").await;
    assert_eq!(id_of(&back), id_of(&gone), "it went last");
    told(&receiver, "certificate.restored", id_of(&gone)).await;

    let request = upstream.post("/sandbox/requests", &json!({ "expires_in_days": 1 })).await;
    told(&receiver, "certificate_request.created", id_of(&request)).await;
    upstream.post("/sandbox/options", &json!({ "clock_moves_bump_updated_at": false })).await;
    upstream.post("/sandbox/clock", &json!({ "advance": "2d" })).await;
    poll("open").await;
    let event = told(&receiver, "certificate_request.invalid", id_of(&request)).await;
    assert_eq!(event["detection"]["pass"], "open");
    assert_eq!(event["data"]["previous_attributes"], json!({ "status": "pending" }));

    receiver.assert_content();
    let log = gateway.list("/v1/events").await;
    assert_chains(&log);
    assert_described(&gateway, &log).await;
    assert!(gateway.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_sends_nothing_again_and_misses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let upstream = Process::sandbox(folder.path()).await;
    let port = free_port();
    let gateway = Process::gateway(folder.path(), port, &upstream.url).await;
    let receiver = Receiver::start().await;
    gateway.register(&receiver.url, SECRET).await;
    gateway.baseline().await;
    let first = happen(&upstream, "certificate.expiring").await;
    told(&receiver, "certificate.expiring", id_of(&first)).await;
    assert!(gateway.terminate().await.success());

    let missed = happen(&upstream, "certificate_request.fulfilled").await;
    let gateway = Process::gateway(folder.path(), port, &upstream.url).await;
    told(&receiver, "certificate_request.fulfilled", id_of(&missed)).await;
    let certificate = missed["certificate_id"].as_str().expect("a certificate");
    let happened = [id_of(&first), id_of(&missed), certificate];
    for event in receiver.events() {
        let id = event["data"]["object"]["id"].as_str().expect("an id");
        assert!(happened.contains(&id), "nothing happened to {id}: {event}");
    }
    assert_eq!(receiver.repeats(), 0, "nothing is sent again that was delivered");
    receiver.assert_content();
    gateway.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_confidential_is_kept_logged_or_told() {
    let (folder, upstream, gateway) = house().await;
    let receiver = Receiver::start().await;
    let endpoint = json!({
        "url": format!("{}?token=query-canary-77", receiver.url), "secret": SECRET,
        "headers": {"Authorization": "Bearer header-canary-88"},
    });
    let endpoint = gateway.post("/v1/endpoints", &endpoint).await;
    gateway.baseline().await;
    let request = happen(&upstream, "certificate_request.fulfilled").await;
    told(&receiver, "certificate_request.fulfilled", id_of(&request)).await;
    let certificate = request["certificate_id"].as_str().expect("a certificate");
    upstream.post(&format!("/sandbox/certificates/{certificate}/approve"), &json!({ "attach": true })).await;
    told(&receiver, "certificate.active", certificate).await;
    let shown = upstream.get(&format!("/tax/certificates/{certificate}")).await;
    let document = shown["download_url"].as_str().expect("a document").split('?').next().expect("a path").to_owned();

    let id = id_of(&endpoint);
    let mut answers = Vec::new();
    for path in ["/v1/endpoints", "/v1/events?limit=100", "/v1/deliveries?limit=100", "/v1/sources"] {
        answers.push(gateway.get(path).await.to_string());
    }
    answers.push(gateway.get(&format!("/v1/endpoints/{id}")).await.to_string());
    gateway.kill().await;

    let plain_key = "canary-canary-canary-canary-1234";
    let canaries =
        [document.as_str(), "download_url", "X-Amz-", SECRET, plain_key, "query-canary-77", "header-canary-88"];
    let keys = [crate::support::process::ROOT_KEY, UPSTREAM_KEY];
    let files = files(&folder.path().join("data"));
    // Packed in the files, where nobody would find it.
    let kept = kept(folder.path()).await;
    assert!(kept.iter().any(|text| contains(text.as_bytes(), certificate)), "what is kept of resources was read");
    for needle in canaries.iter().chain(&keys) {
        for (file, bytes) in &files {
            assert!(!contains(bytes, needle), "{needle} is in {file}");
        }
        for text in &kept {
            assert!(!contains(text.as_bytes(), needle), "{needle} is kept: {text}");
        }
        let log = std::fs::read(folder.path().join("gateway.log")).expect("a log");
        assert!(!contains(&log, needle), "{needle} is in the log");
        for body in receiver.bodies() {
            assert!(!contains(&body, needle), "{needle} is in an event");
        }
        for answer in &answers {
            assert!(!contains(answer.as_bytes(), needle), "{needle} is in an answer of the API");
        }
    }
}

/// Every event has the shape that the API tells of its type.
async fn assert_described(gateway: &Process, log: &[Value]) {
    let types = gateway.get("/v1/event-types").await;
    assert_eq!(types["data"].as_array().map(Vec::len), Some(EventType::ALL.len()));
    for event in log {
        let name = event["type"].as_str().expect("a type");
        let told = gateway.get(&format!("/v1/event-types/{name}")).await;
        for body in [event, &told["example"]] {
            assert_eq!(problems(&validator(&told["schema"]), body), [""; 0], "{body}");
        }
    }
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).expect("a file")));
        }
    }
    found
}

/// What the store of a gateway that has ended keeps of resources and tells of them.
async fn kept(folder: &Path) -> Vec<String> {
    let settings = Settings { path: folder.join("data"), encryption_key: None, min_free: 0 };
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&settings, &SystemClock::default())).await;
    let store = opened.expect("no panic").expect("it opens");
    let (source, mut kept) = ("numeral".parse().expect("a name"), Vec::new());
    for kind in Kind::ALL {
        let snapshots = store.snapshots_after(&source, kind, None, usize::MAX).await.expect("snapshots");
        kept.extend(snapshots.into_iter().map(|snapshot| snapshot.object.text().to_owned()));
    }
    for event in store.events_after(Position::START, usize::MAX).await.expect("events") {
        let Sight { object, previous_attributes, .. } = &*event.sight;
        kept.extend([object, previous_attributes, &event.details].map(|json| json.text().to_owned()));
    }
    store.close().await;
    kept
}

/// Each event of a resource starts where the one before it ended, and versions have no gaps.
pub(crate) fn assert_chains(log: &[Value]) {
    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    for event in log.iter().filter(|event| event["type"].as_str().is_some_and(|name| name.starts_with("certificate"))) {
        let id = id_of(&event["data"]["object"]).to_owned();
        if let Some(before) = last.get(&id) {
            let version = |event: &Value| event["detection"]["object_version"].as_u64().expect("a version");
            let (old, new) = (version(before), version(event));
            assert!(new == old || new == old + 1, "a gap between versions {old} and {new} of {id}");
            if new == old + 1 {
                assert_follows(&before["data"]["object"], event);
            }
        }
        last.insert(id, event.clone());
    }
}

/// What an event says was before, is what the former event ended with (`updated_at` apart).
fn assert_follows(before: &Value, event: &Value) {
    let object = event["data"]["object"].as_object().expect("an object");
    let previous = event["data"]["previous_attributes"].as_object().expect("an object");
    for (name, now) in object.iter().filter(|(name, _)| *name != "updated_at") {
        let former = previous.get(name).unwrap_or(now);
        assert_eq!(&before[name.as_str()], former, "{name} of {}", object["id"]);
    }
}
