//! Removals that are withheld, and what somebody decides about them.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::Watcher;
use crate::model::resource::{Absence, AbsenceState, Kind, ResourceId, ResourceKey};
use crate::model::source::{PassKind, RemovalDecision};
use crate::store::StoreError;

/// So many entries are decided in one commit.
const PAGE: usize = 500;

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum Undecided {
    /// The removal of these ids is not withheld.
    #[error("not withheld: {}", list(.0))]
    NotWithheld(Vec<ResourceId>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn list(ids: &[ResourceId]) -> String {
    ids.iter().map(ResourceId::as_str).collect::<Vec<_>>().join(", ")
}

impl Watcher {
    /// Up to `limit` resources whose removal is withheld, or was until somebody decided, beyond one, by kind and id.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn absences(&self, after: Option<(Kind, &ResourceId)>, limit: usize) -> Result<Vec<Absence>, StoreError> {
        let mut after = after.map(|(kind, id)| (kind, id.clone()));
        let mut found = Vec::new();
        while found.len() < limit {
            let beyond = after.as_ref().map(|(kind, id)| (*kind, id));
            let page = self.applier.absences(beyond, limit).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.key.kind, last.key.id.clone()));
            found.extend(page.into_iter().filter(is_for_somebody));
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Decides on the withheld removals of these ids, or of all. An earlier decision can be taken back as long as it
    /// has not been carried out. Gives how many removals it was about.
    ///
    /// # Errors
    /// If one of the ids is not withheld, and then nothing is decided; or if the store fails.
    pub async fn decide(&self, decision: RemovalDecision, ids: Option<&[ResourceId]>) -> Result<u64, Undecided> {
        let count = match ids {
            Some(ids) => self.decide_on(decision, ids).await?,
            None => self.decide_on_all(decision).await?,
        };
        if decision == RemovalDecision::Confirm && count > 0 {
            self.has_decisions.store(true, Ordering::Relaxed);
            self.poll(PassKind::Deadline);
        }
        Ok(count)
    }

    async fn decide_on(&self, decision: RemovalDecision, ids: &[ResourceId]) -> Result<u64, Undecided> {
        let each_once: BTreeSet<&ResourceId> = ids.iter().collect();
        let mut known = self.applier.absences_of(&each_once.into_iter().cloned().collect::<Vec<_>>()).await?;
        known.retain(is_for_somebody);
        let is_unknown = |id: &&ResourceId| !known.iter().any(|absence| absence.key.id == **id);
        let unknown: Vec<ResourceId> = ids.iter().filter(is_unknown).cloned().collect();
        if !unknown.is_empty() {
            return Err(Undecided::NotWithheld(unknown));
        }
        let count = known.len() as u64;
        self.applier.put_absences(known.into_iter().map(|absence| decided(absence, decision)).collect()).await?;
        Ok(count)
    }

    async fn decide_on_all(&self, decision: RemovalDecision) -> Result<u64, Undecided> {
        let (mut count, mut after): (u64, Option<(Kind, ResourceId)>) = (0, None);
        loop {
            let beyond = after.as_ref().map(|(kind, id)| (*kind, id));
            let page = self.applier.absences(beyond, PAGE).await?;
            let Some(last) = page.last() else { return Ok(count) };
            after = Some((last.key.kind, last.key.id.clone()));
            let withheld = page.into_iter().filter(|absence| absence.state == AbsenceState::Withheld);
            let entries: Vec<_> = withheld.map(|absence| decided(absence, decision)).collect();
            count += entries.len() as u64;
            self.applier.put_absences(entries).await?;
        }
    }
}

/// Whether somebody is asked to decide on it, or has.
fn is_for_somebody(absence: &Absence) -> bool {
    absence.state != AbsenceState::Unknown
}

fn decided(absence: Absence, decision: RemovalDecision) -> (ResourceKey, Option<Absence>) {
    let state = match decision {
        RemovalDecision::Confirm => AbsenceState::Confirmed,
        RemovalDecision::Keep => AbsenceState::Kept,
    };
    (absence.key.clone(), Some(Absence { state, ..absence }))
}
