//! The real program as a child process, with everything that it writes in a folder of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

/// The root key of gateways under test.
pub(crate) const ROOT_KEY: &str = "root-key-canary-3f9a7c51d2e84b60";

/// The key of the simulated upstream under test.
pub(crate) const UPSTREAM_KEY: &str = "sk_prod_canary-5b1e9d7730";

/// What must happen, happens within this time on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at again.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until `condition` gives something, and panics with `what` when patience ends.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// A child that is killed when it goes out of scope.
pub(crate) struct Process {
    child: Child,
    pub(crate) url: String,
    http: reqwest::Client,
    key: &'static str,
}

impl Process {
    /// The simulated upstream alone, with nothing happening by itself.
    pub(crate) async fn sandbox(folder: &Path) -> Self {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let mut command = program(folder, "sandbox.log");
        command.args(["sandbox", "--quiet", "--size", "400", "--listen", &listen]);
        Self::start(command, port, UPSTREAM_KEY, "/tax/ping").await
    }

    /// A gateway over an upstream, with its store in `folder`.
    pub(crate) async fn gateway(folder: &Path, port: u16, upstream: &str) -> Self {
        Self::serve(folder, port, upstream, &[], &[]).await
    }

    /// The same with variables of the environment, which go before the file.
    pub(crate) async fn gateway_where(folder: &Path, port: u16, upstream: &str, variables: &[(&str, &str)]) -> Self {
        Self::serve(folder, port, upstream, &[], variables).await
    }

    /// The same with `--paused`.
    pub(crate) async fn paused_gateway(folder: &Path, port: u16, upstream: &str) -> Self {
        Self::serve(folder, port, upstream, &["--paused"], &[]).await
    }

    async fn serve(folder: &Path, port: u16, upstream: &str, further: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = program(folder, "gateway.log");
        command.args(["serve", "--config"]).arg(configuration(folder, port, upstream)).args(further);
        command.envs(variables.iter().copied());
        Self::start(command, port, ROOT_KEY, "/readyz").await
    }

    async fn start(mut command: Command, port: u16, key: &'static str, ready: &str) -> Self {
        let child = command.kill_on_drop(true).spawn().expect("the program starts");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut process = Self { child, url: format!("http://127.0.0.1:{port}"), http, key };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while process.try_get(ready).await.is_none() {
            if let Some(status) = process.child.try_wait().expect("a child") {
                panic!("the program ended with {status}; its log is beside its store");
            }
            assert!(tokio::time::Instant::now() < deadline, "the program does not get ready");
            tokio::time::sleep(LOOK).await;
        }
        process
    }

    /// The JSON at a path, if it is answered with success.
    pub(crate) async fn try_get(&self, path: &str) -> Option<Value> {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(self.key);
        let response = request.header("x-api-version", "2026-03-01").send().await.ok()?;
        let good = response.status().is_success();
        let text = response.text().await.ok()?;
        good.then(|| serde_json::from_str(&text).unwrap_or_default())
    }

    /// The JSON at a path.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.try_get(path).await.unwrap_or_else(|| panic!("GET {path} fails"))
    }

    /// Posts JSON and gives the JSON that comes back.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.try_post(path, body).await;
        assert!((200..300).contains(&status), "POST {path} answers {status}: {answer}");
        answer
    }

    /// The same, with the status, whatever it is.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(self.key);
        let response = request.header("content-type", "application/json").body(body.to_string()).send().await;
        let response = response.unwrap_or_else(|error| panic!("POST {path}: {error}"));
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("POST {path}: {error}: {text}")))
    }

    /// Posts JSON with an idempotency key; `None` if no answer comes.
    pub(crate) async fn post_once(&self, path: &str, key: &str, body: &Value) -> Option<(u16, Value)> {
        let request =
            self.http.post(format!("{}{path}", self.url)).bearer_auth(self.key).header("idempotency-key", key);
        let response = request.header("content-type", "application/json").body(body.to_string()).send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, serde_json::from_str(&response.text().await.ok()?).ok()?))
    }

    /// Every item of a list, page by page, oldest first.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}?limit=100&order=asc{cursor}")).await;
            items.extend(page["data"].as_array().expect("a list").iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// What an upstream lists, by id.
    pub(crate) async fn listed(&self) -> BTreeMap<String, Value> {
        let lists = [("/tax/certificates", "certificates"), ("/tax/certificate-requests", "certificate_requests")];
        let mut listed = BTreeMap::new();
        for (path, list) in lists {
            let mut cursor = String::new();
            loop {
                let page = self.get(&format!("{path}?limit=100{cursor}")).await;
                let items = page[list].as_array().expect("a list");
                listed.extend(items.iter().map(|item| (item["id"].as_str().expect("an id").to_owned(), item.clone())));
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
        }
        listed
    }

    /// Registers a receiver with its own secret.
    pub(crate) async fn register(&self, url: &str, secret: &str) -> Value {
        self.post("/v1/endpoints", &json!({ "url": url, "secret": secret, "types": ["*"] })).await
    }

    /// Waits for the end of the first full listing.
    pub(crate) async fn baseline(&self) -> u64 {
        until("the baseline", || async {
            let source = self.get("/v1/sources/numeral").await;
            (source["baseline"]["complete"] == true).then(|| source["baseline"]["seen"].as_u64().expect("a count"))
        })
        .await
    }

    /// SIGKILL: no chance to save anything.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("the child is killed");
    }

    /// SIGKILL, sent while others talk to it; [`Self::kill`] waits for its end.
    pub(crate) fn signal_kill(&self) {
        self.signal(rustix::process::Signal::KILL);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = self.child.id().expect("a running child");
        let id = rustix::process::Pid::from_raw(i32::try_from(id).expect("a process id")).expect("above 0");
        rustix::process::kill_process(id, signal).expect("a signal is sent");
    }

    /// SIGTERM: gives the exit status.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("a status")
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn program(folder: &Path, log: &str) -> Command {
    let log = File::options().create(true).append(true).open(folder.join(log)).expect("a log file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_certhook"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command.stdout(log.try_clone().expect("a second handle")).stderr(log);
    command
}

/// Runs the program to its end; whether it went well, and all that it said.
pub(crate) async fn certhook(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_certhook"));
    command.args(arguments).env_clear().current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").expect("the program starts");
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Writes the gateway's configuration: quick polls and quick retries, everything else as shipped.
pub(crate) fn configuration(folder: &Path, port: u16, upstream: &str) -> PathBuf {
    let path = folder.join("gateway.toml");
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:{port}"
api_key = "{ROOT_KEY}"
[store]
url = "sled:data"
[[sources]]
name = "numeral"
base_url = "{upstream}"
api_key = "{UPSTREAM_KEY}"
requests_per_second = 500
[sources.poll]
changes = "1s"
[delivery]
retry = ["1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"]
allow_networks = ["127.0.0.0/8"]
[log]
level = "debug"
"#
    );
    std::fs::write(&path, text).expect("a configuration");
    path
}
