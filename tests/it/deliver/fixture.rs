//! Receivers that follow a script byte for byte, and names that resolve as a test pleases.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certhook::deliver::Settings;
use certhook::deliver::guard::{Guard, LookUp};
use certhook::deliver::transport::{HttpTransport, Request, Response, Transport};
use certhook::model::endpoint::EndpointUrl;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

/// More than any of these tests takes on a busy machine.
pub(super) const PATIENT: Duration = Duration::from_secs(20);
/// For what is meant to run into the deadline.
pub(super) const IMPATIENT: Duration = Duration::from_millis(300);

/// Settings that allow what is needed to reach a receiver on this machine, and nothing else.
pub(super) fn settings(timeout: Duration) -> Settings {
    Settings {
        allow_networks: ["127.0.0.0/8", "::1/128"].map(|network| network.parse().expect("a network")).into(),
        ..strict(timeout)
    }
}

/// Settings that allow no more than the defaults do.
pub(super) fn strict(timeout: Duration) -> Settings {
    Settings {
        timeout,
        retry: Vec::new(),
        max_in_flight: 8,
        per_endpoint_in_flight: 8,
        order_wait: Duration::ZERO,
        allow_networks: Vec::new(),
        allow_http: false,
        ca_file: None,
        proxy: None,
    }
}

pub(super) fn transport(settings: &Settings) -> HttpTransport {
    HttpTransport::new(settings, Arc::new(Guard::new(settings))).expect("a transport")
}

pub(super) fn url(text: &str) -> Url {
    text.parse().expect("a URL")
}

pub(super) fn request(to: &str) -> Request {
    Request {
        url: EndpointUrl::new(&url(to)),
        headers: vec![("webhook-id", "evt_1".into())],
        body: bytes::Bytes::from_static(b"{\"id\":\"evt_1\"}"),
    }
}

/// Sends one request to a receiver that answers by `script`.
pub(super) async fn send(script: Vec<Step>, timeout: Duration) -> Response {
    let receiver = Receiver::start(script).await;
    transport(&settings(timeout)).send(request(&receiver.url("/hook"))).await
}

/// What a receiver does once it has read a request.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Say(Vec<u8>),
    /// Says it again and again until the other side has gone.
    Repeat(Vec<u8>, Duration),
    /// Says nothing, until the other side has gone.
    Hang,
    /// Cuts the connection in a way that shows on the other side as an error.
    Reset,
    /// Closes the connection in order.
    Close,
}

pub(super) fn say(text: impl AsRef<[u8]>) -> Step {
    Step::Say(text.as_ref().to_vec())
}

/// A whole response with its length.
pub(super) fn answer(status: u16, headers: &str, body: &str) -> Step {
    say(format!("HTTP/1.1 {status} Some Words\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()))
}

/// A receiver on this machine.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    pub(super) requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    open: watch::Receiver<usize>,
    _accepting: JoinSet<()>,
}

impl Receiver {
    pub(super) async fn start(script: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (count, open) = watch::channel(0);
        let mut accepting = JoinSet::new();
        accepting.spawn({
            let (connections, requests) = (Arc::clone(&connections), Arc::clone(&requests));
            async move {
                let mut serving = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::SeqCst);
                    count.send_modify(|count| *count += 1);
                    let (script, requests, count) = (script.clone(), Arc::clone(&requests), count.clone());
                    serving.spawn(async move {
                        // An error here is the other side's going away, which many of these tests are about.
                        let _ = serve(stream, &script, &requests).await;
                        count.send_modify(|count| *count -= 1);
                    });
                }
            }
        });
        Self { address, requests, connections, open, _accepting: accepting }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Comes back once no connection is open.
    pub(super) async fn left_alone(&mut self) {
        let waited = tokio::time::timeout(PATIENT, self.open.wait_for(|open| *open == 0)).await;
        waited.expect("the connections are closed").expect("the receiver runs");
    }

    /// Proves that nobody else has connected, by connecting: connections are accepted in their order.
    pub(super) async fn was_never_called(&self) -> bool {
        let mut stream = TcpStream::connect(self.address).await.expect("the receiver runs");
        stream.write_all(b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n").await.expect("it reads");
        stream.read_u8().await.expect("it answers");
        self.connections() == 1
    }
}

async fn serve(mut stream: TcpStream, script: &[Step], requests: &Mutex<Vec<String>>) -> io::Result<()> {
    loop {
        let request = read_request(&mut stream).await?;
        requests.lock().expect("no test panics here").push(request);
        for step in script {
            match step {
                Step::Say(bytes) => stream.write_all(bytes).await?,
                Step::Repeat(bytes, pause) => loop {
                    stream.write_all(bytes).await?;
                    tokio::time::sleep(*pause).await;
                },
                Step::Hang => return stream.read_u8().await.map(drop),
                Step::Reset => return stream.set_zero_linger(),
                Step::Close => return stream.shutdown().await,
            }
        }
    }
}

/// Reads one request with its body, whose length must be given.
pub(super) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
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
pub(super) struct Names {
    scripts: HashMap<&'static str, Box<Script>>,
    calls: Mutex<HashMap<String, usize>>,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

impl Names {
    pub(super) fn with(mut self, host: &'static str, addresses: &[&str]) -> Self {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        self.scripts.insert(host, Box::new(move |_| Ok(addresses.clone())));
        self
    }

    pub(super) fn scripted(
        mut self,
        host: &'static str,
        script: impl Fn(usize) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        self.scripts.insert(host, Box::new(script));
        self
    }

    pub(super) fn calls(&self, host: &str) -> usize {
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
