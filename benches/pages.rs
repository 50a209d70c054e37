//! What a page of each list costs as the store grows, beside a call that reads nothing.
//!
//! ```text
//! cargo bench --bench pages                              # 10 000 events, then 1 000 000: 2 GB, minutes
//! cargo bench --bench pages -- --sizes 10000,100000      # a quick look
//! cargo bench --bench pages -- --sizes 10000,10000000    # 5 GB, a quarter of an hour
//! cargo bench --bench pages -- --folder PATH             # chooses the file system
//! ```
//!
//! For each size a store is filled with as many events and certificates, a tenth as many requests, deliveries and
//! endpoints. Each of these has a limit, which is said below and in the JSON: beyond a million certificates, events tell
//! of the same ones again, since it is the log that grows for as long as a gateway runs. Then a gateway is started over
//! each store, and every list call is made over HTTP on one connection to each gateway, all in turn, so that what disturbs
//! one disturbs all.
//!
//! The figure that counts is *growth*: what a page costs at the largest size, beside what it costs at the smallest.
//! *Net* is the same less what a call costs that reads nothing. The last line is all of it as JSON.

#[expect(dead_code, reason = "each bench uses a part of what they share")]
mod support;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use certhook::app::Gateway;
use certhook::clock::{Clock, SystemClock};
use certhook::config::Config;
use certhook::model::delivery::{Attempt, DeliveryRecord, DeliveryStatus, Outcome, Trigger};
use certhook::model::endpoint::{DisabledReason, Endpoint, EndpointStatus};
use certhook::model::event::EventType;
use certhook::model::id::{EndpointId, Position, base62};
use certhook::model::json::Json;
use certhook::model::pattern::Pattern;
use certhook::model::resource::{Agenda, Download, Kind, OpenList, ResourceId, ResourceKey, Snapshot};
use certhook::model::time::Timestamp;
use certhook::store::{DeliveryCommit, SightCommit, Store};
use clap::Parser;
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use support::figures::{median, rounded};
use support::polling::bytes_in;
use support::{gateway, sample};

/// How often each call is made; the first tenth is not counted.
const CALLS: usize = 200;
const WARM_UP: usize = CALLS / 10;

/// Sights or records in a commit.
const PAGE: usize = 500;

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

/// What a store is filled with.
#[derive(Clone, Copy, Debug)]
struct Size {
    events: usize,
    certificates: usize,
    requests: usize,
    deliveries: usize,
    endpoints: usize,
}

impl Size {
    fn of(events: usize) -> Self {
        Self {
            events,
            certificates: events.min(1_000_000),
            requests: (events / 10).min(100_000),
            deliveries: (events / 10).min(1_000_000),
            endpoints: (events / 10).min(10_000),
        }
    }
}

/// A store that was filled.
struct Filled {
    size: Size,
    folder: tempfile::TempDir,
    seconds: f64,
    bytes: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.sizes.is_sorted() && arguments.sizes.len() > 1, "--sizes needs two sizes or more, growing");
    let mut stores = Vec::new();
    for size in arguments.sizes.iter().map(|events| Size::of(*events)) {
        let folder = tempfile::tempdir_in(&arguments.folder)?;
        let began = Instant::now();
        fill(folder.path(), size).await.context("cannot fill the store")?;
        let (seconds, bytes) = (began.elapsed().as_secs_f64(), bytes_in(folder.path())?);
        eprintln!("{size:?} filled in {seconds:.1} s, {} MiB", bytes >> 20);
        stores.push(Filled { size, folder, seconds, bytes });
    }
    let calls = ask(&stores).await?;
    report(&stores, &calls);
    Ok(())
}

/// The median of each call at each size, in microseconds.
type Medians = BTreeMap<&'static str, Vec<f64>>;

fn report(stores: &[Filled], calls: &Medians) {
    let heads: Vec<_> = stores.iter().map(|store| format!("{:>12}", store.size.events)).collect();
    println!("{:<44}{}   growth      net", "median in µs, at so many events", heads.concat());
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
    let stores = stores.iter().map(|Filled { size, seconds, bytes, .. }| {
        json!({
            "events": size.events, "certificates": size.certificates, "requests": size.requests,
            "deliveries": size.deliveries, "endpoints": size.endpoints, "bytes": bytes,
            "fill_seconds": rounded(*seconds),
        })
    });
    println!("{}", json!({"bench": "pages", "stores": stores.collect::<Vec<_>>(), "calls": lines}));
}

/// One number scattered over all, so that neighbours in one list are none in another.
fn scattered(number: usize, among: usize) -> usize {
    number.wrapping_mul(7_919_993) % among
}

fn id(kind: Kind, number: usize) -> ResourceId {
    let prefix = match kind {
        Kind::Certificate => "cert",
        Kind::CertificateRequest => "certreq",
    };
    format!("{prefix}_{}", base62(number as u128)).parse().expect("an id")
}

