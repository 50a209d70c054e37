//! The one place where answers about a source become commits.
//!
//! Passes of different kinds interleave page by page, and their answers arrive in any order. Whatever they bring is
//! compared with the snapshots and committed under one lock, and no call to the upstream is made while it is held.
//!
//! In reading order: this file (answers), `recall` (what is known of rows), `sort` (which answers are applied), `commit`
//! (what is written of those), `chores` (what our clock finds due), `absent` (what no list shows any more).

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, watch};

use self::sort::without_repeats;
use super::account::{Account, Told};
use super::crossing::{Crossings, Ticket};
use super::recognised::Recognised;
use super::{Baseline, Settings};
use crate::detect::agenda::Policy;
use crate::detect::diff::FirstSight;
use crate::detect::fingerprint::fingerprint;
use crate::model::event::Cause;
use crate::model::resource::{Kind, OpenList, ResourceId, Seen, Snapshot};
use crate::model::source::SourceProgress;
use crate::model::time::Timestamp;
use crate::source::{Exchange, Malformed, Row, Source};
use crate::store::space::Space;
use crate::store::{SightCommit, SightStore, StoreError};

mod absent;
mod chores;
mod commit;
mod recall;
mod sort;

pub(super) use absent::{Absent, Gone};
pub(super) use chores::DueFetch;

/// More top-level fields than any upstream has; those beyond are watched without being told to be new.
const FIELDS_MAX: usize = 300;

/// Whether a field of this name is told to be new, and noted, as any reasonable one is: all that are noted go into one
/// commit, and what upstream writes must not make that too large.
fn is_noted(name: &str) -> bool {
    name.len() <= 256 && !name.contains(|letter: char| letter.is_control() || matches!(letter, '"' | '\\'))
}

/// How somebody came to see a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A list shows it.
    Listed,
    /// A list showed it, and it was held back since.
    HeldBack,
    /// An answer by id shows it, for which a row had called; with the version of what was known to be gone when that came.
    Followed(Option<u64>),
    /// Only an answer by id shows it.
    ById,
}

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
        /// How it came.
        way: Way,
    },
}

impl Item {
    /// A row as a page showed it.
    pub(super) fn row(row: Row) -> Self {
        let shown = fingerprint(row.raw.get());
        Self::Row(row, shown)
    }

    /// The id and the fingerprint of a row that was not looked into yet.
    fn as_row(&self) -> Option<(&ResourceId, u128)> {
        match self {
            Self::Row(row, shown) => Some((&row.id, *shown)),
            Self::Seen { .. } => None,
        }
    }

    /// Of which resource.
    pub(super) fn id(&self) -> &ResourceId {
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
    /// What made us look; `None`: a question through our API.
    pub(super) cause: Option<Cause>,
    /// The call through our API whose answer this is.
    pub(super) request_id: Option<&'a str>,
    /// The open list that shows them, if it is one.
    pub(super) list: Option<OpenList>,
    /// Whether being seen like this means that a resource that is known is not absent. What was archived may answer to
    /// its id for ever.
    pub(super) is_a_sight: bool,
}

/// What becomes of first sights of resources that were created before the baseline began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Strays {
    /// They wait until it is clear how many there are.
    #[default]
    HoldBack,
    /// They are new.
    Tell,
    /// They belong to the baseline.
    Absorb,
}

/// What a pass has found out that matters to what it applies.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Certificates for which no request waits any more: each was asked for, and is known or cannot be had.
    pub(super) settled: HashSet<ResourceId>,
    /// What becomes of strays.
    pub(super) strays: Strays,
}

/// A row that told too little.
#[derive(Debug)]
pub(super) struct ShownRow {
    /// What it showed.
    pub(super) seen: Box<Seen>,
    /// Its fingerprint, kept if the answer by id shows the same state.
    pub(super) fingerprint: u128,
    /// The version of its resource if that was gone when it came.
    pub(super) gone: Option<u64>,
}

impl ShownRow {
    /// A row of what is known like this.
    fn new(before: Option<&Snapshot>, seen: Box<Seen>, fingerprint: u128) -> Self {
        let gone = before.filter(|before| before.removed.is_some()).map(|before| before.object_version);
        Self { seen, fingerprint, gone }
    }
}

