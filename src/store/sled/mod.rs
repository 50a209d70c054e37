//! The store on one machine, in a folder.
//!
//! sled 0.34.7 is sound under a discipline, and this room is where it is kept: one OS thread writes; there is one
//! tree; batches are small, and each is flushed and synced before anyone hears of it; values are small; no
//! transactions, merge operators, subscribers, `flush_async` or `generate_id`; nothing of it on an async thread.
//!
//! In reading order: `keys` (where each row is), `act` (what is asked for), `stage` (acts and batches), `writer` (the
//! one thread), `watchdog`, `view` (what readers see), `recent` (the head of the log in memory), `folder`, `mark` and
//! `open` (coming back from whatever happened), `look` (whether it would), `rekey` (another key for its secrets), `backup`
//! and `restore` (all of it as one file, and back); then, each with its writing and its reading side, `snapshots`, `lists`,
//! `sights`, `log`, `deliveries`, `replays`, `history`, `endpoints`, `access`, `answers`, `retention`.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};

use super::backup::Backup;
use super::space::{Disk, FileSystem, Gauge, Space};
use super::vault::Vault;
use super::{Claims, Roomy, Settings, Store, StoreError, codec};
use crate::clock::{Clock, random_bytes};
use crate::model::id::EndpointNumber;
use crate::model::time::Timestamp;
use crate::telemetry::meters::Commits;

pub use look::Look;
pub use rekey::{RekeyError, Rekeyed};
pub use restore::{RestoreError, Restored};

use act::{Act, Done};
use backup::{SledBackup, UnderWay};
use recent::Recent;
use stage::{Batch, LogIdentity};
use view::View;
use watchdog::Watchdog;
use writer::{QUEUE_LENGTH, Writer};

mod access;
mod act;
mod answers;
mod backup;
mod deliveries;
mod endpoints;
mod folder;
mod history;
mod keys;
mod lists;
mod log;
mod look;
mod mark;
mod open;
mod recent;
mod rekey;
mod replays;
mod restore;
mod retention;
mod sights;
mod snapshots;
mod stage;
mod view;
mod watchdog;
mod writer;

/// How many threads read at a time; more would only wait for the same disk.
const READERS_MAX: usize = 8;

/// How many changes of endpoints a receiver may be behind before it has to read them all again.
const CHANGES_KEPT: usize = 1024;

/// What is needed to read.
struct Reader {
    view: View,
    recent: Arc<Recent>,
    vault: Arc<Vault>,
}

/// The store in a folder. The folder is free for another process once the last reference is dropped.
pub struct SledStore {
    reader: Arc<Reader>,
    readers: Arc<Semaphore>,
    acts: mpsc::Sender<Act>,
    changes: broadcast::Sender<EndpointNumber>,
    gauge: Arc<Gauge>,
    meter: Commits,
    claims: Claims,
    backups: Arc<UnderWay>,
    epoch: u32,
}

impl SledStore {
    /// Opens the folder, or makes it, with `clock` giving the epoch of a new store. Blocks: for up to 5 seconds
    /// while another process holds the folder, and for a read of the log's outline if the last one was killed.
    ///
    /// # Errors
    /// [`StoreError::Open`] with what is wrong and what to do: the folder is in use, was written by a newer program,
    /// its key is missing or another one, it is damaged. [`StoreError::Unreadable`] if a row that says what the
    /// store is cannot be read. Nothing is changed in these cases, but for a damaged file: opening it clears what
    /// follows the damage, so copy the folder before any rescue.
    pub fn open(settings: &Settings, clock: &dyn Clock) -> Result<Arc<Self>, StoreError> {
        Self::open_on(settings, clock, Arc::new(FileSystem(settings.path.clone())))
    }

