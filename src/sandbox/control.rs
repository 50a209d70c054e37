//! The controls, under `/sandbox`: JSON in and out, no key, errors as `{code, type, message}`.
//!
//! | call | what it does |
//! |---|---|
//! | `POST /sandbox/requests` | opens a request |
//! | `POST /sandbox/requests/{id}/{action}` | `submit` `{link}`, `link`, `cancel`, `invalidate`, `reopen`, `extend`, `shorten`, `delete`, `restore` |
//! | `POST /sandbox/certificates` | makes a certificate |
//! | `POST /sandbox/certificates/{id}/{action}` | `approve` `{attach}`, `reject`, `needs-info`, `resubmit`, `expiring`, `expire`, `renew` `{until}`, `archive`, `unarchive`, `delete`, `touch`, `correct`, `attach` |
//! | `POST`, `DELETE /sandbox/certificates/{id}/jurisdictions/{jurisdiction}` | sets one `{status, expiration_date}`, adding it if need be; drops one |
//! | `POST /sandbox/trigger` | makes `{type}` happen to something suitable |
//! | `GET`, `POST /sandbox/clock` | shows the clock; moves it by `{advance}` |
//! | `GET`, `POST`, `DELETE /sandbox/faults` | shows, adds and clears orders to fail; `{"clear": true}` clears too |
//! | `GET`, `POST /sandbox/options` | shows and sets modes |
//! | `GET`, `POST /sandbox/account` | shows whose objects the API shows; `{number}` makes it another account's, as if the key were that one's |
//! | `GET`, `DELETE /sandbox/calls` | what the vendor's API was asked; forgets it |
//! | `GET /sandbox/state` | everything |
//! | `GET /sandbox/documents/{id}` | the document behind a `download_url` |
//!
//! Wherever a call is about one object, the answer is that object, as the vendor shows it by id, with a member
//! `sandbox` that holds what the vendor keeps to itself.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Sandbox;
use super::book::command::{CertificateAction, Command, NewCertificate, NewRequest, Refusal, RequestAction};
use super::book::object::CertificateStatus;
use super::day::Day;
use super::faults::{Fault, Order};
use super::happening::{Happening, bring_about};
use super::numeral::document;
use super::show;

/// The farthest that one call may move the clock: ten years, more than any term of a certificate.
const ADVANCE_MAX: Duration = Duration::from_secs(3_653 * 86_400);

/// The routes of the controls.
pub fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/sandbox/requests", post(create_request))
        .route("/sandbox/requests/{id}/{action}", post(act_on_request))
        .route("/sandbox/certificates", post(create_certificate))
        .route("/sandbox/certificates/{id}/{action}", post(act_on_certificate))
        .route(
            "/sandbox/certificates/{id}/jurisdictions/{jurisdiction}",
            post(set_jurisdiction).delete(drop_jurisdiction),
        )
        .route("/sandbox/trigger", post(trigger))
        .route("/sandbox/clock", get(clock).post(move_clock))
        .route("/sandbox/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/sandbox/options", get(options).post(set_options))
        .route("/sandbox/account", get(account).post(change_account))
        .route("/sandbox/calls", get(calls).delete(forget_calls))
        .route("/sandbox/state", get(state))
        .route("/sandbox/documents/{id}", get(open_document))
        .route("/sandbox/{*rest}", any(unknown))
        .method_not_allowed_fallback(wrong_method)
}

/// Why a control call did nothing.
#[derive(Debug)]
struct ControlError {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl ControlError {
    fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind: "INVALID_REQUEST", message: message.into() }
    }

    fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, kind: "NOT_FOUND", message: message.into() }
    }
}

impl From<Refusal> for ControlError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::NotFound { .. } => Self::not_found(message),
            Refusal::WrongState { .. } => Self { status: StatusCode::CONFLICT, kind: "WRONG_STATE", message },
            Refusal::NothingSuitable { .. } => Self { status: StatusCode::CONFLICT, kind: "NOTHING_SUITABLE", message },
            Refusal::Invalid { .. } => Self::invalid(message),
        }
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let body = json!({ "code": self.status.as_u16(), "type": self.kind, "message": self.message });
        (self.status, Json(body)).into_response()
    }
}

type Outcome = Result<Json<Value>, ControlError>;

