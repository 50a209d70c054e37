//! `certhook replay`: sends an endpoint again what it missed, and waits until that is done.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::filter::FilterArguments;
use super::gateway::Session;
use super::lists::Columns;
use super::output::text;
use super::progress::Progress;
use super::usage::{BadUsage, name, range};
use super::when::When;
use crate::model::id::EventId;
use crate::model::pattern::Pattern;
use crate::model::resource::ResourceId;
use crate::model::time::Timestamp;

/// How often a replay that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// One that stands still for so long has a reason that somebody who waits wants to hear.
const STANDSTILL: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// The endpoint, by id or uid
    #[arg(value_parser = name)]
    endpoint: String,
    /// Events since this instant (2026-11-20T18:00Z, 3d); without it, from the first one that is kept
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Events until this instant; without it, until now
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// Events of these types or patterns (certificate.*)
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<Pattern>,
    /// Events about this certificate or certificate request
    #[arg(long, value_name = "ID")]
    resource: Option<ResourceId>,
    /// These events (evt_…)
    #[arg(long = "event", value_name = "ID", value_delimiter = ',')]
    events: Vec<EventId>,
    /// missed: meant for the endpoint and never delivered to it; failed: out of attempts; all
    #[arg(long, default_value = "missed", value_parser = ["missed", "failed", "all"])]
    select: String,
    /// Sends nothing, and tells what would be sent
    #[arg(long)]
    dry_run: bool,
    /// Does not wait until it is done
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
    #[command(flatten)]
    filter: FilterArguments,
}

const SAMPLE: Columns = Columns {
    header: &["time", "type", "resource", "id"],
    row: |event| ["/timestamp", "/type", "/resource_id", "/id"].map(|field| text(event, field)).into(),
};

/// Begins a replay, or tells what it would send.
pub(super) async fn replay(session: &Session, asked: ReplayArguments) -> anyhow::Result<()> {
    let (endpoint, dry_run, detach) = (asked.endpoint.clone(), asked.dry_run, asked.detach);
    let body = body(asked, session.now)?;
    let answer = session.client.post(&["v1", "endpoints", &endpoint, "replay"], &body).await;
    let answer = session.about_endpoint(&endpoint, answer).await?;
    if !dry_run {
        return wait(session, answer, detach).await;
    }
    session.output.value(&answer, |output| {
        let more = if answer.get("matched_more").is_some() { "at least " } else { "" };
        output.line(&format!("It would send {more}{} events.", text(&answer, "/matched")))?;
        let sample = answer.get("sample").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if sample.is_empty() { Ok(()) } else { output.table(SAMPLE.header, sample.iter().map(SAMPLE.row)) }
    })?;
    Ok(())
}

/// What is asked for, as the API takes it.
fn body(asked: ReplayArguments, now: Timestamp) -> Result<Value, BadUsage> {
    let (since, until) = range(asked.since, asked.until, now)?;
    let mut body = json!({ "select": asked.select, "dry_run": asked.dry_run });
    let given = [
        ("since", since.map(Value::from)),
        ("until", until.map(Value::from)),
        ("resource_id", asked.resource.map(|resource| resource.as_str().into())),
        ("types", (!asked.types.is_empty()).then(|| json!(asked.types))),
        ("event_ids", (!asked.events.is_empty()).then(|| json!(asked.events))),
        ("filter", asked.filter.given()),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    Ok(body)
}

/// Waits until a replay has ended, unless nobody wants to. Fails if not everything was delivered.
pub(super) async fn wait(session: &Session, mut replay: Value, detach: bool) -> anyhow::Result<()> {
    let id = text(&replay, "/id");
    if !detach {
        // How many resources a resync goes through is not known before its end.
        let progress = Progress::new(session.output, text(&replay, "/kind") == "replay");
        session
            .output
            .note(&format!("{id} has begun; it goes on without this command, too: certhook replays show {id}"));
        let (mut moved_at, mut is_told) = (Instant::now(), false);
        while text(&replay, "/status") == "running" {
            tokio::time::sleep(LOOK).await;
            let before = std::mem::replace(&mut replay, session.client.get(&["v1", "replays", &id], &[]).await?);
            if replay != before {
                moved_at = Instant::now();
            } else if !is_told && moved_at.elapsed() >= STANDSTILL {
                let trouble = trouble(session, &text(&replay, "/endpoint_id")).await;
                is_told = trouble.is_some();
                progress.beside(|| trouble.iter().for_each(|trouble| session.output.note(trouble)));
            }
            let part = replay.get("progress").and_then(Value::as_f64).unwrap_or(0.0);
            progress.at(part, counts(&replay));
        }
        progress.end();
    }
    session
        .output
        .value(&replay, |output| output.line(&format!("{id} {}: {}", text(&replay, "/status"), counts(&replay))))?;
    let failed = replay.get("failed").and_then(Value::as_u64).unwrap_or(0);
    anyhow::ensure!(failed == 0, "not everything was taken: certhook deliveries list --status failed");
    anyhow::ensure!(text(&replay, "/status") != "canceled", "somebody has canceled it");
    let cut = replay.get("cut").and_then(Value::as_u64).unwrap_or(0);
    anyhow::ensure!(cut == 0, "{cut} events of its range were no longer kept when it came to them");
    Ok(())
}

/// Why an endpoint takes nothing, if that is known. A call that fails here is made again soon, by whoever waits.
async fn trouble(session: &Session, endpoint: &str) -> Option<String> {
    let endpoint = session.client.get(&["v1", "endpoints", endpoint], &[]).await.ok()?;
    let of = |field| text(&endpoint, field);
    let (id, url, health) = (of("/id"), of("/url"), of("/health/state"));
    if of("/status") == "disabled" {
        return Some(format!("Still waiting: {url} is disabled, and is sent nothing: certhook endpoints enable {id}"));
    }
    let failures = of("/health/consecutive_failures");
    (health != "healthy").then(|| {
        format!(
            "Still waiting: {url} takes nothing now ({health}, {failures} failures in a row): certhook deliveries list \
             --endpoint {id}"
        )
    })
}

fn counts(replay: &Value) -> String {
    let count = |field| text(replay, field);
    format!("{} matched, {} delivered, {} failed", count("/matched"), count("/delivered"), count("/failed"))
}
