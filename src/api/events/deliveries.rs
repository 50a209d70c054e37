//! Who gets an event and who does not: one row for each endpoint, tried or not.

use std::iter::Peekable;
use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::error::ApiError;
use crate::api::openapi::examples;
use crate::api::page::{List, Order, Page, PageQuery};
use crate::api::request::{Named, Query};
use crate::api::state::Api;
use crate::model::delivery::{DeliveryRecord, DeliveryStatus};
use crate::model::endpoint::{Endpoint, EndpointStatus};
use crate::model::event::{Event, EventType};
use crate::model::filter::{Condition, Facets};
use crate::model::id::{DeliveryId, EndpointId, EndpointNumber, EventId};
use crate::model::resource::ResourceKey;
use crate::model::time::Timestamp;
use crate::store::{DeliveryQuery, Positions};

/// How an event stands at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "EventDeliveryStatus")]
enum Status {
    /// It will be tried, or tried again.
    Pending,
    /// A 2xx was seen.
    Delivered,
    /// Every attempt failed.
    Failed,
    /// An operator or the end of the endpoint stopped it.
    Canceled,
    /// It is not for that endpoint.
    Filtered,
}

impl From<DeliveryStatus> for Status {
    fn from(status: DeliveryStatus) -> Self {
        match status {
            DeliveryStatus::Pending => Self::Pending,
            DeliveryStatus::Delivered => Self::Delivered,
            DeliveryStatus::Failed => Self::Failed,
            DeliveryStatus::Canceled => Self::Canceled,
        }
    }
}

/// Why an event that was never tried stands so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "EventDeliveryReason")]
enum Reason {
    /// The event speaks of that very endpoint.
    AboutItself,
    /// The endpoint begins later in the log, most likely because it was registered later.
    BeforeStart,
    /// None of the endpoint's patterns means the event's type.
    Type,
    /// The endpoint has passed the event although it would get it as it is now: it was changed since, or skipped what
    /// it missed, or the record of the delivery is no longer kept.
    Passed,
    /// The endpoint is disabled; it gets the event once it is enabled.
    Disabled,
    /// It tells what a resource was at a resync, and this endpoint did not ask.
    NotAskedFor,
    /// A condition of the endpoint's filter.
    #[serde(untagged)]
    Filter(Condition),
}

/// What becomes of an event at an endpoint that has no record of it.
fn untried(event: &Event, facets: &Facets, endpoint: &Endpoint, positions: &Positions) -> (Status, Option<Reason>) {
    let number = endpoint.id.number;
    let own = positions.own.iter().find(|(of, _)| *of == number).map(|(_, position)| *position);
    let is_passed = event.position() <= own.unwrap_or(positions.live_mark);
    let filtered = if event.speaks_of() == Some(number) {
        Some(Reason::AboutItself)
    } else if event.event_type.is_only_for_who_asked() {
        Some(Reason::NotAskedFor)
    } else if event.position() <= endpoint.start {
        Some(Reason::BeforeStart)
    } else if !endpoint.wants(event.event_type) {
        Some(Reason::Type)
    } else {
        let condition = endpoint.filter.mismatch(facets).map(Reason::Filter);
        condition.or_else(|| is_passed.then_some(Reason::Passed))
    };
    match filtered {
        Some(reason) => (Status::Filtered, Some(reason)),
        None => (Status::Pending, (endpoint.status == EndpointStatus::Disabled).then_some(Reason::Disabled)),
    }
}

/// An event at an endpoint.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventDelivery", example = examples::event_delivery())]
pub(in crate::api) struct Row {
    /// The delivery's; null before the first attempt.
    id: Option<DeliveryId>,
    /// The word for it.
    #[schemars(extend("const" = "delivery"))]
    object: &'static str,
    /// Which event.
    event_id: EventId,
    /// Its type.
    event_type: EventType,
    /// Which endpoint.
    endpoint_id: EndpointId,
    /// The resource that the event is about, if any.
    resource: Option<ResourceKey>,
    /// How the event stands there.
    status: Status,
    /// Why it stands so, where it was never tried and that needs a reason.
    reason: Option<Reason>,
    /// When it is due again, while it is pending.
    next_attempt_at: Option<Timestamp>,
    /// Attempts so far.
    attempt_count: u32,
}

