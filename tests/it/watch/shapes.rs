//! Events of every transition, against the schemas of their types. The store of these tests compares each event.

use std::collections::BTreeSet;

use certhook::model::event::EventType;

use super::*;

/// What only an operator makes.
const NOT_DETECTED: [EventType; 2] = [EventType::CertificateSnapshot, EventType::RequestSnapshot];

/// What can happen to a resource, beside a move of its status.
type Change = fn(&mut Value);

const CERTIFICATE_CHANGES: [Change; 14] = [
    |it| it["jurisdictions"] = json!([it["jurisdictions"][0], {"jurisdiction_id": "US-TX", "status": "processing"}]),
    |it| it["jurisdictions"] = json!([{"jurisdiction_id": "US-TX", "status": "odd"}]),
    |it| it["jurisdictions"] = json!([]),
    |it| it["jurisdictions"] = Value::Null,
    |it| it["jurisdictions"][0]["expiration_date"] = json!("9999-12-31"),
    |it| it["expiration_date"] = json!("2028-01-01"),
    |it| it["expiration_date"] = Value::Null,
    |it| it["customer"]["reference_customer_id"] = Value::Null,
    |it| it["customer"] = Value::Null,
    |it| it["certificate_type"] = json!({"id": "12", "name": "Resale", "certificate_identifier": "US-CA-CDTFA-230"}),
    |it| it["object"] = json!("exemption_certificate"),
    |it| it["from_the_future"] = json!({"score": 1.50}),
    |it| it["download_url"] = json!("https://signed.example.com/canary"),
    |it| *it = json!({"id": it["id"], "updated_at": it["updated_at"]}),
];

const REQUEST_CHANGES: [Change; 6] = [
    |it| it["certificate_id"] = json!("cert_1"),
    |it| it["customer"] = Value::Null,
    |it| it["expires_at"] = Value::Null,
    |it| it["jurisdictions"] = json!(["US-CA", "US-TX"]),
    |it| it["from_the_future"] = json!([1]),
    |it| *it = json!({"id": it["id"], "updated_at": it["updated_at"]}),
];

/// Resources before and after everything that can happen to them.
fn histories() -> Vec<(Kind, Value, Value)> {
    let mut histories = Vec::new();
    let words = ["processing", "needs_info", "active", "expiring", "expired", "invalid", "odd"];
    for (before, after) in words.iter().flat_map(|before| words.iter().map(move |after| (before, after))) {
        let with = |status: &str| {
            let mut object = certificate(&format!("cert_{before}_{after}"), status);
            object["jurisdictions"][0]["status"] = json!(status);
            object
        };
        histories.push((CERTIFICATE, with(before), with(after)));
    }
    let words = ["pending", "fulfilled", "canceled", "invalid", "odd"];
    for (before, after) in words.iter().flat_map(|before| words.iter().map(move |after| (before, after))) {
        let id = format!("cert_req_{before}_{after}");
        histories.push((REQUEST, request(&id, before), request(&id, after)));
    }
    let mut changed = |kind, before: Value, change: Change| {
        let mut after = before.clone();
        change(&mut after);
        histories.push((kind, before, after));
    };
    for (number, change) in CERTIFICATE_CHANGES.into_iter().enumerate() {
        let mut before = certificate(&format!("cert_{number}"), "active");
        before["download_url"] = Value::Null;
        changed(CERTIFICATE, before, change);
    }
    for (number, change) in REQUEST_CHANGES.into_iter().enumerate() {
        changed(REQUEST, request(&format!("cert_req_{number}"), "pending"), change);
    }
    histories
}

/// Runs a pass, and gives the types of what was told.
async fn look(world: &World, watcher: &Watcher, pass: PassKind) -> Vec<EventType> {
    world.tick(60);
    assert_eq!(run(watcher, pass).await.status, PassStatus::Complete);
    let sights = world.store.take_sights();
    sights.iter().flat_map(|(_, drafts)| drafts).map(|draft| draft.event_type).collect()
}

#[tokio::test]
async fn events_of_every_transition_fit_the_schemas_of_their_types() {
    let mut world = World::new();
    world.settings.dates.will_expire = vec![30];
    // So that everything is fetched by id: what an answer leaves out is null, and it tells of the document.
    world.source.drop_status_from_rows();
    let watcher = world.settled().await;
    let mut told = BTreeSet::new();
    // They are new, and none of them belongs to the baseline.
    let created_at = json!(world.now().to_string());
    let dated = |mut object: Value| {
        if object["created_at"].is_string() {
            object["created_at"] = created_at.clone();
        }
        object
    };
    for (kind, before, _) in histories() {
        world.put(kind, dated(before));
    }
    told.extend(look(&world, &watcher, PassKind::Sweep).await);
    for (kind, _, after) in histories() {
        let mut after = dated(after);
        after["updated_at"] = json!(world.now().to_string());
        world.put(kind, after);
    }
    told.extend(look(&world, &watcher, PassKind::Sweep).await);
    world.tick(20 * 86_400);
    told.extend(look(&world, &watcher, PassKind::Deadline).await);
    let gone = [(CERTIFICATE, "cert_0"), (REQUEST, "cert_req_0")];
    let of_kind = |kind| world.source.edit(|book| book.all(kind));
    let former: Vec<Value> =
        gone.iter().filter_map(|(kind, id)| of_kind(*kind).into_iter().find(|object| object["id"] == *id)).collect();
    gone.iter().for_each(|(kind, id)| world.remove(*kind, id));
    told.extend(look(&world, &watcher, PassKind::Sweep).await);
    gone.iter().zip(former).for_each(|((kind, _), object)| world.put(*kind, object));
    told.extend(look(&world, &watcher, PassKind::Sweep).await);
    let is_detected = |event_type: &&EventType| event_type.is_about_a_resource() && !NOT_DETECTED.contains(event_type);
    let missing: Vec<_> = EventType::ALL.iter().filter(is_detected).filter(|known| !told.contains(known)).collect();
    assert!(missing.is_empty(), "{missing:?} were not told");
}
