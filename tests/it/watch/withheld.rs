//! Absences that are too many to be believed, and what somebody decides about them.

use certhook::model::resource::{Absence, AbsenceState, ResourceId};
use certhook::model::source::RemovalDecision;
use certhook::source::SourceError;
use certhook::watch::Undecided;

use super::*;

mod keeping;

const WITHHELD: [&str; 1] = ["numeral gateway.removals_withheld"];

fn name(kind: Kind, number: u64) -> String {
    match kind {
        Kind::Certificate => format!("cert_{number:03}"),
        Kind::CertificateRequest => format!("cert_req_{number:03}"),
    }
}

fn put(world: &World, kind: Kind, number: u64) {
    let object = match kind {
        Kind::Certificate => certificate(&name(kind, number), "active"),
        Kind::CertificateRequest => request(&name(kind, number), "fulfilled"),
    };
    world.put(kind, object);
}

/// So many certificates and requests, known.
async fn stocked(world: &World, counts: [u64; 2]) -> Arc<Watcher> {
    world.source.set_page_size(100);
    for (kind, count) in Kind::ALL.into_iter().zip(counts) {
        (0..count).for_each(|number| put(world, kind, number));
    }
    world.settled().await
}

/// A hundred certificates, of which the first twelve are gone, and a sweep that has withheld that.
async fn withheld(world: &World) -> Arc<Watcher> {
    let watcher = stocked(world, [100, 0]).await;
    lose(world, CERTIFICATE, 12);
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    assert_eq!(world.told(), WITHHELD);
    watcher
}

fn lose(world: &World, kind: Kind, count: u64) {
    (0..count).for_each(|number| world.remove(kind, &name(kind, number)));
}

fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<ResourceId> {
    numbers.into_iter().map(|number| name(CERTIFICATE, number).parse().expect("an id")).collect()
}

async fn entries(watcher: &Watcher) -> Vec<Absence> {
    watcher.absences(None, 1_000).await.expect("the store can be read")
}

/// The ids of the absent resources that stand so.
async fn in_state(watcher: &Watcher, state: AbsenceState) -> Vec<ResourceId> {
    entries(watcher).await.into_iter().filter(|absence| absence.state == state).map(|absence| absence.key.id).collect()
}

fn removed(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("{} certificate.removed", name(CERTIFICATE, number))).collect()
}

async fn decide(watcher: &Watcher, decision: RemovalDecision, numbers: impl IntoIterator<Item = u64>) -> u64 {
    watcher.decide(decision, Some(&ids(numbers))).await.expect("they are withheld")
}

#[tokio::test]
async fn removals_are_withheld_at_a_count_and_a_share_of_a_kind_or_at_the_whole_of_one() {
    for (all, gone, is_withheld) in [
        ([100, 50], [9, 0], false),
        ([100, 50], [10, 0], true),
        ([101, 50], [10, 0], false),
        ([50, 200], [5, 5], true),
        ([51, 200], [5, 5], false),
        ([200, 50], [5, 4], false),
        ([40, 1], [0, 1], false),
        ([1, 40], [1, 0], false),
        ([2, 40], [2, 0], true),
        ([40, 2], [0, 2], true),
        ([3, 40], [2, 0], false),
    ] {
        let world = World::new();
        let watcher = stocked(&world, all).await;
        let began = world.now();
        Kind::ALL.into_iter().zip(gone).for_each(|(kind, count)| lose(&world, kind, count));
        let report = run(&watcher, PassKind::Sweep).await;
        let count: u64 = gone.iter().sum();
        let what = format!("{gone:?} of {all:?}");
        let entries = entries(&watcher).await;
        if is_withheld {
            assert_eq!((report.status, report.changed), (PassStatus::Complete, 0), "{what}");
            assert_eq!(world.source.take_gets(), [""; 0], "{what}: nobody is asked for");
            let sights = world.store.take_sights();
            assert_eq!((sights.len(), sights[0].1.len()), (1, 1), "{what}");
            let (sight, drafts) = &sights[0];
            assert_eq!(drafts[0].event_type.as_str(), "gateway.removals_withheld");
            let of = |counts: [u64; 2]| json!({"certificate": counts[0], "certificate_request": counts[1]});
            let details = Value::Object(drafts[0].details.fields());
            assert_eq!(details, json!({"absent": of(gone), "total": of(all)}), "{what}");
            assert_eq!(sight.object.fields()["name"], "numeral");
            assert_eq!(entries.len() as u64, count, "{what}");
            let is_so = |entry: &Absence| entry.state == AbsenceState::Withheld && entry.since == began;
            assert!(entries.iter().all(is_so), "{what}: {entries:?}");
        } else {
            assert_eq!((report.changed, world.told().len() as u64), (count, count), "{what}");
            assert_eq!(entries, [], "{what}");
        }
    }
}

