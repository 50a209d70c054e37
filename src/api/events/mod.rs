//! Events: the log, read through filters, byte for byte as subscribers get it.
//!
//! In reading order: the calls below, `wanted` (which events are meant), `reading` (a page of the log, and where a
//! reader goes on), `stream` (events as they come), `deliveries` (who gets an event and who does not).

use std::sync::Arc;
use std::time::Duration;

use axum::Json as JsonAnswer;
use axum::extract::State;
use tokio::time::Instant;

use self::reading::{Reading, Span};
use self::wanted::Wanted;
use super::auth::{self, Caller};
use super::error::{ApiError, ErrorKind};
use super::input::Input;
use super::page::{Order, Page, PageQuery};
use super::request::{Named, NoQuery, Query};
use super::resources::asked::no_such_source;
use super::state::Api;
use crate::model::event::Event;
use crate::model::id::EventId;
use crate::model::json::Json;
use crate::model::resource::SourceName;
use crate::store::{EventLog, StoreError};

mod deliveries;
mod reading;
mod stream;
mod wanted;

pub(super) use deliveries::{Row, list as deliveries};
pub(super) use stream::stream;

/// The longest wait of a long poll: proxies give up on answers that take longer.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);

/// `GET /v1/events`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Query(mut input): Query,
) -> Result<JsonAnswer<Page<Json>>, ApiError> {
    let page = PageQuery::take_log(&mut input);
    let wanted = Wanted::take(&mut input);
    let since = input.parsed("since");
    let until = input.parsed("until");
    let wait = take_wait(&mut input, page.order);
    if let Some(name) = &wanted.source
        && !is_known(&api, name).await?
    {
        input.report("source", no_such_source(name.as_str(), &api.sources.list()));
    }
    input.finish()?;
    let log: &dyn EventLog = &*api.store;
    if let Some(id) = page.after {
        reading::check(log, id, "cursor").await?;
    }
    let mut head = log.head();
    let mut reading = Reading::new(log, &page, wanted);
    let deadline = Instant::now() + wait;
    let mut follower = None;
    let next = loop {
        // Marked as seen before it is looked at, so that no event comes unnoticed in between.
        head.mark_unchanged();
        let span = Span::between(log, since, until).await?;
        let next = reading.read(span).await?;
        if next.is_some() || !reading.found.is_empty() || wait.is_zero() || !span.is_open {
            break next;
        }
        let follower = match &follower {
            Some(follower) => follower,
            None => &*follower.insert(api.followers.enter()?),
        };
        tokio::select! {
            () = follower.stopped() => break None,
            () = tokio::time::sleep_until(deadline) => break None,
            _ = head.changed() => {}
        }
        auth::still_holds(&api, &caller).await?;
    };
    if let Some(id) = page.after {
        reading::check_kept(log, id)?;
    }
    Ok(JsonAnswer(page.answer(reading.found.iter().map(|event| event.body()).collect(), next)))
}

/// Whether there may be events of a source: it is configured, or was at some time, so that the log may tell of it.
async fn is_known(api: &Api, name: &SourceName) -> Result<bool, StoreError> {
    let is_configured = api.sources.list().iter().any(|source| source.name == *name);
    Ok(is_configured || api.store.progress(name).await?.is_some())
}

/// How long to wait for an event if there is none: whole seconds, as a number or as a duration.
fn take_wait(input: &mut Input, order: Order) -> Duration {
    let Some(text) = input.text("wait") else { return Duration::ZERO };
    let seconds = text.parse().ok().map(Duration::from_secs);
    let wait = seconds.or_else(|| humantime::parse_duration(&text).ok()).filter(|wait| *wait <= WAIT_MAX);
    if wait.is_none() {
        input.report("wait", format!("must be a duration from 0s to {}s", WAIT_MAX.as_secs()));
    }
    if order == Order::NewestFirst {
        input.report("wait", "needs order=asc: what is waited for comes at the other end");
    }
    wait.unwrap_or_default()
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
