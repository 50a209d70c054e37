//! Snapshots, sights and the progress of sources.

use std::sync::Arc;

use async_trait::async_trait;

use super::stage::Stage;
use super::writer::Act;
use super::{SledStore, keys};
use crate::model::event::{Event, EventDraft, Sight};
use crate::model::id::EventId;
use crate::model::resource::{Kind, ResourceId, ResourceKey, Snapshot, SourceName};
use crate::model::source::SourceProgress;
use crate::store::codec::{self, Head, StoredSight};
use crate::store::{SightCommit, SightStore, StoreError};

impl Stage<'_> {
    /// One sight: its snapshot and its events, whole or not at all.
    pub(super) fn sight(&mut self, commit: SightCommit) -> Result<(), StoreError> {
        if let Some(snapshot) = &commit.snapshot {
            self.snapshot(snapshot)?;
        }
        match commit.told {
            Some((sight, drafts)) if !drafts.is_empty() => self.told(sight, &drafts),
            Some(_) | None => Ok(()),
        }
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let ResourceKey { source, kind, id } = &snapshot.key;
        let key = keys::snapshot(source, *kind, id);
        let was_counted = match self.get(&key)? {
            Some(row) => !codec::snapshot_is_removed(&row)?,
            None => false,
        };
        self.put(&key, codec::snapshot(snapshot))?;
        let is_counted = snapshot.removed.is_none();
        if was_counted == is_counted {
            return Ok(());
        }
        let key = keys::snapshot_count(source, *kind);
        let count = self.number(&key)?.unwrap_or(0);
        let count = if is_counted { count + 1 } else { count.saturating_sub(1) };
        self.put(&key, codec::number(count))
    }

    fn told(&mut self, mut sight: Sight, drafts: &[EventDraft]) -> Result<(), StoreError> {
        let mut head = self.head()?;
        let observed_before = &mut sight.detection.observed_before;
        *observed_before = head.timestamp.max(*observed_before);
        head.timestamp = *observed_before;
        let sight = Arc::new(sight);
        let stored = StoredSight { epoch: self.identity.epoch, start: self.identity.start, sight: Arc::clone(&sight) };
        for (draft, row) in drafts.iter().zip(codec::log_rows(stored, drafts)) {
            head.position = head.position.next();
            self.put(&keys::event(head.position), row)?;
            self.publish(Event {
                id: EventId { position: head.position, epoch: self.identity.epoch, start: self.identity.start },
                event_type: draft.event_type,
                details: draft.details.clone(),
                sight: Arc::clone(&sight),
            });
        }
        self.put(keys::HEAD, codec::head(&head))
    }

    fn head(&self) -> Result<Head, StoreError> {
        self.get(keys::HEAD)?.map_or(Ok(Head::default()), |row| codec::read_head(&row))
    }

    /// Where a source's passes stand.
    pub(super) fn progress(&mut self, progress: &SourceProgress) -> Result<(), StoreError> {
        self.put(&keys::progress(&progress.name), codec::rare::progress(progress))
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
        let names: Vec<ResourceKey> =
            ids.iter().map(|id| ResourceKey { source: source.clone(), kind, id: id.clone() }).collect();
        self.read(move |reader| {
            let snapshot = |name: ResourceKey| {
                let row = reader.view.get(&keys::snapshot(&name.source, name.kind, &name.id))?;
                row.map(|row| codec::read_snapshot(name, &row)).transpose()
            };
            names.into_iter().map(snapshot).collect()
        })
        .await
    }

    async fn snapshot_count(&self, source: &SourceName, kind: Kind) -> Result<u64, StoreError> {
        let key = keys::snapshot_count(source, kind);
        self.read(move |reader| reader.view.get(&key)?.map_or(Ok(0), |row| codec::read_number(&row))).await
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
