//! A resource as it comes over the wire, and what of it gets past this room.
//!
//! What is checked is what we compute with; anything else passes through untouched, known to us or not.

use serde_json::Value;
use serde_json::value::RawValue;

use super::super::Malformed;
use crate::model::json::Fields;
use crate::model::resource::{Coverage, Download, Kind, ResourceId, ResourceKey, Seen, SourceName};
use crate::model::time::Timestamp;

/// The largest resource, in bytes as it came. A certificate of fifty jurisdictions has about 8 KiB.
pub(super) const RESOURCE_BYTES_MAX: usize = 24 * 1024;

/// How deep a resource may be nested. The vendor's go 3 levels deep. An event carries it some levels further down,
/// where readers of JSON (serde_json at 128) would give up otherwise.
const NESTING_MAX: usize = 64;

/// Why a resource that is too large is malformed.
pub(super) const TOO_LARGE: &str = "larger than 24 KiB";

/// Why a resource with such an id is malformed.
pub(super) const BAD_ID: &str = "id does not match [A-Za-z0-9_-]{1,128}";

/// The key of the confidential URL.
const DOWNLOAD_URL: &str = "download_url";

/// The JSON of an answer by id. The error says why it is none.
pub(super) fn whole(body: &[u8]) -> Result<&RawValue, &'static str> {
    serde_json::from_slice(body).map_err(|_| "not JSON, or cut off")
}

/// Makes a resource of its JSON, if it can be used and is the one that was asked for.
pub(super) fn project(
    source: &SourceName,
    kind: Kind,
    id: &ResourceId,
    raw: &RawValue,
    coverage: Coverage,
) -> Result<Seen, Malformed> {
    let malformed = |reason: &str| Malformed { id: Some(id.clone()), reason: reason.into() };
    if raw.get().len() > RESOURCE_BYTES_MAX {
        return Err(malformed(TOO_LARGE));
    }
    // The reader's own message is not repeated: it may quote a value.
    let mut fields: Fields =
        serde_json::from_str(raw.get()).map_err(|_| malformed("not an object, or nested too deeply"))?;
    check(kind, id, &fields).map_err(malformed)?;
    let download = download(kind, coverage, fields.get(DOWNLOAD_URL));
    strip(&mut fields, NESTING_MAX).map_err(malformed)?;
    let key = ResourceKey { source: source.clone(), kind, id: id.clone() };
    Ok(Seen { key, fields, coverage, download })
}

/// The rules that a resource must keep.
fn check(kind: Kind, id: &ResourceId, fields: &Fields) -> Result<(), &'static str> {
    match fields.get("id").and_then(Value::as_str) {
        None => return Err("id is missing or no string"),
        Some(text) if text != id.as_str() => return Err("id is not the one that was asked for"),
        Some(_) => {}
    }
    let object_fits = match optional_text(fields, "object") {
        Ok(object) => object.is_none_or(|object| fits(kind, object)),
        Err(_) => false,
    };
    if !object_fits {
        return Err("object is not of the kind that was asked for");
    }
    optional_text(fields, "status").map_err(|_| "status is neither a string nor null")?;
    for (name, reason) in
        [("created_at", "created_at is no RFC 3339 instant"), ("updated_at", "updated_at is no RFC 3339 instant")]
    {
        let text = optional_text(fields, name).map_err(|_| reason)?;
        if text.is_some_and(|text| text.parse::<Timestamp>().is_err()) {
            return Err(reason);
        }
    }
    match fields.get("jurisdictions") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(entries)) => entries.iter().try_for_each(|entry| check_jurisdiction(kind, entry)),
        Some(_) => Err("jurisdictions is neither an array nor null"),
    }
}

/// A certificate tells of each jurisdiction, a request only names it. Two entries for one are left as they are.
fn check_jurisdiction(kind: Kind, entry: &Value) -> Result<(), &'static str> {
    match (kind, entry) {
        (Kind::Certificate, Value::Object(entry)) => {
            if !entry.get("jurisdiction_id").is_some_and(Value::is_string) {
                return Err("an entry of jurisdictions has no jurisdiction_id");
            }
            optional_text(entry, "status").map(|_| ()).map_err(|_| "a jurisdiction's status is no string")
        }
        (Kind::Certificate, _) => Err("an entry of jurisdictions is no object"),
        (Kind::CertificateRequest, Value::String(_)) => Ok(()),
        (Kind::CertificateRequest, _) => Err("an entry of jurisdictions is no string"),
    }
}

/// A field that must be a string if it is there and not null.
fn optional_text<'a>(fields: &'a Fields, name: &str) -> Result<Option<&'a str>, NotText> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(NotText),
    }
}

/// The field is there and no string.
struct NotText;

/// Whether an `object` means that kind. The vendor's pages also speak of both without the prefix.
fn fits(kind: Kind, object: &str) -> bool {
    object.strip_prefix("tax.").unwrap_or(object)
        == match kind {
            Kind::Certificate => "exemption_certificate",
            Kind::CertificateRequest => "certificate_request",
        }
}

