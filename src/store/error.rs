//! What can go wrong with what is kept.

/// Why the store did not do what it was asked. What is not here (a failed sync, a broken invariant) ends the
/// process: a retried sync lies, a restart recovers.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder could not be opened, and nothing was changed.
    #[error("cannot open the store at {path}: {reason}")]
    Open {
        /// The folder.
        path: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Something stored cannot be read.
    #[error("cannot read {what}: {reason}")]
    Unreadable {
        /// What it is.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The value breaks a limit of the store and was not written.
    #[error("{what} is too large to be stored: {size} bytes, at most {max}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        max: usize,
        /// How many sights of the same commit came before it, and are durable.
        sights_before: usize,
    },
    /// Another endpoint has that `uid`.
    #[error("another endpoint has the uid {0:?}")]
    UidTaken(String),
    /// The disk is as good as full, and the store takes nothing before there is room again.
    #[error("the disk is almost full, and nothing can be stored; make room on the store's file system")]
    Full,
    /// The store was written by an older version, and its lists are not made yet.
    #[error("the lists of resources are being made, once, since an older version kept none")]
    NotListed,
    /// One backup at a time is enough work.
    #[error("a backup is being taken already")]
    BackupUnderWay,
    /// There is no backup of a store that changes faster than the backup is read.
    #[error("the backup was given up, because it is read too slowly; read it faster, or when less happens")]
    BackupOvertaken,
    /// The store is being closed.
    #[error("the store is closed")]
    Closed,
}
