//! The open lists: what the clock or the vendor's people move without a trace in `updated_at`.

use certhook::model::event::Cause;
use certhook::source::{Selection, SourceError};

use super::*;

/// Changes a status, and nothing else.
fn move_silently(world: &World, kind: Kind, id: &str, status: &str) {
    world.source.edit(|book| book.change(kind, id, |object| object["status"] = json!(status)));
}

fn id(number: u64) -> String {
    format!("cert_req_{number:03}")
}

/// So many pending requests, known.
async fn stocked(world: &World, count: u64) -> Arc<Watcher> {
    world.source.set_page_size(100);
    (0..count).for_each(|number| world.put(REQUEST, request(&id(number), "pending")));
    world.settled().await
}

#[tokio::test]
async fn each_list_is_asked_for_by_its_status() {
    let world = World::new();
    let watcher = world.settled().await;
    assert_eq!(run(&watcher, PassKind::Open).await.status, PassStatus::Complete);
    let statuses = ["processing", "needs_info", "expiring", "pending"];
    assert_eq!(world.source.take_selections(), statuses.map(Selection::Status));
}

#[tokio::test]
async fn a_status_that_only_the_clock_moved_is_told() {
    for rows_lack_status in [false, true] {
        for (kind, before, after, told) in [
            (CERTIFICATE, "processing", "needs_info", &["certificate.needs_info"][..]),
            (CERTIFICATE, "processing", "active", &["certificate.processing_completed", "certificate.active"]),
            (CERTIFICATE, "needs_info", "processing", &["certificate.processing"]),
            (CERTIFICATE, "needs_info", "invalid", &["certificate.processing_completed", "certificate.invalid"]),
            (CERTIFICATE, "active", "expiring", &["certificate.expiring"]),
            (CERTIFICATE, "expiring", "expired", &["certificate.expired"]),
            (REQUEST, "pending", "fulfilled", &["certificate_request.fulfilled"]),
            (REQUEST, "pending", "invalid", &["certificate_request.invalid"]),
            (REQUEST, "canceled", "pending", &["certificate_request.reopened"]),
        ] {
            let world = World::new();
            if rows_lack_status {
                world.source.drop_status_from_rows();
            }
            world.put(kind, if kind == CERTIFICATE { certificate("it", before) } else { request("it", before) });
            let watcher = world.settled().await;
            move_silently(&world, kind, "it", after);
            run(&watcher, PassKind::Changes).await;
            assert_eq!(world.told(), [""; 0], "nothing shows that it was updated");
            assert_eq!(run(&watcher, PassKind::Open).await.status, PassStatus::Complete);
            let sights = world.store.take_sights();
            let (sight, drafts) = &sights[0];
            let types: Vec<&str> = drafts.iter().map(|draft| draft.event_type.as_str()).collect();
            let what = format!("{before} to {after}, rows without a status: {rows_lack_status}");
            assert_eq!((sights.len(), types.as_slice()), (1, told), "{what}");
            assert_eq!(sight.detection.pass, Some(Cause::Open), "{what}");
            // A row that shows no status may be asked about once more, before it is known to show the new state.
            run(&watcher, PassKind::Open).await;
            assert!(world.source.take_gets().len() <= 2, "{what}");
            run(&watcher, PassKind::Open).await;
            assert_eq!((world.told(), world.source.take_gets()), (Vec::new(), Vec::new()), "{what}: and that is all");
        }
    }
}

#[tokio::test]
async fn members_that_stay_cost_no_commit_and_no_fetch() {
    for rows_lack_status in [false, true] {
        let world = World::new();
        if rows_lack_status {
            world.source.drop_status_from_rows();
        }
        world.put(CERTIFICATE, certificate("cert_1", "processing"));
        world.put(CERTIFICATE, certificate("cert_2", "expiring"));
        let watcher = stocked(&world, 30).await;
        world.store.take_commits();
        let report = run(&watcher, PassKind::Open).await;
        assert_eq!((report.status, report.pages, report.seen), (PassStatus::Complete, 4, 32));
        assert_eq!((world.store.take_commits(), world.source.take_gets().len()), (0, 0));
    }
}

