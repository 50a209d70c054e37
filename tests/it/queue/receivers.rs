//! Receivers of all endpoints at once: they answer by chance, and note everything that the queue must not do to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use certhook::clock::Clock;
use certhook::deliver::transport::{Request, Response, Transport};
use certhook::model::delivery::{ByHand, DeliveryRecord, Outcome};
use certhook::model::endpoint::SigningSecret;
use certhook::model::id::{EventId, Position};

pub(super) use self::call::Call;
use self::host::{Host, Slack};
use super::dice::Dice;
use crate::support::memory::Memory;

mod call;
mod host;

/// Where time stands still while anything can be done.
const IN_MEMORY: Slack = Slack { unnoticed_max: Duration::from_millis(20), on_its_way_max: Duration::ZERO };

/// Where time is real, and the machine may be busy.
const FOR_REAL: Slack = Slack { unnoticed_max: Duration::from_secs(10), on_its_way_max: Duration::from_secs(10) };

struct State {
    answers: Answers,
    slack: Slack,
    healed: bool,
    /// Counts the processes.
    life: u32,
    hosts: BTreeMap<String, Host>,
    wrongs: Vec<String>,
}

/// How a receiver answers, and how long it takes.
pub(super) type Answer = (Outcome, Duration);

/// What decides that.
pub(super) type Answers = Box<dyn FnMut(&Call) -> Answer + Send>;

pub(super) struct Receivers {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    in_flight_max: usize,
    /// Where the process may end as soon as something has come, if that is wanted.
    memory: Option<Arc<Memory>>,
}

/// Most of what comes is taken.
pub(super) fn by_chance(mut dice: Dice) -> Answers {
    Box::new(move |_| {
        let took = Duration::from_micros(dice.below(6_000));
        let outcome = match dice.below(20) {
            0..=3 => Outcome::ServerError,
            4 => Outcome::TimedOut,
            5 => Outcome::Gone,
            6 => Outcome::Aborted,
            _ => Outcome::Delivered,
        };
        (outcome, took)
    })
}

impl std::fmt::Debug for Receivers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receivers")
    }
}

impl Receivers {
    pub(super) fn new(
        answers: Answers,
        in_flight_max: usize,
        clock: Arc<dyn Clock>,
        memory: Option<Arc<Memory>>,
    ) -> Arc<Self> {
        let slack = if memory.is_some() { IN_MEMORY } else { FOR_REAL };
        let state = State { answers, slack, healed: false, life: 0, hosts: BTreeMap::new(), wrongs: Vec::new() };
        Arc::new(Self { state: Mutex::new(state), clock, in_flight_max, memory })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, host: &str, change: impl FnOnce(&mut Host) -> T) -> T {
        change(self.state().hosts.entry(host.to_owned()).or_default())
    }

    /// The largest limit that a host ever had, since a request may have been sent before it was lowered.
    pub(super) fn limit(&self, host: &str, limit: usize) {
        self.change(host, |host| host.limit = limit.max(host.limit));
    }

    /// What signs from now on, or may do so soon.
    pub(super) fn sign(&self, host: &str, secrets: Vec<SigningSecret>) {
        self.change(host, |host| host.secrets.push((secrets, None)));
    }

    /// Only what was told last signs from now on.
    pub(super) fn signed(&self, host: &str) {
        let now = self.clock.now();
        self.change(host, |host| {
            for (_, until) in host.secrets.iter_mut().rev().skip(1) {
                until.get_or_insert(now);
            }
        });
    }

    /// From now on nothing is sent to it, or something may be again.
    pub(super) fn switch(&self, host: &str, is_on: bool) {
        let now = self.clock.now();
        self.change(host, |host| host.off_since = (!is_on).then_some(now));
    }

    /// Events of one resource need not come in order, or those do that come after a place in the log.
    pub(super) fn order(&self, host: &str, after: Option<Position>) {
        self.change(host, |host| host.ordered_after = after);
    }

    /// Events of that resource were perhaps passed by, and come when they are looked at again.
    pub(super) fn let_overtake(&self, host: &str, resource: &str) {
        self.change(host, |host| host.passed_by.insert(resource.to_owned()));
    }

    /// From now on everything is accepted.
    pub(super) fn heal(&self) {
        self.state().healed = true;
    }

