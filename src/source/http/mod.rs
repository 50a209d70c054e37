//! HTTP as every source uses it: one client with limits on everything, one token bucket, one taxonomy of errors.
//!
//! Invariants: no request leaves without a token of the source's bucket; no wait and no answer is without a limit;
//! redirects are never followed and proxies of the environment never used; no text that leaves here holds the API
//! key or the query of a URL. This is the room's only home of `reqwest`.
//!
//! In reading order: `limits`, `turns` (whose call is next, pure), `bucket` (the waiting itself), `retry` (how
//! long to wait, pure), `foreign` (texts that others wrote), `failure` (what an answer other than 200 means,
//! pure), `outstanding` (calls without an answer so far), `client` (one call).

mod bucket;
mod client;
mod failure;
mod foreign;
mod limits;
mod outstanding;
mod retry;
mod turns;

use std::path::PathBuf;

pub use bucket::Bucket;
pub(super) use client::{Answer, Change, Client, VendorHeader};
pub(super) use failure::NO_TYPE;
pub use limits::{BODY_BYTES_MAX, CONNECT_MAX, Limits, READ_MAX, TOTAL_MAX};
pub use turns::{Place, Turn, Turns};

/// Why a source cannot be set up. What is wrong is in the configuration, and waiting mends nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// A setting that cannot be used.
    #[error("{field}: {reason}")]
    Setting {
        /// The setting's name in the configuration.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The file with further trusted roots cannot be used.
    #[error("ca_file {}: {reason}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The machine cannot do TLS, most likely because it has no trusted roots.
    #[error("cannot set up TLS: {0}; install the system's CA certificates, or name a ca_file")]
    Tls(String),
}
