//! One attempt: load what is not in memory, sign, send, and say what happened.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::body::{Body, body};
use super::ledger::Unsaved;
use super::sign;
use super::transport::{Request, Response, Transport};
use super::work::Work;
use crate::clock::Clock;
use crate::model::delivery::{Attempt, DeliveryRecord, Outcome, Trigger};
use crate::model::endpoint::{Endpoint, MASK};
use crate::model::event::Event;
use crate::model::id::{DeliveryId, ReplayId};
use crate::store::space::Space;
use crate::store::{Store, StoreError};

/// An attempt that was made.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) event: Arc<Event>,
    /// The delivery before this attempt, if there was an earlier one.
    pub(super) record: Option<DeliveryRecord>,
    pub(super) attempt: Attempt,
    /// What the receiver asks to wait, as it came.
    pub(super) retry_after: Option<String>,
}

/// An attempt that could not be made.
#[derive(Debug)]
pub(super) enum Untried {
    /// The event is no longer in the log, or the delivery is no longer pending.
    Moot,
    /// The store could not be read; it may be later.
    Unreadable(StoreError),
    /// The attempt panicked: a defect of ours, contained.
    Panicked,
}

impl From<StoreError> for Untried {
    fn from(error: StoreError) -> Self {
        Self::Unreadable(error)
    }
}

