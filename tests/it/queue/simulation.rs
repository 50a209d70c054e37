//! Chance against the queue: endpoints come, change, stop and go, receivers fail, the process is killed; in the end
//! all is well again, and then every event must have arrived or been given up in the open, in order, within all limits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use certhook::clock::random_bytes;
use certhook::model::delivery::{ByHand, DeliveryRecord, DeliveryStatus, Outcome, Trigger};
use certhook::model::endpoint::{EndpointStatus, Ordering};
use certhook::model::filter::Filter;
use certhook::model::id::{DeliveryId, EndpointId, Position};
use certhook::store::DeliveryQuery;
use futures_util::{StreamExt, stream};

use super::dice::Dice;
use super::receivers::Receivers;
use super::rig::Bench;
use crate::support::process::{PATIENCE, until};

/// Seeds that showed something once: they fix what happens, though not how the threads run.
const KNOWN_SEEDS: [u64; 2] = [1, 2];

/// New seeds in every run.
const NEW_SEEDS: usize = 2;

/// More would only wait for the same disk.
const RUNS_AT_ONCE: usize = 4;

/// What happens in one run.
const STEPS: usize = 120;

/// More than a queue lets be ready at a time, so that it falls behind.
const BURST: u64 = 700;

const ENDPOINTS_MAX: usize = 8;
const RESOURCES: u64 = 6;
const RETRY: Duration = Duration::from_millis(10);

/// An endpoint as the test knows it.
struct Subscriber {
    id: EndpointId,
    host: String,
    /// Where it began, and what it was told to skip since.
    first: Position,
    start: Position,
    /// All that it ever had: an event that one of them keeps out may or may not arrive.
    filters: Vec<Filter>,
    deleted: bool,
}

impl Subscriber {
    fn must_get(&self, resource: &str) -> bool {
        self.filters.iter().all(|filter| lets_through(filter, resource))
    }

    fn may_get(&self, resource: &str) -> bool {
        self.filters.iter().any(|filter| lets_through(filter, resource))
    }
}

fn lets_through(filter: &Filter, resource: &str) -> bool {
    filter.customer_ids.is_empty() || filter.customer_ids.iter().any(|id| *id == format!("cus_{resource}"))
}

