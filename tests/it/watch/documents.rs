//! Documents: only an answer by id tells whether there is one, and only what was missing can be told to have come.

use certhook::model::resource::Download;
use certhook::source::SourceError;

use super::*;

const MINUTE: u64 = 60;
const DAY: u64 = 86_400;
const AVAILABLE: [&str; 1] = ["cert_1 certificate.document_available"];

/// A certificate whose document is not there yet.
fn undocumented(id: &str, status: &str) -> Value {
    let mut object = certificate(id, status);
    object["download_url"] = Value::Null;
    object
}

/// The document comes, and nothing else changes.
fn document(world: &World, id: &str) {
    world.source.edit(|book| {
        book.change(CERTIFICATE, id, |object| object["download_url"] = json!("https://signed.example.com/canary"));
    });
}

async fn asked(world: &World, watcher: &Watcher, pass: PassKind) -> Vec<String> {
    assert_eq!(run(watcher, pass).await.status, PassStatus::Complete);
    world.source.take_gets()
}

fn known(world: &World, id: &str) -> Download {
    world.store.snapshot(CERTIFICATE, id).expect("it is known").download
}

#[tokio::test]
async fn what_is_under_review_is_asked_for_by_id_at_first_sight() {
    let world = World::new();
    let statuses = ["processing", "needs_info", "active", "expiring", "expired", "invalid"];
    for status in statuses {
        world.put(CERTIFICATE, undocumented(&format!("cert_{status}"), status));
    }
    let watcher = world.watcher().await;
    assert_eq!(asked(&world, &watcher, PassKind::Sweep).await, ["cert_processing", "cert_needs_info"]);
    assert_eq!(known(&world, "cert_processing"), Download::Missing);
    assert_eq!(known(&world, "cert_active"), Download::Unknown);
    world.tick(60);
    let now = world.now().to_string();
    for status in statuses {
        let mut object = undocumented(&format!("cert_new_{status}"), status);
        object["created_at"] = json!(now);
        object["updated_at"] = json!(now);
        world.put(CERTIFICATE, object);
    }
    assert_eq!(asked(&world, &watcher, PassKind::Changes).await, ["cert_new_processing", "cert_new_needs_info"]);
    assert_eq!(asked(&world, &watcher, PassKind::Open).await, [""; 0], "once");
}

