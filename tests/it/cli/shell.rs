//! Somebody who types commands, and what they got to read.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::process::{PATIENCE, Process, ROOT_KEY, free_port};

/// A folder, an upstream and a gateway over it, past its baseline.
pub(super) struct House {
    pub(super) folder: TempDir,
    pub(super) upstream: Process,
    pub(super) gateway: Process,
    pub(super) shell: Shell,
}

impl House {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let upstream = Process::sandbox(folder.path()).await;
        let gateway = Process::gateway(folder.path(), free_port(), &upstream.url).await;
        gateway.baseline().await;
        let shell = Shell::new(folder.path(), &gateway.url, Some(ROOT_KEY));
        Self { folder, upstream, gateway, shell }
    }

    /// Makes a type's transition happen upstream; gives the id of the resource.
    pub(super) async fn happen(&self, event_type: &str) -> String {
        let answer = self.upstream.post("/sandbox/trigger", &json!({ "type": event_type })).await;
        answer["object"]["id"].as_str().expect("an id").to_owned()
    }
}

/// Gives commands about one gateway.
pub(super) struct Shell {
    folder: std::path::PathBuf,
    api: String,
    key: Option<String>,
}

/// What a command did.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Shell {
    pub(super) fn new(folder: &Path, api: &str, key: Option<&str>) -> Self {
        Self { folder: folder.into(), api: api.into(), key: key.map(str::to_owned) }
    }

    /// The command, not yet begun.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_certhook"));
        command.env_clear().env("CERTHOOK_API", &self.api).current_dir(&self.folder).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        if let Some(key) = &self.key {
            command.env("CERTHOOK_API_KEY", key);
        }
        command
    }

    /// Runs a command to its end.
    pub(super) async fn run(&self, arguments: &[&str]) -> Said {
        let ended = tokio::time::timeout(PATIENCE, self.command(arguments).output()).await;
        let output = ended.expect("the command ends").expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Said { code: output.status.code().expect("a code"), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What a command writes that succeeds.
    pub(super) async fn done(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments).await;
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
        assert!(!said.out.chars().any(|letter| ('\u{2500}'..='\u{257f}').contains(&letter)), "no boxes in a pipe");
        said.out
    }

    /// What a command writes with `--json`, value by value.
    pub(super) async fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.done(&[arguments, &["--json"]].concat()).await;
        text.lines().map(|line| serde_json::from_str(line).expect("one value on each line")).collect()
    }
}

/// The columns of a table, by the words of its header; each row's cells.
pub(super) fn cells(table: &str) -> Vec<Vec<String>> {
    let row = |line: &str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect();
    table.lines().map(row).collect()
}
