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

const REQUEST_ACTIONS: [&str; 10] =
    ["submit", "submit", "submit", "link", "cancel", "invalidate", "reopen", "extend", "delete", "restore"];

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

struct Script {
    dice: Dice,
    /// The share of calls after whose answer something happens.
    drift: f64,
    /// Each state that an object ever had, in order, by its id; with the member `sandbox`.
    truth: BTreeMap<String, Vec<Value>>,
}

/// The upstream of one history.
pub(super) struct Upstream {
    pub(super) url: String,
    router: Router,
    clock: Arc<ManualClock>,
    script: Mutex<Script>,
    _server: Mutex<JoinSet<()>>,
}

impl Upstream {
    pub(super) async fn start(seed: u64, modes: Modes, clock: &Arc<ManualClock>, shift_ms: i64) -> Arc<Self> {
        let options = Options { seed, size: SIZE, api_key: None, modes };
        let router = Sandbox::new(options, Arc::new(Shifted(Arc::clone(clock), shift_ms))).router();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let script = Script { dice: Dice::seeded(seed ^ 0xd41f), drift: 0.0, truth: BTreeMap::new() };
        let upstream = Arc::new(Self {
            url,
            router,
            clock: Arc::clone(clock),
            script: Mutex::new(script),
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
                    upstream.clock.advance(passes);
                    upstream.record().await;
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

    /// Remembers every object as it is now.
    pub(super) async fn record(&self) {
        let state = self.order("GET", "/sandbox/state", &Value::Null).await;
        let mut script = self.script();
        for object in
            ["certificates", "certificate_requests"].iter().filter_map(|list| state[*list].as_array()).flatten()
        {
            let states = script.truth.entry(object["id"].as_str().expect("an id").into()).or_default();
            if states.last() != Some(object) {
                states.push(object.clone());
            }
        }
    }

    /// Every state that every object ever had.
    pub(super) fn truth(&self) -> BTreeMap<String, Vec<Value>> {
        self.script().truth.clone()
    }

    /// Something random happens; what the book refuses does not.
    pub(super) async fn act(&self) {
        let (method, path, body) = self.anything();
        let (status, answer) = self.call(method, &path, &body).await;
        assert!(status.as_u16() < 500, "{method} {path} {body}: {answer}");
        self.record().await;
    }

    fn anything(&self) -> (&'static str, String, Value) {
        let Script { dice, truth, .. } = &mut *self.script();
        let (requests, certificates): (Vec<&String>, Vec<&String>) =
            truth.keys().partition(|id| id.starts_with("cert_req_"));
        let statuses = ["processing", "needs_info", "active", "expiring", "expired", "invalid"];
        let status = *dice.pick(&statuses);
        let certificate = format!("/sandbox/certificates/{}", dice.pick(&certificates));
        let state = *dice.pick(&["US-CA", "US-TX", "US-WA", "US-NY"]);
        match dice.below(20) {
            0 => ("POST", "/sandbox/requests".into(), json!({"expires_in_days": dice.below(50)})),
            1 => ("POST", "/sandbox/certificates".into(), json!({"status": status, "document": dice.chance() < 0.5})),
            2 => ("POST", format!("{certificate}/correct"), Value::Null),
            3..6 => {
                let date = *dice.pick(&["2026-11-01", "2027-06-30", "2031-01-01"]);
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
