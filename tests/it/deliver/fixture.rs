//! Receivers that follow a script byte for byte, and names that resolve as a test pleases.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certhook::deliver::Settings;
use certhook::deliver::guard::{Guard, LookUp};
use certhook::deliver::health::Circuit;
use certhook::deliver::transport::{HttpTransport, Request, Response, Transport};
use certhook::model::endpoint::{
    Endpoint, EndpointStatus, EndpointUrl, Format, Ordering as EventOrdering, OwnHeaders, Payload, SigningSecret,
};
use certhook::model::filter::Filter;
use certhook::model::id::{EndpointId, EndpointNumber, Position};
use certhook::model::pattern::Pattern;
use certhook::model::time::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use url::Url;

/// More than any of these tests takes on a busy machine.
pub(crate) const PATIENT: Duration = Duration::from_secs(20);
/// For what is meant to run into the deadline.
pub(crate) const IMPATIENT: Duration = Duration::from_millis(300);

/// What a receiver's system keeps of what was said and not yet sent. So little that how much it takes from a receiver
/// is close to how much the other side reads.
const SEND_BUFFER_BYTES: u32 = 4096;

/// The largest part of what a receiver says that may have been taken although nobody has read it: what the systems of
/// both sides keep, that of the other side in advance.
pub(crate) const BUFFERED_MAX: u64 = 192 * 1024;

/// Settings that allow what is needed to reach a receiver on this machine, and nothing else.
pub(crate) fn settings(timeout: Duration) -> Settings {
    Settings {
        allow_networks: ["127.0.0.0/8", "::1/128"].map(|network| network.parse().expect("a network")).into(),
        ..strict(timeout)
    }
}

/// Settings that allow no more than the defaults do.
pub(crate) fn strict(timeout: Duration) -> Settings {
    Settings {
        timeout,
        retry: Vec::new(),
        max_in_flight: 8,
        per_endpoint_in_flight: 8,
        order_wait: Duration::ZERO,
        disable_after: Duration::from_secs(5 * 24 * 3600),
        sources: Vec::new(),
        livemode: true,
        circuit: Circuit::probing_every(Duration::from_secs(300)),
        allow_networks: Vec::new(),
        allow_http: false,
        ca_file: None,
        proxy: None,
    }
}

pub(crate) fn transport(settings: &Settings) -> HttpTransport {
    HttpTransport::new(settings, Arc::new(Guard::new(settings))).expect("a transport")
}

pub(crate) fn url(text: &str) -> Url {
    text.parse().expect("a URL")
}

pub(crate) fn request(to: &str) -> Request {
    Request {
        url: EndpointUrl::new(&url(to)),
        content_type: "application/json",
        headers: vec![("webhook-id", "evt_1".into())],
        own_headers: OwnHeaders::default(),
        body: bytes::Bytes::from_static(b"{\"id\":\"evt_1\"}"),
    }
}

/// What signs for [`endpoint`].
pub(super) fn secret() -> SigningSecret {
    SigningSecret { key: vec![7; 32].into(), expires_at: None }
}

/// An endpoint with that URL and nothing unusual.
pub(super) fn endpoint(to: &str) -> Endpoint {
    Endpoint {
        id: EndpointId { number: EndpointNumber(1), random: 1 },
        uid: None,
        url: EndpointUrl::new(&url(to)),
        description: String::new(),
        types: vec![Pattern::Everything],
        filter: Filter::default(),
        payload: Payload::Full,
        format: Format::Standard,
        headers: OwnHeaders::default(),
        ordering: EventOrdering::PerResource,
        retry: None,
        max_in_flight: None,
        rate_limit: None,
        metadata: Default::default(),
        secrets: vec![secret()],
        status: EndpointStatus::Enabled,
        disabled_reason: None,
        start: Position::START,
        created_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
        enabled_at: Timestamp::EPOCH,
    }
}

/// Sends one request to a receiver that answers by `script`.
pub(crate) async fn send(script: Vec<Step>, timeout: Duration) -> Response {
    let receiver = Receiver::start(script).await;
    transport(&settings(timeout)).send(request(&receiver.url("/hook"))).await
}

/// What a receiver does with a connection.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Reads a request to its end.
    Read,
    /// Reads so many bytes of whatever comes.
    ReadBytes(usize),
    Say(Vec<u8>),
    /// Says it a byte at a time.
    Drip(Vec<u8>, Duration),
    /// Says it again and again until the other side has gone.
    Repeat(Vec<u8>, Duration),
    Wait(Duration),
    /// Says nothing, until the other side has gone.
    Hang,
    /// Cuts the connection in a way that shows on the other side as an error.
    Reset,
    /// Closes the connection in order.
    Close,
}

pub(crate) fn say(text: impl AsRef<[u8]>) -> Step {
    Step::Say(text.as_ref().to_vec())
}

/// A whole response with its length.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> Step {
    say(format!("HTTP/1.1 {status} Some Words\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()))
}

/// What a receiver saw and did, over all of its connections.
#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<String>>,
    connections: AtomicUsize,
    /// Bytes that the system took from it, which is at most a few buffers more than the other side has read.
    said: AtomicU64,
}

/// A receiver on this machine.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    open: watch::Receiver<usize>,
    _accepting: JoinSet<()>,
}

impl Receiver {
    /// One that answers every request by the same script.
    pub(crate) async fn start(script: Vec<Step>) -> Self {
        Self::start_at(listen(), script)
    }

    /// One that answers every request to a listener by the same script.
    pub(crate) fn start_at(listener: TcpListener, script: Vec<Step>) -> Self {
        let script = [vec![Step::Read], script].concat();
        Self::serving(listener, move |_| script.clone(), true)
    }

