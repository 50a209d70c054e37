//! The folder itself: its lock, sled's files in it, and how to come back from damaged ones.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sled::{Db, Mode};

/// After a process was killed, its lock may stay for a moment.
const LOCK_WAITS: u32 = 50;
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// sled's own default is a gigabyte.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// sled collects garbage and syncs in its own time as well, this often. Each time it clears one segment of half a MiB at
/// most, and begins at the front of the file, where what was cleared last is half garbage again: if it comes round too
/// seldom, segments of which next to nothing is left lie behind those, and the file grows to several times of what is in
/// it. This is 50 MiB a second at most, and half a percent of a core while idle.
const FLUSH_EVERY_MS: u64 = 10;

/// The folder that a folder lies in.
pub(super) fn parent(folder: &Path) -> &Path {
    folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the folder for its owner alone: what is kept in it is about other people.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(parent(folder))?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => made,
    }
}

/// Opens the database; what is wrong and what to do, if it does not open.
pub(super) fn open_sled(folder: &Path) -> Result<Db, String> {
    delete_unfinished_indexes(folder)?;
    let error = match wait_for_sled(folder) {
        Ok(db) => return Ok(db),
        Err(error) => error,
    };
    if !matches!(error, sled::Error::Corruption { .. } | sled::Error::ReportableBug(_)) {
        return Err(explain(&error));
    }
    let moved = set_indexes_aside(folder)?;
    if moved.is_empty() {
        return Err(explain(&error));
    }
    tracing::warn!(%error, ?moved, "moved damaged indexes aside; reading the whole log instead, which loses nothing");
    wait_for_sled(folder).map_err(|error| explain(&error))
}

const LOCKED: &str = "another process has it open; stop that one, or give this one another store.url";

fn explain(error: &sled::Error) -> String {
    match error {
        sled::Error::Io(error) if is_locked(error) => LOCKED.into(),
        sled::Error::Io(error) => error.to_string(),
        sled::Error::Corruption { .. }
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::CollectionNotFound(_) => format!("its file is damaged ({error}); restore a backup"),
    }
}

/// sled wraps what the lock said into an error of another kind.
fn is_locked(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

fn wait_for_sled(folder: &Path) -> sled::Result<Db> {
    let mut waits = 0;
    loop {
        // sled panics at some kinds of damage.
        let opened = panic::catch_unwind(|| {
            let config = sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).mode(Mode::LowSpace);
            config.flush_every_ms(Some(FLUSH_EVERY_MS)).open()
        });
        match opened {
            Ok(Err(sled::Error::Io(error))) if is_locked(&error) && waits < LOCK_WAITS => {
                waits += 1;
                thread::sleep(LOCK_WAIT);
            }
            Ok(opened) => return opened,
            Err(_panic) => return Err(sled::Error::ReportableBug("sled panicked while it read it".into())),
        }
    }
}

/// Does something to the files of a folder that nobody has open. sled takes the same lock, and lets it go before we
/// could look at what it left.
pub(super) fn with_lock<T>(folder: &Path, work: impl FnOnce() -> io::Result<T>) -> Result<T, String> {
    let failed = |error: io::Error| format!("cannot look through its files: {error}");
    let file = match File::open(folder.join("db")) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let mut waits = 0;
    while let Some(file) = &file {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if waits < LOCK_WAITS => {
                waits += 1;
                thread::sleep(LOCK_WAIT);
            }
            Err(TryLockError::WouldBlock) => return Err(LOCKED.into()),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    work().map_err(failed)
}

/// sled's indexes of its log, which only save it the reading of the log.
fn indexes(folder: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("snap.") {
            found.push((entry.path(), name));
        }
    }
    Ok(found)
}

/// Deletes the indexes that a crash left half written: sled would take one for the newest.
fn delete_unfinished_indexes(folder: &Path) -> Result<(), String> {
    with_lock(folder, || {
        for (path, name) in indexes(folder)? {
            if name.ends_with(".generating") {
                tracing::warn!(file = name, "deleting an index that a crash left unfinished");
                fs::remove_file(path)?;
            }
        }
        Ok(())
    })
}

/// Gives the indexes names that sled does not look for.
fn set_indexes_aside(folder: &Path) -> Result<Vec<String>, String> {
    with_lock(folder, || {
        let mut moved = Vec::new();
        for (path, name) in indexes(folder)? {
            fs::rename(path, folder.join(format!("damaged.{name}")))?;
            moved.push(name);
        }
        Ok(moved)
    })
}
