//! The one thread that changes anything.
//!
//! It takes what is queued, puts it into batches, and makes each durable before it tells anyone. What it cannot write
//! ends the process: a sync that failed once and is tried again says that all is well when it is not.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use sled::{IVec, Tree};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;

use super::act::{Act, Done};
use super::backup::{Changed, Row, UnderWay};
use super::keys::{self, Key};
use super::mark::{self, Mark};
use super::recent::Recent;
use super::stage::{Batch, Changes, LogIdentity, Stage, after_sights};
use super::view::{View, broken};
use super::watchdog::Watchdog;
use crate::model::delivery::DeliveryRecord;
use crate::model::id::EndpointNumber;
use crate::model::source::SourceProgress;
use crate::store::codec::rare::FORMAT;
use crate::store::space::{Gauge, LOOK_AFTER_BYTES};
use crate::store::vault::Vault;
use crate::store::{Consequence, DeliveryCommit, SightCommit, StoreError, codec};
use crate::telemetry::meters::Commits;

/// How many commits may wait for the writer before callers wait for a place.
pub(super) const QUEUE_LENGTH: usize = 256;

/// How many waiting deliveries of a deleted endpoint are canceled before others have their turn.
const CANCELED_AT_ONCE: usize = 64;

/// How many positions are put into one act where there are too many for one: about 50 bytes each, a batch in all.
const POSITIONS_AT_ONCE: usize = 1_024;

/// Says what became of an act, once that is durable.
type Answer = Box<dyn FnOnce() + Send>;

/// A deleted endpoint whose waiting deliveries are being canceled, and who is told when that is done (nobody if the
/// process was restarted meanwhile).
pub(super) struct Cancellation {
    /// Which endpoint.
    pub(super) endpoint: EndpointNumber,
    /// Who waits for it.
    pub(super) done: Option<Done<bool>>,
}

/// What the thread works with.
pub(super) struct Writer {
    /// Where the mark is.
    pub(super) folder: PathBuf,
    /// All rows.
    pub(super) tree: Tree,
    /// The database file, for its sync.
    pub(super) file: File,
    /// What readers see.
    pub(super) view: View,
    /// The recent events and the durable head.
    pub(super) recent: Arc<Recent>,
    /// Who wants to know of changed endpoints.
    pub(super) changes: broadcast::Sender<EndpointNumber>,
    /// The backup that wants to know of changed rows, if any.
    pub(super) backups: Arc<UnderWay>,
    /// Seals secrets.
    pub(super) vault: Arc<Vault>,
    /// What the ids of new events have in common.
    pub(super) identity: LogIdentity,
    /// Guards against a commit that hangs.
    pub(super) watchdog: Watchdog,
    /// Measures commits.
    pub(super) meter: Commits,
    /// Tells how much room is left.
    pub(super) gauge: Arc<Gauge>,
    /// How many bytes were written since it was last asked to look.
    pub(super) unlooked: usize,
    /// What is asked for.
    pub(super) acts: mpsc::Receiver<Act>,
    /// Deletions that are not done yet.
    pub(super) cancellations: VecDeque<Cancellation>,
    /// Beyond which key snapshots of an older version are in no list yet; `None`: all are in theirs.
    pub(super) unlisted: Option<Key>,
    /// What is to be written next.
    pub(super) batch: Batch,
    /// Who is told then.
    pub(super) answers: Vec<Answer>,
}

/// Ends the process if the writer panics: its invariants are broken, and nobody would write any more.
struct EndOnPanic;

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the store's writer panicked; ending the process");
            std::process::abort();
        }
    }
}

impl Writer {
    /// Works until it is told to close, or until nobody is left to ask for anything.
    pub(super) fn run(mut self) {
        let _end = EndOnPanic;
        while let Some(first) = self.next() {
            let closing = self.take_queued(first);
            self.commit();
            if let Some(done) = closing {
                self.mark_end();
                // First, so that whoever waits for it can have the folder as soon as nobody reads any more.
                drop(self);
                // Nobody may wait for it any more, which is no reason not to close.
                let _gone = done.send(());
                return;
            }
            if self.has_room() {
                self.cancel_some();
                self.commit();
                self.list_some();
                self.commit();
            }
        }
    }

    /// Writes down how far the log goes, so that damage until the next start is not taken for a shorter one.
    fn mark_end(&self) {
        let mark = Mark { format: FORMAT, epoch: self.identity.epoch, head: self.recent.head() };
        if let Err(error) = mark::write(&self.folder, &mark) {
            tracing::warn!(%error, "cannot write down where the log ends; a damaged one may be taken for a shorter one");
        }
    }

