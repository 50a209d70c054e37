//! What every backend does with the lists by creation: whatever is asked for, the pages one after the other are the
//! list that a filter over everything gives.

use std::sync::Arc;
use std::time::Duration;

use certhook::model::criteria::{Criteria, CustomerId, ListPlace, Window};
use certhook::model::json::Json;
use certhook::model::resource::{Kind, OpenList, ResourceKey, Snapshot, SourceName};
use certhook::model::source::SourceProgress;
use certhook::store::{ENTRIES_READ_MAX, SnapshotQuery, Store, StoreError};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::conformance::Reopen;
use super::samples::*;

pub(super) fn sources() -> Vec<SourceName> {
    ["numeral", "numeral-2"].map(|name| name.parse().unwrap()).into()
}

/// What is varied of a resource.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    source: usize,
    kind: Kind,
    number: u64,
    /// Seconds; `None`: it does not tell.
    created: Option<i64>,
    customer: Option<u8>,
    reference: Option<u8>,
    status: &'static str,
    is_removed: bool,
}

impl Sample {
    fn snapshot(&self) -> Snapshot {
        let text = |id: Option<u8>| id.map_or(Value::Null, |id| json!(format!("c{id}")));
        let customer = self
            .customer
            .or(self.reference)
            .map(|_| json!({"id": text(self.customer), "reference_customer_id": text(self.reference)}));
        let mut object = json!({"status": self.status, "customer": customer, "note": noise(self.number, self.number as usize % 3 * 4_000)});
        if let Some(created) = self.created {
            object["created_at"] = json!(at(created * 1_000));
        }
        let key = ResourceKey { source: sources()[self.source].clone(), kind: self.kind, id: resource_id(self.number) };
        let snapshot = Snapshot {
            key,
            object: Json::of(&object),
            open_list: OpenList::of(self.kind, Some(self.status)),
            ..snapshot(self.number, 1)
        };
        if self.is_removed { removed(snapshot) } else { snapshot }
    }
}

pub(super) fn samples() -> impl Strategy<Value = Sample> {
    let few = || prop::option::weighted(0.8, 0..2_u8);
    let status = prop::sample::select(vec!["processing", "needs_info", "active", "pending"]);
    let kind = prop::sample::select(&Kind::ALL[..]);
    let created = prop::option::weighted(0.9, 0..4_i64);
    (0..2_usize, kind, 0..6_u64, created, few(), few(), status, prop::bool::weighted(0.2)).prop_map(
        |(source, kind, number, created, customer, reference, status, is_removed)| Sample {
            source,
            kind,
            number,
            created,
            customer,
            reference,
            status,
            is_removed,
        },
    )
}

pub(super) fn queries() -> impl Strategy<Value = SnapshotQuery> {
    let customer = prop_oneof![
        2 => Just(None),
        1 => (0..3_u8).prop_map(|id| Some(CustomerId::Upstream(format!("c{id}")))),
        1 => (0..3_u8).prop_map(|id| Some(CustomerId::Reference(format!("c{id}")))),
    ];
    let status = prop::option::of(prop::sample::select(vec!["processing", "active", "pending"]));
    let bound = || prop::option::of((0..4_i64).prop_map(|second| at(second * 1_000)));
    let window = (bound(), bound()).prop_map(|(after, before)| Window { after, before });
    let of = prop::sample::select(vec![sources(), sources()[..1].to_vec(), sources()[1..].to_vec(), Vec::new()]);
    let kind = prop::sample::select(&Kind::ALL[..]);
    (kind, of, customer, status, window, prop::bool::weighted(0.3), any::<bool>(), 1..5_usize).prop_map(
        |(kind, sources, customer, status, created, removed, ascending, limit)| {
            let criteria = Criteria { status, customer, created, ..Criteria::default() };
            SnapshotQuery { kind, sources, criteria, removed, after: None, ascending, limit }
        },
    )
}

/// Every page, one after the other.
async fn walk(store: &Arc<dyn Store>, query: &SnapshotQuery) -> Vec<Snapshot> {
    let mut query = query.clone();
    let mut all = Vec::new();
    loop {
        let page = store.listed(query.clone()).await.unwrap();
        assert!(page.found.len() <= query.limit);
        assert!(page.next.is_none() || page.found.len() == query.limit, "so few are read that every page is full");
        all.extend(page.found);
        query.after = page.next;
        if query.after.is_none() {
            return all;
        }
    }
}

fn filtered(all: &[Snapshot], query: &SnapshotQuery) -> Vec<Snapshot> {
    let is_meant =
        |one: &&Snapshot| one.key.kind == query.kind && query.sources.contains(&one.key.source) && query.means(one);
    let mut listed: Vec<Snapshot> = all.iter().filter(is_meant).cloned().collect();
    listed.sort_by_key(ListPlace::of);
    if !query.ascending {
        listed.reverse();
    }
    listed
}

/// That the snapshots of a source have been looked through, so that all that are open say so.
fn planned(source: &SourceName) -> SourceProgress {
    SourceProgress { agenda_for: Some("something".into()), ..SourceProgress::new(source.clone(), at(0)) }
}

