//! Where the rows of keys to the API are.

use super::{Key, KeyRange};
use crate::model::id::KeyNumber;
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
