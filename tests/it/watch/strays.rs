//! First sights of what was created before the baseline began: a few are new, and too many belong to it.

use certhook::model::event::Mode;
use certhook::model::resource::AbsenceState;
use certhook::source::SourceError;

use super::*;

const ABSORBED: [&str; 1] = ["numeral gateway.baseline_completed"];

fn id(number: u64) -> String {
    format!("cert_{number:03}")
}

/// A certificate that was there before the baseline, and which a `changes` pass lists.
fn stray(world: &World, id: &str) -> Value {
    let mut object = certificate(id, "active");
    object["updated_at"] = json!(world.now().to_string());
    object
}

/// Certificates of these numbers come to light.
fn turn_up(world: &World, numbers: impl IntoIterator<Item = u64>) {
    numbers.into_iter().for_each(|number| world.put(CERTIFICATE, stray(world, &id(number))));
}

/// So many certificates, known.
async fn stocked(world: &World, count: u64) -> Arc<Watcher> {
    world.source.set_page_size(100);
    (0..count).for_each(|number| world.put(CERTIFICATE, certificate(&id(number), "active")));
    world.settled().await
}

fn created(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    let events = ["created", "processing_completed", "active", "jurisdiction.active"];
    numbers.into_iter().flat_map(|number| events.map(|event| format!("{} certificate.{event}", id(number)))).collect()
}

fn version(world: &World, id: &str) -> u64 {
    world.store.snapshot(CERTIFICATE, id).expect("it is known").object_version
}

#[tokio::test]
async fn a_few_are_told_as_new_and_too_many_are_taken_into_the_baseline() {
    let passes = [PassKind::Changes, PassKind::Sweep];
    let cases = [(90, 9, false), (90, 10, true), (91, 10, false), (0, 1, false), (0, 2, true), (1, 2, false)];
    for (pass, (known, new, are_absorbed)) in passes.into_iter().flat_map(|pass| cases.map(|case| (pass, case))) {
        let world = World::new();
        let watcher = stocked(&world, known).await;
        turn_up(&world, known..known + new);
        let report = run(&watcher, pass).await;
        let what = format!("{new} beside {known} by a {pass:?} pass");
        assert_eq!(report.status, PassStatus::Complete, "{what}");
        assert_eq!(world.store.len() as u64, known + new, "{what}");
        if are_absorbed {
            assert_eq!(report.changed, 0, "{what}");
            let sights = world.store.take_sights();
            assert_eq!((sights.len(), sights[0].1[0].event_type.as_str()), (1, "gateway.baseline_completed"), "{what}");
            let object = sights[0].0.object.fields();
            assert_eq!(object["counts"], json!({"certificate": known + new, "certificate_request": 0}), "{what}");
            assert_eq!(object["baseline"], json!({"complete": true, "seen": known + new, "rate": null}), "{what}");
            assert_eq!(watcher.status().baseline.seen, known + new, "{what}");
        } else {
            assert_eq!(report.changed, new, "{what}");
            assert_eq!(world.told(), created(known..known + new), "{what}");
        }
        assert_eq!(version(&world, &id(known)), u64::from(!are_absorbed), "{what}");
        // Either way they are watched from now on.
        world.tick(30);
        world.set_status(CERTIFICATE, &id(known), "expired");
        run(&watcher, pass).await;
        assert_eq!(world.told(), [format!("{} certificate.expired", id(known))], "{what}");
    }
}

#[tokio::test]
async fn what_was_created_after_the_baseline_began_is_new_however_much_it_is() {
    let world = World::new();
    let began = world.now();
    let watcher = stocked(&world, 5).await;
    for number in 5..50 {
        let mut object = stray(&world, &id(number));
        object["created_at"] = json!(began.to_string());
        world.put(CERTIFICATE, object);
    }
    run(&watcher, PassKind::Changes).await;
    assert_eq!(world.told(), created(5..50));
}

/// What was created while upstream's clock showed less than ours is measured by that clock.
#[tokio::test]
async fn the_slower_clock_says_when_the_baseline_began() {
    let world = World::new();
    let began = world.now();
    world.source.set_behind(Duration::from_secs(600));
    let watcher = stocked(&world, 5).await;
    for number in 5..50 {
        let mut object = stray(&world, &id(number));
        object["created_at"] = json!(began.minus(Duration::from_secs(599)).to_string());
        world.put(CERTIFICATE, object);
    }
    run(&watcher, PassKind::Changes).await;
    assert_eq!(world.told(), created(5..50));
}

