//! `certhook events`: what was observed, and what is being observed.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::gateway::Session;
use super::lists::{Columns, ListArguments, list};
use super::output::{Output, text, words};
use super::usage::{entry, name, range};
use super::when::When;
use crate::client::Query;
use crate::model::pattern::Pattern;
use crate::model::resource::{ResourceId, SourceName};

mod tail;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// The log, newest first
    List(Wanted),
    /// One event: what changed, and who gets it
    Show {
        /// The event's id (evt_…)
        #[arg(value_parser = name)]
        event: String,
    },
    /// Events as they come, until it is stopped
    Tail(tail::Tail),
}

#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// Of these types or patterns (certificate.*)
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<Pattern>,
    /// From this source
    #[arg(long, value_name = "NAME")]
    source: Option<SourceName>,
    /// About this certificate or certificate request
    #[arg(long, value_name = "ID")]
    resource: Option<ResourceId>,
    /// About this customer, by the vendor's id
    #[arg(long, value_name = "ID", value_parser = entry, conflicts_with = "reference_customer")]
    customer: Option<String>,
    /// About this customer, by your own id for it
    #[arg(long, value_name = "ID", value_parser = entry)]
    reference_customer: Option<String>,
    /// About this jurisdiction (US-CA)
    #[arg(long, value_name = "ID", value_parser = entry)]
    jurisdiction: Option<String>,
    /// Since this instant (2026-11-20T18:00Z, 3d)
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Until this instant
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// The oldest first
    #[arg(long)]
    oldest_first: bool,
    #[command(flatten)]
    much: ListArguments,
}

const EVENTS: Columns = Columns {
    header: &["time", "type", "about", "id"],
    row: |event| ["/timestamp", "/type", "/data/object/id", "/id"].map(|field| text(event, field)).into(),
};

const DELIVERIES: Columns = Columns {
    header: &["endpoint", "status", "reason", "attempts", "next attempt", "delivery"],
    row: |delivery| {
        let fields = ["/endpoint_id", "/status", "/reason", "/attempt_count", "/next_attempt_at", "/id"];
        fields.map(|field| text(delivery, field)).into()
    },
};

/// For so many endpoints it is shown how an event stands there.
const DELIVERIES_SHOWN_MAX: u64 = 100;

/// Does what is asked of the events.
pub(super) async fn events(session: &Session, action: Action) -> anyhow::Result<()> {
    match action {
        Action::List(wanted) => list_wanted(session, wanted).await,
        Action::Show { event } => show(session, &event).await,
        Action::Tail(arguments) => tail::tail(session, arguments).await,
    }
}

/// Types, as a query takes them.
fn joined(types: &[Pattern]) -> Option<String> {
    let names: Vec<_> = types.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| names.join(","))
}

async fn list_wanted(session: &Session, wanted: Wanted) -> anyhow::Result<()> {
    let (since, until) = range(wanted.since, wanted.until, session.now)?;
    let id_type = wanted.reference_customer.as_ref().map(|_| "reference_customer_id".to_owned());
    let given = [
        ("types", joined(&wanted.types)),
        ("source", wanted.source.map(|source| source.to_string())),
        ("resource_id", wanted.resource.map(|resource| resource.to_string())),
        ("customer_id", wanted.customer.or(wanted.reference_customer)),
        ("id_type", id_type),
        ("jurisdiction", wanted.jurisdiction),
        ("since", since),
        ("until", until),
        ("order", wanted.oldest_first.then(|| "asc".into())),
    ];
    let query: Query = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    list(session, &["v1", "events"], query, &wanted.much, &EVENTS).await
}

async fn show(session: &Session, id: &str) -> anyhow::Result<()> {
    let event = session.client.get(&["v1", "events", id], &[]).await?;
    if session.output.is_json() {
        session.output.json_line(&event)?;
        return Ok(());
    }
    let path = ["v1", "events", id, "deliveries"];
    let mut pages = session.client.pages(&path, Query::new(), Some(DELIVERIES_SHOWN_MAX));
    let mut rows = Vec::new();
    while let Some(page) = pages.next().await? {
        rows.extend(page);
    }
    tell(session.output, &event)?;
    if !rows.is_empty() {
        session.output.line("")?;
        session.output.table(DELIVERIES.header, rows.iter().map(DELIVERIES.row))?;
    }
    if pages.has_more() {
        session.output.note(&format!("Of more endpoints, {DELIVERIES_SHOWN_MAX} are shown."));
    }
    Ok(())
}

fn tell(output: Output, event: &Value) -> std::io::Result<()> {
    let plain = |field| text(event, field);
    let mut fields = vec![
        ("id", plain("/id")),
        ("type", plain("/type")),
        ("time", plain("/timestamp")),
        ("source", plain("/source")),
        ("about", plain("/data/object/id")),
        ("customer", plain("/data/object/customer/id")),
        ("status", plain("/data/object/status")),
        ("jurisdiction", plain("/data/jurisdiction_id")),
        ("version", plain("/detection/object_version")),
        ("seen by", format!("{} {}", plain("/detection/mode"), plain("/detection/pass"))),
        ("not before", plain("/detection/observed_after")),
    ];
    fields.retain(|(_, value)| value != "-");
    output.fields(fields)?;
    let changes = changes(event);
    if changes.is_empty() {
        return Ok(());
    }
    output.line("")?;
    output.table(&["field", "before", "now"], changes)
}

/// What changed: the field, its former value, and what it is now.
fn changes(event: &Value) -> Vec<Vec<String>> {
    let now = |name: &str| event.pointer("/data/object").and_then(|object| object.get(name));
    let former = event.pointer("/data/previous_attributes").and_then(Value::as_object);
    let rows = former.into_iter().flatten();
    rows.map(|(name, before)| vec![name.clone(), words(before), now(name).map_or_else(|| "-".into(), words)]).collect()
}
