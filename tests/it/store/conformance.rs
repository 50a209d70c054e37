//! What every backend does with sights, the log and deliveries. Each promise is a function of a new store and of a
//! way to open it again.

use std::collections::BTreeMap;
use std::sync::Arc;

use certhook::model::delivery::DeliveryStatus;
use certhook::model::event::{EventDraft, EventType};
use certhook::model::health::HealthRecord;
use certhook::model::id::{EndpointNumber, Position};
use certhook::model::json::Json;
use certhook::model::resource::{Kind, Snapshot};
use certhook::model::source::SourceProgress;
use certhook::model::time::Timestamp;
use certhook::store::{Consequence, DeliveryCommit, Positions, SightCommit, SightStore, Store, StoreError, Waiting};
use futures_util::future::join_all;
use serde_json::json;
use tokio::task::JoinSet;

use super::samples::*;

/// Gives up a store and opens it again.
pub(super) type Reopen<'a> = &'a dyn Fn(Arc<dyn Store>) -> Arc<dyn Store>;

pub(super) async fn snapshots_come_back_in_the_order_asked_for(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let sights = vec![silent(snapshot(1, 1)), silent(snapshot(2, 1)), silent(snapshot(1, 2))];
    store.commit_sights(sights, None).await.unwrap();
    let store = reopen(store);
    let ids = [resource_id(2), resource_id(3), resource_id(1)];
    let found = store.snapshots(&source(), Kind::Certificate, &ids).await.unwrap();
    assert_eq!(found, [Some(snapshot(2, 1)), None, Some(snapshot(1, 2))]);
    let other_kind = store.snapshots(&source(), Kind::CertificateRequest, &ids).await.unwrap();
    assert_eq!(other_kind, [None, None, None]);
    let other_source = store.snapshots(&"numeral-2".parse().unwrap(), Kind::Certificate, &ids).await.unwrap();
    assert_eq!(other_source, [None, None, None]);
}

pub(super) async fn removed_snapshots_are_kept_but_not_counted(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let count = async |store: &Arc<dyn Store>| store.snapshot_count(&source(), Kind::Certificate).await.unwrap();
    assert_eq!(count(&store).await, 0);
    let three = (1..=3).map(|number| silent(snapshot(number, 1))).collect();
    store.commit_sights(three, None).await.unwrap();
    store.commit_sights(vec![silent(snapshot(2, 2))], None).await.unwrap();
    assert_eq!(count(&store).await, 3);
    let gone = removed(snapshot(2, 3));
    store.commit_sights(vec![silent(gone.clone()), silent(gone.clone())], None).await.unwrap();
    assert_eq!(count(&store).await, 2);
    let store = reopen(store);
    assert_eq!(count(&store).await, 2);
    let found = store.snapshots(&source(), Kind::Certificate, &[resource_id(2)]).await.unwrap();
    assert_eq!(found, [Some(gone)]);
    store.commit_sights(vec![silent(snapshot(2, 4))], None).await.unwrap();
    assert_eq!(count(&store).await, 3);
}

