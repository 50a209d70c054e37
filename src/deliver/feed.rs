//! From the log to the lanes: the router for those that keep up, pages for those that are behind.

use std::collections::HashSet;
use std::sync::Arc;

use super::dispatch::{Dispatcher, Done};
use super::lane::Feed;
use super::room::Share;
use super::station::Station;
use crate::model::endpoint::Endpoint;
use crate::model::event::{Event, EventType};
use crate::model::filter::Facets;
use crate::model::id::{DeliveryId, EndpointNumber, Position};
use crate::model::time::Timestamp;
use crate::store::StoreError;

/// Events in one read of the log, at most.
pub(super) const PAGE_MAX: usize = 256;

/// Endpoints that read the log for themselves at the same time; the rest take turns.
const READERS_MAX: usize = 8;

/// A stretch of the log, with those of its deliveries that have a record from before.
pub(super) struct Page {
    pub(super) events: Vec<Arc<Event>>,
    /// There is nothing else up to here: the last of the events, or what was the head before they were looked for.
    pub(super) until: Position,
    pub(super) recorded: HashSet<(Position, EndpointNumber)>,
}

/// Whose records a page is checked against.
enum Whose {
    /// The router's page is for all endpoints.
    Everybodys,
    /// A lane's own page. There may be millions of others in it.
    Of(EndpointNumber),
}

/// Whether an event of a type is meant for an endpoint; `None` if that depends on what it tells.
pub(super) fn is_for_by_type(endpoint: &Endpoint, event_type: EventType) -> Option<bool> {
    if !endpoint.wants(event_type) || event_type.is_only_for_who_asked() {
        return Some(false);
    }
    // What speaks of an endpoint is about no resource.
    (endpoint.filter.is_empty() && event_type.is_about_a_resource()).then_some(true)
}

/// Whether an event is meant for an endpoint.
pub(super) fn is_for(endpoint: &Endpoint, event: &Event) -> bool {
    is_for_by_type(endpoint, event.event_type).unwrap_or_else(|| {
        event.speaks_of() != Some(endpoint.id.number)
            && (endpoint.filter.is_empty() || endpoint.filter.matches(&Facets::of(event)))
    })
}

impl Dispatcher {
    /// Reads on where the router and the lanes that are behind have come to.
    pub(super) fn start_reads(&mut self, head: Position) {
        if self.routed < head && !self.routing {
            self.routing = true;
            let read = self.read(self.routed, PAGE_MAX, self.recheck_until, Whose::Everybodys);
            self.tasks.spawn(async move { Done::Routed(read.await) });
        }
        while self.readers < READERS_MAX
            && let Some(number) = self.hungry.pop_front()
        {
            self.start_read(number);
        }
    }

    fn read(
        &self,
        after: Position,
        limit: usize,
        recheck_until: Position,
        whose: Whose,
    ) -> impl Future<Output = Result<Page, StoreError>> + use<> {
        let store = Arc::clone(&self.tools.store);
        async move {
            let head = *store.head().borrow();
            let events = store.events_after(after, limit).await?;
            let until = events.last().map_or(head.max(after), |event| event.position());
            let recorded = if after < recheck_until {
                match whose {
                    Whose::Everybodys => store.recorded(after, until).await?,
                    Whose::Of(endpoint) => {
                        let id = |event: &Arc<Event>| DeliveryId {
                            position: event.position(),
                            endpoint,
                            epoch: event.id.epoch,
                        };
                        store.recorded_of(events.iter().map(id).collect()).await?
                    }
                }
            } else {
                Vec::new()
            };
            Ok(Page { events, until, recorded: recorded.into_iter().map(|id| (id.position, id.endpoint)).collect() })
        }
    }

    fn start_read(&mut self, number: EndpointNumber) {
        let room = self.room();
        let Some(station) = self.stations.get_mut(&number) else { return };
        station.hungry = false;
        if !station.lane.wants_page(room) {
            return;
        }
        station.lane.reading = true;
        self.readers += 1;
        let Station { lane, generation, .. } = station;
        let (generation, limit) = (*generation, lane.page_size(room));
        let (after, recheck_until) = (lane.taken, lane.recheck_until);
        let read = self.read(after, limit, recheck_until, Whose::Of(number));
        self.tasks.spawn(async move { Done::Read { number, generation, page: read.await } });
    }

    /// Offers freshly committed events to the live lanes.
    pub(super) fn route(&mut self, page: &Page, now: Timestamp) {
        for event in &page.events {
            let position = event.position();
            if self.index.has(event.event_type) && !event.event_type.is_only_for_who_asked() {
                let facets = if self.index.looks_at_facets() { Facets::of(event) } else { Facets::default() };
                for number in self.index.candidates(event, &facets) {
                    if !page.recorded.contains(&(position, number)) && event.speaks_of() != Some(number) {
                        self.offer(number, event, &facets, now);
                    }
                }
            }
        }
        self.routed = page.until;
    }

    fn offer(&mut self, number: EndpointNumber, event: &Arc<Event>, facets: &Facets, now: Timestamp) {
        let room = self.room();
        let Some(station) = self.stations.get_mut(&number) else { return };
        let lane = &mut station.lane;
        if lane.feed == Feed::Behind || event.position() <= lane.taken || !lane.endpoint.filter.matches(facets) {
            return;
        }
        if lane.is_full(room) {
            lane.feed = Feed::Behind;
            lane.taken = event.position().previous();
            station.own = true;
        } else {
            lane.take(event);
        }
        self.settle(number, now);
    }

    /// Gives a lane that is behind what it asked for.
    pub(super) fn feed(&mut self, number: EndpointNumber, generation: u64, page: &Page, now: Timestamp) {
        let (routed, room) = (self.routed, self.room());
        let Some(station) = self.stations.get_mut(&number).filter(|one| one.generation == generation) else { return };
        let lane = &mut station.lane;
        lane.reading = false;
        if page.events.is_empty() {
            // Not what was routed meanwhile: this lane was offered nothing of it.
            lane.taken = page.until;
        }
        lane.share = Share::default();
        for event in &page.events {
            if lane.is_full(room) {
                break;
            }
            lane.taken = event.position();
            let is_taken = is_for(&lane.endpoint, event) && !page.recorded.contains(&(event.position(), number));
            lane.share.count(is_taken);
            if is_taken {
                lane.take(event);
            }
        }
        // The router knows nothing of records from before this lane, or only of those from before the start.
        if lane.taken >= routed.max(lane.recheck_until) && !lane.is_full(room) {
            lane.feed = Feed::Live;
        }
        self.settle(number, now);
    }
}
