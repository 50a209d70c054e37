//! What a page of each list costs as the store grows, beside a call that reads nothing.
//!
//! ```text
//! cargo bench --bench pages                              # 10 000 events, then 1 000 000: 2 GB, minutes
//! cargo bench --bench pages -- --sizes 10000,10000000    # the whole range: 5 GB, a quarter of an hour
//! cargo bench --bench pages -- --sizes 10000,100000      # a quick look
//! cargo bench --bench pages -- --folder PATH             # chooses the file system
//! ```
//!
//! The question is what ten million events cost that ten thousand do not. The default stops at a million and so answers a
//! part of it, because ten million take 5 GB and ten minutes to be filled in.
//!
//! For each size a store is filled with as many events and certificates, a tenth as many requests, deliveries (of every
//! tenth event) and endpoints. Each of these has a limit, which the JSON shows: beyond a million certificates, events tell
//! of the same ones again, since it is the log that grows for as long as a gateway runs. Then a gateway is started over
//! each store, and the calls are made over HTTP on one connection to each gateway, all in turn, so that what disturbs one
//! disturbs all. In each turn they ask for something else, anywhere in the store, except for the newest of each list: what
//! a call needs is in the cache of a small store, and seldom in that of a large one. It may be in the system's. Below 10 000
//! events an endpoint is shown sooner, because what is pending for it is counted over so many at most.
//!
//! A figure is the median of 180 calls, from the request to the last byte of the answer; 20 before them are not counted.
//! The one that counts is *growth*: what a page costs at the largest size, beside what it costs at the smallest. *Net* is
//! the same less what a call costs that reads nothing. The last line is all of it as JSON.
//!
//! In reading order: this file (asks and reports), `filled` (what the stores hold), `calls` (what they are asked for).

mod calls;
mod filled;
#[expect(dead_code, reason = "each bench uses a part of what they share")]
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use certhook::app::Gateway;
use certhook::config::Config;
use clap::Parser;
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::calls::{NOTHING, calls};
use self::filled::{Filled, Size};
use self::support::figures::{median, rounded};
use self::support::polling::bytes_in;

/// How often each call is made; the first tenth is not counted.
const CALLS: usize = 200;
const WARM_UP: usize = CALLS / 10;

/// With fewer events there is no full page of requests, deliveries and endpoints.
const EVENTS_MIN: usize = 1_000;

const KEY: &str = "the-root-key-of-this-bench";

#[derive(Parser)]
struct Arguments {
    /// How many events the store holds, from the smallest on
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 1_000_000])]
    sizes: Vec<usize>,
    /// Where the stores are made
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Handed over by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// A store that was filled.
struct Store {
    filled: Filled,
    folder: tempfile::TempDir,
    seconds: f64,
    bytes: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { sizes, folder, .. } = Arguments::parse();
    ensure!(sizes.is_sorted() && sizes.len() > 1, "--sizes needs two sizes or more, growing");
    ensure!(sizes[0] >= EVENTS_MIN, "--sizes needs {EVENTS_MIN} events or more, so that every page is full");
    let mut stores = Vec::new();
    for size in sizes.into_iter().map(Size::of) {
        let folder = tempfile::tempdir_in(&folder)?;
        let began = Instant::now();
        let filled = Filled::new(folder.path(), size).await.context("cannot fill the store")?;
        let (seconds, bytes) = (began.elapsed().as_secs_f64(), bytes_in(folder.path())?);
        eprintln!("{size:?} filled in {seconds:.1} s, {} MiB", bytes >> 20);
        stores.push(Store { filled, folder, seconds, bytes });
    }
    let medians = ask(&stores).await?;
    report(&stores, &medians);
    Ok(())
}

/// One number scattered over all, so that neighbours in one list are none in another.
fn scattered(number: usize, among: usize) -> usize {
    number.wrapping_mul(7_919_993) % among
}

/// The median of each call at each size, in microseconds.
type Medians = BTreeMap<&'static str, Vec<f64>>;

