//! The process is killed right after each thing that it cannot undo, one after the other: a sight, an endpoint, a
//! request that came, a record, a position, the mark, a snapshot that is told, the step of a replay. What is left must be
//! enough to go on from: nothing is lost, and what comes twice comes with the same id and bytes.
//!
//! The history is short and the same each time, and has something of everything under way. Whoever was not told that
//! what he wanted is done asks again once the process is back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use certhook::model::delivery::{ByHand, DeliveryRecord, DeliveryStatus, Outcome};
use certhook::model::endpoint::{Endpoint, EndpointStatus};
use certhook::model::event::Event;
use certhook::model::filter::Filter;
use certhook::model::id::Position;
use certhook::model::replay::{Course, Range, Replay, Select};

use super::asked::Asked;
use super::world::{RETRY, Subscriber, World, present, resources};
use crate::queue::dice::Dice;
use crate::queue::receivers::Call;
use crate::queue::resync::progress;
use crate::queue::rig::sight;

const IN_FLIGHT_MAX: usize = 6;

/// Between two things that happen: enough for a few attempts, too little for all.
const A_MOMENT: Duration = Duration::from_millis(7);

/// How often it is looked whether there is something to step in at, and how often at most.
const LOOK: Duration = Duration::from_millis(5);
const LOOKS_MAX: usize = 1_000;

/// Who subscribes, and so how they answer.
const STEADY: &str = "steady";
const SLIPPING: &str = "slipping";
const DEAD: &str = "dead";
const LEAVING: &str = "leaving";
const DOOMED: &str = "doomed";

