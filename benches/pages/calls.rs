//! What the gateways are asked for, and what they must answer.

use anyhow::ensure;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certhook::model::event::EventType;
use certhook::model::resource::Kind;
use certhook::model::time::Timestamp;
use serde_json::Value;

use super::filled::{Filled, customer, id};
use super::{CALLS, scattered};

/// The rows of a full page.
const FULL: usize = 100;

/// The call that reads nothing.
pub(super) const NOTHING: &str = "(nothing: /healthz)";

/// A call, and what it must answer, so that no figure is that of an empty page.
pub(super) struct Call {
    /// What it is called in the report.
    pub(super) name: &'static str,
    pub(super) path: String,
    /// So many rows; one if the answer is no list.
    rows: usize,
    /// The id of the first, where it is known.
    first: Option<String>,
}

impl Call {
    /// That answers with a full page.
    fn page(name: &'static str, path: impl Into<String>) -> Self {
        Self { name, path: path.into(), rows: FULL, first: None }
    }

    /// That answers with so many rows.
    fn rows(self, rows: usize) -> Self {
        Self { rows, ..self }
    }

    /// The first of which, or the only one, is this.
    fn first(self, id: impl ToString) -> Self {
        Self { first: Some(id.to_string()), ..self }
    }

    /// Whether that is the answer.
    pub(super) fn check(&self, answer: &Value) -> anyhow::Result<()> {
        let list = ["data", "certificate_ids"].into_iter().find_map(|name| answer[name].as_array());
        let rows = list.map_or(std::slice::from_ref(answer), Vec::as_slice);
        ensure!(rows.len() == self.rows, "{} rows where {} are wanted", rows.len(), self.rows);
        let first = rows.first().and_then(|row| row.as_str().or_else(|| row["id"].as_str()));
        let is_wanted = self.first.is_none() || self.first.as_deref() == first;
        ensure!(is_wanted, "{first:?} comes first where {:?} is wanted", self.first);
        Ok(())
    }
}

/// More than there are calls that ask for something that lies anywhere, and a prime.
const SHARES: usize = 10_007;

/// Says where lies what a turn asks for: anywhere, in each turn and for each call somewhere else, so that hardly any finds
/// in memory what another one has read; and at the same share of every store.
struct Places {
    turn: usize,
    given: usize,
}

impl Places {
    /// The number of one of so many.
    fn among(&mut self, count: usize) -> usize {
        let share = scattered(self.turn + CALLS * self.given, SHARES);
        self.given += 1;
        share * count / SHARES
    }

    /// The number of one of so many that is followed by a full page.
    fn page_among(&mut self, count: usize) -> usize {
        self.among(count - FULL)
    }
}

/// The calls of a turn: those that list or show what the stores are filled with, and some that list what does not grow.
/// What is newest is the same in each turn, and everything else is somewhere else.
pub(super) fn calls(turn: usize, store: &Filled) -> Vec<Call> {
    let mut places = Places { turn, given: 0 };
    let mut calls = vec![
        Call::page(NOTHING, "/healthz").rows(1),
        Call::page("sources", "/v1/sources").rows(1),
        Call::page("replays", "/v1/replays?limit=100"),
        Call::page("event types", "/v1/event-types").rows(EventType::ALL.len()),
    ];
    calls.extend(of_events(store, &mut places));
    calls.extend(of_deliveries(store, &mut places));
    calls.extend(of_resources(store, &mut places));
    calls
}

