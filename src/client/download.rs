//! One answer of any length, written as it comes.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use reqwest::Method;
use tokio::time::timeout;

use super::Client;

/// A process that sends nothing for so long is in trouble.
const SILENCE_MAX: Duration = Duration::from_secs(60);

impl Client {
    /// Writes what is at a path; how many bytes that are.
    ///
    /// # Errors
    /// If nothing answers, the answer is an error or breaks off, or it cannot be written.
    pub async fn download(&self, path: &[&str], mut into: impl Write) -> anyhow::Result<u64> {
        let silent = || format!("{} says nothing for {} s", self.base, SILENCE_MAX.as_secs());
        let request = self.request(Method::GET, path, &[]);
        let mut response = timeout(SILENCE_MAX, self.send(request)).await.with_context(silent)??;
        if !response.status().is_success() {
            let (status, text) = timeout(SILENCE_MAX, self.read(response)).await.with_context(silent)??;
            return Err(self.refused(status.as_u16(), &text).into());
        }
        let mut bytes = 0;
        loop {
            let piece = timeout(SILENCE_MAX, response.chunk()).await.with_context(silent)?;
            let piece = piece.with_context(|| format!("{} broke off after {bytes} bytes", self.base))?;
            let Some(piece) = piece else { return Ok(bytes) };
            into.write_all(&piece).context("cannot write what was sent")?;
            bytes += piece.len() as u64;
        }
    }
}
