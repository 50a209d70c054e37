//! What the controls show of the world: the vendor's objects, with what the vendor keeps to itself.

use serde_json::{Value, json};

use super::book::command::Subject;
use super::book::object::{Certificate, Request};
use super::wire::Writer;
use super::world::World;
use crate::model::time::Timestamp;

/// One object, as the vendor shows it by id, with a member `sandbox`.
pub(super) fn object(world: &World, subject: &Subject) -> Value {
    let writer = Writer { modes: &world.modes };
    match subject {
        Subject::Certificate(id) => {
            world.book.certificates().get(id).map_or(Value::Null, |one| certificate(writer, one))
        }
        Subject::Request(id) => world.book.requests().get(id).map_or(Value::Null, |one| request(writer, one)),
    }
}

fn certificate(writer: Writer<'_>, certificate: &Certificate) -> Value {
    let mut fields = writer.certificate_by_id(certificate, None);
    fields.remove("download_url");
    fields.insert(
        "sandbox".into(),
        json!({
            "document": certificate.has_document,
            "archived": certificate.is_archived,
            "deleted": certificate.is_deleted,
            "revision_of": certificate.revision_of,
        }),
    );
    Value::Object(fields)
}

fn request(writer: Writer<'_>, request: &Request) -> Value {
    let mut fields = writer.request_by_id(request);
    let hidden = json!({ "submitted_certificate_id": request.submitted_certificate_id, "deleted": request.is_deleted });
    fields.insert("sandbox".into(), hidden);
    Value::Object(fields)
}

/// All of it.
pub(super) fn everything(world: &World, now: Timestamp) -> Value {
    let writer = Writer { modes: &world.modes };
    let certificates = world.book.certificates().iter().map(|one| certificate(writer, one));
    let requests = world.book.requests().iter().map(|one| request(writer, one));
    json!({
        "now": now,
        "options": world.modes,
        "faults": world.faults,
        "customers": world.book.customers().iter().map(|customer| json!(**customer)).collect::<Vec<_>>(),
        "certificates": certificates.collect::<Vec<_>>(),
        "certificate_requests": requests.collect::<Vec<_>>(),
    })
}

/// Whose objects the API shows, and how many there are.
pub(super) fn account(world: &World) -> Value {
    let [certificates, requests] = [world.book.certificates().len(), world.book.requests().len()];
    json!({ "number": world.account, "certificates": certificates, "certificate_requests": requests })
}