pub(super) async fn events_keep_their_ids_and_bodies_for_ever(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    store.commit_sights(vec![told(snapshot(1, 1), at(1), 3), silent(snapshot(2, 1))], None).await.unwrap();
    store.commit_sights(vec![told(snapshot(2, 2), at(2), 1)], None).await.unwrap();
    let events = store.events_after(Position::START, 10).await.unwrap();
    assert_eq!(positions(&events), [1, 2, 3, 4]);
    assert!(Arc::ptr_eq(&events[0].sight, &events[2].sight), "the events of a sight share it");
    assert!(events.iter().all(|event| event.id.epoch == EPOCH));
    let store = reopen(store);
    let again = store.events_after(Position::START, 10).await.unwrap();
    assert_eq!(again, events);
    assert_eq!(bodies(&again), bodies(&events));
    for event in &events {
        assert_eq!(store.event(event.position()).await.unwrap().as_ref(), Some(event));
    }
    let names: Vec<_> = events.iter().map(|event| (event.id, event.event_type)).collect();
    for (after, limit) in [(0, 10), (0, 2), (1, 1), (1, 10), (2, 2), (3, 9), (4, 9)] {
        let wanted: Vec<_> = names[after..].iter().take(limit).copied().collect();
        let found = store.names_after(Position(after as u64), limit).await.unwrap();
        assert_eq!(found, wanted, "{limit} after {after}");
    }
    store.commit_sights(vec![told(snapshot(3, 1), at(3), 1)], None).await.unwrap();
    let next = store.event(Position(5)).await.unwrap().unwrap();
    assert_ne!(next.id.start, events[0].id.start, "another process draws other bits");
    assert_eq!(store.event(Position(6)).await.unwrap(), None);
    assert_eq!(store.event(Position::START).await.unwrap(), None);
}

pub(super) async fn log_timestamps_never_go_back(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    store.commit_sights(vec![told(snapshot(1, 1), at(100), 1), told(snapshot(2, 1), at(50), 2)], None).await.unwrap();
    let store = reopen(store);
    store.commit_sights(vec![told(snapshot(3, 1), at(70), 1), told(snapshot(4, 1), at(200), 1)], None).await.unwrap();
    let events = store.events_after(Position::START, 10).await.unwrap();
    let instants: Vec<Timestamp> = events.iter().map(|event| event.timestamp()).collect();
    assert_eq!(instants, [at(100), at(100), at(100), at(100), at(200)]);
    let mut moved = sight_of(&snapshot(2, 1), at(50));
    moved.detection.observed_before = at(100);
    assert_eq!(*events[1].sight, moved, "nothing else of the sight was touched");
    let kept = store.snapshots(&source(), Kind::Certificate, &[resource_id(2)]).await.unwrap();
    assert_eq!(kept, [Some(snapshot(2, 1))]);
}

pub(super) async fn the_log_is_read_both_ways_from_any_place(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    fill_log(&store, 450).await;
    let disk = reopen(store);
    fill_log(&disk, 50).await;
    // The last fifty are in memory, the others are not.
    for (after, limit) in [(0, 10), (0, 1000), (199, 401), (445, 10), (460, 5), (499, 10), (500, 10), (700, 1)] {
        let wanted: Vec<u64> = (after + 1..=500).take(limit).collect();
        let events = disk.events_after(Position(after), limit).await.unwrap();
        assert_eq!(positions(&events), wanted, "{limit} after {after}");
    }
    for (before, limit) in [(1, 10), (0, 10), (2, 1), (501, 10), (501, 1000), (9999, 60), (455, 10), (480, 5)] {
        let wanted: Vec<u64> = (1..before.min(501)).rev().take(limit).collect();
        let events = disk.events_before(Position(before), limit).await.unwrap();
        assert_eq!(positions(&events), wanted, "{limit} before {before}");
    }
    assert!(disk.events_after(Position::START, 0).await.unwrap().is_empty());
    assert!(disk.events_before(Position(u64::MAX), 0).await.unwrap().is_empty());
}

pub(super) async fn an_instant_has_a_place_in_the_log(store: Arc<dyn Store>, _reopen: Reopen<'_>) {
    assert_eq!(store.position_at(at(0)).await.unwrap(), Position(1), "an empty log");
    let sights = [10, 20, 20, 20, 30].map(|instant| told(snapshot(1, 1), at(instant), 1));
    store.commit_sights(sights.into(), None).await.unwrap();
    for (instant, position) in [(0, 1), (10, 1), (11, 2), (20, 2), (21, 5), (30, 5), (31, 6)] {
        assert_eq!(store.position_at(at(instant)).await.unwrap(), Position(position), "at {instant}");
    }
}

