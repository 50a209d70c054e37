//! Endpoints and events as benches need them: of the usual size, and as alike as can be.

use std::collections::BTreeMap;

use certhook::model::endpoint::{
    Endpoint, EndpointStatus, EndpointUrl, Format, Ordering, OwnHeaders, Payload, SigningSecret,
};
use certhook::model::event::{Cause, Detection, EventDraft, EventType, Mode, Sight, Subject};
use certhook::model::filter::Filter;
use certhook::model::id::{EndpointId, EndpointNumber, Position};
use certhook::model::json::{Fields, Json};
use certhook::model::resource::{Kind, ResourceKey};
use certhook::model::time::Timestamp;
use certhook::store::SightCommit;

/// Carries what the bare loop counts its requests by.
pub(crate) const NUMBER_HEADER: &str = "bench-number";

/// What signs every request.
pub(crate) fn secrets() -> Vec<SigningSecret> {
    vec![SigningSecret { key: vec![7; 32].into(), expires_at: None }]
}

/// An endpoint that wants every certificate event after `start`.
pub(crate) fn endpoint(url: &str, start: Position) -> Endpoint {
    Endpoint {
        id: EndpointId { number: EndpointNumber(0), random: 7 },
        uid: None,
        url: EndpointUrl::new(&url.parse().expect("a URL")),
        description: String::new(),
        types: vec!["certificate.*".parse().expect("a pattern")],
        filter: Filter::default(),
        payload: Payload::Full,
        format: Format::Standard,
        headers: OwnHeaders::default(),
        ordering: Ordering::PerResource,
        retry: None,
        max_in_flight: None,
        rate_limit: None,
        metadata: BTreeMap::new(),
        secrets: secrets(),
        status: EndpointStatus::Enabled,
        disabled_reason: None,
        start,
        created_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
        enabled_at: Timestamp::EPOCH,
    }
}

/// The customer with a number, as upstream names it.
pub(crate) fn customer(number: usize) -> String {
    format!("cust_6126acaf-7379-411a-8ada-{number:012}")
}

/// A certificate of the usual size, of one of so many customers.
fn object(number: usize, customers: usize) -> Json {
    Json::of(&serde_json::json!({
        "id": format!("cert_a8f3d2c1-1b9a-4c5e-8d7e-{number:012}"),
        "object": "tax.exemption_certificate",
        "status": "expiring",
        "certificate_type": {
            "id": "12", "name": "California Resale Certificate (CDTFA-230)", "certificate_identifier": "US-CA-CDTFA-230"
        },
        "customer": { "id": customer(number % customers), "reference_customer_id": "20506" },
        "jurisdictions": [{
            "jurisdiction_id": "US-CA", "status": "expiring",
            "effective_date": "2026-01-01", "expiration_date": "2027-01-01"
        }],
        "effective_date": "2026-01-01",
        "expiration_date": "2027-01-01",
        "created_at": "2026-01-02T10:15:23.456Z",
        "updated_at": "2026-01-05T11:00:00.000Z",
        "livemode": true
    }))
}

/// The sight of a certificate that gives one event. Certificates of one number are one resource.
pub(crate) fn sight(number: usize, customers: usize, now: Timestamp) -> SightCommit {
    let key = ResourceKey {
        source: "numeral".parse().expect("a name"),
        kind: Kind::Certificate,
        id: format!("cert_a8f3d2c1-1b9a-4c5e-8d7e-{number:012}").parse().expect("an id"),
    };
    let told = told(key, object(number, customers), EventType::CertificateExpiring, now);
    SightCommit { told: vec![told], ..SightCommit::default() }
}

/// What a sight of a resource tells in one event.
pub(crate) fn told(key: ResourceKey, object: Json, event_type: EventType, now: Timestamp) -> (Sight, Vec<EventDraft>) {
    let sight = Sight {
        subject: Subject::Resource(key),
        api_version: "2026-03-01".into(),
        livemode: true,
        object,
        previous_attributes: Json::of(&Fields::from_iter([("status".to_owned(), "active".into())])),
        detection: Detection {
            mode: Mode::Live,
            pass: Some(Cause::Changes),
            request_id: None,
            object_version: 2,
            observed_after: Some(now),
            observed_before: now,
        },
    };
    (sight, vec![EventDraft::plain(event_type)])
}
