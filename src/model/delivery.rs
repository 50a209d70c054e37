//! Deliveries and their attempts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::EventType;
use super::id::{DeliveryId, EndpointId, EventId, ReplayId};
use super::replay::Replayed;
use super::resource::ResourceKey;
use super::time::Timestamp;

/// What an attempt meant. Every way in which one can end is here, and policy is a function of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// 2xx.
    Delivered,
    /// 3xx; never followed.
    Redirected,
    /// 410, or a response header `webhook-delivery: disable`: the receiver wants no more.
    Gone,
    /// 429 or 503: later, please.
    Throttled,
    /// Any other 4xx.
    Rejected,
    /// Any other 5xx, and what is no HTTP status that we know.
    ServerError,
    /// The name could not be resolved.
    DnsFailed,
    /// The address guard refused an address of the URL.
    AddressRefused,
    /// No connection.
    ConnectFailed,
    /// A connection, but no trust.
    TlsFailed,
    /// The deadline passed before a response was there.
    TimedOut,
    /// The connection broke, or what came was not HTTP.
    Broken,
    /// A response header `webhook-delivery: abort-message`: the receiver never wants this delivery.
    Aborted,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Delivered,
        Self::Redirected,
        Self::Gone,
        Self::Throttled,
        Self::Rejected,
        Self::ServerError,
        Self::DnsFailed,
        Self::AddressRefused,
        Self::ConnectFailed,
        Self::TlsFailed,
        Self::TimedOut,
        Self::Broken,
        Self::Aborted,
    ];

    /// The word used in the API and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Redirected => "redirected",
            Self::Gone => "gone",
            Self::Throttled => "throttled",
            Self::Rejected => "rejected",
            Self::ServerError => "server_error",
            Self::DnsFailed => "dns_failed",
            Self::AddressRefused => "address_refused",
            Self::ConnectFailed => "connect_failed",
            Self::TlsFailed => "tls_failed",
            Self::TimedOut => "timed_out",
            Self::Broken => "broken",
            Self::Aborted => "aborted",
        }
    }
}

/// What made an attempt happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The schedule.
    Scheduled,
    /// An operator.
    Manual,
    /// A replay.
    Replay,
    /// A look whether a failing endpoint is back.
    Probe,
}

/// One HTTP try of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// Counted from 1.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub duration_ms: u64,
    /// What it meant.
    pub outcome: Outcome,
    /// The response's status, if one came.
    pub status_code: Option<u16>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// The first KiB of a failure's response body.
    pub response_body: Option<String>,
    /// The address that was connected to.
    pub address: Option<String>,
    /// The instant in the signature.
    pub signed_at: Timestamp,
    /// What made it happen.
    pub trigger: Trigger,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// It will be tried, or tried again.
    Pending,
    /// A 2xx was seen.
    Delivered,
    /// Every attempt failed.
    Failed,
    /// An operator or the end of the endpoint stopped it.
    Canceled,
}

/// What became of what an operator asked for one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByHand {
    /// It is done, or about to be tried; the record as it is kept now.
    Done(Box<DeliveryRecord>),
    /// It is just being tried, or about to be: a moment later it may be possible.
    UnderWay,
    /// It has ended so.
    Ended(DeliveryStatus),
    /// Nothing is sent to the endpoint.
    Disabled,
    /// Its event is no longer kept, so that there is nothing to send.
    NotKept,
}

/// How many attempts are kept from the beginning, and how many from the end.
pub const ATTEMPTS_KEPT: usize = 10;

/// One event for one endpoint, from the first attempt on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRecord {
    /// Names it; carries the event's position and the endpoint's number.
    pub id: DeliveryId,
    /// Which event.
    pub event_id: EventId,
    /// Its type, so that lists need not look it up.
    pub event_type: EventType,
    /// For which endpoint.
    pub endpoint_id: EndpointId,
    /// The resource that the event is about, if any.
    pub resource: Option<ResourceKey>,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// When it is due again, while it is pending.
    pub next_attempt_at: Option<Timestamp>,
    /// Attempts so far, kept or not.
    pub attempt_count: u32,
    /// Those among them that its schedule was charged with: not probes, nor what was tried before its time.
    pub charged: u32,
    /// The first and the last ten.
    pub attempts: Vec<Attempt>,
    /// The last replay that it was part of.
    pub replay: Option<Replayed>,
}

impl DeliveryRecord {
    /// A delivery that was never tried. It is pending, but not due before it is given an instant.
    pub fn untried(
        event_id: EventId,
        event_type: EventType,
        endpoint_id: EndpointId,
        resource: Option<ResourceKey>,
    ) -> Self {
        let id = DeliveryId { position: event_id.position, endpoint: endpoint_id.number, epoch: event_id.epoch };
        Self {
            id,
            event_id,
            event_type,
            endpoint_id,
            resource,
            status: DeliveryStatus::Pending,
            next_attempt_at: None,
            attempt_count: 0,
            charged: 0,
            attempts: Vec::new(),
            replay: None,
        }
    }

    /// The replay that it is pending for, if it is.
    pub fn pending_for(&self) -> Option<ReplayId> {
        self.replay.filter(|replay| replay.ended.is_none()).map(|replay| replay.id)
    }

    /// It is pending from `now` on and begins its schedule anew, for a replay or by itself.
    #[must_use]
    pub fn anew(mut self, now: Timestamp, replay: Option<Replayed>) -> Self {
        self.status = DeliveryStatus::Pending;
        self.next_attempt_at = Some(now);
        self.charged = 0;
        self.replay = replay;
        self
    }

    /// It has ended so. What was delivered before a replay stays delivered whatever becomes of it there, and a replay
    /// that is canceled leaves it as it was.
    #[must_use]
    pub fn ended(mut self, status: DeliveryStatus) -> Self {
        let unended = self.replay.as_mut().filter(|replay| replay.ended.is_none());
        let former = unended.and_then(|replay| {
            replay.ended = Some(status);
            replay.former
        });
        self.next_attempt_at = None;
        self.status = match (former, status) {
            (Some(DeliveryStatus::Delivered), _) => DeliveryStatus::Delivered,
            (Some(former), DeliveryStatus::Canceled) => former,
            (Some(_) | None, status) => status,
        };
        self
    }

    /// Adds an attempt, and drops the oldest that is neither among the first nor among the last ones.
    pub fn push(&mut self, attempt: Attempt) {
        self.attempt_count = attempt.number;
        self.attempts.push(attempt);
        if self.attempts.len() > 2 * ATTEMPTS_KEPT {
            self.attempts.remove(ATTEMPTS_KEPT);
        }
    }
}
