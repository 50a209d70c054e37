//! `certhook check`: what is in order, what is not, and what to do about it.

use std::path::Path;

use serde_json::{Value, json};

use super::shell::{House, Shell};
use crate::support::process::{Process, free_port};

/// A folder with a configuration over an upstream, and nothing that runs.
fn configured(upstream: &str) -> (tempfile::TempDir, Shell) {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:{}"
api_key = "a-key-of-at-least-24-characters"
[store]
min_free = "64MiB"
[[sources]]
name = "numeral"
base_url = "{upstream}"
api_key = "sk_prod_canary"
"#,
        free_port()
    );
    std::fs::write(folder.path().join("config.toml"), text).expect("a file");
    let shell = Shell::new(folder.path(), "http://127.0.0.1:1", None);
    (folder, shell)
}

async fn findings(shell: &Shell, arguments: &[&str], code: i32) -> Vec<Value> {
    let said = shell.run(&[&["check", "--json"], arguments].concat()).await;
    assert_eq!(said.code, code, "{said:?}");
    assert!(!said.out.contains("canary"), "no secret is shown: {said:?}");
    said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn statuses(findings: &[Value]) -> Vec<(&str, &str)> {
    findings.iter().map(|one| (one["check"].as_str().expect("what"), one["status"].as_str().expect("how"))).collect()
}

fn entries(folder: &Path) -> Vec<String> {
    let read = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> = read.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_start_everything_is_looked_at_and_nothing_is_made() {
    let logs = tempfile::tempdir().expect("a folder");
    let upstream = Process::sandbox(logs.path()).await;
    let (folder, shell) = configured(&upstream.url);
    let found = findings(&shell, &[], 0).await;
    let ok = ["configuration", "store", "disk", "address", "source numeral"].map(|check| (check, "ok"));
    assert_eq!(statuses(&found), ok);
    assert_eq!(entries(folder.path()), ["config.toml"]);
    let calls = upstream.get("/sandbox/calls").await;
    assert_eq!(calls["by_route"]["GET /tax/certificates"], 1, "{calls}");
    let table = shell.done(&["check"]).await;
    assert!(table.starts_with("CHECK ") && table.contains("the first start makes it"), "{table}");

    upstream.post("/sandbox/faults", &json!({"fault": "status", "status": 401, "next": 9})).await;
    let found = findings(&shell, &[], 1).await;
    assert_eq!(statuses(&found)[4], ("source numeral", "failed"));
    assert!(found[4]["remedy"].as_str().expect("a remedy").contains("a live key"), "{}", found[4]);
    upstream.kill().await;
    let said = shell.run(&["check"]).await;
    assert!(said.code == 1 && said.out.contains("base_url") && said.err.contains("1 of 5 checks failed"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_of_a_configuration_is_a_finding_and_the_store_is_looked_at_all_the_same() {
    let (folder, shell) = configured("http://127.0.0.1:9");
    std::fs::write(folder.path().join("bad.toml"), "[server]\nlistn = 1\n[delivery]\ntimeout = \"5h\"\n")
        .expect("a file");
    let found = findings(&shell, &["--config", "bad.toml"], 1).await;
    let wrong = |line: &str| {
        found
            .iter()
            .any(|one| one["found"].as_str().is_some_and(|text| text.starts_with(line)) && one["status"] == "failed")
    };
    assert!(wrong("bad.toml:2") && wrong("bad.toml:4"), "{found:?}");
    let found = findings(&shell, &["--config", "none.toml"], 1).await;
    assert!(found[0]["found"].as_str().expect("what").contains("there is no such file"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_gateway_that_runs_the_gateway_is_asked() {
    let house = House::start().await;
    let found = findings(&house.shell, &["--config", "gateway.toml"], 0).await;
    let checks: Vec<_> = statuses(&found).into_iter().map(|(check, _)| check).collect();
    assert_eq!(checks, ["configuration", "store", "disk", "gateway", "gateway's numeral", "source numeral"]);
    assert!(found[1]["found"].as_str().expect("what").contains("in use"), "{}", found[1]);
    assert!(found[3]["found"].as_str().expect("what").starts_with(&house.gateway.url), "{}", found[3]);
    assert_eq!(house.gateway.get("/readyz").await["status"], "ready", "the gateway is none the worse");

    let House { folder, upstream, gateway, shell } = house;
    gateway.terminate().await;
    let found = findings(&shell, &["--config", "gateway.toml"], 0).await;
    assert!(found[1]["found"].as_str().expect("what").contains("opens: 1 events"), "{}", found[1]);
    assert_eq!(found[3]["check"], "address");

    std::fs::remove_file(folder.path().join("data.key")).expect("a key file");
    let before = entries(folder.path());
    let found = findings(&shell, &["--config", "gateway.toml"], 1).await;
    assert_eq!(statuses(&found)[1], ("store", "failed"));
    assert!(found[1]["remedy"].as_str().expect("a remedy").contains("data.key"), "{}", found[1]);
    assert_eq!(entries(folder.path()), before, "a key that is lost is not made anew");
    drop(upstream);
}
