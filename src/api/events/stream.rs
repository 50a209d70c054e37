//! Events as they come: server-sent events, as the HTML standard defines them (section 9.2).
//!
//! Nothing is queued for a client. It has a place in the log, and the next piece is read when its connection has room.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::reading;
use super::wanted::Wanted;
use crate::api::auth::{self, Caller};
use crate::api::error::ApiError;
use crate::api::followers::Follower;
use crate::api::input::Input;
use crate::api::request::Query;
use crate::api::state::Api;
use crate::model::event::Event;
use crate::model::id::{EventId, Position};
use crate::store::StoreError;

/// The header with which a client says how far it has come.
const LAST_EVENT_ID: &str = "Last-Event-ID";

/// How often a comment tells the client, and the proxies in between, that the stream is alive.
const BEAT: Duration = Duration::from_secs(15);

/// How many events are read at a time,
const EVENTS_READ: usize = 32;

/// and how many bytes a piece has, if not a single event is larger: what a client that is slow keeps in memory.
const PIECE_BYTES: usize = 64 * 1024;

/// `GET /v1/events/stream`.
pub(in crate::api) async fn stream(
    State(api): State<Arc<Api>>,
    caller: Caller,
    headers: HeaderMap,
    Query(mut input): Query,
) -> Result<Response, ApiError> {
    let wanted = Wanted::take_types(&mut input);
    let last = take_last_event_id(&mut input, &headers);
    input.finish()?;
    let head = api.store.head();
    let after = match last {
        Some(id) => {
            reading::check(&*api.store, id, LAST_EVENT_ID).await?;
            id.position
        }
        None => *head.borrow(),
    };
    let untold = match last {
        // The blank line behind the first comment makes a client forget it otherwise (section 9.2.6, the last event ID
        // buffer of a new stream is empty).
        Some(id) => Some(id),
        None => api.store.event(after).await?.map(|event| event.id),
    };
    let place = api.followers.enter()?;
    let mut beat = interval_at(Instant::now() + BEAT, BEAT);
    // A client that was slow is not owed the comments that it missed.
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = Stream { api, caller, head, wanted, after, untold, begun: false, beat, place };
    let pieces = futures_util::stream::unfold(stream, |mut stream| async {
        let piece = stream.next().await?;
        Some((Ok::<_, Infallible>(piece), stream))
    });
    // The last one is for proxies that would collect the answer before they pass it on.
    let headers = [
        (header::CONTENT_TYPE.as_str(), "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

fn take_last_event_id(input: &mut Input, headers: &HeaderMap) -> Option<EventId> {
    let given = headers.get(LAST_EVENT_ID)?.to_str().unwrap_or_default();
    given.parse().map_err(|why| input.report(LAST_EVENT_ID, why)).ok()
}

/// What one client is being sent.
struct Stream {
    api: Arc<Api>,
    caller: Caller,
    head: watch::Receiver<Position>,
    wanted: Wanted,
    /// Everything up to here was dealt with.
    after: Position,
    /// The event that the client is to go on from if it comes again, where it has not been told so yet.
    untold: Option<EventId>,
    begun: bool,
    beat: Interval,
    place: Follower,
}

impl Stream {
    /// The next piece; `None` at the end, after which the client comes again.
    async fn next(&mut self) -> Option<String> {
        if !self.begun {
            self.begun = true;
            return Some(self.sign_of_life());
        }
        loop {
            let is_beat = tokio::select! {
                biased;
                () = self.place.stopped() => return None,
                _ = self.beat.tick() => true,
                moved = moved_beyond(&mut self.head, self.after) => if moved { false } else { return None },
            };
            // A client whose key was deleted comes again, and is told so.
            auth::still_holds(&self.api, &self.caller).await.ok()?;
            if is_beat {
                return Some(self.sign_of_life());
            }
            match self.read().await {
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(piece) => return piece,
                Err(error) => {
                    tracing::error!(%error, "events.stream_broken");
                    return None;
                }
            }
        }
    }

    /// A comment, with the place to go on from if that has moved without an event. An id without data makes no event
    /// at the client, but is what it asks for when it comes again: otherwise it would begin anew where nothing has
    /// come yet, or from an event that retention may have passed where few are meant.
    fn sign_of_life(&mut self) -> String {
        let id = self.untold.take().map(|id| format!("id: {id}\n")).unwrap_or_default();
        format!(":\n{id}\n")
    }

    /// What comes next of what is in the log, empty if none of it is meant. `None` if retention was faster.
    async fn read(&mut self) -> Result<Option<String>, StoreError> {
        let events = self.api.store.events_after(self.after, EVENTS_READ).await?;
        if self.after.next() < self.api.store.first() {
            tracing::info!(position = self.after.0, "events.stream_overtaken");
            return Ok(None);
        }
        let mut piece = String::new();
        for event in events {
            self.after = event.position();
            if self.wanted.matches(&event) {
                write_event(&mut piece, &event);
                self.untold = None;
            } else {
                self.untold = Some(event.id);
            }
            if piece.len() >= PIECE_BYTES {
                break;
            }
        }
        Ok(Some(piece))
    }
}

/// Waits until the log goes beyond a position; `false` if it never will, because the store was closed.
async fn moved_beyond(head: &mut watch::Receiver<Position>, position: Position) -> bool {
    head.wait_for(|head| *head > position).await.is_ok()
}

fn write_event(piece: &mut String, event: &Event) {
    let body = event.body();
    let written = write!(piece, "id: {}\nevent: {}\ndata: ", event.id, event.event_type);
    written.expect("a string takes what is written");
    // Line breaks in JSON are mere white space: those inside of strings are escaped.
    piece.extend(body.text().split(['\r', '\n']));
    piece.push_str("\n\n");
}
