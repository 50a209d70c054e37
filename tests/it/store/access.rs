//! What every backend does with keys to the API.

use std::sync::Arc;

use certhook::model::id::{KeyId, KeyNumber};
use certhook::model::key::{Key, KeyDigest, Scope, Scopes};
use certhook::store::Store;

use super::conformance::Reopen;
use super::samples::*;

fn key(digest: u8) -> Key {
    Key {
        id: KeyId { number: KeyNumber(0), random: 77 },
        name: "the CRM".into(),
        prefix: "ck_0123456".into(),
        digest: KeyDigest([digest; 32]),
        scopes: Scopes::new(vec![Scope::Read, Scope::Replay]),
        created_at: at(1),
        expires_at: Some(at(100)),
        last_used_at: None,
    }
}

pub(super) async fn keys_are_found_by_their_digests(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let one = store.create_key(key(1)).await.unwrap();
    let other = store.create_key(Key { expires_at: None, ..key(2) }).await.unwrap();
    assert_eq!(one, Key { id: KeyId { number: KeyNumber(1), random: 77 }, ..key(1) });
    let store = reopen(store);
    assert_eq!(store.key_of(one.digest).await.unwrap(), Some(one));
    assert_eq!(store.key_of(other.digest).await.unwrap(), Some(other));
    assert_eq!(store.key_of(KeyDigest([3; 32])).await.unwrap(), None);
}

pub(super) async fn keys_are_listed_both_ways(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    for digest in 1..=3 {
        store.create_key(key(digest)).await.unwrap();
    }
    let store = reopen(store);
    let listed = async |beyond: Option<u32>, ascending, limit| -> Vec<u32> {
        let keys = store.keys(beyond.map(KeyNumber), ascending, limit).await.unwrap();
        keys.into_iter().map(|key| key.id.number.0).collect()
    };
    assert_eq!(listed(None, true, 2).await, [1, 2]);
    assert_eq!(listed(Some(2), true, 9).await, [3]);
    assert_eq!(listed(None, false, 9).await, [3, 2, 1]);
    assert_eq!(listed(Some(2), false, 9).await, [1]);
    assert_eq!(listed(Some(u32::MAX), true, 9).await, [0; 0]);
    assert_eq!(listed(Some(0), false, 9).await, [0; 0]);
}

pub(super) async fn a_deleted_key_is_gone_and_its_number_is_not_given_again(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let one = store.create_key(key(1)).await.unwrap();
    let stranger = KeyId { random: 78, ..one.id };
    assert_eq!(store.delete_key(stranger).await.unwrap(), None);
    assert_eq!(store.delete_key(one.id).await.unwrap(), Some(one.clone()));
    assert_eq!(store.key_of(one.digest).await.unwrap(), None);
    let store = reopen(store);
    assert_eq!(store.delete_key(one.id).await.unwrap(), None);
    assert_eq!(store.keys(None, true, 9).await.unwrap(), []);
    assert_eq!(store.create_key(key(1)).await.unwrap().id.number, KeyNumber(2));
}

pub(super) async fn the_last_use_of_a_key_never_goes_back(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let one = store.create_key(key(1)).await.unwrap();
    let gone = store.create_key(key(2)).await.unwrap();
    store.delete_key(gone.id).await.unwrap();
    let stranger = KeyId { random: 78, ..one.id };
    store.keep_uses(vec![(one.id, at(7)), (gone.id, at(8)), (stranger, at(9))]).await.unwrap();
    store.keep_uses(vec![(one.id, at(5))]).await.unwrap();
    let store = reopen(store);
    let used = Key { last_used_at: Some(at(7)), ..one };
    assert_eq!(store.keys(None, true, 9).await.unwrap(), [used]);
}