    /// One with a script for each connection, in their order; the last one is for all that follow. A script that
    /// ends leaves the connection to the other side.
    pub(crate) async fn scripted(scripts: Vec<Vec<Step>>) -> Self {
        let script = move |number: usize| [&scripts[number.min(scripts.len() - 1)][..], &[Step::Hang]].concat();
        Self::serving(listen(), script, false)
    }

    fn serving(listener: TcpListener, script: impl Fn(usize) -> Vec<Step> + Send + 'static, repeats: bool) -> Self {
        let address = listener.local_addr().expect("an address");
        let seen = Arc::<Seen>::default();
        let (count, open) = watch::channel(0);
        let mut accepting = JoinSet::new();
        accepting.spawn({
            let seen = Arc::clone(&seen);
            async move {
                let mut serving = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let script = script(seen.connections.fetch_add(1, Ordering::SeqCst));
                    count.send_modify(|count| *count += 1);
                    let (seen, count) = (Arc::clone(&seen), count.clone());
                    serving.spawn(async move {
                        // An error here is the other side's going away, which many of these tests are about.
                        let _ = serve(stream, &script, repeats, &seen).await;
                        count.send_modify(|count| *count -= 1);
                    });
                }
            }
        });
        Self { address, seen, open, _accepting: accepting }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().expect("no test panics here").clone()
    }

    /// How much it has said.
    pub(crate) fn said(&self) -> u64 {
        self.seen.said.load(Ordering::SeqCst)
    }

    /// Comes back once no connection is open.
    pub(crate) async fn left_alone(&mut self) {
        let waited = tokio::time::timeout(PATIENT, self.open.wait_for(|open| *open == 0)).await;
        waited.expect("the connections are closed").expect("the receiver runs");
    }

    /// Proves that nobody else has connected, by connecting: connections are accepted in their order.
    pub(crate) async fn was_never_called(&self) -> bool {
        let mut stream = TcpStream::connect(self.address).await.expect("the receiver runs");
        stream.write_all(b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n").await.expect("it reads");
        stream.read_u8().await.expect("it answers");
        self.connections() == 1
    }
}

/// A listener at a port of its own.
pub(crate) fn listen() -> TcpListener {
    listen_at("127.0.0.1:0".parse().expect("an address")).expect("a port")
}

pub(crate) fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn serve(mut stream: TcpStream, script: &[Step], repeats: bool, seen: &Seen) -> io::Result<()> {
    loop {
        for step in script {
            match step {
                Step::Read => {
                    let request = read_request(&mut stream).await?;
                    seen.requests.lock().expect("no test panics here").push(request);
                }
                Step::ReadBytes(count) => {
                    stream.read_exact(&mut vec![0; *count]).await?;
                }
                Step::Say(bytes) => say_to(&mut stream, bytes, seen).await?,
                Step::Drip(bytes, pause) => {
                    for byte in bytes {
                        say_to(&mut stream, &[*byte], seen).await?;
                        sleep(*pause).await;
                    }
                }
                Step::Repeat(bytes, pause) => loop {
                    say_to(&mut stream, bytes, seen).await?;
                    if !pause.is_zero() {
                        sleep(*pause).await;
                    }
                },
                Step::Wait(pause) => sleep(*pause).await,
                Step::Hang => return hang(&mut stream).await,
                Step::Reset => return stream.set_zero_linger(),
                Step::Close => return stream.shutdown().await,
            }
        }
        if !repeats {
            return Ok(());
        }
    }
}

async fn say_to(stream: &mut TcpStream, mut bytes: &[u8], seen: &Seen) -> io::Result<()> {
    while !bytes.is_empty() {
        let taken = stream.write(bytes).await?;
        seen.said.fetch_add(taken as u64, Ordering::SeqCst);
        bytes = &bytes[taken..];
    }
    Ok(())
}

/// Takes whatever comes, and comes back when the other side has gone.
async fn hang(stream: &mut TcpStream) -> io::Result<()> {
    while stream.read(&mut [0; 4096]).await? > 0 {}
    Ok(())
}

/// Reads one request with its body, whose length must be given.
pub(crate) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut request = Vec::new();
    loop {
        request.push(stream.read_u8().await?);
        if request.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            let mut body = vec![0; length.parse().expect("a number")];
            stream.read_exact(&mut body).await?;
            request.extend(body);
            return Ok(String::from_utf8_lossy(&request).into_owned());
        }
    }
}

type Script = dyn Fn(usize) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Names that resolve by a script, which is told how often it was asked before.
#[derive(Default)]
pub(crate) struct Names {
    scripts: HashMap<&'static str, Box<Script>>,
    calls: Mutex<HashMap<String, usize>>,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

impl Names {
    pub(crate) fn with(mut self, host: &'static str, addresses: &[&str]) -> Self {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        self.scripts.insert(host, Box::new(move |_| Ok(addresses.clone())));
        self
    }

    pub(crate) fn scripted(
        mut self,
        host: &'static str,
        script: impl Fn(usize) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        self.scripts.insert(host, Box::new(script));
        self
    }

    pub(crate) fn calls(&self, host: &str) -> usize {
        self.calls.lock().expect("no test panics here").get(host).copied().unwrap_or(0)
    }
}

impl LookUp for Names {
    fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let before = {
            let mut calls = self.calls.lock().expect("no test panics here");
            let count = calls.entry(host.into()).or_default();
            *count += 1;
            *count - 1
        };
        match self.scripts.get(host) {
            Some(script) => script(before),
            None => Err(io::Error::other("no such name")),
        }
    }
}
