//! What every backend answers to who looks through delivery records.

use std::sync::Arc;

use certhook::model::delivery::{DeliveryRecord, DeliveryStatus};
use certhook::model::endpoint::Endpoint;
use certhook::model::id::{DeliveryId, Position};
use certhook::store::{DeliveryQuery, ENTRIES_READ_MAX, Store};
use tokio::task::JoinSet;

use super::conformance::Reopen;
use super::samples::*;

/// Events 1 to 60, each delivered to the first endpoint; every third also waits for the second.
async fn a_history(store: &Arc<dyn Store>) -> (Endpoint, Endpoint, Vec<DeliveryRecord>) {
    fill_log(store, 60).await;
    let one = store.create(endpoint(None)).await.unwrap();
    let other = store.create(endpoint(None)).await.unwrap();
    let mut records = Vec::new();
    for position in 1..=60 {
        records.push(record(position, &one, DeliveryStatus::Delivered, None));
        if position % 3 == 0 {
            let due = (position % 2 == 0).then(|| at(1000 - position as i64));
            records.push(record(position, &other, DeliveryStatus::Pending, due));
        }
    }
    commit_records(store, records.clone()).await;
    (one, other, records)
}

/// All pages of a list, one after the other.
async fn read(store: &Arc<dyn Store>, query: &DeliveryQuery) -> Vec<DeliveryId> {
    let mut found = Vec::new();
    let mut query = query.clone();
    loop {
        let page = store.deliveries(query.clone()).await.unwrap();
        assert!(page.found.len() <= query.limit);
        found.extend(page.found.iter().map(|record| record.id));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return found,
        }
    }
}

pub(super) async fn lists_of_deliveries_hold_what_matches_in_their_order(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let (one, other, records) = a_history(&store).await;
    let store = reopen(store);
    type Matches<'a> = Box<dyn Fn(&DeliveryRecord) -> bool + 'a>;
    let all = DeliveryQuery::default();
    let of = |endpoint: &Endpoint| Some(endpoint.id.number);
    let table: Vec<(DeliveryQuery, Matches<'_>)> = vec![
        (all.clone(), Box::new(|_| true)),
        (DeliveryQuery { endpoint: of(&one), ..all.clone() }, Box::new(|record| record.endpoint_id == one.id)),
        (DeliveryQuery { endpoint: of(&other), ..all.clone() }, Box::new(|record| record.endpoint_id == other.id)),
        (DeliveryQuery { position: Some(Position(6)), ..all.clone() }, Box::new(|record| record.id.position.0 == 6)),
        (
            DeliveryQuery { position: Some(Position(6)), endpoint: of(&other), ..all.clone() },
            Box::new(|record| record.id == delivery_id(6, &other)),
        ),
        (
            DeliveryQuery { resource_id: Some(resource_id(9)), ..all.clone() },
            Box::new(|record| record.id.position.0 == 9),
        ),
        (
            DeliveryQuery { status: Some(DeliveryStatus::Pending), ..all.clone() },
            Box::new(|record| record.status == DeliveryStatus::Pending),
        ),
        (
            DeliveryQuery { status: Some(DeliveryStatus::Pending), endpoint: of(&one), ..all.clone() },
            Box::new(|_| false),
        ),
        (
            DeliveryQuery { status: Some(DeliveryStatus::Delivered), endpoint: of(&one), ..all.clone() },
            Box::new(|record| record.status == DeliveryStatus::Delivered),
        ),
        (
            DeliveryQuery { since: Some(at(10)), until: Some(at(20)), ..all.clone() },
            Box::new(|record| (10..20).contains(&record.id.position.0)),
        ),
        (DeliveryQuery { until: Some(at(1)), ..all.clone() }, Box::new(|_| false)),
        (DeliveryQuery { since: Some(at(61)), ..all.clone() }, Box::new(|_| false)),
        (DeliveryQuery { position: Some(Position(99)), ..all.clone() }, Box::new(|_| false)),
    ];
    for (query, matches) in &table {
        for (ascending, limit) in [(true, 100), (false, 100), (true, 1), (false, 7)] {
            let query = DeliveryQuery { ascending, limit, ..query.clone() };
            let mut wanted: Vec<_> = records.iter().filter(|record| matches(record)).map(|record| record.id).collect();
            wanted.sort_unstable();
            if !ascending {
                wanted.reverse();
            }
            assert_eq!(read(&store, &query).await, wanted, "{query:?}");
        }
    }
}

