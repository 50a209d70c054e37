//! The audit log: every change that was made through this API, by whom, from where, before and after.
//!
//! An entry is durable before the caller hears that the change was made. What failed, what only would have been done
//! (`dry_run`), and what changed nothing is not in it; a secret never is. What upstream was asked for and did not answer
//! may have been done, and is.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::Extensions;
use axum::response::{IntoResponseParts, Response, ResponseParts};
use http_body_util::BodyExt;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::auth::Caller;
use super::error::{ApiError, ErrorKind};
use super::openapi::examples;
use super::page::{List, Order, Page, PageQuery};
use super::request::Query;
use super::request_id::RequestId;
use super::state::Api;
use crate::model::audit::AuditEntry;
use crate::model::endpoint::Endpoint;
use crate::model::id::{AuditId, KeyId};
use crate::model::json::Json as JsonText;
use crate::model::time::Timestamp;
use crate::store::AuditQuery;

/// How long an entry is kept: a year of operations, for those who are asked about one.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// So many are kept at most, the newest: some 300 MB.
pub(super) const ENTRIES_MAX: u64 = 200_000;

/// What is before and after a change has at most so many bytes together, so that it is written at once with ease.
const STATES_BYTES_MAX: usize = 64 * 1024;

/// Where it has more, fields above these sizes are left out, the largest first.
const FIELD_BYTES_MAX: [usize; 4] = [16 * 1024, 4 * 1024, 1024, 128];

/// What an answer may hold that is not for the log: secrets, and what receivers answered.
const NOT_FOR_THE_LOG: [&str; 4] = ["secret", "key", "attempts", "response_body"];

/// What a handler knows better than its answer tells: goes with the answer.
#[derive(Clone, Debug)]
pub(super) enum Audited {
    /// Nothing was changed.
    Nothing,
    /// What it was before; what it is after is what is answered.
    Before(Value),
    /// What it was about, by its id and by the caller's own name for it; what it is after is what is answered.
    About(String, Option<String>),
    /// What it was before and what it is after, each as the API shows it.
    States(Option<Value>, Option<Value>),
    /// Whether anything was changed is not known.
    Unknown,
}

impl Audited {
    /// What it was before.
    pub(super) fn before<T: Serialize>(before: &T) -> Self {
        Self::Before(json!(before))
    }

    /// Something that an endpoint was asked for, however the path calls it.
    pub(super) fn about(endpoint: &Endpoint) -> Self {
        Self::About(endpoint.id.to_string(), endpoint.uid.clone())
    }

    /// What it was before, and what it is after, which differs if only in what is not shown.
    pub(super) fn change<T: Serialize>(before: &T, after: &T) -> Self {
        Self::States(Some(json!(before)), Some(json!(after)))
    }

    /// What it was before it was deleted.
    pub(super) fn deleted<T: Serialize>(before: &T) -> Self {
        Self::States(Some(json!(before)), None)
    }

    /// What it was before, if that can be shown, and what it is after; the same means that nothing was changed.
    pub(super) fn states<T: Serialize>(before: Option<&T>, after: &T) -> Self {
        let (before, after) = (before.map(|before| json!(before)), Some(json!(after)));
        if before == after { Self::Nothing } else { Self::States(before, after) }
    }
}

impl IntoResponseParts for Audited {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

/// Who asks for what, as far as a request tells.
pub(super) struct Scene {
    caller: Caller,
    operation: String,
    /// What the path calls it.
    named: Option<String>,
    request_id: String,
}

impl Scene {
    /// What a request tells; and the request.
    ///
    /// # Errors
    /// If there is no room for an entry: then nothing must be changed.
    pub(super) async fn of(request: Request, api: &Api) -> Result<(Self, Request), ApiError> {
        if !api.store.space().borrow().can_be_written() {
            let message = "the disk is almost full, and nothing can be changed; make room on the store's file system";
            return Err(ApiError::new(ErrorKind::InsufficientStorage, message));
        }
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, &()).await?;
        let request_id = RequestId::from_request_parts(&mut parts, &()).await?.as_str().to_owned();
        let path = parts.extensions.get::<MatchedPath>().map_or(parts.uri.path(), MatchedPath::as_str);
        let operation = format!("{} {path}", parts.method);
        let named = match RawPathParams::from_request_parts(&mut parts, &()).await {
            Ok(params) => params.iter().last().map(|(_, value)| value.to_owned()),
            Err(_) => None,
        };
        Ok((Self { caller, operation, named, request_id }, Request::from_parts(parts, body)))
    }
}

