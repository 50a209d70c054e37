//! The simulated upstream on a socket: alone, or under a gateway of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::http;
use crate::clock::SystemClock;
use crate::model::event::Event;
use crate::sandbox::Sandbox;
pub use crate::sandbox::options::Options;
use crate::store::{EventLog, StoreError};

/// A simulated upstream that runs.
pub struct Upstream {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Upstream {
    /// Starts one at an address; `live` lets things happen there by themselves.
    ///
    /// # Errors
    /// If the address is taken.
    pub async fn start(listen: SocketAddr, options: Options, live: bool) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr().context("cannot tell the address that the sandbox listens on")?;
        let sandbox = Sandbox::new(options, Arc::new(SystemClock::default()));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(http::serve(listener, sandbox.router(), stop.clone()));
        if live {
            let stop = stop.clone();
            tasks.spawn(async move { sandbox.live(stop).await });
        }
        tasks.close();
        Ok(Self { address, stop, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, for the configuration of a source.
    pub fn url(&self) -> Url {
        format!("http://{}", self.address).parse().expect("an address makes a URL")
    }

    /// Ends it.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// Events in one read while they are shown.
const SHOWN_AT_ONCE: usize = 100;

/// Hands a line about each event from now on to `show`, until `stop`.
///
/// # Errors
/// If the log cannot be read.
pub(super) async fn follow(
    log: Arc<dyn EventLog>,
    stop: CancellationToken,
    show: impl Fn(&str) + Send,
) -> Result<(), StoreError> {
    let mut head = log.head();
    let mut shown = *head.borrow_and_update();
    loop {
        for event in log.events_after(shown, SHOWN_AT_ONCE).await? {
            shown = event.position();
            show(&line(&event));
        }
        if shown < *head.borrow_and_update() {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            moved = head.changed() => moved.map_err(|_| StoreError::Closed)?,
        }
    }
}

fn line(event: &Event) -> String {
    let id = event.sight.resource().map_or_else(String::new, |key| key.id.to_string());
    format!("{}  {:<38} {id}", event.timestamp(), event.event_type.as_str())
}
