//! What retention cuts, for whom it waits and what it tells; the store and the clock are a test's own.

use std::sync::Arc;
use std::time::Duration;

use certhook::clock::{Clock, ManualClock};
use certhook::deliver::Deliverer;
use certhook::deliver::retention::{Retention, Settings};
use certhook::model::delivery::{Attempt, DeliveryRecord, DeliveryStatus, Outcome, Trigger};
use certhook::model::endpoint::{Endpoint, EndpointStatus};
use certhook::model::event::{Event, EventType};
use certhook::model::id::{EndpointNumber, Position, ReplayId, ReplayNumber};
use certhook::model::pattern::Pattern;
use certhook::model::replay::{Course, Cursor, Progress, Range, Replay, ReplayStatus, Select};
use certhook::model::time::Timestamp;
use certhook::store::retention::Missed;
use certhook::store::{Advance, DeliveryCommit, Store};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::replay::everything;
use super::rig::{Bench, endpoint, settings, sight};
use crate::support::memory::Memory;
use crate::support::schemas::assert_fits;

mod model;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// How long events are kept; twice that for who is behind.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

struct World {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    retention: Retention,
}

impl World {
    async fn new() -> Self {
        Self::over(Arc::new(Memory::new())).await
    }

    async fn over(store: Arc<dyn Store>) -> Self {
        let clock = Arc::new(ManualClock::at("2026-11-21T00:00:00Z".parse().expect("an instant")));
        let bench = Bench::new(|_, _, _| Outcome::Delivered).await;
        let deliverer =
            Deliverer::new(Arc::clone(&store), Arc::clone(&bench.transport), Arc::clone(&clock) as _, settings());
        let kept = Settings { events: KEPT, attempts: KEPT };
        Self { store, clock, retention: deliverer.retention(kept) }
    }

    async fn look(&mut self) -> u64 {
        self.retention.look(&CancellationToken::new()).await.expect("the store works");
        self.store.first().0
    }

    /// One event now.
    async fn tell(&self, id: &str) {
        self.store.commit_sights(vec![sight(id, self.clock.now())], None).await.expect("it is committed");
    }

    /// An event in each of so many hours.
    async fn tell_hourly(&self, hours: u64) {
        for hour in 0..hours {
            self.tell(&format!("cert_{hour}")).await;
            self.clock.advance(HOUR);
        }
    }

    async fn register(&self, name: &str, change: impl FnOnce(&mut Endpoint)) -> Endpoint {
        let mut endpoint = endpoint(name);
        change(&mut endpoint);
        self.store.create(endpoint).await.expect("it is registered")
    }

    /// The mark, and where endpoints stand that have a position of their own.
    async fn stand(&self, mark: u64, own: &[(&Endpoint, Option<u64>)]) {
        let positions = own.iter().map(|(endpoint, own)| (endpoint.id.number, own.map(Position))).collect();
        let commit = DeliveryCommit { live_mark: Some(Position(mark)), positions, ..DeliveryCommit::default() };
        self.store.commit_deliveries(commit).await.expect("it is committed");
    }

    async fn record(&self, endpoint: &Endpoint, position: u64, status: DeliveryStatus) {
        let event = self.store.event(Position(position)).await.expect("a store").expect("an event");
        let now = self.clock.now();
        let record = record(endpoint, &event, status, now);
        let commit = DeliveryCommit { records: vec![record], ..DeliveryCommit::default() };
        self.store.commit_deliveries(commit).await.expect("it is committed");
    }

    /// Begins a replay of what lies behind one place, up to another.
    async fn replay(&self, endpoint: &Endpoint, after: u64, until: u64) -> ReplayId {
        let (after, until) = (Position(after), Position(until));
        let course = Course::Log(Range { after, until, ..everything(&*self.store, Select::All) });
        let id = ReplayId { number: ReplayNumber(0), random: 1 };
        let progress = Progress::before(&course);
        let replay = Replay { id, endpoint_id: endpoint.id, created_at: self.clock.now(), course, progress };
        self.store.begin_replay(replay).await.expect("the store works").expect("it is registered").id
    }

    async fn advance(&self, id: ReplayId, cursor: Cursor) {
        let advances = vec![Advance { id, cursor, cut: 0 }];
        let commit = DeliveryCommit { advances, ..DeliveryCommit::default() };
        self.store.commit_deliveries(commit).await.expect("it is committed");
    }

    /// The gaps in the log.
    async fn gaps(&self) -> Vec<Arc<Event>> {
        let mut events = self.store.events_after(Position::START, 100_000).await.expect("a log");
        events.retain(|event| event.event_type == EventType::EndpointGap);
        events.iter().for_each(|gap| assert_fits(gap));
        events
    }
}

