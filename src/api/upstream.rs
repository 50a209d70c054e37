//! Calls that are passed upstream: canceling and triggering certificate requests, and documents.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;

use super::audit::Audited;
use super::commands::Document;
use super::error::{ApiError, ErrorKind, Problems};
use super::input::Input;
use super::openapi::{ErrorBody, examples};
use super::request::{Body, Named, NoFields, NoQuery, Query};
use super::request_id::RequestId;
use super::resources::asked::{FLAGS, customer, sources};
use super::resources::{Wanted, show_now};
use super::state::Api;
use crate::model::criteria::Criteria;
use crate::model::json::Fields;
use crate::model::resource::{Kind, ResourceId, SourceName};
use crate::model::time::Timestamp;
use crate::store::SnapshotQuery;

/// So many requests are canceled in one call: at the usual pace that takes less than half a minute.
const CANCELED_MAX: usize = 100;

const REQUEST: Kind = Kind::CertificateRequest;

/// `DELETE /v1/certificate-requests/{id}`.
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    request_id: RequestId,
    Query(mut input): Query,
    _: NoFields,
) -> Result<(Audited, Json<Fields>), ApiError> {
    let sources = sources(&mut input, &api);
    input.finish()?;
    let wanted = Wanted::of(REQUEST, &name)?;
    let source = wanted.holder(&api, &sources).await?;
    let before = show_now(&api, &source, REQUEST, &wanted.id).await?;
    cancel_one(&api, &source, &wanted.id, &request_id).await?;
    let after = changed(&api, &source, &wanted.id).await?;
    Ok((Audited::states(before.as_ref().map(|before| &before.0), &after.0), after))
}

/// A request as it is after a change that upstream has made.
async fn changed(api: &Api, source: &SourceName, id: &ResourceId) -> Result<Json<Fields>, ApiError> {
    show_now(api, source, REQUEST, id).await?.ok_or_else(|| {
        let message = format!("upstream has done it, and what became of {id} could not be read; the next pass tells");
        ApiError::new(ErrorKind::UpstreamOutcomeUnknown, message)
    })
}

async fn cancel_one(api: &Api, source: &SourceName, id: &ResourceId, request_id: &RequestId) -> Result<(), ApiError> {
    let canceled = api.upstream.cancel(source, id, request_id.as_str()).await;
    canceled.ok_or_else(ApiError::internal)?.map(drop).map_err(|error| error.of_a_change())
}

/// What came of canceling all that is pending for a customer.
#[derive(Serialize, JsonSchema)]
#[schemars(example = examples::cancellation())]
pub(super) struct Cancellation {
    /// The word for it.
    #[schemars(extend("const" = "cancellation"))]
    object: &'static str,
    /// Whether nothing was done.
    dry_run: bool,
    /// Those that are pending, at most so many as one call cancels.
    matched: usize,
    /// Whether there are more, for another call.
    has_more: bool,
    /// What came of each.
    data: Vec<Canceled>,
}

/// What came of one of them.
#[derive(Serialize, JsonSchema)]
struct Canceled {
    /// Its id.
    id: ResourceId,
    /// The source that holds it.
    source: SourceName,
    /// `pending` (it was not asked for, or refused), `canceled`, or `unknown` (upstream did not answer).
    #[schemars(extend("enum" = ["pending", "canceled", "unknown"]))]
    status: &'static str,
    /// Why it was refused or is unknown, as an error of this API; null if it is neither.
    #[schemars(with = "Option<ErrorBody>")]
    error: Option<Value>,
}

