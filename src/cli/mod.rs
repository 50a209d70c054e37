//! The command line: what can be asked for, and one function per command.
//!
//! Exit codes: 0 done, 1 failed, 2 bad usage. Bad usage is what can be told from the command alone: nothing was asked of a
//! gateway then, and nothing has changed. What only the gateway can refuse is a failure. What was asked for goes to standard output: as tables at a terminal,
//! without lines into files and pipes, with `--json` one JSON value of the API's on each line. Errors and remarks go to
//! standard error.
//!
//! Commands hold no rules of their own: they put a call together, and show what comes back. Secrets are written only
//! where they are asked for.
//!
//! In reading order: `gateway` (which one, and for whom to write), `output`, `progress`, `told` (errors), `usage`, `when`
//! and `files` (what is given), `lists` and `filter` (what several commands share), then one file or folder per command.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use self::gateway::{GatewayArguments, Session};
use self::usage::BadUsage;
use crate::app::sandbox::Options;
use crate::model::event::EventType;

mod backup;
mod check;
mod deliveries;
mod endpoints;
mod events;
mod files;
mod filter;
mod gateway;
mod keys;
mod lists;
mod output;
mod progress;
mod rekey;
mod replay;
mod replays;
mod sandbox;
mod serve;
mod sources;
mod status;
mod told;
mod usage;
mod verify;
mod when;

/// What scripts can rely on.
const EXIT_CODES: &str =
    "Exit codes: 0 done; 1 failed; 2 bad usage: told from the command alone, and nothing was done.";

/// Tells your systems what happened to tax-exemption certificates, as signed webhooks.
#[derive(Debug, Parser)]
#[command(name = "certhook", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway
    Serve(ServeArguments),
    /// Checks the configuration, the store and each source, beside a running gateway too, and says what to do
    Check(check::CheckArguments),
    /// Runs the simulated upstream alone, or moves a running one
    Sandbox(SandboxArguments),
    /// How everything stands: sources, endpoints in trouble, log, disk
    Status(GatewayArguments),
    /// The upstream accounts: how they are doing, look now, pause, what is missing
    Sources(Group<sources::Action>),
    /// Who gets events: register, change, test, switch on and off
    Endpoints(Box<Group<endpoints::Action>>),
    /// What was observed; what is being observed
    Events(Group<events::Action>),
    /// What was sent to whom, and how it went
    Deliveries(Group<deliveries::Action>),
    /// Sends an endpoint again what it missed, and waits until that is done
    Replay(Box<Alone<replay::ReplayArguments>>),
    /// How replays and resyncs are doing; stop one
    Replays(Group<replays::Action>),
    /// Who may use the API, and for what
    Keys(Group<keys::Action>),
    /// Checks a captured webhook, and says what is wrong with it
    Verify(verify::VerifyArguments),
    /// Makes one file of all that a running gateway's store holds; to restore it, its key is needed too
    Backup(Alone<backup::BackupArguments>),
    /// Makes the store of a backup; no gateway may run on it, and the key must be that of its time
    Restore(backup::RestoreArguments),
    /// Seals the secrets in the store with a new key; no gateway may run on it
    Rekey(RekeyArguments),
    /// Writes what a shell needs to complete commands and options
    Completions {
        /// Which shell
        shell: Shell,
    },
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
    /// Of advance and trigger: writes the sandbox's own JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<SandboxAction>,
}

#[derive(Debug, Subcommand)]
enum SandboxAction {
    /// Moves the clock of the running sandbox on, for example by 30d
    Advance {
        /// How far: 90s, 12h, 30d
        #[arg(value_parser = humantime::parse_duration)]
        duration: Duration,
    },
    /// Makes an event happen in the running sandbox, for example certificate.expiring
    Trigger {
        /// The event's type
        event_type: EventType,
    },
}

/// The exit code of bad usage, as clap has it, too.
const BAD_USAGE: u8 = 2;

