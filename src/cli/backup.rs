//! `certhook backup` and `certhook restore`: everything that a store holds, as a file, and back.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::json;

use super::gateway::Session;
use super::output::Output;
use crate::app;
use crate::client::Client;
use crate::config::{Config, process_environment};
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct BackupArguments {
    /// The file to be made; none that is there is overwritten
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct RestoreArguments {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The configuration; without it, config.toml in the working directory if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Moves a store that is there aside, and deletes nothing of it
    #[arg(long)]
    force: bool,
}

/// Takes a backup of a running gateway, and reads it once more before it gets its name.
pub(super) async fn backup(session: &Session, arguments: BackupArguments) -> anyhow::Result<()> {
    let BackupArguments { file } = arguments;
    ensure!(!file.exists(), "{} is there already; name another file", file.display());
    let mut name = file.file_name().context("that is no name of a file")?.to_os_string();
    name.push(".unfinished");
    let unfinished = file.with_file_name(name);
    let taken = take(&session.client, &unfinished).await;
    let done = taken.and_then(|said| keep(&unfinished, &file).map(|()| said));
    if done.is_err() {
        // What is left of it is of no use. That there may be nothing left is no reason to say something else.
        let _nothing_there = fs::remove_file(&unfinished);
    }
    let said = done?;
    let value = json!({ "object": "backup", "file": file, "description": said });
    session.output.value(&value, |output| output.line(&format!("{}: {said}.", file.display())))?;
    session.output.note(
        "Its secrets are sealed: to restore it, keep the key of today (data.key beside the store, or store.encryption_key), \
         apart from it.",
    );
    Ok(())
}

/// Downloads the backup and says what it is, once it is whole and on the disk.
async fn take(client: &Client, unfinished: &Path) -> anyhow::Result<String> {
    let cannot_write = || format!("cannot write {}", unfinished.display());
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(unfinished);
    let mut made = made.with_context(cannot_write)?;
    client.download(&["v1", "backup"], &mut made).await?;
    made.sync_all().with_context(cannot_write)?;
    app::examine_backup(unfinished).await.context("the backup is not whole")
}

/// Gives the file its name, unless somebody else has taken it meanwhile.
fn keep(unfinished: &Path, file: &Path) -> anyhow::Result<()> {
    let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = fs::hard_link(unfinished, file).and_then(|()| fs::remove_file(unfinished));
    let synced = named.and_then(|()| File::open(folder)?.sync_all());
    synced.with_context(|| format!("cannot make {}", file.display()))
}

/// Makes the store of a backup, and says what is left to do.
pub(super) async fn restore(arguments: RestoreArguments) -> anyhow::Result<()> {
    let (store, log) = Config::load_store(arguments.config.as_deref(), process_environment())?;
    telemetry::install(&log)?;
    let said = app::restore(store, arguments.file, arguments.force).await?;
    Ok(Output::new(false).line(&said)?)
}
