//! What the gateway says about a source: that it fails and recovers, and what upstream has changed about its objects.

use certhook::model::event::{EventDraft, Sight};
use certhook::model::source::SourceState;
use certhook::source::SourceError;

use super::*;

const FAILING: [&str; 1] = ["numeral gateway.source_failing"];
const RECOVERED: [&str; 1] = ["numeral gateway.source_recovered"];

fn unauthorized() -> SourceError {
    SourceError::Unauthorized { status: 401, kind: "UNAUTHORIZED".into(), message: "no".into() }
}

/// Runs a pass that does not end well.
async fn fail(world: &World, watcher: &Watcher, pass: PassKind) {
    world.source.break_page((REQUEST, 1), Fault::NoCursor);
    world.tick(30);
    assert_eq!(run(watcher, pass).await.status, PassStatus::Incomplete);
}

async fn succeed(world: &World, watcher: &Watcher, pass: PassKind) {
    world.tick(30);
    assert_eq!(run(watcher, pass).await.status, PassStatus::Complete);
}

/// The only event that was told since the last look.
fn only(world: &World) -> (Sight, EventDraft) {
    let mut sights = world.store.take_sights();
    assert_eq!(sights.len(), 1, "{sights:?}");
    let (sight, mut drafts) = sights.remove(0);
    assert_eq!(drafts.len(), 1);
    (sight, drafts.remove(0))
}

#[tokio::test]
async fn three_passes_in_a_row_that_do_not_end_well_are_told_once_and_the_next_good_one_is_told_once() {
    use PassKind::{Changes, Open, Sweep};
    for passes in [[Changes, Changes, Changes], [Open, Open, Open], [Sweep, Changes, Open]] {
        let world = World::new();
        let watcher = world.settled().await;
        fail(&world, &watcher, passes[0]).await;
        fail(&world, &watcher, passes[1]).await;
        assert_eq!(world.told(), [""; 0], "{passes:?}");
        assert_eq!(watcher.status().status, SourceState::Failing);
        fail(&world, &watcher, passes[2]).await;
        let since = world.now();
        let (sight, draft) = only(&world);
        assert_eq!(draft.event_type.as_str(), "gateway.source_failing");
        let details = draft.details.fields();
        assert_eq!(details["failed_passes"], 3);
        assert!(details["error"].as_str().expect("a reason").contains("has_more"), "{details:?}");
        let object = sight.object.fields();
        assert_eq!(
            (&object["object"], &object["name"], &object["status"]),
            (&json!("source"), &json!("numeral"), &json!("failing"))
        );
        fail(&world, &watcher, passes[0]).await;
        assert_eq!(world.told(), [""; 0], "{passes:?}: once");
        succeed(&world, &watcher, passes[1]).await;
        let (sight, draft) = only(&world);
        assert_eq!(draft.event_type.as_str(), "gateway.source_recovered");
        assert_eq!(draft.details.fields()["failing_since"], json!(since));
        assert_eq!(sight.object.fields()["status"], "healthy");
        succeed(&world, &watcher, passes[2]).await;
        assert_eq!(world.told(), [""; 0], "{passes:?}: once");
    }
}

#[tokio::test]
async fn passes_that_fail_now_and_then_are_not_told() {
    let world = World::new();
    let watcher = world.settled().await;
    for _ in 0..3 {
        fail(&world, &watcher, PassKind::Changes).await;
        fail(&world, &watcher, PassKind::Open).await;
        succeed(&world, &watcher, PassKind::Changes).await;
    }
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn a_key_that_is_refused_is_told_at_once_and_once() {
    let world = World::new();
    let watcher = world.settled().await;
    world.source.break_always(Some(unauthorized()));
    for _ in 0..4 {
        assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Failed);
        assert_eq!(watcher.status().status, SourceState::Unauthorized);
    }
    let (sight, draft) = only(&world);
    assert_eq!(draft.details.fields()["failed_passes"], 1);
    assert_eq!(sight.object.fields()["status"], "unauthorized");
    world.source.break_always(None);
    succeed(&world, &watcher, PassKind::Changes).await;
    assert_eq!(world.told(), RECOVERED);
}

