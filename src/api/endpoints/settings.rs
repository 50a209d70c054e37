//! What a caller may set on an endpoint: read field by field, checked against limits, written over what was there.
//!
//! A PATCH is merged into the endpoint's own settings, written as a caller would write them, and the whole is read
//! again. So there is one reader, and what it says of a field holds for every call.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::fields;
use super::headers::{headers, make_way};
use crate::api::error::{ApiError, Problems};
use crate::api::input::Input;
use crate::model::endpoint::{
    DisabledReason, Endpoint, EndpointStatus, EndpointUrl, Format, Ordering, OwnHeaders, Payload, RateLimit,
    SigningSecret,
};
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

#[derive(Clone, Debug)]
struct Rest {
    uid: Option<String>,
    description: String,
    types: Vec<Pattern>,
    filter: Filter,
    payload: Payload,
    format: Format,
    headers: OwnHeaders,
    ordering: Ordering,
    retry: Option<Vec<Duration>>,
    max_in_flight: Option<u32>,
    rate_limit: Option<RateLimit>,
    metadata: BTreeMap<String, String>,
    secret: Option<SigningSecret>,
    status: Option<EndpointStatus>,
}

/// What is wrong with settings by themselves.
pub(in crate::api) fn wrong_settings(given: Fields) -> Problems {
    Draft::read(given).problems
}

/// What is wrong with the body of a rotation by itself.
pub(in crate::api) fn wrong_rotation(given: Fields) -> Problems {
    let mut input = Input::of_body(given);
    let _ = (fields::overlap(&mut input), fields::secret(&mut input));
    input.into_problems()
}

pub(in crate::api) const STATUSES: [(&str, EndpointStatus); 2] =
    [("enabled", EndpointStatus::Enabled), ("disabled", EndpointStatus::Disabled)];

pub(in crate::api) const PAYLOADS: [(&str, Payload); 2] = [("full", Payload::Full), ("thin", Payload::Thin)];

pub(in crate::api) const FORMATS: [(&str, Format); 2] =
    [("standard", Format::Standard), ("cloudevents", Format::CloudEvents)];

