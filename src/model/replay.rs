//! Replays: events that an endpoint gets again, or for the first time, because an operator asked for it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::delivery::DeliveryStatus;
use super::event::Event;
use super::filter::{Facets, Filter};
use super::id::{EndpointId, EventId, Position, ReplayId};
use super::pattern::Pattern;
use super::resource::{ResourceId, ResourceKey};
use super::time::Timestamp;

/// Which of the events in a range are meant, by what became of them at the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// Those that match its types and filter and were never delivered to it.
    Missed,
    /// Those whose delivery has failed.
    Failed,
    /// Those that match, and those that were sent to it before, whatever became of them.
    All,
}

impl Select {
    /// Whether an event is meant; `is_for` tells whether it matches the endpoint's types and filter. What is on its
    /// way already is never meant: it comes by itself.
    pub fn means(self, standing: Option<DeliveryStatus>, is_for: bool) -> bool {
        match (self, standing) {
            (_, Some(DeliveryStatus::Pending)) => false,
            (Self::Missed, Some(DeliveryStatus::Delivered)) => false,
            (Self::Missed, None | Some(DeliveryStatus::Failed | DeliveryStatus::Canceled)) => is_for,
            (Self::Failed, standing) => standing == Some(DeliveryStatus::Failed),
            (Self::All, standing) => is_for || standing.is_some(),
        }
    }
}

/// A stretch of the event log, and which of its events are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Where it begins: behind this place.
    pub after: Position,
    /// Its last place.
    pub until: Position,
    /// The instant that was asked for as its beginning; `None`: the earliest event that was kept then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_since: Option<Timestamp>,
    /// The instant that was asked for as its end, itself excluded; `None`: when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_until: Option<Timestamp>,
    /// Only types that one of these means; all if there are none.
    pub types: Vec<Pattern>,
    /// What else an event must meet.
    pub filter: Filter,
    /// Only events of this resource.
    pub resource_id: Option<ResourceId>,
    /// Only these events, in the order of the log; all if there are none.
    pub event_ids: Vec<EventId>,
    /// Which of them, by what became of them.
    pub select: Select,
}

impl Range {
    /// Whether an event is asked for, whatever became of it.
    pub fn asks_for(&self, event: &Event) -> bool {
        let position = event.position();
        position > self.after
            && position <= self.until
            && (self.types.is_empty() || self.types.iter().any(|pattern| pattern.matches(event.event_type)))
            && self.resource_id.as_ref().is_none_or(|id| event.sight.resource().is_some_and(|key| key.id == *id))
            && (self.event_ids.is_empty() || self.event_ids.binary_search(&event.id).is_ok())
            && (self.filter.is_empty() || self.filter.matches(&Facets::of(event)))
    }
}

/// What a replay goes through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// Events of the log: the same ids, the same bytes.
    Log(Range),
    /// The current state of every resource that matches, as an event of its own.
    Snapshots(Filter),
}

/// How far a replay has come: what lies before it has become deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cursor {
    /// Behind this place of the log.
    Log(Position),
    /// Behind this resource; before all of them if there is none.
    Snapshots(Option<ResourceKey>),
    /// Everything has become a delivery.
    End,
}

/// Where a replay stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayStatus {
    /// It goes on, or waits for its endpoint.
    Running,
    /// Each of its deliveries has ended.
    Completed,
    /// An operator, or the end of the endpoint, stopped it.
    Canceled,
}

/// How a replay is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How far it has come.
    pub cursor: Cursor,
    /// Where it stands.
    pub status: ReplayStatus,
    /// When it came to stand so, if it no longer runs.
    pub ended_at: Option<Timestamp>,
    /// Deliveries so far, ended or not.
    pub matched: u64,
    /// Those that were delivered,
    pub delivered: u64,
    /// that failed,
    pub failed: u64,
    /// and that were canceled.
    pub canceled: u64,
    /// Events of its range that retention had removed before it came to them.
    #[serde(default, skip_serializing_if = "is_none")]
    pub cut: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Progress {
    /// Before the first step.
    pub fn before(course: &Course) -> Self {
        let cursor = match course {
            Course::Log(range) => Cursor::Log(range.after),
            Course::Snapshots(_) => Cursor::Snapshots(None),
        };
        Self {
            cursor,
            status: ReplayStatus::Running,
            ended_at: None,
            matched: 0,
            delivered: 0,
            failed: 0,
            canceled: 0,
            cut: 0,
        }
    }

    /// Deliveries that have not ended.
    pub fn outstanding(&self) -> u64 {
        self.matched.saturating_sub(self.delivered + self.failed + self.canceled)
    }
}

/// One bulk delivery that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Given when it was asked for.
    pub id: ReplayId,
    /// To whom.
    pub endpoint_id: EndpointId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// What it goes through.
    pub course: Course,
    /// How it is doing.
    pub progress: Progress,
}

/// What a replay would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// So many events are meant.
    pub matched: u64,
    /// The first of them.
    pub sample: Vec<Arc<Event>>,
    /// Whether there may be more: only so much of the log is looked at.
    pub more: bool,
}

/// What a delivery has to do with the last replay that it was part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Which replay.
    pub id: ReplayId,
    /// Where the delivery stood before; `None` if there was none.
    pub former: Option<DeliveryStatus>,
    /// What became of it in the replay; `None` as long as it is pending.
    pub ended: Option<DeliveryStatus>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_selected_follows_from_what_became_of_it() {
        use DeliveryStatus::{Canceled, Delivered, Failed, Pending};
        let standings = [None, Some(Pending), Some(Delivered), Some(Failed), Some(Canceled)];
        for (select, matching, others) in [
            (Select::Missed, [true, false, false, true, true], [false; 5]),
            (Select::Failed, [false, false, false, true, false], [false, false, false, true, false]),
            (Select::All, [true, false, true, true, true], [false, false, true, true, true]),
        ] {
            assert_eq!(standings.map(|standing| select.means(standing, true)), matching, "{select:?}");
            assert_eq!(standings.map(|standing| select.means(standing, false)), others, "{select:?}");
        }
    }
}
