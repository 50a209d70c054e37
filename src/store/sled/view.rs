//! What readers see: rows as they are on disk, and nothing that is only on its way there.
//!
//! sled shows a batch as soon as it is applied, long before it is synced. So the writer says first which rows it is
//! about to change and what they were, and readers get that until the sync is done. They wait for nobody's sync.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use sled::{IVec, Tree};

use super::keys::{self, Key, KeyRange};
use crate::store::StoreError;

/// Rows are read from the tree in pages, and nothing is held from one page to the next. Many who walk stop after a few
/// rows: so the first page has few, and each of those after it twice as many as the one before it, up to a limit.
const FIRST_PAGE_ROWS: usize = 16;
const PAGE_ROWS_MAX: usize = 256;

/// No value in the tree is longer. A leaf of sled's tree holds at most 20 rows, and one above 128 KiB would go to a
/// file of its own that sled never syncs and does not always delete.
pub(super) const VALUE_BYTES_MAX: usize = 6 * 1024;

/// Stands where a version byte would be, before the number of parts that a long value was cut into.
const IN_PARTS: u8 = 0;

/// The rows that the writer is changing at the moment, as they were.
pub(super) type Former = BTreeMap<Key, Option<IVec>>;

/// The durable rows.
#[derive(Clone)]
pub(super) struct View {
    tree: Tree,
    former: Arc<RwLock<Former>>,
}

impl View {
    /// A view of a tree in which everything is durable.
    pub(super) fn new(tree: Tree) -> Self {
        Self { tree, former: Arc::default() }
    }

    /// The rows as they are, durable or on their way there.
    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Shows these rows as they were from now on. To be called before they are changed.
    pub(super) fn hide(&self, former: Former) {
        *self.former.write().unwrap_or_else(PoisonError::into_inner) = former;
    }

    /// Shows all rows as they are. To be called once they are durable.
    pub(super) fn reveal(&self) {
        self.hide(Former::new());
    }

    fn former(&self) -> RwLockReadGuard<'_, Former> {
        self.former.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A row as `former` has it, or else as it is.
    fn row(&self, former: &Former, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        match former.get(key) {
            Some(was) => Ok(was.clone()),
            None => self.tree.get(key).map_err(broken),
        }
    }

    /// Whether there is such a row.
    pub(super) fn has(&self, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.row(&self.former(), key)?.is_some())
    }

    /// The value of a row, put together if it was cut.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        // The guard is kept over all looks into the tree, so that the writer cannot begin with one of these rows, nor
        // show them as they are now, between two of them.
        let former = self.former();
        match self.row(&former, key)? {
            Some(row) if is_in_parts(&row) => {
                join(key, &row, |part| self.row(&former, part))?.map(Some).ok_or_else(part_is_missing)
            }
            row => Ok(row),
        }
    }

    /// Up to `limit` rows between two bounds, from one end.
    fn page(&self, bounds: &Bounds, descending: bool, limit: usize) -> Result<Vec<(IVec, IVec)>, StoreError> {
        let former = self.former();
        let some_change = former.range(bounds.clone()).next().is_some();
        let unchanged = |row: &sled::Result<(IVec, IVec)>| {
            !some_change || row.as_ref().map_or(true, |(key, _)| !former.contains_key(key.as_ref()))
        };
        let rows = self.tree.range(bounds.clone());
        let page: sled::Result<Vec<_>> = if descending {
            rows.rev().filter(unchanged).take(limit).collect()
        } else {
            rows.filter(unchanged).take(limit).collect()
        };
        let mut page = page.map_err(broken)?;
        let unchanged_rows = page.len();
        let was = former.range(bounds.clone()).filter_map(|(key, was)| Some((key.as_slice().into(), was.clone()?)));
        page.extend(was);
        if page.len() > unchanged_rows {
            page.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            if descending {
                page.reverse();
            }
            page.truncate(limit);
        }
        Ok(page)
    }

    /// The rows of a range, one after the other; read in pages, so that changes between two of them are seen.
    pub(super) fn walk(&self, range: KeyRange, descending: bool) -> Walk<'_> {
        let (first, last) = range.into_inner();
        let left = (first <= last).then_some((Bound::Included(first), Bound::Included(last)));
        Walk { view: self, left, descending, page_rows: FIRST_PAGE_ROWS, page: Vec::new().into_iter() }
    }
}

/// Between which keys a walk still has to look.
type Bounds = (Bound<Key>, Bound<Key>);

/// Rows of a range in order.
pub(super) struct Walk<'a> {
    view: &'a View,
    left: Option<Bounds>,
    descending: bool,
    page_rows: usize,
    page: std::vec::IntoIter<(IVec, IVec)>,
}

impl Walk<'_> {
    fn next_row(&mut self) -> Result<Option<(IVec, IVec)>, StoreError> {
        if let Some(row) = self.page.next() {
            return Ok(Some(row));
        }
        let Some(bounds) = self.left.take() else { return Ok(None) };
        let page = self.view.page(&bounds, self.descending, self.page_rows)?;
        if page.len() == self.page_rows
            && let Some((last, _)) = page.last()
        {
            let seen = Bound::Excluded(last.to_vec());
            let left = if self.descending { (bounds.0, seen) } else { (seen, bounds.1) };
            self.left = Some(left).filter(may_hold_keys);
        }
        self.page_rows = PAGE_ROWS_MAX.min(self.page_rows * 2);
        self.page = page.into_iter();
        Ok(self.page.next())
    }
}

