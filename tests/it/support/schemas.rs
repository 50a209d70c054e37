//! The schemas of events, read by a validator that we did not write.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use certhook::detect::catalogue;
use certhook::model::event::{Event, EventDraft, EventType, Sight};
use certhook::model::id::{EventId, Position};
use jsonschema::Validator;
use serde_json::Value;

static VALIDATORS: LazyLock<HashMap<EventType, Validator>> = LazyLock::new(|| {
    EventType::ALL.iter().map(|&event_type| (event_type, validator(&catalogue::schema(event_type)))).collect()
});

/// A schema, ready for use. Dates and instants are looked at, too.
pub(crate) fn validator(schema: &Value) -> Validator {
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    options.build(schema).expect("a schema")
}

/// What is wrong with a body.
pub(crate) fn problems(validator: &Validator, body: &Value) -> Vec<String> {
    validator.iter_errors(body).map(|why| format!("{}: {why}", why.instance_path())).collect()
}

/// Asserts that each event of a sight has the shape that the catalogue tells of its type.
pub(crate) fn assert_fit(sight: &Sight, drafts: &[EventDraft]) {
    let sight = Arc::new(sight.clone());
    for EventDraft { event_type, details } in drafts {
        let id = EventId { position: Position(1), epoch: 1_795_233_600, start: 1 };
        assert_fits(&Event { id, event_type: *event_type, details: details.clone(), sight: Arc::clone(&sight) });
    }
}

/// Asserts that an event has the shape that the catalogue tells of its type.
pub(crate) fn assert_fits(event: &Event) {
    let body = event.body().parse().expect("JSON");
    let problems = problems(&VALIDATORS[&event.event_type], &body);
    assert!(problems.is_empty(), "{problems:#?} of {body:#}");
}
