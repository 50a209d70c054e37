//! Endpoints: registering, showing, changing, switching on and off, testing, deleting.
//!
//! In reading order: [`settings`] (what a caller may set), [`fields`] and [`headers`] (each of them, with its limits),
//! [`mod@view`] (what answers show), and the calls below.

pub(super) mod fields;
pub(super) mod headers;
pub(super) mod settings;
pub(super) mod view;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use self::settings::{Draft, Settings, Start};
use self::view::{DeletedView, EndpointView, Resumed, RotatedView, SecretView};
use super::audit::Audited;
use super::deed::Change;
use super::error::{ApiError, ErrorKind, Problems};
use super::input::Input;
use super::page::{List, Order, Page, PageQuery};
use super::request::{Body, Named, NoFields, NoQuery, Query};
use super::state::Api;
use crate::clock::random_bytes;
use crate::model::delivery::Attempt;
use crate::model::endpoint::{Endpoint, EndpointStatus, EndpointUrl, RotationError, SigningSecret, rotated};
use crate::model::event::EventType;
use crate::model::id::{EndpointId, EndpointNumber, Position};
use crate::model::time::Timestamp;
use crate::store::{StoreError, Updated};

/// `GET /v1/endpoints`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Query(mut input): Query,
) -> Result<Json<Page<EndpointView>>, ApiError> {
    let page = PageQuery::<u32>::take(&mut input, List::Endpoints);
    input.finish()?;
    let beyond = page.after.map(EndpointNumber);
    let endpoints = api.store.endpoints(beyond, page.order == Order::OldestFirst, page.limit + 1).await?;
    let page = page.answer_with_one_more(endpoints, |endpoint| endpoint.id.number.0);
    Ok(Json(page.map(|endpoint| view(&api, endpoint))))
}

/// `POST /v1/endpoints`.
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    doing: Change,
    _: NoQuery,
    Body(given): Body,
) -> Result<Response, ApiError> {
    let mut draft = Draft::read(given);
    admit(&api, &mut draft, None).await;
    let start = locate(&api, &mut draft).await?;
    register(&api, &doing, draft.finish()?, start).await
}

/// `PUT /v1/endpoints/{uid}`: registers it, or replaces the settings of the one that is there. A status or secret
/// that is not given stays as it is, so that the same call twice does nothing the second time.
pub(super) async fn upsert(
    State(api): State<Arc<Api>>,
    doing: Change,
    Named(uid): Named,
    _: NoQuery,
    Body(mut given): Body,
) -> Result<Response, ApiError> {
    let inside = given.insert("uid".into(), uid.as_str().into());
    let mut draft = Draft::read(given);
    if inside.is_some_and(|inside| !inside.is_null() && inside != uid.as_str()) {
        draft.problems.report("uid", "must be the one in the path, or be left out");
    }
    let known = api.store.by_uid(&uid).await?.map(|endpoint| endpoint.url);
    admit(&api, &mut draft, known.as_ref()).await;
    let start = if known.is_none() { Some(locate(&api, &mut draft).await?) } else { None };
    let settings = draft.finish()?;
    let _changing = api.changing_endpoints.lock().await;
    match (api.store.by_uid(&uid).await?, start) {
        (Some(known), _) => {
            let change = |before: &Endpoint| Ok(settings.clone().apply(before, api.clock.now()));
            rewrite(&api, &doing, known.id, change, |rewritten| rewritten.shown(&api)).await
        }
        (None, Some(start)) => register(&api, &doing, settings, start).await,
        // It was there, and was deleted while its new URL was looked at; the caller's next try registers it.
        (None, None) => Err(not_found(&uid)),
    }
}

/// `GET /v1/endpoints/{id or uid}`.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    _: NoQuery,
) -> Result<Json<EndpointView>, ApiError> {
    let endpoint = find(&api, &name).await?;
    let backlog = api.deliveries.backlog(&endpoint).await?;
    Ok(Json(view(&api, endpoint).with_backlog(backlog)))
}

