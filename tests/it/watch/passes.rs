//! What passes find, and what a pass that misses something leaves as it was.

use certhook::model::source::SourceState;
use certhook::source::{Selection, SourceError};

use super::*;

fn refused() -> SourceError {
    SourceError::Refused { status: 400, kind: "INVALID_REQUEST".into(), message: "no".into() }
}

#[tokio::test]
async fn a_change_is_told_once_with_its_former_value() {
    let world = World::new();
    world.put(REQUEST, request("cert_req_1", "pending"));
    let watcher = world.settled().await;
    world.set_status(REQUEST, "cert_req_1", "canceled");
    let report = run(&watcher, PassKind::Changes).await;
    assert_eq!((report.status, report.changed), (PassStatus::Complete, 1));
    let sights = world.store.take_sights();
    assert_eq!(sights[0].0.previous_attributes.text(), r#"{"status":"pending"}"#);
    assert_eq!(sights[0].0.detection.object_version, 1);
    run(&watcher, PassKind::Changes).await;
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn unchanged_rows_cost_no_commit_and_no_fetch() {
    let world = World::new();
    for number in 0..30 {
        world.put(CERTIFICATE, certificate(&format!("cert_{number}"), "active"));
    }
    let watcher = world.settled().await;
    world.store.take_commits();
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.store.take_commits(), 1, "the progress alone");
    assert_eq!(world.source.take_gets(), [""; 0]);
}

#[tokio::test]
async fn a_changes_pass_asks_from_the_overlapped_watermark() {
    let world = World::new();
    let watcher = world.settled().await;
    let began = world.now();
    run(&watcher, PassKind::Changes).await;
    assert_eq!(watcher.status().watermark, Some(began));
    world.source.take_selections();
    world.tick(30);
    // Upstream shows it late, with an instant before the pass that should have shown it.
    let mut late = certificate("cert_late", "active");
    late["updated_at"] = json!(began.minus(Duration::from_secs(200)).to_string());
    world.put(CERTIFICATE, late);
    run(&watcher, PassKind::Changes).await;
    let from = Selection::UpdatedAfter(began.minus(Duration::from_secs(300)));
    assert_eq!(world.source.take_selections(), [from.clone(), from]);
    assert!(world.told().contains(&"cert_late certificate.created".to_owned()));
}

#[tokio::test]
async fn the_watermark_follows_the_slower_clock() {
    let world = World::new();
    let began = world.now();
    world.source.set_behind(Duration::from_secs(40));
    let watcher = world.settled().await;
    assert_eq!(watcher.status().watermark, Some(began.minus(Duration::from_secs(40))), "of the baseline");
    world.source.set_behind(Duration::from_secs(600));
    let began = world.now();
    run(&watcher, PassKind::Changes).await;
    assert_eq!(watcher.status().watermark, Some(began.minus(Duration::from_secs(600))));
    assert_eq!(watcher.status().clock_skew_seconds, Some(-600));
}

#[tokio::test]
async fn a_row_that_changes_behind_the_page_being_read_is_told_by_the_next_pass() {
    let world = World::new();
    for number in 0..25 {
        let mut object = certificate(&format!("cert_{number:02}"), "active");
        object["updated_at"] = json!(world.now().to_string());
        world.put(CERTIFICATE, object);
    }
    let watcher = world.settled().await;
    let now = world.now().to_string();
    world.source.after_page((CERTIFICATE, 1), move |book| {
        book.change(CERTIFICATE, "cert_09", |object| {
            object["status"] = json!("expired");
            object["updated_at"] = json!(now);
        });
    });
    assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Complete);
    assert_eq!(world.told(), [""; 0]);
    world.tick(30);
    run(&watcher, PassKind::Changes).await;
    assert_eq!(world.told(), ["cert_09 certificate.expired"]);
}

