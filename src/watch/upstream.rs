//! Calls to a source that wait while it wants to be left alone, and try again where that can help.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::wait_after;
use crate::clock::chance;
use crate::model::resource::{Kind, ResourceId};
use crate::source::{Cursor, Exchange, Fetched, Page, Selection, Source, SourceError, Urgency};

/// How often a call is tried, and how many may fail in a row before each is tried only once: enough to get over a
/// hiccup of half a minute without losing a long listing, and no more, because a listing's cursor does not live for
/// ever.
const FAILURES_MAX: u32 = 6;

/// How often a call by id is tried, and how many failures in a row it stands for at most. The lists may be answered
/// although it is not, so it waits for two seconds at most, and leaves it to whoever asks to come back to it.
const GET_FAILURES_MAX: u32 = 2;

/// For so long calls are tried again while none is answered: where each takes its time to fail, as with an upstream that
/// accepts a connection and says nothing for 30 s, it would be minutes otherwise until a pass has failed. It is enough to
/// get over that hiccup of half a minute.
const TROUBLE_MAX: Duration = Duration::from_secs(60);

/// A call that nobody has answered for so long is trouble that is worth showing, as long as a connection may take.
const SILENCE_SHOWN: Duration = Duration::from_secs(10);

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The gateway is stopping.
    Stopped,
    /// Upstream did not give an answer that can be used.
    Error(SourceError),
}

/// A source, with what all its passes share: when it may be asked again, how often in a row it failed, and what its
/// clock shows.
#[derive(Debug)]
pub(super) struct Upstream {
    source: Arc<dyn Source>,
    state: Mutex<State>,
    /// A wait that nobody asked for is cut short.
    hurried: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Until when upstream itself asked to be left alone.
    asked_until: Option<Instant>,
    /// Until when it is left alone because it failed.
    backed_off_until: Option<Instant>,
    failures: u32,
    /// When the first of these was begun.
    failing_since: Option<Instant>,
    /// Why the last call failed; `None` once one is answered.
    trouble: Option<String>,
    skew_seconds: Option<i64>,
}

impl Upstream {
    /// A source of which nothing is known yet.
    pub(super) fn new(source: Arc<dyn Source>) -> Self {
        Self { source, state: Mutex::default(), hurried: Notify::new() }
    }

    /// Ends the wait after failures, because somebody wants to know now. What upstream asked for itself it gets.
    pub(super) fn hurry(&self) {
        self.lock().backed_off_until = None;
        self.hurried.notify_waiters();
    }

    /// Why the last call failed, as long as none was answered since; or that one has been out for long.
    pub(super) fn trouble(&self) -> Option<String> {
        let silence = self.source.unanswered_since().map(|since| since.elapsed());
        let silent = silence.filter(|silence| *silence >= SILENCE_SHOWN);
        let silent = silent.map(|silence| format!("upstream has not answered for {} s", silence.as_secs()));
        self.lock().trouble.clone().or(silent)
    }

    /// How far upstream's clock is ahead of ours, as of its last answer.
    pub(super) fn skew_seconds(&self) -> Option<i64> {
        self.lock().skew_seconds
    }

    /// One page of a listing.
    pub(super) async fn page(
        &self,
        kind: Kind,
        selection: &Selection,
        cursor: Option<&Cursor>,
        urgency: Urgency,
        stop: &CancellationToken,
    ) -> Result<Page, NoAnswer> {
        let page = self.call(urgency, stop, None, || self.source.page(kind, selection, cursor, urgency)).await?;
        self.answered(page.exchange);
        Ok(page)
    }

    /// One resource by id.
    pub(super) async fn get(
        &self,
        kind: Kind,
        id: &ResourceId,
        urgency: Urgency,
        stop: &CancellationToken,
    ) -> Result<Fetched, NoAnswer> {
        let fetched = self.call(urgency, stop, Some(GET_FAILURES_MAX), || self.source.get(kind, id, urgency)).await?;
        match &fetched {
            Fetched::Found(_, exchange) | Fetched::NotFound(exchange) => self.answered(*exchange),
            Fetched::Malformed(_) => {}
        }
        Ok(fetched)
    }

    /// Somebody who waits for our API wants to know at once, also that there is no answer: such a call neither waits
    /// nor is tried again. `weight`: for how many failures the call stands at most.
    async fn call<T, F>(
        &self,
        urgency: Urgency,
        stop: &CancellationToken,
        weight: Option<u32>,
        send: impl Fn() -> F,
    ) -> Result<T, NoAnswer>
    where
        F: Future<Output = Result<T, SourceError>>,
    {
        let is_awaited = urgency == Urgency::Api;
        let mut tries = 0;
        loop {
            tries += 1;
            let (begun, answer) = tokio::select! {
                () = stop.cancelled() => return Err(NoAnswer::Stopped),
                answer = async {
                    if !is_awaited {
                        self.pause_over().await;
                    }
                    (Instant::now(), send().await)
                } => answer,
            };
            match answer {
                Ok(answer) => {
                    let mut state = self.lock();
                    (state.failures, state.failing_since, state.trouble) = (0, None, None);
                    return Ok(answer);
                }
                Err(error) => {
                    let may_help = self.leave_alone(&error, begun, weight);
                    if is_awaited || !may_help || tries >= weight.unwrap_or(FAILURES_MAX) {
                        return Err(NoAnswer::Error(error));
                    }
                }
            }
        }
    }

    /// Leaves the source alone as long as the error asks for that a call which was begun then has met. Tells whether
    /// trying again can help.
    fn leave_alone(&self, error: &SourceError, begun: Instant, weight: Option<u32>) -> bool {
        let mut state = self.lock();
        let failures = state.failures.max(weight.unwrap_or(u32::MAX).min(state.failures.saturating_add(1)));
        let now = Instant::now();
        state.trouble = Some(error.to_string());
        tracing::warn!(source = %self.source.name(), %error, failures = state.failures + 1, "source.call_failed");
        match error {
            SourceError::Unauthorized { .. } | SourceError::Refused { .. } => return false,
            SourceError::Throttled { retry_after } => {
                state.failures = failures;
                // Another pass may have been told to wait longer.
                state.asked_until = state.asked_until.max(Some(now + *retry_after));
            }
            SourceError::Unavailable(_) => {
                // Calls of two passes that fail together met one failure; two would double the wait twice.
                if state.backed_off_until.is_none_or(|until| until <= now) {
                    state.failures = failures;
                    state.backed_off_until = Some(now + wait_after(state.failures, chance()));
                }
                if now - *state.failing_since.get_or_insert(begun) >= TROUBLE_MAX {
                    return false;
                }
            }
        }
        state.failures < FAILURES_MAX
    }

    async fn pause_over(&self) {
        loop {
            let hurried = self.hurried.notified();
            let resume_at = {
                let state = self.lock();
                state.asked_until.max(state.backed_off_until)
            };
            let Some(at) = resume_at.filter(|at| *at > Instant::now()) else { return };
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = hurried => {}
            }
        }
    }

    fn answered(&self, exchange: Exchange) {
        if let Some(upstream_at) = exchange.upstream_at {
            self.lock().skew_seconds = Some(upstream_at.as_seconds() - exchange.answered_at.as_seconds());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
