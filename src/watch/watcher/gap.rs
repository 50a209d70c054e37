//! Gaps: that no `changes` pass has succeeded for long.

use super::super::Schedule;
use super::super::account::Told;
use super::super::schedule::{GAP_INTERVALS, is_gap};
use super::Watcher;
use crate::detect::gateway;
use crate::model::source::{PassKind, SourceProgress};
use crate::model::time::Timestamp;
use crate::store::StoreError;

/// When the last complete `changes` pass ended.
fn last_success(progress: &SourceProgress) -> Option<Timestamp> {
    progress.changes_completed_at.or(progress.watermark)
}

impl Watcher {
    /// When it has been a gap since the last complete `changes` pass, if that is not told yet; `None` while nobody wants
    /// any pass. With a cron expression, its ticks are counted instead.
    pub(super) fn gap_at(&self) -> Option<Timestamp> {
        let Schedule::Every(every) = self.settings.schedule(PassKind::Changes)? else { return None };
        let progress = self.applier.progress()?;
        let since = last_success(&progress)?;
        let is_told = progress.gap_since.is_some() || progress.baseline_completed_at.is_none();
        (!is_told && self.paused().is_none()).then(|| since.plus(every.saturating_mul(GAP_INTERVALS)))
    }

    /// Tells that no `changes` pass has succeeded for long, once for each time.
    pub(super) async fn tell_gap(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.applier.advance(|progress| self.with_gap(progress.clone(), now)).await
    }

    /// The progress with its gap, and what is told of that, if it is one by now and not told yet.
    pub(super) fn with_gap_if_any(&self, progress: SourceProgress, now: Timestamp) -> (SourceProgress, Vec<Told>) {
        let is_gap = last_success(&progress).is_some_and(|since| {
            let schedule = self.settings.schedule(PassKind::Changes);
            schedule.is_some_and(|schedule| is_gap(schedule, since, now))
        });
        let has_baseline = progress.baseline_completed_at.is_some();
        if is_gap && has_baseline { self.with_gap(progress, now) } else { (progress, Vec::new()) }
    }

    /// What is told of a gap that was told, now that a `changes` pass is complete again.
    pub(super) fn end_of_gap(&self, progress: &SourceProgress, now: Timestamp) -> Option<Told> {
        let since = progress.gap_since?;
        Some(self.account.tell(gateway::gap(since, Some(now)), progress, now))
    }

    fn with_gap(&self, mut progress: SourceProgress, now: Timestamp) -> (SourceProgress, Vec<Told>) {
        let Some(since) = last_success(&progress).filter(|_| progress.gap_since.is_none()) else {
            return (progress, Vec::new());
        };
        progress.gap_since = Some(since);
        let told = self.account.tell(gateway::gap(since, None), &progress, now);
        (progress, vec![told])
    }
}
