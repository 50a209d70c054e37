//! HTTP APIs of running processes of ours, seen from outside.
//!
//! Invariants: the key goes to the process that was named and nowhere else, since no redirect is followed and no proxy
//! of the environment is asked; every call has a deadline, and a stream must show a sign of life; what a process says of
//! an error reaches the caller whole.
//!
//! This room knows paths and JSON, nothing of what they mean.
//!
//! In reading order: [`Client`] (one call), [`ClientError`], [`pages`] (lists), [`stream`] (events as they come),
//! `download` (an answer of any length), [`forward`] (events sent on to somebody else).

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

mod download;
mod error;
pub mod forward;
pub mod pages;
pub mod stream;

pub use error::{ClientError, Refusal};

/// Our processes answer at once; one that does not is in trouble. Counting what waits at an endpoint may take a while.
const DEADLINE: Duration = Duration::from_secs(30);

/// For calls that wait for somebody else: longer than the longest deadline of a delivery.
const PATIENT_DEADLINE: Duration = Duration::from_secs(150);

/// The parameters of a query, in their order.
pub type Query = Vec<(&'static str, String)>;

/// A caller of one process.
#[derive(Debug)]
pub struct Client {
    base: Url,
    key: Option<SecretString>,
    http: reqwest::Client,
}

impl Client {
    /// A caller of the process at `base`, which may have a path. Without a key, none is sent.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(base: Url, key: Option<SecretString>) -> Result<Self, ClientError> {
        Ok(Self { base, key, http: http()? })
    }

    /// The process that is called.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// The key that is sent.
    pub fn key(&self) -> Option<&SecretString> {
        self.key.as_ref()
    }

    /// The JSON at a path, whose segments may be any text.
    ///
    /// # Errors
    /// If nothing answers, or the answer is an error.
    pub async fn get(&self, path: &[&str], query: &[(&'static str, String)]) -> Result<Value, ClientError> {
        self.call(self.request(Method::GET, path, query)).await
    }

    /// The text at a path that has no JSON.
    ///
    /// # Errors
    /// Those of [`Self::get`].
    pub async fn text(&self, path: &[&str]) -> Result<String, ClientError> {
        let response = self.send(self.request(Method::GET, path, &[]).timeout(DEADLINE)).await?;
        let (status, text) = self.read(response).await?;
        if status.is_success() { Ok(text) } else { Err(self.refused(status.as_u16(), &text)) }
    }

    /// Posts JSON, and gives the JSON that comes back.
    ///
    /// # Errors
    /// Those of [`Self::get`].
    pub async fn post(&self, path: &[&str], body: &Value) -> Result<Value, ClientError> {
        self.call(with_body(self.request(Method::POST, path, &[]), body)).await
    }

    /// The same, where the process asks somebody else before it answers.
    ///
    /// # Errors
    /// Those of [`Self::get`].
    pub async fn post_and_wait(&self, path: &[&str], body: &Value) -> Result<Value, ClientError> {
        self.call_within(with_body(self.request(Method::POST, path, &[]), body), PATIENT_DEADLINE).await
    }

    /// Makes what is at a path so.
    ///
    /// # Errors
    /// Those of [`Self::get`].
    pub async fn put(&self, path: &[&str], body: &Value) -> Result<Value, ClientError> {
        self.call(with_body(self.request(Method::PUT, path, &[]), body)).await
    }

    /// Changes what is at a path.
    ///
    /// # Errors
    /// Those of [`Self::get`].
    pub async fn patch(&self, path: &[&str], body: &Value) -> Result<Value, ClientError> {
        self.call(with_body(self.request(Method::PATCH, path, &[]), body)).await
    }

    /// Deletes what is at a path.
    ///
    /// # Errors
    /// Those of [`Self::get`].
    pub async fn delete(&self, path: &[&str]) -> Result<Value, ClientError> {
        self.call(self.request(Method::DELETE, path, &[])).await
    }

    async fn call(&self, request: RequestBuilder) -> Result<Value, ClientError> {
        self.call_within(request, DEADLINE).await
    }

    async fn call_within(&self, request: RequestBuilder, deadline: Duration) -> Result<Value, ClientError> {
        let response = self.send(request.timeout(deadline)).await?;
        let (status, text) = self.read(response).await?;
        if !status.is_success() {
            return Err(self.refused(status.as_u16(), &text));
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|_| self.foreign(status.as_u16()))
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&'static str, String)]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        request.send().await.map_err(|error| ClientError::unanswered(&self.base, &error))
    }

    async fn read(&self, response: Response) -> Result<(reqwest::StatusCode, String), ClientError> {
        let status = response.status();
        let text = response.text().await.map_err(|error| ClientError::unanswered(&self.base, &error))?;
        Ok((status, text))
    }

    fn refused(&self, status: u16, text: &str) -> ClientError {
        match serde_json::from_str(text) {
            Ok(body @ Value::Object(_)) => ClientError::Refused(Box::new(Refusal::new(status, body))),
            Ok(_) | Err(_) => self.foreign(status),
        }
    }

    fn foreign(&self, status: u16) -> ClientError {
        ClientError::Foreign { base: self.base.clone(), status }
    }
}

fn with_body(request: RequestBuilder, body: &Value) -> RequestBuilder {
    request.header(CONTENT_TYPE, "application/json").body(body.to_string())
}

fn http() -> Result<reqwest::Client, ClientError> {
    let agent = concat!("certhook/", env!("CARGO_PKG_VERSION"));
    let builder = reqwest::Client::builder().user_agent(agent).no_proxy().redirect(Policy::none());
    builder.build().map_err(|error| ClientError::Setup(error.to_string()))
}
