//! What a pass recognises rows by.

use crate::model::resource::{ResourceId, Snapshot};

/// What the row of a resource is recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its id.
    pub id: ResourceId,
    /// Whether it was removed.
    pub is_removed: bool,
    /// The fingerprint of the row that its snapshot was made of.
    pub row_fingerprint: Option<u128>,
}

impl Trace {
    /// That of a snapshot.
    pub fn of(snapshot: Snapshot) -> Self {
        let Snapshot { key, removed, row_fingerprint, .. } = snapshot;
        Self { id: key.id, is_removed: removed.is_some(), row_fingerprint }
    }
}
