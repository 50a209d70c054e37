//! Endpoints that come, change and go, as the dispatcher sees it.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;

use super::backlog::{self, Waits};
use super::dispatch::{Dispatcher, Done};
use super::health::{Condition, Recovery};
use super::lane::{Feed, Lane};
use super::survey::Absentee;
use crate::model::endpoint::{Endpoint, EndpointStatus};
use crate::model::health::HealthRecord;
use crate::model::id::{EndpointNumber, Position};
use crate::model::time::Timestamp;
use crate::store::StoreError;

/// Endpoints in one read.
const ENDPOINTS_PAGE: usize = 200;

/// A lane that left something in the store takes that up when it has no more than this.
const REST_BELOW: usize = 1_024;

/// An endpoint that is to get a lane.
pub(super) struct Arrival {
    endpoint: Endpoint,
    /// Which read of what waits for it is under way.
    read: Option<u64>,
    /// Whether all of that is wanted to be due at once.
    hurries: bool,
}

impl Dispatcher {
    /// Takes up every queue where it was when the process ended.
    pub(super) async fn load(&mut self, head: Position) -> Result<(), StoreError> {
        // In this order: an endpoint is registered together with its position. One that comes after it was looked
        // for is told of, but one that is found before its position would be taken for one that keeps up.
        let endpoints = self.endpoints().await?;
        let positions = self.tools.store.positions().await?;
        self.ledger = super::ledger::Ledger::new(positions.live_mark);
        self.routed = positions.live_mark;
        self.recheck_until = head;
        self.stopped = positions.own.into_iter().collect();
        for endpoint in endpoints {
            self.recall(&endpoint).await?;
            self.apply(endpoint.id.number, Some(endpoint), Some(positions.live_mark)).await?;
        }
        Ok(())
    }

    /// A change that was told, or a lag behind the telling after which everything is looked at again.
    pub(super) async fn endpoint_changed(
        &mut self,
        changed: Result<EndpointNumber, RecvError>,
    ) -> Result<(), StoreError> {
        self.news.tell();
        match changed {
            Ok(number) => self.look_at(number).await,
            Err(RecvError::Lagged(_)) => {
                for endpoint in self.endpoints().await? {
                    self.apply(endpoint.id.number, Some(endpoint), None).await?;
                }
                self.drop_deleted().await
            }
            Err(RecvError::Closed) => Err(StoreError::Closed),
        }
    }

    /// Brings one lane in line with its endpoint as it is by now.
    pub(super) async fn look_at(&mut self, number: EndpointNumber) -> Result<(), StoreError> {
        let endpoint = self.tools.store.by_number(number).await?;
        self.apply(number, endpoint, None).await
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        loop {
            let beyond = endpoints.last().map(|last| last.id.number);
            let page = self.tools.store.endpoints(beyond, true, ENDPOINTS_PAGE).await?;
            if page.is_empty() {
                return Ok(endpoints);
            }
            endpoints.extend(page);
        }
    }

    async fn drop_deleted(&mut self) -> Result<(), StoreError> {
        for number in self.stations.keys().chain(self.stopped.keys()).copied().collect::<Vec<_>>() {
            if self.tools.store.by_number(number).await?.is_none() {
                self.apply(number, None, None).await?;
            }
        }
        Ok(())
    }

