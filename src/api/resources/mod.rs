//! Certificates and certificate requests as they were last seen, without asking upstream unless somebody says so.
//!
//! In reading order: this file (the calls), `asked` (what is asked for), `view` (how a resource is shown).

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use self::asked::{Asked, flag, sources};
use self::view::view;
use super::commands::CallError;
use super::error::{ApiError, ErrorKind};
use super::page::{List, Order, Page, PageQuery};
use super::request::{Named, Query};
use super::request_id::RequestId;
use super::state::Api;
use crate::model::criteria::ListPlace;
use crate::model::json::Fields;
use crate::model::resource::{AbsenceState, Kind, ResourceId, Snapshot, SourceName};
use crate::model::source::SourceStatus;
use crate::model::time::Timestamp;
use crate::store::{SnapshotQuery, StoreError};

pub(super) mod asked;
mod view;

/// A page of resources, and how far what is known of their sources goes.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub(super) struct Resources<T> {
    #[serde(flatten)]
    page: Page<T>,
    /// The sources that were looked at.
    sources: Vec<KnownSource>,
}

/// How far what is known of a source goes.
#[derive(Serialize, JsonSchema)]
struct KnownSource {
    /// Its name.
    name: SourceName,
    /// Whatever upstream had changed by then is in it; null until the first full listing is complete.
    as_of: Option<Timestamp>,
    /// Whether the first full listing is complete.
    complete: bool,
}

/// The instant as of which a source is known.
pub(super) fn as_of(source: &SourceStatus) -> Option<Timestamp> {
    source.watermark.filter(|_| source.baseline.complete)
}

/// `GET /v1/certificates`.
pub(super) async fn certificates(
    State(api): State<Arc<Api>>,
    Query(input): Query,
) -> Result<Json<Resources<Fields>>, ApiError> {
    list(&api, Kind::Certificate, List::Certificates, input).await
}

/// `GET /v1/certificate-requests`.
pub(super) async fn requests(
    State(api): State<Arc<Api>>,
    Query(input): Query,
) -> Result<Json<Resources<Fields>>, ApiError> {
    list(&api, Kind::CertificateRequest, List::CertificateRequests, input).await
}

async fn list(
    api: &Api,
    kind: Kind,
    list: List,
    mut input: super::input::Input,
) -> Result<Json<Resources<Fields>>, ApiError> {
    let page = PageQuery::<ListPlace>::take(&mut input, list);
    let Asked { sources, criteria, removed } = Asked::take(&mut input, kind, api);
    input.finish()?;
    let query = SnapshotQuery {
        kind,
        sources: sources.iter().map(|source| source.name.clone()).collect(),
        criteria,
        removed,
        after: page.after.clone(),
        ascending: page.order == Order::OldestFirst,
        limit: page.limit,
    };
    let read = api.store.listed(query).await?;
    let withheld = withheld(api, kind, &read.found).await?;
    let views = read.found.into_iter().map(|snapshot| {
        let is_withheld = withheld.contains(&(snapshot.key.source.clone(), snapshot.key.id.clone()));
        view(snapshot, is_withheld)
    });
    let known = |source: SourceStatus| KnownSource {
        as_of: as_of(&source),
        complete: source.baseline.complete,
        name: source.name,
    };
    let page = page.answer(views.collect(), read.next);
    Ok(Json(Resources { page, sources: sources.into_iter().map(known).collect() }))
}

/// Those of some resources of a kind whose removal is withheld.
async fn withheld(
    api: &Api,
    kind: Kind,
    snapshots: &[Snapshot],
) -> Result<HashSet<(SourceName, ResourceId)>, StoreError> {
    let sources: HashSet<&SourceName> = snapshots.iter().map(|snapshot| &snapshot.key.source).collect();
    let mut withheld = HashSet::new();
    for source in sources {
        let own = snapshots.iter().filter(|snapshot| snapshot.key.source == *source);
        let ids: Vec<ResourceId> = own.map(|snapshot| snapshot.key.id.clone()).collect();
        let absences = api.store.absences(source, kind, &ids).await?.into_iter().flatten();
        let undecided = absences.filter(|absence| absence.state == AbsenceState::Withheld);
        withheld.extend(undecided.map(|absence| (absence.key.source, absence.key.id)));
    }
    Ok(withheld)
}

/// `GET /v1/certificates/{id}`.
pub(super) async fn certificate(
    State(api): State<Arc<Api>>,
    Named(id): Named,
    request_id: RequestId,
    Query(input): Query,
) -> Result<Json<Fields>, ApiError> {
    show(&api, Kind::Certificate, &id, &request_id, input).await
}

/// `GET /v1/certificate-requests/{id}`.
pub(super) async fn request(
    State(api): State<Arc<Api>>,
    Named(id): Named,
    request_id: RequestId,
    Query(input): Query,
) -> Result<Json<Fields>, ApiError> {
    show(&api, Kind::CertificateRequest, &id, &request_id, input).await
}

async fn show(
    api: &Api,
    kind: Kind,
    name: &str,
    request_id: &RequestId,
    mut input: super::input::Input,
) -> Result<Json<Fields>, ApiError> {
    let sources = sources(&mut input, api);
    let removed = flag(&mut input, "removed");
    let fresh = flag(&mut input, "fresh");
    input.finish()?;
    let wanted = Wanted { removed, ..Wanted::of(kind, name)? };
    let mut as_of = None;
    if fresh {
        as_of = wanted.refresh(api, &sources, request_id).await?;
    }
    let mut snapshot = wanted.find(api, &sources).await?;
    snapshot.observed_at = as_of.map_or(snapshot.observed_at, |as_of| as_of.max(snapshot.observed_at));
    let is_withheld = !withheld(api, kind, std::slice::from_ref(&snapshot)).await?.is_empty();
    Ok(Json(view(snapshot, is_withheld)))
}

