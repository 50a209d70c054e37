//! One call: a token, a request, and an answer within its limits.

use std::error::Error as _;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::super::{Exchange, Settings, SourceError, Urgency};
use super::bucket::Bucket;
use super::failure::{self, Said};
use super::outstanding::Outstanding;
use super::turns::Turns;
use super::{Limits, SetupError, foreign};
use crate::clock::Clock;
use crate::model::http_date::http_date;
use crate::model::json::Fields;
use crate::model::time::Timestamp;
use crate::telemetry::meters::{CallResult, Calls};

/// How we name ourselves.
const USER_AGENT: &str = concat!("certhook/", env!("CARGO_PKG_VERSION"));

/// How long an idle connection is kept: less than the 5 s after which the most impatient of common servers (Node)
/// hangs up, so that no call goes out on a connection that is being closed.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// Idle connections kept: as many as there are kinds of passes.
const IDLE_CONNECTIONS_MAX: usize = 4;

/// How much of an error's body is read, in bytes. The vendor's have a few hundred; an error page of a proxy is cut.
const ERROR_BODY_BYTES_MAX: usize = 64 * 1024;

/// A header that a vendor asks for on every call.
pub(in crate::source) struct VendorHeader<'a> {
    /// In lower case.
    pub(in crate::source) name: &'static str,
    /// Its value.
    pub(in crate::source) value: &'a str,
    /// The setting that the value comes from.
    pub(in crate::source) setting: &'static str,
}

/// An answer that came whole, with what its status says.
pub(in crate::source) struct Answer {
    /// When it was asked for and there.
    pub(in crate::source) exchange: Exchange,
    /// The body, if what was asked for was done; what any other status means.
    pub(in crate::source) body: Result<Vec<u8>, SourceError>,
}

/// A call that changes something.
#[derive(Clone, Copy, Debug)]
pub(in crate::source) enum Change<'a> {
    /// With a body.
    Post(&'a Fields),
    /// Without one.
    Delete,
}

