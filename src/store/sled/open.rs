//! Opening a folder so that it is either the store that it was, or an error that says what to do.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sled::{Db, Mode, Tree};

use super::keys;
use super::view::broken;
use super::writer::Cancellation;
use crate::clock::{Clock, random_bytes};
use crate::model::id::Position;
use crate::store::codec::{self, Head, rare};
use crate::store::vault::{Purpose, Vault};
use crate::store::{Settings, StoreError};

/// After a process was killed, its lock may stay for a moment.
const LOCK_WAITS: u32 = 50;
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// sled's own default is a gigabyte.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// sled collects garbage and syncs in its own time as well, this often.
const FLUSH_EVERY_MS: u64 = 500;

/// A known text that only the store's key opens.
const KEY_CHECK: &[u8] = b"certhook";

/// What was found in a folder.
pub(super) struct Opened {
    /// The rows.
    pub(super) db: Db,
    /// The database file, for the writer's sync.
    pub(super) file: File,
    /// What the store is.
    pub(super) meta: rare::Meta,
    /// Opens and seals its secrets.
    pub(super) vault: Vault,
    /// The end of its log.
    pub(super) head: Head,
    /// Deletions that a former process did not finish.
    pub(super) cancellations: VecDeque<Cancellation>,
}

/// Opens the folder, or makes it.
pub(super) fn open(settings: &Settings, clock: &dyn Clock) -> Result<Opened, StoreError> {
    let folder = settings.path.as_path();
    let refused = |reason: String| StoreError::Open { path: folder.display().to_string(), reason };
    make_folder(folder).map_err(|error| refused(format!("cannot make the folder: {error}")))?;
    let db = open_sled(folder).map_err(refused)?;
    let known = db.get(keys::META).map_err(broken)?;
    let known = known.map(|row| rare::read_meta(&row)).transpose()?;
    let meta = match known {
        Some(Ok(meta)) => Some(meta),
        Some(Err(format)) => {
            return Err(refused(format!(
                "it has format {format}, this program knows up to {}; run the newer program",
                rare::FORMAT
            )));
        }
        None if db.is_empty() => None,
        None => return Err(refused("it holds rows but does not say what it is; restore a backup".into())),
    };
    let vault = Vault::of(settings, meta.is_some()).map_err(|error| refused(error.to_string()))?;
    let file = File::open(folder.join("db")).map_err(|error| refused(error.to_string()))?;
    let meta = match meta {
        Some(meta) => {
            let checked = vault.open(Purpose::KeyCheck, &meta.key_check);
            checked.map_err(|error| refused(format!("the encryption key is not the store's: {error}")))?;
            meta
        }
        None => create(folder, &db, &file, &vault, clock).map_err(refused)?,
    };
    let head = end_of_log(&db)?.map_err(refused)?;
    let cancellations = cancellations(&db)?;
    Ok(Opened { db, file, meta, vault, head, cancellations })
}

fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            tracing::warn!(file = name, "deleting what a crash left of an index");
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Opens the database; what is wrong and what to do, if it does not open.
fn open_sled(folder: &Path) -> Result<Db, String> {
    let error = match wait_for_lock(folder) {
        Ok(db) => return Ok(db),
        Err(error) => error,
    };
    if !matches!(error, sled::Error::Corruption { .. }) {
        return Err(explain(&error));
    }
    let moved = set_indexes_aside(folder).map_err(|error| format!("cannot move a damaged index aside: {error}"))?;
    tracing::warn!(%error, ?moved, "moved damaged indexes aside; reading the whole log instead, which loses nothing");
    wait_for_lock(folder).map_err(|error| explain(&error))
}

fn explain(error: &sled::Error) -> String {
    match error {
        sled::Error::Io(error) if is_locked(error) => {
            "another process has it open; stop that one, or give this one another store.url".into()
        }
        sled::Error::Corruption { .. } => format!("its file is damaged ({error}); restore a backup"),
        sled::Error::Io(error) => error.to_string(),
        sled::Error::Unsupported(_) | sled::Error::ReportableBug(_) | sled::Error::CollectionNotFound(_) => {
            format!("{error}; restore a backup")
        }
    }
}

fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        // sled wraps what the lock said into another error.
        || error.to_string().contains("could not acquire lock")
}

fn wait_for_lock(folder: &Path) -> sled::Result<Db> {
    let mut waits = 0;
    loop {
        let opened = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .mode(Mode::LowSpace)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .open();
        match opened {
            Err(sled::Error::Io(error)) if is_locked(&error) && waits < LOCK_WAITS => {
                waits += 1;
                thread::sleep(LOCK_WAIT);
            }
            opened => return opened,
        }
    }
}

/// Gives sled's indexes a name that it does not look for. They only save it the reading of its log.
fn set_indexes_aside(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut moved = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("snap.") {
            fs::rename(&path, folder.join(format!("damaged.{name}")))?;
            moved.push(path);
        }
    }
    Ok(moved)
}

/// Writes what the store is, so that it is there for good before anything else is.
fn create(folder: &Path, db: &Db, file: &File, vault: &Vault, clock: &dyn Clock) -> Result<rare::Meta, String> {
    let now = clock.now();
    let meta = rare::Meta {
        format: rare::FORMAT,
        epoch: u32::try_from(now.as_seconds()).unwrap_or(0),
        created_at: now,
        key_check: vault.seal(Purpose::KeyCheck, KEY_CHECK),
    };
    db.insert(keys::META, rare::meta(&meta)).map_err(|error| error.to_string())?;
    db.flush().map_err(|error| error.to_string())?;
    let sync = || -> io::Result<()> {
        file.sync_all()?;
        File::open(folder.join("conf"))?.sync_all()?;
        File::open(folder)?.sync_all()?;
        match folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => File::open(parent)?.sync_all(),
            None => File::open(".")?.sync_all(),
        }
    };
    sync().map_err(|error| error.to_string())?;
    tracing::info!(path = %folder.display(), epoch = meta.epoch, "made a new store");
    Ok(meta)
}

/// The end of the log as it was written down, if the log agrees.
fn end_of_log(tree: &Tree) -> Result<Result<Head, String>, StoreError> {
    let head = tree.get(keys::HEAD).map_err(broken)?.map_or(Ok(Head::default()), |row| codec::read_head(&row))?;
    let range = keys::events(Position::START, Position(u64::MAX));
    let last = tree.range(range).next_back().transpose().map_err(broken)?;
    let last = last.and_then(|(key, _)| keys::event_position(&key)).unwrap_or(Position::START);
    if last == head.position {
        return Ok(Ok(head));
    }
    let (said, found) = (head.position.0, last.0);
    Ok(Err(format!("its log should end at position {said} but ends at {found}; restore a backup")))
}

fn cancellations(tree: &Tree) -> Result<VecDeque<Cancellation>, StoreError> {
    let keys = tree.range(keys::cancellations()).keys();
    let endpoints = keys.map(|key| Ok(keys::endpoint_number(&key.map_err(broken)?)));
    let endpoints: Result<Vec<_>, StoreError> = endpoints.collect();
    Ok(endpoints?.into_iter().flatten().map(|endpoint| Cancellation { endpoint, done: None }).collect())
}

/// What this process adds to the ids of its events.
pub(super) fn draw_start() -> u32 {
    u32::from_le_bytes(random_bytes())
}
