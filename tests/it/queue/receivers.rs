//! Receivers of all endpoints at once: they answer by chance, and note everything that the queue must not do to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use certhook::clock::{Clock, SystemClock};
use certhook::deliver::transport::{Request, Response, Transport};
use certhook::model::delivery::{DeliveryRecord, DeliveryStatus, Outcome};
use certhook::model::id::EventId;
use certhook::model::time::Timestamp;

use super::dice::Dice;

/// Between a failure and the next attempt, whatever chance adds or takes away; rounding to milliseconds included.
const WAIT_MIN: Duration = Duration::from_millis(7);

/// One delivery: to which host, of which event.
type Delivery = (String, EventId);

/// A delivery as far as it is known in one process life.
#[derive(Default)]
struct Known {
    attempts: u32,
    due: Option<Timestamp>,
    /// When the last attempt began, if it failed.
    failed_at: Option<Timestamp>,
    /// Whether a success since then may have made it due early: then its schedule may go on as if it had not been.
    hurried: bool,
    ended: bool,
}

#[derive(Default)]
struct State {
    dice: Option<Dice>,
    healed: bool,
    /// Counts the processes.
    life: u32,
    known: HashMap<Delivery, Known>,
    /// Events that are being sent at the moment, with their resources.
    running: BTreeMap<String, BTreeMap<EventId, String>>,
    /// The last event of a resource that arrived for the first time in this life.
    arrived: HashMap<(String, String), EventId>,
    delivered: BTreeSet<Delivery>,
    /// When a host took something last.
    succeeded: HashMap<String, Timestamp>,
    /// Attempts before their time without a success that made them due: only probes may do that.
    early: Vec<(String, EventId, u32)>,
    limits: HashMap<String, usize>,
    /// What somebody wanted to be tried at a moment of his own, and so out of order.
    by_hand: BTreeSet<Delivery>,
    /// Hosts whose events of one resource need not come in order.
    unordered: BTreeSet<String>,
    wrongs: Vec<String>,
}

pub(super) struct Receivers {
    state: Mutex<State>,
    clock: SystemClock,
    in_flight_max: usize,
}

impl std::fmt::Debug for Receivers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receivers")
    }
}

impl Receivers {
    pub(super) fn new(dice: Dice, in_flight_max: usize) -> Arc<Self> {
        let state = Mutex::new(State { dice: Some(dice), ..State::default() });
        Arc::new(Self { state, clock: SystemClock::default(), in_flight_max })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The largest limit that a host ever had, since a request may have been sent before it was lowered.
    pub(super) fn limit(&self, host: &str, limit: usize) {
        let mut state = self.state();
        let known = state.limits.entry(host.to_owned()).or_default();
        *known = limit.max(*known);
    }

    pub(super) fn let_overtake(&self, host: &str) {
        self.state().unordered.insert(host.to_owned());
    }

    /// From now on everything is accepted.
    pub(super) fn heal(&self) {
        self.state().healed = true;
    }

    /// Another process begins, which knows what these records say and nothing else.
    pub(super) fn begin(&self, records: &[(String, DeliveryRecord)]) {
        let mut state = self.state();
        state.life += 1;
        state.running.clear();
        state.arrived.clear();
        let known = records.iter().map(|(host, record)| {
            let ended = record.status != DeliveryStatus::Pending;
            let failed_at = record.attempts.last().map(|attempt| attempt.at);
            let known =
                Known { attempts: record.attempt_count, due: record.next_attempt_at, failed_at, hurried: false, ended };
            ((host.clone(), record.event_id), known)
        });
        state.known = known.collect();
        // What was not recorded was never told of; another attempt will have its number.
        let State { early, known, .. } = &mut *state;
        early.retain(|(host, event, number)| {
            known.get(&(host.clone(), *event)).is_some_and(|known| known.attempts >= *number)
        });
    }

    /// Everything that waits at a host may come early, from before it is asked for on.
    pub(super) fn hurry(&self, host: &str) {
        self.state().succeeded.insert(host.to_owned(), Timestamp::from_millis(i64::MAX));
    }

    /// It was asked for: what fails from now on has its own time again.
    pub(super) fn hurried(&self, host: &str) {
        let now = self.clock.now();
        self.state().succeeded.insert(host.to_owned(), now);
    }

    /// What had failed is tried anew.
    pub(super) fn revive(&self, host: &str, event: EventId) {
        if let Some(known) = self.state().known.get_mut(&(host.to_owned(), event)) {
            (known.ended, known.due) = (false, None);
        }
    }

    /// The same, at a moment that somebody chose.
    pub(super) fn let_overtake_once(&self, host: &str, event: EventId) {
        self.revive(host, event);
        self.state().by_hand.insert((host.to_owned(), event));
    }

    /// Attempts that must have been probes: host, event and number.
    pub(super) fn early(&self) -> Vec<(String, EventId, u32)> {
        self.state().early.clone()
    }

    pub(super) fn wrongs(&self) -> Vec<String> {
        self.state().wrongs.clone()
    }

    pub(super) fn has(&self, host: &str, event: EventId) -> bool {
        self.state().delivered.contains(&(host.to_owned(), event))
    }
}

/// A request that is being answered.
struct Call<'a> {
    receivers: &'a Receivers,
    life: u32,
    host: String,
    event: EventId,
    resource: String,
    at: Timestamp,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut state = self.receivers.state();
        if state.life == self.life
            && let Some(running) = state.running.get_mut(&self.host)
        {
            running.remove(&self.event);
        }
    }
}