fn report(stores: &[Store], calls: &Medians) {
    let heads: Vec<_> = stores.iter().map(|store| format!("{:>12}", store.filled.size.events)).collect();
    let counted = CALLS - WARM_UP;
    println!("{:<44}{}   growth      net", format!("median of {counted} in µs, at so many events"), heads.concat());
    let growth = |medians: &[f64]| medians.last().zip(medians.first()).map_or(f64::NAN, |(last, first)| last / first);
    let mut lines = Vec::new();
    for (name, medians) in calls {
        let net: Vec<_> = medians.iter().zip(&calls[NOTHING]).map(|(median, nothing)| median - nothing).collect();
        let (growth, net) = (rounded(growth(medians)), rounded(growth(&net)));
        let columns: Vec<_> = medians.iter().map(|micros| format!("{micros:>12.0}")).collect();
        println!("{name:<44}{} {growth:>8.2} {net:>8.2}", columns.concat());
        let medians: Vec<_> = medians.iter().copied().map(rounded).collect();
        lines.push(json!({"call": name, "median_us": medians, "growth": growth, "net": net}));
    }
    let stores = stores.iter().map(|Store { filled: Filled { size, .. }, seconds, bytes, .. }| {
        json!({
            "events": size.events, "certificates": size.certificates, "requests": size.requests,
            "deliveries": size.deliveries, "endpoints": size.endpoints, "bytes": bytes,
            "fill_seconds": rounded(*seconds),
        })
    });
    let stores: Vec<_> = stores.collect();
    println!("{}", json!({"bench": "pages", "counted_calls": counted, "stores": stores, "calls": lines}));
}

/// A gateway that is asked.
struct Asked<'a> {
    client: reqwest::Client,
    base: String,
    filled: &'a Filled,
}

async fn ask(stores: &[Store]) -> anyhow::Result<Medians> {
    let (stop, mut gateways, mut asked) = (CancellationToken::new(), Vec::new(), Vec::new());
    for Store { filled, folder, .. } in stores {
        let file = folder.path().join("bench.toml");
        std::fs::write(&file, configuration())?;
        let gateway = Gateway::start(Config::load(Some(&file), [])?).await?;
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(1).build()?;
        asked.push(Asked { client, base: format!("http://{}", gateway.address()), filled });
        gateways.push(gateway.run(stop.clone()));
    }
    let asking = async {
        let medians = medians(&asked).await;
        stop.cancel();
        medians
    };
    let (ran, medians) = tokio::join!(try_join_all(gateways), asking);
    ran.and(medians)
}

async fn medians(asked: &[Asked<'_>]) -> anyhow::Result<Medians> {
    let mut waits: BTreeMap<&'static str, Vec<Vec<f64>>> = BTreeMap::new();
    for turn in 0..CALLS {
        let mut calls: Vec<_> = asked.iter().map(|asked| calls(turn, asked.filled).into_iter()).collect();
        while let Some(alike) = calls.iter_mut().map(Iterator::next).collect::<Option<Vec<_>>>() {
            for step in 0..asked.len() {
                // Each is the first in its turn: who comes after a call of the same kind is answered sooner.
                let at = (turn + step) % asked.len();
                let (call, Asked { client, base, .. }) = (&alike[at], &asked[at]);
                let what = || format!("GET {}, {}", call.path, call.name);
                let began = Instant::now();
                let answer = get(client, &format!("{base}{}", call.path)).await.with_context(what)?;
                let micros = began.elapsed().as_secs_f64() * 1e6;
                call.check(&serde_json::from_slice(&answer)?).with_context(what)?;
                if turn >= WARM_UP {
                    waits.entry(call.name).or_insert_with(|| vec![Vec::new(); asked.len()])[at].push(micros);
                }
            }
        }
    }
    Ok(waits.into_iter().map(|(name, waits)| (name, waits.into_iter().map(median).collect())).collect())
}

/// As shipped, but for a source that is not there.
fn configuration() -> String {
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
api_key = "{KEY}"
[store]
url = "sled:data"
[[sources]]
name = "numeral"
base_url = "http://127.0.0.1:1"
api_key = "a-key-that-opens-nothing"
[log]
level = "off"
"#
    )
}

async fn get(client: &reqwest::Client, url: &str) -> anyhow::Result<Vec<u8>> {
    let response = client.get(url).bearer_auth(KEY).send().await?;
    let status = response.status();
    let bytes = response.bytes().await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&bytes));
    Ok(bytes.into())
}