/// `PATCH /v1/endpoints/{id or uid}`: a merge patch; null resets a field to its default, and a secret to a new one.
pub(super) async fn change(
    State(api): State<Arc<Api>>,
    doing: Change,
    Named(name): Named,
    _: NoQuery,
    Body(patch): Body,
) -> Result<Response, ApiError> {
    let seen = find(&api, &name).await?;
    let mut draft = Draft::read_patch(&seen, &patch);
    admit(&api, &mut draft, Some(&seen.url)).await;
    draft.finish()?;
    // The look at the network is over; now the patch meets the endpoint as it is by now.
    let _changing = api.changing_endpoints.lock().await;
    let change = |before: &Endpoint| {
        let after = Draft::read_patch(before, &patch).finish()?.apply(before, api.clock.now());
        Ok(match patch.get("secret") {
            Some(Value::Null) => Endpoint { secrets: vec![draw_secret()], updated_at: api.clock.now(), ..after },
            Some(_) | None => after,
        })
    };
    rewrite(&api, &doing, seen.id, change, |rewritten| rewritten.shown(&api)).await
}

/// `DELETE /v1/endpoints/{id or uid}`: 200 with what was deleted, as Stripe and the upstream vendor's cancel answer.
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    doing: Change,
    Named(name): Named,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let known = find(&api, &name).await?;
    let id = known.id;
    let prepared = doing.prepare(&api, (Audited::deleted(&view(&api, known)), Json(DeletedView::new(id)))).await?;
    let is_deleted = prepared.commit(|deed| api.store.delete_with(id, deed)).await?;
    if is_deleted { Ok(prepared.done()) } else { Err(not_found(&name)) }
}

/// `GET /v1/endpoints/{id or uid}/secret`.
pub(super) async fn secret(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    _: NoQuery,
) -> Result<impl IntoResponse, ApiError> {
    let endpoint = find(&api, &name).await?;
    Ok(([NOT_TO_BE_KEPT], Json(SecretView::new(&endpoint, api.clock.now()))))
}

/// `POST /v1/endpoints/{id or uid}/secret/rotate`: another secret takes over, and the former one signs too for a while.
pub(super) async fn rotate(
    State(api): State<Arc<Api>>,
    doing: Change,
    Named(name): Named,
    _: NoQuery,
    Body(given): Body,
) -> Result<Response, ApiError> {
    let mut input = Input::of_body(given);
    let overlap = fields::overlap(&mut input);
    let fresh = fields::secret(&mut input).unwrap_or_else(draw_secret);
    input.finish()?;
    let _changing = api.changing_endpoints.lock().await;
    let now = api.clock.now();
    let change = |before: &Endpoint| {
        let secrets = rotated(&before.secrets, fresh.clone(), overlap, now)?;
        let updated_at = if secrets == before.secrets { before.updated_at } else { now };
        Ok(Endpoint { secrets, updated_at, ..before.clone() })
    };
    let answer = |rewritten: &Rewritten| {
        let view = Json(RotatedView::new(&rewritten.after, now.plus(overlap)));
        (rewritten.audited(&api), [NOT_TO_BE_KEPT], view).into_response()
    };
    rewrite(&api, &doing, find(&api, &name).await?.id, change, answer).await
}

/// `POST /v1/endpoints/{id or uid}/enable`: it goes on where it stopped, and with what failed since its last success;
/// without `catch_up`, with what comes from now on.
pub(super) async fn enable(
    State(api): State<Arc<Api>>,
    doing: Change,
    Named(name): Named,
    _: NoQuery,
    Body(given): Body,
) -> Result<Response, ApiError> {
    let mut input = Input::of_body(given);
    let catches_up = input.flag("catch_up").unwrap_or(true);
    input.finish()?;
    let _changing = api.changing_endpoints.lock().await;
    let change = |before: &Endpoint| {
        let after = switched(before, EndpointStatus::Enabled, api.clock.now());
        let skips = !catches_up && after != *before;
        Ok(if skips { Endpoint { start: *api.store.head().borrow(), ..after } } else { after })
    };
    let answer = |rewritten: &Rewritten| {
        let view = view(&api, rewritten.after.clone()).with_resumed(rewritten.resumed.clone());
        (rewritten.audited(&api), Json(view)).into_response()
    };
    rewrite(&api, &doing, find(&api, &name).await?.id, change, answer).await
}