/// A resource that must be asked for by id.
#[derive(Debug)]
pub(super) struct Fetch {
    /// Its kind.
    pub(super) kind: Kind,
    /// Its id.
    pub(super) id: ResourceId,
    /// The row that called for it.
    pub(super) row: Option<ShownRow>,
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
    /// Of these, those of what had been gone.
    pub(super) restored: u64,
    /// First sights that were taken into the baseline.
    pub(super) absorbed: u64,
    /// Answers that may be older than what is known.
    pub(super) dropped: u64,
    /// Items that cannot be used.
    pub(super) malformed: Vec<Malformed>,
    /// What must be asked for by id.
    pub(super) fetches: Vec<Fetch>,
    /// What waits for a certificate.
    pub(super) held: Vec<Held>,
    /// Strays that wait.
    pub(super) strays: Vec<Item>,
}

/// Applies answers about one source.
pub(super) struct Applier {
    source: Arc<dyn Source>,
    store: Arc<dyn SightStore>,
    account: Arc<Account>,
    baseline: Baseline,
    ignored_fields: Vec<String>,
    dates: Policy,
    crossings: Crossings,
    recognised: Recognised,
    is_recalled: AtomicBool,
    /// Holding it is the right to commit.
    progress: AsyncMutex<Option<SourceProgress>>,
    /// A copy for those who only look.
    shown: Mutex<Option<SourceProgress>>,
}

impl Applier {
    /// Takes up where the progress in the store says.
    pub(super) async fn open(
        source: Arc<dyn Source>,
        store: Arc<dyn SightStore>,
        account: Arc<Account>,
        settings: &Settings,
    ) -> Result<Self, StoreError> {
        let progress = store.progress(source.name()).await?;
        Ok(Self {
            source,
            store,
            account,
            baseline: settings.baseline,
            ignored_fields: settings.ignore_fields.clone(),
            dates: settings.dates.clone(),
            crossings: Crossings::default(),
            recognised: Recognised::default(),
            is_recalled: AtomicBool::new(false),
            shown: Mutex::new(progress.clone()),
            progress: AsyncMutex::new(progress),
        })
    }

    /// Where the passes stand, as last committed; `None` before the first.
    pub(super) fn progress(&self) -> Option<SourceProgress> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The room that is left for what passes find.
    pub(super) fn space(&self) -> watch::Receiver<Space> {
        self.store.space()
    }

    /// That a request is about to be sent.
    pub(super) fn depart(&self) -> Ticket {
        self.crossings.depart()
    }

    /// What has been seen since the last sweep began, and what rows look like.
    pub(super) fn recognised(&self) -> &Recognised {
        &self.recognised
    }

    /// Where the passes stand; a source that was never read begins its baseline at `now`, which is durable before
    /// anything of it is stored.
    pub(super) async fn begin(&self, now: Timestamp) -> Result<SourceProgress, StoreError> {
        let mut progress = self.progress.lock().await;
        if let Some(known) = progress.as_ref() {
            return Ok(known.clone());
        }
        let begun = SourceProgress {
            agenda_for: Some(chores::name_of(&self.dates)),
            ..SourceProgress::new(self.source.name().clone(), now)
        };
        self.commit_progress(&mut progress, begun.clone(), Vec::new()).await?;
        Ok(begun)
    }

    /// Commits what moves the progress, with what the gateway says about it.
    pub(super) async fn advance(
        &self,
        step: impl FnOnce(&SourceProgress) -> (SourceProgress, Vec<Told>) + Send,
    ) -> Result<(), StoreError> {
        let mut progress = self.progress.lock().await;
        let Some((moved, told)) = progress.as_ref().map(step) else { return Ok(()) };
        if told.is_empty() && progress.as_ref() == Some(&moved) {
            return Ok(());
        }
        self.commit_progress(&mut progress, moved, told).await
    }

    async fn commit_progress(
        &self,
        progress: &mut Option<SourceProgress>,
        moved: SourceProgress,
        told: Vec<Told>,
    ) -> Result<(), StoreError> {
        let sights = if told.is_empty() { Vec::new() } else { vec![SightCommit { told, ..SightCommit::default() }] };
        self.store.commit_sights(sights, Some(moved.clone())).await?;
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(moved.clone());
        *progress = Some(moved);
        Ok(())
    }

