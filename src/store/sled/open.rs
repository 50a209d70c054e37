//! Opening a folder so that it is either the store that it was, or an error that says what to do.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;

use sled::{Db, IVec, Tree};

use super::folder::{make_folder, open_sled, parent};
use super::keys::{self, Key};
use super::mark::{self, Mark};
use super::rekey;
use super::restore;
use super::view::broken;
use super::writer::Cancellation;
use crate::clock::Clock;
use crate::model::id::Position;
use crate::model::time::Timestamp;
use crate::store::codec::{self, Head, ListsProgress, rare};
use crate::store::vault::{self, Purpose, Vault};
use crate::store::{Settings, StoreError};

/// A known text that only the store's key opens.
pub(super) const KEY_CHECK: &[u8] = b"certhook";

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
    /// Whether its key is the one that was to take over, and the rekey had been broken off.
    pub(super) has_taken_over: bool,
    /// The first event that is kept; the one after the head if there is none.
    pub(super) first: Position,
    /// When the last event before it was observed, if that is known.
    pub(super) last_cut: Option<Timestamp>,
    /// The end of its log.
    pub(super) head: Head,
    /// Deletions that a former process did not finish.
    pub(super) cancellations: VecDeque<Cancellation>,
    /// Beyond which key snapshots of an older version are in no list yet; `None`: all are in theirs.
    pub(super) unlisted: Option<Key>,
}

/// Opens the folder, or makes it. A rekey that was broken off is finished if the new key has taken over, and is as if
/// it had not been begun otherwise. `next` is the key that may have done so beside the one in the key file.
pub(super) fn open(settings: &Settings, next: Option<Vault>, clock: &dyn Clock) -> Result<Opened, StoreError> {
    let folder = settings.path.as_path();
    let refused = |reason: String| StoreError::Open { path: folder.display().to_string(), reason };
    make_folder(folder).map_err(|error| refused(format!("cannot make the folder: {error}")))?;
    if restore::is_unfinished(folder) {
        return Err(refused(UNFINISHED.into()));
    }
    let mark = mark::read(folder).map_err(refused)?;
    if let Some(format) = mark.map(|mark| mark.format).filter(|format| *format > rare::FORMAT_REKEYED) {
        return Err(refused(newer(format)));
    }
    let db = open_sled(folder).map_err(refused)?;
    let known = db.get(keys::META).map_err(broken)?.map(|row| rare::read_meta(&row)).transpose()?;
    let known = match known {
        Some(Ok(meta)) => Some(meta),
        Some(Err(format)) => return Err(refused(newer(format))),
        None if mark.is_none() && db.is_empty() => None,
        None => return Err(refused(DAMAGED.into())),
    };
    let vault = Vault::of(settings, known.is_some()).map_err(|error| refused(error.to_string()))?;
    let file = File::open(folder.join("db")).map_err(|error| refused(error.to_string()))?;
    let (meta, vault, has_taken_over) = match known {
        Some(meta) => {
            let (vault, has_taken_over) = holder(settings, vault, next, &meta).map_err(refused)?;
            (rekey::settle(&db, &file, &vault, meta)?, vault, has_taken_over)
        }
        None => (create(folder, &db, &file, &vault, clock).map_err(refused)?, vault, false),
    };
    if settings.encryption_key.is_none() {
        let settled = match has_taken_over {
            true => vault::take_next_key(folder, clock.now()).map(drop),
            false => vault::drop_next_key(folder),
        };
        settled.map_err(|error| refused(format!("cannot settle which of its key files counts: {error}")))?;
    }
    // A process that was killed may have left an act that reached the file and never the disk. From here on it counts
    // as durable: readers are shown it, and the mark says how far the log goes.
    file.sync_data().map_err(|error| refused(format!("cannot sync its file: {error}")))?;
    let (first, head) = ends_of_log(&db)?.map_err(refused)?;
    let seen = Mark { format: rare::FORMAT, epoch: meta.epoch, head: head.position };
    if let Some(mark) = mark {
        follows(&mark, &seen).map_err(refused)?;
    }
    let meta = upgraded(&db, meta)?;
    file.sync_data().map_err(|error| refused(format!("cannot sync its file: {error}")))?;
    mark::write(folder, &seen).map_err(|error| refused(format!("cannot write to the folder: {error}")))?;
    let (last_cut, cancellations, unlisted) = (last_cut(&db, first)?, cancellations(&db)?, unlisted(&db)?);
    Ok(Opened { db, file, meta, vault, has_taken_over, first, last_cut, head, cancellations, unlisted })
}

/// The vault whose key is the store's: the one in use or the next one. Whether it is the next one.
pub(super) fn holder(
    settings: &Settings,
    present: Vault,
    next: Option<Vault>,
    meta: &rare::Meta,
) -> Result<(Vault, bool), String> {
    let opens = |vault: &Vault| vault.open(Purpose::KeyCheck, &meta.key_check).map(drop);
    let Err(error) = opens(&present) else { return Ok((present, false)) };
    let next = match next {
        None if settings.encryption_key.is_none() => {
            Vault::in_file(&vault::next_key_file(&settings.path)).map_err(|error| error.to_string())?
        }
        next => next,
    };
    match next.filter(|next| opens(next).is_ok()) {
        Some(next) => Ok((next, true)),
        None => Err(format!("the encryption key is not the store's: {error}")),
    }
}

