//! The Numeral dialect: <https://api.numeralhq.com>, API version 2026-03-01.
//!
//! Invariants: only the query parameters that the vendor documents are sent; an item that cannot be used never
//! spoils its page; an answer that is no list, or not the resource that was asked for, is never taken for one.
//!
//! In reading order: `envelope` (a page, of whose rows only the id is read), `projection` (a resource), `commands`
//! (changes and documents).

mod commands;
mod envelope;
mod projection;

use std::sync::Arc;

use async_trait::async_trait;

use super::http::{Answer, Client, Limits, NO_TYPE, SetupError, VendorHeader};
use super::{Cursor, Fetched, Malformed, Page, Row, Selection, Settings, Source, SourceError, Urgency};
use crate::clock::Clock;
use crate::model::resource::{Coverage, Kind, ResourceId, Seen, SourceName};
use crate::telemetry::meters::Calls;

/// The most items that the vendor puts on a page.
const PAGE_SIZE_MAX: u8 = 100;

/// A Numeral account.
#[derive(Debug)]
pub struct Numeral {
    name: SourceName,
    api_version: String,
    page_size: u8,
    client: Client,
}

impl Numeral {
    /// The account that the settings describe. Nothing is sent yet.
    ///
    /// # Errors
    /// If the settings cannot be used; the message names the setting and what would be right.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        Self::with_limits(settings, clock, Limits::default())
    }

    /// The same with other limits than the usual ones.
    ///
    /// # Errors
    /// Those of [`Numeral::new`].
    pub fn with_limits(settings: Settings, clock: Arc<dyn Clock>, limits: Limits) -> Result<Self, SetupError> {
        if !(1..=PAGE_SIZE_MAX).contains(&settings.page_size) {
            let reason = format!("must be from 1 to {PAGE_SIZE_MAX}");
            return Err(SetupError::Setting { field: "page_size", reason });
        }
        let version = VendorHeader { name: "x-api-version", value: &settings.api_version, setting: "api_version" };
        let client = Client::new(&settings, &[version], limits, clock)?;
        Ok(Self { name: settings.name, api_version: settings.api_version, page_size: settings.page_size, client })
    }

    /// What its calls have measured.
    pub fn calls(&self) -> &Calls {
        self.client.calls()
    }

    /// How many calls could be sent at once: what is left in the bucket.
    pub fn tokens(&self) -> f64 {
        self.client.tokens()
    }
}

#[async_trait]
impl Source for Numeral {
    fn name(&self) -> &SourceName {
        &self.name
    }

    fn api_version(&self) -> &str {
        &self.api_version
    }

    fn unanswered_since(&self) -> Option<tokio::time::Instant> {
        self.client.unanswered_since()
    }

    /// As the vendor's pages show them, version 2026-03-01: GET /tax/certificates and GET
    /// /tax/certificates/{certificate_id}, whose `download_url` does not get past this room and is not among them; GET
    /// /tax/certificate-requests and the page about both objects.
    fn documented_fields(&self, kind: Kind) -> &'static [&'static str] {
        match kind {
            Kind::Certificate => &[
                "id",
                "object",
                "status",
                "certificate_type",
                "customer",
                "jurisdictions",
                "effective_date",
                "expiration_date",
                "created_at",
                "updated_at",
                "livemode",
            ],
            Kind::CertificateRequest => &[
                "id",
                "object",
                "status",
                "customer",
                "certificate_id",
                "certificate_type_id",
                "jurisdictions",
                "created_at",
                "updated_at",
                "expires_at",
                "livemode",
            ],
        }
    }

    async fn page(
        &self,
        kind: Kind,
        selection: &Selection,
        cursor: Option<&Cursor>,
        urgency: Urgency,
    ) -> Result<Page, SourceError> {
        let query = query(selection, self.page_size, cursor);
        let Answer { exchange, body } = self.client.get(&["tax", collection(kind)], &query, urgency).await?;
        let body = body?;
        envelope::read(kind, &body, exchange).map_err(|reason| self.client.useless(&body, reason))
    }

    async fn get(&self, kind: Kind, id: &ResourceId, urgency: Urgency) -> Result<Fetched, SourceError> {
        let path = ["tax", collection(kind), id.as_str()];
        let Answer { exchange, body } = self.client.get(&path, &[], urgency).await?;
        let body = match body {
            Ok(body) => body,
            Err(error) if says_not_found(&error) => return Ok(Fetched::NotFound(exchange)),
            Err(error) => return Err(error),
        };
        let raw = projection::whole(&body).map_err(|reason| self.client.useless(&body, reason))?;
        Ok(match projection::project(&self.name, kind, id, raw, Coverage::Whole) {
            Ok(seen) => Fetched::Found(Box::new(seen), exchange),
            Err(malformed) => Fetched::Malformed(malformed),
        })
    }

    fn open_row(&self, kind: Kind, row: &Row) -> Result<Seen, Malformed> {
        projection::project(&self.name, kind, &row.id, &row.raw, Coverage::Row)
    }
}

/// The last part of a kind's path.
const fn collection(kind: Kind) -> &'static str {
    match kind {
        Kind::Certificate => "certificates",
        Kind::CertificateRequest => "certificate-requests",
    }
}

/// The parameters of a listing: the page's size, the filter, and where to go on.
fn query(selection: &Selection, page_size: u8, cursor: Option<&Cursor>) -> Vec<(&'static str, String)> {
    let mut query = vec![("limit", page_size.to_string())];
    match selection {
        Selection::Everything => {}
        Selection::UpdatedAfter(instant) => query.push(("updated_after", instant.to_string())),
        Selection::Status(status) => query.push(("status", (*status).into())),
        Selection::CreatedBetween(after, before) => {
            query.push(("created_after", after.to_string()));
            query.push(("created_before", before.to_string()));
        }
    }
    if let Some(Cursor(cursor)) = cursor {
        query.push(("cursor", cursor.clone()));
    }
    query
}

/// Whether an answer by id says that the resource is not there: a 404 whose type says so, or that has none. Any
/// other type speaks of something else (of the path, say), and a false "not there" is the worst answer that we give.
fn says_not_found(error: &SourceError) -> bool {
    const WORDS: [&str; 4] = ["CERTIFICATE_NOT_FOUND", "CERTIFICATE_REQUEST_NOT_FOUND", "NOT_FOUND", NO_TYPE];
    match error {
        SourceError::Refused { status: 404, kind, .. } => WORDS.iter().any(|word| word.eq_ignore_ascii_case(kind)),
        SourceError::Refused { .. }
        | SourceError::Unauthorized { .. }
        | SourceError::Throttled { .. }
        | SourceError::Unavailable(_) => false,
    }
}
