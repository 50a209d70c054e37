//! What is removed by its age: events and their sights, and the records of deliveries.
//!
//! An event goes when it is old enough and pending for nobody. It waits for an endpoint that is behind, disabled or not,
//! until it is twice as old; then the endpoint gives up everything that is old enough, and that is told. It waits
//! for a replay that has still to read it, too; from then on the replay misses what becomes twice as old, and counts it.
//! The live mark, which endpoints that keep up share, always holds: nobody is behind it by more than a few events.
//!
//! Records go some time after their last attempt, replays as long after their end. Records lie in the order of their events, so a look through those whose
//! event is old enough meets little else than what it removes; it goes on in small steps where it stopped, and begins
//! anew when it is through or the process was restarted.
//!
//! In reading order: `plan` (what may go), `gap` (what an endpoint has missed), and the loop below.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::plan::{Ages, Pending};
use super::Deliverer;
use super::board::Board;
use super::replay::News;
use super::told;
use crate::clock::Clock;
use crate::model::delivery::DeliveryStatus;
use crate::model::endpoint::Endpoint;
use crate::model::id::{DeliveryId, EndpointNumber, Position};
use crate::model::replay::{Course, Cursor, Replay, ReplayStatus};
use crate::model::time::Timestamp;
use crate::store::retention::{GivenUp, Missed};
use crate::store::{DeliveryQuery, Store, StoreError};

mod gap;
mod plan;

/// How often it looks, and how long after the start for the first time: deliveries that were due while no process ran
/// have a chance first.
const EVERY: Duration = Duration::from_secs(60);

/// So often in one look the store is asked to look at some records, a thousand each: ten million are looked through in
/// 17 hours, at less than 200 a second.
const STEPS: usize = 10;

/// Deliveries of one endpoint that are canceled at once; further ones are found at the next look.
const CANCELED_MAX: usize = 10_000;

/// Deliveries, or replays, in one read.
const PAGE: usize = 100;

/// What configuration says about removing.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long an event is kept; at most twice as long for an endpoint that has not got it.
    pub events: Duration,
    /// How long a delivery is kept after its last attempt, and a replay after its end.
    pub attempts: Duration,
}

/// Removes what is old.
pub struct Retention {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    board: Arc<Board>,
    /// Where running replays hear that what was pending for them has ended.
    news: Arc<News>,
    /// Whether the resources are live ones: what is told of endpoints says the same.
    livemode: bool,
    settings: Settings,
    /// The last record that was looked at.
    looked_at: Option<DeliveryId>,
}

/// Those places in the log that matter at one look.
#[derive(Clone, Copy)]
struct Look {
    now: Timestamp,
    ages: Ages,
    /// What was observed before it is old.
    horizon: Timestamp,
}

impl Deliverer {
    /// What removes what is old from the store of these deliveries.
    pub fn retention(&self, settings: Settings) -> Retention {
        let (store, clock) = (Arc::clone(&self.tools.store), Arc::clone(&self.tools.clock));
        let (board, news) = (Arc::clone(&self.board), Arc::clone(&self.news));
        Retention { store, clock, board, news, livemode: self.settings.livemode, settings, looked_at: None }
    }
}