#[tokio::test]
async fn a_baseline_that_was_cut_short_is_completed_without_a_word() {
    let world = World::new();
    for number in 0..200 {
        world.put(CERTIFICATE, certificate(&id(number), "active"));
    }
    world.source.break_page((CERTIFICATE, 2), Fault::Truncated);
    let watcher = world.settled().await;
    assert_eq!(world.store.len(), 20);
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    assert_eq!((world.told(), world.store.len()), (ABSORBED.map(String::from).to_vec(), 200));
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn the_key_of_another_account_tells_nothing_of_that_account_and_removes_nothing_of_this_one() {
    let world = World::new();
    let watcher = stocked(&world, 30).await;
    (0..30).for_each(|number| world.remove(CERTIFICATE, &id(number)));
    turn_up(&world, 100..130);
    run(&watcher, PassKind::Changes).await;
    assert_eq!(world.told(), ABSORBED);
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.told(), ["numeral gateway.removals_withheld"]);
    let absences = watcher.absences(None, 100).await.expect("the store can be read");
    assert!(absences.len() == 30 && absences.iter().all(|absence| absence.state == AbsenceState::Withheld));
}

#[tokio::test]
async fn strays_of_a_pass_that_breaks_off_are_told() {
    let refused = SourceError::Refused { status: 400, kind: "INVALID_REQUEST".into(), message: "no".into() };
    let unauthorized = SourceError::Unauthorized { status: 401, kind: "UNAUTHORIZED".into(), message: "no".into() };
    let faults = [Fault::NoCursor, Fault::Error(refused), Fault::Error(unauthorized)];
    for (pass, fault) in
        [PassKind::Changes, PassKind::Sweep].into_iter().flat_map(|pass| faults.clone().map(|fault| (pass, fault)))
    {
        let world = World::new();
        let watcher = stocked(&world, 30).await;
        turn_up(&world, 30..33);
        world.source.break_page((REQUEST, 1), fault.clone());
        assert_eq!(run(&watcher, pass).await.status, PassStatus::Incomplete);
        let told = world.told();
        assert_eq!(told[..12], created(30..33), "{pass:?} {fault:?}");
        run(&watcher, pass).await;
        assert!(!world.told().iter().any(|told| told.starts_with("cert_")), "{pass:?} {fault:?}: once");
    }
}

#[tokio::test]
async fn strays_of_a_pass_that_is_stopped_are_told() {
    let world = World::new();
    let watcher = stocked(&world, 30).await;
    turn_up(&world, 30..33);
    let stop = CancellationToken::new();
    let kill = stop.clone();
    world.source.after_page((CERTIFICATE, 1), move |_| kill.cancel());
    assert_eq!(watcher.pass(PassKind::Sweep, &stop).await.status, PassStatus::Incomplete);
    let watcher = world.watcher().await;
    run(&watcher, PassKind::Changes).await;
    assert_eq!(world.told(), created(30..33), "in this process or the next");
}

#[tokio::test]
async fn rows_without_a_status_are_counted_like_any_other() {
    for (new, are_absorbed) in [(9, false), (10, true)] {
        let world = World::new();
        world.source.drop_status_from_rows();
        let watcher = stocked(&world, 90).await;
        turn_up(&world, 90..90 + new);
        assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Complete);
        let expected = if are_absorbed { ABSORBED.map(String::from).to_vec() } else { created(90..90 + new) };
        assert_eq!(world.told(), expected);
        assert_eq!(world.source.take_gets().len() as u64, new, "each is asked for once");
        assert_eq!(world.store.snapshot(CERTIFICATE, "cert_090").expect("known").object.fields()["status"], "active");
    }
}

#[tokio::test]
async fn one_that_two_lists_show_counts_once() {
    let world = World::new();
    let watcher = stocked(&world, 30).await;
    for number in 30..36 {
        let mut object = certificate(&id(number), "processing");
        object["download_url"] = Value::Null;
        world.put(CERTIFICATE, object);
    }
    // All six move from one list to the next between the two.
    world.source.after_page((CERTIFICATE, 1), |book| {
        for number in 30..36 {
            book.change(CERTIFICATE, &id(number), |object| object["status"] = json!("needs_info"));
        }
    });
    assert_eq!(run(&watcher, PassKind::Open).await.status, PassStatus::Complete);
    let told = world.told();
    let firsts = told.iter().filter(|told| told.ends_with("certificate.created")).count();
    assert_eq!((firsts, told.len()), (6, 18), "{told:?}");
}

