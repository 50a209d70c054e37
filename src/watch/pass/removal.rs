//! What a complete sweep did not show. Nothing is removed because it was missing once: it is asked for by id, and
//! looked for once more in the lists; and if there is too much of it, somebody must decide.

use std::time::Duration;

use super::super::applier::{Absent, Gone, Item, Way};
use super::super::guard::Counts;
use super::super::progress::Proof;
use super::{Halt, Pass, Question, halted};
use crate::model::event::Cause;
use crate::model::resource::{Kind, RemovalReason, ResourceId};
use crate::model::time::Timestamp;
use crate::source::listing::{Complete, Incomplete};
use crate::source::{Fetched, Selection};

/// So many are confirmed in one sweep; the next goes on.
const CONFIRMED_MAX: usize = 1_000;

/// How far around its creation a resource is looked for in the lists, whose bounds may or may not be inclusive.
const AROUND: Duration = Duration::from_secs(1);

/// What asking about an absent resource led to.
#[derive(Debug)]
pub(super) enum Confirmation {
    /// It is gone.
    Gone(Gone),
    /// A list shows it after all.
    Listed,
    /// It cannot be told.
    Unknown,
}

/// What the list of what was created with a resource showed.
#[derive(Debug)]
pub(super) struct Lookup {
    /// The resource.
    pub(super) is_listed: bool,
    /// An item without an id, which may be it.
    pub(super) is_obscured: bool,
    /// Whether it was read to its end.
    pub(super) end: Result<Complete, Incomplete>,
}

impl Pass<'_> {
    /// Removes what is gone, after a complete sweep that began at `began`. Takes the proof away if the sweep turns out
    /// to have been incomplete after all, or if upstream did not answer all that it was asked here.
    pub(in super::super) async fn infer_removals(
        &mut self,
        began: Timestamp,
        proof: Proof,
    ) -> Result<Option<Proof>, Halt> {
        self.applier.forget_present().await?;
        let mut counts: Counts = [0; 2];
        let mut first: Vec<Absent> = Vec::new();
        let mut walk = self.applier.begin_walk().await?;
        while let Some(page) = self.applier.absent(&mut walk).await? {
            page.iter().for_each(|absent| counts[absent.kind as usize] += 1);
            // What is withheld waits for a decision, however few of them are left.
            let undisputed = page.into_iter().filter(|absent| !absent.is_withheld());
            first.extend(undisputed.take(CONFIRMED_MAX - first.len()));
        }
        let all = self.applier.counts().await?;
        if self.guard.trips(counts, all) {
            tracing::warn!(absent = ?counts, ?all, "so much is missing that its removal is withheld");
            self.applier.withhold(counts, all, began, self.clock.now()).await?;
            return Ok(Some(proof));
        }
        let mut gone = Vec::new();
        for Absent { kind, id, .. } in first {
            match self.confirm(kind, &id).await? {
                Confirmation::Gone(confirmed) => gone.push(confirmed),
                Confirmation::Listed => {
                    self.missing(format!("the sweep did not show {kind} {id}, which is listed"));
                    return Ok(None);
                }
                Confirmation::Unknown => {}
            }
        }
        let removed = self.applier.remove(&gone, Cause::Sweep, true).await?;
        self.tally.removed += removed;
        self.tally.changed += removed;
        Ok(Some(proof).filter(|_| self.tally.error.is_none()))
    }

    /// Asks for an absent resource by id, and if it is there, for the list of what was created with it.
    pub(super) async fn confirm(&mut self, kind: Kind, id: &ResourceId) -> Result<Confirmation, Halt> {
        let last_seen = self.applier.last_seen(kind, id).await?;
        let gone = |reason, at| Confirmation::Gone(Gone { kind, id: id.clone(), reason, at, last_seen });
        let ticket = self.applier.depart();
        let (seen, exchange) = match self.upstream.get(kind, id, self.urgency, self.stop).await {
            Ok(Fetched::NotFound(exchange)) => {
                return Ok(gone(RemovalReason::NotFound, exchange.answered_at));
            }
            Ok(Fetched::Found(seen, exchange)) => (seen, exchange),
            Ok(Fetched::Malformed(malformed)) => {
                self.malformed(kind, vec![malformed], false);
                return Ok(Confirmation::Unknown);
            }
            Err(error) => return Ok(self.unanswered(kind, id, &halted(error)?.to_string())),
        };
        let created_at = seen.created_at();
        let arrival = self.arrival(kind, exchange, &ticket, false);
        self.settle(vec![Item::Seen { seen, row_fingerprint: None, way: Way::ById }], arrival, 1).await?;
        drop(ticket);
        let Some(created_at) = created_at else { return self.unknown(kind, id, "it has no created_at".into()) };
        let Lookup { is_listed, is_obscured, end } = self.look_in_lists(kind, id, created_at).await?;
        if is_listed {
            return Ok(Confirmation::Listed);
        }
        match end {
            Ok(_complete) if is_obscured => self.unknown(kind, id, "an item in the list may be it".into()),
            Ok(_complete) => Ok(gone(RemovalReason::Unlisted, self.clock.now())),
            Err(why) => Ok(self.unanswered(kind, id, &why.to_string())),
        }
    }

    /// Looks for a resource in the list of what was created with it, and applies what that shows.
    pub(super) async fn look_in_lists(
        &mut self,
        kind: Kind,
        id: &ResourceId,
        created_at: Timestamp,
    ) -> Result<Lookup, Halt> {
        let selection = Selection::CreatedBetween(created_at.minus(AROUND), created_at.plus(AROUND));
        let (mut is_listed, mut is_obscured) = (false, false);
        let mut visit = |shown: Option<&ResourceId>| match shown {
            Some(shown) => is_listed |= shown == id,
            None => is_obscured = true,
        };
        let question = Question { kind, selection: &selection, list: None, visit: &mut visit };
        let end = self.read(question).await?;
        Ok(Lookup { is_listed, is_obscured, end })
    }

    /// Upstream did not answer, so the pass has not seen all that it asked for.
    fn unanswered(&mut self, kind: Kind, id: &ResourceId, why: &str) -> Confirmation {
        self.missing(format!("whether {kind} {id} is gone could not be confirmed: {why}"));
        Confirmation::Unknown
    }

    fn unknown(&self, kind: Kind, id: &ResourceId, why: String) -> Result<Confirmation, Halt> {
        tracing::info!(%kind, %id, why, "whether an absent resource is gone cannot be told; the next sweep tries again");
        Ok(Confirmation::Unknown)
    }
}
