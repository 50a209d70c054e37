//! The one place where answers about a source become commits.
//!
//! Passes of different kinds interleave page by page, and their answers arrive in any order. Whatever they bring is
//! compared with the snapshots and committed under one lock, and no call to the upstream is made while it is held.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use super::crossing::{Crossings, Ticket};
use super::ruling::{Ruling, fulfilling_certificate, rule};
use super::{Baseline, Settings};
use crate::detect::diff::{Context, FirstSight, Verdict, diff};
use crate::detect::fingerprint::fingerprint;
use crate::model::event::{Cause, EventDraft, Sight};
use crate::model::resource::{Kind, ResourceId, Seen, Snapshot};
use crate::model::source::SourceProgress;
use crate::model::time::Timestamp;
use crate::source::{Exchange, Malformed, Row, Source};
use crate::store::{SightCommit, SightStore, StoreError};

/// Something that an answer showed of one resource.
#[derive(Debug)]
pub(super) enum Item {
    /// A row, not yet looked into, and its fingerprint.
    Row(Row, u128),
    /// A row that was looked into, or an answer by id.
    Seen {
        /// What it showed.
        seen: Box<Seen>,
        /// The fingerprint of the row that shows this very state.
        row_fingerprint: Option<u128>,
    },
}

impl Item {
    /// A row as a page showed it.
    pub(super) fn row(row: Row) -> Self {
        let shown = fingerprint(row.raw.get());
        Self::Row(row, shown)
    }

    fn id(&self) -> &ResourceId {
        match self {
            Self::Row(row, _) => &row.id,
            Self::Seen { seen, .. } => &seen.key.id,
        }
    }
}

/// How items came here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    /// What they are.
    pub(super) kind: Kind,
    /// When the answer was asked for and given.
    pub(super) exchange: Exchange,
    /// The request's ticket, still held.
    pub(super) ticket: &'a Ticket,
    /// What made us look.
    pub(super) cause: Cause,
}

/// A resource that must be asked for by id.
#[derive(Debug)]
pub(super) struct Fetch {
    /// Its kind.
    pub(super) kind: Kind,
    /// Its id.
    pub(super) id: ResourceId,
    /// The row that told too little, with its fingerprint: kept if the answer shows the same state.
    pub(super) row: Option<(Box<Seen>, u128)>,
}

/// A fulfilled request that waits for its certificate.
#[derive(Debug)]
pub(super) struct Held {
    /// The request.
    pub(super) item: Item,
    /// The certificate, of which there is no snapshot.
    pub(super) certificate: ResourceId,
}

/// What came of applying items.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// Sights that told something.
    pub(super) changed: u64,
    /// Answers that may be older than what is known.
    pub(super) dropped: u64,
    /// Items that cannot be used.
    pub(super) malformed: Vec<Malformed>,
    /// What must be asked for by id.
    pub(super) fetches: Vec<Fetch>,
    /// What waits for a certificate.
    pub(super) held: Vec<Held>,
}

/// Applies answers about one source.
pub(super) struct Applier {
    source: Arc<dyn Source>,
    store: Arc<dyn SightStore>,
    baseline: Baseline,
    ignored_fields: Vec<String>,
    crossings: Crossings,
    /// Holding it is the right to commit.
    progress: AsyncMutex<Option<SourceProgress>>,
    /// A copy for those who only look.
    shown: Mutex<Option<SourceProgress>>,
}

/// Items that were looked into, on the way to a commit.
#[derive(Debug, Default)]
struct Sorted {
    to_apply: Vec<(Box<Seen>, Option<u128>)>,
    confirmed: Vec<ResourceId>,
}

impl Applier {
    /// Takes up where the progress in the store says.
    pub(super) async fn open(
        source: Arc<dyn Source>,
        store: Arc<dyn SightStore>,
        settings: &Settings,
    ) -> Result<Self, StoreError> {
        let progress = store.progress(source.name()).await?;
        Ok(Self {
            source,
            store,
            baseline: settings.baseline,
            ignored_fields: settings.ignore_fields.clone(),
            crossings: Crossings::default(),
            shown: Mutex::new(progress.clone()),
            progress: AsyncMutex::new(progress),
        })
    }

    /// Where the passes stand, as last committed; `None` before the first.
    pub(super) fn progress(&self) -> Option<SourceProgress> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// That a request is about to be sent.
    pub(super) fn depart(&self) -> Ticket {
        self.crossings.depart()
    }

