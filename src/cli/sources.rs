//! `certhook sources`: the upstream accounts, passes over them, and what is missing in them.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::gateway::Session;
use super::lists::{Columns, ListArguments, list};
use super::output::text;
use super::usage::name;
use super::when::length;
use crate::client::Query;

/// How often a pass that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// All of them, and how they are doing
    List(ListArguments),
    /// One of them, with its last passes
    Show(Source),
    /// Looks now
    Poll(Poll),
    /// Stops looking, until it is resumed
    Pause(Source),
    /// Looks again
    Resume(Source),
    /// What is missing and was not removed, because so much is missing at once
    Removals {
        #[command(subcommand)]
        action: Removals,
    },
}

#[derive(Debug, Args)]
pub(super) struct Source {
    /// The source's name
    #[arg(value_parser = name)]
    source: String,
}

#[derive(Debug, Args)]
pub(super) struct Poll {
    /// The source's name
    #[arg(value_parser = name)]
    source: String,
    /// What to look at
    #[arg(long, default_value = "changes", value_parser = ["changes", "open", "sweep"])]
    pass: String,
    /// Waits until the pass is over; fails if it was not complete
    #[arg(long)]
    wait: bool,
    /// With --wait: gives up after so long in which the source got no further; the pass goes on
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = humantime::parse_duration, requires = "wait")]
    patience: Duration,
}

#[derive(Debug, Subcommand)]
pub(super) enum Removals {
    /// What is missing
    List {
        /// The source's name
        #[arg(value_parser = name)]
        source: String,
        #[command(flatten)]
        much: ListArguments,
    },
    /// They may go: each is asked for by id, and removed if it is gone
    Confirm(Decision),
    /// They are still there: nothing is removed before a list has shown them again
    Keep(Decision),
}

#[derive(Debug, Args)]
pub(super) struct Decision {
    /// The source's name
    #[arg(value_parser = name)]
    source: String,
    /// Which resources
    #[arg(required_unless_present = "all")]
    ids: Vec<String>,
    /// All that are missing
    #[arg(long, conflicts_with = "ids")]
    all: bool,
}

/// Does what is asked of the sources.
pub(super) async fn sources(session: &Session, action: Action) -> anyhow::Result<()> {
    match action {
        Action::List(much) => list(session, &["v1", "sources"], Query::new(), &much, &SOURCES).await,
        Action::Show(Source { source }) => show(session, &source).await,
        Action::Poll(arguments) => poll(session, arguments).await,
        Action::Pause(Source { source }) => switch(session, &source, "pause").await,
        Action::Resume(Source { source }) => switch(session, &source, "resume").await,
        Action::Removals { action: Removals::List { source, much } } => {
            list(session, &["v1", "sources", &source, "removals"], Query::new(), &much, &REMOVALS).await
        }
        Action::Removals { action: Removals::Confirm(decision) } => decide(session, decision, "confirm").await,
        Action::Removals { action: Removals::Keep(decision) } => decide(session, decision, "keep").await,
    }
}

const SOURCES: Columns = Columns {
    header: &["name", "status", "lag", "baseline", "last pass", "base url"],
    row: |source| {
        vec![
            text(source, "/name"),
            text(source, "/status"),
            lag(source),
            baseline(source),
            last_pass(source),
            text(source, "/base_url"),
        ]
    },
};

const PASSES: Columns = Columns {
    header: &["pass", "status", "started at", "took", "pages", "seen", "changed", "found late", "error"],
    row: |pass| {
        let plain = |field| text(pass, field);
        let took = pass.get("duration_ms").and_then(Value::as_u64);
        vec![
            plain("/pass"),
            plain("/status"),
            plain("/started_at"),
            took.map_or_else(|| "-".into(), |millis| format!("{millis} ms")),
            plain("/pages"),
            plain("/seen"),
            plain("/changed"),
            plain("/found_late"),
            plain("/error"),
        ]
    },
};

const REMOVALS: Columns = Columns {
    header: &["resource", "id", "removal", "absent since"],
    row: |removal| ["/resource", "/id", "/removal", "/absent_since"].map(|field| text(removal, field)).into(),
};

/// How far behind upstream a source may be.
pub(super) fn lag(source: &Value) -> String {
    let seconds = source.get("lag_seconds").and_then(Value::as_u64);
    seconds.map_or_else(|| "-".into(), |seconds| length(Duration::from_secs(seconds)))
}

/// Whether the first full listing is done.
pub(super) fn baseline(source: &Value) -> String {
    let seen = text(source, "/baseline/seen");
    match source.pointer("/baseline/complete").and_then(Value::as_bool) {
        Some(true) => format!("complete ({seen})"),
        Some(false) | None => format!("{seen} so far"),
    }
}

