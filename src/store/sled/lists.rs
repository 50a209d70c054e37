//! Lists of snapshots by their creation: of everything, and of each customer by either of its ids.
//!
//! An entry is nothing but its key, about 60 bytes beside a snapshot of several hundred, and three of them find what a
//! page needs. What else a list may be asked for (types, jurisdictions, dates, most statuses) is looked for in the
//! snapshots themselves, up to a limit: an entry for each of these would be written anew whenever the resource moves,
//! and would help only where few match.
//!
//! A store that an older program wrote has no entries. The writer makes them when there is nothing more urgent; until
//! that is done whoever asks for a list is told so.

use std::iter::Peekable;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use super::deliveries::bad_key;
use super::keys::lists::{self as keys, Shelf};
use super::keys::{self as rows_keys, Key};
use super::stage::Stage;
use super::{Reader, SledStore};
use crate::model::criteria::{Criteria, CustomerId, ListPlace};
use crate::model::resource::{OpenList, ResourceId, ResourceKey, Snapshot, SourceName};
use crate::model::time::Timestamp;
use crate::store::codec::snapshot::{Outline, object_text, read_snapshot};
use crate::store::codec::{self, ListsProgress};
use crate::store::{ENTRIES_READ_MAX, Filtered, SnapshotQuery, StateStore, StoreError};

/// So many snapshots of an older version are put into the lists in one act: with three entries each, half of a batch.
const LISTED_AT_ONCE: usize = 100;

/// An open list with at most so many members is read whole and sorted; a longer one holds a part of everything that is
/// large enough to be met on the way.
const OPEN_MAX: usize = 1_000;

/// Stands for a customer's id in a key: FNV-1a, which is the same on every machine and in every version. What two ids
/// share is told apart by the snapshots themselves.
fn stand_in(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What the entries of a resource are made of. A field of another shape than the vendor's is none.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Shown {
    created_at: Value,
    customer: Value,
}

impl Shown {
    /// That of an object.
    fn of(object: &str) -> Self {
        serde_json::from_str(object).unwrap_or_default()
    }

    /// Where a resource that shows this stands in a list.
    fn place(&self, id: ResourceId, source: SourceName) -> ListPlace {
        ListPlace::new(self.created_at.as_str().and_then(|text| text.parse().ok()), id, source)
    }
}

/// The entries of a resource that shows this object.
pub(super) fn entries(name: &ResourceKey, is_removed: bool, object: &str) -> Vec<Key> {
    let shown = Shown::of(object);
    let place = shown.place(name.id.clone(), name.source.clone());
    let id = |field: &str| shown.customer.get(field).and_then(Value::as_str).map(stand_in);
    let shelves =
        [Some(Shelf::All), id("id").map(Shelf::Customer), id("reference_customer_id").map(Shelf::ReferenceCustomer)];
    let entry =
        |shelf| keys::entry(&keys::list(&name.source, name.kind, is_removed, shelf), place.created_at, &name.id);
    shelves.into_iter().flatten().map(entry).collect()
}

impl Stage<'_> {
    /// Puts some of the snapshots of an older version beyond a key into the lists; the last of them, or `None` if that
    /// was all. The batch is empty before, so the tree knows them all.
    pub(super) fn list_older(&mut self, beyond: Key) -> Result<Option<Key>, StoreError> {
        let beyond = Some(beyond).filter(|key| !key.is_empty());
        let names = self.keys(keys::snapshots_beyond(beyond), LISTED_AT_ONCE)?;
        for key in &names {
            let name = keys::resource(key).ok_or_else(bad_key)?;
            let Some(row) = self.get(key)? else { continue };
            for entry in entries(&name, Outline::read(&row)?.is_removed, &object_text(&name.id, &row)?) {
                self.add_entry(entry);
            }
        }
        let last = names.into_iter().nth(LISTED_AT_ONCE - 1);
        let progress = last.clone().map_or(ListsProgress::Complete, ListsProgress::UpTo);
        self.put(keys::PROGRESS, codec::lists_progress(&progress))?;
        Ok(last)
    }
}

/// Entries of one source, in the order of a query.
type OfSource<'a> = Box<dyn Iterator<Item = Result<ListPlace, StoreError>> + 'a>;

/// The entries of a query in its order, one after the other.
struct Entries<'a> {
    /// Of each source.
    walks: Vec<Peekable<OfSource<'a>>>,
    ascending: bool,
}

impl Iterator for Entries<'_> {
    type Item = Result<ListPlace, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut first: Option<(usize, ListPlace)> = None;
        for (at, walk) in self.walks.iter_mut().enumerate() {
            match walk.peek() {
                Some(Ok(place)) => {
                    let is_first = first.as_ref().is_none_or(|(_, first)| (place < first) == self.ascending);
                    if is_first {
                        first = Some((at, place.clone()));
                    }
                }
                Some(Err(_)) => return walk.next(),
                None => {}
            }
        }
        let (at, _) = first?;
        self.walks.get_mut(at)?.next()
    }
}

