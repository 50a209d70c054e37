//! What is known without a read from disk: rows by their bytes, and what the sweep under way has seen and read.
//!
//! Sixteen bytes for each resource, whatever its size. The table fills as rows are seen and is empty after a restart:
//! a row that it does not know is compared with the snapshot, which knows better.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::detect::fingerprint::id_hash;
use crate::model::resource::{Kind, ResourceId};

/// The lowest bit of an entry says whether the sweep has seen the resource.
const SEEN: u64 = 1;

/// The next one says whether what was seen since could be used. The others are the fingerprint's; an entry of nothing
/// but these two knows no row.
const READ: u64 = 2;

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
    /// Whether the snapshot of a resource was made of a row with this fingerprint.
    pub(super) fn knows(&self, kind: Kind, id: &ResourceId, fingerprint: u128) -> bool {
        self.of(kind).get(&id_hash(id)).is_some_and(|entry| entry & !(SEEN | READ) == bits(fingerprint))
    }

    /// That the snapshot of a resource was made of such a row, or of none that could be recognised.
    pub(super) fn learn(&self, kind: Kind, id: &ResourceId, fingerprint: Option<u128>) {
        let mut entries = self.of(kind);
        let entry = entries.entry(id_hash(id)).or_default();
        *entry = fingerprint.map_or(0, bits) | *entry & (SEEN | READ);
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
        // Every change is a single insertion or the setting of a bit; nothing is ever half done.
        self.0[kind as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of a fingerprint is kept. Two rows of one resource agree in these bits with a chance of 2^-62.
fn bits(fingerprint: u128) -> u64 {
    (fingerprint as u64 & !(SEEN | READ)).max(READ << 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind::Certificate;

    fn id(text: &str) -> ResourceId {
        text.parse().expect("an id")
    }

    #[test]
    fn a_row_is_known_until_another_takes_its_place() {
        let known = Recognised::default();
        known.learn(KIND, &id("a"), Some(7));
        assert!(known.knows(KIND, &id("a"), 7));
        assert!(!known.knows(KIND, &id("a"), 9) && !known.knows(KIND, &id("b"), 7));
        assert!(!known.knows(Kind::CertificateRequest, &id("a"), 7));
        known.learn(KIND, &id("a"), None);
        assert!(!known.knows(KIND, &id("a"), 7) && !known.knows(KIND, &id("a"), 0));
    }

    #[test]
    fn what_a_sweep_has_seen_is_forgotten_when_the_next_begins() {
        let known = Recognised::default();
        known.see(KIND, &id("a"));
        known.learn(KIND, &id("a"), Some(7));
        known.learn(KIND, &id("b"), Some(8));
        assert!(known.has_seen(KIND, &id("a")) && !known.has_seen(KIND, &id("b")));
        assert!(known.knows(KIND, &id("a"), 7), "being seen does not change what is known");
        known.begin_sweep();
        assert!(!known.has_seen(KIND, &id("a")) && known.knows(KIND, &id("a"), 7));
    }

    #[test]
    fn what_was_seen_and_could_not_be_used_is_not_read_and_neither_is_what_no_list_shows() {
        let known = Recognised::default();
        known.see(KIND, &id("a"));
        known.read(KIND, &id("b"));
        assert!(!known.has_read(KIND, &id("a")) && !known.has_read(KIND, &id("b")));
        known.read(KIND, &id("a"));
        known.learn(KIND, &id("a"), Some(7));
        assert!(known.has_read(KIND, &id("a")) && known.knows(KIND, &id("a"), 7));
        known.begin_sweep();
        assert!(!known.has_read(KIND, &id("a")) && known.knows(KIND, &id("a"), 7));
    }

    #[test]
    fn a_row_whose_fingerprint_has_no_bits_is_known_like_any_other() {
        let known = Recognised::default();
        known.learn(KIND, &id("a"), Some(0));
        known.begin_sweep();
        assert!(known.knows(KIND, &id("a"), 0));
    }
}
