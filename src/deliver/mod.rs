//! Events to subscribers: signed, in order, at least once, one record per delivery.
//!
//! The log is the queue. An endpoint has a position in it; only exceptions are rows (a delivery that was tried).
//!
//! Invariants: nothing is sent before it is durable; a refused address is never connected to; the deadline covers
//! a whole attempt, name look-up to last byte; no response is read beyond its limit; the same event has the same
//! id on every attempt, and the same body as long as the endpoint asks for the same form.
//!
//! This room knows nothing of sources, detection, passes or our API.
//!
//! In reading order: [`mod@body`] (what a delivery carries), [`sign`], [`guard`] (which addresses may be called),
//! [`transport`] (one HTTP request), `attempt` (one try, whole). Then what is decided, each as a value: [`policy`] (what
//! follows from an outcome), [`health`] with `pace` (how an endpoint is doing, and what it may be sent therefore),
//! `index` (which endpoints an event is for), `lane` (one endpoint's queue, with `work`, what it hands out, and `room`,
//! its bounds), `slots` (who starts next, over all), `ledger` (what is committed next), `told` (what others hear of an
//! endpoint). Then `dispatch`, the loop that owns all of these and does what they say, with `station` (where each lane is
//! registered), `feed` (from the log to the
//! lanes), `roster` (endpoints come and go), `conclude` (what follows from an attempt) and `command` with `by_hand`
//! (what operators ask for). Around it: `backlog` (what waits in the store), [`replay`] (what is sent once more, in
//! bulk), [`retention`] (what is removed by its age), `board` (health, for those who ask), `survey` (all endpoints at
//! once), and `former_secrets` (which is no delivery, but ends what signs them).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::attempt::Tools;
use self::board::Board;
use self::command::{Command, Question};
use self::dispatch::Dispatcher;
use self::health::Circuit;
use self::replay::News;
use self::replay::resync::ResyncSource;
use self::survey::Instants;
use self::transport::Transport;
use crate::clock::Clock;
use crate::model::delivery::{Attempt, Trigger};
use crate::model::endpoint::Endpoint;
use crate::model::event::Event;
use crate::model::health::{Backlog, Health, Standing};
use crate::model::id::{EndpointNumber, Position};
use crate::store::{Store, StoreError};
use crate::telemetry::meters::Attempts;

mod attempt;
mod backlog;
mod board;
pub mod body;
mod by_hand;
mod command;
mod conclude;
mod dispatch;
mod feed;
mod former_secrets;
pub mod guard;
pub mod health;
mod index;
mod lane;
mod ledger;
mod pace;
pub mod policy;
pub mod replay;
pub mod retention;
mod room;
mod roster;
pub mod sign;
mod slots;
mod station;
mod survey;
#[cfg(test)]
mod testing;
mod told;
pub mod transport;
mod work;

pub use former_secrets::forget_former_secrets;

/// What configuration says about delivering.
#[derive(Clone, Debug)]
pub struct Settings {
    /// One deadline over an attempt: look-up, connection, TLS, headers and body.
    pub timeout: Duration,
    /// The waits between attempts; the first attempt is immediate.
    pub retry: Vec<Duration>,
    /// Attempts at a time over all endpoints.
    pub max_in_flight: usize,
    /// Attempts at a time for one endpoint.
    pub per_endpoint_in_flight: usize,
    /// How long an event that is being retried may hold back later events of its resource.
    pub order_wait: Duration,
    /// After how much uninterrupted failure an endpoint is disabled.
    pub disable_after: Duration,
    /// Those whose resources a resync tells.
    pub sources: Vec<ResyncSource>,
    /// Whether the resources of any source are live ones: what is told of endpoints says the same.
    pub livemode: bool,
    /// When to leave a failing endpoint alone, and when to look whether it is back.
    pub circuit: Circuit,
    /// Networks that may be called although they are private, loopback or link-local.
    pub allow_networks: Vec<IpNet>,
    /// Whether plain http is allowed everywhere, and not only to `allow_networks`.
    pub allow_http: bool,
    /// PEM file with further trusted roots.
    pub ca_file: Option<std::path::PathBuf>,
    /// The proxy for every delivery, if any. It must keep private addresses out: the guard cannot see behind it.
    pub proxy: Option<url::Url>,
}