pub(super) async fn the_head_wakes_who_waits_for_it(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let mut head = store.head();
    assert_eq!(*head.borrow_and_update(), Position::START);
    fill_log(&store, 3).await;
    assert!(head.has_changed().unwrap());
    head.changed().await.unwrap();
    assert_eq!(*head.borrow_and_update(), Position(3));
    drop(head);
    let store = reopen(store);
    assert_eq!(*store.head().borrow(), Position(3));
}

pub(super) async fn progress_is_committed_with_sights(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    assert_eq!(store.progress(&source()).await.unwrap(), None);
    let mut progress = SourceProgress::new(source(), at(1));
    progress.watermark = Some(at(2));
    progress.fields_since[1].insert("memo".into(), at(1));
    store.commit_sights(vec![silent(snapshot(1, 1))], Some(progress.clone())).await.unwrap();
    let store = reopen(store);
    assert_eq!(store.progress(&source()).await.unwrap(), Some(progress.clone()));
    progress.swept_at = Some(at(3));
    // As many names of fields, and as long ones, as are ever noted.
    let names = (0..300).map(|number| (format!("{number:0>256}"), at(1)));
    progress.fields_since.iter_mut().for_each(|fields| fields.extend(names.clone()));
    store.commit_sights(Vec::new(), Some(progress.clone())).await.unwrap();
    assert_eq!(store.progress(&source()).await.unwrap(), Some(progress));
}

pub(super) async fn large_sights_are_kept_whole_and_larger_ones_refused(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let mut large = told(sized_snapshot(1, 1, 24_000), at(1), 50);
    let (sight, events) = large.told.first_mut().unwrap();
    sight.previous_attributes = Json::of(&json!({"note": noise(1, 24_000)}));
    events[0].details = Json::of(&json!({"jurisdiction": noise(2, 24_000)}));
    store.commit_sights(vec![large.clone()], None).await.unwrap();
    let (sight, events) = large.told[0].clone();
    let mut larger = large.clone();
    larger.snapshot = Some(sized_snapshot(1, 2, 20_000));
    larger.told.first_mut().unwrap().1[1].details = Json::of(&"x".repeat(300_000));
    let too_large = store.commit_sights(vec![silent(snapshot(2, 1)), larger], None).await;
    assert!(matches!(too_large, Err(StoreError::TooLarge { .. })), "{too_large:?}");
    let store = reopen(store);
    let found = store.events_after(Position::START, 100).await.unwrap();
    assert_eq!(found.len(), 50);
    assert_eq!(*found[49].sight, sight);
    assert_eq!(found[0].details, events[0].details);
    let ids = [resource_id(1), resource_id(2)];
    let kept = store.snapshots(&source(), Kind::Certificate, &ids).await.unwrap();
    assert_eq!(kept, [large.snapshot, Some(snapshot(2, 1))], "what came before the refused one is there");
    store.commit_sights(vec![silent(snapshot(1, 3))], None).await.unwrap();
    let kept = store.snapshots(&source(), Kind::Certificate, &ids[..1]).await.unwrap();
    assert_eq!(kept, [Some(snapshot(1, 3))], "a small one replaces a large one");
}

/// For every store of sights that refuses some of them: `too_large`, which is about the second certificate, among others.
pub(super) async fn what_comes_before_a_refused_sight_is_durable_and_nothing_after_it(
    store: &(impl SightStore + ?Sized),
    too_large: SightCommit,
) {
    let first = |number| silent(snapshot(number, 0));
    let progress = SourceProgress::new(source(), at(1));
    for (sights, sights_before) in [
        (vec![first(1), too_large.clone(), first(3)], 1),
        (vec![too_large.clone(), first(4)], 0),
        (vec![first(5), first(6), too_large.clone()], 2),
    ] {
        let refusal = store.commit_sights(sights, Some(progress.clone())).await;
        let said = matches!(refusal, Err(StoreError::TooLarge { sights_before: said, .. }) if said == sights_before);
        assert!(said, "{refusal:?}, and not {sights_before}");
    }
    let kept = store.snapshots(&source(), Kind::Certificate, &[1, 2, 3, 4, 5, 6].map(resource_id)).await.unwrap();
    let kept: Vec<bool> = kept.iter().map(Option::is_some).collect();
    assert_eq!(kept, [true, false, false, false, true, true]);
    assert_eq!(store.progress(&source()).await.unwrap(), None);
    store.commit_sights(vec![first(3), first(4)], Some(progress.clone())).await.unwrap();
    assert_eq!(store.snapshot_count(&source(), Kind::Certificate).await.unwrap(), 5);
    assert_eq!(store.progress(&source()).await.unwrap(), Some(progress));
}

