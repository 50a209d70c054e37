//! The API over a store and stand-ins for what it asks work of.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use certhook::api::commands::{CallError, Deliveries, Document, Paused, Scrape, Sources, Undecided, Upstream};
use certhook::api::{Metrics, Parts, Upkeep, router};
use certhook::clock::ManualClock;
use certhook::model::json::Fields;
use certhook::model::resource::Snapshot;
use certhook::model::resource::{Absence, AbsenceState, Kind, ResourceId, SourceName};
use certhook::model::source::{
    BaselineStatus, PassKind, PassReport, PassStatus, RemovalDecision, SourceState, SourceStatus,
};
use certhook::model::time::Timestamp;
use certhook::store::{SightCommit, Store, StoreError};
use certhook::telemetry::meters::Requests;
use http_body_util::BodyExt;
use jiff::tz::TimeZone;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(super) use self::receivers::Receivers;
pub(super) use self::reference::reference;
use self::words::Words;
use crate::support::memory::Memory;

mod receivers;
mod reference;
mod words;

/// The root key of every test.
pub(super) const KEY: &str = "the-root-key-of-these-tests";

/// When every test begins.
pub(super) const BEGIN: &str = "2026-11-21T04:00:00.000Z";

/// The store that these tests run on; every promise made here holds for any other.
async fn new_store() -> Arc<dyn Store> {
    Arc::new(Memory::new())
}

/// The API and what is behind it.
pub(super) struct Door {
    pub(super) router: Router,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) deliveries: Arc<Receivers>,
    pub(super) sources: Arc<Accounts>,
    /// Ends what would go on by itself.
    pub(super) stop: CancellationToken,
    pub(super) upstream: Arc<Vendor>,
    pub(super) upkeep: Arc<Upkeep>,
}

impl Door {
    /// Over an empty store.
    pub(super) async fn open() -> Self {
        Self::over(new_store().await)
    }

    /// Over this store.
    pub(super) fn over(store: Arc<dyn Store>) -> Self {
        let clock = Arc::new(ManualClock::at(BEGIN.parse().unwrap()));
        let deliveries = Arc::new(Receivers::default());
        let sources = Arc::new(Accounts::default());
        let stop = CancellationToken::new();
        let upstream = Arc::new(Vendor::of(Arc::clone(&store)));
        let upkeep = Arc::new(Upkeep::default());
        let router = router(Parts {
            upkeep: Arc::clone(&upkeep),
            store: Arc::clone(&store),
            sources: Arc::clone(&sources) as Arc<dyn Sources>,
            upstream: Arc::clone(&upstream) as Arc<dyn Upstream>,
            deliveries: Arc::clone(&deliveries) as Arc<dyn Deliveries>,
            catalogue: Arc::new(Words),
            clock: Arc::clone(&clock) as Arc<dyn certhook::clock::Clock>,
            api_key: KEY.into(),
            metrics: Metrics { scrape: Arc::new(Nothing), requests: Requests::default(), is_public: false },
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            stop: stop.clone(),
            timezone: TimeZone::get("America/New_York").unwrap(),
        });
        Self { router, store, clock, deliveries, sources, stop, upstream, upkeep }
    }

    /// Sends any request, and leaves it to the caller to read what comes.
    pub(super) async fn begin(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Sends any request. What comes must be what the document of the API says.
    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let (head, body) = self.begin(request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.into()).unwrap();
        let answer = Answer { status: head.status, headers: head.headers, text };
        reference(&self.router).await.assert_described(&method, &path, &answer);
        answer
    }

    /// Sends a request such as `GET /v1/events` with the key, and with a JSON body unless that is empty.
    pub(super) async fn call(&self, line: &str, body: &str) -> Answer {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {KEY}"));
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.send(request.body(body.to_owned().into()).unwrap()).await
    }

    /// Sends a request that must succeed with a 2xx, and gives the JSON of its answer.
    pub(super) async fn json(&self, line: &str, body: &str) -> Value {
        let answer = self.call(line, body).await;
        assert!(answer.status.is_success(), "{line}: {} {}", answer.status, answer.text);
        answer.json()
    }