/// The snapshot of a resource as it is now, shown, if there is one.
pub(super) async fn show_now(
    api: &Api,
    source: &SourceName,
    kind: Kind,
    id: &ResourceId,
) -> Result<Option<Json<Fields>>, ApiError> {
    let known = api.store.snapshots(source, kind, std::slice::from_ref(id)).await?;
    let Some(snapshot) = known.into_iter().flatten().next() else { return Ok(None) };
    let is_withheld = !withheld(api, kind, std::slice::from_ref(&snapshot)).await?.is_empty();
    Ok(Some(Json(view(snapshot, is_withheld))))
}

/// One resource, by what names it.
pub(super) struct Wanted {
    kind: Kind,
    pub(super) id: ResourceId,
    /// Whether it may have been removed.
    removed: bool,
}

impl Wanted {
    /// The one of that name, which may not exist.
    pub(super) fn of(kind: Kind, name: &str) -> Result<Self, ApiError> {
        Ok(Self { kind, id: name.parse().map_err(|_| unknown(kind, name))?, removed: false })
    }

    /// That there is no such resource.
    pub(super) fn unknown(&self) -> ApiError {
        unknown(self.kind, self.id.as_str())
    }

    /// Its snapshots in these sources.
    async fn snapshots(&self, api: &Api, sources: &[SourceStatus]) -> Result<Vec<Snapshot>, StoreError> {
        let mut snapshots = Vec::new();
        for source in sources {
            let known = api.store.snapshots(&source.name, self.kind, std::slice::from_ref(&self.id)).await?;
            snapshots.extend(known.into_iter().flatten());
        }
        Ok(snapshots)
    }

    /// Its snapshot in the one source that holds it.
    async fn find(&self, api: &Api, sources: &[SourceStatus]) -> Result<Snapshot, ApiError> {
        let (there, gone): (Vec<_>, Vec<_>) =
            self.snapshots(api, sources).await?.into_iter().partition(|known| known.removed.is_none());
        match (only(there)?, only(gone)) {
            (Some(there), _) => Ok(there),
            (None, gone) if self.removed => gone?.ok_or_else(|| unknown(self.kind, self.id.as_str())),
            (None, Ok(Some(Snapshot { removed: Some(removal), .. }))) => {
                let message = format!("{} was removed at {}; removed=true shows it as it was", self.id, removal.at);
                Err(ApiError::new(not_found(self.kind), message))
            }
            (None, Ok(_) | Err(_)) => Err(unknown(self.kind, self.id.as_str())),
        }
    }

    /// The source that holds it, or all of these sources if it is known to none.
    async fn holders(&self, api: &Api, sources: &[SourceStatus]) -> Result<Vec<SourceName>, ApiError> {
        let known = self.snapshots(api, sources).await?.into_iter().filter(|known| known.removed.is_none());
        Ok(match only(known.collect())? {
            Some(known) => vec![known.key.source],
            None => sources.iter().map(|source| source.name.clone()).collect(),
        })
    }

    /// The one source that may hold it.
    pub(super) async fn holder(&self, api: &Api, sources: &[SourceStatus]) -> Result<SourceName, ApiError> {
        let mut holders = self.holders(api, sources).await?;
        match (holders.pop(), holders.is_empty()) {
            (Some(holder), true) => Ok(holder),
            (Some(_) | None, _) => {
                let message = format!("must be given: no source is known to hold {}", self.id);
                Err(ApiError::of_field("source", message).of_kind(ErrorKind::SourceAmbiguous))
            }
        }
    }

    /// Asks the source that holds it for it, or all of these sources if it is known to none. Gives the instant as of
    /// which the snapshot is true.
    async fn refresh(
        &self,
        api: &Api,
        sources: &[SourceStatus],
        request_id: &RequestId,
    ) -> Result<Option<Timestamp>, ApiError> {
        let mut as_of = None;
        for holder in self.holders(api, sources).await? {
            let asked = api.upstream.refresh(&holder, self.kind, &self.id, request_id.as_str()).await;
            as_of = asked.unwrap_or(Ok(None)).map_err(CallError::of_a_question)?.or(as_of);
        }
        match as_of {
            Some(as_of) => Ok(Some(as_of)),
            None => {
                let message = format!("upstream shows no {} {:?}", words(self.kind), self.id.as_str());
                Err(ApiError::new(not_found(self.kind), message))
            }
        }
    }
}

/// The only one of some snapshots of one id; `None` if there is none.
fn only(mut snapshots: Vec<Snapshot>) -> Result<Option<Snapshot>, ApiError> {
    let last = snapshots.pop();
    if snapshots.is_empty() {
        return Ok(last);
    }
    let names: Vec<&str> = snapshots.iter().chain(&last).map(|known| known.key.source.as_str()).collect();
    let message = format!("must be given: more than one source holds this id: {}", names.join(", "));
    Err(ApiError::of_field("source", message).of_kind(ErrorKind::SourceAmbiguous))
}

fn unknown(kind: Kind, id: &str) -> ApiError {
    ApiError::new(not_found(kind), format!("there is no {} {id:?}", words(kind)))
}

const fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Certificate => "certificate",
        Kind::CertificateRequest => "certificate request",
    }
}

const fn not_found(kind: Kind) -> ErrorKind {
    match kind {
        Kind::Certificate => ErrorKind::CertificateNotFound,
        Kind::CertificateRequest => ErrorKind::RequestNotFound,
    }
}
