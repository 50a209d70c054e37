//! The source as a whole: what it is called, how it stands, and what the gateway says about it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Description;
use super::guard::Counts;
use crate::detect::gateway::{self, ShownSource};
use crate::model::event::{EventDraft, Sight};
use crate::model::resource::SourceName;
use crate::model::source::{BaselineStatus, SourceProgress, SourceState};
use crate::model::time::Timestamp;

/// How many passes in a row must fail, or end incomplete, before the source is told to be failing: one may be a
/// hiccup, and two a restart upstream.
const FAILED_PASSES: u32 = 3;

/// What the gateway has to say: a sight of the source, and its event.
pub(super) type Told = (Sight, Vec<EventDraft>);

/// How a pass ended, as far as it tells how the source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// Complete.
    Well,
    /// Failed or incomplete.
    Badly,
    /// Upstream refuses the key.
    Unauthorized,
}

/// What is to be told of a pass's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing.
    None,
    /// That the source is failing, after so many passes in a row.
    Failing(u32),
    /// That it has recovered from failing since then.
    Recovered(Timestamp),
}

/// What follows from a pass's end. `failed` counts the passes in a row that did not end well, this one included.
pub(super) fn news(passed: Passed, failed: u32, failing_since: Option<Timestamp>) -> News {
    match (passed, failing_since) {
        (Passed::Well, Some(since)) => News::Recovered(since),
        (Passed::Unauthorized, None) => News::Failing(failed),
        (Passed::Badly, None) if failed >= FAILED_PASSES => News::Failing(failed),
        (Passed::Well | Passed::Badly, None) | (Passed::Badly | Passed::Unauthorized, Some(_)) => News::None,
    }
}

/// One upstream account.
#[derive(Debug)]
pub(super) struct Account {
    /// Its identity.
    pub(super) name: SourceName,
    /// What it is called.
    pub(super) description: Description,
    api_version: String,
    standing: Mutex<Standing>,
}

/// How the account stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// Whether it can be read.
    pub(super) state: SourceState,
    /// Whether it is left alone as long as this process lives.
    pub(super) is_held: bool,
    /// How many passes in a row did not end well.
    pub(super) failed: u32,
    /// Resources that the baseline has seen.
    pub(super) baseline_seen: u64,
}

impl Standing {
    /// How it stands for those who look at it.
    pub(super) fn shown(&self, progress: Option<&SourceProgress>) -> SourceState {
        let is_paused = self.is_held || progress.is_some_and(|progress| progress.paused_at.is_some());
        if is_paused { SourceState::Paused } else { self.state }
    }
}

impl Account {
    /// An account of which nothing bad is known.
    pub(super) fn new(name: SourceName, description: Description, api_version: String, baseline_seen: u64) -> Self {
        let standing = Standing { state: SourceState::Healthy, is_held: false, failed: 0, baseline_seen };
        Self { name, description, api_version, standing: Mutex::new(standing) }
    }

    /// How it stands.
    pub(super) fn standing(&self) -> MutexGuard<'_, Standing> {
        // Nothing that can panic is done while it is held.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something to say about the source.
    pub(super) fn tell(&self, draft: EventDraft, progress: &SourceProgress, now: Timestamp) -> Told {
        let standing = *self.standing();
        let baseline = BaselineStatus::of(Some(progress), standing.baseline_seen, now);
        (self.shown(standing.shown(Some(progress)), baseline, None).sight(now), vec![draft])
    }

    /// That the baseline is complete, and what it found.
    pub(super) fn tell_baseline(&self, counts: Counts, now: Timestamp) -> Told {
        let baseline = BaselineStatus::done(counts.iter().sum());
        let shown = self.shown(SourceState::Healthy, baseline, Some(named(counts)));
        (shown.sight(now), vec![gateway::baseline_completed()])
    }

    fn shown(&self, status: SourceState, baseline: BaselineStatus, counts: Option<gateway::Counts>) -> ShownSource<'_> {
        let Description { kind, base_url, livemode } = &self.description;
        let (name, api_version, livemode) = (&self.name, &self.api_version, *livemode);
        ShownSource { name, kind, base_url, api_version, livemode, status, baseline, counts }
    }
}

/// The counts with their names.
pub(super) fn named([certificate, certificate_request]: Counts) -> gateway::Counts {
    gateway::Counts { certificate, certificate_request }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_bad_passes_in_a_row_are_told_once_and_the_next_good_one_too() {
        let since = Timestamp::from_millis(5);
        for (passed, failed, failing_since, expected) in [
            (Passed::Well, 0, None, News::None),
            (Passed::Badly, 1, None, News::None),
            (Passed::Badly, 2, None, News::None),
            (Passed::Badly, 3, None, News::Failing(3)),
            (Passed::Badly, 4, Some(since), News::None),
            (Passed::Unauthorized, 1, None, News::Failing(1)),
            (Passed::Unauthorized, 2, Some(since), News::None),
            (Passed::Well, 0, Some(since), News::Recovered(since)),
        ] {
            assert_eq!(news(passed, failed, failing_since), expected, "{passed:?} {failed} {failing_since:?}");
        }
    }
}
