//! What stores in memory know of sources: plain maps, and every list worked out anew when it is asked for.

use std::collections::BTreeMap;

use certhook::model::resource::{Absence, Kind, OpenList, ResourceId, ResourceKey, Snapshot, SourceName};
use certhook::model::source::SourceProgress;
use certhook::model::time::Timestamp;
use certhook::store::{Due, SightCommit, Task};

/// Snapshots, absences and progress.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) snapshots: BTreeMap<ResourceKey, Snapshot>,
    absences: BTreeMap<ResourceKey, Absence>,
    pub(crate) progress: BTreeMap<SourceName, SourceProgress>,
}

impl Book {
    fn all(&self, source: &SourceName) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.values().filter(move |known| known.key.source == *source)
    }

    fn of(&self, source: &SourceName, kind: Kind) -> impl Iterator<Item = &Snapshot> {
        self.all(source).filter(move |known| known.key.kind == kind)
    }

    pub(crate) fn snapshots(&self, source: &SourceName, kind: Kind, ids: &[ResourceId]) -> Vec<Option<Snapshot>> {
        names(source, kind, ids).map(|name| self.snapshots.get(&name).cloned()).collect()
    }

    pub(crate) fn snapshot_count(&self, source: &SourceName, kind: Kind) -> u64 {
        self.of(source, kind).filter(|known| known.removed.is_none()).count() as u64
    }

    pub(crate) fn snapshots_after(
        &self,
        source: &SourceName,
        kind: Kind,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Vec<Snapshot> {
        self.of(source, kind).filter(|known| after < Some(&known.key.id)).take(limit).cloned().collect()
    }

    pub(crate) fn open_after(
        &self,
        source: &SourceName,
        list: OpenList,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Vec<ResourceId> {
        let is_in = |known: &&Snapshot| known.open_list == Some(list) && known.removed.is_none();
        let ids = self.of(source, list.kind()).filter(is_in).map(|known| &known.key.id);
        ids.filter(|id| after < Some(id)).take(limit).cloned().collect()
    }

    pub(crate) fn due(&self, source: &SourceName, task: Task, until: Timestamp, limit: usize) -> Vec<Due> {
        let at = |known: &Snapshot| match task {
            Task::Remind => known.agenda.remind_at,
            Task::Fetch => known.agenda.fetch_at,
        };
        let due = |known: &Snapshot| Some(Due { at: at(known)?, kind: known.key.kind, id: known.key.id.clone() });
        let mut due: Vec<Due> = self.all(source).filter_map(due).filter(|due| due.at <= until).collect();
        // They come in the order of kind and id, which those of one instant keep.
        due.sort_by_key(|due| due.at);
        due.truncate(limit);
        due
    }

    pub(crate) fn absences_after(
        &self,
        source: &SourceName,
        after: Option<(Kind, &ResourceId)>,
        limit: usize,
    ) -> Vec<Absence> {
        let own = self.absences.values().filter(|absence| absence.key.source == *source);
        own.filter(|absence| after < Some((absence.key.kind, &absence.key.id))).take(limit).cloned().collect()
    }

    pub(crate) fn absences(&self, source: &SourceName, kind: Kind, ids: &[ResourceId]) -> Vec<Option<Absence>> {
        names(source, kind, ids).map(|name| self.absences.get(&name).cloned()).collect()
    }

    /// What a sight changes beside the log.
    pub(crate) fn put(&mut self, commit: &SightCommit) {
        if let Some(snapshot) = &commit.snapshot {
            self.snapshots.insert(snapshot.key.clone(), snapshot.clone());
        }
        match &commit.absence {
            Some((name, Some(absence))) => drop(self.absences.insert(name.clone(), absence.clone())),
            Some((name, None)) => drop(self.absences.remove(name)),
            None => {}
        }
    }

    pub(crate) fn put_progress(&mut self, progress: Option<SourceProgress>) {
        self.progress.extend(progress.map(|progress| (progress.name.clone(), progress)));
    }
}

fn names(source: &SourceName, kind: Kind, ids: &[ResourceId]) -> impl Iterator<Item = ResourceKey> {
    ids.iter().map(move |id| ResourceKey { source: source.clone(), kind, id: id.clone() })
}

/// Lets a store read from its book (`fn book(&self) -> Result<impl Deref<Target = Book>, StoreError>`) commit in
/// its own way (`async fn commit(&self, Vec<SightCommit>, Option<SourceProgress>) -> Result<(), StoreError>`), and have
/// as much room as its `room: watch::Sender<Space>` says.
macro_rules! reads_from_its_book {
    ($store:ty) => {
        const _: () = {
            use certhook::model::resource::{Absence, Kind, OpenList, ResourceId, Snapshot, SourceName};
            use certhook::model::source::SourceProgress;
            use certhook::model::time::Timestamp;
            use certhook::store::{Due, SightCommit, SightStore, StoreError, Task};

            impl certhook::store::Roomy for $store {
                fn space(&self) -> tokio::sync::watch::Receiver<certhook::store::space::Space> {
                    self.room.subscribe()
                }
            }

            #[async_trait::async_trait]
            impl SightStore for $store {
                async fn snapshots(
                    &self,
                    source: &SourceName,
                    kind: Kind,
                    ids: &[ResourceId],
                ) -> Result<Vec<Option<Snapshot>>, StoreError> {
                    Ok(self.book()?.snapshots(source, kind, ids))
                }

                async fn snapshot_count(&self, source: &SourceName, kind: Kind) -> Result<u64, StoreError> {
                    Ok(self.book()?.snapshot_count(source, kind))
                }

                async fn snapshots_after(
                    &self,
                    source: &SourceName,
                    kind: Kind,
                    after: Option<&ResourceId>,
                    limit: usize,
                ) -> Result<Vec<Snapshot>, StoreError> {
                    Ok(self.book()?.snapshots_after(source, kind, after, limit))
                }

                async fn ids_after(
                    &self,
                    source: &SourceName,
                    kind: Kind,
                    after: Option<&ResourceId>,
                    limit: usize,
                ) -> Result<Vec<(ResourceId, bool)>, StoreError> {
                    let page = self.book()?.snapshots_after(source, kind, after, limit);
                    Ok(page.into_iter().map(|known| (known.key.id, known.removed.is_some())).collect())
                }

                async fn open_after(
                    &self,
                    source: &SourceName,
                    list: OpenList,
                    after: Option<&ResourceId>,
                    limit: usize,
                ) -> Result<Vec<ResourceId>, StoreError> {
                    Ok(self.book()?.open_after(source, list, after, limit))
                }

                async fn due(
                    &self,
                    source: &SourceName,
                    task: Task,
                    until: Timestamp,
                    limit: usize,
                ) -> Result<Vec<Due>, StoreError> {
                    Ok(self.book()?.due(source, task, until, limit))
                }

                async fn absences_after(
                    &self,
                    source: &SourceName,
                    after: Option<(Kind, &ResourceId)>,
                    limit: usize,
                ) -> Result<Vec<Absence>, StoreError> {
                    Ok(self.book()?.absences_after(source, after, limit))
                }

                async fn absences(
                    &self,
                    source: &SourceName,
                    kind: Kind,
                    ids: &[ResourceId],
                ) -> Result<Vec<Option<Absence>>, StoreError> {
                    Ok(self.book()?.absences(source, kind, ids))
                }

                async fn progress(&self, source: &SourceName) -> Result<Option<SourceProgress>, StoreError> {
                    Ok(self.book()?.progress.get(source).cloned())
                }

                async fn commit_sights(
                    &self,
                    sights: Vec<SightCommit>,
                    progress: Option<SourceProgress>,
                ) -> Result<(), StoreError> {
                    self.commit(sights, progress).await
                }
            }
        };
    };
}

pub(crate) use reads_from_its_book;

/// Room enough for everything.
pub(crate) fn ample_room() -> tokio::sync::watch::Sender<certhook::store::space::Space> {
    tokio::sync::watch::Sender::new(certhook::store::space::Space::of(u64::MAX, 1 << 30))
}
