//! A store of sights in memory, which refuses what would break a resource's chain of events, or the schema of an
//! event's type.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use certhook::detect::compare::changed_fields;
use certhook::model::event::{EventDraft, Sight, Subject};
use certhook::model::resource::{Kind, Removal, ResourceId, ResourceKey, Snapshot, SourceName};
use certhook::model::source::SourceProgress;
use certhook::model::time::Timestamp;
use certhook::store::{SightCommit, SightStore, StoreError};

use super::schemas;

#[derive(Default)]
struct Kept {
    snapshots: HashMap<ResourceKey, Snapshot>,
    told: Vec<(Sight, Vec<EventDraft>)>,
    progress: HashMap<SourceName, SourceProgress>,
    commits: u64,
    too_large: Option<ResourceId>,
}

/// The store.
#[derive(Default)]
pub(crate) struct SightMemory(Mutex<Kept>);

impl SightMemory {
    /// What was told since the last look: the resource (or source) and the event's type.
    pub(crate) fn take_told(&self) -> Vec<String> {
        let subject = |sight: &Sight| match &sight.subject {
            Subject::Resource(key) => key.id.as_str().to_owned(),
            Subject::Source(name) => name.as_str().to_owned(),
            Subject::Own(id) => id.clone(),
        };
        self.take_sights()
            .iter()
            .flat_map(|(sight, drafts)| {
                drafts.iter().map(move |draft| format!("{} {}", subject(sight), draft.event_type))
            })
            .collect()
    }

    /// The sights that told something since the last look.
    pub(crate) fn take_sights(&self) -> Vec<(Sight, Vec<EventDraft>)> {
        std::mem::take(&mut self.lock().told)
    }

    /// One snapshot.
    pub(crate) fn snapshot(&self, kind: Kind, id: &str) -> Option<Snapshot> {
        let kept = self.lock();
        kept.snapshots.values().find(|known| known.key.kind == kind && known.key.id.as_str() == id).cloned()
    }

    /// All snapshots.
    pub(crate) fn len(&self) -> usize {
        self.lock().snapshots.len()
    }

    /// The progress of the only source.
    pub(crate) fn only_progress(&self) -> SourceProgress {
        self.lock().progress.values().next().expect("a source was read").clone()
    }

    /// How many commits there were since the last look.
    pub(crate) fn take_commits(&self) -> u64 {
        std::mem::take(&mut self.lock().commits)
    }

    /// Turns a snapshot into a tombstone.
    pub(crate) fn bury(&self, kind: Kind, id: &str, at: Timestamp) {
        let mut kept = self.lock();
        let buried = kept.snapshots.values_mut().find(|known| known.key.kind == kind && known.key.id.as_str() == id);
        buried.expect("it is stored").removed = Some(Removal { reason: "not_found".into(), at });
    }

    /// Refuses sights of that resource for their size.
    pub(crate) fn refuse(&self, id: &str) {
        self.lock().too_large = Some(id.parse().expect("an id"));
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every sight begins where the last one ended, and counts on.
fn check_chain(before: Option<&Snapshot>, commit: &SightCommit) {
    let Some(after) = &commit.snapshot else { return };
    let (known, version) = before.map_or_else(Default::default, |known| (known.object.fields(), known.object_version));
    match &commit.told {
        Some((sight, drafts)) => {
            assert!(!drafts.is_empty(), "a sight without an event");
            assert_eq!(after.object_version, version + 1, "versions have no gaps");
            assert_eq!(sight.object, after.object);
            let mut back = sight.object.fields();
            back.extend(sight.previous_attributes.fields());
            let unlike: Vec<_> =
                changed_fields(&known, &back).into_iter().filter(|name| *name != "updated_at").collect();
            assert!(before.is_none() || unlike.is_empty(), "the chain breaks at {unlike:?}");
        }
        None => {
            assert_eq!(after.object_version, version);
            let fields = after.object.fields();
            let unlike = changed_fields(&known, &fields);
            assert!(
                before.is_none() || unlike.iter().all(|name| *name == "updated_at"),
                "{unlike:?} changed in silence"
            );
        }
    }
}

#[async_trait]
impl SightStore for SightMemory {
    async fn snapshots(
        &self,
        source: &SourceName,
        kind: Kind,
        ids: &[ResourceId],
    ) -> Result<Vec<Option<Snapshot>>, StoreError> {
        let kept = self.lock();
        let key = |id: &ResourceId| ResourceKey { source: source.clone(), kind, id: id.clone() };
        Ok(ids.iter().map(|id| kept.snapshots.get(&key(id)).cloned()).collect())
    }

    async fn snapshot_count(&self, source: &SourceName, kind: Kind) -> Result<u64, StoreError> {
        let kept = self.lock();
        let is_counted =
            |known: &&Snapshot| known.key.source == *source && known.key.kind == kind && known.removed.is_none();
        Ok(kept.snapshots.values().filter(is_counted).count() as u64)
    }

    async fn progress(&self, source: &SourceName) -> Result<Option<SourceProgress>, StoreError> {
        Ok(self.lock().progress.get(source).cloned())
    }

    async fn commit_sights(
        &self,
        sights: Vec<SightCommit>,
        progress: Option<SourceProgress>,
    ) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        let mut kept = self.lock();
        let refused = kept.too_large.clone();
        let is_refused = |commit: &SightCommit| {
            refused.is_some() && commit.snapshot.as_ref().map(|snapshot| &snapshot.key.id) == refused.as_ref()
        };
        if sights.iter().any(is_refused) {
            return Err(StoreError::TooLarge { what: "a sight", size: 40_000, max: 32_768 });
        }
        kept.commits += 1;
        for commit in sights {
            let before = commit.snapshot.as_ref().and_then(|after| kept.snapshots.get(&after.key));
            check_chain(before, &commit);
            if let Some((sight, drafts)) = &commit.told {
                schemas::assert_fit(sight, drafts);
            }
            if let Some(snapshot) = commit.snapshot {
                kept.snapshots.insert(snapshot.key.clone(), snapshot);
            }
            kept.told.extend(commit.told);
        }
        if let Some(progress) = progress {
            kept.progress.insert(progress.name.clone(), progress);
        }
        Ok(())
    }
}
