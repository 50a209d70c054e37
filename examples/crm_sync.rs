//! A CRM's side of it: which customer is exempt from tax where, kept in a file of its own, right whatever restarts.
//!
//! ```text
//! cargo run --release -- serve --sandbox      # in one terminal
//! cargo run --example crm_sync                # in another
//! curl http://127.0.0.1:9001/                 # what it believes: customer, jurisdiction, certificates that exempt
//! ```
//!
//! It registers under a name of its own, so that doing it again changes nothing; a resync fills the table, and events
//! keep it. A delivery is answered with 2xx once the file has it, never before. One that was taken, or that is older
//! than what the table has, changes nothing, so that repeats, replays and events out of order do no harm.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use certhook::clock::{Clock, SystemClock};
use clap::Parser;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

/// How often it looks whether it is still registered, and with which secret.
const LOOK: Duration = Duration::from_secs(2);

/// How many ids are remembered: more than are on their way at a time. What comes later than that is told by its version.
const REMEMBERED: usize = 1_000;

#[derive(Parser)]
struct Arguments {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
    /// The gateway to register at
    #[arg(long, env = "CERTHOOK_API", default_value = "http://127.0.0.1:8080")]
    api: String,
    /// A key of that gateway
    #[arg(long, env = "CERTHOOK_API_KEY", default_value = certhook::config::SANDBOX_KEY)]
    key: String,
    /// Where the table is kept
    #[arg(long, default_value = "crm-sync.json")]
    file: PathBuf,
}

/// What is in the file. A real CRM has a database for it, and one transaction for each delivery.
#[derive(Default, Deserialize, Serialize)]
struct Table {
    /// The last event of every certificate that is there, by the certificate's id.
    certificates: BTreeMap<String, Value>,
    /// The ids that were taken, oldest first.
    taken: VecDeque<String>,
    /// The last event that told of a baseline: what one finds is told to nobody.
    baseline: Option<String>,
    /// With which endpoint, in which epoch and since which baseline everything was shown.
    in_step: Option<(Value, u64, Option<String>)>,
}

/// (epoch, object_version) of an event: whatever has a smaller one is older.
fn version(event: &Value) -> (u64, u64) {
    let number = |name| event["detection"][name].as_u64().unwrap_or_default();
    (number("epoch"), number("object_version"))
}

impl Table {
    /// Takes an event, unless it is known or older than what is known; says whether anything is to be kept.
    fn take(&mut self, webhook_id: &str, event: Value) -> bool {
        let id = event["data"]["object"]["id"].as_str().unwrap_or_default();
        let is_older = self.certificates.get(id).is_some_and(|known| version(&event) < version(known));
        if is_older || self.taken.iter().any(|taken| taken == webhook_id) || event["detection"]["mode"] == "test" {
            return false;
        }
        if event["type"] == "gateway.baseline_completed" {
            self.baseline = Some(webhook_id.to_owned());
        } else {
            self.certificates.insert(id.to_owned(), event);
        }
        self.taken.push_back(webhook_id.to_owned());
        self.taken.drain(..self.taken.len().saturating_sub(REMEMBERED));
        true
    }

    fn epoch(&self) -> u64 {
        self.certificates.values().map(|event| version(event).0).max().unwrap_or_default()
    }

    /// A resync is through: it shows all that there is, in its own epoch, so that what is older is there no more.
    fn resynced(&mut self, endpoint_id: &Value, baseline: Option<String>) {
        let epoch = self.epoch();
        self.certificates.retain(|_, event| version(event).0 == epoch);
        self.in_step = Some((endpoint_id.clone(), epoch, baseline));
    }

    /// For every customer and jurisdiction, the certificates that exempt on a day; none: not exempt.
    fn exemptions(&self, day: &str) -> BTreeMap<&str, BTreeMap<&str, Vec<&str>>> {
        let mut exemptions: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
        let there = self.certificates.iter().filter(|(_, event)| event["type"] != "certificate.removed");
        for (id, certificate) in there.map(|(id, event)| (id, &event["data"]["object"])) {
            let Some(customer) = certificate["customer"]["id"].as_str() else { continue };
            for entry in certificate["jurisdictions"].as_array().into_iter().flatten() {
                let Some(jurisdiction) = entry["jurisdiction_id"].as_str() else { continue };
                let certificates = exemptions.entry(customer).or_default().entry(jurisdiction).or_default();
                certificates.extend(exempts(entry, day).then_some(id.as_str()));
            }
        }
        exemptions
    }
}

/// Whether a certificate's entry for a jurisdiction exempts there on a day. Its own status counts, not that of the
/// certificate as a whole; its dates are plain ones, which compare as texts.
fn exempts(entry: &Value, day: &str) -> bool {
    matches!(entry["status"].as_str(), Some("active" | "expiring"))
        && entry["effective_date"].as_str().is_none_or(|first| first <= day)
        && entry["expiration_date"].as_str().is_none_or(|last| day <= last)
}

struct Crm {
    arguments: Arguments,
    http: reqwest::Client,
    /// None before the first registration.
    webhook: Mutex<Option<Webhook>>,
    table: Mutex<Table>,
}

