//! `certhook deliveries`: what was tried for whom, and how it went.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::gateway::Session;
use super::lists::{Columns, ListArguments, list};
use super::output::{Output, text};
use super::usage::{name, range};
use super::when::When;
use crate::client::Query;
use crate::model::id::EventId;
use crate::model::resource::ResourceId;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Those that were tried at least once, newest first
    List(Wanted),
    /// One of them, with its attempts
    Show(Delivery),
    /// Tries it now
    Retry(Delivery),
    /// Gives it up
    Cancel(Delivery),
}

#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// To this endpoint, by id or uid
    #[arg(long, value_parser = name)]
    endpoint: Option<String>,
    /// Of this event (evt_…)
    #[arg(long, value_name = "ID")]
    event: Option<EventId>,
    /// Of events about this certificate or certificate request
    #[arg(long, value_name = "ID")]
    resource: Option<ResourceId>,
    /// That stand so
    #[arg(long, value_parser = ["pending", "delivered", "failed", "canceled"])]
    status: Option<String>,
    /// Of events since this instant (2026-11-20T18:00Z, 3d)
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Of events until this instant
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    #[command(flatten)]
    much: ListArguments,
}

#[derive(Debug, Args)]
pub(super) struct Delivery {
    /// The delivery's id (dlv_…)
    #[arg(value_parser = name)]
    delivery: String,
}

/// Does what is asked of the deliveries.
pub(super) async fn deliveries(session: &Session, action: Action) -> anyhow::Result<()> {
    let delivery = match action {
        Action::List(wanted) => return list_wanted(session, wanted).await,
        Action::Show(Delivery { delivery }) => session.client.get(&["v1", "deliveries", &delivery], &[]).await?,
        Action::Retry(Delivery { delivery }) => act(session, &delivery, "retry").await?,
        Action::Cancel(Delivery { delivery }) => act(session, &delivery, "cancel").await?,
    };
    session.output.value(&delivery, |output| show(output, &delivery))?;
    Ok(())
}

async fn act(session: &Session, delivery: &str, action: &str) -> anyhow::Result<Value> {
    Ok(session.client.post(&["v1", "deliveries", delivery, action], &json!({})).await?)
}

/// What a list shows of a delivery.
pub(super) const DELIVERIES: Columns = Columns {
    header: &["id", "status", "event type", "resource", "endpoint", "attempts", "next attempt"],
    row: |delivery| {
        let fields = ["id", "status", "event_type", "resource/id", "endpoint_id", "attempt_count", "next_attempt_at"];
        fields.map(|field| text(delivery, &format!("/{field}"))).into()
    },
};

const ATTEMPTS: Columns = Columns {
    header: &["#", "at", "trigger", "outcome", "status", "took", "address", "error"],
    row: |attempt| {
        vec![
            text(attempt, "/number"),
            text(attempt, "/at"),
            text(attempt, "/trigger"),
            text(attempt, "/outcome"),
            text(attempt, "/status_code"),
            format!("{} ms", text(attempt, "/duration_ms")),
            text(attempt, "/address"),
            text(attempt, "/error"),
        ]
    },
};

async fn list_wanted(session: &Session, wanted: Wanted) -> anyhow::Result<()> {
    let (since, until) = range(wanted.since, wanted.until, session.now)?;
    let mut query = Query::new();
    if let Some(endpoint) = wanted.endpoint {
        query.push(("endpoint_id", session.endpoint_id(&endpoint).await?));
    }
    let rest = [
        ("event_id", wanted.event.map(|event| event.to_string())),
        ("resource_id", wanted.resource.map(|resource| resource.to_string())),
        ("status", wanted.status),
        ("since", since),
        ("until", until),
    ];
    query.extend(rest.into_iter().filter_map(|(name, value)| Some((name, value?))));
    list(session, &["v1", "deliveries"], query, &wanted.much, &DELIVERIES).await
}

fn show(output: Output, delivery: &Value) -> std::io::Result<()> {
    output.fields([
        ("id", text(delivery, "/id")),
        ("status", text(delivery, "/status")),
        ("event", text(delivery, "/event_id")),
        ("event type", text(delivery, "/event_type")),
        ("endpoint", text(delivery, "/endpoint_id")),
        ("resource", text(delivery, "/resource/id")),
        ("attempts", text(delivery, "/attempt_count")),
        ("next attempt", text(delivery, "/next_attempt_at")),
    ])?;
    let attempts = delivery.get("attempts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if attempts.is_empty() {
        return Ok(());
    }
    output.line("")?;
    output.table(ATTEMPTS.header, attempts.iter().map(ATTEMPTS.row))?;
    match attempts.last().and_then(|last| last.get("response_body")?.as_str()).filter(|body| !body.is_empty()) {
        Some(body) => output.line(&format!("\nThe last answer said:\n{body}")),
        None => Ok(()),
    }
}

/// An attempt that stands alone, as that of a test.
pub(super) fn show_attempt(output: Output, attempt: &Value) -> std::io::Result<()> {
    output.table(ATTEMPTS.header, [(ATTEMPTS.row)(attempt)])
}
