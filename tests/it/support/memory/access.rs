//! Who may use the API, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use certhook::model::audit::AuditEntry;
use certhook::model::id::{AuditId, KeyId, KeyNumber};
use certhook::model::key::{Key, KeyDigest};
use certhook::model::time::Timestamp;
use certhook::store::{
    AnswerName, AnswerStore, AuditQuery, AuditStore, Claim, Claims, Deed, KeptAnswer, KeyStore, StoreError,
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

impl Access {
    pub(super) fn keep_deed(&mut self, deed: Deed) {
        deed.entry.map(|entry| self.audit(entry));
        self.answers.extend(deed.answer);
    }

    fn audit(&mut self, entry: AuditEntry) -> AuditId {
        self.audited_ever += 1;
        let id = AuditId { number: self.audited_ever, ..entry.id };
        self.audited.insert(id, AuditEntry { id, ..entry });
        id
    }
}

#[async_trait]
impl KeyStore for Memory {
    async fn create_key_with(&self, mut key: Key, deed: Deed) -> Result<Key, StoreError> {
        let access = &mut self.state()?.access;
        access.keys_created += 1;
        let unnumbered = key.id;
        key.id.number = KeyNumber(access.keys_created);
        access.keys.insert(key.id.number, key.clone());
        access.keep_deed(deed.renamed(&unnumbered, &key.id));
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

    async fn delete_key_with(&self, id: KeyId, deed: Deed) -> Result<Option<Key>, StoreError> {
        let access = &mut self.state()?.access;
        if access.keys.get(&id.number).is_none_or(|known| known.id != id) {
            return Ok(None);
        }
        access.keep_deed(deed);
        Ok(access.keys.remove(&id.number))
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
        Ok(self.state()?.access.audit(entry))
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