#[tokio::test]
async fn a_missing_document_is_looked_for_after_5_minutes_1_hour_6_hours_and_daily_for_30_days() {
    let world = World::new();
    let mut object = undocumented("cert_1", "processing");
    object["expiration_date"] = Value::Null;
    object["jurisdictions"] = json!([]);
    world.put(CERTIFICATE, object);
    let first_seen = world.now();
    let watcher = world.settled().await;
    let mut looked = Vec::new();
    let mut seconds = 60;
    while seconds <= 40 * DAY {
        world.wait_until(first_seen.plus(Duration::from_secs(seconds)));
        if !asked(&world, &watcher, PassKind::Deadline).await.is_empty() {
            looked.push(seconds);
        }
        // Fine enough to tell the first hour apart, and coarse enough for a month.
        seconds += if seconds < 60 * MINUTE { MINUTE } else { 30 * MINUTE };
    }
    let daily = (1..=30).map(|days| days * DAY);
    let expected: Vec<u64> = [5 * MINUTE, 60 * MINUTE, 360 * MINUTE].into_iter().chain(daily).collect();
    assert_eq!(looked, expected);
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn a_document_that_has_come_is_told_once_and_its_url_never() {
    let world = World::new();
    world.put(CERTIFICATE, undocumented("cert_1", "processing"));
    let watcher = world.settled().await;
    document(&world, "cert_1");
    assert_eq!(asked(&world, &watcher, PassKind::Changes).await, [""; 0], "no row shows it");
    world.tick(5 * MINUTE);
    assert_eq!(asked(&world, &watcher, PassKind::Deadline).await, ["cert_1"]);
    let sights = world.store.take_sights();
    let (sight, drafts) = &sights[0];
    assert_eq!((sights.len(), drafts.len()), (1, 1));
    assert_eq!(drafts[0].event_type.as_str(), "certificate.document_available");
    assert_eq!(sight.detection.object_version, 1);
    let told = format!("{} {} {}", sight.object.text(), sight.previous_attributes.text(), drafts[0].details.text());
    assert!(!told.contains("canary") && !told.contains("download_url"), "{told}");
    for pass in [PassKind::Deadline, PassKind::Sweep, PassKind::Open] {
        world.tick(DAY);
        assert_eq!(asked(&world, &watcher, pass).await, [""; 0], "nothing is missing any more");
    }
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn a_missing_document_is_looked_for_whenever_the_row_moves_whatever_its_status() {
    for rows_lack_status in [false, true] {
        for (status, others) in [
            ("processing", &[][..]),
            ("active", &["cert_1 certificate.processing_completed", "cert_1 certificate.active"]),
            ("invalid", &["cert_1 certificate.processing_completed", "cert_1 certificate.invalid"]),
        ] {
            let world = World::new();
            if rows_lack_status {
                world.source.drop_status_from_rows();
            }
            world.put(CERTIFICATE, undocumented("cert_1", "processing"));
            let watcher = world.settled().await;
            world.set_status(CERTIFICATE, "cert_1", status);
            world.tick(3);
            assert_eq!(asked(&world, &watcher, PassKind::Changes).await, ["cert_1"]);
            assert_eq!(world.told(), others, "{status}: it is still missing");
            world.tick(27);
            world.set_status(CERTIFICATE, "cert_1", status);
            document(&world, "cert_1");
            world.tick(3);
            assert_eq!(asked(&world, &watcher, PassKind::Changes).await, ["cert_1"]);
            assert_eq!(world.told(), AVAILABLE, "{status}");
            world.set_status(CERTIFICATE, "cert_1", status);
            world.tick(3);
            let gets = asked(&world, &watcher, PassKind::Changes).await;
            assert_eq!(gets.is_empty(), !rows_lack_status, "{status}: nobody looks for what is there");
            assert_eq!(world.told(), [""; 0]);
        }
    }
}

#[tokio::test]
async fn what_was_never_known_to_be_missing_is_not_told_to_have_come() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    assert_eq!(known(&world, "cert_1"), Download::Unknown);
    world.wait_until("2027-01-02T00:00:00Z".parse().expect("an instant"));
    assert_eq!(asked(&world, &watcher, PassKind::Deadline).await, ["cert_1"]);
    assert_eq!((known(&world, "cert_1"), world.told()), (Download::Available, Vec::new()));
}

#[tokio::test]
async fn one_that_is_first_seen_with_its_document_tells_nothing_of_it() {
    let world = World::new();
    let watcher = world.settled().await;
    let mut object = certificate("cert_1", "processing");
    object["updated_at"] = json!(world.now().to_string());
    world.put(CERTIFICATE, object);
    run(&watcher, PassKind::Changes).await;
    assert_eq!(world.told(), ["cert_1 certificate.created", "cert_1 certificate.jurisdiction.active"]);
}

#[tokio::test]
async fn at_most_100_documents_are_looked_for_in_one_pass_and_the_next_goes_on() {
    let world = World::new();
    world.source.set_page_size(100);
    for number in 0..250 {
        world.put(CERTIFICATE, undocumented(&format!("cert_{number:03}"), "processing"));
    }
    let watcher = world.settled().await;
    world.tick(5 * MINUTE);
    for expected in [100, 100, 50, 0] {
        assert_eq!(asked(&world, &watcher, PassKind::Deadline).await.len(), expected);
    }
}

#[tokio::test]
async fn a_look_that_was_not_answered_is_taken_again() {
    let world = World::new();
    world.put(CERTIFICATE, undocumented("cert_1", "processing"));
    let watcher = world.settled().await;
    document(&world, "cert_1");
    world.tick(5 * MINUTE);
    let error = SourceError::Unauthorized { status: 401, kind: "UNAUTHORIZED".into(), message: "no".into() };
    world.source.break_get("cert_1", error);
    assert_eq!(run(&watcher, PassKind::Deadline).await.status, PassStatus::Failed);
    world.store.take_told();
    assert_eq!(run(&watcher, PassKind::Deadline).await.status, PassStatus::Complete);
    assert!(world.told().contains(&AVAILABLE[0].to_owned()));
}

#[tokio::test]
async fn nobody_looks_for_the_document_of_what_is_gone_and_anew_for_that_of_what_is_back() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_0", "active"));
    world.put(CERTIFICATE, undocumented("cert_1", "processing"));
    let watcher = world.settled().await;
    world.source.edit(|book| book.archive("cert_1"));
    run(&watcher, PassKind::Sweep).await;
    world.source.take_gets();
    world.tick(5 * MINUTE);
    assert_eq!(asked(&world, &watcher, PassKind::Deadline).await, [""; 0]);
    world.source.edit(|book| book.unarchive("cert_1"));
    run(&watcher, PassKind::Sweep).await;
    document(&world, "cert_1");
    world.told();
    world.source.take_gets();
    world.tick(5 * MINUTE);
    assert_eq!(asked(&world, &watcher, PassKind::Deadline).await, ["cert_1"]);
    assert_eq!(world.told(), AVAILABLE);
}
