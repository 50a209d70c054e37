//! What the benches of deliveries share: a gateway without its passes, receivers in a process of their own, the
//! physical limit, and how figures are put together. And those of polling: a gateway with nothing but its passes, and
//! an account in a process of its own.
//!
//! A bench starts itself once more for its receivers ([`start`]), so that the processor time which it measures is the
//! sender's alone. What is measured beside a limit alternates with it in one run, and the median of the ratios counts:
//! what else the machine does hits both.
//!
//! In reading order: this file, [`sample`] (endpoints and events), [`gateway`] (store and deliveries), [`limit`] (what
//! the machine could do at best), [`telling`] (events at a rate), [`receiver`] (where requests arrive), [`polling`] and
//! [`account`] (upstream), [`figures`].

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use self::receiver::Receiver;

pub(crate) mod account;
pub(crate) mod figures;
pub(crate) mod gateway;
pub(crate) mod limit;
pub(crate) mod polling;
pub(crate) mod receiver;
pub(crate) mod sample;
pub(crate) mod telling;

/// What every bench that starts receivers can be told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// Serves as the receivers; the bench starts itself so
    #[arg(long, hide = true)]
    receiver: Option<u16>,
    /// Handed over by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// Runs a bench, or its receivers if that is what this process was started for.
pub(crate) fn start(common: &Common, bench: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    if let Some(port) = common.receiver {
        return tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(receiver::serve(port));
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(bench)
}

/// Starts receivers in a process of their own, on a port that is free or on this one. They end with this process.
pub(crate) async fn receivers(port: u16) -> anyhow::Result<Receiver> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--receiver", &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    Ok(Receiver::new(first_line(&mut child).await?.parse()?, child))
}

/// Waits until the process that started this one has closed what it was to write to it, at its end at the latest.
pub(crate) async fn parent_is_gone() -> anyhow::Result<()> {
    let read = || std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    tokio::task::spawn_blocking(read).await??;
    Ok(())
}

/// The first line that a child prints.
pub(crate) async fn first_line(child: &mut Child) -> anyhow::Result<String> {
    let output = child.stdout.take().ok_or_else(|| anyhow::anyhow!("the child has no output"))?;
    let line = BufReader::new(output).lines().next_line().await?;
    line.ok_or_else(|| anyhow::anyhow!("the child has printed nothing"))
}
