//! `certhook events tail`: events as they come, and on to whoever is being worked on.

use anyhow::Context;
use clap::Args;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::signal::ctrl_c;
use url::Url;

use super::joined;
use crate::app::webhook;
use crate::cli::gateway::Session;
use crate::cli::output::text;
use crate::cli::usage::{BadUsage, http_url};
use crate::client::Query;
use crate::client::forward::Forwarder;
use crate::client::stream::{Next, Streamed};
use crate::clock::{Clock, SystemClock};
use crate::model::endpoint::SigningSecret;
use crate::model::id::EventId;
use crate::model::pattern::Pattern;

#[derive(Debug, Args)]
pub(in crate::cli) struct Tail {
    /// Of these types or patterns (certificate.*)
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<Pattern>,
    /// Begins after this event (evt_…), not now
    #[arg(long, value_name = "ID")]
    after: Option<EventId>,
    /// Stops after so many
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Sends each one to this URL, too, signed like a delivery; with a secret that is the same for the same key
    #[arg(long, value_name = "URL", value_parser = http_url)]
    forward_to: Option<Url>,
}

/// Shows what comes, until it is enough or somebody stops it.
pub(super) async fn tail(session: &Session, arguments: Tail) -> anyhow::Result<()> {
    let Tail { types, after, limit, forward_to } = arguments;
    let forwarding = forward_to.map(|url| Forwarding::new(session, url)).transpose()?;
    let query: Query = joined(&types).map(|types| ("types", types)).into_iter().collect();
    let mut follower = session.client.follow(&["v1", "events", "stream"], query, after.map(|after| after.to_string()));
    // One that waits all the time, so that no press of a key falls between two.
    let mut stopped = std::pin::pin!(ctrl_c());
    let mut left = limit.unwrap_or(u64::MAX);
    while left > 0 {
        let next = tokio::select! {
            next = follower.next() => next?,
            _ = &mut stopped => return Ok(()),
        };
        match next {
            Next::Connected => session.output.note("Connected; waiting for events."),
            Next::Lost(why) => session.output.note(&format!("The connection is lost ({why}); connecting again.")),
            Next::Event(event) => {
                show(session, &event)?;
                if let Some(forwarding) = &forwarding {
                    forwarding.forward(session, event).await?;
                }
                left -= 1;
            }
        }
    }
    Ok(())
}

fn show(session: &Session, event: &Streamed) -> anyhow::Result<()> {
    let body: Value = serde_json::from_str(&event.data).context("the stream holds something that is no event")?;
    session.output.value(&body, |output| {
        let fields = ["/timestamp", "/type", "/data/object/id"].map(|field| text(&body, field));
        let [time, event_type, resource] = fields;
        output.line(&format!("{time}  {event_type:<38} {resource}  {}", event.id))
    })?;
    Ok(())
}

/// Somebody to whom events are sent on.
struct Forwarding {
    to: Forwarder,
    secret: SigningSecret,
}

impl Forwarding {
    fn new(session: &Session, url: Url) -> anyhow::Result<Self> {
        let keyless =
            || BadUsage::of("--key", "give a key of the gateway, here or in CERTHOOK_API_KEY: it makes the secret");
        let key = session.client.key().ok_or_else(keyless)?;
        let secret = webhook::forwarding_secret(key);
        let signed = secret.to_text();
        session.output.announce(&format!("Forwarding to {url}, signed with {}", signed.expose_secret()))?;
        Ok(Self { to: Forwarder::new(url)?, secret })
    }

    /// Sends an event, once; whoever is being worked on may well be away.
    async fn forward(&self, session: &Session, event: Streamed) -> anyhow::Result<()> {
        let Streamed { id, data } = event;
        let now = SystemClock::default().now();
        let headers = webhook::signed(&self.secret, &id, data.as_bytes(), now)?;
        session.output.note(&match self.to.send(headers, data).await {
            Ok(status) => format!("  -> {status}"),
            Err(why) => format!("  -> not taken: {why}"),
        });
        Ok(())
    }
}
