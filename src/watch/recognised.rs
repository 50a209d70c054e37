//! What is known without a read from disk: rows by their bytes, and what the sweep under way has seen and read.
//!
//! Sixteen bytes for each resource, whatever its size. The table is filled from the store before the first sweep, and as
//! rows are seen: a row that it does not know is compared with the snapshot, which knows better. What it counts is never more than
//! there is: two ids that fall together in it are one.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::detect::fingerprint::id_hash;
use crate::model::resource::{Kind, ResourceId};

/// The lowest bit of an entry says whether the sweep has seen the resource.
const SEEN: u64 = 1;

/// The next one says whether what was seen since could be used.
const READ: u64 = 2;

/// The third one says whether the store has a snapshot of the resource, and has it not as removed. The others are the
/// fingerprint's; an entry of nothing but these three knows no row.
const THERE: u64 = 4;

/// All that is no fingerprint's.
const MARKS: u64 = SEEN | READ | THERE;

/// The resources of one source.
#[derive(Debug, Default)]
pub(super) struct Recognised([Mutex<Entries>; 2]);

type Entries = HashMap<u64, u64, BuildHasherDefault<Unchanged>>;

/// Ids are hashed before they get here.
#[derive(Debug, Default)]
struct Unchanged(u64);

impl Hasher for Unchanged {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Recognised {
    /// Makes room for so many resources at once, which takes less than to grow step by step.
    pub(super) fn reserve(&self, kind: Kind, count: usize) {
        let mut entries = self.of(kind);
        let more = count.saturating_sub(entries.len());
        entries.reserve(more);
    }