/// Reads a body; an absent one is `{}`.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, ControlError> {
    let bytes: &[u8] = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    serde_json::from_slice(bytes).map_err(|error| ControlError::invalid(format!("body: {error}")))
}

/// Reads the body of a call that takes no fields.
fn read_nothing(body: &Bytes) -> Result<(), ControlError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    read::<Nothing>(body).map(|_| ())
}

fn apply(sandbox: &Sandbox, command: Command) -> Outcome {
    sandbox.with_world(|world, now| {
        let subject = world.book.apply(command, now)?;
        world.book.settle(now, world.modes.clock_moves_bump_updated_at);
        Ok(Json(show::object(world, &subject)))
    })
}

async fn create_request(State(sandbox): State<Sandbox>, body: Bytes) -> Outcome {
    let new: NewRequest = read(&body)?;
    apply(&sandbox, Command::CreateRequest(new))
}

async fn create_certificate(State(sandbox): State<Sandbox>, body: Bytes) -> Outcome {
    let new: NewCertificate = read(&body)?;
    apply(&sandbox, Command::CreateCertificate(new))
}

async fn act_on_request(
    State(sandbox): State<Sandbox>,
    Path((id, action)): Path<(String, String)>,
    body: Bytes,
) -> Outcome {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Submit {
        link: Option<bool>,
    }
    let action = match action.as_str() {
        "submit" => RequestAction::Submit { link: read::<Submit>(&body)?.link.unwrap_or(true) },
        other => {
            let plain = [
                ("link", RequestAction::Link),
                ("cancel", RequestAction::Cancel),
                ("invalidate", RequestAction::Invalidate),
                ("reopen", RequestAction::Reopen),
                ("extend", RequestAction::Extend),
                ("shorten", RequestAction::Shorten),
                ("delete", RequestAction::Delete),
                ("restore", RequestAction::Restore),
            ];
            read_nothing(&body)?;
            find(other, plain)?
        }
    };
    apply(&sandbox, Command::Request(id, action))
}

async fn act_on_certificate(
    State(sandbox): State<Sandbox>,
    Path((id, action)): Path<(String, String)>,
    body: Bytes,
) -> Outcome {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Approve {
        attach: Option<bool>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Renew {
        until: Option<Day>,
    }
    let action = match action.as_str() {
        "approve" => CertificateAction::Approve { attach: read::<Approve>(&body)?.attach.unwrap_or(true) },
        "renew" => CertificateAction::Renew { until: read::<Renew>(&body)?.until },
        other => {
            let plain = [
                ("reject", CertificateAction::Reject),
                ("needs-info", CertificateAction::NeedsInfo),
                ("resubmit", CertificateAction::Resubmit),
                ("expiring", CertificateAction::Expiring),
                ("expire", CertificateAction::Expire),
                ("archive", CertificateAction::Archive),
                ("unarchive", CertificateAction::Unarchive),
                ("delete", CertificateAction::Delete),
                ("touch", CertificateAction::Touch),
                ("correct", CertificateAction::Correct),
                ("attach", CertificateAction::Attach),
            ];
            read_nothing(&body)?;
            find(other, plain)?
        }
    };
    apply(&sandbox, Command::Certificate(id, action))
}

fn find<T, const N: usize>(wanted: &str, actions: [(&str, T); N]) -> Result<T, ControlError> {
    let found = actions.into_iter().find(|(name, _)| *name == wanted);
    found.map(|(_, action)| action).ok_or_else(|| ControlError::not_found(format!("there is no action {wanted:?}")))
}

async fn set_jurisdiction(
    State(sandbox): State<Sandbox>,
    Path((certificate, id)): Path<(String, String)>,
    body: Bytes,
) -> Outcome {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        status: Option<CertificateStatus>,
        expiration_date: Option<Day>,
    }
    let Entry { status, expiration_date: expires } = read(&body)?;
    apply(&sandbox, Command::Certificate(certificate, CertificateAction::SetJurisdiction { id, status, expires }))
}

async fn drop_jurisdiction(State(sandbox): State<Sandbox>, Path((certificate, id)): Path<(String, String)>) -> Outcome {
    apply(&sandbox, Command::Certificate(certificate, CertificateAction::DropJurisdiction { id }))
}

