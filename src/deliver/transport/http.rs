//! The real network.
//!
//! *Status decides.* A receiver that has sent a 2xx status has taken the event over, whatever becomes of the body
//! behind it: to send it again because the body was long, slow or cut would punish a receiver that said yes. So the
//! body of a success is read for one reason only, that the connection can be used again, and not for long. The
//! body of a failure is read for its first KiB, which an operator wants to see. Neither holds a slot for longer
//! than half a second after the headers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, fs};

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Proxy, redirect, retry};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::answer::{outcome_of_error, outcome_of_response, retry_after, words_for_error, words_for_response};
use super::{Request, Response, Transport};
use crate::deliver::Settings;
use crate::deliver::guard::{Guard, Scheme};
use crate::model::delivery::Outcome;

/// How much of a body is read at most.
pub const BODY_BYTES_MAX: u64 = 64 * 1024;

/// How much of a failure's body is kept.
pub const BODY_BYTES_KEPT: usize = 1024;

/// How long a body may take once the headers are there, within the deadline. A few round trips around the world.
const BODY_WAIT_MAX: Duration = Duration::from_millis(500);

/// How long an unused connection is kept: less than the 5 s after which the most impatient of the common servers
/// close theirs, or a request would now and then meet a connection that is just being closed.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// Unused connections kept per host: the width of a burst that needs no new ones.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// The headers of a response over HTTP/2. Over HTTP/1 the library stops at 100 headers or about 400 KiB, and that
/// has no setting here.
const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// A connection over HTTP/2 that is in use is asked for a sign of life so often. Without it a dead one would keep
/// taking requests, because a connection in use is never idle.
const PING_EVERY: Duration = Duration::from_secs(5);

/// Why there is no transport. Variants say what an operator has to look at.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The file is not there, or holds no certificates.
    #[error("network.ca_file {path}: {reason}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The proxy cannot be used.
    #[error("network.proxy cannot be used: {0}")]
    Proxy(String),
    /// Most often there are no trusted roots on this machine.
    #[error(
        "no HTTP client can be made: {0} (if there are no trusted roots here, install the package ca-certificates or set network.ca_file)"
    )]
    Client(String),
}