    /// Where the passes stand; a source that was never read begins its baseline at `now`, which is durable before
    /// anything of it is stored.
    pub(super) async fn begin(&self, now: Timestamp) -> Result<SourceProgress, StoreError> {
        let mut progress = self.progress.lock().await;
        if let Some(known) = progress.as_ref() {
            return Ok(known.clone());
        }
        let begun = SourceProgress::new(self.source.name().clone(), now);
        self.commit_progress(&mut progress, begun.clone(), None).await?;
        Ok(begun)
    }

    /// Commits what a complete pass moved, with what the gateway says about it.
    pub(super) async fn advance(
        &self,
        step: impl FnOnce(&SourceProgress) -> SourceProgress + Send,
        told: Option<(Sight, Vec<EventDraft>)>,
    ) -> Result<(), StoreError> {
        let mut progress = self.progress.lock().await;
        let Some(moved) = progress.as_ref().map(step) else { return Ok(()) };
        self.commit_progress(&mut progress, moved, told).await
    }

    async fn commit_progress(
        &self,
        progress: &mut Option<SourceProgress>,
        moved: SourceProgress,
        told: Option<(Sight, Vec<EventDraft>)>,
    ) -> Result<(), StoreError> {
        let sights = told.map(|told| SightCommit { snapshot: None, told: Some(told) }).into_iter().collect();
        self.store.commit_sights(sights, Some(moved.clone())).await?;
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(moved.clone());
        *progress = Some(moved);
        Ok(())
    }

    /// Compares items with the snapshots and commits what follows. `settled` are the certificates for which no
    /// request needs to wait any more.
    pub(super) async fn apply(
        &self,
        items: Vec<Item>,
        arrival: Arrival<'_>,
        settled: &HashSet<ResourceId>,
    ) -> Result<Applied, StoreError> {
        let mut applied = Applied::default();
        let progress = self.progress.lock().await;
        let ids: Vec<ResourceId> = items.iter().map(|item| item.id().clone()).collect();
        let known = self.store.snapshots(self.source.name(), arrival.kind, &ids).await?;
        let known: HashMap<ResourceId, Snapshot> =
            known.into_iter().flatten().map(|snapshot| (snapshot.key.id.clone(), snapshot)).collect();

        let mut sorted = self.sort(items, arrival, &known, &mut applied);
        let first_sight = match progress.as_ref().and_then(|progress| progress.baseline_completed_at) {
            Some(_) => FirstSight::Live,
            None => match self.baseline {
                Baseline::Silent => FirstSight::Silent,
                Baseline::Emit => FirstSight::Baseline,
            },
        };
        self.hold_back(&mut sorted, &known, first_sight, settled, &mut applied).await?;

        let mut commits = Vec::new();
        for (seen, row_fingerprint) in sorted.to_apply {
            let context = Context {
                arrived_at: arrival.exchange.answered_at,
                first_sight,
                cause: arrival.cause,
                request_id: None,
                row_fingerprint,
                swept_at: progress.as_ref().and_then(|progress| progress.swept_at),
                ignored_fields: &self.ignored_fields,
                api_version: self.source.api_version(),
            };
            let id = seen.key.id.clone();
            match diff(known.get(&id), &seen, &context) {
                Verdict::Same => {}
                Verdict::Touched(snapshot) => commits.push(SightCommit { snapshot: Some(snapshot), told: None }),
                Verdict::Told(snapshot, sight, drafts) => {
                    commits.push(SightCommit { snapshot: Some(snapshot), told: Some((sight, drafts)) });
                }
            }
            sorted.confirmed.push(id);
        }
        self.commit(commits, &mut applied).await?;
        self.crossings.arrived(arrival.exchange.answered_at, arrival.kind, sorted.confirmed);
        Ok(applied)
    }

    /// Recognises rows by their bytes, looks into the others, and rules on each.
    fn sort(
        &self,
        items: Vec<Item>,
        arrival: Arrival<'_>,
        known: &HashMap<ResourceId, Snapshot>,
        applied: &mut Applied,
    ) -> Sorted {
        let mut sorted = Sorted::default();
        let (items, contradicted) = without_repeats(items);
        for id in contradicted {
            applied.dropped += 1;
            applied.fetches.push(Fetch { kind: arrival.kind, id, row: None });
        }
        for item in items {
            let id = item.id().clone();
            let before = known.get(&id);
            let crossed = self.crossings.crossed(arrival.ticket, arrival.exchange.asked_at, arrival.kind, &id);
            let (seen, row_fingerprint) = match item {
                Item::Seen { seen, row_fingerprint } => (seen, row_fingerprint),
                Item::Row(row, shown) => {
                    if before.is_some_and(|known| known.removed.is_none() && known.row_fingerprint == Some(shown)) {
                        if !crossed {
                            sorted.confirmed.push(id);
                        }
                        continue;
                    }
                    match self.source.open_row(arrival.kind, &row) {
                        Ok(seen) => (Box::new(seen), Some(shown)),
                        Err(malformed) => {
                            applied.malformed.push(malformed);
                            continue;
                        }
                    }
                }
            };
            self.rule_on(seen, row_fingerprint, before, crossed, &mut sorted, applied);
        }
        sorted
    }

