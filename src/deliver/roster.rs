//! Endpoints that come, change and go, as the dispatcher sees it.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;

use super::dispatch::{Dispatcher, Done};
use super::health::Condition;
use super::lane::{Feed, Lane};
use crate::model::endpoint::{Endpoint, EndpointStatus};
use crate::model::id::{EndpointNumber, Position};
use crate::model::resource::ResourceKey;
use crate::model::time::Timestamp;
use crate::store::{Store, StoreError, Waiting};

/// Endpoints in one read.
const ENDPOINTS_PAGE: usize = 200;

/// Waiting deliveries that are taken up for one endpoint: more than a lane ever lets wait.
const WAITING_LOAD: usize = 16_384;

/// An endpoint that is to get a lane.
pub(super) struct Arrival {
    endpoint: Endpoint,
    /// Which read of what waits for it is under way.
    read: Option<u64>,
}

/// A delivery that waits for its next attempt.
pub(super) struct Resumed {
    position: Position,
    due: Timestamp,
    failed_at: Timestamp,
    resource: Option<ResourceKey>,
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
            self.apply(endpoint.id.number, Some(endpoint), Some(positions.live_mark)).await?;
        }
        Ok(())
    }

    /// A change that was told, or a lag behind the telling after which everything is looked at again.
    pub(super) async fn endpoint_changed(
        &mut self,
        changed: Result<EndpointNumber, RecvError>,
    ) -> Result<(), StoreError> {
        match changed {
            Ok(number) => {
                let endpoint = self.tools.store.by_number(number).await?;
                self.apply(number, endpoint, None).await
            }
            Err(RecvError::Lagged(_)) => {
                for endpoint in self.endpoints().await? {
                    self.apply(endpoint.id.number, Some(endpoint), None).await?;
                }
                self.drop_deleted().await
            }
            Err(RecvError::Closed) => Err(StoreError::Closed),
        }
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
                // Whoever enables it again means that it should be tried.
                self.conditions.get_mut(&number).into_iter().for_each(Condition::give_a_chance);
                Ok(())
            }
            Some(endpoint) => match self.stations.get(&number).map(|station| station.lane.endpoint.ordering) {
                Some(ordering) if ordering == endpoint.ordering => {
                    self.replace(endpoint);
                    Ok(())
                }
                Some(_) => {
                    self.park(&endpoint, mark);
                    self.arrive(endpoint);
                    Ok(())
                }
                None if mark.is_some() => {
                    let waiting = waiting_of(&*self.tools.store, number).await?;
                    self.take_up(endpoint, waiting, mark, self.tools.clock.now());
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
        let read = self.arriving.get(&number).and_then(|arrival| arrival.read);
        self.arriving.insert(number, Arrival { endpoint, read });
        self.welcome(number);
    }

    /// Reads what waits for an endpoint that is to get a lane, unless attempts for it are under way or their records
    /// on their way to the store: the lane would not know of them, and make them again.
    pub(super) fn welcome(&mut self, number: EndpointNumber) {
        let Some(arrival) = self.arriving.get_mut(&number) else { return };
        if arrival.read.is_none() && self.ledger.is_finished(number) {
            self.reads += 1;
            let read = self.reads;
            arrival.read = Some(read);
            let store = Arc::clone(&self.tools.store);
            self.tasks.spawn(async move { Done::Waits { number, read, waiting: waiting_of(&*store, number).await } });
        }
    }

    /// What waits for an endpoint was read; if it was disabled or deleted meanwhile, there is no use for that.
    pub(super) fn arrived(&mut self, number: EndpointNumber, read: u64, waiting: Vec<Resumed>, now: Timestamp) {
        if let Entry::Occupied(arrival) = self.arriving.entry(number)
            && arrival.get().read == Some(read)
        {
            let endpoint = arrival.remove().endpoint;
            self.take_up(endpoint, waiting, None, now);
        }
    }

    /// Takes the lane away; the endpoint keeps its place in the log.
    pub(super) fn park(&mut self, endpoint: &Endpoint, mark: Option<Position>) {
        let number = endpoint.id.number;
        let known = self.close(number).or_else(|| self.stopped.get(&number).copied());
        let position = known.or(mark).unwrap_or(endpoint.start).max(endpoint.start);
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
            station.host = endpoint.url.host().into();
            station.lane.replace(Arc::new(endpoint), limit);
        }
        self.settle(number, now);
    }

    fn take_up(&mut self, endpoint: Endpoint, waiting: Vec<Resumed>, mark: Option<Position>, now: Timestamp) {
        let number = endpoint.id.number;
        let own = self.stopped.remove(&number);
        let taken = own.or(mark).unwrap_or(endpoint.start).max(endpoint.start);
        let condition = self.conditions.remove(&number).unwrap_or_else(|| Condition::new(self.settings.circuit));
        let settings = (self.settings.per_endpoint_in_flight, self.settings.order_wait);
        let mut lane = Lane::new(Arc::new(endpoint), settings.0, condition, settings.1, taken);
        lane.recheck_until = match (mark, own) {
            (Some(_), _) => self.recheck_until,
            // It had a lane before, which may have been ahead of the router.
            (None, Some(_)) => *self.tools.store.head().borrow(),
            (None, None) => Position::START,
        };
        for Resumed { position, due, failed_at, resource } in waiting {
            lane.resume(position, due, failed_at, resource);
        }
        // At the start the router checks for records; later it does not.
        let keeps_up_from = if mark.is_some() { self.routed } else { self.routed.max(lane.recheck_until) };
        lane.feed = if taken >= keeps_up_from { Feed::Live } else { Feed::Behind };
        // One that comes while we run has a position of its own in the store until it keeps up.
        let own = own.is_some() || mark.is_none() || lane.feed == Feed::Behind;
        self.open(number, lane, own, now);
    }
}

async fn waiting_of(store: &dyn Store, number: EndpointNumber) -> Result<Vec<Resumed>, StoreError> {
    let mut resumed = Vec::new();
    for Waiting { id, due } in store.waiting(number, WAITING_LOAD).await? {
        if let Some(record) = store.delivery(id).await? {
            let failed_at = record.attempts.first().map_or(due, |attempt| attempt.at);
            resumed.push(Resumed { position: id.position, due, failed_at, resource: record.resource });
        }
    }
    Ok(resumed)
}
