//! A store of sights in memory, which refuses what would break a resource's chain of events, or the schema of an
//! event's type.

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

use certhook::detect::compare::changed_fields;
use certhook::model::event::{EventDraft, Mode, Sight, Subject};
use certhook::model::json::Fields;
use certhook::model::resource::{Agenda, Kind, ResourceId, Snapshot};
use certhook::model::source::SourceProgress;
use certhook::store::space::Space;
use certhook::store::{SightCommit, StoreError};
use tokio::sync::watch;

use super::book::{Book, ample_room, reads_from_its_book};
use super::schemas;

#[derive(Default)]
struct Kept {
    book: Book,
    told: Vec<(Sight, Vec<EventDraft>)>,
    commits: u64,
    too_large: Option<ResourceId>,
    closes_after: Option<u64>,
    refused: u64,
    not_watched: Vec<String>,
}

/// The book, for as long as what is kept is locked.
struct InKept<'a>(MutexGuard<'a, Kept>);

impl Deref for InKept<'_> {
    type Target = Book;

    fn deref(&self) -> &Book {
        &self.0.book
    }
}

/// The store.
pub(crate) struct SightMemory {
    kept: Mutex<Kept>,
    room: watch::Sender<Space>,
}

impl Default for SightMemory {
    fn default() -> Self {
        Self { kept: Mutex::default(), room: ample_room() }
    }
}

impl SightMemory {
    /// What was told since the last look: the resource (or source) and the event's type.
    pub(crate) fn take_told(&self) -> Vec<String> {
        let subject = |sight: &Sight| match &sight.subject {
            Subject::Resource(key) => key.id.as_str().to_owned(),
            Subject::Source(name) => name.as_str().to_owned(),
            Subject::Own(id) => id.clone(),
        };
        self.take_sights()
            .iter()
            .flat_map(|(sight, drafts)| {
                drafts.iter().map(move |draft| format!("{} {}", subject(sight), draft.event_type))
            })
            .collect()
    }

    /// The sights that told something since the last look.
    pub(crate) fn take_sights(&self) -> Vec<(Sight, Vec<EventDraft>)> {
        std::mem::take(&mut self.lock().told)
    }

    /// One snapshot.
    pub(crate) fn snapshot(&self, kind: Kind, id: &str) -> Option<Snapshot> {
        let kept = self.lock();
        kept.book.snapshots.values().find(|known| known.key.kind == kind && known.key.id.as_str() == id).cloned()
    }

    /// All snapshots.
    pub(crate) fn len(&self) -> usize {
        self.lock().book.snapshots.len()
    }

    /// The progress of the only source.
    pub(crate) fn only_progress(&self) -> SourceProgress {
        self.lock().book.progress.values().next().expect("a source was read").clone()
    }

    /// How many commits there were since the last look.
    pub(crate) fn take_commits(&self) -> u64 {
        std::mem::take(&mut self.lock().commits)
    }

    /// Refuses sights of that resource for their size.
    pub(crate) fn refuse(&self, id: &str) {
        self.lock().too_large = Some(id.parse().expect("an id"));
    }

    /// Becomes what an older version left: one that knew neither agendas, nor open lists, nor fields.
    pub(crate) fn grow_old(&self) {
        let mut kept = self.lock();
        for known in kept.book.snapshots.values_mut() {
            (known.open_list, known.agenda) = (None, Agenda::default());
        }
        for progress in kept.book.progress.values_mut() {
            (progress.agenda_for, progress.fields_since) = (None, Default::default());
            (progress.changes_completed_at, progress.baseline_watermark) = (None, None);
        }
    }

    /// Becomes what a version left that worked agendas out in another way, for the same policy.
    pub(crate) fn was_planned_otherwise(&self) {
        for progress in self.lock().book.progress.values_mut() {
            let name = progress.agenda_for.as_mut().expect("it was planned");
            *name = format!("0 {}", name.split_once(' ').expect("a version and a policy").1);
        }
    }

