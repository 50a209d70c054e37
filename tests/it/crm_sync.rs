//! The example `crm_sync` as its readers run it: killed and started again, and the gateway too, shown repeats, left with a
//! gateway that begins anew; and its table compared with what the gateway answers.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::support::process::{Process, ROOT_KEY, free_port, until};

/// How often something is killed: the example, and every other time the gateway too.
const ROUNDS: u32 = 4;

/// What happens upstream in every round, some of it while somebody is down.
const HAPPENINGS: [&str; 8] = [
    "certificate_request.fulfilled",
    "certificate.active",
    "certificate.expiring",
    "certificate.expired",
    "certificate.renewed",
    "certificate.invalid",
    "certificate.removed",
    "certificate.created",
];

/// Has cargo build the example, which it does not when it builds one test binary alone.
async fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit());
    cargo.args(["build", "--quiet", "--example", "crm_sync", "--message-format", "json"]);
    let output = cargo.output().await.expect("cargo runs");
    assert!(output.status.success(), "the example does not build");
    let lines = output.stdout.split(|&byte| byte == b'\n');
    let messages = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let mut binaries = messages.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    binaries.next_back().expect("cargo names the example")
}

/// The example with all that it is given.
struct Crm<'a> {
    binary: &'a Path,
    folder: &'a Path,
    port: u16,
    api: &'a str,
}

impl Crm<'_> {
    fn start(&self) -> Child {
        let mut command = Command::new(self.binary);
        command.env_clear().current_dir(self.folder).kill_on_drop(true);
        command.args(["--listen", &format!("127.0.0.1:{}", self.port), "--api", self.api, "--key", ROOT_KEY]);
        command.spawn().expect("the example starts")
    }

    /// Where it keeps its table.
    fn path(&self) -> PathBuf {
        self.folder.join("crm-sync.json")
    }

    /// What it keeps.
    fn file(&self) -> Value {
        let text = std::fs::read(self.path()).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// What it believes; `None` while it is down.
    async fn table(&self) -> Option<Value> {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = http.get(format!("http://127.0.0.1:{}/", self.port)).send().await.ok()?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    }
}

/// The same table, by the gateway's own answers.
async fn truth(gateway: &Process) -> Value {
    let mut truth = json!({});
    for certificate in gateway.list("/v1/certificates").await {
        let customer = certificate["customer"]["id"].as_str().expect("a customer");
        for entry in certificate["jurisdictions"].as_array().expect("a list") {
            let jurisdiction = entry["jurisdiction_id"].as_str().expect("an id");
            if truth[customer][jurisdiction].is_null() {
                let asked = format!("/v1/exemptions?customer_id={customer}&jurisdiction={jurisdiction}");
                let mut exempting = gateway.get(&asked).await["certificate_ids"].clone();
                exempting.as_array_mut().expect("a list").sort_by_key(Value::to_string);
                truth[customer][jurisdiction] = exempting;
            }
        }
    }
    truth
}

#[tokio::test(flavor = "multi_thread")]
async fn crm_sync_has_the_same_table_as_the_gateway_whoever_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (binary, upstream) = (build().await, Process::sandbox(folder.path()).await);
    let gateway_port = free_port();
    let mut gateway = Process::gateway(folder.path(), gateway_port, &upstream.url).await;
    let api = gateway.url.clone();
    let crm = Crm { binary: &binary, folder: folder.path(), port: free_port(), api: &api };
    gateway.baseline().await;

    for round in 0..ROUNDS {
        let before = crm.file();
        let mut running = crm.start();
        for happening in HAPPENINGS {
            upstream.post("/sandbox/trigger", &json!({ "type": happening })).await;
        }
        gateway.post("/v1/sources/numeral/poll", &json!({ "pass": "sweep" })).await;
        if round % 2 == 0 {
            // In the middle of what arrives, at first of the resync.
            until("something to arrive", || async { (crm.file() != before).then_some(()) }).await;
            running.kill().await.expect("the example is killed");
        } else {
            until("the resync to be through", || async { crm.file()["in_step"].is_array().then_some(()) }).await;
            running.kill().await.expect("the example is killed");
            gateway.kill().await;
            gateway = Process::gateway(folder.path(), gateway_port, &upstream.url).await;
        }
    }

    // What it took is forgotten, as it is after many events: what it takes by now is told by versions alone.
    let mut kept = crm.file();
    kept["taken"] = json!([]);
    std::fs::write(crm.path(), kept.to_string()).expect("its file is written");
    let _running = crm.start();
    upstream.post("/sandbox/trigger", &json!({ "type": "certificate.active" })).await;
    gateway.post("/v1/sources/numeral/poll", &json!({ "pass": "sweep" })).await;
    let exemptions = in_step(&crm, &gateway).await;
    assert!(exemptions > 100, "only {exemptions} exemptions: a table that says nothing is no proof");

    // Everything once more, older than what is known: nothing changes.
    let before = crm.table().await;
    let replay = gateway.post("/v1/endpoints/crm-sync/replay", &json!({ "select": "all" })).await;
    let replay = format!("/v1/replays/{}", replay["id"].as_str().expect("an id"));
    let delivered = until("the replay", || async {
        let replay = gateway.get(&replay).await;
        (replay["status"] == "completed").then(|| replay["delivered"].as_u64().expect("a count"))
    });
    assert!(delivered.await > u64::from(ROUNDS), "the replay sends what was there");
    assert_eq!(crm.table().await, before);

    // A gateway that begins anew knows nothing of it, and nothing of what has gone meanwhile.
    gateway.kill().await;
    std::fs::remove_dir_all(folder.path().join("data")).expect("the store is removed");
    upstream.post("/sandbox/trigger", &json!({ "type": "certificate.removed" })).await;
    let gateway = Process::gateway(folder.path(), gateway_port, &upstream.url).await;
    gateway.baseline().await;
    until("it to register anew", || async { gateway.try_get("/v1/endpoints/crm-sync").await }).await;
    in_step(&crm, &gateway).await;
}

/// Waits until the table is what the gateway answers; how many exemptions there are.
async fn in_step(crm: &Crm<'_>, gateway: &Process) -> usize {
    until("everything to arrive", || async {
        let endpoint = gateway.get("/v1/endpoints/crm-sync").await;
        let is_in_step = crm.file()["in_step"][0] == endpoint["id"];
        (endpoint["pending"] == 0 && is_in_step).then_some(())
    })
    .await;
    until("both tables to be the same", || async { (crm.table().await? == truth(gateway).await).then_some(()) }).await;
    let table = crm.table().await.expect("it serves");
    let everywhere =
        table.as_object().into_iter().flatten().flat_map(|(_, there)| there.as_object().into_iter().flatten());
    everywhere.filter(|(_, certificates)| **certificates != json!([])).count()
}
