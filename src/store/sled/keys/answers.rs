//! Where the rows of answers are that are kept for whoever asks again.

use super::{Key, KeyRange, instant_bytes, instant_of};
use crate::model::time::Timestamp;
use crate::store::AnswerName;

/// An answer.
pub(in crate::store::sled) fn answer(name: AnswerName) -> Key {
    [b"f", name.0.as_slice()].concat()
}

/// All answers.
pub(in crate::store::sled) fn all() -> KeyRange {
    answer(AnswerName([0; 32]))..=answer(AnswerName([u8::MAX; 32]))
}

/// Which answer a key means; `None` if it is the key of something else.
pub(in crate::store::sled) fn name(key: &[u8]) -> Option<AnswerName> {
    Some(AnswerName(key.strip_prefix(b"f")?.try_into().ok()?))
}

/// The entry of an answer that expires at that instant.
pub(in crate::store::sled) fn expiry(at: Timestamp, name: AnswerName) -> Key {
    [b"b".as_slice(), &instant_bytes(at), &name.0].concat()
}

/// The entries of the answers that have expired by an instant.
pub(in crate::store::sled) fn expired(now: Timestamp) -> KeyRange {
    expiry(Timestamp::EPOCH, AnswerName([0; 32]))..=expiry(now, AnswerName([u8::MAX; 32]))
}

/// What such an entry says.
pub(in crate::store::sled) fn expiry_entry(key: &[u8]) -> Option<(Timestamp, AnswerName)> {
    let (at, name) = key.get(1..)?.split_first_chunk()?;
    Some((instant_of(*at), AnswerName(name.try_into().ok()?)))
}
