//! Where each row is: one tree, and a first byte that says what a row is.
//!
//! | first byte | then | row |
//! |---|---|---|
//! | `m` | a word | what the store is, both ends of the log, the live mark, the next endpoint's number |
//! | `s` | source, 0, kind, id | snapshot |
//! | `c` | source, 0, kind | how many snapshots are not removed |
//! | `o` | source, 0, kind, open list, id | empty: this snapshot is in the list |
//! | `t` | source, 0, task, due, kind, id | empty: this is to be done about this snapshot |
//! | `l` | source, 0, kind, shelf, created, id | empty: this snapshot is in the list (see [`lists`]) |
//! | `a` | source, 0, kind, id | absence |
//! | `g` | source | progress |
//! | `e` | position | event |
//! | `d` | position, endpoint, epoch | delivery record |
//! | `w` | endpoint, due, position, epoch | empty: this delivery is pending |
//! | `n` | endpoint | endpoint |
//! | `u` | uid | the number of the endpoint |
//! | `p` | endpoint | the endpoint's own position |
//! | `h` | endpoint | how the endpoint is doing |
//! | `r` | replay | replay as it was asked for |
//! | `q` | replay | how that is doing |
//! | `z` | replay, position, endpoint, epoch | empty: this delivery is pending for it |
//! | `y` | endpoint | what the endpoint has missed since it was enabled |
//! | `i` | key | key to the API |
//! | `j` | half a digest | the number of the key to the API |
//! | `v` | instant, number | entry of the audit log |
//! | `f` | name | an answer, kept for whoever asks again |
//! | `b` | instant, name | empty: the answer expires then |
//! | `x` | endpoint | empty: deleted, but what waited is not canceled yet |
//! | `k` | a key of an endpoint or answer | what takes the place of that row, sealed with another key |
//! | `+` | a key of the above, part | the rest of a value that is too long for one row |
//!
//! Numbers are big-endian, so that rows sort like them and what is written one after the other lies side by side.

use std::ops::RangeInclusive;

use crate::model::id::{DeliveryId, EndpointNumber, Position};
use crate::model::resource::{Kind, OpenList, ResourceId, ResourceKey, SourceName};
use crate::model::time::Timestamp;
use crate::store::{Due, Task};

pub(super) mod access;
pub(super) mod answers;
pub(super) mod lists;
pub(super) mod replays;

/// A row's key.
pub(super) type Key = Vec<u8>;

/// From the first key to the last one of a range, both included.
pub(super) type KeyRange = RangeInclusive<Key>;

/// What the store is.
pub(super) const META: &[u8] = b"mstore";
/// The end of the log.
pub(super) const HEAD: &[u8] = b"mhead";
/// The first event that is kept; the first one ever if there is no such row.
pub(super) const FIRST: &[u8] = b"mfirst";
/// The last event that was cut, written together with the above; a former program wrote none, and left one behind.
pub(super) const LAST_CUT: &[u8] = b"mlast_cut";
/// Nothing is pending at or below it for any endpoint without a position of its own.
pub(super) const LIVE_MARK: &[u8] = b"mlive";
/// The number that the next endpoint gets.
pub(super) const NEXT_ENDPOINT: &[u8] = b"mnext_endpoint";
/// The number that the next replay gets.
pub(super) const NEXT_REPLAY: &[u8] = b"mnext_replay";
/// The number that the next key to the API gets.
pub(super) const NEXT_KEY: &[u8] = b"mnext_key";
/// The number that the next entry of the audit log gets.
pub(super) const NEXT_AUDIT: &[u8] = b"mnext_audit";
/// How many answers are kept.
pub(super) const ANSWER_COUNT: &[u8] = b"manswers";
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

fn kind_of(byte: u8) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind_byte(*kind) == byte)
}

fn list_byte(list: OpenList) -> u8 {
    match list {
        OpenList::Processing => 1,
        OpenList::NeedsInfo => 2,
        OpenList::Expiring => 3,
        OpenList::Pending => 4,
    }
}

