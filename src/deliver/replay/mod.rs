//! Replays: what an operator wants an endpoint to get again becomes deliveries, a few hundred at a time.
//!
//! A replay is a cursor over a stretch of the log, or over the snapshots. What it means becomes a pending delivery in
//! the store, which from there on goes the way of all deliveries: retried, ordered within its replay, taken up after a
//! restart. So there is nothing of a replay in memory but those few hundred, and each event is matched exactly once
//! however often the process ends.
//!
//! In reading order: this file (the loop, and what is asked of it), `range` (which events of the log are meant),
//! [`resync`] (what resources are now).

use std::collections::BTreeSet;

use tokio::sync::Notify;

use super::Deliverer;
use super::command::Command;
use super::work::Strand;
use crate::clock::random_bytes;
use crate::model::delivery::DeliveryRecord;
use crate::model::endpoint::{Endpoint, EndpointStatus};
use crate::model::filter::Filter;
use crate::model::id::{ReplayId, ReplayNumber};
use crate::model::replay::{Course, Cursor, Preview, Progress, Range, Replay, ReplayStatus};
use crate::store::{Advance, DeliveryCommit, StoreError};

mod range;
pub mod resync;

/// A replay has no more deliveries pending at a time: enough to keep an endpoint busy, few enough to be canceled at
/// once, and not to stand in the way of what comes later.
const PENDING_MAX: u64 = 512;

/// Replays in one read.
const REPLAYS_PAGE: usize = 100;

/// What running replays wait for: that something is asked for, or that some of their deliveries have ended.
#[derive(Debug, Default)]
pub(super) struct News(Notify);

impl News {
    /// Something has happened that may let a replay go on.
    pub(super) fn tell(&self) {
        self.0.notify_one();
    }
}

/// What came of looking after one replay.
enum Step {
    /// It has moved, and may move further at once.
    Moved,
    /// It waits for its deliveries, or for its endpoint.
    Waits,
    /// It waits for the end of a source's first listing, which is told in the log.
    WaitsForListing,
    /// It has ended, and nothing is pending for it.
    Ended,
}

impl Deliverer {
    /// Begins to send an endpoint what is meant of a stretch of the log. What its queue has not come to is left to the
    /// queue. `None`: the endpoint is disabled, or not registered.
    ///
    /// # Errors
    /// If the store fails, or the deliveries have ended.
    pub async fn replay(&self, endpoint: &Endpoint, range: Range) -> Result<Option<Replay>, StoreError> {
        let Some(range) = self.behind_the_queue(endpoint, range).await? else { return Ok(None) };
        self.begin(endpoint, Course::Log(range)).await
    }

    /// What a replay would do, without doing it. `None` as there.
    ///
    /// # Errors
    /// If the store fails, or the deliveries have ended.
    pub async fn preview(&self, endpoint: &Endpoint, range: Range) -> Result<Option<Preview>, StoreError> {
        let Some(range) = self.behind_the_queue(endpoint, range).await? else { return Ok(None) };
        range::preview(&*self.tools.store, endpoint, &range).await.map(Some)
    }

    /// Begins to send an endpoint what every resource is now. `None`: it is disabled, or not registered.
    ///
    /// # Errors
    /// If the store fails, or the deliveries have ended.
    pub async fn resync(&self, endpoint: &Endpoint, filter: Filter) -> Result<Option<Replay>, StoreError> {
        let number = endpoint.id.number;
        match self.position(number).await? {
            Some(_) => self.begin(endpoint, Course::Snapshots(filter)).await,
            None => Ok(None),
        }
    }