/// `POST /v1/certificate-requests/cancel`: all that a customer is still asked for, as far as it was seen. The first call
/// without an answer is the last one: each further one might take as long.
pub(super) async fn cancel_all(
    State(api): State<Arc<Api>>,
    request_id: RequestId,
    _: NoQuery,
    Body(fields): Body,
) -> Result<Response, ApiError> {
    let mut input = Input::of_body(fields);
    let sources = sources(&mut input, &api);
    if !input.has("customer_id") {
        input.report("customer_id", "is required");
    }
    let customer = customer(&mut input);
    let certificate_type_id = input.text("certificate_type_id");
    let dry_run = match input.take("dry_run") {
        None => false,
        Some(Value::Bool(dry_run)) => dry_run,
        Some(_) => {
            input.report("dry_run", "must be true or false");
            true
        }
    };
    input.finish()?;
    let whose = customer.as_ref().map_or_else(String::new, |customer| customer.as_str().to_owned());
    let query = SnapshotQuery {
        kind: REQUEST,
        sources: sources.into_iter().map(|source| source.name).collect(),
        criteria: Criteria { status: Some("pending"), customer, certificate_type_id, ..Criteria::default() },
        removed: false,
        after: None,
        ascending: true,
        limit: CANCELED_MAX,
    };
    let pending = api.store.listed(query).await?;
    let (mut data, mut is_silent) = (Vec::new(), false);
    for known in &pending.found {
        let (id, source) = (known.key.id.clone(), known.key.source.clone());
        let (status, error) = if dry_run || is_silent {
            ("pending", None)
        } else {
            match cancel_one(&api, &source, &id, &request_id).await {
                Ok(()) => ("canceled", None),
                Err(error) => {
                    is_silent = error.is(ErrorKind::UpstreamOutcomeUnknown);
                    (if is_silent { "unknown" } else { "pending" }, Some(error.body()))
                }
            }
        };
        data.push(Canceled { id, source, status, error });
    }
    let has_more = pending.next.is_some();
    let did_nothing = data.iter().all(|one| one.status == "pending");
    let audited = if did_nothing { Audited::Nothing } else { Audited::About(whose, None) };
    let answer = Json(Cancellation { object: "cancellation", dry_run, matched: data.len(), has_more, data });
    Ok((audited, answer).into_response())
}

/// `POST /v1/customers/{customer_id}/certificate-requests`: the body is passed on as it is.
pub(super) async fn trigger(
    State(api): State<Arc<Api>>,
    Named(customer): Named,
    request_id: RequestId,
    Query(mut input): Query,
    Body(fields): Body,
) -> Result<(StatusCode, Json<Fields>), ApiError> {
    let sources = sources(&mut input, &api);
    input.finish()?;
    let mut problems = Problems::default();
    let customer = customer.parse::<ResourceId>().map_err(|why| problems.report("customer_id", why)).ok();
    problems.finish()?;
    let (Some(customer), [source]) = (customer, sources.as_slice()) else {
        let message = "must be given: there is more than one source, and one of them has the customer";
        return Err(ApiError::of_field("source", message).of_kind(ErrorKind::SourceAmbiguous));
    };
    let opened = api.upstream.trigger(&source.name, &customer, fields, request_id.as_str()).await;
    let id = opened.ok_or_else(ApiError::internal)?.map_err(|error| error.of_a_change())?;
    Ok((StatusCode::CREATED, changed(&api, &source.name, &id).await?))
}

/// Where a document can be read.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DocumentLink", example = examples::link())]
pub(super) struct Link<'a> {
    /// Whoever has it can read the document.
    url: &'a str,
    /// Until when.
    expires_at: Timestamp,
}

/// `GET /v1/certificates/{id}/download`. The URL is in this answer and nowhere else.
pub(super) async fn download(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    Query(mut input): Query,
) -> Result<Response, ApiError> {
    let sources = sources(&mut input, &api);
    let redirect = input.choice("redirect", &FLAGS).unwrap_or(true);
    input.finish()?;
    let wanted = Wanted::of(Kind::Certificate, &name)?;
    let source = wanted.holder(&api, &sources).await?;
    let found = api.upstream.document(&source, &wanted.id).await.ok_or_else(ApiError::internal)?;
    let found = found.map_err(|error| error.of_a_question())?;
    let Document { url, expires_at } = found.ok_or_else(|| wanted.unknown())?;
    let Some(url) = url else {
        let message = "there is no document yet; certificate.document_available tells when there is";
        return Err(ApiError::new(ErrorKind::DocumentNotAvailable, message));
    };
    let url = url.expose_secret();
    let mut response = if redirect {
        let unusable = |_| ApiError::new(ErrorKind::UpstreamUnavailable, "upstream gave a URL that cannot be used");
        let mut location = HeaderValue::from_str(url).map_err(unusable)?;
        location.set_sensitive(true);
        (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
    } else {
        Json(Link { url, expires_at }).into_response()
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}