/// Sends deliveries over HTTP/1.1 and HTTP/2, to addresses that the guard has checked.
///
/// Redirects, cookies, compression and proxies from the environment are off; nothing is sent twice.
pub struct HttpTransport {
    /// For each scheme one client, because what a name may resolve to depends on it.
    http: Client,
    https: Client,
    guard: Arc<Guard>,
    timeout: Duration,
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The clients would print the proxy's password.
        f.debug_struct("HttpTransport").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl HttpTransport {
    /// A transport with the deadline, roots and proxy of the settings.
    ///
    /// # Errors
    /// If the configured roots or the proxy cannot be used, or there is no trusted root at all.
    pub fn new(settings: &Settings, guard: Arc<Guard>) -> Result<Self, TransportError> {
        let roots = extra_roots(settings)?;
        Ok(Self {
            http: client(settings, &roots, Checked { guard: Arc::clone(&guard), scheme: Scheme::Http })?,
            https: client(settings, &roots, Checked { guard: Arc::clone(&guard), scheme: Scheme::Https })?,
            guard,
            timeout: settings.timeout,
        })
    }

    async fn attempt(&self, request: Request, deadline: Instant) -> Response {
        let (client, request) = match self.prepare(request) {
            Ok(prepared) => prepared,
            Err((outcome, error)) => return no_response(outcome, error),
        };
        let response = match timeout_at(deadline, client.execute(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return no_response(outcome_of_error(&error), words_for_error(&error)),
            Err(_) => {
                let error = format!("no response within {} ms", self.timeout.as_millis());
                return no_response(Outcome::TimedOut, error);
            }
        };
        let (status, headers) = (response.status(), response.headers());
        let outcome = outcome_of_response(status, headers);
        let delivered = outcome == Outcome::Delivered;
        Response {
            outcome,
            status_code: Some(status.as_u16()),
            error: (!delivered).then(|| words_for_response(status, outcome)),
            address: response.remote_addr().map(|address| address.to_string()),
            retry_after: retry_after(outcome, headers),
            body: read_body(response, if delivered { 0 } else { BODY_BYTES_KEPT }, deadline).await,
            took: Duration::ZERO,
        }
    }

    /// The request as the client wants it, if the URL may be called.
    fn prepare(&self, request: Request) -> Result<(&Client, reqwest::Request), (Outcome, String)> {
        let malformed = |what: &str| (Outcome::Broken, format!("the request could not be made: {what} is malformed"));
        let url = Url::parse(request.url.expose()).map_err(|_| malformed("the URL"))?;
        let scheme = self.guard.check(&url).map_err(|refusal| (Outcome::AddressRefused, refusal.to_string()))?;
        let client = match scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        let mut headers = HeaderMap::with_capacity(request.headers.len() + 1);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &request.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed(name))?;
            let value = value.parse().map_err(|_| malformed(name.as_str()))?;
            headers.insert(name, value);
        }
        let request = client.post(url).headers(headers).body(request.body).build();
        request.map(|request| (client, request)).map_err(|_| malformed("the URL"))
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

fn no_response(outcome: Outcome, error: String) -> Response {
    Response {
        outcome,
        status_code: None,
        error: Some(error),
        body: None,
        address: None,
        retry_after: None,
        took: Duration::ZERO,
    }
}

/// Reads a body as far as it is worth it: for its first `kept` bytes, and to its end where that is near, because a
/// connection whose response was not read to the end is closed. Gives what was kept, as text.
async fn read_body(mut response: reqwest::Response, kept: usize, deadline: Instant) -> Option<String> {
    let until = deadline.min(Instant::now() + BODY_WAIT_MAX);
    let end_is_near = response.content_length().is_none_or(|length| length <= BODY_BYTES_MAX);
    let mut text = Vec::new();
    let mut read: u64 = 0;
    while text.len() < kept || (end_is_near && read < BODY_BYTES_MAX) {
        let Ok(Ok(Some(chunk))) = timeout_at(until, response.chunk()).await else { break };
        read += chunk.len() as u64;
        text.extend_from_slice(&chunk[..chunk.len().min(kept - text.len())]);
    }
    (!text.is_empty()).then(|| String::from_utf8_lossy(&text).into_owned())
}

fn extra_roots(settings: &Settings) -> Result<Vec<Certificate>, TransportError> {
    let Some(path) = &settings.ca_file else { return Ok(Vec::new()) };
    let problem = |reason: String| TransportError::CaFile { path: path.clone(), reason };
    let bytes = fs::read(path).map_err(|error| problem(error.to_string()))?;
    let roots = Certificate::from_pem_bundle(&bytes).map_err(|_| problem("not in PEM form".into()))?;
    if roots.is_empty() { Err(problem("there is no certificate in it".into())) } else { Ok(roots) }
}

fn client(settings: &Settings, roots: &[Certificate], names: Checked) -> Result<Client, TransportError> {
    let builder = Client::builder()
        .user_agent(concat!("certhook/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .no_gzip()
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(retry::never())
        .dns_resolver(names)
        // Leaves time for another address of the same name, and tells no connection from no answer.
        .connect_timeout(settings.timeout * 2 / 3)
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_EVERY)
        .tls_certs_merge(roots.iter().cloned());
    let builder = match &settings.proxy {
        Some(proxy) => builder.proxy(usable(proxy)?),
        None => builder,
    };
    builder.build().map_err(|error| TransportError::Client(words_for_error(&error)))
}

/// The proxy for everything. Of another scheme the library would make what it can, and find out at the first send.
fn usable(proxy: &Url) -> Result<Proxy, TransportError> {
    match proxy.scheme() {
        "http" | "https" => Proxy::all(proxy.clone()).map_err(|error| TransportError::Proxy(words_for_error(&error))),
        other => Err(TransportError::Proxy(format!("its scheme must be http or https, not {other}"))),
    }
}

/// Resolves names to addresses that the guard has checked, for connections of one scheme.
struct Checked {
    guard: Arc<Guard>,
    scheme: Scheme,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, scheme) = (Arc::clone(&self.guard), self.scheme);
        Box::pin(async move {
            let addresses = guard.resolve(name.as_str(), scheme).await?;
            let addresses: Vec<_> = addresses.iter().map(|address| SocketAddr::new(*address, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
