//! What a lane hands out, takes up again, and is told about it.

use std::sync::Arc;

use crate::model::delivery::{DeliveryRecord, Trigger};
use crate::model::event::Event;
use crate::model::id::Position;
use crate::model::id::ReplayNumber;
use crate::model::resource::ResourceKey;
use crate::model::time::Timestamp;

/// What deliveries keep their order within: one resource, in one replay or outside of all. A replay is in order within
/// itself, and neither waits for what is observed meanwhile nor holds it back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Strand {
    /// The resource that they are about.
    pub(super) resource: ResourceKey,
    /// The replay that they are pending for, if any.
    pub(super) replay: Option<ReplayNumber>,
}

impl Strand {
    /// That of a delivery, if it is about a resource.
    pub(super) fn of(record: &DeliveryRecord) -> Option<Self> {
        let replay = record.pending_for().map(|id| id.number);
        record.resource.clone().map(|resource| Self { resource, replay })
    }

    /// That of an event at its own turn, if it is about a resource.
    pub(super) fn of_event(event: &Event) -> Option<Self> {
        event.sight.resource().cloned().map(|resource| Self { resource, replay: None })
    }
}

/// An attempt that may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Work {
    /// Which event.
    pub(super) position: Position,
    /// The event, if it is still in memory.
    pub(super) event: Option<Arc<Event>>,
    /// What it keeps its order within, if it has one.
    pub(super) strand: Option<Strand>,
    /// What makes it happen.
    pub(super) trigger: Trigger,
}

impl Work {
    /// A delivery that was tried before, or that waited behind another one: its event is in the log.
    pub(super) fn again(position: Position, strand: Option<Strand>) -> Self {
        Self { position, event: None, strand, trigger: Trigger::Scheduled }
    }

    /// The same, to see whether the endpoint is back.
    pub(super) fn into_probe(self) -> Self {
        Self { trigger: Trigger::Probe, ..self }
    }
}

/// A delivery with a record, which is taken up again.
#[derive(Debug)]
pub(super) struct Resumed {
    /// Which event.
    pub(super) position: Position,
    /// When it is due.
    pub(super) due: Timestamp,
    /// When it was tried first,
    pub(super) failed_at: Timestamp,
    /// and last.
    pub(super) tried_at: Timestamp,
    /// Whether its schedule has not begun.
    pub(super) is_fresh: bool,
    /// Whether it is pending for a replay.
    pub(super) is_replayed: bool,
    /// What it keeps its order within, if it has one.
    pub(super) strand: Option<Strand>,
}

impl Resumed {
    /// The delivery of that record.
    pub(super) fn of(record: &DeliveryRecord, due: Timestamp) -> Self {
        Self {
            position: record.id.position,
            due,
            failed_at: record.attempts.first().map_or(due, |attempt| attempt.at),
            tried_at: record.attempts.last().map_or(due, |attempt| attempt.at),
            is_fresh: record.charged == 0,
            is_replayed: record.pending_for().is_some(),
            strand: Strand::of(record),
        }
    }
}

/// What an attempt leads to, for the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The receiver has it.
    Delivered,
    /// It is given up. Nothing waits for it any longer once that is durable: a process that is killed before would try
    /// it again, after those that did not wait.
    GivenUp,
    /// It is no longer pending: nothing waits for it any longer.
    Ended,
    /// It is tried again at that instant.
    RetryAt(Timestamp),
}
