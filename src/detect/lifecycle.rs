//! Which status words tell which event. A word that is not here is upstream's new one: it is told as `updated`.

use serde_json::{Value, json};

use crate::model::event::EventType;
use crate::model::json::Fields;
use crate::model::resource::Kind;

/// The fields of a resource at the start of its lifecycle, with which a first sight is compared.
pub(super) fn start(kind: Kind) -> Fields {
    let status = match kind {
        Kind::Certificate => "processing",
        Kind::CertificateRequest => "pending",
    };
    Fields::from_iter([("status".to_owned(), json!(status))])
}

/// The event of a resource's top-level status having become `after`.
pub(super) fn status_event(kind: Kind, before: Option<&Value>, after: Option<&Value>) -> Option<EventType> {
    let before = before.and_then(Value::as_str);
    let after = after.and_then(Value::as_str)?;
    match kind {
        Kind::Certificate => certificate(after),
        Kind::CertificateRequest => match after {
            "fulfilled" => Some(EventType::RequestFulfilled),
            "canceled" => Some(EventType::RequestCanceled),
            "invalid" => Some(EventType::RequestInvalid),
            // From a word that we do not know it may come for the first time; only a closed request is reopened.
            "pending" if matches!(before, Some("fulfilled" | "canceled" | "invalid")) => {
                Some(EventType::RequestReopened)
            }
            _ => None,
        },
    }
}

fn certificate(status: &str) -> Option<EventType> {
    match status {
        "processing" => Some(EventType::CertificateProcessing),
        "needs_info" => Some(EventType::CertificateNeedsInfo),
        "active" => Some(EventType::CertificateActive),
        "expiring" => Some(EventType::CertificateExpiring),
        "expired" => Some(EventType::CertificateExpired),
        "invalid" => Some(EventType::CertificateInvalid),
        _ => None,
    }
}

/// The event of one jurisdiction's own status having become `status`.
pub(super) fn jurisdiction_event(status: Option<&Value>) -> Option<EventType> {
    match status.and_then(Value::as_str)? {
        "processing" => Some(EventType::JurisdictionProcessing),
        "needs_info" => Some(EventType::JurisdictionNeedsInfo),
        "active" => Some(EventType::JurisdictionActive),
        "expiring" => Some(EventType::JurisdictionExpiring),
        "expired" => Some(EventType::JurisdictionExpired),
        "invalid" => Some(EventType::JurisdictionInvalid),
        _ => None,
    }
}

/// Whether going from `before` to `after` ends the vendor's review of a certificate.
pub(super) fn completes_processing(before: Option<&Value>, after: Option<&Value>) -> bool {
    matches!(before.and_then(Value::as_str), Some("processing" | "needs_info"))
        && matches!(after.and_then(Value::as_str), Some("active" | "expiring" | "expired" | "invalid"))
}
