//! `certhook verify`: whether a captured webhook is what was sent, and if not, why.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::files;
use super::output::Output;
use crate::app::webhook::{Captured, TOLERANCE, verify as check};
use crate::clock::{Clock, SystemClock};

/// Far more than any delivery has.
const HEADERS_BYTES_MAX: u64 = 256 * 1024;
const BODY_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    /// The endpoint's secret (whsec_…), or several, of which any may have signed
    #[arg(long = "secret", value_name = "SECRET", value_delimiter = ',', required = true)]
    secrets: Vec<SecretString>,
    /// The headers that came: lines of `name: value`, or a JSON object; - is standard input
    #[arg(long, value_name = "FILE")]
    headers: PathBuf,
    /// The body that came, byte for byte; - is standard input
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// How long ago it may have been signed (30d); without it, what receivers usually allow
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    tolerance: Option<Duration>,
    /// Writes JSON: {"verified", "id", "cause"}; cause: header, age, body, secret, secret_or_body
    #[arg(long)]
    pub(super) json: bool,
}

/// Checks a captured webhook. Fails with the cause if it is not what was sent.
pub(super) fn verify(arguments: &VerifyArguments) -> anyhow::Result<()> {
    let VerifyArguments { secrets, headers, body, tolerance, json } = arguments;
    let text = String::from_utf8(files::read(headers, HEADERS_BYTES_MAX)?).ok().context("the headers are no text")?;
    let captured = Captured { headers: read_headers(&text), body: files::read(body, BODY_BYTES_MAX)? };
    let now = SystemClock::default().now();
    let checked = check(&captured, secrets, now, tolerance.unwrap_or(TOLERANCE));
    let (output, id) = (Output::new(*json), captured.id());
    let cause = checked.as_ref().err().map(|distrust| distrust.cause());
    if *json {
        output.json_line(&json!({ "verified": cause.is_none(), "id": id, "cause": cause }))?;
    } else if let Ok(signer) = &checked {
        let by = if secrets.len() > 1 { format!(" (signed with secret {})", signer + 1) } else { String::new() };
        output.line(&format!("It is what was sent: {}{by}", id.unwrap_or_default()))?;
    }
    checked.map(drop).context("it is not to be trusted")
}

/// Headers by their lower-case names. What is no header, such as the first line of a request, is passed over.
fn read_headers(text: &str) -> Vec<(String, String)> {
    if let Ok(fields) = serde_json::from_str::<Map<String, Value>>(text) {
        let first = |value: Value| match value {
            Value::String(text) => Some(text),
            Value::Array(values) => values.first().and_then(Value::as_str).map(str::to_owned),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        };
        return fields.into_iter().filter_map(|(name, value)| Some((name.to_lowercase(), first(value)?))).collect();
    }
    let header = |line: &str| {
        // As `curl -v` shows them.
        let line = line.trim_start_matches(['<', '>', ' ']);
        let (name, value) = line.split_once(':')?;
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        is_name.then(|| (name.to_lowercase(), value.trim().to_owned()))
    };
    text.lines().filter_map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_tools_write_them() {
        let expected = [("webhook-id".to_owned(), "evt_1".to_owned()), ("host".into(), "a:80".into())];
        for text in [
            "POST http://a:80/ HTTP/1.1\r\nWebhook-Id: evt_1\r\nHost: a:80\r\n\r\n",
            "> webhook-id: evt_1\n> host: a:80\n",
            r#"{"Webhook-Id": "evt_1", "host": ["a:80"]}"#,
        ] {
            assert_eq!(read_headers(text), expected, "{text}");
        }
    }
}