pub(super) async fn what_waits_is_found_by_when_it_is_due(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    fill_log(&store, 9).await;
    let one = store.create(endpoint(None)).await.unwrap();
    let other = store.create(endpoint(None)).await.unwrap();
    let pending = |position, due| record(position, &one, DeliveryStatus::Pending, due);
    let mut records = vec![pending(1, Some(at(30))), pending(2, Some(at(10))), pending(3, Some(at(20)))];
    records.push(pending(4, None));
    records.push(record(5, &one, DeliveryStatus::Delivered, None));
    records.push(record(1, &other, DeliveryStatus::Pending, Some(at(1))));
    commit_records(&store, records.clone()).await;
    let store = reopen(store);
    let waiting = store.waiting(one.id.number, 10).await.unwrap();
    let wanted =
        [(2, 10), (3, 20), (1, 30)].map(|(position, due)| Waiting { id: delivery_id(position, &one), due: at(due) });
    assert_eq!(waiting, wanted);
    assert_eq!(store.waiting(one.id.number, 1).await.unwrap(), wanted[..1]);
    commit_records(&store, vec![pending(2, Some(at(40))), record(3, &one, DeliveryStatus::Failed, None)]).await;
    let due: Vec<Timestamp> = store.waiting(one.id.number, 10).await.unwrap().iter().map(|one| one.due).collect();
    assert_eq!(due, [at(30), at(40)]);
    assert_eq!(store.delivery(records[0].id).await.unwrap().as_ref(), Some(&records[0]));
    assert_eq!(store.delivery(delivery_id(8, &one)).await.unwrap(), None);
    let recorded = store.recorded(Position(1), Position(4)).await.unwrap();
    assert_eq!(recorded, [2, 3, 4].map(|position| delivery_id(position, &one)));
    assert_eq!(store.recorded(Position::START, Position(1)).await.unwrap().len(), 2);
    assert!(store.recorded(Position(4), Position(4)).await.unwrap().is_empty());
    let asked = [4, 9, 2].map(|position| delivery_id(position, &one));
    assert_eq!(store.recorded_of(asked.into()).await.unwrap(), [4, 2].map(|position| delivery_id(position, &one)));
}

pub(super) async fn records_are_found_among_any_number_of_others(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    fill_log(&store, 9).await;
    let mut endpoints = Vec::new();
    for _ in 0..12 {
        endpoints.push(store.create(endpoint(None)).await.unwrap());
    }
    let delivered = |position, endpoint| record(position, endpoint, DeliveryStatus::Delivered, None);
    // To all of them at the beginning of the log, and to the last one alone at its end.
    let mut records: Vec<_> = endpoints.iter().flat_map(|one| [1, 2, 4].map(|at| delivered(at, one))).collect();
    records.extend([6, 9].map(|position| delivered(position, &endpoints[11])));
    commit_records(&store, records).await;
    let store = reopen(store);
    for (endpoint, asked, wanted) in [
        (11, vec![1, 2, 3, 4, 5, 6, 7, 8, 9], vec![1, 2, 4, 6, 9]),
        (0, vec![1, 2, 3, 4, 5, 6, 7, 8, 9], vec![1, 2, 4]),
        (0, vec![3, 4, 5, 6, 7, 8, 9], vec![4]),
        (11, vec![5, 6, 7, 8, 9], vec![6, 9]),
        (11, vec![9, 8, 2], vec![9, 2]),
        (11, vec![5], vec![]),
        (11, vec![], vec![]),
    ] {
        let ids = |positions: &[u64]| positions.iter().map(|at| delivery_id(*at, &endpoints[endpoint])).collect();
        let wanted: Vec<_> = ids(&wanted);
        assert_eq!(store.recorded_of(ids(&asked)).await.unwrap(), wanted, "{asked:?} of {endpoint}");
    }
}