struct World {
    bench: Bench,
    receivers: Arc<Receivers>,
    dice: Dice,
    subscribers: Vec<Subscriber>,
    /// Deliveries that were canceled by hand.
    canceled: BTreeSet<DeliveryId>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let in_flight_max = 1 + dice.index(24);
        let receivers = Receivers::new(Dice(seed ^ 0xff), in_flight_max);
        let mut bench = Bench::over(Arc::clone(&receivers) as _).await;
        bench.settings.max_in_flight = in_flight_max;
        bench.settings.per_endpoint_in_flight = 1 + dice.index(8);
        bench.settings.retry = vec![RETRY; 3];
        bench.settings.circuit.probe = Duration::from_millis(1 + dice.below(200));
        bench.settings.disable_after = Duration::from_millis(20 + dice.below(500));
        Self { bench, receivers, dice, subscribers: Vec::new(), canceled: BTreeSet::new() }
    }

    async fn step(&mut self) {
        match self.dice.below(100) {
            0..29 => {
                let count = 1 + self.dice.below(20);
                self.commit(count).await;
            }
            29 if self.dice.below(2) == 0 => self.commit(BURST).await,
            30..40 if self.subscribers.len() < ENDPOINTS_MAX => self.register().await,
            30..70 => self.change().await,
            70..72 => self.delete().await,
            72..76 => self.restart().await,
            76..82 => self.by_hand().await,
            _ => tokio::time::sleep(Duration::from_micros(self.dice.below(15_000))).await,
        }
    }

    async fn commit(&mut self, count: u64) {
        let resources: Vec<String> = (0..count).map(|_| format!("r{}", self.dice.below(RESOURCES))).collect();
        self.bench.commit(resources).await;
    }

    async fn register(&mut self) {
        let name = format!("e{}", self.subscribers.len());
        let head = self.bench.store.head().borrow().0;
        let start = Position(self.dice.below(head + 1));
        let filter = self.filter();
        let ordered = self.dice.below(4) > 0;
        let limit = self.limit();
        let endpoint = self.bench.register(&name, |endpoint| {
            endpoint.start = start;
            endpoint.filter = filter.clone();
            endpoint.ordering = if ordered { Ordering::PerResource } else { Ordering::None };
            endpoint.max_in_flight = limit;
        });
        let host = format!("{name}.test");
        self.tell_limit(&host, limit);
        if !ordered {
            self.receivers.let_overtake(&host);
        }
        let id = endpoint.await.id;
        self.subscribers.push(Subscriber { id, host, first: start, start, filters: vec![filter], deleted: false });
    }

    fn filter(&mut self) -> Filter {
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
            0..3 => self.bench.switch(id, EndpointStatus::Disabled).await,
            3..8 => return self.enable(index).await,
            8 if self.dice.below(2) == 0 => {
                self.receivers.hurry(&host);
                self.bench.deliverer().recover(id.number).await.expect("it runs");
                self.receivers.hurried(&host);
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
                self.receivers.let_overtake(&host);
                self.bench.change(id, |endpoint| endpoint.filter = filter.clone()).await;
            }
            _ => {
                self.receivers.let_overtake(&host);
                let other = |ordering| match ordering {
                    Ordering::None => Ordering::PerResource,
                    Ordering::PerResource => Ordering::None,
                };
                self.bench.change(id, |endpoint| endpoint.ordering = other(endpoint.ordering)).await;
            }
        }
    }

    /// Somebody retries or cancels one of the deliveries.
    async fn by_hand(&mut self) {
        let records = self.records().await;
        if records.is_empty() {
            return;
        }
        let (host, record) = &records[self.dice.index(records.len())];
        if self.dice.below(3) > 0 {
            if record.status != DeliveryStatus::Delivered {
                self.receivers.let_overtake_once(host, record.event_id);
            }
            self.bench.deliverer().retry(record).await.expect("it runs");
        } else if let ByHand::Done(_) = self.bench.deliverer().cancel(record).await.expect("it runs") {
            self.canceled.insert(record.id);
        }
    }

    /// What the API does when an endpoint is enabled, with or without what it has missed.
    async fn enable(&mut self, index: usize) {
        let (id, host) = (self.subscribers[index].id, self.subscribers[index].host.clone());
        let endpoint = self.bench.endpoint(id).await;
        if endpoint.status == EndpointStatus::Enabled {
            return;
        }
        let skips = self.dice.below(4) == 0;
        let start = skips.then(|| *self.bench.store.head().borrow());
        if let Some(start) = start {
            self.subscribers[index].start = start;
        } else {
            self.bench.deliverer().retry_failed(&endpoint).await.expect("the store works");
            for (at, record) in self.records().await {
                if at == host && record.status == DeliveryStatus::Pending && record.charged == 0 {
                    self.receivers.revive(&host, record.event_id);
                }
            }
        }
        self.bench.enable(id, start).await;
    }

    /// The resource of each event, in the order of the log.
    async fn log(&self) -> Vec<Option<String>> {
        let events = self.bench.store.events_after(Position::START, usize::MAX).await.expect("the log");
        events.iter().map(|event| event.sight.resource().map(|key| key.id.to_string())).collect()
    }

    fn living(&mut self) -> Option<usize> {
        let living: Vec<usize> = (0..self.subscribers.len()).filter(|one| !self.subscribers[*one].deleted).collect();
        (!living.is_empty()).then(|| living[self.dice.index(living.len())])
    }

    async fn delete(&mut self) {
        let Some(index) = self.living() else { return };
        self.subscribers[index].deleted = true;
        assert!(self.bench.store.delete(self.subscribers[index].id).await.expect("it is deleted"));
    }

    async fn restart(&mut self) {
        if self.dice.below(3) == 0 {
            self.bench.stop().await;
        } else {
            self.bench.crash().await;
        }
        self.start().await;
    }

    async fn start(&mut self) {
        let records = self.records().await;
        self.receivers.begin(&records);
        self.bench.start();
    }

    async fn records(&self) -> Vec<(String, DeliveryRecord)> {
        let host = |id| self.subscribers.iter().find(|one| one.id == id).expect("it was registered").host.clone();
        let mut query = DeliveryQuery { limit: usize::MAX, ascending: true, ..DeliveryQuery::default() };
        let mut records = Vec::new();
        loop {
            let page = self.bench.store.deliveries(query.clone()).await.expect("a list");
            records.extend(page.found.into_iter().map(|record| (host(record.endpoint_id), record)));
            query.after = page.next;
            if page.next.is_none() {
                return records;
            }
        }
    }

    /// What should have ended and has not; makes sure that it can.
    async fn missing(&self) -> Vec<String> {
        let mut ended: BTreeMap<(EndpointId, Position), DeliveryStatus> = BTreeMap::new();
        for (_, record) in self.records().await {
            ended.insert((record.endpoint_id, record.id.position), record.status);
        }
        let mut missing = Vec::new();
        let log = self.log().await;
        for one in self.subscribers.iter().filter(|one| !one.deleted) {
            self.bench.switch(one.id, EndpointStatus::Enabled).await;
            for (position, resource) in (1..).map(Position).zip(&log) {
                let Some(resource) = resource else { continue };
                let status = ended.get(&(one.id, position));
                let is_over = matches!(status, Some(DeliveryStatus::Delivered | DeliveryStatus::Failed));
                let by_hand = self.canceled.iter().any(|id| id.position == position && id.endpoint == one.id.number);
                let may_be_canceled = position <= one.start || by_hand;
                let is_over = is_over || may_be_canceled && status == Some(&DeliveryStatus::Canceled);
                let wanted = (position > one.start || status.is_some()) && (one.must_get(resource) || status.is_some());
                if wanted && !is_over {
                    missing.push(format!("{} {} {resource} {status:?}", one.host, position.0));
                }
            }
        }
        missing
    }

    async fn check_records(&self) {
        let early = self.receivers.early();
        let log = self.log().await;
        for (host, record) in self.records().await {
            let name = format!("{host} {}", record.id.position.0);
            let one = self.subscribers.iter().find(|one| one.host == host).expect("it was registered");
            let resource = log[record.id.position.0 as usize - 1].as_ref().expect("a resource");
            assert!(record.id.position > one.first && one.may_get(resource), "{name} was not for it");
            let numbers: Vec<u32> = record.attempts.iter().map(|attempt| attempt.number).collect();
            let count = record.attempt_count;
            let kept = (1..=count).filter(|number| *number <= 10 || *number > count.max(20) - 10);
            assert_eq!(numbers, kept.collect::<Vec<_>>(), "{name}");
            let last = record.attempts.last().expect("an attempt");
            match record.status {
                DeliveryStatus::Delivered => {
                    assert_eq!(last.outcome, Outcome::Delivered, "{name}");
                    assert!(self.receivers.has(&host, record.event_id), "{name}");
                }
                DeliveryStatus::Failed => {
                    let given_up = last.outcome == Outcome::Aborted || record.charged == 4;
                    assert!(given_up && last.outcome != Outcome::Delivered, "{name}");
                }
                DeliveryStatus::Canceled => {
                    let is_skipped = record.id.position <= one.start || self.canceled.contains(&record.id);
                    assert!(one.deleted || is_skipped, "{name}");
                }
                DeliveryStatus::Pending => panic!("{name} is pending"),
            }
            let of = |trigger| {
                let attempts = record.attempts.iter().filter(move |attempt| attempt.trigger == trigger);
                attempts.map(|attempt| attempt.number).collect::<Vec<u32>>()
            };
            let (probes, manual) = (of(Trigger::Probe), of(Trigger::Manual));
            // They come when they come, and leave the delivery due when it was.
            let keeps_no_time = |number: u32| probes.contains(&number) || manual.contains(&number);
            let early = early.iter().filter(|(at, event, _)| *at == host && *event == record.event_id);
            for (_, _, number) in early {
                assert!(
                    keeps_no_time(*number) || keeps_no_time(number - 1) || !numbers.contains(number),
                    "{name}: attempt {number} came before its time: {record:#?}"
                );
            }
            assert!(record.charged as usize + probes.len() <= record.attempts.len(), "{name}: a probe was charged");
            let in_time = record.attempts.windows(2).all(|pair| pair[0].at <= pair[1].at);
            assert!(in_time, "{name}");
        }
    }
}