    /// The same, where `disk` tells how much room is left.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(settings: &Settings, clock: &dyn Clock, disk: Arc<dyn Disk>) -> Result<Arc<Self>, StoreError> {
        let opened = open::open(settings, None, clock)?;
        let cannot_start = |error: std::io::Error| StoreError::Open {
            path: settings.path.display().to_string(),
            reason: format!("cannot start a thread: {error}"),
        };
        let gauge = Gauge::start(disk, settings.min_free).map_err(|error| StoreError::Open {
            path: settings.path.display().to_string(),
            reason: format!("cannot tell how much room there is: {error}"),
        })?;
        tracing::info!(
            path = %settings.path.display(),
            epoch = opened.meta.epoch,
            head = opened.head.position.0,
            bytes = opened.db.size_on_disk().unwrap_or(0),
            "opened the store"
        );
        let vault = Arc::new(opened.vault);
        let recent = Arc::new(Recent::new(opened.first, opened.last_cut, opened.head.position));
        let view = View::new((*opened.db).clone());
        let backups = Arc::new(UnderWay::default());
        let (acts, queue) = mpsc::channel(QUEUE_LENGTH);
        let changes = broadcast::Sender::new(CHANGES_KEPT);
        let meter = Commits::default();
        let writer = Writer {
            folder: settings.path.clone(),
            tree: (*opened.db).clone(),
            file: opened.file,
            view: view.clone(),
            recent: Arc::clone(&recent),
            changes: changes.clone(),
            backups: Arc::clone(&backups),
            vault: Arc::clone(&vault),
            identity: LogIdentity { epoch: opened.meta.epoch, start: u32::from_le_bytes(random_bytes()) },
            watchdog: Watchdog::start().map_err(cannot_start)?,
            meter: meter.clone(),
            gauge: Arc::clone(&gauge),
            unlooked: 0,
            acts: queue,
            cancellations: opened.cancellations,
            unlisted: opened.unlisted,
            batch: Batch::default(),
            answers: Vec::new(),
        };
        thread::Builder::new().name("store-writer".into()).spawn(move || writer.run()).map_err(cannot_start)?;
        let reader = Arc::new(Reader { view, recent, vault });
        let (readers, claims) = (Arc::new(Semaphore::new(READERS_MAX)), Claims::default());
        let epoch = opened.meta.epoch;
        Ok(Arc::new(Self { reader, readers, acts, changes, gauge, meter, claims, backups, epoch }))
    }

    /// What its commits have measured.
    pub fn meter(&self) -> &Commits {
        &self.meter
    }

    /// What is in the folder, and whether it would open. No row is changed and nothing is made, but sled reads its file
    /// as it does at every start. Does not wait for a process that holds it.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn look(settings: &Settings) -> Result<Look, StoreError> {
        look::look(settings)
    }

    /// Opens a store that holds nothing: what the folder held is removed, unless another process holds it. Only for
    /// an upstream that forgets as well. The key that seals secrets stays.
    ///
    /// # Errors
    /// As [`Self::open`]; and if the folder cannot be removed.
    pub fn open_empty(settings: &Settings, clock: &dyn Clock) -> Result<Arc<Self>, StoreError> {
        drop(open::open(settings, None, clock)?);
        std::fs::remove_dir_all(&settings.path).map_err(|error| StoreError::Open {
            path: settings.path.display().to_string(),
            reason: format!("cannot empty it: {error}"),
        })?;
        Self::open(settings, clock)
    }

    /// Seals all secrets of a store that nobody has open with another key. Without a configured key that is a new one,
    /// which takes the place of the key file's at the end. Otherwise it is the key in the file `new_key`, made if there
    /// is no such file, and has to be configured afterwards.
    ///
    /// A kill at any moment leaves a store that opens with the former key or with the new one; the next call, or the
    /// next opening, makes the rest of it good. Blocks as [`Self::open`] does.
    ///
    /// # Errors
    /// If there is no store, or no key to take over; and as [`Self::open`].
    pub fn rekey(settings: &Settings, new_key: Option<&Path>, clock: &dyn Clock) -> Result<Rekeyed, RekeyError> {
        rekey::rekey(settings, new_key, clock)
    }

    /// Makes the store of a backup in a folder that has none. Its log, deliveries, replays, snapshots and agendas are
    /// those of the backup; its epoch is a new one, so that no id is given again. With `force` a store that is there is
    /// moved aside. Blocks for as long as it takes to write all of it.
    ///
    /// # Errors
    /// If the file is not whole, if the key is not the one that sealed what is in it, if there is a store or somebody
    /// has it open: nothing was touched then. If the folder cannot be written: another restore begins anew.
    pub fn restore(settings: &Settings, file: &Path, force: bool, clock: &dyn Clock) -> Result<Restored, RestoreError> {
        restore::restore(settings, file, force, clock)
    }

    /// Reads on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        read_with(&self.readers, &self.reader, work).await
    }

    /// Asks the writer for something and waits until it is durable.
    async fn write<T>(&self, act: impl FnOnce(Done<T>) -> Act) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        self.acts.send(act(done)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// The same for what cannot be taken back and must be written some day: while the disk is full, it waits.
    async fn write_some_day<T>(&self, act: impl Fn(Done<T>) -> Act) -> Result<T, StoreError> {
        let mut space = self.gauge.follow();
        loop {
            // An error means that nobody looks any more, which is for the writer to say.
            drop(space.wait_for(Space::can_be_written).await);
            match self.write(&act).await {
                Err(StoreError::Full) => {}
                done => return done,
            }
        }
    }
}

/// Reads on a thread that may block, as soon as there is a place.
async fn read_with<T: Send + 'static>(
    readers: &Arc<Semaphore>,
    reader: &Arc<Reader>,
    work: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let place = Arc::clone(readers).acquire_owned().await.map_err(|_| StoreError::Closed)?;
    let reader = Arc::clone(reader);
    let read = tokio::task::spawn_blocking(move || {
        // Kept until the work is done, even if nobody waits for it any more.
        let _place = place;
        work(&reader)
    });
    match read.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_canceled) => Err(StoreError::Closed),
        },
    }
}

impl Roomy for SledStore {
    fn space(&self) -> watch::Receiver<Space> {
        self.gauge.follow()
    }
}

#[async_trait]
impl Store for SledStore {
    fn epoch(&self) -> u32 {
        self.epoch
    }

    async fn check(&self) -> Result<(), StoreError> {
        let value = u64::from_le_bytes(random_bytes());
        self.write(|done| Act::Check { value, done }).await?;
        // Another check may have written since; that this is a number shows as much.
        let found = self.read(|reader| reader.view.get(keys::CHECK)?.map(|row| codec::read_number(&row)).transpose());
        match found.await? {
            Some(_) => Ok(()),
            None => Err(StoreError::Unreadable { what: "what was just written", reason: "it is not there".into() }),
        }
    }

    async fn backup(&self, now: Timestamp) -> Result<Box<dyn Backup>, StoreError> {
        let (reader, readers) = (Arc::clone(&self.reader), Arc::clone(&self.readers));
        Ok(Box::new(SledBackup::begin(&self.backups, reader, readers, self.acts.clone(), now)?))
    }

    async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.acts.send(Act::Close { done }).await.is_ok() {
            // An error here means that it was closed by another call before this one.
            let _closed_before = closed.await;
        }
    }
}
