//! Where each row is: one tree, and a first byte that says what a row is.
//!
//! | first byte | then | row |
//! |---|---|---|
//! | `m` | a word | what the store is, the end of the log, the live mark, the next endpoint's number |
//! | `s` | source, 0, kind, id | snapshot |
//! | `c` | source, 0, kind | how many snapshots are not removed |
//! | `g` | source | progress |
//! | `e` | position | event |
//! | `d` | position, endpoint, epoch | delivery record |
//! | `w` | endpoint, due, position, epoch | empty: this delivery is pending |
//! | `n` | endpoint | endpoint |
//! | `u` | uid | the number of the endpoint |
//! | `p` | endpoint | the endpoint's own position |
//! | `x` | endpoint | empty: deleted, but what waited is not canceled yet |
//! | `+` | a key of the above, part | the rest of a value that is too long for one row |
//!
//! Numbers are big-endian, so that rows sort like them and what is written one after the other lies side by side.

use std::ops::RangeInclusive;

use crate::model::id::{DeliveryId, EndpointNumber, Position};
use crate::model::resource::{Kind, ResourceId, SourceName};
use crate::model::time::Timestamp;

/// A row's key.
pub(super) type Key = Vec<u8>;

/// From the first key to the last one of a range, both included.
pub(super) type KeyRange = RangeInclusive<Key>;

/// What the store is.
pub(super) const META: &[u8] = b"mstore";
/// The end of the log.
pub(super) const HEAD: &[u8] = b"mhead";
/// Nothing is pending at or below it for any endpoint without a position of its own.
pub(super) const LIVE_MARK: &[u8] = b"mlive";
/// The number that the next endpoint gets.
pub(super) const NEXT_ENDPOINT: &[u8] = b"mnext_endpoint";
/// What a check wrote last.
pub(super) const CHECK: &[u8] = b"mcheck";

/// Sorts behind every due time that can be: pending, but not due at any instant.
const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

fn kind_byte(kind: Kind) -> u8 {
    match kind {
        Kind::Certificate => 1,
        Kind::CertificateRequest => 2,
    }
}

fn of_source(first: u8, source: &SourceName, kind: Kind) -> Key {
    let mut key = vec![first];
    key.extend_from_slice(source.as_str().as_bytes());
    key.extend_from_slice(&[0, kind_byte(kind)]);
    key
}

/// A snapshot.
pub(super) fn snapshot(source: &SourceName, kind: Kind, id: &ResourceId) -> Key {
    let mut key = of_source(b's', source, kind);
    key.extend_from_slice(id.as_str().as_bytes());
    key
}

/// The number of a kind's snapshots.
pub(super) fn snapshot_count(source: &SourceName, kind: Kind) -> Key {
    of_source(b'c', source, kind)
}

/// A source's progress.
pub(super) fn progress(source: &SourceName) -> Key {
    [b"g", source.as_str().as_bytes()].concat()
}

/// An event.
pub(super) fn event(position: Position) -> Key {
    [b"e".as_slice(), &position.0.to_be_bytes()].concat()
}

/// The position in an event's key.
pub(super) fn event_position(key: &[u8]) -> Option<Position> {
    Some(Position(u64::from_be_bytes(key.get(1..)?.try_into().ok()?)))
}

/// The events from one position to another, both included.
pub(super) fn events(first: Position, last: Position) -> KeyRange {
    event(first)..=event(last)
}

/// A delivery record.
pub(super) fn delivery(id: DeliveryId) -> Key {
    [b"d".as_slice(), &id.position.0.to_be_bytes(), &id.endpoint.0.to_be_bytes(), &id.epoch.to_be_bytes()].concat()
}

/// The id in a delivery record's key.
pub(super) fn delivery_id(key: &[u8]) -> Option<DeliveryId> {
    let (position, rest) = key.get(1..)?.split_first_chunk()?;
    let (endpoint, epoch) = rest.split_first_chunk()?;
    Some(DeliveryId {
        position: Position(u64::from_be_bytes(*position)),
        endpoint: EndpointNumber(u32::from_be_bytes(*endpoint)),
        epoch: u32::from_be_bytes(epoch.try_into().ok()?),
    })
}

