//! Upstream, read: listings page by page, resources by id, and every way in which that can go wrong.
//!
//! Invariants: only documented query parameters are sent; no answer is larger or slower than its limit; every call
//! takes a token from the source's one bucket; `download_url` does not get past this room but in the answer to who asks for the document; a listing is *complete*
//! only if [`listing::Listing`] says so, and nothing else can say it.
//!
//! This room knows nothing of snapshots, events or subscribers.
//!
//! In reading order: [`listing`] (completeness), [`command`] (what somebody waits for), [`http`] (bucket, limits, errors),
//! [`numeral`] (the dialect).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::value::RawValue;
use tokio::time::Instant;
use url::Url;

use crate::model::resource::{Kind, ResourceId, Seen, SourceName};
use crate::model::time::Timestamp;

pub mod command;
pub mod http;
pub mod listing;
pub mod numeral;

/// What configuration says about reaching a source.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The source's identity.
    pub name: SourceName,
    /// Scheme and host, without a path.
    pub base_url: Url,
    /// The bearer token.
    pub api_key: SecretString,
    /// The dated version that every call names.
    pub api_version: String,
    /// Calls per second, all kinds together; above 0.
    pub requests_per_second: f64,
    /// Items per page, 1 to 100.
    pub page_size: u8,
    /// PEM file with further trusted roots.
    pub ca_file: Option<std::path::PathBuf>,
    /// The proxy for every call, if any.
    pub proxy: Option<Url>,
}

impl Settings {
    /// Whether what the source holds is real: the vendor is called over https alone, so that whatever answers over plain
    /// http takes its place.
    pub fn is_live(&self) -> bool {
        self.base_url.scheme() == "https"
    }
}

/// How urgent a call is. The bucket's next token goes to the most urgent caller, among equals to the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Somebody waits for our API to answer.
    Api,
    /// A date has passed.
    Deadline,
    /// The `changes` pass.
    Changes,
    /// The `open` pass, which gets at most half of the bucket.
    Open,
    /// A sweep.
    Sweep,
}

/// What a listing is asked for. All instants are inclusive or exclusive as upstream pleases: ask for more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Everything that upstream lists.
    Everything,
    /// What was updated after an instant.
    UpdatedAfter(Timestamp),
    /// What has this status.
    Status(&'static str),
    /// What was created between two instants.
    CreatedBetween(Timestamp, Timestamp),
}

/// Where the next page begins; upstream's word, opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(pub String);

/// When a call was made and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Just before the request was sent.
    pub asked_at: Timestamp,
    /// When the whole answer was there.
    pub answered_at: Timestamp,
    /// Upstream's own clock, from its `Date` header.
    pub upstream_at: Option<Timestamp>,
}

/// One row of a page, known to have a proper id and not yet looked at further. `Debug` shows nothing of its bytes,
/// which may hold a `download_url`.
#[derive(Clone)]
pub struct Row {
    /// Its id.
    pub id: ResourceId,
    /// Its bytes as they came.
    pub raw: Box<RawValue>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("id", &self.id).field("bytes", &self.raw.get().len()).finish()
    }
}

/// An item that cannot be used. It is counted, shields its id, and spoils nothing else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed item: {reason}")]
pub struct Malformed {
    /// Its id, where that much could be read.
    pub id: Option<ResourceId>,
    /// What is wrong with it.
    pub reason: String,
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct Page {
    /// Rows with an id.
    pub rows: Vec<Row>,
    /// Items without one, or too large.
    pub malformed: Vec<Malformed>,
    /// What the page says of whether there are more.
    pub has_more: bool,
    /// What the page says of where they begin.
    pub next_cursor: Option<Cursor>,
    /// When it was asked for and answered.
    pub exchange: Exchange,
}

/// An answer by id.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// The resource.
    Found(Box<Seen>, Exchange),
    /// Upstream knows no such id (or not for this key: a 404 alone does not prove a deletion).
    NotFound(Exchange),
    /// There is something, and it cannot be used.
    Malformed(Malformed),
}

/// Why a call gave no answer that can be used. Variants say what the caller can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Stop polling, say so, and probe from time to time.
    #[error("upstream refuses the API key: {kind} ({status}): {message}")]
    Unauthorized {
        /// The HTTP status.
        status: u16,
        /// Upstream's word for it, such as `TESTMODE_NOT_SUPPORTED`.
        kind: String,
        /// Upstream's text.
        message: String,
    },
    /// Ask nothing of this source until the wait is over. Who asks all the same gets the rest of the wait as the
    /// answer, at once.
    #[error("upstream asks to wait {} s", retry_after.as_secs())]
    Throttled {
        /// How long, at most 15 minutes.
        retry_after: Duration,
    },
    /// Try again after a backoff: 408, 5xx, time-outs, broken connections, answers that are no answer.
    #[error("upstream is in trouble: {0}")]
    Unavailable(String),
    /// Trying the same call again will not help.
    #[error("upstream refuses the call: {kind} ({status}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Upstream's word for it.
        kind: String,
        /// Upstream's text.
        message: String,
    },
}

/// The seam to an upstream account, named for what passes over it need.
#[async_trait]
pub trait Source: Send + Sync + fmt::Debug {
    /// The source's identity.
    fn name(&self) -> &SourceName;

    /// The dated API version that calls name.
    fn api_version(&self) -> &str;

    /// Since when the call that was sent first of those without an answer is out, if any is and that is counted; the wait
    /// for a token is no part of it.
    fn unanswered_since(&self) -> Option<Instant> {
        None
    }

    /// The top-level fields of a resource that upstream documents. What is not among them, and was never seen before,
    /// is new.
    fn documented_fields(&self, kind: Kind) -> &'static [&'static str];

    /// One page of a listing.
    async fn page(
        &self,
        kind: Kind,
        selection: &Selection,
        cursor: Option<&Cursor>,
        urgency: Urgency,
    ) -> Result<Page, SourceError>;

    /// One resource by id.
    async fn get(&self, kind: Kind, id: &ResourceId, urgency: Urgency) -> Result<Fetched, SourceError>;

    /// Looks into a row. Separate from reading the page, because most rows are recognised by their bytes.
    fn open_row(&self, kind: Kind, row: &Row) -> Result<Seen, Malformed>;
}
