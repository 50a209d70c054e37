//! Traps of certificate requests.

use std::sync::Arc;

use certhook::model::event::{Event, EventDraft, Sight};
use certhook::model::filter::{Facets, Filter};
use certhook::model::id::{EventId, Position};

use super::upstream::refusal;
use super::*;

#[tokio::test]
async fn fulfilled_is_not_exempt_the_linked_certificate_may_still_be_processing() {
    let world = World::settled(|book| book.put(request("cert_req_1"))).await;
    world.add(certificate_that_is("cert_1", "processing"));
    world.update("cert_req_1", |object| {
        (object["status"], object["certificate_id"]) = (json!("fulfilled"), json!("cert_1"));
    });
    assert_eq!(
        world.told().await,
        [
            "cert_1 certificate.created",
            "cert_1 certificate.jurisdiction.processing",
            "cert_req_1 certificate_request.fulfilled"
        ]
    );
    world.update("cert_1", |object| turn(object, "invalid"));
    assert_eq!(
        world.told().await,
        [
            "cert_1 certificate.processing_completed",
            "cert_1 certificate.invalid",
            "cert_1 certificate.jurisdiction.invalid"
        ],
        "and it never was exempt"
    );
}

#[tokio::test]
async fn the_certificate_of_a_fulfilled_request_may_be_named_later() {
    let world = World::settled(|book| book.put(request("cert_req_1"))).await;
    world.update("cert_req_1", |object| object["status"] = json!("fulfilled"));
    assert_eq!(world.told().await, ["cert_req_1 certificate_request.fulfilled"]);
    // No list shows it yet.
    world.add(certificate("cert_1"));
    world.edit(|book| book.hidden.push("cert_1".into()));
    world.update("cert_req_1", |object| object["certificate_id"] = json!("cert_1"));
    assert_eq!(
        world.told().await,
        [
            "cert_1 certificate.created",
            "cert_1 certificate.processing_completed",
            "cert_1 certificate.active",
            "cert_1 certificate.jurisdiction.active",
            "cert_req_1 certificate_request.updated"
        ]
    );
}

#[tokio::test]
async fn a_status_that_is_called_terminal_may_be_left_again() {
    let world = World::settled(|book| book.put(request("cert_req_1"))).await;
    let steps = [
        ("canceled", "canceled"),
        ("pending", "reopened"),
        ("invalid", "invalid"),
        ("pending", "reopened"),
        ("fulfilled", "fulfilled"),
        ("canceled", "canceled"),
        ("invalid", "invalid"),
        ("fulfilled", "fulfilled"),
        ("pending", "reopened"),
    ];
    for (status, event) in steps {
        world.update("cert_req_1", |object| object["status"] = json!(status));
        assert_eq!(world.told().await, [format!("cert_req_1 certificate_request.{event}")]);
    }
    assert_eq!(world.snapshot(Kind::CertificateRequest, "cert_req_1").object_version, steps.len() as u64);
}

#[tokio::test]
async fn a_request_may_first_be_seen_in_a_status_that_is_called_terminal() {
    let world = World::settled(|book| book.put(request_that_is("cert_req_0", "canceled"))).await;
    for status in ["fulfilled", "canceled", "invalid"] {
        let id = format!("cert_req_{status}");
        world.add(request_that_is(&id, status));
        assert_eq!(
            world.told().await,
            [format!("{id} certificate_request.created"), format!("{id} certificate_request.{status}")]
        );
    }
}

#[tokio::test]
async fn pending_hides_internal_steps_that_bump_updated_at_with_nothing_public_changed() {
    let world = World::settled(|book| {
        book.put(request("cert_req_1"));
        book.put(request_that_is("cert_req_2", "invalid"));
    })
    .await;
    for rows_as_in_the_examples in [false, true] {
        world.edit(|book| book.rows_as_in_the_examples = rows_as_in_the_examples);
        for id in ["cert_req_1", "cert_req_2"] {
            world.update(id, |_| {});
            assert_eq!(world.told().await, [""; 0]);
            assert_eq!(world.snapshot(Kind::CertificateRequest, id).object_version, 0);
        }
    }
}