fn snapshot(kind: Kind, number: usize, now: Timestamp) -> Snapshot {
    let id = id(kind, number);
    let created = Timestamp::from_millis(now.as_millis() - 1_000 * number as i64);
    let common = json!({
        "id": id.as_str(),
        "certificate_type": {"id": "12", "name": "Resale certificate", "certificate_identifier": "US-CA-CDTFA-230"},
        "customer": {"id": format!("cust_{:09}", number / 2), "reference_customer_id": format!("crm-{}", number / 2)},
        "created_at": created,
        "updated_at": created,
    });
    let own = match kind {
        Kind::Certificate => json!({
            "status": "active",
            "jurisdictions": [{
                "jurisdiction_id": "US-CA", "status": "active",
                "effective_date": "2026-01-01", "expiration_date": format!("20{}-03-31", 27 + number % 5),
            }],
        }),
        Kind::CertificateRequest => json!({"status": "pending", "certificate_id": null}),
    };
    let mut object = common;
    if let (Value::Object(all), Value::Object(own)) = (&mut object, own) {
        all.extend(own);
    }
    Snapshot {
        key: ResourceKey { source: "numeral".parse().expect("a name"), kind, id },
        object_version: 2,
        object: Json::of(&object),
        observed_at: now,
        row_fingerprint: Some(number as u128),
        download: Download::Available,
        removed: None,
        is_whole: true,
        open_list: (kind == Kind::CertificateRequest).then_some(OpenList::Pending),
        agenda: Agenda::default(),
    }
}

/// A sight of a certificate, with one event: the first ones make its snapshot.
fn told(number: usize, size: Size, now: Timestamp) -> SightCommit {
    let snapshot = snapshot(Kind::Certificate, scattered(number, size.certificates), now);
    let event_type =
        if number.is_multiple_of(2) { EventType::CertificateActive } else { EventType::CertificateCreated };
    let told = sample::told(snapshot.key.clone(), snapshot.object.clone(), event_type, now);
    let snapshot = Some(snapshot).filter(|_| number < size.certificates);
    SightCommit { snapshot, told: vec![told], ..SightCommit::default() }
}

/// A sight of a request that nothing is told of.
fn silent(number: usize, now: Timestamp) -> SightCommit {
    SightCommit { snapshot: Some(snapshot(Kind::CertificateRequest, number, now)), ..SightCommit::default() }
}

/// It is disabled, so that the gateway sends nothing while it is asked.
fn endpoint(number: usize) -> Endpoint {
    Endpoint {
        uid: Some(format!("crm-{number}")),
        types: vec![Pattern::Everything],
        status: EndpointStatus::Disabled,
        disabled_reason: Some(DisabledReason::Manual),
        ..sample::endpoint(&format!("https://receiver.example/{number}"), Position::START)
    }
}

async fn fill(folder: &Path, size: Size) -> anyhow::Result<()> {
    let store = gateway::Gateway::open(folder).await?;
    let now = SystemClock::default().now();
    for page in pages(size.events) {
        store.store.commit_sights(page.map(|number| told(number, size, now)).collect(), None).await?;
    }
    for page in pages(size.requests) {
        store.store.commit_sights(page.map(|number| silent(number, now)).collect(), None).await?;
    }
    let endpoints = store.register((0..size.endpoints).map(endpoint).collect()).await?;
    deliver(&*store.store, size.deliveries, &endpoints, now).await?;
    store.store.close().await;
    Ok(())
}

/// Numbers, some at a time.
fn pages(count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(PAGE).map(move |first| first..(first + PAGE).min(count))
}

/// Records that the first events were delivered, each to one of ten endpoints.
async fn deliver(store: &dyn Store, count: usize, endpoints: &[EndpointId], now: Timestamp) -> anyhow::Result<()> {
    let endpoints = &endpoints[..endpoints.len().min(10)];
    for page in pages(count) {
        let events = store.events_after(Position(page.start as u64), page.len()).await?;
        let records = events.iter().zip(page).map(|(event, number)| {
            let endpoint = endpoints[number % endpoints.len()];
            let resource = event.sight.resource().cloned();
            delivered(DeliveryRecord::untried(event.id, event.event_type, endpoint, resource), now)
        });
        store.commit_deliveries(DeliveryCommit { records: records.collect(), ..DeliveryCommit::default() }).await?;
    }
    Ok(())
}

fn delivered(untried: DeliveryRecord, now: Timestamp) -> DeliveryRecord {
    let attempt = Attempt {
        number: 1,
        at: now,
        duration_ms: 12,
        outcome: Outcome::Delivered,
        status_code: Some(204),
        error: None,
        response_body: None,
        address: Some("192.0.2.1:443".into()),
        signed_at: now,
        trigger: Trigger::Scheduled,
    };
    let status = DeliveryStatus::Delivered;
    DeliveryRecord { status, attempt_count: 1, charged: 1, attempts: vec![attempt], ..untried }
}