impl State {
    fn wrong(&mut self, call: &Call<'_>, what: &str) {
        let Call { life, host, event, resource, .. } = call;
        self.wrongs.push(format!("life {life}: {what}: {host} {} of {resource}", event.position.0));
    }

    /// A request arrives; nothing is known about its answer yet.
    fn arrive(&mut self, call: &Call<'_>, attempt: u32, in_flight_max: usize) {
        let running = self.running.entry(call.host.clone()).or_default();
        let twice = running.contains_key(&call.event);
        let is_by_hand = |event: EventId| self.by_hand.contains(&(call.host.clone(), event));
        let mut others = running.iter().filter(|(event, resource)| **resource == call.resource && !is_by_hand(**event));
        let together = others.next().is_some() && !is_by_hand(call.event);
        running.insert(call.event, call.resource.clone());
        let here = running.len();
        let everywhere: usize = self.running.values().map(BTreeMap::len).sum();
        let known = self.known.entry((call.host.clone(), call.event)).or_default();
        let (before, ended) = (known.attempts, known.ended);
        known.attempts = attempt;
        let recovered =
            self.succeeded.get(&call.host).is_some_and(|at| known.failed_at.is_none_or(|failed| failed <= *at));
        known.hurried = recovered;
        if known.due.is_some_and(|due| call.at < due) && !recovered {
            self.early.push((call.host.clone(), call.event, attempt));
        }
        let limit = self.limits.get(&call.host).copied().unwrap_or(usize::MAX);
        let wrongs = [
            (twice, "sent twice at a time".to_owned()),
            (together && !self.unordered.contains(&call.host), "two of a resource at a time".to_owned()),
            (here > limit, format!("{here} at a time, of {limit}")),
            (everywhere > in_flight_max, format!("{everywhere} at a time, of {in_flight_max}")),
            (ended, "sent again after it had ended".to_owned()),
            (attempt != before + 1, format!("attempt {attempt} after {before}")),
        ];
        for (is_wrong, what) in wrongs {
            if is_wrong {
                self.wrong(call, &what);
            }
        }
    }

    fn choose(&mut self) -> (Outcome, Duration) {
        let healed = self.healed;
        let dice = self.dice.as_mut().expect("it is there from the start");
        // In the end at once: with one slot for all, what is left may be ten thousand requests.
        let took = if healed { Duration::ZERO } else { Duration::from_micros(dice.below(6_000)) };
        let outcome = match dice.below(20) {
            _ if healed => Outcome::Delivered,
            0..=3 => Outcome::ServerError,
            4 => Outcome::TimedOut,
            5 => Outcome::Gone,
            6 => Outcome::Aborted,
            _ => Outcome::Delivered,
        };
        (outcome, took)
    }

    /// A request is answered.
    fn leave(&mut self, call: &Call<'_>, outcome: Outcome, now: Timestamp) {
        if self.life != call.life {
            return;
        }
        let delivery = (call.host.clone(), call.event);
        if let Some(known) = self.known.get_mut(&delivery) {
            known.ended = matches!(outcome, Outcome::Delivered | Outcome::Aborted);
            let due = known.due.filter(|_| known.hurried).unwrap_or_else(|| now.plus(WAIT_MIN));
            known.due = (outcome != Outcome::Gone).then_some(due);
            known.failed_at = Some(call.at);
        }
        if outcome == Outcome::Delivered {
            let succeeded = self.succeeded.entry(call.host.clone()).or_insert(now);
            *succeeded = now.max(*succeeded);
            let is_by_hand = self.by_hand.contains(&delivery);
            self.delivered.insert(delivery);
            if is_by_hand {
                return;
            }
            let last = self.arrived.insert((call.host.clone(), call.resource.clone()), call.event);
            if last.is_some_and(|last| last.position > call.event.position) && !self.unordered.contains(&call.host) {
                self.wrong(call, "arrived after a later one of its resource");
            }
        }
    }
}

#[async_trait]
impl Transport for Receivers {
    async fn send(&self, request: Request) -> Response {
        let header = |name: &str| {
            let found = request.headers.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone()).expect("the header is there")
        };
        let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        let url: url::Url = request.url.expose().parse().expect("a URL");
        let (call, outcome, took) = {
            let mut state = self.state();
            let call = Call {
                receivers: self,
                life: state.life,
                host: url.host_str().expect("a host").to_owned(),
                event: header("webhook-id").parse().expect("an event id"),
                resource: body["data"]["object"]["id"].as_str().expect("an id").to_owned(),
                at: self.clock.now(),
            };
            let attempt = header("certhook-attempt").parse().expect("a number");
            state.arrive(&call, attempt, self.in_flight_max);
            let (outcome, took) = state.choose();
            (call, outcome, took)
        };
        tokio::time::sleep(took).await;
        self.state().leave(&call, outcome, self.clock.now());
        Response { outcome, status_code: None, error: None, body: None, address: None, retry_after: None, took }
    }
}