/// Tells what clap says of a command line, which may be the help that was asked for.
fn unusable(error: &clap::Error) -> ExitCode {
    let as_json = error.use_stderr() && std::env::args_os().any(|argument| argument == "--json");
    // Where nobody hears it, the exit code still tells.
    if as_json {
        let text = error.to_string();
        let message = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        let _ = writeln!(io::stderr(), "{}", usage::value(message, &[]));
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(BAD_USAGE))
}

/// Something to do that is about a gateway.
#[derive(Debug, clap::Args)]
struct Group<A: Subcommand> {
    #[command(flatten)]
    gateway: GatewayArguments,
    #[command(subcommand)]
    action: A,
}

/// One thing to be asked of a gateway.
#[derive(Debug, clap::Args)]
struct Alone<A: clap::Args> {
    #[command(flatten)]
    asked: A,
    #[command(flatten)]
    gateway: GatewayArguments,
}

/// Parses the command line and does what it says.
pub fn run() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return unusable(&error),
    };
    let as_json = command.is_for_programs();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime");
    match runtime.and_then(|runtime| runtime.block_on(command.run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if told::is_nobody_there(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let text = if as_json { told::for_programs(&error).to_string() } else { told::for_people(&error) };
            // Where nobody hears it, the exit code still tells.
            let _ = writeln!(io::stderr(), "{text}");
            if error.is::<BadUsage>() { ExitCode::from(BAD_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

impl Command {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Serve(arguments) => serve::serve(arguments).await,
            Self::Check(arguments) => check::check(arguments).await,
            Self::Backup(alone) => backup::backup(&Session::new(alone.gateway)?, alone.asked).await,
            Self::Restore(arguments) => backup::restore(arguments).await,
            Self::Rekey(arguments) => rekey::rekey(arguments).await,
            Self::Sandbox(arguments) => sandbox::sandbox(arguments).await,
            Self::Status(gateway) => status::status(&Session::new(gateway)?).await,
            Self::Sources(Group { gateway, action }) => sources::sources(&Session::new(gateway)?, action).await,
            Self::Endpoints(group) => endpoints::endpoints(&Session::new(group.gateway)?, group.action).await,
            Self::Events(Group { gateway, action }) => events::events(&Session::new(gateway)?, action).await,
            Self::Deliveries(Group { gateway, action }) => {
                deliveries::deliveries(&Session::new(gateway)?, action).await
            }
            Self::Replay(alone) => replay::replay(&Session::new(alone.gateway)?, alone.asked).await,
            Self::Replays(Group { gateway, action }) => replays::replays(&Session::new(gateway)?, action).await,
            Self::Keys(Group { gateway, action }) => keys::keys(&Session::new(gateway)?, action).await,
            Self::Verify(arguments) => verify::verify(&arguments),
            Self::Completions { shell } => completions(shell),
        }
    }

    /// Whether the one who reads asked for JSON.
    fn is_for_programs(&self) -> bool {
        match self {
            Self::Check(arguments) => arguments.json,
            Self::Status(gateway) => gateway.json,
            Self::Sources(Group { gateway, .. }) => gateway.json,
            Self::Endpoints(group) => group.gateway.json,
            Self::Events(Group { gateway, .. }) => gateway.json,
            Self::Deliveries(Group { gateway, .. }) => gateway.json,
            Self::Replay(alone) => alone.gateway.json,
            Self::Backup(alone) => alone.gateway.json,
            Self::Replays(Group { gateway, .. }) => gateway.json,
            Self::Keys(Group { gateway, .. }) => gateway.json,
            Self::Verify(arguments) => arguments.json,
            Self::Sandbox(arguments) => arguments.json,
            Self::Serve(_) | Self::Restore(_) | Self::Rekey(_) | Self::Completions { .. } => false,
        }
    }
}

/// Writes what a shell needs to complete commands and options.
fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "certhook", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(())
}
