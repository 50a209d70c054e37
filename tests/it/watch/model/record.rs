//! All that happened in a case: what upstream ever was, what it showed when, what was committed when.
//!
//! Everything has a moment, and moments are counted by one count, so that whatever happened did so before or after
//! everything else.

use std::collections::{BTreeMap, BTreeSet};

use certhook::model::event::{EventDraft, Sight};
use certhook::model::resource::{Kind, ResourceKey};
use certhook::model::source::{PassKind, SourceProgress};
use certhook::source::{SourceError, Urgency};
use certhook::watch::Settings;
use serde_json::Value;

use super::ledger::Committed;
use super::life::{Era, Known, Life, Sighting, View};
use super::meaning::meaning;
use super::scene::{Decided, Look, Reminding};
use super::steps::{MEMO, NEW_FIELDS, World};
use crate::support::scripted_source::book::History;
use crate::support::scripted_source::calls::{Answer, Call, Question};

/// What a case was, as it was played.
pub(super) struct Played {
    pub(super) world: World,
    pub(super) settings: Settings,
    pub(super) calls: Vec<Call>,
    pub(super) looks: Vec<Look>,
    pub(super) decided: Vec<Decided>,
    /// When the clock of a new process was not the last one's.
    pub(super) leaps: Vec<u64>,
    pub(super) policies: Vec<Reminding>,
}

/// All that happened.
pub(super) struct Record {
    pub(super) played: Played,
    pub(super) lives: BTreeMap<(Kind, String), Life>,
    /// What the gateway said about the source.
    pub(super) gateway: Vec<(u64, Sight, Vec<EventDraft>)>,
    pub(super) progress: Vec<(u64, SourceProgress)>,
    /// The first answer that carried a field that is not documented.
    first_shown: BTreeMap<(Kind, &'static str), Sighting>,
}

impl Record {
    /// Puts together what belongs together.
    pub(super) fn new(played: Played, history: &History, committed: Vec<(u64, Committed)>) -> Self {
        let mut record = Self {
            played,
            lives: BTreeMap::new(),
            gateway: Vec::new(),
            progress: Vec::new(),
            first_shown: BTreeMap::new(),
        };
        for ((kind, id), eras) in history {
            record.life(*kind, id).eras.extend(eras.iter().map(|era| {
                let item = era.item.as_ref();
                Era {
                    since: era.since,
                    state: item.map(|item| without_document(&item.object)),
                    has_document: item.is_some_and(|item| !item.object["download_url"].is_null()),
                    is_listed: item.is_some_and(|item| item.is_listed),
                    is_readable: item.is_some_and(|item| item.is_readable),
                }
            }));
        }
        for call in std::mem::take(&mut record.played.calls) {
            record.note_call(&call);
            record.played.calls.push(call);
        }
        for (at, committed) in committed {
            record.note_commit(at, committed);
        }
        for life in record.lives.values_mut() {
            life.by_id.sort_by_key(|sighting| sighting.arrived);
            life.rows.sort_by_key(|sighting| sighting.arrived);
        }
        let answers =
            record.lives.values().flat_map(|life| life.sightings().into_iter().map(|answer| (life.kind, answer)));
        let mut answers: Vec<(Kind, Sighting)> = answers.map(|(kind, answer)| (kind, answer.clone())).collect();
        answers.sort_by_key(|(_, answer)| answer.arrived);
        for (kind, answer) in answers {
            for name in answer.carried.clone() {
                record.first_shown.entry((kind, name)).or_insert_with(|| answer.clone());
            }
        }
        record
    }

    fn life(&mut self, kind: Kind, id: &str) -> &mut Life {
        self.lives.entry((kind, id.to_owned())).or_insert_with(|| Life {
            kind,
            id: id.to_owned(),
            eras: Vec::new(),
            known: Vec::new(),
            by_id: Vec::new(),
            rows: Vec::new(),
            absences: Vec::new(),
        })
    }

