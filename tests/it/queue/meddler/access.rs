//! Who may use the API is nothing that is meddled with.

use async_trait::async_trait;
use certhook::model::audit::AuditEntry;
use certhook::model::id::{AuditId, KeyId, KeyNumber};
use certhook::model::key::{Key, KeyDigest};
use certhook::model::time::Timestamp;
use certhook::store::{AnswerName, AnswerStore, AuditQuery, AuditStore, Claim, Deed, KeptAnswer, KeyStore, StoreError};

use super::Meddler;

#[async_trait]
impl KeyStore for Meddler {
    async fn create_key_with(&self, key: Key, deed: Deed) -> Result<Key, StoreError> {
        self.inner.create_key_with(key, deed).await
    }

    async fn key_of(&self, digest: KeyDigest) -> Result<Option<Key>, StoreError> {
        self.inner.key_of(digest).await
    }

    async fn keys(&self, beyond: Option<KeyNumber>, ascending: bool, limit: usize) -> Result<Vec<Key>, StoreError> {
        self.inner.keys(beyond, ascending, limit).await
    }

    async fn delete_key_with(&self, id: KeyId, deed: Deed) -> Result<Option<Key>, StoreError> {
        self.inner.delete_key_with(id, deed).await
    }

    async fn keep_uses(&self, uses: Vec<(KeyId, Timestamp)>) -> Result<(), StoreError> {
        self.inner.keep_uses(uses).await
    }
}

#[async_trait]
impl AuditStore for Meddler {
    async fn audit(&self, entry: AuditEntry) -> Result<AuditId, StoreError> {
        self.inner.audit(entry).await
    }

    async fn audited(&self, query: AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        self.inner.audited(query).await
    }

    async fn forget_audited(&self, before: Timestamp, kept_max: u64) -> Result<usize, StoreError> {
        self.inner.forget_audited(before, kept_max).await
    }
}

#[async_trait]
impl AnswerStore for Meddler {
    fn claim(&self, name: AnswerName) -> Option<Claim> {
        self.inner.claim(name)
    }

    async fn kept_answer(&self, name: AnswerName) -> Result<Option<KeptAnswer>, StoreError> {
        self.inner.kept_answer(name).await
    }

    async fn answers_kept(&self) -> Result<u64, StoreError> {
        self.inner.answers_kept().await
    }

    async fn keep_answer(&self, name: AnswerName, answer: KeptAnswer) -> Result<(), StoreError> {
        self.inner.keep_answer(name, answer).await
    }

    async fn forget_answers(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.inner.forget_answers(now).await
    }
}
