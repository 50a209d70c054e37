//! `certhook keys`: who may use the API, and for what.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Map;

use super::gateway::Session;
use super::lists::{Columns, ListArguments, list};
use super::output::{Output, text};
use super::usage::{examined, name};
use crate::api::examine;
use crate::client::Query;
use crate::model::key::Scope;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// All of them; the keys themselves are known to nobody but their owners
    List(ListArguments),
    /// Makes one, and shows it, this once
    Create(Create),
    /// Makes one useless at once
    Revoke {
        /// The key's id (key_…)
        #[arg(value_parser = name)]
        key_id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Whose it is, or what it is for
    name: String,
    /// What it may do
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', required = true, value_parser = Scope::ALL.map(Scope::as_str))]
    scopes: Vec<String>,
    /// Makes it useless after so long (90d)
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    expires_in: Option<Duration>,
}

const KEYS: Columns = Columns {
    header: &["id", "name", "prefix", "scopes", "created at", "last used at", "expires at"],
    row: |key| {
        let fields = ["/id", "/name", "/prefix", "/scopes", "/created_at", "/last_used_at", "/expires_at"];
        fields.map(|field| text(key, field)).into()
    },
};

/// Does what is asked of the keys.
pub(super) async fn keys(session: &Session, action: Action) -> anyhow::Result<()> {
    let Session { client, output, now } = session;
    match action {
        Action::List(much) => list(session, &["v1", "keys"], Query::new(), &much, &KEYS).await?,
        Action::Create(Create { name, scopes, expires_in }) => {
            let mut body = Map::from_iter([("name".into(), name.into()), ("scopes".into(), scopes.into())]);
            body.extend(expires_in.map(|after| ("expires_at".into(), now.plus(after).to_string().into())));
            examined(examine::key(body.clone(), *now))?;
            let key = client.post(&["v1", "keys"], &body.into()).await?;
            let shown = ["id", "name", "scopes", "expires_at", "key"];
            let shown = shown.map(|field| (field, text(&key, &format!("/{field}"))));
            output.value(&key, |output: Output| {
                output.fields(shown.iter().map(|(field, value)| (field.trim_end_matches("_at"), value.clone())))
            })?;
            output.note("Keep the key now: nobody can show it again.");
        }
        Action::Revoke { key_id } => {
            let revoked = client.delete(&["v1", "keys", &key_id]).await?;
            output.value(&revoked, |output: Output| output.line(&format!("{key_id} opens nothing any more.")))?;
        }
    }
    Ok(())
}