pub(super) async fn positions_are_set_moved_and_given_up(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    assert_eq!(store.positions().await.unwrap(), Positions::default());
    let one = store.create(endpoint(None)).await.unwrap().id.number;
    let other = store.create(endpoint(None)).await.unwrap().id.number;
    let unknown = EndpointNumber(999);
    let positions = vec![(one, Some(Position(3))), (other, Some(Position(4))), (unknown, Some(Position(5)))];
    let commit = DeliveryCommit { live_mark: Some(Position(9)), positions, ..DeliveryCommit::default() };
    store.commit_deliveries(commit).await.unwrap();
    let store = reopen(store);
    let own = vec![(one, Position(3)), (other, Position(4))];
    assert_eq!(store.positions().await.unwrap(), Positions { live_mark: Position(9), own });
    let narrow = store.positions_of(other..=other).await.unwrap();
    assert_eq!(narrow, Positions { live_mark: Position(9), own: vec![(other, Position(4))] });
    let positions = vec![(one, None), (other, Some(Position(6)))];
    store.commit_deliveries(DeliveryCommit { positions, ..DeliveryCommit::default() }).await.unwrap();
    let own = vec![(other, Position(6))];
    assert_eq!(store.positions().await.unwrap(), Positions { live_mark: Position(9), own });
}

pub(super) async fn positions_of_many_endpoints_are_taken_at_once(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let created = join_all((0..6_000).map(|_| store.create(endpoint(None)))).await;
    let numbers: Vec<EndpointNumber> = created.into_iter().map(|endpoint| endpoint.unwrap().id.number).collect();
    let positions = numbers.iter().map(|number| (*number, Some(Position(3)))).collect();
    let commit = DeliveryCommit { live_mark: Some(Position(9)), positions, ..DeliveryCommit::default() };
    store.commit_deliveries(commit).await.unwrap();
    let kept = reopen(store).positions().await.unwrap();
    assert_eq!(kept.live_mark, Position(9));
    assert_eq!(kept.own.len(), numbers.len());
    assert!(kept.own.iter().all(|(_, position)| *position == Position(3)));
}

pub(super) async fn a_large_delivery_commit_is_taken(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    fill_log(&store, 100).await;
    let one = store.create(endpoint(None)).await.unwrap();
    let failing = |position| {
        let mut record = record(position, &one, DeliveryStatus::Pending, Some(at(5)));
        record.attempts = (1..=20).map(attempt).collect();
        record.attempts.iter_mut().for_each(|attempt| attempt.response_body = Some("\u{fffd}".repeat(1024)));
        record
    };
    let records: Vec<_> = (1..=100).map(failing).collect();
    let commit =
        DeliveryCommit { records: records.clone(), live_mark: Some(Position(100)), ..DeliveryCommit::default() };
    store.commit_deliveries(commit).await.unwrap();
    let store = reopen(store);
    for record in &records {
        assert_eq!(store.delivery(record.id).await.unwrap().as_ref(), Some(record));
    }
    assert_eq!(store.positions().await.unwrap().live_mark, Position(100));
}

