//! `kill -9` in a loop: at random moments, within sweeps too, with changes upstream and a receiver that fails one time
//! in five.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::end_to_end::assert_chains;
use crate::support::process::{Process, free_port, until};
use crate::support::receiver::{Receiver, SECRET};

/// How often the gateway is killed.
const ROUNDS: u32 = 50;

/// What happens upstream, in turn.
const HAPPENINGS: [&str; 8] = [
    "certificate_request.created",
    "certificate_request.fulfilled",
    "certificate.active",
    "certificate.expiring",
    "certificate.renewed",
    "certificate.updated",
    "certificate.removed",
    "certificate.will_expire",
];

/// The life of a gateway, from 0 to 2 s: short ones are more frequent, because that is when the most is under way.
fn lifetime() -> Duration {
    let chance = certhook::clock::chance();
    Duration::from_secs_f64(2.0 * chance * chance)
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_any_moment_loses_nothing_and_repeats_only_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let upstream = Process::sandbox(folder.path()).await;
    let port = free_port();
    let receiver = Receiver::refusing(|number| number % 5 == 3).await;
    let gateway = Process::gateway(folder.path(), port, &upstream.url).await;
    gateway.register(&receiver.url, SECRET).await;
    gateway.baseline().await;
    gateway.kill().await;

    let mut touched = BTreeSet::new();
    for round in 0..ROUNDS {
        let happening = json!({ "type": HAPPENINGS[round as usize % HAPPENINGS.len()] });
        touched.insert(id_of(&upstream.post("/sandbox/trigger", &happening).await["object"]));
        let gateway = Process::gateway(folder.path(), port, &upstream.url).await;
        let end = tokio::time::Instant::now() + lifetime();
        if round % 2 == 0 {
            sweep(&gateway).await;
        }
        touched.insert(id_of(&upstream.post("/sandbox/trigger", &happening).await["object"]));
        tokio::time::sleep_until(end).await;
        gateway.kill().await;
    }

    let gateway = Process::gateway(folder.path(), port, &upstream.url).await;
    let expected = upstream.listed().await;
    sweep(&gateway).await;
    until("every final state to arrive", || async { stale(&receiver, &expected, &touched).is_none().then_some(()) })
        .await;
    until("every event to arrive", || async {
        let log = gateway.list("/v1/events").await;
        let told = log.iter().filter(|event| !event["type"].as_str().is_some_and(|name| name.starts_with("gateway")));
        (receiver.events().len() == told.count()).then_some(())
    })
    .await;
    receiver.assert_content();
    assert_chains(&gateway.list("/v1/events").await);
    assert!(gateway.terminate().await.success());
}

/// How often the gateway is killed while it is asked for things.
const ASKED_ROUNDS: u32 = 12;

/// What is asked for at the same time: so many of each.
const AT_ONCE: u32 = 6;