    /// Is closed after so many more commits.
    pub(crate) fn close_after(&self, commits: u64) {
        self.lock().closes_after = Some(commits);
    }

    /// How many commits it did not take since it was closed.
    pub(crate) fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// Fields that may change in silence.
    pub(crate) fn ignore(&self, fields: &[&str]) {
        self.lock().not_watched = fields.iter().map(|&field| field.into()).collect();
    }

    /// From now on so many bytes of a GiB that should be free are.
    pub(crate) fn has_free(&self, free: u64) {
        self.room.send_replace(Space::of(free, 1 << 30));
    }

    /// Is open again.
    pub(crate) fn reopen(&self) {
        self.lock().closes_after = None;
    }

    fn book(&self) -> Result<impl Deref<Target = Book>, StoreError> {
        Ok(InKept(self.lock()))
    }

    async fn commit(&self, sights: Vec<SightCommit>, progress: Option<SourceProgress>) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        let mut kept = self.lock();
        match &mut kept.closes_after {
            Some(0) => {
                kept.refused += 1;
                return Err(StoreError::Closed);
            }
            Some(left) => *left -= 1,
            None => {}
        }
        kept.commits += 1;
        for (sights_before, commit) in sights.into_iter().enumerate() {
            let id = commit.snapshot.as_ref().map(|snapshot| &snapshot.key.id);
            if id.is_some() && id == kept.too_large.as_ref() {
                return Err(StoreError::TooLarge { what: "a sight", size: 40_000, max: 32_768, sights_before });
            }
            let before = commit.snapshot.as_ref().and_then(|after| kept.book.snapshots.get(&after.key));
            let of_source = commit.snapshot.as_ref().and_then(|after| kept.book.progress.get(&after.key.source));
            check_chain(before, &commit, of_source, &kept.not_watched);
            for (sight, drafts) in &commit.told {
                schemas::assert_fit(sight, drafts);
            }
            kept.book.put(&commit);
            kept.told.extend(commit.told);
        }
        kept.book.put_progress(progress);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every sight begins where the last one ended, and counts on; what our clock adds counts nothing. A field that is
/// new upstream comes in silence, and one that is not watched changes in silence.
fn check_chain(
    before: Option<&Snapshot>,
    commit: &SightCommit,
    progress: Option<&SourceProgress>,
    not_watched: &[String],
) {
    let Some(after) = &commit.snapshot else { return };
    let last_seen = before.map(|before| before.observed_at).max(progress.and_then(|progress| progress.swept_at));
    let is_silent = |known: &Fields, name: &str| {
        let since = progress.and_then(|progress| progress.fields_since[after.key.kind as usize].get(name).copied());
        let is_watched = name != "updated_at" && !not_watched.iter().any(|other| other == name);
        !is_watched || !known.contains_key(name) && last_seen < since
    };
    let (mut known, mut version) =
        before.map_or_else(Default::default, |known| (known.object.fields(), known.object_version));
    let mut is_known = before.is_some();
    for (sight, drafts) in &commit.told {
        assert!(!drafts.is_empty(), "a sight without an event");
        if sight.detection.mode == Mode::Derived {
            assert_eq!(sight.detection.object_version, after.object_version);
            assert_eq!(sight.object, after.object);
            continue;
        }
        version += 1;
        assert_eq!(sight.detection.object_version, version, "versions have no gaps");
        let mut back = sight.object.fields();
        back.extend(sight.previous_attributes.fields());
        let unlike: Vec<_> =
            changed_fields(&known, &back).into_iter().filter(|name| !is_silent(&known, name)).collect();
        assert!(!is_known || unlike.is_empty(), "the chain breaks at {unlike:?}");
        (known, is_known) = (sight.object.fields(), true);
    }
    assert_eq!(after.object_version, version);
    let fields = after.object.fields();
    let unlike = changed_fields(&known, &fields);
    assert!(!is_known || unlike.iter().all(|name| is_silent(&known, name)), "{unlike:?} changed in silence");
}

reads_from_its_book!(SightMemory);