impl Reader {
    fn listed_page(&self, query: &SnapshotQuery) -> Result<Filtered<Snapshot, ListPlace>, StoreError> {
        let progress = self.view.get(keys::PROGRESS)?.map(|row| codec::read_lists_progress(&row)).transpose()?;
        if progress != Some(ListsProgress::Complete) {
            return Err(StoreError::NotListed);
        }
        let places: OfSource<'_> = match self.few(query)? {
            Some(few) => Box::new(few.into_iter().map(Ok)),
            None => Box::new(self.entries(query)),
        };
        page(places, query, |ListPlace { source, id, .. }| {
            let row = self.view.get(&rows_keys::snapshot(source, query.kind, id))?;
            let name = ResourceKey { source: source.clone(), kind: query.kind, id: id.clone() };
            row.map(|row| read_snapshot(name, &row)).transpose()
        })
    }

    /// The entries of the narrowest list that has all that a query can mean.
    fn entries<'a>(&'a self, query: &'a SnapshotQuery) -> Entries<'a> {
        let shelf = match &query.criteria.customer {
            None => Shelf::All,
            Some(CustomerId::Upstream(id)) => Shelf::Customer(stand_in(id)),
            Some(CustomerId::Reference(id)) => Shelf::ReferenceCustomer(stand_in(id)),
        };
        let (first, last) = bounds(query);
        let walk = |source: &'a SourceName| {
            let list = keys::list(source, query.kind, query.removed, shelf);
            let range = keys::between(&list, first, last);
            let entries = self.view.walk(range, !query.ascending).map(move |entry| {
                let (created_at, id) = keys::created_and_id(&list, &entry?.0).ok_or_else(bad_key)?;
                Ok(ListPlace { created_at, id, source: source.clone() })
            });
            let entries = entries.filter(|place| place.as_ref().map_or(true, |place| is_left(place, query)));
            let entries: OfSource<'a> = Box::new(entries);
            entries.peekable()
        };
        Entries { walks: query.sources.iter().map(walk).collect(), ascending: query.ascending }
    }

    /// The places of whatever is in a short open list, in the order of a query, if it asks for one.
    fn few(&self, query: &SnapshotQuery) -> Result<Option<Vec<ListPlace>>, StoreError> {
        let Criteria { status, customer, .. } = &query.criteria;
        let list = OpenList::of(query.kind, *status).filter(|_| customer.is_none() && !query.removed);
        let Some(list) = list else { return Ok(None) };
        let mut few: Vec<(&SourceName, ResourceId)> = Vec::new();
        for source in &query.sources {
            // Until an older version's snapshots have been looked through, some that are open do not say so.
            let progress = self.view.get(&rows_keys::progress(source))?;
            let progress = progress.map(|row| codec::rare::read_progress(&row)).transpose()?;
            if progress.is_none_or(|progress| progress.agenda_for.is_none()) {
                return Ok(None);
            }
            for entry in self.view.walk(rows_keys::open_after(source, list, None), false) {
                if few.len() == OPEN_MAX {
                    return Ok(None);
                }
                few.push((source, rows_keys::open_id(&entry?.0).ok_or_else(bad_key)?));
            }
        }
        let mut places = Vec::with_capacity(few.len());
        for (source, id) in few {
            if let Some(row) = self.view.get(&rows_keys::snapshot(source, query.kind, &id))? {
                places.push(Shown::of(&object_text(&id, &row)?).place(id, source.clone()));
            }
        }
        places.retain(|place| is_left(place, query));
        places.sort_unstable();
        if !query.ascending {
            places.reverse();
        }
        Ok(Some(places))
    }
}

/// Between which instants of creation whatever is left of a list lies.
fn bounds(query: &SnapshotQuery) -> (Timestamp, Timestamp) {
    let window = query.criteria.created;
    let first = window.after.unwrap_or(Timestamp::from_millis(i64::MIN));
    let last = window.before.unwrap_or(Timestamp::from_millis(i64::MAX));
    match &query.after {
        Some(after) if query.ascending => (first.max(after.created_at), last),
        Some(after) => (first, last.min(after.created_at)),
        None => (first, last),
    }
}

fn is_left(place: &ListPlace, query: &SnapshotQuery) -> bool {
    query.after.as_ref().is_none_or(|after| if query.ascending { place > after } else { place < after })
}

/// The first entries whose snapshots match, out of as many as may be read. That a full page has a successor is known
/// because one more was found, unless enough was read.
fn page(
    places: impl Iterator<Item = Result<ListPlace, StoreError>>,
    query: &SnapshotQuery,
    read: impl Fn(&ListPlace) -> Result<Option<Snapshot>, StoreError>,
) -> Result<Filtered<Snapshot, ListPlace>, StoreError> {
    let mut found = Vec::new();
    let mut last = None;
    for (count, place) in places.enumerate() {
        if count == ENTRIES_READ_MAX {
            return Ok(Filtered { found, next: last });
        }
        let place = place?;
        let snapshot = read(&place)?;
        if let Some(snapshot) = snapshot.filter(|snapshot| query.means(snapshot)) {
            if found.len() == query.limit {
                return Ok(Filtered { found, next: last });
            }
            found.push(snapshot);
        }
        last = Some(place);
    }
    Ok(Filtered { found, next: None })
}

#[async_trait]
impl StateStore for SledStore {
    async fn listed(&self, query: SnapshotQuery) -> Result<Filtered<Snapshot, ListPlace>, StoreError> {
        self.read(move |reader| reader.listed_page(&query)).await
    }
}
