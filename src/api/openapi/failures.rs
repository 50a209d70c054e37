//! Errors as the document shows them: for each call those that it can give, and a table of all.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::operation::{JSON, Mounted, Operation};
use crate::api::error::ErrorKind;
use crate::model::json::Fields;

const WAIT: &str = "How many seconds to wait.";

/// What 400s are about, for example; others about a parameter.
const ABOUT: [(ErrorKind, &str); 4] = [
    (ErrorKind::InvalidJson, "body"),
    (ErrorKind::BodyIncomplete, "body"),
    (ErrorKind::SourceAmbiguous, "source"),
    (ErrorKind::RangeExpired, "since"),
];

/// What every error looks like.
pub(super) fn schema() -> Value {
    let words: Vec<Value> = told_apart().map(|kind| json!(kind.status_and_word().1)).collect();
    let field_error = json!({
        "type": "object", "required": ["field", "message"],
        "properties": {
            "field": {"type": "string", "description": "The field's path, such as `filter.sources[3]`."},
            "message": {"type": "string", "description": "What is wrong with it, and what would be right."},
        },
    });
    json!({
        "type": "object",
        "description": "What went wrong. Programs look at `type`, people read `message`.",
        "required": ["code", "type", "message"],
        "properties": {
            "code": {"type": "integer", "description": "The status of the answer.", "minimum": 400, "maximum": 599},
            "type": {
                "type": "string", "examples": words,
                "description": "The word for it. Upstream's own errors are passed on with upstream's words.",
            },
            "message": {"type": "string", "description": "What happened, and what to do."},
            "errors": {
                "type": "array", "items": field_error,
                "description": "On a 400 of ours, every field and parameter that is wrong; `body` stands for all of it.",
            },
            "earliest": {"type": "string", "description": "The earliest cursor or instant that would do, with an expiry."},
        },
    })
}

/// Every kind, but for those that nobody can tell apart.
fn told_apart() -> impl Iterator<Item = ErrorKind> {
    ErrorKind::ALL.iter().copied().filter(|kind| *kind != ErrorKind::WrongKey)
}

/// The table of all: type, status, meaning and remedy.
pub(super) fn table() -> Value {
    let row = |kind: ErrorKind| {
        let (status, word) = kind.status_and_word();
        json!({"type": word, "status": status.as_u16(), "meaning": kind.meaning(), "remedy": kind.remedy()})
    };
    told_apart().map(row).collect()
}

/// The answers to a call that fails, by status.
pub(super) fn answers(call: &Mounted, operation: &Operation) -> Fields {
    let kinds = kinds(call, operation);
    let mut answers = Fields::new();
    for kind in told_apart().filter(|kind| kinds.contains(kind)) {
        let status = kind.status_and_word().0.as_str().to_owned();
        if !answers.contains_key(&status) {
            let same = kinds.iter().copied().filter(|other| other.status_and_word().0 == kind.status_and_word().0);
            answers.insert(status, answer(same, operation.passes_errors_on));
        }
    }
    if operation.passes_errors_on {
        let content = json!({JSON: {"schema": {"$ref": "#/components/schemas/Error"}}});
        let description = "Upstream's own error: its status, its type and its message (a 401 of it as 502).";
        answers.insert("default".into(), json!({"description": description, "content": content}));
    }
    answers
}

/// All kinds of error that a call can give: its own, and those that come with what it takes.
fn kinds(call: &Mounted, operation: &Operation) -> Vec<ErrorKind> {
    let mut kinds = vec![ErrorKind::UnrecognizedField, ErrorKind::Internal, ErrorKind::UriTooLong];
    if operation.body.is_some() || operation.parameters.iter().any(|parameter| parameter.place != "path") {
        kinds.push(ErrorKind::InvalidRequest);
    }
    if call.scope.is_some() {
        kinds.extend([ErrorKind::MissingKey, ErrorKind::ScopeMissing, ErrorKind::StoreUnavailable]);
        kinds.extend([ErrorKind::RateLimited, ErrorKind::TookTooLong]);
    }
    if call.is_change() {
        kinds.extend([ErrorKind::InsufficientStorage, ErrorKind::ChangeNotRecorded, ErrorKind::Stopping]);
    }
    if call.takes_idempotency_key() {
        kinds.extend([ErrorKind::IdempotencyKeyReused, ErrorKind::IdempotencyConflict]);
        kinds.push(ErrorKind::TooManyIdempotencyKeys);
    }
    if operation.body.is_some() {
        let of_bodies = [ErrorKind::InvalidJson, ErrorKind::BodyIncomplete, ErrorKind::BodyTooLarge];
        kinds.extend(of_bodies);
        kinds.push(ErrorKind::UnsupportedMediaType);
    }
    if call.path.contains('{') {
        kinds.push(ErrorKind::RouteNotFound);
    }
    kinds.extend(&operation.errors);
    if operation.passes_errors_on {
        kinds.extend([ErrorKind::UpstreamRefused, ErrorKind::UpstreamThrottled, ErrorKind::Stopping]);
    }
    kinds
}

/// The answer of these kinds, which have one status; upstream's own errors may have it, too.
fn answer(kinds: impl Iterator<Item = ErrorKind>, passes_errors_on: bool) -> Value {
    let (mut words, mut lines, mut examples) = (Vec::new(), Vec::new(), Fields::new());
    let mut headers = Fields::new();
    for kind in kinds {
        let (status, word) = kind.status_and_word();
        if examples.contains_key(word) {
            continue;
        }
        words.push(word);
        lines.push(format!("- `{word}`: {}", kind.meaning()));
        let mut value = json!({"code": status.as_u16(), "type": word, "message": kind.meaning()});
        if status == StatusCode::BAD_REQUEST {
            let limit = ("limit", "must be a whole number from 1 to 100");
            let known = ABOUT.iter().find(|(of, _)| *of == kind);
            let (field, message) = known.map_or(limit, |(_, field)| (*field, kind.meaning()));
            value["errors"] = json!([{"field": field, "message": message}]);
        }
        examples.insert(word.into(), json!({"value": value}));
        let told = [
            (ErrorKind::MissingKey, "WWW-Authenticate", "The scheme that keys are sent by."),
            (ErrorKind::RateLimited, "Retry-After", WAIT),
            (ErrorKind::UpstreamThrottled, "Retry-After", WAIT),
        ];
        for (_, name, meaning) in told.into_iter().filter(|(of, ..)| *of == kind) {
            let header = json!({"description": meaning, "required": true, "schema": {"type": "string"}});
            headers.insert(name.into(), header);
        }
    }
    let error = json!({"$ref": "#/components/schemas/Error"});
    let narrowed = json!({"properties": {"type": {"enum": words}}});
    let schema = if passes_errors_on { error } else { json!({"allOf": [error, narrowed]}) };
    let mut answer =
        json!({"description": lines.join("\n"), "content": {JSON: {"schema": schema, "examples": examples}}});
    if !headers.is_empty() {
        answer["headers"] = json!(headers);
    }
    answer
}
