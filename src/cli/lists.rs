//! Lists: read page by page until there is enough.

use std::io;

use clap::Args;
use serde_json::Value;

use super::gateway::Session;
use crate::client::Query;

/// How much of a list.
#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// How many at most
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// What a list shows of each entry.
pub(super) struct Columns {
    /// Their names.
    pub(super) header: &'static [&'static str],
    /// An entry's cells.
    pub(super) row: fn(&Value) -> Vec<String>,
}

/// Writes a list. For programs, entries are written as they come; for people, when the widths of all are known.
pub(super) async fn list(
    session: &Session,
    path: &[&str],
    query: Query,
    much: &ListArguments,
    columns: &Columns,
) -> anyhow::Result<()> {
    let output = session.output;
    let mut pages = session.client.pages(path, query, (!much.all).then_some(much.limit));
    let mut rows = Vec::new();
    while let Some(entries) = pages.next().await? {
        if output.is_json() {
            entries.iter().try_for_each(|entry| output.json_line(entry))?;
        } else {
            rows.extend(entries.iter().map(columns.row));
        }
    }
    if !output.is_json() {
        output_rows(session, rows, columns)?;
        if pages.has_more() {
            output.note("There are more: --limit COUNT, or --all.");
        }
    }
    Ok(())
}

fn output_rows(session: &Session, rows: Vec<Vec<String>>, columns: &Columns) -> io::Result<()> {
    if rows.is_empty() {
        session.output.note("There is nothing to list.");
        return Ok(());
    }
    session.output.table(columns.header, rows)
}
