//! Around every call that changes something: it is carried out to its end, even if its caller hangs up; with an
//! idempotency key once; and it is in the audit log before its caller hears of it.
//!
//! What changes rows of ours is committed in one act with its entry and with the answer that is kept, see
//! [`super::deed`]. What is asked of others (a poll, a replay, a call upstream) is written down right after.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use super::error::{ApiError, ErrorKind};
use super::state::Api;
use super::{audit, deed, idempotency};

/// So many at a time; the next waits for a place. Whoever hangs up keeps his place until what he asked for is done.
pub(super) const CHANGES_MAX: usize = 256;

/// Carries out a call, in a task of its own if it changes something.
pub(super) async fn carry_out(State(api): State<Arc<Api>>, request: Request, next: Next) -> Result<Response, ApiError> {
    if !is_change(request.method()) {
        return Ok(next.run(request).await);
    }
    let key = idempotency::key(request.method(), request.headers())?;
    let place = Arc::clone(&api.change_places).acquire_owned().await.map_err(|_| ApiError::internal())?;
    let tasks = Arc::clone(&api.upkeep);
    let change = async move {
        let _place = place;
        match key {
            Some(key) => idempotency::once(&api, &key, request, |request| record(&api, request, next)).await,
            None => record(&api, request, next).await,
        }
    };
    match tasks.changes().spawn(change.in_current_span()).await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_canceled) => Err(ApiError::new(ErrorKind::Stopping, "certhook is stopping; try again")),
        },
    }
}

fn is_change(method: &Method) -> bool {
    !(method.is_safe() || *method == Method::OPTIONS)
}

async fn record(api: &Api, request: Request, next: Next) -> Result<Response, ApiError> {
    let (scene, mut request) = audit::Scene::of(request, api).await?;
    let scene = Arc::new(scene);
    request.extensions_mut().insert(Arc::clone(&scene));
    let answer = next.run(request).await;
    if deed::is_committed(&answer) { Ok(answer) } else { audit::record(api, &scene, answer).await }
}