/// Writes down what an answer tells, and only then gives the answer.
///
/// # Errors
/// If it cannot be written down: the change is made all the same, and the error says so.
pub(super) async fn record(api: &Api, scene: &Scene, answer: Response) -> Result<Response, ApiError> {
    let is_unknown = matches!(answer.extensions().get(), Some(Audited::Unknown));
    if !(answer.status().is_success() || is_unknown) {
        return Ok(answer);
    }
    let (mut parts, body) = answer.into_parts();
    let bytes = body.collect().await.map_err(|_| ApiError::internal())?.to_bytes();
    if let Some(entry) = entry_of(scene, &mut parts.extensions, &bytes, api.clock.now()) {
        let (operation, request_id) = (entry.operation.clone(), entry.request_id.clone());
        if let Err(error) = api.store.audit(entry).await {
            tracing::error!(%error, operation, request_id, "api.change_not_recorded");
            if is_unknown {
                // Which says already that one must look.
                return Ok(Response::from_parts(parts, Body::from(bytes)));
            }
            let message = "it was done, but could not be written into the audit log; look before you do it again";
            return Err(ApiError::new(ErrorKind::ChangeNotRecorded, message));
        }
    }
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

/// The entry about what an answer tells, with what its handler knows better; `None` if nothing was changed.
pub(super) fn entry_of(
    scene: &Scene,
    extensions: &mut Extensions,
    answered: &[u8],
    now: Timestamp,
) -> Option<AuditEntry> {
    told(extensions, answered).map(|told| entry(scene, told, now))
}

/// What a handler and its answer tell of a change.
#[derive(Default)]
struct Told {
    /// What it was about, where neither state says so: its id, and the caller's own name for it.
    about: (Option<String>, Option<String>),
    before: Option<Value>,
    after: Option<Value>,
}

/// What is told of a change; `None` if nothing was changed.
fn told(extensions: &mut Extensions, answered: &[u8]) -> Option<Told> {
    let answered = || {
        let mut answered: Value = serde_json::from_slice(answered).unwrap_or_default();
        if let Value::Object(fields) = &mut answered {
            NOT_FOR_THE_LOG.iter().for_each(|name| drop(fields.shift_remove(*name)));
        }
        Some(answered)
    };
    match extensions.remove::<Audited>() {
        Some(Audited::Nothing) => None,
        Some(Audited::Unknown) => Some(Told::default()),
        Some(Audited::Before(before)) => {
            let (before, after) = (Some(before), answered());
            (before != after).then_some(Told { before, after, ..Told::default() })
        }
        Some(Audited::About(id, uid)) => Some(Told { about: (Some(id), uid), before: None, after: answered() }),
        Some(Audited::States(before, after)) => Some(Told { before, after, ..Told::default() }),
        None => Some(Told { after: answered(), ..Told::default() }),
    }
}

fn entry(scene: &Scene, told: Told, now: Timestamp) -> AuditEntry {
    let Scene { caller, operation, named, request_id } = scene;
    let Told { about: (id, uid), before, after } = told;
    let text = |state: &Option<Value>, name: &str| state.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let resource_id = id.or_else(|| text(&before, "id")).or_else(|| named.clone()).or_else(|| text(&after, "id"));
    // As it is called from now on; of what is not called so any more, as it was called.
    let resource_uid = uid.or_else(|| text(&after, "uid")).or_else(|| text(&before, "uid"));
    let (before, after, omitted) = fitting(before, after);
    AuditEntry {
        // The store gives the number.
        id: AuditId { at: now, number: 0 },
        key_id: caller.id,
        key_name: caller.name.clone(),
        address: caller.address,
        operation: operation.clone(),
        resource_id,
        resource_uid,
        before,
        after,
        omitted,
        request_id: request_id.clone(),
    }
}

/// Both without what is too large, and the names of what was left out.
fn fitting(mut before: Option<Value>, mut after: Option<Value>) -> (Option<JsonText>, Option<JsonText>, Vec<String>) {
    let size = |state: &Option<Value>| state.as_ref().map_or(0, |state| state.to_string().len());
    let mut omitted = Vec::new();
    for bytes_max in FIELD_BYTES_MAX {
        if size(&before) + size(&after) <= STATES_BYTES_MAX {
            break;
        }
        let fields = [&before, &after].into_iter().flatten().filter_map(Value::as_object).flatten();
        let large = fields.filter(|(_, value)| value.to_string().len() > bytes_max);
        let mut large: Vec<String> = large.map(|(name, _)| name.clone()).collect();
        for state in [&mut before, &mut after].into_iter().flatten().filter_map(Value::as_object_mut) {
            state.retain(|name, _| !large.contains(name));
        }
        omitted.append(&mut large);
    }
    omitted.sort_unstable();
    omitted.dedup();
    (before.as_ref().map(JsonText::of), after.as_ref().map(JsonText::of), omitted)
}

/// An entry, as the API shows it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry", example = examples::audit_entry())]
pub(super) struct EntryView {
    /// Names it.
    id: AuditId,
    /// The word for it.
    #[schemars(extend("const" = "audit_entry"))]
    object: &'static str,
    /// When the change was made.
    at: Timestamp,
    /// The key that was used.
    key: KeyView,
    /// Where the call came from: an IPv4 or IPv6 address.
    #[schemars(with = "Option<String>")]
    address: Option<IpAddr>,
    /// The method and the route of the call.
    operation: String,
    /// What was changed or asked for something, by its id; what has none, by its name.
    resource_id: Option<String>,
    /// The `uid` of an endpoint that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    resource_uid: Option<String>,
    /// What it was, as the API shows it; null if there was nothing, or nothing that could be shown.
    before: Option<JsonText>,
    /// What it is, as the API shows it; null if nothing is left. Both are null if it is not known whether it was changed.
    after: Option<JsonText>,
    /// The fields that were left out of both because they are too large.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    omitted: Vec<String>,
    /// The call's `x-request-id`.
    request_id: String,
}

/// The key that was used.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditKey")]
struct KeyView {
    /// Names it; null: the root key.
    id: Option<KeyId>,
    /// Its name at that time.
    name: String,
}

impl From<AuditEntry> for EntryView {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            object: "audit_entry",
            at: entry.id.at,
            key: KeyView { id: entry.key_id, name: entry.key_name },
            address: entry.address,
            operation: entry.operation,
            resource_id: entry.resource_id,
            resource_uid: entry.resource_uid,
            before: entry.before,
            after: entry.after,
            omitted: entry.omitted,
            request_id: entry.request_id,
        }
    }
}

