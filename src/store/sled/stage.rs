//! Changes on their way to the disk: a [`Stage`] collects what one atomic act changes, a [`Batch`] the acts that are
//! synced together.
//!
//! A stage sees the tree as it will be after the acts before it. It is thrown away if the act is refused, so there is
//! nothing to undo; and all that the writer knows (the end of the log, counters, numbers) are rows.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use sled::{IVec, Tree};
use tokio::time::Instant;

use super::keys::{self, Key, KeyRange};
use super::view::{Former, broken, cut, is_in_parts, join, part_is_missing, part_keys};
use crate::model::event::Event;
use crate::model::id::EndpointNumber;
use crate::store::StoreError;
use crate::store::codec::{self, Head};
use crate::store::vault::Vault;

/// Acts are put together up to here.
pub(super) const BATCH_BYTES_MAX: usize = 64 * 1024;

/// One act may be larger than a batch, but not larger than this: sled deadlocks when much more is left unflushed.
pub(super) const ACT_BYTES_MAX: usize = 224 * 1024;

/// What a row costs in sled's log beside its key and value: headers and the length of both.
const ROW_OVERHEAD_BYTES: usize = 32;

/// Rows and what they become; `None`: they are deleted.
type Rows = BTreeMap<Key, Option<IVec>>;

fn row_bytes(key: &[u8], value: Option<&IVec>) -> usize {
    ROW_OVERHEAD_BYTES + key.len() + value.map_or(0, |value| value.len())
}

/// Acts that are made durable together.
#[derive(Default)]
pub(super) struct Batch {
    rows: Rows,
    /// What some of these rows are in the tree; the others were not looked at.
    former: Former,
    bytes: usize,
    /// The events of these acts, in the order of the log.
    pub(super) events: Vec<Arc<Event>>,
    /// The endpoints that these acts registered, changed or deleted.
    pub(super) changed: Vec<EndpointNumber>,
    /// The last event that these acts cut, if they cut any.
    pub(super) last_cut: Option<Head>,
}

impl Batch {
    /// Whether nothing is to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows are to be written or deleted.
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// How much is to be written.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The keys of the rows that are to be written.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.rows.keys()
    }

    /// Whether no further act should be put in.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES_MAX
    }

    /// Whether an act can go with those that are here.
    pub(super) fn has_room_for(&self, act: &Changes) -> bool {
        self.is_empty() || self.bytes + act.bytes <= BATCH_BYTES_MAX
    }

    /// Puts an act behind those that are here.
    pub(super) fn add(&mut self, act: Changes) {
        for (key, value) in act.rows {
            self.bytes += row_bytes(&key, value.as_ref());
            if let Some(Some(former)) = self.rows.get(&key) {
                self.bytes -= row_bytes(&key, Some(former));
            }
            self.rows.insert(key, value);
        }
        self.former.extend(act.former);
        self.events.extend(act.events);
        self.changed.extend(act.changed);
        self.last_cut = act.last_cut.or(self.last_cut);
    }

    /// What the rows that will change are now; to be asked once.
    pub(super) fn former(&mut self, tree: &Tree) -> sled::Result<Former> {
        let mut former = std::mem::take(&mut self.former);
        for key in self.rows.keys() {
            if !former.contains_key(key) {
                former.insert(key.clone(), tree.get(key)?);
            }
        }
        Ok(former)
    }

    /// Makes the changes durable: apply, flush, and a sync of our own, because sled's flush ends with
    /// `sync_file_range`, which does not reach the disk. Tells how long the sync took.
    pub(super) fn write(&self, tree: &Tree, file: &File) -> sled::Result<Duration> {
        tree.apply_batch(self.to_sled())?;
        tree.flush()?;
        let began = Instant::now();
        file.sync_data()?;
        Ok(began.elapsed())
    }

    /// The changes as sled takes them.
    fn to_sled(&self) -> sled::Batch {
        let mut batch = sled::Batch::default();
        for (key, value) in &self.rows {
            match value {
                Some(value) => batch.insert(key.as_slice(), value.clone()),
                None => batch.remove(key.as_slice()),
            }
        }
        batch
    }
}

/// What one atomic act changes.
#[derive(Default)]
pub(super) struct Changes {
    rows: Rows,
    /// What some of these rows are in the tree. Acts before this one change none of them, or they would not have been
    /// read there; so it is still true when they are written.
    former: Former,
    bytes: usize,
    events: Vec<Arc<Event>>,
    changed: Vec<EndpointNumber>,
    last_cut: Option<Head>,
}

/// One act while it is being worked out.
pub(super) struct Stage<'a> {
    tree: &'a Tree,
    batch: &'a Batch,
    changes: Changes,
    /// Seals what must be sealed.
    pub(super) vault: &'a Vault,
    /// What the ids of this process's events have beside their positions.
    pub(super) identity: LogIdentity,
}

/// What the ids of all events that this process commits have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogIdentity {
    /// The second in which the store was created or last restored.
    pub(super) epoch: u32,
    /// Drawn when the process started.
    pub(super) start: u32,
}

impl<'a> Stage<'a> {
    /// An act that follows those in `batch`.
    pub(super) fn new(tree: &'a Tree, batch: &'a Batch, vault: &'a Vault, identity: LogIdentity) -> Self {
        Self { tree, batch, changes: Changes::default(), vault, identity }
    }

    fn row(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        match self.changed_row(key) {
            Some(value) => Ok(value.clone()),
            None => self.tree.get(key).map_err(broken),
        }
    }