    /// That a pass has seen resources by rows with these fingerprints; a row is a sight. Of each, in their order, whether
    /// its snapshot was made of such a row: then it is read with that.
    ///
    /// All rows of a page at once: their entries lie anywhere in a large table, and a processor fetches several of them
    /// at a time only if there is no lock to be taken in between.
    pub(super) fn see_rows<'r>(&self, kind: Kind, rows: impl IntoIterator<Item = (&'r ResourceId, u128)>) -> Vec<bool> {
        let rows: Vec<(u64, u64)> = rows.into_iter().map(|(id, shown)| (id_hash(id), bits(shown))).collect();
        let mut entries = self.of(kind);
        let see = |(id, shown): (u64, u64)| {
            let entry = entries.entry(id).or_default();
            let is_known = *entry & !MARKS == shown;
            *entry |= if is_known { SEEN | READ } else { SEEN };
            is_known
        };
        rows.into_iter().map(see).collect()
    }

    /// That there is a snapshot of a resource, which was made of such a row, or of none that could be recognised.
    pub(super) fn learn(&self, kind: Kind, id: &ResourceId, fingerprint: Option<u128>) {
        let mut entries = self.of(kind);
        let entry = entries.entry(id_hash(id)).or_default();
        *entry = fingerprint.map_or(0, bits) | *entry & (SEEN | READ) | THERE;
    }

    /// That there is a snapshot of a resource.
    pub(super) fn find(&self, kind: Kind, id: &ResourceId) {
        *self.of(kind).entry(id_hash(id)).or_default() |= THERE;
    }

    /// That there is no snapshot of a resource, or that it is one of what was removed.
    pub(super) fn forget(&self, kind: Kind, id: &ResourceId) {
        *self.of(kind).entry(id_hash(id)).or_default() &= SEEN | READ;
    }

    /// That a pass has seen a resource.
    pub(super) fn see(&self, kind: Kind, id: &ResourceId) {
        *self.of(kind).entry(id_hash(id)).or_default() |= SEEN;
    }

    /// Whether a pass has seen a resource since the last sweep began.
    pub(super) fn has_seen(&self, kind: Kind, id: &ResourceId) -> bool {
        self.of(kind).get(&id_hash(id)).is_some_and(|entry| entry & SEEN != 0)
    }

    /// That an answer showed the state of a resource that its snapshot now has.
    pub(super) fn read(&self, kind: Kind, id: &ResourceId) {
        *self.of(kind).entry(id_hash(id)).or_default() |= READ;
    }

    /// Whether a pass has seen a resource since the last sweep began, and what was shown of it could be used.
    pub(super) fn has_read(&self, kind: Kind, id: &ResourceId) -> bool {
        self.of(kind).get(&id_hash(id)).is_some_and(|entry| entry & (SEEN | READ) == SEEN | READ)
    }

    /// How many of the resources that are there a pass has seen since the last sweep began.
    pub(super) fn seen(&self, kind: Kind) -> u64 {
        self.of(kind).values().filter(|entry| *entry & (SEEN | THERE) == SEEN | THERE).count() as u64
    }

    /// How many resources a pass has seen since the last sweep began, if all of them are there and what was shown of
    /// them could be used.
    pub(super) fn read_of_all_seen(&self, kind: Kind) -> Option<u64> {
        let mut read = 0;
        for entry in self.of(kind).values().filter(|entry| *entry & SEEN != 0) {
            if entry & MARKS != MARKS {
                return None;
            }
            read += 1;
        }
        Some(read)
    }

    /// That a sweep begins, for which nothing has been seen yet.
    pub(super) fn begin_sweep(&self) {
        for kind in Kind::ALL {
            self.of(kind).retain(|_, entry| {
                *entry &= !(SEEN | READ);
                *entry != 0
            });
        }
    }

    fn of(&self, kind: Kind) -> MutexGuard<'_, Entries> {
        // Each entry is changed at once, whole; none is ever half done.
        self.0[kind as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of a fingerprint is kept. Two rows of one resource agree in these bits with a chance of 2^-61.
fn bits(fingerprint: u128) -> u64 {
    (fingerprint as u64 & !MARKS).max(MARKS + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind::Certificate;

    fn id(text: &str) -> ResourceId {
        text.parse().expect("an id")
    }

    /// Whether the snapshot of a resource was made of a row with this fingerprint.
    fn knows(known: &Recognised, kind: Kind, id: &ResourceId, fingerprint: u128) -> bool {
        known.of(kind).get(&id_hash(id)).is_some_and(|entry| entry & !MARKS == bits(fingerprint))
    }

    fn see_row(known: &Recognised, name: &str, fingerprint: u128) -> bool {
        known.see_rows(KIND, [(&id(name), fingerprint)]) == [true]
    }

    #[test]
    fn a_row_is_known_until_another_takes_its_place() {
        let known = Recognised::default();
        known.learn(KIND, &id("a"), Some(16));
        assert!(knows(&known, KIND, &id("a"), 16));
        assert!(!knows(&known, KIND, &id("a"), 32) && !knows(&known, KIND, &id("b"), 16));
        assert!(!knows(&known, Kind::CertificateRequest, &id("a"), 16));
        known.learn(KIND, &id("a"), None);
        assert!(!knows(&known, KIND, &id("a"), 16) && !knows(&known, KIND, &id("a"), 0));
    }

    #[test]
    fn what_a_sweep_has_seen_is_forgotten_when_the_next_begins() {
        let known = Recognised::default();
        known.see(KIND, &id("a"));
        known.learn(KIND, &id("a"), Some(16));
        known.learn(KIND, &id("b"), Some(24));
        assert!(known.has_seen(KIND, &id("a")) && !known.has_seen(KIND, &id("b")));
        assert!(knows(&known, KIND, &id("a"), 16), "being seen does not change what is known");
        known.begin_sweep();
        assert!(!known.has_seen(KIND, &id("a")) && knows(&known, KIND, &id("a"), 16));
    }

    #[test]
    fn what_was_seen_and_could_not_be_used_is_not_read_and_neither_is_what_no_list_shows() {
        let known = Recognised::default();
        known.see(KIND, &id("a"));
        known.read(KIND, &id("b"));
        assert!(!known.has_read(KIND, &id("a")) && !known.has_read(KIND, &id("b")));
        known.read(KIND, &id("a"));
        known.learn(KIND, &id("a"), Some(16));
        assert!(known.has_read(KIND, &id("a")) && knows(&known, KIND, &id("a"), 16));
        known.begin_sweep();
        assert!(!known.has_read(KIND, &id("a")) && knows(&known, KIND, &id("a"), 16));
    }

    #[test]
    fn a_row_that_is_known_is_read_with_being_seen() {
        let known = Recognised::default();
        known.learn(KIND, &id("a"), Some(24));
        assert!(!see_row(&known, "a", 16) && known.has_seen(KIND, &id("a")) && !known.has_read(KIND, &id("a")));
        assert!(see_row(&known, "a", 24) && known.has_read(KIND, &id("a")));
    }

    #[test]
    fn of_the_rows_of_a_page_each_is_known_or_not_in_its_place() {
        let known = Recognised::default();
        ["a", "b", "d"].iter().for_each(|name| known.learn(KIND, &id(name), Some(24)));
        let ids = ["a", "b", "c", "d"].map(id);
        let rows = ids.iter().zip([24, 32, 24, 24]);
        assert_eq!(known.see_rows(KIND, rows), [true, false, false, true]);
        assert_eq!(ids.map(|id| (known.has_seen(KIND, &id), known.has_read(KIND, &id)))[1..3], [(true, false); 2]);
    }

    #[test]
    fn what_is_counted_is_there_and_was_seen() {
        let known = Recognised::default();
        assert_eq!((known.seen(KIND), known.read_of_all_seen(KIND)), (0, Some(0)));
        known.learn(KIND, &id("a"), Some(24));
        known.find(KIND, &id("b"));
        assert_eq!((known.seen(KIND), known.read_of_all_seen(KIND)), (0, Some(0)), "nothing was seen");
        see_row(&known, "a", 24);
        assert_eq!((known.seen(KIND), known.read_of_all_seen(KIND)), (1, Some(1)));
        known.see(KIND, &id("b"));
        assert_eq!((known.seen(KIND), known.read_of_all_seen(KIND)), (2, None), "it could not be used");
        known.read(KIND, &id("b"));
        assert_eq!((known.seen(KIND), known.read_of_all_seen(KIND)), (2, Some(2)));
        known.see(Kind::CertificateRequest, &id("c"));
        known.see(KIND, &id("c"));
        known.read(KIND, &id("c"));
        assert_eq!((known.seen(KIND), known.read_of_all_seen(KIND)), (2, None), "of that there is no snapshot");
        known.learn(KIND, &id("c"), None);
        known.forget(KIND, &id("b"));
        assert_eq!((known.seen(KIND), known.read_of_all_seen(KIND)), (2, None), "that is gone");
        known.begin_sweep();
        assert_eq!((known.seen(KIND), known.read_of_all_seen(KIND)), (0, Some(0)));
        see_row(&known, "a", 24);
        assert_eq!(known.seen(KIND), 1, "that it is there is not forgotten");
    }

    #[test]
    fn a_row_whose_fingerprint_has_no_bits_is_known_like_any_other() {
        let known = Recognised::default();
        known.learn(KIND, &id("a"), Some(0));
        known.begin_sweep();
        assert!(knows(&known, KIND, &id("a"), 0));
    }
}
