//! The simulated upstream on a socket, with everything that it ever showed, and things that happen while it answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use certhook::clock::{Clock, ManualClock};
use certhook::model::time::Timestamp;
use certhook::sandbox::Sandbox;
use certhook::sandbox::dice::Dice;
use certhook::sandbox::options::{Modes, Options};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;
use tower::ServiceExt;

/// How many objects a book begins with.
const SIZE: usize = 40;

/// What can be done to a certificate without a body.
const CERTIFICATE_ACTIONS: [&str; 15] = [
    "approve",
    "approve",
    "reject",
    "needs-info",
    "resubmit",
    "expiring",
    "expire",
    "renew",
    "renew",
    "archive",
    "unarchive",
    "unarchive",
    "delete",
    "touch",
    "attach",
];

/// What takes an object out of the lists, and what brings it back.
const GOING: [&str; 3] = ["archive", "archive", "delete"];

const REQUEST_ACTIONS: [&str; 11] =
    ["submit", "submit", "submit", "link", "cancel", "invalidate", "reopen", "extend", "shorten", "delete", "restore"];

/// A clock that is ahead of another by so many milliseconds.
struct Shifted(Arc<ManualClock>, i64);

impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.now().as_millis() + self.1)
    }
}

/// What happens behind the back of somebody who was just given an answer, beside a change.
struct Drift {
    /// How much time passes.
    passes: Duration,
    /// How long the answer is on its way.
    late: Duration,
}

/// A state that an object had. When time made it so, nobody knows when exactly: it is seen when somebody looks.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The object as upstream shows it by id, with the member `sandbox`.
    pub(super) object: Value,
    /// The last look at which it was not so yet, by our clock.
    after: Timestamp,
    /// The first look at which it was.
    at: Timestamp,
}

impl State {
    /// By when it was so at the latest.
    pub(super) fn at(&self) -> Timestamp {
        self.at
    }
}

/// Whether an object may have been in a state that is meant, between two instants.
pub(super) fn was(states: &[State], from: Timestamp, to: Timestamp, is_meant: impl Fn(&Value) -> bool) -> bool {
    states.iter().enumerate().any(|(index, state)| {
        let end = states.get(index + 1).map_or(Timestamp::from_millis(i64::MAX), |next| next.at);
        state.after <= to && from <= end && is_meant(&state.object)
    })
}

/// Whether no list shows an object.
pub(super) fn is_hidden(object: &Value) -> bool {
    is_archived(object) || is_deleted(object) || object["sandbox"]["revision_of"].is_string()
}

pub(super) fn is_archived(object: &Value) -> bool {
    object["sandbox"]["archived"] == true
}

pub(super) fn is_deleted(object: &Value) -> bool {
    object["sandbox"]["deleted"] == true
}

struct Script {
    dice: Dice,
    /// The share of calls after whose answer something happens.
    drift: f64,
    /// Each state that an object ever had, in order, by its id.
    truth: BTreeMap<String, Vec<State>>,
    /// When somebody last looked at everything.
    looked_at: Timestamp,
}

/// The upstream of one history.
pub(super) struct Upstream {
    pub(super) url: String,
    router: Router,
    clock: Arc<ManualClock>,
    script: Mutex<Script>,
    /// Held while something happens and is remembered, so that no state in between is missed.
    acting: AsyncMutex<()>,
    _server: Mutex<JoinSet<()>>,
}

impl Upstream {
    pub(super) async fn start(seed: u64, modes: Modes, clock: &Arc<ManualClock>, shift_ms: i64) -> Arc<Self> {
        let options = Options { seed, size: SIZE, api_key: None, modes };
        let router = Sandbox::new(options, Arc::new(Shifted(Arc::clone(clock), shift_ms))).router();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let dice = Dice::seeded(seed ^ 0xd41f);
        let script = Script { dice, drift: 0.0, truth: BTreeMap::new(), looked_at: Timestamp::EPOCH };
        let upstream = Arc::new(Self {
            url,
            router,
            clock: Arc::clone(clock),
            script: Mutex::new(script),
            acting: AsyncMutex::default(),
            _server: Mutex::default(),
        });
        upstream.record().await;
        // A weak handle: the server must not keep alive what keeps the server.
        let weak = Arc::downgrade(&upstream);
        let served = Router::new().fallback(move |request: Request<Body>| {
            let upstream = weak.upgrade();
            async move {
                let upstream = upstream.expect("the upstream outlives its calls");
                let answer = upstream.router.clone().oneshot(request).await.expect("a router does not fail");
                if let Some(Drift { passes, late }) = upstream.drift() {
                    upstream.act().await;
                    upstream.clock_on(passes).await;
                    // On its way the answer is overtaken by those that other passes asked for later.
                    tokio::time::sleep(late).await;
                }
                answer
            }
        });
        let serve = async move { axum::serve(listener, served).await.expect("it serves until it is dropped") };
        upstream._server.lock().unwrap_or_else(PoisonError::into_inner).spawn(serve);
        upstream
    }

    /// From now on something happens after this share of calls, behind the back of whoever made them.
    pub(super) fn set_drift(&self, share: f64) {
        self.script().drift = share;
    }