pub(in crate::api) const ORDERINGS: [(&str, Ordering); 2] =
    [("per_resource", Ordering::PerResource), ("none", Ordering::None)];

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
            payload: input.choice("payload", &PAYLOADS).unwrap_or_default(),
            format: input.choice("format", &FORMATS).unwrap_or_default(),
            headers: headers(&mut input),
            ordering: input.choice("ordering", &ORDERINGS).unwrap_or_default(),
            retry: fields::retry(&mut input),
            max_in_flight: input.number("max_in_flight", 1..=fields::IN_FLIGHT_MAX),
            rate_limit: input.parsed("rate_limit"),
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
        make_way(&mut settings, patch);
        merge(&mut settings, patch);
        // An absent status means that it stays; a null one means the default.
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
#[derive(Clone, Debug)]
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
            payload: rest.payload,
            format: rest.format,
            headers: rest.headers,
            ordering: rest.ordering,
            retry: rest.retry,
            max_in_flight: rest.max_in_flight,
            rate_limit: rest.rate_limit,
            metadata: rest.metadata,
            secrets: vec![rest.secret.unwrap_or(fresh)],
            status,
            disabled_reason: (status == EndpointStatus::Disabled).then_some(DisabledReason::Manual),
            start,
            created_at: now,
            updated_at: now,
            enabled_at: now,
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
            payload: rest.payload,
            format: rest.format,
            headers: rest.headers,
            ordering: rest.ordering,
            retry: rest.retry,
            max_in_flight: rest.max_in_flight,
            rate_limit: rest.rate_limit,
            metadata: rest.metadata,
            secrets,
            status: before.status,
            disabled_reason: before.disabled_reason,
            start: before.start,
            created_at: before.created_at,
            updated_at: before.updated_at,
            enabled_at: before.enabled_at,
        };
        let after = after.with_status(rest.status.unwrap_or(before.status), now);
        if after == *before { after } else { Endpoint { updated_at: now, ..after } }
    }
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
        "payload": endpoint.payload,
        "format": endpoint.format,
        "headers": endpoint.headers.expose().collect::<BTreeMap<_, _>>(),
        "ordering": endpoint.ordering,
        "retry": retry,
        "max_in_flight": endpoint.max_in_flight,
        "rate_limit": endpoint.rate_limit,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;
    use crate::model::id::EndpointNumber;

    fn register(given: &Value) -> Option<Endpoint> {
        let id = EndpointId { number: EndpointNumber(1), random: 7 };
        let secret = SigningSecret { key: vec![7; 32].into(), expires_at: None };
        let settings = Draft::read(given.as_object()?.clone()).finish().ok()?;
        Some(settings.register(id, secret, Position::START, Timestamp::EPOCH))
    }

    fn patched(endpoint: &Endpoint, patch: Value) -> Option<Endpoint> {
        let settings = Draft::read_patch(endpoint, patch.as_object()?).finish().ok()?;
        Some(settings.apply(endpoint, Timestamp::from_millis(1)))
    }

    /// Any JSON, rather small, with the words of our fields strewn in.
    fn any_json() -> impl Strategy<Value = Value> {
        let words = "https://a\\.example/|enabled|none|certificate\\.\\*|30s|5/s|US-CA|earliest|evt_1|.{0,9}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (0..40_u32).prop_map(Value::from),
            words.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any_name(), inner), 0..6)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    fn any_name() -> impl Strategy<Value = String> {
        "url|uid|types|description|filter|payload|format|headers|ordering|retry|max_in_flight|rate_limit|metadata|secret|start|status|sources|customer_ids|         jurisdictions|will_expire_days|event|at|[a-z]{0,3}"
    }

    /// Settings that are mostly right.
    fn some_settings() -> impl Strategy<Value = Value> {
        (
            prop::option::of("[a-d][a-z0-9._-]{0,9}"),
            prop::option::of(prop::collection::vec(
                prop::sample::select(vec!["*", "certificate.*", "gateway.gap"]),
                1..4,
            )),
            prop::option::of(prop::collection::vec(1..=604_800_u64, 1..5)),
            prop::option::of(prop::collection::btree_map("[a-z]{1,9}", ".{0,20}", 0..5)),
            prop::option::of(prop::collection::vec("[A-Z]{2}-[A-Z]{2}", 0..4)),
            prop::option::of(1..=1024_u32),
            (any::<[bool; 3]>(), prop::option::of("[1-9][0-9]{0,2}/[smh]")),
            prop::option::of(prop::collection::btree_map("x-[a-z]{1,9}", "[!-~]{4,20}", 0..5)),
        )
            .prop_map(|(uid, types, waits, metadata, jurisdictions, max_in_flight, rest, headers)| {
                let ([disabled, thin, cloud], rate_limit) = rest;
                let retry = waits.map(|waits| waits.iter().map(|wait| format!("{wait}s")).collect::<Vec<_>>());
                json!({
                    "url": "https://a.example/?token=x", "uid": uid, "types": types, "retry": retry,
                    "metadata": metadata, "filter": {"jurisdictions": jurisdictions}, "max_in_flight": max_in_flight,
                    "status": if disabled { "disabled" } else { "enabled" },
                    "payload": if thin { "thin" } else { "full" },
                    "format": if cloud { "cloudevents" } else { "standard" },
                    "headers": headers, "rate_limit": rate_limit,
                })
            })
    }

    proptest! {
        #[test]
        fn no_json_makes_the_reader_panic(given in any_json()) {
            let _ = register(&given);
            let endpoint = register(&json!({"url": "https://a.example/"})).expect("it is right");
            let _ = patched(&endpoint, given);
        }

        #[test]
        fn settings_read_back_as_they_were_written(given in some_settings()) {
            let endpoint = register(&given).expect("these settings are right");
            prop_assert_eq!(patched(&endpoint, json!({})), Some(endpoint.clone()));
            let whole = Value::Object(written(&endpoint));
            prop_assert_eq!(register(&whole), Some(endpoint));
        }
    }

    #[test]
    fn an_endpoint_that_was_gone_stays_so_until_it_is_enabled() {
        let mut endpoint = register(&json!({"url": "https://a.example/", "status": "disabled"})).expect("it is right");
        endpoint.disabled_reason = Some(DisabledReason::Gone);
        for patch in [json!({}), json!({"status": "disabled"}), json!({"description": "x"})] {
            let after = patched(&endpoint, patch).expect("a patch");
            assert_eq!(after.disabled_reason, Some(DisabledReason::Gone));
        }
        let after = patched(&endpoint, json!({"status": "enabled"})).expect("a patch");
        assert_eq!((after.status, after.disabled_reason), (EndpointStatus::Enabled, None));
    }

    #[test]
    fn the_same_secret_again_leaves_the_older_ones_signing() {
        let mut endpoint = register(&json!({"url": "https://a.example/"})).expect("it is right");
        let older = SigningSecret { key: vec![8; 32].into(), expires_at: Some(Timestamp::from_millis(9)) };
        endpoint.secrets.push(older);
        let text = endpoint.secrets[0].to_text();
        let same = patched(&endpoint, json!({"secret": text.expose_secret()})).expect("a patch");
        assert_eq!(same, endpoint);
        let other = SigningSecret { key: vec![9; 32].into(), expires_at: None };
        let after = patched(&endpoint, json!({"secret": other.to_text().expose_secret()})).expect("a patch");
        assert_eq!(after.secrets, [other]);
    }
}
