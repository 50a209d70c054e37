//! `certhook status`: how everything stands, on one screen.

use std::time::Duration;

use serde_json::{Value, json};

use super::endpoints::counted;
use super::gateway::Session;
use super::output::{Output, text};
use super::sources::{baseline, lag, last_pass};
use super::when::length;
use crate::app::check::mebibytes;
use crate::client::{ClientError, Query};
use crate::model::time::Timestamp;

/// So many endpoints in trouble fit the screen.
const SHOWN_MAX: usize = 10;

/// Tells how everything stands. Fails if the gateway cannot work.
pub(super) async fn status(session: &Session) -> anyhow::Result<()> {
    let ready = session.client.get(&["readyz"], &[]).await;
    let ready = match ready {
        Err(error) if error.refusal().is_some() => Err(error),
        Err(error) => return Err(error.into()),
        Ok(_) => Ok(()),
    };
    let standing = Standing::ask(session).await?;
    let output = session.output;
    if output.is_json() {
        output.json_line(&standing.value(ready.is_ok()))?;
    } else {
        standing.tell(session, ready.is_ok())?;
    }
    Ok(ready?)
}

/// What the gateway says of its parts.
struct Standing {
    sources: Vec<Value>,
    endpoints: u64,
    troubled: u64,
    /// The first ones in trouble, with what they have not got.
    shown: Vec<Value>,
    newest: Option<Value>,
    oldest: Option<Value>,
    disk: Option<Disk>,
}

/// The store's disk, in bytes.
struct Disk {
    size: Option<u64>,
    free: u64,
    min_free: u64,
}

impl Standing {
    async fn ask(session: &Session) -> Result<Self, ClientError> {
        let client = &session.client;
        let sources = client.pages(&["v1", "sources"], Query::new(), None).collect().await?;
        let (mut endpoints, mut troubled, mut shown) = (0, 0, Vec::new());
        let mut pages = client.pages(&["v1", "endpoints"], Query::new(), None);
        while let Some(page) = pages.next().await? {
            endpoints += page.len() as u64;
            for endpoint in page.into_iter().filter(is_in_trouble) {
                troubled += 1;
                if shown.len() < SHOWN_MAX {
                    shown.push(client.get(&["v1", "endpoints", &text(&endpoint, "/id")], &[]).await?);
                }
            }
        }
        let end = async |order: &str| {
            let query = vec![("order", order.to_owned())];
            Ok::<_, ClientError>(client.pages(&["v1", "events"], query, Some(1)).collect().await?.pop())
        };
        let (newest, oldest) = (end("desc").await?, end("asc").await?);
        let disk = Self::disk(session).await?;
        Ok(Self { sources, endpoints, troubled, shown, newest, oldest, disk })
    }

    /// The disk is told among the metrics; a key that may not read those leaves it open.
    async fn disk(session: &Session) -> Result<Option<Disk>, ClientError> {
        let metrics = match session.client.text(&["metrics"]).await {
            Ok(metrics) => metrics,
            Err(error) if error.refusal().is_some() => return Ok(None),
            Err(error) => return Err(error),
        };
        let gauge = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.trim().parse::<f64>().ok()).map(|bytes| bytes as u64)
        };
        let free = gauge("certhook_store_free_bytes").zip(gauge("certhook_store_min_free_bytes"));
        Ok(free.map(|(free, min_free)| Disk { size: gauge("certhook_store_size_bytes"), free, min_free }))
    }

    fn value(&self, ready: bool) -> Value {
        json!({
            "ready": ready,
            "sources": self.sources,
            "endpoints": { "count": self.endpoints, "in_trouble": self.troubled, "data": self.shown },
            "log": { "newest": self.newest, "oldest": self.oldest },
            "disk": self.disk.as_ref().map(|disk| json!({
                "size_bytes": disk.size, "free_bytes": disk.free, "min_free_bytes": disk.min_free,
            })),
        })
    }

    fn tell(&self, session: &Session, ready: bool) -> std::io::Result<()> {
        let Session { output, now, .. } = *session;
        let state = if ready { "ready" } else { "NOT READY: its store cannot be read and written" };
        output.fields([
            ("gateway", format!("{} {state}", session.client.base())),
            ("log", self.log(now)),
            ("disk", self.disk.as_ref().map_or_else(|| "not known".into(), Disk::told)),
            ("endpoints", format!("{}, {} in trouble", self.endpoints, self.troubled)),
        ])?;
        output.line("")?;
        let rows = self.sources.iter().map(|source| {
            vec![text(source, "/name"), text(source, "/status"), lag(source), baseline(source), last_pass(source)]
        });
        output.table(&["source", "status", "lag", "baseline", "last pass"], rows)?;
        if self.shown.is_empty() { Ok(()) } else { self.tell_trouble(output) }
    }

    fn tell_trouble(&self, output: Output) -> std::io::Result<()> {
        output.line("")?;
        let rows = self.shown.iter().map(|endpoint| {
            let plain = |field| text(endpoint, field);
            let name = if plain("/uid") == "-" { plain("/id") } else { plain("/uid") };
            let status = match plain("/disabled_reason").as_str() {
                "-" => plain("/status"),
                reason => format!("{} ({reason})", plain("/status")),
            };
            let failures = plain("/health/consecutive_failures");
            let health = plain("/health/state");
            vec![name, status, health, failures, counted(endpoint, "pending"), plain("/oldest_pending_at")]
        });
        output.table(&["in trouble", "status", "health", "failures", "pending", "oldest pending"], rows)?;
        match self.troubled.saturating_sub(self.shown.len() as u64) {
            0 => Ok(()),
            more => output.line(&format!("and {more} more: certhook endpoints list --all")),
        }
    }

    fn log(&self, now: Timestamp) -> String {
        let ago = |event: &Option<Value>| {
            let at = text(event.as_ref()?, "/timestamp").parse::<Timestamp>().ok()?;
            Some(length(Duration::from_secs(now.since(at).as_secs())))
        };
        match (ago(&self.newest), ago(&self.oldest)) {
            (Some(newest), Some(oldest)) => format!("last event {newest} ago, first one kept {oldest} ago"),
            (_, _) => "no events yet".into(),
        }
    }
}

impl Disk {
    fn told(&self) -> String {
        let low = if self.free < self.min_free { "TOO LITTLE: " } else { "" };
        let size = self.size.map(|size| format!("; the store has {}", mebibytes(size))).unwrap_or_default();
        let (free, min_free) = (mebibytes(self.free), mebibytes(self.min_free));
        format!("{low}{free} free of at least {min_free}{size}")
    }
}

/// Whether somebody should look: it gets nothing, or its last attempt failed.
fn is_in_trouble(endpoint: &Value) -> bool {
    text(endpoint, "/status") != "enabled" || text(endpoint, "/health/state") != "healthy"
}