    /// The next act, or nothing while there is something else to do and room for it; `None` at the end.
    fn next(&mut self) -> Option<Option<Act>> {
        let has_more = !self.cancellations.is_empty() || self.unlisted.is_some();
        if !has_more || !self.has_room() {
            return self.acts.blocking_recv().map(Some);
        }
        match self.acts.try_recv() {
            Ok(act) => Some(Some(act)),
            Err(mpsc::error::TryRecvError::Empty) => Some(None),
            // What is left to do is marked on disk, and done after the next start.
            Err(mpsc::error::TryRecvError::Disconnected) => None,
        }
    }

    /// Works out what is queued until the batch is full; returns whoever asked for the end.
    fn take_queued(&mut self, first: Option<Act>) -> Option<oneshot::Sender<()>> {
        let mut next = first;
        while let Some(act) = next {
            let closing = if act.writes_nothing() || self.has_room() { self.take(act) } else { act.refuse() };
            if closing.is_some() {
                return closing;
            }
            next = if self.batch.is_full() { None } else { self.acts.try_recv().ok() };
        }
        None
    }

    /// Whether anything may be written.
    fn has_room(&self) -> bool {
        self.gauge.space().can_be_written()
    }

    /// Works out what an act asks for; returns whoever asked for the end.
    fn take(&mut self, act: Act) -> Option<oneshot::Sender<()>> {
        match act {
            Act::Close { done } => return Some(done),
            Act::Sights { sights, progress, done } => {
                let result = self.sights(sights, progress);
                self.answer(done, result);
            }
            Act::Deliveries { commit, done } => {
                let result = self.deliveries(&commit);
                self.answer(done, result);
            }
            Act::Create { endpoint, deed, done } => {
                let result = self.stage(|stage| stage.create(*endpoint, *deed));
                self.answer(done, result);
            }
            Act::Update { seen, endpoint, deed, done } => {
                let result = self.stage(|stage| stage.update(&seen, &endpoint, *deed));
                self.answer(done, result);
            }
            Act::ForgetSecrets { id, now, done } => {
                let result = self.stage(|stage| stage.forget_secrets(id, now));
                self.answer(done, result);
            }
            Act::Delete { id, deed, done } => match self.stage(|stage| stage.delete(id, *deed)) {
                Ok(true) => {
                    self.cancellations.push_back(Cancellation { endpoint: id.number, done: Some(done) });
                }
                result => self.answer(done, result),
            },
            Act::BeginReplay { replay, done } => {
                let result = self.stage(|stage| stage.begin_replay(*replay));
                self.answer(done, result);
            }
            Act::TellSnapshots { id, told, now, done } => {
                let records = told.into_iter().map(|told| self.stage(|stage| stage.tell_snapshot(id, told, now)));
                let result = records.filter_map(Result::transpose).collect();
                self.answer(done, result);
            }
            Act::EndReplay { id, status, now, done } => {
                let result = self.stage(|stage| stage.end_replay(id, status, now));
                self.answer(done, result);
            }
            Act::CutEvents { until, done } => {
                self.commit();
                let result = self.cut_events(until);
                self.answer(done, result);
            }
            Act::GiveUp { given_up, done } => {
                let result = self.give_up(&given_up);
                self.answer(done, result);
            }
            Act::Forget { ids, before, done } => {
                let result = self.forget(&ids, before);
                self.answer(done, result);
            }
            Act::ForgetReplays { ended, done } => {
                let result = self.stage(|stage| stage.forget_replays(&ended));
                self.answer(done, result);
            }
            Act::Access(act) => self.access(act),
            Act::EndBackup { changed, done } => self.end_backup(&changed, done),
            Act::Check { value, done } => {
                let result = self.stage(|stage| stage.put(keys::CHECK, codec::number(value)));
                self.answer(done, result);
            }
        }
        None
    }

    /// Works out one atomic act and puts it into the batch, or into the next one if there is no room.
    pub(super) fn stage<T>(
        &mut self,
        work: impl FnOnce(&mut Stage<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut stage = Stage::new(&self.tree, &self.batch, &self.vault, self.identity);
        let value = work(&mut stage)?;
        let changes: Changes = stage.finish()?;
        if !self.batch.has_room_for(&changes) {
            self.commit();
        }
        self.batch.add(changes);
        Ok(value)
    }

    /// Tells who asked, once that is durable.
    pub(super) fn answer<T: Send + 'static>(&mut self, done: Done<T>, result: Result<T, StoreError>) {
        self.answers.push(Box::new(move || {
            // Whoever asked may have given up; what was asked for is done all the same.
            let _gone = done.send(result);
        }));
    }

    fn sights(&mut self, sights: Vec<SightCommit>, progress: Option<SourceProgress>) -> Result<(), StoreError> {
        let count = sights.len();
        for (place, sight) in sights.into_iter().enumerate() {
            let is_older = self.unlisted.is_some();
            self.stage(|stage| stage.sight(sight, is_older)).map_err(|error| after_sights(place, error))?;
        }
        match progress {
            Some(progress) => self.stage(|stage| stage.progress(&progress)).map_err(|error| after_sights(count, error)),
            None => Ok(()),
        }
    }