/// The delivery records of the events from one position to another, both included.
pub(super) fn deliveries(first: Position, last: Position) -> KeyRange {
    let lowest = DeliveryId { position: first, endpoint: EndpointNumber(0), epoch: 0 };
    let highest = DeliveryId { position: last, endpoint: EndpointNumber(u32::MAX), epoch: u32::MAX };
    delivery(lowest)..=delivery(highest)
}

/// The entry of a pending delivery; one that is not due at any instant sorts last.
pub(super) fn waiting(id: DeliveryId, due: Option<Timestamp>) -> Key {
    let mut key = due_at(id.endpoint, due.unwrap_or(NEVER));
    key.extend_from_slice(&id.position.0.to_be_bytes());
    key.extend_from_slice(&id.epoch.to_be_bytes());
    key
}

fn due_at(endpoint: EndpointNumber, due: Timestamp) -> Key {
    // Turning the sign bit over makes the bytes of instants before the epoch sort before the others.
    let due = due.as_millis().cast_unsigned() ^ (1 << 63);
    [b"w".as_slice(), &endpoint.0.to_be_bytes(), &due.to_be_bytes()].concat()
}

/// Which delivery an entry means and when that is due, if at any instant.
pub(super) fn waiting_entry(key: &[u8]) -> Option<(DeliveryId, Option<Timestamp>)> {
    let (endpoint, rest) = key.get(1..)?.split_first_chunk()?;
    let (due, rest) = rest.split_first_chunk()?;
    let (position, epoch) = rest.split_first_chunk()?;
    let due = Timestamp::from_millis((u64::from_be_bytes(*due) ^ (1 << 63)).cast_signed());
    let id = DeliveryId {
        position: Position(u64::from_be_bytes(*position)),
        endpoint: EndpointNumber(u32::from_be_bytes(*endpoint)),
        epoch: u32::from_be_bytes(epoch.try_into().ok()?),
    };
    Some((id, (due != NEVER).then_some(due)))
}

/// All entries of pending deliveries, or those of one endpoint.
pub(super) fn pending(endpoint: Option<EndpointNumber>) -> KeyRange {
    let lowest = due_at(endpoint.unwrap_or(EndpointNumber(0)), Timestamp::from_millis(i64::MIN));
    let mut highest = due_at(endpoint.unwrap_or(EndpointNumber(u32::MAX)), NEVER);
    highest.extend_from_slice(&[u8::MAX; 12]);
    lowest..=highest
}

/// The entries of an endpoint's deliveries that are due at some instant.
pub(super) fn due(endpoint: EndpointNumber) -> KeyRange {
    due_at(endpoint, Timestamp::from_millis(i64::MIN))..=due_at(endpoint, NEVER)
}

fn numbered(first: u8, endpoint: EndpointNumber) -> Key {
    [[first].as_slice(), &endpoint.0.to_be_bytes()].concat()
}

/// The number in the key of an endpoint, of its own position, or of its cancellation.
pub(super) fn endpoint_number(key: &[u8]) -> Option<EndpointNumber> {
    Some(EndpointNumber(u32::from_be_bytes(key.get(1..)?.try_into().ok()?)))
}

/// An endpoint.
pub(super) fn endpoint(number: EndpointNumber) -> Key {
    numbered(b'n', number)
}

/// The endpoints from one number to another, both included.
pub(super) fn endpoints(first: EndpointNumber, last: EndpointNumber) -> KeyRange {
    endpoint(first)..=endpoint(last)
}

/// An endpoint's number by its uid.
pub(super) fn uid(uid: &str) -> Key {
    [b"u", uid.as_bytes()].concat()
}

/// An endpoint's own position.
pub(super) fn own_position(number: EndpointNumber) -> Key {
    numbered(b'p', number)
}

