//! What every resource is now, for a subscriber that begins, or begins anew.

use serde_json::Value;

use super::Step;
use crate::deliver::Deliverer;
use crate::model::endpoint::Endpoint;
use crate::model::event::{Detection, EventDraft, EventType, Mode, Sight, Subject};
use crate::model::filter::{Facets, Filter};
use crate::model::json::{Fields, Json};
use crate::model::replay::{Course, Cursor, Replay};
use crate::model::resource::{Kind, ResourceKey, Snapshot, SourceName};
use crate::model::time::Timestamp;
use crate::store::{Advance, StoreError};

/// Snapshots that are looked at in one step.
const PAGE: usize = 100;

/// A source whose resources are told.
#[derive(Clone, Debug)]
pub struct ResyncSource {
    /// Its name.
    pub name: SourceName,
    /// The version of its API that it is asked in.
    pub api_version: String,
}

impl Deliverer {
    /// Makes what the next resources are now pending; waits for the first listing of a source.
    pub(super) async fn go_through_snapshots(
        &self,
        replay: &Replay,
        endpoint: &Endpoint,
        after: Option<&ResourceKey>,
    ) -> Result<Step, StoreError> {
        let Course::Snapshots(filter) = &replay.course else { return Ok(Step::Waits) };
        let store = &self.tools.store;
        let now = self.tools.clock.now();
        let mut told = Vec::new();
        let mut cursor = Cursor::Snapshots(after.cloned());
        let mut left = PAGE;
        let mut is_listed = true;
        for (source, kind) in self.shelves(after) {
            is_listed = self.is_listed(&source.name).await?;
            if !is_listed {
                break;
            }
            let within = after.filter(|key| key.source == source.name && key.kind == kind).map(|key| &key.id);
            let page = store.snapshots_after(&source.name, kind, within, left).await?;
            left -= page.len();
            if let Some(last) = page.last() {
                cursor = Cursor::Snapshots(Some(last.key.clone()));
            }
            let present = page.into_iter().filter(|snapshot| snapshot.removed.is_none());
            let states = present.map(|snapshot| state(snapshot, source, self.settings.livemode, replay, now));
            told.extend(states.filter(|told| is_wanted(endpoint, filter, told)));
            if left == 0 {
                break;
            }
        }
        if !is_listed && left == PAGE {
            return Ok(Step::WaitsForListing);
        }
        if is_listed && left > 0 {
            cursor = Cursor::End;
        }
        // Nobody cancels the resync between what it tells and the queue that hears of it.
        let _one_at_a_time = self.by_hand.lock().await;
        let records = if told.is_empty() { Vec::new() } else { store.tell_snapshots(replay.id, told, now).await? };
        self.note(Advance { id: replay.id, cursor, cut: 0 }, Vec::new()).await?;
        self.hand_over(replay, records).await?;
        Ok(Step::Moved)
    }

    /// Whether the first listing of a source is done. What it finds later is told to nobody, so that whoever was told of
    /// the others before it has found them would miss them for good.
    async fn is_listed(&self, source: &SourceName) -> Result<bool, StoreError> {
        let progress = self.tools.store.progress(source).await?;
        Ok(progress.is_some_and(|progress| progress.baseline_completed_at.is_some()))
    }

    /// Where resources are that come after one, in the order of their keys.
    fn shelves(&self, after: Option<&ResourceKey>) -> Vec<(&ResyncSource, Kind)> {
        let sources = self.settings.sources.iter();
        let mut shelves: Vec<_> = sources.flat_map(|source| Kind::ALL.map(|kind| (source, kind))).collect();
        shelves.retain(|(source, kind)| after.is_none_or(|key| (&source.name, *kind) >= (&key.source, key.kind)));
        shelves.sort_by_key(|(source, kind)| (source.name.clone(), *kind));
        shelves
    }
}

/// What a resource is now, as an event that tells of no transition.
fn state(
    snapshot: Snapshot,
    source: &ResyncSource,
    livemode: bool,
    replay: &Replay,
    now: Timestamp,
) -> (Sight, EventDraft) {
    let event_type = match snapshot.key.kind {
        Kind::Certificate => EventType::CertificateSnapshot,
        Kind::CertificateRequest => EventType::RequestSnapshot,
    };
    // As for every event about a resource: what upstream says of it, if it does.
    let livemode = snapshot.object.fields().get("livemode").and_then(Value::as_bool).unwrap_or(livemode);
    let sight = Sight {
        subject: Subject::Resource(snapshot.key),
        api_version: source.api_version.clone(),
        livemode,
        object: snapshot.object,
        previous_attributes: Json::of(&Fields::new()),
        detection: Detection {
            mode: Mode::Resync,
            pass: None,
            request_id: Some(replay.id.to_string()),
            object_version: snapshot.object_version,
            observed_after: Some(snapshot.observed_at),
            observed_before: now,
        },
    };
    (sight, EventDraft::plain(event_type))
}

/// Whether an endpoint hears of that kind of resource at all, and its filter and that of the resync let this one
/// through.
fn is_wanted(endpoint: &Endpoint, filter: &Filter, (sight, draft): &(Sight, EventDraft)) -> bool {
    let hears = EventType::ALL.iter().any(|one| one.kind() == draft.event_type.kind() && endpoint.wants(*one));
    let lets_through = |filter: &Filter| filter.is_empty() || filter.matches(&Facets::of_draft(sight, draft));
    hears && lets_through(&endpoint.filter) && lets_through(filter)
}
