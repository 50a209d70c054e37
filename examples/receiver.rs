//! A receiver as it should be: verify, drop what was seen, answer fast, work afterwards.
//!
//! ```text
//! cargo run --release -- serve --sandbox      # in one terminal
//! cargo run --example receiver                # in another
//! ```
//!
//! It registers itself at the gateway and prints what arrives. Any Standard Webhooks library verifies; this example
//! uses the official one for Rust.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use clap::Parser;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::sync::mpsc;

/// How many ids are remembered. A real receiver keeps them with its data, as long as events may be replayed.
const REMEMBERED: usize = 10_000;

#[derive(Parser)]
struct Arguments {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// The gateway to register at
    #[arg(long, env = "CERTHOOK_API", default_value = "http://127.0.0.1:8080")]
    api: String,
    /// A key of that gateway
    #[arg(long, env = "CERTHOOK_API_KEY", default_value = certhook::config::SANDBOX_KEY)]
    key: String,
}

struct Receiver {
    webhook: Webhook,
    seen: Mutex<Seen>,
    inbox: mpsc::Sender<Bytes>,
}

/// The ids that were taken, oldest first.
#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn insert(&mut self, id: &str) {
        if self.ids.insert(id.to_owned()) {
            self.order.push_back(id.to_owned());
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

/// Takes a delivery. A real receiver would keep the body in its own queue or database here: once it has answered
/// 2xx, the event is its own to lose.
async fn receive(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if receiver.webhook.verify(&body, &headers).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let Some(id) = headers.get("webhook-id").and_then(|id| id.to_str().ok()) else {
        return StatusCode::BAD_REQUEST;
    };
    let mut seen = receiver.seen.lock().expect("nothing panics while it holds the lock");
    if seen.ids.contains(id) {
        return StatusCode::NO_CONTENT;
    }
    if receiver.inbox.try_send(body).is_err() {
        // Not taken and not remembered: the gateway will come again.
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    seen.insert(id);
    StatusCode::NO_CONTENT
}

/// The work, after the answer.
async fn work(mut inbox: mpsc::Receiver<Bytes>) {
    while let Some(body) = inbox.recv().await {
        let event: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
        println!("{}  {:<36} {}", text("/timestamp"), text("/type"), text("/data/object/id"));
        println!("    before: {}", event.pointer("/data/previous_attributes").unwrap_or(&Value::Null));
    }
}

/// Registers this receiver under a name of its own, so that doing it again changes nothing, and gives its secret.
async fn register(arguments: &Arguments) -> anyhow::Result<String> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let endpoint = format!("{}/v1/endpoints/receiver-example", arguments.api);
    let wanted = json!({ "url": format!("http://{}/", arguments.listen) });
    let request = http.put(&endpoint).bearer_auth(&arguments.key).header("content-type", "application/json");
    let answer = request.body(wanted.to_string()).send().await.context("no gateway answers; is one running?")?;
    anyhow::ensure!(answer.status().is_success(), "the gateway refuses: {}", answer.text().await?);
    let secret = http.get(format!("{endpoint}/secret")).bearer_auth(&arguments.key).send().await?.text().await?;
    let secret: Value = serde_json::from_str(&secret)?;
    Ok(secret.get("secret").and_then(Value::as_str).context("the gateway gave no secret")?.to_owned())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let listener = tokio::net::TcpListener::bind(arguments.listen).await.context("the address is taken")?;
    let webhook = Webhook::new(&register(&arguments).await?)?;
    let (inbox, waiting) = mpsc::channel(1_000);
    let receiver = Arc::new(Receiver { webhook, seen: Mutex::default(), inbox });
    let router = Router::new().route("/", post(receive)).with_state(receiver);
    println!("Registered; waiting for events on http://{}/", arguments.listen);
    tokio::select! {
        served = axum::serve(listener, router).into_future() => Ok(served?),
        () = work(waiting) => Ok(()),
    }
}
