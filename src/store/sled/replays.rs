//! Replays: what was asked for, how it is doing, and what is pending for it.

use async_trait::async_trait;

use super::act::Act;
use super::deliveries::bad_key;
use super::stage::Stage;
use super::{Reader, SledStore, keys};
use crate::model::delivery::{DeliveryRecord, DeliveryStatus};
use crate::model::event::{EventDraft, Sight};
use crate::model::id::{DeliveryId, ReplayId, ReplayNumber};
use crate::model::replay::{Cursor, Progress, Replay, ReplayStatus, Replayed};
use crate::model::time::Timestamp;
use crate::store::codec::rare::{self, Asked};
use crate::store::{Advance, ReplayStore, StoreError, codec};

/// Replays that are removed in one act.
const REMOVED_AT_ONCE: usize = 100;

/// The number of the first replay.
const FIRST_NUMBER: u64 = 1;

impl Stage<'_> {
    /// Keeps a new replay under the next number; `None` if its endpoint is not registered.
    pub(super) fn begin_replay(&mut self, mut replay: Replay) -> Result<Option<Replay>, StoreError> {
        if !self.is_registered(replay.endpoint_id.number)? {
            return Ok(None);
        }
        let number = self.number(keys::NEXT_REPLAY)?.unwrap_or(FIRST_NUMBER);
        let max = u32::MAX as usize;
        replay.id.number = ReplayNumber(u32::try_from(number).map_err(|_| StoreError::TooLarge {
            what: "the number of replays ever asked for",
            size: usize::try_from(number).unwrap_or(usize::MAX),
            max,
            sights_before: 0,
        })?);
        self.put(keys::NEXT_REPLAY, codec::number(number + 1))?;
        let Replay { id, endpoint_id, created_at, course, progress } = &replay;
        let asked = Asked { id: *id, endpoint_id: *endpoint_id, created_at: *created_at, course: course.clone() };
        self.put(&keys::replays::asked(id.number), rare::replay(&asked))?;
        self.put(&keys::replays::progress(id.number), rare::replay_progress(progress))?;
        Ok(Some(replay))
    }

    /// Counts a delivery for its replay: once when it becomes pending for it, and once when it ends.
    pub(super) fn count_for_replay(&mut self, record: &DeliveryRecord) -> Result<(), StoreError> {
        let Some(Replayed { id, ended, former: _ }) = record.replay else { return Ok(()) };
        let entry = keys::replays::pending(id.number, record.id);
        let was_pending = self.get(&entry)?.is_some();
        if was_pending == ended.is_none() {
            return Ok(());
        }
        self.change_progress(id, |progress| match ended {
            None => progress.matched += 1,
            Some(DeliveryStatus::Delivered) => progress.delivered += 1,
            Some(DeliveryStatus::Failed) => progress.failed += 1,
            Some(DeliveryStatus::Canceled | DeliveryStatus::Pending) => progress.canceled += 1,
        })?;
        if was_pending { self.remove(&entry) } else { self.put(&entry, Vec::new()) }
    }

    /// How far a replay has come.
    pub(super) fn advance(&mut self, Advance { id, cursor, cut }: &Advance) -> Result<(), StoreError> {
        let change = |progress: &mut Progress| {
            progress.cursor = cursor.clone();
            progress.cut += cut;
        };
        self.change_progress(*id, change).map(|_| ())
    }

    /// What a resource is now, as the next event, with its delivery for a resync; `None` if that has ended.
    pub(super) fn tell_snapshot(
        &mut self,
        id: ReplayId,
        (sight, draft): (Sight, EventDraft),
        now: Timestamp,
    ) -> Result<Option<DeliveryRecord>, StoreError> {
        let Some(Asked { endpoint_id, .. }) = self.running(id)? else { return Ok(None) };
        let resource = sight.resource().cloned();
        let event_type = draft.event_type;
        let event_id = self.told(sight, &[draft])?;
        let replay = Some(Replayed { id, former: None, ended: None });
        let record = DeliveryRecord::untried(event_id, event_type, endpoint_id, resource.clone()).anew(now, replay);
        self.delivery(&record)?;
        self.advance(&Advance { id, cursor: Cursor::Snapshots(resource), cut: 0 })?;
        Ok(Some(record))
    }

    /// A replay has come to stand so; `false` if it no longer ran.
    pub(super) fn end_replay(
        &mut self,
        id: ReplayId,
        status: ReplayStatus,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.change_progress(id, |progress| {
            let runs = progress.status == ReplayStatus::Running;
            if runs {
                progress.status = status;
                progress.ended_at = Some(now);
            }
            runs
        })
        .map(|ended| ended == Some(true))
    }

    /// Removes replays. One that has ended does not run again.
    pub(super) fn forget_replays(&mut self, ended: &[ReplayNumber]) -> Result<usize, StoreError> {
        for number in ended {
            self.remove(&keys::replays::asked(*number))?;
            self.remove(&keys::replays::progress(*number))?;
        }
        Ok(ended.len())
    }

    /// A replay that runs, and whose endpoint is registered.
    fn running(&self, id: ReplayId) -> Result<Option<Asked>, StoreError> {
        let Some(row) = self.get(&keys::replays::asked(id.number))? else { return Ok(None) };
        let asked = rare::read_replay(&row)?;
        let Some(progress) = self.get(&keys::replays::progress(id.number))? else { return Ok(None) };
        let runs = rare::read_replay_progress(&progress)?.status == ReplayStatus::Running;
        let is_meant = asked.id == id && runs && self.is_registered(asked.endpoint_id.number)?;
        Ok(is_meant.then_some(asked))
    }

    fn change_progress<T>(
        &mut self,
        id: ReplayId,
        change: impl FnOnce(&mut Progress) -> T,
    ) -> Result<Option<T>, StoreError> {
        let key = keys::replays::progress(id.number);
        let Some(row) = self.get(&key)? else { return Ok(None) };
        let mut progress = rare::read_replay_progress(&row)?;
        let changed = change(&mut progress);
        self.put(&key, rare::replay_progress(&progress))?;
        Ok(Some(changed))
    }
}

