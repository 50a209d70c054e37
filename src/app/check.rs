//! What would go wrong if a gateway were started, or goes wrong beside one that runs: each thing by itself, with what to
//! do about it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use tokio::net::TcpListener;

use crate::clock::{Clock, SystemClock};
use crate::config::SourceSettings;
use crate::model::resource::Kind;
use crate::source::numeral::Numeral;
use crate::source::{self, Exchange, Selection, Source, SourceError, Urgency};
use crate::store::sled::{Look, SledStore};
use crate::store::space::{Disk, FileSystem, Level, Space};
use crate::store::{self, StoreError};

/// Reminders and watermarks are reckoned by our clock; a receiver refuses signatures that are further off.
const SKEW_SECONDS_MAX: u64 = 300;

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and somebody should look.
    Warning,
    /// It does not work.
    Failed,
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// How good it is.
    pub status: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; nothing if it is as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// It is as it should be.
    pub fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), status: Verdict::Ok, found: found.into(), remedy: None }
    }

    /// Somebody should look.
    pub fn warning(check: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Verdict::Warning, remedy: Some(remedy.into()), ..Self::ok(check, found) }
    }

    /// It does not work.
    pub fn failed(check: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Verdict::Failed, remedy: Some(remedy.into()), ..Self::ok(check, found) }
    }
}

/// What was found about a store.
#[derive(Debug)]
pub struct CheckedStore {
    /// All of it.
    pub findings: Vec<Finding>,
    /// Whether another process has it open, so that only that one can tell more.
    pub is_in_use: bool,
}

/// Looks at a store.
///
/// # Errors
/// If the look itself goes wrong.
pub async fn store(settings: store::Settings) -> anyhow::Result<CheckedStore> {
    tokio::task::spawn_blocking(move || look(&settings)).await.context("looking at the store panicked")
}

fn look(settings: &store::Settings) -> CheckedStore {
    let looked = SledStore::look(settings);
    let is_in_use = matches!(looked, Ok(Look::InUse));
    let path = settings.path.display();
    let finding = match looked {
        Ok(Look::Nothing) => Finding::ok("store", format!("there is none at {path} yet; the first start makes it")),
        Ok(Look::InUse) => Finding::ok("store", format!("{path} is in use, so only its gateway can look into it")),
        Ok(Look::Store { events, bytes }) => {
            Finding::ok("store", format!("{path} opens: {events} events, {}", mebibytes(bytes)))
        }
        Err(StoreError::Open { reason, .. }) => Finding::failed("store", format!("{path} does not open"), reason),
        Err(error) => Finding::failed("store", error.to_string(), "restore a backup"),
    };
    CheckedStore { findings: vec![finding, room(&settings.path, settings.min_free)], is_in_use }
}

/// The room on the file system of the nearest folder that is there.
fn room(path: &Path, min_free: u64) -> Finding {
    let relative = std::iter::once(Path::new("."));
    let there =
        path.ancestors().filter(|folder| folder.as_os_str() != "").chain(relative).find(|folder| folder.exists());
    let free = FileSystem(there.unwrap_or(path).into()).free();
    let free = match free {
        Ok(free) => free,
        Err(error) => {
            return Finding::failed("disk", error.to_string(), "see whether store.url names a place of this machine");
        }
    };
    let found = format!("{} free; store.min_free is {}", mebibytes(free), mebibytes(min_free));
    match Space::of(free, min_free).level {
        Level::Ample => Finding::ok("disk", found),
        Level::Enough => Finding::warning("disk", found, "make room soon"),
        Level::Low => Finding::failed("disk", found, "make room; until then nothing is polled or registered"),
        Level::Full => Finding::failed("disk", found, "make room; until then nothing is written"),
    }
}

/// A size in the unit of operators.
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

/// Whether the API could listen.
pub async fn listen(address: SocketAddr) -> Finding {
    match TcpListener::bind(address).await {
        Ok(_) => Finding::ok("address", format!("{address} is free")),
        Err(error) => Finding::failed(
            "address",
            format!("cannot listen on {address}: {error}"),
            "stop what listens there, or set server.listen to another address",
        ),
    }
}

/// One cheap call to a source: a listing of one certificate.
pub async fn source(settings: SourceSettings) -> Finding {
    let check = format!("source {}", settings.source.name);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let settings = source::Settings { page_size: 1, ..settings.source };
    let source = match Numeral::new(settings, clock) {
        Ok(source) => source,
        Err(error) => return Finding::failed(check, error.to_string(), "correct that setting"),
    };
    match source.page(Kind::Certificate, &Selection::Everything, None, Urgency::Api).await {
        Ok(page) => answered(check, page.exchange),
        Err(error) => refused(check, &error),
    }
}

fn answered(check: String, exchange: Exchange) -> Finding {
    let Exchange { asked_at, answered_at, upstream_at } = exchange;
    let found = format!("lists certificates; answers in {} ms", answered_at.since(asked_at).as_millis());
    let skew = upstream_at.map_or(0, |theirs| theirs.as_seconds().abs_diff(answered_at.as_seconds()));
    if skew > SKEW_SECONDS_MAX {
        return Finding::warning(
            check,
            format!("{found}; its clock is {skew} s from ours"),
            "set this machine's clock",
        );
    }
    Finding::ok(check, found)
}

fn refused(check: String, error: &SourceError) -> Finding {
    let found = error.to_string();
    match error {
        SourceError::Unauthorized { .. } => {
            Finding::failed(check, found, "put a live key that may read certificates where its api_key is read from")
        }
        SourceError::Throttled { .. } => {
            Finding::warning(check, found, "try again later; who else calls with this key?")
        }
        SourceError::Unavailable(_) => Finding::failed(
            check,
            found,
            "see whether its base_url is right and can be reached from here (network.proxy, network.ca_file)",
        ),
        SourceError::Refused { .. } => {
            Finding::failed(check, found, "see whether its base_url and api_version are what the vendor documents")
        }
    }
}
