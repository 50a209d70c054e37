//! Every event type, as data: what it is about, when it is told, and an example of each.

use crate::model::event::EventType;
use crate::model::resource::Kind;

mod example;

pub use example::example;

/// What the catalogue says of one event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which type.
    pub event_type: EventType,
    /// The kind of resource that it is about; `None` for what the gateway says about its sources and itself.
    pub kind: Option<Kind>,
    /// When it is told, in one line.
    pub description: &'static str,
}

/// All entries, in the order of [`EventType::ALL`].
pub fn entries() -> impl Iterator<Item = Entry> {
    EventType::ALL.iter().map(|&event_type| entry(event_type))
}

/// The entry of one type.
pub fn entry(event_type: EventType) -> Entry {
    let name = event_type.as_str();
    let kind = Kind::ALL.into_iter().find(|kind| name.split('.').next() == Some(kind.as_str()));
    Entry { event_type, kind, description: description(event_type) }
}

fn description(event_type: EventType) -> &'static str {
    match event_type {
        EventType::CertificateCreated => "A certificate was seen for the first time after the baseline.",
        EventType::CertificateProcessing => "A certificate's status became processing: the vendor reviews it.",
        EventType::CertificateNeedsInfo => "A certificate's status became needs_info: the vendor asks for more.",
        EventType::CertificateActive => "A certificate's status became active.",
        EventType::CertificateExpiring => "A certificate's status became expiring: it will lapse soon.",
        EventType::CertificateExpired => "A certificate's status became expired: it lapsed, and may be renewable.",
        EventType::CertificateInvalid => "A certificate's status became invalid: it was rejected or revoked.",
        EventType::CertificateProcessingCompleted => {
            "The vendor's review of a certificate ended, whatever the outcome."
        }
        EventType::JurisdictionProcessing => "One jurisdiction of a certificate became processing.",
        EventType::JurisdictionNeedsInfo => "One jurisdiction of a certificate became needs_info.",
        EventType::JurisdictionActive => "One jurisdiction of a certificate became active: the buyer is exempt there.",
        EventType::JurisdictionExpiring => "One jurisdiction of a certificate became expiring.",
        EventType::JurisdictionExpired => "One jurisdiction of a certificate became expired.",
        EventType::JurisdictionInvalid => "One jurisdiction of a certificate became invalid.",
        EventType::JurisdictionAdded => "A known certificate came to cover a further jurisdiction.",
        EventType::JurisdictionRemoved => "A known certificate no longer covers a jurisdiction.",
        EventType::CertificateRenewed => {
            "An expiration date of a certificate or of one of its jurisdictions moved later."
        }
        EventType::CertificateDocumentAvailable => {
            "A certificate's document can be downloaded now; its URL is not told."
        }
        EventType::CertificateWillExpire => "A certificate expires in so many days.",
        EventType::CertificateUpdated => "Something else about a certificate changed.",
        EventType::CertificateRemoved => "A certificate is confirmed to be gone upstream.",
        EventType::CertificateRestored => "A certificate that was gone was seen again.",
        EventType::CertificateSnapshot => {
            "The current state of a certificate, as a resync asked for it; no transition."
        }
        EventType::RequestCreated => "A certificate request was seen for the first time after the baseline.",
        EventType::RequestFulfilled => "The customer submitted a certificate; it may still be processing.",
        EventType::RequestCanceled => "A certificate request was canceled before it was fulfilled.",
        EventType::RequestInvalid => "A certificate request expired or could not be fulfilled.",
        EventType::RequestReopened => "A certificate request that was closed is pending again.",
        EventType::RequestWillExpire => "A pending certificate request expires in so many days.",
        EventType::RequestUpdated => "Something else about a certificate request changed.",
        EventType::RequestRemoved => "A certificate request is confirmed to be gone upstream.",
        EventType::RequestRestored => "A certificate request that was gone was seen again.",
        EventType::RequestSnapshot => "The current state of a request, as a resync asked for it; no transition.",
        EventType::GatewayBaselineCompleted => {
            "The first full listing of a source is complete; changes are told from now on."
        }
        EventType::GatewaySourceFailing => "A source could not be read three times in a row, or refuses the API key.",
        EventType::GatewaySourceRecovered => "A source that was failing can be read again.",
        EventType::GatewayGap => "A source was not asked for changes for ten of its intervals.",
        EventType::GatewayRemovalsWithheld => "So much vanished from a source at once that an operator must decide.",
        EventType::GatewaySchemaChanged => "A source shows a field that was never seen on that kind of resource.",
        EventType::GatewayStorageLow => "The disk is almost full; polling has stopped.",
        EventType::EndpointFailing => "An endpoint failed four attempts in a row.",
        EventType::EndpointRecovered => "An endpoint that was failing took a delivery.",
        EventType::EndpointDisabled => "An endpoint was disabled, by its own answer or after failing too long.",
        EventType::EndpointGap => "Events that an endpoint had not got were cut by retention.",
        EventType::DeliveryExhausted => "A delivery failed its last attempt.",
        EventType::WebhookTest => "A test that an operator asked for; not in the log.",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_type_is_described_once_and_in_one_line() {
        let mut known = HashSet::new();
        for entry in entries() {
            assert!(entry.description.ends_with('.') && !entry.description.contains('\n'), "{}", entry.event_type);
            assert!(known.insert(entry.description), "{}", entry.event_type);
            assert_eq!(entry.kind.is_some(), entry.event_type.is_about_a_resource(), "{}", entry.event_type);
        }
        assert_eq!(known.len(), EventType::ALL.len());
        assert_eq!(entry(EventType::RequestFulfilled).kind, Some(Kind::CertificateRequest));
        assert_eq!(entry(EventType::JurisdictionAdded).kind, Some(Kind::Certificate));
    }
}
