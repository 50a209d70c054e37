//! What no list shows any more: when it is removed, and when it is not.

use certhook::model::event::{Cause, Mode};
use certhook::model::resource::{Removal, RemovalReason};
use certhook::model::source::SourceState;
use certhook::source::{Selection, SourceError};

use super::*;

/// Twenty-five certificates and a request, known.
pub(super) async fn stocked(world: &World) -> Arc<Watcher> {
    for number in 0..25 {
        world.put(CERTIFICATE, certificate(&format!("cert_{number:02}"), "active"));
    }
    world.put(REQUEST, request("cert_req_1", "fulfilled"));
    world.put(REQUEST, request("cert_req_2", "pending"));
    world.settled().await
}

pub(super) fn archive(world: &World, id: &str) {
    world.source.edit(|book| book.archive(id));
}

pub(super) fn unavailable() -> SourceError {
    SourceError::Unavailable("503".into())
}

pub(super) fn refused() -> SourceError {
    SourceError::Refused { status: 400, kind: "INVALID_REQUEST".into(), message: "no".into() }
}

pub(super) fn removal(world: &World, kind: Kind, id: &str) -> Option<Removal> {
    world.store.snapshot(kind, id).expect("it was known").removed
}

/// Takes a row out of the sight of the sweep that is about to begin: it moves to the front when the first page was
/// read.
fn slip_past(world: &World, id: &'static str) {
    world.source.after_page((CERTIFICATE, 1), move |book| book.move_to_front(CERTIFICATE, id));
}

