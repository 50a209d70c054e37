//! Who may use the API is nothing that is meddled with.

use async_trait::async_trait;
use certhook::model::id::{KeyId, KeyNumber};
use certhook::model::key::{Key, KeyDigest};
use certhook::model::time::Timestamp;
use certhook::store::{KeyStore, StoreError};

use super::Meddler;

#[async_trait]
impl KeyStore for Meddler {
    async fn create_key(&self, key: Key) -> Result<Key, StoreError> {
        self.inner.create_key(key).await
    }

    async fn key_of(&self, digest: KeyDigest) -> Result<Option<Key>, StoreError> {
        self.inner.key_of(digest).await
    }

    async fn keys(&self, beyond: Option<KeyNumber>, ascending: bool, limit: usize) -> Result<Vec<Key>, StoreError> {
        self.inner.keys(beyond, ascending, limit).await
    }

    async fn delete_key(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        self.inner.delete_key(id).await
    }

    async fn keep_uses(&self, uses: Vec<(KeyId, Timestamp)>) -> Result<(), StoreError> {
        self.inner.keep_uses(uses).await
    }
}
