//! `certhook replays`: what is being sent again, how far it is, and an end to it.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::gateway::Session;
use super::lists::{Columns, ListArguments, list};
use super::output::{Output, text};
use super::replay;
use super::usage::name;
use crate::client::Query;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// All of them, newest first; resyncs too
    List(ListArguments),
    /// One of them: what was asked for, and how far it is
    Show(Show),
    /// Stops one; what it has sent is sent, and what it would have sent is not
    Cancel(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The replay's id (rp_…)
    #[arg(value_parser = name)]
    replay: String,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    which: Which,
    /// Waits until it is done; fails if not everything was delivered
    #[arg(long)]
    wait: bool,
}

const REPLAYS: Columns = Columns {
    header: &["id", "kind", "endpoint", "status", "progress", "matched", "delivered", "failed", "begun at", "ended at"],
    row: |replay| {
        let plain = |field| text(replay, field);
        vec![
            plain("/id"),
            plain("/kind"),
            plain("/endpoint_id"),
            plain("/status"),
            progress(replay),
            plain("/matched"),
            plain("/delivered"),
            plain("/failed"),
            plain("/created_at"),
            plain("/ended_at"),
        ]
    },
};

/// Does what is asked of the replays.
pub(super) async fn replays(session: &Session, action: Action) -> anyhow::Result<()> {
    let replay = match action {
        Action::List(much) => return list(session, &["v1", "replays"], Query::new(), &much, &REPLAYS).await,
        Action::Show(Show { which: Which { replay }, wait }) => {
            let shown = session.client.get(&["v1", "replays", &replay], &[]).await?;
            if wait {
                return replay::wait(session, shown, false).await;
            }
            shown
        }
        Action::Cancel(Which { replay }) => session.client.delete(&["v1", "replays", &replay]).await?,
    };
    session.output.value(&replay, |output| tell(output, &replay))?;
    Ok(())
}

/// How much of what it goes through it has gone through. How much a resync has before it is not known.
fn progress(replay: &Value) -> String {
    let part = replay.get("progress").and_then(Value::as_f64).unwrap_or(0.0);
    let is_known = text(replay, "/kind") == "replay" || part >= 1.0;
    if is_known { format!("{:.0} %", part * 100.0) } else { "-".into() }
}

fn tell(output: Output, replay: &Value) -> std::io::Result<()> {
    let plain = |field| text(replay, field);
    let mut fields = vec![
        ("id", plain("/id")),
        ("kind", plain("/kind")),
        ("endpoint", plain("/endpoint_id")),
        ("status", plain("/status")),
        ("progress", progress(replay)),
        ("matched", plain("/matched")),
        ("delivered", plain("/delivered")),
        ("failed", plain("/failed")),
        ("canceled", plain("/canceled")),
        ("cut by retention", plain("/cut")),
        ("select", plain("/select")),
        ("since", plain("/since")),
        ("until", plain("/until")),
        ("types", plain("/types")),
        ("filter", plain("/filter")),
        ("resource", plain("/resource_id")),
        ("events", plain("/event_ids")),
        ("begun at", plain("/created_at")),
        ("ended at", plain("/ended_at")),
    ];
    fields.retain(|(_, value)| value != "-");
    output.fields(fields)
}
