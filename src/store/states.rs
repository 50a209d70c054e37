//! What the API needs of the store to show what was last seen.

use async_trait::async_trait;

use super::{Filtered, StoreError};
use crate::model::criteria::{Criteria, ListPlace};
use crate::model::resource::{Kind, Snapshot, SourceName};

/// Which snapshots a list is asked for.
#[derive(Clone, Debug)]
pub struct SnapshotQuery {
    /// Of this kind.
    pub kind: Kind,
    /// Of these sources.
    pub sources: Vec<SourceName>,
    /// What they must show.
    pub criteria: Criteria,
    /// Those that were removed instead of those that are there.
    pub removed: bool,
    /// Only those after this one in the order of the list.
    pub after: Option<ListPlace>,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// At most so many.
    pub limit: usize,
}

impl SnapshotQuery {
    /// Whether a snapshot of that kind and one of these sources belongs to the list, wherever its page begins.
    pub fn means(&self, snapshot: &Snapshot) -> bool {
        let meets = || self.criteria.meets(self.kind, &snapshot.object.fields());
        snapshot.removed.is_some() == self.removed && (self.criteria == Criteria::default() || meets())
    }
}

/// Snapshots as the API shows them.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// A page of snapshots, by their creation and then by their ids. Reads at most [`super::ENTRIES_READ_MAX`] entries. What
    /// stays in the list while it is read page by page is on exactly one page.
    async fn listed(&self, query: SnapshotQuery) -> Result<Filtered<Snapshot, ListPlace>, StoreError>;
}
