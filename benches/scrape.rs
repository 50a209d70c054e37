//! What a scrape of `/metrics` costs a gateway with ten thousand endpoints, beside a bare server that answers with the
//! same bytes in the same run; and what an attempt pays for being measured, beside one atomic addition.
//!
//! ```text
//! cargo bench --bench scrape                       # 10 000 endpoints, first at rest and then all in trouble
//! cargo bench --bench scrape -- --endpoints 1000
//! ```

#[expect(dead_code, reason = "each bench uses a part of what they share")]
mod support;

use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Memory};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use certhook::app::Gateway;
use certhook::app::sandbox::{Options, Upstream};
use certhook::config::Config;
use certhook::model::delivery::Outcome;
use certhook::model::endpoint::Endpoint;
use certhook::model::id::Position;
use certhook::model::pattern::Pattern;
use certhook::telemetry::meters::Attempts;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use support::figures::processor_time;
use support::{gateway, sample};

const KEY: &str = "the-key-of-this-bench-only";

/// Scrapes in each part.
const SCRAPES: usize = 20;

/// Events that each endpoint is to get.
const EVENTS: usize = 5;

/// Measured attempts, and additions.
const ATTEMPTS: u32 = 1_000_000;

#[derive(Parser)]
struct Arguments {
    /// Endpoints
    #[arg(long, default_value_t = 10_000)]
    endpoints: usize,
    /// Handed over by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let count = Arguments::parse().endpoints;
    measured_attempts();
    let folder = tempfile::tempdir()?;
    let upstream = Upstream::start("127.0.0.1:0".parse()?, Options { size: 50, ..Options::default() }, false).await?;
    let config = config(folder.path(), upstream.address())?;
    let store = gateway::Gateway::open(folder.path()).await?;
    store.register((0..count).map(endpoint).collect()).await?;
    store.store.close().await;
    drop(store);
    let gateway = Gateway::start(config).await?;
    let url = format!("http://{}/metrics", gateway.address());
    let stop = CancellationToken::new();
    let part = async {
        let told = |state, count| format!("certhook_endpoints{{state=\"{state}\"}} {count}\n");
        scraped(&url, &told("healthy", count)).await?;
        scraped(&url, "certhook_source_baseline_complete{source=\"numeral\"} 1").await?;
        report("at rest", &url, count).await?;
        let trigger = reqwest::Client::builder().no_proxy().build()?.post(format!("{}sandbox/trigger", upstream.url()));
        let trigger = trigger.header("content-type", "application/json").body(r#"{"type": "certificate.updated"}"#);
        for _ in 0..EVENTS {
            trigger.try_clone().context("a body in memory")?.send().await?.error_for_status()?;
        }
        scraped(&url, &told("healthy", 0)).await?;
        report("in trouble", &url, count).await?;
        stop.cancel();
        anyhow::Ok(())
    };
    let (ran, parts) = tokio::join!(gateway.run(stop.clone()), part);
    upstream.stop().await;
    parts.and(ran)
}

/// What an attempt pays.
fn measured_attempts() {
    let (attempts, sum) = (Attempts::default(), AtomicU64::new(0));
    let each = |began: Instant| began.elapsed() / ATTEMPTS;
    let began = Instant::now();
    for number in 0..ATTEMPTS {
        let took = Duration::from_millis(u64::from(black_box(number) % 1_000));
        attempts.ended(Outcome::Delivered, took);
        attempts.began_after(took);
        attempts.closed(true);
    }
    let metered = each(began);
    let began = Instant::now();
    for number in 0..ATTEMPTS {
        sum.fetch_add(u64::from(black_box(number)), Memory::Relaxed);
    }
    println!("an attempt, measured:     {metered:?}; one atomic addition takes {:?}", each(began));
}

/// Scrapes until that is told.
async fn scraped(url: &str, line: &str) -> anyhow::Result<()> {
    while !scrape(url).await?.contains(line) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn scrape(url: &str) -> anyhow::Result<String> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    Ok(client.get(url).bearer_auth(KEY).send().await?.error_for_status()?.text().await?)
}

/// The median of some scrapes, beside that of a server which only sends the same.
async fn report(what: &str, url: &str, endpoints: usize) -> anyhow::Result<()> {
    let text = scrape(url).await?;
    let memory = memory(&text);
    let (took, processor) = median(url).await?;
    let grown = memory_of(url).await? - memory;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let bare = format!("http://{}/", listener.local_addr()?);
    let (bytes, sent) = (text.len(), Arc::<str>::from(text));
    let router = Router::new().route("/", get(move || async move { sent.to_string() }));
    let server = async { axum::serve(listener, router).await.context("the bare server") };
    let (bare_took, _) = tokio::select! {
        ended = server => return ended,
        took = median(&bare) => took?,
    };
    println!(
        "{endpoints} endpoints {what}: {took:.1?} a scrape ({processor:.1?} of processor time, here and there) of {} KiB; \
         a bare server takes {bare_took:.1?}; the process had {:.0} MiB and has {:.0} KiB more after {SCRAPES} scrapes",
        bytes / 1024,
        memory / 1_048_576.0,
        grown / 1024.0,
    );
    Ok(())
}

async fn median(url: &str) -> anyhow::Result<(Duration, Duration)> {
    let before = processor_time();
    let mut took = Vec::new();
    for _ in 0..SCRAPES {
        let began = Instant::now();
        scrape(url).await?;
        took.push(began.elapsed());
    }
    took.sort();
    Ok((took[SCRAPES / 2], (processor_time() - before) / SCRAPES as u32))
}

async fn memory_of(url: &str) -> anyhow::Result<f64> {
    Ok(memory(&scrape(url).await?))
}

fn memory(text: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix("certhook_process_resident_memory_bytes "));
    line.and_then(|value| value.parse().ok()).unwrap_or_default()
}

fn config(folder: &Path, upstream: SocketAddr) -> anyhow::Result<Config> {
    let path = folder.join("gateway.toml");
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
api_key = "{KEY}"
[store]
url = "sled:data"
min_free = "64MiB"
[[sources]]
name = "numeral"
base_url = "http://{upstream}"
api_key = "sk_live_of_nobody"
requests_per_second = 500
[sources.poll]
changes = "1s"
[delivery]
retry = ["1h"]
allow_networks = ["127.0.0.0/8"]
"#
    );
    std::fs::write(&path, text)?;
    Ok(Config::load(Some(&path), [])?)
}

/// Behind a port where nobody listens.
fn endpoint(number: usize) -> Endpoint {
    Endpoint {
        uid: Some(format!("subscriber-{number}")),
        types: vec![Pattern::Everything],
        ..sample::endpoint("http://127.0.0.1:1/", Position::START)
    }
}
