//! A small file that says what the store was when it was last opened or closed.
//!
//! sled takes a file that is damaged near its beginning for an empty one, and one that is damaged further on for a
//! shorter one: it cannot tell damage from what a crash leaves. So what must be there is written down apart; and the
//! format is known before sled touches anything.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::id::Position;

const NAME: &str = "certhook.json";
const UNFINISHED: &str = "certhook.json.unfinished";

/// What the store was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The layout of its rows.
    pub(super) format: u32,
    /// The second in which it was created or last restored.
    #[serde(default)]
    pub(super) epoch: u32,
    /// The end of its log.
    #[serde(default)]
    pub(super) head: Position,
}

/// Whether anything was written down.
pub(super) fn is_there(folder: &Path) -> bool {
    folder.join(NAME).exists()
}

/// What was written down; `None` if nothing was, or else what is wrong with it.
pub(super) fn read(folder: &Path) -> Result<Option<Mark>, String> {
    match fs::read(folder.join(NAME)) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("its {NAME} is damaged: {error}"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read its {NAME}: {error}")),
    }
}

/// Writes it down, so that it is whole whatever happens.
pub(super) fn write(folder: &Path, mark: &Mark) -> io::Result<()> {
    let mut file = File::create(folder.join(UNFINISHED))?;
    file.write_all(&serde_json::to_vec(mark)?)?;
    file.sync_all()?;
    fs::rename(folder.join(UNFINISHED), folder.join(NAME))?;
    File::open(folder)?.sync_all()
}
