//! Replays and resyncs: asked for, looked at, stopped.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::audit::Audited;
use super::endpoints::{self, fields};
use super::error::{ApiError, ErrorKind};
use super::input::{Input, must_be};
use super::openapi::examples;
use super::page::{List, Order, Page, PageQuery};
use super::request::{Body, Named, NoQuery, Query};
use super::state::Api;
use crate::model::endpoint::Endpoint;
use crate::model::event::{Event, EventType};
use crate::model::filter::Filter;
use crate::model::id::{EndpointId, EventId, Position, ReplayId, ReplayNumber};
use crate::model::pattern::Pattern;
use crate::model::replay::{Course, Cursor, Preview, Range, Replay, ReplayStatus, Select};
use crate::model::resource::ResourceId;
use crate::model::time::Timestamp;

/// A list that somebody collected by hand, or a page of ours.
pub(super) const EVENT_IDS_MAX: usize = 1_000;

/// From one instant to the next: what instants are told in.
const INSTANT: Duration = Duration::from_millis(1);

/// What the words of `select` stand for; the first one is the default.
pub(super) const SELECTS: [(&str, Select); 3] =
    [("missed", Select::Missed), ("failed", Select::Failed), ("all", Select::All)];

/// A replay or a resync.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Replay", example = examples::replay())]
pub(super) struct ReplayView {
    /// Names it.
    id: ReplayId,
    /// The word for it.
    #[schemars(extend("const" = "replay"))]
    object: &'static str,
    /// `replay` (over the event log) or `resync` (over the current resources).
    #[schemars(extend("enum" = ["replay", "resync"]))]
    kind: &'static str,
    /// Who gets it.
    endpoint_id: EndpointId,
    /// Where it stands.
    status: ReplayStatus,
    /// How much of what it goes through has become deliveries, from 0 to 1.
    progress: f64,
    /// How many deliveries that has made so far.
    matched: u64,
    /// Those of them that were delivered.
    delivered: u64,
    /// Those of them that failed.
    failed: u64,
    /// Those of them that were canceled.
    canceled: u64,
    /// How many events of the range retention had removed before the replay came to them. Whether they were meant is
    /// not known any more.
    cut: u64,
    /// The instant that was asked for as the beginning; null: the earliest event that was kept then.
    since: Option<Timestamp>,
    /// The instant that was asked for as the end; null: when the replay was asked for.
    until: Option<Timestamp>,
    /// Which events were asked for, by what became of them; not in a resync.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Select")]
    select: Option<Select>,
    /// The types that were asked for; absent if all.
    #[serde(skip_serializing_if = "<[Pattern]>::is_empty")]
    types: Vec<Pattern>,
    /// What else was asked for.
    filter: Filter,
    /// The one resource that was asked for; absent if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ResourceId")]
    resource_id: Option<ResourceId>,
    /// The events that were asked for; absent if any.
    #[serde(skip_serializing_if = "<[EventId]>::is_empty")]
    event_ids: Vec<EventId>,
    /// When it was asked for.
    created_at: Timestamp,
    /// When it ended; null while it runs.
    ended_at: Option<Timestamp>,
}

impl From<Replay> for ReplayView {
    fn from(replay: Replay) -> Self {
        let Replay { id, endpoint_id, created_at, course, progress } = replay;
        let done = done(&course, &progress.cursor);
        let (filter, range) = match course {
            Course::Log(range) => (range.filter.clone(), Some(range)),
            Course::Snapshots(filter) => (filter, None),
        };
        let (since, until) = range.as_ref().map_or((None, None), |range| (range.asked_since, range.asked_until));
        Self {
            id,
            object: "replay",
            kind: if range.is_some() { "replay" } else { "resync" },
            endpoint_id,
            status: progress.status,
            progress: done,
            matched: progress.matched,
            delivered: progress.delivered,
            failed: progress.failed,
            canceled: progress.canceled,
            cut: progress.cut,
            since,
            until,
            select: range.as_ref().map(|range| range.select),
            types: range.as_ref().map_or_else(Vec::new, |range| range.types.clone()),
            filter,
            resource_id: range.as_ref().and_then(|range| range.resource_id.clone()),
            event_ids: range.map_or_else(Vec::new, |range| range.event_ids),
            created_at,
            ended_at: progress.ended_at,
        }
    }
}

