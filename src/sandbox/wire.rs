//! How the vendor writes things down.

use serde_json::{Map, Value, json};

use super::book::object::{Certificate, CertificateStatus, Customer, Jurisdiction, Request};
use super::options::{Modes, TimestampForm};
use crate::model::time::Timestamp;

/// The vendor's writing, in the chosen modes.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// What the vendor's pages leave open.
    pub modes: &'a Modes,
}

impl Writer<'_> {
    /// A certificate as a row of a list: never with a `download_url`.
    pub fn certificate_row(&self, certificate: &Certificate) -> Map<String, Value> {
        self.certificate(certificate, self.modes.status_in_rows)
    }

    /// A certificate as the answer to a call by id.
    pub fn certificate_by_id(&self, certificate: &Certificate, download_url: Option<String>) -> Map<String, Value> {
        let mut fields = self.certificate(certificate, true);
        fields.insert("download_url".into(), download_url.into());
        fields
    }

    /// A request as a row of a list.
    pub fn request_row(&self, request: &Request) -> Map<String, Value> {
        self.request(request, self.modes.status_in_rows)
    }

    /// A request as the answer to a call by id.
    pub fn request_by_id(&self, request: &Request) -> Map<String, Value> {
        self.request(request, true)
    }

    /// An instant in the chosen form.
    pub fn instant(&self, at: Timestamp) -> String {
        let text = at.to_string();
        match self.modes.timestamps {
            TimestampForm::Milliseconds => text,
            TimestampForm::Seconds => match text.split_once('.') {
                Some((seconds, _)) => format!("{seconds}Z"),
                None => text,
            },
        }
    }

    fn certificate(&self, certificate: &Certificate, with_status: bool) -> Map<String, Value> {
        let kind = certificate.certificate_type;
        let jurisdictions: Vec<Value> =
            certificate.jurisdictions.iter().map(|entry| jurisdiction(entry, with_status)).collect();
        let mut fields =
            beginning(&certificate.id, "tax.exemption_certificate", with_status.then_some(certificate.status.as_str()));
        fields.extend(object(json!({
            "certificate_type": {
                "id": kind.id,
                "name": kind.name,
                "certificate_identifier": kind.identifier,
            },
            "customer": customer(&certificate.customer),
            "jurisdictions": jurisdictions,
            "effective_date": certificate.effective,
            "expiration_date": certificate.expires,
            "created_at": self.instant(certificate.created_at),
            "updated_at": self.instant(certificate.updated_at),
            "livemode": self.modes.livemode,
        })));
        self.further(&mut fields);
        fields
    }

    fn request(&self, request: &Request, with_status: bool) -> Map<String, Value> {
        let mut fields =
            beginning(&request.id, "tax.certificate_request", with_status.then_some(request.status.as_str()));
        fields.extend(object(json!({
            "customer": request.customer.as_deref().map(customer),
            "certificate_id": request.certificate_id(),
            "certificate_type_id": request.certificate_type.identifier,
            "jurisdictions": request.jurisdictions,
            "created_at": self.instant(request.created_at),
            "updated_at": self.instant(request.updated_at),
            "expires_at": request.expires_at.map(|at| self.instant(at)),
            "livemode": self.modes.livemode,
        })));
        self.further(&mut fields);
        fields
    }

    /// What the vendor has come to show since its pages were written. It takes the place of nothing.
    fn further(&self, fields: &mut Map<String, Value>) {
        for (name, value) in &self.modes.further_fields {
            fields.entry(name).or_insert_with(|| value.clone());
        }
    }
}

fn beginning(id: &str, kind: &str, status: Option<&str>) -> Map<String, Value> {
    let mut fields = object(json!({ "id": id, "object": kind }));
    if let Some(status) = status {
        fields.insert("status".into(), status.into());
    }
    fields
}

fn customer(customer: &Customer) -> Value {
    json!({ "id": customer.id, "reference_customer_id": customer.reference_customer_id })
}

fn jurisdiction(entry: &Jurisdiction, with_status: bool) -> Value {
    let mut fields = object(json!({ "jurisdiction_id": entry.id }));
    if with_status {
        fields.insert("status".into(), CertificateStatus::as_str(entry.status).into());
    }
    fields.extend(object(json!({ "effective_date": entry.effective, "expiration_date": entry.expires })));
    Value::Object(fields)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// An instant as HTTP headers write it.
pub fn http_date(at: Timestamp) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    instant.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::seed::seeded;

    #[test]
    fn rows_and_answers_by_id_have_the_vendors_keys_in_its_order() {
        let now = "2026-11-21T04:31:20.017Z".parse().expect("an instant");
        let book = seeded(1, 50, now);
        let keys = |fields: &Map<String, Value>| fields.keys().cloned().collect::<Vec<_>>().join(" ");
        let certificate = book.certificates().iter().next().expect("one");
        let request = book.requests().iter().next().expect("one");
        let modes = Modes::default();
        let bare = Modes { status_in_rows: false, ..Modes::default() };
        let [writer, barely] = [&modes, &bare].map(|modes| Writer { modes });
        let rest =
            "certificate_type customer jurisdictions effective_date expiration_date created_at updated_at livemode";
        assert_eq!(keys(&writer.certificate_row(certificate)), format!("id object status {rest}"));
        assert_eq!(keys(&barely.certificate_row(certificate)), format!("id object {rest}"));
        assert_eq!(keys(&barely.certificate_by_id(certificate, None)), format!("id object status {rest} download_url"));
        let rest =
            "customer certificate_id certificate_type_id jurisdictions created_at updated_at expires_at livemode";
        assert_eq!(keys(&writer.request_row(request)), format!("id object status {rest}"));
        assert_eq!(keys(&barely.request_row(request)), format!("id object {rest}"));
        assert_eq!(keys(&barely.request_by_id(request)), format!("id object status {rest}"));
        let entry = &barely.certificate_row(certificate)["jurisdictions"][0];
        assert_eq!(keys(entry.as_object().expect("an object")), "jurisdiction_id effective_date expiration_date");
    }

    #[test]
    fn instants_are_written_in_the_chosen_form_and_headers_in_theirs() {
        let at = "2026-11-21T04:31:20.017Z".parse().expect("an instant");
        let modes = Modes { timestamps: TimestampForm::Seconds, ..Modes::default() };
        assert_eq!(Writer { modes: &modes }.instant(at), "2026-11-21T04:31:20Z");
        assert_eq!(Writer { modes: &Modes::default() }.instant(at), "2026-11-21T04:31:20.017Z");
        assert_eq!(http_date(at), "Sat, 21 Nov 2026 04:31:20 GMT");
    }
}
