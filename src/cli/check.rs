//! `certhook check`: whether a gateway would run as it is configured, or how the one does that runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use url::Url;

use super::output::{Output, text};
use crate::app::check::{self, Finding, Verdict};
use crate::client::{Client, ClientError, Query};
use crate::config::{Config, process_environment};

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// The configuration; without it, config.toml in the working directory if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Writes JSON, one finding on each line
    #[arg(long)]
    pub(super) json: bool,
}

/// Checks what can be checked, and fails if anything would not work.
pub(super) async fn check(arguments: CheckArguments) -> anyhow::Result<()> {
    let CheckArguments { config: path, json } = arguments;
    let environment: Vec<_> = process_environment().collect();
    let findings = match Config::load(path.as_deref(), environment.clone()) {
        Ok(config) => configured(config).await?,
        Err(errors) => {
            let wrong = |problem: &dyn std::fmt::Display| {
                Finding::failed(
                    "configuration",
                    problem.to_string(),
                    "correct it; only what it leaves whole is checked",
                )
            };
            let mut findings: Vec<_> = errors.iter().map(|problem| wrong(problem)).collect();
            if let Ok((store, _)) = Config::load_store(path.as_deref(), environment) {
                findings.extend(check::store(store).await?.findings);
            }
            findings
        }
    };
    tell(Output::new(json), &findings)?;
    let failed = findings.iter().filter(|finding| finding.status == Verdict::Failed).count();
    anyhow::ensure!(failed == 0, "{failed} of {} checks failed", findings.len());
    Ok(())
}

async fn configured(config: Config) -> anyhow::Result<Vec<Finding>> {
    let count = config.sources.len();
    let sources = if count == 1 { "1 source".into() } else { format!("{count} sources") };
    let mut findings = vec![Finding::ok("configuration", format!("can be used; {sources}"))];
    let store = check::store(config.store).await?;
    findings.extend(store.findings);
    if store.is_in_use {
        findings.extend(running(config.api.listen, config.api.api_key).await);
    } else {
        findings.push(check::listen(config.api.listen).await);
    }
    for source in config.sources {
        findings.push(check::source(source).await);
    }
    Ok(findings)
}

/// What the gateway says that has the store open.
async fn running(listen: SocketAddr, key: secrecy::SecretString) -> Vec<Finding> {
    // It listens on every address; this machine is one of them.
    let ip = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    let base: Url = format!("http://{}", SocketAddr::new(ip, listen.port())).parse().expect("an address makes a URL");
    match asked(base.clone(), key).await {
        Ok(findings) => findings,
        Err(error) => {
            let remedy = "see whether it is a gateway with this configuration; its log says more";
            vec![Finding::failed("gateway", error.to_string(), remedy)]
        }
    }
}

async fn asked(base: Url, key: secrecy::SecretString) -> Result<Vec<Finding>, ClientError> {
    let found = format!("{base} runs and reads and writes the store");
    let client = Client::new(base, Some(key))?;
    client.get(&["readyz"], &[]).await?;
    let sources = client.pages(&["v1", "sources"], Query::new(), None).collect().await?;
    let mut findings = vec![Finding::ok("gateway", found)];
    findings.extend(sources.iter().map(|source| {
        let check = format!("gateway's {}", text(source, "/name"));
        let found = format!("{}, baseline complete: {}", text(source, "/status"), text(source, "/baseline/complete"));
        if text(source, "/status") == "healthy" {
            Finding::ok(check, found)
        } else {
            Finding::warning(check, found, "certhook sources show tells how its last passes went")
        }
    }));
    Ok(findings)
}

fn tell(output: Output, findings: &[Finding]) -> std::io::Result<()> {
    if output.is_json() {
        return findings.iter().map(|finding| json!(finding)).try_for_each(|finding: Value| output.json_line(&finding));
    }
    let word = |verdict| match verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Failed => "FAILED",
    };
    let rows = findings.iter().map(|finding| {
        let Finding { check, status, found, remedy } = finding.clone();
        vec![check, word(status).into(), found, remedy.unwrap_or_else(|| "-".into())]
    });
    output.table(&["check", "status", "found", "what to do"], rows)
}
