//! How much room is left where the store is.
//!
//! What sled does on a full disk cannot be relied on: a write that fails may leave it unable to go on, and whatever
//! fails ends the process. So nothing is written any more long before that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

/// How often the room is looked at,
const EVERY: Duration = Duration::from_secs(1);

/// and after how many bytes that were written. sled writes a few times as much as it is given, and gives no part of its
/// file back: both together are small beside what must be left.
pub(super) const LOOK_AFTER_BYTES: usize = 4 * 1024 * 1024;

/// With less than this nothing is written at all: a commit that is under way, an index of sled's and the logs of the
/// machine must have room. At most half of what is to be left free.
const RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// Where the store's files are.
pub trait Disk: Send + Sync {
    /// How many bytes are free for us.
    ///
    /// # Errors
    /// If that cannot be told.
    fn free(&self) -> io::Result<u64>;
}

/// The file system that a folder is on.
#[derive(Clone, Debug)]
pub struct FileSystem(pub PathBuf);

impl Disk for FileSystem {
    fn free(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.0)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// How many bytes the files of a folder have, those of its own folders included.
///
/// # Errors
/// If it cannot be read.
pub fn size_of(folder: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        size += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path())?,
            Ok(metadata) => metadata.len(),
            // sled replaces its indexes meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(size)
}

/// What the room is enough for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is written.
    Full,
    /// Less is left than configured: what is there already is dealt with, and nothing is added.
    Low,
    /// Everything.
    Enough,
    /// Everything, and so clearly that it will not be low again at once.
    Ample,
}

/// The room as it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What it is enough for.
    pub level: Level,
    /// How many bytes are free.
    pub free: u64,
    /// How many should be.
    pub min_free: u64,
}

impl Space {
    /// What follows from so many free bytes.
    pub fn of(free: u64, min_free: u64) -> Self {
        let level = if free < RESERVE_BYTES.min(min_free / 2) {
            Level::Full
        } else if free < min_free {
            Level::Low
        } else if free < min_free.saturating_add(min_free / 8) {
            Level::Enough
        } else {
            Level::Ample
        };
        Self { level, free, min_free }
    }

    /// Whether anything may be written.
    pub fn can_be_written(&self) -> bool {
        self.level > Level::Full
    }

    /// Whether there may be more of anything.
    pub fn can_grow(&self) -> bool {
        self.level > Level::Low
    }
}

/// Looks at the room, and shows it to all who are interested.
pub(super) struct Gauge {
    disk: Arc<dyn Disk>,
    space: watch::Sender<Space>,
}

impl Gauge {
    /// Looks for the first time, and from now on every second until nobody needs it any more.
    pub(super) fn start(disk: Arc<dyn Disk>, min_free: u64) -> io::Result<Arc<Self>> {
        let space = Space::of(disk.free()?, min_free);
        let gauge = Arc::new(Self { disk, space: watch::Sender::new(space) });
        let looking = Arc::downgrade(&gauge);
        thread::Builder::new().name("store-space".into()).spawn(move || look(&looking))?;
        Ok(gauge)
    }

    /// The room as it was last looked at.
    pub(super) fn space(&self) -> Space {
        *self.space.borrow()
    }

    /// A receiver that is told when it changes.
    pub(super) fn follow(&self) -> watch::Receiver<Space> {
        self.space.subscribe()
    }

    /// Looks at it. What cannot be told stays as it was.
    pub(super) fn look(&self) {
        let before = self.space();
        let now = match self.disk.free() {
            Ok(free) => Space::of(free, before.min_free),
            Err(error) => {
                tracing::warn!(%error, "cannot tell how much of the disk is free");
                return;
            }
        };
        if now.level < Level::Enough && now.level != before.level {
            tracing::error!(free = now.free, min_free = now.min_free, level = ?now.level, "store.space_low");
        } else if now.level > Level::Low && before.level < Level::Enough {
            tracing::info!(free = now.free, min_free = now.min_free, "store.space_enough");
        }
        self.space.send_if_modified(|space| std::mem::replace(space, now).level != now.level);
    }
}

fn look(gauge: &Weak<Gauge>) {
    while let Some(gauge) = gauge.upgrade() {
        gauge.look();
        drop(gauge);
        thread::sleep(EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;

    #[test]
    fn what_the_room_is_enough_for_follows_from_what_is_free() {
        for (free, min_free, level) in [
            (0, GIB, Level::Full),
            (64 * MIB - 1, GIB, Level::Full),
            (64 * MIB, GIB, Level::Low),
            (GIB - 1, GIB, Level::Low),
            (GIB, GIB, Level::Enough),
            (GIB + 128 * MIB - 1, GIB, Level::Enough),
            (GIB + 128 * MIB, GIB, Level::Ample),
            (9, 20, Level::Full),
            (10, 20, Level::Low),
            (0, 0, Level::Ample),
        ] {
            assert_eq!(Space::of(free, min_free).level, level, "{free} of {min_free}");
        }
    }

    #[test]
    fn the_file_system_of_a_folder_tells_what_is_free() {
        let folder = tempfile::TempDir::new().expect("a folder");
        assert!(FileSystem(folder.path().into()).free().expect("a file system") > 0);
        assert!(FileSystem(folder.path().join("missing")).free().is_err());
    }
}
