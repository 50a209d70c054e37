//! What a caller may set on an endpoint: read field by field, checked against limits, written over what was there.
//!
//! A PATCH is merged into the endpoint's own settings, written as a caller would write them, and the whole is read
//! again. So there is one reader, and what it says of a field holds for every call.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::fields;
use crate::api::error::{ApiError, Problems};
use crate::api::input::Input;
use crate::model::endpoint::{DisabledReason, Endpoint, EndpointStatus, EndpointUrl, Ordering, SigningSecret};
use crate::model::filter::Filter;
use crate::model::id::{EndpointId, EventId, Position};
use crate::model::json::Fields;
use crate::model::pattern::Pattern;
use crate::model::time::Timestamp;

/// Where in the log an endpoint begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With the next event.
    Now,
    /// With the oldest event that is kept.
    Earliest,
    /// With this event.
    Event(EventId),
    /// With the first event from this instant on.
    At(Timestamp),
}

/// Settings under examination. What only the world can tell (whether the URL may be called, whether an event
/// exists) is added to the problems before [`Draft::finish`].
#[derive(Debug)]
pub(super) struct Draft {
    /// The URL, if there is a proper one.
    pub(super) url: Option<Url>,
    /// Where to begin; only a registration looks at it.
    pub(super) start: Start,
    /// What was found wrong so far.
    pub(super) problems: Problems,
    rest: Rest,
}

#[derive(Debug)]
struct Rest {
    uid: Option<String>,
    description: String,
    types: Vec<Pattern>,
    filter: Filter,
    ordering: Ordering,
    retry: Option<Vec<Duration>>,
    max_in_flight: Option<u32>,
    metadata: BTreeMap<String, String>,
    secret: Option<SigningSecret>,
    status: Option<EndpointStatus>,
}

const STATUSES: [(&str, EndpointStatus); 2] =
    [("enabled", EndpointStatus::Enabled), ("disabled", EndpointStatus::Disabled)];

const ORDERINGS: [(&str, Ordering); 2] = [("per_resource", Ordering::PerResource), ("none", Ordering::None)];

impl Draft {
    /// Reads all settings. What is absent gets its default.
    pub(super) fn read(given: Fields) -> Self {
        let mut input = Input::of_body(given);
        let url = fields::url(&mut input);
        let rest = Rest {
            uid: fields::uid(&mut input),
            types: fields::types(&mut input),
            description: fields::description(&mut input),
            filter: fields::filter(&mut input),
            ordering: input.choice("ordering", &ORDERINGS).unwrap_or_default(),
            retry: fields::retry(&mut input),
            max_in_flight: input.number("max_in_flight", 1..=fields::IN_FLIGHT_MAX),
            metadata: fields::metadata(&mut input),
            secret: fields::secret(&mut input),
            status: input.choice("status", &STATUSES),
        };
        let start = fields::start(&mut input);
        Self { url, start, problems: input.into_problems(), rest }
    }

    /// Reads the settings that an endpoint has after a merge patch.
    pub(super) fn read_patch(endpoint: &Endpoint, patch: &Fields) -> Self {
        let mut settings = written(endpoint);
        merge(&mut settings, patch);
        // Only here does null mean something else than absence: an endpoint's status stays unless it is named.
        if settings.get("status").is_some_and(Value::is_null) {
            settings.insert("status".into(), "enabled".into());
        }
        let mut draft = Self::read(settings);
        if patch.contains_key("start") {
            draft.problems.report("start", "is looked at when an endpoint is registered, and never again");
        }
        draft
    }

    /// Ends the examination.
    pub(super) fn finish(mut self) -> Result<Settings, ApiError> {
        match self.url.take() {
            Some(url) if self.problems.is_empty() => Ok(Settings { url: EndpointUrl::new(&url), rest: self.rest }),
            Some(_) | None => Err(self.problems.into()),
        }
    }
}

/// Settings that may be applied.
#[derive(Debug)]
pub(super) struct Settings {
    url: EndpointUrl,
    rest: Rest,
}

impl Settings {
    /// A new endpoint. `fresh` signs for it unless the caller brought a secret.
    pub(super) fn register(self, id: EndpointId, fresh: SigningSecret, start: Position, now: Timestamp) -> Endpoint {
        let Self { url, rest } = self;
        let status = rest.status.unwrap_or(EndpointStatus::Enabled);
        Endpoint {
            id,
            uid: rest.uid,
            url,
            description: rest.description,
            types: rest.types,
            filter: rest.filter,
            ordering: rest.ordering,
            retry: rest.retry,
            max_in_flight: rest.max_in_flight,
            metadata: rest.metadata,
            secrets: vec![rest.secret.unwrap_or(fresh)],
            status,
            disabled_reason: (status == EndpointStatus::Disabled).then_some(DisabledReason::Manual),
            start,
            created_at: now,
            updated_at: now,
        }
    }

    /// The endpoint with these settings. A status or secret that was not given stays; the same secret again leaves
    /// those that still sign beside it alone.
    pub(super) fn apply(self, before: &Endpoint, now: Timestamp) -> Endpoint {
        let Self { url, rest } = self;
        let secrets = match rest.secret {
            Some(secret) if before.secrets.first() != Some(&secret) => vec![secret],
            Some(_) | None => before.secrets.clone(),
        };
        let after = Endpoint {
            id: before.id,
            uid: rest.uid,
            url,
            description: rest.description,
            types: rest.types,
            filter: rest.filter,
            ordering: rest.ordering,
            retry: rest.retry,
            max_in_flight: rest.max_in_flight,
            metadata: rest.metadata,
            secrets,
            status: before.status,
            disabled_reason: before.disabled_reason,
            start: before.start,
            created_at: before.created_at,
            updated_at: before.updated_at,
        };
        let after = with_status(after, rest.status.unwrap_or(before.status));
        if after == *before { after } else { Endpoint { updated_at: now, ..after } }
    }
}

/// The endpoint with another status. One that is disabled already keeps its reason.
pub(super) fn with_status(endpoint: Endpoint, status: EndpointStatus) -> Endpoint {
    let disabled_reason = match status {
        EndpointStatus::Enabled => None,
        EndpointStatus::Disabled => Some(endpoint.disabled_reason.unwrap_or(DisabledReason::Manual)),
    };
    Endpoint { status, disabled_reason, ..endpoint }
}

/// An endpoint's settings as a caller would write them, without its secret.
fn written(endpoint: &Endpoint) -> Fields {
    let retry =
        endpoint.retry.as_ref().map(|waits| waits.iter().copied().map(fields::duration_text).collect::<Vec<_>>());
    let settings = json!({
        "url": endpoint.url.expose(),
        "uid": endpoint.uid,
        "description": endpoint.description,
        "types": endpoint.types,
        "filter": endpoint.filter,
        "ordering": endpoint.ordering,
        "retry": retry,
        "max_in_flight": endpoint.max_in_flight,
        "metadata": endpoint.metadata,
        "status": endpoint.status,
    });
    match settings {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Fields::new(),
    }
}

/// RFC 7396, but for null: it is kept, because the reader takes it for absence, and sees unknown names beside it.
fn merge(target: &mut Fields, patch: &Fields) {
    for (name, value) in patch {
        match (target.get_mut(name), value) {
            (Some(Value::Object(inner)), Value::Object(changes)) => merge(inner, changes),
            (Some(_) | None, _) => {
                target.insert(name.clone(), value.clone());
            }
        }
    }
}
