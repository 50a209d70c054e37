//! All that the store holds, as a file.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::request::NoQuery;
use super::state::Api;

/// `GET /v1/backup`. An answer that breaks off is no backup, and has no end by which it could be taken for one.
pub(super) async fn download(State(api): State<Arc<Api>>, _: NoQuery) -> Result<Response, ApiError> {
    let now = api.clock.now();
    let backup = api.store.backup(now).await?;
    let pieces = futures_util::stream::unfold(Some(backup), |backup| async {
        let mut backup = backup?;
        match backup.next().await {
            Ok(piece) => Some((Ok(piece?), Some(backup))),
            Err(error) => {
                tracing::error!(%error, "api.backup_broken_off");
                Some((Err(error), None))
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"certhook-{}.backup\"", now.as_seconds())),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}