/// The pass that began last, and what became of it.
pub(super) fn last_pass(source: &Value) -> String {
    let passes = source.get("passes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let last = passes.iter().max_by_key(|pass| text(pass, "/started_at"));
    last.map_or_else(|| "-".into(), |pass| format!("{} {}", text(pass, "/pass"), text(pass, "/status")))
}

async fn show(session: &Session, source: &str) -> anyhow::Result<()> {
    let answer = session.client.get(&["v1", "sources", source], &[]).await;
    let shown = session.about_source(source, answer).await?;
    session.output.value(&shown, |output| {
        output.fields([
            ("name", text(&shown, "/name")),
            ("kind", text(&shown, "/kind")),
            ("base url", text(&shown, "/base_url")),
            ("status", text(&shown, "/status")),
            ("lag", lag(&shown)),
            ("baseline", baseline(&shown)),
            ("watermark", text(&shown, "/watermark")),
            ("clock skew", format!("{} s", text(&shown, "/clock_skew_seconds"))),
        ])?;
        let passes = shown.get("passes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        output.line("")?;
        output.table(PASSES.header, passes.iter().map(PASSES.row))
    })?;
    Ok(())
}

async fn poll(session: &Session, arguments: Poll) -> anyhow::Result<()> {
    let Poll { source, pass, wait, patience } = arguments;
    let answer = session.client.post(&["v1", "sources", &source, "poll"], &json!({ "pass": pass })).await;
    let mut report = session.about_source(&source, answer).await?;
    if wait {
        report = wait_for(session, &source, report, patience).await?;
    }
    session.output.value(&report, |output| output.table(PASSES.header, [(PASSES.row)(&report)]))?;
    anyhow::ensure!(
        !wait || text(&report, "/status") == "complete",
        "the pass is {}: {}",
        text(&report, "/status"),
        text(&report, "/error")
    );
    Ok(())
}

/// The report of a pass that is over. A pass of a source that is in trouble waits behind others, and all of them for
/// upstream, which may take hours; so this fails when the source gets no further.
async fn wait_for(session: &Session, source: &str, report: Value, patience: Duration) -> anyhow::Result<Value> {
    let (id, pass) = (text(&report, "/id"), text(&report, "/pass"));
    let (mut report, mut way, mut told) = (report, None, None);
    let mut moved_at = Instant::now();
    while matches!(text(&report, "/status").as_str(), "waiting" | "running") {
        let shown = session.client.get(&["v1", "sources", source], &[]).await?;
        let came = Some((text(&report, "/status"), way_of(&shown)));
        if came != way {
            (way, moved_at) = (came, Instant::now());
        }
        let trouble = trouble(&shown);
        if trouble.is_some() && trouble != told {
            session.output.note(&format!("Still waiting. {}", trouble.as_deref().unwrap_or_default()));
            told.clone_from(&trouble);
        }
        if moved_at.elapsed() >= patience {
            let trouble = trouble.unwrap_or_else(|| format!("{source} is {}", text(&shown, "/status")));
            anyhow::bail!(
                "the pass {pass} ({id}) is {}, and {source} has got no further for {}: {trouble}\nIt goes on without this \
                 command: certhook sources show {source}",
                text(&report, "/status"),
                length(patience),
            );
        }
        tokio::time::sleep(LOOK.min(patience)).await;
        report = look(session, source, report).await?;
    }
    Ok(report)
}

/// How far the passes of a source are, as something that changes when one of them moves.
fn way_of(source: &Value) -> Vec<[String; 4]> {
    let passes = source.get("passes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    passes.iter().map(|pass| ["/id", "/status", "/pages", "/seen"].map(|field| text(pass, field))).collect()
}

/// What keeps a source from being read, as its last pass tells.
fn trouble(source: &Value) -> Option<String> {
    let passes = source.get("passes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let last = passes.iter().max_by_key(|pass| text(pass, "/started_at"))?;
    let error = last.get("error")?.as_str()?;
    Some(format!("{} is {}: {error}", text(source, "/name"), text(source, "/status")))
}

/// The report as it is now.
async fn look(session: &Session, source: &str, report: Value) -> anyhow::Result<Value> {
    let path = ["v1", "sources", source, "passes"];
    let mut pages = session.client.pages(&path, Query::new(), None);
    while let Some(passes) = pages.next().await? {
        if let Some(found) = passes.into_iter().find(|pass| pass.get("id") == report.get("id")) {
            return Ok(found);
        }
    }
    anyhow::bail!("the gateway knows no more of the pass {}; was it restarted?", text(&report, "/id"))
}

async fn switch(session: &Session, source: &str, action: &str) -> anyhow::Result<()> {
    let answer = session.client.post(&["v1", "sources", source, action], &json!({})).await;
    let shown = session.about_source(source, answer).await?;
    session.output.value(&shown, |output| output.table(SOURCES.header, [(SOURCES.row)(&shown)]))?;
    Ok(())
}

async fn decide(session: &Session, decision: Decision, word: &str) -> anyhow::Result<()> {
    let mut body = json!({ "decision": word });
    if !decision.all {
        body["ids"] = decision.ids.into();
    }
    let answer = session.client.post(&["v1", "sources", &decision.source, "removals"], &body).await;
    let decided = session.about_source(&decision.source, answer).await?;
    session.output.value(&decided, |output| output.line(&format!("{word}: {}", text(&decided, "/decided"))))?;
    Ok(())
}
