//! Where the rows of replays are.

use super::{Key, KeyRange, delivery, delivery_id};
use crate::model::id::{DeliveryId, EndpointNumber, Position, ReplayNumber};

/// A replay as it was asked for.
pub(in crate::store::sled) fn asked(number: ReplayNumber) -> Key {
    [b"r".as_slice(), &number.0.to_be_bytes()].concat()
}

/// The replays from one number to another, both included.
pub(in crate::store::sled) fn all(first: ReplayNumber, last: ReplayNumber) -> KeyRange {
    asked(first)..=asked(last)
}

/// How a replay is doing.
pub(in crate::store::sled) fn progress(number: ReplayNumber) -> Key {
    [b"q".as_slice(), &number.0.to_be_bytes()].concat()
}

/// The entry of a delivery that is pending for a replay.
pub(in crate::store::sled) fn pending(number: ReplayNumber, id: DeliveryId) -> Key {
    [b"z".as_slice(), &number.0.to_be_bytes(), &delivery(id)].concat()
}

/// The entries of all that is pending for a replay.
pub(in crate::store::sled) fn pending_of(number: ReplayNumber) -> KeyRange {
    let id = |position, endpoint, epoch| DeliveryId {
        position: Position(position),
        endpoint: EndpointNumber(endpoint),
        epoch,
    };
    pending(number, id(0, 0, 0))..=pending(number, id(u64::MAX, u32::MAX, u32::MAX))
}

/// Which delivery such an entry means.
pub(in crate::store::sled) fn pending_id(key: &[u8]) -> Option<DeliveryId> {
    delivery_id(key.get(5..)?)
}
