//! The command line: what can be asked for, and one function per command.
//!
//! Exit codes: 0 done, 1 failed, 2 bad usage.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::sandbox::Options;

mod backup;
mod rekey;
mod sandbox;
mod serve;

/// Tells your systems what happened to tax-exemption certificates, as signed webhooks.
#[derive(Debug, Parser)]
#[command(name = "certhook", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway
    Serve(ServeArguments),
    /// Makes one file of all that a running gateway's store holds; to restore it, its key is needed too
    Backup(backup::BackupArguments),
    /// Makes the store of a backup; no gateway may run on it, and the key must be that of its time
    Restore(backup::RestoreArguments),
    /// Seals the secrets in the store with a new key; no gateway may run on it
    Rekey(RekeyArguments),
    /// Runs the simulated upstream alone, or moves a running one
    Sandbox(SandboxArguments),
}

#[derive(Debug, clap::Args)]
struct ServeArguments {
    /// The configuration; without it, config.toml in the working directory if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Runs over a simulated upstream, with a store and a key of its own; touches nothing that is configured
    #[arg(long)]
    sandbox: bool,
    /// Neither polls nor delivers, to look first, for example after a restore; to go on, start it without
    #[arg(long)]
    paused: bool,
    /// With --sandbox: nothing happens upstream unless you make it happen
    #[arg(long, requires = "sandbox")]
    quiet_sandbox: bool,
}

#[derive(Debug, clap::Args)]
struct RekeyArguments {
    /// The configuration; without it, config.toml in the working directory if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where store.encryption_key is configured: the key that takes its place, 32 bytes in base64; drawn if there is
    /// no such file
    #[arg(long, value_name = "FILE")]
    new_key: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct SandboxArguments {
    /// Where the simulated upstream listens, or where the running one does
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8091", global = true)]
    listen: SocketAddr,
    /// Nothing happens unless you make it happen
    #[arg(long)]
    quiet: bool,
    /// How many certificates and requests it begins with
    #[arg(long, value_name = "COUNT", default_value_t = Options::default().size)]
    size: usize,
    #[command(subcommand)]
    action: Option<SandboxAction>,
}

#[derive(Debug, Subcommand)]
enum SandboxAction {
    /// Moves the clock of the running sandbox on, for example by 30d
    Advance {
        /// How far: 90s, 12h, 30d
        duration: String,
    },
    /// Makes an event happen in the running sandbox, for example certificate.expiring
    Trigger {
        /// The event's type
        event_type: String,
    },
}

/// Parses the command line and does what it says.
pub fn run() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("cannot start the runtime")),
    };
    let result = match Cli::parse().command {
        Command::Serve(arguments) => runtime.block_on(serve::serve(arguments)),
        Command::Backup(arguments) => runtime.block_on(backup::backup(arguments)),
        Command::Restore(arguments) => runtime.block_on(backup::restore(arguments)),
        Command::Rekey(arguments) => runtime.block_on(rekey::rekey(arguments)),
        Command::Sandbox(arguments) => runtime.block_on(sandbox::sandbox(arguments)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Tells an error and its causes once, as one chain.
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("certhook: {error:#}");
    ExitCode::FAILURE
}
