//! A store out of a backup.
//!
//! The whole file is read before anything is made of it, and its key is tried. Then a folder is filled that has no store;
//! one that is there is refused, or moved aside. A marker in the folder says that it is not whole, and is removed as the
//! last thing of all; until then no program opens it. So a kill at any moment leaves what was there before, or a folder
//! that only another restore touches.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sled::Db;

use super::folder::{make_folder, open_sled, parent, with_lock};
use super::keys;
use super::mark::{self, Mark};
use super::open::ends_of_log;
use super::view::broken;
use crate::clock::Clock;
use crate::model::id::Position;
use crate::model::time::Timestamp;
use crate::store::backup::frames::Frames;
use crate::store::backup::{BadBackup, Summary, examine};
use crate::store::codec::rare::{self, FORMAT, Meta};
use crate::store::vault::{Purpose, Vault};
use crate::store::{Settings, StoreError};

/// Says that what is in the folder is not whole.
const MARKER: &str = "certhook.restoring";

/// Rows are made durable in batches of so many bytes: sled deadlocks when much more is left unflushed.
const BATCH_BYTES: usize = 64 * 1024;

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What it was made of.
    pub backup: Summary,
    /// What ids begin with from now on.
    pub epoch: u32,
    /// The end of the log.
    pub head: Position,
    /// Where the store is that was there before, if one was.
    pub set_aside: Option<PathBuf>,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file cannot be used; nothing was touched.
    #[error("cannot restore {}: {error}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: BadBackup,
    },
    /// The key does not open it; nothing was touched.
    #[error("the backup needs the key that sealed its secrets: {0}")]
    Key(String),
    /// A restore overwrites nothing.
    #[error("there is a store at {}; move it away, or let --force move it aside", .0.display())]
    StoreThere(PathBuf),
    /// The folder cannot be used.
    #[error("cannot restore into {}: {reason}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The store cannot be written. Restoring again begins anew.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// See [`super::SledStore::restore`].
pub(super) fn restore(
    settings: &Settings,
    file: &Path,
    force: bool,
    clock: &dyn Clock,
) -> Result<Restored, RestoreError> {
    let bad = |error: BadBackup| RestoreError::File { file: file.into(), error };
    let backup = examine(file).map_err(bad)?;
    let mut frames = Frames::open(file).map_err(bad)?;
    let known = frames.header().store.clone();
    if known.format > FORMAT {
        return Err(bad(BadBackup::Newer));
    }
    let vault = Vault::of(settings, true).map_err(|error| RestoreError::Key(error.to_string()))?;
    vault.open(Purpose::KeyCheck, &known.key_check).map_err(|error| RestoreError::Key(error.to_string()))?;

    let folder = settings.path.as_path();
    let unusable = |reason: String| RestoreError::Folder { folder: folder.into(), reason };
    let now = clock.now();
    if has_store(folder) && !force {
        return Err(RestoreError::StoreThere(folder.into()));
    }
    let former = former_epoch(folder).map_err(|error| unusable(error.to_string()))?;
    let set_aside = if has_store(folder) { Some(move_aside(folder, now).map_err(unusable)?) } else { None };
    begin(folder).map_err(unusable)?;
    let db = open_sled(folder).map_err(unusable)?;
    let mut filling = Filling { db: &db, batch: sled::Batch::default(), bytes: 0 };
    while let Some(rows) = frames.next().map_err(bad)? {
        rows.into_iter().try_for_each(|(key, value)| filling.add(key, value)).map_err(broken)?;
    }
    filling.write().map_err(broken)?;
    // Subscribers drop what has a smaller epoch than they have seen, from this store or from the one that was here.
    let epoch = u32::try_from(now.as_seconds()).unwrap_or(0).max(known.epoch.max(former).saturating_add(1));
    let head = end(folder, &db, Meta { epoch, ..known }).map_err(unusable)?;
    Ok(Restored { backup, epoch, head, set_aside })
}