pub(super) async fn what_records_bring_about_is_told_and_kept_with_them(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    fill_log(&store, 100).await;
    let one = store.create(endpoint(None)).await.unwrap();
    let gone = store.create(endpoint(None)).await.unwrap();
    assert!(store.delete(gone.id).await.unwrap());
    assert_eq!(store.health(one.id.number).await.unwrap(), None);
    let consequence = |failures: u32| {
        let sight = sight_of(&snapshot(1, 1), at(200 + i64::from(failures)));
        let health = HealthRecord { consecutive_failures: failures, ..HealthRecord::default() };
        let told = vec![(sight, EventDraft::plain(EventType::DeliveryExhausted))];
        Consequence { health: Some(health), told, disabling: None }
    };
    // The first commit is one act, the second is too large for one.
    for (count, bytes, head) in [(2, 1, 102), (100, 1_024, 202)] {
        let mut records: Vec<_> = (1..=count)
            .map(|position| {
                let mut record = record(position, &one, DeliveryStatus::Failed, None);
                record.attempts = (1..=20).map(attempt).collect();
                record.attempts.iter_mut().for_each(|one| one.response_body = Some("\u{fffd}".repeat(bytes)));
                record
            })
            .collect();
        records.push(record(1, &gone, DeliveryStatus::Failed, None));
        let mut consequences: BTreeMap<_, _> = (0..count as usize).map(|at| (at, consequence(at as u32 + 1))).collect();
        consequences.insert(count as usize, Consequence { told: Vec::new(), ..consequence(9) });
        let mut heads = store.head();
        heads.borrow_and_update();
        store.commit_deliveries(DeliveryCommit { records, consequences, ..DeliveryCommit::default() }).await.unwrap();
        assert!(heads.has_changed().unwrap(), "whoever waits for events is woken");
        assert_eq!(*store.head().borrow(), Position(head));
        let health = store.health(one.id.number).await.unwrap().unwrap();
        assert_eq!(health.consecutive_failures, count as u32, "the last one counts");
    }
    let store = reopen(store);
    assert_eq!(store.health(gone.id.number).await.unwrap(), None, "of who is gone nothing is kept");
    let told = store.events_after(Position(100), 200).await.unwrap();
    assert!(told.len() == 102 && told.iter().all(|event| event.event_type == EventType::DeliveryExhausted));
    assert!(store.delete(one.id).await.unwrap());
    assert_eq!(store.health(one.id.number).await.unwrap(), None);
}

pub(super) async fn a_closed_store_takes_nothing_more(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    store.check().await.unwrap();
    fill_log(&store, 1).await;
    store.close().await;
    store.close().await;
    assert!(matches!(store.check().await, Err(StoreError::Closed)));
    assert!(matches!(store.commit_sights(Vec::new(), None).await, Err(StoreError::Closed)));
    let store = reopen(store);
    assert_eq!(*store.head().borrow(), Position(1));
    store.check().await.unwrap();
}

pub(super) async fn a_reader_never_sees_half_of_a_large_value(store: Arc<dyn Store>, _reopen: Reopen<'_>) {
    store.commit_sights(vec![silent(sized_snapshot(1, 0, 23_000))], None).await.unwrap();
    let writer = Arc::clone(&store);
    let mut writes = JoinSet::new();
    writes.spawn(async move {
        for version in 1..=300 {
            // Next to every character depends on the version, the size never does.
            let note = noise(version, 23_000);
            let object = Json::of(&json!({"version": version, "note": note}));
            let snapshot = Snapshot { object, ..snapshot(1, version) };
            writer.commit_sights(vec![silent(snapshot)], None).await.unwrap();
        }
    });
    while writes.try_join_next().is_none() {
        let found = store.snapshots(&source(), Kind::Certificate, &[resource_id(1)]).await.unwrap();
        let snapshot = found[0].as_ref().unwrap();
        let object = snapshot.object.fields();
        let note = object["note"].as_str().unwrap();
        assert_eq!(object["version"].to_string(), snapshot.object_version.to_string());
        assert!(
            snapshot.object_version == 0 || note == noise(snapshot.object_version, 23_000),
            "a mixture of two versions"
        );
    }
}