async fn trigger(State(sandbox): State<Sandbox>, body: Bytes) -> Outcome {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        r#type: String,
    }
    let happening: Happening = read::<Wanted>(&body)?.r#type.parse()?;
    sandbox.with_world(|world, now| {
        let chance = world.dice.chance();
        let subject = bring_about(&mut world.book, happening, chance, now)?;
        Ok(Json(json!({ "type": happening.as_str(), "object": show::object(world, &subject) })))
    })
}

async fn clock(State(sandbox): State<Sandbox>) -> Outcome {
    Ok(Json(json!({ "now": sandbox.now() })))
}

async fn move_clock(State(sandbox): State<Sandbox>, body: Bytes) -> Outcome {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Move {
        advance: String,
    }
    let text = read::<Move>(&body)?.advance;
    let by = humantime::parse_duration(&text).map_err(|error| ControlError::invalid(format!("advance: {error}")))?;
    if by > ADVANCE_MAX {
        return Err(ControlError::invalid("advance: at most ten years at a time"));
    }
    let (now, moved) = sandbox.advance(by);
    Ok(Json(json!({ "now": now, "moved": moved })))
}

async fn faults(State(sandbox): State<Sandbox>) -> Outcome {
    sandbox.with_world(|world, _| Ok(Json(json!({ "faults": world.faults }))))
}

async fn add_fault(State(sandbox): State<Sandbox>, body: Bytes) -> Outcome {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Clear {
        clear: bool,
    }
    if let Ok(Clear { clear: true }) = read(&body) {
        return clear_faults(State(sandbox)).await;
    }
    let fault = Fault::try_from(read::<Order>(&body)?).map_err(ControlError::invalid)?;
    sandbox.with_world(|world, _| {
        world.faults.add(fault);
        Ok(Json(json!({ "faults": world.faults })))
    })
}

async fn clear_faults(State(sandbox): State<Sandbox>) -> Outcome {
    sandbox.with_world(|world, _| {
        world.faults.clear();
        Ok(Json(json!({ "faults": world.faults })))
    })
}

async fn options(State(sandbox): State<Sandbox>) -> Outcome {
    sandbox.with_world(|world, _| Ok(Json(json!(world.modes))))
}

async fn set_options(State(sandbox): State<Sandbox>, body: Bytes) -> Outcome {
    let patch: Map<String, Value> = read(&body)?;
    sandbox.with_world(|world, _| {
        world.modes = world.modes.patched(patch).map_err(ControlError::invalid)?;
        Ok(Json(json!(world.modes)))
    })
}

async fn account(State(sandbox): State<Sandbox>) -> Outcome {
    sandbox.with_world(|world, _| Ok(Json(show::account(world))))
}

async fn change_account(State(sandbox): State<Sandbox>, body: Bytes) -> Outcome {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Change {
        number: u64,
    }
    let Change { number } = read(&body)?;
    sandbox.with_world(|world, now| {
        world.change_account(number, now);
        Ok(Json(show::account(world)))
    })
}

async fn calls(State(sandbox): State<Sandbox>) -> Outcome {
    sandbox.with_world(|world, _| Ok(Json(json!(world.calls))))
}

async fn forget_calls(State(sandbox): State<Sandbox>) -> Outcome {
    sandbox.with_world(|world, _| {
        world.calls = Default::default();
        Ok(Json(json!(world.calls)))
    })
}

async fn state(State(sandbox): State<Sandbox>) -> Outcome {
    sandbox.with_world(|world, now| Ok(Json(show::everything(world, now))))
}

async fn open_document(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ControlError> {
    let opens = sandbox.with_world(|world, now| document::opens(&id, &query.unwrap_or_default(), world.secret, now));
    if !opens {
        let message = "the URL has expired, or was never signed; get the certificate again".into();
        return Err(ControlError { status: StatusCode::FORBIDDEN, kind: "ACCESS_DENIED", message });
    }
    let mut response = Response::new(document::pdf(&id).into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/pdf"));
    Ok(response)
}

async fn unknown() -> ControlError {
    ControlError::not_found("there is no such control")
}

async fn wrong_method() -> ControlError {
    let message = "this control does not take that method".into();
    ControlError { status: StatusCode::METHOD_NOT_ALLOWED, kind: "METHOD_NOT_ALLOWED", message }
}