fn record(endpoint: &Endpoint, event: &Event, status: DeliveryStatus, at: Timestamp) -> DeliveryRecord {
    let attempt = Attempt {
        number: 1,
        at,
        duration_ms: 1,
        outcome: Outcome::ServerError,
        status_code: Some(500),
        error: None,
        response_body: None,
        address: None,
        signed_at: at,
        trigger: Trigger::Scheduled,
    };
    let mut record = DeliveryRecord::untried(event.id, event.event_type, endpoint.id, None);
    record.status = status;
    record.next_attempt_at = (status == DeliveryStatus::Pending).then_some(at);
    record.push(attempt);
    record
}

fn data(gap: &Event) -> Value {
    let body: Value = gap.body().parse().expect("JSON");
    body["data"].clone()
}

#[tokio::test]
async fn what_is_old_goes_and_what_is_not_stays() {
    let mut world = World::new().await;
    assert_eq!(world.look().await, 1, "nothing is there");
    world.tell_hourly(30).await;
    world.stand(30, &[]).await;
    assert_eq!(world.look().await, 7, "the event of 24 hours ago stays");
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.look().await, 8);
    world.clock.advance(24 * HOUR);
    assert_eq!(world.look().await, 31, "all of it goes if nothing comes");
    world.tell("cert_1").await;
    assert_eq!(world.look().await, 31);
}

#[tokio::test]
async fn what_a_replay_has_not_come_to_is_waited_for_until_it_is_twice_as_old() {
    let begun = async |world: &World, after| {
        world.tell_hourly(60).await;
        let crm = world.register("crm", |_| {}).await;
        world.stand(60, &[]).await;
        world.replay(&crm, after, 60).await
    };
    let mut world = World::new().await;
    let id = begun(&world, 12).await;
    assert_eq!(world.look().await, 13, "it is not twice as old");
    world.advance(id, Cursor::Log(Position(20))).await;
    assert_eq!(world.look().await, 21);
    world.advance(id, Cursor::End).await;
    assert_eq!(world.look().await, 37, "it has come to everything");
    let mut world = World::new().await;
    begun(&world, 5).await;
    assert_eq!(world.look().await, 13, "the rest is waited for all the same");
    let mut world = World::new().await;
    let id = begun(&world, 12).await;
    world.store.end_replay(id, ReplayStatus::Canceled, world.clock.now()).await.expect("the store works");
    assert_eq!(world.look().await, 37, "it no longer runs");
}

#[tokio::test]
async fn nothing_goes_that_the_mark_has_not_passed() {
    let mut world = World::new().await;
    world.tell_hourly(100).await;
    world.stand(10, &[]).await;
    assert_eq!(world.look().await, 11, "however old it is");
    assert!(world.gaps().await.is_empty());
}

#[tokio::test]
async fn who_is_behind_is_waited_for_twice_as_long_and_then_has_a_gap() {
    for status in [EndpointStatus::Enabled, EndpointStatus::Disabled] {
        let mut world = World::new().await;
        let crm = world.register("crm", |crm| crm.status = status).await;
        world.register("erp", |erp| erp.types = vec![Pattern::One(EventType::EndpointGap)]).await;
        world.tell_hourly(50).await;
        world.stand(50, &[(&crm, Some(2))]).await;
        world
            .store
            .commit_deliveries(DeliveryCommit {
                positions: vec![(EndpointNumber(crm.id.number.0 + 1), None)],
                ..DeliveryCommit::default()
            })
            .await
            .expect("it is committed");
        assert_eq!(world.look().await, 3, "it has dealt with two, and the third is of 48 hours ago");
        assert!(world.gaps().await.is_empty());
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(world.look().await, 28, "all that is old goes, so that it is not told of every single one");
        let gaps = world.gaps().await;
        let [gap] = gaps.as_slice() else { panic!("one gap: {gaps:?}") };
        let data = data(gap);
        let begun: Timestamp = "2026-11-21T00:00:00Z".parse().expect("an instant");
        assert_eq!(data["object"]["id"], json!(crm.id));
        assert_eq!(data["since"], json!(begun.plus(2 * HOUR)));
        assert_eq!(data["until"], json!(begun.plus(26 * HOUR)));
        assert_eq!((&data["missed"], &data["missed_more"]), (&json!(25), &json!(false)));
        let ids = world.store.positions().await.expect("positions").own;
        assert_eq!(ids, [(crm.id.number, Position(27))]);
        let missed = world.store.missed(crm.id.number).await.expect("a number");
        assert_eq!(missed, Missed { count: 25, more: false });
        for _ in 0..23 {
            world.clock.advance(HOUR);
            assert_eq!(world.look().await, 28, "now it is waited for again");
        }
        assert_eq!(world.gaps().await.len(), 1);
    }
}

