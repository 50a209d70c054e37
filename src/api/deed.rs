//! Changes and what tells of them as one act: a handler that changes rows of ours prepares its answer first, and commits
//! its change together with the answer and the entry of the audit log. So a process that is killed leaves all of it or
//! nothing, and who hears nothing can ask again with the same idempotency key.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;

use super::audit::{self, Scene};
use super::error::ApiError;
use super::idempotency::{self, Keeping};
use super::state::Api;
use crate::store::{Deed, StoreError};

/// Says of an answer that what tells of it is durable already.
#[derive(Clone, Copy, Debug)]
struct Committed;

/// Whether what tells of an answer is durable already.
pub(super) fn is_committed(answer: &Response) -> bool {
    answer.extensions().get::<Committed>().is_some()
}

/// A change under way: who asks for it, and the name that its answer is kept under, if it is.
pub(super) struct Change {
    scene: Arc<Scene>,
    keeping: Option<Keeping>,
}

impl<S: Send + Sync> FromRequestParts<S> for Change {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let scene = parts.extensions.get().cloned().ok_or_else(ApiError::internal)?;
        Ok(Self { scene, keeping: parts.extensions.get().copied() })
    }
}

impl Change {
    /// What is answered once the change is made, ready to be committed with it. [`audit::Audited`] may go with it.
    pub(super) async fn prepare(&self, api: &Api, answer: impl IntoResponse) -> Result<Prepared, ApiError> {
        let (mut head, body) = answer.into_response().into_parts();
        let body = body.collect().await.map_err(|_| ApiError::internal())?.to_bytes();
        let now = api.clock.now();
        let entry = audit::entry_of(&self.scene, &mut head.extensions, &body, now);
        let answer = self
            .keeping
            .map(|Keeping { name, asked }| (name, idempotency::answer(asked, head.status, &head.headers, &body, now)));
        let Ok(body) = String::from_utf8(body.into()) else { return Err(ApiError::internal()) };
        Ok(Prepared { status: head.status, headers: head.headers, body, deed: Deed { entry, answer } })
    }
}

/// An answer that is given once what it tells is durable.
pub(super) struct Prepared {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    deed: Deed,
}

impl Prepared {
    /// Commits the change with what tells of it. Where that is more than one act can hold, the answer's body is not
    /// kept, and who asks again hears that it was done.
    pub(super) async fn commit<T, F>(&self, act: impl Fn(Deed) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        match act(self.deed.clone()).await {
            Err(StoreError::TooLarge { .. }) if self.deed.answer.is_some() => {
                act(self.deed.clone().without_body()).await
            }
            result => result,
        }
    }

    /// The answer, now that all of it is durable.
    pub(super) fn done(self) -> Response {
        let mut answer = (self.status, self.headers, Body::from(self.body)).into_response();
        answer.extensions_mut().insert(Committed);
        answer
    }

    /// The answer about something new, which has the id `to` where it was prepared with `from`.
    pub(super) fn done_as(mut self, from: &impl ToString, to: &impl ToString) -> Response {
        let (from, to) = (from.to_string(), to.to_string());
        self.body = self.body.replace(&from, &to);
        for value in self.headers.values_mut() {
            if let Some(renamed) =
                value.to_str().ok().and_then(|text| HeaderValue::from_str(&text.replace(&from, &to)).ok())
            {
                *value = renamed;
            }
        }
        self.done()
    }
}
