//! What is under test, and what may happen to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use certhook::clock::{Clock, SystemClock};
use certhook::deliver::forget_former_secrets;
use certhook::model::delivery::{DeliveryStatus, Outcome};
use certhook::model::endpoint::{EndpointStatus, Ordering};
use certhook::model::event::Event;
use certhook::model::filter::Filter;
use certhook::model::id::{DeliveryId, EndpointId, Position};
use certhook::model::json::Json;
use certhook::model::resource::{Kind, Snapshot};
use certhook::model::time::Timestamp;
use certhook::store::SightCommit;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Dice;
use super::asked::Asked;
use crate::queue::receivers::{Answers, Receivers, by_chance};
use crate::queue::resync::{progress, snapshot};
use crate::queue::rig::{Bench, TestClock};
use crate::support::memory::Memory;

/// More than a queue lets be ready at a time, so that it falls behind.
const BURST: u64 = 300;

/// More than it lets wait behind others.
const FLOOD: u64 = 1_100;

const ENDPOINTS_MAX: usize = 8;
const RESOURCES: u64 = 6;
pub(super) const RETRY: Duration = Duration::from_millis(10);

/// How much of what the store in memory writes takes its time, and how long.
const SLOW: (u64, u64) = (4, 4_000);

/// What a run is made of.
#[derive(Clone, Copy)]
pub(super) enum Over {
    /// The real store, and time as it goes.
    Disk,
    /// A store in memory, and time that goes on when everybody waits.
    Memory,
}

impl Over {
    pub(super) fn steps(self) -> usize {
        match self {
            Self::Disk => 120,
            Self::Memory => 32,
        }
    }
}

/// An endpoint as the test knows it.
pub(super) struct Subscriber {
    pub(super) id: EndpointId,
    pub(super) host: String,
    /// Where it began, and what it was told to skip since.
    pub(super) first: Position,
    pub(super) start: Position,
    /// All that it ever had: an event that one of them keeps out may or may not arrive.
    filters: Vec<Filter>,
    pub(super) deleted: bool,
    /// When an operator made everything due that waited: from when until when he asked.
    pub(super) recovered: Vec<(Timestamp, Timestamp)>,
}

impl Subscriber {
    pub(super) fn new(id: EndpointId, host: String, start: Position, filter: Filter) -> Self {
        let (filters, recovered) = (vec![filter], Vec::new());
        Self { id, host, first: start, start, filters, deleted: false, recovered }
    }

    pub(super) fn must_get(&self, resource: &str) -> bool {
        self.filters.iter().all(|filter| lets_through(filter, resource))
    }

    pub(super) fn may_get(&self, resource: &str) -> bool {
        self.filters.iter().any(|filter| lets_through(filter, resource))
    }
}

fn lets_through(filter: &Filter, resource: &str) -> bool {
    filter.customer_ids.is_empty() || filter.customer_ids.iter().any(|id| *id == format!("cus_{resource}"))
}

fn resource(index: u64) -> String {
    format!("r{index}")
}

pub(super) fn resources() -> impl Iterator<Item = String> {
    (0..RESOURCES).map(resource)
}

/// That a resource exists.
pub(super) fn present(id: String) -> SightCommit {
    let object = Json::of(&json!({"id": id, "customer": {"id": format!("cus_{id}")}}));
    let snapshot = Snapshot { object, ..snapshot(Kind::Certificate, &id, "US-CA") };
    SightCommit { snapshot: Some(snapshot), ..SightCommit::default() }
}

pub(super) struct World {
    pub(super) bench: Bench,
    pub(super) receivers: Arc<Receivers>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) dice: Dice,
    /// The store, if it is the one in memory.
    pub(super) memory: Option<Arc<Memory>>,
    pub(super) subscribers: Vec<Subscriber>,
    /// Deliveries that were canceled by hand.
    pub(super) canceled: BTreeSet<DeliveryId>,
    pub(super) asked: Vec<Asked>,
    /// The log as far as it was read.
    pub(super) log: Vec<Arc<Event>>,
    forgetting: Option<(CancellationToken, JoinHandle<()>)>,
}

impl World {
    pub(super) async fn new(seed: u64, over: Over) -> Self {
        let mut dice = Dice(seed);
        let in_flight_max = 1 + dice.index(24);
        let answers = by_chance(Dice(seed ^ 0xff));
        let mut world = match over {
            Over::Disk => {
                let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
                let receivers = Receivers::new(answers, in_flight_max, Arc::clone(&clock), None);
                Self::of(Bench::over(Arc::clone(&receivers) as _).await, receivers, clock, None)
            }
            Over::Memory => {
                let world = Self::in_memory(Dice(seed ^ 0xf0), answers, in_flight_max);
                let mut slow = Dice(seed ^ 0x0f);
                world.memory().disk().take_time(move || {
                    let is_slow = slow.below(SLOW.0) == 0;
                    if is_slow { Duration::from_micros(slow.below(SLOW.1)) } else { Duration::ZERO }
                });
                world
            }
        };
        let settings = &mut world.bench.settings;
        settings.max_in_flight = in_flight_max;
        settings.per_endpoint_in_flight = 1 + dice.index(8);
        settings.retry = vec![RETRY; 3];
        settings.circuit.probe = Duration::from_millis(1 + dice.below(200));
        settings.disable_after = Duration::from_millis(20 + dice.below(500));
        world.dice = dice;
        world
            .bench
            .store
            .commit_sights(resources().map(present).collect(), Some(progress(true)))
            .await
            .expect("they are kept");
        world
    }

