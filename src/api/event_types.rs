//! Event types: what there is to subscribe to, and what the body of each looks like.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::error::{ApiError, ErrorKind};
use super::openapi::examples;
use super::page::{List, Page, PageQuery};
use super::request::{Named, NoQuery, Query};
use super::state::Api;
use crate::model::event::EventType;
use crate::model::json::Json;
use crate::model::nearest::nearest;

/// An event type.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventTypeSummary", example = examples::event_type())]
pub(super) struct EventTypeView {
    /// The word for it.
    #[schemars(extend("const" = "event_type"))]
    object: &'static str,
    /// Its name.
    r#type: EventType,
    /// When events of it are told.
    description: &'static str,
    /// What they are about: `certificate`, `certificate_request`, `source`, `endpoint`, `delivery`, or null for nothing.
    about: Option<&'static str>,
}

impl EventTypeView {
    fn new(api: &Api, event_type: EventType) -> Self {
        Self {
            object: "event_type",
            r#type: event_type,
            description: api.catalogue.description(event_type),
            about: api.catalogue.about(event_type),
        }
    }
}

/// An event type with the shape of its events.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventTypeDetails", example = examples::event_type_details())]
pub(super) struct DetailedView {
    #[serde(flatten)]
    event_type: EventTypeView,
    /// The JSON Schema (draft 2020-12) of their bodies.
    schema: Json,
    /// The body of one of them.
    example: Json,
}

/// `GET /v1/event-types`, in the order of the catalogue.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Query(mut input): Query,
) -> Result<JsonAnswer<Page<EventTypeView>>, ApiError> {
    let all = EventType::ALL;
    let page = PageQuery::<EventType>::take_of_few(&mut input, List::EventTypes, all.len());
    input.finish()?;
    let rest = all.iter().skip_while(|&&of| page.after.is_some_and(|after| of != after));
    let rest = rest.skip(usize::from(page.after.is_some())).take(page.limit + 1);
    let views = rest.map(|&event_type| EventTypeView::new(&api, event_type));
    Ok(JsonAnswer(page.answer_with_one_more(views.collect(), |view| view.r#type)))
}

/// `GET /v1/event-types/{type}`.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    _: NoQuery,
) -> Result<JsonAnswer<DetailedView>, ApiError> {
    let event_type: EventType = name.parse().map_err(|_| not_found(&name))?;
    Ok(JsonAnswer(DetailedView {
        event_type: EventTypeView::new(&api, event_type),
        schema: api.catalogue.schema(event_type),
        example: api.catalogue.example(event_type),
    }))
}

fn not_found(name: &str) -> ApiError {
    let help = match nearest(name, EventType::ALL.iter().map(|known| known.as_str())) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "GET /v1/event-types lists them".into(),
    };
    ApiError::new(ErrorKind::EventTypeNotFound, format!("there is no event type {name:?}; {help}"))
}
