//! What a page of each list costs as the store grows, beside a call that reads nothing.
//!
//! ```text
//! cargo bench --bench pages                        # 10 000 events, then 100 000
//! cargo bench --bench pages -- --sizes 10000,1000000
//! cargo bench --bench pages -- --folder PATH       # chooses the file system
//! ```
//!
//! At each size a store is filled with as many events and certificates, a tenth as many requests, deliveries and (up
//! to 10 000) endpoints, and a gateway is started over it. Every list call is then made over HTTP on one connection,
//! each in its turn, so that what disturbs one disturbs all. The figure that counts is the last column: what a page
//! costs at the largest size, beside what it costs at the smallest. The last line is the same as JSON.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use certhook::app::Gateway;
use certhook::clock::{Clock, SystemClock};
use certhook::config::Config;
use certhook::model::delivery::{Attempt, DeliveryRecord, DeliveryStatus, Outcome, Trigger};
use certhook::model::endpoint::{
    DisabledReason, Endpoint, EndpointStatus, EndpointUrl, Format, Ordering, OwnHeaders, Payload, SigningSecret,
};
use certhook::model::event::{Cause, Detection, EventDraft, EventType, Mode, Sight, Subject};
use certhook::model::filter::Filter;
use certhook::model::id::{EndpointId, EndpointNumber, Position, base62};
use certhook::model::json::Json;
use certhook::model::pattern::Pattern;
use certhook::model::resource::{Agenda, Download, Kind, OpenList, ResourceId, ResourceKey, Snapshot, SourceName};
use certhook::model::time::Timestamp;
use certhook::store::sled::SledStore;
use certhook::store::{DeliveryCommit, SightCommit, Store};
use clap::Parser;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often each call is made; the first tenth is not counted.
const CALLS: usize = 200;
const WARM_UP: usize = CALLS / 10;

/// Sights in a commit.
const PAGE: usize = 100;

const ENDPOINTS_MAX: usize = 10_000;

const KEY: &str = "the-root-key-of-this-bench";

#[derive(Parser)]
struct Arguments {
    /// How many events the store holds, from the smallest on
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000])]
    sizes: Vec<usize>,
    /// Where the stores are made
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Handed over by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.sizes.is_sorted() && arguments.sizes.len() > 1, "--sizes needs two sizes or more, growing");
    let mut figures: BTreeMap<&'static str, Vec<Duration>> = BTreeMap::new();
    for &size in &arguments.sizes {
        let folder = tempfile::tempdir_in(&arguments.folder)?;
        let began = Instant::now();
        fill(folder.path(), size).await.context("cannot fill the store")?;
        eprintln!("{size} events filled in {:.1} s", began.elapsed().as_secs_f64());
        for (name, median) in ask(folder.path(), size).await? {
            figures.entry(name).or_default().push(median);
        }
    }
    report(&arguments.sizes, &figures);
    Ok(())
}

fn report(sizes: &[usize], figures: &BTreeMap<&'static str, Vec<Duration>>) {
    let heads: Vec<_> = sizes.iter().map(|size| format!("{size:>12}")).collect();
    println!("{:<44}{}   growth", "median in µs, at so many events", heads.concat());
    let mut lines = Vec::new();
    for (name, medians) in figures {
        let micros: Vec<_> = medians.iter().map(|median| median.as_secs_f64() * 1e6).collect();
        let growth = micros.last().zip(micros.first()).map_or(0.0, |(last, first)| last / first);
        let columns: Vec<_> = micros.iter().map(|micros| format!("{micros:>12.0}")).collect();
        println!("{name:<44}{}   {growth:.2}", columns.concat());
        lines.push(json!({"call": name, "median_us": micros, "growth": growth}));
    }
    println!("{}", json!({"bench": "pages", "sizes": sizes, "calls": lines}));
}

/// One number scattered over all, so that neighbours in one list are none in another.
fn scattered(number: usize, among: usize) -> usize {
    number.wrapping_mul(7_919_993) % among
}