#[tokio::test]
async fn an_incomplete_pass_applies_what_it_saw_and_keeps_the_watermark() {
    let world = World::new();
    for number in 0..25 {
        world.put(CERTIFICATE, certificate(&format!("cert_{number:02}"), "active"));
    }
    let watcher = world.settled().await;
    let (watermark, swept_at) = (world.store.only_progress().watermark, world.store.only_progress().swept_at);
    for number in 0..25 {
        world.set_status(CERTIFICATE, &format!("cert_{number:02}"), "expiring");
    }
    for fault in [Fault::NoCursor, Fault::Error(refused())] {
        world.source.break_page((CERTIFICATE, 2), fault);
        assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Incomplete);
        assert_eq!(world.store.only_progress().watermark, watermark);
        assert_eq!(watcher.status().status, SourceState::Failing);
    }
    assert_eq!(world.told().len(), 20, "two pages were seen");
    world.source.break_page((CERTIFICATE, 3), Fault::Error(refused()));
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.store.only_progress().swept_at, swept_at);
    assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Complete);
    let told = world.told();
    assert_eq!(told.iter().filter(|told| told.starts_with("cert_")).count(), 5);
    assert!(world.store.only_progress().watermark > watermark);
    assert_eq!(watcher.status().status, SourceState::Healthy);
}

#[tokio::test]
async fn there_and_back_again_is_told_both_times() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    let former = certificate("cert_1", "active");
    world.set_status(CERTIFICATE, "cert_1", "expiring");
    run(&watcher, PassKind::Changes).await;
    // Byte for byte what it was at first, except for the instant, which may not go back.
    let mut back = former;
    back["updated_at"] = json!(world.now().to_string());
    world.put(CERTIFICATE, back);
    run(&watcher, PassKind::Changes).await;
    assert_eq!(world.told(), ["cert_1 certificate.expiring", "cert_1 certificate.active"]);
}

#[tokio::test]
async fn two_changes_within_the_same_second_are_both_told() {
    let world = World::new();
    world.put(REQUEST, request("cert_req_1", "pending"));
    let watcher = world.settled().await;
    for status in ["canceled", "pending", "invalid"] {
        // The clock stands still, and so does updated_at.
        world.set_status(REQUEST, "cert_req_1", status);
        run(&watcher, PassKind::Changes).await;
    }
    assert_eq!(
        world.told(),
        [
            "cert_req_1 certificate_request.canceled",
            "cert_req_1 certificate_request.reopened",
            "cert_req_1 certificate_request.invalid"
        ]
    );
}

#[tokio::test]
async fn a_row_without_a_status_costs_one_fetch_and_not_one_a_pass() {
    let world = World::new();
    world.source.drop_status_from_rows();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.watcher().await;
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.source.take_gets(), ["cert_1"], "at first sight");
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.source.take_gets(), [""; 0], "the row is recognised");
    world.told();
    world.tick(60);
    world.set_status(CERTIFICATE, "cert_1", "expired");
    world.tick(30);
    run(&watcher, PassKind::Changes).await;
    run(&watcher, PassKind::Changes).await;
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.source.take_gets(), ["cert_1"], "only when the row had moved");
    assert_eq!(world.told(), ["cert_1 certificate.expired"]);
}

/// The vendor's pages write instants with milliseconds in one place and in whole seconds in another.
#[tokio::test]
async fn instants_that_lose_their_milliseconds_hide_no_change_and_tell_none() {
    for rows_lack_status in [false, true] {
        let world = World::new();
        if rows_lack_status {
            world.source.drop_status_from_rows();
        }
        let mut object = certificate("cert_1", "active");
        object["created_at"] = json!("2026-01-02T10:15:23.456Z");
        object["updated_at"] = json!("2026-01-05T11:00:00.789Z");
        world.put(CERTIFICATE, object.clone());
        let watcher = world.settled().await;
        object["created_at"] = json!("2026-01-02T10:15:23Z");
        object["updated_at"] = json!("2026-01-05T11:00:00Z");
        world.put(CERTIFICATE, object.clone());
        assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
        assert_eq!((world.told(), world.source.take_gets()), (Vec::new(), Vec::new()), "another spelling and no more");
        // What only the clock moved need not move `updated_at`.
        object["status"] = json!("expiring");
        world.put(CERTIFICATE, object);
        run(&watcher, PassKind::Sweep).await;
        let told: &[&str] = if rows_lack_status { &[] } else { &["cert_1 certificate.expiring"] };
        assert_eq!(world.told(), told);
    }
}