/// The part of a course that lies before a cursor. How many resources there are is not known without counting, so a
/// resync is at 0 until it is through.
fn done(course: &Course, cursor: &Cursor) -> f64 {
    match (course, cursor) {
        (_, Cursor::End) => 1.0,
        (Course::Log(range), Cursor::Log(at)) if range.until > range.after => {
            let (all, gone) = (range.until.0 - range.after.0, at.0.saturating_sub(range.after.0));
            gone as f64 / all as f64
        }
        (Course::Log(_) | Course::Snapshots(_), Cursor::Log(_) | Cursor::Snapshots(_)) => 0.0,
    }
}

/// What a replay would do.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReplayPreview", example = examples::preview())]
pub(super) struct PreviewView {
    /// How many events it would send.
    matched: u64,
    /// Whether there may be more: only so much of the log is looked at.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    matched_more: bool,
    /// The first of them.
    sample: Vec<SampleView>,
}

/// An event that a replay would send.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReplaySample")]
struct SampleView {
    /// Names it.
    id: EventId,
    /// What happened.
    r#type: EventType,
    /// When it was observed.
    timestamp: Timestamp,
    /// The resource that it is about, if any.
    resource_id: Option<ResourceId>,
}

impl From<&Event> for SampleView {
    fn from(event: &Event) -> Self {
        Self {
            id: event.id,
            r#type: event.event_type,
            timestamp: event.timestamp(),
            resource_id: event.sight.resource().map(|key| key.id.clone()),
        }
    }
}

impl From<Preview> for PreviewView {
    fn from(preview: Preview) -> Self {
        let Preview { matched, sample, more } = preview;
        Self { matched, matched_more: more, sample: sample.iter().map(|event| SampleView::from(&**event)).collect() }
    }
}

/// `POST /v1/endpoints/{id or uid}/replay`.
pub(super) async fn begin(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    _: NoQuery,
    Body(given): Body,
) -> Result<Response, ApiError> {
    let mut input = Input::of_body(given);
    let (since, until): (Option<Timestamp>, Option<Timestamp>) = (input.parsed("since"), input.parsed("until"));
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        input.report("until", "must not be before since");
    }
    let types = fields::given_types(&mut input).unwrap_or_default();
    let filter = fields::filter(&mut input);
    let resource_id = input.parsed("resource_id");
    let event_ids = event_ids(&mut input);
    let select = input.choice("select", &SELECTS).unwrap_or(SELECTS[0].1);
    let is_dry = input.flag("dry_run").unwrap_or(false);
    input.finish()?;
    let endpoint = endpoints::find(&api, &name).await?;
    check_kept(&api, since, until, &event_ids).await?;
    let range = Range {
        after: match since {
            Some(since) => api.store.position_at(since).await?.previous(),
            None => api.store.first().previous(),
        },
        until: match until {
            Some(until) => api.store.position_at(until).await?.previous(),
            None => *api.store.head().borrow(),
        },
        asked_since: since,
        asked_until: until,
        types,
        filter,
        resource_id,
        event_ids,
        select,
    };
    if is_dry {
        let preview = api.deliveries.preview(&endpoint, range).await?.ok_or_else(disabled)?;
        return Ok((Audited::Nothing, Json(PreviewView::from(preview))).into_response());
    }
    Ok(accepted(&endpoint, api.deliveries.replay(&endpoint, range).await?.ok_or_else(disabled)?))
}

