//! What no list shows any more: who is absent, what is withheld, what is removed; and of whom a sweep was no sight.

use std::collections::HashSet;

use super::super::account::named;
use super::super::guard::Counts;
use super::Applier;
use crate::detect::gateway;
use crate::detect::removal::removed;
use crate::model::event::Cause;
use crate::model::resource::{Absence, AbsenceState, Kind, OpenList, RemovalReason, ResourceId, ResourceKey, Snapshot};
use crate::model::time::Timestamp;
use crate::store::{SightCommit, StoreError};

/// So many ids are looked at at a time.
const PAGE: usize = 1_000;

/// So many snapshots are written in one commit: as many as a page has rows.
const WRITTEN_AT_ONCE: usize = 100;

/// Where a walk over all resources stands.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Walk {
    kind: usize,
    after: Option<ResourceId>,
    /// Kinds of which nothing is absent, so that there is nothing to look for.
    all_seen: [bool; 2],
}

/// A resource that a complete sweep did not show.
#[derive(Clone, Debug)]
pub(in super::super) struct Absent {
    /// Its kind.
    pub(in super::super) kind: Kind,
    /// Its id.
    pub(in super::super) id: ResourceId,
    /// What is known of its absence; `None`: the former sweep has shown it.
    state: Option<AbsenceState>,
}

impl Absent {
    /// Whether its removal is withheld already.
    pub(in super::super) fn is_withheld(&self) -> bool {
        self.state == Some(AbsenceState::Withheld)
    }
}

/// A resource that is confirmed to be gone.
#[derive(Clone, Debug)]
pub(in super::super) struct Gone {
    /// Its kind.
    pub(in super::super) kind: Kind,
    /// Its id.
    pub(in super::super) id: ResourceId,
    /// How that is known.
    pub(in super::super) reason: RemovalReason,
    /// When it was.
    pub(in super::super) at: Timestamp,
    /// When it was last seen before somebody asked for it because it was absent.
    pub(in super::super) last_seen: Timestamp,
}

impl Applier {
    /// Begins to look for what the sweep did not see. Where it has seen as many as there are, that was all of them, and
    /// a look at each row in the store is spared.
    pub(in super::super) async fn begin_walk(&self) -> Result<Walk, StoreError> {
        let _right = self.progress.lock().await;
        let all = self.counts().await?;
        Ok(Walk { all_seen: Kind::ALL.map(|kind| self.recognised.seen(kind) == all[kind as usize]), ..Walk::default() })
    }

    /// The next of those that the sweep did not see and on which nobody has decided. `None`: that was all.
    pub(in super::super) async fn absent(&self, walk: &mut Walk) -> Result<Option<Vec<Absent>>, StoreError> {
        while walk.all_seen.get(walk.kind) == Some(&true) {
            walk.kind += 1;
        }
        let Some(&kind) = Kind::ALL.get(walk.kind) else { return Ok(None) };
        let page = self.store.ids_after(self.source.name(), kind, walk.after.as_ref(), PAGE).await?;
        match page.last() {
            Some((last, _)) => walk.after = Some(last.clone()),
            None => *walk = Walk { kind: walk.kind + 1, after: None, ..*walk },
        }
        let is_absent = |(id, is_removed): &(ResourceId, bool)| !is_removed && !self.recognised.has_seen(kind, id);
        let ids: Vec<ResourceId> = page.into_iter().filter(is_absent).map(|(id, _)| id).collect();
        let entries = self.store.absences(self.source.name(), kind, &ids).await?;
        let absent = ids.into_iter().zip(entries).filter_map(|(id, entry)| match entry.map(|entry| entry.state) {
            // Somebody has decided on these.
            Some(AbsenceState::Kept | AbsenceState::Confirmed) => None,
            state @ (Some(AbsenceState::Withheld | AbsenceState::Unknown) | None) => Some(Absent { kind, id, state }),
        });
        Ok(Some(absent.collect()))
    }

