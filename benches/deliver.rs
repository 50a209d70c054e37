//! Deliveries per second and processor time per delivery, beside a bare loop that signs and posts the same bodies
//! over the same HTTP client to the same receiver in the same run.
//!
//! ```text
//! cargo bench --bench deliver                       # 20 000 deliveries to one endpoint and to ten
//! cargo bench --bench deliver -- --events 100000
//! ```
//!
//! The receiver is a process of its own, so that the processor time is the sender's alone: store, queue, signature,
//! HTTP. The store is the real one, with its real syncs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certhook::clock::{Clock, SystemClock};
use certhook::deliver::guard::Guard;
use certhook::deliver::health::Circuit;
use certhook::deliver::transport::{HttpTransport, Request, Transport};
use certhook::deliver::{Deliverer, Settings, sign};
use certhook::model::delivery::Outcome;
use certhook::model::endpoint::{
    Endpoint, EndpointStatus, EndpointUrl, Format, Ordering, OwnHeaders, Payload, SigningSecret,
};
use certhook::model::event::{Cause, Detection, EventDraft, EventType, Mode, Sight, Subject};
use certhook::model::filter::Filter;
use certhook::model::id::{EndpointId, EndpointNumber, Position};
use certhook::model::json::{Fields, Json};
use certhook::model::pattern::Pattern;
use certhook::model::resource::{Kind, ResourceKey};
use certhook::model::time::Timestamp;
use certhook::store::sled::SledStore;
use certhook::store::{SightCommit, Store};
use clap::Parser;
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Requests at a time, for the gateway and for the bare loop.
const WIDTH: usize = 64;

/// How often the head count of delivered events is looked at.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Parser)]
struct Arguments {
    /// Deliveries in each part
    #[arg(long, default_value_t = 20_000)]
    events: usize,
    /// Serves as the receiver; the bench starts itself so
    #[arg(long)]
    receiver: bool,
    /// Handed over by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.receiver {
        return receive().await;
    }
    let (_receiver, address) = start_receiver().await?;
    let bare = bare_loop(address, arguments.events).await?;
    println!("bare loop, {WIDTH} wide:       {bare}");
    for endpoints in [1, 10] {
        let figure = gateway(address, arguments.events / endpoints, endpoints).await?;
        let share = figure.rate() / bare.rate() * 100.0;
        println!("gateway, {endpoints:>2} endpoint(s):    {figure}; {share:.0} % of the bare loop's rate");
    }
    Ok(())
}

/// So many deliveries in so much time.
struct Figure {
    count: usize,
    took: Duration,
    cpu: Duration,
}

impl Figure {
    fn rate(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = self.cpu.as_secs_f64() * 1e6 / self.count as f64;
        write!(f, "{:>7.0} a second, {each:>5.1} µs of processor time each", self.rate())
    }
}

/// Runs a receiver that answers 204 to everything, and prints its address.
async fn receive() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let router = axum::Router::new().fallback(|body: axum::body::Bytes| async move {
        drop(body);
        axum::http::StatusCode::NO_CONTENT
    });
    Ok(axum::serve(listener, router).await?)
}

async fn start_receiver() -> anyhow::Result<(Child, SocketAddr)> {
    let program = std::env::current_exe()?;
    let mut child =
        Command::new(program).arg("--receiver").stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn()?;
    let output = child.stdout.take().ok_or_else(|| anyhow::anyhow!("no output of the receiver"))?;
    let line = BufReader::new(output).lines().next_line().await?.unwrap_or_default();
    Ok((child, line.parse()?))
}

/// The physical limit: the same signature, the same bodies, the same client, and nothing else.
async fn bare_loop(address: SocketAddr, count: usize) -> anyhow::Result<Figure> {
    let transport = Arc::new(transport()?);
    let endpoint = endpoint(address, 0);
    let bodies: Vec<_> = (0..100).map(|number| object(number).text().to_owned()).collect();
    let (started, cpu) = (Instant::now(), processor_time());
    let sent = stream::iter(0..count).map(|number| {
        let (transport, endpoint, body) = (Arc::clone(&transport), &endpoint, bodies[number % bodies.len()].clone());
        async move {
            let body = bytes::Bytes::from(body);
            let id = certhook::model::id::EventId { position: Position(number as u64), epoch: 1, start: 1 };
            let headers = sign::headers(id, &body, &endpoint.secrets, 1, Timestamp::EPOCH);
            let (url, own_headers) = (endpoint.url.clone(), endpoint.headers.clone());
            let request = Request { url, content_type: "application/json", headers, own_headers, body };
            transport.send(request).await.outcome
        }
    });
    let outcomes: Vec<Outcome> = sent.buffer_unordered(WIDTH).collect().await;
    anyhow::ensure!(outcomes.iter().all(|outcome| *outcome == Outcome::Delivered), "the receiver failed");
    Ok(Figure { count, took: started.elapsed(), cpu: processor_time() - cpu })
}

