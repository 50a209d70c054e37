//! Endpoints as answers show them: the URL's query and the values of headers masked, the secret only at registration.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::Serialize;

use super::fields::duration_text;
use crate::api::openapi::examples;
use crate::model::endpoint::{
    DisabledReason, Endpoint, EndpointStatus, Format, Ordering, Payload, RateLimit, SigningSecret,
};
use crate::model::filter::Filter;
use crate::model::health::{Backlog, Health};
use crate::model::id::EndpointId;
use crate::model::pattern::Pattern;
use crate::model::time::Timestamp;
use crate::store::retention::Missed;

/// An endpoint.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Endpoint", example = examples::endpoint())]
pub(in crate::api) struct EndpointView {
    /// Names it in every call; so does `uid`.
    id: EndpointId,
    /// The word for it.
    #[schemars(extend("const" = "endpoint"))]
    object: &'static str,
    /// Your own name for it.
    uid: Option<String>,
    /// Where its events go. The query is masked.
    url: String,
    /// What you wrote about it.
    description: String,
    /// Which event types it gets.
    types: Vec<Pattern>,
    /// What else an event must meet.
    filter: Filter,
    /// How much of an event it gets.
    payload: Payload,
    /// The envelope of what it gets.
    format: Format,
    /// The headers that go along with every delivery. The values are masked.
    headers: BTreeMap<String, &'static str>,
    /// Whether events of one resource wait for each other.
    ordering: Ordering,
    /// Its waits between attempts; null: those of the configuration.
    retry: Option<Vec<String>>,
    /// How many requests may be under way to it at a time; null: as many as the configuration says.
    max_in_flight: Option<u32>,
    /// How many requests may start in a time; null: any number.
    rate_limit: Option<RateLimit>,
    /// What you keep with it.
    metadata: BTreeMap<String, String>,
    /// Whether it gets anything.
    status: EndpointStatus,
    /// Why it is disabled; null while it is enabled.
    disabled_reason: Option<DisabledReason>,
    /// How it has been doing.
    health: Health,
    /// When it was registered.
    created_at: Timestamp,
    /// When it was last changed.
    updated_at: Timestamp,
    /// How many events it has not got yet; only where one endpoint is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "usize")]
    pending: Option<usize>,
    /// Whether there are more than were counted.
    #[serde(skip_serializing_if = "is_false")]
    pending_more: bool,
    /// When the oldest of these was observed; null if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_pending_at: Option<Option<Timestamp>>,
    /// How many events it goes on with; only where it was enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "usize")]
    resumed: Option<usize>,
    /// Whether there are more than were counted.
    #[serde(skip_serializing_if = "is_false")]
    resumed_more: bool,
    /// How many events it will never get, because retention has removed them meanwhile; only where it was enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    cut: Option<u64>,
    /// Whether there are more than were counted.
    #[serde(skip_serializing_if = "is_false")]
    cut_more: bool,
    /// The secret that signs; only where it was registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    secret: Option<String>,
}

impl EndpointView {
    /// What everybody may see.
    pub(super) fn new(endpoint: Endpoint, health: Health) -> Self {
        let text = |waits: Vec<_>| waits.into_iter().map(duration_text).collect();
        Self {
            id: endpoint.id,
            object: "endpoint",
            uid: endpoint.uid,
            url: endpoint.url.masked(),
            description: endpoint.description,
            types: endpoint.types,
            filter: endpoint.filter,
            payload: endpoint.payload,
            format: endpoint.format,
            headers: endpoint.headers.masked(),
            ordering: endpoint.ordering,
            retry: endpoint.retry.map(text),
            max_in_flight: endpoint.max_in_flight,
            rate_limit: endpoint.rate_limit,
            metadata: endpoint.metadata,
            status: endpoint.status,
            disabled_reason: endpoint.disabled_reason,
            health,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
            pending: None,
            pending_more: false,
            oldest_pending_at: None,
            resumed: None,
            resumed_more: false,
            cut: None,
            cut_more: false,
            secret: None,
        }
    }

    /// The same, with what it has not got yet.
    pub(super) fn with_backlog(self, backlog: Backlog) -> Self {
        let Backlog { pending, more, oldest_at } = backlog;
        Self { pending: Some(pending), pending_more: more, oldest_pending_at: Some(oldest_at), ..self }
    }

    /// The same, with what it goes on with now that it is enabled, and what it will never get.
    pub(super) fn with_resumed(self, Resumed { backlog, missed }: Resumed) -> Self {
        let (resumed, resumed_more) = (Some(backlog.pending), backlog.more);
        Self { resumed, resumed_more, cut: Some(missed.count), cut_more: missed.more, ..self }
    }

    /// The same, with the secret that signs from now on.
    pub(super) fn registered(endpoint: Endpoint, health: Health) -> Self {
        let secret = current_secret(&endpoint);
        Self { secret, ..Self::new(endpoint, health) }
    }
}

/// What an endpoint that was enabled goes on with, and what retention has removed meanwhile.
#[derive(Clone, Default)]
pub(super) struct Resumed {
    /// What it has not got yet.
    pub(super) backlog: Backlog,
    /// What it will never get.
    pub(super) missed: Missed,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// All secrets that sign.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EndpointSecret", example = examples::secret())]
pub(in crate::api) struct SecretView {
    /// The one that signs until another takes over: `whsec_` and the base64 of 24 to 64 bytes.
    secret: Option<String>,
    /// Those before it that still sign, the newest first.
    previous: Vec<FormerSecret>,
}

/// A secret that another one took over from.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FormerEndpointSecret")]
struct FormerSecret {
    /// What it is, in the same form.
    secret: String,
    /// Until when it signs.
    expires_at: Timestamp,
}

impl SecretView {
    /// Those that sign at `now`.
    pub(super) fn new(endpoint: &Endpoint, now: Timestamp) -> Self {
        let former = endpoint.secrets.iter().filter(|secret| secret.is_live(now)).filter_map(|secret| {
            Some(FormerSecret { secret: secret.to_text().expose_secret().into(), expires_at: secret.expires_at? })
        });
        Self { secret: current_secret(endpoint), previous: former.collect() }
    }
}

/// The secret that took over, and how long the one before it goes on.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RotatedSecret", example = examples::rotated())]
pub(in crate::api) struct RotatedView {
    /// The one that signs from now on: `whsec_` and the base64 of 24 to 64 bytes.
    secret: Option<String>,
    /// Until when the former one signs too.
    previous_expires_at: Timestamp,
}

impl RotatedView {
    /// An endpoint whose former secret signs until that instant.
    pub(super) fn new(endpoint: &Endpoint, previous_expires_at: Timestamp) -> Self {
        Self { secret: current_secret(endpoint), previous_expires_at }
    }
}

fn current_secret(endpoint: &Endpoint) -> Option<String> {
    endpoint.secrets.first().map(SigningSecret::to_text).map(|text| text.expose_secret().into())
}

/// What is left of a deleted endpoint.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeletedEndpoint", example = examples::deleted())]
pub(in crate::api) struct DeletedView {
    /// Its id, which is not given again.
    id: EndpointId,
    /// The word for it.
    #[schemars(extend("const" = "endpoint"))]
    object: &'static str,
    /// That it is gone: always true.
    #[schemars(extend("const" = true))]
    deleted: bool,
}

impl DeletedView {
    /// It is gone.
    pub(super) fn new(id: EndpointId) -> Self {
        Self { id, object: "endpoint", deleted: true }
    }
}
