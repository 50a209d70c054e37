//! The real network.
//!
//! *Status decides.* A receiver that has sent a 2xx status has taken the event over, whatever becomes of the body
//! behind it: to send it again because the body was long, slow or cut would punish a receiver that said yes. So the
//! body of a success is read for one reason only, that the connection can be used again, and not for long. The
//! body of a failure is read for its first KiB, which an operator wants to see. Neither holds a slot for longer
//! than half a second after the headers.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt;
use hyper::Uri;
use hyper::body::{Body, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use url::Host;

use super::answer::{
    Failure, Phase, beginning, outcome_of_failure, outcome_of_response, retry_after, words_for_failure,
    words_for_response,
};
use super::connect::{Connector, Target, within};
use super::connection::{Asked, Connection, Pool};
use super::meter::RESPONSE_BYTES_MAX;
use super::{Request, Response, Transport, TransportError};
use crate::deliver::Settings;
use crate::deliver::guard::{Guard, NoAddress};
use crate::model::delivery::Outcome;

/// How much of a failure's body is kept.
pub const BODY_BYTES_KEPT: usize = 1024;

/// How much of an error is kept: some hold what a receiver has said, or all the names in its certificate.
const ERROR_BYTES_KEPT: usize = 512;

/// How long a body may take once the headers are there, within the deadline. A few round trips around the world.
const BODY_WAIT_MAX: Duration = Duration::from_millis(500);

const AGENT: &str = concat!("certhook/", env!("CARGO_PKG_VERSION"));

/// Sends deliveries over HTTP/1.1 and HTTP/2, to addresses that the guard has checked.
///
/// There are no redirects, no cookies, no compression, and no proxies from the environment. Nothing is sent twice,
/// with one exception: a receiver may close a connection at the moment in which it is used again, and a request that
/// it says nothing to is then sent over a new one. The receiver knows it by its id, if it has seen it after all.
pub struct HttpTransport {
    connector: Connector,
    pool: Pool,
    /// What moves the bytes of connections. Each ends with its connection, so that nobody has to wait for them.
    tasks: TaskTracker,
    guard: Arc<Guard>,
    timeout: Duration,
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The connector knows the proxy's password.
        f.debug_struct("HttpTransport").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl HttpTransport {
    /// A transport with the deadline, roots and proxy of the settings.
    ///
    /// # Errors
    /// If the configured roots or the proxy cannot be used, or there is no trusted root at all.
    pub fn new(settings: &Settings, guard: Arc<Guard>) -> Result<Self, TransportError> {
        Ok(Self {
            connector: Connector::new(settings, Arc::clone(&guard))?,
            pool: Pool::new(settings.max_in_flight),
            tasks: TaskTracker::new(),
            guard,
            timeout: settings.timeout,
        })
    }

    async fn attempt(&self, request: Request, deadline: Instant) -> Response {
        let mut address = None;
        let response = match self.prepare(request) {
            Ok(asked) => self.exchange(&asked, deadline, &mut address).await.map(|answered| (asked, answered)),
            Err(failure) => Err(failure),
        };
        let address = address.map(|address| address.to_string());
        let (asked, (response, connection)) = match response {
            Ok(answered) => answered,
            Err(failure) => return no_response(&failure, address, self.timeout),
        };
        let (head, body) = response.into_parts();
        let outcome = outcome_of_response(head.status, &head.headers);
        let delivered = outcome == Outcome::Delivered;
        let (kept, is_whole) = read_body(body, if delivered { 0 } else { BODY_BYTES_KEPT }, deadline).await;
        if is_whole {
            self.pool.put_back(&asked.target, connection);
        }
        Response {
            outcome,
            status_code: Some(head.status.as_u16()),
            error: (!delivered).then(|| words_for_response(head.status, outcome)),
            body: kept,
            address,
            retry_after: retry_after(outcome, &head.headers),
            took: Duration::ZERO,
        }
    }

    /// Gets a response over a connection that is there, or a new one. `address` is that of the last connection.
    async fn exchange(
        &self,
        asked: &Asked,
        deadline: Instant,
        address: &mut Option<SocketAddr>,
    ) -> Result<(hyper::Response<Incoming>, Connection), Failure> {
        let forwarding = self.connector.forwarding(&asked.target);
        if let Some(mut connection) = self.pool.take(&asked.target) {
            *address = Some(connection.address);
            match connection.ask(asked, forwarding.as_ref(), deadline).await {
                Err(failure) if connection.was_unheard(&failure) => *address = None,
                answered => return Ok((answered?, connection)),
            }
        }
        let opened = self.connector.open(&asked.target, deadline, address).await?;
        let mut connection = within(deadline, Phase::Request, Connection::new(opened, &self.tasks)).await?;
        self.pool.offer(&asked.target, &connection);
        let response = connection.ask(asked, forwarding.as_ref(), deadline).await?;
        Ok((response, connection))
    }

    /// The request as it is sent, if the URL may be called.
    fn prepare(&self, request: Request) -> Result<Asked, Failure> {
        let malformed = |what: &str| Failure::Malformed(what.into());
        let url = request.url.expose_parts();
        let scheme = self.guard.check(url).map_err(NoAddress::from)?;
        let host = url.host().map(|host| Host::to_owned(&host)).ok_or_else(|| malformed("the URL"))?;
        let port = url.port_or_known_default().ok_or_else(|| malformed("the URL"))?;
        let uri = Uri::try_from(url.as_str()).map_err(|_| malformed("the URL"))?;
        let named = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        // First, so that none of ours can be replaced.
        let mut headers = HeaderMap::with_capacity(request.headers.len() + 4);
        for (name, value) in request.own_headers.expose() {
            let mut value = HeaderValue::from_str(value).map_err(|_| malformed(name))?;
            // Kept out of what HTTP/2 remembers of a connection's headers, and out of the library's logs.
            value.set_sensitive(true);
            headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed(name))?, value);
        }
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(request.content_type));
        for (name, value) in request.headers {
            let value = HeaderValue::try_from(value).map_err(|_| malformed(name))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let host_header = HeaderValue::try_from(named).map_err(|_| malformed("the URL"))?;
        Ok(Asked { target: Target { scheme, host, port }, uri, host: host_header, headers, body: request.body })
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: Request) -> Response {
        let started = Instant::now();
        let response = self.attempt(request, started + self.timeout).await;
        Response { took: started.elapsed(), ..response }
    }
}

