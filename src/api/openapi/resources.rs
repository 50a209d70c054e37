//! Certificates and certificate requests, exemptions, and the calls that are passed upstream.

use serde_json::{Value, json};

use super::operation::Operation;
use super::sources::source_name;
use super::words::{by_default, choice, flag, form, instant, object, or_null, text};
use super::{CertificateBody, RequestBody, examples};
use crate::api::error::ErrorKind;
use crate::api::exemptions::Answer;
use crate::api::resources::Resources;
use crate::api::resources::asked::{CERTIFICATE_STATUSES, FLAGS, ID_TYPES, REQUEST_STATUSES};
use crate::api::upstream::{Cancellation, Link};

const GROUP: &str = "Resources";
const UPSTREAM: &str = "Upstream";

/// The id of a resource.
pub(super) fn resource_id(description: &str) -> Value {
    form(description, "^[A-Za-z0-9_-]{1,128}$", "cert_8f3K2")
}

/// What names a customer, in a query.
pub(super) fn customer(operation: Operation) -> Operation {
    operation.query("customer_id", text("Only this customer's, as `id_type` says.")).query("id_type", id_type())
}

fn id_type() -> Value {
    let description = "What `customer_id` is: the vendor's own `id`, or your `reference_customer_id`.";
    by_default(choice(description, &ID_TYPES), "id")
}

/// Yes or no, in a query.
fn yes_or_no(description: &str, default: bool) -> Value {
    by_default(choice(description, &FLAGS), if default { "true" } else { "false" })
}

fn shown(vendor: &str, name: &str, what: &str, example: &Value) -> Value {
    let timestamp = json!({"$ref": "#/components/schemas/Timestamp"});
    let removal = json!({
        "type": "object", "required": ["reason", "at"], "description": "Why and when it was found to be gone.",
        "properties": {"reason": {"type": "string", "enum": ["not_found", "unlisted"]}, "at": timestamp},
    });
    let ours = json!({
        "type": "object", "required": ["id", "source", "object_version", "observed_at"],
        "properties": {
            "id": {"$ref": "#/components/schemas/ResourceId"},
            "source": {"$ref": "#/components/schemas/SourceName"},
            "object_version": {"type": "integer", "minimum": 0, "description": "Counts the sights that gave an event."},
            "observed_at": {"$ref": "#/components/schemas/Timestamp"},
            "removed": removal,
            "removal": {"const": "withheld", "description": "Nobody has decided yet whether it is gone."},
        },
        "additionalProperties": true,
    });
    json!({
        "title": name,
        "description": format!("{what}, as the vendor last showed it, and what is known of that sight."),
        "allOf": [{"$ref": format!("#/components/schemas/Vendor_{vendor}")}, ours],
        "examples": [example],
    })
}

/// A certificate.
pub(super) fn certificate_body() -> Value {
    shown("certificate", "Certificate", "A certificate", &examples::certificate())
}

/// A certificate request.
pub(super) fn request_body() -> Value {
    shown("certificate_request", "CertificateRequest", "A certificate request", &examples::request())
}

/// The vendor's own filters, and ours.
fn filtered(operation: Operation, statuses: &[(&str, &str)]) -> Operation {
    customer(operation.ordered_page().query("source", source_name("Only of this source.")))
        .query("status", choice("Only with this status.", statuses))
        .query("certificate_type_id", text("Only of this type of certificate."))
        .query("created_after", instant("Only created after."))
        .query("created_before", instant("Only created before."))
        .query("updated_after", instant("Only updated after."))
        .query("updated_before", instant("Only updated before."))
        .query(
            "expiring_within",
            form("Only those that expire within so many days, 0 to 3650; with `jurisdiction`, there.", DAYS, "30d"),
        )
        .query("removed", yes_or_no("Those that were removed instead of those that are there.", false))
}

/// A number of days up to ten years.
const DAYS: &str = "^([0-9]{1,3}|[1-2][0-9]{3}|3[0-5][0-9]{2}|36[0-4][0-9]|3650)d$";

/// `GET /v1/certificates`.
pub(in crate::api) fn certificates() -> Operation {
    let description = "As they were last seen, without asking upstream; newest first unless `order=asc`. `sources` \
        tells how far what is known goes.";
    filtered(Operation::new(GROUP, "listCertificates", "List certificates", description), &CERTIFICATE_STATUSES)
        .query("jurisdiction", text("Only those that name this jurisdiction, such as `US-CA`."))
        .answers::<Resources<CertificateBody>>(200, "A page of certificates.")
}

/// `GET /v1/certificate-requests`.
pub(in crate::api) fn requests() -> Operation {
    let description = "As they were last seen, without asking upstream; newest first unless `order=asc`. `sources` \
        tells how far what is known goes.";
    let operation = Operation::new(GROUP, "listCertificateRequests", "List certificate requests", description);
    filtered(operation, &REQUEST_STATUSES).answers::<Resources<RequestBody>>(200, "A page of requests.")
}

fn single(operation: Operation) -> Operation {
    one_of(operation)
        .query("removed", yes_or_no("Also if it was removed.", false))
        .query("fresh", yes_or_no("Asks upstream first, and applies what it answers.", false))
        .fails(&[ErrorKind::UpstreamUnavailable])
        .passes_errors_on()
}

