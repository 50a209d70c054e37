//! What is done beside the calls: when keys were used last is written down once a minute, and not while anybody waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::model::id::{KeyId, KeyNumber};
use crate::model::time::Timestamp;
use crate::store::{Store, StoreError};

/// How often. Nobody needs to know to the second when a key was used.
const EVERY: Duration = Duration::from_secs(60);

/// What calls leave to be done.
#[derive(Default)]
pub struct Upkeep {
    /// When keys were used, as far as that is not written down. There are never more than there are keys.
    uses: Mutex<BTreeMap<KeyNumber, (KeyId, Timestamp)>>,
}

impl Upkeep {
    /// A key was used.
    pub(super) fn used(&self, id: KeyId, at: Timestamp) {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner).insert(id.number, (id, at));
    }

    /// Does once a minute what is to be done, and once more at the `stop`.
    ///
    /// # Errors
    /// If the store is closed.
    pub async fn run(self: Arc<Self>, store: Arc<dyn Store>, stop: CancellationToken) -> Result<(), StoreError> {
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            match self.look(&*store).await {
                Ok(()) => {}
                Err(error @ StoreError::Closed) => return Err(error),
                // What could not be done is not needed by anybody at once.
                Err(error) => tracing::warn!(%error, "api.upkeep_failed"),
            }
            if stopped {
                return Ok(());
            }
        }
    }

    /// Does what is to be done by now. What [`Self::run`] does once a minute.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn look(&self, store: &dyn Store) -> Result<(), StoreError> {
        let uses = std::mem::take(&mut *self.uses.lock().unwrap_or_else(PoisonError::into_inner));
        if uses.is_empty() { Ok(()) } else { store.keep_uses(uses.into_values().collect()).await }
    }
}
