//! Everything as it is at one moment, while commits go on.
//!
//! Nobody can stop the writer, and sled shows no moment: a walk over the rows meets some as they were before a commit and
//! others as they are after it. So the writer notes the key of every row that it has changed since the walk began, and
//! these rows are read once more, again and again, until few are left. The last of them are read by the writer itself
//! between two commits. From then on each row in the backup is the one that the store has at that moment: whatever
//! changed after it was read was noted after that, and so was read again.
//!
//! The writer waits for nothing but that last look, at most [`LAST_KEYS_MAX`] rows that were written a moment ago.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use sled::{IVec, Tree};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::act::Act;
use super::keys::{self, Key};
use super::view::broken;
use super::{Reader, read_with};
use crate::model::time::Timestamp;
use crate::store::StoreError;
use crate::store::backup::Backup;
use crate::store::backup::frames::FrameWriter;
use crate::store::codec::rare;

/// Rows in one piece: a megabyte at most.
const PAGE_ROWS: usize = 200;

/// While the walk goes on, rows that have changed are read again when there are so many of them.
const AGAIN_AT: usize = 10_000;

/// With so few left the writer is asked for the last of them;
const LAST_KEYS: usize = 500;

/// it does that unless there are so many by the time of its turn, so that commits wait for no more than about 50 ms.
const LAST_KEYS_MAX: usize = 5_000;

/// More than so many are not remembered: about 30 MiB. There are as many only if the one who reads is far too slow.
const KEYS_MAX: usize = 250_000;

/// A backup that nobody has asked for anything for so long gives way to the next one.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// A row as a backup has it; `None`: it is deleted.
pub(super) type Row = (Key, Option<IVec>);

/// The rows that have changed since a backup began.
pub(super) struct Changed(Mutex<State>);

struct State {
    keys: BTreeSet<Key>,
    /// Whether there were too many, or another backup has taken this one's place.
    is_given_up: bool,
    asked_at: Instant,
}

