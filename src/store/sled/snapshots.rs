//! Snapshots, and what is kept in step with them: their count, the lists, what is to be done about them and when.
//! And absences, which stand beside them.

use super::deliveries::bad_key;
use super::keys::{self, Key};
use super::lists;
use super::stage::Stage;
use crate::model::resource::{Absence, ResourceId, ResourceKey, Snapshot, SourceName};
use crate::store::codec::snapshot::{self as rows, Outline, object_text};
use crate::store::{Due, StoreError, Task, Trace, codec};

/// The entries of a snapshot in the indexes.
fn entries(name: &ResourceKey, outline: Outline, object: &str) -> Vec<Key> {
    let list = outline.open_list.filter(|_| !outline.is_removed);
    let entries = [
        list.map(|list| keys::open(name, list)),
        outline.remind_at.map(|at| keys::task(name, Task::Remind, at)),
        outline.fetch_at.map(|at| keys::task(name, Task::Fetch, at)),
    ];
    entries.into_iter().flatten().chain(lists::entries(name, outline.is_removed, object)).collect()
}

impl Stage<'_> {
    /// A snapshot as it is now, with all that is kept in step with it. `is_older`: the former one may be of an older
    /// version and in no list.
    pub(super) fn snapshot(&mut self, snapshot: &Snapshot, is_older: bool) -> Result<(), StoreError> {
        let name = &snapshot.key;
        let key = keys::snapshot(&name.source, name.kind, &name.id);
        // Then the tree has exactly the entries that its row of the snapshot calls for.
        let tells_of_tree = !is_older && !self.is_changed(&key);
        let former = self.replace(&key, rows::snapshot(snapshot))?;
        let outline = Outline::of(snapshot);
        let is_in = entries(name, outline, snapshot.object.text());
        let (was_counted, was_in) = match &former {
            Some(row) => {
                let former = Outline::read(row)?;
                (!former.is_removed, entries(name, former, &object_text(&name.id, row)?))
            }
            None => (false, Vec::new()),
        };
        self.count(name, was_counted, !outline.is_removed)?;
        for entry in was_in.iter().filter(|entry| !is_in.contains(entry)) {
            if tells_of_tree {
                self.entry_is_there(entry.clone(), true);
            }
            self.remove_entry(entry.clone());
        }
        for entry in is_in.into_iter().filter(|entry| is_older || !was_in.contains(entry)) {
            if tells_of_tree {
                self.entry_is_there(entry.clone(), false);
            }
            self.add_entry(entry);
        }
        Ok(())
    }

    fn count(&mut self, name: &ResourceKey, was_counted: bool, is_counted: bool) -> Result<(), StoreError> {
        if was_counted == is_counted {
            return Ok(());
        }
        let key = keys::snapshot_count(&name.source, name.kind);
        let count = self.number(&key)?.unwrap_or(0);
        let count = if is_counted { count + 1 } else { count.saturating_sub(1) };
        self.put(&key, codec::number(count))
    }

    /// What becomes of the entry of an absent resource.
    pub(super) fn absence(&mut self, name: &ResourceKey, absence: Option<&Absence>) -> Result<(), StoreError> {
        let key = keys::absence(&name.source, name.kind, &name.id);
        match absence {
            Some(absence) => self.put(&key, rows::absence(absence)),
            None => self.remove(&key),
        }
    }
}

/// The name in the key of a snapshot or an absence of a source.
fn name(source: &SourceName, key: &[u8]) -> Result<ResourceKey, StoreError> {
    let (kind, id) = keys::kind_and_id(key).ok_or_else(bad_key)?;
    Ok(ResourceKey { source: source.clone(), kind, id })
}

/// The snapshot in a row.
pub(super) fn snapshot(source: &SourceName, key: &[u8], row: &[u8]) -> Result<Snapshot, StoreError> {
    rows::read_snapshot(name(source, key)?, row)
}

/// The id of the snapshot in a row, and whether it was removed; the object is not read.
pub(super) fn id(key: &[u8], row: &[u8]) -> Result<(ResourceId, bool), StoreError> {
    let (_, id) = keys::kind_and_id(key).ok_or_else(bad_key)?;
    Ok((id, Outline::read(row)?.is_removed))
}

/// What the row of the snapshot in a row is recognised by; the object is not read.
pub(super) fn trace(key: &[u8], row: &[u8]) -> Result<Trace, StoreError> {
    let (_, id) = keys::kind_and_id(key).ok_or_else(bad_key)?;
    let (is_removed, row_fingerprint) = rows::row_fingerprint(row)?;
    Ok(Trace { id, is_removed, row_fingerprint })
}

/// The absence in a row.
pub(super) fn absence(source: &SourceName, key: &[u8], row: &[u8]) -> Result<Absence, StoreError> {
    rows::read_absence(name(source, key)?, row)
}

/// The id in an entry of an open list.
pub(super) fn open_id(entry: &[u8]) -> Result<ResourceId, StoreError> {
    keys::open_id(entry).ok_or_else(bad_key)
}

/// What the entry of something to be done says.
pub(super) fn due(entry: &[u8]) -> Result<Due, StoreError> {
    keys::task_entry(entry).ok_or_else(bad_key)
}
