//! A store that keeps all that was ever committed to it, and when.

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

use certhook::model::source::SourceProgress;
use certhook::store::space::Space;
use certhook::store::{SightCommit, StoreError};
use tokio::sync::watch;

use crate::support::book::{Book, ample_room, reads_from_its_book};
use crate::support::scripted_source::book::Moments;

/// One thing that was committed.
#[derive(Clone, Debug)]
pub(super) enum Committed {
    /// What was seen of a resource, or is said of the source.
    Sight(Box<SightCommit>),
    /// Where the passes stand.
    Progress(Box<SourceProgress>),
}

/// The store.
pub(super) struct Ledger {
    moments: Moments,
    kept: Mutex<(Book, Vec<(u64, Committed)>)>,
    room: watch::Sender<Space>,
}

struct InKept<'a>(MutexGuard<'a, (Book, Vec<(u64, Committed)>)>);

impl Deref for InKept<'_> {
    type Target = Book;

    fn deref(&self) -> &Book {
        &self.0.0
    }
}

impl Ledger {
    /// An empty one, which shares its count of moments with upstream.
    pub(super) fn new(moments: Moments) -> Self {
        Self { moments, kept: Mutex::default(), room: ample_room() }
    }

    /// All that was committed, in its order.
    pub(super) fn committed(&self) -> Vec<(u64, Committed)> {
        self.lock().1.clone()
    }

    fn book(&self) -> Result<impl Deref<Target = Book>, StoreError> {
        Ok(InKept(self.lock()))
    }

    async fn commit(&self, sights: Vec<SightCommit>, progress: Option<SourceProgress>) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        let mut kept = self.lock();
        for sight in sights {
            kept.0.put(&sight);
            kept.1.push((self.moments.next(), Committed::Sight(Box::new(sight))));
        }
        if let Some(progress) = progress {
            kept.1.push((self.moments.next(), Committed::Progress(Box::new(progress.clone()))));
            kept.0.put_progress(Some(progress));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, (Book, Vec<(u64, Committed)>)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

reads_from_its_book!(Ledger);
