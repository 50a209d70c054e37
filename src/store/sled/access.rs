//! Who may use the API: keys, found by their digests; and the audit log, which tells who has changed what.

use async_trait::async_trait;

use super::act::{Access, Act};
use super::deliveries::bad_key;
use super::stage::Stage;
use super::writer::Writer;
use super::{Reader, SledStore, keys};
use crate::model::audit::AuditEntry;
use crate::model::id::{AuditId, KeyId, KeyNumber};
use crate::model::key::{Key, KeyDigest};
use crate::model::time::Timestamp;
use crate::store::codec::access as rows;
use crate::store::{AuditQuery, AuditStore, Deed, KeyStore, StoreError, codec};

/// Entries of the audit log that are removed in one act, of up to some 70 KiB each to be read before.
const FORGOTTEN_AT_ONCE: usize = 100;

/// The number of the first key, and of the first entry of the audit log.
const FIRST_NUMBER: u64 = 1;

impl Stage<'_> {
    /// Keeps a key under the next number.
    fn create_key(&mut self, mut key: Key, deed: Deed) -> Result<Key, StoreError> {
        let unnumbered = key.id;
        let number = self.number(keys::NEXT_KEY)?.unwrap_or(FIRST_NUMBER);
        let max = u32::MAX as usize;
        key.id.number = KeyNumber(u32::try_from(number).map_err(|_| StoreError::TooLarge {
            what: "the number of keys ever given",
            size: usize::try_from(number).unwrap_or(usize::MAX),
            max,
            sights_before: 0,
        })?);
        self.put(keys::NEXT_KEY, codec::number(number + 1))?;
        self.put(&keys::access::by_digest(key.digest), codec::number(number))?;
        self.put(&keys::access::key(key.id.number), rows::key(&key))?;
        self.keep_deed(deed.renamed(&unnumbered, &key.id))?;
        Ok(key)
    }

    fn delete_key(&mut self, id: KeyId, deed: Deed) -> Result<Option<Key>, StoreError> {
        let Some(known) = self.key(id)? else { return Ok(None) };
        self.remove(&keys::access::by_digest(known.digest))?;
        self.remove(&keys::access::key(id.number))?;
        self.keep_deed(deed)?;
        Ok(Some(known))
    }

    /// Keeps what tells of the change that this act makes.
    pub(super) fn keep_deed(&mut self, deed: Deed) -> Result<(), StoreError> {
        let Deed { entry, answer } = deed;
        if let Some(entry) = entry {
            self.audit(entry)?;
        }
        match answer {
            Some((name, answer)) => self.keep_answer(name, &answer),
            None => Ok(()),
        }
    }

    fn keep_use(&mut self, id: KeyId, at: Timestamp) -> Result<(), StoreError> {
        match self.key(id)? {
            Some(known) if known.last_used_at < Some(at) => {
                self.put(&keys::access::key(id.number), rows::key(&Key { last_used_at: Some(at), ..known }))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Keeps an entry of the audit log under the next number.
    fn audit(&mut self, entry: AuditEntry) -> Result<AuditId, StoreError> {
        let number = self.number(keys::NEXT_AUDIT)?.unwrap_or(FIRST_NUMBER);
        let id = AuditId { number, ..entry.id };
        self.put(keys::NEXT_AUDIT, codec::number(number + 1))?;
        self.put(&keys::access::audit(id), rows::audit(&AuditEntry { id, ..entry }))?;
        Ok(id)
    }

    fn forget_audited(&mut self, ids: &[AuditId]) -> Result<usize, StoreError> {
        ids.iter().try_for_each(|id| self.remove(&keys::access::audit(*id)))?;
        Ok(ids.len())
    }

    fn key(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        let known = self.get(&keys::access::key(id.number))?.map(|row| rows::read_key(&row)).transpose()?;
        Ok(known.filter(|known| known.id == id))
    }
}

impl Writer {
    /// Works out what is asked for about who uses the API.
    pub(super) fn access(&mut self, act: Access) {
        match act {
            Access::CreateKey { key, deed, done } => {
                let result = self.stage(|stage| stage.create_key(*key, *deed));
                self.answer(done, result);
            }
            Access::DeleteKey { id, deed, done } => {
                let result = self.stage(|stage| stage.delete_key(id, *deed));
                self.answer(done, result);
            }
            Access::Audit { entry, done } => {
                let result = self.stage(|stage| stage.audit(*entry));
                self.answer(done, result);
            }
            Access::ForgetAudited { ids, done } => {
                let result = self.stage(|stage| stage.forget_audited(&ids));
                self.answer(done, result);
            }
            Access::KeepAnswer { name, answer, done } => {
                let result = self.stage(|stage| stage.keep_answer(name, &answer));
                self.answer(done, result);
            }
            Access::ForgetAnswers { expired, done } => {
                let result = self.stage(|stage| stage.forget_answers(&expired));
                self.answer(done, result);
            }
            Access::KeepUses { uses, done } => {
                let result = uses.into_iter().try_for_each(|(id, at)| self.stage(|stage| stage.keep_use(id, at)));
                self.answer(done, result);
            }
        }
    }
}

impl Reader {
    fn key_of(&self, digest: KeyDigest) -> Result<Option<Key>, StoreError> {
        let Some(row) = self.view.get(&keys::access::by_digest(digest))? else { return Ok(None) };
        let number = u32::try_from(codec::read_number(&row)?).map_err(|_| bad_key())?;
        // Between the two looks it may have been removed.
        self.view.get(&keys::access::key(KeyNumber(number)))?.map(|row| rows::read_key(&row)).transpose()
    }

    fn keys(&self, beyond: Option<KeyNumber>, ascending: bool, limit: usize) -> Result<Vec<Key>, StoreError> {
        let (mut first, mut last) = (KeyNumber(0), KeyNumber(u32::MAX));
        match beyond {
            Some(KeyNumber(number)) if ascending => match number.checked_add(1) {
                Some(next) => first = KeyNumber(next),
                None => return Ok(Vec::new()),
            },
            Some(KeyNumber(number)) => match number.checked_sub(1) {
                Some(before) => last = KeyNumber(before),
                None => return Ok(Vec::new()),
            },
            None => {}
        }
        let rows = self.view.walk(keys::access::keys(first, last), !ascending).take(limit);
        rows.map(|row| rows::read_key(&row?.1)).collect()
    }

    fn audited(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let lowest = AuditId { at: query.since.unwrap_or(Timestamp::EPOCH), number: 0 };
        let end = query.until.unwrap_or(Timestamp::from_millis(i64::MAX));
        let highest = AuditId { at: end, number: 0 };
        let (first, last) = match query.after {
            Some(after) if query.ascending => (lowest.max(after), highest),
            Some(after) => (lowest, highest.min(after)),
            None => (lowest, highest),
        };
        // No entry has the number 0, so the last key of the range is the end and not in it.
        let rows = self.view.walk(keys::access::audit(first)..=keys::access::audit(last), !query.ascending);
        let entries = rows.map(|row| rows::read_audit(&row?.1));
        let others = entries.filter(|entry| entry.as_ref().map_or(true, |entry| Some(entry.id) != query.after));
        others.take(query.limit).collect()
    }

    /// The oldest entries that are from before an instant or too many.
    fn old_audited(&self, before: Timestamp, kept_max: u64) -> Result<Vec<AuditId>, StoreError> {
        let next = self.view.get(keys::NEXT_AUDIT)?.map_or(Ok(FIRST_NUMBER), |row| codec::read_number(&row))?;
        let all = |at| keys::access::audit(AuditId { at, number: 0 });
        let mut old = Vec::new();
        for row in self.view.walk(all(Timestamp::EPOCH)..=all(Timestamp::from_millis(i64::MAX)), false) {
            let id = keys::access::audit_id(&row?.0).ok_or_else(bad_key)?;
            let is_old = id.at < before || id.number.saturating_add(kept_max) < next;
            if !is_old || old.len() == FORGOTTEN_AT_ONCE {
                break;
            }
            old.push(id);
        }
        Ok(old)
    }
}

#[async_trait]
impl KeyStore for SledStore {
    async fn create_key_with(&self, key: Key, deed: Deed) -> Result<Key, StoreError> {
        let (key, deed) = (Box::new(key), Box::new(deed));
        self.write(|done| Act::Access(Access::CreateKey { key, deed, done })).await
    }

    async fn key_of(&self, digest: KeyDigest) -> Result<Option<Key>, StoreError> {
        self.read(move |reader| reader.key_of(digest)).await
    }

    async fn keys(&self, beyond: Option<KeyNumber>, ascending: bool, limit: usize) -> Result<Vec<Key>, StoreError> {
        self.read(move |reader| reader.keys(beyond, ascending, limit)).await
    }

    async fn delete_key_with(&self, id: KeyId, deed: Deed) -> Result<Option<Key>, StoreError> {
        let deed = Box::new(deed);
        self.write(|done| Act::Access(Access::DeleteKey { id, deed, done })).await
    }

    async fn keep_uses(&self, uses: Vec<(KeyId, Timestamp)>) -> Result<(), StoreError> {
        self.write(|done| Act::Access(Access::KeepUses { uses, done })).await
    }
}

#[async_trait]
impl AuditStore for SledStore {
    async fn audit(&self, entry: AuditEntry) -> Result<AuditId, StoreError> {
        let entry = Box::new(entry);
        self.write(|done| Act::Access(Access::Audit { entry, done })).await
    }

    async fn audited(&self, query: AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        self.read(move |reader| reader.audited(&query)).await
    }

    async fn forget_audited(&self, before: Timestamp, kept_max: u64) -> Result<usize, StoreError> {
        let ids = self.read(move |reader| reader.old_audited(before, kept_max)).await?;
        if ids.is_empty() {
            return Ok(0);
        }
        self.write(|done| Act::Access(Access::ForgetAudited { ids, done })).await
    }
}