    /// Over a store in memory; chance is for the loop.
    pub(super) fn in_memory(chance: Dice, answers: Answers, in_flight_max: usize) -> Self {
        let memory = Arc::new(Memory::new());
        let clock: Arc<dyn Clock> = Arc::new(TestClock::new(chance));
        let receivers = Receivers::new(answers, in_flight_max, Arc::clone(&clock), Some(Arc::clone(&memory)));
        let mut bench = Bench::in_memory(Arc::clone(&clock), |_, _, _| Outcome::Delivered);
        bench.transport = Arc::clone(&receivers) as _;
        let store = Arc::clone(&memory);
        Self::of(bench.with(store as _), receivers, clock, Some(memory))
    }

    fn of(bench: Bench, receivers: Arc<Receivers>, clock: Arc<dyn Clock>, memory: Option<Arc<Memory>>) -> Self {
        Self {
            bench,
            receivers,
            clock,
            dice: Dice(0),
            memory,
            subscribers: Vec::new(),
            canceled: BTreeSet::new(),
            asked: Vec::new(),
            log: Vec::new(),
            forgetting: None,
        }
    }

    /// The store in memory.
    pub(super) fn memory(&self) -> &Memory {
        self.memory.as_ref().expect("it is over memory")
    }

    pub(super) async fn step(&mut self) {
        match self.dice.below(100) {
            0..29 => {
                let count = 1 + self.dice.below(20);
                self.commit(count).await;
            }
            29 => match self.dice.below(10) {
                0..4 => self.commit(BURST).await,
                4 => self.commit(FLOOD).await,
                _ => {}
            },
            30..40 if self.subscribers.len() < ENDPOINTS_MAX => self.register().await,
            30..70 => self.change().await,
            70..72 => self.delete().await,
            72..76 => self.restart().await,
            76..82 => self.by_hand().await,
            82..86 => self.replay().await,
            86..89 => {
                if let Some(index) = self.living() {
                    self.rotate(index).await;
                }
            }
            _ => tokio::time::sleep(Duration::from_micros(self.dice.below(15_000))).await,
        }
    }

    async fn commit(&mut self, count: u64) {
        let resources: Vec<String> = (0..count).map(|_| resource(self.dice.below(RESOURCES))).collect();
        self.bench.commit(resources).await;
    }

    async fn register(&mut self) {
        let name = format!("e{}", self.subscribers.len());
        let head = self.bench.store.head().borrow().0;
        let start = Position(self.dice.below(head + 1));
        let filter = self.filter();
        let ordered = self.dice.below(4) > 0;
        let limit = self.limit();
        let host = format!("{name}.test");
        self.tell_limit(&host, limit);
        self.receivers.order(&host, ordered.then_some(start));
        let endpoint = self.bench.register(&name, |endpoint| {
            endpoint.start = start;
            endpoint.filter = filter.clone();
            endpoint.ordering = if ordered { Ordering::PerResource } else { Ordering::None };
            endpoint.max_in_flight = limit;
            self.receivers.sign(&host, endpoint.secrets.clone());
        });
        let id = endpoint.await.id;
        self.subscribers.push(Subscriber::new(id, host, start, filter));
    }

    pub(super) fn filter(&mut self) -> Filter {
        let customers = if self.dice.below(2) == 0 { 0 } else { RESOURCES - 1 };
        Filter { customer_ids: (0..customers).map(|id| format!("cus_r{id}")).collect(), ..Filter::default() }
    }

    fn limit(&mut self) -> Option<u32> {
        (self.dice.below(2) == 0).then(|| 1 + self.dice.below(6) as u32)
    }

    fn tell_limit(&self, host: &str, limit: Option<u32>) {
        self.receivers.limit(host, limit.map_or(self.bench.settings.per_endpoint_in_flight, |limit| limit as usize));
    }

