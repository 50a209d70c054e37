//! What every backend does with endpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use certhook::model::delivery::DeliveryStatus;
use certhook::model::endpoint::{DisabledReason, Endpoint, EndpointStatus, EndpointUrl, OwnHeaders};
use certhook::model::event::{EventDraft, EventType};
use certhook::model::id::{EndpointId, Position};
use certhook::store::{Consequence, DeliveryCommit, DeliveryQuery, Disabling, Store, StoreError, Updated};

use super::conformance::Reopen;
use super::samples::*;

pub(super) async fn endpoints_come_back_as_registered(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let created = store.create(endpoint(Some("crm"))).await.unwrap();
    let expected =
        Endpoint { id: EndpointId { number: created.id.number, ..endpoint(None).id }, ..endpoint(Some("crm")) };
    assert_eq!(created, expected);
    let store = reopen(store);
    assert_eq!(store.endpoint(created.id).await.unwrap().as_ref(), Some(&created));
    assert_eq!(store.by_number(created.id.number).await.unwrap().as_ref(), Some(&created));
    assert_eq!(store.by_uid("crm").await.unwrap().as_ref(), Some(&created));
    assert_eq!(store.by_uid("cr").await.unwrap(), None);
    let guessed = EndpointId { random: 1, ..created.id };
    assert_eq!(store.endpoint(guessed).await.unwrap(), None, "the number alone is no id");
    let as_guessed = Endpoint { id: guessed, ..created.clone() };
    assert_eq!(store.update(&as_guessed, as_guessed.clone()).await.unwrap(), Updated::Gone);
    assert!(!store.delete(guessed).await.unwrap());
    let changed = Endpoint {
        url: EndpointUrl::new(&"https://example.org/".parse().unwrap()),
        status: EndpointStatus::Disabled,
        secrets: created.secrets[..1].to_vec(),
        description: "d".repeat(50_000),
        headers: OwnHeaders::new((0..20).map(|nth| (format!("x-{nth}"), "v".repeat(4096).into())).collect()),
        ..created.clone()
    };
    assert_eq!(store.update(&created, changed.clone()).await.unwrap(), Updated::Yes);
    let store = reopen(store);
    assert_eq!(store.endpoint(changed.id).await.unwrap(), Some(changed));
}

pub(super) async fn a_change_meets_the_endpoint_that_was_seen_or_nothing(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let seen = store.create(endpoint(Some("crm"))).await.unwrap();
    let disabled = seen.clone().with_status(EndpointStatus::Disabled, at(9));
    assert_eq!(store.update(&seen, disabled.clone()).await.unwrap(), Updated::Yes);
    let mut changes = store.changes();
    let patched = Endpoint { description: "changed by who has not seen that".into(), ..seen.clone() };
    assert_eq!(store.update(&seen, patched).await.unwrap(), Updated::Changed);
    assert!(changes.try_recv().is_err(), "nothing has changed");
    assert_eq!(reopen(store).endpoint(seen.id).await.unwrap(), Some(disabled));
}

pub(super) async fn disabling_leaves_everything_else_as_it_is(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let seen = store.create(endpoint(Some("crm"))).await.unwrap();
    let mut changes = store.changes();
    let patched = Endpoint { description: "changed after it was seen".into(), ..seen.clone() };
    assert_eq!(store.update(&seen, patched.clone()).await.unwrap(), Updated::Yes);
    let elsewhere = EndpointUrl::new(&"https://example.org/".parse().unwrap());
    let guessed = EndpointId { random: 1, ..seen.id };
    let disable = async |id: EndpointId, url: &EndpointUrl, reason, instant| {
        let told = (sight_of(&snapshot(1, 1), instant), EventDraft::plain(EventType::EndpointDisabled));
        let disabling = Some(Disabling { id, url: url.clone(), reason, at: instant, told });
        let consequence = Consequence { disabling, ..Consequence::default() };
        let commit = DeliveryCommit {
            records: vec![record(1, &seen, DeliveryStatus::Pending, Some(at(1)))],
            consequences: BTreeMap::from([(0, consequence)]),
            ..DeliveryCommit::default()
        };
        let before = store.head().borrow().0;
        store.commit_deliveries(commit).await.unwrap();
        store.head().borrow().0 > before
    };
    for (id, url) in [(guessed, &seen.url), (seen.id, &elsewhere)] {
        assert!(!disable(id, url, DisabledReason::Gone, at(9)).await, "nothing is told either");
    }
    assert!(disable(seen.id, &seen.url, DisabledReason::Gone, at(9)).await);
    assert!(!disable(seen.id, &seen.url, DisabledReason::Failing, at(10)).await, "it is disabled");
    assert_eq!([changes.recv().await.unwrap(), changes.recv().await.unwrap()], [seen.id.number; 2]);
    assert!(changes.try_recv().is_err(), "nothing else has changed");
    let disabled = Endpoint {
        status: EndpointStatus::Disabled,
        disabled_reason: Some(DisabledReason::Gone),
        updated_at: at(9),
        ..patched
    };
    assert_eq!(reopen(store).endpoint(seen.id).await.unwrap(), Some(disabled));
}

