//! One id for each request, taken from the caller if it is sane: in the answer and in every line of the log.

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use super::error::ApiError;
use crate::clock::random_bytes;
use crate::model::id::base62;

const HEADER: &str = "x-request-id";

/// Longer than any id in use, and short enough for every line of the log.
const LENGTH_MAX: usize = 128;

/// A request's id, for the calls that pass it on.
#[derive(Clone)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// Its text.
    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().cloned().ok_or_else(ApiError::internal)
    }
}

/// Names the request, and says in the log how it was answered.
pub(super) async fn name_request(mut request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(draw);
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = tracing::info_span!("api", request_id = id.to_str().unwrap_or_default());
    let answer = async move {
        let began = tokio::time::Instant::now();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = next.run(request).await;
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(%method, path, status = response.status().as_u16(), duration_ms, "api.answered");
        response
    };
    let mut response = answer.instrument(span).await;
    response.headers_mut().insert(HEADER, id);
    response
}

/// The caller's own id, unless it could break a log line or a header.
fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(HEADER)?;
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    let bytes = value.as_bytes();
    ((1..=LENGTH_MAX).contains(&bytes.len()) && bytes.iter().all(sane)).then(|| value.clone())
}

fn draw() -> HeaderValue {
    let id = format!("req_{}", base62(u128::from_le_bytes(random_bytes())));
    HeaderValue::from_str(&id).expect("letters and digits make a header value")
}
