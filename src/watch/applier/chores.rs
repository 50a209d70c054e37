//! What our clock finds due: reminders, looks by id, and agendas of another policy.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Applier, FIELDS_MAX, is_noted};
use crate::detect::agenda::{Occasion, Policy, Reason, plan, reason, reminder_sight};
use crate::model::resource::{Kind, OpenList, ResourceId, Snapshot};
use crate::model::time::Timestamp;
use crate::store::{Due, SightCommit, StoreError, Task};

/// So many resources are looked at in one commit.
const PAGE: usize = 100;

/// Goes up when agendas are worked out in another way, so that those in the store are worked out again.
const AGENDA_VERSION: u32 = 2;

/// What a policy is known by in the store.
pub(super) fn name_of(policy: &Policy) -> String {
    let Policy { will_expire, remind_at, timezone } = policy;
    let zone = timezone.iana_name().unwrap_or("UTC");
    format!("{AGENDA_VERSION} {will_expire:?} {remind_at} {zone}")
}

/// Why agendas that were worked out for a policy of this name are worked out again. Where it is only the way that is
/// another, what has come due meanwhile is told.
fn occasion(former: Option<&str>, wanted: &str) -> Occasion {
    let policy = |name: &str| name.split_once(' ').map(|(_, policy)| policy.to_owned());
    let is_same = former.is_some_and(|former| policy(former) == policy(wanted));
    if is_same { Occasion::Later } else { Occasion::NewPolicy }
}

/// A resource that is due to be asked for by id.
#[derive(Debug)]
pub(in super::super) struct DueFetch {
    /// Its kind.
    pub(in super::super) kind: Kind,
    /// Its id.
    pub(in super::super) id: ResourceId,
    /// Why.
    pub(in super::super) reason: Reason,
    /// Whether an open list shows all that it is due for, if rows carry statuses.
    pub(in super::super) is_open: bool,
}

impl Applier {
    /// When the next task of a kind is due.
    pub(in super::super) async fn next_due(&self, task: Task) -> Result<Option<Timestamp>, StoreError> {
        let end = Timestamp::from_millis(i64::MAX);
        Ok(self.store.due(self.source.name(), task, end, 1).await?.first().map(|due| due.at))
    }

    /// Tells the reminders of some of the resources for which one is due. `false`: none was.
    pub(in super::super) async fn remind(&self, now: Timestamp) -> Result<bool, StoreError> {
        let _right = self.progress.lock().await;
        let due = self.store.due(self.source.name(), Task::Remind, now, PAGE).await?;
        let snapshots = self.snapshots_of(&due).await?;
        let is_any = !snapshots.is_empty();
        self.replan(snapshots, Occasion::Later, now).await?;
        Ok(is_any)
    }

    /// Up to `limit` resources that are due to be asked for by id, and why.
    pub(in super::super) async fn due_fetches(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueFetch>, StoreError> {
        let due = self.store.due(self.source.name(), Task::Fetch, now, limit).await?;
        let snapshots = self.snapshots_of(&due).await?;
        let with_reason = snapshots.into_iter().map(|snapshot| {
            // One that is due for no reason any more is due for nothing once it has been looked at.
            let reason = reason(&snapshot, now, &self.dates).unwrap_or(Reason::Document);
            let is_open = snapshot.open_list.is_some() && snapshot.agenda.document_missing_since.is_none();
            DueFetch { kind: snapshot.key.kind, id: snapshot.key.id, reason, is_open }
        });
        Ok(with_reason.collect())
    }

    /// That these resources were looked at because they were due, whatever came of it.
    pub(in super::super) async fn fetched(
        &self,
        kind: Kind,
        ids: &[ResourceId],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let _right = self.progress.lock().await;
        for ids in ids.chunks(PAGE) {
            let known = self.store.snapshots(self.source.name(), kind, ids).await?;
            self.replan(known.into_iter().flatten().collect(), Occasion::Fetched, now).await?;
        }
        Ok(())
    }

    /// Works out again the agendas of all snapshots, if they were worked out for another policy or none, and notes
    /// the fields that they have.
    pub(in super::super) async fn plan_all(&self, now: Timestamp) -> Result<(), StoreError> {
        let wanted = name_of(&self.dates);
        let occasion = match self.progress() {
            Some(progress) if progress.agenda_for.as_ref() != Some(&wanted) => {
                occasion(progress.agenda_for.as_deref(), &wanted)
            }
            Some(_) | None => return Ok(()),
        };
        for kind in Kind::ALL {
            let mut after = None;
            loop {
                let mut progress = self.progress.lock().await;
                let page = self.store.snapshots_after(self.source.name(), kind, after.as_ref(), PAGE).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.key.id.clone());
                if let Some(known) = progress.as_mut() {
                    note_fields(&mut known.fields_since[kind as usize], &page);
                }
                self.replan(page, occasion, now).await?;
            }
        }
        self.advance(|progress| {
            let mut moved = progress.clone();
            moved.agenda_for = Some(wanted);
            (moved, Vec::new())
        })
        .await
    }

    async fn snapshots_of(&self, due: &[Due]) -> Result<Vec<Snapshot>, StoreError> {
        let mut snapshots = Vec::new();
        for kind in Kind::ALL {
            let ids: Vec<ResourceId> = due.iter().filter(|due| due.kind == kind).map(|due| due.id.clone()).collect();
            snapshots.extend(self.store.snapshots(self.source.name(), kind, &ids).await?.into_iter().flatten());
        }
        Ok(snapshots)
    }

    /// Works out agendas and commits them with the reminders that follow. To be called with the right to commit.
    async fn replan(&self, snapshots: Vec<Snapshot>, occasion: Occasion, now: Timestamp) -> Result<(), StoreError> {
        let mut commits = Vec::new();
        for mut snapshot in snapshots {
            if occasion == Occasion::NewPolicy && snapshot.removed.is_none() {
                // Rows of the first version of the store do not say.
                let fields = snapshot.object.fields();
                snapshot.open_list = OpenList::of(snapshot.key.kind, fields.get("status").and_then(Value::as_str));
            }
            let plan = plan(&snapshot, occasion, now, &self.dates);
            snapshot.agenda = plan.agenda;
            let told = if plan.reminders.is_empty() {
                Vec::new()
            } else {
                vec![(reminder_sight(&snapshot, now, self.source.api_version()), plan.reminders)]
            };
            commits.push(SightCommit { snapshot: Some(snapshot), absence: None, told });
        }
        if commits.is_empty() { Ok(()) } else { self.store.commit_sights(commits, None).await }
    }
}

/// What snapshots carry was usual before anybody took note.
fn note_fields(fields: &mut BTreeMap<String, Timestamp>, snapshots: &[Snapshot]) {
    for name in snapshots.iter().flat_map(|snapshot| snapshot.object.fields()).map(|(name, _)| name) {
        if fields.len() < FIELDS_MAX && is_noted(&name) {
            fields.entry(name).or_insert(Timestamp::EPOCH);
        }
    }
}