impl Row {
    fn tried(record: DeliveryRecord) -> Self {
        Self {
            id: Some(record.id),
            object: "delivery",
            event_id: record.event_id,
            event_type: record.event_type,
            endpoint_id: record.endpoint_id,
            resource: record.resource,
            status: record.status.into(),
            reason: None,
            next_attempt_at: record.next_attempt_at,
            attempt_count: record.attempt_count,
        }
    }

    fn untried(event: &Event, facets: &Facets, endpoint: &Endpoint, positions: &Positions) -> Self {
        let (status, reason) = untried(event, facets, endpoint, positions);
        Self {
            id: None,
            object: "delivery",
            event_id: event.id,
            event_type: event.event_type,
            endpoint_id: endpoint.id,
            resource: event.sight.resource().cloned(),
            status,
            reason,
            next_attempt_at: None,
            attempt_count: 0,
        }
    }
}

/// `GET /v1/events/{id}/deliveries`, in the order in which the endpoints were registered, or against it. Deleted ones
/// are there if they were tried.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Named(id): Named,
    Query(mut input): Query,
) -> Result<Json<Page<Row>>, ApiError> {
    let page = PageQuery::<DeliveryId>::take(&mut input, List::EventDeliveries);
    input.finish()?;
    let event = super::find(&api, &id).await?;
    if page.after.is_some_and(|last| last.position != event.position()) {
        return Err(ApiError::of_field("cursor", "belongs to the deliveries of another event"));
    }
    let ascending = page.order == Order::OldestFirst;
    let limit = page.limit + 1;
    let beyond = page.after.map(|last| last.endpoint);
    let endpoints = api.store.endpoints(beyond, ascending, limit).await?;
    // In this order: a record is saved together with the position that passes it, so that a delivery that ends
    // meanwhile is found among the records.
    let positions = api.store.positions_of(numbers(&endpoints)).await?;
    let query = DeliveryQuery {
        position: Some(event.position()),
        after: page.after,
        ascending,
        limit,
        ..DeliveryQuery::default()
    };
    let records = api.store.deliveries(query).await?.found;
    let facets = Facets::of(&event);
    let mut rows = Vec::new();
    let (mut records, mut endpoints) = (records.into_iter().peekable(), endpoints.into_iter().peekable());
    while rows.len() < limit
        && let Some(number) = next_number(&mut records, &mut endpoints, page.order)
    {
        let endpoint = endpoints.next_if(|endpoint| endpoint.id.number == number);
        let record = records.next_if(|record| record.id.endpoint == number);
        rows.extend(match (record, endpoint) {
            (Some(record), _) => Some(Row::tried(record)),
            (None, endpoint) => endpoint.map(|endpoint| Row::untried(&event, &facets, &endpoint, &positions)),
        });
    }
    let key =
        |row: &Row| DeliveryId { position: event.position(), endpoint: row.endpoint_id.number, epoch: event.id.epoch };
    Ok(Json(page.answer_with_one_more(rows, key)))
}

/// From the smallest to the largest number of endpoints that are in the order of their numbers, or against it.
fn numbers(endpoints: &[Endpoint]) -> RangeInclusive<EndpointNumber> {
    let ends =
        [endpoints.first(), endpoints.last()].map(|endpoint| endpoint.map_or(EndpointNumber(0), |one| one.id.number));
    ends[0].min(ends[1])..=ends[0].max(ends[1])
}

/// The endpoint whose row comes next: it has a record, or is registered, or both.
fn next_number(
    records: &mut Peekable<impl Iterator<Item = DeliveryRecord>>,
    endpoints: &mut Peekable<impl Iterator<Item = Endpoint>>,
    order: Order,
) -> Option<EndpointNumber> {
    let recorded = records.peek().map(|record| record.id.endpoint);
    let registered = endpoints.peek().map(|endpoint| endpoint.id.number);
    let both = [recorded, registered].into_iter().flatten();
    match order {
        Order::OldestFirst => both.min(),
        Order::NewestFirst => both.max(),
    }
}