/// The call that reads nothing.
const NOTHING: &str = "(nothing: /healthz)";

/// Every call that lists, and what each is called in the report. The customer, the id and the cursor of a list are in
/// the middle of the store, as are this event and this endpoint.
fn calls(size: Size, event: &str, endpoint: &str) -> Vec<(&'static str, String)> {
    let customer = format!("cust_{:09}", size.certificates / 4);
    vec![
        (NOTHING, "/healthz".into()),
        ("events, newest", "/v1/events?limit=100".into()),
        ("events, from the middle on", format!("/v1/events?limit=100&order=asc&cursor={event}")),
        ("events of a type", "/v1/events?limit=100&types=certificate.active".into()),
        ("events of a time", format!("/v1/events?limit=100&since={}", middle_of_time())),
        ("an event", format!("/v1/events/{event}")),
        ("deliveries of an event, by endpoint", format!("/v1/events/{event}/deliveries?limit=100")),
        ("deliveries, newest", "/v1/deliveries?limit=100".into()),
        ("deliveries of an event", format!("/v1/deliveries?limit=100&event_id={event}")),
        ("deliveries to an endpoint", format!("/v1/deliveries?limit=10&endpoint_id={endpoint}")),
        ("endpoints, newest", "/v1/endpoints?limit=100".into()),
        ("an endpoint", format!("/v1/endpoints/{endpoint}")),
        ("certificates, newest", "/v1/certificates?limit=100".into()),
        ("certificates of a customer", format!("/v1/certificates?limit=100&customer_id={customer}")),
        ("certificates created in a time", format!("/v1/certificates?limit=100&created_before={}", middle_of_time())),
        ("a certificate", format!("/v1/certificates/{}", id(Kind::Certificate, size.certificates / 2))),
        ("certificate requests, newest", "/v1/certificate-requests?limit=100".into()),
        ("certificate requests that are pending", "/v1/certificate-requests?limit=100&status=pending".into()),
        ("exemption of a customer", format!("/v1/exemptions?customer_id={customer}&jurisdiction=US-CA")),
        ("sources", "/v1/sources".into()),
        ("replays", "/v1/replays?limit=100".into()),
        ("event types", "/v1/event-types".into()),
    ]
}

/// A time at which something was created.
fn middle_of_time() -> String {
    Timestamp::from_millis(SystemClock::default().now().as_millis() - 3_600_000).to_string()
}

/// A gateway that is asked.
struct Asked {
    client: reqwest::Client,
    base: String,
    calls: Vec<(&'static str, String)>,
}

impl Asked {
    async fn new(base: String, size: Size) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(1).build()?;
        let answer = get(&client, &format!("{base}/v1/deliveries?limit=1")).await?;
        let text = |name: &str| answer["data"][0][name].as_str().unwrap_or_default().to_owned();
        let calls = calls(size, &text("event_id"), &text("endpoint_id"));
        Ok(Self { client, base, calls })
    }
}

async fn ask(stores: &[Filled]) -> anyhow::Result<Medians> {
    let (stop, mut gateways, mut bases) = (CancellationToken::new(), Vec::new(), Vec::new());
    for store in stores {
        let file = store.folder.path().join("bench.toml");
        std::fs::write(&file, configuration())?;
        let gateway = Gateway::start(Config::load(Some(&file), [])?).await?;
        bases.push((format!("http://{}", gateway.address()), store.size));
        gateways.push(gateway.run(stop.clone()));
    }
    let asking = async {
        let medians = medians(bases).await;
        stop.cancel();
        medians
    };
    let (ran, medians) = tokio::join!(try_join_all(gateways), asking);
    ran.and(medians)
}

async fn medians(bases: Vec<(String, Size)>) -> anyhow::Result<Medians> {
    let mut asked = Vec::new();
    for (base, size) in bases {
        asked.push(Asked::new(base, size).await?);
    }
    let mut waits: BTreeMap<&'static str, Vec<Vec<f64>>> = BTreeMap::new();
    for turn in 0..CALLS {
        for call in 0..asked[0].calls.len() {
            for (at, Asked { client, base, calls }) in asked.iter().enumerate() {
                let (name, path) = &calls[call];
                let began = Instant::now();
                get(client, &format!("{base}{path}")).await.with_context(|| format!("GET {path}"))?;
                if turn >= WARM_UP {
                    let waits = waits.entry(name).or_insert_with(|| vec![Vec::new(); asked.len()]);
                    waits[at].push(began.elapsed().as_secs_f64() * 1e6);
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

async fn get(client: &reqwest::Client, url: &str) -> anyhow::Result<Value> {
    let response = client.get(url).bearer_auth(KEY).send().await?;
    let status = response.status();
    let bytes = response.bytes().await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&bytes));
    Ok(serde_json::from_slice(&bytes)?)
}