/// Commits samples in rounds, with a restart between them, and compares every list with a filter over everything.
pub(super) async fn agree(
    store: Arc<dyn Store>,
    reopen: Reopen<'_>,
    rounds: Vec<Vec<Sample>>,
    queries: Vec<SnapshotQuery>,
    is_planned: bool,
) {
    let mut store = store;
    let mut all: Vec<Snapshot> = Vec::new();
    for source in sources().iter().filter(|_| is_planned) {
        store.commit_sights(Vec::new(), Some(planned(source))).await.unwrap();
    }
    for round in rounds {
        let snapshots: Vec<Snapshot> = round.iter().map(Sample::snapshot).collect();
        for snapshot in &snapshots {
            all.retain(|known| known.key != snapshot.key);
            all.push(snapshot.clone());
        }
        store.commit_sights(snapshots.into_iter().map(silent).collect(), None).await.unwrap();
        for query in &queries {
            assert_eq!(walk(&store, query).await, filtered(&all, query), "{query:?}");
        }
        store = reopen(store);
    }
}

pub(super) fn every() -> SnapshotQuery {
    SnapshotQuery {
        kind: Kind::Certificate,
        sources: sources(),
        criteria: Criteria::default(),
        removed: false,
        after: None,
        ascending: false,
        limit: 100,
    }
}

/// Certificates by number, created a second apart, a hundred of a customer each.
pub(super) fn numbered(number: u64, status: &'static str) -> Snapshot {
    let (created, customer) = (Some(number as i64), Some((number / 100 % 100) as u8));
    let kind = Kind::Certificate;
    let sample =
        Sample { source: 0, kind, number: 3 * number, created, customer, reference: None, status, is_removed: false };
    sample.snapshot()
}

pub(super) async fn fill(store: &Arc<dyn Store>, numbers: std::ops::Range<u64>) {
    let numbers: Vec<u64> = numbers.collect();
    for some in numbers.chunks(500) {
        let commits = some.iter().map(|number| silent(numbered(*number, "active"))).collect();
        store.commit_sights(commits, None).await.unwrap();
    }
}

pub(super) async fn a_page_of_a_list_reads_no_more_than_it_may(store: Arc<dyn Store>, _reopen: Reopen<'_>) {
    let count = ENTRIES_READ_MAX as u64 + 2;
    fill(&store, 0..count).await;
    let oldest = silent(numbered(0, "needs_info"));
    store.commit_sights(vec![oldest], None).await.unwrap();
    let criteria = Criteria { status: Some("needs_info"), ..Criteria::default() };
    let query = SnapshotQuery { criteria: criteria.clone(), limit: 10, ..every() };
    let page = store.listed(query.clone()).await.unwrap();
    assert_eq!(page.found, []);
    assert_eq!(page.next, Some(ListPlace::of(&numbered(2, "active"))), "enough was read");
    let rest = store.listed(SnapshotQuery { after: page.next, ..query.clone() }).await.unwrap();
    assert_eq!((rest.found.len(), rest.next), (1, None));

    let of_customer = Criteria { customer: Some(CustomerId::Upstream("c0".into())), ..criteria };
    let page = store.listed(SnapshotQuery { criteria: of_customer, ..query.clone() }).await.unwrap();
    assert_eq!((page.found.len(), page.next), (1, None), "a customer has few");
    store.commit_sights(Vec::new(), Some(planned(&source()))).await.unwrap();
    let page = store.listed(SnapshotQuery { sources: vec![source()], ..query }).await.unwrap();
    assert_eq!((page.found.len(), page.next), (1, None), "an open list has few, once all that are open say so");
}

pub(super) async fn what_stays_is_on_exactly_one_page_while_all_around_it_changes(
    store: Arc<dyn Store>,
    _reopen: Reopen<'_>,
) {
    let stays: Vec<Snapshot> = (0..150).map(|number| numbered(2 * number, "active")).collect();
    store.commit_sights(stays.iter().cloned().map(silent).collect(), None).await.unwrap();
    let busy = Arc::clone(&store);
    let mut writes = JoinSet::new();
    writes.spawn(async move {
        for round in 0..150_u64 {
            // Neighbours come, go, move to other customers and times; and what stays is seen again, with other words.
            let moved = (0..20).map(|nth| {
                let number = 2 * ((round * 37 + nth * 7) % 150) + 1;
                let mut neighbour = numbered(number + round % 3 * 50, "active");
                neighbour.key.id = resource_id(1_000_000 + number);
                if round % 4 == 0 { removed(neighbour) } else { neighbour }
            });
            let seen = (0..20).map(|nth| {
                let mut seen = numbered(2 * ((round * 11 + nth) % 150), "active");
                seen.object_version = round;
                seen
            });
            busy.commit_sights(moved.chain(seen).map(silent).collect(), None).await.unwrap();
        }
    });
    let is_even = |one: &Snapshot| one.key.id.as_str().len() < 9;
    let one_customer = Criteria { customer: Some(CustomerId::Upstream("c1".into())), ..Criteria::default() };
    while writes.try_join_next().is_none() {
        for (criteria, ascending, limit) in
            [(Criteria::default(), false, 7), (Criteria::default(), true, 30), (one_customer.clone(), false, 3)]
        {
            let query = SnapshotQuery { criteria, ascending, limit, ..every() };
            let found: Vec<ResourceKey> =
                walk(&store, &query).await.into_iter().filter(is_even).map(|one| one.key).collect();
            let wanted: Vec<ResourceKey> = filtered(&stays, &query).into_iter().map(|one| one.key).collect();
            assert_eq!(found, wanted, "{query:?}");
        }
    }
}

/// Waits for the lists of a store that an older version wrote.
pub(super) async fn made(store: &Arc<dyn Store>) {
    for _ in 0..3_000 {
        match store.listed(every()).await {
            Ok(_) => return,
            Err(StoreError::NotListed) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the lists are not made");
}
