//! The examples of the vendor's pages, read as they stand there.

use std::collections::BTreeSet;

use certhook::model::json::Fields;
use certhook::model::resource::{Coverage, Download, Kind, Seen};
use certhook::source::{Cursor, Fetched, Page, Selection, Source, Urgency};
use serde_json::Value;

use super::{CERTIFICATES, REQUESTS, account_at, id, ok, upstream};
use crate::support::vendor_pages::{CERTIFICATE, CERTIFICATE_LIST, PENDING_REQUEST_LIST, REQUEST_LIST};

fn json(example: &str) -> Value {
    serde_json::from_str(example).expect("JSON")
}

/// A list of the vendor's as a page, and its only row looked into.
async fn listed(kind: Kind, example: &str) -> (Page, Seen) {
    let at = match kind {
        Kind::Certificate => CERTIFICATES,
        Kind::CertificateRequest => REQUESTS,
    };
    let (_server, numeral) = upstream(at, ok(&json(example))).await;
    let page = numeral.page(kind, &Selection::Everything, None, Urgency::Sweep).await.expect("a page");
    let [row] = page.rows.as_slice() else { panic!("one row: {page:?}") };
    let seen = numeral.open_row(kind, row).expect("it can be used");
    (page, seen)
}

async fn certificate() -> Seen {
    let example = json(CERTIFICATE);
    let example_id = example["id"].as_str().expect("an id").to_owned();
    let (_server, numeral) = upstream(&format!("{CERTIFICATES}/{example_id}"), ok(&example)).await;
    match numeral.get(Kind::Certificate, &id(&example_id), Urgency::Api).await {
        Ok(Fetched::Found(seen, _)) => *seen,
        other => panic!("it is there: {other:?}"),
    }
}

#[tokio::test]
async fn the_certificate_is_read_whole_but_for_its_url() {
    let seen = certificate().await;
    let mut expected = json(CERTIFICATE);
    expected.as_object_mut().expect("an object").shift_remove("download_url");
    assert_eq!(Value::Object(seen.fields.clone()), expected);
    assert_eq!((seen.status(), seen.coverage, seen.download), (Some("active"), Coverage::Whole, Download::Available));
    assert_eq!(seen.updated_at(), "2026-01-05T11:00:00Z".parse().ok(), "instants are compared, never strings");
}

#[tokio::test]
async fn the_list_of_certificates_is_read_and_its_statuses_are_unknown() {
    let (page, seen) = listed(Kind::Certificate, CERTIFICATE_LIST).await;
    assert_eq!((page.has_more, page.next_cursor), (true, Some(Cursor("<string>".into()))));
    assert_eq!(Value::Object(seen.fields.clone()), json(CERTIFICATE_LIST)["certificates"][0]);
    assert_eq!((seen.status(), seen.coverage, seen.download), (None, Coverage::Row, Download::Unknown));
    assert_eq!(seen.updated_at(), "2023-11-07T05:31:56.000Z".parse().ok());
    assert_eq!(seen.key.to_string(), "numeral/certificate/cert_a8f3d2c1-1b9a-4c5e-8d7e-6f4a3b2c1d0e");
}

#[tokio::test]
async fn both_lists_of_requests_are_read_and_the_status_is_unknown_where_it_is_left_out() {
    for (example, status, has_more) in [(PENDING_REQUEST_LIST, Some("pending"), false), (REQUEST_LIST, None, true)] {
        let (page, seen) = listed(Kind::CertificateRequest, example).await;
        assert_eq!((page.has_more, page.next_cursor.is_some()), (has_more, has_more));
        assert_eq!(Value::Object(seen.fields.clone()), json(example)["certificate_requests"][0]);
        assert_eq!((seen.status(), seen.coverage, seen.download), (status, Coverage::Row, Download::Unknown));
    }
}

#[tokio::test]
async fn the_documented_fields_are_those_of_the_vendors_examples() {
    let names = |all: &[&Fields]| all.iter().flat_map(|fields| fields.keys().cloned()).collect::<BTreeSet<String>>();
    let (whole, (_, row)) = (certificate().await, listed(Kind::Certificate, CERTIFICATE_LIST).await);
    let (_, pending) = listed(Kind::CertificateRequest, PENDING_REQUEST_LIST).await;
    let (_, request) = listed(Kind::CertificateRequest, REQUEST_LIST).await;
    let numeral = account_at("http://127.0.0.1:1");
    for (kind, shown) in [
        (Kind::Certificate, names(&[&whole.fields, &row.fields])),
        (Kind::CertificateRequest, names(&[&pending.fields, &request.fields])),
    ] {
        let documented = numeral.documented_fields(kind);
        assert_eq!(documented.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), shown, "{kind}");
        assert_eq!(documented.len(), shown.len(), "{kind}: each is named once");
    }
}