impl Retention {
    /// Removes what is old until `stop`.
    ///
    /// # Errors
    /// If the store is closed.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), StoreError> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(EVERY) => {}
            }
            match self.look(&stop).await {
                Ok(()) => {}
                Err(error @ StoreError::Closed) => return Err(error),
                // It can wait: what is kept for longer does no harm.
                Err(error) => tracing::error!(%error, "retention.failed"),
            }
        }
    }

    /// Removes what is old by now; gives way to `stop` between two steps. What [`Self::run`] does once a minute.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn look(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        let now = self.clock.now();
        let horizon = now.minus(self.settings.events);
        let ages = Ages {
            young: self.store.position_at(horizon).await?,
            awaited: self.store.position_at(horizon.minus(self.settings.events)).await?,
        };
        if ages.young > self.store.first() {
            self.cut(&Look { now, ages, horizon }, stop).await?;
        }
        self.forget(now, stop).await
    }

    /// Cuts what is old and pending for nobody, after those who are overdue have given it up.
    async fn cut(&self, look: &Look, stop: &CancellationToken) -> Result<(), StoreError> {
        let positions = self.store.positions().await?;
        let mut dealt_with = vec![positions.live_mark];
        for (number, own) in positions.own {
            dealt_with.push(if look.ages.is_overdue(own) { self.overdue(number, own, look).await? } else { own });
        }
        dealt_with.extend(self.replaying(look.ages).await?);
        let last = self.before_what_waits(look.ages.last(dealt_with), look).await?;
        let (begun, mut first) = (self.store.first(), self.store.first());
        while first <= last && !stop.is_cancelled() {
            let next = self.store.cut_events(last).await?;
            if next == first {
                break;
            }
            first = next;
        }
        if first > begun {
            tracing::info!(events = first.0 - begun.0, first = first.0, "retention.cut");
        }
        Ok(())
    }

    /// Up to where the log may go beside the replays that go through it.
    async fn replaying(&self, ages: Ages) -> Result<Vec<Position>, StoreError> {
        let (mut held, mut beyond) = (Vec::new(), None);
        loop {
            let page = self.store.replays(beyond, true, PAGE).await?;
            let Some(last) = page.last() else { return Ok(held) };
            beyond = Some(last.id.number);
            let running = page.into_iter().filter(|replay| replay.progress.status == ReplayStatus::Running);
            held.extend(running.filter_map(|Replay { course, progress, .. }| match (course, progress.cursor) {
                (Course::Log(range), Cursor::Log(at)) => ages.beside_replay(at, range.until),
                (Course::Log(_) | Course::Snapshots(_), Cursor::Log(_) | Cursor::Snapshots(_) | Cursor::End) => None,
            }));
        }
    }

    /// An endpoint's own position is overdue, unless it has given up already what lies behind it. Where it goes on.
    async fn overdue(&self, number: EndpointNumber, own: Position, look: &Look) -> Result<Position, StoreError> {
        let last = look.ages.young.previous();
        match self.store.by_number(number).await? {
            Some(endpoint) if look.ages.is_overdue(endpoint.start) => {
                let own = own.max(endpoint.start);
                self.give_up(endpoint, own, last, look).await?;
                Ok(last)
            }
            Some(endpoint) => Ok(own.max(endpoint.start)),
            // It was deleted since.
            None => Ok(last),
        }
    }

    /// The last event that may go, which is before the first delivery that waits, once those who are overdue have given
    /// up what waits for them.
    async fn before_what_waits(&self, last: Position, look: &Look) -> Result<Position, StoreError> {
        let mut given_up = BTreeSet::new();
        let mut query = self.pending(look);
        loop {
            let page = self.store.deliveries(query.clone()).await?;
            for DeliveryId { position, endpoint: number, .. } in page.found.iter().map(|record| record.id) {
                match look.ages.pending(position, last) {
                    Pending::Later => return Ok(last),
                    // What it gave up is everything that is old, this too.
                    Pending::HoldsBack | Pending::Overdue if given_up.contains(&number) => {}
                    Pending::HoldsBack => return Ok(position.previous()),
                    Pending::Overdue => match self.store.by_number(number).await? {
                        Some(endpoint) => {
                            self.give_up(endpoint, last, last, look).await?;
                            given_up.insert(number);
                        }
                        // It was deleted, and what waits for it is being canceled.
                        None => return Ok(position.previous()),
                    },
                }
            }
            match page.next {
                Some(next) if next.position <= last => query.after = Some(next),
                Some(_) | None => return Ok(last),
            }
        }
    }

    /// An endpoint that has dealt with everything up to `own`, but for what waits, gives up everything up to `last`.
    async fn give_up(&self, endpoint: Endpoint, own: Position, last: Position, look: &Look) -> Result<(), StoreError> {
        let number = endpoint.id.number;
        let waiting = self.waiting(number, last, look).await?;
        let waits = Missed { count: waiting.len() as u64, more: waiting.len() == CANCELED_MAX };
        let missed = gap::untried(&*self.store, &endpoint, own, last).await?.and(waits);
        let from = waiting.iter().map(|id| id.position).chain([own.next().min(last)]).fold(last, Position::min);
        let ends = (self.store.event(from.max(self.store.first())).await?, self.store.event(last).await?);
        let told = match (&ends, missed == Missed::default()) {
            ((Some(first), Some(last)), false) => {
                let health = self.board.health(number);
                Some(told::of_gap(&endpoint, &health, (first, last), missed, self.livemode, look.now))
            }
            ((None, _) | (_, None), _) | (_, true) => None,
        };
        tracing::warn!(endpoint_id = %endpoint.id, missed = missed.count, until = last.0, "retention.given_up");
        self.store.give_up(GivenUp { endpoint: endpoint.id, until: last, waiting, missed, told }).await?;
        self.news.tell();
        Ok(())
    }

    /// The deliveries of an endpoint that are pending with a record, up to a position.
    async fn waiting(
        &self,
        endpoint: EndpointNumber,
        last: Position,
        look: &Look,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let mut waiting = Vec::new();
        let mut query = DeliveryQuery { endpoint: Some(endpoint), ..self.pending(look) };
        loop {
            let page = self.store.deliveries(query.clone()).await?;
            waiting.extend(page.found.iter().map(|record| record.id).filter(|id| id.position <= last));
            match page.next {
                Some(next) if next.position <= last && waiting.len() < CANCELED_MAX => query.after = Some(next),
                Some(_) | None => break,
            }
        }
        waiting.truncate(CANCELED_MAX);
        Ok(waiting)
    }

    /// What is pending with a record of events that are kept and old, the oldest event first.
    fn pending(&self, look: &Look) -> DeliveryQuery {
        let position = self.store.first().previous();
        let before_all = DeliveryId { position, endpoint: EndpointNumber(u32::MAX), epoch: u32::MAX };
        DeliveryQuery {
            status: Some(DeliveryStatus::Pending),
            until: Some(look.horizon),
            after: Some(before_all),
            ascending: true,
            limit: PAGE,
            ..DeliveryQuery::default()
        }
    }

    /// Goes on looking through the records whose event is old enough.
    async fn forget(&mut self, now: Timestamp, stop: &CancellationToken) -> Result<(), StoreError> {
        let before = now.minus(self.settings.attempts);
        let until = self.store.position_at(before).await?.previous();
        let mut count = 0;
        for _ in 0..STEPS {
            let forgotten = self.store.forget_deliveries(self.looked_at, until, before).await?;
            count += forgotten.count;
            self.looked_at = forgotten.next;
            if self.looked_at.is_none() || stop.is_cancelled() {
                break;
            }
        }
        let replays = self.store.forget_replays(before).await?;
        if count + replays > 0 {
            tracing::info!(deliveries = count, replays, "retention.forgotten");
        }
        Ok(())
    }
}