/// sled takes a damaged file for one that ends where the damage begins.
pub(super) const DAMAGED: &str = "what was in it is lost: its file is damaged or was replaced; restore a backup";

/// What a restore leaves that was broken off.
const UNFINISHED: &str = "a restore into it was broken off; restore the backup again";

pub(super) fn newer(format: u32) -> String {
    format!("it has format {format}, this program knows up to {}; run the newer program", rare::FORMAT_REKEYED)
}

/// Whether a store can be the one that was there when it was last opened.
pub(super) fn follows(mark: &Mark, seen: &Mark) -> Result<(), String> {
    if mark.epoch == seen.epoch && mark.head <= seen.head {
        return Ok(());
    }
    let (had, has) = (mark.head.0, seen.head.0);
    Err(format!(
        "its log had reached position {had} and ends at {has}: its file is damaged or was replaced; restore a backup"
    ))
}

/// Says that the store has our format from now on, so that an older program refuses it before it meets a row that it
/// cannot read. The caller syncs.
fn upgraded(db: &Db, meta: rare::Meta) -> Result<rare::Meta, StoreError> {
    if meta.format == rare::FORMAT {
        return Ok(meta);
    }
    let meta = rare::Meta { format: rare::FORMAT, ..meta };
    db.insert(keys::META, rare::meta(&meta)).map_err(broken)?;
    db.flush().map_err(broken)?;
    Ok(meta)
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
    let listed = codec::lists_progress(&ListsProgress::Complete);
    db.insert(keys::lists::PROGRESS, listed).map_err(|error| error.to_string())?;
    db.flush().map_err(|error| error.to_string())?;
    let sync = || -> io::Result<()> {
        file.sync_all()?;
        File::open(folder.join("conf"))?.sync_all()?;
        File::open(folder)?.sync_all()?;
        File::open(parent(folder))?.sync_all()
    };
    sync().map_err(|error| error.to_string())?;
    tracing::info!(path = %folder.display(), epoch = meta.epoch, "made a new store");
    Ok(meta)
}

/// Where the log begins and ends as it was written down, if the log agrees.
pub(super) fn ends_of_log(tree: &Tree) -> Result<Result<(Position, Head), String>, StoreError> {
    let head = tree.get(keys::HEAD).map_err(broken)?.map_or(Ok(Head::default()), |row| codec::read_head(&row))?;
    let first = tree.get(keys::FIRST).map_err(broken)?.map_or(Ok(1), |row| codec::read_number(&row))?;
    let range = || tree.range(keys::events(Position::START, Position(u64::MAX))).keys();
    let place = |key: sled::Result<IVec>| Ok::<_, StoreError>(keys::event_position(&key.map_err(broken)?));
    let found_first = range().next().map(place).transpose()?.flatten().map_or(head.position.0 + 1, |first| first.0);
    // What was cut ended right before the first one that is kept.
    let found_last =
        range().next_back().map(place).transpose()?.flatten().map_or(first.saturating_sub(1), |last| last.0);
    let head_said = head.position.0;
    if found_last != head_said {
        return Ok(Err(format!(
            "its log should end at position {head_said} but ends at {found_last}; restore a backup"
        )));
    }
    if found_first != first {
        return Ok(Err(format!(
            "its log should begin at position {first} but begins at {found_first}; restore a backup"
        )));
    }
    Ok(Ok((Position(first), head)))
}

/// When the last event before the first one that is kept was observed. What was noted of another one is from before a
/// former program went on cutting.
fn last_cut(tree: &Tree, first: Position) -> Result<Option<Timestamp>, StoreError> {
    let row = tree.get(keys::LAST_CUT).map_err(broken)?;
    let noted = row.map(|row| codec::read_head(&row)).transpose()?;
    Ok(noted.filter(|last| last.position.next() == first).map(|last| last.timestamp))
}

fn unlisted(tree: &Tree) -> Result<Option<Key>, StoreError> {
    let row = tree.get(keys::lists::PROGRESS).map_err(broken)?;
    Ok(match row.map(|row| codec::read_lists_progress(&row)).transpose()? {
        Some(ListsProgress::Complete) => None,
        Some(ListsProgress::UpTo(key)) => Some(key),
        None => Some(Key::new()),
    })
}

fn cancellations(tree: &Tree) -> Result<VecDeque<Cancellation>, StoreError> {
    let keys = tree.range(keys::cancellations()).keys();
    let endpoints = keys.map(|key| Ok(keys::endpoint_number(&key.map_err(broken)?)));
    let endpoints: Result<Vec<_>, StoreError> = endpoints.collect();
    Ok(endpoints?.into_iter().flatten().map(|endpoint| Cancellation { endpoint, done: None }).collect())
}
