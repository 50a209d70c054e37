//! An account of the vendor's in memory, as large as you like, that counts its calls.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use certhook::clock::Clock;
use certhook::model::json::Fields;
use certhook::model::resource::{Coverage, Download, Kind, ResourceId, ResourceKey, Seen, SourceName};
use certhook::model::time::Timestamp;
use certhook::source::http::{Bucket, Turns};
use certhook::source::{Cursor, Exchange, Fetched, Malformed, Page, Row, Selection, Source, SourceError, Urgency};
use serde_json::value::RawValue;

/// The vendor's largest page.
pub(super) const PAGE_SIZE: usize = 100;

/// How long upstream takes to answer.
const ANSWERS_WITHIN: Duration = Duration::from_millis(80);

/// One resource.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) status: &'static str,
    pub(super) updated_at: Timestamp,
    pub(super) created_at: Timestamp,
    pub(super) expiration_date: &'static str,
    pub(super) customer: u32,
    pub(super) is_listed: bool,
}

/// All resources of a kind, in the order of their creation.
#[derive(Debug, Default)]
struct Shelf {
    resources: Vec<Resource>,
    by_update: BTreeSet<(Timestamp, usize)>,
    by_status: HashMap<&'static str, BTreeSet<usize>>,
}

impl Shelf {
    fn put(&mut self, resource: Resource) {
        let place = self.resources.len();
        self.by_update.insert((resource.updated_at, place));
        self.by_status.entry(resource.status).or_default().insert(place);
        self.resources.push(resource);
    }

    fn change(&mut self, place: usize, change: impl FnOnce(&mut Resource)) {
        let resource = &mut self.resources[place];
        self.by_update.remove(&(resource.updated_at, place));
        self.by_status.entry(resource.status).or_default().remove(&place);
        change(resource);
        if resource.is_listed {
            self.by_update.insert((resource.updated_at, place));
            self.by_status.entry(resource.status).or_default().insert(place);
        }
    }

    /// Up to one more than a page of places, after a place.
    fn select(&self, selection: &Selection, after: Option<usize>) -> Vec<usize> {
        let first = after.map_or(0, |after| after + 1);
        let listed = |place: &usize| self.resources[*place].is_listed;
        match selection {
            Selection::Everything => (first..self.resources.len()).filter(listed).take(PAGE_SIZE + 1).collect(),
            Selection::Status(status) => {
                let members = self.by_status.get(status).into_iter().flat_map(|members| members.range(first..));
                members.copied().take(PAGE_SIZE + 1).collect()
            }
            Selection::UpdatedAfter(instant) => {
                let mut places: Vec<usize> = self
                    .by_update
                    .range((*instant, 0)..)
                    .map(|(_, place)| *place)
                    .filter(|place| *place >= first)
                    .collect();
                places.sort_unstable();
                places.truncate(PAGE_SIZE + 1);
                places
            }
            Selection::CreatedBetween(after, before) => {
                let begin = self.resources.partition_point(|resource| resource.created_at < *after).max(first);
                let end = self.resources.partition_point(|resource| resource.created_at <= *before);
                (begin..end).filter(listed).take(PAGE_SIZE + 1).collect()
            }
        }
    }
}

/// The account.
pub(super) struct Account {
    name: SourceName,
    clock: Arc<dyn Clock>,
    bucket: Bucket,
    shelves: Mutex<[Shelf; 2]>,
    calls: Mutex<BTreeMap<Urgency, u64>>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account")
    }
}

impl Account {
    /// A million certificates, of which 10 000 expire soon and 1 000 are under review, and 100 000 requests, of which
    /// 50 000 are pending; or a share of that.
    pub(super) fn new(share: f64, clock: Arc<dyn Clock>, requests_per_second: f64) -> Self {
        let of = |count: f64| (count * share) as usize;
        let now = clock.now();
        let mut shelves = <[Shelf; 2]>::default();
        let certificates = of(1e6);
        for place in 0..certificates {
            let status = match place {
                _ if place < of(10_000.0) => "expiring",
                _ if place < of(11_000.0) => "processing",
                _ if place % 5 == 0 => "expired",
                _ => "active",
            };
            let expiration_date = if status == "expired" { "2025-06-30" } else { "2028-06-30" };
            shelves[0].put(resource(place, certificates, status, expiration_date, now));
        }
        let requests = of(100_000.0);
        for place in 0..requests {
            let status = if place % 2 == 0 { "pending" } else { "canceled" };
            shelves[1].put(resource(place, requests, status, "", now));
        }
        let turns = Turns::new(requests_per_second).expect("a rate");
        let name = "numeral".parse().expect("a name");
        Self { name, clock, bucket: Bucket::new(turns), shelves: Mutex::new(shelves), calls: Mutex::default() }
    }

    /// How many resources there are.
    pub(super) fn len(&self) -> usize {
        self.shelves().iter().map(|shelf| shelf.resources.len()).sum()
    }