/// What happens, one after the other.
#[derive(Clone, Copy, Debug)]
enum Act {
    Keep,
    Register(&'static str),
    /// So many events have been told by then.
    Tell(usize),
    Rotate(&'static str),
    ReplayAll(&'static str),
    Resync(&'static str),
    Cancel(&'static str),
    Retry(&'static str),
    Disable(&'static str),
    Enable(&'static str),
    Delete(&'static str),
    Restart,
    Wait,
    Heal,
    Drain,
}

const HISTORY: [Act; 34] = [
    Act::Keep,
    Act::Register(STEADY),
    Act::Register(SLIPPING),
    Act::Register(DEAD),
    Act::Tell(4),
    Act::Register(LEAVING),
    Act::Register(DOOMED),
    Act::Tell(8),
    Act::Wait,
    Act::Rotate(STEADY),
    Act::Cancel(DEAD),
    Act::Wait,
    Act::Wait,
    Act::Retry(DEAD),
    Act::Tell(10),
    Act::Enable(LEAVING),
    Act::ReplayAll(STEADY),
    Act::Resync(SLIPPING),
    Act::Tell(12),
    Act::Wait,
    Act::Restart,
    Act::ReplayAll(SLIPPING),
    Act::Disable(SLIPPING),
    Act::Tell(14),
    Act::Delete(DOOMED),
    Act::Wait,
    Act::Enable(SLIPPING),
    Act::Resync(STEADY),
    Act::Disable(DEAD),
    Act::Wait,
    Act::Enable(DEAD),
    Act::Tell(15),
    Act::Heal,
    Act::Drain,
];

fn answer(call: &Call) -> (Outcome, Duration) {
    let outcome = match call.host.trim_end_matches(".test") {
        SLIPPING if (call.event.position.0 + u64::from(call.attempt)).is_multiple_of(3) => Outcome::ServerError,
        DEAD | DOOMED => Outcome::ServerError,
        LEAVING if call.attempt == 1 => Outcome::Gone,
        _ => Outcome::Delivered,
    };
    (outcome, Duration::from_millis(1 + call.event.position.0 % 3))
}

/// The history, and where it stands.
struct Play {
    world: World,
    next: usize,
    /// How many versions of records there were when somebody first asked for the replay that is wanted.
    versions_before: Option<usize>,
}

impl Play {
    fn new() -> Self {
        let mut world = World::in_memory(Dice(1), Box::new(answer), IN_FLIGHT_MAX);
        let settings = &mut world.bench.settings;
        settings.max_in_flight = IN_FLIGHT_MAX;
        settings.per_endpoint_in_flight = 2;
        settings.retry = vec![RETRY; 3];
        settings.circuit.probe = 3 * RETRY;
        Self { world, next: 0, versions_before: None }
    }

    /// Plays the whole history. The process is killed after each of so many steps, counted from the kill before; gives
    /// what the steps were.
    async fn through(mut self, kills: &[usize]) -> Vec<&'static str> {
        let mut kills = kills.iter();
        self.arm(kills.next());
        self.world.start().await;
        while self.next < HISTORY.len() {
            let memory = Arc::clone(self.world.memory.as_ref().expect("it is over memory"));
            let is_done = tokio::select! {
                biased;
                () = memory.disk().death() => false,
                () = self.act(HISTORY[self.next]) => true,
            };
            if is_done {
                (self.next, self.versions_before) = (self.next + 1, None);
            } else {
                self.world.crash().await;
                self.arm(kills.next());
                self.know_all().await;
                self.world.start().await;
            }
        }
        self.world.memory().disk().revive();
        self.world.stop().await;
        self.check().await;
        self.world.memory().disk().steps()
    }

    fn arm(&self, kill: Option<&usize>) {
        let memory = self.world.memory();
        memory.disk().revive();
        kill.into_iter().for_each(|steps| memory.disk().die_after(*steps));
    }

    /// Finds endpoints and replays that are there although nobody was told.
    async fn know_all(&mut self) {
        let store = &self.world.bench.store;
        for endpoint in store.endpoints(None, true, 100).await.expect("a list") {
            if self.world.subscribers.iter().all(|one| one.id != endpoint.id) {
                let host = endpoint.url.host().to_owned();
                let one = Subscriber::new(endpoint.id, host, endpoint.start, Filter::default());
                self.world.subscribers.push(one);
            }
        }
        let versions = self.world.memory().versions().len();
        for Replay { id, endpoint_id: endpoint, .. } in store.replays(None, true, 100).await.expect("a list") {
            if self.world.asked.iter().all(|asked| asked.id != id) {
                let after = self.versions_before.unwrap_or(versions);
                self.world.asked.push(Asked { id, endpoint, after });
            }
        }
    }

    fn index(&self, name: &str) -> usize {
        let host = format!("{name}.test");
        self.world.subscribers.iter().position(|one| one.host == host).expect("it is registered")
    }

    async fn endpoint(&self, name: &str) -> Endpoint {
        self.world.bench.endpoint(self.world.subscribers[self.index(name)].id).await
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::Keep => {
                let all = resources().map(present).collect();
                self.world.bench.store.commit_sights(all, Some(progress(true))).await.expect("they are kept");
            }
            Act::Register(name) => self.register(name).await,
            Act::Tell(count) => self.tell(count).await,
            Act::Rotate(name) => self.world.rotate(self.index(name)).await,
            Act::ReplayAll(name) => self.replay(name, false).await,
            Act::Resync(name) => self.replay(name, true).await,
            Act::Cancel(name) => self.cancel(name).await,
            Act::Retry(name) => self.retry(name).await,
            Act::Disable(name) => {
                let index = self.index(name);
                self.world.disable(index).await;
            }
            Act::Enable(name) => self.world.enable(self.index(name), false).await,
            Act::Delete(name) => {
                let index = self.index(name);
                let one = &mut self.world.subscribers[index];
                one.deleted = true;
                self.world.bench.store.delete(one.id).await.expect("it is deleted");
                self.world.receivers.switch(&one.host, false);
            }
            Act::Restart => {
                self.world.stop_or_die().await;
                self.world.start().await;
            }
            Act::Wait => tokio::time::sleep(A_MOMENT).await,
            Act::Heal => self.world.receivers.heal(),
            Act::Drain => self.world.drain(0).await,
        }
    }

    async fn register(&mut self, name: &str) {
        if self.world.bench.store.by_uid(name).await.expect("a look").is_some() {
            return;
        }
        let (world, host) = (&mut self.world, format!("{name}.test"));
        let start = *world.bench.store.head().borrow();
        world.receivers.limit(&host, world.bench.settings.per_endpoint_in_flight);
        world.receivers.order(&host, Some(start));
        let endpoint = world.bench.register(name, |endpoint| world.receivers.sign(&host, endpoint.secrets.clone()));
        let id = endpoint.await.id;
        self.world.subscribers.push(Subscriber::new(id, host, start, Filter::default()));
    }

    /// A watch that begins anew compares with what is stored, and tells what was not.
    async fn tell(&mut self, count: usize) {
        let told = self.told().await;
        let missing = (told.len()..count).map(|number| {
            let mut commit = sight(&format!("r{}", number % 3), self.world.clock.now());
            commit.told.iter_mut().for_each(|(sight, _)| sight.detection.object_version = 1 + number as u64 / 3);
            commit
        });
        self.world.bench.store.commit_sights(missing.collect(), None).await.expect("they are told");
    }

    /// The resources and versions of what was told of them.
    async fn told(&self) -> Vec<(String, u64)> {
        let log = self.world.bench.store.events_after(Position::START, usize::MAX).await.expect("the log");
        let own = log.iter().filter(|event| !event.event_type.is_only_for_who_asked());
        let named = |event: &Arc<Event>| {
            let key = event.sight.resource()?;
            Some((key.id.to_string(), event.sight.detection.object_version))
        };
        own.filter_map(named).collect()
    }

    async fn replay(&mut self, name: &str, is_resync: bool) {
        let endpoint = self.endpoint(name).await;
        let is_known = |replay: &Replay| {
            let resyncs = matches!(replay.course, Course::Snapshots(_));
            replay.endpoint_id == endpoint.id && resyncs == is_resync
        };
        let known = self.world.bench.store.replays(None, true, 100).await.expect("a list");
        if known.iter().any(is_known) {
            return;
        }
        let versions = self.world.memory().versions().len();
        let after = *self.versions_before.get_or_insert(versions);
        let deliverer = self.world.bench.deliverer();
        let begun = if is_resync {
            deliverer.resync(&endpoint, Filter::default()).await
        } else {
            let until = *self.world.bench.store.head().borrow();
            let range = Range {
                after: Position::START,
                until,
                types: Vec::new(),
                filter: Filter::default(),
                resource_id: None,
                event_ids: Vec::new(),
                asked_since: None,
                asked_until: None,
                select: Select::All,
            };
            deliverer.replay(&endpoint, range).await
        };
        if let Some(Replay { id, endpoint_id: endpoint, .. }) = begun.expect("it runs") {
            self.world.asked.push(Asked { id, endpoint, after });
        }
    }

    /// Cancels the first delivery that waits for its next attempt.
    async fn cancel(&mut self, name: &str) {
        let id = self.world.subscribers[self.index(name)].id;
        for _ in 0..LOOKS_MAX {
            let records = self.world.records_of(id).await;
            let of = |status| records.iter().find(|record| record.status == status);
            let canceled = match (of(DeliveryStatus::Canceled), of(DeliveryStatus::Pending)) {
                (Some(record), _) => Some(record.id),
                (None, Some(record)) => {
                    let handled = self.world.bench.deliverer().cancel(record).await.expect("it runs");
                    matches!(handled, ByHand::Done(_)).then_some(record.id)
                }
                (None, None) => None,
            };
            if let Some(id) = canceled {
                self.world.canceled.insert(id);
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!("nothing waits at {name}");
    }

    /// Retries the first delivery that has failed.
    async fn retry(&mut self, name: &str) {
        let one = &self.world.subscribers[self.index(name)];
        for _ in 0..LOOKS_MAX {
            let records = self.world.records_of(one.id).await;
            let has_failed = |record: &&DeliveryRecord| record.status == DeliveryStatus::Failed;
            let is_by_hand = |record: &DeliveryRecord| self.world.receivers.is_by_hand(&one.host, record.event_id);
            if records.iter().any(|record| is_by_hand(record) && !has_failed(&record)) {
                return;
            }
            if let Some(record) = records.iter().find(has_failed) {
                self.world.receivers.ask_by_hand(&one.host, record.event_id);
                let handled = self.world.bench.deliverer().retry(record).await.expect("it runs");
                self.world.receivers.answered_by_hand(&one.host, &handled);
                if matches!(handled, ByHand::Done(_)) {
                    return;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!("nothing has failed at {name}");
    }

    async fn check(&mut self) {
        let told: Vec<_> = (0..15).map(|number| (format!("r{}", number % 3), 1 + number / 3)).collect();
        assert_eq!(self.told().await, told, "each version once, in its order");
        let names: BTreeSet<_> = self.world.subscribers.iter().map(|one| one.host.as_str()).collect();
        assert_eq!(names.len(), 5);
        let doomed = self.world.bench.store.by_uid(DOOMED).await.expect("a look");
        assert!(doomed.is_none(), "it was deleted");
        for name in [STEADY, SLIPPING, DEAD, LEAVING] {
            assert_eq!(self.endpoint(name).await.status, EndpointStatus::Enabled);
        }
        assert_eq!(self.world.canceled.len(), 1);
        assert_eq!(self.world.asked.len(), 4);
        self.world.check().await;
        assert_eq!(self.world.receivers.wrongs(), [] as [String; 0]);
    }
}

fn play(kills: &[usize]) -> Vec<&'static str> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async { Play::new().through(kills).await })
}

#[test]
fn a_kill_after_any_step_loses_nothing() {
    let steps = play(&[]);
    let kinds: BTreeSet<_> = steps.iter().copied().collect();
    let every = ["cursor", "endpoint", "mark", "position", "progress", "record", "replay", "send", "sight", "snapshot"];
    assert_eq!(kinds, BTreeSet::from(every), "the history has something of everything");
    for (index, kind) in steps.iter().enumerate() {
        println!("killed after step {} ({kind})", index + 1);
        play(&[index + 1]);
    }
}

#[test]
fn a_second_kill_soon_after_the_first_loses_nothing() {
    let steps = play(&[]).len();
    for first in (1..=steps).step_by(3) {
        let second = 1 + first % 11;
        println!("killed after step {first}, and {second} steps later");
        play(&[first, second]);
    }
}