    fn note_call(&mut self, call: &Call) {
        let Some((arrived, at)) = call.arrived else { return };
        let (asked, made, urgency, is_a_lie) = (call.asked, call.made, call.urgency, call.is_a_lie);
        let sighting = |object: Option<&Value>, view: View| {
            let names = NEW_FIELDS.into_iter().chain([MEMO]);
            let carried = names.filter(|name| object.is_some_and(|object| object.get(name).is_some())).collect();
            Sighting { asked, made, arrived, at, urgency, view, carried, is_a_lie }
        };
        match (&call.question, &call.answer) {
            (Question::Page(..), Answer::Page { shown, .. }) => {
                for item in shown {
                    let Some(id) = &item.id else { continue };
                    let view = item.row.as_ref().map_or(View::Malformed, |row| View::Row(meaning(row)));
                    self.life(call.kind, id).rows.push(sighting(item.row.as_ref(), view));
                }
            }
            (Question::Get(id), answer) => {
                let (object, view) = match answer {
                    Answer::Found(object) => {
                        (Some(object), View::Whole(without_document(object), object["download_url"].is_string()))
                    }
                    Answer::NotFound => (None, View::NotFound),
                    Answer::Malformed => (None, View::Malformed),
                    Answer::Error(_) | Answer::Page { .. } => return,
                };
                self.life(call.kind, id.as_str()).by_id.push(sighting(object, view));
            }
            (Question::Page(..), _) => {}
        }
    }

    fn note_commit(&mut self, at: u64, committed: Committed) {
        let commit = match committed {
            Committed::Progress(progress) => return self.progress.push((at, *progress)),
            Committed::Sight(commit) => *commit,
        };
        if let Some((ResourceKey { kind, id, .. }, absence)) = commit.absence {
            self.life(kind, id.as_str()).absences.push((at, absence));
        }
        let Some(snapshot) = commit.snapshot else {
            return self.gateway.extend(commit.told.into_iter().map(|(sight, drafts)| (at, sight, drafts)));
        };
        let object = Value::Object(snapshot.object.fields());
        let ResourceKey { kind, id, .. } = snapshot.key.clone();
        let known = Known { at, state: meaning(&object), object, snapshot, told: commit.told };
        self.life(kind, id.as_str()).known.push(known);
    }

    /// The types of all that was told.
    pub(super) fn told(&self) -> impl Iterator<Item = &'static str> {
        let of_lives = self.lives.values().flat_map(|life| &life.known).flat_map(|known| &known.told);
        let drafts = of_lives.map(|(_, drafts)| drafts).chain(self.gateway.iter().map(|(_, _, drafts)| drafts));
        drafts.flatten().map(|draft| draft.event_type.as_str())
    }

    /// The passes of a kind that were not killed.
    pub(super) fn looks(&self) -> impl Iterator<Item = &Look> {
        self.played.looks.iter()
    }

    /// The pass that something belongs to which came at a moment on behalf of an urgency. A deadline pass asks for
    /// documents with the urgency of a sweep.
    pub(super) fn look_of(&self, urgency: Urgency, moment: u64) -> Option<&Look> {
        let during = |look: &&Look| look.began <= moment && moment <= look.ended;
        let own = self.looks().filter(during).find(|look| urgency_of(look.kind) == urgency);
        own.or_else(|| self.looks().filter(during).find(|look| look.kind == PassKind::Deadline))
    }

    /// Whether no other pass ran beside a pass.
    pub(super) fn is_alone(&self, look: &Look) -> bool {
        self.looks().filter(|other| other.began < look.ended && look.began < other.ended).count() == 1
    }

    /// When a pass asked for something again after a moment, or ended.
    pub(super) fn asked_after(&self, look: &Look, urgency: Urgency, moment: u64) -> u64 {
        let own = self.played.calls.iter().filter(|call| call.urgency == urgency);
        own.map(|call| call.asked).filter(|asked| *asked > moment).min().unwrap_or(u64::MAX).min(look.ended)
    }

