//! What stands in for the catalogue.

use std::sync::Arc;

use certhook::api::commands::Catalogue;
use certhook::detect::catalogue;
use certhook::model::event::{Event, EventDraft, EventType};
use certhook::model::id::{EventId, Position};
use certhook::model::json::Json;
use certhook::model::time::Timestamp;

/// A catalogue that says little of each type, but for its shape.
pub(super) struct Words;

impl Catalogue for Words {
    fn description(&self, _: EventType) -> &'static str {
        "Something happened."
    }

    fn about(&self, event_type: EventType) -> Option<&'static str> {
        event_type.is_about_a_resource().then_some("certificate")
    }

    fn schema(&self, event_type: EventType) -> Json {
        Json::of(&catalogue::schema(event_type))
    }

    fn example(&self, event_type: EventType) -> Json {
        let (sight, EventDraft { event_type, details }) = catalogue::example(event_type, Timestamp::EPOCH);
        let id = EventId { position: Position(1), epoch: 1_795_233_600, start: 1 };
        Event { id, event_type, details, sight: Arc::new(sight) }.body()
    }
}
