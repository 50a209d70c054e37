//! The `source` room, through its door: a Numeral account at an upstream that behaves, misbehaves, or is not one.

mod commands;
mod errors;
mod listings;
mod pace;
mod pages;
mod raw;
mod requests;
mod resources;
mod setup;
mod wire;

use std::sync::Arc;

use certhook::clock::ManualClock;
use certhook::model::resource::{Kind, ResourceId};
use certhook::model::time::Timestamp;
use certhook::source::http::Limits;
use certhook::source::listing::{Complete, Incomplete, Listing, Step};
use certhook::source::numeral::Numeral;
use certhook::source::{Fetched, Malformed, Page, Row, Selection, Settings, Source, SourceError, Urgency};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const API_KEY: &str = "sk_live_canary";
const CERTIFICATES: &str = "/tax/certificates";
const REQUESTS: &str = "/tax/certificate-requests";

pub(crate) fn settings(base_url: &str) -> Settings {
    Settings {
        name: "numeral".parse().expect("a name"),
        base_url: base_url.parse().expect("a URL"),
        api_key: API_KEY.into(),
        api_version: "2026-03-01".into(),
        requests_per_second: 1000.0,
        page_size: 100,
        ca_file: None,
        proxy: None,
    }
}

fn now() -> Timestamp {
    "2026-11-21T04:31:20Z".parse().expect("an instant")
}

fn account(settings: Settings, limits: Limits) -> Numeral {
    Numeral::with_limits(settings, Arc::new(ManualClock::at(now())), limits).expect("good settings")
}

/// An account at `base_url` with the usual limits.
fn account_at(base_url: &str) -> Numeral {
    account(settings(base_url), Limits::default())
}

fn id(text: &str) -> ResourceId {
    text.parse().expect("an id")
}

/// An upstream that gives every GET of a path the same answer.
async fn upstream(at: &str, answer: ResponseTemplate) -> (MockServer, Numeral) {
    let server = MockServer::start().await;
    Mock::given(method("GET")).and(path(at)).respond_with(answer).mount(&server).await;
    let numeral = account_at(&server.uri());
    (server, numeral)
}

fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

async fn first_page(numeral: &Numeral) -> Result<Page, SourceError> {
    numeral.page(Kind::Certificate, &Selection::Everything, None, Urgency::Sweep).await
}

async fn fetch(numeral: &Numeral, text: &str) -> Result<Fetched, SourceError> {
    numeral.get(Kind::Certificate, &id(text), Urgency::Changes).await
}

/// What a listing of certificates showed, and whether it was complete.
struct Shown {
    rows: Vec<Row>,
    malformed: Vec<Malformed>,
    verdict: Result<Complete, Incomplete>,
}

/// Reads a listing of certificates to its end, as a pass does.
async fn read(numeral: &Numeral) -> Shown {
    read_as(numeral, Listing::default()).await
}

async fn read_as(numeral: &Numeral, mut listing: Listing) -> Shown {
    let (mut rows, mut malformed, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let answer = numeral.page(Kind::Certificate, &Selection::Everything, cursor.as_ref(), Urgency::Sweep).await;
        let step = listing.accept(answer.as_ref().map_err(Clone::clone));
        if let Ok(page) = answer {
            rows.extend(page.rows);
            malformed.extend(page.malformed);
        }
        match step {
            Step::Next(next) => cursor = Some(next),
            Step::Done(complete) => return Shown { rows, malformed, verdict: Ok(complete) },
            Step::Broken(why) => return Shown { rows, malformed, verdict: Err(why) },
        }
    }
}

/// A page of certificates, of which the rows are bare.
fn page_of(ids: &[&str], has_more: bool, next_cursor: Option<&str>) -> Value {
    let rows: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
    let mut page = json!({"object": "list", "certificates": rows, "has_more": has_more});
    if let Some(cursor) = next_cursor {
        page["next_cursor"] = cursor.into();
    }
    page
}