fn task_byte(task: Task) -> u8 {
    match task {
        Task::Remind => 1,
        Task::Fetch => 2,
    }
}

/// Turning the sign bit over makes the bytes of instants before the epoch sort before the others.
fn instant_bytes(instant: Timestamp) -> [u8; 8] {
    (instant.as_millis().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn instant_of(bytes: [u8; 8]) -> Timestamp {
    Timestamp::from_millis((u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())
}

/// What a source's rows of a sort begin with. Its name holds no 0.
fn of_source(first: u8, source: &SourceName, rest: &[u8]) -> Key {
    [&[first], source.as_str().as_bytes(), &[0], rest].concat()
}

/// The rest of such a key.
fn after_source(key: &[u8]) -> Option<&[u8]> {
    let end = key.iter().position(|byte| *byte == 0)?;
    key.get(end + 1..)
}

fn of_resource(first: u8, source: &SourceName, kind: Kind, id: &ResourceId) -> Key {
    let mut key = of_source(first, source, &[kind_byte(kind)]);
    key.extend_from_slice(id.as_str().as_bytes());
    key
}

fn id_of(bytes: &[u8]) -> Option<ResourceId> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn kind_and_id_of(bytes: &[u8]) -> Option<(Kind, ResourceId)> {
    let (kind, id) = bytes.split_first()?;
    Some((kind_of(*kind)?, id_of(id)?))
}

/// The keys that begin like `common` and lie beyond `after`. What they end with, an id, holds neither 0 nor 255.
fn beyond(common: Key, after: Option<Key>) -> KeyRange {
    let last = [common.as_slice(), &[u8::MAX]].concat();
    after.map_or(common, |after| [after.as_slice(), &[0]].concat())..=last
}

/// A snapshot.
pub(super) fn snapshot(source: &SourceName, kind: Kind, id: &ResourceId) -> Key {
    of_resource(b's', source, kind, id)
}

/// The snapshots of a source and kind beyond an id.
pub(super) fn snapshots_after(source: &SourceName, kind: Kind, after: Option<&ResourceId>) -> KeyRange {
    beyond(of_source(b's', source, &[kind_byte(kind)]), after.map(|id| snapshot(source, kind, id)))
}

/// The kind and the id in the key of a snapshot or an absence.
pub(super) fn kind_and_id(key: &[u8]) -> Option<(Kind, ResourceId)> {
    kind_and_id_of(after_source(key)?)
}

/// The number of a kind's snapshots.
pub(super) fn snapshot_count(source: &SourceName, kind: Kind) -> Key {
    of_source(b'c', source, &[kind_byte(kind)])
}

fn open_list(source: &SourceName, kind: Kind, list: OpenList) -> Key {
    of_source(b'o', source, &[kind_byte(kind), list_byte(list)])
}

/// The entry of a snapshot in an open list.
pub(super) fn open(name: &ResourceKey, list: OpenList) -> Key {
    [open_list(&name.source, name.kind, list).as_slice(), name.id.as_str().as_bytes()].concat()
}

/// The entries in an open list beyond an id.
pub(super) fn open_after(source: &SourceName, list: OpenList, after: Option<&ResourceId>) -> KeyRange {
    let name = |id: &ResourceId| ResourceKey { source: source.clone(), kind: list.kind(), id: id.clone() };
    beyond(open_list(source, list.kind(), list), after.map(|id| open(&name(id), list)))
}

/// The id in the key of an entry in an open list.
pub(super) fn open_id(key: &[u8]) -> Option<ResourceId> {
    let (_kind_and_list, id) = after_source(key)?.split_first_chunk::<2>()?;
    id_of(id)
}

/// The entry of what is to be done about a snapshot.
pub(super) fn task(name: &ResourceKey, task: Task, at: Timestamp) -> Key {
    let mut key = tasks(&name.source, task, at);
    key.push(kind_byte(name.kind));
    key.extend_from_slice(name.id.as_str().as_bytes());
    key
}

fn tasks(source: &SourceName, task: Task, at: Timestamp) -> Key {
    let mut key = of_source(b't', source, &[task_byte(task)]);
    key.extend_from_slice(&instant_bytes(at));
    key
}

/// The entries of what is to be done by an instant.
pub(super) fn tasks_until(source: &SourceName, task: Task, until: Timestamp) -> KeyRange {
    let mut last = tasks(source, task, until);
    last.push(u8::MAX);
    tasks(source, task, Timestamp::from_millis(i64::MIN))..=last
}

/// What such an entry says.
pub(super) fn task_entry(key: &[u8]) -> Option<Due> {
    let (_task, rest) = after_source(key)?.split_first()?;
    let (at, rest) = rest.split_first_chunk()?;
    let (kind, id) = kind_and_id_of(rest)?;
    Some(Due { at: instant_of(*at), kind, id })
}

/// An absence.
pub(super) fn absence(source: &SourceName, kind: Kind, id: &ResourceId) -> Key {
    of_resource(b'a', source, kind, id)
}

/// A source's absences beyond one.
pub(super) fn absences_after(source: &SourceName, after: Option<(Kind, &ResourceId)>) -> KeyRange {
    beyond(of_source(b'a', source, &[]), after.map(|(kind, id)| absence(source, kind, id)))
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
    [b"w".as_slice(), &endpoint.0.to_be_bytes(), &instant_bytes(due)].concat()
}

/// Which delivery an entry means and when that is due, if at any instant.
pub(super) fn waiting_entry(key: &[u8]) -> Option<(DeliveryId, Option<Timestamp>)> {
    let (endpoint, rest) = key.get(1..)?.split_first_chunk()?;
    let (due, rest) = rest.split_first_chunk()?;
    let (position, epoch) = rest.split_first_chunk()?;
    let due = instant_of(*due);
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

/// The own positions of endpoints.
pub(super) fn own_positions(endpoints: &RangeInclusive<EndpointNumber>) -> KeyRange {
    own_position(*endpoints.start())..=own_position(*endpoints.end())
}

/// How an endpoint is doing.
pub(super) fn health(number: EndpointNumber) -> Key {
    numbered(b'h', number)
}

/// What an endpoint has missed since it was enabled.
pub(super) fn missed(number: EndpointNumber) -> Key {
    numbered(b'y', number)
}

/// The mark of an endpoint that was deleted and whose waiting deliveries are not all canceled.
pub(super) fn cancellation(number: EndpointNumber) -> Key {
    numbered(b'x', number)
}

/// All such marks.
pub(super) fn cancellations() -> KeyRange {
    cancellation(EndpointNumber(0))..=cancellation(EndpointNumber(u32::MAX))
}

/// What takes the place of an endpoint's row.
pub(super) fn resealed(endpoint: &[u8]) -> Key {
    [b"k", endpoint].concat()
}

/// The endpoint's key in such a key.
pub(super) fn resealed_endpoint(key: &[u8]) -> &[u8] {
    key.get(1..).unwrap_or_default()
}

/// All such rows.
pub(super) fn all_resealed() -> KeyRange {
    resealed(&[])..=resealed(&[u8::MAX])
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

    fn name(source: &str, kind: Kind, id: &str) -> ResourceKey {
        ResourceKey { source: source.parse().expect("a name"), kind, id: id.parse().expect("an id") }
    }

    fn names() -> impl Strategy<Value = ResourceKey> {
        // Short and of few letters, so that one is often the beginning of another.
        ("[a-]{1,2}", prop::sample::select(&Kind::ALL[..]), "[A_z-]{1,3}")
            .prop_map(|(source, kind, id)| name(&source, kind, &id))
    }

    proptest! {
        #[test]
        fn rows_about_resources_sort_like_them_and_are_found_in_their_source(
            a in names(), b in names(), at: (i64, i64), list in 0..4_usize,
        ) {
            let same_source = ResourceKey { source: a.source.clone(), ..b.clone() };
            let (one, other) = (absence(&a.source, a.kind, &a.id), absence(&a.source, b.kind, &b.id));
            prop_assert_eq!(a.cmp(&same_source), one.cmp(&other));
            prop_assert_eq!(kind_and_id(&one), Some((a.kind, a.id.clone())));
            let is_beyond = a.source == b.source && (b.kind, &b.id) < (a.kind, &a.id);
            prop_assert_eq!(absences_after(&b.source, Some((b.kind, &b.id))).contains(&one), is_beyond);
            prop_assert_eq!(absences_after(&b.source, None).contains(&one), a.source == b.source);

            let key = snapshot(&a.source, a.kind, &a.id);
            let is_listed = (&a.source, a.kind) == (&b.source, b.kind);
            prop_assert_eq!(snapshots_after(&b.source, b.kind, None).contains(&key), is_listed);
            let range = snapshots_after(&b.source, b.kind, Some(&b.id));
            prop_assert_eq!(range.contains(&key), is_listed && b.id < a.id);

            let list = OpenList::ALL[list];
            let key = open(&a, list);
            prop_assert_eq!(open_id(&key), Some(a.id.clone()));
            let is_listed = a.source == b.source && a.kind == list.kind();
            prop_assert_eq!(open_after(&b.source, list, None).contains(&key), is_listed);
            prop_assert_eq!(open_after(&b.source, list, Some(&b.id)).contains(&key), is_listed && b.id < a.id);

            let (first, second) = (Timestamp::from_millis(at.0), Timestamp::from_millis(at.1));
            let key = task(&a, Task::Fetch, first);
            let due = (first, a.kind, &a.id).cmp(&(second, b.kind, &b.id));
            prop_assert_eq!(due, key.cmp(&task(&same_source, Task::Fetch, second)));
            prop_assert_eq!(task_entry(&key), Some(Due { at: first, kind: a.kind, id: a.id.clone() }));
            let is_due = a.source == b.source && first <= second;
            prop_assert_eq!(tasks_until(&b.source, Task::Fetch, second).contains(&key), is_due);
            prop_assert!(!tasks_until(&a.source, Task::Remind, first).contains(&key));
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
    fn what_takes_the_place_of_an_endpoint_is_beside_all_other_rows_and_names_it() {
        let key = resealed(&endpoint(EndpointNumber(7)));
        assert!(
            all_resealed().contains(&key) && !endpoints(EndpointNumber(0), EndpointNumber(u32::MAX)).contains(&key)
        );
        assert_eq!(resealed_endpoint(&key), endpoint(EndpointNumber(7)));
    }

    #[test]
    fn the_layout_on_disk_is_this_one() {
        let hex = |key: Key| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let source: SourceName = "eu".parse().expect("a name");
        let resource: ResourceId = "c1".parse().expect("an id");
        assert_eq!(hex(snapshot(&source, Kind::Certificate, &resource)), "73657500016331");
        assert_eq!(hex(snapshot_count(&source, Kind::CertificateRequest)), "6365750002");
        let name = name("eu", Kind::CertificateRequest, "c1");
        assert_eq!(hex(open(&name, OpenList::Pending)), "6f65750002046331");
        assert_eq!(OpenList::ALL.map(list_byte), [1, 2, 3, 4]);
        let instant = Timestamp::from_millis(4);
        assert_eq!(hex(task(&name, Task::Remind, instant)), "74657500018000000000000004026331");
        assert_eq!(hex(task(&name, Task::Fetch, instant)), "74657500028000000000000004026331");
        assert_eq!(hex(absence(&source, Kind::CertificateRequest, &resource)), "61657500026331");
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
        assert_eq!(hex(health(EndpointNumber(5))), "6800000005");
        assert_eq!(hex(missed(EndpointNumber(5))), "7900000005");
        assert_eq!(hex(cancellation(EndpointNumber(5))), "7800000005");
        assert_eq!(hex(resealed(&endpoint(EndpointNumber(5)))), "6b6e00000005");
        assert_eq!(hex(part(b"e1", 2)), "2b653102");
    }
}
