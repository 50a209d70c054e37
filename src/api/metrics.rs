//! `GET /metrics`: what is measured, for Prometheus; and the measuring of our own calls.

use std::fmt;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::commands::Scrape;
use super::request::NoQuery;
use super::state::Api;
use crate::telemetry::meters::Requests;

/// What is measured.
pub struct Metrics {
    /// Who can tell it.
    pub scrape: Arc<dyn Scrape>,
    /// What our own calls measure.
    pub requests: Requests,
    /// Whether it is shown without a key.
    pub is_public: bool,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("is_public", &self.is_public).finish_non_exhaustive()
    }
}

/// `GET /metrics`.
pub(super) async fn show(State(api): State<Arc<Api>>, _: NoQuery) -> impl IntoResponse {
    let (content_type, text) = api.metrics.scrape.text().await;
    ([(header::CONTENT_TYPE, content_type)], text)
}

/// Measures a call until its answer begins.
pub(super) async fn measure(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let began = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map(MatchedPath::as_str);
    api.metrics.requests.ended(route, method.as_str(), response.status().as_u16(), began.elapsed());
    response
}
