//! What a lane hands out, takes up again, and is told about it.

use std::sync::Arc;

use crate::model::delivery::{DeliveryRecord, Trigger};
use crate::model::event::Event;
use crate::model::id::Position;
use crate::model::resource::ResourceKey;
use crate::model::time::Timestamp;

/// An attempt that may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Work {
    /// Which event.
    pub(super) position: Position,
    /// The event, if it is still in memory.
    pub(super) event: Option<Arc<Event>>,
    /// The resource that it is about.
    pub(super) resource: Option<ResourceKey>,
    /// What makes it happen.
    pub(super) trigger: Trigger,
}

impl Work {
    /// A delivery that was tried before, or that waited behind another one: its event is in the log.
    pub(super) fn again(position: Position, resource: Option<ResourceKey>) -> Self {
        Self { position, event: None, resource, trigger: Trigger::Scheduled }
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
    /// The resource that it is about.
    pub(super) resource: Option<ResourceKey>,
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
            resource: record.resource.clone(),
        }
    }
}

/// What an attempt leads to, for the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The receiver has it.
    Delivered,
    /// It is given up, or canceled: nothing waits for it any longer.
    Ended,
    /// It is tried again at that instant.
    RetryAt(Timestamp),
}
