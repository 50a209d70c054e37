//! Certificates and certificate requests, as the vendor's pages describe them.
//!
//! What upstream shows is passed on as it came, so that these are open: a field that is not here may be there, a
//! status may be a word that is not listed, and every field but the id may be null or absent, as the pages promise
//! nothing else.

use serde_json::{Value, json};

use super::field::{date, defined, flag, instant, list, nullable, object, open_word, text};
use crate::model::resource::Kind;

/// The vendor's words for the status of a certificate, or of one of its jurisdictions.
pub(super) const CERTIFICATE_WORDS: [&str; 6] =
    ["processing", "needs_info", "active", "expiring", "expired", "invalid"];

/// The vendor's words for the status of a request.
pub(super) const REQUEST_WORDS: [&str; 4] = ["pending", "fulfilled", "canceled", "invalid"];

const CERTIFICATE_PAGE: &str = "Source: Numeral, GET /tax/certificates and GET /tax/certificates/{certificate_id}, \
    version 2026-03-01. Passed on as the vendor shows it, except that download_url is never part of it.";

const REQUEST_PAGE: &str = "Source: Numeral, GET /tax/certificate-requests and GET \
    /tax/certificate-requests/{request_id}, version 2026-03-01. Passed on as the vendor shows it.";

/// The definition that describes a kind, and those that it refers to. None of its fields is required, so that it
/// also describes former values of a few of them.
pub(super) fn definitions(kind: Kind) -> Value {
    match kind {
        Kind::Certificate => json!({
            "certificate": certificate(), "certificate_type": certificate_type(),
            "jurisdiction": jurisdiction(), "customer": customer(),
        }),
        Kind::CertificateRequest => json!({"certificate_request": request(), "customer": customer()}),
    }
}

fn certificate() -> Value {
    let status = "The certificate as a whole: processing (under review), needs_info (the review waits for more), \
        active (valid and in effect), expiring (will expire soon), expired (lapsed, perhaps renewable), invalid \
        (rejected, revoked or not validated). A summary: in one jurisdiction, that jurisdiction's own status counts. \
        Expect other words.";
    let properties = json!({
        "id": text("The vendor's id of the certificate. Opaque; a renewal may keep it."),
        "object": nullable(open_word("The vendor's word for the kind of object.", &["tax.exemption_certificate"])),
        "status": nullable(open_word(status, &CERTIFICATE_WORDS)),
        "certificate_type": nullable(defined("Which form it is.", "certificate_type")),
        "customer": nullable(defined("The buyer whose certificate it is.", "customer")),
        "jurisdictions": nullable(list(
            "One entry for each jurisdiction that it covers; their order means nothing.",
            &json!({"$ref": "#/$defs/jurisdiction"}),
        )),
        "effective_date": nullable(date("The first day on which it is valid. Without a time zone.")),
        "expiration_date": nullable(date("The last day on which it is valid. Without a time zone.")),
        "created_at": nullable(instant("When the vendor created it.")),
        "updated_at": nullable(instant("When the vendor last changed it. This alone changing is no event.")),
        "livemode": nullable(flag("Whether it belongs to the vendor's live mode.")),
    });
    object(&format!("An exemption certificate. {CERTIFICATE_PAGE}"), &[], &properties)
}

fn certificate_type() -> Value {
    let identifier = "The stable name of the form, such as US-CA-CDTFA-230; a request's certificate_type_id is this.";
    let properties = json!({
        "id": nullable(text("The vendor's number of the form, as text.")),
        "name": nullable(text("The form's name, for people.")),
        "certificate_identifier": nullable(text(identifier)),
    });
    object("A form of certificate, as the vendor knows it.", &[], &properties)
}

fn jurisdiction() -> Value {
    let status = "Its status there, with the same words as the certificate's own. This one counts when you ask \
        whether the buyer is exempt there.";
    let properties = json!({
        "jurisdiction_id": text("The jurisdiction, such as US-CA."),
        "status": nullable(open_word(status, &CERTIFICATE_WORDS)),
        "effective_date": nullable(date("The first day on which it is valid there. Without a time zone.")),
        "expiration_date": nullable(date("The last day on which it is valid there. Without a time zone.")),
    });
    object("A certificate in one jurisdiction. Source: as the certificate's.", &["jurisdiction_id"], &properties)
}

fn customer() -> Value {
    let properties = json!({
        "id": nullable(text("The vendor's id of the buyer.")),
        "reference_customer_id": nullable(text("Your own id of the buyer, if the vendor was told one.")),
    });
    object("A buyer, as the vendor knows it. Null on a request whose buyer was removed.", &[], &properties)
}

fn request() -> Value {
    let status = "Where it stands: pending (the customer has not responded), fulfilled (a certificate was submitted, \
        and may still be processing), canceled (before it was fulfilled), invalid (expired, or could not be \
        fulfilled). Expect other words.";
    let certificate_id = "The certificate that was submitted; only once it is fulfilled, and perhaps later than \
        that.";
    let properties = json!({
        "id": text("The vendor's id of the request. Opaque."),
        "object": nullable(open_word("The vendor's word for the kind of object.", &["tax.certificate_request"])),
        "status": nullable(open_word(status, &REQUEST_WORDS)),
        "customer": nullable(defined("The buyer who was asked; null if the buyer was removed.", "customer")),
        "certificate_id": nullable(text(certificate_id)),
        "certificate_type_id": nullable(text("The stable name of the form asked for, such as US-CA-CDTFA-230.")),
        "jurisdictions": nullable(list(
            "The jurisdictions for which it was asked, such as US-CA; their order means nothing.",
            &json!({"type": "string"}),
        )),
        "created_at": nullable(instant("When the vendor created it.")),
        "updated_at": nullable(instant("When the vendor last changed it. This alone changing is no event.")),
        "expires_at": nullable(instant("When it lapses; null if it does not.")),
        "livemode": nullable(flag("Whether it belongs to the vendor's live mode.")),
    });
    object(&format!("An outstanding ask for a certificate. {REQUEST_PAGE}"), &[], &properties)
}