#[tokio::test]
async fn what_upstream_does_not_know_any_more_is_removed_as_not_found() {
    for (kind, id, event) in [
        (CERTIFICATE, "cert_07", "cert_07 certificate.removed"),
        (REQUEST, "cert_req_1", "cert_req_1 certificate_request.removed"),
        (REQUEST, "cert_req_2", "cert_req_2 certificate_request.removed"),
    ] {
        let world = World::new();
        let began = world.now();
        let watcher = stocked(&world).await;
        world.remove(kind, id);
        let report = run(&watcher, PassKind::Sweep).await;
        assert_eq!((report.status, report.changed, report.found_late), (PassStatus::Complete, 1, 0));
        assert_eq!(world.source.take_gets(), [id]);
        let sights = world.store.take_sights();
        assert_eq!((sights.len(), sights[0].1.len()), (1, 1));
        let (sight, drafts) = &sights[0];
        assert_eq!(format!("{id} {}", drafts[0].event_type), event);
        assert_eq!(drafts[0].details.text(), r#"{"reason":"not_found"}"#);
        assert_eq!(sight.previous_attributes.text(), "{}");
        let detection = &sight.detection;
        assert_eq!((detection.mode, detection.pass, detection.object_version), (Mode::Live, Some(Cause::Sweep), 1));
        assert_eq!((detection.observed_after, detection.observed_before), (Some(began), world.now()));
        let tombstone = world.store.snapshot(kind, id).expect("its version lives on");
        assert_eq!(tombstone.removed, Some(Removal { reason: RemovalReason::NotFound, at: world.now() }));
        assert_eq!((tombstone.object_version, tombstone.open_list), (1, None));
        run(&watcher, PassKind::Sweep).await;
        assert_eq!((world.told(), world.source.take_gets()), (Vec::new(), Vec::new()), "once, and it is not asked for");
    }
}

#[tokio::test]
async fn what_answers_to_its_id_and_is_not_listed_with_what_was_created_with_it_is_removed_as_unlisted() {
    let world = World::new();
    let watcher = stocked(&world).await;
    archive(&world, "cert_07");
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    assert_eq!(world.source.take_gets(), ["cert_07"]);
    let created_at: Timestamp = "2026-01-02T10:15:23Z".parse().expect("an instant");
    let second = Duration::from_secs(1);
    let around = Selection::CreatedBetween(created_at.minus(second), created_at.plus(second));
    assert_eq!(world.source.take_selections(), [Selection::Everything, Selection::Everything, around]);
    let sights = world.store.take_sights();
    assert_eq!((sights.len(), sights[0].1[0].details.text()), (1, r#"{"reason":"unlisted"}"#));
    assert_eq!(removal(&world, CERTIFICATE, "cert_07").expect("removed").reason, RemovalReason::Unlisted);
}

#[tokio::test]
async fn what_the_answer_by_id_has_to_tell_comes_before_the_removal() {
    let world = World::new();
    let watcher = stocked(&world).await;
    world.set_status(CERTIFICATE, "cert_07", "invalid");
    archive(&world, "cert_07");
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.told(), ["cert_07 certificate.invalid", "cert_07 certificate.removed"]);
}

#[tokio::test]
async fn one_that_is_listed_after_all_drops_every_removal_of_its_sweep() {
    // Those that are gone come before and after it in the order in which they are asked for.
    for slipped in ["cert_24", "cert_20"] {
        let world = World::new();
        let watcher = stocked(&world).await;
        let swept_at = world.store.only_progress().swept_at;
        world.remove(CERTIFICATE, "cert_03");
        archive(&world, "cert_21");
        slip_past(&world, slipped);
        let report = run(&watcher, PassKind::Sweep).await;
        assert_eq!((report.status, report.changed), (PassStatus::Incomplete, 0));
        let error = format!("the sweep did not show certificate {slipped}, which is listed");
        assert_eq!(report.error.as_deref(), Some(error.as_str()));
        assert_eq!(world.told(), [""; 0]);
        assert_eq!(world.store.only_progress().swept_at, swept_at);
        assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
        assert_eq!(world.told(), ["cert_03 certificate.removed", "cert_21 certificate.removed"]);
    }
}

/// Breaks what would confirm that `cert_07` is gone.
type Break = fn(&World);

#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_is_left_as_it_is_and_the_next_sweep_tries_again() {
    use PassStatus::{Complete, Incomplete};
    let breaks: [(&str, PassStatus, Break); 7] = [
        ("no answer", Incomplete, |world| (0..6).for_each(|_| world.source.break_get("cert_07", unavailable()))),
        ("a refused call", Incomplete, |world| world.source.break_get("cert_07", refused())),
        ("an answer that cannot be used", Complete, |world| {
            world.source.edit(|book| book.change(CERTIFICATE, "cert_07", |object| object["trap"] = json!("malformed")));
        }),
        ("an answer without the instant", Complete, |world| {
            world.source.edit(|book| book.change(CERTIFICATE, "cert_07", |object| object["created_at"] = Value::Null));
        }),
        ("a list that is refused", Incomplete, |world| world.source.break_creations(Fault::Error(refused()))),
        ("a list that breaks off", Incomplete, |world| world.source.break_creations(Fault::NoCursor)),
        ("a list that is not answered", Incomplete, |world| {
            (0..6).for_each(|_| world.source.break_creations(Fault::Error(unavailable())));
        }),
    ];
    for (what, status, break_it) in breaks {
        let world = World::new();
        let watcher = stocked(&world).await;
        let swept_at = world.store.only_progress().swept_at;
        world.remove(CERTIFICATE, "cert_03");
        archive(&world, "cert_07");
        break_it(&world);
        assert_eq!(run(&watcher, PassKind::Sweep).await.status, status, "{what}");
        assert_eq!(removal(&world, CERTIFICATE, "cert_07"), None, "{what}");
        assert_eq!(world.store.only_progress().swept_at != swept_at, status == Complete, "{what}");
        assert!(world.told().contains(&"cert_03 certificate.removed".to_owned()), "{what}: the others are told");
        world.put(CERTIFICATE, certificate("cert_07", "active"));
        world.source.forget_faults();
        assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete, "{what}");
        assert_eq!(removal(&world, CERTIFICATE, "cert_07").map(|gone| gone.reason), Some(RemovalReason::Unlisted));
    }
}

