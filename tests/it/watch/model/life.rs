//! What happened to one resource: what it ever was upstream, what answers showed of it, what commits made of it.

use std::fmt::Write;

use certhook::model::event::{EventDraft, Mode, Sight};
use certhook::model::resource::{Absence, Kind, Snapshot};
use certhook::model::time::Timestamp;
use certhook::source::Urgency;
use serde_json::Value;

/// A state of a resource upstream, until the next one of it begins.
#[derive(Clone, Debug)]
pub(super) struct Era {
    pub(super) since: u64,
    /// All its fields but the document, as they mean; `None`: there was no such thing.
    pub(super) state: Option<Value>,
    pub(super) has_document: bool,
    pub(super) is_listed: bool,
    pub(super) is_readable: bool,
}

/// What a commit made of a resource.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) at: u64,
    pub(super) snapshot: Snapshot,
    /// What its fields mean.
    pub(super) state: Value,
    /// Its fields as they are stored.
    pub(super) object: Value,
    pub(super) told: Vec<(Sight, Vec<EventDraft>)>,
}

impl Known {
    /// The sight of this commit that was observed, with its events.
    pub(super) fn observed(&self) -> Option<&(Sight, Vec<EventDraft>)> {
        self.told.iter().find(|(sight, _)| sight.detection.mode != Mode::Derived)
    }

    /// The reminders of this commit.
    pub(super) fn derived(&self) -> impl Iterator<Item = &(Sight, Vec<EventDraft>)> {
        self.told.iter().filter(|(sight, _)| sight.detection.mode == Mode::Derived)
    }

    /// The types of what was observed.
    pub(super) fn types(&self) -> Vec<&'static str> {
        let drafts = self.observed().map(|(_, drafts)| drafts.as_slice()).unwrap_or_default();
        drafts.iter().map(|draft| draft.event_type.as_str()).collect()
    }

    pub(super) fn is_removed(&self) -> bool {
        self.snapshot.removed.is_some()
    }

    /// Whether what is told, or not told, is part of the baseline.
    pub(super) fn is_of_the_baseline(&self) -> bool {
        self.observed().is_none_or(|(sight, _)| sight.detection.mode == Mode::Baseline)
    }
}

/// What an answer showed of a resource.
#[derive(Clone, Debug)]
pub(super) enum View {
    /// A row, as it means.
    Row(Value),
    /// Everything, as it means, and whether there is a document.
    Whole(Value, bool),
    /// That it is there, and no more.
    Malformed,
    /// That it is not there.
    NotFound,
}

/// An answer that showed something of a resource, and came.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) asked: u64,
    pub(super) made: u64,
    pub(super) arrived: u64,
    /// What our clock showed when it came.
    pub(super) at: Timestamp,
    pub(super) urgency: Urgency,
    pub(super) view: View,
    /// Which of the fields that are not documented it carried, null or not.
    pub(super) carried: Vec<&'static str>,
    pub(super) is_a_lie: bool,
}

/// What happened to one resource.
pub(super) struct Life {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) eras: Vec<Era>,
    pub(super) known: Vec<Known>,
    /// Answers by id, in the order in which they came.
    pub(super) by_id: Vec<Sighting>,
    /// Rows, in the order in which they came.
    pub(super) rows: Vec<Sighting>,
    pub(super) absences: Vec<(u64, Option<Absence>)>,
}

impl Life {
    /// How it stood upstream at a moment.
    pub(super) fn era(&self, moment: u64) -> Option<&Era> {
        self.eras.iter().rev().find(|era| era.since <= moment).filter(|era| era.state.is_some())
    }

    /// How it stood upstream from one moment to another.
    pub(super) fn eras_between(&self, from: u64, to: u64) -> impl Iterator<Item = &Era> {
        let ends = self.eras.iter().skip(1).map(|era| era.since).chain([u64::MAX]);
        self.eras.iter().zip(ends).filter(move |(era, end)| era.since <= to && *end > from).map(|(era, _)| era)
    }

    /// What was known of it at a moment.
    pub(super) fn known_at(&self, moment: u64) -> Option<&Known> {
        self.known.iter().rev().find(|known| known.at <= moment)
    }

    /// How its absence stood at a moment.
    pub(super) fn absence_at(&self, moment: u64) -> Option<&Absence> {
        self.absences.iter().rev().find(|(at, _)| *at <= moment).and_then(|(_, absence)| absence.as_ref())
    }

    /// Every answer that showed something of it, in the order in which they came.
    pub(super) fn sightings(&self) -> Vec<&Sighting> {
        let mut all: Vec<&Sighting> = self.by_id.iter().chain(&self.rows).collect();
        all.sort_by_key(|sighting| sighting.arrived);
        all
    }

    /// Its story, for whoever reads a failure.
    pub(super) fn tale(&self) -> String {
        let mut lines: Vec<(u64, String)> = Vec::new();
        for era in &self.eras {
            let flags = [(era.is_listed, "listed"), (era.is_readable, "readable"), (era.has_document, "document")];
            let flags: Vec<&str> = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name).collect();
            let state = era.state.as_ref().map(brief).unwrap_or_default();
            lines.push((era.since, format!("upstream {flags:?} {state}")));
        }
        for sighting in self.sightings() {
            let Sighting { asked, made, urgency, view, is_a_lie, .. } = sighting;
            let lie = if *is_a_lie { " (a lie)" } else { "" };
            let view = match view {
                View::Row(state) => format!("row {}", brief(state)),
                View::Whole(state, has_document) => format!("whole (document: {has_document}) {}", brief(state)),
                View::Malformed => "malformed".to_owned(),
                View::NotFound => "not found".to_owned(),
            };
            lines.push((sighting.arrived, format!("{urgency:?} asked {asked} made {made}{lie}: {view}")));
        }
        for known in &self.known {
            let removed = known.snapshot.removed.as_ref().map(|removal| removal.reason);
            let (version, state) = (known.snapshot.object_version, brief(&known.state));
            let mut line = format!("known v{version} {removed:?} {state}");
            for (sight, drafts) in &known.told {
                let told: Vec<_> = drafts.iter().map(|draft| (draft.event_type.as_str(), &draft.details)).collect();
                let previous = &sight.previous_attributes;
                let _ = write!(line, "\n          told by {:?}: {told:?} before: {previous:?}", sight.detection.pass);
            }
            lines.push((known.at, line));
        }
        for (at, absence) in &self.absences {
            lines.push((*at, format!("absence {:?}", absence.as_ref().map(|absence| absence.state))));
        }
        lines.sort_by_key(|(at, _)| *at);
        let lines: Vec<String> = lines.into_iter().map(|(at, line)| format!("{at:>6}  {line}")).collect();
        format!("{} {}\n{}", self.kind, self.id, lines.join("\n"))
    }
}

/// A state as a failure shows it.
fn brief(state: &Value) -> String {
    let mut state = state.clone();
    if let Some(fields) = state.as_object_mut() {
        fields.retain(|name, _| !["id", "object", "effective_date", "created_at", "livemode"].contains(&name.as_str()));
    }
    state.to_string()
}
