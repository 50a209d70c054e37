//! The store against plain maps: whatever is committed in whatever order, with restarts in between, both say the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use certhook::model::delivery::{DeliveryRecord, DeliveryStatus};
use certhook::model::endpoint::Endpoint;
use certhook::model::id::{DeliveryId, Position};
use certhook::model::resource::{Absence, AbsenceState, Agenda, Kind, OpenList, Snapshot};
use certhook::model::time::Timestamp;
use certhook::store::{DeliveryCommit, DeliveryQuery, SightCommit, Store, Trace};
use proptest::prelude::*;

use super::conformance::Reopen;
use super::lists::assert_in_step;
use super::samples::*;

const RESOURCES: u64 = 6;
const ENDPOINTS: usize = 2;
const POSITIONS: u64 = 20;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Sights(Vec<Look>),
    /// Records: endpoint, position, status, when it is due.
    Deliveries(Vec<(usize, u64, u8, i64)>, u64),
    Reopen,
}

/// What becomes of one resource in one commit.
#[derive(Clone, Debug)]
pub(super) struct Look {
    resource: u64,
    /// The size of its object.
    size: usize,
    /// How many events each sight of it gives.
    told: Vec<usize>,
    is_gone: bool,
    open_list: Option<OpenList>,
    remind_at: Option<i64>,
    fetch_at: Option<i64>,
    /// The entry that it gets among the absent ones, or loses.
    absence: Option<Option<AbsenceState>>,
}

fn looks() -> impl Strategy<Value = Look> {
    let size = prop_oneof![4 => 0..400_usize, 1 => 5_000..20_000_usize];
    let states = [AbsenceState::Withheld, AbsenceState::Kept, AbsenceState::Confirmed];
    let absence = prop::option::of(prop::option::of(prop::sample::select(states.to_vec())));
    let told = prop::collection::vec(0..4_usize, 0..3);
    let due = || prop::option::of(0..4_i64);
    let lists = prop::option::of(prop::sample::select(&OpenList::ALL[..3]));
    (0..RESOURCES, size, told, prop::bool::weighted(0.2), lists, due(), due(), absence).prop_map(
        |(resource, size, told, is_gone, open_list, remind_at, fetch_at, absence)| Look {
            resource,
            size,
            told,
            is_gone,
            open_list,
            remind_at,
            fetch_at,
            absence,
        },
    )
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let record = (0..ENDPOINTS, 1..=POSITIONS, 0..4_u8, 0..50_i64);
    let step = prop_oneof![
        4 => prop::collection::vec(looks(), 0..8).prop_map(Step::Sights),
        4 => (prop::collection::vec(record, 0..8), 0..100_u64).prop_map(|(records, mark)| Step::Deliveries(records, mark)),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..12)
}

/// What the store should hold.
#[derive(Default)]
struct Model {
    snapshots: BTreeMap<u64, Snapshot>,
    absences: BTreeMap<u64, Absence>,
    bodies: Vec<(Timestamp, u64, usize)>,
    records: BTreeMap<DeliveryId, DeliveryRecord>,
    live_mark: u64,
    version: u64,
}

impl Model {
    fn sights(&mut self, looks: &[Look]) -> Vec<SightCommit> {
        looks.iter().map(|look| self.sight(look)).collect()
    }

    fn sight(&mut self, look: &Look) -> SightCommit {
        self.version += 1;
        let agenda = Agenda { remind_at: look.remind_at.map(at), fetch_at: look.fetch_at.map(at), ..Agenda::default() };
        let snapshot = sized_snapshot(look.resource, self.version, look.size);
        let snapshot = Snapshot { open_list: look.open_list, agenda, ..snapshot };
        let snapshot = if look.is_gone { removed(snapshot) } else { snapshot };
        self.snapshots.insert(look.resource, snapshot.clone());
        let mut commit = silent(snapshot.clone());
        for (events, nth) in look.told.iter().zip(0..) {
            let instant = at(((self.version * 7 + nth * 5) % 11) as i64);
            commit.told.extend(told(snapshot.clone(), instant, *events).told);
            let instant = self.bodies.last().map_or(instant, |(last, _, _)| instant.max(*last));
            self.bodies.extend((0..*events).map(|nth| (instant, self.version, nth)));
        }
        commit.absence = look.absence.map(|state| {
            let absence = state.map(|state| Absence { key: key(look.resource), state, since: at(look.size as i64) });
            match absence.clone() {
                Some(absence) => drop(self.absences.insert(look.resource, absence)),
                None => drop(self.absences.remove(&look.resource)),
            }
            (key(look.resource), absence)
        });
        commit
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
        self.lists_agree_with(store).await;
        self.deliveries_agree_with(store, endpoints).await;
    }

    async fn lists_agree_with(&self, store: &Arc<dyn Store>) {
        let certificates = Kind::Certificate;
        // There are so few that their ids sort like their numbers.
        let all: Vec<_> = self.snapshots.values().cloned().collect();
        assert_eq!(store.snapshots_after(&source(), certificates, None, 100).await.unwrap(), all);
        let ids: Vec<_> = all.iter().map(|one| (one.key.id.clone(), one.removed.is_some())).collect();
        assert_eq!(store.ids_after(&source(), certificates, None, 100).await.unwrap(), ids);
        let traces: Vec<_> = all.iter().cloned().map(Trace::of).collect();
        assert_eq!(store.traces_after(&source(), certificates, None, 100).await.unwrap(), traces);
        assert_in_step(store, &source(), &all).await;
        let absences: Vec<_> = self.absences.values().cloned().collect();
        assert_eq!(store.absences_after(&source(), None, 100).await.unwrap(), absences);
        let ids: Vec<_> = (0..RESOURCES).map(resource_id).collect();
        let wanted: Vec<_> = (0..RESOURCES).map(|number| self.absences.get(&number).cloned()).collect();
        assert_eq!(store.absences(&source(), certificates, &ids).await.unwrap(), wanted);
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
