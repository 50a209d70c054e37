//! An example of every event type. What detection can tell is made by detection itself, from two states of one
//! certificate or request or from its dates, and what the gateway says of a source by what makes the real event, so
//! that an example cannot have a shape that the real event has not.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::agenda::{Occasion, Policy, plan, reminder_sight};
use super::super::diff::{Context, FirstSight, Verdict, diff};
use super::super::gateway::{self, Counts, ShownSource};
use super::super::removal::removed;
use super::{About, entry};
use crate::model::event::{Cause, Detection, EventDraft, EventType, Mode, Sight, Subject};
use crate::model::json::{Fields, Json};
use crate::model::resource::{Agenda, Coverage, Download, Kind, Removal, RemovalReason, ResourceKey, Seen, Snapshot};
use crate::model::source::{BaselineStatus, SourceState};
use crate::model::time::Timestamp;

const API_VERSION: &str = "2026-03-01";

/// How long before its event the former state of an example was seen.
const POLL_INTERVAL: Duration = Duration::from_secs(30);

/// Of which reminder there is an example.
const REMINDED_DAYS: u16 = 30;

/// A believable event of that type, as if it had been observed at `now`, marked as a test.
pub fn example(event_type: EventType, now: Timestamp) -> (Sight, EventDraft) {
    let (mut sight, draft) = match entry(event_type).about {
        Some(About::Resource(kind)) => about_a_resource(event_type, kind, now),
        Some(About::Source) => about_the_source(event_type, now),
        Some(About::Endpoint) => about_our_own(event_type, &endpoint(event_type, now), now),
        Some(About::Delivery) => {
            let object = json!({
                "object": "delivery", "id": "dlv_0000000000000000000001", "event_id": "evt_0000000000000000000001",
                "event_type": "certificate.active", "endpoint_id": "ep_0000000000000000000001",
                "resource": key(Kind::Certificate), "status": "failed", "attempt_count": 10,
                "last_attempt": {
                    "number": 10, "at": now, "outcome": "server_error", "status_code": 500,
                    "error": "the receiver answered 500 Internal Server Error",
                },
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
    let (before, after) = states(event_type, kind, now);
    let former = before.map(|fields| Snapshot {
        download: Download::Missing,
        removed: is_restored(event_type)
            .then(|| Removal { reason: RemovalReason::NotFound, at: now.minus(POLL_INTERVAL) }),
        ..known(kind, &fields, now)
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
        cause: Some(Cause::Changes),
        request_id: None,
        row_fingerprint: None,
        swept_at: None,
        fields_since: &BTreeMap::new(),
        ignored_fields: &[],
        api_version: API_VERSION,
    };
    let told = match diff(former.as_ref(), &seen, &context) {
        Verdict::Told(_, sight, drafts) => chosen(event_type, sight, drafts),
        Verdict::Same | Verdict::Touched(_) => None,
    };
    told.unwrap_or_else(|| not_a_difference(event_type, &known(kind, &after, now), now))
}

/// The event of that type among those of a sight.
fn chosen(event_type: EventType, sight: Sight, drafts: Vec<EventDraft>) -> Option<(Sight, EventDraft)> {
    drafts.into_iter().find(|draft| draft.event_type == event_type).map(|draft| (sight, draft))
}

/// A resource as it was seen a while ago.
fn known(kind: Kind, fields: &Value, now: Timestamp) -> Snapshot {
    Snapshot {
        key: key(kind),
        object_version: 2,
        object: Json::of(fields),
        observed_at: now.minus(POLL_INTERVAL),
        row_fingerprint: None,
        download: Download::Unknown,
        is_whole: true,
        open_list: None,
        agenda: Agenda::default(),
        removed: None,
    }
}

/// Events about a resource that no comparison gives: reminders, removals, and states that were asked for.
fn not_a_difference(event_type: EventType, known: &Snapshot, now: Timestamp) -> (Sight, EventDraft) {
    let told = if matches!(event_type, EventType::CertificateRemoved | EventType::RequestRemoved) {
        let (_, sight, drafts) =
            removed(known, RemovalReason::NotFound, now, known.observed_at, Cause::Sweep, API_VERSION);
        chosen(event_type, sight, drafts)
    } else if matches!(event_type, EventType::CertificateWillExpire | EventType::RequestWillExpire) {
        let policy = Policy { will_expire: vec![REMINDED_DAYS], ..Policy::default() };
        let reminders = plan(known, Occasion::Later, now, &policy).reminders;
        chosen(event_type, reminder_sight(known, now, API_VERSION), reminders)
    } else {
        let subject = Subject::Resource(known.key.clone());
        let sight = sight(subject, known.object.clone(), API_VERSION, known.object_version, now);
        Some((sight, EventDraft::plain(event_type)))
    };
    told.expect("the states are those that give the event")
}

fn about_the_source(event_type: EventType, now: Timestamp) -> (Sight, EventDraft) {
    let before = now.minus(POLL_INTERVAL * 10);
    let counts = Counts { certificate: 270, certificate_request: 80 };
    let absent = Counts { certificate: 40, certificate_request: 0 };
    let is_failing = event_type == EventType::GatewaySourceFailing;
    let is_baseline = event_type == EventType::GatewayBaselineCompleted;
    let draft = if is_failing {
        gateway::source_failing("the upstream answered 503", 3)
    } else if is_baseline {
        gateway::baseline_completed()
    } else if event_type == EventType::GatewaySourceRecovered {
        gateway::source_recovered(before)
    } else if event_type == EventType::GatewayGap {
        gateway::gap(before, None)
    } else if event_type == EventType::GatewayRemovalsWithheld {
        gateway::removals_withheld(absent, counts)
    } else if event_type == EventType::GatewaySchemaChanged {
        gateway::schema_changed(Kind::Certificate, "risk_level")
    } else if event_type == EventType::GatewayStorageLow {
        gateway::storage_low(912_680_960, 1 << 30)
    } else {
        EventDraft::plain(event_type)
    };
    let source = ShownSource {
        name: &"numeral".parse().expect("a source's name"),
        kind: "numeral",
        base_url: "https://api.numeralhq.com/",
        api_version: API_VERSION,
        livemode: false,
        status: if is_failing { SourceState::Failing } else { SourceState::Healthy },
        baseline: BaselineStatus::done(350),
        counts: is_baseline.then_some(counts),
    };
    (source.sight(now), draft)
}

/// An endpoint as it is when an event of that type is told.
fn endpoint(event_type: EventType, now: Timestamp) -> Value {
    let is_disabled = event_type == EventType::EndpointDisabled;
    let (state, failures) = if event_type == EventType::EndpointFailing {
        ("failing", 4)
    } else if is_disabled {
        ("circuit_open", 1440)
    } else {
        ("healthy", 0)
    };
    json!({
        "object": "endpoint", "id": "ep_0000000000000000000001", "uid": "crm", "url": "https://crm.example/hook?***",
        "description": "The CRM of the sales team", "status": if is_disabled { "disabled" } else { "enabled" },
        "disabled_reason": is_disabled.then_some("failing"),
        "health": {
            "state": state, "last_success_at": now.minus(Duration::from_secs(5 * 24 * 3600)), "last_failure_at": now,
            "consecutive_failures": failures,
        },
    })
}

/// Events about something of the gateway's own.
fn about_our_own(event_type: EventType, object: &Value, now: Timestamp) -> (Sight, EventDraft) {
    let subject = Subject::Own(object["id"].as_str().unwrap_or("test").into());
    let draft = EventDraft { details: details_of_our_own(event_type, now), ..EventDraft::plain(event_type) };
    (sight(subject, Json::of(object), "", 0, now), draft)
}

fn details_of_our_own(event_type: EventType, now: Timestamp) -> Json {
    if event_type != EventType::EndpointGap {
        return Json::of(&Fields::new());
    }
    let days = |count: u64| now.minus(Duration::from_secs(count * 24 * 3600));
    Json::of(&json!({
        "since": days(60), "until": days(30), "first_event_id": "evt_0000000000000000000001",
        "last_event_id": "evt_0000000000000000000002", "missed": 210, "missed_more": false,
    }))
}

/// A sight for which nobody looked.
fn sight(subject: Subject, object: Json, api_version: &str, object_version: u64, now: Timestamp) -> Sight {
    Sight {
        api_version: api_version.into(),
        subject,
        livemode: false,
        object,
        previous_attributes: Json::of(&json!({})),
        detection: Detection {
            mode: Mode::Test,
            pass: None,
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
fn states(event_type: EventType, kind: Kind, now: Timestamp) -> (Option<Value>, Value) {
    let status = STATUS_EVENTS.iter().find(|(known, _)| *known == event_type).map(|(_, status)| *status);
    if matches!(event_type, EventType::CertificateWillExpire | EventType::RequestWillExpire) {
        let state = expiring_in(kind, now.plus(Duration::from_secs(u64::from(REMINDED_DAYS) * 24 * 60 * 60)));
        return (Some(state.clone()), state);
    }
    match kind {
        Kind::Certificate => certificate_states(event_type, status),
        Kind::CertificateRequest => request_states(event_type, status),
    }
}

/// A state whose date is at that instant, or on its day in UTC.
fn expiring_in(kind: Kind, at: Timestamp) -> Value {
    let at = at.to_string();
    match kind {
        Kind::Certificate => {
            let (date, _) = at.split_once('T').expect("an instant");
            certificate("active", json!([entry_of("US-CA", "active", date)]), date)
        }
        Kind::CertificateRequest => {
            let mut request = request("pending");
            request["expires_at"] = json!(at);
            request
        }
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
    fn what_our_clock_and_the_gateway_tell_is_told_as_it_would_be() {
        let details = |event_type| {
            let (sight, draft) = example(event_type, Timestamp::from_millis(1_795_233_600_000));
            (sight, Value::Object(draft.details.fields()))
        };
        let reminder = |whose: Value| {
            let crossed = [30];
            json!({"threshold_days": 30, "thresholds_crossed": crossed, "days_remaining": 30, "jurisdiction_id": whose})
        };
        let (sight, reminded) = details(EventType::CertificateWillExpire);
        assert_eq!((reminded, sight.detection.object_version), (reminder(json!("US-CA")), 2));
        assert_eq!(sight.object.fields()["expiration_date"], "2026-12-21");
        assert_eq!(details(EventType::RequestWillExpire).1, reminder(Value::Null));
        let (sight, reason) = details(EventType::RequestRemoved);
        assert_eq!((reason, sight.detection.object_version), (json!({"reason": "not_found"}), 3));
        let (sight, failing) = details(EventType::GatewaySourceFailing);
        assert_eq!(failing, json!({"error": "the upstream answered 503", "failed_passes": 3}));
        assert_eq!((sight.api_version.as_str(), &sight.object.fields()["status"]), (API_VERSION, &json!("failing")));
        let changed = json!({"resource": "certificate", "field": "risk_level"});
        assert_eq!(details(EventType::GatewaySchemaChanged).1, changed);
        let (sight, _) = details(EventType::GatewayBaselineCompleted);
        assert_eq!(sight.object.fields()["counts"], json!({"certificate": 270, "certificate_request": 80}));
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