/// A call about one resource.
fn one_of(operation: Operation) -> Operation {
    operation
        .path("id", resource_id("The vendor's id of it."))
        .query("source", source_name("The source that is meant, where more than one holds the id."))
        .fails(&[ErrorKind::SourceAmbiguous])
}

/// `GET /v1/certificates/{id}`.
pub(in crate::api) fn certificate() -> Operation {
    let description = "As it was last seen, or with `fresh=true` as it is now.";
    single(Operation::new(GROUP, "getCertificate", "Show a certificate", description))
        .answers::<CertificateBody>(200, "The certificate.")
        .fails(&[ErrorKind::CertificateNotFound])
}

/// `GET /v1/certificate-requests/{id}`.
pub(in crate::api) fn request() -> Operation {
    let description = "As it was last seen, or with `fresh=true` as it is now.";
    single(Operation::new(GROUP, "getCertificateRequest", "Show a certificate request", description))
        .answers::<RequestBody>(200, "The request.")
        .fails(&[ErrorKind::RequestNotFound])
}

/// `GET /v1/exemptions`.
pub(in crate::api) fn exemption() -> Operation {
    let description = "By what the certificates were last seen to say, today, in the time zone of the configuration.";
    Operation::new(GROUP, "getExemption", "Tell whether a customer is exempt", description)
        .required_query("customer_id", text("The customer, as `id_type` says."))
        .query("id_type", id_type())
        .required_query("jurisdiction", text("The jurisdiction, such as `US-CA`."))
        .query("source", source_name("Only by what this source knows."))
        .answers::<Answer>(200, "Whether there is an exemption, and what it rests on.")
}

/// `GET /v1/certificates/{id}/download`.
pub(in crate::api) fn download() -> Operation {
    let description = "Asks upstream for a fresh URL, which is in this answer and nowhere else.";
    one_of(Operation::new(UPSTREAM, "downloadCertificate", "Get a certificate's document", description))
        .query("redirect", yes_or_no("Whether to be sent on to the document, or to be told where it is.", true))
        .answers::<Link<'static>>(200, "Where it is, with `redirect=false`.")
        .with_headers(&[("Cache-Control", "Always `no-store`.")])
        .answers_nothing(302, "On to the document.")
        .with_headers(&[("Location", "Where it is."), ("Cache-Control", "Always `no-store`.")])
        .fails(&[ErrorKind::CertificateNotFound, ErrorKind::DocumentNotAvailable, ErrorKind::UpstreamUnavailable])
        .passes_errors_on()
}

/// `DELETE /v1/certificate-requests/{id}`.
pub(in crate::api) fn cancel() -> Operation {
    let description = "Passed upstream. The answer is applied at once, so that its event does not wait for a poll.";
    one_of(Operation::new(UPSTREAM, "cancelCertificateRequest", "Cancel a certificate request", description))
        .answers::<RequestBody>(200, "The request as it is now.")
        .fails(&[ErrorKind::RequestNotFound, ErrorKind::UpstreamOutcomeUnknown])
        .passes_errors_on()
}

/// `POST /v1/certificate-requests/cancel`.
pub(in crate::api) fn cancel_all() -> Operation {
    let body = object(
        "Which requests; all conditions together.",
        &["customer_id"],
        json!({
            "customer_id": text("The customer, as `id_type` says."),
            "id_type": or_null(id_type()),
            "certificate_type_id": or_null(text("Only of this type of certificate.")),
            "source": or_null(source_name("Only of this source.")),
            "dry_run": or_null(by_default(flag("Only tells what would be canceled."), false)),
        }),
    );
    let description = "All that the customer is still asked for, as far as it was seen, and at most 100 in one call. \
        Each is passed upstream by itself; what upstream refuses is told beside the others. The first one that upstream does not answer is \
        `unknown`, and those after it are left `pending`.";
    Operation::new(UPSTREAM, "cancelCertificateRequests", "Cancel a customer's requests", description)
        .body(body, json!({"customer_id": "cus_5aQ", "dry_run": true}))
        .answers::<Cancellation>(200, "What came of each.")
}

/// `POST /v1/customers/{customer_id}/certificate-requests`.
pub(in crate::api) fn trigger() -> Operation {
    let body = json!({
        "type": "object", "additionalProperties": true,
        "description": "What the vendor's POST /tax/customers/{customer_id}/certificate-requests takes; passed on as it is.",
    });
    let description = "Passed upstream. The answer is applied at once, so that its event does not wait for a poll.";
    Operation::new(UPSTREAM, "requestCertificate", "Ask a customer for a certificate", description)
        .path("customer_id", resource_id("The vendor's id of the customer."))
        .query("source", source_name("The source that has the customer, where there is more than one."))
        .body(body, json!({"certificate_type_id": "CA_RESALE"}))
        .answers::<RequestBody>(201, "The request.")
        .fails(&[ErrorKind::SourceAmbiguous, ErrorKind::RequestNotFound, ErrorKind::UpstreamOutcomeUnknown])
        .passes_errors_on()
}
