//! What is known of rows, out of the store: a process that has just begun recognises none.

use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;

use super::Applier;
use crate::model::resource::Kind;
use crate::store::StoreError;

/// So many rows are read at a time.
const PAGE: usize = 1_000;

impl Applier {
    /// Lets the rows be recognised that made the snapshots in the store, once in a process, unless it is stopped. All of
    /// them in the order in which they lie there cost a fraction of what each costs where a listing comes to it.
    pub(in super::super) async fn recall(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        if self.is_recalled.load(Ordering::Relaxed) {
            return Ok(());
        }
        for kind in Kind::ALL {
            let count = self.store.snapshot_count(self.source.name(), kind).await?;
            self.recognised.reserve(kind, usize::try_from(count).unwrap_or(0));
            let mut after = None;
            loop {
                // What is read here must not take the place of what is committed meanwhile.
                let _right = self.progress.lock().await;
                let page = self.store.traces_after(self.source.name(), kind, after.as_ref(), PAGE).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.id.clone());
                let there = page.iter().filter(|trace| !trace.is_removed);
                there.for_each(|trace| self.recognised.learn(kind, &trace.id, trace.row_fingerprint));
                if stop.is_cancelled() {
                    return Ok(());
                }
            }
        }
        self.is_recalled.store(true, Ordering::Relaxed);
        Ok(())
    }
}