    /// When the last answer came to a pass before a moment.
    pub(super) fn arrived_before(&self, look: &Look, urgency: Urgency, moment: u64) -> Option<u64> {
        let is_answer = |call: &&Call| call.urgency == urgency && !matches!(call.answer, Answer::Error(_));
        let own = self.played.calls.iter().filter(is_answer);
        let arrived = own.filter_map(|call| call.arrived).map(|(arrived, _)| arrived);
        arrived.filter(|arrived| look.began < *arrived && *arrived < moment).max()
    }

    /// Whether upstream refused to tell of an id before a moment.
    pub(super) fn was_refused(&self, id: &str, moment: u64) -> bool {
        self.played.calls.iter().any(|call| {
            let is_about_it = matches!(&call.question, Question::Get(asked) if asked.as_str() == id);
            let is_refused = matches!(&call.answer, Answer::Error(SourceError::Refused { .. }));
            is_about_it && is_refused && call.arrived.is_some_and(|(arrived, _)| arrived < moment)
        })
    }

    /// The first answer that carried a field that is not documented.
    pub(super) fn first_shown(&self, kind: Kind, name: &'static str) -> Option<&Sighting> {
        self.first_shown.get(&(kind, name))
    }

    /// Whether the baseline was complete at a moment.
    pub(super) fn has_baseline(&self, moment: u64) -> bool {
        self.progress_at(moment).is_some_and(|progress| progress.baseline_completed_at.is_some())
    }

    /// The policy of reminders at a moment.
    pub(super) fn policy_at(&self, moment: u64) -> &Reminding {
        let earlier = self.played.policies.iter().rev().find(|policy| policy.at <= moment);
        earlier.expect("there is one from the beginning on")
    }

    /// Where the passes stood at a moment.
    pub(super) fn progress_at(&self, moment: u64) -> Option<&SourceProgress> {
        self.progress.iter().rev().find(|(at, _)| *at <= moment).map(|(_, progress)| progress)
    }

    /// What the fields of a row show of a state.
    pub(super) fn row_of(&self, state: &Value) -> Value {
        let mut row = state.clone();
        let world = &self.played.world;
        let Some(fields) = row.as_object_mut() else { return row };
        if world.rows_lack_memo[0] {
            fields.shift_remove(MEMO);
        }
        if world.rows_lack_status {
            fields.shift_remove("status");
        }
        for entry in fields.get_mut("jurisdictions").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(entry) = entry.as_object_mut() else { continue };
            if world.rows_lack_memo[1] {
                entry.shift_remove(MEMO);
            }
            if world.rows_lack_status {
                entry.shift_remove("status");
            }
        }
        row
    }

    /// How many of a kind were known, and not removed, at some moment of a pass.
    pub(super) fn there_during(&self, kind: Kind, look: &Look) -> u64 {
        let was_there = |life: &&Life| {
            let later = life.known.iter().filter(|known| look.began < known.at && known.at < look.ended);
            life.kind == kind && life.known_at(look.began).into_iter().chain(later).any(|known| !known.is_removed())
        };
        self.lives.values().filter(was_there).count() as u64
    }

    /// The ids of a kind that were known, and not removed, at a moment.
    pub(super) fn there(&self, kind: Kind, moment: u64) -> BTreeSet<&str> {
        let lives = self.lives.values().filter(|life| life.kind == kind);
        let is_there = |life: &&Life| life.known_at(moment).is_some_and(|known| !known.is_removed());
        lives.filter(is_there).map(|life| life.id.as_str()).collect()
    }
}

/// On whose behalf a pass asks.
pub(super) fn urgency_of(kind: PassKind) -> Urgency {
    match kind {
        PassKind::Deadline => Urgency::Deadline,
        PassKind::Changes => Urgency::Changes,
        PassKind::Open => Urgency::Open,
        PassKind::Sweep => Urgency::Sweep,
    }
}

fn without_document(object: &Value) -> Value {
    let mut state = meaning(object);
    state.as_object_mut().map(|fields| fields.shift_remove("download_url"));
    state
}