/// What an answer tells of a certificate's document.
fn download(kind: Kind, coverage: Coverage, url: Option<&Value>) -> Download {
    match (kind, url) {
        (Kind::CertificateRequest, _) => Download::Unknown,
        (Kind::Certificate, Some(Value::String(url))) if !url.is_empty() => Download::Available,
        (Kind::Certificate, Some(Value::String(_) | Value::Null)) => Download::Missing,
        (Kind::Certificate, Some(_)) => Download::Unknown,
        (Kind::Certificate, None) => match coverage {
            Coverage::Whole => Download::Missing,
            Coverage::Row => Download::Unknown,
        },
    }
}

/// Takes every `download_url` out, wherever it lies: the URL is confidential, and a new place for it would not be
/// announced to us. The order of all else stays.
fn strip(fields: &mut Fields, depth_left: usize) -> Result<(), &'static str> {
    fields.shift_remove(DOWNLOAD_URL);
    fields.values_mut().try_for_each(|value| strip_value(value, depth_left))
}

fn strip_value(value: &mut Value, depth_left: usize) -> Result<(), &'static str> {
    let Some(depth_left) = depth_left.checked_sub(1) else { return Err("nested deeper than 64 levels") };
    match value {
        Value::Object(fields) => strip(fields, depth_left),
        Value::Array(values) => values.iter_mut().try_for_each(|value| strip_value(value, depth_left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn project_text(kind: Kind, text: &str, coverage: Coverage) -> Result<Seen, Malformed> {
        let raw = RawValue::from_string(text.into()).expect("JSON");
        project(&"numeral".parse().expect("a name"), kind, &"c1".parse().expect("an id"), &raw, coverage)
    }

    /// Projects `{"id": "c1"}` with these fields added, as an answer by id.
    fn with(kind: Kind, more: &Value) -> Result<Seen, Malformed> {
        let mut fields = Fields::from_iter([("id".into(), json!("c1"))]);
        fields.extend(more.as_object().expect("an object").clone());
        project_text(kind, &Value::Object(fields).to_string(), Coverage::Whole)
    }

    #[test]
    fn what_is_checked_is_what_we_compute_with() {
        use Kind::{Certificate, CertificateRequest};
        for (kind, more, reason) in [
            (Certificate, json!({"id": null}), "id is missing or no string"),
            (Certificate, json!({"id": 1}), "id is missing or no string"),
            (Certificate, json!({"id": "c2"}), "id is not the one that was asked for"),
            (Certificate, json!({"object": "tax.certificate_request"}), "object is not of the kind that was asked for"),
            (
                CertificateRequest,
                json!({"object": "tax.exemption_certificate"}),
                "object is not of the kind that was asked for",
            ),
            (Certificate, json!({"object": 1}), "object is not of the kind that was asked for"),
            (Certificate, json!({"status": 1}), "status is neither a string nor null"),
            (CertificateRequest, json!({"status": ["pending"]}), "status is neither a string nor null"),
            (Certificate, json!({"updated_at": "yesterday"}), "updated_at is no RFC 3339 instant"),
            (Certificate, json!({"updated_at": "2026-06-10"}), "updated_at is no RFC 3339 instant"),
            (Certificate, json!({"updated_at": 1_795_233_600}), "updated_at is no RFC 3339 instant"),
            (CertificateRequest, json!({"created_at": ""}), "created_at is no RFC 3339 instant"),
            (Certificate, json!({"jurisdictions": {}}), "jurisdictions is neither an array nor null"),
            (Certificate, json!({"jurisdictions": ["US-CA"]}), "an entry of jurisdictions is no object"),
            (Certificate, json!({"jurisdictions": [{}]}), "an entry of jurisdictions has no jurisdiction_id"),
            (
                Certificate,
                json!({"jurisdictions": [{"jurisdiction_id": 6}]}),
                "an entry of jurisdictions has no jurisdiction_id",
            ),
            (
                Certificate,
                json!({"jurisdictions": [{"jurisdiction_id": "US-CA", "status": 1}]}),
                "a jurisdiction's status is no string",
            ),
            (
                CertificateRequest,
                json!({"jurisdictions": [{"jurisdiction_id": "US-CA"}]}),
                "an entry of jurisdictions is no string",
            ),
            (CertificateRequest, json!({"jurisdictions": [null]}), "an entry of jurisdictions is no string"),
        ] {
            let malformed = with(kind, &more).expect_err(reason);
            assert_eq!(malformed.reason, reason, "{more}");
            assert_eq!(malformed.id, "c1".parse().ok(), "it shields its id");
        }
    }

    #[test]
    fn anything_else_passes_through_untouched() {
        use Kind::{Certificate, CertificateRequest};
        for (kind, more) in [
            (Certificate, json!({})),
            (Certificate, json!({"object": null, "status": null, "jurisdictions": null, "updated_at": null})),
            (Certificate, json!({"object": "tax.exemption_certificate", "status": "never_heard_of"})),
            (Certificate, json!({"object": "exemption_certificate", "livemode": "maybe", "customer": null})),
            (Certificate, json!({"customer": {"id": "cus_1", "reference_customer_id": null}})),
            (
                Certificate,
                json!({"jurisdictions": [{"jurisdiction_id": "US-CA"}, {"jurisdiction_id": "US-CA", "status": null}]}),
            ),
            (Certificate, json!({"expiration_date": "9999-12-31", "created_at": "2026-06-10T18:24:09Z"})),
            (CertificateRequest, json!({"object": "tax.certificate_request", "jurisdictions": ["US-CA", "US-CA", ""]})),
            (
                CertificateRequest,
                json!({"expires_at": 17, "certificate_id": [], "updated_at": "2026-06-10T18:24:09.123Z"}),
            ),
        ] {
            let seen = with(kind, &more).expect("it can be used");
            let mut expected = Fields::from_iter([("id".into(), json!("c1"))]);
            expected.extend(more.as_object().expect("an object").clone());
            assert_eq!(seen.fields, expected);
        }
    }

    #[test]
    fn numbers_and_the_order_of_keys_stay_as_they_came() {
        let text = r#"{"z":1.50,"id":"c1","big":123456789012345678901234567890,"a":{"y":1e+2,"x":null}}"#;
        let with_url = text.replacen(r#""id""#, r#""download_url":"https://x.test/?s=1","id""#, 1);
        let seen = project_text(Kind::Certificate, &with_url, Coverage::Whole).expect("it can be used");
        assert_eq!(Value::Object(seen.fields).to_string(), text);
    }

    #[test]
    fn the_document_is_known_and_its_url_is_not() {
        use Download::{Available, Missing, Unknown};
        for (coverage, text, expected) in [
            (Coverage::Whole, r#"{"id":"c1","download_url":"https://x.test/?sig=secret"}"#, Available),
            (Coverage::Whole, r#"{"id":"c1","download_url":null}"#, Missing),
            (Coverage::Whole, r#"{"id":"c1","download_url":""}"#, Missing),
            (Coverage::Whole, r#"{"id":"c1"}"#, Missing),
            (Coverage::Whole, r#"{"id":"c1","download_url":{"secret":1}}"#, Unknown),
            (Coverage::Row, r#"{"id":"c1"}"#, Unknown),
            (Coverage::Row, r#"{"id":"c1","download_url":null}"#, Missing),
            (Coverage::Row, r#"{"id":"c1","download_url":"https://x.test/?sig=secret"}"#, Available),
            (Coverage::Row, r#"{"id":"c1","download_url":"a","download_url":"secret"}"#, Available),
            (Coverage::Whole, r#"{"id":"c1","files":[{"download_url":"secret"}]}"#, Missing),
        ] {
            let seen = project_text(Kind::Certificate, text, coverage).expect("it can be used");
            assert_eq!(seen.download, expected, "{text}");
            let shown = format!("{seen:?}");
            assert!(!shown.contains("secret") && !shown.contains("download_url"), "{shown}");
        }
        let request = project_text(Kind::CertificateRequest, r#"{"id":"c1"}"#, Coverage::Whole).expect("a request");
        assert_eq!(request.download, Unknown, "a request has no document");
    }

    #[test]
    fn size_and_depth_have_limits() {
        let sized = |bytes: usize| {
            let frame = r#"{"id":"c1","x":""}"#.len();
            project_text(
                Kind::Certificate,
                &format!(r#"{{"id":"c1","x":"{}"}}"#, "x".repeat(bytes - frame)),
                Coverage::Row,
            )
        };
        assert!(sized(RESOURCE_BYTES_MAX).is_ok());
        assert_eq!(sized(RESOURCE_BYTES_MAX + 1).expect_err("too large").reason, TOO_LARGE);
        let nested = |levels: usize| {
            let text = format!(r#"{{"id":"c1","x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
            project_text(Kind::Certificate, &text, Coverage::Row)
        };
        assert!(nested(64).is_ok());
        assert_eq!(nested(65).expect_err("too deep").reason, "nested deeper than 64 levels");
        assert_eq!(nested(10_000).expect_err("too deep").reason, "not an object, or nested too deeply");
    }

    #[test]
    fn reasons_never_quote_what_was_sent() {
        let secret = r#"["https://x.test/?sig=secret"]"#;
        for text in [secret.into(), format!(r#"{{"id":{secret}}}"#), format!(r#"{{"id":"c1","status":{secret}}}"#)] {
            let malformed = project_text(Kind::Certificate, &text, Coverage::Whole).expect_err("malformed");
            assert!(!malformed.to_string().contains("secret"), "{malformed}");
        }
    }
}