#[tokio::test]
async fn a_key_that_is_refused_while_the_source_fails_anyway_is_not_told_again() {
    let world = World::new();
    let watcher = world.settled().await;
    for _ in 0..3 {
        fail(&world, &watcher, PassKind::Changes).await;
    }
    assert_eq!(world.told(), FAILING);
    world.source.break_always(Some(unauthorized()));
    run(&watcher, PassKind::Changes).await;
    assert_eq!((world.told(), watcher.status().status), (Vec::new(), SourceState::Unauthorized));
}

#[tokio::test]
async fn a_restart_tells_neither_again() {
    let world = World::new();
    world.settled().await;
    world.source.break_always(Some(unauthorized()));
    run(&*world.watcher().await, PassKind::Changes).await;
    assert_eq!(world.told(), FAILING);
    run(&*world.watcher().await, PassKind::Changes).await;
    assert_eq!(world.told(), [""; 0]);
    world.source.break_always(None);
    run(&*world.watcher().await, PassKind::Changes).await;
    assert_eq!(world.told(), RECOVERED);
    run(&*world.watcher().await, PassKind::Changes).await;
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn a_deadline_pass_that_asked_nobody_says_nothing_of_the_source() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    fail(&world, &watcher, PassKind::Changes).await;
    fail(&world, &watcher, PassKind::Changes).await;
    succeed(&world, &watcher, PassKind::Deadline).await;
    assert_eq!(watcher.status().status, SourceState::Failing);
    fail(&world, &watcher, PassKind::Changes).await;
    assert_eq!(world.told(), FAILING, "the third in a row");
    succeed(&world, &watcher, PassKind::Deadline).await;
    assert_eq!(world.told(), [""; 0]);
    // One that was answered does.
    world.tick(60 * 86_400);
    succeed(&world, &watcher, PassKind::Deadline).await;
    assert_eq!((world.told(), world.source.take_gets()), (RECOVERED.map(String::from).to_vec(), vec!["cert_1".into()]));
    assert_eq!(watcher.status().status, SourceState::Healthy);
}

#[tokio::test]
async fn a_pass_that_waits_for_the_baseline_or_is_stopped_is_no_failure() {
    let world = World::new();
    let watcher = world.watcher().await;
    for pass in [PassKind::Changes, PassKind::Open, PassKind::Deadline, PassKind::Changes] {
        assert_eq!(run(&watcher, pass).await.status, PassStatus::Failed);
    }
    let stop = CancellationToken::new();
    stop.cancel();
    for _ in 0..4 {
        assert_eq!(watcher.pass(PassKind::Sweep, &stop).await.status, PassStatus::Incomplete);
    }
    assert_eq!((world.told(), watcher.status().status), (Vec::new(), SourceState::Healthy));
}

#[tokio::test]
async fn a_baseline_that_fails_is_told_like_any_other_pass() {
    let world = World::new();
    let watcher = world.watcher().await;
    for _ in 0..3 {
        fail(&world, &watcher, PassKind::Sweep).await;
    }
    let (sight, draft) = only(&world);
    assert_eq!(draft.event_type.as_str(), "gateway.source_failing");
    assert_eq!(sight.object.fields()["baseline"]["complete"], false);
    succeed(&world, &watcher, PassKind::Sweep).await;
    assert_eq!(world.told(), ["numeral gateway.baseline_completed", "numeral gateway.source_recovered"]);
}

/// Gives resources a field.
fn give(world: &World, kind: Kind, ids: &[&str], field: &str, value: Value) {
    let now = world.now().to_string();
    for id in ids {
        let (value, now) = (value.clone(), now.clone());
        world.source.edit(|book| {
            book.change(kind, id, |object| {
                object[field] = value;
                object["updated_at"] = json!(now);
            });
        });
    }
}