    async fn change(&mut self) {
        let Some(index) = self.living() else { return };
        let (id, host) = (self.subscribers[index].id, self.subscribers[index].host.clone());
        match self.dice.below(12) {
            0..3 => self.disable(index).await,
            3..8 => {
                let skips = self.dice.below(4) == 0;
                self.enable(index, skips).await;
            }
            8 if self.dice.below(2) == 0 => {
                let from = self.clock.now();
                self.bench.deliverer().recover(id.number).await.expect("it runs");
                self.subscribers[index].recovered.push((from, self.clock.now()));
            }
            8 => self.bench.change(id, |endpoint| endpoint.description.push('.')).await,
            9 => {
                let limit = self.limit();
                self.tell_limit(&host, limit);
                self.bench.change(id, |endpoint| endpoint.max_in_flight = limit).await;
            }
            10 => {
                let filter = self.filter();
                self.subscribers[index].filters.push(filter.clone());
                let passed_by = resources().filter(|name| !self.subscribers[index].must_get(name));
                passed_by.for_each(|name| self.receivers.let_overtake(&host, &name));
                self.bench.change(id, |endpoint| endpoint.filter = filter.clone()).await;
            }
            _ => self.change_order(id, &host).await,
        }
    }

    async fn change_order(&self, id: EndpointId, host: &str) {
        self.receivers.order(host, None);
        let other = |ordering| match ordering {
            Ordering::None => Ordering::PerResource,
            Ordering::PerResource => Ordering::None,
        };
        self.bench.change(id, |endpoint| endpoint.ordering = other(endpoint.ordering)).await;
        let is_ordered = self.bench.endpoint(id).await.ordering == Ordering::PerResource;
        self.receivers.order(host, is_ordered.then_some(*self.bench.store.head().borrow()));
    }

    pub(super) async fn disable(&self, index: usize) {
        let one = &self.subscribers[index];
        self.bench.switch(one.id, EndpointStatus::Disabled).await;
        self.receivers.switch(&one.host, false);
    }

    /// What the API does when an endpoint is enabled, with or without what it has missed.
    pub(super) async fn enable(&mut self, index: usize, skips: bool) {
        let (id, host) = (self.subscribers[index].id, self.subscribers[index].host.clone());
        let endpoint = self.bench.endpoint(id).await;
        if endpoint.status == EndpointStatus::Enabled {
            return;
        }
        let start = skips.then(|| *self.bench.store.head().borrow());
        if let Some(start) = start {
            self.subscribers[index].start = start;
        } else {
            let before = self.records_of(id).await;
            self.bench.deliverer().retry_failed(&endpoint).await.expect("the store works");
            for record in self.records_of(id).await {
                let former = before.iter().find(|former| former.id == record.id);
                if former.is_none_or(|former| former.status == DeliveryStatus::Failed)
                    && record.status == DeliveryStatus::Pending
                {
                    // What failed in a replay comes now at its own turn, which has long been over.
                    if former.is_some_and(|former| former.replay.is_some()) {
                        self.receivers.revive_by_hand(&host, record.event_id);
                    } else {
                        self.receivers.revive(&host, record.event_id);
                    }
                }
            }
        }
        self.receivers.switch(&host, true);
        self.bench.enable(id, start).await;
    }

    pub(super) fn living(&mut self) -> Option<usize> {
        let living: Vec<usize> = (0..self.subscribers.len()).filter(|one| !self.subscribers[*one].deleted).collect();
        (!living.is_empty()).then(|| living[self.dice.index(living.len())])
    }

    async fn delete(&mut self) {
        let Some(index) = self.living() else { return };
        let one = &mut self.subscribers[index];
        one.deleted = true;
        assert!(self.bench.store.delete(one.id).await.expect("it is deleted"));
        self.receivers.switch(&one.host, false);
    }

    async fn restart(&mut self) {
        if self.dice.below(3) == 0 {
            self.stop().await;
        } else {
            self.crash().await;
        }
        self.start().await;
    }

    /// The same, for whoever may be killed meanwhile.
    pub(super) async fn stop_or_die(&mut self) {
        if let Some((_, forgetting)) = self.forgetting.take() {
            forgetting.abort();
        }
        self.bench.stop_or_die().await;
    }

    pub(super) async fn crash(&mut self) {
        if let Some((_, forgetting)) = self.forgetting.take() {
            forgetting.abort();
        }
        self.bench.crash().await;
    }

    pub(super) async fn stop(&mut self) {
        if let Some((stop, forgetting)) = self.forgetting.take() {
            stop.cancel();
            forgetting.await.expect("it ends in order");
        }
        self.bench.stop().await;
    }

    pub(super) async fn start(&mut self) {
        let records = self.records().await;
        self.receivers.begin(&records);
        self.bench.start();
        let stop = CancellationToken::new();
        let forget = forget_former_secrets(Arc::clone(&self.bench.store), Arc::clone(&self.clock), stop.clone());
        #[expect(clippy::disallowed_methods, reason = "the handle is awaited when it is stopped")]
        let forgetting = tokio::spawn(async move { forget.await.expect("the store works") });
        self.forgetting = Some((stop, forgetting));
    }
}
