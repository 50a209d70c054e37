//! The keys of lists by creation.
//!
//! A shelf is one byte, 1 for what is there and 2 for what was removed, and a second one: 0 for everything, 1 for what
//! belongs to a customer by upstream's id, 2 for the same by the account's own id; then 8 bytes that stand for that id.

use super::{Key, KeyRange, beyond, id_of, instant_bytes, instant_of, kind_and_id_of, kind_byte, of_source};
use crate::model::resource::{Kind, ResourceId, ResourceKey, SourceName};
use crate::model::time::Timestamp;

/// How far the snapshots of an older version have been put into the lists.
pub(in crate::store::sled) const PROGRESS: &[u8] = b"mlists";

/// Which of the lists of a kind is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::sled) enum Shelf {
    /// Everything.
    All,
    /// What belongs to a customer by upstream's id, for which these bytes stand.
    Customer(u64),
    /// The same by the account's own id.
    ReferenceCustomer(u64),
}

/// What the entries of a list begin with.
pub(in crate::store::sled) fn list(source: &SourceName, kind: Kind, is_removed: bool, shelf: Shelf) -> Key {
    let (of_whom, id) = match shelf {
        Shelf::All => (0, None),
        Shelf::Customer(id) => (1, Some(id)),
        Shelf::ReferenceCustomer(id) => (2, Some(id)),
    };
    let mut list = of_source(b'l', source, &[kind_byte(kind), if is_removed { 2 } else { 1 }, of_whom]);
    list.extend(id.into_iter().flat_map(u64::to_be_bytes));
    list
}

/// The entry of a resource in a list.
pub(in crate::store::sled) fn entry(list: &[u8], created_at: Timestamp, id: &ResourceId) -> Key {
    [list, &instant_bytes(created_at), id.as_str().as_bytes()].concat()
}

/// The entries in a list from one instant to another, both included.
pub(in crate::store::sled) fn between(list: &[u8], first: Timestamp, last: Timestamp) -> KeyRange {
    let last = [list, &instant_bytes(last), &[u8::MAX]].concat();
    [list, &instant_bytes(first)].concat()..=last
}

/// When the resource of an entry in a list was created, and its id.
pub(in crate::store::sled) fn created_and_id(list: &[u8], key: &[u8]) -> Option<(Timestamp, ResourceId)> {
    let (created_at, id) = key.strip_prefix(list)?.split_first_chunk()?;
    Some((instant_of(*created_at), id_of(id)?))
}

/// The snapshots of all sources and kinds beyond a key.
pub(in crate::store::sled) fn snapshots_beyond(key: Option<Key>) -> KeyRange {
    beyond(b"s".to_vec(), key)
}

/// Whose snapshot a key names.
pub(in crate::store::sled) fn resource(key: &[u8]) -> Option<ResourceKey> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let source = std::str::from_utf8(key.get(1..end)?).ok()?.parse().ok()?;
    let (kind, id) = kind_and_id_of(key.get(end + 1..)?)?;
    Some(ResourceKey { source, kind, id })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::snapshot;
    use super::*;

    fn shelves() -> impl Strategy<Value = Shelf> {
        let id = || prop::sample::select(vec![0, 1, u64::MAX]);
        prop_oneof![Just(Shelf::All), id().prop_map(Shelf::Customer), id().prop_map(Shelf::ReferenceCustomer)]
    }

    fn lists() -> impl Strategy<Value = Key> {
        // Short and of few letters, so that one is often the beginning of another.
        let source = "[a-]{1,2}".prop_map(|name| name.parse().expect("a name"));
        let kind = prop::sample::select(&Kind::ALL[..]);
        (source, kind, any::<bool>(), shelves())
            .prop_map(|(name, kind, removed, shelf)| list(&name, kind, removed, shelf))
    }

    proptest! {
        #[test]
        fn entries_sort_like_what_they_name_and_are_found_in_their_list_alone(
            ours in lists(),
            theirs in lists(),
            at: (i64, i64),
            ids in ("[A_z-]{1,3}", "[A_z-]{1,3}"),
        ) {
            let at = [at.0, at.1].map(Timestamp::from_millis);
            let ids: [ResourceId; 2] = [ids.0, ids.1].map(|id| id.parse().expect("an id"));
            let one = entry(&ours, at[0], &ids[0]);
            let order = (at[0], &ids[0]).cmp(&(at[1], &ids[1]));
            prop_assert_eq!(order, one.cmp(&entry(&ours, at[1], &ids[1])));
            prop_assert_eq!(created_and_id(&ours, &one), Some((at[0], ids[0].clone())));
            let (first, last) = (at[0].min(at[1]), at[0].max(at[1]));
            prop_assert!(between(&ours, first, last).contains(&one));
            prop_assert_eq!(between(&theirs, first, last).contains(&one), ours == theirs);
            prop_assert_eq!(between(&ours, at[1], at[1]).contains(&one), at[0] == at[1]);
        }

        #[test]
        fn all_snapshots_are_found_beyond_one(a in "[a-]{1,2}", b in "[a-]{1,2}", id in "[A_z-]{1,3}") {
            let key = |source: &str| {
                let id: ResourceId = id.parse().expect("an id");
                ResourceKey { source: source.parse().expect("a name"), kind: Kind::CertificateRequest, id }
            };
            let of = |key: &ResourceKey| snapshot(&key.source, key.kind, &key.id);
            let (a, b) = (key(&a), key(&b));
            prop_assert_eq!(resource(&of(&a)), Some(a.clone()));
            prop_assert!(snapshots_beyond(None).contains(&of(&a)));
            prop_assert_eq!(snapshots_beyond(Some(of(&b))).contains(&of(&a)), of(&a) > of(&b));
        }
    }

    #[test]
    fn the_layout_on_disk_is_this_one() {
        let hex = |key: Key| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let source: SourceName = "eu".parse().expect("a name");
        let entry = |list: Key| hex(entry(&list, Timestamp::from_millis(4), &"c1".parse().expect("an id")));
        let all = list(&source, Kind::Certificate, false, Shelf::All);
        assert_eq!(entry(all), "6c65750001010080000000000000046331");
        let own = list(&source, Kind::CertificateRequest, true, Shelf::Customer(258));
        assert_eq!(entry(own), "6c657500020201000000000000010280000000000000046331");
        let reference = list(&source, Kind::CertificateRequest, false, Shelf::ReferenceCustomer(258));
        assert_eq!(entry(reference), "6c657500020102000000000000010280000000000000046331");
    }
}
