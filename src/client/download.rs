//! One answer of any length, written as it comes.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use url::Url;

/// A process that sends nothing for so long is in trouble.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Writes what is at a URL, which the key opens; how many bytes that are.
///
/// # Errors
/// If nothing answers, the answer is an error (its own message is told) or breaks off, or it cannot be written.
pub async fn download(url: &Url, key: &str, mut into: impl Write) -> anyhow::Result<u64> {
    let builder = reqwest::Client::builder().connect_timeout(SILENCE_MAX).read_timeout(SILENCE_MAX).no_proxy();
    let http = builder.redirect(reqwest::redirect::Policy::none()).build().context("cannot set up HTTP")?;
    let request = http.get(url.clone()).bearer_auth(key);
    let mut response = request.send().await.with_context(|| format!("nothing answers at {url}"))?;
    let status = response.status();
    if !status.is_success() {
        let text = response.text().await.with_context(|| format!("{url} broke off"))?;
        let answer: Value = serde_json::from_str(&text).with_context(|| format!("{url}: {status} without JSON"))?;
        bail!("{}", answer.get("message").and_then(Value::as_str).unwrap_or(&text));
    }
    let mut bytes = 0;
    while let Some(piece) = response.chunk().await.with_context(|| format!("{url} broke off after {bytes} bytes"))? {
        into.write_all(&piece).context("cannot write what was sent")?;
        bytes += piece.len() as u64;
    }
    Ok(bytes)
}