/// All deliveries of one process.
pub struct Deliverer {
    tools: Tools,
    settings: Settings,
    board: Arc<Board>,
    commands: mpsc::Sender<Command>,
    asked: Mutex<mpsc::Receiver<Command>>,
    /// Held while a record is looked at and changed by hand.
    by_hand: Mutex<()>,
    /// What running replays wait for.
    news: Arc<News>,
    /// What the last survey knew.
    instants: Mutex<Instants>,
    /// Whether nothing is sent by itself.
    is_held: AtomicBool,
}

impl Deliverer {
    /// Deliveries from this store, over this transport.
    pub fn new(
        store: Arc<dyn Store>,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        let (commands, asked) = mpsc::channel(command::QUEUE_LENGTH);
        let tools = Tools { store, transport, clock };
        Self {
            tools,
            settings,
            board: Arc::default(),
            commands,
            asked: Mutex::new(asked),
            by_hand: Mutex::default(),
            news: Arc::default(),
            instants: Mutex::default(),
            is_held: AtomicBool::new(false),
        }
    }

    /// Sends nothing: what is pending stays so, and what operators ask for is noted. To be asked for before it runs.
    pub fn hold(&self) {
        self.is_held.store(true, Ordering::Relaxed);
    }

    /// Delivers until `stop`; then starts nothing more, lets attempts in flight end, and saves what came of them.
    ///
    /// # Errors
    /// If the store fails. Nothing is lost: what was not recorded is sent again after a restart.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), StoreError> {
        let mut asked = self.asked.lock().await;
        let news = Arc::clone(&self.news);
        let (tools, settings, board) = (self.tools.clone(), self.settings.clone(), Arc::clone(&self.board));
        let dispatcher = Dispatcher::new(tools, settings, board, news, self.is_held.load(Ordering::Relaxed));
        let deliveries = dispatcher.run(&mut asked, stop.clone());
        // Wherever it is dropped, it goes on from there after the next start.
        let replays = async { stop.run_until_cancelled(self.look_after_replays()).await.unwrap_or(Ok(())) };
        let result = tokio::try_join!(deliveries, replays).map(|((), ())| ());
        // Nobody will answer any more.
        asked.close();
        while asked.try_recv().is_ok() {}
        result
    }

    /// Sends an event to an endpoint now and once, outside its queue and without a record. `None`: nothing is sent,
    /// because [`Self::hold`] was asked for.
    pub async fn send_once(&self, endpoint: &Endpoint, event: &Event) -> Option<Attempt> {
        if self.is_held.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.tools.send(endpoint, event, 1, Trigger::Manual, None, None).await.0)
    }

    /// Everything that waits for an endpoint becomes due; `false` if it is disabled.
    ///
    /// # Errors
    /// [`StoreError::Closed`] if the deliveries have ended.
    pub async fn recover(&self, endpoint: EndpointNumber) -> Result<bool, StoreError> {
        self.ask(|done| Command::Recover { endpoint, done }).await
    }

    /// How far an endpoint's queue has come; `None` if it is disabled or deleted.
    async fn position(&self, endpoint: EndpointNumber) -> Result<Option<Position>, StoreError> {
        self.ask(|done| Command::Position(Question { endpoint, done })).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        self.commands.send(command(done)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)
    }

    /// Makes pending again what has failed since a disabled endpoint took something last, for the time when it is
    /// enabled.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn retry_failed(&self, endpoint: &Endpoint) -> Result<(), StoreError> {
        backlog::retry_failed(&*self.tools.store, endpoint, self.tools.clock.now()).await
    }

    /// What an endpoint has not got yet.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn backlog(&self, endpoint: &Endpoint) -> Result<Backlog, StoreError> {
        backlog::count(&*self.tools.store, endpoint).await
    }

    /// How all endpoints stand, as far as memory tells; in no order.
    ///
    /// # Errors
    /// [`StoreError::Closed`] if the deliveries have ended.
    pub async fn survey(&self) -> Result<Vec<Standing>, StoreError> {
        let seen = self.ask(Command::Survey).await?;
        let mut instants = self.instants.lock().await;
        if let Err(error) = instants.learn(&survey::wanted(&seen), &*self.tools.store).await {
            tracing::warn!(%error, "the age of what waits cannot be told");
        }
        let dated = seen
            .into_iter()
            .map(|one| Standing { oldest_at: one.oldest.and_then(|position| instants.at(position)), ..one.standing });
        Ok(dated.collect())
    }

    /// What attempts have measured.
    pub fn meter(&self) -> &Attempts {
        &self.board.attempts
    }

    /// How an endpoint has been doing.
    pub fn health(&self, endpoint: EndpointNumber) -> Health {
        self.board.health(endpoint)
    }
}