/// All endpoints' own positions.
pub(super) fn own_positions() -> KeyRange {
    own_position(EndpointNumber(0))..=own_position(EndpointNumber(u32::MAX))
}

/// The mark of an endpoint that was deleted and whose waiting deliveries are not all canceled.
pub(super) fn cancellation(number: EndpointNumber) -> Key {
    numbered(b'x', number)
}

/// All such marks.
pub(super) fn cancellations() -> KeyRange {
    cancellation(EndpointNumber(0))..=cancellation(EndpointNumber(u32::MAX))
}

/// A further part of a long value.
pub(super) fn part(key: &[u8], part: u8) -> Key {
    [b"+", key, &[part]].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(position: u64, endpoint: u32, epoch: u32) -> DeliveryId {
        DeliveryId { position: Position(position), endpoint: EndpointNumber(endpoint), epoch }
    }

    proptest! {
        #[test]
        fn keys_sort_like_what_they_name_and_read_back(a: (u64, u32, u32), b: (u64, u32, u32), due: (i64, i64)) {
            let (a, b) = (id(a.0, a.1, a.2), id(b.0, b.1, b.2));
            prop_assert_eq!(a.cmp(&b), delivery(a).cmp(&delivery(b)));
            prop_assert_eq!(a.position.cmp(&b.position), event(a.position).cmp(&event(b.position)));
            prop_assert_eq!(delivery_id(&delivery(a)), Some(a));
            prop_assert_eq!(event_position(&event(a.position)), Some(a.position));
            let due = (Timestamp::from_millis(due.0), Timestamp::from_millis(due.1));
            let same_endpoint = DeliveryId { endpoint: a.endpoint, ..b };
            let (one, other) = (waiting(a, Some(due.0)), waiting(same_endpoint, Some(due.1)));
            prop_assert_eq!((due.0, a.position, a.epoch).cmp(&(due.1, b.position, b.epoch)), one.cmp(&other));
            prop_assert_eq!(waiting_entry(&one), Some((a, Some(due.0))));
            prop_assert!(super::due(a.endpoint).contains(&one));
            prop_assert!(pending(None).contains(&one) && pending(Some(a.endpoint)).contains(&one));
        }
    }

    #[test]
    fn what_is_pending_without_an_instant_is_found_but_never_due() {
        let key = waiting(id(7, 3, 1), None);
        assert_eq!(waiting_entry(&key), Some((id(7, 3, 1), None)));
        assert!(pending(Some(EndpointNumber(3))).contains(&key));
        assert!(!due(EndpointNumber(3)).contains(&key));
        assert!(!pending(Some(EndpointNumber(4))).contains(&key));
    }

    #[test]
    fn the_layout_on_disk_is_this_one() {
        let hex = |key: Key| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let source: SourceName = "eu".parse().expect("a name");
        let resource: ResourceId = "c1".parse().expect("an id");
        assert_eq!(hex(snapshot(&source, Kind::Certificate, &resource)), "73657500016331");
        assert_eq!(hex(snapshot_count(&source, Kind::CertificateRequest)), "6365750002");
        assert_eq!(hex(progress(&source)), "676575");
        assert_eq!(hex(event(Position(258))), "650000000000000102");
        assert_eq!(hex(delivery(id(1, 2, 3))), "6400000000000000010000000200000003");
        let due = Some(Timestamp::from_millis(4));
        assert_eq!(
            hex(waiting(id(1, 2, 3), due)),
            "770000000280000000000000040000000000000001\
             00000003"
        );
        assert_eq!(hex(endpoint(EndpointNumber(5))), "6e00000005");
        assert_eq!(hex(uid("crm")), "7563726d");
        assert_eq!(hex(own_position(EndpointNumber(5))), "7000000005");
        assert_eq!(hex(cancellation(EndpointNumber(5))), "7800000005");
        assert_eq!(hex(part(b"e1", 2)), "2b653102");
    }
}
