//! Events: the log, read through filters, byte for byte as subscribers get it.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;

use super::error::{ApiError, ErrorKind};
use super::input::Input;
use super::page::{List, Order, Page, PageQuery};
use super::request::{Named, NoQuery, Query};
use super::state::Api;
use crate::model::event::Event;
use crate::model::filter::{Facets, Filter};
use crate::model::id::{EventId, Position};
use crate::model::json::Json;
use crate::model::pattern::Pattern;
use crate::model::resource::{ResourceId, SourceName};
use crate::model::time::Timestamp;
use crate::store::{ENTRIES_READ_MAX, EventLog, Filtered, StoreError};

/// How many events are read at a time under a filter: a few MiB at the largest that events get.
const CHUNK: usize = 100;

/// `GET /v1/events`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Query(mut input): Query,
) -> Result<JsonAnswer<Page<Json>>, ApiError> {
    let page = PageQuery::<u64>::take(&mut input, List::Events);
    let wanted = Wanted::take(&mut input);
    let since = input.parsed("since");
    let until = input.parsed("until");
    input.finish()?;
    let log: &dyn EventLog = &*api.store;
    let span = Span::between(log, since, until).await?.after(page.after.map(Position), page.order);
    let read = read_page(log, span, page.order, page.limit, &wanted).await?;
    let bodies = read.found.iter().map(|event| event.body()).collect();
    Ok(JsonAnswer(page.answer(bodies, read.next.map(|position| position.0))))
}

/// `GET /v1/events/{id}`.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Named(id): Named,
    _: NoQuery,
) -> Result<JsonAnswer<Json>, ApiError> {
    Ok(JsonAnswer(find(&api, &id).await?.body()))
}

/// The event of that id.
pub(super) async fn find(api: &Api, text: &str) -> Result<Arc<Event>, ApiError> {
    let not_found = || ApiError::new(ErrorKind::EventNotFound, format!("there is no event {text:?}"));
    let id: EventId = text.parse().map_err(|_| not_found())?;
    let event = api.store.event(id.position).await?;
    event.filter(|event| event.id == id).ok_or_else(not_found)
}

/// Which events a list is asked for, beside their time.
#[derive(Debug, Default)]
struct Wanted {
    /// Any of them; none at all means every type, what the gateway says about itself included.
    types: Option<Vec<Pattern>>,
    resource_id: Option<ResourceId>,
    source: Option<SourceName>,
    /// Customers and jurisdictions.
    filter: Filter,
}

impl Wanted {
    fn take(input: &mut Input) -> Self {
        let types = take_patterns(input);
        let source = input.parsed("source");
        let resource_id = input.parsed("resource_id");
        let mut filter = Filter::default();
        let id_types = [("id", false), ("reference_customer_id", true)];
        let by_reference = input.choice("id_type", &id_types).unwrap_or(false);
        let customers = if by_reference { &mut filter.reference_customer_ids } else { &mut filter.customer_ids };
        customers.extend(input.text("customer_id"));
        filter.jurisdictions.extend(input.text("jurisdiction"));
        Self { types, resource_id, source, filter }
    }

    fn is_everything(&self) -> bool {
        self.types.is_none() && self.resource_id.is_none() && self.source.is_none() && self.filter.is_empty()
    }

    /// What is cheap is looked at first. An endpoint's filter lets everything through that is about no resource;
    /// who asks for a customer's or a jurisdiction's events wants only those.
    fn matches(&self, event: &Event) -> bool {
        self.types.as_ref().is_none_or(|types| types.iter().any(|pattern| pattern.matches(event.event_type)))
            && self.resource_id.as_ref().is_none_or(|id| event.sight.resource().is_some_and(|key| key.id == *id))
            && self.source.as_ref().is_none_or(|name| event.sight.source() == Some(name))
            && (self.filter.is_empty()
                || event.event_type.is_about_a_resource() && self.filter.matches(&Facets::of(event)))
    }
}

fn take_patterns(input: &mut Input) -> Option<Vec<Pattern>> {
    let text = input.text("types")?;
    let mut patterns = Vec::new();
    for part in text.split(',') {
        match part.trim().parse() {
            Ok(pattern) => patterns.push(pattern),
            Err(why) => input.report("types", why),
        }
    }
    Some(patterns)
}

/// A part of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: Position,
    /// The first position that is no longer part of it.
    end: Position,
}

impl Span {
    /// What was observed from `since` on and before `until`.
    async fn between(
        log: &dyn EventLog,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Self, StoreError> {
        let head = *log.head().borrow();
        let first = match since {
            Some(instant) => log.position_at(instant).await?,
            None => Position::START.next(),
        };
        let end = match until {
            Some(instant) => log.position_at(instant).await?.min(head.next()),
            None => head.next(),
        };
        Ok(Self { first, end })
    }

    /// What is left of it once a position was dealt with.
    fn after(self, done: Option<Position>, order: Order) -> Self {
        match (done, order) {
            (None, _) => self,
            (Some(done), Order::OldestFirst) => Self { first: self.first.max(done.next()), ..self },
            (Some(done), Order::NewestFirst) => Self { end: self.end.min(done), ..self },
        }
    }

    /// How many events it has at most, as a number that can be read at once.
    fn len(self) -> usize {
        usize::try_from(self.end.0.saturating_sub(self.first.0)).unwrap_or(usize::MAX)
    }
}

/// Reads until the page is full and one more match is known to follow, the span is at its end, or enough was read.
async fn read_page(
    log: &dyn EventLog,
    mut span: Span,
    order: Order,
    limit: usize,
    wanted: &Wanted,
) -> Result<Filtered<Arc<Event>, Position>, StoreError> {
    let chunk = if wanted.is_everything() { limit + 1 } else { CHUNK };
    let mut found = Vec::new();
    let mut last = None;
    let mut left = ENTRIES_READ_MAX;
    while span.len() > 0 {
        if left == 0 {
            return Ok(Filtered { found, next: last });
        }
        let count = chunk.min(left).min(span.len());
        let events = match order {
            Order::OldestFirst => log.events_after(span.first.previous(), count).await?,
            Order::NewestFirst => log.events_before(span.end, count).await?,
        };
        if events.is_empty() {
            break;
        }
        left = left.saturating_sub(events.len());
        for event in events {
            if wanted.matches(&event) {
                if found.len() == limit {
                    return Ok(Filtered { found, next: last });
                }
                found.push(Arc::clone(&event));
            }
            last = Some(event.position());
            span = span.after(last, order);
        }
    }
    Ok(Filtered { found, next: None })
}