async fn run(seed: u64) {
    println!("seed {seed}");
    let mut world = World::new(seed).await;
    world.start().await;
    for _ in 0..STEPS {
        world.step().await;
    }
    world.receivers.heal();
    // Thousands may be left, and the machine may be busy; but something must end all the time.
    let (mut fewest, mut deadline) = (usize::MAX, tokio::time::Instant::now());
    loop {
        let missing = world.missing().await;
        if missing.is_empty() {
            break;
        }
        if missing.len() < fewest {
            (fewest, deadline) = (missing.len(), tokio::time::Instant::now() + PATIENCE);
        }
        let (first, wrongs) = (&missing[..missing.len().min(20)], world.receivers.wrongs());
        assert!(
            tokio::time::Instant::now() < deadline,
            "seed {seed}: {fewest} never end, the first of them {first:#?}; {wrongs:#?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.bench.stop().await;
    world.check_records().await;
    // Once more, to see that nothing of it is sent again.
    world.start().await;
    world.bench.commit(["r0".to_owned()]).await;
    until("the last event", || async { world.missing().await.is_empty().then_some(()) }).await;
    world.bench.stop().await;
    assert_eq!(world.receivers.wrongs(), [] as [String; 0], "seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_every_event_arrives_in_order_and_within_all_limits() {
    let new = (0..NEW_SEEDS).map(|_| u64::from_le_bytes(random_bytes()));
    let runs = KNOWN_SEEDS.into_iter().chain(new).map(|seed| {
        #[expect(clippy::disallowed_methods, reason = "it is awaited below")]
        async move {
            tokio::spawn(run(seed)).await
        }
    });
    let mut runs = stream::iter(runs).buffer_unordered(RUNS_AT_ONCE);
    while let Some(ended) = runs.next().await {
        ended.expect("the run held its promises");
    }
}
