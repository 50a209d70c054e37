//! What the API needs of the store to answer a call that is repeated as it answered the first one.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::StoreError;
use crate::model::time::Timestamp;

/// A digest of who asked and with which idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnswerName(pub [u8; 32]);

/// An answer that was given, for whoever asks the same again. It may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// A digest of what was asked.
    pub request: [u8; 32],
    /// Its HTTP status.
    pub status: u16,
    /// Those of its headers that belong to what was answered.
    pub headers: Vec<(String, String)>,
    /// Its body; `None`: it was too large to be kept.
    pub body: Option<Vec<u8>>,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

impl fmt::Debug for KeptAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request: _, status, headers: _, body: _, expires_at } = self;
        f.debug_struct("KeptAnswer").field("status", status).field("expires_at", expires_at).finish_non_exhaustive()
    }
}

/// Calls that are being answered at the moment, in a store that one process has to itself.
#[derive(Clone, Debug, Default)]
pub struct Claims(Arc<Mutex<BTreeSet<AnswerName>>>);

impl Claims {
    /// Claims a call; `None`: it is being answered.
    pub fn take(&self, name: AnswerName) -> Option<Claim> {
        let is_free = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        is_free.then(|| Claim { claims: self.clone(), name })
    }
}

/// A call that is being answered, until this is dropped.
#[derive(Debug)]
pub struct Claim {
    claims: Claims,
    name: AnswerName,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

/// Answers to calls with an idempotency key. They are sealed.
#[async_trait]
pub trait AnswerStore: Send + Sync {
    /// Claims a call, so that nobody else carries out the same; `None`: somebody does. A claim ends with the process
    /// that has it.
    fn claim(&self, name: AnswerName) -> Option<Claim>;

    /// The answer of that name, if one was kept. It may have expired.
    async fn kept_answer(&self, name: AnswerName) -> Result<Option<KeptAnswer>, StoreError>;

    /// How many answers are kept, expired ones included until they are forgotten.
    async fn answers_kept(&self) -> Result<u64, StoreError>;

    /// Keeps an answer, in the place of any former one of that name.
    async fn keep_answer(&self, name: AnswerName, answer: KeptAnswer) -> Result<(), StoreError>;

    /// Removes a limited number of answers that have expired by `now`; how many.
    async fn forget_answers(&self, now: Timestamp) -> Result<usize, StoreError>;
}
