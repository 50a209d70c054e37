//! Which items are applied, and what becomes of the others.

use std::collections::{HashMap, HashSet};

use super::super::ruling::{Ruling, fulfilling_certificate, is_stray, rule};
use super::{Applied, Applier, Arrival, Fetch, Findings, Held, Item, ShownRow, Strays, Way};
use crate::detect::diff::{FirstSight, has_entries, lacks_status};
use crate::model::resource::{Kind, OpenList, ResourceId, Seen, Snapshot};
use crate::model::source::SourceProgress;
use crate::source::Row;
use crate::store::StoreError;

/// Something that is to be compared with the snapshot.
#[derive(Debug)]
pub(super) struct ToApply {
    pub(super) seen: Box<Seen>,
    pub(super) row_fingerprint: Option<u128>,
    /// What it tells if there is no snapshot.
    pub(super) first_sight: FirstSight,
    way: Way,
}

/// Items that were looked into, on the way to a commit.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) to_apply: Vec<ToApply>,
    /// Resources of which an answer was applied, or showed what is known.
    pub(super) confirmed: Vec<ResourceId>,
}

/// What is known where an item comes in.
struct Known<'a> {
    before: Option<&'a Snapshot>,
    crossed: bool,
    progress: &'a SourceProgress,
    strays: Strays,
    /// The open list that shows it, if it is one.
    list: Option<OpenList>,
}

impl Known<'_> {
    /// Whether it stands in a list of another status than the one that is known.
    fn has_moved_list(&self) -> bool {
        let known = self.before.filter(|known| known.removed.is_none());
        self.list.is_some() && known.is_some_and(|known| known.open_list != self.list)
    }
}

impl Applier {
    /// The items without the rows that are known by their bytes. All that were shown count as seen, if that is a sight.
    pub(super) fn without_known(&self, items: Vec<Item>, arrival: Arrival<'_>) -> Vec<Item> {
        let Arrival { kind, ticket, exchange, list, is_a_sight, .. } = arrival;
        // The members of an open list are compared with the snapshots, which know the list that they are in.
        let rows = items.iter().filter(|_| list.is_none()).filter_map(Item::as_row);
        let mut is_known = self.recognised.see_rows(kind, rows).into_iter();
        let (mut confirmed, mut rest) = (Vec::with_capacity(items.len()), Vec::new());
        for item in items {
            match item {
                Item::Row(row, _) if is_known.next() == Some(true) => confirmed.push(row.id),
                item @ (Item::Row(..) | Item::Seen { .. }) => {
                    if is_a_sight {
                        self.recognised.see(kind, item.id());
                    }
                    rest.push(item);
                }
            }
        }
        let confirmed = self.crossings.uncrossed(ticket, exchange.asked_at, kind, confirmed);
        self.crossings.arrived(Some(ticket), exchange.answered_at, kind, confirmed);
        rest
    }

    /// Leaves out the rows that lack a status, their own or that of a jurisdiction's entry, but for that they were seen.
    /// Tells whether rows carry all that moves with time: none was left out, and there is an entry at least.
    pub(in super::super) fn retain_with_status(&self, kind: Kind, rows: &mut Vec<Row>) -> bool {
        let (all, mut is_entry) = (rows.len(), false);
        rows.retain(|row| {
            let seen = self.source.open_row(kind, row).ok();
            is_entry |= seen.as_ref().is_some_and(has_entries);
            let is_partial = seen.is_some_and(|seen| lacks_status(&seen));
            if is_partial {
                self.recognised.see(kind, &row.id);
            }
            !is_partial
        });
        is_entry && rows.len() == all
    }

    /// Recognises rows by their bytes, looks into the others, and rules on each.
    pub(super) fn sort(
        &self,
        items: Vec<Item>,
        arrival: Arrival<'_>,
        known: &HashMap<ResourceId, Snapshot>,
        progress: &SourceProgress,
        findings: &Findings,
        applied: &mut Applied,
    ) -> Sorted {
        let mut sorted = Sorted::default();
        for item in items {
            let id = item.id().clone();
            let before = known.get(&id);
            let crossed = self.crossings.crossed(arrival.ticket, arrival.exchange.asked_at, arrival.kind, &id);
            let (seen, row_fingerprint, way) = match item {
                Item::Seen { seen, row_fingerprint, way } => (seen, row_fingerprint, way),
                Item::Row(row, shown) => {
                    if let Some(same) = before.filter(|known| is_row_of(known, shown)) {
                        self.recognise(same, crossed, arrival, &mut sorted, applied);
                        continue;
                    }
                    match self.source.open_row(arrival.kind, &row) {
                        Ok(seen) => (Box::new(seen), Some(shown), Way::Listed),
                        Err(malformed) => {
                            applied.malformed.push(malformed);
                            continue;
                        }
                    }
                }
            };
            let known = Known { before, crossed, progress, strays: findings.strays, list: arrival.list };
            self.rule_on(seen, row_fingerprint, way, &known, &mut sorted, applied);
        }
        sorted
    }