/// Whether a restore was begun in a folder and did not come to its end.
pub(super) fn is_unfinished(folder: &Path) -> bool {
    folder.join(MARKER).exists()
}

fn has_store(folder: &Path) -> bool {
    !is_unfinished(folder) && (folder.join("db").exists() || mark::is_there(folder))
}

/// What the name of a store goes on with that was moved aside, before the second in which that happened.
const ASIDE: &str = ".before-restore-";

/// The largest epoch of the store that is in a folder and of those that were moved aside from there, as far as they say:
/// a restore that was broken off has left nothing else of the one that it took the place of.
fn former_epoch(folder: &Path) -> io::Result<u32> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let is_one = |other: &str| other == name || other.strip_prefix(&*name).is_some_and(|rest| rest.starts_with(ASIDE));
    let mut former = 0;
    for entry in fs::read_dir(parent(folder))? {
        let entry = entry?;
        // What is damaged there is what a restore is for.
        if is_one(&entry.file_name().to_string_lossy())
            && let Ok(Some(mark)) = mark::read(&entry.path())
        {
            former = former.max(mark.epoch);
        }
    }
    Ok(former)
}

/// Gives the folder another name, unless somebody has the store open.
fn move_aside(folder: &Path, now: Timestamp) -> Result<PathBuf, String> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let named = |count: u32| {
        let again = if count == 0 { String::new() } else { format!("-{count}") };
        folder.with_file_name(format!("{name}{ASIDE}{}{again}", now.as_seconds()))
    };
    let aside = (0..=u32::MAX).map(named).find(|aside| !aside.exists()).ok_or("too many stores lie beside it")?;
    with_lock(folder, || {
        fs::rename(folder, &aside)?;
        File::open(parent(folder))?.sync_all()
    })?;
    Ok(aside)
}

/// Makes the folder, and leaves nothing in it but the marker and what is nobody's store.
fn begin(folder: &Path) -> Result<(), String> {
    let prepare = || -> io::Result<()> {
        make_folder(folder)?;
        File::create(folder.join(MARKER))?.sync_all()?;
        File::open(folder)?.sync_all()?;
        File::open(parent(folder))?.sync_all()
    };
    prepare().map_err(|error| error.to_string())?;
    with_lock(folder, || {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "blobs" {
                fs::remove_dir_all(entry.path())?;
            } else if ["db", "conf"].contains(&name.as_str()) || name.starts_with("snap.") {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    })
}

/// Rows on their way into a store that nobody else has.
struct Filling<'a> {
    db: &'a Db,
    batch: sled::Batch,
    bytes: usize,
}

impl Filling<'_> {
    fn add(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> sled::Result<()> {
        // What the store is, is written last.
        if key == keys::META {
            return Ok(());
        }
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        match value {
            Some(value) => self.batch.insert(key, value),
            None => self.batch.remove(key),
        }
        if self.bytes >= BATCH_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> sled::Result<()> {
        self.bytes = 0;
        self.db.apply_batch(std::mem::take(&mut self.batch))?;
        self.db.flush().map(drop)
    }
}

/// Says what the store is, makes all of it durable, and takes the marker away; where the log ends.
fn end(folder: &Path, db: &Db, meta: Meta) -> Result<Position, String> {
    let (format, epoch) = (meta.format, meta.epoch);
    db.insert(keys::META, rare::meta(&meta)).map_err(|error| error.to_string())?;
    db.flush().map_err(|error| error.to_string())?;
    let (_, head) = ends_of_log(db).map_err(|error| error.to_string())??;
    let settle = || -> io::Result<()> {
        File::open(folder.join("db"))?.sync_all()?;
        File::open(folder.join("conf"))?.sync_all()?;
        mark::write(folder, &Mark { format, epoch, head: head.position })?;
        fs::remove_file(folder.join(MARKER))?;
        File::open(folder)?.sync_all()
    };
    settle().map_err(|error| error.to_string())?;
    tracing::info!(path = %folder.display(), epoch, head = head.position.0, "restored a store");
    Ok(head.position)
}
