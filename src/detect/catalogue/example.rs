//! An example of every event type. What detection can tell is made by detection itself, from two states of one
//! certificate or request, so that an example cannot have a shape that the real event has not.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::diff::{Context, FirstSight, Verdict, diff};
use super::{About, entry};
use crate::model::event::{Cause, Detection, EventDraft, EventType, Mode, Sight, Subject};
use crate::model::json::Json;
use crate::model::resource::{Coverage, Download, Kind, Removal, ResourceKey, Seen, Snapshot, SourceName};
use crate::model::time::Timestamp;

const API_VERSION: &str = "2026-03-01";

/// A believable event of that type, as if it had been observed at `now`, marked as a test.
pub fn example(event_type: EventType, now: Timestamp) -> (Sight, EventDraft) {
    let (mut sight, draft) = match entry(event_type).about {
        Some(About::Resource(kind)) => about_a_resource(event_type, kind, now),
        Some(About::Source) => about_the_source(event_type, now),
        Some(About::Endpoint) => {
            let is_disabled = event_type == EventType::EndpointDisabled;
            let object = json!({
                "object": "endpoint", "id": "ep_0000000000000000000001", "uid": "crm",
                "status": if is_disabled { "disabled" } else { "enabled" },
            });
            about_our_own(event_type, &object, now)
        }
        Some(About::Delivery) => {
            let object = json!({
                "object": "delivery", "id": "dlv_0000000000000000000001", "status": "failed", "attempt_count": 10,
            });
            about_our_own(event_type, &object, now)
        }
        None => {
            let object = json!({"object": "test", "message": "This is a test. Nothing has happened."});
            about_our_own(event_type, &object, now)
        }
    };
    sight.detection.mode = Mode::Test;
    sight.livemode = false;
    (sight, draft)
}

fn about_a_resource(event_type: EventType, kind: Kind, now: Timestamp) -> (Sight, EventDraft) {
    let (before, after) = states(event_type, kind);
    let former = before.map(|fields| Snapshot {
        key: key(kind),
        object_version: 2,
        object: Json::of(&fields),
        observed_at: now.minus(Duration::from_secs(30)),
        row_fingerprint: None,
        download: Download::Missing,
        removed: is_restored(event_type)
            .then(|| Removal { reason: "not_found".into(), at: now.minus(Duration::from_secs(30)) }),
    });
    let has_document = event_type == EventType::CertificateDocumentAvailable;
    let seen = Seen {
        key: key(kind),
        fields: Json::of(&after).fields(),
        coverage: Coverage::Whole,
        download: if has_document { Download::Available } else { Download::Unknown },
    };
    let context = Context {
        arrived_at: now,
        first_sight: FirstSight::Live,
        cause: Cause::Changes,
        request_id: None,
        row_fingerprint: None,
        swept_at: None,
        ignored_fields: &[],
        api_version: API_VERSION,
    };
    let told = match diff(former.as_ref(), &seen, &context) {
        Verdict::Told(_, sight, drafts) => {
            drafts.into_iter().find(|draft| draft.event_type == event_type).map(|draft| (sight, draft))
        }
        Verdict::Same | Verdict::Touched(_) => None,
    };
    told.unwrap_or_else(|| not_a_difference(event_type, kind, &after, now))
}

/// Events about a resource that no comparison gives: reminders, removals, and states that were asked for.
fn not_a_difference(event_type: EventType, kind: Kind, fields: &Value, now: Timestamp) -> (Sight, EventDraft) {
    let reminder = |jurisdiction: Option<&str>| {
        json!({
            "threshold_days": 30, "thresholds_crossed": [30], "days_remaining": 30, "jurisdiction_id": jurisdiction,
        })
    };
    let (pass, details) = if event_type == EventType::CertificateWillExpire {
        (Some(Cause::Clock), reminder(Some("US-CA")))
    } else if event_type == EventType::RequestWillExpire {
        (Some(Cause::Clock), reminder(None))
    } else if matches!(event_type, EventType::CertificateRemoved | EventType::RequestRemoved) {
        (Some(Cause::Sweep), json!({"reason": "not_found"}))
    } else {
        (None, json!({}))
    };
    let draft = EventDraft { event_type, details: Json::of(&details) };
    (sight(Subject::Resource(key(kind)), fields, pass, 3, now), draft)
}