#[tokio::test]
async fn what_is_withheld_is_told_once_and_again_when_there_is_more_of_it() {
    let world = World::new();
    let watcher = withheld(&world).await;
    let since = entries(&watcher).await[0].since;
    for what in ["in this process", "in the next"] {
        world.tick(86_400);
        let watcher = world.watcher().await;
        run(&watcher, PassKind::Sweep).await;
        run(&watcher, PassKind::Sweep).await;
        assert_eq!(world.told(), [""; 0], "{what}");
    }
    world.remove(CERTIFICATE, &name(CERTIFICATE, 50));
    let watcher = world.watcher().await;
    run(&watcher, PassKind::Sweep).await;
    let sights = world.store.take_sights();
    assert_eq!((sights.len(), &sights[0].1[0].details.fields()["absent"]["certificate"]), (1, &json!(13)));
    let entries = entries(&watcher).await;
    assert_eq!((entries.len(), entries[0].since), (13, since), "each since its own first sweep");
    assert_eq!(entries[12].since, world.now());
    assert_eq!(world.source.take_gets(), [""; 0]);
}

#[tokio::test]
async fn what_a_list_shows_again_is_withheld_no_longer() {
    for pass in [PassKind::Changes, PassKind::Sweep] {
        let world = World::new();
        let watcher = withheld(&world).await;
        for number in 0..12 {
            put(&world, CERTIFICATE, number);
            world.source.edit(|book| {
                let now = world.now().to_string();
                book.change(CERTIFICATE, &name(CERTIFICATE, number), |object| object["updated_at"] = json!(now));
            });
        }
        run(&watcher, pass).await;
        run(&watcher, PassKind::Sweep).await;
        assert_eq!((entries(&watcher).await, world.told()), (Vec::new(), Vec::new()), "{pass:?}");
        lose(&world, CERTIFICATE, 12);
        run(&watcher, PassKind::Sweep).await;
        assert_eq!(world.told(), WITHHELD, "{pass:?}: and told anew when it is gone anew");
    }
}

#[tokio::test]
async fn a_confirmed_removal_is_asked_for_by_id_first_and_the_guard_does_not_count_it() {
    let world = World::new();
    let watcher = withheld(&world).await;
    // One of them only hides, and one is listed once more.
    put(&world, CERTIFICATE, 3);
    world.source.edit(|book| book.archive("cert_003"));
    put(&world, CERTIFICATE, 4);
    assert_eq!(watcher.decide(RemovalDecision::Confirm, None).await.expect("decided"), 12);
    assert_eq!(world.told(), [""; 0], "nothing is removed without a look");
    assert_eq!(run(&watcher, PassKind::Deadline).await.status, PassStatus::Complete);
    assert_eq!(world.source.take_gets().len(), 12);
    let reasons: Vec<(String, String)> = world
        .store
        .take_sights()
        .iter()
        .map(|(sight, drafts)| {
            let id = sight.object.fields()["id"].as_str().expect("an id").to_owned();
            (id, drafts[0].details.fields()["reason"].as_str().expect("a reason").to_owned())
        })
        .collect();
    let reason = |number| if number == 3 { "unlisted" } else { "not_found" };
    let expected = (0..12).filter(|number| *number != 4);
    assert_eq!(reasons, expected.map(|number| (name(CERTIFICATE, number), reason(number).into())).collect::<Vec<_>>());
    assert_eq!(entries(&watcher).await, []);
    run(&watcher, PassKind::Deadline).await;
    run(&watcher, PassKind::Sweep).await;
    assert_eq!((world.told(), world.source.take_gets()), (Vec::new(), Vec::new()), "it is done with");
}

#[tokio::test]
async fn a_sweep_that_did_not_show_a_resource_is_no_sight_of_it() {
    let world = World::new();
    let last_seen = world.now();
    let watcher = withheld(&world).await;
    for _ in 0..3 {
        world.tick(86_400);
        assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    }
    let last_swept = world.now();
    world.tick(60);
    // One of those that are withheld is back with another status, as is one that the sweeps have shown.
    put(&world, CERTIFICATE, 5);
    world.set_status(CERTIFICATE, &name(CERTIFICATE, 5), "expired");
    world.set_status(CERTIFICATE, &name(CERTIFICATE, 50), "expired");
    run(&watcher, PassKind::Changes).await;
    decide(&watcher, RemovalDecision::Confirm, [2]).await;
    run(&watcher, PassKind::Deadline).await;
    let observed: Vec<(String, Option<Timestamp>)> = world
        .store
        .take_sights()
        .iter()
        .map(|(sight, _)| (sight.object.fields()["id"].as_str().expect("an id").into(), sight.detection.observed_after))
        .collect();
    let expected = [(50, last_swept), (5, last_seen), (2, last_seen)];
    assert_eq!(observed, expected.map(|(number, after)| (name(CERTIFICATE, number), Some(after))));
}

#[tokio::test]
async fn a_decision_survives_a_restart() {
    let world = World::new();
    let watcher = withheld(&world).await;
    decide(&watcher, RemovalDecision::Confirm, [2, 7]).await;
    drop(watcher);
    let watcher = world.watcher().await;
    run(&watcher, PassKind::Deadline).await;
    assert_eq!(world.told(), removed([2, 7]));
    assert_eq!(in_state(&watcher, AbsenceState::Withheld).await.len(), 10);
}

