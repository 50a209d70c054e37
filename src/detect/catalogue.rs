//! Every event type, as data: what it is about, when it is told, the shape of its events, and an example of each.

use crate::model::event::EventType;
use crate::model::resource::Kind;

mod example;
mod schema;

pub use example::example;
pub use schema::schema;

/// What `data.object` of an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A certificate or a certificate request.
    Resource(Kind),
    /// A source, of which the gateway tells something.
    Source,
    /// An endpoint, likewise.
    Endpoint,
    /// A delivery, likewise.
    Delivery,
}

impl About {
    /// The word for it that callers see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resource(kind) => kind.as_str(),
            Self::Source => "source",
            Self::Endpoint => "endpoint",
            Self::Delivery => "delivery",
        }
    }
}

/// What the catalogue says of one event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which type.
    pub event_type: EventType,
    /// What it is about; `None` for a test, which is about nothing.
    pub about: Option<About>,
    /// When it is told, in one line.
    pub description: &'static str,
}

/// All entries, in the order of [`EventType::ALL`].
pub fn entries() -> impl Iterator<Item = Entry> {
    EventType::ALL.iter().map(|&event_type| entry(event_type))
}

/// The entry of one type.
pub fn entry(event_type: EventType) -> Entry {
    let section = event_type.as_str().split('.').next();
    let about = SECTIONS.iter().find(|(name, _)| Some(*name) == section).map(|&(_, about)| about);
    Entry { event_type, about, description: description(event_type) }
}

/// What the types of each section are about: the section is the first part of a type's name.
const SECTIONS: [(&str, About); 5] = [
    ("certificate", About::Resource(Kind::Certificate)),
    ("certificate_request", About::Resource(Kind::CertificateRequest)),
    ("gateway", About::Source),
    ("endpoint", About::Endpoint),
    ("delivery", About::Delivery),
];

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
        EventType::GatewayGap => {
            "For ten of its intervals no look for updates of a source was complete, or at last one was."
        }
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
            let is_about_a_resource = matches!(entry.about, Some(About::Resource(_)));
            assert_eq!(is_about_a_resource, entry.event_type.is_about_a_resource(), "{}", entry.event_type);
        }
        assert_eq!(known.len(), EventType::ALL.len());
        let about = |event_type| entry(event_type).about.map(About::as_str);
        assert_eq!(about(EventType::RequestFulfilled), Some("certificate_request"));
        assert_eq!(about(EventType::JurisdictionAdded), Some("certificate"));
        assert_eq!(about(EventType::GatewayGap), Some("source"));
        assert_eq!(about(EventType::DeliveryExhausted), Some("delivery"));
        assert_eq!(about(EventType::WebhookTest), None);
    }
}