/// Three certificates and a request, known.
async fn stocked(world: &World) -> Arc<Watcher> {
    for id in ["cert_1", "cert_2", "cert_3"] {
        world.put(CERTIFICATE, certificate(id, "active"));
    }
    world.put(REQUEST, request("cert_req_1", "pending"));
    world.settled().await
}

#[tokio::test]
async fn a_field_that_was_never_seen_is_told_once_and_absorbed() {
    for (pass, rows_lack_status) in [(PassKind::Changes, false), (PassKind::Sweep, false), (PassKind::Changes, true)] {
        let world = World::new();
        if rows_lack_status {
            world.source.drop_status_from_rows();
        }
        let watcher = stocked(&world).await;
        give(&world, CERTIFICATE, &["cert_1", "cert_2"], "risk", json!("low"));
        run(&watcher, pass).await;
        let (sight, draft) = only(&world);
        assert_eq!(draft.event_type.as_str(), "gateway.schema_changed");
        assert_eq!(draft.details.text(), r#"{"resource":"certificate","field":"risk"}"#);
        assert_eq!(sight.object.fields()["name"], "numeral");
        for id in ["cert_1", "cert_2"] {
            let known = world.store.snapshot(CERTIFICATE, id).expect("known");
            assert_eq!((known.object_version, &known.object.fields()["risk"]), (0, &json!("low")));
        }
        // The next one to get it is one of many, and so is every one in the next process.
        world.tick(30);
        give(&world, CERTIFICATE, &["cert_3"], "risk", json!("high"));
        let watcher = world.watcher().await;
        run(&watcher, pass).await;
        let told = world.told();
        let expected: &[&str] = if pass == PassKind::Sweep { &["cert_3 certificate.updated"] } else { &[] };
        assert_eq!(told, expected, "a complete sweep has seen it without the field since");
    }
}

#[tokio::test]
async fn a_name_that_is_no_reasonable_one_is_not_noted_and_spoils_nothing() {
    let world = World::new();
    let watcher = stocked(&world).await;
    for name in ["x".repeat(257), "a\nb".to_owned(), "a\"b".to_owned()] {
        world.tick(30);
        give(&world, CERTIFICATE, &["cert_1"], &name, json!(1));
        succeed(&world, &watcher, PassKind::Changes).await;
        assert_eq!(world.told(), ["cert_1 certificate.updated"], "{name:?}");
    }
    world.tick(30);
    give(&world, CERTIFICATE, &["cert_2"], &"x".repeat(256), json!(1));
    succeed(&world, &watcher, PassKind::Changes).await;
    assert_eq!(world.told(), ["numeral gateway.schema_changed"]);
}

#[tokio::test]
async fn a_field_that_was_absorbed_is_watched_like_any_other() {
    let world = World::new();
    let watcher = stocked(&world).await;
    give(&world, CERTIFICATE, &["cert_1"], "risk", json!("low"));
    run(&watcher, PassKind::Changes).await;
    world.told();
    for (value, former) in [(json!("high"), json!({"risk": "low"})), (Value::Null, json!({"risk": "high"}))] {
        world.tick(30);
        give(&world, CERTIFICATE, &["cert_1"], "risk", value);
        run(&watcher, PassKind::Changes).await;
        let (sight, draft) = only(&world);
        assert_eq!(draft.event_type.as_str(), "certificate.updated");
        assert_eq!(Value::Object(sight.previous_attributes.fields()), former);
    }
}

#[tokio::test]
async fn a_field_is_told_once_for_each_kind() {
    let world = World::new();
    let watcher = stocked(&world).await;
    give(&world, CERTIFICATE, &["cert_1"], "risk", json!("low"));
    give(&world, CERTIFICATE, &["cert_1"], "score", json!(1));
    give(&world, REQUEST, &["cert_req_1"], "risk", json!("low"));
    run(&watcher, PassKind::Changes).await;
    let sights = world.store.take_sights();
    let told: Vec<&str> = sights.iter().flat_map(|(_, drafts)| drafts).map(|draft| draft.details.text()).collect();
    assert_eq!(
        told,
        [
            r#"{"resource":"certificate","field":"risk"}"#,
            r#"{"resource":"certificate","field":"score"}"#,
            r#"{"resource":"certificate_request","field":"risk"}"#,
        ]
    );
}

#[tokio::test]
async fn what_changes_beside_a_new_field_is_told() {
    let world = World::new();
    let watcher = stocked(&world).await;
    give(&world, CERTIFICATE, &["cert_1"], "risk", json!("low"));
    world.set_status(CERTIFICATE, "cert_1", "expired");
    run(&watcher, PassKind::Changes).await;
    let sights = world.store.take_sights();
    assert_eq!(sights[0].1[0].event_type.as_str(), "gateway.schema_changed");
    assert_eq!(sights[1].1[0].event_type.as_str(), "certificate.expired");
    assert_eq!(sights[1].0.previous_attributes.text(), r#"{"status":"active"}"#);
}

#[tokio::test]
async fn fields_that_the_baseline_shows_or_the_vendor_documents_are_not_new() {
    let world = World::new();
    let mut unusual = certificate("cert_9", "active");
    unusual["risk"] = json!("low");
    world.put(CERTIFICATE, unusual);
    let watcher = stocked(&world).await;
    give(&world, CERTIFICATE, &["cert_1"], "risk", json!("low"));
    give(&world, CERTIFICATE, &["cert_2"], "effective_date", json!("2026-01-01"));
    run(&watcher, PassKind::Changes).await;
    assert_eq!(world.told(), ["cert_1 certificate.updated", "cert_2 certificate.updated"]);
}

#[tokio::test]
async fn a_field_that_is_not_to_be_watched_tells_nothing() {
    let mut world = World::new();
    world.settings.ignore_fields = vec!["risk".into(), "customer".into()];
    world.store.ignore(&["risk", "customer"]);
    let watcher = stocked(&world).await;
    for value in [json!("low"), json!("high"), Value::Null] {
        world.tick(30);
        give(&world, CERTIFICATE, &["cert_1"], "risk", value.clone());
        give(&world, CERTIFICATE, &["cert_2"], "customer", value);
        run(&watcher, PassKind::Changes).await;
    }
    assert_eq!(world.told(), [""; 0]);
    world.set_status(CERTIFICATE, "cert_1", "expired");
    run(&watcher, PassKind::Changes).await;
    assert_eq!(only(&world).0.previous_attributes.text(), r#"{"status":"active"}"#);
}

#[tokio::test]
async fn a_store_of_an_older_version_is_taken_over_without_a_word() {
    let mut world = World::new();
    world.settings.dates.will_expire = vec![60, 30];
    let mut unusual = certificate("cert_9", "active");
    unusual["risk"] = json!("low");
    world.put(CERTIFICATE, unusual);
    drop(stocked(&world).await);
    world.store.grow_old();
    let watcher = world.watcher().await;
    watcher.plan().await.expect("planned");
    // A field that some of them have is not new, and a list that one of them is in can be left.
    give(&world, CERTIFICATE, &["cert_1"], "risk", json!("low"));
    world.source.edit(|book| book.change(REQUEST, "cert_req_1", |object| object["status"] = json!("invalid")));
    run(&watcher, PassKind::Changes).await;
    run(&watcher, PassKind::Open).await;
    assert_eq!(world.told(), ["cert_1 certificate.updated", "cert_req_1 certificate_request.invalid"]);
    run(&watcher, PassKind::Deadline).await;
    assert_eq!(world.told(), [""; 0], "what is past is skipped");
    world.tick(12 * 86_400);
    run(&watcher, PassKind::Deadline).await;
    assert_eq!(world.told().len(), 4, "and what is to come is told");
}