#[tokio::test]
async fn a_row_without_a_status_tells_by_its_list_however_it_is_spelled() {
    let world = World::new();
    world.source.drop_status_from_rows();
    world.put(CERTIFICATE, certificate("it", "active"));
    let watcher = world.settled().await;
    move_silently(&world, CERTIFICATE, "it", "expiring");
    world.source.edit(|book| book.change(CERTIFICATE, "it", |it| it["updated_at"] = json!("2026-01-05T11:00:00.000Z")));
    assert_eq!(run(&watcher, PassKind::Open).await.status, PassStatus::Complete);
    assert_eq!(world.told(), ["it certificate.expiring"]);
}

#[tokio::test]
async fn what_is_new_in_a_list_is_told() {
    let world = World::new();
    let watcher = stocked(&world, 30).await;
    world.put(REQUEST, request("cert_req_new", "pending"));
    run(&watcher, PassKind::Open).await;
    assert_eq!(world.told(), ["cert_req_new certificate_request.created"]);
}

#[tokio::test]
async fn at_most_100_that_have_left_are_asked_for_in_one_pass_and_the_next_goes_on() {
    let world = World::new();
    let watcher = stocked(&world, 250).await;
    (0..250).for_each(|number| move_silently(&world, REQUEST, &id(number), "invalid"));
    for (from, to) in [(0, 100), (100, 200), (200, 250), (250, 250)] {
        assert_eq!(run(&watcher, PassKind::Open).await.status, PassStatus::Complete);
        let expected: Vec<String> =
            (from..to).map(|number| format!("{} certificate_request.invalid", id(number))).collect();
        assert_eq!(world.told(), expected);
        assert_eq!(world.source.take_gets().len(), expected.len());
    }
}

#[tokio::test]
async fn those_that_do_not_move_do_not_keep_the_others_from_being_asked_for() {
    let world = World::new();
    let watcher = stocked(&world, 230).await;
    // No list shows the first 150, and they answer that they are pending.
    (0..150).for_each(|number| world.source.edit(|book| book.archive(&id(number))));
    (200..230).for_each(|number| move_silently(&world, REQUEST, &id(number), "invalid"));
    run(&watcher, PassKind::Open).await;
    assert_eq!((world.told().len(), world.source.take_gets().len()), (0, 100));
    run(&watcher, PassKind::Open).await;
    assert_eq!((world.told().len(), world.source.take_gets().len()), (30, 100), "and then those before it anew");
    let mut asked: Vec<String> = Vec::new();
    for _ in 0..3 {
        run(&watcher, PassKind::Open).await;
        asked.extend(world.source.take_gets());
    }
    for number in 0..150 {
        let times = asked.iter().filter(|asked| **asked == id(number)).count();
        assert_eq!(times, 2, "{}: each has its turn", id(number));
    }
}

#[tokio::test]
async fn those_of_one_list_do_not_keep_those_of_another_from_being_asked_for() {
    let world = World::new();
    for number in 0..300 {
        let status = ["processing", "needs_info"][number % 2];
        world.put(CERTIFICATE, certificate(&format!("cert_{number:03}"), status));
    }
    world.put(CERTIFICATE, certificate("cert_x", "expiring"));
    let watcher = stocked(&world, 1).await;
    (0..300).for_each(|number| world.source.edit(|book| book.archive(&format!("cert_{number:03}"))));
    move_silently(&world, CERTIFICATE, "cert_x", "expired");
    move_silently(&world, REQUEST, &id(0), "invalid");
    for _ in 0..4 {
        assert_eq!(run(&watcher, PassKind::Open).await.status, PassStatus::Complete);
        assert!(world.source.take_gets().len() <= 100);
    }
    let mut told = world.told();
    told.sort_unstable();
    assert_eq!(told, ["cert_req_000 certificate_request.invalid", "cert_x certificate.expired"]);
}

