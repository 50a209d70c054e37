//! The whole way in one process: a simulated vendor, the gateway, and a receiver that verifies what arrives.
//!
//! ```text
//! cargo run --example tour
//! ```
//!
//! Exits with 0 after verified deliveries of `certificate_request.fulfilled` and `certificate.expiring`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use certhook::app::Gateway;
use certhook::app::sandbox::{Options, Upstream};
use certhook::config::{Config, SANDBOX_KEY};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The tour takes seconds; what takes this long is broken.
const DEADLINE: Duration = Duration::from_secs(60);

/// Our own secret, so that the receiver knows it before the first delivery: `whsec_` and 32 bytes in base64.
const SECRET: &str = "whsec_dG91ciB0b3VyIHRvdXIgdG91ciB0b3VyIHRvdXIhISE=";

struct Receiver {
    webhook: Webhook,
    verified: mpsc::Sender<Value>,
}

async fn receive(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if let Err(error) = receiver.webhook.verify(&body, &headers) {
        eprintln!("   a delivery does not verify: {error}");
        return StatusCode::UNAUTHORIZED;
    }
    let event = serde_json::from_slice(&body).unwrap_or_default();
    match receiver.verified.send(event).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Everything that the tour talks to.
struct Stage {
    http: reqwest::Client,
    upstream: Upstream,
    api: String,
    arrived: mpsc::Receiver<Value>,
}

impl Stage {
    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.http.get(format!("{}{path}", self.api)).bearer_auth(SANDBOX_KEY).send().await?;
        Ok(serde_json::from_str(&answer.text().await?)?)
    }

    async fn post(&self, url: String, body: Value) -> anyhow::Result<Value> {
        let request = self.http.post(&url).bearer_auth(SANDBOX_KEY).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        anyhow::ensure!(status.is_success(), "{url} answers {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until the first full listing of the vendor's book is done; nothing is told before.
    async fn await_baseline(&self) -> anyhow::Result<u64> {
        loop {
            let source = self.get("/v1/sources/numeral").await?;
            if source.pointer("/baseline/complete") == Some(&Value::Bool(true)) {
                return source.pointer("/baseline/seen").and_then(Value::as_u64).context("no count of the baseline");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Makes something happen at the vendor, and waits for the webhook that tells it.
    async fn happen(&mut self, event_type: &str) -> anyhow::Result<()> {
        println!("-> at the vendor: {event_type}");
        self.post(format!("{}sandbox/trigger", self.upstream.url()), json!({ "type": event_type })).await?;
        loop {
            let event = self.arrived.recv().await.context("the receiver is gone")?;
            let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
            println!("   verified: {:<36} {}", text("/type"), text("/data/object/id"));
            if text("/type") == event_type {
                println!("   before:   {}", event.pointer("/data/previous_attributes").unwrap_or(&Value::Null));
                return Ok(());
            }
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tokio::time::timeout(DEADLINE, tour()).await.context("the tour took too long")?
}

async fn tour() -> anyhow::Result<()> {
    let loopback: SocketAddr = "127.0.0.1:0".parse()?;
    let folder = tempfile::tempdir()?;
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();

    let upstream = Upstream::start(loopback, Options::default(), false).await?;
    println!("1. a simulated vendor at {}", upstream.url());

    let mut config = Config::sandbox(None, [], &upstream.url())?;
    config.api.listen = loopback;
    config.store.path = folder.path().join("data");
    let gateway = Gateway::start(config).await?;
    let api = format!("http://{}", gateway.address());
    println!("2. the gateway at {api}, which polls it every second");
    running.spawn(gateway.run(stop.clone()));

    let listener = TcpListener::bind(loopback).await?;
    let address = listener.local_addr()?;
    let (verified, arrived) = mpsc::channel(1_000);
    let receiver = Arc::new(Receiver { webhook: Webhook::new(SECRET)?, verified });
    let router = Router::new().route("/", post(receive)).with_state(receiver);
    running.spawn(async move { Ok(axum::serve(listener, router).await?) });
    println!("3. a receiver at http://{address}/, which verifies with an independent library");

    let mut stage = Stage { http: reqwest::Client::builder().no_proxy().build()?, upstream, api, arrived };
    let endpoint = json!({ "url": format!("http://{address}/"), "secret": SECRET });
    let endpoint = stage.post(format!("{}/v1/endpoints", stage.api), endpoint).await?;
    println!("4. registered as {}", endpoint.get("id").and_then(Value::as_str).context("no id")?);
    println!("5. the baseline is complete: {} resources, and not one event", stage.await_baseline().await?);

    println!("6. what happens from now on arrives");
    stage.happen("certificate_request.fulfilled").await?;
    stage.happen("certificate.expiring").await?;

    stop.cancel();
    running.join_next().await.context("the gateway is gone")???;
    stage.upstream.stop().await;
    println!("7. stopped in order. Both arrived, signed and verified.");
    Ok(())
}
