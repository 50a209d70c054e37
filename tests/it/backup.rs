//! The real program, backed up while it works, and restored elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::end_to_end::assert_chains;
use crate::support::process::{Process, ROOT_KEY, certhook, configuration, free_port, until};
use crate::support::receiver::{Receiver, SECRET};

/// What happens upstream, in turn.
const HAPPENINGS: [&str; 5] = [
    "certificate_request.created",
    "certificate.active",
    "certificate.expiring",
    "certificate.renewed",
    "certificate.updated",
];

async fn make_happen(upstream: &Process, number: usize) -> String {
    let happening = json!({ "type": HAPPENINGS[number % HAPPENINGS.len()] });
    let answer = upstream.post("/sandbox/trigger", &happening).await;
    answer["object"]["id"].as_str().expect("an id").to_owned()
}

/// Takes a backup of a gateway into a file of the folder.
async fn back_up(folder: &Path, gateway: &str, file: &str) -> (bool, String) {
    certhook(folder, &["backup", file, "--api", gateway, "--key", ROOT_KEY]).await
}

fn ids(events: &[Value]) -> BTreeSet<String> {
    events.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}

fn epoch(event: &Value) -> u64 {
    event["detection"]["epoch"].as_u64().expect("an epoch")
}

/// What a subscriber has of each resource that drops whatever has a smaller (epoch, version) than what it has: its
/// status.
fn applied(events: &[Value]) -> BTreeMap<String, Value> {
    let mut newest: BTreeMap<String, ((u64, u64), Value)> = BTreeMap::new();
    for event in events.iter().filter(|event| event["data"]["object"]["object"] != "source") {
        let id = event["data"]["object"]["id"].as_str().expect("an id").to_owned();
        let version = (epoch(event), event["detection"]["object_version"].as_u64().expect("a version"));
        if newest.get(&id).is_none_or(|(known, _)| *known <= version) {
            newest.insert(id, (version, event["data"]["object"]["status"].clone()));
        }
    }
    newest.into_iter().map(|(id, (_, status))| (id, status)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_gateway_at_work_goes_on_elsewhere() {
    let (first, second) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let upstream = Process::sandbox(first.path()).await;
    let receiver = Receiver::refusing(|number| number % 5 == 3).await;
    let gateway = Process::gateway(first.path(), free_port(), &upstream.url).await;
    gateway.register(&receiver.url, SECRET).await;
    gateway.baseline().await;
    let mut touched = BTreeSet::new();
    for number in 0..20 {
        touched.insert(make_happen(&upstream, number).await);
    }
    until("some deliveries", || async { (receiver.events().len() > 5).then_some(()) }).await;
    let happening = async {
        let mut touched = BTreeSet::new();
        for number in 0..40 {
            touched.insert(make_happen(&upstream, number).await);
        }
        touched
    };
    let ((done, said), more) = tokio::join!(back_up(first.path(), &gateway.url, "all.backup"), happening);
    assert!(done && said.contains("keep the key of today"), "{said}");
    touched.extend(more);
    // What happens after the backup is told by the first one, and told anew by the second one.
    touched.insert(make_happen(&upstream, 2).await);
    until("everything to be told", || async { is_up_to_date(&receiver, &upstream, &touched).await }).await;
    let lost = gateway.list("/v1/events").await;
    gateway.kill().await;

    let file = first.path().join("all.backup");
    fs::copy(first.path().join("data.key"), second.path().join("data.key")).expect("the key");
    let port = free_port();
    configuration(second.path(), port, &upstream.url);
    let restore = ["restore", file.to_str().expect("a path"), "--config", "gateway.toml"];
    let (done, said) = certhook(second.path(), &restore).await;
    assert!(done && said.contains("certhook serve --paused"), "{said}");

    let quiet = Process::paused_gateway(second.path(), port, &upstream.url).await;
    let restored = quiet.list("/v1/events").await;
    let requests = receiver.requests();
    let test = format!("/v1/endpoints/{}/test", quiet.list("/v1/endpoints").await[0]["id"].as_str().expect("an id"));
    assert_refuses(&quiet, &test).await;
    let begun = quiet.get("/v1/sources/numeral").await["passes"].as_array().map(Vec::len);
    assert_eq!((begun, quiet.list("/v1/events").await.len()), (Some(0), restored.len()), "nothing is polled");
    assert!(quiet.terminate().await.success());
    assert_eq!(receiver.requests(), requests, "nothing is sent");
    let log = fs::read_to_string(second.path().join("gateway.log")).expect("a log");
    assert!(log.contains("gateway.paused"), "it says so");

    touched.insert(make_happen(&upstream, 3).await);
    let gateway = Process::gateway(second.path(), port, &upstream.url).await;
    until("everything to be told", || async { is_up_to_date(&receiver, &upstream, &touched).await }).await;
    let told = until("every event to arrive", || async {
        let log = gateway.list("/v1/events").await;
        let told: Vec<_> = log.into_iter().filter(|event| event["data"]["object"]["object"] != "source").collect();
        ids(&told).is_subset(&ids(&receiver.events())).then_some(told)
    })
    .await;
    receiver.assert_content();
    assert_chains(&told);
    assert!(lost.starts_with(&restored), "up to the backup it is the same log");
    let (begin, rest) = told.split_at(told.iter().filter(|event| ids(&restored).contains(&event_id(event))).count());
    let former = epoch(&begin[0]);
    assert!(begin.iter().all(|event| epoch(event) == former), "what is told is told");
    assert!(!rest.is_empty() && rest.iter().all(|event| epoch(event) > former), "a new epoch");
    let again: Vec<_> = lost.iter().skip(restored.len()).cloned().collect();
    assert!(ids(&again).is_disjoint(&ids(&told)), "no id is given again");
    gateway.post(&test, &json!({})).await;
    assert_eq!(epochs_of_tests(&receiver), [epoch(&rest[0])], "a test is of the log's epoch");
    assert!(gateway.terminate().await.success());
}

/// Asks a paused gateway for a pass and for a test.
async fn assert_refuses(quiet: &Process, test: &str) {
    assert_eq!(quiet.get("/v1/sources/numeral").await["status"], "paused");
    let (status, refused) = quiet.try_post("/v1/sources/numeral/poll", &json!({})).await;
    assert_eq!((status, &refused["type"]), (409, &json!("SOURCE_PAUSED")));
    assert!(refused["message"].as_str().is_some_and(|message| message.contains("--paused")), "{refused}");
    let (status, refused) = quiet.try_post(test, &json!({})).await;
    assert_eq!((status, &refused["type"]), (409, &json!("GATEWAY_PAUSED")));
}

/// The epoch of each example that was received.
fn epochs_of_tests(receiver: &Receiver) -> Vec<u64> {
    let bodies = receiver.bodies().into_iter().map(|body| serde_json::from_slice::<Value>(&body).expect("JSON"));
    bodies.filter(|event| event["type"] == "webhook.test").map(|event| epoch(&event)).collect()
}

fn event_id(event: &Value) -> String {
    event["id"].as_str().expect("an id").to_owned()
}

/// Whether the receiver has the present state of all these resources.
async fn is_up_to_date(receiver: &Receiver, upstream: &Process, touched: &BTreeSet<String>) -> Option<()> {
    let expected = upstream.listed().await;
    let applied = applied(&receiver.events());
    let is_told = |id: &String| applied.get(id) == expected.get(id).map(|object| &object["status"]);
    touched.iter().all(is_told).then_some(())
}

/// What is in a folder, by name.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("it").file_name().into_string().expect("a name")).collect();
    names.retain(|name| !name.ends_with(".log"));
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_backed_up_or_restored_is_refused_and_leaves_no_trace() {
    let (first, second) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let upstream = Process::sandbox(first.path()).await;
    let port = free_port();
    let gateway = Process::gateway(first.path(), port, &upstream.url).await;
    gateway.baseline().await;
    let wrong = certhook(first.path(), &["backup", "x.backup", "--api", &gateway.url, "--key", "wrong"]).await;
    assert!(!wrong.0 && wrong.1.contains("this key opens nothing here"), "{}", wrong.1);
    assert_eq!(names(first.path()), ["data", "data.key", "gateway.toml"]);
    let (done, said) = back_up(first.path(), &gateway.url, "all.backup").await;
    assert!(done, "{said}");
    let bytes = fs::read(first.path().join("all.backup")).expect("the backup");
    let (done, said) = back_up(first.path(), &gateway.url, "all.backup").await;
    assert!(!done && said.contains("is there already"), "{said}");
    assert!(fs::read(first.path().join("all.backup")).expect("the backup") == bytes, "it is as it was");

    for further in [&[][..], &["--force"]] {
        let restore = [&["restore", "all.backup", "--config", "gateway.toml"], further].concat();
        let (done, said) = certhook(first.path(), &restore).await;
        assert!(!done && (said.contains("there is a store") || said.contains("has it open")), "{said}");
    }
    assert_eq!(gateway.get("/readyz").await["status"], "ready");
    assert_eq!(names(first.path()), ["all.backup", "data", "data.key", "gateway.toml"]);

    configuration(second.path(), free_port(), &upstream.url);
    let middle = bytes.len() / 2;
    let mut flipped = bytes.clone();
    flipped[middle] ^= 4;
    for (bad, said_of) in [(&bytes[..middle], "it is cut off after"), (&flipped, "it is damaged after")] {
        fs::write(second.path().join("bad.backup"), bad).expect("a file");
        let (done, said) = certhook(second.path(), &["restore", "bad.backup", "--config", "gateway.toml"]).await;
        assert!(!done && said.contains(said_of), "{said}");
    }
    fs::write(second.path().join("bad.backup"), &bytes).expect("a file");
    let (done, said) = certhook(second.path(), &["restore", "bad.backup", "--config", "gateway.toml"]).await;
    assert!(!done && said.contains("needs the key that sealed its secrets"), "{said}");
    assert_eq!(names(second.path()), ["bad.backup", "gateway.toml"]);
    assert!(gateway.terminate().await.success());
    let (done, said) = back_up(first.path(), "http://127.0.0.1:1", "other.backup").await;
    assert!(!done && said.contains("nothing answers at"), "{said}");
    assert_eq!(names(first.path()), ["all.backup", "data", "data.key", "gateway.toml"]);
}
