//! Sources: how they stand, passes on demand, and whether they are looked at.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::commands::Paused;
use super::error::{ApiError, ErrorKind};
use super::input::Input;
use super::page::{List, Order, Page, PageQuery};
use super::request::{Body, Named, NoFields, NoQuery, Query};
use super::state::Api;
use crate::model::resource::SourceName;
use crate::model::source::{PassKind, PassReport, SourceStatus};

/// `GET /v1/sources`, in the order of the configuration.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Query(mut input): Query,
) -> Result<Json<Page<SourceStatus>>, ApiError> {
    let page = PageQuery::<SourceName>::take_unordered(&mut input, List::Sources);
    input.finish()?;
    let all = api.sources.list();
    let begin = match &page.after {
        None => 0,
        Some(last) => all.iter().position(|source| source.name == *last).map_or(all.len(), |place| place + 1),
    };
    let rest = all.into_iter().skip(begin).take(page.limit + 1).collect();
    Ok(Json(page.answer_with_one_more(rest, |source| source.name.clone())))
}

/// `GET /v1/sources/{name}`.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    _: NoQuery,
) -> Result<Json<SourceStatus>, ApiError> {
    name.parse().ok().and_then(|name| api.sources.get(&name)).map(Json).ok_or_else(|| not_found(&name))
}

/// `POST /v1/sources/{name}/poll`: asks for a pass and does not wait for it.
pub(super) async fn poll(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    _: NoQuery,
    Body(fields): Body,
) -> Result<impl IntoResponse, ApiError> {
    let mut input = Input::of_body(fields);
    // What is due by an agenda is looked at when it is due; there is nothing to ask for.
    let passes = [PassKind::Changes, PassKind::Open, PassKind::Sweep].map(|pass| (pass.as_str(), pass));
    let pass = input.choice("pass", &passes).unwrap_or(PassKind::Changes);
    input.finish()?;
    let asked = name.parse().ok().and_then(|name| api.sources.poll(&name, pass));
    let report = asked.ok_or_else(|| not_found(&name))?;
    let report = report.map_err(|Paused(why)| ApiError::new(ErrorKind::SourcePaused, why))?;
    Ok((StatusCode::ACCEPTED, Json(report)))
}

/// `POST /v1/sources/{name}/pause`: no pass begins, and one under way ends, until it is resumed.
pub(super) async fn pause(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    _: NoQuery,
    _: NoFields,
) -> Result<Json<SourceStatus>, ApiError> {
    let source = name.parse().map_err(|_| not_found(&name))?;
    Ok(Json(api.sources.pause(&source).await.ok_or_else(|| not_found(&name))??))
}

/// `POST /v1/sources/{name}/resume`.
pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    _: NoQuery,
    _: NoFields,
) -> Result<Json<SourceStatus>, ApiError> {
    let source = name.parse().map_err(|_| not_found(&name))?;
    Ok(Json(api.sources.resume(&source).await.ok_or_else(|| not_found(&name))??))
}

/// `GET /v1/sources/{name}/passes`: the last ones that this process ran.
pub(super) async fn passes(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    Query(mut input): Query,
) -> Result<Json<Page<PassReport>>, ApiError> {
    let page = PageQuery::<String>::take(&mut input, List::Passes);
    input.finish()?;
    let mut all = name.parse().ok().and_then(|name| api.sources.passes(&name)).ok_or_else(|| not_found(&name))?;
    if page.order == Order::OldestFirst {
        all.reverse();
    }
    // One that is forgotten is older than all that are there.
    let beyond_forgotten = if page.order == Order::OldestFirst { 0 } else { all.len() };
    let begin = match &page.after {
        None => 0,
        Some(last) => all.iter().position(|pass| pass.id == *last).map_or(beyond_forgotten, |place| place + 1),
    };
    let rest = all.into_iter().skip(begin).take(page.limit + 1).collect();
    Ok(Json(page.answer_with_one_more(rest, |pass: &PassReport| pass.id.clone())))
}

pub(super) fn not_found(name: &str) -> ApiError {
    ApiError::new(ErrorKind::SourceNotFound, format!("there is no source {name:?}"))
}