#[tokio::test]
async fn an_incomplete_list_infers_nothing_and_the_others_do() {
    let refused = SourceError::Refused { status: 400, kind: "INVALID_REQUEST".into(), message: "no".into() };
    for fault in [Fault::NoCursor, Fault::Error(refused)] {
        let world = World::new();
        world.put(CERTIFICATE, certificate("cert_1", "expiring"));
        world.put(CERTIFICATE, certificate("cert_2", "processing"));
        let watcher = stocked(&world, 3).await;
        move_silently(&world, CERTIFICATE, "cert_1", "expired");
        move_silently(&world, CERTIFICATE, "cert_2", "active");
        move_silently(&world, REQUEST, &id(1), "invalid");
        world.source.break_page((REQUEST, 1), fault.clone());
        world.source.break_page((CERTIFICATE, 1), fault); // the first list is that of the processing ones
        let report = run(&watcher, PassKind::Open).await;
        assert_eq!(report.status, PassStatus::Incomplete);
        assert!(report.error.expect("a reason").starts_with("the listing of processing certificates is incomplete: "));
        assert_eq!(world.source.take_gets(), ["cert_1"]);
        assert_eq!(world.told(), ["cert_1 certificate.expired"]);
        assert_eq!(run(&watcher, PassKind::Open).await.status, PassStatus::Complete);
        assert_eq!(world.source.take_gets(), ["cert_2", &id(1)]);
    }
}

#[tokio::test]
async fn a_row_that_slips_past_the_page_being_read_is_asked_for_and_tells_nothing() {
    let world = World::new();
    let watcher = stocked(&world, 25).await;
    world.source.set_page_size(10);
    world.source.after_page((REQUEST, 1), |book| book.move_to_front(REQUEST, "cert_req_024"));
    assert_eq!(run(&watcher, PassKind::Open).await.status, PassStatus::Complete);
    assert_eq!((world.source.take_gets(), world.told()), (vec![id(24)], Vec::new()));
}

#[tokio::test]
async fn what_upstream_does_not_know_any_more_is_left_to_the_sweep() {
    let world = World::new();
    let watcher = stocked(&world, 25).await;
    world.remove(REQUEST, &id(3));
    for _ in 0..2 {
        assert_eq!(run(&watcher, PassKind::Open).await.status, PassStatus::Complete);
        assert_eq!((world.source.take_gets(), world.told()), (vec![id(3)], Vec::new()), "asked for by every pass");
    }
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.told(), ["cert_req_003 certificate_request.removed"]);
    world.source.take_gets();
    run(&watcher, PassKind::Open).await;
    assert_eq!(world.source.take_gets(), [""; 0]);
}

#[tokio::test]
async fn one_that_is_not_answered_about_makes_the_pass_incomplete_and_is_asked_for_again() {
    let world = World::new();
    let watcher = stocked(&world, 25).await;
    (3..6).for_each(|number| move_silently(&world, REQUEST, &id(number), "invalid"));
    let refused = SourceError::Refused { status: 400, kind: "INVALID_REQUEST".into(), message: "no".into() };
    world.source.break_get(&id(4), refused);
    assert_eq!(run(&watcher, PassKind::Open).await.status, PassStatus::Incomplete);
    assert_eq!(world.told().len(), 2, "the others are told");
    assert_eq!(run(&watcher, PassKind::Open).await.status, PassStatus::Complete);
    assert_eq!(world.told(), ["cert_req_004 certificate_request.invalid"]);
}

#[tokio::test]
async fn an_item_that_cannot_be_used_has_not_left_its_list() {
    for trap in ["malformed", "unreadable"] {
        let world = World::new();
        let watcher = stocked(&world, 25).await;
        world.source.edit(|book| book.change(REQUEST, &id(3), |object| object["trap"] = json!(trap)));
        assert_eq!(run(&watcher, PassKind::Open).await.status, PassStatus::Complete);
        assert_eq!(world.source.take_gets(), [""; 0], "{trap}");
    }
}