fn source() -> SourceName {
    "numeral".parse().expect("a name")
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
        key: ResourceKey { source: source(), kind, id },
        object_version: 1,
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

/// A first sight, with one event.
fn told(number: usize, now: Timestamp) -> SightCommit {
    let snapshot = snapshot(Kind::Certificate, number, now);
    let sight = Sight {
        subject: Subject::Resource(snapshot.key.clone()),
        api_version: "2026-03-01".into(),
        livemode: true,
        object: snapshot.object.clone(),
        previous_attributes: Json::of(&json!({})),
        detection: Detection {
            mode: Mode::Live,
            pass: Some(Cause::Changes),
            request_id: None,
            object_version: 1,
            observed_after: None,
            observed_before: now,
        },
    };
    let event_type =
        if number.is_multiple_of(2) { EventType::CertificateActive } else { EventType::CertificateCreated };
    let told = vec![(sight, vec![EventDraft::plain(event_type)])];
    SightCommit { snapshot: Some(snapshot), told, ..SightCommit::default() }
}

/// It is disabled, so that the gateway sends nothing while it is asked.
fn endpoint(number: usize, now: Timestamp) -> Endpoint {
    Endpoint {
        id: EndpointId { number: EndpointNumber(0), random: number as u128 },
        uid: Some(format!("crm-{number}")),
        url: EndpointUrl::new(&format!("https://receiver.example/{number}").parse().expect("a URL")),
        description: String::new(),
        types: vec![Pattern::Everything],
        filter: Filter::default(),
        payload: Payload::Full,
        format: Format::Standard,
        headers: OwnHeaders::default(),
        ordering: Ordering::PerResource,
        retry: None,
        max_in_flight: None,
        rate_limit: None,
        metadata: BTreeMap::new(),
        secrets: vec![SigningSecret { key: vec![7; 32].into(), expires_at: None }],
        status: EndpointStatus::Disabled,
        disabled_reason: Some(DisabledReason::Manual),
        start: Position::START,
        created_at: now,
        updated_at: now,
        enabled_at: now,
    }
}

async fn fill(folder: &Path, size: usize) -> anyhow::Result<()> {
    let clock = SystemClock::default();
    let settings = certhook::store::Settings { path: folder.join("data"), encryption_key: None, min_free: 0 };
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&settings, &SystemClock::default()));
    let store: Arc<dyn Store> = opened.await??;
    let now = clock.now();
    for first in (0..size).step_by(PAGE) {
        let page = (first..(first + PAGE).min(size)).map(|number| told(scattered(number, size), now));
        store.commit_sights(page.collect(), None).await?;
    }
    for first in (0..size / 10).step_by(PAGE) {
        let silent = |number| SightCommit {
            snapshot: Some(snapshot(Kind::CertificateRequest, number, now)),
            ..SightCommit::default()
        };
        store.commit_sights((first..first + PAGE).map(silent).collect(), None).await?;
    }
    let mut endpoints = Vec::new();
    for number in 0..(size / 10).min(ENDPOINTS_MAX) {
        endpoints.push(store.create(endpoint(number, now)).await?.id);
    }
    let mut after = Position::START;
    for first in (0..size / 10).step_by(PAGE) {
        let events = store.events_after(after, PAGE).await?;
        let Some(last) = events.last() else { break };
        after = last.position();
        let records = events.iter().zip(first..).map(|(event, number)| {
            let endpoint = endpoints[number % endpoints.len().min(10)];
            let resource = event.sight.resource().cloned();
            let untried = DeliveryRecord::untried(event.id, event.event_type, endpoint, resource);
            delivered(untried, now)
        });
        store.commit_deliveries(DeliveryCommit { records: records.collect(), ..DeliveryCommit::default() }).await?;
    }
    store.close().await;
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

/// Every call that lists, and what each is called in the report. The customer, the id and the cursor of a list are in
/// the middle of the store.
fn calls(size: usize, middle: &Middle) -> Vec<(&'static str, String)> {
    let customer = format!("cust_{:09}", size / 4);
    let Middle { event, endpoint } = middle;
    vec![
        ("(nothing: /healthz)", "/healthz".into()),
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
        ("a certificate", format!("/v1/certificates/{}", id(Kind::Certificate, size / 2))),
        ("certificate requests, newest", "/v1/certificate-requests?limit=100".into()),
        ("certificate requests that are pending", "/v1/certificate-requests?limit=100&status=pending".into()),
        ("exemption of a customer", format!("/v1/exemptions?customer_id={customer}&jurisdiction=US-CA")),
        ("sources", "/v1/sources".into()),
        ("replays", "/v1/replays?limit=100".into()),
        ("event types", "/v1/event-types".into()),
    ]
}

/// Something that lies half-way through the store.
struct Middle {
    event: String,
    endpoint: String,
}

/// A time at which something was created.
fn middle_of_time() -> String {
    Timestamp::from_millis(SystemClock::default().now().as_millis() - 3_600_000).to_string()
}

/// The median of each call.
async fn ask(folder: &Path, size: usize) -> anyhow::Result<Vec<(&'static str, Duration)>> {
    let file = folder.join("bench.toml");
    std::fs::write(&file, configuration())?;
    let gateway = Gateway::start(Config::load(Some(&file), [])?).await?;
    let base = format!("http://{}", gateway.address());
    let stop = CancellationToken::new();
    let asking = async {
        let medians = medians(&base, size).await;
        stop.cancel();
        medians
    };
    let (ran, medians) = tokio::join!(gateway.run(stop.clone()), asking);
    ran.and(medians)
}

async fn medians(base: &str, size: usize) -> anyhow::Result<Vec<(&'static str, Duration)>> {
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(1).build()?;
    let answer = get(&client, base, "/v1/deliveries?limit=1").await?;
    let text = |name: &str| answer["data"][0][name].as_str().unwrap_or_default().to_owned();
    let middle = Middle { event: text("event_id"), endpoint: text("endpoint_id") };
    let calls = calls(size, &middle);
    let mut waits: Vec<Vec<Duration>> = vec![Vec::new(); calls.len()];
    for turn in 0..CALLS {
        for ((_, path), waits) in calls.iter().zip(&mut waits) {
            let began = Instant::now();
            get(&client, base, path).await.with_context(|| format!("GET {path}"))?;
            if turn >= WARM_UP {
                waits.push(began.elapsed());
            }
        }
    }
    let median = |mut waits: Vec<Duration>| {
        waits.sort_unstable();
        waits[waits.len() / 2]
    };
    Ok(calls.iter().zip(waits).map(|((name, _), waits)| (*name, median(waits))).collect())
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

async fn get(client: &reqwest::Client, base: &str, path: &str) -> anyhow::Result<Value> {
    let response = client.get(format!("{base}{path}")).bearer_auth(KEY).send().await?;
    let status = response.status();
    let bytes = response.bytes().await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&bytes));
    Ok(serde_json::from_slice(&bytes)?)
}