/// `POST /v1/endpoints/{id or uid}/recover`: everything that waits becomes due.
pub(super) async fn recover(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    _: NoQuery,
    _: NoFields,
) -> Result<Shown<EndpointView>, ApiError> {
    let endpoint = find(&api, &name).await?;
    if endpoint.status == EndpointStatus::Enabled && api.deliveries.recover(endpoint.id.number).await? {
        return Ok((Audited::about(&endpoint), Json(view(&api, endpoint))));
    }
    let message = "the endpoint is disabled, so nothing is sent to it; enable it instead";
    Err(ApiError::new(ErrorKind::EndpointDisabled, message))
}

/// `POST /v1/endpoints/{id or uid}/disable`.
pub(super) async fn disable(
    State(api): State<Arc<Api>>,
    doing: Change,
    Named(name): Named,
    _: NoQuery,
    _: NoFields,
) -> Result<Response, ApiError> {
    let _changing = api.changing_endpoints.lock().await;
    let change = |before: &Endpoint| Ok(switched(before, EndpointStatus::Disabled, api.clock.now()));
    rewrite(&api, &doing, find(&api, &name).await?.id, change, |rewritten| rewritten.shown(&api)).await
}

/// `POST /v1/endpoints/{id or uid}/test`: sends an example, and waits for what becomes of it.
pub(super) async fn test(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    _: NoQuery,
    Body(given): Body,
) -> Result<Shown<Attempt>, ApiError> {
    let mut input = Input::of_body(given);
    let event_type = input.parsed("type").unwrap_or(EventType::WebhookTest);
    input.finish()?;
    let endpoint = find(&api, &name).await?;
    let attempt = api.deliveries.send_test(&endpoint, event_type).await.ok_or_else(|| {
        let message = "the gateway was started with --paused, so nothing is sent; start it without";
        ApiError::new(ErrorKind::GatewayPaused, message)
    })?;
    Ok((Audited::about(&endpoint), Json(attempt)))
}

/// An answer, and what the audit log says of it.
type Shown<T> = (Audited, Json<T>);

/// An endpoint that was written back, or would have been had there been a change.
struct Rewritten {
    before: Endpoint,
    after: Endpoint,
    /// What it goes on with, if it was enabled.
    resumed: Resumed,
}

impl Rewritten {
    fn audited(&self, api: &Api) -> Audited {
        let [before, after] = [&self.before, &self.after].map(|state| view(api, state.clone()));
        if self.before == self.after { Audited::Nothing } else { Audited::change(&before, &after) }
    }

    fn shown(&self, api: &Api) -> Response {
        (self.audited(api), Json(view(api, self.after.clone()))).into_response()
    }
}

