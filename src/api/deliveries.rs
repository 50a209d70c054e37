//! Deliveries: what was tried for whom, and how it went.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::audit::Audited;
use super::auth::Caller;
use super::error::{ApiError, ErrorKind, Problems};
use super::input::Input;
use super::openapi::examples;
use super::page::{List, Order, Page, PageQuery};
use super::request::{Body, Named, NoFields, NoQuery, Query};
use super::state::Api;
use super::{endpoints, events};
use crate::model::delivery::{Attempt, ByHand, DeliveryRecord, DeliveryStatus};
use crate::model::event::EventType;
use crate::model::id::{DeliveryId, EndpointId, EventId};
use crate::model::key::Scope;
use crate::model::resource::ResourceKey;
use crate::model::time::Timestamp;
use crate::store::DeliveryQuery;

/// A delivery.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Delivery", example = examples::delivery())]
pub(super) struct DeliveryView {
    /// Names it.
    id: DeliveryId,
    /// The word for it.
    #[schemars(extend("const" = "delivery"))]
    object: &'static str,
    /// Which event.
    event_id: EventId,
    /// Its type.
    event_type: EventType,
    /// For which endpoint.
    endpoint_id: EndpointId,
    /// The resource that the event is about, if any.
    resource: Option<ResourceKey>,
    /// Where it stands.
    status: DeliveryStatus,
    /// When it is due again, while it is pending.
    next_attempt_at: Option<Timestamp>,
    /// Attempts so far, kept or not.
    attempt_count: u32,
    /// The first and the last ten; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Attempt>")]
    attempts: Option<Vec<Attempt>>,
}

impl DeliveryView {
    /// With its attempts; what receivers answered is for those alone who may read secrets, since it may hold some.
    fn whole(mut record: DeliveryRecord, caller: &Caller) -> Self {
        if !caller.may(Scope::Endpoints) {
            record.attempts.iter_mut().for_each(|attempt| attempt.response_body = None);
        }
        Self { attempts: Some(record.attempts.clone()), ..Self::row(record) }
    }

    /// As a row of a list.
    fn row(record: DeliveryRecord) -> Self {
        Self {
            id: record.id,
            object: "delivery",
            event_id: record.event_id,
            event_type: record.event_type,
            endpoint_id: record.endpoint_id,
            resource: record.resource,
            status: record.status,
            next_attempt_at: record.next_attempt_at,
            attempt_count: record.attempt_count,
            attempts: None,
        }
    }
}

pub(super) const STATUSES: [(&str, DeliveryStatus); 4] = [
    ("pending", DeliveryStatus::Pending),
    ("delivered", DeliveryStatus::Delivered),
    ("failed", DeliveryStatus::Failed),
    ("canceled", DeliveryStatus::Canceled),
];

/// `GET /v1/deliveries`: those that were tried at least once.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Query(mut input): Query,
) -> Result<Json<Page<DeliveryView>>, ApiError> {
    let page = PageQuery::<DeliveryId>::take(&mut input, List::Deliveries);
    let endpoint = input.text("endpoint_id");
    let event_id = input.parsed::<EventId>("event_id");
    let query = DeliveryQuery {
        position: event_id.map(|id| id.position),
        resource_id: input.parsed("resource_id"),
        status: input.choice("status", &STATUSES),
        since: input.parsed("since"),
        until: input.parsed("until"),
        ..DeliveryQuery::default()
    };
    input.finish()?;
    let endpoint_id = match endpoint {
        Some(name) => Some(endpoints::id_of(&api, &name).await?),
        None => None,
    };
    // Numbers and positions find records fast; whether they are those of the whole ids is another question.
    let meant = |record: &DeliveryRecord| {
        endpoint_id.is_none_or(|id| id == record.endpoint_id) && event_id.is_none_or(|id| id == record.event_id)
    };
    let ascending = page.order == Order::OldestFirst;
    let endpoint = endpoint_id.map(|id| id.number);
    let query = DeliveryQuery { endpoint, after: page.after, ascending, limit: page.limit, ..query };
    let read = api.store.deliveries(query).await?;
    let rows = read.found.into_iter().filter(meant).map(DeliveryView::row).collect();
    Ok(Json(page.answer(rows, read.next)))
}