pub(super) async fn secrets_that_have_ended_are_forgotten_and_nothing_else(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let seen = store.create(endpoint(Some("crm"))).await.unwrap();
    assert_eq!(seen.secrets[1].expires_at, Some(at(5)));
    let patched = Endpoint { description: "changed after it was seen".into(), ..seen.clone() };
    assert_eq!(store.update(&seen, patched.clone()).await.unwrap(), Updated::Yes);
    let mut changes = store.changes();
    assert!(!store.forget_secrets(seen.id, at(4)).await.unwrap(), "it still signs");
    let guessed = EndpointId { random: 1, ..seen.id };
    assert!(!store.forget_secrets(guessed, at(5)).await.unwrap());
    assert_eq!(store.endpoint(seen.id).await.unwrap().as_ref(), Some(&patched));
    assert!(store.forget_secrets(seen.id, at(5)).await.unwrap());
    assert!(!store.forget_secrets(seen.id, at(5)).await.unwrap(), "it is forgotten already");
    assert_eq!(changes.recv().await.unwrap(), seen.id.number);
    assert!(changes.try_recv().is_err(), "nothing else has changed");
    let expected = Endpoint { secrets: seen.secrets[..1].to_vec(), ..patched };
    assert_eq!(reopen(store).endpoint(seen.id).await.unwrap(), Some(expected));
}

pub(super) async fn numbers_are_never_given_twice(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let first = store.create(endpoint(None)).await.unwrap();
    let second = store.create(endpoint(None)).await.unwrap();
    assert!(second.id.number > first.id.number);
    assert!(store.delete(second.id).await.unwrap());
    assert!(!store.delete(second.id).await.unwrap());
    let store = reopen(store);
    let third = store.create(endpoint(None)).await.unwrap();
    assert!(third.id.number > second.id.number);
    assert_eq!(store.by_number(second.id.number).await.unwrap(), None);
}

pub(super) async fn a_uid_names_one_endpoint(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let crm = store.create(endpoint(Some("crm"))).await.unwrap();
    let taken = store.create(endpoint(Some("crm"))).await;
    assert!(matches!(&taken, Err(StoreError::UidTaken(uid)) if uid == "crm"), "{taken:?}");
    let erp = store.create(endpoint(Some("erp"))).await.unwrap();
    let named = |endpoint: &Endpoint, uid: &str| Endpoint { uid: Some(uid.into()), ..endpoint.clone() };
    let taken = store.update(&erp, named(&erp, "crm")).await;
    assert!(matches!(taken, Err(StoreError::UidTaken(_))), "{taken:?}");
    assert_eq!(store.update(&crm, named(&crm, "billing")).await.unwrap(), Updated::Yes);
    assert_eq!(store.update(&erp, named(&erp, "crm")).await.unwrap(), Updated::Yes);
    let store = reopen(store);
    assert_eq!(store.by_uid("crm").await.unwrap().unwrap().id, erp.id);
    assert_eq!(store.by_uid("billing").await.unwrap().unwrap().id, crm.id);
    assert_eq!(store.by_uid("erp").await.unwrap(), None);
    assert!(store.delete(erp.id).await.unwrap());
    assert_eq!(store.by_uid("crm").await.unwrap(), None);
    assert!(store.create(endpoint(Some("crm"))).await.is_ok());
    let long = store.create(endpoint(Some(&"u".repeat(5_000)))).await;
    assert!(matches!(long, Err(StoreError::TooLarge { what: "the uid", .. })), "{long:?}");
    assert_eq!(store.endpoints(None, true, 10).await.unwrap().len(), 2, "what was refused left nothing behind");
}