    /// How many resources of a kind there are.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.shelves()[kind as usize].resources.len()
    }

    /// The calls since the last look.
    pub(super) fn take_calls(&self) -> BTreeMap<Urgency, u64> {
        std::mem::take(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A resource.
    pub(super) fn see(&self, kind: Kind, place: usize) -> Resource {
        self.shelves()[kind as usize].resources[place].clone()
    }

    /// Adds a resource.
    pub(super) fn put(&self, kind: Kind, resource: Resource) {
        self.shelves()[kind as usize].put(resource);
    }

    /// Changes a resource.
    pub(super) fn change(&self, kind: Kind, place: usize, change: impl FnOnce(&mut Resource)) {
        self.shelves()[kind as usize].change(place, change);
    }

    fn shelves(&self) -> MutexGuard<'_, [Shelf; 2]> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(&self, urgency: Urgency) -> Exchange {
        self.bucket.token(urgency).await.expect("nobody pauses it");
        *self.calls.lock().unwrap_or_else(PoisonError::into_inner).entry(urgency).or_default() += 1;
        let asked_at = self.clock.now();
        tokio::time::sleep(ANSWERS_WITHIN).await;
        let answered_at = self.clock.now();
        Exchange { asked_at, answered_at, upstream_at: Some(answered_at) }
    }

    fn seen(&self, kind: Kind, id: &ResourceId, fields: Fields, coverage: Coverage) -> Seen {
        let download = match coverage {
            Coverage::Row => Download::Unknown,
            Coverage::Whole => Download::Available,
        };
        Seen { key: ResourceKey { source: self.name.clone(), kind, id: id.clone() }, fields, coverage, download }
    }
}

fn resource(place: usize, of: usize, status: &'static str, expiration_date: &'static str, now: Timestamp) -> Resource {
    let created_at = now.minus(Duration::from_secs(86_400 + 60 * (of - place) as u64));
    Resource { status, updated_at: created_at, created_at, expiration_date, customer: place as u32, is_listed: true }
}

/// The id of a resource.
pub(super) fn id(kind: Kind, place: usize) -> ResourceId {
    let prefix = match kind {
        Kind::Certificate => "cert",
        Kind::CertificateRequest => "cert_req",
    };
    format!("{prefix}_{place:08}").parse().expect("an id")
}

fn place_of(id: &ResourceId) -> Option<usize> {
    id.as_str().rsplit('_').next()?.parse().ok()
}

fn render(kind: Kind, place: usize, resource: &Resource) -> String {
    let Resource { status, updated_at, created_at, expiration_date, customer, .. } = resource;
    let id = id(kind, place);
    match kind {
        Kind::Certificate => format!(
            r#"{{"id":"{id}","object":"tax.exemption_certificate","status":"{status}","customer":{{"id":"cust_{customer}","reference_customer_id":"{customer}"}},"jurisdictions":[{{"jurisdiction_id":"US-CA","status":"{status}","expiration_date":"{expiration_date}"}}],"expiration_date":"{expiration_date}","created_at":"{created_at}","updated_at":"{updated_at}","livemode":true}}"#
        ),
        Kind::CertificateRequest => format!(
            r#"{{"id":"{id}","object":"tax.certificate_request","status":"{status}","customer":{{"id":"cust_{customer}"}},"certificate_id":null,"jurisdictions":["US-CA"],"created_at":"{created_at}","updated_at":"{updated_at}","expires_at":null,"livemode":true}}"#
        ),
    }
}

#[async_trait]
impl Source for Account {
    fn name(&self) -> &SourceName {
        &self.name
    }

    fn api_version(&self) -> &str {
        "2026-03-01"
    }

    fn documented_fields(&self, _: Kind) -> &'static [&'static str] {
        &[]
    }

    async fn page(
        &self,
        kind: Kind,
        selection: &Selection,
        cursor: Option<&Cursor>,
        urgency: Urgency,
    ) -> Result<Page, SourceError> {
        let exchange = self.call(urgency).await;
        let after = cursor.and_then(|Cursor(text)| text.parse().ok());
        let shelves = self.shelves();
        let shelf = &shelves[kind as usize];
        let mut places = shelf.select(selection, after);
        let has_more = places.len() > PAGE_SIZE;
        places.truncate(PAGE_SIZE);
        let next_cursor = places.last().filter(|_| has_more).map(|place| Cursor(place.to_string()));
        let row = |place: usize| Row {
            id: id(kind, place),
            raw: RawValue::from_string(render(kind, place, &shelf.resources[place])).expect("JSON"),
        };
        let rows = places.into_iter().map(row).collect();
        Ok(Page { rows, malformed: Vec::new(), has_more, next_cursor, exchange })
    }

    async fn get(&self, kind: Kind, id: &ResourceId, urgency: Urgency) -> Result<Fetched, SourceError> {
        let exchange = self.call(urgency).await;
        let Some(place) = place_of(id) else { return Ok(Fetched::NotFound(exchange)) };
        let resource = self.see(kind, place);
        if !resource.is_listed {
            return Ok(Fetched::NotFound(exchange));
        }
        let fields = serde_json::from_str(&render(kind, place, &resource)).expect("an object");
        Ok(Fetched::Found(Box::new(self.seen(kind, id, fields, Coverage::Whole)), exchange))
    }

    fn open_row(&self, kind: Kind, row: &Row) -> Result<Seen, Malformed> {
        let fields = serde_json::from_str(row.raw.get()).expect("an object");
        Ok(self.seen(kind, &row.id, fields, Coverage::Row))
    }
}
