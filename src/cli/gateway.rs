//! What every command that talks to a running gateway takes, and what it gets from it.

use clap::Args;
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::output::{Output, text};
use super::usage::http_url;
use crate::client::{Client, ClientError, Query};
use crate::clock::{Clock, SystemClock};
use crate::model::nearest::nearest;
use crate::model::time::Timestamp;

/// So many endpoints are looked through for the one that was meant.
const LOOKED_THROUGH_MAX: u64 = 1_000;

/// Which gateway, with which key, and for whom to write.
#[derive(Debug, Args)]
pub(super) struct GatewayArguments {
    /// The gateway's address
    #[arg(
        long,
        value_name = "URL",
        env = "CERTHOOK_API",
        default_value = "http://127.0.0.1:8080",
        value_parser = http_url,
        global = true,
        help_heading = "Gateway"
    )]
    api: Url,
    /// A key of its API; other users of this machine see it here, but not in the variable
    #[arg(long, env = "CERTHOOK_API_KEY", hide_env_values = true, global = true, help_heading = "Gateway")]
    key: Option<SecretString>,
    /// Writes the API's own JSON, one value on each line; errors too, on standard error
    #[arg(long, global = true, help_heading = "Gateway")]
    pub(super) json: bool,
}

/// A gateway to talk to, and somebody to tell.
pub(super) struct Session {
    /// The gateway.
    pub(super) client: Client,
    /// The one who reads.
    pub(super) output: Output,
    /// When the command was given.
    pub(super) now: Timestamp,
}

impl Session {
    /// The gateway that the arguments name.
    pub(super) fn new(arguments: GatewayArguments) -> Result<Self, ClientError> {
        let GatewayArguments { api, key, json } = arguments;
        Ok(Self { client: Client::new(api, key)?, output: Output::new(json), now: SystemClock::default().now() })
    }

    /// What a call about an endpoint gave; if there is no such endpoint, with the one that was most likely meant.
    pub(super) async fn about_endpoint(&self, name: &str, answer: Result<Value, ClientError>) -> anyhow::Result<Value> {
        match answer {
            Err(error) if error.refusal().is_some_and(|refusal| refusal.word() == "ENDPOINT_NOT_FOUND") => {
                match self.help(name).await {
                    Some(help) => Err(anyhow::Error::new(error).context(help)),
                    None => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
            Ok(value) => Ok(value),
        }
    }

    /// The id of the endpoint of that id or uid.
    pub(super) async fn endpoint_id(&self, name: &str) -> anyhow::Result<String> {
        let found = self.client.get(&["v1", "endpoints", name], &[]).await;
        Ok(text(&self.about_endpoint(name, found).await?, "/id"))
    }

    /// The same of a source.
    pub(super) async fn about_source(&self, name: &str, answer: Result<Value, ClientError>) -> anyhow::Result<Value> {
        match answer {
            Err(error) if error.refusal().is_some_and(|refusal| refusal.word() == "SOURCE_NOT_FOUND") => {
                let sources = self.client.pages(&["v1", "sources"], Query::new(), None).collect().await;
                let sources = sources.unwrap_or_default();
                let names: Vec<_> = sources.iter().map(|source| text(source, "/name")).collect();
                let help = match nearest(name, names.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => format!("those that are configured: {}", names.join(", ")),
                };
                Err(anyhow::Error::new(error).context(help))
            }
            Err(error) => Err(error.into()),
            Ok(value) => Ok(value),
        }
    }

    async fn help(&self, name: &str) -> Option<String> {
        let pages = self.client.pages(&["v1", "endpoints"], Query::new(), Some(LOOKED_THROUGH_MAX));
        let endpoints = pages.collect().await.ok()?;
        let field = |name| endpoints.iter().filter_map(move |endpoint| endpoint.get(name)?.as_str());
        match nearest(name, field("uid").chain(field("id"))) {
            Some(meant) => Some(format!("did you mean {meant}?")),
            None if endpoints.is_empty() => Some("there are no endpoints yet: certhook endpoints create URL".into()),
            None => Some("certhook endpoints list shows those that there are".into()),
        }
    }
}
