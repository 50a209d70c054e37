//! What changed among a certificate's jurisdictions, each with a status of its own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::compare::{JURISDICTIONS, is_later, jurisdiction_id, same, same_field};
use super::lifecycle::jurisdiction_event;
use crate::model::event::{EventDraft, EventType};
use crate::model::json::Json;

/// What a comparison of two lists of entries found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The events that name a jurisdiction, in order.
    pub(super) drafts: Vec<EventDraft>,
    /// Whether an expiration date moved later.
    pub(super) renewed: bool,
    /// Whether something changed that neither those events nor `renewed` tell.
    pub(super) unaccounted: bool,
}

/// Compares the entries of a certificate. On its first sight no entry was added, yet each tells its status.
pub(super) fn compare(before: Option<&Value>, after: Option<&Value>, first_sight: bool) -> Found {
    let mut found = Found::default();
    let (old, new) = (Entries::of(before), Entries::of(after));
    let ids: BTreeSet<&str> = old.by_id.keys().chain(new.by_id.keys()).copied().collect();
    for id in ids {
        match (old.get(id), new.get(id)) {
            ([], arrived) => found.arrived(id, arrived, first_sight),
            (gone, []) => found.drafts.push(draft(EventType::JurisdictionRemoved, id, None, gone.first().copied())),
            ([old], [new]) => found.entry(id, old, new),
            // Where an id stands twice, which entry became which was not observed.
            (old, new) => found.unaccounted |= !same_entries(old, new),
        }
    }
    found.unaccounted |= !same_entries(&old.nameless, &new.nameless) || old.is_no_list || new.is_no_list;
    // A list that became another without an entry of either: from null to empty, say.
    found.unaccounted |= found.drafts.is_empty() && !found.renewed && !same_field(JURISDICTIONS, before, after);
    found
}

impl Found {
    /// Entries of an id that had none before.
    fn arrived(&mut self, id: &str, entries: &[&Value], first_sight: bool) {
        if !first_sight {
            self.drafts.push(draft(EventType::JurisdictionAdded, id, entries.first().copied(), None));
        }
        self.drafts.extend(entries.iter().filter_map(|entry| {
            jurisdiction_event(entry.get("status")).map(|event| draft(event, id, Some(entry), None))
        }));
    }

    /// One entry in its former and its present state.
    fn entry(&mut self, id: &str, old: &Value, new: &Value) {
        let renewed = is_later(old.get("expiration_date"), new.get("expiration_date"));
        self.renewed |= renewed;
        let moved = !same(old.get("status"), new.get("status"));
        if let Some(event) = jurisdiction_event(new.get("status")).filter(|_| moved) {
            self.drafts.push(draft(event, id, Some(new), Some(old)));
            return;
        }
        let mut old = old.clone();
        if let (true, Some(fields)) = (renewed, old.as_object_mut()) {
            fields.insert("expiration_date".into(), new["expiration_date"].clone());
        }
        self.unaccounted |= !same(Some(&old), Some(new));
    }
}

/// The entries of a list by their ids, in the order of the list.
struct Entries<'a> {
    by_id: BTreeMap<&'a str, Vec<&'a Value>>,
    nameless: Vec<&'a Value>,
    is_no_list: bool,
}

impl<'a> Entries<'a> {
    fn of(list: Option<&'a Value>) -> Self {
        let mut entries = Self { by_id: BTreeMap::new(), nameless: Vec::new(), is_no_list: false };
        match list {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) => {
                for entry in list {
                    match jurisdiction_id(entry) {
                        Some(id) => entries.by_id.entry(id).or_default().push(entry),
                        None => entries.nameless.push(entry),
                    }
                }
            }
            Some(_) => entries.is_no_list = true,
        }
        entries
    }

    fn get(&self, id: &str) -> &[&'a Value] {
        self.by_id.get(id).map_or(&[], Vec::as_slice)
    }
}

fn same_entries(one: &[&Value], other: &[&Value]) -> bool {
    let list = |entries: &[&Value]| Value::Array(entries.iter().map(|&entry| entry.clone()).collect());
    same_field(JURISDICTIONS, Some(&list(one)), Some(&list(other)))
}

fn draft(event_type: EventType, id: &str, entry: Option<&Value>, previous: Option<&Value>) -> EventDraft {
    let details = json!({ "jurisdiction_id": id, "jurisdiction": entry, "previous_jurisdiction": previous });
    EventDraft { event_type, details: Json::of(&details) }
}
