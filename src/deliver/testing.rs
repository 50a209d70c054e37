//! Values that the tests of this room share.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::endpoint::{
    Endpoint, EndpointStatus, EndpointUrl, Format, Ordering, OwnHeaders, Payload, SigningSecret,
};
use crate::model::event::{Cause, Detection, Event, EventType, Mode, Sight, Subject};
use crate::model::filter::Filter;
use crate::model::id::{EndpointId, EndpointNumber, EventId, Position};
use crate::model::json::{Fields, Json};
use crate::model::pattern::Pattern;
use crate::model::resource::{Kind, ResourceKey};
use crate::model::time::Timestamp;

/// An enabled endpoint that wants everything.
pub(super) fn endpoint(number: u32) -> Endpoint {
    Endpoint {
        id: EndpointId { number: EndpointNumber(number), random: 1 },
        uid: None,
        url: EndpointUrl::new(&"https://example.com/hook".parse().expect("a URL")),
        description: String::new(),
        types: vec![Pattern::Everything],
        filter: Filter::default(),
        payload: Payload::Full,
        format: Format::Standard,
        headers: OwnHeaders::default(),
        ordering: Ordering::PerResource,
        retry: None,
        max_in_flight: None,
        rate_limit: None,
        metadata: BTreeMap::new(),
        secrets: vec![SigningSecret { key: vec![7; 32].into(), expires_at: None }],
        status: EndpointStatus::Enabled,
        disabled_reason: None,
        start: Position::START,
        created_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
        enabled_at: Timestamp::EPOCH,
    }
}

/// An event at a position, about a certificate.
pub(super) fn event(position: u64, resource: &str) -> Arc<Event> {
    let key = ResourceKey {
        source: "numeral".parse().expect("a name"),
        kind: Kind::Certificate,
        id: resource.parse().expect("an id"),
    };
    let object = Json::of(&serde_json::json!({"id": resource, "customer": {"id": "cus_1"}}));
    Arc::new(Event {
        id: EventId { position: Position(position), epoch: 1, start: 1 },
        event_type: EventType::CertificateUpdated,
        details: Json::of(&Fields::new()),
        sight: Arc::new(Sight {
            subject: Subject::Resource(key),
            api_version: "2026-03-01".into(),
            livemode: true,
            object,
            previous_attributes: Json::of(&Fields::new()),
            detection: Detection {
                mode: Mode::Live,
                pass: Some(Cause::Changes),
                request_id: None,
                object_version: position,
                observed_after: None,
                observed_before: Timestamp::EPOCH,
            },
        }),
    })
}
