//! `Idempotency-Key`: a POST that is repeated is done once, and answered the second time as the first.
//!
//! As the draft of the IETF has it (draft-ietf-httpapi-idempotency-key-header): the same key with another request is
//! 422, the same request while the first is under way 409. What is kept is what was answered, refusals included; but not
//! 403, 404, 405, 429 and 5xx, after which the same call may do better.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use super::auth::Caller;
use super::error::{ApiError, ErrorKind};
use super::request::collect;
use super::state::Api;
use crate::store::{AnswerName, KeptAnswer, StoreError};

const HEADER: &str = "idempotency-key";

/// Says that the call was answered before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Longer than anything that is drawn or derived for this.
const KEY_BYTES_MAX: usize = 255;

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// So many answers are kept at most: one every two seconds for the whole day.
const ANSWERS_MAX: u64 = 50_000;

/// A larger body is not kept. An endpoint with every list full has about as much.
const BODY_BYTES_MAX: usize = 128 * 1024;

/// The headers that belong to what is answered.
const KEPT_HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::CACHE_CONTROL];

/// Besides failures: answers that say that nothing was done, and may be others the next time.
const NOT_KEPT: [StatusCode; 4] =
    [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::TOO_MANY_REQUESTS];

/// How soon to ask again while the first call is under way.
const CONFLICT_WAIT: Duration = Duration::from_secs(1);

/// How soon there may be room for another answer: what has expired is removed once a minute.
const ROOM_WAIT: Duration = Duration::from_secs(60);

/// The idempotency key of a request, if it is a POST that has one.
///
/// # Errors
/// If it cannot be one.
pub(super) fn key(method: &Method, headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    if *method != Method::POST {
        return Ok(None);
    }
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ApiError::of_field(HEADER, "is given more than once"));
    }
    match value.to_str() {
        Ok(key) if (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Some(key.to_owned()))
        }
        Ok(_) | Err(_) => {
            let message = format!("must be 1 to {KEY_BYTES_MAX} visible ASCII characters, without spaces");
            Err(ApiError::of_field(HEADER, message))
        }
    }
}

/// Does what is asked for, unless it was done: then the answer is the one that was given.
pub(super) async fn once<F>(
    api: &Api,
    key: &str,
    request: Request,
    carry_out: impl FnOnce(Request) -> F,
) -> Result<Response, ApiError>
where
    F: Future<Output = Result<Response, ApiError>>,
{
    let (head, body) = request.into_parts();
    let body = collect(body).await?;
    let caller = head.extensions.get::<Caller>().ok_or_else(ApiError::internal)?;
    let caller = caller.id.map_or_else(String::new, |id| id.to_string());
    let name = AnswerName(digest(&[caller.as_str(), key]));
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let asked = digest(&[head.method.as_str().as_bytes(), target.as_bytes(), &body[..]]);
    let Some(_claim) = api.store.claim(name) else {
        let message = "a call with this idempotency key is under way; ask again in a moment";
        return Err(ApiError::new(ErrorKind::IdempotencyConflict, message).with_retry_after(CONFLICT_WAIT));
    };
    let known = api.store.kept_answer(name).await?;
    if let Some(kept) = known.filter(|kept| api.clock.now() < kept.expires_at) {
        return if kept.request == asked { repeated(kept) } else { Err(reused()) };
    }
    if api.store.answers_kept().await? >= ANSWERS_MAX {
        let message = format!("{ANSWERS_MAX} answers are kept already; ask again later, or without an idempotency key");
        return Err(ApiError::new(ErrorKind::TooManyIdempotencyKeys, message).with_retry_after(ROOM_WAIT));
    }
    let answer = carry_out(Request::from_parts(head, Body::from(body))).await;
    keep(api, name, asked, answer).await
}

/// A digest of parts, each with its length, so that no two lists of parts have the same.
fn digest<T: AsRef<[u8]>>(parts: &[T]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts.iter().map(AsRef::as_ref) {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

fn reused() -> ApiError {
    let message = "this idempotency key was used for another request within 24 hours; draw a new one for each";
    ApiError::new(ErrorKind::IdempotencyKeyReused, message)
}

/// An answer as it was given.
fn repeated(kept: KeptAnswer) -> Result<Response, ApiError> {
    let Some(body) = kept.body else {
        let message = "this was done, and its answer was too large to be kept; look at what became of it";
        return Err(ApiError::new(ErrorKind::IdempotencyConflict, message));
    };
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = StatusCode::from_u16(kept.status).map_err(|_| ApiError::internal())?;
    for (name, value) in kept.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else { continue };
        answer.headers_mut().insert(name, value);
    }
    answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(answer)
}

/// Keeps an answer, if it is one that would be given again.
async fn keep(
    api: &Api,
    name: AnswerName,
    asked: [u8; 32],
    answer: Result<Response, ApiError>,
) -> Result<Response, ApiError> {
    let answer = answer.into_response();
    let status = answer.status();
    if status.is_server_error() || NOT_KEPT.contains(&status) {
        return Ok(answer);
    }
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| ApiError::internal())?.to_bytes();
    let header = |name: &HeaderName| Some((name.to_string(), head.headers.get(name)?.to_str().ok()?.to_owned()));
    let kept = KeptAnswer {
        request: asked,
        status: status.as_u16(),
        headers: KEPT_HEADERS.iter().filter_map(header).collect(),
        body: (body.len() <= BODY_BYTES_MAX).then(|| body.to_vec()),
        expires_at: api.clock.now().plus(KEPT_FOR),
    };
    let result = match api.store.keep_answer(name, kept.clone()).await {
        Err(StoreError::TooLarge { .. }) => api.store.keep_answer(name, KeptAnswer { body: None, ..kept }).await,
        result => result,
    };
    if let Err(error) = result {
        // What was asked for is done, and its caller shall know; only a repetition would do it again.
        tracing::error!(%error, "api.answer_not_kept");
    }
    Ok(Response::from_parts(head, Body::from(body)))
}
