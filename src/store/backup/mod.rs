//! Backups: everything that a store holds at one moment, as one file.
//!
//! A file begins with a line that names it, and goes on in frames. Each frame has its length, a checksum that counts its
//! place in, and its content: first what the store is, then rows as they lie in it, then how many rows there were. A row
//! that comes again takes the place of the former one, since the store goes on while it is read. What is cut, changed,
//! repeated or put in another order is refused before anything is made of it.
//!
//! Secrets are in it as they are in the store: sealed. The key that opens them is not.
//!
//! In reading order: the seam below, `frames` (the bytes).

use std::path::Path;

use async_trait::async_trait;

use super::StoreError;
use crate::model::time::Timestamp;

pub(crate) mod frames;

pub use frames::BadBackup;

/// A backup on its way out.
#[async_trait]
pub trait Backup: Send {
    /// The next bytes of the file; `None` once it is whole. Nobody but the one who asks waits for these.
    ///
    /// # Errors
    /// [`StoreError::BackupOvertaken`] if more is written than is asked for, or somebody else began a backup while
    /// nothing was asked for. After an error there is no more.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError>;
}

/// What a whole backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// When it was begun. What it holds is of its end.
    pub taken_at: Timestamp,
    /// The epoch of the store.
    pub epoch: u32,
    /// How many rows are in it, each time that one comes.
    pub rows: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

/// Reads a file to its end and says what it is.
///
/// # Errors
/// If it is not whole, or not a backup.
pub fn examine(file: &Path) -> Result<Summary, BadBackup> {
    let mut frames = frames::Frames::open(file)?;
    while frames.next()?.is_some() {}
    Ok(frames.summary())
}