/// `GET /v1/deliveries/{id}`, with its attempts.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    caller: Caller,
    _: NoQuery,
) -> Result<Json<DeliveryView>, ApiError> {
    Ok(Json(DeliveryView::whole(find(&api, &name).await?, &caller)))
}

/// `POST /v1/deliveries/{id}/retry`: tries it now.
pub(super) async fn retry(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    caller: Caller,
    _: NoQuery,
    _: NoFields,
) -> Result<(Audited, Json<DeliveryView>), ApiError> {
    let record = find(&api, &name).await?;
    let handled = handled(api.deliveries.retry(&record).await?, &caller)?;
    Ok((Audited::before(&DeliveryView::row(record)), handled))
}

/// `POST /v1/deliveries/{id}/cancel`.
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    caller: Caller,
    _: NoQuery,
    _: NoFields,
) -> Result<(Audited, Json<DeliveryView>), ApiError> {
    let record = find(&api, &name).await?;
    let handled = handled(api.deliveries.cancel(&record).await?, &caller)?;
    Ok((Audited::before(&DeliveryView::row(record)), handled))
}

/// `POST /v1/events/{id}/redeliver`: sends it to an endpoint once more, or for the first time.
pub(super) async fn redeliver(
    State(api): State<Arc<Api>>,
    Named(id): Named,
    caller: Caller,
    _: NoQuery,
    Body(given): Body,
) -> Result<Json<DeliveryView>, ApiError> {
    let mut input = Input::of_body(given);
    if !input.has("endpoint_id") {
        input.report("endpoint_id", "is required: the endpoint that gets the event");
    }
    let name = input.text("endpoint_id").unwrap_or_default();
    input.finish()?;
    let event = events::find(&api, &id).await?;
    let endpoint = endpoints::find(&api, &name).await?;
    if event.speaks_of() == Some(endpoint.id.number) {
        let mut problems = Problems::default();
        problems.report("endpoint_id", "is the one that the event speaks of, which is never told");
        problems.finish()?;
    }
    handled(api.deliveries.redeliver(&event, &endpoint).await?, &caller)
}

async fn find(api: &Api, name: &str) -> Result<DeliveryRecord, ApiError> {
    let not_found = || ApiError::new(ErrorKind::DeliveryNotFound, format!("there is no delivery {name:?}"));
    let id: DeliveryId = name.parse().map_err(|_| not_found())?;
    api.store.delivery(id).await?.ok_or_else(not_found)
}

fn handled(outcome: ByHand, caller: &Caller) -> Result<Json<DeliveryView>, ApiError> {
    let (kind, message) = match outcome {
        ByHand::Done(record) => return Ok(Json(DeliveryView::whole(*record, caller))),
        ByHand::UnderWay => (
            ErrorKind::DeliveryUnderWay,
            "it is being tried, or its turn is about to come; look again in a moment".into(),
        ),
        ByHand::Ended(DeliveryStatus::Delivered) => {
            (ErrorKind::DeliveryEnded, "it was delivered; POST /v1/events/{id}/redeliver sends it once more".into())
        }
        ByHand::Ended(status) => (ErrorKind::DeliveryEnded, format!("it has ended: it is {} already", word(status))),
        ByHand::NotKept => {
            (ErrorKind::DeliveryEnded, "its event is no longer kept, so that there is nothing to send".to_owned())
        }
        ByHand::Disabled => {
            (ErrorKind::EndpointDisabled, "its endpoint is disabled or deleted, so nothing is sent to it".to_owned())
        }
    };
    Err(ApiError::new(kind, message))
}

fn word(status: DeliveryStatus) -> &'static str {
    STATUSES.iter().find(|(_, known)| *known == status).map_or("", |(word, _)| word)
}