    /// Brings one lane in line with its endpoint. `mark` is where endpoints without a position of their own stand
    /// when the process starts; later ones begin where they were registered.
    async fn apply(
        &mut self,
        number: EndpointNumber,
        endpoint: Option<Endpoint>,
        mark: Option<Position>,
    ) -> Result<(), StoreError> {
        self.absent.remove(&number);
        match endpoint {
            None => {
                self.close(number);
                self.stopped.remove(&number);
                self.conditions.remove(&number);
                self.arriving.remove(&number);
                self.board.forget(number);
                self.ledger.position(number, None);
                Ok(())
            }
            Some(endpoint) if endpoint.status == EndpointStatus::Disabled => {
                self.park(&endpoint, mark);
                self.arriving.remove(&number);
                self.absent.insert(number, Absentee { id: endpoint.id, uid: endpoint.uid.clone() });
                // Whoever enables it again means that it should be tried.
                self.conditions.get_mut(&number).into_iter().for_each(Condition::give_a_chance);
                Ok(())
            }
            Some(endpoint) => match self.stations.get(&number).map(|station| Arc::clone(&station.lane.endpoint)) {
                Some(known) if known.ordering == endpoint.ordering && known.enabled_at == endpoint.enabled_at => {
                    self.replace(endpoint);
                    Ok(())
                }
                Some(known) => {
                    self.park(&endpoint, mark);
                    if known.enabled_at != endpoint.enabled_at {
                        // It was disabled in between, and both changes were told before we looked.
                        self.conditions.get_mut(&number).into_iter().for_each(Condition::give_a_chance);
                    }
                    self.arrive(endpoint);
                    Ok(())
                }
                None if mark.is_some() => {
                    let skips = self.skips(&endpoint);
                    let waits = backlog::waiting_of(&*self.tools.store, &endpoint, skips).await?;
                    self.take_up(endpoint, waits, mark, self.tools.clock.now());
                    Ok(())
                }
                None => {
                    self.arrive(endpoint);
                    Ok(())
                }
            },
        }
    }

    /// An endpoint is to get a lane while we run.
    fn arrive(&mut self, endpoint: Endpoint) {
        let number = endpoint.id.number;
        let known = self.arriving.get(&number);
        // What is being read knows nothing of what being enabled again has brought back.
        let read = known.filter(|known| known.endpoint.enabled_at == endpoint.enabled_at).and_then(|known| known.read);
        let hurries = known.is_some_and(|known| known.hurries);
        self.arriving.insert(number, Arrival { endpoint, read, hurries });
        self.welcome(number);
    }

    /// Reads what waits for an endpoint that is to get a lane, unless attempts for it are under way or their records
    /// on their way to the store: the lane would not know of them, and make them again.
    pub(super) fn welcome(&mut self, number: EndpointNumber) {
        let skips = self.arriving.get(&number).is_some_and(|arrival| self.skips(&arrival.endpoint));
        let Some(arrival) = self.arriving.get_mut(&number) else { return };
        if arrival.read.is_none() && self.ledger.is_finished(number) {
            self.reads += 1;
            let read = self.reads;
            arrival.read = Some(read);
            let (store, endpoint) = (Arc::clone(&self.tools.store), arrival.endpoint.clone());
            self.tasks.spawn(async move {
                let waits = backlog::waiting_of(&*store, &endpoint, skips).await;
                Done::Waits { number, read, waits }
            });
        }
    }

    /// Whether an endpoint was told to skip what it had not got: its queue stopped before where it starts now.
    fn skips(&self, endpoint: &Endpoint) -> bool {
        self.stopped.get(&endpoint.id.number).is_some_and(|position| *position < endpoint.start)
    }

    /// What waits for an endpoint that is to get a lane has changed: what was read of it does not count.
    pub(super) fn read_anew(&mut self, number: EndpointNumber) {
        if let Some(arrival) = self.arriving.get_mut(&number) {
            arrival.read = None;
            self.welcome(number);
        }
    }

    /// What waits for an endpoint was read; if it was disabled or deleted meanwhile, there is no use for that.
    pub(super) fn arrived(&mut self, number: EndpointNumber, read: u64, waits: Waits, now: Timestamp) {
        if let Entry::Occupied(arrival) = self.arriving.entry(number)
            && arrival.get().read == Some(read)
        {
            let Arrival { endpoint, hurries, .. } = arrival.remove();
            self.take_up(endpoint, waits, None, now);
            // What was asked for meanwhile and could not be done may be possible now.
            self.news.tell();
            if hurries {
                self.recover(number, now);
            }
        }
    }

