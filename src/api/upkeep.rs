//! What is done beside the calls, once a minute and not while anybody waits: when keys were used last is written down,
//! the audit log loses what is too old, and answers are forgotten that nobody may ask for again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::audit;
use crate::clock::Clock;
use crate::model::id::{KeyId, KeyNumber};
use crate::model::time::Timestamp;
use crate::store::{Store, StoreError};

/// How often. Nobody needs to know to the second when a key was used.
const EVERY: Duration = Duration::from_secs(60);

/// So often in one look the store is asked to remove some of what is old, so that others have their turn.
const STEPS: usize = 10;

/// How long a stop waits for changes whose callers are gone: longer than anything of our own takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// What calls leave to be done.
#[derive(Default)]
pub struct Upkeep {
    /// When keys were used, as far as that is not written down. There are never more than there are keys.
    uses: Mutex<BTreeMap<KeyNumber, (KeyId, Timestamp)>>,
    /// Calls that change something.
    changes: TaskTracker,
}

impl Upkeep {
    /// A key was used.
    pub(super) fn used(&self, id: KeyId, at: Timestamp) {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner).insert(id.number, (id, at));
    }

    /// Where calls that change something are carried out.
    pub(super) fn changes(&self) -> &TaskTracker {
        &self.changes
    }

    /// Waits until all that was begun is carried out, for a while. To be called when no more calls come in.
    pub async fn finish(&self) {
        self.changes.close();
        if tokio::time::timeout(PATIENCE, self.changes.wait()).await.is_err() {
            tracing::warn!(open = self.changes.len(), "api.changes_cut_short");
        }
    }

    /// Does once a minute what is to be done, and once more at the `stop`.
    ///
    /// # Errors
    /// If the store is closed.
    pub async fn run(
        self: Arc<Self>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Result<(), StoreError> {
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            match self.look(&*store, &*clock).await {
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
    pub async fn look(&self, store: &dyn Store, clock: &dyn Clock) -> Result<(), StoreError> {
        let uses = std::mem::take(&mut *self.uses.lock().unwrap_or_else(PoisonError::into_inner));
        if !uses.is_empty() {
            store.keep_uses(uses.into_values().collect()).await?;
        }
        let horizon = clock.now().minus(audit::KEPT_FOR);
        for _ in 0..STEPS {
            if store.forget_audited(horizon, audit::ENTRIES_MAX).await? == 0 {
                break;
            }
        }
        let now = clock.now();
        for _ in 0..STEPS {
            if store.forget_answers(now).await? == 0 {
                break;
            }
        }
        Ok(())
    }
}
