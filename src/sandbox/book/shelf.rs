//! Objects in the order of lists, found by id.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::object::Listed;
use crate::model::time::Timestamp;
use crate::sandbox::options::{LostCursor, Order};

/// Objects by creation and id. Nothing ever leaves it: what is deleted is only marked, so that a cursor that names
/// it can still be understood.
#[derive(Clone, Debug)]
pub struct Shelf<T> {
    objects: BTreeMap<(Timestamp, String), T>,
    created: HashMap<String, Timestamp>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), created: HashMap::new() }
    }
}

/// One page of a list.
#[derive(Debug)]
pub struct Page<'a, T> {
    /// What it shows.
    pub rows: Vec<&'a T>,
    /// Whether there is more behind it.
    pub has_more: bool,
}

/// The cursor names nothing that a list could go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCursor;

/// Which page of a list is wanted.
#[derive(Clone, Copy, Debug)]
pub struct PageWanted<'a> {
    /// The last id of the page before.
    pub cursor: Option<&'a str>,
    /// At most so many rows.
    pub limit: usize,
    /// In which order.
    pub order: Order,
    /// What becomes of a cursor whose object is no longer listed.
    pub lost_cursor: LostCursor,
}

impl<T: Listed> Shelf<T> {
    /// Puts an object in its place.
    pub fn add(&mut self, object: T) {
        let place = (object.created_at(), object.id().to_owned());
        self.created.insert(place.1.clone(), place.0);
        self.objects.insert(place, object);
    }

    /// How many there are, listed or not.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// One by id, also if it is marked as deleted.
    pub fn get(&self, id: &str) -> Option<&T> {
        self.objects.get(&(*self.created.get(id)?, id.to_owned()))
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.objects.get_mut(&(*self.created.get(id)?, id.to_owned()))
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.objects.values()
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.objects.values_mut()
    }

    /// One page of those that are listed and wanted.
    ///
    /// # Errors
    /// The cursor was never an id here, or is lost and to be refused.
    pub fn page(&self, wanted: PageWanted<'_>, matches: impl Fn(&T) -> bool) -> Result<Page<'_, T>, BadCursor> {
        let place = match wanted.cursor {
            None => None,
            Some(id) => {
                let object = self.get(id).ok_or(BadCursor)?;
                match wanted.lost_cursor {
                    LostCursor::Refused if !object.is_listed() => return Err(BadCursor),
                    LostCursor::EmptyPage if !object.is_listed() => {
                        return Ok(Page { rows: Vec::new(), has_more: false });
                    }
                    LostCursor::Refused | LostCursor::EmptyPage | LostCursor::Continues => {}
                }
                Some((object.created_at(), id.to_owned()))
            }
        };
        let beyond = place.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let shown = |object: &&T| object.is_listed() && matches(object);
        let mut rows: Vec<&T> = match wanted.order {
            Order::Ascending => self
                .objects
                .range((beyond, Bound::Unbounded))
                .map(|(_, object)| object)
                .filter(shown)
                .take(wanted.limit + 1)
                .collect(),
            Order::Descending => self
                .objects
                .range((Bound::Unbounded, beyond))
                .rev()
                .map(|(_, object)| object)
                .filter(shown)
                .take(wanted.limit + 1)
                .collect(),
        };
        let has_more = rows.len() > wanted.limit;
        rows.truncate(wanted.limit);
        Ok(Page { rows, has_more })
    }
}