fn about_the_source(event_type: EventType, now: Timestamp) -> (Sight, EventDraft) {
    let name: SourceName = "numeral".parse().expect("a source's name");
    let mut object = json!({
        "object": "source", "name": name, "kind": "numeral", "base_url": "https://api.numeralhq.com/",
        "status": if event_type == EventType::GatewaySourceFailing { "failing" } else { "healthy" },
        "baseline": {"complete": true, "seen": 350},
    });
    if event_type == EventType::GatewayBaselineCompleted {
        object["counts"] = json!({"certificate": 270, "certificate_request": 80});
    }
    (sight(Subject::Source(name), &object, None, 0, now), EventDraft::plain(event_type))
}

/// Events about something of the gateway's own.
fn about_our_own(event_type: EventType, object: &Value, now: Timestamp) -> (Sight, EventDraft) {
    let subject = Subject::Own(object["id"].as_str().unwrap_or("test").into());
    (sight(subject, object, None, 0, now), EventDraft::plain(event_type))
}

fn sight(subject: Subject, object: &Value, pass: Option<Cause>, object_version: u64, now: Timestamp) -> Sight {
    Sight {
        api_version: if matches!(subject, Subject::Resource(_)) { API_VERSION.into() } else { String::new() },
        subject,
        livemode: false,
        object: Json::of(object),
        previous_attributes: Json::of(&json!({})),
        detection: Detection {
            mode: Mode::Test,
            pass,
            request_id: None,
            object_version,
            observed_after: None,
            observed_before: now,
        },
    }
}

fn key(kind: Kind) -> ResourceKey {
    let id = match kind {
        Kind::Certificate => "cert_a8f3d2c1-1b9a-4c5e-8d7e-6f4a3b2c1d0e",
        Kind::CertificateRequest => "cert_req_b2f1e4a3-9c0d-4e7a-8b1f-2d5a6e7b8c9d",
    };
    ResourceKey {
        source: "numeral".parse().expect("a source's name"),
        kind,
        id: id.parse().expect("an id that upstream could give"),
    }
}

fn is_restored(event_type: EventType) -> bool {
    matches!(event_type, EventType::CertificateRestored | EventType::RequestRestored)
}

/// Which status each event of a status speaks of.
const STATUS_EVENTS: [(EventType, &str); 16] = [
    (EventType::CertificateProcessing, "processing"),
    (EventType::CertificateNeedsInfo, "needs_info"),
    (EventType::CertificateActive, "active"),
    (EventType::CertificateExpiring, "expiring"),
    (EventType::CertificateExpired, "expired"),
    (EventType::CertificateInvalid, "invalid"),
    (EventType::CertificateProcessingCompleted, "active"),
    (EventType::JurisdictionProcessing, "processing"),
    (EventType::JurisdictionNeedsInfo, "needs_info"),
    (EventType::JurisdictionActive, "active"),
    (EventType::JurisdictionExpiring, "expiring"),
    (EventType::JurisdictionExpired, "expired"),
    (EventType::JurisdictionInvalid, "invalid"),
    (EventType::RequestFulfilled, "fulfilled"),
    (EventType::RequestCanceled, "canceled"),
    (EventType::RequestInvalid, "invalid"),
];

/// The state before an event, if there was one, and the state after it. Where both are the same, no comparison
/// tells the event.
fn states(event_type: EventType, kind: Kind) -> (Option<Value>, Value) {
    let status = STATUS_EVENTS.iter().find(|(known, _)| *known == event_type).map(|(_, status)| *status);
    match kind {
        Kind::Certificate => certificate_states(event_type, status),
        Kind::CertificateRequest => request_states(event_type, status),
    }
}

fn certificate_states(event_type: EventType, status: Option<&str>) -> (Option<Value>, Value) {
    const DATE: &str = "2027-01-01";
    let of = |status| certificate(status, json!([entry_of("US-CA", status, DATE)]), DATE);
    let both = json!([entry_of("US-CA", "active", DATE), entry_of("US-TX", "active", "2027-06-30")]);
    if let Some(status) = status {
        return (Some(of(if status == "active" { "processing" } else { "active" })), of(status));
    }
    let mut former = of("active");
    let mut present = of("active");
    if event_type == EventType::CertificateCreated {
        return (None, present);
    } else if event_type == EventType::JurisdictionAdded {
        present["jurisdictions"] = both;
    } else if event_type == EventType::JurisdictionRemoved {
        former["jurisdictions"] = both;
    } else if event_type == EventType::CertificateRenewed {
        present = certificate("active", json!([entry_of("US-CA", "active", "2028-01-01")]), "2028-01-01");
    } else if event_type == EventType::CertificateUpdated {
        former["customer"]["reference_customer_id"] = json!("20505");
    }
    (Some(former), present)
}