/// What attempts are made with.
#[derive(Clone)]
pub(super) struct Tools {
    pub(super) store: Arc<dyn Store>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Tools {
    /// Makes the attempt that `work` stands for. `known` is what became of the delivery in its last attempt, if the store
    /// may not show that yet. `cut` ends the wait for the receiver before the deadline.
    pub(super) async fn attempt(
        &self,
        endpoint: &Endpoint,
        work: &Work,
        known: Option<Unsaved>,
        mut cut: oneshot::Receiver<()>,
    ) -> Result<Tried, Untried> {
        self.wait_for_room().await;
        // No receiver is to blame for what has been waited for until here.
        let cut = if cut.try_recv().is_ok() { None } else { Some(cut) };
        let (event, record) = match &work.event {
            Some(event) => (Arc::clone(event), None),
            None => self.load(endpoint, work, known).await?,
        };
        let number = record.as_ref().map_or(0, |known| known.attempt_count) + 1;
        let replay = record.as_ref().and_then(DeliveryRecord::pending_for);
        let trigger = match work.trigger {
            Trigger::Scheduled if replay.is_some() => Trigger::Replay,
            trigger @ (Trigger::Scheduled | Trigger::Manual | Trigger::Replay | Trigger::Probe) => trigger,
        };
        let (attempt, retry_after) = self.send(endpoint, &event, number, trigger, replay, cut).await;
        Ok(Tried { event, record, attempt, retry_after })
    }

    /// Nothing is sent that cannot be recorded.
    async fn wait_for_room(&self) {
        let mut space = self.store.space();
        // An error means that nobody looks any more: the store is gone, and says so itself.
        drop(space.wait_for(Space::can_be_written).await);
    }

    async fn load(
        &self,
        endpoint: &Endpoint,
        work: &Work,
        known: Option<Unsaved>,
    ) -> Result<(Arc<Event>, Option<DeliveryRecord>), Untried> {
        let event = self.store.event(work.position).await?.ok_or(Untried::Moot)?;
        let attempts = match known {
            Some(Unsaved::Pending(record)) => return Ok((event, Some(*record))),
            Some(Unsaved::Ended(attempts)) => attempts,
            None => 0,
        };
        let id = DeliveryId { position: work.position, endpoint: endpoint.id.number, epoch: event.id.epoch };
        let record = self.store.delivery(id).await?;
        // It may have been handed to the lane twice: by whoever made it pending, and by what was read when the lane was
        // made. Then the first attempt has ended it, unless somebody has begun it anew since.
        if record.as_ref().is_some_and(|known| known.next_attempt_at.is_none() || known.attempt_count < attempts) {
            return Err(Untried::Moot);
        }
        Ok((event, record))
    }

    /// Signs and sends an event once, whatever became of it before, and waits for the receiver unless that is cut off.
    pub(super) async fn send(
        &self,
        endpoint: &Endpoint,
        event: &Event,
        number: u32,
        trigger: Trigger,
        replay: Option<ReplayId>,
        cut: Option<oneshot::Receiver<()>>,
    ) -> (Attempt, Option<String>) {
        let (at, signed_at) = (self.clock.now(), self.clock.shown());
        let Body { content_type, bytes: body } = body(event, endpoint.payload, endpoint.format);
        let headers = sign::headers(event.id, &body, &endpoint.secrets, number, signed_at);
        let replay = replay.map(|id| (sign::REPLAY_HEADER, id.to_string()));
        let headers = headers.into_iter().chain(replay).collect();
        let (url, own_headers) = (endpoint.url.clone(), endpoint.headers.clone());
        let request = Request { url, content_type, headers, own_headers, body };
        let response = tokio::select! {
            biased;
            response = self.transport.send(request) => response,
            Some(()) = async { cut?.await.ok() } => cut_off(self.clock.now().since(at)),
        };
        let attempt = Attempt {
            number,
            at,
            duration_ms: u64::try_from(response.took.as_millis()).unwrap_or(u64::MAX),
            outcome: response.outcome,
            status_code: response.status_code,
            error: response.error,
            response_body: response.body.map(|said| concealed(said, endpoint)),
            address: response.address,
            signed_at,
            trigger,
        };
        (attempt, response.retry_after)
    }
}

/// What becomes of an attempt that others could not wait for.
fn cut_off(took: Duration) -> Response {
    let error = format!("no response within {} ms, and too many receivers were as slow", took.as_millis());
    Response {
        outcome: Outcome::TimedOut,
        status_code: None,
        error: Some(error),
        body: None,
        address: None,
        retry_after: None,
        took,
    }
}

/// Shorter texts are in a response by chance.
const CONCEALED_BYTES_MIN: usize = 8;

/// What a receiver said, without what is confidential between it and us: an error page may well show the request that
/// it is about, its headers and the query of its URL, whole or taken apart.
fn concealed(said: String, endpoint: &Endpoint) -> String {
    let query = endpoint.url.expose().split_once('?').map(|(_, query)| query);
    let values = endpoint.headers.expose().map(|(_, value)| value).chain(query);
    let parts = values.flat_map(|value| value.split([' ', '&', '=', ';', ',']));
    parts.filter(|part| part.len() >= CONCEALED_BYTES_MIN).fold(said, |said, part| {
        let mut said = said.replace(part, MASK);
        // What is kept of a response is cut somewhere, perhaps in the midst of it.
        let ends = (CONCEALED_BYTES_MIN..part.len()).rev();
        let cut = ends.filter_map(|length| part.get(..length)).find(|beginning| said.ends_with(beginning));
        if let Some(beginning) = cut {
            said.replace_range(said.len() - beginning.len().., MASK);
        }
        said
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::testing::endpoint;
    use crate::model::endpoint::{EndpointUrl, OwnHeaders};

    #[test]
    fn a_response_that_shows_the_request_is_kept_without_what_is_confidential() {
        let endpoint = Endpoint {
            url: EndpointUrl::new(&"https://a.example/hook?id=7&token=query-canary".parse().expect("a URL")),
            headers: OwnHeaders::new([("authorization".to_owned(), "Bearer header-canary".into())].into()),
            ..endpoint(1)
        };
        for (said, kept) in [
            ("no such page", "no such page"),
            ("cannot POST /hook?id=7&token=query-canary", "cannot POST /hook?id=7&token=***"),
            (r#"{"token": "query-canary", "id": 7}"#, r#"{"token": "***", "id": 7}"#),
            ("Authorization: Bearer header-canary\n", "Authorization: Bearer ***\n"),
            ("header-canary, query-canary, header-canary", "***, ***, ***"),
            ("it was header-c", "it was ***"),
            ("it was header-", "it was header-"),
            ("", ""),
        ] {
            assert_eq!(concealed(said.into(), &endpoint), kept);
        }
    }
}
