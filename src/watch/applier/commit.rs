//! What a commit is made of: what a sight leaves to be written, and the fields that are new upstream.

use super::sort::ToApply;
use super::{Applied, Applier, Arrival, FIELDS_MAX, is_noted};
use crate::detect::agenda::{Occasion, plan, reminder_sight};
use crate::detect::diff::{Context, Verdict, carries_news, diff};
use crate::detect::gateway;
use crate::model::event::{EventDraft, EventType, Mode, Sight};
use crate::model::resource::{Coverage, Download, Seen, Snapshot};
use crate::model::source::SourceProgress;
use crate::model::time::Timestamp;
use crate::source::Malformed;
use crate::store::{SightCommit, StoreError};

impl Applier {
    /// What is to be written because of a sight. `swept_at` is the start of the last complete sweep, if that showed the
    /// resource.
    pub(super) fn commit_of(
        &self,
        before: Option<&Snapshot>,
        to_apply: &ToApply,
        arrival: Arrival<'_>,
        swept_at: Option<Timestamp>,
        progress: &SourceProgress,
    ) -> Option<SightCommit> {
        let now = arrival.exchange.answered_at;
        let context = Context {
            arrived_at: now,
            first_sight: to_apply.first_sight,
            cause: arrival.cause,
            request_id: arrival.request_id,
            row_fingerprint: to_apply.row_fingerprint,
            swept_at,
            fields_since: &progress.fields_since[arrival.kind as usize],
            ignored_fields: &self.ignored_fields,
            api_version: self.source.api_version(),
        };
        let (mut snapshot, mut told) = match diff(before, &to_apply.seen, &context) {
            Verdict::Same => return None,
            Verdict::Touched(snapshot) => (snapshot, Vec::new()),
            Verdict::Told(snapshot, sight, drafts) => (snapshot, vec![(sight, drafts)]),
        };
        let occasion = if before.is_none() { Occasion::FirstSight } else { Occasion::Later };
        let plan = plan(&snapshot, occasion, now, &self.dates);
        snapshot.agenda = plan.agenda;
        if !plan.reminders.is_empty() {
            told.push((reminder_sight(&snapshot, now, self.source.api_version()), plan.reminders));
        }
        Some(SightCommit { snapshot: Some(snapshot), absence: None, told })
    }

    /// Notes top-level fields that were never seen on that kind before, and tells of them once the baseline, which
    /// shows what is usual, is complete.
    pub(super) async fn learn_fields(
        &self,
        progress: &mut Option<SourceProgress>,
        arrival: Arrival<'_>,
        to_apply: &[ToApply],
    ) -> Result<(), StoreError> {
        let Some(known) = progress.as_ref() else { return Ok(()) };
        let documented = self.source.documented_fields(arrival.kind);
        let since = &known.fields_since[arrival.kind as usize];
        let is_new =
            |name: &&String| !documented.contains(&name.as_str()) && !since.contains_key(*name) && is_noted(name);
        let all = to_apply.iter().flat_map(|to_apply| to_apply.seen.fields.keys());
        let mut new: Vec<String> = all.filter(is_new).cloned().collect();
        new.sort_unstable();
        new.dedup();
        new.truncate(FIELDS_MAX.saturating_sub(since.len()));
        if new.is_empty() {
            return Ok(());
        }
        let now = arrival.exchange.answered_at;
        // A store of an older version has not noted what was usual until every snapshot was looked through.
        let is_settled = known.baseline_completed_at.is_some() && known.agenda_for.is_some();
        let mut moved = known.clone();
        let mut told = Vec::new();
        for name in new {
            if is_settled && !self.ignored_fields.contains(&name) {
                told.push(self.account.tell(gateway::schema_changed(arrival.kind, &name), known, now));
            }
            let since = if is_settled { now } else { Timestamp::EPOCH };
            moved.fields_since[arrival.kind as usize].insert(name, since);
        }
        self.commit_progress(progress, moved, told).await
    }

    /// Commits sights. What the store refuses for its size is malformed, and spoils nothing else.
    pub(super) async fn commit(&self, mut commits: Vec<SightCommit>, applied: &mut Applied) -> Result<(), StoreError> {
        while !commits.is_empty() {
            let (durable, refusal) = match self.store.commit_sights(commits.clone(), None).await {
                Ok(()) => (commits.len(), None),
                // Those before it must not be committed again: they would be told again, under other ids.
                Err(refusal @ StoreError::TooLarge { sights_before, .. }) => (sights_before, Some(refusal)),
                Err(error) => return Err(error),
            };
            commits.drain(..durable).for_each(|commit| self.committed(&commit, applied));
            if let Some(refusal) = refusal {
                let id = commits.remove(0).snapshot.map(|snapshot| snapshot.key.id);
                applied.malformed.push(Malformed { id, reason: refusal.to_string() });
            }
        }
        Ok(())
    }

    fn committed(&self, commit: &SightCommit, applied: &mut Applied) {
        // A reminder that falls due with a sight is no change of the resource.
        let is_change = |(sight, _): &(Sight, Vec<EventDraft>)| sight.detection.mode != Mode::Derived;
        applied.changed += u64::from(commit.told.iter().any(is_change));
        let is_restored =
            |event_type| matches!(event_type, EventType::CertificateRestored | EventType::RequestRestored);
        let drafts = commit.told.iter().flat_map(|(_, drafts)| drafts);
        applied.restored += drafts.filter(|draft| is_restored(draft.event_type)).count() as u64;
        if let Some(snapshot) = &commit.snapshot {
            self.learn(snapshot);
        }
    }

    /// A row does not show whether there is a document. Where it was missing, whatever moves the row may have brought
    /// it; also where that could not be asked for when the row had moved, and the row is not recognised for that.
    pub(super) fn document_may_have_come(&self, before: &Snapshot, seen: &Seen) -> bool {
        seen.coverage == Coverage::Row
            && before.download == Download::Missing
            && (before.row_fingerprint.is_none() || carries_news(before, seen, &self.ignored_fields))
    }
}
