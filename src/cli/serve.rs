//! `certhook serve`: the gateway, over what is configured or over a simulated upstream.

use std::io::{self, Write};
use std::net::SocketAddr;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::ServeArguments;
use crate::app::Gateway;
use crate::app::sandbox::{Options, Upstream};
use crate::config::{Config, SANDBOX_KEY, process_environment};
use crate::telemetry;

/// Where the simulated upstream listens if the place is free; anywhere else otherwise.
const UPSTREAM: &str = "127.0.0.1:8091";

/// Runs the gateway until a signal. One that comes before the gateway has started ends it as soon as it has.
pub(super) async fn serve(arguments: ServeArguments) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    if arguments.sandbox {
        until_stopped(&stop, serve_sandbox(&arguments, &stop)).await
    } else {
        until_stopped(&stop, serve_configured(&arguments, &stop)).await
    }
}

async fn serve_configured(arguments: &ServeArguments, stop: &CancellationToken) -> anyhow::Result<()> {
    let config = Config::load(arguments.config.as_deref(), process_environment())?;
    telemetry::install(&config.log)?;
    run(Gateway::start(Config { paused: arguments.paused, ..config }).await?, stop).await
}

async fn serve_sandbox(arguments: &ServeArguments, stop: &CancellationToken) -> anyhow::Result<()> {
    let upstream = start_upstream(!arguments.quiet_sandbox).await?;
    let config = Config::sandbox(arguments.config.as_deref(), process_environment(), &upstream.url())?;
    telemetry::install(&config.log)?;
    let mut gateway = Gateway::start(Config { paused: arguments.paused, ..config }).await?;
    // It runs whether or not somebody reads what happens.
    let _ = writeln!(io::stdout(), "{}", welcome(gateway.address(), &upstream.url()));
    gateway.follow(|line| drop(writeln!(io::stdout(), "{line}")));
    let result = run(gateway, stop).await;
    upstream.stop().await;
    result
}

async fn start_upstream(live: bool) -> anyhow::Result<Upstream> {
    let preferred: SocketAddr = UPSTREAM.parse().expect("a constant address");
    match Upstream::start(preferred, Options::default(), live).await {
        Ok(upstream) => Ok(upstream),
        Err(_) => Upstream::start(SocketAddr::new(preferred.ip(), 0), Options::default(), live).await,
    }
}

/// Runs until the stop, and ends in order.
async fn run(gateway: Gateway, stop: &CancellationToken) -> anyhow::Result<()> {
    tracing::info!(address = %gateway.address(), "gateway.started");
    let result = gateway.run(stop.clone()).await;
    tracing::info!("gateway.stopped");
    result
}

/// Does `work`, which ends after `stop`; the first SIGTERM or SIGINT stops, a second one exits at once.
pub(super) async fn until_stopped<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let signals = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            tracing::warn!(%error, "signals are not handled; end the process with SIGKILL");
            return work.await;
        }
    };
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if stop.is_cancelled() {
            std::process::exit(1);
        }
        stop.cancel();
    }
}

/// What a newcomer reads first. Each call can be pasted as it stands.
fn welcome(address: SocketAddr, upstream: &Url) -> String {
    format!(
        "certhook runs over a simulated upstream. Nothing that you have configured is touched.

  API       http://{address}
  key       {SANDBOX_KEY}
  upstream  {upstream}

Register a receiver (or run: cargo run --example receiver):

  curl -X PUT http://{address}/v1/endpoints/receiver-example \\
    -H 'Authorization: Bearer {SANDBOX_KEY}' \\
    -H 'content-type: application/json' \\
    -d '{{\"url\": \"http://127.0.0.1:9000/\"}}'

Make something happen, or just wait; every event is a line here:

  curl -X POST {upstream}sandbox/trigger \\
    -H 'content-type: application/json' \\
    -d '{{\"type\": \"certificate.expiring\"}}'
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_printed_says_that_its_body_is_json() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let text = welcome(address, &"http://127.0.0.1:8091/".parse().expect("a URL"));
        let calls: Vec<&str> = text.split("\n\n").filter(|part| part.trim_start().starts_with("curl ")).collect();
        assert_eq!(calls.len(), 2);
        for call in calls {
            // What `curl -d` sends is called a form unless it is told otherwise, and our API takes no forms.
            assert!(call.contains(" -d '{") && call.contains("'content-type: application/json'"), "{call}");
        }
    }
}
