//! Errors as callers see them: one shape, a status and a word for each kind, and nothing of our insides.

use std::fmt::Display;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::audit::Audited;
use super::commands::CallError;
use crate::store::StoreError;

mod kind;

pub(super) use kind::ErrorKind;

/// What is wrong with one field or query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Which one, with the place in it: `retry[1]`, `filter.jurisdictions[0]`.
    pub field: String,
    /// What would be right.
    pub message: String,
}

/// What is wrong with a request, collected so that its author hears of everything at once.
#[derive(Debug, Default)]
pub(super) struct Problems {
    errors: Vec<FieldError>,
    unrecognized: bool,
}

impl Problems {
    /// Notes that a field is wrong.
    pub(super) fn report(&mut self, field: impl Into<String>, message: impl Display) {
        self.errors.push(FieldError { field: field.into(), message: message.to_string() });
    }

    /// Notes that the call knows no such field.
    pub(super) fn unrecognized(&mut self, field: impl Into<String>, message: impl Display) {
        self.unrecognized = true;
        self.report(field, message);
    }

    /// Takes over what another part of the request was found to have.
    pub(super) fn absorb(&mut self, other: Self) {
        self.errors.extend(other.errors);
        self.unrecognized |= other.unrecognized;
    }

    /// Whether nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// Each of them.
    pub(super) fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }

    /// All of it as one error, or nothing.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        if self.is_empty() { Ok(()) } else { Err(self.into()) }
    }
}

impl From<Problems> for ApiError {
    /// The message speaks of the first problem, for those who read nothing else.
    fn from(problems: Problems) -> Self {
        let kind = if problems.unrecognized { ErrorKind::UnrecognizedField } else { ErrorKind::InvalidRequest };
        let mut message = match problems.errors.first() {
            Some(first) => format!("{}: {}", first.field, first.message),
            None => "the request cannot be used".into(),
        };
        if problems.errors.len() > 1 {
            message += &format!(" (and {} more)", problems.errors.len() - 1);
        }
        Self { errors: problems.errors, ..Self::new(kind, message) }
    }
}

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct ApiError {
    kind: ErrorKind,
    message: String,
    errors: Vec<FieldError>,
    /// What would be the earliest that is not too early.
    earliest: Option<Box<str>>,
    /// Upstream's status and word, where the error is its own.
    upstream: Option<Box<(StatusCode, String)>>,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// An error that is about no single field.
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), errors: Vec::new(), earliest: None, upstream: None, retry_after: None }
    }

    /// Whether it is of that kind.
    pub(super) fn is(&self, kind: ErrorKind) -> bool {
        self.kind == kind
    }

    /// The same error under another word.
    pub(super) fn of_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// The same error, with the earliest of its kind that would do.
    pub(super) fn with_earliest(self, earliest: impl Display) -> Self {
        Self { earliest: Some(earliest.to_string().into()), ..self }
    }

    /// The same error, with how long to wait before the next try.
    pub(super) fn with_retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// An error that is about one field.
    pub(super) fn of_field(field: &str, message: impl Display) -> Self {
        let mut problems = Problems::default();
        problems.report(field, message);
        problems.into()
    }

    /// Something went wrong here; what exactly is for the log.
    pub(super) fn internal() -> Self {
        Self::new(ErrorKind::Internal, "something went wrong in certhook; its log says more under this x-request-id")
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UidTaken(_) => Self::new(ErrorKind::UidTaken, error.to_string()),
            StoreError::Full => Self::new(ErrorKind::InsufficientStorage, error.to_string()),
            StoreError::TooLarge { .. } => Self::of_field("body", error),
            StoreError::NotListed => Self::new(ErrorKind::StoreUnavailable, format!("{error}; try again in a minute")),
            StoreError::BackupUnderWay => {
                Self::new(ErrorKind::BackupUnderWay, format!("{error}; wait until it is read to its end"))
            }
            StoreError::Open { .. } | StoreError::Closed | StoreError::BackupOvertaken => {
                tracing::error!(%error, "api.store_unavailable");
                Self::new(ErrorKind::StoreUnavailable, "the store cannot be used at the moment; try again later")
            }
            StoreError::Unreadable { .. } => {
                tracing::error!(%error, "api.store_failed");
                Self::internal()
            }
        }
    }
}

impl CallError {
    /// What to say where nothing but a question was put to upstream.
    pub(super) fn of_a_question(self) -> ApiError {
        self.told(ErrorKind::UpstreamUnavailable)
    }

    /// What to say where a change was asked for.
    pub(super) fn of_a_change(self) -> ApiError {
        match self {
            Self::Stopping => Self::NoAnswer("certhook is stopping".into()),
            other @ (Self::Refused { .. } | Self::Throttled(_) | Self::NoAnswer(_) | Self::Store(_)) => other,
        }
        .told(ErrorKind::UpstreamOutcomeUnknown)
    }

    /// `unanswered`: what it means that there is no answer.
    fn told(self, unanswered: ErrorKind) -> ApiError {
        match self {
            Self::Refused { status, kind, message } => {
                let error = ApiError::new(ErrorKind::UpstreamRefused, message);
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
                if status.is_redirection() {
                    // Our caller must not take it for ours.
                    return error;
                }
                // A 401 would tell our caller that our own key is wrong; it is the one that we have for upstream. And what
                // is no error's status says nothing of an error.
                let is_told =
                    (status.is_client_error() || status.is_server_error()) && status != StatusCode::UNAUTHORIZED;
                let status = if is_told { status } else { StatusCode::BAD_GATEWAY };
                ApiError { upstream: Some(Box::new((status, kind))), ..error }
            }
            Self::Throttled(wait) => {
                let message = format!("upstream asks to be left alone for {} s; try again then", wait.as_secs());
                ApiError { retry_after: Some(wait), ..ApiError::new(ErrorKind::UpstreamThrottled, message) }
            }
            Self::NoAnswer(why) => ApiError::new(unanswered, why),
            Self::Stopping => ApiError::new(ErrorKind::Stopping, "certhook is stopping; try again"),
            Self::Store(error) => error.into(),
        }
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: u16,
    r#type: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest: Option<&'a str>,
}

impl ApiError {
    fn status_and_word(&self) -> (StatusCode, &str) {
        match self.upstream.as_deref() {
            Some((status, word)) => (*status, word.as_str()),
            None => self.kind.status_and_word(),
        }
    }

    /// What the answer's body says.
    pub(super) fn body(&self) -> Value {
        let (status, word) = self.status_and_word();
        json!(ErrorBody {
            code: status.as_u16(),
            r#type: word,
            message: &self.message,
            errors: &self.errors,
            earliest: self.earliest.as_deref(),
        })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, _) = self.status_and_word();
        let mut response = (status, Json(self.body())).into_response();
        if self.is(ErrorKind::UpstreamOutcomeUnknown) {
            response.extensions_mut().insert(Audited::Unknown);
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        if let Some(challenge) = challenge(self.kind) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// What a 401 has to carry, and a 403 for want of a scope may. RFC 6750, section 3.1: no error code where no key was sent.
const CHALLENGES: [(ErrorKind, &str); 3] = [
    (ErrorKind::MissingKey, r#"Bearer realm="certhook""#),
    (ErrorKind::WrongKey, r#"Bearer realm="certhook", error="invalid_token""#),
    (ErrorKind::ScopeMissing, r#"Bearer realm="certhook", error="insufficient_scope""#),
];

fn challenge(kind: ErrorKind) -> Option<HeaderValue> {
    let (_, challenge) = CHALLENGES.iter().find(|(of, _)| *of == kind)?;
    Some(HeaderValue::from_static(challenge))
}