impl Changed {
    fn new() -> Self {
        Self(Mutex::new(State { keys: BTreeSet::new(), is_given_up: false, asked_at: Instant::now() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic is done while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes rows. To be called once they can be read as they are now: whoever takes a key and reads the row before that
    /// finds the key again.
    fn note<'k>(&self, keys: impl Iterator<Item = &'k Key>) {
        let mut state = self.state();
        if !state.is_given_up {
            state.keys.extend(keys.cloned());
        }
        if state.keys.len() > KEYS_MAX {
            give_up(&mut state);
        }
    }

    /// How many there are, for somebody who goes on.
    fn count(&self) -> Result<usize, StoreError> {
        let mut state = self.state();
        state.asked_at = Instant::now();
        if state.is_given_up { Err(StoreError::BackupOvertaken) } else { Ok(state.keys.len()) }
    }

    /// Up to `limit` of these rows as they are now. They are not among those that have changed any more.
    fn take(&self, tree: &Tree, limit: usize) -> Result<Vec<Row>, StoreError> {
        let keys: Vec<Key> = {
            let mut state = self.state();
            std::iter::from_fn(|| state.keys.pop_first()).take(limit).collect()
        };
        let row = |key: Key| tree.get(&key).map(|value| (key, value)).map_err(broken);
        keys.into_iter().map(row).collect()
    }

    /// The last ones, for the writer between two commits; `None` if there are too many.
    pub(super) fn take_last(&self, tree: &Tree) -> Result<Option<Vec<Row>>, StoreError> {
        if self.count()? > LAST_KEYS_MAX { Ok(None) } else { self.take(tree, LAST_KEYS_MAX).map(Some) }
    }
}

fn give_up(state: &mut State) {
    state.is_given_up = true;
    state.keys.clear();
}

/// The backup that is under way, if any.
#[derive(Default)]
pub(super) struct UnderWay(Mutex<Weak<Changed>>);

impl UnderWay {
    fn slot(&self) -> MutexGuard<'_, Weak<Changed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one, unless another is under way. It ends when it is dropped.
    fn begin(&self) -> Result<Arc<Changed>, StoreError> {
        let mut slot = self.slot();
        if let Some(other) = slot.upgrade() {
            let mut other = other.state();
            if !other.is_given_up && other.asked_at.elapsed() < ABANDONED_AFTER {
                return Err(StoreError::BackupUnderWay);
            }
            give_up(&mut other);
        }
        let changed = Arc::new(Changed::new());
        *slot = Arc::downgrade(&changed);
        Ok(changed)
    }

    /// Notes rows that were changed.
    pub(super) fn note<'k>(&self, keys: impl Iterator<Item = &'k Key>) {
        if let Some(changed) = self.slot().upgrade() {
            changed.note(keys);
        }
    }
}

/// What comes next.
enum Step {
    /// What the store is.
    Begin { now: Timestamp },
    /// The rows beyond a key.
    Walk { beyond: Option<IVec> },
    /// What has changed meanwhile.
    Again,
    /// How much it was.
    End,
    /// Nothing.
    Over,
}

/// A backup of this store.
pub(super) struct SledBackup {
    reader: Arc<Reader>,
    readers: Arc<Semaphore>,
    acts: mpsc::Sender<Act>,
    changed: Arc<Changed>,
    frames: FrameWriter,
    step: Step,
}

impl SledBackup {
    /// Begins one.
    pub(super) fn begin(
        under_way: &UnderWay,
        reader: Arc<Reader>,
        readers: Arc<Semaphore>,
        acts: mpsc::Sender<Act>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let changed = under_way.begin()?;
        Ok(Self { reader, readers, acts, changed, frames: FrameWriter::default(), step: Step::Begin { now } })
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        read_with(&self.readers, &self.reader, work).await
    }

    /// A page of the walk.
    async fn walk(&mut self, beyond: Option<IVec>) -> Result<Vec<u8>, StoreError> {
        let rows = self.read(move |reader| page(reader.view.tree(), beyond)).await?;
        self.step = match rows.last() {
            Some((last, _)) if rows.len() == PAGE_ROWS => Step::Walk { beyond: Some(last.clone()) },
            Some(_) | None => Step::Again,
        };
        Ok(self.frames.rows(&rows))
    }

    /// Rows that have changed.
    async fn again(&mut self) -> Result<Vec<u8>, StoreError> {
        let changed = Arc::clone(&self.changed);
        let rows = self.read(move |reader| changed.take(reader.view.tree(), PAGE_ROWS)).await?;
        Ok(self.frames.rows(&rows))
    }

    /// The last of them; `None` if too many have come in between.
    async fn last(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let (done, answer) = oneshot::channel();
        let act = Act::EndBackup { changed: Arc::clone(&self.changed), done };
        self.acts.send(act).await.map_err(|_| StoreError::Closed)?;
        let last = answer.await.map_err(|_| StoreError::Closed)??;
        Ok(last.map(|rows| rows.chunks(PAGE_ROWS).flat_map(|rows| self.frames.rows(rows)).collect()))
    }

    async fn piece(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let changed = self.changed.count()?;
        match std::mem::replace(&mut self.step, Step::Over) {
            Step::Begin { now } => {
                let row = self.read(|reader| reader.view.get(keys::META)).await?.ok_or_else(nameless)?;
                let meta = rare::read_meta(&row)?.map_err(|_newer| nameless())?;
                self.step = Step::Walk { beyond: None };
                Ok(Some(self.frames.header(meta, now)))
            }
            step @ Step::Walk { .. } if changed >= AGAIN_AT => {
                self.step = step;
                self.again().await.map(Some)
            }
            Step::Walk { beyond } => self.walk(beyond).await.map(Some),
            Step::Again if changed <= LAST_KEYS => {
                let last = self.last().await?;
                self.step = if last.is_some() { Step::End } else { Step::Again };
                Ok(Some(last.unwrap_or_default()))
            }
            Step::Again => {
                self.step = Step::Again;
                self.again().await.map(Some)
            }
            Step::End => Ok(Some(self.frames.end())),
            Step::Over => Ok(None),
        }
    }
}

#[async_trait]
impl Backup for SledBackup {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        loop {
            match self.piece().await? {
                Some(piece) if piece.is_empty() => {}
                piece => return Ok(piece),
            }
        }
    }
}

fn page(tree: &Tree, beyond: Option<IVec>) -> Result<Vec<(IVec, Option<IVec>)>, StoreError> {
    let begin = beyond.map_or(Bound::Unbounded, Bound::Excluded);
    let rows = tree.range::<IVec, _>((begin, Bound::Unbounded)).take(PAGE_ROWS);
    rows.map(|row| row.map(|(key, value)| (key, Some(value))).map_err(broken)).collect()
}

fn nameless() -> StoreError {
    StoreError::Unreadable { what: "what the store is", reason: "its row is not there".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(range: std::ops::Range<usize>) -> Vec<Key> {
        range.map(|number| number.to_be_bytes().to_vec()).collect()
    }

    #[test]
    fn what_changed_is_remembered_once_and_up_to_a_limit() {
        let under_way = UnderWay::default();
        let changed = under_way.begin().expect("no other");
        under_way.note(keys(0..KEYS_MAX).iter());
        under_way.note(keys(0..KEYS_MAX).iter());
        assert_eq!(changed.count().expect("just enough"), KEYS_MAX);
        under_way.note(keys(KEYS_MAX..KEYS_MAX + 1).iter());
        assert!(matches!(changed.count(), Err(StoreError::BackupOvertaken)));
        assert!(changed.state().keys.is_empty(), "and its memory is free");
        under_way.note(keys(0..1).iter());
        assert!(changed.state().keys.is_empty());
        under_way.begin().expect("one that was given up holds no place");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_backup_that_nobody_asks_for_anything_gives_way() {
        let under_way = UnderWay::default();
        let first = under_way.begin().expect("no other");
        for _ in 0..3 {
            tokio::time::advance(ABANDONED_AFTER - Duration::from_millis(1)).await;
            assert!(matches!(under_way.begin().map(drop), Err(StoreError::BackupUnderWay)));
            assert_eq!(first.count().expect("it goes on"), 0);
        }
        tokio::time::advance(ABANDONED_AFTER).await;
        let second = under_way.begin().expect("the first one is abandoned");
        assert!(matches!(first.count(), Err(StoreError::BackupOvertaken)));
        drop(second);
        under_way.begin().expect("one that was dropped is no more");
    }

    #[test]
    fn the_writer_reads_the_last_rows_only_if_they_are_few() {
        let tree = sled::Config::new().temporary(true).open().expect("a tree");
        tree.insert(keys(1..2)[0].as_slice(), b"there").expect("a row");
        let changed = Changed::new();
        changed.note(keys(0..LAST_KEYS_MAX + 1).iter());
        assert!(changed.take_last(&tree).expect("a tree").is_none());
        let first = changed.take(&tree, 2).expect("a tree");
        assert_eq!(first, [(keys(0..1)[0].clone(), None), (keys(1..2)[0].clone(), Some(IVec::from(b"there")))]);
        let last = changed.take_last(&tree).expect("a tree").expect("few");
        assert_eq!(last.len(), LAST_KEYS_MAX - 1);
        assert_eq!(changed.count().expect("it goes on"), 0);
    }
}
