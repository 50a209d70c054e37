//! Answers that are kept for whoever asks again, until they expire.

use async_trait::async_trait;

use super::act::{Access, Act};
use super::deliveries::bad_key;
use super::stage::Stage;
use super::{Reader, SledStore, keys};
use crate::model::time::Timestamp;
use crate::store::codec::{self, answers as rows};
use crate::store::{AnswerName, AnswerStore, Claim, KeptAnswer, StoreError};

/// Answers that are removed in one act. Each has up to 31 rows, all of which are held in memory until it is durable.
const FORGOTTEN_AT_ONCE: usize = 100;

impl Stage<'_> {
    /// Keeps an answer in the place of any former one.
    pub(super) fn keep_answer(&mut self, name: AnswerName, answer: &KeptAnswer) -> Result<(), StoreError> {
        let key = keys::answers::answer(name);
        match self.get(&key)? {
            Some(row) => self.remove_entry(keys::answers::expiry(rows::read_expiry(&row)?, name)),
            None => self.put(keys::ANSWER_COUNT, codec::number(self.answer_count()? + 1))?,
        }
        self.add_entry(keys::answers::expiry(answer.expires_at, name));
        let row = rows::answer(name, answer, self.vault);
        self.put(&key, row)
    }

    /// Removes answers that have not been replaced since.
    pub(super) fn forget_answers(&mut self, expired: &[(Timestamp, AnswerName)]) -> Result<usize, StoreError> {
        let mut count = 0;
        for (at, name) in expired {
            let key = keys::answers::answer(*name);
            if let Some(row) = self.get(&key)?
                && rows::read_expiry(&row)? == *at
            {
                self.remove(&key)?;
                self.remove_entry(keys::answers::expiry(*at, *name));
                count += 1;
            }
        }
        let left = self.answer_count()?.saturating_sub(count as u64);
        self.put(keys::ANSWER_COUNT, codec::number(left))?;
        Ok(count)
    }

    fn answer_count(&self) -> Result<u64, StoreError> {
        Ok(self.number(keys::ANSWER_COUNT)?.unwrap_or(0))
    }
}

impl Reader {
    fn expired_answers(&self, now: Timestamp) -> Result<Vec<(Timestamp, AnswerName)>, StoreError> {
        let entries = self.view.walk(keys::answers::expired(now), false).take(FORGOTTEN_AT_ONCE);
        entries.map(|entry| keys::answers::expiry_entry(&entry?.0).ok_or_else(bad_key)).collect()
    }
}

#[async_trait]
impl AnswerStore for SledStore {
    fn claim(&self, name: AnswerName) -> Option<Claim> {
        self.claims.take(name)
    }

    async fn kept_answer(&self, name: AnswerName) -> Result<Option<KeptAnswer>, StoreError> {
        self.read(move |reader| {
            let row = reader.view.get(&keys::answers::answer(name))?;
            row.map(|row| rows::read_answer(name, &row, &reader.vault)).transpose()
        })
        .await
    }

    async fn answers_kept(&self) -> Result<u64, StoreError> {
        self.read(|reader| reader.view.get(keys::ANSWER_COUNT)?.map_or(Ok(0), |row| codec::read_number(&row))).await
    }

    async fn keep_answer(&self, name: AnswerName, answer: KeptAnswer) -> Result<(), StoreError> {
        let answer = Box::new(answer);
        self.write(|done| Act::Access(Access::KeepAnswer { name, answer, done })).await
    }

    async fn forget_answers(&self, now: Timestamp) -> Result<usize, StoreError> {
        let expired = self.read(move |reader| reader.expired_answers(now)).await?;
        if expired.is_empty() {
            return Ok(0);
        }
        self.write(|done| Act::Access(Access::ForgetAnswers { expired, done })).await
    }
}