/// The way to one source: its client, its bucket, its key.
pub(in crate::source) struct Client {
    http: reqwest::Client,
    base_url: Url,
    api_key: SecretString,
    bucket: Bucket,
    clock: Arc<dyn Clock>,
    limits: Limits,
    calls: Calls,
    outstanding: Outstanding,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base_url", &self.base_url.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for a source, whose calls carry `headers` beside the key and our name.
    ///
    /// # Errors
    /// What is wrong in the settings.
    pub(in crate::source) fn new(
        settings: &Settings,
        headers: &[VendorHeader<'_>],
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SetupError> {
        let turns = Turns::new(settings.requests_per_second).ok_or_else(|| SetupError::Setting {
            field: "requests_per_second",
            reason: "must be above 0, and at least one call an hour (0.0003)".into(),
        })?;
        Ok(Self {
            http: build(settings, all_headers(settings, headers)?, limits)?,
            base_url: checked(&settings.base_url)?,
            api_key: settings.api_key.clone(),
            bucket: Bucket::new(turns),
            clock,
            limits,
            calls: Calls::default(),
            outstanding: Outstanding::default(),
        })
    }

    /// What its calls have measured.
    pub(in crate::source) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Since when the call that was sent first of those without an answer is out; `None`: all are answered.
    pub(in crate::source) fn unanswered_since(&self) -> Option<tokio::time::Instant> {
        self.outstanding.since()
    }

    /// How many calls could be sent at once.
    pub(in crate::source) fn tokens(&self) -> f64 {
        self.bucket.left()
    }

    /// Asks for a resource below the base URL: `path` segment by segment, each of them encoded.
    ///
    /// Waits for a token for as long as that takes; drop the future to give up. While a wait that a 429 asked for is
    /// not over, nothing is sent and the rest of that wait is the answer, at once.
    ///
    /// # Errors
    /// If no answer came, or nothing was sent.
    pub(in crate::source) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        urgency: Urgency,
    ) -> Result<Answer, SourceError> {
        let request = self.http.get(self.url(path, query));
        self.call(request, urgency, |status| status == 200, failure::judge).await
    }

    /// Asks for a change below the base URL, before everything else. Waits and paces itself like [`Self::get`].
    ///
    /// # Errors
    /// If no answer came, or nothing was sent.
    pub(in crate::source) async fn change(&self, change: Change<'_>, path: &[&str]) -> Result<Answer, SourceError> {
        let url = self.url(path, &[]);
        let request = match change {
            Change::Post(body) => {
                let body = serde_json::to_vec(body).expect("JSON can be written to memory");
                self.http.post(url).header(CONTENT_TYPE, "application/json").body(body)
            }
            Change::Delete => self.http.delete(url),
        };
        self.call(request, Urgency::Api, |status| matches!(status, 200 | 201), failure::judge_change).await
    }

    async fn call(
        &self,
        request: reqwest::RequestBuilder,
        urgency: Urgency,
        is_done: fn(u16) -> bool,
        judge: fn(&Said<'_>, Timestamp, &str) -> SourceError,
    ) -> Result<Answer, SourceError> {
        self.bucket.token(urgency).await.map_err(|retry_after| SourceError::Throttled { retry_after })?;
        let began = tokio::time::Instant::now();
        let _out = self.outstanding.begin();
        let answer = self.send(request, is_done, judge).await;
        let result = match &answer {
            Ok(answer) => answer.body.as_ref().map_or_else(result_of, |_| CallResult::Ok),
            Err(error) => result_of(error),
        };
        self.calls.ended(result, began.elapsed());
        answer
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        is_done: fn(u16) -> bool,
        judge: fn(&Said<'_>, Timestamp, &str) -> SourceError,
    ) -> Result<Answer, SourceError> {
        let asked_at = self.clock.now();
        let response = request.send().await.map_err(|error| self.broken(error))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let upstream_at = text_of(&headers, DATE).and_then(http_date);
        let body = if is_done(status) {
            Ok(self.whole_body(response).await?)
        } else {
            Err(first_bytes(response, ERROR_BODY_BYTES_MAX).await)
        };
        let answered_at = self.clock.now();
        let body = body.map_err(|body| {
            let said = Said {
                status,
                body: &body,
                retry_after: text_of(&headers, RETRY_AFTER),
                location: text_of(&headers, LOCATION),
                date: upstream_at,
            };
            judge(&said, answered_at, self.api_key.expose_secret())
        });
        if let Err(SourceError::Throttled { retry_after }) = &body {
            self.bucket.pause(*retry_after);
        }
        Ok(Answer { exchange: Exchange { asked_at, answered_at, upstream_at }, body })
    }

    /// What a 200 means whose body is no answer to what was asked.
    pub(in crate::source) fn useless(&self, body: &[u8], reason: &str) -> SourceError {
        failure::judge_useless(body, reason, self.api_key.expose_secret())
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base_url.clone();
        url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Reads a body to its end, counting what it is after decompression.
    async fn whole_body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, SourceError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(error))? {
            if body.len() + chunk.len() > self.limits.body_bytes {
                let max = self.limits.body_bytes;
                return Err(SourceError::Unavailable(format!("the answer is larger than {max} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// What a call means that gave no answer.
    fn broken(&self, error: reqwest::Error) -> SourceError {
        let what = match (error.is_connect(), error.is_timeout()) {
            (true, true) => format!("no connection within {:?}", self.limits.connect.min(self.limits.total)),
            (true, false) => "no connection".into(),
            (false, true) => {
                format!("no whole answer within {:?}, or silence for {:?}", self.limits.total, self.limits.read)
            }
            (false, false) => "the answer broke off".into(),
        };
        let why = foreign::text(&chain(error), self.api_key.expose_secret());
        SourceError::Unavailable(format!("{what}: {why}"))
    }
}

/// Under which result a call that failed is counted.
fn result_of(error: &SourceError) -> CallResult {
    match error {
        SourceError::Unauthorized { .. } => CallResult::Unauthorized,
        SourceError::Throttled { .. } => CallResult::Throttled,
        SourceError::Unavailable(_) => CallResult::Unavailable,
        SourceError::Refused { .. } => CallResult::Refused,
    }
}

/// Why an error happened, in the words of all its causes, without the URL.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Several layers only repeat what the layer below says.
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        cause = error.source();
    }
    texts.join(": ")
}

/// The beginning of a body, as far as it came.
async fn first_bytes(mut response: reqwest::Response, bytes_max: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= bytes_max {
            body.truncate(bytes_max);
            break;
        }
    }
    body
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The one place that builds a client.
fn build(settings: &Settings, headers: HeaderMap, limits: Limits) -> Result<reqwest::Client, SetupError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(headers)
        .gzip(true)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(limits.connect)
        .read_timeout(limits.read)
        .timeout(limits.total)
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX);
    if let Some(proxy) = &settings.proxy {
        let proxy = reqwest::Proxy::all(proxy.clone())
            .map_err(|error| SetupError::Setting { field: "proxy", reason: chain(error) })?;
        builder = builder.proxy(proxy);
    }
    let plain = settings.base_url.scheme() == "http" && settings.proxy.is_none();
    builder = match &settings.ca_file {
        Some(path) => builder.tls_certs_merge(roots(path)?),
        // No redirect is followed, so this client never does TLS, and need not fail where there are no roots.
        None if plain => builder.tls_certs_only([]),
        None => builder,
    };
    builder.build().map_err(|error| match &settings.ca_file {
        Some(path) => SetupError::CaFile { path: path.clone(), reason: chain(error) },
        None => SetupError::Tls(chain(error)),
    })
}

/// The trusted roots in a PEM file, of which there must be some.
fn roots(path: &Path) -> Result<Vec<reqwest::Certificate>, SetupError> {
    let unusable = |reason: String| SetupError::CaFile { path: path.into(), reason };
    let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(chain(error)))?;
    if roots.is_empty() {
        return Err(unusable("holds no certificate; PEM with BEGIN CERTIFICATE lines is expected".into()));
    }
    Ok(roots)
}

/// The headers of every call.
fn all_headers(settings: &Settings, headers: &[VendorHeader<'_>]) -> Result<HeaderMap, SetupError> {
    let value = |field: &'static str, text: &str| {
        let reason = "must be visible ASCII without line breaks";
        HeaderValue::from_str(text).map_err(|_| SetupError::Setting { field, reason: reason.into() })
    };
    let mut all = HeaderMap::new();
    all.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let mut bearer = value("api_key", &format!("Bearer {}", settings.api_key.expose_secret()))?;
    bearer.set_sensitive(true);
    all.insert(AUTHORIZATION, bearer);
    for header in headers {
        all.insert(HeaderName::from_static(header.name), value(header.setting, header.value)?);
    }
    Ok(all)
}

/// A base URL that calls can be made from.
fn checked(base_url: &Url) -> Result<Url, SetupError> {
    let usable = matches!(base_url.scheme(), "http" | "https")
        && base_url.has_host()
        && base_url.username().is_empty()
        && base_url.password().is_none()
        && base_url.query().is_none()
        && base_url.fragment().is_none();
    if usable {
        Ok(base_url.clone())
    } else {
        let reason = "must be http or https with a host, without user, password, query or fragment";
        Err(SetupError::Setting { field: "base_url", reason: reason.into() })
    }
}