#[tokio::test]
async fn an_incomplete_sweep_removes_nothing() {
    for (place, fault) in [
        ((CERTIFICATE, 2), Fault::NoCursor),
        ((CERTIFICATE, 3), Fault::Error(refused())),
        ((REQUEST, 1), Fault::NoCursor),
        ((REQUEST, 1), Fault::Error(refused())),
    ] {
        let world = World::new();
        let watcher = stocked(&world).await;
        world.remove(CERTIFICATE, "cert_07");
        world.source.break_page(place, fault);
        assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Incomplete);
        assert_eq!(world.told(), [""; 0], "{place:?}");
        assert_eq!(world.source.take_gets(), [""; 0], "nobody is even asked for");
    }
}

#[tokio::test]
async fn a_sweep_in_which_a_fetch_was_not_answered_removes_nothing() {
    let world = World::new();
    world.source.drop_status_from_rows();
    let watcher = stocked(&world).await;
    world.remove(CERTIFICATE, "cert_07");
    world.set_status(CERTIFICATE, "cert_08", "expired");
    world.source.break_get("cert_08", refused());
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Incomplete);
    assert_eq!((world.told(), world.source.take_gets()), (Vec::new(), vec!["cert_08".to_owned()]));
}

#[tokio::test]
async fn a_sweep_that_a_restart_interrupts_removes_nothing_and_the_next_process_begins_anew() {
    let world = World::new();
    let watcher = stocked(&world).await;
    world.remove(CERTIFICATE, "cert_07");
    let stop = CancellationToken::new();
    let kill = stop.clone();
    world.source.after_page((CERTIFICATE, 2), move |_| kill.cancel());
    assert_eq!(watcher.pass(PassKind::Sweep, &stop).await.status, PassStatus::Incomplete);
    drop(watcher);
    let watcher = world.watcher().await;
    assert_eq!(world.told(), [""; 0]);
    // The second process breaks off while it asks for what is gone.
    let late = world.source.delay_get("cert_07");
    let stop = CancellationToken::new();
    let kill = async {
        late.rendered.notified().await;
        stop.cancel();
    };
    let (report, ()) = tokio::join!(watcher.pass(PassKind::Sweep, &stop), kill);
    assert_eq!((report.status, world.told()), (PassStatus::Incomplete, Vec::new()));
    let watcher = world.watcher().await;
    let report = run(&watcher, PassKind::Sweep).await;
    assert_eq!((report.status, report.seen), (PassStatus::Complete, 26), "from the first page on");
    assert_eq!(world.told(), ["cert_07 certificate.removed"]);
}

#[tokio::test]
async fn what_another_pass_saw_since_the_sweep_began_is_not_asked_for() {
    let world = World::new();
    let watcher = stocked(&world).await;
    slip_past(&world, "cert_24");
    let late = world.source.delay_page((CERTIFICATE, 3));
    let meanwhile = async {
        late.rendered.notified().await;
        world.set_status(CERTIFICATE, "cert_24", "expired");
        run(&watcher, PassKind::Changes).await;
        late.released.notify_one();
    };
    let (report, ()) = tokio::join!(run(&watcher, PassKind::Sweep), meanwhile);
    assert_eq!(report.status, PassStatus::Complete);
    assert_eq!(world.told(), ["cert_24 certificate.expired"]);
    assert_eq!(world.source.take_gets(), [""; 0]);
}

#[tokio::test]
async fn an_answer_by_id_exempts_nothing_that_no_list_shows() {
    let world = World::new();
    let watcher = stocked(&world).await;
    archive(&world, "cert_req_2");
    world.tick(60 * 86_400);
    archive(&world, "cert_24");
    // However long a sweep takes, an open pass and one that looks at dates run meanwhile.
    let late = world.source.delay_page((CERTIFICATE, 2));
    let meanwhile = async {
        late.rendered.notified().await;
        run(&watcher, PassKind::Open).await;
        run(&watcher, PassKind::Deadline).await;
        late.released.notify_one();
    };
    let (report, ()) = tokio::join!(run(&watcher, PassKind::Sweep), meanwhile);
    assert_eq!(report.status, PassStatus::Complete);
    assert_eq!(world.told(), ["cert_24 certificate.removed", "cert_req_2 certificate_request.removed"]);
}