/// Events that are in the log already, delivered to each of so many endpoints.
async fn gateway(address: SocketAddr, events: usize, endpoints: usize) -> anyhow::Result<Figure> {
    let folder = tempfile::tempdir()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let settings = certhook::store::Settings { path: folder.path().join("data"), encryption_key: None, min_free: 0 };
    let opened = Arc::clone(&clock);
    let store: Arc<dyn Store> = tokio::task::spawn_blocking(move || SledStore::open(&settings, &*opened)).await??;
    for batch in (0..events).collect::<Vec<_>>().chunks(100) {
        store.commit_sights(batch.iter().map(|number| sight(*number, clock.now())).collect(), None).await?;
    }
    for number in 0..endpoints {
        store.create(endpoint(address, number)).await?;
    }
    let deliverer = Deliverer::new(Arc::clone(&store), Arc::new(transport()?), clock, settings_of_delivery());
    let stop = CancellationToken::new();
    let (started, cpu) = (Instant::now(), processor_time());
    let watch = async {
        while delivered(&*store, events).await? < endpoints {
            tokio::time::sleep(LOOK).await;
        }
        let figure = Figure { count: events * endpoints, took: started.elapsed(), cpu: processor_time() - cpu };
        stop.cancel();
        anyhow::Ok(figure)
    };
    let (ran, figure) = tokio::join!(deliverer.run(stop.clone()), watch);
    ran?;
    store.close().await;
    figure
}

/// How many endpoints have a record of the last event; what is then still open is at most a window.
async fn delivered(store: &dyn Store, events: usize) -> anyhow::Result<usize> {
    let last = Position(events as u64);
    let mut ended = store.recorded(last.previous(), last).await?;
    ended.dedup();
    Ok(ended.len())
}

fn transport() -> anyhow::Result<HttpTransport> {
    let settings = settings_of_delivery();
    let guard = Arc::new(Guard::new(&settings));
    Ok(HttpTransport::new(&settings, guard)?)
}

fn settings_of_delivery() -> Settings {
    Settings {
        timeout: Duration::from_secs(15),
        retry: vec![Duration::from_secs(5)],
        max_in_flight: 512,
        per_endpoint_in_flight: WIDTH,
        order_wait: Duration::from_secs(3600),
        sources: Vec::new(),
        disable_after: Duration::from_secs(5 * 24 * 3600),
        livemode: true,
        circuit: Circuit::probing_every(Duration::from_secs(300)),
        allow_networks: vec!["127.0.0.0/8".parse().expect("a network")],
        allow_http: true,
        ca_file: None,
        proxy: None,
    }
}

fn endpoint(address: SocketAddr, number: usize) -> Endpoint {
    Endpoint {
        id: EndpointId { number: EndpointNumber(0), random: number as u128 },
        uid: None,
        url: EndpointUrl::new(&format!("http://{address}/{number}").parse().expect("a URL")),
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
        status: EndpointStatus::Enabled,
        disabled_reason: None,
        start: Position::START,
        created_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
        enabled_at: Timestamp::EPOCH,
    }
}

/// A certificate of the usual size.
fn object(number: usize) -> Json {
    Json::of(&serde_json::json!({
        "id": format!("cert_a8f3d2c1-1b9a-4c5e-8d7e-{number:012}"),
        "object": "tax.exemption_certificate",
        "status": "expiring",
        "certificate_type": {
            "id": "12", "name": "California Resale Certificate (CDTFA-230)", "certificate_identifier": "US-CA-CDTFA-230"
        },
        "customer": { "id": "cust_6126acaf-7379-411a-8ada-00005bac0715", "reference_customer_id": "20506" },
        "jurisdictions": [{
            "jurisdiction_id": "US-CA", "status": "expiring",
            "effective_date": "2026-01-01", "expiration_date": "2027-01-01"
        }],
        "effective_date": "2026-01-01",
        "expiration_date": "2027-01-01",
        "created_at": "2026-01-02T10:15:23.456Z",
        "updated_at": "2026-01-05T11:00:00.000Z",
        "livemode": true
    }))
}

fn sight(number: usize, now: Timestamp) -> SightCommit {
    let id = format!("cert_a8f3d2c1-1b9a-4c5e-8d7e-{number:012}");
    let key = ResourceKey {
        source: "numeral".parse().expect("a name"),
        kind: Kind::Certificate,
        id: id.parse().expect("an id"),
    };
    let sight = Sight {
        subject: Subject::Resource(key),
        api_version: "2026-03-01".into(),
        livemode: true,
        object: object(number),
        previous_attributes: Json::of(&Fields::new()),
        detection: Detection {
            mode: Mode::Live,
            pass: Some(Cause::Changes),
            request_id: None,
            object_version: 1,
            observed_after: None,
            observed_before: now,
        },
    };
    SightCommit {
        told: vec![(sight, vec![EventDraft::plain(EventType::CertificateExpiring)])],
        ..SightCommit::default()
    }
}

/// What this process has used of the processors so far.
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}
