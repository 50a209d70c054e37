//! The loop that owns every lane: it feeds them from the log, starts attempts, and commits what came of them.
//!
//! All state lives in one task. What waits (reads, attempts, commits) is a task of its own that hands back a
//! [`Done`]; at most one page is being routed and one commit written at a time, so that commits grow with the load.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::attempt::{Tools, Tried, Untried};
use super::backlog::Waits;
use super::board::Board;
use super::command::{Command, Question};
use super::feed::Page;
use super::health::Condition;
use super::index::Index;
use super::ledger::Ledger;
use super::replay::News;
use super::roster::Arrival;
use super::slots::{Slots, Ticket, Turn};
use super::station::Station;
use super::survey::Absentee;
use super::work::Work;
use crate::model::delivery::ByHand;
use crate::model::endpoint::Endpoint;
use crate::model::id::{DeliveryId, EndpointNumber, Position};
use crate::model::time::Timestamp;
use crate::store::StoreError;

/// How long a delivery waits whose event or record could not be read.
pub(super) const UNREADABLE_WAIT: Duration = Duration::from_secs(30);

/// What a stop grants beyond the deadline of the attempts that are in flight.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How long the loop sleeps at most. What is due goes by the wall clock, which may be set, or by one of a machine that
/// was suspended.
const LONGEST: Duration = Duration::from_secs(30);

/// How much that has been handed back is dealt with before anything else: so little that an operator's command waits
/// for a millisecond at most.
const DONE_AT_ONCE: usize = 64;

/// What a task hands back.
pub(super) enum Done {
    Routed(Result<Page, StoreError>),
    Read {
        number: EndpointNumber,
        generation: u64,
        page: Result<Page, StoreError>,
    },
    Tried {
        number: EndpointNumber,
        endpoint: Arc<Endpoint>,
        work: Work,
        ticket: Ticket,
        result: Box<Result<Tried, Untried>>,
    },
    /// What waits for an endpoint that is to be taken up.
    Waits {
        number: EndpointNumber,
        read: u64,
        waits: Result<Waits, StoreError>,
    },
    Committed(Result<(), StoreError>),
    Canceled {
        id: DeliveryId,
        result: Result<ByHand, StoreError>,
        answer: oneshot::Sender<ByHand>,
    },
}

/// The state of the loop.
pub(super) struct Dispatcher {
    pub(super) tools: Tools,
    pub(super) settings: Settings,
    pub(super) board: Arc<Board>,
    /// Where running replays hear that they may go on.
    pub(super) news: Arc<News>,
    pub(super) stations: HashMap<EndpointNumber, Station>,
    /// Where endpoints without a lane stopped.
    pub(super) stopped: HashMap<EndpointNumber, Position>,
    /// Those that are disabled.
    pub(super) absent: HashMap<EndpointNumber, Absentee>,
    /// How they were doing then.
    pub(super) conditions: HashMap<EndpointNumber, Condition>,
    /// Endpoints that get a lane as soon as it can know all that was tried before.
    pub(super) arriving: HashMap<EndpointNumber, Arrival>,
    /// Who wants to know how far an endpoint's queue has come.
    pub(super) questions: Vec<Question>,
    /// Counts the reads of what waits for them.
    pub(super) reads: u64,
    pub(super) index: Index,
    pub(super) ledger: Ledger,
    /// Everything up to it was offered to the live lanes.
    pub(super) routed: Position,
    /// Up to it events may have records from before the start.
    pub(super) recheck_until: Position,
    pub(super) own_moved: BTreeSet<EndpointNumber>,
    pub(super) generations: u64,
    pub(super) tasks: JoinSet<Done>,
    /// Lanes that are behind and have room for a page, first come, first served.
    pub(super) hungry: VecDeque<EndpointNumber>,
    pub(super) readers: usize,
    pub(super) routing: bool,
    pub(super) slots: Slots,
    /// Ends attempts that are under way.
    cuts: HashMap<Ticket, oneshot::Sender<()>>,
    pub(super) wakes: BTreeSet<(Timestamp, EndpointNumber)>,
    pub(super) committing: bool,
    pub(super) stopping: bool,
    /// Whether no attempt is started at all.
    is_held: bool,
}

impl Dispatcher {
    pub(super) fn new(tools: Tools, settings: Settings, board: Arc<Board>, news: Arc<News>, is_held: bool) -> Self {
        Self {
            slots: Slots::new(settings.max_in_flight),
            cuts: HashMap::new(),
            tools,
            settings,
            board,
            news,
            stations: HashMap::new(),
            stopped: HashMap::new(),
            absent: HashMap::new(),
            conditions: HashMap::new(),
            arriving: HashMap::new(),
            questions: Vec::new(),
            reads: 0,
            index: Index::default(),
            ledger: Ledger::default(),
            routed: Position::START,
            recheck_until: Position::START,
            own_moved: BTreeSet::new(),
            generations: 0,
            tasks: JoinSet::new(),
            wakes: BTreeSet::new(),
            hungry: VecDeque::new(),
            readers: 0,
            routing: false,
            committing: false,
            stopping: false,
            is_held,
        }
    }

    /// Runs until `stop`, then lets attempts in flight end and saves what came of them.
    pub(super) async fn run(
        mut self,
        commands: &mut mpsc::Receiver<Command>,
        stop: CancellationToken,
    ) -> Result<(), StoreError> {
        let mut changes = self.tools.store.changes();
        let mut head = self.tools.store.head();
        let durable = *head.borrow_and_update();
        self.load(durable).await?;
        while !stop.is_cancelled() {
            let now = self.tools.clock.now();
            self.wake_lanes(now);
            let durable = *head.borrow();
            self.start_tasks(durable, now);
            self.answer();
            self.step(&mut changes, &mut head, commands, &stop, now).await?;
        }
        self.stop().await
    }

