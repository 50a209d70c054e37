//! One HTTP request to a subscriber, and what became of it.
//!
//! In reading order: the seam below, [`http`] (the real network), [`answer`] (what a response or a failure means),
//! `connection` (requests over connections, old and new), `meter` (how much is read), `connect` (how a connection comes
//! about), `tls` (whom we trust).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::delivery::Outcome;
use crate::model::endpoint::{EndpointUrl, OwnHeaders};

pub mod answer;
mod connect;
mod connection;
pub mod http;
mod meter;
mod tls;

pub use http::HttpTransport;

/// A signed request, ready to go.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where it goes.
    pub url: EndpointUrl,
    /// What the body is.
    pub content_type: &'static str,
    /// Our headers beside `content-type` and `user-agent`, by their names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The subscriber's own; ours go before them.
    pub own_headers: OwnHeaders,
    /// The event's bytes, in the form that was asked for.
    pub body: bytes::Bytes,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// What it meant.
    pub outcome: Outcome,
    /// The response's status, if one came.
    pub status_code: Option<u16>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// The first KiB of a failure's body.
    pub body: Option<String>,
    /// The address that was connected to.
    pub address: Option<String>,
    /// What a 429 or 503 asks for, as it came: seconds or a date, not yet judged.
    pub retry_after: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// The seam to the network.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends a request. Always comes back within the deadline, and never with an error of its own: whatever
    /// happens is an outcome.
    async fn send(&self, request: Request) -> Response;
}

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
        "TLS cannot be spoken: {0} (if there are no trusted roots here, install the package ca-certificates or set network.ca_file)"
    )]
    Tls(String),
}
