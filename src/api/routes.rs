//! The whole API in one table, by the scope that a call needs.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post, put};
use tower_http::catch_panic::CatchPanicLayer;

use super::error::{ApiError, ErrorKind};
use super::state::{Api, Parts};
use super::{
    audit, auth, backup, bounds, changes, deliveries, endpoints, event_types, events, exemptions, health, keys, metrics,
    removals, replays, request_id, resources, sources, upstream,
};
use crate::model::key::Scope;
use crate::telemetry::meters::Requests;

/// Everything that our API answers. Calls below `/v1` need a key, also those that do not exist; metrics
/// need one unless configuration says otherwise.
pub fn router(parts: Parts) -> Router {
    let api = Arc::new(Api::from(parts));
    let public = if api.metrics.is_public { metrics() } else { Router::new() };
    let reading = if api.metrics.is_public { reading() } else { reading().merge(metrics()) };
    let with_key = open_to(Scope::Read, reading)
        .merge(open_to(Scope::Endpoints, endpoints()))
        .merge(open_to(Scope::Replay, replaying()))
        .merge(open_to(Scope::Documents, documents()))
        .merge(open_to(Scope::Upstream, at_the_vendor()))
        .merge(open_to(Scope::Admin, administration()))
        .route("/v1/{*rest}", any(no_such_route))
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), changes::carry_out))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), auth::require_key));

    let requests = api.metrics.requests.clone();
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .merge(public)
        .merge(with_key)
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn(bounds::keep))
        .layer(CatchPanicLayer::custom(move |_: Box<dyn Any + Send>| panicked(&requests)))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), metrics::measure))
        .layer(middleware::from_fn(request_id::name_request))
        .with_state(api)
}

type Routes = Router<Arc<Api>>;

/// The same calls, for those alone whose key has the scope.
fn open_to(scope: Scope, calls: Routes) -> Routes {
    calls.route_layer(middleware::from_fn_with_state(scope, auth::require_scope))
}

fn metrics() -> Routes {
    Router::new().route("/metrics", get(metrics::show))
}

fn reading() -> Routes {
    Router::new()
        .route("/v1/endpoints", get(endpoints::list))
        .route("/v1/endpoints/{name}", get(endpoints::show))
        .route("/v1/replays", get(replays::list))
        .route("/v1/replays/{id}", get(replays::show))
        .route("/v1/events", get(events::list))
        .route("/v1/events/stream", get(events::stream))
        .route("/v1/events/{id}", get(events::show))
        .route("/v1/events/{id}/deliveries", get(events::deliveries))
        .route("/v1/event-types", get(event_types::list))
        .route("/v1/event-types/{name}", get(event_types::show))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/{id}", get(deliveries::show))
        .route("/v1/certificates", get(resources::certificates))
        .route("/v1/certificates/{id}", get(resources::certificate))
        .route("/v1/certificate-requests", get(resources::requests))
        .route("/v1/certificate-requests/{id}", get(resources::request))
        .route("/v1/exemptions", get(exemptions::show))
        .route("/v1/sources", get(sources::list))
        .route("/v1/sources/{name}", get(sources::show))
        .route("/v1/sources/{name}/passes", get(sources::passes))
        .route("/v1/sources/{name}/removals", get(removals::list))
}

fn endpoints() -> Routes {
    Router::new()
        .route("/v1/endpoints", post(endpoints::create))
        .route("/v1/endpoints/{name}", put(endpoints::upsert).patch(endpoints::change).delete(endpoints::delete))
        .route("/v1/endpoints/{name}/secret", get(endpoints::secret))
        .route("/v1/endpoints/{name}/secret/rotate", post(endpoints::rotate))
        .route("/v1/endpoints/{name}/enable", post(endpoints::enable))
        .route("/v1/endpoints/{name}/disable", post(endpoints::disable))
        .route("/v1/endpoints/{name}/recover", post(endpoints::recover))
        .route("/v1/endpoints/{name}/test", post(endpoints::test))
}

fn replaying() -> Routes {
    Router::new()
        .route("/v1/endpoints/{name}/replay", post(replays::begin))
        .route("/v1/endpoints/{name}/resync", post(replays::resync))
        .route("/v1/replays/{id}", delete(replays::cancel))
        .route("/v1/events/{id}/redeliver", post(deliveries::redeliver))
        .route("/v1/deliveries/{id}/retry", post(deliveries::retry))
        .route("/v1/deliveries/{id}/cancel", post(deliveries::cancel))
}

fn documents() -> Routes {
    Router::new().route("/v1/certificates/{id}/download", get(upstream::download))
}

fn at_the_vendor() -> Routes {
    Router::new()
        .route("/v1/certificate-requests/cancel", post(upstream::cancel_all))
        .route("/v1/certificate-requests/{id}", delete(upstream::cancel))
        .route("/v1/customers/{customer_id}/certificate-requests", post(upstream::trigger))
}

fn administration() -> Routes {
    Router::new()
        .route("/v1/sources/{name}/poll", post(sources::poll))
        .route("/v1/sources/{name}/pause", post(sources::pause))
        .route("/v1/sources/{name}/resume", post(sources::resume))
        .route("/v1/sources/{name}/removals", post(removals::decide))
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{id}", delete(keys::delete))
        .route("/v1/audit", get(audit::list))
        .route("/v1/backup", get(backup::download))
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
fn panicked(requests: &Requests) -> Response {
    requests.panicked();
    tracing::error!("api.panicked");
    ApiError::internal().into_response()
}
