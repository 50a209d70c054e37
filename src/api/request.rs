//! Requests, taken apart: the body, the query and the path, each with errors in our shape.

use std::fmt::Display;
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use tokio::time::timeout;

use super::error::{ApiError, ErrorKind};
use super::input::{Input, must_be};
use crate::model::json::Fields;

/// The largest body that is read. The largest sensible one, an endpoint with every list full, is half of it.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1024;

/// A body must be there within this time, so that half-sent ones do not hold connections until there is none left.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// The fields of a body that is a JSON object; an absent one is `{}`.
pub(super) struct Body(pub(super) Fields);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        let bytes = collect(body).await?;
        if bytes.is_empty() {
            return Ok(Self(Fields::new()));
        }
        check_media_type(&head.headers)?;
        parse(&bytes).map(Self)
    }
}

/// All of a body.
///
/// # Errors
/// If it is too large, which one that says its length is before any of it was sent; if it breaks off, or does not come.
pub(super) async fn collect(body: axum::body::Body) -> Result<Bytes, ApiError> {
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    match timeout(BODY_DEADLINE, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(of_body(ErrorKind::BodyIncomplete, "broke off")),
        Err(_) => {
            let message = format_args!("was not there within {} s", BODY_DEADLINE.as_secs());
            Err(of_body(ErrorKind::BodyIncomplete, message))
        }
    }
}

/// An error that is about the body as a whole.
fn of_body(kind: ErrorKind, message: impl Display) -> ApiError {
    ApiError::of_field("body", message).of_kind(kind)
}

fn too_large() -> ApiError {
    ApiError::new(ErrorKind::BodyTooLarge, format!("the body has more than {BODY_BYTES_MAX} bytes"))
}

/// A body without `content-type` is taken for JSON; one that says that it is something else is not, because what
/// `curl -d` calls a form is as often a real form.
fn check_media_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || essence.starts_with("application/") && essence.ends_with("+json");
    if is_json {
        return Ok(());
    }
    let message = "the body must be JSON: send the header content-type: application/json";
    Err(ApiError::new(ErrorKind::UnsupportedMediaType, message))
}

fn parse(bytes: &Bytes) -> Result<Fields, ApiError> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(of_body(ErrorKind::InvalidRequest, must_be("a JSON object", &other))),
        Err(error) => Err(of_body(ErrorKind::InvalidJson, format_args!("is not JSON: {error}"))),
    }
}

/// The parameters of a query, still to be taken.
pub(super) struct Query(pub(super) Input);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(Input::of_query(parts.uri.query().unwrap_or_default())))
    }
}

/// For calls that take no query parameters: any is an error.
pub(super) struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(input) = Query::from_request_parts(parts, state).await?;
        input.finish().map(|()| Self)
    }
}

/// For calls that take a body and know no field of it: any is an error.
pub(super) struct NoFields;

impl<S: Send + Sync> FromRequest<S> for NoFields {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Body(fields) = Body::from_request(request, state).await?;
        Input::of_body(fields).finish().map(|()| Self)
    }
}

/// The one variable segment of a path, decoded.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(_) => Err(ApiError::new(ErrorKind::RouteNotFound, "the path is not UTF-8")),
        }
    }
}
