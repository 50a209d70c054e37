//! How what was gone comes back, and how it does not.

use super::removal::{archive, removal, stocked};
use super::*;

#[tokio::test]
async fn what_was_gone_is_restored_by_whichever_list_shows_it_again() {
    let cases = [PassKind::Sweep, PassKind::Changes, PassKind::Open];
    for (pass, rows_lack_status) in cases.into_iter().flat_map(|pass| [(pass, false), (pass, true)]) {
        let world = World::new();
        if rows_lack_status {
            world.source.drop_status_from_rows();
        }
        let mut pending = request("cert_req_2", "pending");
        // So that a `changes` pass lists it again although it is what it was.
        pending["updated_at"] = json!(world.now().to_string());
        let watcher = stocked(&world).await;
        world.put(REQUEST, pending.clone());
        run(&watcher, PassKind::Sweep).await;
        archive(&world, "cert_req_2");
        run(&watcher, PassKind::Sweep).await;
        assert_eq!(world.told(), ["cert_req_2 certificate_request.removed"]);
        world.source.edit(|book| book.unarchive("cert_req_2"));
        let report = run(&watcher, pass).await;
        assert_eq!((report.status, report.changed, report.found_late), (PassStatus::Complete, 1, 0), "{pass:?}");
        let sights = world.store.take_sights();
        let (sight, drafts) = &sights[0];
        assert_eq!((sights.len(), drafts.len()), (1, 1));
        assert_eq!(drafts[0].event_type.as_str(), "certificate_request.restored");
        assert_eq!((sight.previous_attributes.text(), sight.detection.object_version), ("{}", 2));
        assert_eq!(removal(&world, REQUEST, "cert_req_2"), None);
        for pass in PassKind::ALL {
            run(&watcher, pass).await;
        }
        assert_eq!(world.told(), [""; 0], "once");
    }
}

#[tokio::test]
async fn what_changed_while_it_was_gone_is_told_with_the_restoration() {
    let world = World::new();
    let watcher = stocked(&world).await;
    world.remove(CERTIFICATE, "cert_07");
    run(&watcher, PassKind::Sweep).await;
    world.put(CERTIFICATE, certificate("cert_07", "active"));
    world.set_status(CERTIFICATE, "cert_07", "expired");
    run(&watcher, PassKind::Changes).await;
    assert_eq!(
        world.told(),
        ["cert_07 certificate.removed", "cert_07 certificate.restored", "cert_07 certificate.expired"]
    );
}

/// Somebody asks by id for what was removed a moment before: the answer was due for another reason.
#[tokio::test]
async fn an_answer_by_id_does_not_restore_what_no_list_shows() {
    let world = World::new();
    world.put(REQUEST, request("cert_req_0", "pending"));
    let watcher = stocked(&world).await;
    // Both have left the list of the pending ones. While the open pass waits for the answer about the first, a sweep
    // removes the second.
    archive(&world, "cert_req_0");
    archive(&world, "cert_req_2");
    let late = world.source.delay_get("cert_req_0");
    let meanwhile = async {
        late.rendered.notified().await;
        run(&watcher, PassKind::Sweep).await;
        late.released.notify_one();
    };
    let (report, ()) = tokio::join!(run(&watcher, PassKind::Open), meanwhile);
    assert_eq!(report.status, PassStatus::Complete);
    assert_eq!(world.told(), ["cert_req_0 certificate_request.removed", "cert_req_2 certificate_request.removed"]);
    assert!(world.source.take_gets().ends_with(&["cert_req_2".to_owned()]), "it was asked for once more");
    assert!(removal(&world, REQUEST, "cert_req_2").is_some());
}

#[tokio::test]
async fn a_date_that_passes_does_not_restore_what_no_list_shows() {
    let world = World::new();
    let watcher = stocked(&world).await;
    world.tick(60 * 86_400);
    // All twenty-five are due. While the pass waits for the answer about the first, a sweep removes the last.
    archive(&world, "cert_24");
    let late = world.source.delay_get("cert_00");
    let meanwhile = async {
        late.rendered.notified().await;
        run(&watcher, PassKind::Sweep).await;
        late.released.notify_one();
    };
    tokio::join!(run(&watcher, PassKind::Deadline), meanwhile);
    assert_eq!(world.told(), ["cert_24 certificate.removed"]);
    assert_eq!(world.source.take_gets().iter().filter(|id| *id == "cert_24").count(), 2, "confirmed, and due");
    assert!(removal(&world, CERTIFICATE, "cert_24").is_some());
}

#[tokio::test]
async fn a_row_that_was_asked_for_before_the_removal_does_not_restore() {
    for is_archived in [false, true] {
        let world = World::new();
        let watcher = stocked(&world).await;
        world.set_status(CERTIFICATE, "cert_07", "expired");
        let late = world.source.delay_page((CERTIFICATE, 1));
        let meanwhile = async {
            late.rendered.notified().await;
            if is_archived {
                archive(&world, "cert_07")
            } else {
                world.remove(CERTIFICATE, "cert_07")
            }
            run(&watcher, PassKind::Sweep).await;
            late.released.notify_one();
        };
        let (report, ()) = tokio::join!(run(&watcher, PassKind::Changes), meanwhile);
        assert_eq!(report.status, PassStatus::Complete);
        let told = world.told();
        let expected: &[&str] = if is_archived {
            &["cert_07 certificate.expired", "cert_07 certificate.removed"]
        } else {
            &["cert_07 certificate.removed"]
        };
        assert_eq!(told, expected, "archived: {is_archived}");
        assert!(removal(&world, CERTIFICATE, "cert_07").is_some());
    }
}