/// The calls of a round, each with its idempotency key.
fn calls(round: u32) -> Vec<(String, String, Value)> {
    let all = (0..AT_ONCE).flat_map(|number| {
        let url = json!({ "url": format!("https://93.184.215.14/{round}/{number}") });
        let key = json!({ "name": format!("{round}/{number}"), "scopes": ["read"] });
        [
            ("/v1/endpoints".to_owned(), format!("endpoint-{round}-{number}"), url),
            ("/v1/keys".to_owned(), format!("key-{round}-{number}"), key),
        ]
    });
    let rotation =
        ("/v1/endpoints/crm/secret/rotate".to_owned(), format!("rotation-{round}"), json!({"overlap": "7d"}));
    all.chain((round < 9).then_some(rotation)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_any_moment_leaves_no_second_thing_of_a_call_that_is_repeated_with_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let gateway = Process::gateway(folder.path(), port, "http://127.0.0.1:1").await;
    let crm = json!({ "url": "https://93.184.215.14/crm", "uid": "crm", "secret": SECRET });
    gateway.post("/v1/endpoints", &crm).await;
    gateway.kill().await;
    let (mut answered, mut first_secret) = (0, SECRET.to_owned());
    for round in 0..ASKED_ROUNDS {
        let gateway = Process::gateway(folder.path(), port, "http://127.0.0.1:1").await;
        let calls = calls(round);
        let asked =
            futures_util::future::join_all(calls.iter().map(|(path, key, body)| gateway.post_once(path, key, body)));
        // Most of it is under way in the first hundredths of a second.
        let killed = async {
            tokio::time::sleep(Duration::from_secs_f64(0.12 * certhook::clock::chance())).await;
            gateway.signal_kill();
        };
        let (before, ()) = tokio::join!(asked, killed);
        gateway.kill().await;
        let gateway = Process::gateway(folder.path(), port, "http://127.0.0.1:1").await;
        for ((path, key, body), before) in calls.iter().zip(before) {
            let after = gateway.post_once(path, key, body).await.expect("an answer");
            assert!((200..300).contains(&after.0), "{path}: {after:?}");
            if let Some(before) = before {
                answered += 1;
                assert_eq!(before, after, "what a caller was told");
            }
            if path.ends_with("rotate") {
                let secrets = gateway.get("/v1/endpoints/crm/secret").await;
                assert_eq!(secrets["secret"], after.1["secret"]);
                assert_eq!(secrets["previous"][0]["secret"], first_secret.as_str(), "one rotation and no more");
                first_secret = after.1["secret"].as_str().expect("a secret").to_owned();
            }
        }
        gateway.kill().await;
    }
    let gateway = Process::gateway(folder.path(), port, "http://127.0.0.1:1").await;
    let made = (ASKED_ROUNDS * AT_ONCE) as usize;
    assert_eq!((gateway.list("/v1/endpoints").await.len(), gateway.list("/v1/keys").await.len()), (made + 1, made));
    let entries = gateway.list("/v1/audit").await;
    let ids: BTreeSet<_> = entries.iter().map(|entry| entry["resource_id"].to_string()).collect();
    assert_eq!(entries.len(), 2 * made + 1 + 9, "each change once");
    assert_eq!(ids.len(), 2 * made + 1, "each by the id that it has");
    println!("{answered} of {} calls were answered before the kill", ASKED_ROUNDS * (2 * AT_ONCE) + 9);
    assert!(gateway.terminate().await.success());
}

/// Asks for the pass that shows what is gone.
async fn sweep(gateway: &Process) {
    gateway.post("/v1/sources/numeral/poll", &json!({ "pass": "sweep" })).await;
}

/// A resource that changed and of which nothing arrived, or whose last event is not what upstream shows.
fn stale(receiver: &Receiver, expected: &BTreeMap<String, Value>, touched: &BTreeSet<String>) -> Option<String> {
    let mut arrived: BTreeMap<String, (u64, bool, Value)> = BTreeMap::new();
    for event in receiver.events() {
        let id = id_of(&event["data"]["object"]);
        let version = event["detection"]["object_version"].as_u64().expect("a version");
        if arrived.get(&id).is_none_or(|(known, ..)| *known <= version) {
            let is_gone = event["type"] == "certificate.removed";
            arrived.insert(id, (version, is_gone, event["data"]["object"].clone()));
        }
    }
    let differs = |id: &String, is_gone: bool, object: &Value| match expected.get(id) {
        Some(wanted) => {
            is_gone || wanted["status"] != object["status"] || wanted["jurisdictions"] != object["jurisdictions"]
        }
        None => !is_gone,
    };
    let outdated = arrived.iter().find(|(id, (_, is_gone, object))| differs(id, *is_gone, object));
    let outdated = outdated.map(|(id, _)| id.clone());
    outdated.or_else(|| touched.iter().find(|id| !arrived.contains_key(*id)).cloned())
}

fn id_of(resource: &Value) -> String {
    resource["id"].as_str().expect("an id").to_owned()
}
