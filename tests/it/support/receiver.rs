//! A receiver that verifies with an independent library and remembers everything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The secret of receivers under test.
pub(crate) const SECRET: &str = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LTEyMzQ=";

/// Whether the request of this number (counted from 0) is answered with an error.
type Refuses = fn(u64) -> bool;

#[derive(Default)]
struct Received {
    requests: u64,
    /// What was wrong, if anything was.
    complaints: Vec<String>,
    /// Each id with its body, in the order of first acceptance.
    accepted: Vec<(String, Bytes)>,
    by_id: BTreeMap<String, Bytes>,
    /// How often each id was accepted.
    times: BTreeMap<String, u32>,
}

struct Shared {
    webhook: Webhook,
    refuses: Refuses,
    received: Mutex<Received>,
}

/// A receiver on a socket of its own.
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

impl Receiver {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        Self::refusing(|_| false).await
    }

    /// One that answers 500 to the requests that `refuses` names.
    pub(crate) async fn refusing(refuses: Refuses) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let webhook = Webhook::new(SECRET).expect("a secret");
        let shared = Arc::new(Shared { webhook, refuses, received: Mutex::default() });
        let router = Router::new().route("/hook", post(receive)).with_state(Arc::clone(&shared));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, shared, _server: server }
    }

    fn look<T>(&self, at: impl FnOnce(&Received) -> T) -> T {
        at(&self.shared.received.lock().expect("no panic while it is held"))
    }

    /// The events accepted so far, each once, in the order of their first acceptance.
    pub(crate) fn events(&self) -> Vec<Value> {
        let bodies = self.look(|received| received.accepted.clone());
        bodies.iter().map(|(_, body)| serde_json::from_slice(body).expect("JSON")).collect()
    }

    /// The accepted events of a type about a resource.
    pub(crate) fn told(&self, event_type: &str, id: &str) -> Vec<Value> {
        let meant = |event: &Value| event["type"] == event_type && event["data"]["object"]["id"] == id;
        self.events().into_iter().filter(meant).collect()
    }

    /// All bodies, for those who search them.
    pub(crate) fn bodies(&self) -> Vec<Bytes> {
        self.look(|received| received.by_id.values().cloned().collect())
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> u64 {
        self.look(|received| received.requests)
    }

    /// How often any event was accepted beyond the first time.
    pub(crate) fn repeats(&self) -> u32 {
        self.look(|received| received.times.values().map(|times| times - 1).sum())
    }

    /// Fails the test if a signature did not verify or an id came with two bodies.
    pub(crate) fn assert_content(&self) {
        let complaints = self.look(|received| received.complaints.clone());
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let mut received = shared.received.lock().expect("no panic while it is held");
    let number = received.requests;
    received.requests += 1;
    if let Err(error) = shared.webhook.verify(&body, &headers) {
        received.complaints.push(format!("{id}: {error}"));
        return StatusCode::UNAUTHORIZED;
    }
    match received.by_id.get(&id) {
        Some(known) if *known != body => received.complaints.push(format!("{id} came with two bodies")),
        Some(_) => {}
        None => drop(received.by_id.insert(id.clone(), body.clone())),
    }
    if (shared.refuses)(number) {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    let times = received.times.entry(id.clone()).or_default();
    *times += 1;
    if *times == 1 {
        received.accepted.push((id, body));
    }
    StatusCode::NO_CONTENT
}