pub(super) async fn endpoints_are_listed_both_ways(store: Arc<dyn Store>, _reopen: Reopen<'_>) {
    let mut created = Vec::new();
    for _ in 0..5 {
        created.push(store.create(endpoint(None)).await.unwrap());
    }
    let ids = |endpoints: &[Endpoint]| endpoints.iter().map(|endpoint| endpoint.id).collect::<Vec<_>>();
    let list = async |beyond, ascending, limit| ids(&store.endpoints(beyond, ascending, limit).await.unwrap());
    assert_eq!(list(None, true, 10).await, ids(&created));
    assert_eq!(list(Some(created[1].id.number), true, 2).await, ids(&created[2..4]));
    assert_eq!(list(Some(created[4].id.number), true, 2).await, []);
    let newest_first: Vec<Endpoint> = created.iter().rev().cloned().collect();
    assert_eq!(list(None, false, 3).await, ids(&newest_first[..3]));
    assert_eq!(list(Some(created[1].id.number), false, 3).await, ids(&newest_first[4..]));
}

pub(super) async fn changes_of_endpoints_are_told(store: Arc<dyn Store>, _reopen: Reopen<'_>) {
    let mut changes = store.changes();
    let one = store.create(endpoint(None)).await.unwrap();
    assert_eq!(store.update(&one, one.clone()).await.unwrap(), Updated::Yes);
    assert!(store.delete(one.id).await.unwrap());
    assert_eq!(store.update(&one, one.clone()).await.unwrap(), Updated::Gone);
    for _ in 0..3 {
        assert_eq!(changes.recv().await.unwrap(), one.id.number);
    }
    assert!(changes.try_recv().is_err(), "what was refused is not told");
}

pub(super) async fn deleting_cancels_what_waits_and_keeps_the_history(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    fill_log(&store, 200).await;
    let one = store.create(endpoint(None)).await.unwrap();
    let other = store.create(endpoint(None)).await.unwrap();
    let pending = |position, endpoint| record(position, endpoint, DeliveryStatus::Pending, Some(at(5)));
    let mut records: Vec<_> = (1..=150).map(|position| pending(position, &one)).collect();
    records.push(record(151, &one, DeliveryStatus::Delivered, None));
    records.push(record(152, &one, DeliveryStatus::Pending, None));
    records.push(pending(1, &other));
    let positions = vec![(one.id.number, Some(Position(1)))];
    store.commit_deliveries(DeliveryCommit { records, positions, ..DeliveryCommit::default() }).await.unwrap();
    assert!(store.delete(one.id).await.unwrap());
    let store = reopen(store);
    assert!(store.waiting(one.id.number, 10).await.unwrap().is_empty());
    assert_eq!(store.waiting(other.id.number, 10).await.unwrap().len(), 1);
    assert_eq!(store.positions().await.unwrap().own, [(other.id.number, other.start)]);
    let history = DeliveryQuery { endpoint: Some(one.id.number), limit: 200, ..DeliveryQuery::default() };
    let found = store.deliveries(history).await.unwrap().found;
    assert_eq!(found.len(), 152);
    let count = |status| found.iter().filter(|record| record.status == status).count();
    assert_eq!((count(DeliveryStatus::Canceled), count(DeliveryStatus::Delivered)), (151, 1));
    assert!(found.iter().all(|record| record.next_attempt_at.is_none()));
    // An attempt that was under way when the endpoint was deleted ends after it.
    commit_records(&store, vec![pending(160, &one), record(161, &one, DeliveryStatus::Delivered, None)]).await;
    let status = async |position| store.delivery(delivery_id(position, &one)).await.unwrap().unwrap().status;
    assert_eq!(status(160).await, DeliveryStatus::Canceled);
    assert_eq!(status(161).await, DeliveryStatus::Delivered);
    assert!(store.waiting(one.id.number, 10).await.unwrap().is_empty());
}

pub(super) async fn a_deletion_that_a_stop_broke_off_is_finished(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    fill_log(&store, 1).await;
    let one = store.create(endpoint(None)).await.unwrap();
    let pending = |position| record(position, &one, DeliveryStatus::Pending, Some(at(5)));
    commit_records(&store, (1..=2_000).map(pending).collect()).await;
    let mut changes = store.changes();
    tokio::select! {
        biased;
        _ = store.delete(one.id) => {}
        changed = changes.recv() => assert_eq!(changed.unwrap(), one.id.number),
    }
    let store = reopen(store);
    assert_eq!(store.endpoint(one.id).await.unwrap(), None);
    for _ in 0..100 {
        // What is left is canceled bit by bit between commits.
        store.check().await.unwrap();
        if store.waiting(one.id.number, 1).await.unwrap().is_empty() {
            break;
        }
    }
    assert!(store.waiting(one.id.number, 1).await.unwrap().is_empty());
    assert_eq!(store.delivery(delivery_id(2_000, &one)).await.unwrap().unwrap().status, DeliveryStatus::Canceled);
}
