//! A look at a store for somebody who checks it: whether it would open, and what it holds.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::folder::open_sled;
use super::keys;
use super::mark::{self, Mark};
use super::open::{DAMAGED, ends_of_log, follows, holder, newer};
use super::view::broken;
use crate::store::codec::rare;
use crate::store::vault::Vault;
use crate::store::{Settings, StoreError};

/// What there is in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing yet; the first start makes it.
    Nothing,
    /// A store that another process has open, most likely a gateway that runs.
    InUse,
    /// A store that opens.
    Store {
        /// How many events its log keeps.
        events: u64,
        /// How large it is.
        bytes: u64,
    },
}

/// See [`super::SledStore::look`].
pub(super) fn look(settings: &Settings) -> Result<Look, StoreError> {
    let folder = settings.path.as_path();
    let refused = |reason: String| StoreError::Open { path: folder.display().to_string(), reason };
    let mark = mark::read(folder).map_err(refused)?;
    if let Some(format) = mark.map(|mark| mark.format).filter(|format| *format > rare::FORMAT_REKEYED) {
        return Err(refused(newer(format)));
    }
    match is_held(folder) {
        Ok(Some(false)) => {}
        Ok(Some(true)) => return Ok(Look::InUse),
        Ok(None) if mark.is_none() => return Ok(Look::Nothing),
        Ok(None) => return Err(refused(DAMAGED.into())),
        Err(error) => return Err(refused(error.to_string())),
    }
    let db = open_sled(folder).map_err(refused)?;
    let meta = match db.get(keys::META).map_err(broken)?.map(|row| rare::read_meta(&row)).transpose()? {
        Some(Ok(meta)) => meta,
        Some(Err(format)) => return Err(refused(newer(format))),
        None if mark.is_none() && db.is_empty() => return Ok(Look::Nothing),
        None => return Err(refused(DAMAGED.into())),
    };
    let vault = Vault::of(settings, true).map_err(|error| refused(error.to_string()))?;
    holder(settings, vault, None, &meta).map_err(refused)?;
    let (first, head) = ends_of_log(&db)?.map_err(refused)?;
    if let Some(mark) = mark {
        let seen = Mark { format: meta.format, epoch: meta.epoch, head: head.position };
        follows(&mark, &seen).map_err(refused)?;
    }
    let events = head.position.next().0.saturating_sub(first.0);
    Ok(Look::Store { events, bytes: db.size_on_disk().map_err(broken)? })
}

/// Whether another process has the database open; `None` if there is none.
fn is_held(folder: &Path) -> io::Result<Option<bool>> {
    let file = match File::open(folder.join("db")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(false)),
        Err(TryLockError::WouldBlock) => Ok(Some(true)),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