const NOT_TO_BE_KEPT: (header::HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

/// The endpoint of that id or uid.
pub(super) async fn find(api: &Api, name: &str) -> Result<Endpoint, ApiError> {
    let found = match name.parse() {
        Ok(id) => api.store.endpoint(id).await?,
        Err(_) => api.store.by_uid(name).await?,
    };
    found.ok_or_else(|| not_found(name))
}

/// The id of an endpoint that a request names by id or uid. An id may be that of one that was deleted.
pub(super) async fn id_of(api: &Api, name: &str) -> Result<EndpointId, ApiError> {
    match name.parse() {
        Ok(id) => Ok(id),
        Err(_) => Ok(find(api, name).await?.id),
    }
}

fn not_found(name: &str) -> ApiError {
    ApiError::new(ErrorKind::EndpointNotFound, format!("there is no endpoint {name:?}"))
}

fn view(api: &Api, endpoint: Endpoint) -> EndpointView {
    let health = api.deliveries.health(endpoint.id.number);
    EndpointView::new(endpoint, health)
}

/// Asks whether the URL may be called, unless the endpoint has it already.
async fn admit(api: &Api, draft: &mut Draft, known: Option<&EndpointUrl>) {
    let Some(url) = &draft.url else { return };
    if known.is_some_and(|known| known.expose() == url.as_str()) {
        return;
    }
    if let Err(why) = api.deliveries.admit(url).await {
        draft.problems.report("url", why);
    }
}

/// Where in the log an endpoint begins: the position before the first event that it gets.
async fn locate(api: &Api, draft: &mut Draft) -> Result<Position, StoreError> {
    match draft.start {
        Start::Now => Ok(*api.store.head().borrow()),
        Start::Earliest => Ok(Position::START),
        Start::At(instant) => Ok(api.store.position_at(instant).await?.previous()),
        Start::Event(id) => {
            let event = api.store.event(id.position).await?;
            if event.is_none_or(|event| event.id != id) {
                draft.problems.report("start.event", "there is no such event");
            }
            Ok(id.position.previous())
        }
    }
}

async fn register(api: &Api, doing: &Change, settings: Settings, start: Position) -> Result<Response, ApiError> {
    if !api.store.space().borrow().can_grow() {
        let message = "there is too little room for more endpoints; make room on the store's file system";
        return Err(ApiError::new(ErrorKind::InsufficientStorage, message));
    }
    // The store gives the number.
    let id = EndpointId { number: EndpointNumber(0), random: u128::from_le_bytes(random_bytes()) >> 32 };
    let endpoint = settings.register(id, draw_secret(), start, api.clock.now());
    let location = (header::LOCATION, format!("/v1/endpoints/{id}"));
    let view = Json(EndpointView::registered(endpoint.clone(), api.deliveries.health(id.number)));
    let answer = (StatusCode::CREATED, Audited::about(&endpoint), [location], [NOT_TO_BE_KEPT], view);
    let prepared = doing.prepare(api, answer).await?;
    let registered = prepared.commit(|deed| api.store.create_with(endpoint.clone(), deed)).await?;
    Ok(prepared.done_as(&id, &registered.id))
}

impl From<RotationError> for ApiError {
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::SameSecret => {
                let mut problems = Problems::default();
                problems.report("secret", error);
                problems.into()
            }
            RotationError::TooMany { .. } => Self::new(ErrorKind::TooManySecrets, error.to_string()),
        }
    }
}

fn draw_secret() -> SigningSecret {
    SigningSecret { key: random_bytes::<32>().to_vec().into(), expires_at: None }
}

/// The endpoint switched on or off; as it is, if that is what it is already.
fn switched(before: &Endpoint, status: EndpointStatus, now: Timestamp) -> Endpoint {
    let after = before.clone().with_status(status, now);
    if after == *before { after } else { Endpoint { updated_at: now, ..after } }
}

/// Writes what `change` makes of an endpoint, unless that is nothing, together with what is answered. The deliveries
/// disable endpoints, and secrets that have ended are forgotten, whenever that may be: then the change meets what has
/// become of the endpoint. Neither can happen again and again, so this ends.
///
/// Needs `changing_endpoints` to be held: nobody else may enable an endpoint while what has failed is made pending.
async fn rewrite(
    api: &Api,
    doing: &Change,
    id: EndpointId,
    change: impl Fn(&Endpoint) -> Result<Endpoint, ApiError>,
    answer: impl Fn(&Rewritten) -> Response,
) -> Result<Response, ApiError> {
    loop {
        let before = api.store.endpoint(id).await?.ok_or_else(|| not_found(&id.to_string()))?;
        let after = change(&before)?;
        if after == before {
            return Ok(answer(&Rewritten { before, after, resumed: Resumed::default() }));
        }
        let mut resumed = Resumed::default();
        if after.enabled_at > before.enabled_at {
            // Both are read before the change: it makes the store forget the one, and the queue send the other.
            resumed.missed = api.store.missed(id.number).await?;
            if after.start == before.start {
                api.deliveries.retry_failed(&before).await?;
                resumed.backlog = api.deliveries.backlog(&before).await?;
            }
        }
        let rewritten = Rewritten { before, after, resumed };
        let prepared = doing.prepare(api, answer(&rewritten)).await?;
        let Rewritten { before, after, .. } = &rewritten;
        match prepared.commit(|deed| api.store.update_with(before, after.clone(), deed)).await? {
            Updated::Yes => return Ok(prepared.done()),
            Updated::Changed => {}
            Updated::Gone => return Err(not_found(&id.to_string())),
        }
    }
}
