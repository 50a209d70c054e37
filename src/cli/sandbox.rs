//! `certhook sandbox`: the simulated upstream.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::output::{Output, text};
use super::{SandboxAction, SandboxArguments, serve};
use crate::app::sandbox::{Options, Upstream};
use crate::client::{Client, ClientError};

/// Runs it, or moves the one that runs.
pub(super) async fn sandbox(arguments: SandboxArguments) -> anyhow::Result<()> {
    let Some(action) = arguments.action else {
        let options = Options { size: arguments.size, ..Options::default() };
        let upstream = Upstream::start(arguments.listen, options, !arguments.quiet).await?;
        let told = format!("Simulated upstream: {} (any bearer key that is not sk_test_…)", upstream.url());
        // It runs whether or not somebody reads where.
        let _ = Output::new(false).line(&told);
        let stop = CancellationToken::new();
        serve::until_stopped(&stop, stop.clone().cancelled_owned()).await;
        upstream.stop().await;
        return Ok(());
    };
    let base = format!("http://{}", arguments.listen).parse().context("the address makes no URL")?;
    let client = Client::new(base, None)?;
    let output = Output::new(arguments.json);
    match action {
        SandboxAction::Advance { duration } => advance(&client, output, duration).await,
        SandboxAction::Trigger { event_type } => trigger(&client, output, event_type.as_str()).await,
    }
}

async fn advance(client: &Client, output: Output, duration: Duration) -> anyhow::Result<()> {
    let by = humantime::format_duration(duration).to_string();
    let moved = client.post(&["sandbox", "clock"], &json!({ "advance": by })).await.map_err(told)?;
    output.value(&moved, |output| output.line(&format!("It is {} in the sandbox now.", text(&moved, "/now"))))?;
    Ok(())
}

async fn trigger(client: &Client, output: Output, event_type: &str) -> anyhow::Result<()> {
    let done = client.post(&["sandbox", "trigger"], &json!({ "type": event_type })).await.map_err(told)?;
    let subject = |done: &Value| format!("{} {}", text(done, "/object/object"), text(done, "/object/id"));
    output.value(&done, |output| output.line(&format!("{event_type}: {}", subject(&done))))?;
    Ok(())
}

/// What to do where no sandbox answers, which is not what to do where no gateway does.
fn told(error: ClientError) -> anyhow::Error {
    let is_away = matches!(error, ClientError::Unreachable { .. } | ClientError::Foreign { .. });
    let error = anyhow::Error::new(error);
    if !is_away {
        return error;
    }
    error.context(
        "start a simulated upstream (certhook sandbox, or certhook serve --sandbox, which prints its address), or say \
         where one runs: --listen ADDRESS",
    )
}
