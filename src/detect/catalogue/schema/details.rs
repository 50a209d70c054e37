//! What `data` carries beside the object and its previous attributes: for each type exactly its own fields.

use serde_json::{Value, json};

use super::field::{count, counts, defined, flag, instant, list, null, nullable, open_word, prefixed, text};
use super::status;
use crate::model::event::EventType;
use crate::model::resource::Kind;

/// The fields of a type's details, all of which are always there, in the order in which bodies have them.
pub(super) fn details(event_type: EventType) -> Vec<(&'static str, Value)> {
    match event_type {
        EventType::JurisdictionProcessing
        | EventType::JurisdictionNeedsInfo
        | EventType::JurisdictionActive
        | EventType::JurisdictionExpiring
        | EventType::JurisdictionExpired
        | EventType::JurisdictionInvalid => {
            let mut present = entry();
            status::narrow(&mut present, &status::of_a_jurisdiction(event_type));
            naming(present, nullable(former_entry("Its entry as it was before; null if it had none.")))
        }
        EventType::JurisdictionAdded => naming(entry(), null("There was no entry of this jurisdiction.")),
        EventType::JurisdictionRemoved => naming(
            null("There is no entry of this jurisdiction any more."),
            former_entry("Its entry as it was before."),
        ),
        EventType::CertificateWillExpire => {
            let which =
                "The jurisdiction in which it expires; null where the certificate lists none and expires as a whole.";
            reminder(nullable(text(which)))
        }
        EventType::RequestWillExpire => reminder(null("A request expires as a whole.")),
        EventType::CertificateRemoved | EventType::RequestRemoved => removal(),
        EventType::GatewaySourceFailing => source_failing(),
        EventType::GatewaySourceRecovered => {
            vec![("failing_since", instant("When it was told that the source was failing."))]
        }
        EventType::GatewayGap => gap(),
        EventType::GatewayRemovalsWithheld => vec![
            ("absent", counts("What the sweep did not show, which stays until an operator has decided.")),
            ("total", counts("What is known of the source in all.")),
        ],
        EventType::GatewaySchemaChanged => vec![
            ("resource", open_word("The kind of resource that shows it.", &Kind::ALL.map(Kind::as_str))),
            ("field", text("The name of the field.")),
        ],
        EventType::GatewayStorageLow => storage_low(),
        EventType::EndpointGap => endpoint_gap(),
        EventType::CertificateCreated
        | EventType::CertificateProcessing
        | EventType::CertificateNeedsInfo
        | EventType::CertificateActive
        | EventType::CertificateExpiring
        | EventType::CertificateExpired
        | EventType::CertificateInvalid
        | EventType::CertificateProcessingCompleted
        | EventType::CertificateRenewed
        | EventType::CertificateDocumentAvailable
        | EventType::CertificateUpdated
        | EventType::CertificateRestored
        | EventType::CertificateSnapshot
        | EventType::RequestCreated
        | EventType::RequestFulfilled
        | EventType::RequestCanceled
        | EventType::RequestInvalid
        | EventType::RequestReopened
        | EventType::RequestUpdated
        | EventType::RequestRestored
        | EventType::RequestSnapshot
        | EventType::GatewayBaselineCompleted
        | EventType::EndpointFailing
        | EventType::EndpointRecovered
        | EventType::EndpointDisabled
        | EventType::DeliveryExhausted
        | EventType::WebhookTest => Vec::new(),
    }
}

fn removal() -> Vec<(&'static str, Value)> {
    let reason = "How it is known to be gone: not_found (the vendor answers 404 to its id), unlisted (it can be fetched, \
        and no list shows it: it was archived, deleted or replaced).";
    vec![("reason", open_word(reason, &["not_found", "unlisted"]))]
}

fn gap() -> Vec<(&'static str, Value)> {
    let until = "When the next one ended that was; null while there is none.";
    vec![
        ("since", instant("When the last look for updates ended that was complete.")),
        ("until", nullable(instant(until))),
    ]
}

fn storage_low() -> Vec<(&'static str, Value)> {
    vec![
        ("free_bytes", count("How many bytes are free on the file system of the store.")),
        ("min_free_bytes", count("How many should be (store.min_free).")),
    ]
}

fn endpoint_gap() -> Vec<(&'static str, Value)> {
    let missed = "How many deliveries of these events the endpoint has not got and never will, as far as they were \
        counted.";
    vec![
        ("since", instant("When the first event that was cut was observed.")),
        ("until", instant("When the last one was.")),
        ("first_event_id", prefixed("The first event that was cut.", "evt_")),
        ("last_event_id", prefixed("The last one.", "evt_")),
        ("missed", count(missed)),
        ("missed_more", flag("Whether there may be more.")),
    ]
}

fn source_failing() -> Vec<(&'static str, Value)> {
    let passes = "How many passes in a row have failed or were incomplete; fewer than three where the vendor refuses \
        the API key.";
    vec![("error", text("Why the last pass was not complete, for people.")), ("failed_passes", count(passes))]
}

/// Of an event that names a jurisdiction: which one, and its entry now and before.
fn naming(present: Value, former: Value) -> Vec<(&'static str, Value)> {
    let id = text("The jurisdiction that the event is about, such as US-CA.");
    vec![("jurisdiction_id", id), ("jurisdiction", present), ("previous_jurisdiction", former)]
}

fn entry() -> Value {
    defined("The jurisdiction's entry as it is now.", "jurisdiction")
}

fn former_entry(description: &str) -> Value {
    defined(description, "jurisdiction")
}

/// Of an event that our clock made ahead of a date.
fn reminder(jurisdiction_id: Value) -> Vec<(&'static str, Value)> {
    let threshold = "How many days ahead of the date this reminder is configured; of several that were due at once, \
        the smallest.";
    vec![
        ("threshold_days", count(threshold)),
        (
            "thresholds_crossed",
            list("All thresholds that this event stands for, in days.", &json!({"type": "integer", "minimum": 0})),
        ),
        ("days_remaining", count("Days from today to the date, in the configured time zone; 0 on the last valid day.")),
        ("jurisdiction_id", jurisdiction_id),
    ]
}
