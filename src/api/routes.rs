//! The whole API in one table, by the scope that a call needs: where each call is, who answers it, and what is said of it.

use std::any::Any;
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;

use super::error::{ApiError, ErrorKind};
use super::openapi::{self as say, Calls, Reference};
use super::state::{Api, Parts};
use super::{
    audit, auth, backup, bounds, changes, deliveries, endpoints, event_types, events, exemptions, health, keys,
    metrics, openapi, removals, replays, request_id, resources, sources, upstream,
};
use crate::model::key::Scope;
use crate::telemetry::meters::Requests;

/// Everything that our API answers. Calls below `/v1` need a key, also those that do not exist; metrics
/// need one unless configuration says otherwise.
pub fn router(parts: Parts) -> Router {
    let api = Arc::new(Api::from(parts));
    let public = if api.metrics.is_public { metrics() } else { Calls::default() };
    let reading = if api.metrics.is_public { reading() } else { reading().merge(metrics()) };
    let (with_key, mut said) = reading
        .open_to(Scope::Read)
        .merge(endpoints().open_to(Scope::Endpoints))
        .merge(replaying().open_to(Scope::Replay))
        .merge(documents().open_to(Scope::Documents))
        .merge(at_the_vendor().open_to(Scope::Upstream))
        .merge(administration().open_to(Scope::Admin))
        .into_parts();
    let with_key = with_key
        .route("/v1/{*rest}", any(no_such_route))
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), changes::carry_out))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), auth::require_key));
    let (open, said_of_open) = open_to_all().merge(public).into_parts();
    said.extend(said_of_open);
    let reference = Arc::new(Reference::new(said, Arc::clone(&api.catalogue)));

    let requests = api.metrics.requests.clone();
    open.merge(with_key)
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(Extension(reference))
        .layer(middleware::from_fn(bounds::keep))
        .layer(CatchPanicLayer::custom(move |_: Box<dyn Any + Send>| panicked(&requests)))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), metrics::measure))
        .layer(middleware::from_fn(request_id::name_request))
        .with_state(api)
}

fn open_to_all() -> Calls {
    Calls::default()
        .get("/healthz", health::alive, say::gateway::alive)
        .get("/readyz", health::ready, say::gateway::ready)
        .get("/openapi.json", openapi::json, say::gateway::json)
        .get("/docs", openapi::docs, say::gateway::docs)
}

fn metrics() -> Calls {
    Calls::default().get("/metrics", metrics::show, say::gateway::metrics)
}

fn reading() -> Calls {
    Calls::default()
        .get("/v1/endpoints", endpoints::list, say::endpoints::list)
        .get("/v1/endpoints/{name}", endpoints::show, say::endpoints::show)
        .get("/v1/replays", replays::list, say::replays::list)
        .get("/v1/replays/{id}", replays::show, say::replays::show)
        .get("/v1/events", events::list, say::events::list)
        .get("/v1/events/stream", events::stream, say::events::stream)
        .get("/v1/events/{id}", events::show, say::events::show)
        .get("/v1/events/{id}/deliveries", events::deliveries, say::events::deliveries)
        .get("/v1/event-types", event_types::list, say::events::types_listed)
        .get("/v1/event-types/{name}", event_types::show, say::events::type_shown)
        .get("/v1/deliveries", deliveries::list, say::deliveries::list)
        .get("/v1/deliveries/{id}", deliveries::show, say::deliveries::show)
        .get("/v1/certificates", resources::certificates, say::resources::certificates)
        .get("/v1/certificates/{id}", resources::certificate, say::resources::certificate)
        .get("/v1/certificate-requests", resources::requests, say::resources::requests)
        .get("/v1/certificate-requests/{id}", resources::request, say::resources::request)
        .get("/v1/exemptions", exemptions::show, say::resources::exemption)
        .get("/v1/sources", sources::list, say::sources::list)
        .get("/v1/sources/{name}", sources::show, say::sources::show)
        .get("/v1/sources/{name}/passes", sources::passes, say::sources::passes)
        .get("/v1/sources/{name}/removals", removals::list, say::sources::removals)
}

fn endpoints() -> Calls {
    Calls::default()
        .post("/v1/endpoints", endpoints::create, say::endpoints::create)
        .put("/v1/endpoints/{name}", endpoints::upsert, say::endpoints::upsert)
        .patch("/v1/endpoints/{name}", endpoints::change, say::endpoints::change)
        .delete("/v1/endpoints/{name}", endpoints::delete, say::endpoints::delete)
        .get("/v1/endpoints/{name}/secret", endpoints::secret, say::endpoints::secret)
        .post("/v1/endpoints/{name}/secret/rotate", endpoints::rotate, say::endpoints::rotate)
        .post("/v1/endpoints/{name}/enable", endpoints::enable, say::endpoints::enable)
        .post("/v1/endpoints/{name}/disable", endpoints::disable, say::endpoints::disable)
        .post("/v1/endpoints/{name}/recover", endpoints::recover, say::endpoints::recover)
        .post("/v1/endpoints/{name}/test", endpoints::test, say::endpoints::test)
}

fn replaying() -> Calls {
    Calls::default()
        .post("/v1/endpoints/{name}/replay", replays::begin, say::replays::begin)
        .post("/v1/endpoints/{name}/resync", replays::resync, say::replays::resync)
        .delete("/v1/replays/{id}", replays::cancel, say::replays::cancel)
        .post("/v1/events/{id}/redeliver", deliveries::redeliver, say::deliveries::redeliver)
        .post("/v1/deliveries/{id}/retry", deliveries::retry, say::deliveries::retry)
        .post("/v1/deliveries/{id}/cancel", deliveries::cancel, say::deliveries::cancel)
}

fn documents() -> Calls {
    Calls::default().get("/v1/certificates/{id}/download", upstream::download, say::resources::download)
}

fn at_the_vendor() -> Calls {
    Calls::default()
        .post("/v1/certificate-requests/cancel", upstream::cancel_all, say::resources::cancel_all)
        .delete("/v1/certificate-requests/{id}", upstream::cancel, say::resources::cancel)
        .post("/v1/customers/{customer_id}/certificate-requests", upstream::trigger, say::resources::trigger)
}

fn administration() -> Calls {
    Calls::default()
        .post("/v1/sources/{name}/poll", sources::poll, say::sources::poll)
        .post("/v1/sources/{name}/pause", sources::pause, say::sources::pause)
        .post("/v1/sources/{name}/resume", sources::resume, say::sources::resume)
        .post("/v1/sources/{name}/removals", removals::decide, say::sources::decide)
        .get("/v1/keys", keys::list, say::access::keys)
        .post("/v1/keys", keys::create, say::access::create)
        .delete("/v1/keys/{id}", keys::delete, say::access::delete)
        .get("/v1/audit", audit::list, say::access::audit)
        .get("/v1/backup", backup::download, say::gateway::backup)
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