    /// Compares items with the snapshots and commits what follows.
    pub(super) async fn apply(
        &self,
        items: Vec<Item>,
        arrival: Arrival<'_>,
        findings: &Findings,
    ) -> Result<Applied, StoreError> {
        let mut applied = Applied::default();
        let mut progress = self.progress.lock().await;
        let (items, contradicted) = without_repeats(items);
        applied.dropped += contradicted.len() as u64;
        if arrival.is_a_sight {
            contradicted.iter().for_each(|id| self.recognised.see(arrival.kind, id));
        }
        applied.fetches.extend(contradicted.into_iter().map(|id| Fetch { kind: arrival.kind, id, row: None }));
        let items = self.without_known(items, arrival);
        let ids: Vec<ResourceId> = items.iter().map(|item| item.id().clone()).collect();
        if ids.is_empty() {
            return Ok(applied);
        }
        let known = self.store.snapshots(self.source.name(), arrival.kind, &ids).await?;
        let known: HashMap<ResourceId, Snapshot> =
            known.into_iter().flatten().map(|snapshot| (snapshot.key.id.clone(), snapshot)).collect();
        let there = known.values().filter(|snapshot| snapshot.removed.is_none());
        there.for_each(|snapshot| self.recognised.find(arrival.kind, &snapshot.key.id));
        let at = progress.clone().expect("a pass begins with it");
        let mut sorted = self.sort(items, arrival, &known, &at, findings, &mut applied);
        self.hold_back(&mut sorted, &known, findings, &mut applied).await?;
        self.learn_fields(&mut progress, arrival, &sorted.to_apply).await?;
        let at = progress.as_ref().unwrap_or(&at);

        let ids = sorted.to_apply.iter().map(|to_apply| to_apply.seen.key.id.clone());
        let ids: Vec<ResourceId> = ids.filter(|id| known.contains_key(id)).collect();
        let missed = self.missed_by_sweeps(arrival.kind, &ids).await?;
        let mut commits = Vec::new();
        for mut to_apply in sorted.to_apply {
            let swept_at = at.swept_at.filter(|_| !missed.contains(&to_apply.seen.key.id));
            let before = known.get(&to_apply.seen.key.id);
            if before.is_none() {
                // The sweep under way may have passed its place before it was there: what nobody knew is not missing.
                self.recognised.see(arrival.kind, &to_apply.seen.key.id);
            }
            if before.is_none() && findings.strays == Strays::Absorb && to_apply.first_sight != FirstSight::Live {
                applied.absorbed += 1;
            }
            if before.is_some_and(|before| self.document_may_have_come(before, &to_apply.seen)) {
                // Recognised is this row only once the answer is there, so that the next pass asks if this one cannot.
                let row = to_apply.row_fingerprint.take();
                let row = row.map(|shown| ShownRow::new(before, to_apply.seen.clone(), shown));
                applied.fetches.push(Fetch { kind: arrival.kind, id: to_apply.seen.key.id.clone(), row });
            }
            sorted.confirmed.push(to_apply.seen.key.id.clone());
            commits.extend(self.commit_of(before, &to_apply, arrival, swept_at, at));
        }
        self.commit(commits, &mut applied).await?;
        let is_refused = |id: &&ResourceId| applied.malformed.iter().any(|item| item.id.as_ref() == Some(*id));
        let read = sorted.confirmed.iter().filter(|id| !is_refused(id));
        read.for_each(|id| self.recognised.read(arrival.kind, id));
        self.crossings.arrived(Some(arrival.ticket), arrival.exchange.answered_at, arrival.kind, sorted.confirmed);
        Ok(applied)
    }

    /// From now on the row of this snapshot is recognised without a look into the store.
    fn learn(&self, snapshot: &Snapshot) {
        let Snapshot { key, row_fingerprint, removed, .. } = snapshot;
        match removed {
            None => self.recognised.learn(key.kind, &key.id, *row_fingerprint),
            Some(_) => self.recognised.forget(key.kind, &key.id),
        }
    }

    /// What a first sight tells that is not one of a stray.
    fn first_sight(&self, progress: &SourceProgress) -> FirstSight {
        if progress.baseline_completed_at.is_some() { FirstSight::Live } else { self.of_baseline() }
    }

    /// What a first sight tells that belongs to the baseline.
    fn of_baseline(&self) -> FirstSight {
        match self.baseline {
            Baseline::Silent => FirstSight::Silent,
            Baseline::Emit => FirstSight::Baseline,
        }
    }
}