#[tokio::test]
async fn what_was_held_back_does_not_undo_what_another_pass_saw_meanwhile() {
    let world = World::new();
    let watcher = stocked(&world, 30).await;
    turn_up(&world, [30]);
    let late = world.source.delay_page((REQUEST, 1));
    let meanwhile = async {
        late.rendered.notified().await;
        // Within the same second, so that `updated_at` does not tell which is newer.
        world.set_status(CERTIFICATE, &id(30), "expired");
        run(&watcher, PassKind::Changes).await;
        late.released.notify_one();
    };
    let (report, ()) = tokio::join!(run(&watcher, PassKind::Sweep), meanwhile);
    assert_eq!(report.status, PassStatus::Complete);
    assert_eq!(world.told().last().map(String::as_str), Some("cert_030 certificate.jurisdiction.active"));
    assert_eq!(world.source.take_gets(), [id(30)], "asked which of the two it is");
    let known = world.store.snapshot(CERTIFICATE, &id(30)).expect("known");
    assert_eq!((known.object_version, &known.object.fields()["status"]), (1, &json!("expired")));
}

#[tokio::test]
async fn a_request_that_a_stray_fulfils_comes_after_it() {
    let world = World::new();
    world.put(REQUEST, request("cert_req_1", "pending"));
    world.put(REQUEST, request("cert_req_2", "pending"));
    let watcher = stocked(&world, 30).await;
    // One is listed with the request, and one is not listed at all.
    turn_up(&world, [30, 31]);
    world.source.edit(|book| book.archive(&id(31)));
    for (request, certificate) in [("cert_req_1", id(30)), ("cert_req_2", id(31))] {
        world.set_status(REQUEST, request, "fulfilled");
        world.source.edit(|book| {
            book.change(REQUEST, request, |object| object["certificate_id"] = json!(certificate));
        });
    }
    assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Complete);
    let mut told = world.told();
    let place = |told: &[String], what: &str| told.iter().position(|told| told == what).expect(what);
    for (request, certificate) in [("cert_req_1", 30), ("cert_req_2", 31)] {
        let fulfilled = place(&told, &format!("{request} certificate_request.fulfilled"));
        let first = created([certificate]);
        assert!(first.iter().all(|first| place(&told, first) < fulfilled), "{told:?}");
    }
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 10, "each once");
}

#[tokio::test]
async fn an_emitted_baseline_tells_what_belongs_to_it_and_says_so() {
    let mut world = World::new();
    world.settings.baseline = Baseline::Emit;
    let watcher = stocked(&world, 5).await;
    turn_up(&world, 5..25);
    run(&watcher, PassKind::Changes).await;
    let sights = world.store.take_sights();
    let (last, first) = sights.split_last().expect("they are told");
    assert_eq!(first.len(), 20);
    assert!(first.iter().all(|(sight, _)| sight.detection.mode == Mode::Baseline));
    assert_eq!(last.1[0].event_type.as_str(), "gateway.baseline_completed");
}

#[tokio::test]
async fn strays_that_a_confirmation_shows_are_told() {
    let world = World::new();
    let watcher = stocked(&world, 30).await;
    (0..15).for_each(|number| world.source.edit(|book| book.archive(&id(number))));
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.told(), ["numeral gateway.removals_withheld"]);
    let wanted = [id(0).parse().expect("an id")];
    watcher.decide(certhook::model::source::RemovalDecision::Confirm, Some(&wanted)).await.expect("decided");
    turn_up(&world, [30]);
    run(&watcher, PassKind::Deadline).await;
    let mut expected = created([30]);
    expected.insert(0, "cert_000 certificate.removed".into());
    let mut told = world.told();
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn nothing_is_a_stray_before_the_baseline_is_complete() {
    let world = World::new();
    for number in 0..30 {
        world.put(CERTIFICATE, certificate(&id(number), "active"));
    }
    world.source.break_page((CERTIFICATE, 3), Fault::NoCursor);
    let watcher = world.watcher().await;
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Incomplete);
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    assert_eq!(world.told(), ABSORBED, "the first and only one");
}
