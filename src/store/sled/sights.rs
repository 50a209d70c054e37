//! Sights: what they tell goes into the log, what they saw becomes a snapshot. And the progress of sources.

use std::sync::Arc;

use async_trait::async_trait;

use super::act::Act;
use super::keys::{Key, KeyRange};
use super::stage::{LogIdentity, Stage};
use super::{SledStore, keys, snapshots};
use crate::model::event::{Event, EventDraft, Sight};
use crate::model::id::EventId;
use crate::model::resource::{Absence, Kind, OpenList, ResourceId, Snapshot, SourceName};
use crate::model::source::SourceProgress;
use crate::model::time::Timestamp;
use crate::store::codec::{self, Head, StoredSight};
use crate::store::{Due, SightCommit, SightStore, StoreError, Task, Trace};

impl Stage<'_> {
    /// One sight: its snapshot, its absence and all its events, whole or not at all. `is_older`: the store has snapshots
    /// of an older version that are in no list.
    pub(super) fn sight(&mut self, commit: SightCommit, is_older: bool) -> Result<(), StoreError> {
        if let Some(snapshot) = &commit.snapshot {
            self.snapshot(snapshot, is_older)?;
        }
        if let Some((name, absence)) = &commit.absence {
            self.absence(name, absence.as_ref())?;
        }
        for (sight, drafts) in commit.told {
            if !drafts.is_empty() {
                self.told(sight, &drafts)?;
            }
        }
        Ok(())
    }

    /// What a sight tells, at the end of the log; gives the id of the last event.
    pub(super) fn told(&mut self, mut sight: Sight, drafts: &[EventDraft]) -> Result<EventId, StoreError> {
        let mut head = self.head()?;
        let observed_before = &mut sight.detection.observed_before;
        *observed_before = head.timestamp.max(*observed_before);
        head.timestamp = *observed_before;
        let sight = Arc::new(sight);
        let LogIdentity { epoch, start } = self.identity;
        let stored = StoredSight { epoch, start, sight: Arc::clone(&sight) };
        let id = |position| EventId { position, epoch, start };
        for (draft, row) in drafts.iter().zip(codec::log_rows(stored, drafts)) {
            head.position = head.position.next();
            self.put(&keys::event(head.position), row)?;
            self.publish(Event {
                id: id(head.position),
                event_type: draft.event_type,
                details: draft.details.clone(),
                sight: Arc::clone(&sight),
            });
        }
        self.put(keys::HEAD, codec::head(&head))?;
        Ok(id(head.position))
    }

    fn head(&self) -> Result<Head, StoreError> {
        self.get(keys::HEAD)?.map_or(Ok(Head::default()), |row| codec::read_head(&row))
    }

    /// Where a source's passes stand.
    pub(super) fn progress(&mut self, progress: &SourceProgress) -> Result<(), StoreError> {
        self.put(&keys::progress(&progress.name), codec::rare::progress(progress))
    }
}

impl SledStore {
    /// Up to `limit` rows of a range, each as `read` makes it out of its key and value.
    async fn list<T: Send + 'static>(
        &self,
        range: KeyRange,
        limit: usize,
        read: impl Fn(&[u8], &[u8]) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Vec<T>, StoreError> {
        self.read(move |reader| {
            let rows = reader.view.walk(range, false).take(limit);
            rows.map(|row| row.and_then(|(key, value)| read(&key, &value))).collect()
        })
        .await
    }

    /// The rows of these keys, in their order; `None` where there is none.
    async fn look_up<T: Send + 'static>(
        &self,
        keys: Vec<Key>,
        read: impl Fn(&[u8], &[u8]) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Vec<Option<T>>, StoreError> {
        self.read(move |reader| {
            let row = |key: &Key| reader.view.get(key)?.map(|row| read(key, &row)).transpose();
            keys.iter().map(row).collect()
        })
        .await
    }
}

#[async_trait]
impl SightStore for SledStore {
    async fn snapshots(
        &self,
        source: &SourceName,
        kind: Kind,
        ids: &[ResourceId],
    ) -> Result<Vec<Option<Snapshot>>, StoreError> {
        let keys = ids.iter().map(|id| keys::snapshot(source, kind, id)).collect();
        let source = source.clone();
        self.look_up(keys, move |key, row| snapshots::snapshot(&source, key, row)).await
    }

    async fn snapshot_count(&self, source: &SourceName, kind: Kind) -> Result<u64, StoreError> {
        let key = keys::snapshot_count(source, kind);
        self.read(move |reader| reader.view.get(&key)?.map_or(Ok(0), |row| codec::read_number(&row))).await
    }

    async fn snapshots_after(
        &self,
        source: &SourceName,
        kind: Kind,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Result<Vec<Snapshot>, StoreError> {
        let (source, range) = (source.clone(), keys::snapshots_after(source, kind, after));
        self.list(range, limit, move |key, row| snapshots::snapshot(&source, key, row)).await
    }

    async fn ids_after(
        &self,
        source: &SourceName,
        kind: Kind,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Result<Vec<(ResourceId, bool)>, StoreError> {
        self.list(keys::snapshots_after(source, kind, after), limit, snapshots::id).await
    }

    async fn traces_after(
        &self,
        source: &SourceName,
        kind: Kind,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Result<Vec<Trace>, StoreError> {
        self.list(keys::snapshots_after(source, kind, after), limit, snapshots::trace).await
    }

    async fn open_after(
        &self,
        source: &SourceName,
        list: OpenList,
        after: Option<&ResourceId>,
        limit: usize,
    ) -> Result<Vec<ResourceId>, StoreError> {
        self.list(keys::open_after(source, list, after), limit, |entry, _| snapshots::open_id(entry)).await
    }

    async fn due(
        &self,
        source: &SourceName,
        task: Task,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.list(keys::tasks_until(source, task, until), limit, |entry, _| snapshots::due(entry)).await
    }

    async fn absences_after(
        &self,
        source: &SourceName,
        after: Option<(Kind, &ResourceId)>,
        limit: usize,
    ) -> Result<Vec<Absence>, StoreError> {
        let (source, range) = (source.clone(), keys::absences_after(source, after));
        self.list(range, limit, move |key, row| snapshots::absence(&source, key, row)).await
    }

    async fn absences(
        &self,
        source: &SourceName,
        kind: Kind,
        ids: &[ResourceId],
    ) -> Result<Vec<Option<Absence>>, StoreError> {
        let keys = ids.iter().map(|id| keys::absence(source, kind, id)).collect();
        let source = source.clone();
        self.look_up(keys, move |key, row| snapshots::absence(&source, key, row)).await
    }

    async fn progress(&self, source: &SourceName) -> Result<Option<SourceProgress>, StoreError> {
        let key = keys::progress(source);
        self.read(move |reader| reader.view.get(&key)?.map(|row| codec::rare::read_progress(&row)).transpose()).await
    }

    async fn commit_sights(
        &self,
        sights: Vec<SightCommit>,
        progress: Option<SourceProgress>,
    ) -> Result<(), StoreError> {
        self.write(|done| Act::Sights { sights, progress, done }).await
    }
}
