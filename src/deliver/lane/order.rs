//! The order of the deliveries of one strand, which is a resource, as a value: who may go, and who waits behind whom.
//!
//! A delivery *holds* its strand from its first attempt until it has ended, and later ones are *parked* behind it. One
//! that keeps failing lets them pass after a while. It holds again if it is made due together with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::deliver::work::Strand;
use crate::model::id::Position;
use crate::model::time::Timestamp;

/// The deliveries of one strand.
#[derive(Debug, Default)]
struct Chain {
    /// In flight, or to be tried again; with the instant of the first failure, once there was one.
    holders: BTreeMap<Position, Option<Timestamp>>,
    parked: BTreeSet<Position>,
}

/// The order of the deliveries of one endpoint.
#[derive(Debug)]
pub(super) struct Order {
    /// How long one that fails may hold back others.
    wait: Duration,
    chains: HashMap<Strand, Chain>,
    parked: usize,
    /// Holders that have failed, by the instant of their first failure.
    failing: BTreeMap<(Timestamp, Position), Strand>,
}

impl Order {
    /// Nothing is under way.
    pub(super) fn new(wait: Duration) -> Self {
        Self { wait, chains: HashMap::new(), parked: 0, failing: BTreeMap::new() }
    }

    /// How many wait behind others.
    pub(super) fn parked(&self) -> usize {
        self.parked
    }

    /// Whether a delivery that comes from the log may go; if not, it is parked.
    pub(super) fn admit(&mut self, position: Position, key: &Strand) -> bool {
        let chain = self.chains.entry(key.clone()).or_default();
        if chain.holders.is_empty() {
            chain.holders.insert(position, None);
            return true;
        }
        self.parked += usize::from(chain.parked.insert(position));
        false
    }

    /// Whether a delivery that is due again may go, because no earlier one holds its strand; if not, it is parked.
    pub(super) fn line_up(&mut self, position: Position, key: &Strand) -> bool {
        let chain = self.chains.entry(key.clone()).or_default();
        if chain.holders.keys().next().is_none_or(|first| *first >= position) {
            chain.holders.entry(position).or_insert(None);
            return true;
        }
        if let Some(Some(since)) = chain.holders.remove(&position) {
            self.failing.remove(&(since, position));
        }
        self.parked += usize::from(chain.parked.insert(position));
        false
    }

    /// Whether a delivery holds back later ones, if there are any.
    pub(super) fn holds(&self, position: Position, key: &Strand) -> bool {
        self.chains.get(key).is_some_and(|chain| chain.holders.contains_key(&position))
    }

    /// A delivery goes out of turn, and holds its strand beside those that do so already.
    pub(super) fn hold(&mut self, position: Position, key: &Strand) {
        self.chains.entry(key.clone()).or_default().holders.entry(position).or_insert(None);
    }

    /// A delivery has failed. The first time, that starts the wait after which later ones pass it; one that let them
    /// pass does not hold them back again.
    pub(super) fn fail(&mut self, position: Position, key: &Strand, at: Timestamp) {
        let holder = self.chains.get_mut(key).and_then(|chain| chain.holders.get_mut(&position));
        if let Some(since @ None) = holder {
            *since = Some(at);
            self.failing.insert((at, position), key.clone());
        }
    }

    /// A parked delivery is taken away; `false` if it is not parked.
    pub(super) fn unpark(&mut self, position: Position, key: &Strand) -> bool {
        let was_parked = self.chains.get_mut(key).is_some_and(|chain| chain.parked.remove(&position));
        self.parked -= usize::from(was_parked);
        was_parked
    }

    /// A delivery has ended; gives the one that may go now.
    pub(super) fn end(&mut self, position: Position, key: &Strand) -> Option<Position> {
        let holder = self.chains.get(key).and_then(|chain| chain.holders.get(&position));
        if let Some(Some(since)) = holder.copied() {
            self.failing.remove(&(since, position));
        }
        self.let_go(position, key)
    }

    /// Those that may pass at `now`, each with its strand, because what holds them back has failed for too long.
    pub(super) fn pass(&mut self, now: Timestamp) -> Vec<(Position, Strand)> {
        let mut passing = Vec::new();
        while let Some(first) = self.failing.first_entry() {
            if first.key().0.plus(self.wait) > now {
                break;
            }
            let ((_, position), key) = first.remove_entry();
            passing.extend(self.let_go(position, &key).map(|next| (next, key)));
        }
        passing
    }

    /// When [`Self::pass`] may have somebody to let pass.
    pub(super) fn next_pass(&self) -> Option<Timestamp> {
        let first = self.failing.first_key_value().filter(|_| self.parked > 0);
        first.map(|((since, _), _)| since.plus(self.wait))
    }

    /// A delivery holds its strand no longer. If nothing else does, the first one that is parked does from here on.
    fn let_go(&mut self, position: Position, key: &Strand) -> Option<Position> {
        let chain = self.chains.get_mut(key)?;
        chain.holders.remove(&position);
        if !chain.holders.is_empty() {
            return None;
        }
        let next = chain.parked.pop_first();
        match next {
            Some(next) => {
                chain.holders.insert(next, None);
                self.parked -= 1;
            }
            None => {
                self.chains.remove(key);
            }
        }
        next
    }
}