#[tokio::test]
async fn a_status_that_no_row_shows_may_change_twice_within_a_second() {
    let world = World::new();
    world.source.drop_status_from_rows();
    world.put(CERTIFICATE, certificate("cert_1", "processing"));
    let watcher = world.settled().await;
    world.set_status(CERTIFICATE, "cert_1", "active");
    run(&watcher, PassKind::Changes).await;
    world.set_status(CERTIFICATE, "cert_1", "invalid"); // the row stays byte for byte the same
    world.tick(30);
    run(&watcher, PassKind::Changes).await;
    run(&watcher, PassKind::Changes).await;
    assert_eq!(
        world.told(),
        ["cert_1 certificate.processing_completed", "cert_1 certificate.active", "cert_1 certificate.invalid"]
    );
    assert_eq!(world.source.take_gets().len(), 2, "once more than usual, and no more than that");
}

#[tokio::test]
async fn a_fetch_that_is_not_answered_makes_the_pass_incomplete() {
    let world = World::new();
    world.source.drop_status_from_rows();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    let watermark = world.store.only_progress().watermark;
    world.set_status(CERTIFICATE, "cert_1", "expired");
    world.source.break_get("cert_1", refused());
    let report = run(&watcher, PassKind::Changes).await;
    assert_eq!(report.status, PassStatus::Incomplete);
    assert!(report.error.expect("a reason").starts_with("certificate cert_1 could not be fetched: "));
    assert_eq!(world.store.only_progress().watermark, watermark);
    assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Complete);
    assert_eq!(world.told(), ["cert_1 certificate.expired"]);
    // Gone between the row and the fetch: answered, so the pass is complete.
    world.put(CERTIFICATE, certificate("cert_2", "active"));
    world.source.after_page((CERTIFICATE, 1), |book| book.remove(CERTIFICATE, "cert_2"));
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn a_malformed_item_spoils_nothing_but_itself() {
    let world = World::new();
    let ids = ["cert_1", "cert_2", "cert_3", "cert_4"];
    ids.iter().for_each(|id| world.put(CERTIFICATE, certificate(id, "active")));
    let watcher = world.settled().await;
    ids.iter().for_each(|id| world.set_status(CERTIFICATE, id, "expired"));
    world.source.edit(|book| book.change(CERTIFICATE, "cert_2", |object| object["trap"] = json!("malformed")));
    world.store.refuse("cert_3");
    let report = run(&watcher, PassKind::Changes).await;
    assert_eq!((report.status, report.changed), (PassStatus::Complete, 2));
    assert_eq!(world.told(), ["cert_1 certificate.expired", "cert_4 certificate.expired"]);
    assert_eq!(world.store.snapshot(CERTIFICATE, "cert_2").expect("kept").object.fields()["status"], "active");
}

#[tokio::test]
async fn a_panic_ends_its_pass_and_nothing_else() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    world.source.edit(|book| book.change(CERTIFICATE, "cert_1", |object| object["trap"] = json!("panic")));
    let report = run(&watcher, PassKind::Sweep).await;
    assert_eq!(report.status, PassStatus::Failed);
    assert!(report.error.expect("a reason").contains("panicked"));
    world.source.edit(|book| book.change(CERTIFICATE, "cert_1", |object| object["trap"] = Value::Null));
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
}

