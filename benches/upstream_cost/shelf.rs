//! A store of snapshots in memory, which tells the day what was told.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use certhook::model::event::Subject;
use certhook::model::resource::{Absence, Kind, OpenList, ResourceId, Snapshot, SourceName};
use certhook::model::source::SourceProgress;
use certhook::model::time::Timestamp;
use certhook::store::space::Space;
use certhook::store::{Due, Roomy, SightCommit, SightStore, StoreError, Task};
use tokio::sync::watch;

use super::day::Day;

#[derive(Default)]
struct Kept {
    snapshots: [BTreeMap<ResourceId, Snapshot>; 2],
    open: BTreeSet<(OpenList, ResourceId)>,
    due: [BTreeSet<(Timestamp, Kind, ResourceId)>; 2],
    absences: BTreeMap<(Kind, ResourceId), Absence>,
    progress: Option<SourceProgress>,
}

/// The store.
pub(super) struct Shelf {
    kept: Mutex<Kept>,
    day: Arc<Day>,
}

impl Shelf {
    /// An empty one.
    pub(super) fn new(day: Arc<Day>) -> Self {
        Self { kept: Mutex::default(), day }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn put(&mut self, snapshot: Snapshot) {
        let (kind, id) = (snapshot.key.kind, snapshot.key.id.clone());
        if let Some(former) = self.snapshots[kind as usize].remove(&id) {
            self.index(&former, false);
        }
        self.index(&snapshot, true);
        self.snapshots[kind as usize].insert(id, snapshot);
    }

    fn index(&mut self, snapshot: &Snapshot, is_there: bool) {
        let (kind, id) = (snapshot.key.kind, &snapshot.key.id);
        if let Some(list) = snapshot.open_list {
            set(&mut self.open, (list, id.clone()), is_there);
        }
        for (task, at) in [snapshot.agenda.remind_at, snapshot.agenda.fetch_at].into_iter().enumerate() {
            if let Some(at) = at {
                set(&mut self.due[task], (at, kind, id.clone()), is_there);
            }
        }
    }
}

fn set<T: Ord>(entries: &mut BTreeSet<T>, entry: T, is_there: bool) {
    if is_there {
        entries.insert(entry);
    } else {
        entries.remove(&entry);
    }
}

fn beyond<T>(after: Option<T>) -> (Bound<T>, Bound<T>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

impl Roomy for Shelf {
    fn space(&self) -> watch::Receiver<Space> {
        watch::Sender::new(Space::of(u64::MAX, 1 << 30)).subscribe()
    }
}

#[async_trait]
impl SightStore for Shelf {
    async fn snapshots(
        &self,
        _: &SourceName,
        kind: Kind,
        ids: &[ResourceId],
    ) -> Result<Vec<Option<Snapshot>>, StoreError> {
        let kept = self.kept();
        Ok(ids.iter().map(|id| kept.snapshots[kind as usize].get(id).cloned()).collect())
    }

    async fn snapshot_count(&self, _: &SourceName, kind: Kind) -> Result<u64, StoreError> {
        // Few are ever removed here, and the count only serves a guard.
        Ok(self.kept().snapshots[kind as usize].len() as u64)
    }

    async fn snapshots_after(
        &self,
        _: &SourceName,
        kind: Kind,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Result<Vec<Snapshot>, StoreError> {
        let kept = self.kept();
        let page = kept.snapshots[kind as usize].range::<ResourceId, _>(beyond(after)).take(limit);
        Ok(page.map(|(_, snapshot)| snapshot.clone()).collect())
    }

    async fn ids_after(
        &self,
        _: &SourceName,
        kind: Kind,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Result<Vec<(ResourceId, bool)>, StoreError> {
        let kept = self.kept();
        let page = kept.snapshots[kind as usize].range::<ResourceId, _>(beyond(after)).take(limit);
        Ok(page.map(|(id, snapshot)| (id.clone(), snapshot.removed.is_some())).collect())
    }

    async fn open_after(
        &self,
        _: &SourceName,
        list: OpenList,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Result<Vec<ResourceId>, StoreError> {
        let kept = self.kept();
        let members = kept.open.iter().skip_while(|(known, _)| *known < list).take_while(|(known, _)| *known == list);
        Ok(members.map(|(_, id)| id.clone()).filter(|id| after < Some(id)).take(limit).collect())
    }

    async fn due(&self, _: &SourceName, task: Task, until: Timestamp, limit: usize) -> Result<Vec<Due>, StoreError> {
        let kept = self.kept();
        let due = match task {
            Task::Remind => &kept.due[0],
            Task::Fetch => &kept.due[1],
        };
        let due = due.iter().take_while(|(at, ..)| *at <= until).take(limit);
        Ok(due.map(|(at, kind, id)| Due { at: *at, kind: *kind, id: id.clone() }).collect())
    }

    async fn absences_after(
        &self,
        _: &SourceName,
        after: Option<(Kind, &ResourceId)>,
        limit: usize,
    ) -> Result<Vec<Absence>, StoreError> {
        let after = after.map(|(kind, id)| (kind, id.clone()));
        Ok(self.kept().absences.range(beyond(after)).take(limit).map(|(_, absence)| absence.clone()).collect())
    }

    async fn absences(
        &self,
        _: &SourceName,
        kind: Kind,
        ids: &[ResourceId],
    ) -> Result<Vec<Option<Absence>>, StoreError> {
        let kept = self.kept();
        Ok(ids.iter().map(|id| kept.absences.get(&(kind, id.clone())).cloned()).collect())
    }

    async fn progress(&self, _: &SourceName) -> Result<Option<SourceProgress>, StoreError> {
        Ok(self.kept().progress.clone())
    }

    async fn commit_sights(
        &self,
        sights: Vec<SightCommit>,
        progress: Option<SourceProgress>,
    ) -> Result<(), StoreError> {
        let mut kept = self.kept();
        for SightCommit { snapshot, absence, told } in sights {
            for (sight, _) in told {
                if let Subject::Resource(key) = sight.subject {
                    self.day.told(key.kind, &key.id);
                }
            }
            match absence {
                Some((key, Some(absence))) => drop(kept.absences.insert((key.kind, key.id), absence)),
                Some((key, None)) => drop(kept.absences.remove(&(key.kind, key.id))),
                None => {}
            }
            if let Some(snapshot) = snapshot {
                kept.put(snapshot);
            }
        }
        if progress.is_some() {
            kept.progress = progress;
        }
        Ok(())
    }
}
