//! The store against plain maps: whatever is committed in whatever order, with restarts in between, both say the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use certhook::model::delivery::{DeliveryRecord, DeliveryStatus};
use certhook::model::endpoint::Endpoint;
use certhook::model::id::{DeliveryId, Position};
use certhook::model::resource::{Kind, Snapshot};
use certhook::model::time::Timestamp;
use certhook::store::{DeliveryCommit, DeliveryQuery, SightCommit, Store};
use proptest::prelude::*;

use super::conformance::Reopen;
use super::samples::*;

const RESOURCES: u64 = 6;
const ENDPOINTS: usize = 2;
const POSITIONS: u64 = 20;

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Sights: resource, size of its object, how many events, whether it is gone.
    Sights(Vec<(u64, usize, usize, bool)>),
    /// Records: endpoint, position, status, when it is due.
    Deliveries(Vec<(usize, u64, u8, i64)>, u64),
    Reopen,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![4 => 0..400_usize, 1 => 5_000..20_000_usize];
    let sight = (0..RESOURCES, size, 0..4_usize, prop::bool::weighted(0.2));
    let record = (0..ENDPOINTS, 1..=POSITIONS, 0..4_u8, 0..50_i64);
    let step = prop_oneof![
        4 => prop::collection::vec(sight, 0..8).prop_map(Step::Sights),
        4 => (prop::collection::vec(record, 0..8), 0..100_u64).prop_map(|(records, mark)| Step::Deliveries(records, mark)),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..12)
}

/// What the store should hold.
#[derive(Default)]
struct Model {
    snapshots: BTreeMap<u64, Snapshot>,
    bodies: Vec<(Timestamp, u64, usize)>,
    records: BTreeMap<DeliveryId, DeliveryRecord>,
    live_mark: u64,
    version: u64,
}

impl Model {
    fn sights(&mut self, sights: &[(u64, usize, usize, bool)]) -> Vec<SightCommit> {
        let mut commits = Vec::new();
        for &(number, size, events, gone) in sights {
            self.version += 1;
            let snapshot = sized_snapshot(number, self.version, size);
            let snapshot = if gone { removed(snapshot) } else { snapshot };
            self.snapshots.insert(number, snapshot.clone());
            let instant = at((self.version * 7 % 11) as i64);
            let instant = self.bodies.last().map_or(instant, |(last, _, _)| instant.max(*last));
            self.bodies.extend((0..events).map(|nth| (instant, self.version, nth)));
            commits.push(told(snapshot, at((self.version * 7 % 11) as i64), events));
        }
        commits
    }

    fn deliveries(&mut self, records: &[(usize, u64, u8, i64)], mark: u64, endpoints: &[Endpoint]) -> DeliveryCommit {
        let mut commit = DeliveryCommit { live_mark: Some(Position(mark)), ..DeliveryCommit::default() };
        self.live_mark = mark;
        for &(endpoint, position, status, due) in records {
            let record = match status {
                0 => record(position, &endpoints[endpoint], DeliveryStatus::Pending, Some(at(due))),
                1 => record(position, &endpoints[endpoint], DeliveryStatus::Pending, None),
                2 => record(position, &endpoints[endpoint], DeliveryStatus::Delivered, None),
                _ => record(position, &endpoints[endpoint], DeliveryStatus::Failed, None),
            };
            self.records.insert(record.id, record.clone());
            commit.records.push(record);
        }
        commit
    }

    async fn agrees_with(&self, store: &Arc<dyn Store>, endpoints: &[Endpoint]) {
        let ids: Vec<_> = (0..RESOURCES).map(resource_id).collect();
        let found = store.snapshots(&source(), Kind::Certificate, &ids).await.unwrap();
        let wanted: Vec<_> = (0..RESOURCES).map(|number| self.snapshots.get(&number).cloned()).collect();
        assert_eq!(found, wanted);
        let listed = self.snapshots.values().filter(|snapshot| snapshot.removed.is_none()).count();
        assert_eq!(store.snapshot_count(&source(), Kind::Certificate).await.unwrap(), listed as u64);
        assert_eq!(store.head().borrow().0, self.bodies.len() as u64);
        let events = store.events_after(Position::START, 1_000).await.unwrap();
        let mut back = store.events_before(Position(u64::MAX), 1_000).await.unwrap();
        back.reverse();
        assert_eq!(events, back);
        let told: Vec<_> =
            events.iter().map(|event| (event.timestamp(), event.sight.detection.object_version)).collect();
        let wanted: Vec<_> = self.bodies.iter().map(|(instant, version, _)| (*instant, *version)).collect();
        assert_eq!(told, wanted);
        self.deliveries_agree_with(store, endpoints).await;
    }

    async fn deliveries_agree_with(&self, store: &Arc<dyn Store>, endpoints: &[Endpoint]) {
        assert_eq!(store.positions().await.unwrap().live_mark, Position(self.live_mark));
        let recorded = store.recorded(Position::START, Position(POSITIONS)).await.unwrap();
        assert_eq!(recorded, self.records.keys().copied().collect::<Vec<_>>());
        for endpoint in endpoints {
            let waiting = store.waiting(endpoint.id.number, 1_000).await.unwrap();
            let waiting: Vec<_> = waiting.into_iter().map(|waiting| (waiting.due, waiting.id)).collect();
            let own = self.records.values().filter(|record| record.endpoint_id == endpoint.id);
            let mut wanted: Vec<_> = own.filter_map(|record| Some((record.next_attempt_at?, record.id))).collect();
            wanted.sort_unstable();
            assert_eq!(waiting, wanted);
        }
        let query = DeliveryQuery { ascending: true, limit: 1_000, ..DeliveryQuery::default() };
        let listed = store.deliveries(query).await.unwrap().found;
        let head = *store.head().borrow();
        let wanted: Vec<_> = self.records.values().filter(|record| record.id.position <= head).cloned().collect();
        assert_eq!(listed, wanted);
    }
}

/// Does the steps to a new store and to maps, and compares after each.
pub(super) async fn agree(mut store: Arc<dyn Store>, reopen: Reopen<'_>, steps: Vec<Step>) {
    let mut model = Model::default();
    let mut endpoints = Vec::new();
    for _ in 0..ENDPOINTS {
        endpoints.push(store.create(endpoint(None)).await.unwrap());
    }
    for step in steps {
        match step {
            Step::Sights(sights) => store.commit_sights(model.sights(&sights), None).await.unwrap(),
            Step::Deliveries(records, mark) => {
                store.commit_deliveries(model.deliveries(&records, mark, &endpoints)).await.unwrap();
            }
            Step::Reopen => store = reopen(store),
        }
        model.agrees_with(&store, &endpoints).await;
    }
}
