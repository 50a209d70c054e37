//! Connections over which requests are sent, and those that wait for the next one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::task::TaskTracker;

use super::answer::{Failure, Phase, was_unheard_over_http2};
use super::connect::{Forwarding, Opened, Target};
use super::meter::{Exchange, Meter, Metered, RESPONSE_BYTES_MAX};

/// How long an unused connection is kept: less than the 5 s after which the most impatient of the common servers
/// close theirs, or a request would now and then meet a connection that is just being closed.
const UNUSED_MAX: Duration = Duration::from_secs(4);

/// What is buffered of a response over HTTP/1.
const BUFFER_BYTES_MAX: usize = 32 * 1024;

/// The headers of a response over HTTP/2. Over HTTP/1 there may be 100 of them, which the library sees to.
const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// What a receiver may send of a body over HTTP/2 before we have looked at it: so little that a body which nobody
/// wants does not use up what the connection may still read.
const WINDOW_BYTES: u32 = (RESPONSE_BYTES_MAX / 4) as u32;

/// A connection over HTTP/2 that is in use is asked for a sign of life so often. Without it a dead one would keep
/// taking requests, because a connection in use is never unused.
const PING_EVERY: Duration = Duration::from_secs(5);

/// A request as it is whatever the connection.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) target: Target,
    /// The whole URL.
    pub(super) uri: Uri,
    pub(super) host: HeaderValue,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A connection for one request at a time, or a share in one over HTTP/2.
#[derive(Debug)]
pub(super) struct Connection {
    sender: Sender,
    meter: Arc<Meter>,
    exchange: Option<Exchange>,
    pub(super) address: SocketAddr,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Speaks HTTP over a stream. The connection closes once nobody has it any more, or nobody has used it for long.
    pub(super) async fn new(opened: Opened, tasks: &TaskTracker) -> Result<Self, Failure> {
        let meter = Meter::new();
        let stream = TokioIo::new(Metered::new(opened.stream, Arc::clone(&meter)));
        let sender = if opened.is_http2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_stream_window_size(WINDOW_BYTES)
                .max_header_list_size(HEADER_BYTES_MAX)
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_EVERY)
                .handshake(stream)
                .await
                .map_err(Failure::Exchange)?;
            tasks.spawn(drive(connection, Arc::clone(&meter)));
            Sender::Http2(sender)
        } else {
            let mut builder = http1::Builder::new();
            let handshake = builder.max_buf_size(BUFFER_BYTES_MAX).handshake(stream);
            let (sender, connection) = handshake.await.map_err(Failure::Exchange)?;
            tasks.spawn(drive(connection, Arc::clone(&meter)));
            Sender::Http1(sender)
        };
        Ok(Self { sender, meter, exchange: None, address: opened.address })
    }

    /// Sends a request, and waits for the head of the response.
    pub(super) async fn ask(
        &mut self,
        asked: &Asked,
        forwarding: Option<&Forwarding<'_>>,
        deadline: Instant,
    ) -> Result<Response<Incoming>, Failure> {
        self.exchange = Some(self.meter.begin());
        let answered = match &mut self.sender {
            Sender::Http1(sender) => {
                let request = asked.over_http1(forwarding);
                let answered = async {
                    sender.ready().await?;
                    sender.send_request(request).await
                };
                timeout_at(deadline, answered).await.map_err(|_| Failure::TimedOut(self.meter.phase()))?
            }
            Sender::Http2(sender) => {
                let answered = sender.send_request(asked.whole());
                timeout_at(deadline, answered).await.map_err(|_| Failure::TimedOut(Phase::Response))?
            }
        };
        answered.map_err(Failure::Exchange)
    }

    /// Whether a failure may be nothing but the end of a connection that had not been used for a while: the receiver
    /// has not said a word about the request.
    pub(super) fn was_unheard(&self, failure: &Failure) -> bool {
        match (failure, &self.sender) {
            (Failure::Exchange(_), Sender::Http1(_)) => self.meter.has_read_nothing(),
            (Failure::Exchange(error), Sender::Http2(_)) => was_unheard_over_http2(error),
            (
                Failure::Malformed(_)
                | Failure::NoAddress(_)
                | Failure::Connect(_)
                | Failure::Proxy(_)
                | Failure::Tls(_)
                | Failure::TimedOut(_),
                _,
            ) => false,
        }
    }

    fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Another share in the same connection, if it can have several.
    fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Self {
                sender: Sender::Http2(sender.clone()),
                meter: Arc::clone(&self.meter),
                exchange: None,
                address: self.address,
            }),
        }
    }
}

impl Asked {
    /// The request as it is over HTTP/2, and through a proxy: with the whole URL.
    fn whole(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    fn over_http1(&self, forwarding: Option<&Forwarding<'_>>) -> Request<Full<Bytes>> {
        let mut request = self.whole();
        request.headers_mut().insert(HOST, self.host.clone());
        match forwarding {
            Some(Forwarding { credentials }) => {
                let credentials = credentials.and_then(|value| HeaderValue::from_str(value).ok());
                request.headers_mut().extend(credentials.map(|value| (PROXY_AUTHORIZATION, value)));
            }
            None => *request.uri_mut() = self.uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from),
        }
        request
    }
}

/// Moves the bytes of a connection until it ends, or until it has not been used for too long.
async fn drive(connection: impl Future<Output = hyper::Result<()>>, meter: Arc<Meter>) {
    let mut connection = std::pin::pin!(connection);
    loop {
        tokio::select! {
            // What went wrong was told to those who had a request on it.
            _ = &mut connection => return,
            () = sleep_until(meter.unused_since() + UNUSED_MAX) => {
                if meter.unused_since().elapsed() >= UNUSED_MAX {
                    return;
                }
            }
        }
    }
}

/// Connections that may be used again.
#[derive(Debug)]
pub(super) struct Pool {
    /// The least recently used ones first.
    kept: Mutex<VecDeque<(Target, Connection)>>,
    kept_max: usize,
}

impl Pool {
    /// Keeps so many connections at most.
    pub(super) fn new(kept_max: usize) -> Self {
        Self { kept: Mutex::default(), kept_max }
    }

    /// A connection to a target that was still open a moment ago.
    pub(super) fn take(&self, target: &Target) -> Option<Connection> {
        let mut kept = self.kept();
        while let Some(index) = kept.iter().rposition(|(known, _)| known == target) {
            let (_, connection) = &kept[index];
            if connection.is_closed() {
                kept.remove(index);
                continue;
            }
            return match connection.share() {
                Some(share) => Some(share),
                None => kept.remove(index).map(|(_, connection)| connection),
            };
        }
        None
    }

    /// Lets others have a share in a new connection, if there can be several.
    pub(super) fn offer(&self, target: &Target, connection: &Connection) {
        if let Some(share) = connection.share() {
            self.push(target, share);
        }
    }

    /// Keeps a connection whose last response was read to its end.
    pub(super) fn put_back(&self, target: &Target, connection: Connection) {
        if connection.share().is_none() {
            self.push(target, Connection { exchange: None, ..connection });
        }
    }

    fn push(&self, target: &Target, connection: Connection) {
        let mut kept = self.kept();
        if kept.len() >= self.kept_max {
            kept.pop_front();
        }
        kept.push_back((target.clone(), connection));
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(Target, Connection)>> {
        self.kept.lock().expect("nothing panics while it holds this lock")
    }
}