    /// How many resources there are of each kind, removed ones left out.
    pub(in super::super) async fn counts(&self) -> Result<Counts, StoreError> {
        let mut counts = [0; 2];
        for kind in Kind::ALL {
            counts[kind as usize] = self.store.snapshot_count(self.source.name(), kind).await?;
        }
        Ok(counts)
    }

    /// Withholds all who are absent from the sweep that began at `began`, and says so if there are new ones.
    pub(in super::super) async fn withhold(
        &self,
        absent: Counts,
        all: Counts,
        began: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let right = self.progress.lock().await;
        let Some(progress) = right.as_ref() else { return Ok(()) };
        let mut walk = Walk::default();
        // The last new one carries the event, so that a sweep that was interrupted before is told by the next.
        let mut last: Option<SightCommit> = None;
        while let Some(page) = self.absent(&mut walk).await? {
            let new: Vec<Absent> = page.into_iter().filter(|absent| !absent.is_withheld()).collect();
            for new in new.chunks(WRITTEN_AT_ONCE) {
                let mut commits: Vec<SightCommit> = last.take().into_iter().collect();
                commits.extend(self.absences_of_new(new, AbsenceState::Withheld, began, progress.swept_at).await?);
                last = commits.pop();
                if !commits.is_empty() {
                    self.store.commit_sights(commits, None).await?;
                }
            }
        }
        let Some(mut last) = last else { return Ok(()) };
        let sight = last.snapshot.take().map(|sight| SightCommit { snapshot: Some(sight), ..SightCommit::default() });
        last.told = vec![self.account.tell(gateway::removals_withheld(named(absent), named(all)), progress, now)];
        self.store.commit_sights(sight.into_iter().chain([last]).collect(), None).await
    }

    /// Removes what is gone, so much of it at a time that no page waits for long. What was seen since the sweep began is
    /// spared where `spare_seen` says so.
    pub(in super::super) async fn remove(
        &self,
        gone: &[Gone],
        cause: Cause,
        spare_seen: bool,
    ) -> Result<u64, StoreError> {
        let mut removals = 0;
        for gone in gone.chunks(WRITTEN_AT_ONCE) {
            removals += self.remove_some(gone, cause, spare_seen).await?;
        }
        Ok(removals)
    }

    async fn remove_some(&self, gone: &[Gone], cause: Cause, spare_seen: bool) -> Result<u64, StoreError> {
        let _right = self.progress.lock().await;
        let (mut commits, mut arrived) = (Vec::new(), Vec::new());
        for Gone { kind, id, reason, at, last_seen } in gone {
            if spare_seen && self.recognised.has_seen(*kind, id) {
                continue;
            }
            let known = self.store.snapshots(self.source.name(), *kind, std::slice::from_ref(id)).await?;
            let Some(before) = known.into_iter().flatten().find(|known| known.removed.is_none()) else { continue };
            let last_seen = (*last_seen).min(*at);
            let (snapshot, sight, drafts) = removed(&before, *reason, *at, last_seen, cause, self.source.api_version());
            self.recognised.forget(*kind, id);
            let absence = Some((snapshot.key.clone(), None));
            commits.push(SightCommit { snapshot: Some(snapshot), absence, told: vec![(sight, drafts)] });
            arrived.push((*at, *kind, id.clone()));
        }
        if commits.is_empty() {
            return Ok(0);
        }
        self.store.commit_sights(commits, None).await?;
        let removals = arrived.len() as u64;
        arrived.into_iter().for_each(|(at, kind, id)| self.crossings.arrived(None, at, kind, [id]));
        Ok(removals)
    }

    /// That a sweep begins, for which nothing has been seen yet. Who was absent and has been listed since the last one
    /// began is absent no more, even if this one does not show it.
    pub(in super::super) async fn begin_sweep(&self) -> Result<(), StoreError> {
        let right = self.progress.lock().await;
        self.forget_seen().await?;
        self.recognised.begin_sweep();
        drop(right);
        Ok(())
    }