/// Whether retention has cut nothing of a range.
async fn check_kept(
    api: &Api,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    event_ids: &[EventId],
) -> Result<(), ApiError> {
    let first = api.store.first();
    let last_cut = last_cut(api, first).await?;
    let earliest = last_cut.map(|last| last.plus(INSTANT));
    let expired = |field, message: String| {
        let error = ApiError::of_field(field, message).of_kind(ErrorKind::RangeExpired);
        Err(earliest.into_iter().fold(error, ApiError::with_earliest))
    };
    if let Some(gone) = event_ids.first().filter(|id| id.position < first && first > Position::START.next()) {
        let kept = earliest.map_or_else(String::new, |earliest| format!("; what was observed since {earliest} is"));
        return expired("event_ids", format!("{gone} is no longer kept{kept}"));
    }
    let (Some(last_cut), Some(earliest)) = (last_cut, earliest) else { return Ok(()) };
    let field = if since.is_some_and(|since| since <= last_cut) {
        "since"
    } else if until.is_some_and(|until| until <= last_cut) {
        "until"
    } else {
        return Ok(());
    };
    expired(field, format!("what was observed before {earliest} is no longer kept; begin there, or leave since out"))
}

/// The last instant of which events were cut. Where a former program cut them, the last one that is before what is kept;
/// if nothing is, nothing tells.
async fn last_cut(api: &Api, first: Position) -> Result<Option<Timestamp>, ApiError> {
    let last_cut = api.store.last_cut();
    if last_cut.is_some() || first == Position::START.next() {
        return Ok(last_cut);
    }
    let kept = api.store.events_after(Position::START, 1).await?;
    Ok(kept.first().map(|kept| kept.timestamp().minus(INSTANT)))
}

fn event_ids(input: &mut Input) -> Vec<EventId> {
    let read = |entry: &Value| {
        let text = entry.as_str().ok_or_else(|| must_be("a string", entry))?;
        text.parse::<EventId>().map_err(|why| why.to_string())
    };
    let Some(mut ids) = input.list("event_ids", EVENT_IDS_MAX, read) else { return Vec::new() };
    if ids.is_empty() {
        input.report("event_ids", "must name at least one event; leave it out for all");
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// `POST /v1/endpoints/{id or uid}/resync`.
pub(super) async fn resync(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    _: NoQuery,
    Body(given): Body,
) -> Result<Response, ApiError> {
    let mut input = Input::of_body(given);
    let filter = fields::filter(&mut input);
    input.finish()?;
    let endpoint = endpoints::find(&api, &name).await?;
    Ok(accepted(&endpoint, api.deliveries.resync(&endpoint, filter).await?.ok_or_else(disabled)?))
}

fn accepted(endpoint: &Endpoint, replay: Replay) -> Response {
    let location = (header::LOCATION, format!("/v1/replays/{}", replay.id));
    (StatusCode::ACCEPTED, Audited::about(endpoint), [location], Json(ReplayView::from(replay))).into_response()
}

fn disabled() -> ApiError {
    let message = "the endpoint is disabled, so nothing is sent to it; enable it first";
    ApiError::new(ErrorKind::EndpointDisabled, message)
}

/// `GET /v1/replays`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Query(mut input): Query,
) -> Result<Json<Page<ReplayView>>, ApiError> {
    let page = PageQuery::<u32>::take(&mut input, List::Replays);
    input.finish()?;
    let ascending = page.order == Order::OldestFirst;
    let replays = api.store.replays(page.after.map(ReplayNumber), ascending, page.limit + 1).await?;
    let answer = page.answer_with_one_more(replays, |replay| replay.id.number.0);
    Ok(Json(answer.map(ReplayView::from)))
}

/// `GET /v1/replays/{id}`.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    _: NoQuery,
) -> Result<Json<ReplayView>, ApiError> {
    shown(api.store.replay(id(&name)?).await?, &name)
}

/// `DELETE /v1/replays/{id}`: stops it. One that has ended stays as it is.
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    _: NoQuery,
) -> Result<(Audited, Json<ReplayView>), ApiError> {
    let id = id(&name)?;
    let before = shown(api.store.replay(id).await?, &name)?;
    Ok((Audited::before(&before.0), shown(api.deliveries.cancel_replay(id).await?, &name)?))
}

fn id(name: &str) -> Result<ReplayId, ApiError> {
    name.parse().map_err(|_| not_found(name))
}

fn shown(replay: Option<Replay>, name: &str) -> Result<Json<ReplayView>, ApiError> {
    replay.map(|replay| Json(replay.into())).ok_or_else(|| not_found(name))
}

fn not_found(name: &str) -> ApiError {
    ApiError::new(ErrorKind::ReplayNotFound, format!("there is no replay {name:?}"))
}
