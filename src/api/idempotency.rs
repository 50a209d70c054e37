//! `Idempotency-Key`: a POST that is repeated is done once, and answered the second time as the first.
//!
//! As the draft of the IETF has it (draft-ietf-httpapi-idempotency-key-header): the same key with another request is
//! 422, the same request while the first is under way 409. What is kept is what was answered, refusals included; but not
//! 403, 404, 405, 409, 429 and 5xx, after which the same call may do better.
//!
//! A process that is killed in between leaves no second thing behind, either. What changes rows of ours is committed
//! together with its answer, so that where no answer is kept, nothing was done. What harms nobody if it is asked for again
//! is asked for again. Of anything else it is written down first that it was begun, and who asks again is told so.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use super::auth::Caller;
use super::deed;
use super::error::{ApiError, ErrorKind};
use super::request::collect;
use super::state::Api;
use crate::model::time::Timestamp;
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
const NOT_KEPT: [StatusCode; 5] = [
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::CONFLICT,
    StatusCode::TOO_MANY_REQUESTS,
];

/// Calls that may be carried out again where no answer to them is kept: their answer is committed together with what they
/// do, or what they ask for is the same the second time.
const MAY_BE_REPEATED: [&str; 12] = [
    "/v1/endpoints",
    "/v1/endpoints/{name}/secret/rotate",
    "/v1/endpoints/{name}/enable",
    "/v1/endpoints/{name}/disable",
    "/v1/endpoints/{name}/recover",
    "/v1/endpoints/{name}/test",
    "/v1/deliveries/{id}/cancel",
    "/v1/sources/{name}/poll",
    "/v1/sources/{name}/pause",
    "/v1/sources/{name}/resume",
    "/v1/sources/{name}/removals",
    "/v1/keys",
];

/// The status of an answer that is not there yet: all that is known is that the call was begun. No call is answered so.
const BEGUN: StatusCode = StatusCode::PROCESSING;

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
    let (mut head, body) = request.into_parts();
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
    let keeping = Keeping { name, asked };
    let path = head.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let is_marked = !MAY_BE_REPEATED.contains(&path);
    if is_marked {
        let begun = answer(asked, BEGUN, &HeaderMap::new(), &[], api.clock.now());
        api.store.keep_answer(name, begun).await?;
    }
    head.extensions.insert(keeping);
    let answered = carry_out(Request::from_parts(head, Body::from(body))).await;
    keep(api, keeping, is_marked, answered.into_response()).await
}

/// The name that an answer is kept under, and a digest of what was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    pub(super) name: AnswerName,
    pub(super) asked: [u8; 32],
}

/// An answer as it is kept.
pub(super) fn answer(
    asked: [u8; 32],
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> KeptAnswer {
    let header = |name: &HeaderName| Some((name.to_string(), headers.get(name)?.to_str().ok()?.to_owned()));
    KeptAnswer {
        request: asked,
        status: status.as_u16(),
        headers: KEPT_HEADERS.iter().filter_map(header).collect(),
        body: (body.len() <= BODY_BYTES_MAX).then(|| body.to_vec()),
        expires_at: now.plus(KEPT_FOR),
    }
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
    if kept.status == BEGUN.as_u16() {
        let message =
            "this was begun, and it is not known what became of it; look, and draw another key to do it again";
        return Err(ApiError::new(ErrorKind::IdempotencyConflict, message));
    }
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

/// Whether an answer leaves open if anything was done: something broke here, or upstream said nothing.
fn leaves_open(status: StatusCode) -> bool {
    [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::GATEWAY_TIMEOUT].contains(&status)
}

/// Keeps an answer, if it is one that would be given again and is not kept yet.
async fn keep(api: &Api, keeping: Keeping, is_marked: bool, answered: Response) -> Result<Response, ApiError> {
    let Keeping { name, asked } = keeping;
    let status = answered.status();
    let is_kept = !(status.is_server_error() || NOT_KEPT.contains(&status));
    if deed::is_committed(&answered) || !is_kept && (!is_marked || leaves_open(status)) {
        return Ok(answered);
    }
    let (head, body) = answered.into_parts();
    let body = body.collect().await.map_err(|_| ApiError::internal())?.to_bytes();
    let now = api.clock.now();
    let mut kept = answer(asked, status, &head.headers, &body, now);
    if !is_kept {
        // In the place of the mark: nothing was done, so that the same call may be carried out at once.
        kept = KeptAnswer { expires_at: now, ..kept };
    }
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
