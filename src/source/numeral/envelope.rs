//! A page as it comes over the wire: `{"object": "list", "certificates": […], "has_more": …, "next_cursor": …}`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::{Cursor, Exchange, Malformed, Page, Row};
use super::projection::{self, RESOURCE_BYTES_MAX};
use crate::model::resource::{Kind, ResourceId};

/// The longest cursor that we send back, in bytes. The vendor's are ids; a longer one could not go into a URL.
const CURSOR_BYTES_MAX: usize = 1024;

#[derive(Deserialize)]
struct Envelope<'a> {
    object: Option<String>,
    #[serde(borrow)]
    certificates: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    certificate_requests: Option<Vec<&'a RawValue>>,
    has_more: Option<bool>,
    next_cursor: Option<String>,
}

/// All that is read of a row at first: most rows are recognised by their bytes.
#[derive(Deserialize)]
struct Identity<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

/// Reads a page. The error says why the answer is no list of that kind.
pub(super) fn read(kind: Kind, body: &[u8], exchange: Exchange) -> Result<Page, &'static str> {
    let text = str::from_utf8(body).map_err(|_| "not UTF-8")?;
    // A derived reader would take an array for an object, field by field.
    if !text.trim_start().starts_with('{') {
        return Err("no JSON object");
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|_| "not JSON, cut off, or no list")?;
    if envelope.object.as_deref() != Some("list") {
        return Err("object is not \"list\"");
    }
    let (listed, absent) = match kind {
        Kind::Certificate => (envelope.certificates, "certificates is missing"),
        Kind::CertificateRequest => (envelope.certificate_requests, "certificate_requests is missing"),
    };
    let listed = listed.ok_or(absent)?;
    let has_more = envelope.has_more.ok_or("has_more is missing")?;
    // An empty cursor names no place, like an absent one.
    let next_cursor = envelope.next_cursor.filter(|cursor| !cursor.is_empty());
    if next_cursor.as_ref().is_some_and(|cursor| cursor.len() > CURSOR_BYTES_MAX) {
        return Err("next_cursor is too long");
    }
    let mut page =
        Page { rows: Vec::new(), malformed: Vec::new(), has_more, next_cursor: next_cursor.map(Cursor), exchange };
    for raw in listed {
        match row(raw) {
            Ok(row) => page.rows.push(row),
            Err(malformed) => page.malformed.push(malformed),
        }
    }
    Ok(page)
}

fn row(raw: &RawValue) -> Result<Row, Malformed> {
    let id = identity(raw.get()).map_err(|reason| Malformed { id: None, reason: reason.into() })?;
    if raw.get().len() > RESOURCE_BYTES_MAX {
        return Err(Malformed { id: Some(id), reason: projection::TOO_LARGE.into() });
    }
    Ok(Row { id, raw: raw.to_owned() })
}