    /// A row that shows what is known. That it stands in a list of another status is news all the same, where rows
    /// do not carry one.
    fn recognise(
        &self,
        known: &Snapshot,
        crossed: bool,
        arrival: Arrival<'_>,
        sorted: &mut Sorted,
        applied: &mut Applied,
    ) {
        self.learn(known);
        if arrival.list.is_some_and(|list| known.open_list != Some(list)) {
            applied.fetches.push(Fetch { kind: arrival.kind, id: known.key.id.clone(), row: None });
        } else if !crossed {
            sorted.confirmed.push(known.key.id.clone());
        }
    }

    fn rule_on(
        &self,
        seen: Box<Seen>,
        row_fingerprint: Option<u128>,
        way: Way,
        known: &Known<'_>,
        sorted: &mut Sorted,
        applied: &mut Applied,
    ) {
        let (kind, id) = (seen.key.kind, seen.key.id.clone());
        let is_stray = known.before.is_none() && is_stray(&seen, known.progress);
        match known.strays {
            Strays::HoldBack if is_stray && matches!(way, Way::Listed | Way::Followed(_)) => {
                applied.strays.push(Item::Seen { seen, row_fingerprint, way: Way::HeldBack });
                return;
            }
            Strays::HoldBack | Strays::Tell | Strays::Absorb => {}
        }
        let tells_by_list = seen.status().is_none() && known.has_moved_list();
        match rule(known.before, &seen, way, known.crossed, &self.ignored_fields) {
            Ruling::Ignore | Ruling::Apply if tells_by_list => {
                let row = row_fingerprint.map(|shown| ShownRow::new(known.before, seen, shown));
                applied.fetches.push(Fetch { kind, id, row });
            }
            Ruling::Ignore => {}
            Ruling::Apply => {
                let is_absorbed = is_stray && known.strays == Strays::Absorb;
                let first_sight = if is_absorbed { self.of_baseline() } else { self.first_sight(known.progress) };
                sorted.to_apply.push(ToApply { seen, row_fingerprint, first_sight, way });
            }
            Ruling::AskById => {
                let row = row_fingerprint.map(|shown| ShownRow::new(known.before, seen, shown));
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

    /// Takes out the requests whose certificate must be seen first. A request that is first seen in silence tells
    /// nothing, so nothing needs to come before it.
    pub(super) async fn hold_back(
        &self,
        sorted: &mut Sorted,
        known: &HashMap<ResourceId, Snapshot>,
        findings: &Findings,
        applied: &mut Applied,
    ) -> Result<(), StoreError> {
        let wanted = |to_apply: &ToApply| {
            let before = known.get(&to_apply.seen.key.id);
            let is_told = before.is_some() || to_apply.first_sight != FirstSight::Silent;
            fulfilling_certificate(before, &to_apply.seen).filter(|id| is_told && !findings.settled.contains(id))
        };
        let ids: Vec<ResourceId> = sorted.to_apply.iter().filter_map(wanted).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let snapshots = self.store.snapshots(self.source.name(), Kind::Certificate, &ids).await?;
        let missing: HashSet<ResourceId> =
            ids.into_iter().zip(snapshots).filter(|(_, known)| known.is_none()).map(|(id, _)| id).collect();
        for to_apply in std::mem::take(&mut sorted.to_apply) {
            match wanted(&to_apply).filter(|id| missing.contains(id)) {
                Some(certificate) => {
                    let ToApply { seen, row_fingerprint, way, .. } = to_apply;
                    applied.held.push(Held { item: Item::Seen { seen, row_fingerprint, way }, certificate });
                }
                None => sorted.to_apply.push(to_apply),
            }
        }
        Ok(())
    }
}

fn is_row_of(known: &Snapshot, shown: u128) -> bool {
    known.removed.is_none() && known.row_fingerprint == Some(shown)
}

/// The items without those that an answer repeats, and the ids that it shows in more than one state: it does not say
/// which of them is the newer.
pub(super) fn without_repeats(items: Vec<Item>) -> (Vec<Item>, HashSet<ResourceId>) {
    let mut shown: HashMap<&ResourceId, u128> = HashMap::with_capacity(items.len());
    let mut contradicted = HashSet::new();
    let mut repeats = HashSet::new();
    for (place, item) in items.iter().enumerate() {
        let Item::Row(row, fingerprint) = item else { continue };
        if let Some(other) = shown.insert(&row.id, *fingerprint) {
            repeats.insert(place);
            if other != *fingerprint {
                contradicted.insert(row.id.clone());
            }
        }
    }
    if repeats.is_empty() {
        return (items, contradicted);
    }
    let kept = items.into_iter().enumerate().filter(|(place, _)| !repeats.contains(place)).map(|(_, item)| item);
    (kept.filter(|item| !contradicted.contains(item.id())).collect(), contradicted)
}