    /// One act if it can be; otherwise the records first, each with its consequence, so that a position never runs ahead of what it says, and
    /// the mark last, so that it never runs ahead of an endpoint that is about to get a position of its own.
    fn deliveries(&mut self, commit: &DeliveryCommit) -> Result<(), StoreError> {
        let records =
            || commit.records.iter().enumerate().map(|(place, record)| (record, commit.consequences.get(&place)));
        let save = |stage: &mut Stage<'_>, (record, consequence): (&DeliveryRecord, Option<&Consequence>)| {
            stage.delivery(record)?;
            consequence.map_or(Ok(()), |consequence| stage.consequence(record, consequence))
        };
        let at_once = self.stage(|stage| {
            records().try_for_each(|record| save(stage, record))?;
            commit.advances.iter().try_for_each(|advance| stage.advance(advance))?;
            stage.positions(&commit.positions)?;
            stage.live_mark(commit.live_mark)
        });
        if !matches!(at_once, Err(StoreError::TooLarge { .. })) {
            return at_once;
        }
        for record in records() {
            self.stage(|stage| save(stage, record))?;
        }
        self.stage(|stage| commit.advances.iter().try_for_each(|advance| stage.advance(advance)))?;
        for positions in commit.positions.chunks(POSITIONS_AT_ONCE) {
            self.stage(|stage| stage.positions(positions))?;
        }
        self.stage(|stage| stage.live_mark(commit.live_mark))
    }

    /// Reads the last rows of a backup, between two commits.
    fn end_backup(&mut self, changed: &Changed, done: Done<Option<Vec<Row>>>) {
        self.commit();
        let result = changed.take_last(&self.tree);
        self.answer(done, result);
    }

    /// Cancels some of what waits for an endpoint that was deleted. The batch is empty before.
    fn cancel_some(&mut self) {
        let Some(Cancellation { endpoint, done }) = self.cancellations.pop_front() else { return };
        let result = self.cancel_waiting(endpoint);
        match result {
            Ok(true) => self.cancellations.push_back(Cancellation { endpoint, done }),
            Ok(false) | Err(_) => {
                if let Err(error) = &result {
                    tracing::error!(endpoint = endpoint.0, %error, "cannot cancel what waits for a deleted endpoint");
                }
                if let Some(done) = done {
                    self.answer(done, result.map(|_| true));
                }
            }
        }
    }

    /// Cancels what waits for an endpoint, up to a limit; whether something is left. The batch is empty before, so the
    /// tree knows all that waits.
    fn cancel_waiting(&mut self, endpoint: EndpointNumber) -> Result<bool, StoreError> {
        let entries = self.tree.range(keys::pending(Some(endpoint))).keys().take(CANCELED_AT_ONCE);
        let entries: Vec<IVec> = entries.collect::<sled::Result<_>>().map_err(broken)?;
        for entry in &entries {
            self.stage(|stage| stage.cancel(entry))?;
        }
        if entries.len() == CANCELED_AT_ONCE {
            return Ok(true);
        }
        self.stage(|stage| stage.remove(&keys::cancellation(endpoint)))?;
        Ok(false)
    }

    /// Puts some snapshots of an older version into the lists. The batch is empty before.
    fn list_some(&mut self) {
        let Some(beyond) = self.unlisted.take() else { return };
        match self.stage(|stage| stage.list_older(beyond)) {
            Ok(Some(last)) => self.unlisted = Some(last),
            Ok(None) => tracing::info!("the lists of resources are complete"),
            // The next start tries again, and until then nobody is given a list that lacks something.
            Err(error) => tracing::error!(%error, "the snapshots of an older version cannot be put into lists"),
        }
    }

    /// Makes the batch durable, and only then shows it and answers.
    fn commit(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() {
            self.watchdog.begin();
            let began = Instant::now();
            if let Err(error) = self.write(&mut batch) {
                tracing::error!(%error, "cannot write to the store; ending the process, since only a restart recovers");
                std::process::abort();
            }
            self.watchdog.end();
            self.meter.ended(began.elapsed(), batch.rows(), batch.bytes());
            self.unlooked += batch.bytes();
            if self.unlooked >= LOOK_AFTER_BYTES {
                self.unlooked = 0;
                self.gauge.look();
            }
        }
        self.recent.publish(batch.events);
        for endpoint in batch.changed {
            // Nobody may be interested.
            let _receivers = self.changes.send(endpoint);
        }
        for answer in self.answers.drain(..) {
            answer();
        }
    }

    fn write(&self, batch: &mut Batch) -> sled::Result<()> {
        self.view.hide(batch.former(&self.tree)?);
        self.meter.synced(batch.write(&self.tree, &self.file)?);
        self.backups.note(batch.keys());
        if let Some(last) = batch.last_cut {
            // Before the rows vanish, so that whoever misses one finds that the log was cut.
            self.recent.cut(last);
        }
        self.view.reveal();
        Ok(())
    }
}