    /// Everything that waits for an endpoint becomes due, because an operator says that it is back; `false` if it is
    /// disabled.
    pub(super) fn recover(&mut self, number: EndpointNumber, now: Timestamp) -> bool {
        if let Some(arrival) = self.arriving.get_mut(&number) {
            arrival.hurries = true;
            return true;
        }
        let Some(station) = self.stations.get_mut(&number) else { return false };
        station.lane.condition.give_a_chance();
        station.lane.hurry(Recovery::Outage);
        self.board.show(number, station.lane.condition.health());
        self.settle(number, now);
        true
    }

    /// Takes up what a lane left in the store, once it has dealt with what it took up.
    pub(super) fn take_up_the_rest(&mut self, number: EndpointNumber) {
        let lane = self.stations.get(&number).map(|station| &station.lane);
        if let Some(lane) = lane.filter(|lane| lane.leaves_some && lane.backlog() < REST_BELOW) {
            let endpoint = Endpoint::clone(&lane.endpoint);
            self.park(&endpoint, None);
            self.arrive(endpoint);
        }
    }

    /// Takes the lane away; the endpoint keeps its place in the log.
    pub(super) fn park(&mut self, endpoint: &Endpoint, mark: Option<Position>) {
        let number = endpoint.id.number;
        let known = self.close(number).or_else(|| self.stopped.get(&number).copied());
        let position = known.unwrap_or_else(|| mark.unwrap_or(endpoint.start).max(endpoint.start));
        if self.stopped.insert(number, position) != Some(position) {
            self.ledger.position(number, Some(position));
        }
    }

    fn replace(&mut self, endpoint: Endpoint) {
        let limit = self.settings.per_endpoint_in_flight;
        let now = self.tools.clock.now();
        let number = endpoint.id.number;
        if let Some(station) = self.stations.get_mut(&number) {
            self.index.remove(&station.lane.endpoint);
            self.index.insert(&endpoint);
            if station.lane.endpoint.url != endpoint.url {
                // The failures were those of another receiver.
                station.lane.condition.give_a_chance();
                station.host = endpoint.url.host().into();
            }
            station.lane.replace(Arc::new(endpoint), limit);
        }
        self.settle(number, now);
    }

    fn condition_of(&mut self, number: EndpointNumber) -> Condition {
        let known = self.conditions.remove(&number);
        known.unwrap_or_else(|| Condition::new(self.settings.circuit, HealthRecord::default()))
    }

    /// How an endpoint was doing when the process ended. It may have been changed since it began to fail, and then it
    /// has as much time as any other to work again.
    async fn recall(&mut self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let number = endpoint.id.number;
        if let Some(mut kept) = self.tools.store.health(number).await? {
            kept.failing_since = kept.failing_since.max(kept.failing_since.map(|_| endpoint.updated_at));
            let condition = Condition::new(self.settings.circuit, kept);
            self.board.show(number, condition.health());
            self.conditions.insert(number, condition);
        }
        Ok(())
    }

    fn take_up(&mut self, endpoint: Endpoint, waits: Waits, mark: Option<Position>, now: Timestamp) {
        let number = endpoint.id.number;
        let own = self.stopped.remove(&number);
        let taken = own.or(mark).unwrap_or(endpoint.start).max(endpoint.start);
        let condition = self.condition_of(number);
        let settings = (self.settings.per_endpoint_in_flight, self.settings.order_wait);
        let mut lane = Lane::new(Arc::new(endpoint), settings.0, condition, settings.1, taken);
        lane.recheck_until = match (mark, own) {
            (Some(_), _) => self.recheck_until,
            // It had a lane before, which may have been ahead of the router.
            (None, Some(_)) => *self.tools.store.head().borrow(),
            (None, None) => Position::START,
        };
        lane.leaves_some = waits.more;
        waits.resumed.into_iter().for_each(|resumed| lane.resume(resumed, now));
        // At the start the router checks for records; later it does not.
        let keeps_up_from = if mark.is_some() { self.routed } else { self.routed.max(lane.recheck_until) };
        lane.feed = if taken >= keeps_up_from { Feed::Live } else { Feed::Behind };
        // One that comes while we run has a position of its own in the store until it keeps up.
        let own = own.is_some() || mark.is_none() || lane.feed == Feed::Behind;
        self.open(number, lane, own, now);
    }
}
