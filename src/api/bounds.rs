//! What bounds every call: how long its path may be, and how long it may take.

use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;

use super::error::{ApiError, ErrorKind};

/// Longer than a query with every parameter, and what most proxies take at most. Beyond 64 KiB, the server answers by
/// itself, with 414 and no body.
const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Far longer than anything of our own takes.
const DEADLINE: Duration = Duration::from_secs(30);

/// Calls that wait for somebody else: for events, for a receiver, or for upstream. They have deadlines of their own.
const WAITING: [&str; 8] = [
    "/v1/events",
    "/v1/events/stream",
    "/v1/endpoints/{name}/test",
    "/v1/certificates/{id}",
    "/v1/certificates/{id}/download",
    "/v1/certificate-requests/{id}",
    "/v1/certificate-requests/cancel",
    "/v1/customers/{customer_id}/certificate-requests",
];

/// Lets a call through and waits for it, for a while.
pub(super) async fn keep(request: Request, next: Next) -> Result<Response, ApiError> {
    let length = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if length > TARGET_BYTES_MAX {
        let message = format!("path and query have {length} bytes; they may have {TARGET_BYTES_MAX}");
        return Err(ApiError::new(ErrorKind::UriTooLong, message));
    }
    let waits = request.extensions().get::<MatchedPath>().is_some_and(|path| WAITING.contains(&path.as_str()));
    if waits {
        return Ok(next.run(request).await);
    }
    tokio::time::timeout(DEADLINE, next.run(request)).await.map_err(|_| {
        let seconds = DEADLINE.as_secs();
        tracing::warn!(seconds, "api.took_too_long");
        let message = format!(
            "there is no answer within {seconds} s; a change may yet be made: look, or ask again with the same \
             idempotency key"
        );
        ApiError::new(ErrorKind::TookTooLong, message)
    })
}