    /// Every page of a list, each with its number of entries, and all entries.
    pub(super) async fn pages(&self, path: &str) -> (Vec<usize>, Vec<Value>) {
        let (mut sizes, mut all) = (Vec::new(), Vec::new());
        let mut line = format!("GET {path}");
        loop {
            let mut page = self.json(&line, "").await;
            assert_eq!(page["object"], "list");
            let Value::Array(data) = page["data"].take() else { panic!("data is an array") };
            sizes.push(data.len());
            all.extend(data);
            assert_eq!(page["has_more"], page.get("next_cursor").is_some(), "a cursor if and only if there is more");
            let Some(cursor) = page.get("next_cursor").and_then(Value::as_str) else { return (sizes, all) };
            let join = if path.contains('?') { '&' } else { '?' };
            line = format!("GET {path}{join}cursor={cursor}");
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    /// Its body as JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|why| panic!("{why}: {}", self.text))
    }

    /// A header's text, empty if it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Three accounts, of which the last breaks whoever asks it.
#[derive(Default)]
pub(super) struct Accounts {
    pub(super) polls: Mutex<Vec<(String, PassKind)>>,
    /// So many of the oldest passes are forgotten.
    pub(super) forgotten: AtomicUsize,
    pub(super) absences: Mutex<Vec<Absence>>,
    /// Those that are paused.
    pub(super) paused: Mutex<Vec<SourceName>>,
}

impl Accounts {
    fn set_paused(&self, name: &SourceName, is_paused: bool) -> Option<Result<SourceStatus, StoreError>> {
        self.get(name)?;
        let mut paused = self.paused.lock().unwrap();
        paused.retain(|other| other != name);
        paused.extend(is_paused.then(|| name.clone()));
        drop(paused);
        self.get(name).map(Ok)
    }
}

#[async_trait]
impl Sources for Accounts {
    fn list(&self) -> Vec<SourceStatus> {
        let paused = self.paused.lock().unwrap();
        let shown = |source: SourceStatus| match paused.contains(&source.name) {
            true => SourceStatus { status: SourceState::Paused, ..source },
            false => source,
        };
        ["numeral", "europe", "broken"].map(status).map(shown).into()
    }

    fn get(&self, name: &SourceName) -> Option<SourceStatus> {
        assert_ne!(name.as_str(), "broken", "the secret inside of a panic");
        self.list().into_iter().find(|source| source.name == *name)
    }

    fn poll(&self, name: &SourceName, pass: PassKind) -> Option<Result<PassReport, Paused>> {
        if self.get(name)?.status == SourceState::Paused {
            return Some(Err(Paused("the source is paused; resume it first".into())));
        }
        self.polls.lock().unwrap().push((name.to_string(), pass));
        Some(Ok(report(1, pass)))
    }

    async fn pause(&self, name: &SourceName) -> Option<Result<SourceStatus, StoreError>> {
        self.set_paused(name, true)
    }

    async fn resume(&self, name: &SourceName) -> Option<Result<SourceStatus, StoreError>> {
        self.set_paused(name, false)
    }

    fn passes(&self, name: &SourceName) -> Option<Vec<PassReport>> {
        self.get(name)?;
        let polls = self.polls.lock().unwrap().clone();
        let polled = polls.into_iter().filter(|(polled, _)| polled == name.as_str()).map(|(_, pass)| pass);
        let mut passes: Vec<PassReport> = (1..).zip(polled).map(|(number, pass)| report(number, pass)).collect();
        passes.drain(..self.forgotten.load(Ordering::Relaxed));
        passes.reverse();
        Some(passes)
    }

    async fn absences(
        &self,
        name: &SourceName,
        after: Option<(Kind, ResourceId)>,
        limit: usize,
    ) -> Option<Result<Vec<Absence>, StoreError>> {
        self.get(name)?;
        let absences = self.absences.lock().unwrap().clone();
        let beyond = |absence: &Absence| after.as_ref() < Some(&(absence.key.kind, absence.key.id.clone()));
        Some(Ok(absences.into_iter().filter(beyond).take(limit).collect()))
    }

    async fn decide(
        &self,
        name: &SourceName,
        decision: RemovalDecision,
        ids: Option<Vec<ResourceId>>,
    ) -> Option<Result<u64, Undecided>> {
        self.get(name)?;
        let mut absences = self.absences.lock().unwrap();
        let known: Vec<ResourceId> = absences.iter().map(|absence| absence.key.id.clone()).collect();
        let wanted = ids.unwrap_or_else(|| known.clone());
        let unknown: Vec<ResourceId> = wanted.iter().filter(|id| !known.contains(id)).cloned().collect();
        if !unknown.is_empty() {
            return Some(Err(Undecided::NotWithheld(unknown)));
        }
        for absence in absences.iter_mut().filter(|absence| wanted.contains(&absence.key.id)) {
            absence.state = match decision {
                RemovalDecision::Confirm => AbsenceState::Confirmed,
                RemovalDecision::Keep => AbsenceState::Kept,
            };
        }
        Some(Ok(wanted.len() as u64))
    }
}

/// What an account answers to the next call.
pub(super) type Scripted = Result<Option<(Timestamp, Snapshot)>, CallError>;

/// Accounts that answer as they are told to, each answer applied at once; nothing is there where nothing is told.
pub(super) struct Vendor {
    store: Arc<dyn Store>,
    pub(super) answers: Mutex<Vec<(SourceName, Scripted)>>,
    pub(super) asked: Mutex<Vec<(String, Kind, String, String)>>,
    /// What became of the changes that are asked for, in their order; after that, nobody answers.
    pub(super) changes: Mutex<VecDeque<Result<Snapshot, CallError>>>,
    pub(super) document: Mutex<Option<Option<String>>>,
}

impl Vendor {
    fn of(store: Arc<dyn Store>) -> Self {
        let (answers, asked) = Default::default();
        let (changes, document) = Default::default();
        Self { store, answers, asked, changes, document }
    }

    async fn change(&self, asked: (String, Kind, String, String)) -> Option<Result<ResourceId, CallError>> {
        self.asked.lock().unwrap().push(asked);
        let next = self.changes.lock().unwrap().pop_front();
        Some(match next.unwrap_or_else(|| Err(CallError::NoAnswer("no connection".into()))) {
            Ok(snapshot) => {
                let id = snapshot.key.id.clone();
                let commit = SightCommit { snapshot: Some(snapshot), ..SightCommit::default() };
                self.store.commit_sights(vec![commit], None).await.unwrap();
                Ok(id)
            }
            Err(error) => Err(error),
        })
    }
}

#[async_trait]
impl Upstream for Vendor {
    async fn refresh(
        &self,
        source: &SourceName,
        kind: Kind,
        id: &ResourceId,
        request_id: &str,
    ) -> Option<Result<Option<Timestamp>, CallError>> {
        self.asked.lock().unwrap().push((source.to_string(), kind, id.to_string(), request_id.into()));
        let answer = {
            let mut answers = self.answers.lock().unwrap();
            let at = answers.iter().position(|(of, _)| of == source);
            at.map_or(Ok(None), |at| answers.remove(at).1)
        };
        Some(match answer {
            Ok(Some((at, snapshot))) => {
                let commit = SightCommit { snapshot: Some(snapshot), ..SightCommit::default() };
                self.store.commit_sights(vec![commit], None).await.unwrap();
                Ok(Some(at))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        })
    }

    async fn cancel(
        &self,
        source: &SourceName,
        id: &ResourceId,
        request_id: &str,
    ) -> Option<Result<ResourceId, CallError>> {
        self.change((source.to_string(), Kind::CertificateRequest, id.to_string(), request_id.into())).await
    }

    async fn trigger(
        &self,
        source: &SourceName,
        customer_id: &ResourceId,
        body: Fields,
        _: &str,
    ) -> Option<Result<ResourceId, CallError>> {
        let body = Value::Object(body).to_string();
        self.change((source.to_string(), Kind::CertificateRequest, customer_id.to_string(), body)).await
    }

    async fn document(&self, _: &SourceName, _: &ResourceId) -> Option<Result<Option<Document>, CallError>> {
        let found = self.document.lock().unwrap().clone();
        let expires_at = "2026-11-21T05:00:00Z".parse().unwrap();
        Some(Ok(found.map(|url| Document { url: url.map(Into::into), expires_at })))
    }
}

fn report(number: u32, pass: PassKind) -> PassReport {
    PassReport {
        id: format!("pass_{number}"),
        pass,
        status: PassStatus::Waiting,
        pages: 0,
        seen: 0,
        changed: 0,
        found_late: 0,
        started_at: None,
        duration_ms: None,
        error: None,
    }
}

/// Where nothing is measured.
struct Nothing;

#[async_trait]
impl Scrape for Nothing {
    async fn text(&self) -> (&'static str, String) {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", "# EOF\n".into())
    }
}

fn status(name: &str) -> SourceStatus {
    SourceStatus {
        name: name.parse().unwrap(),
        object: "source",
        kind: "numeral".into(),
        base_url: "https://api.numeralhq.com/".into(),
        status: SourceState::Healthy,
        lag_seconds: Some(7),
        baseline: BaselineStatus::done(350),
        watermark: Some(Timestamp::from_millis(1_795_233_600_000)),
        clock_skew_seconds: Some(-1),
        passes: Vec::new(),
    }
}
