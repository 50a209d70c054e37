//! Where requests arrive: a bare HTTP/1.1 server on every loopback address, in a process of its own.
//!
//! What it does is in the first segment of the path, the endpoint's number in the second one: `/takes/7` is answered
//! with 204 at once, `/notes/7` as well, but what came when is kept for `/arrivals`; `/hangs/7` is never answered.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use certhook::model::id::EventId;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::figures::monotonic;
use super::sample::NUMBER_HEADER;

/// The bytes of one arrival on its way from the receivers to the bench.
const ARRIVAL_BYTES: usize = 20;

/// How often it is looked what has come: asking takes processor time of the process that is measured.
const LOOK: Duration = Duration::from_millis(50);

/// How long what was sent may take to come.
const COLLECT_MAX: Duration = Duration::from_secs(300);

/// A request that came to `/notes/…`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The endpoint that it was for.
    pub(crate) endpoint: u32,
    /// The event's place in the log, or what the bare loop counts its requests by.
    pub(crate) number: u64,
    /// When it came, on the clock that all processes share.
    pub(crate) at: Duration,
}

impl Arrival {
    fn bytes(self) -> impl Iterator<Item = u8> {
        let at = u64::try_from(self.at.as_nanos()).unwrap_or(u64::MAX).to_le_bytes();
        self.endpoint.to_le_bytes().into_iter().chain(self.number.to_le_bytes()).chain(at)
    }

    fn read(bytes: &[u8]) -> Self {
        let number = |range: std::ops::Range<usize>| {
            bytes[range].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let endpoint = u32::try_from(number(0..4)).expect("four bytes");
        Self { endpoint, number: number(4..12), at: Duration::from_nanos(number(12..20)) }
    }
}

/// The receivers, from the bench's side.
pub(crate) struct Receiver {
    port: u16,
    client: reqwest::Client,
    _process: Child,
}

impl Receiver {
    pub(super) fn new(address: SocketAddr, process: Child) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client without TLS settings");
        Self { port: address.port(), client, _process: process }
    }

    /// Where they listen.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL of an endpoint that is received so, each on an address of its own as subscribers are.
    pub(crate) fn url(&self, manner: &str, number: usize) -> String {
        url_at(self.port, manner, number)
    }

    /// Takes what has been noted since the last call.
    pub(crate) async fn arrivals(&self) -> anyhow::Result<Vec<Arrival>> {
        let answer = self.client.get(format!("http://127.0.0.1:{}/arrivals", self.port)).send().await?;
        Ok(answer.bytes().await?.chunks_exact(ARRIVAL_BYTES).map(Arrival::read).collect())
    }

    /// Takes what is noted until so much has come; an error if more has, or it takes too long.
    pub(crate) async fn collect(&self, count: usize) -> anyhow::Result<Vec<Arrival>> {
        let (begun, mut arrivals) = (Instant::now(), Vec::with_capacity(count));
        loop {
            arrivals.extend(self.arrivals().await?);
            if arrivals.len() >= count {
                anyhow::ensure!(arrivals.len() == count, "{} requests came instead of {count}", arrivals.len());
                return Ok(arrivals);
            }
            anyhow::ensure!(begun.elapsed() < COLLECT_MAX, "{} of {count} came in {COLLECT_MAX:?}", arrivals.len());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How many requests were answered so far, however they came.
    pub(crate) async fn count(&self) -> anyhow::Result<usize> {
        let answer = self.client.get(format!("http://127.0.0.1:{}/count", self.port)).send().await?;
        Ok(answer.text().await?.parse()?)
    }
}

/// The same for receivers that are not there, or not yet.
pub(crate) fn url_at(port: u16, manner: &str, number: usize) -> String {
    let host = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + u32::try_from(number).unwrap_or(0));
    format!("http://{host}:{port}/{manner}/{number}")
}

#[derive(Default)]
struct Seen {
    count: usize,
    arrivals: Vec<Arrival>,
}

/// Receives until the process that started this one is gone.
pub(super) async fn serve(port: u16) -> anyhow::Result<()> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::UNSPECIFIED, port).into())?;
    let listener = socket.listen(4096)?;
    println!("{}", listener.local_addr()?);
    tokio::select! {
        accepted = accept(listener) => accepted,
        gone = super::parent_is_gone() => gone,
    }
}

async fn accept(listener: TcpListener) -> anyhow::Result<()> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let connections = TaskTracker::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let seen = Arc::clone(&seen);
        connections.spawn(async move {
            let answer = service_fn(|request| answer(request, &seen));
            // A sender that goes away is no concern of the receiver's.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await);
        });
    }
}

async fn answer(request: Request<Incoming>, seen: &Mutex<Seen>) -> Result<Response<Full<Bytes>>, Infallible> {
    let at = monotonic();
    let path = request.uri().path().to_owned();
    let (manner, number) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let lock = || seen.lock().expect("nothing panics while it holds this lock");
    match manner {
        "arrivals" => {
            let arrivals = std::mem::take(&mut lock().arrivals);
            return Ok(Response::new(Full::new(arrivals.into_iter().flat_map(Arrival::bytes).collect())));
        }
        "count" => return Ok(Response::new(Full::new(lock().count.to_string().into()))),
        "hangs" => std::future::pending().await,
        "notes" => {
            let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
            let counted = text(NUMBER_HEADER).and_then(|text| text.parse().ok());
            let event = || text("webhook-id").and_then(|id| Some(id.parse::<EventId>().ok()?.position.0));
            let number_of_event = counted.or_else(event).unwrap_or(0);
            lock().arrivals.push(Arrival { endpoint: number.parse().unwrap_or(0), number: number_of_event, at });
        }
        _ => {}
    }
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    lock().count += 1;
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
