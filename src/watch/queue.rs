//! Which pass runs next. Passes of one kind never overlap, and whoever asks for one that waits already joins it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::source::PassKind;

/// What asking for a pass led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It waits now.
    New,
    /// One of that kind was waiting already, under this id.
    Joined(String),
}

/// The passes that wait and those that run, at most one of each kind of either.
#[derive(Debug, Default)]
pub(super) struct PassQueue {
    waiting: BTreeMap<PassKind, String>,
    running: BTreeSet<PassKind>,
}

impl PassQueue {
    /// Asks for a pass. A pass that already runs is not joined: it began before what the caller wants to see.
    pub(super) fn ask(&mut self, kind: PassKind, id: &str) -> Asked {
        match self.waiting.get(&kind) {
            Some(waiting) => Asked::Joined(waiting.clone()),
            None => {
                self.waiting.insert(kind, id.into());
                Asked::New
            }
        }
    }

    /// Whether a pass of that kind waits.
    pub(super) fn is_waiting(&self, kind: PassKind) -> bool {
        self.waiting.contains_key(&kind)
    }

    /// Whether a pass of that kind runs.
    pub(super) fn is_running(&self, kind: PassKind) -> bool {
        self.running.contains(&kind)
    }

    /// The most urgent pass that may begin, which runs from now on.
    pub(super) fn next(&mut self, may_begin: impl Fn(PassKind) -> bool) -> Option<(PassKind, String)> {
        let kind = self.waiting.keys().copied().find(|kind| !self.running.contains(kind) && may_begin(*kind))?;
        let id = self.waiting.remove(&kind)?;
        self.running.insert(kind);
        Some((kind, id))
    }

    /// That the running pass of a kind has ended.
    pub(super) fn done(&mut self, kind: PassKind) {
        self.running.remove(&kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PassKind::{Changes, Sweep};

    #[test]
    fn whoever_asks_joins_the_pass_that_waits_and_not_the_one_that_runs() {
        let mut queue = PassQueue::default();
        assert_eq!(queue.ask(Changes, "a"), Asked::New);
        assert_eq!(queue.ask(Changes, "b"), Asked::Joined("a".into()));
        assert_eq!(queue.next(|_| true), Some((Changes, "a".into())));
        assert_eq!(queue.ask(Changes, "c"), Asked::New);
        assert_eq!(queue.ask(Changes, "d"), Asked::Joined("c".into()));
        assert_eq!(queue.next(|_| true), None, "passes of one kind never overlap");
        queue.done(Changes);
        assert_eq!(queue.next(|_| true), Some((Changes, "c".into())));
    }

    #[test]
    fn the_more_urgent_kind_begins_first_and_both_run_side_by_side() {
        let mut queue = PassQueue::default();
        queue.ask(Sweep, "s");
        queue.ask(Changes, "c");
        assert_eq!(queue.next(|_| true), Some((Changes, "c".into())));
        assert_eq!(queue.next(|_| true), Some((Sweep, "s".into())));
    }

    #[test]
    fn a_pass_that_may_not_begin_keeps_its_place() {
        let mut queue = PassQueue::default();
        queue.ask(Changes, "c");
        assert_eq!(queue.next(|kind| kind == Sweep), None);
        assert!(queue.is_waiting(Changes));
        assert_eq!(queue.next(|_| true), Some((Changes, "c".into())));
    }
}