impl Crm {
    /// Changes the table, and returns once the file has what changed. A table that cannot be kept ends the process,
    /// which answers nobody then; the next one begins with what the file has.
    fn change(&self, change: impl FnOnce(&mut Table) -> bool) {
        let mut table = self.table.lock().expect("nothing panics while it holds the lock");
        if change(&mut table)
            && let Err(error) = self.save(&table)
        {
            eprintln!("{} cannot be written: {error}", self.arguments.file.display());
            std::process::exit(1);
        }
    }

    /// Puts a whole new file in the place of the old one, so that there is always one that is whole.
    fn save(&self, table: &Table) -> io::Result<()> {
        let (path, fresh) = (&self.arguments.file, self.arguments.file.with_extension("new"));
        let mut file = File::create(&fresh)?;
        file.write_all(&serde_json::to_vec(table)?)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(fs::canonicalize(path)?.parent().expect("a file is in a folder"))?.sync_all()
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> anyhow::Result<Value> {
        let request = self.http.request(method, format!("{}/v1/{path}", self.arguments.api));
        let request = request.bearer_auth(&self.arguments.key).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.context("no gateway answers; is one running?")?;
        let (status, text) = (answer.status(), answer.text().await?);
        anyhow::ensure!(status.is_success(), "{path} answers {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Sees to it that it is registered and enabled, and that nothing is missing: a new registration, a baseline, and a
    /// gateway that was restored, which begins a new epoch, call for a resync.
    async fn keep_in_step(&self) -> anyhow::Result<()> {
        let types = ["certificate.*", "gateway.baseline_completed"];
        let wanted = json!({ "url": format!("http://{}/", self.arguments.listen), "types": types });
        let endpoint = self.call(Method::PUT, "endpoints/crm-sync", wanted).await?;
        let secret = self.call(Method::GET, "endpoints/crm-sync/secret", json!({})).await?;
        let webhook = Webhook::new(secret["secret"].as_str().context("the gateway gave no secret")?)?;
        let known = self.webhook.lock().expect("nothing panics while it holds the lock").replace(webhook);
        if endpoint["status"] == "disabled" {
            // What retention has removed meanwhile will not come.
            self.change(|table| table.in_step.take().is_some());
            self.call(Method::POST, "endpoints/crm-sync/enable", json!({})).await?;
        } else if known.is_none() {
            // This process has just begun: who was away is tried less and less, unless he says that he is back.
            self.call(Method::POST, "endpoints/crm-sync/recover", json!({})).await?;
        }
        let (epoch, baseline, in_step) = {
            let table = self.table.lock().expect("nothing panics while it holds the lock");
            (table.epoch(), table.baseline.clone(), table.in_step.clone())
        };
        if in_step == Some((endpoint["id"].clone(), epoch, baseline.clone())) {
            return Ok(());
        }
        let mut resync = self.call(Method::POST, "endpoints/crm-sync/resync", json!({})).await?;
        while resync["status"] == "running" {
            tokio::time::sleep(LOOK / 20).await;
            let id = resync["id"].as_str().context("the resync has no id")?;
            resync = self.call(Method::GET, &format!("replays/{id}"), json!({})).await?;
        }
        anyhow::ensure!(resync["status"] == "completed" && resync["failed"] == 0, "it is not through: {resync}");
        self.change(|table| {
            table.resynced(&endpoint["id"], baseline);
            true
        });
        println!("in step: {} certificates were shown", resync["delivered"]);
        Ok(())
    }
}

/// Takes a delivery: 2xx says that it is durable here.
async fn receive(State(crm): State<Arc<Crm>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let verifies = |webhook: &Webhook| webhook.verify(&body, &headers).is_ok();
    if !crm.webhook.lock().expect("nothing panics while it holds the lock").as_ref().is_some_and(verifies) {
        return StatusCode::UNAUTHORIZED;
    }
    let webhook_id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let (Some(webhook_id), Ok(event)) = (webhook_id, serde_json::from_slice(&body)) else {
        return StatusCode::BAD_REQUEST;
    };
    let kept = tokio::task::spawn_blocking(move || crm.change(|table| table.take(&webhook_id, event))).await;
    kept.map_or(StatusCode::INTERNAL_SERVER_ERROR, |()| StatusCode::NO_CONTENT)
}

/// What the table says today.
async fn show(State(crm): State<Arc<Crm>>) -> String {
    let now = SystemClock::default().now().to_string();
    let table = crm.table.lock().expect("nothing panics while it holds the lock");
    json!(table.exemptions(now.split('T').next().unwrap_or_default())).to_string()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let listener = tokio::net::TcpListener::bind(arguments.listen).await.context("the address is taken")?;
    let file = &arguments.file;
    let table = if file.exists() { serde_json::from_slice(&fs::read(file)?)? } else { Table::default() };
    let http = reqwest::Client::builder().no_proxy().build()?;
    let crm = Arc::new(Crm { arguments, http, webhook: Mutex::default(), table: Mutex::new(table) });
    let router = Router::new().route("/", get(show).post(receive)).with_state(Arc::clone(&crm));
    let keeping = async {
        loop {
            if let Err(error) = crm.keep_in_step().await {
                eprintln!("{error:#}; trying again");
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        served = axum::serve(listener, router).into_future() => Ok(served?),
        () = keeping => Ok(()),
    }
}