    /// Forgets the entries of those that were seen since the sweep began; of what could not be used, nobody knows.
    pub(in super::super) async fn forget_present(&self) -> Result<(), StoreError> {
        let _right = self.progress.lock().await;
        self.forget_seen().await
    }

    async fn forget_seen(&self) -> Result<(), StoreError> {
        let mut after: Option<(Kind, ResourceId)> = None;
        loop {
            let beyond = after.as_ref().map(|(kind, id)| (*kind, id));
            let page = self.store.absences_after(self.source.name(), beyond, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some((last.key.kind, last.key.id.clone()));
            let present =
                page.into_iter().filter(|absence| self.recognised.has_seen(absence.key.kind, &absence.key.id));
            let entry = |absence: Absence| {
                let is_read = self.recognised.has_read(absence.key.kind, &absence.key.id);
                let left = (!is_read).then(|| Absence { state: AbsenceState::Unknown, ..absence.clone() });
                (absence.key, left)
            };
            self.set_absences(present.map(entry).collect()).await?;
        }
    }

    /// Notes of whom the sweep that began at `began`, and is about to count as complete, was no sight: of those whom
    /// it did not show and who are not gone, and of those of whom it showed what could not be used. Someone who is
    /// gone was seen to be so exactly if it did not show them.
    pub(in super::super) async fn note_unread(&self, began: Timestamp) -> Result<(), StoreError> {
        for kind in Kind::ALL {
            if self.forget_gone_if_all_read(kind).await? {
                continue;
            }
            let mut after = None;
            loop {
                let right = self.progress.lock().await;
                let swept_at = right.as_ref().and_then(|progress| progress.swept_at);
                let page = self.store.ids_after(self.source.name(), kind, after.as_ref(), PAGE).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(last.clone());
                let in_doubt =
                    page.into_iter().filter(|(id, is_removed)| *is_removed || !self.recognised.has_read(kind, id));
                let (ids, are_removed): (Vec<ResourceId>, Vec<bool>) = in_doubt.unzip();
                let entries = self.store.absences(self.source.name(), kind, &ids).await?;
                let (mut unread, mut read) = (Vec::new(), Vec::new());
                for ((id, is_removed), entry) in ids.into_iter().zip(are_removed).zip(entries) {
                    match (!is_removed || self.recognised.has_seen(kind, &id), entry) {
                        (true, None) => unread.push(Absent { kind, id, state: None }),
                        (false, Some(entry)) => read.push((entry.key, None)),
                        (true, Some(_)) | (false, None) => {}
                    }
                }
                self.set_absences(read).await?;
                for unread in unread.chunks(WRITTEN_AT_ONCE) {
                    let commits = self.absences_of_new(unread, AbsenceState::Unknown, began, swept_at).await?;
                    self.store.commit_sights(commits, None).await?;
                }
            }
        }
        Ok(())
    }

    /// Where a sweep has read as many as there are, and nothing else, only what is gone can have an entry that it needs no
    /// more. Whether that is so.
    async fn forget_gone_if_all_read(&self, kind: Kind) -> Result<bool, StoreError> {
        let _right = self.progress.lock().await;
        let all = self.store.snapshot_count(self.source.name(), kind).await?;
        if self.recognised.read_of_all_seen(kind) != Some(all) {
            return Ok(false);
        }
        let mut after: Option<(Kind, ResourceId)> = None;
        loop {
            let beyond = after.as_ref().map(|(kind, id)| (*kind, id));
            let page = self.store.absences_after(self.source.name(), beyond, PAGE).await?;
            let Some(last) = page.last() else { return Ok(true) };
            after = Some((last.key.kind, last.key.id.clone()));
            let gone = page.into_iter().filter(|absence| absence.key.kind == kind);
            self.set_absences(gone.map(|absence| (absence.key, None)).collect()).await?;
        }
    }

    /// What notes that these of one kind are absent. No sweep counts as a sight of what is; so a former one that has shown
    /// it goes down in its snapshot as the last.
    async fn absences_of_new(
        &self,
        absent: &[Absent],
        state: AbsenceState,
        since: Timestamp,
        swept_at: Option<Timestamp>,
    ) -> Result<Vec<SightCommit>, StoreError> {
        let Some(Absent { kind, .. }) = absent.first() else { return Ok(Vec::new()) };
        let ids: Vec<ResourceId> = absent.iter().map(|absent| absent.id.clone()).collect();
        let known = self.store.snapshots(self.source.name(), *kind, &ids).await?;
        let commits = absent.iter().zip(known).filter_map(|(absent, known)| {
            let known = known?;
            let key = known.key.clone();
            let absence = Absence { key: key.clone(), state, since };
            let later = swept_at.filter(|swept_at| absent.state.is_none() && known.observed_at < *swept_at);
            let snapshot = later.map(|observed_at| Snapshot { observed_at, ..known });
            Some(SightCommit { snapshot, absence: Some((key, Some(absence))), told: Vec::new() })
        });
        Ok(commits.collect())
    }

    /// Whether there is a snapshot of a resource that was not removed.
    pub(in super::super) async fn is_there(&self, kind: Kind, id: &ResourceId) -> Result<bool, StoreError> {
        let known = self.store.snapshots(self.source.name(), kind, std::slice::from_ref(id)).await?;
        Ok(known.into_iter().flatten().any(|known| known.removed.is_none()))
    }

    /// When something that is absent was last seen: when its snapshot was, or when the last complete sweep began,
    /// unless that did not show it either.
    pub(in super::super) async fn last_seen(&self, kind: Kind, id: &ResourceId) -> Result<Timestamp, StoreError> {
        let ids = std::slice::from_ref(id);
        let known = self.store.snapshots(self.source.name(), kind, ids).await?.into_iter().flatten().next();
        let observed_at = known.map_or(Timestamp::EPOCH, |known| known.observed_at);
        let was_missed = !self.missed_by_sweeps(kind, ids).await?.is_empty();
        let swept_at = self.progress().and_then(|progress| progress.swept_at).filter(|_| !was_missed);
        Ok(swept_at.map_or(observed_at, |swept_at| swept_at.max(observed_at)))
    }

    /// Those of these resources of which the last complete sweep was no sight.
    pub(super) async fn missed_by_sweeps(
        &self,
        kind: Kind,
        ids: &[ResourceId],
    ) -> Result<HashSet<ResourceId>, StoreError> {
        let entries = self.store.absences(self.source.name(), kind, ids).await?;
        Ok(entries.into_iter().flatten().map(|absence| absence.key.id).collect())
    }

    /// Up to `limit` members of an open list beyond an id, as the snapshots have it.
    pub(in super::super) async fn members(
        &self,
        list: OpenList,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Result<Vec<ResourceId>, StoreError> {
        self.store.open_after(self.source.name(), list, after, limit).await
    }

    /// Up to `limit` entries of absent resources beyond one.
    pub(in super::super) async fn absences(
        &self,
        after: Option<(Kind, &ResourceId)>,
        limit: usize,
    ) -> Result<Vec<Absence>, StoreError> {
        self.store.absences_after(self.source.name(), after, limit).await
    }

    /// The entries of these absent resources, of either kind.
    pub(in super::super) async fn absences_of(&self, ids: &[ResourceId]) -> Result<Vec<Absence>, StoreError> {
        let mut found = Vec::new();
        for kind in Kind::ALL {
            found.extend(self.store.absences(self.source.name(), kind, ids).await?.into_iter().flatten());
        }
        Ok(found)
    }

    /// Puts or deletes entries of absent resources.
    pub(in super::super) async fn put_absences(
        &self,
        entries: Vec<(ResourceKey, Option<Absence>)>,
    ) -> Result<(), StoreError> {
        let _right = self.progress.lock().await;
        self.set_absences(entries).await
    }

    async fn set_absences(&self, entries: Vec<(ResourceKey, Option<Absence>)>) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let commit = |entry| SightCommit { absence: Some(entry), ..SightCommit::default() };
        self.store.commit_sights(entries.into_iter().map(commit).collect(), None).await
    }
}