#[tokio::test]
async fn jurisdictions_are_texts_on_requests_and_objects_on_certificates() {
    let world = World::settled(|book| {
        book.put(request("cert_req_1"));
        book.put(certificate("cert_1"));
    })
    .await;
    world.update("cert_req_1", |object| object["jurisdictions"] = json!(["US-TX", "US-CA"]));
    world.update("cert_1", |object| {
        let california = object["jurisdictions"][0].clone();
        let mut texas = california.clone();
        texas["jurisdiction_id"] = json!("US-TX");
        object["jurisdictions"] = json!([texas, california]);
    });
    assert_eq!(
        world.told().await,
        [
            "cert_1 certificate.jurisdiction.added",
            "cert_1 certificate.jurisdiction.active",
            "cert_req_1 certificate_request.updated"
        ]
    );
    world.update("cert_req_1", |object| object["jurisdictions"] = json!(["US-CA", "US-TX"]));
    assert_eq!(world.told().await, [""; 0], "their order means nothing");
}

/// An event of a sight, as an endpoint's filter meets it.
fn event(sight: &Sight, draft: &EventDraft) -> Event {
    let id = EventId { position: Position(1), epoch: 1, start: 1 };
    Event { id, event_type: draft.event_type, details: draft.details.clone(), sight: Arc::new(sight.clone()) }
}

#[tokio::test]
async fn a_requests_certificate_type_id_is_the_certificates_identifier_and_not_its_id() {
    let world = World::settled(|_| {}).await;
    world.add(request_that_is("cert_req_1", "canceled"));
    world.add(certificate("cert_1"));
    let sights = world.sights().await;
    let matched = |type_id: &str| {
        let filter = Filter { certificate_type_ids: vec![type_id.into()], ..Filter::default() };
        let events = sights.iter().flat_map(|(sight, drafts)| drafts.iter().map(|draft| event(sight, draft)));
        let matched = events.filter(|event| filter.matches(&Facets::of(event)));
        matched.map(|event| event.event_type.to_string()).filter(|name| name.ends_with(".created")).collect::<Vec<_>>()
    };
    assert_eq!(matched("US-CA-CDTFA-230"), ["certificate.created", "certificate_request.created"]);
    assert_eq!(matched("12"), ["certificate.created"], "a number that only certificates carry, as a text");
    assert_eq!(matched("13"), [""; 0]);
}

#[tokio::test]
async fn a_buyer_who_was_removed_leaves_a_request_without_a_customer() {
    let world = World::settled(|book| book.put(request("cert_req_1"))).await;
    world.update("cert_req_1", |object| object["customer"] = Value::Null);
    assert_eq!(world.told().await, ["cert_req_1 certificate_request.updated"]);
    assert_eq!(world.fields(Kind::CertificateRequest, "cert_req_1")["customer"], Value::Null);
}

#[tokio::test]
async fn a_request_may_never_expire() {
    let world = World::settled(|book| {
        let mut endless = request("cert_req_1");
        endless["expires_at"] = Value::Null;
        book.put(endless);
    })
    .await;
    assert_eq!(world.told().await, [""; 0]);
    for end in [json!("2028-01-01T00:00:00.000Z"), Value::Null] {
        world.update("cert_req_1", |object| object["expires_at"] = end.clone());
        assert_eq!(world.told().await, ["cert_req_1 certificate_request.updated"]);
        assert_eq!(world.fields(Kind::CertificateRequest, "cert_req_1")["expires_at"], end);
    }
}

#[tokio::test]
async fn a_409_is_final_although_the_vendors_own_client_repeats_it() {
    let world = World::settled(|book| book.put(request("cert_req_1"))).await;
    world.update("cert_req_1", |object| object["status"] = json!("canceled"));
    world.edit(|book| book.next_answer = Some(refusal(409, "REQUEST_INVALID")));
    let report = world.pass(PassKind::Changes).await;
    assert_eq!(report.status, PassStatus::Incomplete);
    assert!(report.error.expect("a reason").ends_with("REQUEST_INVALID (409): said so"));
    let lists = world.upstream.take_calls();
    assert_eq!(lists.iter().filter(|call| call.starts_with("/tax/certificates?")).count(), 1, "{lists:?}");
    assert_eq!(world.store.take_told(), ["cert_req_1 certificate_request.canceled"], "the other list was read");
}
