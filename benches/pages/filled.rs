//! What the stores are filled with, and where each of it lies.
//!
//! Everything has a number, counted from 0. A certificate or a request is the older the larger its number is, an event the
//! younger. Every tenth event was delivered, to one of ten endpoints, so that who looks through a stretch of the log meets
//! as many deliveries in a large store as in a small one.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, ensure};
use certhook::clock::{Clock, SystemClock};
use certhook::model::delivery::{Attempt, DeliveryRecord, DeliveryStatus, Outcome, Trigger};
use certhook::model::endpoint::{DisabledReason, Endpoint, EndpointStatus};
use certhook::model::event::EventType;
use certhook::model::filter::Filter;
use certhook::model::id::{DeliveryId, EndpointId, EventId, Position, ReplayId, ReplayNumber, base62};
use certhook::model::json::Json;
use certhook::model::pattern::Pattern;
use certhook::model::replay::{Course, Progress, Replay, ReplayStatus};
use certhook::model::resource::{Agenda, Download, Kind, OpenList, ResourceId, ResourceKey, Snapshot};
use certhook::model::time::Timestamp;
use certhook::store::{DeliveryCommit, SightCommit, Store};
use serde_json::{Value, json};

use super::scattered;
use super::support::{gateway, sample};

/// Sights or records in a commit.
const AT_ONCE: usize = 500;

/// The log goes back so far, in milliseconds, in every store: less than events are kept.
const LOG_MILLIS: usize = 20 * 24 * 3_600_000;

/// So many endpoints get deliveries.
const RECEIVING: usize = 10;

/// What is pending for an endpoint is counted over so many events at most.
const COUNTED_MAX: usize = 10_000;

/// As many as a page has.
const REPLAYS: usize = 100;

/// How much of everything there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) events: usize,
    pub(super) certificates: usize,
    pub(super) requests: usize,
    pub(super) deliveries: usize,
    pub(super) endpoints: usize,
}

impl Size {
    pub(super) fn of(events: usize) -> Self {
        Self {
            events,
            certificates: events.min(1_000_000),
            requests: (events / 10).min(100_000),
            deliveries: (events / 10).min(1_000_000),
            endpoints: (events / 10).min(10_000),
        }
    }

    /// The number of the event that a delivery is of.
    pub(super) fn delivered_event(self, delivery: usize) -> usize {
        delivery * (self.events / self.deliveries)
    }
}

/// What lies where in a store that was filled.
pub(super) struct Filled {
    pub(super) size: Size,
    now: Timestamp,
    first: EventId,
    endpoints: Vec<EndpointId>,
}

impl Filled {
    /// Makes a store in a folder, fills it and closes it.
    pub(super) async fn new(folder: &Path, size: Size) -> anyhow::Result<Self> {
        let gateway = gateway::Gateway::open(folder).await?;
        let (store, now) = (&*gateway.store, SystemClock::default().now());
        for numbers in stretches(size.events) {
            store.commit_sights(numbers.map(|number| told(number, size, now)).collect(), None).await?;
        }
        for numbers in stretches(size.requests) {
            store.commit_sights(numbers.map(|number| silent(number, now)).collect(), None).await?;
        }
        let endpoints = gateway.register((0..size.endpoints).map(|number| endpoint(number, size)).collect()).await?;
        let first = store.event(Position::START.next()).await?.context("there is an event")?.id;
        let filled = Self { size, now, first, endpoints };
        for numbers in stretches(size.deliveries) {
            let records = numbers.map(|number| filled.delivered(number)).collect();
            store.commit_deliveries(DeliveryCommit { records, ..DeliveryCommit::default() }).await?;
        }
        filled.replay(store).await?;
        store.close().await;
        Ok(filled)
    }

    /// The event of a number. The ids of a store that was opened once differ in their positions alone.
    pub(super) fn event(&self, number: usize) -> EventId {
        EventId { position: Position(number as u64).next(), ..self.first }
    }

    /// When an event was told; each later than the one before it.
    pub(super) fn told_at(&self, event: usize) -> Timestamp {
        told_at(event, self.size, self.now)
    }

    /// When a certificate or a request was created; each earlier than the one before it.
    pub(super) fn created_at(&self, number: usize) -> Timestamp {
        created_at(number, self.now)
    }

    /// The endpoint of a number.
    pub(super) fn endpoint(&self, number: usize) -> EndpointId {
        self.endpoints[number]
    }

    /// The endpoint that got a delivery.
    pub(super) fn receiver(&self, delivery: usize) -> EndpointId {
        self.endpoints[delivery % RECEIVING]
    }

    /// The delivery of a number.
    pub(super) fn delivery(&self, number: usize) -> DeliveryId {
        let EventId { position, epoch, .. } = self.event(self.size.delivered_event(number));
        DeliveryId { position, endpoint: self.receiver(number).number, epoch }
    }

    fn delivered(&self, number: usize) -> DeliveryRecord {
        let event = self.size.delivered_event(number);
        let at = self.told_at(event);
        let attempt = Attempt {
            number: 1,
            at,
            duration_ms: 12,
            outcome: Outcome::Delivered,
            status_code: Some(204),
            error: None,
            response_body: None,
            address: Some("192.0.2.1:443".into()),
            signed_at: at,
            trigger: Trigger::Scheduled,
        };
        let resource = key(Kind::Certificate, certificate_of(event, self.size));
        let (event, event_type) = (self.event(event), event_type(event));
        let untried = DeliveryRecord::untried(event, event_type, self.receiver(number), Some(resource));
        let status = DeliveryStatus::Delivered;
        DeliveryRecord { status, attempt_count: 1, charged: 1, attempts: vec![attempt], ..untried }
    }