/// The id of a row that is otherwise not looked at.
fn identity(text: &str) -> Result<ResourceId, &'static str> {
    if !text.starts_with('{') {
        return Err("not an object");
    }
    let identity: Identity<'_> = serde_json::from_str(text).map_err(|_| "id is missing, given twice, or no string")?;
    identity.id.parse().map_err(|_| projection::BAD_ID)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::time::Timestamp;

    fn page(kind: Kind, body: &str) -> Result<Page, &'static str> {
        let at = Timestamp::EPOCH;
        read(kind, body.as_bytes(), Exchange { asked_at: at, answered_at: at, upstream_at: None })
    }

    fn certificates(rows: &str) -> Page {
        let body = format!(r#"{{"object":"list","certificates":[{rows}],"has_more":false}}"#);
        page(Kind::Certificate, &body).expect("a list")
    }

    fn reasons(page: &Page) -> Vec<(Option<&str>, &str)> {
        page.malformed.iter().map(|one| (one.id.as_ref().map(ResourceId::as_str), one.reason.as_str())).collect()
    }

    #[test]
    fn a_list_says_what_it_is_and_whether_there_is_more() {
        for (body, reason) in [
            (r#"{"certificates":[],"has_more":false}"#, r#"object is not "list""#),
            (r#"{"object":"tax.exemption_certificate","certificates":[],"has_more":false}"#, r#"object is not "list""#),
            (r#"{"object":"list","has_more":false}"#, "certificates is missing"),
            (r#"{"object":"list","certificates":null,"has_more":false}"#, "certificates is missing"),
            (r#"{"object":"list","certificate_requests":[],"has_more":false}"#, "certificates is missing"),
            (r#"{"object":"list","data":[],"has_more":false}"#, "certificates is missing"),
            (r#"{"object":"list","certificates":[]}"#, "has_more is missing"),
            (r#"{"object":"list","certificates":[],"has_more":null}"#, "has_more is missing"),
            (r#"{"object":"list","certificates":{},"has_more":false}"#, "not JSON, cut off, or no list"),
            (r#"{"object":"list","certificates":[],"has_more":"false"}"#, "not JSON, cut off, or no list"),
            (
                r#"{"object":"list","certificates":[],"has_more":false,"has_more":true}"#,
                "not JSON, cut off, or no list",
            ),
            (r#"{"object":"list","certificates":[],"has_more":true,"next_cursor":5}"#, "not JSON, cut off, or no list"),
            (r#"{"object":"list","certificates":[{"id":"c1"}"#, "not JSON, cut off, or no list"),
            (r#"{"object":"list","certificates":[],"has_more":false} trailing"#, "not JSON, cut off, or no list"),
            (r#"["list",[],[],false,null]"#, "no JSON object"),
            ("<html></html>", "no JSON object"),
            ("null", "no JSON object"),
            ("", "no JSON object"),
        ] {
            assert_eq!(page(Kind::Certificate, body).expect_err("no list"), reason, "{body}");
        }
    }

    #[test]
    fn next_cursor_may_be_omitted_null_or_empty() {
        for (cursor, expected) in [
            ("", None),
            (r#","next_cursor":null"#, None),
            (r#","next_cursor":"""#, None),
            (r#","next_cursor":"cert_1""#, Some("cert_1")),
        ] {
            let body = format!(r#"{{"object":"list","certificate_requests":[],"has_more":false{cursor}}}"#);
            let page = page(Kind::CertificateRequest, &body).expect("a list");
            assert_eq!(page.next_cursor, expected.map(|text| Cursor(text.into())));
        }
        let long = "x".repeat(1025);
        let body = format!(r#"{{"object":"list","certificates":[],"has_more":true,"next_cursor":"{long}"}}"#);
        assert_eq!(page(Kind::Certificate, &body).expect_err("too long"), "next_cursor is too long");
    }

    #[test]
    fn a_malformed_item_never_spoils_its_page() {
        let huge = format!(r#"{{"id":"huge","x":"{}"}}"#, "x".repeat(RESOURCE_BYTES_MAX));
        let rows = [
            r#"{"id":"good-1","anything":[1,{"at":"all"}]}"#,
            "null",
            "5",
            r#""text""#,
            r#"["c1"]"#,
            "{}",
            r#"{"id":null}"#,
            r#"{"id":7}"#,
            r#"{"id":"a","id":"b"}"#,
            r#"{"id":""}"#,
            r#"{"id":"../secrets"}"#,
            &huge,
            r#"{"x":{"id":"inner"},"id":"good-2"}"#,
        ];
        let page = certificates(&rows.join(","));
        assert_eq!(page.rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["good-1", "good-2"]);
        assert_eq!(page.rows[0].raw.get(), rows[0], "the bytes are kept as they came");
        let no_id = (None, "id is missing, given twice, or no string");
        let no_object = (None, "not an object");
        let bad_id = (None, projection::BAD_ID);
        let mut expected = vec![no_object; 4];
        expected.extend([no_id; 4]);
        expected.extend([bad_id, bad_id, (Some("huge"), projection::TOO_LARGE)]);
        assert_eq!(reasons(&page), expected);
    }

    #[test]
    fn deep_nesting_is_no_crash_and_spoils_no_page() {
        let deep = format!(r#"{{"id":"deep","x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        let page = certificates(&format!(r#"{deep},{{"id":"good"}}"#));
        assert_eq!(page.rows.len(), 2, "a row is not looked into before it is opened");
        let cut_off = format!(r#"{{"object":"list","certificates":{}"#, "[".repeat(1_000_000));
        assert!(read(Kind::Certificate, cut_off.as_bytes(), page.exchange).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_page_crash(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let at = Timestamp::EPOCH;
            let exchange = Exchange { asked_at: at, answered_at: at, upstream_at: None };
            prop_assert!(read(Kind::Certificate, &body, exchange).is_err());
        }
    }
}