fn of_events(store: &Filled, places: &mut Places) -> Vec<Call> {
    let size = store.size;
    let read = places.page_among(size.events);
    let since = places.page_among(size.events);
    let shown = places.among(size.events);
    let delivered = size.delivered_event(places.among(size.deliveries));
    let by_cursor = format!("/v1/events?limit=100&order=asc&cursor={}", store.event(read));
    let by_time = format!("/v1/events?limit=100&order=asc&since={}", store.told_at(since));
    let by_endpoint = format!("/v1/events/{}/deliveries?limit=100", store.event(delivered));
    vec![
        Call::page("events, newest", "/v1/events?limit=100"),
        Call::page("events, from anywhere on", by_cursor).first(store.event(read + 1)),
        Call::page("events of a type, newest", "/v1/events?limit=100&types=certificate.active"),
        Call::page("events from a time on", by_time).first(store.event(since)),
        Call::page("an event", format!("/v1/events/{}", store.event(shown))).rows(1).first(store.event(shown)),
        Call::page("deliveries of an event, by endpoint", by_endpoint),
    ]
}

fn of_deliveries(store: &Filled, places: &mut Places) -> Vec<Call> {
    let size = store.size;
    let read = FULL + places.page_among(size.deliveries);
    let until = FULL + places.page_among(size.deliveries);
    let of_event = places.among(size.deliveries);
    let to_endpoint = places.among(size.deliveries);
    let shown = store.endpoint(places.among(size.endpoints));
    // As the gateway makes it: to ask for it would bring into memory what the call is to find.
    let cursor = URL_SAFE_NO_PAD.encode(format!("1 deliveries desc {}", store.delivery(read)));
    let by_cursor = format!("/v1/deliveries?limit=100&cursor={cursor}");
    let time = store.told_at(size.delivered_event(until));
    let by_time = format!("/v1/deliveries?limit=100&until={time}");
    let event = store.event(size.delivered_event(of_event));
    let by_event = format!("/v1/deliveries?limit=100&event_id={event}");
    let by_endpoint = format!("/v1/deliveries?limit=10&endpoint_id={}", store.receiver(to_endpoint));
    vec![
        Call::page("deliveries, newest", "/v1/deliveries?limit=100"),
        Call::page("deliveries, from anywhere on", by_cursor).first(store.delivery(read - 1)),
        Call::page("deliveries before a time", by_time).first(store.delivery(until - 1)),
        Call::page("deliveries of an event", by_event).rows(1).first(store.delivery(of_event)),
        Call::page("deliveries to an endpoint, newest", by_endpoint).rows(10),
        Call::page("endpoints, newest", "/v1/endpoints?limit=100"),
        Call::page("an endpoint", format!("/v1/endpoints/{shown}")).rows(1).first(shown),
    ]
}

fn of_resources(store: &Filled, places: &mut Places) -> Vec<Call> {
    let size = store.size;
    let certificate = |number| id(Kind::Certificate, number);
    let before = |number| Timestamp::from_millis(store.created_at(number).as_millis() + 1);
    let created = places.page_among(size.certificates);
    let shown = certificate(places.among(size.certificates));
    let [listed, exempt] = [(); 2].map(|()| places.among(size.certificates / 2));
    let by_customer = format!("/v1/certificates?limit=100&customer_id={}", customer(listed));
    let by_time = format!("/v1/certificates?limit=100&created_before={}", before(created));
    let exemption = format!("/v1/exemptions?customer_id={}&jurisdiction=US-CA", customer(exempt));
    let asked = places.page_among(size.requests);
    let requests = "/v1/certificate-requests?limit=100";
    let requests_by_time = format!("{requests}&created_before={}", before(asked));
    vec![
        Call::page("certificates, newest", "/v1/certificates?limit=100").first(certificate(0)),
        Call::page("certificates created before a time", by_time).first(certificate(created)),
        Call::page("certificates of a customer", by_customer).rows(2).first(certificate(2 * listed)),
        Call::page("a certificate", format!("/v1/certificates/{shown}")).rows(1).first(shown),
        Call::page("exemption of a customer", exemption).rows(2).first(certificate(2 * exempt)),
        Call::page("certificate requests, newest", requests).first(id(Kind::CertificateRequest, 0)),
        Call::page("certificate requests that are pending", format!("{requests}&status=pending"))
            .first(id(Kind::CertificateRequest, 0)),
        Call::page("certificate requests created before a time", requests_by_time)
            .first(id(Kind::CertificateRequest, asked)),
    ]
}