    /// Another process begins, which knows what these records say and nothing else.
    pub(super) fn begin(&self, records: &[(String, DeliveryRecord)]) {
        let mut state = self.state();
        state.life += 1;
        state.hosts.values_mut().for_each(Host::begin);
        for (host, record) in records {
            state.hosts.entry(host.clone()).or_default().remember(record);
        }
    }

    /// What had ended is tried anew.
    pub(super) fn revive(&self, host: &str, event: EventId) {
        self.change(host, |host| host.revive(event));
    }

    /// The same, at a moment that somebody chose, and so out of order.
    pub(super) fn revive_by_hand(&self, host: &str, event: EventId) {
        self.change(host, |host| {
            host.revive(event);
            host.by_hand.insert(event);
        });
    }

    /// Somebody is about to ask for it to be sent.
    pub(super) fn ask_by_hand(&self, host: &str, event: EventId) {
        self.change(host, |host| host.ask(event));
    }

    /// What he was told.
    pub(super) fn answered_by_hand(&self, host: &str, handled: &ByHand) {
        let pending_after = match handled {
            ByHand::Done(record) => record.pending_for().is_none().then_some(record.attempt_count),
            ByHand::UnderWay | ByHand::Ended(_) | ByHand::Disabled | ByHand::NotKept => None,
        };
        if !self.change(host, |host| host.asked(pending_after)) {
            let mut state = self.state();
            let wrong = format!("life {}: sent again after it had ended, at {host}: {handled:?}", state.life);
            state.wrongs.push(wrong);
        }
    }

    /// Whether somebody wanted it to be sent there at a moment of his own.
    pub(super) fn is_by_hand(&self, host: &str, event: EventId) -> bool {
        self.change(host, |host| host.by_hand.contains(&event))
    }

    pub(super) fn has(&self, host: &str, event: EventId) -> bool {
        self.change(host, |host| host.delivered.contains(&event))
    }

    /// All that ever came, wherever.
    pub(super) fn events(&self) -> Vec<EventId> {
        self.state().hosts.values().flat_map(Host::events).collect()
    }

    pub(super) fn wrongs(&self) -> Vec<String> {
        self.state().wrongs.clone()
    }
}

impl State {
    /// A request arrives; nothing is known about its answer yet.
    fn arrive(&mut self, call: &Call, in_flight_max: usize) {
        let host = self.hosts.entry(call.host.clone()).or_default();
        let mut wrongs = host.arrive(call, self.slack);
        let everywhere: usize = self.hosts.values().map(Host::in_flight).sum();
        if everywhere > in_flight_max {
            wrongs.push(format!("{everywhere} at a time, of {in_flight_max}"));
        }
        self.note(call, wrongs);
    }

    fn note(&mut self, call: &Call, wrongs: Vec<String>) {
        self.wrongs.extend(wrongs.into_iter().map(|what| format!("life {}: {what}: {call}", self.life)));
    }

    fn choose(&mut self, call: &Call) -> Answer {
        // In the end at once: with one slot for all, what is left may be ten thousand requests.
        if self.healed { (Outcome::Delivered, Duration::ZERO) } else { (self.answers)(call) }
    }
}

/// A request that is being answered.
struct Answering<'a> {
    receivers: &'a Receivers,
    life: u32,
    call: Call,
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        let mut state = self.receivers.state();
        if state.life == self.life
            && let Some(host) = state.hosts.get_mut(&self.call.host)
        {
            host.leave(self.call.event);
        }
    }
}

impl Answering<'_> {
    fn answer(&self, outcome: Outcome) {
        let mut state = self.receivers.state();
        if state.life == self.life
            && let Some(host) = state.hosts.get_mut(&self.call.host)
        {
            let wrongs = host.answer(&self.call, outcome);
            state.note(&self.call, wrongs);
        }
    }
}

#[async_trait]
impl Transport for Receivers {
    async fn send(&self, request: Request) -> Response {
        let call = Call::of(&request, self.clock.now());
        let (answering, outcome, took) = {
            let mut state = self.state();
            state.arrive(&call, self.in_flight_max);
            let (outcome, took) = state.choose(&call);
            (Answering { receivers: self, life: state.life, call }, outcome, took)
        };
        if let Some(memory) = &self.memory {
            memory.disk().step("send").await;
        }
        tokio::time::sleep(took).await;
        answering.answer(outcome);
        Response { outcome, status_code: None, error: None, body: None, address: None, retry_after: None, took }
    }
}