/// Whether something can lie between two bounds; maps and trees do not like to be asked for nothing.
fn may_hold_keys(bounds: &Bounds) -> bool {
    match bounds {
        (Bound::Included(first) | Bound::Excluded(first), Bound::Included(last) | Bound::Excluded(last)) => {
            first < last
        }
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<(IVec, IVec), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (key, value) = match self.next_row().transpose()? {
                Ok(row) => row,
                Err(error) => return Some(Err(error)),
            };
            if !is_in_parts(&value) {
                return Some(Ok((key, value)));
            }
            // It may have been replaced since the page was read, but never by half; if it was deleted, it is passed over.
            if let Some(value) = self.view.get(&key).transpose() {
                return Some(value.map(|value| (key, value)));
            }
        }
    }
}

/// Whether a row only stands for a value that was cut.
pub(super) fn is_in_parts(row: &[u8]) -> bool {
    row.first() == Some(&IN_PARTS)
}

/// Cuts a value into the row that stands for it and the parts of it.
pub(super) fn cut(key: &[u8], value: Vec<u8>) -> Vec<(Key, IVec)> {
    if value.len() <= VALUE_BYTES_MAX {
        return vec![(key.to_vec(), value.into())];
    }
    let parts = value.chunks(VALUE_BYTES_MAX).zip(0_u8..=u8::MAX).map(|(part, at)| (keys::part(key, at), part.into()));
    let mut rows: Vec<(Key, IVec)> = parts.collect();
    let count = u8::try_from(rows.len()).expect("the writer refuses values that would need more parts");
    rows.push((key.to_vec(), vec![IN_PARTS, count].into()));
    rows
}

/// The keys of the parts of the value whose row is `value`.
pub(super) fn part_keys(key: &[u8], value: &[u8]) -> impl Iterator<Item = Key> {
    let count = if is_in_parts(value) { value.get(1).copied().unwrap_or(0) } else { 0 };
    (0..count).map(move |part| keys::part(key, part))
}

/// Puts a value together that was cut; `None` if a part is missing.
pub(super) fn join(
    key: &[u8],
    value: &[u8],
    get: impl Fn(&[u8]) -> Result<Option<IVec>, StoreError>,
) -> Result<Option<IVec>, StoreError> {
    let mut whole = Vec::new();
    for part in part_keys(key, value) {
        match get(&part)? {
            Some(bytes) => whole.extend_from_slice(&bytes),
            None => return Ok(None),
        }
    }
    Ok(Some(whole.into()))
}

/// A long value of which something is gone.
pub(super) fn part_is_missing() -> StoreError {
    StoreError::Unreadable { what: "a long value", reason: "a part of it is missing".into() }
}

/// What sled could not read.
pub(super) fn broken(error: sled::Error) -> StoreError {
    StoreError::Unreadable { what: "the store's file", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range() -> KeyRange {
        vec![1]..=vec![u8::MAX]
    }

    fn seen(view: &View, descending: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
        let rows = view.walk(range(), descending).map(|row| row.expect("a row"));
        rows.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    fn agrees(view: &View, rows: &BTreeMap<u8, u8>) {
        let mut wanted: Vec<_> = rows.iter().map(|(key, value)| (vec![*key], vec![*value])).collect();
        assert_eq!(seen(view, false), wanted);
        wanted.reverse();
        assert_eq!(seen(view, true), wanted);
        for key in 1..=u8::MAX {
            let value = view.get(&[key]).expect("a row").map(|value| value.to_vec());
            assert_eq!(value, rows.get(&key).map(|value| vec![*value]));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn nobody_sees_a_batch_before_it_is_revealed(
            rows: BTreeMap<u8, u8>,
            changes: BTreeMap<u8, Option<u8>>,
        ) {
            let nonzero = |value: &u8| (*value).max(1);
            let mut rows: BTreeMap<u8, u8> = rows.iter().map(|(key, value)| (nonzero(key), nonzero(value))).collect();
            let db = sled::Config::new().temporary(true).open().expect("a tree");
            let tree: Tree = (*db).clone();
            rows.iter().for_each(|(key, value)| drop(tree.insert([*key], &[*value]).expect("a row")));
            let view = View::new(tree.clone());
            agrees(&view, &rows);
            let changes: BTreeMap<u8, Option<u8>> =
                changes.iter().map(|(key, value)| (nonzero(key), value.as_ref().map(nonzero))).collect();
            view.hide(changes.keys().map(|key| (vec![*key], tree.get([*key]).expect("a row"))).collect());
            agrees(&view, &rows);
            for (key, value) in changes {
                match value {
                    Some(value) => {
                        tree.insert([key], &[value]).expect("a row");
                        agrees(&view, &rows);
                    }
                    None => drop(tree.remove([key]).expect("a row")),
                }
            }
            agrees(&view, &rows);
            view.reveal();
            rows = tree.iter().map(|row| row.expect("a row")).map(|(key, value)| (key[0], value[0])).collect();
            agrees(&view, &rows);
        }
    }

    #[test]
    fn a_long_value_comes_back_whole_or_not_at_all() {
        let db = sled::Config::new().temporary(true).open().expect("a tree");
        let view = View::new((*db).clone());
        for length in [0, 1, VALUE_BYTES_MAX, VALUE_BYTES_MAX + 1, 5 * VALUE_BYTES_MAX] {
            let value = vec![1; length];
            for (key, part) in cut(b"k", value.clone()) {
                assert!(part.len() <= VALUE_BYTES_MAX);
                db.insert(key, part).expect("a row");
            }
            assert_eq!(view.get(b"k").expect("a value").as_deref(), Some(value.as_slice()));
        }
        db.remove(keys::part(b"k", 3)).expect("a row");
        assert!(view.get(b"k").is_err());
    }
}
