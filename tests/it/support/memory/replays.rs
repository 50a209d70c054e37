//! Replays in memory: what the trait promises, as plainly as it can be said.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use certhook::model::delivery::{DeliveryRecord, DeliveryStatus};
use certhook::model::event::{EventDraft, Sight};
use certhook::model::id::{DeliveryId, ReplayId, ReplayNumber};
use certhook::model::replay::{Cursor, Progress, Replay, ReplayStatus, Replayed};
use certhook::model::time::Timestamp;
use certhook::store::{Advance, ReplayStore, StoreError};

use super::Memory;

/// All replays, and what is pending for them.
#[derive(Default)]
pub(super) struct Replays {
    known: BTreeMap<ReplayNumber, Replay>,
    begun: u32,
    pending: BTreeSet<(ReplayNumber, DeliveryId)>,
}

impl Replays {
    pub(super) fn begin(&mut self, mut replay: Replay) -> Replay {
        self.begun += 1;
        replay.id.number = ReplayNumber(self.begun);
        self.known.insert(replay.id.number, replay.clone());
        replay
    }

    pub(super) fn get(&self, id: ReplayId) -> Option<Replay> {
        self.known.get(&id.number).filter(|replay| replay.id == id).cloned()
    }

    pub(super) fn list(&self, beyond: Option<ReplayNumber>, ascending: bool, limit: usize) -> Vec<Replay> {
        let all = self.known.values();
        if ascending {
            all.filter(|one| beyond.is_none_or(|number| one.id.number > number)).take(limit).cloned().collect()
        } else {
            all.rev().filter(|one| beyond.is_none_or(|number| one.id.number < number)).take(limit).cloned().collect()
        }
    }

    pub(super) fn outstanding(&self, id: ReplayId, limit: usize) -> Vec<DeliveryId> {
        let of_it = self.pending.iter().filter(|(number, _)| *number == id.number);
        of_it.map(|(_, delivery)| *delivery).take(limit).collect()
    }

    /// A delivery that becomes pending for a replay is matched; what it ends as is counted.
    pub(super) fn count(&mut self, record: &DeliveryRecord) {
        let Some(replayed) = record.replay else { return };
        let entry = (replayed.id.number, record.id);
        let Some(replay) = self.known.get_mut(&replayed.id.number) else { return };
        let progress = &mut replay.progress;
        match replayed.ended {
            None if self.pending.insert(entry) => progress.matched += 1,
            Some(ended) if self.pending.remove(&entry) => match ended {
                DeliveryStatus::Delivered => progress.delivered += 1,
                DeliveryStatus::Failed => progress.failed += 1,
                DeliveryStatus::Canceled | DeliveryStatus::Pending => progress.canceled += 1,
            },
            None | Some(_) => {}
        }
    }

    pub(super) fn advance(&mut self, Advance { id, cursor, cut }: Advance) {
        self.change(id, |progress| {
            progress.cursor = cursor;
            progress.cut += cut;
        });
    }

    pub(super) fn end(&mut self, id: ReplayId, status: ReplayStatus, now: Timestamp) -> bool {
        self.change(id, |progress| {
            let runs = progress.status == ReplayStatus::Running;
            if runs {
                (progress.status, progress.ended_at) = (status, Some(now));
            }
            runs
        })
        .unwrap_or(false)
    }

    pub(super) fn forget(&mut self, before: Timestamp) -> usize {
        let known = self.known.len();
        let is_old = |progress: &Progress| progress.ended_at.is_some_and(|at| at < before);
        self.known.retain(|_, replay| !is_old(&replay.progress) || replay.progress.outstanding() > 0);
        known - self.known.len()
    }

    fn change<T>(&mut self, id: ReplayId, change: impl FnOnce(&mut Progress) -> T) -> Option<T> {
        self.known.get_mut(&id.number).map(|replay| change(&mut replay.progress))
    }
}

impl Memory {
    fn tell_snapshot(
        &self,
        id: ReplayId,
        (sight, draft): (Sight, EventDraft),
        now: Timestamp,
    ) -> Result<Option<DeliveryRecord>, StoreError> {
        let mut state = self.state()?;
        let runs = |replay: &Replay| replay.progress.status == ReplayStatus::Running;
        let Some(replay) = state.replays.get(id).filter(runs) else { return Ok(None) };
        if !state.endpoints.contains_key(&replay.endpoint_id.number) {
            return Ok(None);
        }
        let (resource, event_type) = (sight.resource().cloned(), draft.event_type);
        state.append(sight, vec![draft]);
        let event_id = state.events.last().unwrap().id;
        let replayed = Replayed { id, former: None, ended: None };
        let record = DeliveryRecord::untried(event_id, event_type, replay.endpoint_id, resource.clone());
        let record = record.anew(now, Some(replayed));
        state.record(record.clone());
        state.replays.advance(Advance { id, cursor: Cursor::Snapshots(resource), cut: 0 });
        self.show(&state);
        Ok(Some(record))
    }
}

#[async_trait]
impl ReplayStore for Memory {
    async fn begin_replay(&self, replay: Replay) -> Result<Option<Replay>, StoreError> {
        self.disk
            .act("replay", || {
                let mut state = self.state()?;
                let is_registered = state.endpoints.contains_key(&replay.endpoint_id.number);
                Ok(is_registered.then(|| state.replays.begin(replay)))
            })
            .await
    }

    async fn replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError> {
        Ok(self.state()?.replays.get(id))
    }

    async fn replays(
        &self,
        beyond: Option<ReplayNumber>,
        ascending: bool,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        Ok(self.state()?.replays.list(beyond, ascending, limit))
    }

    async fn outstanding(&self, id: ReplayId, limit: usize) -> Result<Vec<DeliveryId>, StoreError> {
        Ok(self.state()?.replays.outstanding(id, limit))
    }

    async fn tell_snapshots(
        &self,
        id: ReplayId,
        told: Vec<(Sight, EventDraft)>,
        now: Timestamp,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        let turn = self.disk.begin().await;
        let mut records = Vec::new();
        for told in told {
            let Some(record) = self.tell_snapshot(id, told, now)? else { break };
            records.push(record);
            self.disk.step("snapshot").await;
        }
        self.disk.end(turn).await;
        Ok(records)
    }

    async fn end_replay(&self, id: ReplayId, status: ReplayStatus, now: Timestamp) -> Result<bool, StoreError> {
        self.disk.act("replay", || Ok(self.state()?.replays.end(id, status, now))).await
    }
}
