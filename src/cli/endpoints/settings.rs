//! What can be said of an endpoint when it is made or changed, as the API takes it.
//!
//! Limits are the API's: its own readers look at what was put together before it is sent.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::filter::FilterArguments;
use crate::cli::usage::BadUsage;
use crate::cli::when::When;
use crate::model::pattern::Pattern;
use crate::model::time::Timestamp;

/// A larger file is no secret.
const SECRET_BYTES_MAX: u64 = 4096;

/// Settings, of which those count that are given.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// A name of your own, by which it is found
    #[arg(long)]
    uid: Option<String>,
    /// What it is, for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Which events it gets: types or patterns (certificate.*); * is everything about certificates and requests
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<Pattern>,
    /// Whole events, or only ids, status and customer
    #[arg(long, value_parser = ["full", "thin"])]
    payload: Option<String>,
    /// The form of the bodies
    #[arg(long, value_parser = ["standard", "cloudevents"])]
    format: Option<String>,
    /// Whether an event waits for earlier ones of its resource
    #[arg(long, value_parser = ["per_resource", "none"])]
    ordering: Option<String>,
    /// A header that is sent along; what it says is never shown again
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// How many deliveries may begin in a time (5/s, 100/m, 1000/h)
    #[arg(long, value_name = "RATE")]
    rate_limit: Option<String>,
    /// How many deliveries may be under way
    #[arg(long, value_name = "COUNT")]
    max_in_flight: Option<u32>,
    /// Waits between attempts, instead of the configured ones (5s,5m,1h)
    #[arg(long, value_name = "WAIT", value_delimiter = ',')]
    retry: Vec<String>,
    /// Something of yours to keep with it
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// A file with the secret that signs (whsec_…), instead of one that is drawn
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Whether anything is sent to it
    #[arg(long, value_parser = ["enabled", "disabled"])]
    status: Option<String>,
    #[command(flatten)]
    filter: FilterArguments,
}

impl Settings {
    /// What was given, as the fields of a body.
    pub(super) fn given(self) -> anyhow::Result<Map<String, Value>> {
        let texts = [
            ("uid", self.uid),
            ("description", self.description),
            ("payload", self.payload),
            ("format", self.format),
            ("ordering", self.ordering),
            ("rate_limit", self.rate_limit),
            ("status", self.status),
            ("secret", self.secret_file.map(read_secret).transpose()?),
        ];
        let mut fields: Map<String, Value> =
            texts.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into()))).collect();
        let rest = [
            ("types", (!self.types.is_empty()).then(|| json!(self.types))),
            ("retry", (!self.retry.is_empty()).then(|| self.retry.into())),
            ("headers", object(self.headers)),
            ("metadata", object(self.metadata)),
            ("max_in_flight", self.max_in_flight.map(Value::from)),
            ("filter", self.filter.given()),
        ];
        fields.extend(rest.into_iter().filter_map(|(name, value)| Some((name.into(), value?))));
        Ok(fields)
    }
}

/// The fields that become what they are by default, and parts of those that have parts (`headers.x-key`), as a merge
/// patch says it.
pub(super) fn unset(fields: &[String], given: &Map<String, Value>) -> Result<Map<String, Value>, BadUsage> {
    let mut patch = Map::new();
    for field in fields {
        let (whole, part) = field.split_once('.').map_or((field.as_str(), None), |(whole, part)| (whole, Some(part)));
        if part.is_none() && given.contains_key(whole) {
            return Err(BadUsage::of("--unset", format!("{whole} is given, too; name the parts of it that are to go")));
        }
        match part {
            None => drop(patch.insert(whole.into(), Value::Null)),
            Some(part) => {
                let parts = patch.entry(whole).or_insert_with(|| json!({})).as_object_mut();
                parts.map(|parts| parts.insert(part.into(), Value::Null));
            }
        }
    }
    Ok(patch)
}

fn object(pairs: Vec<(String, String)>) -> Option<Value> {
    let fields: Map<_, _> = pairs.into_iter().map(|(name, value)| (name, value.into())).collect();
    (!fields.is_empty()).then_some(fields.into())
}

/// The secret in a file, without the end of its line.
pub(super) fn read_secret(path: PathBuf) -> anyhow::Result<String> {
    let bytes = crate::cli::files::read(&path, SECRET_BYTES_MAX)?;
    let text = String::from_utf8(bytes).ok().with_context(|| format!("{} is not text", path.display()))?;
    Ok(text.trim().into())
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once(':').ok_or("must be NAME: VALUE")?;
    Ok((name.trim().into(), value.trim().into()))
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((name.into(), value.into()))
}

/// Where in the log an endpoint begins.
#[derive(Clone, Debug)]
pub(super) enum Start {
    /// `now` or `earliest`.
    Word(String),
    /// With an event.
    Event(String),
    /// With what was observed at an instant.
    At(When),
}

/// Reads where an endpoint begins.
pub(super) fn start(text: &str) -> Result<Start, String> {
    match text {
        "now" | "earliest" => Ok(Start::Word(text.into())),
        id if id.starts_with("evt_") => Ok(Start::Event(id.into())),
        instant => instant.parse().map(Start::At).map_err(|_| {
            "must be now, earliest, the id of an event (evt_…), an instant (2026-11-20T18:00Z) or how long ago (3d)"
                .into()
        }),
    }
}

impl Start {
    /// As the API takes it.
    pub(super) fn given(self, now: Timestamp) -> Value {
        match self {
            Self::Word(word) => word.into(),
            Self::Event(id) => json!({ "event": id }),
            Self::At(when) => json!({ "at": when.instant(now).to_string() }),
        }
    }
}