fn request_states(event_type: EventType, status: Option<&str>) -> (Option<Value>, Value) {
    let mut former = request("pending");
    let mut present = request(status.unwrap_or("pending"));
    if event_type == EventType::RequestCreated {
        return (None, present);
    } else if event_type == EventType::RequestFulfilled {
        present["certificate_id"] = json!(key(Kind::Certificate).id);
    } else if event_type == EventType::RequestReopened {
        former["status"] = json!("invalid");
    } else if event_type == EventType::RequestUpdated {
        former["expires_at"] = json!("2026-07-03T18:24:09.123Z");
    }
    (Some(former), present)
}

fn certificate(status: &str, jurisdictions: Value, expiration_date: &str) -> Value {
    json!({
        "id": key(Kind::Certificate).id,
        "object": "tax.exemption_certificate",
        "status": status,
        "certificate_type": {
            "id": "12",
            "name": "California Resale Certificate (CDTFA-230)",
            "certificate_identifier": "US-CA-CDTFA-230",
        },
        "customer": customer(),
        "jurisdictions": jurisdictions,
        "effective_date": "2026-01-01",
        "expiration_date": expiration_date,
        "created_at": "2026-01-02T10:15:23.456Z",
        "updated_at": "2026-01-05T11:00:00.000Z",
        "livemode": false,
    })
}

fn entry_of(id: &str, status: &str, expiration_date: &str) -> Value {
    json!({
        "jurisdiction_id": id, "status": status,
        "effective_date": "2026-01-01", "expiration_date": expiration_date,
    })
}

fn request(status: &str) -> Value {
    json!({
        "id": key(Kind::CertificateRequest).id,
        "object": "tax.certificate_request",
        "status": status,
        "customer": customer(),
        "certificate_id": null,
        "certificate_type_id": "US-CA-CDTFA-230",
        "jurisdictions": ["US-CA"],
        "created_at": "2026-06-10T18:24:09.123Z",
        "updated_at": "2026-06-10T18:24:09.123Z",
        "expires_at": "2026-07-10T18:24:09.123Z",
        "livemode": false,
    })
}

fn customer() -> Value {
    json!({"id": "cust_6126acaf-7379-411a-8ada-00005bac0715", "reference_customer_id": "20506"})
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::event::Event;
    use crate::model::id::{EventId, Position};

    #[test]
    fn every_type_has_an_example_of_its_own_shape() {
        for &event_type in EventType::ALL {
            let (sight, draft) = example(event_type, Timestamp::from_millis(1_795_233_600_000));
            assert_eq!(draft.event_type, event_type);
            let (has_pass, details) = (sight.detection.pass.is_some(), draft.details.fields());
            let id = EventId { position: Position(1), epoch: 1, start: 1 };
            let event = Event { id, event_type, details: draft.details, sight: Arc::new(sight) };
            let body: Value = event.body().parse().expect("JSON");
            assert_eq!(body["detection"]["mode"], "test", "{event_type}");
            assert_eq!(body["livemode"], false, "{event_type}");
            let name = event_type.as_str();
            let names_a_jurisdiction = name.starts_with("certificate.jurisdiction.");
            assert_eq!(details.contains_key("previous_jurisdiction"), names_a_jurisdiction, "{event_type}");
            let is_snapshot = name.ends_with(".snapshot");
            assert_eq!(has_pass, event_type.is_about_a_resource() && !is_snapshot, "{event_type}");
        }
    }

    #[test]
    fn what_detection_tells_comes_from_detection() {
        let (sight, draft) = example(EventType::RequestFulfilled, Timestamp::EPOCH);
        assert_eq!(sight.previous_attributes.text(), r#"{"status":"pending","certificate_id":null}"#);
        assert_eq!(draft, EventDraft::plain(EventType::RequestFulfilled));
        let (sight, draft) = example(EventType::JurisdictionExpiring, Timestamp::EPOCH);
        assert_eq!(draft.details.fields()["previous_jurisdiction"]["status"], "active");
        assert!(sight.previous_attributes.fields().contains_key("jurisdictions"));
    }
}