    /// Waits for one thing to happen, and deals with it.
    async fn step(
        &mut self,
        changes: &mut broadcast::Receiver<EndpointNumber>,
        head: &mut watch::Receiver<Position>,
        commands: &mut mpsc::Receiver<Command>,
        stop: &CancellationToken,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let wakes = [self.wakes.first().map(|(at, _)| *at), self.slots.next_wake()];
        let wake = wakes.into_iter().flatten().min().map_or(LONGEST, |at| at.since(now).min(LONGEST));
        tokio::select! {
            // Not by chance: the same things that happen have the same consequences. What is rare goes first; the head
            // and the time are looked at before every wait, and only end it here.
            biased;
            () = stop.cancelled() => Ok(()),
            changed = changes.recv() => self.endpoint_changed(changed).await,
            Some(command) = commands.recv() => self.obey(command, now).await,
            Some(done) = self.tasks.join_next() => self.all_done(done),
            moved = head.changed() => moved.map_err(|_| StoreError::Closed),
            () = tokio::time::sleep(wake) => Ok(()),
        }
    }

    async fn stop(mut self) -> Result<(), StoreError> {
        self.stopping = true;
        let deadline = tokio::time::Instant::now() + self.settings.timeout + STOP_GRACE;
        loop {
            self.start_commit();
            let is_done = self.slots.is_idle() && !self.committing;
            if is_done && !self.ledger.has_news(self.routed) {
                return Ok(());
            }
            match tokio::time::timeout_at(deadline, self.tasks.join_next()).await {
                Ok(Some(done)) => self.done(finished(done))?,
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }

    fn wake_lanes(&mut self, now: Timestamp) {
        while let Some(&(at, number)) = self.wakes.first().filter(|(at, _)| *at <= now) {
            self.wakes.remove(&(at, number));
            if let Some(station) = self.stations.get_mut(&number) {
                station.wake = None;
                station.lane.wake(now);
            }
            self.settle(number, now);
        }
    }

    /// Starts whatever can start: routing, reads of lanes that are behind, attempts in fair turns, a commit.
    fn start_tasks(&mut self, head: Position, now: Timestamp) {
        self.start_reads(head);
        self.slots.age(now);
        while !self.is_held
            && !self.ledger.is_full()
            && let Some((number, turn)) = self.slots.next()
        {
            self.start_attempt(number, turn, now);
        }
        if !self.ledger.is_full() {
            for cut in self.slots.cut_off().into_iter().filter_map(|ticket| self.cuts.remove(&ticket)) {
                // It may have ended by itself at this moment.
                let _ended = cut.send(());
            }
        }
        self.start_commit();
    }

    fn start_attempt(&mut self, number: EndpointNumber, turn: Turn, now: Timestamp) {
        let Some(station) = self.stations.get_mut(&number) else { return };
        let current = self.slots.turn_of(number, station.lane.condition.is_failing());
        if current != turn {
            self.slots.queue(number, current);
            return;
        }
        if !self.slots.admit(number, &station.host) {
            return;
        }
        station.queued = false;
        if let Some(work) = station.lane.start(now) {
            let ticket = self.slots.begin(number, &station.host, turn, now);
            self.ledger.begin(number);
            let (endpoint, tools) = (Arc::clone(&station.lane.endpoint), self.tools.clone());
            let known = self.ledger.unsaved(number, work.position).cloned();
            let (cut, is_cut) = oneshot::channel();
            self.cuts.insert(ticket, cut);
            self.tasks.spawn(async move {
                let attempt = AssertUnwindSafe(tools.attempt(&endpoint, &work, known, is_cut)).catch_unwind().await;
                let result = Box::new(attempt.unwrap_or(Err(Untried::Panicked)));
                Done::Tried { number, endpoint, work, ticket, result }
            });
        }
        self.settle(number, now);
    }

    /// Deals with what has been handed back, and with all that has been handed back meanwhile, up to a limit: what
    /// follows from it for all lanes is done once.
    fn all_done(&mut self, first: Result<Done, JoinError>) -> Result<(), StoreError> {
        self.done(finished(first))?;
        for _ in 1..DONE_AT_ONCE {
            let Some(done) = self.tasks.try_join_next() else { break };
            self.done(finished(done))?;
        }
        Ok(())
    }

    fn done(&mut self, done: Done) -> Result<(), StoreError> {
        let now = self.tools.clock.now();
        match done {
            Done::Routed(page) => {
                self.routing = false;
                self.route(&page?, now);
            }
            Done::Read { number, generation, page } => {
                self.readers -= 1;
                self.feed(number, generation, &page?, now);
            }
            Done::Waits { number, read, waits } => self.arrived(number, read, waits?, now),
            Done::Tried { number, endpoint, work, ticket, result } => {
                self.slots.end(ticket);
                self.cuts.remove(&ticket);
                self.tried(number, &endpoint, &work, *result, now);
                self.take_up_the_rest(number);
                self.welcome(number);
            }
            Done::Committed(result) => {
                self.committing = false;
                result?;
                self.committed(now);
            }
            Done::Canceled { id, result, answer } => {
                self.ledger.finish(id.endpoint);
                self.settled(id.endpoint, id.position, now);
                let _gone = answer.send(result?);
                self.welcome(id.endpoint);
            }
        }
        Ok(())
    }
}

/// Tasks of this loop contain the panics of attempts; any other panic is a broken invariant and goes on.
fn finished(done: Result<Done, JoinError>) -> Done {
    match done {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
