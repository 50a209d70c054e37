//! Exemptions: whether a customer is exempt in a jurisdiction today, by what the certificates were last seen to say.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::error::ApiError;
use super::openapi::examples;
use super::request::Query;
use super::resources::as_of;
use super::resources::asked::{customer, sources};
use super::state::Api;
use crate::model::criteria::{Criteria, ListPlace};
use crate::model::exemption::exemption;
use crate::model::resource::{Kind, ResourceId, Snapshot, SourceName};
use crate::model::time::Timestamp;
use crate::store::{SnapshotQuery, StoreError};

/// A customer's certificates are read so many at a time.
const AT_ONCE: usize = 100;

/// Whether there is an exemption, and what it rests on.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Exemption", example = examples::exemption())]
pub(super) struct Answer {
    /// The word for it.
    #[schemars(extend("const" = "exemption"))]
    object: &'static str,
    /// Whether some certificate is active or expiring there and today lies within its dates.
    exempt: bool,
    /// The first day, as a plain date; null where no bound is known or there is no exemption.
    #[schemars(extend("format" = "date"))]
    valid_from: Option<String>,
    /// The last day, as a plain date; null where no bound is known or there is no exemption.
    #[schemars(extend("format" = "date"))]
    valid_until: Option<String>,
    /// The certificates that it rests on.
    certificate_ids: Vec<ResourceId>,
    /// The instant as of which all of the sources are known; null until each has been listed once.
    as_of: Option<Timestamp>,
}

/// `GET /v1/exemptions`.
pub(super) async fn show(State(api): State<Arc<Api>>, Query(mut input): Query) -> Result<Json<Answer>, ApiError> {
    let sources = sources(&mut input, &api);
    for name in ["customer_id", "jurisdiction"] {
        if !input.has(name) {
            input.report(name, "is required");
        }
    }
    let customer = customer(&mut input);
    let jurisdiction = input.text("jurisdiction");
    input.finish()?;
    let names = sources.iter().map(|source| source.name.clone()).collect();
    let today = api.clock.now().day_in(&api.timezone);
    let criteria = Criteria { customer, jurisdiction: jurisdiction.clone(), ..Criteria::default() };
    let certificates = all(&api, names, criteria).await?;
    let found = exemption(&certificates, jurisdiction.as_deref().unwrap_or_default(), today, &api.timezone);
    let as_of = sources.iter().map(as_of).min().flatten();
    Ok(Json(Answer {
        object: "exemption",
        exempt: !found.certificate_ids.is_empty(),
        valid_from: found.valid_from.map(|day| day.to_string()),
        valid_until: found.valid_until.map(|day| day.to_string()),
        certificate_ids: found.certificate_ids,
        as_of,
    }))
}

/// All certificates of a customer that name a jurisdiction, newest first.
async fn all(api: &Api, sources: Vec<SourceName>, criteria: Criteria) -> Result<Vec<Snapshot>, StoreError> {
    let mut all = Vec::new();
    let mut after: Option<ListPlace> = None;
    loop {
        let query = SnapshotQuery {
            kind: Kind::Certificate,
            sources: sources.clone(),
            criteria: criteria.clone(),
            removed: false,
            after,
            ascending: false,
            limit: AT_ONCE,
        };
        let page = api.store.listed(query).await?;
        all.extend(page.found);
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}