    /// Stops a replay: what it has pending is canceled, what is being tried ends. Gives the replay as it is then;
    /// `None` if there is none of that id.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn cancel_replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError> {
        let store = &self.tools.store;
        if store.replay(id).await?.is_none() {
            return Ok(None);
        }
        let has_ended = {
            // What is just becoming pending is not known to the queue yet, and would come after the answer.
            let _one_at_a_time = self.by_hand.lock().await;
            store.end_replay(id, ReplayStatus::Canceled, self.tools.clock.now()).await?
        };
        if has_ended {
            self.withdraw(id).await?;
        }
        self.news.tell();
        store.replay(id).await
    }

    /// The part of a range that the queue of an endpoint has dealt with: whether something behind that is a delivery,
    /// and what becomes of it, is for the queue to say.
    async fn behind_the_queue(&self, endpoint: &Endpoint, range: Range) -> Result<Option<Range>, StoreError> {
        let number = endpoint.id.number;
        let position = self.position(number).await?;
        Ok(position.map(|position| Range { until: range.until.min(position), ..range }))
    }

    async fn begin(&self, endpoint: &Endpoint, course: Course) -> Result<Option<Replay>, StoreError> {
        let mut random = [0; 16];
        random[..12].copy_from_slice(&random_bytes::<12>());
        let replay = Replay {
            id: ReplayId { number: ReplayNumber(0), random: u128::from_le_bytes(random) },
            endpoint_id: endpoint.id,
            created_at: self.tools.clock.now(),
            progress: Progress::before(&course),
            course,
        };
        let replay = self.tools.store.begin_replay(replay).await?;
        self.news.tell();
        Ok(replay)
    }

    /// Looks after every replay that runs, for ever.
    pub(super) async fn look_after_replays(&self) -> Result<(), StoreError> {
        let mut known = None;
        let mut running = BTreeSet::new();
        let mut head = self.tools.store.head();
        loop {
            head.mark_unchanged();
            self.find_new(&mut known, &mut running).await?;
            let (mut moved, mut awaits_listing) = (false, false);
            for id in running.clone() {
                match self.step(id).await? {
                    Step::Moved => moved = true,
                    Step::Waits => {}
                    Step::WaitsForListing => awaits_listing = true,
                    Step::Ended => drop(running.remove(&id)),
                }
            }
            if !moved {
                tokio::select! {
                    biased;
                    () = self.news.0.notified() => {}
                    told = head.changed(), if awaits_listing => told.map_err(|_| StoreError::Closed)?,
                }
            }
        }
    }

    /// Takes up what was asked for since the last look; at the first one, all that is not done.
    async fn find_new(
        &self,
        known: &mut Option<ReplayNumber>,
        running: &mut BTreeSet<ReplayId>,
    ) -> Result<(), StoreError> {
        loop {
            let page = self.tools.store.replays(*known, true, REPLAYS_PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            *known = Some(last.id.number);
            let unfinished =
                |replay: &&Replay| replay.progress.status == ReplayStatus::Running || replay.progress.outstanding() > 0;
            running.extend(page.iter().filter(unfinished).map(|replay| replay.id));
        }
    }

    async fn step(&self, id: ReplayId) -> Result<Step, StoreError> {
        let Some(replay) = self.tools.store.replay(id).await? else { return Ok(Step::Ended) };
        let outstanding = replay.progress.outstanding();
        match replay.progress.status {
            ReplayStatus::Completed => return Ok(Step::Ended),
            ReplayStatus::Canceled if outstanding == 0 => return Ok(Step::Ended),
            ReplayStatus::Canceled => {
                // An attempt that was under way may have left something pending.
                self.withdraw(id).await?;
                return Ok(Step::Waits);
            }
            ReplayStatus::Running => {}
        }
        let Some(endpoint) = self.tools.store.endpoint(replay.endpoint_id).await? else {
            return self.end(id, ReplayStatus::Canceled).await;
        };
        match &replay.progress.cursor {
            Cursor::End if outstanding == 0 => self.end(id, ReplayStatus::Completed).await,
            Cursor::End => Ok(Step::Waits),
            _ if endpoint.status == EndpointStatus::Disabled || outstanding > PENDING_MAX / 2 => Ok(Step::Waits),
            Cursor::Log(after) => self.go_through_log(&replay, &endpoint, *after).await,
            Cursor::Snapshots(after) => self.go_through_snapshots(&replay, &endpoint, after.as_ref()).await,
        }
    }

    async fn end(&self, id: ReplayId, status: ReplayStatus) -> Result<Step, StoreError> {
        self.tools.store.end_replay(id, status, self.tools.clock.now()).await?;
        Ok(if status == ReplayStatus::Completed { Step::Ended } else { Step::Moved })
    }

    /// Cancels what is pending for a replay, except for what is being tried.
    async fn withdraw(&self, id: ReplayId) -> Result<(), StoreError> {
        let limit = usize::try_from(PENDING_MAX).unwrap_or(usize::MAX);
        for delivery in self.tools.store.outstanding(id, limit).await? {
            if let Some(record) = self.tools.store.delivery(delivery).await?
                && record.pending_for() == Some(id)
            {
                self.cancel(&record).await?;
            }
        }
        Ok(())
    }

    /// Whether a replay still runs.
    async fn runs(&self, id: ReplayId) -> Result<bool, StoreError> {
        let replay = self.tools.store.replay(id).await?;
        Ok(replay.is_some_and(|replay| replay.progress.status == ReplayStatus::Running))
    }

    /// Keeps deliveries of a replay, and how far that has come with them.
    async fn note(&self, advance: Advance, records: Vec<DeliveryRecord>) -> Result<(), StoreError> {
        let advances = vec![advance];
        self.tools.store.commit_deliveries(DeliveryCommit { records, advances, ..DeliveryCommit::default() }).await
    }

    /// Gives durable deliveries to the endpoint's queue. If it has none at the moment, the next one finds them.
    async fn hand_over(&self, replay: &Replay, records: Vec<DeliveryRecord>) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let deliveries = records.iter().map(|record| (record.id.position, Strand::of(record))).collect();
        let endpoint = replay.endpoint_id.number;
        self.ask(|done| Command::Replay { endpoint, deliveries, done }).await
    }
}
