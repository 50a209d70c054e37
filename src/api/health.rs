//! Whether this process is alive, and whether it can work.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::error::{ApiError, ErrorKind};
use super::request::NoQuery;
use super::state::Api;

/// Longer than a healthy store needs by far, and shorter than the patience of those who probe.
const CHECK_WAIT_MAX: Duration = Duration::from_secs(5);

/// How it stands.
#[derive(Serialize, JsonSchema)]
#[schemars(example = serde_json::json!({"status": "ok"}))]
pub(super) struct Standing {
    /// In a word: `ok` (the process answers) or `ready` (the store can be read and written).
    #[schemars(extend("enum" = ["ok", "ready"]))]
    status: &'static str,
}

/// `GET /healthz`: the process answers.
pub(super) async fn alive(_: NoQuery) -> Json<Standing> {
    Json(Standing { status: "ok" })
}

/// `GET /readyz`: the store can be read and written. Says nothing about sources.
pub(super) async fn ready(State(api): State<Arc<Api>>, _: NoQuery) -> Result<Json<Standing>, ApiError> {
    match tokio::time::timeout(CHECK_WAIT_MAX, api.store.check()).await {
        Ok(Ok(())) => Ok(Json(Standing { status: "ready" })),
        Ok(Err(error)) => {
            tracing::error!(%error, "api.not_ready");
            Err(not_ready())
        }
        Err(_) => {
            tracing::error!(waited_s = CHECK_WAIT_MAX.as_secs(), "api.not_ready");
            Err(not_ready())
        }
    }
}

fn not_ready() -> ApiError {
    ApiError::new(ErrorKind::StoreUnavailable, "the store cannot be read and written at the moment; try again later")
}