fn no_response(failure: &Failure, address: Option<String>, timeout: Duration) -> Response {
    Response {
        outcome: outcome_of_failure(failure),
        status_code: None,
        error: Some(beginning(words_for_failure(failure, timeout), ERROR_BYTES_KEPT)),
        body: None,
        address,
        retry_after: None,
        took: Duration::ZERO,
    }
}

/// Reads a body as far as it is worth it: for its first `kept` bytes, and to its end where that is near, because a
/// connection whose response was not read to the end is closed. Gives what was kept, as text, and whether the end
/// was seen.
async fn read_body(mut body: Incoming, kept: usize, deadline: Instant) -> (Option<String>, bool) {
    let until = deadline.min(Instant::now() + BODY_WAIT_MAX);
    let end_is_near = body.size_hint().exact().is_none_or(|length| length <= RESPONSE_BYTES_MAX);
    let mut bytes = Vec::new();
    let mut is_whole = body.is_end_stream();
    while !is_whole && (bytes.len() < kept || end_is_near) {
        // The meter of the connection ends a body that is too long.
        match timeout_at(until, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                let chunk = frame.data_ref().map_or(&[][..], |chunk| chunk);
                bytes.extend_from_slice(&chunk[..chunk.len().min(kept - bytes.len())]);
            }
            Ok(None) => is_whole = true,
            Ok(Some(Err(_))) | Err(_) => break,
        }
    }
    (text_of(&bytes, kept), is_whole)
}

/// Bytes as a text that is not longer than it should be, although what is no text becomes longer in it.
fn text_of(bytes: &[u8], kept: usize) -> Option<String> {
    (!bytes.is_empty()).then(|| beginning(String::from_utf8_lossy(bytes).into_owned(), kept))
}
