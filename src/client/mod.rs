//! HTTP APIs of running processes of ours, seen from outside.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use url::Url;

pub mod download;

/// Our processes answer at once; one that does not is in trouble.
const DEADLINE: Duration = Duration::from_secs(10);

/// A caller of one process.
#[derive(Debug)]
pub struct Client {
    base: Url,
    http: reqwest::Client,
}

impl Client {
    /// A caller of the process at `base`.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(base: Url) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(DEADLINE).no_proxy().build().context("cannot set up HTTP")?;
        Ok(Self { base, http })
    }

    /// Posts JSON, and gives the JSON that comes back.
    ///
    /// # Errors
    /// If nothing answers at the address, or the answer is an error: its own message is told.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = self.base.join(path).with_context(|| format!("{path} is no path"))?;
        let request = self.http.post(url).header("content-type", "application/json").body(body.to_string());
        let response = request.send().await.with_context(|| format!("nothing answers at {}", self.base))?;
        let status = response.status();
        let text = response.text().await.with_context(|| format!("{} broke off", self.base))?;
        let answer: Value = serde_json::from_str(&text).with_context(|| format!("{status} without JSON"))?;
        if !status.is_success() {
            bail!("{}", answer.get("message").and_then(Value::as_str).unwrap_or(&text));
        }
        Ok(answer)
    }
}
