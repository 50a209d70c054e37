//! Endpoints as answers show them: the URL's query and the values of headers masked, the secret only at registration.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use serde::Serialize;

use super::fields::duration_text;
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
#[derive(Serialize)]
pub(in crate::api) struct EndpointView {
    id: EndpointId,
    object: &'static str,
    uid: Option<String>,
    url: String,
    description: String,
    types: Vec<Pattern>,
    filter: Filter,
    payload: Payload,
    format: Format,
    headers: BTreeMap<String, &'static str>,
    ordering: Ordering,
    retry: Option<Vec<String>>,
    max_in_flight: Option<u32>,
    rate_limit: Option<RateLimit>,
    metadata: BTreeMap<String, String>,
    status: EndpointStatus,
    disabled_reason: Option<DisabledReason>,
    health: Health,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<usize>,
    #[serde(skip_serializing_if = "is_false")]
    pending_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_pending_at: Option<Option<Timestamp>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed: Option<usize>,
    #[serde(skip_serializing_if = "is_false")]
    resumed_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<u64>,
    #[serde(skip_serializing_if = "is_false")]
    cut_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
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
#[derive(Default)]
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

/// The secret alone.
#[derive(Serialize)]
pub(in crate::api) struct SecretView {
    secret: Option<String>,
}

impl SecretView {
    /// The one that signs from now on.
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        Self { secret: current_secret(endpoint) }
    }
}

/// The secret that took over, and how long the one before it goes on.
#[derive(Serialize)]
pub(in crate::api) struct RotatedView {
    #[serde(flatten)]
    current: SecretView,
    previous_expires_at: Timestamp,
}

impl RotatedView {
    /// An endpoint whose former secret signs until that instant.
    pub(super) fn new(endpoint: &Endpoint, previous_expires_at: Timestamp) -> Self {
        Self { current: SecretView::new(endpoint), previous_expires_at }
    }
}

fn current_secret(endpoint: &Endpoint) -> Option<String> {
    endpoint.secrets.first().map(SigningSecret::to_text).map(|text| text.expose_secret().into())
}

/// What is left of a deleted endpoint.
#[derive(Serialize)]
pub(in crate::api) struct DeletedView {
    id: EndpointId,
    object: &'static str,
    deleted: bool,
}

impl DeletedView {
    /// It is gone.
    pub(super) fn new(id: EndpointId) -> Self {
        Self { id, object: "endpoint", deleted: true }
    }
}