    /// Whether something happens now.
    fn drift(&self) -> Option<Drift> {
        let Script { dice, drift, .. } = &mut *self.script();
        let strikes = dice.chance() < *drift;
        let passes = Duration::from_millis(*dice.pick(&[0, 0, 1, 700]));
        let late = Duration::from_millis(*dice.pick(&[0, 0, 5, 15]));
        strikes.then_some(Drift { passes, late })
    }

    /// One call, past the socket.
    pub(super) async fn call(&self, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", "Bearer sk_prod_1").header("x-api-version", "2026-03-01");
        let answer = self.router.clone().oneshot(request.body(body).expect("a request")).await;
        let (parts, body) = answer.expect("a router does not fail").into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        (parts.status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// An order that is to succeed.
    pub(super) async fn order(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert_eq!(status, StatusCode::OK, "{method} {path} {body}: {answer}");
        answer
    }

    /// Lets time pass, and whatever becomes due with it.
    pub(super) async fn clock_on(&self, by: Duration) {
        let _alone = self.acting.lock().await;
        self.clock.advance(by);
        self.remember().await;
    }

    /// Remembers every object as it is now.
    pub(super) async fn record(&self) {
        let _alone = self.acting.lock().await;
        self.remember().await;
    }

    async fn remember(&self) {
        let state = self.order("GET", "/sandbox/state", &Value::Null).await;
        let mut script = self.script();
        let (after, at) = (script.looked_at, self.clock.now());
        for object in
            ["certificates", "certificate_requests"].iter().filter_map(|list| state[*list].as_array()).flatten()
        {
            let states = script.truth.entry(object["id"].as_str().expect("an id").into()).or_default();
            if states.last().is_none_or(|last| last.object != *object) {
                states.push(State { object: object.clone(), after, at });
            }
        }
        script.looked_at = at;
    }

    /// Every state that every object ever had.
    pub(super) fn truth(&self) -> BTreeMap<String, Vec<State>> {
        self.script().truth.clone()
    }

    /// Something random happens; what the book refuses does not.
    pub(super) async fn act(&self) {
        let _alone = self.acting.lock().await;
        let (method, path, body) = self.anything();
        let (status, answer) = self.call(method, &path, &body).await;
        assert!(status.as_u16() < 500, "{method} {path} {body}: {answer}");
        self.remember().await;
    }

    fn anything(&self) -> (&'static str, String, Value) {
        let Script { dice, truth, .. } = &mut *self.script();
        let (requests, certificates): (Vec<&String>, Vec<&String>) =
            truth.keys().partition(|id| id.starts_with("cert_req_"));
        let statuses = ["processing", "needs_info", "active", "expiring", "expired", "invalid"];
        let status = *dice.pick(&statuses);
        let certificate = format!("/sandbox/certificates/{}", dice.pick(&certificates));
        let state = *dice.pick(&["US-CA", "US-TX", "US-WA", "US-NY"]);
        match dice.below(24) {
            0 => ("POST", "/sandbox/requests".into(), json!({"expires_in_days": dice.below(50)})),
            1 => ("POST", "/sandbox/certificates".into(), json!({"status": status, "document": dice.chance() < 0.5})),
            2 => ("POST", format!("{certificate}/correct"), Value::Null),
            3..6 => {
                let date = *dice.pick(&["2026-11-01", "2026-12-12", "2027-01-20", "2027-06-30", "2031-01-01"]);
                let bodies = [
                    json!({"status": status}),
                    json!({"expiration_date": date}),
                    json!({"status": status, "expiration_date": date}),
                ];
                ("POST", format!("{certificate}/jurisdictions/{state}"), dice.pick(&bodies).clone())
            }
            6 => ("DELETE", format!("{certificate}/jurisdictions/{state}"), Value::Null),
            7..14 => {
                let action = *dice.pick(&CERTIFICATE_ACTIONS);
                let attach = action == "approve" && dice.chance() < 0.5;
                let body = if attach { json!({"attach": false}) } else { Value::Null };
                ("POST", format!("{certificate}/{action}"), body)
            }
            20 | 21 => ("POST", format!("{certificate}/{}", dice.pick(&GOING)), Value::Null),
            22 | 23 => coming_back(dice, truth),
            _ => {
                let (id, action) = (*dice.pick(&requests), *dice.pick(&REQUEST_ACTIONS));
                let late = action == "submit" && dice.chance() < 0.5;
                let body = if late { json!({"link": false}) } else { Value::Null };
                ("POST", format!("/sandbox/requests/{id}/{action}"), body)
            }
        }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That something comes back into the lists, if there is something that can.
fn coming_back(dice: &mut Dice, truth: &BTreeMap<String, Vec<State>>) -> (&'static str, String, Value) {
    let path = |(id, states): (&String, &Vec<State>)| {
        let object = &states.last()?.object;
        let is_request = id.starts_with("cert_req_");
        match (is_request, is_archived(object), is_deleted(object)) {
            (true, _, true) => Some(format!("/sandbox/requests/{id}/restore")),
            (false, true, false) => Some(format!("/sandbox/certificates/{id}/unarchive")),
            _ => None,
        }
    };
    let paths: Vec<String> = truth.iter().filter_map(path).collect();
    let none = "/sandbox/requests/none/restore".to_owned();
    ("POST", if paths.is_empty() { none } else { dice.pick(&paths).clone() }, Value::Null)
}