    /// Begins some replays, and cancels each at once.
    async fn replay(&self, store: &dyn Store) -> anyhow::Result<()> {
        for number in 0..REPLAYS {
            let course = Course::Snapshots(Filter::default());
            let replay = Replay {
                id: ReplayId { number: ReplayNumber(0), random: 7 },
                endpoint_id: self.receiver(number),
                created_at: self.now,
                progress: Progress::before(&course),
                course,
            };
            let replay = store.begin_replay(replay).await?.context("the endpoint is registered")?;
            ensure!(store.end_replay(replay.id, ReplayStatus::Canceled, self.now).await?, "the replay has ended");
        }
        Ok(())
    }
}

/// Numbers, some at a time.
fn stretches(count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(AT_ONCE).map(move |first| first..(first + AT_ONCE).min(count))
}

fn told_at(event: usize, size: Size, now: Timestamp) -> Timestamp {
    let before = LOG_MILLIS - LOG_MILLIS * event / size.events;
    Timestamp::from_millis(now.as_millis() - before as i64)
}

fn created_at(number: usize, now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.as_millis() - 1_000 * number as i64)
}

/// The number of the certificate that an event tells of.
fn certificate_of(event: usize, size: Size) -> usize {
    scattered(event, size.certificates)
}

fn event_type(event: usize) -> EventType {
    if event.is_multiple_of(2) { EventType::CertificateActive } else { EventType::CertificateCreated }
}

/// Spreads ids like the vendor's, which are random: an odd number, so that no two become one.
const APART: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// The id of a resource. Those of neighbours by creation lie far apart.
pub(super) fn id(kind: Kind, number: usize) -> ResourceId {
    let prefix = match kind {
        Kind::Certificate => "cert",
        Kind::CertificateRequest => "certreq",
    };
    format!("{prefix}_{}", base62((number as u128).wrapping_mul(APART))).parse().expect("an id")
}

/// The id of a customer, who has the certificates of twice that number and of the next.
pub(super) fn customer(number: usize) -> String {
    format!("cust_{number:09}")
}

fn key(kind: Kind, number: usize) -> ResourceKey {
    ResourceKey { source: "numeral".parse().expect("a name"), kind, id: id(kind, number) }
}

fn snapshot(kind: Kind, number: usize, observed_at: Timestamp, now: Timestamp) -> Snapshot {
    let key = key(kind, number);
    let created = created_at(number, now);
    let mut object = json!({
        "id": key.id.as_str(),
        "certificate_type": {"id": "12", "name": "Resale certificate", "certificate_identifier": "US-CA-CDTFA-230"},
        "customer": {"id": customer(number / 2), "reference_customer_id": format!("crm-{}", number / 2)},
        "created_at": created,
        "updated_at": created,
    });
    // Dates that any clock lies between, so that every certificate exempts.
    let own = match kind {
        Kind::Certificate => json!({
            "status": "active",
            "jurisdictions": [{
                "jurisdiction_id": "US-CA", "status": "active",
                "effective_date": "2020-01-01", "expiration_date": format!("20{}-03-31", 90 + number % 5),
            }],
        }),
        Kind::CertificateRequest => json!({"status": "pending", "certificate_id": null}),
    };
    if let (Value::Object(all), Value::Object(own)) = (&mut object, own) {
        all.extend(own);
    }
    Snapshot {
        key,
        object_version: 2,
        object: Json::of(&object),
        observed_at,
        row_fingerprint: Some(number as u128),
        download: Download::Available,
        removed: None,
        is_whole: true,
        open_list: (kind == Kind::CertificateRequest).then_some(OpenList::Pending),
        agenda: Agenda::default(),
    }
}

/// A sight of a certificate, with one event: the first ones make its snapshot.
fn told(event: usize, size: Size, now: Timestamp) -> SightCommit {
    let at = told_at(event, size, now);
    let snapshot = snapshot(Kind::Certificate, certificate_of(event, size), at, now);
    let told = sample::told(snapshot.key.clone(), snapshot.object.clone(), event_type(event), at);
    let snapshot = Some(snapshot).filter(|_| event < size.certificates);
    SightCommit { snapshot, told: vec![told], ..SightCommit::default() }
}

/// A sight of a request that nothing is told of.
fn silent(number: usize, now: Timestamp) -> SightCommit {
    SightCommit { snapshot: Some(snapshot(Kind::CertificateRequest, number, now, now)), ..SightCommit::default() }
}

/// It is disabled, so that the gateway sends nothing while it is asked. It stopped anywhere in the log, but not so near to
/// its end that less is counted than can be.
fn endpoint(number: usize, size: Size) -> Endpoint {
    let start = Position((number * size.events.saturating_sub(COUNTED_MAX) / size.endpoints) as u64);
    Endpoint {
        uid: Some(format!("crm-{number}")),
        types: vec![Pattern::Everything],
        status: EndpointStatus::Disabled,
        disabled_reason: Some(DisabledReason::Manual),
        ..sample::endpoint(&format!("https://receiver.example/{number}"), start)
    }
}
