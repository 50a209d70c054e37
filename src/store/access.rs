//! What the API needs of the store to know who may use it, and to remember who has changed what.

use async_trait::async_trait;

use super::{Deed, StoreError};
use crate::model::audit::AuditEntry;
use crate::model::id::{AuditId, KeyId, KeyNumber};
use crate::model::key::{Key, KeyDigest};
use crate::model::time::Timestamp;

/// Keys to our API. What is kept of a key's text is its digest.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Keeps a new key. The store gives the number in its id; the rest of the id comes with the value. The deed, which
    /// has that id too, is committed in one act with it.
    async fn create_key_with(&self, key: Key, deed: Deed) -> Result<Key, StoreError>;

    /// The same where nothing tells of it.
    async fn create_key(&self, key: Key) -> Result<Key, StoreError> {
        self.create_key_with(key, Deed::default()).await
    }

    /// The key with that digest, if there is one. It is found by the first half of the digest, and it is for the caller
    /// to compare the whole.
    async fn key_of(&self, digest: KeyDigest) -> Result<Option<Key>, StoreError>;

    /// Up to `limit` keys beyond a number, in the order in which they were given or against it.
    async fn keys(&self, beyond: Option<KeyNumber>, ascending: bool, limit: usize) -> Result<Vec<Key>, StoreError>;

    /// Removes a key, which opens nothing from then on, and gives it as it was; `None` if there is none of that id, and
    /// then nothing comes of the deed, which is committed in one act with it.
    async fn delete_key_with(&self, id: KeyId, deed: Deed) -> Result<Option<Key>, StoreError>;

    /// The same where nothing tells of it.
    async fn delete_key(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        self.delete_key_with(id, Deed::default()).await
    }

    /// Keeps when keys were used last. Those that are no longer there are passed over, and none goes back in time.
    async fn keep_uses(&self, uses: Vec<(KeyId, Timestamp)>) -> Result<(), StoreError>;
}

/// Which entries of the audit log a list is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only those from this instant on.
    pub since: Option<Timestamp>,
    /// Only those before this instant.
    pub until: Option<Timestamp>,
    /// Only those after this one in the order of the list.
    pub after: Option<AuditId>,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// At most so many.
    pub limit: usize,
}

/// The audit log: entries in the order of their instants, and then of their numbers.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Keeps an entry. The store gives the number in its id; the rest of the id comes with the value.
    async fn audit(&self, entry: AuditEntry) -> Result<AuditId, StoreError>;

    /// A page of entries.
    async fn audited(&self, query: AuditQuery) -> Result<Vec<AuditEntry>, StoreError>;

    /// Removes a limited number of entries, the oldest first: those from before an instant, and as many more as there
    /// are above `kept_max`. How many.
    async fn forget_audited(&self, before: Timestamp, kept_max: u64) -> Result<usize, StoreError>;
}
