//! Events as they come, and on to somebody else.

use std::process::Stdio;

use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::time::timeout;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::shell::{House, Shell};
use crate::support::process::{PATIENCE, Process, ROOT_KEY};

/// A command that goes on, line by line.
struct Going {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
}

impl Going {
    fn start(shell: &Shell, arguments: &[&str]) -> Self {
        let mut child = shell.command(arguments).stderr(Stdio::piped()).spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let err = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        Self { child, out, err }
    }

    async fn line(&mut self) -> String {
        timeout(PATIENCE, self.out.next_line()).await.expect("a line comes").expect("text").expect("it goes on")
    }

    /// The next remark that says this.
    async fn remark(&mut self, wanted: &str) -> String {
        loop {
            let line = timeout(PATIENCE, self.err.next_line()).await.unwrap_or_else(|_| panic!("waited for {wanted}"));
            let line = line.expect("text").unwrap_or_else(|| panic!("it ended before {wanted}"));
            if line.contains(wanted) {
                return line;
            }
        }
    }
}

fn port(url: &str) -> u16 {
    url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_or_repeated_when_the_gateway_is_restarted() {
    let house = House::start().await;
    let mut tail = Going::start(&house.shell, &["events", "tail", "--types", "certificate.expiring"]);
    tail.remark("Connected").await;
    let first = house.happen("certificate.expiring").await;
    assert!(tail.line().await.contains(&first));

    let House { folder, upstream, gateway, shell } = house;
    let port = port(&gateway.url);
    gateway.kill().await;
    tail.remark("connection is lost").await;
    let away = upstream.post("/sandbox/trigger", &serde_json::json!({"type": "certificate.expiring"})).await;
    let gateway = Process::gateway(folder.path(), port, &upstream.url).await;
    tail.remark("Connected").await;
    let line = tail.line().await;
    assert!(line.contains(away["object"]["id"].as_str().expect("an id")), "{line}");
    let house = House { folder, upstream, gateway, shell };
    let third = house.happen("certificate.expiring").await;
    assert!(tail.line().await.contains(&third), "and nothing twice");

    // Somebody presses Ctrl-C.
    let id = rustix::process::Pid::from_raw(tail.child.id().expect("it runs").cast_signed()).expect("above 0");
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("a signal is sent");
    let status = timeout(PATIENCE, tail.child.wait()).await.expect("it ends").expect("a status");
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forwarded_is_signed_with_a_printed_secret_that_stays() {
    let house = House::start().await;
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(202)).mount(&server).await;
    let url = format!("{}/local", server.uri());
    let mut secrets = Vec::new();
    for run in 0..2 {
        let newest = house.shell.json(&["events", "list", "--limit", "1"]).await.remove(0);
        house.happen("certificate.expiring").await;
        let after = newest["id"].as_str().expect("an id");
        let arguments = ["events", "tail", "--json", "--limit", "1", "--after", after, "--forward-to", &url];
        let said = house.shell.run(&arguments).await;
        assert_eq!(said.code, 0, "{said:?}");
        let event: Value = serde_json::from_str(&said.out).expect("one line of JSON");
        let secret = said.err.split_whitespace().find(|word| word.starts_with("whsec_")).expect("a secret");
        secrets.push(secret.to_owned());
        let requests = server.received_requests().await.expect("they are recorded");
        assert_eq!(requests.len(), run + 1);
        let request = &requests[run];
        Webhook::new(&secrets[run]).expect("a secret").verify(&request.body, &request.headers).expect("it is signed");
        assert_eq!(serde_json::from_slice::<Value>(&request.body).expect("JSON"), event);
        let stored = house.gateway.get(&format!("/v1/events/{}", event["id"].as_str().expect("an id"))).await;
        assert_eq!(stored, event);
    }
    assert_eq!(secrets[0], secrets[1]);
    assert!(!secrets[0].contains(ROOT_KEY));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_begins_where_it_is_told_to_and_says_if_it_cannot() {
    let house = House::start().await;
    let first = house.shell.json(&["events", "list", "--oldest-first", "--limit", "1"]).await.remove(0);
    let resource = house.happen("certificate.expiring").await;
    let after = ["events", "tail", "--after", first["id"].as_str().expect("an id"), "--limit", "1", "--json"];
    let event = house.shell.json(&after[..6]).await.remove(0);
    assert_eq!(event["data"]["object"]["id"], resource);
    let said = house.shell.run(&["events", "tail", "--after", "evt_nonsense"]).await;
    assert!(said.code == 2 && said.err.contains("not an event id"), "{said:?}");
}
