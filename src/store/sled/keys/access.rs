//! Where the rows of keys to the API and of the audit log are.

use super::{Key, KeyRange, instant_bytes, instant_of};
use crate::model::id::{AuditId, KeyNumber};
use crate::model::key::KeyDigest;

/// A key to the API.
pub(in crate::store::sled) fn key(number: KeyNumber) -> Key {
    [b"i".as_slice(), &number.0.to_be_bytes()].concat()
}

/// The keys from one number to another, both included.
pub(in crate::store::sled) fn keys(first: KeyNumber, last: KeyNumber) -> KeyRange {
    key(first)..=key(last)
}

/// The number of the key with that digest. Half of it names one key among all that there can be, and leaves the other
/// half to be compared in constant time.
pub(in crate::store::sled) fn by_digest(digest: KeyDigest) -> Key {
    [b"j", &digest.0[..16]].concat()
}

/// An entry of the audit log.
pub(in crate::store::sled) fn audit(id: AuditId) -> Key {
    [b"v".as_slice(), &instant_bytes(id.at), &id.number.to_be_bytes()].concat()
}

/// Which entry a key means.
pub(in crate::store::sled) fn audit_id(key: &[u8]) -> Option<AuditId> {
    let (at, number) = key.get(1..)?.split_first_chunk()?;
    Some(AuditId { at: instant_of(*at), number: u64::from_be_bytes(number.try_into().ok()?) })
}