#[tokio::test]
async fn a_confirmed_removal_that_cannot_be_told_is_tried_again() {
    let world = World::new();
    let watcher = withheld(&world).await;
    decide(&watcher, RemovalDecision::Confirm, [2, 7]).await;
    let refused = SourceError::Refused { status: 400, kind: "INVALID_REQUEST".into(), message: "no".into() };
    world.source.break_get(&name(CERTIFICATE, 2), refused);
    run(&watcher, PassKind::Deadline).await;
    assert_eq!(world.told(), removed([7]));
    assert_eq!(in_state(&watcher, AbsenceState::Confirmed).await, ids([2]));
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.told(), [""; 0], "the sweep leaves it to who carries decisions out");
    run(&watcher, PassKind::Deadline).await;
    assert_eq!(world.told(), removed([2]));
}

#[tokio::test]
async fn a_decision_can_be_taken_back_until_it_is_carried_out() {
    let world = World::new();
    let watcher = withheld(&world).await;
    decide(&watcher, RemovalDecision::Confirm, 0..12).await;
    decide(&watcher, RemovalDecision::Keep, [3]).await;
    run(&watcher, PassKind::Deadline).await;
    assert_eq!(world.told(), removed((0..12).filter(|number| *number != 3)));
    assert_eq!(in_state(&watcher, AbsenceState::Kept).await, ids([3]));
    decide(&watcher, RemovalDecision::Confirm, [3]).await;
    run(&watcher, PassKind::Deadline).await;
    assert_eq!(world.told(), removed([3]));
}

#[tokio::test]
async fn ids_that_are_not_withheld_cannot_be_decided_on_and_then_none_is() {
    let world = World::new();
    let watcher = withheld(&world).await;
    for decision in [RemovalDecision::Confirm, RemovalDecision::Keep] {
        let wanted: Vec<ResourceId> = ids([0, 50]).into_iter().chain(["cert_x".parse().expect("an id")]).collect();
        match watcher.decide(decision, Some(&wanted)).await {
            Err(Undecided::NotWithheld(unknown)) => assert_eq!(unknown, wanted[1..]),
            other => panic!("{other:?}"),
        }
        assert_eq!(in_state(&watcher, AbsenceState::Withheld).await.len(), 12);
    }
    assert_eq!(decide(&watcher, RemovalDecision::Keep, []).await, 0);
    assert_eq!(decide(&watcher, RemovalDecision::Keep, [1, 1]).await, 1, "one removal, however often it is named");
    assert_eq!(watcher.decide(RemovalDecision::Keep, None).await.expect("decided"), 11, "the others");
    assert_eq!(watcher.decide(RemovalDecision::Confirm, None).await.expect("decided"), 0, "none is left");
}

#[tokio::test]
async fn what_is_withheld_waits_for_a_decision_even_when_it_is_not_too_much_any_more() {
    let world = World::new();
    let watcher = withheld(&world).await;
    decide(&watcher, RemovalDecision::Keep, 0..5).await;
    run(&watcher, PassKind::Sweep).await;
    assert_eq!((world.told(), world.source.take_gets()), (Vec::new(), Vec::new()), "seven of a hundred are left");
    assert_eq!(in_state(&watcher, AbsenceState::Withheld).await, ids(5..12));
    world.remove(CERTIFICATE, &name(CERTIFICATE, 50));
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.told(), removed([50]), "what is new is dealt with as ever");
    assert_eq!(in_state(&watcher, AbsenceState::Withheld).await, ids(5..12));
}

#[tokio::test]
async fn a_listing_that_ends_early_and_says_that_it_is_complete_removes_nothing() {
    // Cut after the first page, most is missing; cut after the second to last, a few are.
    for (page, told) in [(1, &WITHHELD[..]), (11, &[][..])] {
        let world = World::new();
        world.source.set_page_size(10);
        for number in 0..115 {
            put(&world, CERTIFICATE, number);
        }
        let watcher = world.settled().await;
        world.source.break_page((CERTIFICATE, page), Fault::Truncated);
        let report = run(&watcher, PassKind::Sweep).await;
        assert_eq!(world.told(), told, "page {page}");
        let status = if told.is_empty() { PassStatus::Incomplete } else { PassStatus::Complete };
        assert_eq!((report.status, report.changed), (status, 0), "page {page}");
        assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
        assert_eq!((world.told(), entries(&watcher).await), (Vec::new(), Vec::new()));
    }
}

#[tokio::test]
async fn what_is_withheld_may_be_cut_off_by_a_restart_and_is_told_by_the_next_sweep() {
    let world = World::new();
    let watcher = stocked(&world, [30, 0]).await;
    lose(&world, CERTIFICATE, 30);
    world.store.close_after(1);
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Incomplete);
    assert_eq!(entries(&watcher).await.len(), 29, "all but the one that carries the event");
    world.store.reopen();
    let watcher = world.watcher().await;
    run(&watcher, PassKind::Sweep).await;
    assert_eq!((world.told(), entries(&watcher).await.len()), (WITHHELD.map(String::from).to_vec(), 30));
}