    /// A row that is about to be changed. Readers will be shown what it is in the tree, which is read only once.
    fn row_to_change(&mut self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        if let Some(value) = self.changed_row(key) {
            return Ok(value.clone());
        }
        let former = self.tree.get(key).map_err(broken)?;
        self.changes.former.insert(key.to_vec(), former.clone());
        Ok(former)
    }

    /// A row as this act and those before it have left it, if they have changed it.
    fn changed_row(&self, key: &[u8]) -> Option<&Option<IVec>> {
        self.changes.rows.get(key).or_else(|| self.batch.rows.get(key))
    }

    /// Whether this act or one before it changes a row.
    pub(super) fn is_changed(&self, key: &[u8]) -> bool {
        self.changed_row(key).is_some()
    }

    /// Up to `limit` keys of a range, as the tree has them: to be called while the batch is empty.
    pub(super) fn keys(&self, range: KeyRange, limit: usize) -> Result<Vec<Key>, StoreError> {
        self.tree.range(range).keys().take(limit).map(|key| Ok(key.map_err(broken)?.to_vec())).collect()
    }

    /// The value of a row as it will be.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        self.row(key)?.map(|row| self.value(key, row)).transpose()
    }

    /// The value that a row stands for.
    fn value(&self, key: &[u8], row: IVec) -> Result<IVec, StoreError> {
        if is_in_parts(&row) { join(key, &row, |part| self.row(part))?.ok_or_else(part_is_missing) } else { Ok(row) }
    }

    /// A counter, a position or an endpoint's number; `None` if there is no such row.
    pub(super) fn number(&self, key: &[u8]) -> Result<Option<u64>, StoreError> {
        self.get(key)?.map(|row| codec::read_number(&row)).transpose()
    }

    /// Writes a value.
    pub(super) fn put(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), StoreError> {
        let former = self.row_to_change(key)?;
        self.put_over(former.as_ref(), key, value)
    }

    /// Writes a value and gives the former one, for which the row is read only once.
    pub(super) fn replace(&mut self, key: &[u8], value: Vec<u8>) -> Result<Option<IVec>, StoreError> {
        let row = self.row_to_change(key)?;
        let former = row.clone().map(|row| self.value(key, row)).transpose()?;
        self.put_over(row.as_ref(), key, value)?;
        Ok(former)
    }

    fn put_over(&mut self, former: Option<&IVec>, key: &[u8], value: Vec<u8>) -> Result<(), StoreError> {
        if value.len() > ACT_BYTES_MAX {
            return Err(too_large(value.len()));
        }
        self.remove_parts(key, former);
        for (key, value) in cut(key, value) {
            self.change(key, Some(value));
        }
        Ok(())
    }

    /// Deletes a row.
    pub(super) fn remove(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let former = self.row_to_change(key)?;
        self.remove_parts(key, former.as_ref());
        self.change(key.to_vec(), None);
        Ok(())
    }

    fn remove_parts(&mut self, key: &[u8], former: Option<&IVec>) {
        for part in former.into_iter().flat_map(|row| part_keys(key, row)) {
            self.change(part, None);
        }
    }

    /// Puts an entry, which is nothing but its key, into an index.
    pub(super) fn add_entry(&mut self, key: Key) {
        self.change(key, Some(IVec::default()));
    }

    /// Whether the tree has an entry that is about to be changed, so that nobody has to look: a look into the tree costs a
    /// third of what it takes to write the entry.
    pub(super) fn entry_is_there(&mut self, key: Key, is_there: bool) {
        self.changes.former.insert(key, is_there.then(IVec::default));
    }

    /// Takes an entry out of an index.
    pub(super) fn remove_entry(&mut self, key: Key) {
        self.change(key, None);
    }

    fn change(&mut self, key: Key, value: Option<IVec>) {
        self.changes.bytes += row_bytes(&key, value.as_ref());
        if let Some(former) = self.changes.rows.insert(key.clone(), value) {
            self.changes.bytes -= row_bytes(&key, former.as_ref());
        }
    }

    /// Shows an event to readers once the act is durable.
    pub(super) fn publish(&mut self, event: Event) {
        self.changes.events.push(Arc::new(event));
    }

    /// Lets the log begin behind an event, and shows that once the act is durable. It and those before it must be removed
    /// too.
    pub(super) fn cut_after(&mut self, last: Head) -> Result<(), StoreError> {
        self.changes.last_cut = Some(last);
        self.put(keys::LAST_CUT, codec::head(&last))?;
        self.put(keys::FIRST, codec::number(last.position.next().0))
    }

    /// How much the act changes so far.
    pub(super) fn bytes(&self) -> usize {
        self.changes.bytes
    }

    /// Tells that an endpoint changed once the act is durable.
    pub(super) fn tell_change(&mut self, endpoint: EndpointNumber) {
        self.changes.changed.push(endpoint);
    }

    /// Whether an endpoint of that number is registered.
    pub(super) fn is_registered(&self, number: EndpointNumber) -> Result<bool, StoreError> {
        self.row(&keys::endpoint(number)).map(|row| row.is_some())
    }

    /// The act, worked out.
    pub(super) fn finish(self) -> Result<Changes, StoreError> {
        if self.changes.bytes > ACT_BYTES_MAX { Err(too_large(self.changes.bytes)) } else { Ok(self.changes) }
    }
}

fn too_large(size: usize) -> StoreError {
    StoreError::TooLarge { what: "what is to be committed together", size, max: ACT_BYTES_MAX, sights_before: 0 }
}

/// The error of an act that came after so many sights of the same commit.
pub(super) fn after_sights(count: usize, mut error: StoreError) -> StoreError {
    if let StoreError::TooLarge { sights_before, .. } = &mut error {
        *sights_before = count;
    }
    error
}