#[tokio::test]
async fn the_document_url_does_not_get_past_the_source() {
    let world = World::new();
    world.source.drop_status_from_rows();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    world.set_status(CERTIFICATE, "cert_1", "expired");
    run(&watcher, PassKind::Changes).await;
    let snapshot = world.store.snapshot(CERTIFICATE, "cert_1").expect("stored");
    assert!(!snapshot.object.text().contains("canary"));
    assert_eq!(snapshot.download, certhook::model::resource::Download::Available);
}

#[tokio::test]
async fn a_sweep_counts_what_the_other_passes_should_have_found() {
    let mut world = World::new();
    world.settings.dates.will_expire = vec![30];
    for number in 0..20 {
        world.put(CERTIFICATE, certificate(&format!("cert_{number:02}"), "active"));
    }
    let watcher = world.settled().await;
    world.remove(CERTIFICATE, "cert_00");
    run(&watcher, PassKind::Sweep).await;
    // A change that left no trace in `updated_at`; one that is gone, and one that is back; and one of which only our
    // clock has something to tell, because its row is spelled in another way.
    world.source.edit(|book| {
        book.change(CERTIFICATE, "cert_01", |object| object["status"] = json!("invalid"));
        book.change(CERTIFICATE, "cert_02", |object| object["updated_at"] = json!("2026-01-05T12:00:00+01:00"));
    });
    world.remove(CERTIFICATE, "cert_03");
    world.put(CERTIFICATE, certificate("cert_00", "active"));
    world.tick(12 * 86_400);
    world.told();
    let report = run(&watcher, PassKind::Sweep).await;
    let told = [
        "cert_01 certificate.invalid",
        "cert_01 certificate.will_expire",
        "cert_02 certificate.will_expire",
        "cert_00 certificate.restored",
        "cert_00 certificate.will_expire",
        "cert_03 certificate.removed",
    ];
    assert_eq!(world.told(), told);
    assert_eq!((report.changed, report.found_late), (3, 1));
    world.set_status(CERTIFICATE, "cert_04", "invalid");
    let report = run(&watcher, PassKind::Changes).await;
    assert_eq!((report.changed, report.found_late), (1, 0), "in time");
}

#[tokio::test]
async fn a_first_sight_is_told_as_the_lifecycle_says() {
    let certificates: [(&str, &[&str]); 7] = [
        ("processing", &["created"]),
        ("needs_info", &["created", "needs_info"]),
        ("active", &["created", "processing_completed", "active"]),
        ("expiring", &["created", "processing_completed", "expiring"]),
        ("expired", &["created", "processing_completed", "expired"]),
        ("invalid", &["created", "processing_completed", "invalid"]),
        ("odd", &["created"]),
    ];
    let requests: [(&str, &[&str]); 5] = [
        ("pending", &["created"]),
        ("fulfilled", &["created", "fulfilled"]),
        ("canceled", &["created", "canceled"]),
        ("invalid", &["created", "invalid"]),
        ("odd", &["created"]),
    ];
    let all = certificates.map(|case| (CERTIFICATE, case)).into_iter().chain(requests.map(|case| (REQUEST, case)));
    for (kind, (status, events)) in all {
        for rows_lack_status in [false, true] {
            let world = World::new();
            if rows_lack_status {
                world.source.drop_status_from_rows();
            }
            let watcher = world.settled().await;
            let mut object = if kind == CERTIFICATE { certificate("it", status) } else { request("it", status) };
            if kind == CERTIFICATE {
                object["jurisdictions"] = json!([]);
            }
            (object["created_at"], object["updated_at"]) = (json!(world.now()), json!(world.now()));
            world.put(kind, object);
            run(&watcher, PassKind::Changes).await;
            let expected: Vec<String> = events.iter().map(|event| format!("it {kind}.{event}")).collect();
            let sights = world.store.take_sights();
            let told: Vec<String> = sights[0].1.iter().map(|draft| format!("it {}", draft.event_type)).collect();
            assert_eq!((sights.len(), told), (1, expected), "{kind} {status}");
            assert_eq!(sights[0].0.detection.observed_after, None);
            assert_eq!(sights[0].0.detection.object_version, 1);
        }
    }
}