    fn rule_on(
        &self,
        seen: Box<Seen>,
        row_fingerprint: Option<u128>,
        before: Option<&Snapshot>,
        crossed: bool,
        sorted: &mut Sorted,
        applied: &mut Applied,
    ) {
        let (kind, id) = (seen.key.kind, seen.key.id.clone());
        match rule(before, &seen, crossed, &self.ignored_fields) {
            Ruling::Ignore => {}
            Ruling::Apply => sorted.to_apply.push((seen, row_fingerprint)),
            Ruling::AskById => {
                let row = row_fingerprint.map(|row_fingerprint| (seen, row_fingerprint));
                applied.fetches.push(Fetch { kind, id, row });
            }
            Ruling::Drop { ask_by_id } => {
                applied.dropped += 1;
                if ask_by_id {
                    applied.fetches.push(Fetch { kind, id, row: None });
                }
            }
        }
    }

    /// Takes out the requests whose certificate must be seen first. In a silent baseline a request that is first
    /// seen tells nothing, so nothing needs to come before it.
    async fn hold_back(
        &self,
        sorted: &mut Sorted,
        known: &HashMap<ResourceId, Snapshot>,
        first_sight: FirstSight,
        settled: &HashSet<ResourceId>,
        applied: &mut Applied,
    ) -> Result<(), StoreError> {
        let wanted = |seen: &Seen| {
            let before = known.get(&seen.key.id);
            let is_told = before.is_some() || first_sight != FirstSight::Silent;
            fulfilling_certificate(before, seen).filter(|id| is_told && !settled.contains(id))
        };
        let ids: Vec<ResourceId> = sorted.to_apply.iter().filter_map(|(seen, _)| wanted(seen)).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let snapshots = self.store.snapshots(self.source.name(), Kind::Certificate, &ids).await?;
        let missing: HashSet<ResourceId> =
            ids.into_iter().zip(snapshots).filter(|(_, known)| known.is_none()).map(|(id, _)| id).collect();
        for (seen, row_fingerprint) in std::mem::take(&mut sorted.to_apply) {
            match wanted(&seen).filter(|id| missing.contains(id)) {
                Some(certificate) => {
                    applied.held.push(Held { item: Item::Seen { seen, row_fingerprint }, certificate });
                }
                None => sorted.to_apply.push((seen, row_fingerprint)),
            }
        }
        Ok(())
    }

    /// Commits sights. What the store refuses for its size is malformed, and spoils nothing else.
    async fn commit(&self, commits: Vec<SightCommit>, applied: &mut Applied) -> Result<(), StoreError> {
        if commits.is_empty() {
            return Ok(());
        }
        let told = commits.iter().filter(|commit| commit.told.is_some()).count() as u64;
        match self.store.commit_sights(commits.clone(), None).await {
            Ok(()) => applied.changed += told,
            Err(StoreError::TooLarge { .. }) => {
                for commit in commits {
                    let id = commit.snapshot.as_ref().map(|snapshot| snapshot.key.id.clone());
                    let tells = u64::from(commit.told.is_some());
                    match self.store.commit_sights(vec![commit], None).await {
                        Ok(()) => applied.changed += tells,
                        Err(error @ StoreError::TooLarge { .. }) => {
                            applied.malformed.push(Malformed { id, reason: error.to_string() });
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The items without those that an answer repeats, and the ids that it shows in more than one state: it does not say
/// which of them is the newer.
fn without_repeats(items: Vec<Item>) -> (Vec<Item>, HashSet<ResourceId>) {
    let mut shown: HashMap<ResourceId, u128> = HashMap::new();
    let mut contradicted = HashSet::new();
    let mut kept: Vec<Item> = Vec::with_capacity(items.len());
    for item in items {
        match &item {
            Item::Row(row, fingerprint) => match shown.insert(row.id.clone(), *fingerprint) {
                None => kept.push(item),
                Some(other) if other == *fingerprint => {}
                Some(_) => {
                    contradicted.insert(row.id.clone());
                }
            },
            Item::Seen { .. } => kept.push(item),
        }
    }
    kept.retain(|item| !contradicted.contains(item.id()));
    (kept, contradicted)
}