/// `GET /v1/audit`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Query(mut input): Query,
) -> Result<Json<Page<EntryView>>, ApiError> {
    let page = PageQuery::<AuditId>::take(&mut input, List::Audit);
    let query = AuditQuery {
        since: input.parsed("since"),
        until: input.parsed("until"),
        after: page.after,
        ascending: page.order == Order::OldestFirst,
        limit: page.limit + 1,
    };
    input.finish()?;
    let entries = api.store.audited(query).await?;
    Ok(Json(page.answer_with_one_more(entries, |entry| entry.id).map(EntryView::from)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json::Fields;

    #[test]
    fn what_is_too_large_is_left_out_and_named() {
        let state = |size: usize| Some(json!({"id": "ep_1", "small": "s", "large": "l".repeat(size), "list": ["x"]}));
        let (before, after, omitted) = fitting(state(60_000), state(60_001));
        assert_eq!(omitted, ["large"]);
        assert_eq!(before, after);
        assert_eq!(before.expect("a state").text(), r#"{"id":"ep_1","small":"s","list":["x"]}"#);
        let (before, _, omitted) = fitting(state(10), state(60_000));
        assert!(omitted.is_empty() && before.expect("a state").text().contains("llll"), "what fits is kept");
        let many: Fields = (0..2_000).map(|number| (format!("f{number}"), json!("x".repeat(200)))).collect();
        let (before, after, omitted) = fitting(Some(Value::Object(many)), None);
        assert_eq!((before.expect("a state").text(), after, omitted.len()), ("{}", None, 2_000));
    }
}
