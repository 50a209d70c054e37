//! What every backend does with keys to the API and with the audit log.

use std::sync::Arc;

use certhook::model::audit::AuditEntry;
use certhook::model::endpoint::Endpoint;
use certhook::model::id::{AuditId, KeyId, KeyNumber};
use certhook::model::json::Json;
use certhook::model::key::{Key, KeyDigest, Scope, Scopes};
use certhook::store::{AuditQuery, Deed, KeptAnswer, Store, StoreError, Updated};
use serde_json::json;

use super::answers::{answer, name};
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

fn entry(instant: i64) -> AuditEntry {
    AuditEntry {
        id: AuditId { at: at(instant), number: 0 },
        key_id: Some(KeyId { number: KeyNumber(3), random: 77 }),
        key_name: "the CRM".into(),
        address: Some("2001:db8::7".parse().unwrap()),
        operation: "PATCH /v1/endpoints/{name}".into(),
        resource_id: Some("ep_1".into()),
        resource_uid: Some("crm".into()),
        before: Some(Json::of(&json!({"description": "d".repeat(9_000)}))),
        after: None,
        omitted: vec!["types".into()],
        request_id: "req_1".into(),
    }
}

pub(super) async fn the_audit_log_is_read_both_ways_and_between_instants(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    for instant in [10, 20, 20, 30] {
        store.audit(entry(instant)).await.unwrap();
    }
    let store = reopen(store);
    let number = store.audit(entry(40)).await.unwrap().number;
    assert_eq!(number, 5);
    let ask = AuditQuery { ascending: true, limit: 9, ..AuditQuery::default() };
    let listed = async |query: AuditQuery| -> Vec<u64> {
        store.audited(query).await.unwrap().into_iter().map(|entry| entry.id.number).collect()
    };
    assert_eq!(listed(ask).await, [1, 2, 3, 4, 5]);
    assert_eq!(listed(AuditQuery { ascending: false, ..ask }).await, [5, 4, 3, 2, 1]);
    let after = Some(AuditId { at: at(20), number: 2 });
    assert_eq!(listed(AuditQuery { after, limit: 2, ..ask }).await, [3, 4]);
    assert_eq!(listed(AuditQuery { after, ascending: false, ..ask }).await, [1]);
    let between = AuditQuery { since: Some(at(20)), until: Some(at(30)), ..ask };
    assert_eq!(listed(between).await, [2, 3]);
    assert_eq!(listed(AuditQuery { ascending: false, ..between }).await, [3, 2]);
    assert_eq!(listed(AuditQuery { after, ..between }).await, [3]);
    assert_eq!(listed(AuditQuery { since: Some(at(41)), ..ask }).await, [0; 0]);
    let whole = store.audited(AuditQuery { limit: 1, ..ask }).await.unwrap();
    assert_eq!(whole, [AuditEntry { id: AuditId { at: at(10), number: 1 }, ..entry(10) }]);
}

pub(super) async fn the_audit_log_loses_what_is_old_or_too_much(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    for instant in 1..=6 {
        store.audit(entry(instant)).await.unwrap();
    }
    let left = async |store: &Arc<dyn Store>| -> Vec<u64> {
        let query = AuditQuery { ascending: true, limit: 9, ..AuditQuery::default() };
        store.audited(query).await.unwrap().into_iter().map(|entry| entry.id.number).collect()
    };
    assert_eq!(store.forget_audited(at(1), 6).await.unwrap(), 0);
    assert_eq!(store.forget_audited(at(3), 6).await.unwrap(), 2);
    assert_eq!(left(&store).await, [3, 4, 5, 6]);
    assert_eq!(store.forget_audited(at(3), 1).await.unwrap(), 3);
    let store = reopen(store);
    assert_eq!(left(&store).await, [6]);
    assert_eq!(store.forget_audited(at(9), 1).await.unwrap(), 1);
    assert_eq!(store.audit(entry(9)).await.unwrap().number, 7, "no number is given twice");
}

/// What tells of a change to something that has this id.
fn deed(id: &impl ToString, number: u8) -> Deed {
    let entry = AuditEntry {
        resource_id: Some(id.to_string()),
        after: Some(Json::of(&json!({"id": id.to_string()}))),
        ..entry(1)
    };
    let answer = answer(&format!("{{\"id\":\"{}\"}}", id.to_string()), 9);
    let headers = vec![("location".into(), format!("/v1/x/{}", id.to_string()))];
    Deed { entry: Some(entry), answer: Some((name(number), KeptAnswer { headers, ..answer })) }
}

pub(super) async fn what_tells_of_a_change_is_committed_with_it_or_not_at_all(
    store: Arc<dyn Store>,
    reopen: Reopen<'_>,
) {
    let fresh = endpoint(Some("crm"));
    let made = store.create_with(fresh.clone(), deed(&fresh.id, 1)).await.unwrap();
    let refused = store.create_with(endpoint(Some("crm")), deed(&fresh.id, 2)).await;
    assert!(matches!(refused, Err(StoreError::UidTaken(_))), "{refused:?}");
    let changed = Endpoint { description: "changed".into(), ..made.clone() };
    assert_eq!(store.update_with(&made, changed.clone(), deed(&made.id, 3)).await.unwrap(), Updated::Yes);
    assert_eq!(store.update_with(&made, changed.clone(), deed(&made.id, 4)).await.unwrap(), Updated::Changed);
    assert!(store.delete_with(made.id, deed(&made.id, 5)).await.unwrap());
    assert!(!store.delete_with(made.id, deed(&made.id, 6)).await.unwrap());
    assert_eq!(store.update_with(&changed, made.clone(), deed(&made.id, 7)).await.unwrap(), Updated::Gone);
    let one = store.create_key_with(key(1), deed(&key(1).id, 8)).await.unwrap();
    assert!(store.delete_key_with(one.id, deed(&one.id, 9)).await.unwrap().is_some());
    assert!(store.delete_key_with(one.id, deed(&one.id, 10)).await.unwrap().is_none());
    let store = reopen(store);
    let told = [(1, made.id.to_string()), (3, made.id.to_string()), (5, made.id.to_string())];
    let told = told.into_iter().chain([(8, one.id.to_string()), (9, one.id.to_string())]).collect::<Vec<_>>();
    let query = AuditQuery { ascending: true, limit: 99, ..AuditQuery::default() };
    let entries = store.audited(query).await.unwrap();
    let ids: Vec<_> = entries.iter().map(|entry| entry.resource_id.clone().unwrap()).collect();
    assert_eq!(ids, told.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>());
    for (entry, (number, id)) in entries.iter().zip(&told) {
        assert_eq!(entry.after, Some(Json::of(&json!({ "id": id }))), "what is new has the id that it was given");
        let kept = store.kept_answer(name(*number)).await.unwrap().unwrap();
        assert_eq!(kept, deed(id, *number).answer.unwrap().1);
    }
    assert_eq!(store.answers_kept().await.unwrap(), told.len() as u64);
}