#[tokio::test]
async fn what_is_seen_between_its_confirmation_and_its_removal_is_spared() {
    let world = World::new();
    let watcher = stocked(&world).await;
    world.remove(CERTIFICATE, "cert_03");
    world.remove(CERTIFICATE, "cert_07");
    // The answer about the second comes when a list shows the first, which did not answer to its id, once more.
    let late = world.source.delay_get("cert_07");
    let meanwhile = async {
        late.rendered.notified().await;
        world.put(CERTIFICATE, certificate("cert_03", "active"));
        world.set_status(CERTIFICATE, "cert_03", "expired");
        run(&watcher, PassKind::Changes).await;
        late.released.notify_one();
    };
    let (report, ()) = tokio::join!(run(&watcher, PassKind::Sweep), meanwhile);
    assert_eq!(report.status, PassStatus::Complete);
    assert_eq!(world.told(), ["cert_03 certificate.expired", "cert_07 certificate.removed"]);
}

#[tokio::test]
async fn an_item_that_cannot_be_used_shields_its_id() {
    for trap in ["malformed", "unreadable"] {
        let world = World::new();
        let watcher = stocked(&world).await;
        world.source.edit(|book| book.change(CERTIFICATE, "cert_07", |object| object["trap"] = json!(trap)));
        assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
        assert_eq!((world.told(), world.source.take_gets()), (Vec::new(), Vec::new()), "{trap}");
    }
}

#[tokio::test]
async fn an_item_without_an_id_may_be_what_is_missing() {
    let world = World::new();
    let watcher = stocked(&world).await;
    world.remove(CERTIFICATE, "cert_03");
    world.source.edit(|book| book.change(CERTIFICATE, "cert_07", |object| object["trap"] = json!("anonymous")));
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    assert_eq!(world.told(), ["cert_03 certificate.removed"], "of the other, upstream does not know the id");
    assert_eq!(removal(&world, CERTIFICATE, "cert_07"), None);
}

#[tokio::test]
async fn what_the_store_refuses_for_its_size_is_not_absent() {
    let world = World::new();
    let watcher = stocked(&world).await;
    world.set_status(CERTIFICATE, "cert_07", "expired");
    world.store.refuse("cert_07");
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    assert_eq!((world.told(), world.source.take_gets()), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn a_sweep_removes_at_most_1_000_and_the_next_goes_on() {
    let mut world = World::new();
    world.settings.removal_guard = RemovalGuard { count: u64::MAX, share: 1.0 };
    world.source.set_page_size(100);
    for number in 0..1_100 {
        world.put(CERTIFICATE, certificate(&format!("cert_{number:04}"), "active"));
    }
    let watcher = world.settled().await;
    for number in 0..1_001 {
        world.remove(CERTIFICATE, &format!("cert_{number:04}"));
    }
    for (removed, what) in [(1_000, "as many as may"), (1, "the last"), (0, "none is left")] {
        world.store.take_commits();
        let report = run(&watcher, PassKind::Sweep).await;
        assert_eq!(
            (report.status, report.changed, world.told().len()),
            (PassStatus::Complete, removed, removed as usize)
        );
        assert_eq!(world.source.take_gets().len(), removed as usize, "{what}");
        assert!(
            world.store.take_commits() <= 12,
            "they are committed by the hundred, and who is left is noted at once"
        );
    }
}

#[tokio::test]
async fn a_key_that_is_refused_while_what_is_gone_is_asked_for_ends_the_sweep() {
    let world = World::new();
    let watcher = stocked(&world).await;
    world.remove(CERTIFICATE, "cert_03");
    world.remove(CERTIFICATE, "cert_07");
    let error = SourceError::Unauthorized { status: 401, kind: "UNAUTHORIZED".into(), message: "no".into() };
    world.source.break_get("cert_07", error);
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Incomplete);
    assert_eq!(watcher.status().status, SourceState::Unauthorized);
    assert_eq!(world.told(), ["numeral gateway.source_failing"], "and removes nothing");
    run(&watcher, PassKind::Sweep).await;
    assert!(removal(&world, CERTIFICATE, "cert_03").is_some());
}
