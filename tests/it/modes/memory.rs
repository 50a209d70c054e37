//! What was found in the store after each pass, as far as later checks need it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use certhook::clock::Clock;
use certhook::model::id::Position;
use certhook::model::resource::{Download, Snapshot};
use certhook::model::time::Timestamp;
use certhook::store::EventLog;

use super::rig::Rig;
use super::upstream::is_hidden;
use crate::support::schemas;

const DAY: Duration = Duration::from_secs(86_400);

/// For so many days a document is looked for daily.
const LOOKED_FOR_DAYS: u32 = 30;

/// The certificates of which it was known that they lack their document.
#[derive(Debug, Default)]
pub(super) struct Documents {
    missing_since: BTreeMap<String, Timestamp>,
    /// Those of which it ever was.
    pub(super) ever_missing: BTreeSet<String>,
}

impl Documents {
    fn look_at(&mut self, snapshots: &BTreeMap<String, Snapshot>, now: Timestamp) {
        for (id, snapshot) in snapshots {
            if snapshot.download == Download::Missing {
                self.ever_missing.insert(id.clone());
            }
            if snapshot.download == Download::Missing && snapshot.removed.is_none() {
                self.missing_since.entry(id.clone()).or_insert(now);
            } else {
                self.missing_since.remove(id);
            }
        }
    }
}

impl Rig {
    /// Reads what was told since the last look, and remembers how everything stands. Gives where in the log the new
    /// begins.
    pub(super) async fn look_back(&mut self) -> usize {
        let begin = self.log.len();
        loop {
            let after = self.log.last().map_or(Position::START, |event| event.position());
            let more = self.store.events_after(after, 500).await.expect("the log");
            if more.is_empty() {
                break;
            }
            for event in &more {
                schemas::assert_fits(event);
                self.reminders.hear(event, &self.label);
            }
            self.log.extend(more);
        }
        let (snapshots, now) = (self.snapshots().await, self.clock.now());
        self.reminders.meet(&snapshots, now);
        self.documents.look_at(&snapshots, now);
        begin
    }

    /// After lists that show whatever moved: a document that came with a move of the row is known.
    pub(super) async fn assert_documents_of_moved_rows(&self, when: &str) {
        for (id, snapshot) in self.snapshots().await {
            if snapshot.download != Download::Missing || snapshot.removed.is_some() {
                continue;
            }
            let states = &self.upstream.truth()[&id];
            if is_hidden(&states.last().expect("a state").object) {
                continue;
            }
            let has_it = |index: &usize| states[*index].object["sandbox"]["document"] == true;
            let Some(came) = (0..states.len()).find(has_it) else { continue };
            // Within the same instant the row stays as it is.
            let updated_at = |index: usize| &states[index].object["updated_at"];
            let has_moved = came > 0 && updated_at(came) != updated_at(came - 1);
            assert!(!has_moved, "{}: the document of {id} is not known {when}", self.label);
        }
    }

    /// After what was due was looked at: a document that came more than a day ago is known, while it is looked for.
    pub(super) async fn assert_documents_of_a_day_ago(&self) {
        let (snapshots, now) = (self.snapshots().await, self.clock.now());
        for (id, since) in &self.documents.missing_since {
            let is_looked_for = now.plus(Duration::from_secs(60)) <= since.plus(DAY * LOOKED_FOR_DAYS);
            let states = &self.upstream.truth()[id];
            let is_there = !is_hidden(&states.last().expect("a state").object);
            if !is_looked_for || !is_there || snapshots[id].download != Download::Missing {
                continue;
            }
            let came = states.iter().find(|state| state.object["sandbox"]["document"] == true);
            let is_late = came.is_some_and(|state| state.at().plus(DAY) <= now);
            assert!(!is_late, "{}: the document of {id} is not known a day later", self.label);
        }
    }
}