pub(super) async fn a_page_that_is_full_says_truly_whether_there_is_more(store: Arc<dyn Store>, _reopen: Reopen<'_>) {
    let (_, _, records) = a_history(&store).await;
    let query = DeliveryQuery { limit: records.len(), ..DeliveryQuery::default() };
    assert!(store.deliveries(query.clone()).await.unwrap().next.is_none());
    let query = DeliveryQuery { limit: records.len() - 1, ..query };
    assert!(store.deliveries(query).await.unwrap().next.is_some());
}

pub(super) async fn a_page_reads_no_more_than_it_may(store: Arc<dyn Store>, _reopen: Reopen<'_>) {
    let events = ENTRIES_READ_MAX as u64 + 2;
    fill_log(&store, events).await;
    let one = store.create(endpoint(None)).await.unwrap();
    let mut records: Vec<_> =
        (1..=events).map(|position| record(position, &one, DeliveryStatus::Pending, Some(at(5)))).collect();
    records.iter_mut().for_each(|record| record.attempts.clear());
    commit_records(&store, records).await;
    let query = DeliveryQuery { resource_id: Some(resource_id(1)), limit: 10, ..DeliveryQuery::default() };
    let page = store.deliveries(query.clone()).await.unwrap();
    assert_eq!((page.found.len(), page.next.map(|next| next.position)), (0, Some(Position(3))));
    let page = store.deliveries(DeliveryQuery { after: page.next, ..query }).await.unwrap();
    assert_eq!((page.found.len(), page.next), (1, None));
    let pending = DeliveryQuery { status: Some(DeliveryStatus::Pending), limit: 3, ..DeliveryQuery::default() };
    let page = store.deliveries(pending).await.unwrap();
    let newest: Vec<_> = page.found.iter().map(|record| record.id.position.0).collect();
    assert_eq!(newest, [events, events - 1, events - 2], "too many are pending to be sorted, and still in order");
}

pub(super) async fn lists_hold_what_nobody_touches_while_all_around_it_changes(
    store: Arc<dyn Store>,
    _reopen: Reopen<'_>,
) {
    fill_log(&store, 600).await;
    let one = store.create(endpoint(None)).await.unwrap();
    let untouched: Vec<u64> = (1..=300).map(|number| 2 * number).collect();
    let pending = |position: &u64| record(*position, &one, DeliveryStatus::Pending, Some(at(*position as i64 * 100)));
    commit_records(&store, untouched.iter().map(pending).collect()).await;
    let (busy, receiver) = (Arc::clone(&store), one.clone());
    let mut writes = JoinSet::new();
    writes.spawn(async move {
        for round in 0..300_u64 {
            // Entries come and go at changing places, so that the tree's leaves are split and merged.
            let comes = round % 40 < 20;
            let status = if comes { DeliveryStatus::Pending } else { DeliveryStatus::Delivered };
            let moved = (0..40).map(|nth| {
                let position = 2 * ((round * 37 + nth * 7) % 300) + 1;
                record(position, &receiver, status, comes.then(|| at(((round + nth) * 7919 % 60_000) as i64)))
            });
            commit_records(&busy, moved.collect()).await;
        }
    });
    let even = |ids: Vec<DeliveryId>| -> Vec<u64> {
        ids.iter().map(|id| id.position.0).filter(|position| position.is_multiple_of(2)).collect()
    };
    while writes.try_join_next().is_none() {
        let waiting = store.waiting(one.id.number, usize::MAX).await.unwrap();
        assert!(waiting.is_sorted_by_key(|one| one.due));
        assert_eq!(even(waiting.iter().map(|one| one.id).collect()), untouched);
        for (ascending, status) in [(true, None), (false, None), (false, Some(DeliveryStatus::Pending))] {
            let query = DeliveryQuery { ascending, status, limit: 1000, ..DeliveryQuery::default() };
            let mut found = even(read(&store, &query).await);
            if !ascending {
                found.reverse();
            }
            assert_eq!(found, untouched);
        }
    }
}