impl Reader {
    fn replay(&self, row: &[u8]) -> Result<Replay, StoreError> {
        let Asked { id, endpoint_id, created_at, course } = rare::read_replay(row)?;
        let progress = self.view.get(&keys::replays::progress(id.number))?;
        let progress = progress.map(|row| rare::read_replay_progress(&row)).transpose()?;
        let progress = progress.unwrap_or_else(|| Progress::before(&course));
        Ok(Replay { id, endpoint_id, created_at, course, progress })
    }

    fn replays(&self, beyond: Option<ReplayNumber>, ascending: bool, limit: usize) -> Result<Vec<Replay>, StoreError> {
        let (mut first, mut last) = (ReplayNumber(0), ReplayNumber(u32::MAX));
        match beyond {
            Some(ReplayNumber(number)) if ascending => match number.checked_add(1) {
                Some(next) => first = ReplayNumber(next),
                None => return Ok(Vec::new()),
            },
            Some(ReplayNumber(number)) => match number.checked_sub(1) {
                Some(before) => last = ReplayNumber(before),
                None => return Ok(Vec::new()),
            },
            None => {}
        }
        let rows = self.view.walk(keys::replays::all(first, last), !ascending).take(limit);
        rows.map(|row| self.replay(&row?.1)).collect()
    }

    /// Some replays that have ended before an instant.
    pub(super) fn ended_replays(&self, before: Timestamp) -> Result<Vec<ReplayNumber>, StoreError> {
        let mut ended = Vec::new();
        for row in self.view.walk(keys::replays::all(ReplayNumber(0), ReplayNumber(u32::MAX)), false) {
            let Replay { id, created_at, progress, .. } = self.replay(&row?.1)?;
            if created_at >= before || ended.len() == REMOVED_AT_ONCE {
                // Those that follow were begun later still.
                break;
            }
            if progress.ended_at.is_some_and(|at| at < before) && progress.outstanding() == 0 {
                ended.push(id.number);
            }
        }
        Ok(ended)
    }
}

#[async_trait]
impl ReplayStore for SledStore {
    async fn begin_replay(&self, replay: Replay) -> Result<Option<Replay>, StoreError> {
        self.write(|done| Act::BeginReplay { replay: Box::new(replay), done }).await
    }

    async fn replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError> {
        self.read(move |reader| {
            let row = reader.view.get(&keys::replays::asked(id.number))?;
            let replay = row.map(|row| reader.replay(&row)).transpose()?;
            Ok(replay.filter(|replay| replay.id == id))
        })
        .await
    }

    async fn replays(
        &self,
        beyond: Option<ReplayNumber>,
        ascending: bool,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        self.read(move |reader| reader.replays(beyond, ascending, limit)).await
    }

    async fn outstanding(&self, id: ReplayId, limit: usize) -> Result<Vec<DeliveryId>, StoreError> {
        self.read(move |reader| {
            let entries = reader.view.walk(keys::replays::pending_of(id.number), false).take(limit);
            entries.map(|entry| keys::replays::pending_id(&entry?.0).ok_or_else(bad_key)).collect()
        })
        .await
    }

    async fn tell_snapshots(
        &self,
        id: ReplayId,
        told: Vec<(Sight, EventDraft)>,
        now: Timestamp,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        self.write_some_day(|done| Act::TellSnapshots { id, told: told.clone(), now, done }).await
    }

    async fn end_replay(&self, id: ReplayId, status: ReplayStatus, now: Timestamp) -> Result<bool, StoreError> {
        self.write_some_day(|done| Act::EndReplay { id, status, now, done }).await
    }
}
