//! The whole API in one table.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

use super::error::{ApiError, ErrorKind};
use super::state::{Api, Parts};
use super::{auth, deliveries, endpoints, events, health, request_id, sources};

/// Everything that our API answers. Calls below `/v1` need a key, also those that do not exist.
pub fn router(parts: Parts) -> Router {
    let api = Arc::new(Api::from(parts));

    let v1 = Router::new()
        .route("/endpoints", get(endpoints::list).post(endpoints::create))
        .route(
            "/endpoints/{name}",
            get(endpoints::show).put(endpoints::upsert).patch(endpoints::change).delete(endpoints::delete),
        )
        .route("/endpoints/{name}/secret", get(endpoints::secret))
        .route("/endpoints/{name}/enable", post(endpoints::enable))
        .route("/endpoints/{name}/disable", post(endpoints::disable))
        .route("/endpoints/{name}/test", post(endpoints::test))
        .route("/events", get(events::list))
        .route("/events/{id}", get(events::show))
        .route("/events/{id}/deliveries", get(deliveries::list_of_event))
        .route("/deliveries", get(deliveries::list))
        .route("/deliveries/{id}", get(deliveries::show))
        .route("/sources", get(sources::list))
        .route("/sources/{name}", get(sources::show))
        .route("/sources/{name}/poll", post(sources::poll))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), auth::require_key));

    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .nest("/v1", v1)
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(request_id::name_request))
        .with_state(api)
}

async fn no_such_route(request: Request) -> ApiError {
    ApiError::new(ErrorKind::RouteNotFound, format!("there is no {}", request.uri().path()))
}

/// The router adds `allow` to it.
async fn no_such_method(request: Request) -> ApiError {
    let message = format!("{} is not a method of this route; the allow header names those that are", request.method());
    ApiError::new(ErrorKind::MethodNotAllowed, message)
}

/// The panic's own text went to the standard error stream when it happened.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("api.panicked");
    ApiError::internal().into_response()
}