#[tokio::test]
async fn who_was_to_get_nothing_of_what_is_cut_has_no_gap() {
    let mut world = World::new().await;
    let crm = world.register("crm", |crm| crm.types = vec!["certificate_request.*".parse().expect("a pattern")]).await;
    world.tell_hourly(60).await;
    world.stand(60, &[(&crm, Some(0))]).await;
    assert_eq!(world.look().await, 37);
    assert!(world.gaps().await.is_empty());
    assert_eq!(world.store.missed(crm.id.number).await.expect("a number"), Missed::default());
}

#[tokio::test]
async fn what_was_sent_out_of_turn_is_not_missed() {
    let mut world = World::new().await;
    let crm = world.register("crm", |_| {}).await;
    world.tell_hourly(60).await;
    world.stand(60, &[(&crm, Some(0))]).await;
    world.record(&crm, 3, DeliveryStatus::Delivered).await;
    world.record(&crm, 4, DeliveryStatus::Pending).await;
    world.look().await;
    let gaps = world.gaps().await;
    assert_eq!(data(&gaps[0])["missed"], 35, "36 events, of which one was delivered; the one that waits is missed");
}

#[tokio::test]
async fn a_delivery_that_waits_is_waited_for_and_then_canceled() {
    let mut world = World::new().await;
    let crm = world.register("crm", |_| {}).await;
    world.tell_hourly(50).await;
    world.record(&crm, 3, DeliveryStatus::Pending).await;
    world.record(&crm, 9, DeliveryStatus::Pending).await;
    world.record(&crm, 40, DeliveryStatus::Pending).await;
    world.stand(50, &[(&crm, None)]).await;
    assert_eq!(world.look().await, 3);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.look().await, 28);
    let gaps = world.gaps().await;
    let [gap] = gaps.as_slice() else { panic!("one gap: {gaps:?}") };
    assert_eq!(data(gap)["missed"], 2, "all that waited and went");
    let waiting = world.store.waiting(crm.id.number, 9).await.expect("a list");
    assert_eq!(waiting.iter().map(|one| one.id.position.0).collect::<Vec<_>>(), [40]);
}

#[tokio::test]
async fn records_go_when_their_last_attempt_is_old() {
    let mut world = World::new().await;
    let crm = world.register("crm", |_| {}).await;
    world.tell_hourly(30).await;
    world.stand(30, &[(&crm, None)]).await;
    for position in 1..=4 {
        world.record(&crm, position, DeliveryStatus::Delivered).await;
    }
    world.record(&crm, 20, DeliveryStatus::Pending).await;
    let left = async |world: &World| world.store.recorded(Position::START, Position(99)).await.expect("a list").len();
    world.clock.advance(24 * HOUR);
    world.look().await;
    assert_eq!(left(&world).await, 5);
    world.clock.advance(Duration::from_millis(1));
    world.look().await;
    assert_eq!(left(&world).await, 1, "what waits stays");
    world.clock.advance(24 * HOUR);
    world.look().await;
    assert_eq!(left(&world).await, 0, "once it was given up, it goes as well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_go_on_after_a_cut_that_they_did_not_know_of() {
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    let types = || vec![Pattern::Everything, Pattern::One(EventType::EndpointGap)];
    let crm = bench.register("crm", |crm| (crm.status, crm.types) = (EndpointStatus::Disabled, types())).await;
    bench.commit(super::rig::names(0..20)).await;
    bench.start();
    let positions = || async {
        let positions = bench.store.positions().await.expect("positions");
        (positions.live_mark >= Position(20)).then_some(())
    };
    // The mark is saved with what is delivered; another endpoint gets something.
    bench.register("erp", |erp| (erp.start, erp.types) = (Position::START, types())).await;
    bench.await_ended(DeliveryStatus::Delivered, 20).await;
    crate::support::process::until("the mark is saved", positions).await;
    // As long as the clock goes, all of it is old an hour from now.
    let clock = Arc::new(ManualClock::at(certhook::clock::SystemClock::default().now().plus(3 * HOUR)));
    let deliverer = Deliverer::new(Arc::clone(&bench.store), Arc::clone(&bench.transport), clock as _, settings());
    let kept = Settings { events: HOUR, attempts: 9 * HOUR };
    deliverer.retention(kept).look(&CancellationToken::new()).await.expect("the store works");
    assert_eq!(bench.store.first(), Position(21));
    bench.switch(crm.id, EndpointStatus::Enabled).await;
    bench.commit(super::rig::names(20..23)).await;
    bench.await_ended(DeliveryStatus::Delivered, 27).await;
    let sent_to = |name: &str| -> Vec<String> {
        bench.sent().into_iter().filter(|sent| sent.url.contains(name)).map(|sent| sent.resource).collect()
    };
    let mut to_crm = sent_to("crm");
    to_crm.sort_unstable();
    assert_eq!(to_crm, ["cert_20", "cert_21", "cert_22"], "and not that it has a gap");
    assert!(sent_to("erp").contains(&crm.id.to_string()), "that is for others");
    bench.stop().await;
}
