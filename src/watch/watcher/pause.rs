//! A source that is left alone because somebody wants that: until it is resumed, or as long as this process lives.
//!
//! A pass under way ends at once; what a page has shown is applied. Passes that are due wait, at most one of each kind.
//! Calls through our API still ask upstream, and reminders, which need no upstream, go on: their dates pass all the same.

use super::Watcher;
use crate::model::source::SourceProgress;
use crate::store::StoreError;

/// Why a source is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Paused {
    /// Somebody paused it.
    #[error("the source is paused; resume it first")]
    Source,
    /// The process was told to look at no source.
    #[error("certhook was started with --paused; start it without")]
    Process,
}

impl Watcher {
    /// Leaves the source alone as long as this process lives.
    pub fn hold(&self) {
        self.account.standing().is_held = true;
        self.show_pause();
    }

    /// Leaves the source alone from now on, also after a restart. What is paused already stays so.
    ///
    /// # Errors
    /// If that cannot be stored; the source goes on then.
    pub async fn pause(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        // Whether anything was ever read of the source or not.
        self.applier.begin(now).await?;
        let step = |progress: &SourceProgress| {
            let paused_at = progress.paused_at.or(Some(now));
            (SourceProgress { paused_at, ..progress.clone() }, Vec::new())
        };
        self.applier.advance(step).await?;
        self.show_pause();
        tracing::info!(source = %self.name(), "source.paused");
        Ok(())
    }

    /// Looks at the source again, and tells of a gap if it was left alone for so long that it is one. What is not paused
    /// goes on.
    ///
    /// # Errors
    /// If that cannot be stored; the source stays paused then.
    pub async fn resume(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let step = |progress: &SourceProgress| {
            let resumed = SourceProgress { paused_at: None, ..progress.clone() };
            if progress.paused_at.is_none() || self.account.standing().is_held {
                return (resumed, Vec::new());
            }
            self.with_gap_if_any(resumed, now)
        };
        self.applier.advance(step).await?;
        self.show_pause();
        tracing::info!(source = %self.name(), "source.resumed");
        Ok(())
    }

    /// Why the source is left alone; `None` if it is not.
    pub fn paused(&self) -> Option<Paused> {
        if self.account.standing().is_held {
            return Some(Paused::Process);
        }
        self.applier.progress().and_then(|progress| progress.paused_at).map(|_| Paused::Source)
    }

    /// Tells the passes and the loop.
    fn show_pause(&self) {
        self.pause.send_replace(self.paused().is_some());
        self.wake.notify_one();
    }
}
