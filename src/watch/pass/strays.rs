//! First sights of resources that were created before the baseline began. A few of them are new to the lists and are
//! told as such; so many that the baseline must have been cut short, or that the key is another account's now, are
//! taken into the baseline. Which of the two it is shows only when they are counted, so they wait.

use std::collections::HashSet;

use super::super::applier::{Arrival, Item, Strays};
use super::super::guard::Counts;
use super::{Halt, Pass};
use crate::detect::fingerprint::id_hash;
use crate::model::resource::{Kind, OpenList, Seen};
use crate::source::Exchange;

/// So many bytes of strays wait at most; more of them than this belong to the baseline.
const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Strays that wait, by the answers that showed them.
#[derive(Debug, Default)]
pub(super) struct HeldBack {
    answers: Vec<Answer>,
    /// Their ids, each once, by kind.
    ids: [HashSet<u64>; 2],
    bytes: usize,
}

#[derive(Debug)]
struct Answer {
    kind: Kind,
    exchange: Exchange,
    list: Option<OpenList>,
    items: Vec<Item>,
}

impl Pass<'_> {
    /// Holds strays back, or finds that there are too many to be new.
    pub(super) async fn hold_back(&mut self, items: Vec<Item>, arrival: Arrival<'_>) -> Result<(), Halt> {
        let Arrival { kind, exchange, list, .. } = arrival;
        self.strays.ids[kind as usize].extend(items.iter().map(|item| id_hash(item.id())));
        self.strays.bytes += items.iter().map(size).sum::<usize>();
        self.strays.answers.push(Answer { kind, exchange, list, items });
        let known = self.applier.counts().await?;
        let strays: Counts = [0, 1].map(|kind| self.strays.ids[kind].len() as u64);
        let all = [0, 1].map(|kind| known[kind] + strays[kind]);
        if self.guard.trips(strays, all) || self.strays.bytes > HELD_BYTES_MAX {
            tracing::warn!(?strays, "so many resources from before the baseline belong to it");
            self.release_strays(Strays::Absorb).await?;
        }
        Ok(())
    }

    /// Asks again for what was put aside, and tells the strays of a pass that has seen what it could, however it ended:
    /// what was shown is applied.
    pub(super) async fn tell_strays_after<T>(&mut self, looked: Result<T, Halt>) -> Result<T, Halt> {
        let looked = match looked {
            Ok(looked) => self.ask_again().await.map(|()| looked),
            halted @ Err(_) => halted,
        };
        let told = self.release_strays(Strays::Tell).await;
        let looked = looked?;
        told.map(|()| looked)
    }

    /// Applies what was held back, and decides what becomes of strays for the rest of the pass.
    async fn release_strays(&mut self, become_of: Strays) -> Result<(), Halt> {
        if self.findings.strays == Strays::HoldBack {
            self.findings.strays = become_of;
        }
        for Answer { kind, exchange, list, items } in std::mem::take(&mut self.strays).answers {
            let ticket = self.applier.depart();
            let arrival = Arrival { list, ..self.arrival(kind, exchange, &ticket, true) };
            self.settle(items, arrival, 0).await?;
        }
        Ok(())
    }
}

/// About how much memory an item takes.
fn size(item: &Item) -> usize {
    match item {
        Item::Row(row, _) => row.raw.get().len(),
        Item::Seen { seen, .. } => fields_size(seen),
    }
}

fn fields_size(seen: &Seen) -> usize {
    // A parsed object takes several times its text.
    3 * serde_json::to_string(&seen.fields).map_or(0, |text| text.len())
}
