//! Who may use the API, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use certhook::model::audit::AuditEntry;
use certhook::model::id::{AuditId, KeyId, KeyNumber};
use certhook::model::key::{Key, KeyDigest};
use certhook::model::time::Timestamp;
use certhook::store::{
    AnswerName, AnswerStore, AuditQuery, AuditStore, Claim, Claims, KeptAnswer, KeyStore, StoreError,
};

use super::Memory;

/// All keys, the audit log, and answers.
#[derive(Default)]
pub(super) struct Access {
    keys: BTreeMap<KeyNumber, Key>,
    keys_created: u32,
    audited: BTreeMap<AuditId, AuditEntry>,
    audited_ever: u64,
    answers: BTreeMap<AnswerName, KeptAnswer>,
    claims: Claims,
}

#[async_trait]
impl KeyStore for Memory {
    async fn create_key(&self, mut key: Key) -> Result<Key, StoreError> {
        let access = &mut self.state()?.access;
        access.keys_created += 1;
        key.id.number = KeyNumber(access.keys_created);
        access.keys.insert(key.id.number, key.clone());
        Ok(key)
    }

    async fn key_of(&self, digest: KeyDigest) -> Result<Option<Key>, StoreError> {
        Ok(self.state()?.access.keys.values().find(|key| key.digest == digest).cloned())
    }

    async fn keys(&self, beyond: Option<KeyNumber>, ascending: bool, limit: usize) -> Result<Vec<Key>, StoreError> {
        let state = self.state()?;
        let all = state.access.keys.values();
        Ok(if ascending {
            all.filter(|one| beyond.is_none_or(|number| one.id.number > number)).take(limit).cloned().collect()
        } else {
            all.rev().filter(|one| beyond.is_none_or(|number| one.id.number < number)).take(limit).cloned().collect()
        })
    }

    async fn delete_key(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        let access = &mut self.state()?.access;
        let is_known = access.keys.get(&id.number).is_some_and(|known| known.id == id);
        Ok(if is_known { access.keys.remove(&id.number) } else { None })
    }

    async fn keep_uses(&self, uses: Vec<(KeyId, Timestamp)>) -> Result<(), StoreError> {
        let access = &mut self.state()?.access;
        for (id, at) in uses {
            if let Some(known) = access.keys.get_mut(&id.number).filter(|known| known.id == id) {
                known.last_used_at = known.last_used_at.max(Some(at));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl AuditStore for Memory {
    async fn audit(&self, entry: AuditEntry) -> Result<AuditId, StoreError> {
        let access = &mut self.state()?.access;
        access.audited_ever += 1;
        let id = AuditId { number: access.audited_ever, ..entry.id };
        access.audited.insert(id, AuditEntry { id, ..entry });
        Ok(id)
    }

    async fn audited(&self, query: AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let state = self.state()?;
        let within = |entry: &&AuditEntry| {
            query.since.is_none_or(|since| entry.id.at >= since)
                && query.until.is_none_or(|until| entry.id.at < until)
                && query.after.is_none_or(|after| if query.ascending { entry.id > after } else { entry.id < after })
        };
        let all = state.access.audited.values().filter(within);
        Ok(if query.ascending {
            all.take(query.limit).cloned().collect()
        } else {
            all.rev().take(query.limit).cloned().collect()
        })
    }

    async fn forget_audited(&self, before: Timestamp, kept_max: u64) -> Result<usize, StoreError> {
        let access = &mut self.state()?.access;
        let (known, ever) = (access.audited.len(), access.audited_ever);
        access.audited.retain(|id, _| id.at >= before && id.number + kept_max > ever);
        Ok(known - access.audited.len())
    }
}

#[async_trait]
impl AnswerStore for Memory {
    fn claim(&self, name: AnswerName) -> Option<Claim> {
        self.state.lock().unwrap().access.claims.take(name)
    }

    async fn kept_answer(&self, name: AnswerName) -> Result<Option<KeptAnswer>, StoreError> {
        Ok(self.state()?.access.answers.get(&name).cloned())
    }

    async fn answers_kept(&self) -> Result<u64, StoreError> {
        Ok(self.state()?.access.answers.len() as u64)
    }

    async fn keep_answer(&self, name: AnswerName, answer: KeptAnswer) -> Result<(), StoreError> {
        self.state()?.access.answers.insert(name, answer);
        Ok(())
    }

    async fn forget_answers(&self, now: Timestamp) -> Result<usize, StoreError> {
        let answers = &mut self.state()?.access.answers;
        let known = answers.len();
        answers.retain(|_, answer| answer.expires_at > now);
        Ok(known - answers.len())
    }
}
