//! `certhook sandbox`: the simulated upstream.

use anyhow::Context;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{SandboxAction, SandboxArguments, serve};
use crate::app::sandbox::{Options, Upstream};
use crate::client::Client;

/// Runs it, or moves the one that runs.
pub(super) async fn sandbox(arguments: SandboxArguments) -> anyhow::Result<()> {
    let Some(action) = arguments.action else {
        let options = Options { size: arguments.size, ..Options::default() };
        let upstream = Upstream::start(arguments.listen, options, !arguments.quiet).await?;
        println!("Simulated upstream: {} (any bearer key that is not sk_test_…)", upstream.url());
        let stop = CancellationToken::new();
        serve::until_stopped(&stop, stop.clone().cancelled_owned()).await;
        upstream.stop().await;
        return Ok(());
    };
    let base = format!("http://{}", arguments.listen).parse().context("the address makes no URL")?;
    let client = Client::new(base, None)?;
    let answer = match action {
        SandboxAction::Advance { duration } => {
            client.post(&["sandbox", "clock"], &json!({ "advance": duration })).await?
        }
        SandboxAction::Trigger { event_type } => {
            client.post(&["sandbox", "trigger"], &json!({ "type": event_type })).await?
        }
    };
    println!("{answer}");
    Ok(())
}
