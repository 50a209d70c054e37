//! Looks by id whose time has come: dates that have passed.

use certhook::model::event::Cause;
use certhook::source::SourceError;

use super::*;

/// When the date of [`certificate`] is over, in UTC.
const OVER: &str = "2027-01-02T00:00:00Z";
const HOUR: u64 = 3_600;

fn over() -> Timestamp {
    OVER.parse().expect("an instant")
}

fn id(number: u64) -> String {
    format!("cert_{number:03}")
}

/// So many active certificates, known, whose date is over.
async fn overdue(world: &World, count: u64) -> Arc<Watcher> {
    world.source.set_page_size(100);
    (0..count).for_each(|number| world.put(CERTIFICATE, certificate(&id(number), "active")));
    let watcher = world.settled().await;
    world.wait_until(over());
    watcher
}

/// Runs a deadline pass that is complete, and gives whom it asked for.
async fn asked(world: &World, watcher: &Watcher) -> Vec<String> {
    assert_eq!(run(watcher, PassKind::Deadline).await.status, PassStatus::Complete);
    world.source.take_gets()
}

fn waits_for_a_sweep(watcher: &Watcher) -> bool {
    watcher.passes().iter().any(|pass| (pass.pass, pass.status) == (PassKind::Sweep, PassStatus::Waiting))
}

/// Makes a certificate out of the usual one.
type Make = fn(&mut Value);

#[tokio::test]
async fn a_date_that_has_passed_is_asked_about_at_once_and_after_6_12_24_and_36_hours() {
    let makes: [(&str, Make); 3] = [
        ("its own date", |object| object["jurisdictions"] = json!([])),
        ("that of a jurisdiction", |object| object["expiration_date"] = json!("9999-12-31")),
        ("both", |_| {}),
    ];
    for (what, make) in makes {
        let world = World::new();
        let mut object = certificate("cert_1", "active");
        make(&mut object);
        world.put(CERTIFICATE, object);
        let watcher = world.settled().await;
        world.wait_until(over().minus(Duration::from_millis(1)));
        assert_eq!(asked(&world, &watcher).await, [""; 0], "{what}: it is valid to the end of its day");
        for hours in 0..=48 {
            world.wait_until(over().plus(Duration::from_secs(hours * HOUR)));
            let expected: &[&str] = if [0, 6, 12, 24, 36].contains(&hours) { &["cert_1"] } else { &[] };
            assert_eq!(asked(&world, &watcher).await, expected, "{what}, after {hours} hours");
            assert_eq!(asked(&world, &watcher).await, [""; 0], "{what}, after {hours} hours, once more");
        }
        assert_eq!(world.told(), [""; 0]);
    }
}

#[tokio::test]
async fn it_is_asked_about_until_its_status_has_moved() {
    for rows_lack_status in [false, true] {
        let world = World::new();
        if rows_lack_status {
            world.source.drop_status_from_rows();
        }
        let watcher = overdue(&world, 1).await;
        assert_eq!(asked(&world, &watcher).await, [id(0)]);
        world.tick(6 * HOUR);
        world.source.edit(|book| {
            book.change(CERTIFICATE, &id(0), |object| {
                object["status"] = json!("expired");
                object["jurisdictions"][0]["status"] = json!("expired");
            });
        });
        assert_eq!(asked(&world, &watcher).await, [id(0)]);
        let sights = world.store.take_sights();
        let types: Vec<&str> = sights[0].1.iter().map(|draft| draft.event_type.as_str()).collect();
        assert_eq!((sights.len(), types), (1, vec!["certificate.expired", "certificate.jurisdiction.expired"]));
        assert_eq!(sights[0].0.detection.pass, Some(Cause::Deadline));
        for _ in 0..8 {
            world.tick(6 * HOUR);
            assert_eq!(asked(&world, &watcher).await, [""; 0]);
        }
    }
}

#[tokio::test]
async fn one_whose_jurisdiction_has_not_moved_is_still_asked_about() {
    let world = World::new();
    let watcher = overdue(&world, 1).await;
    world.source.edit(|book| book.change(CERTIFICATE, &id(0), |object| object["status"] = json!("expired")));
    assert_eq!(asked(&world, &watcher).await, [id(0)]);
    assert_eq!(world.told(), ["cert_000 certificate.expired"]);
    world.tick(6 * HOUR);
    assert_eq!(asked(&world, &watcher).await, [id(0)], "California says that it is active");
}

#[tokio::test]
async fn what_an_open_list_covers_is_left_to_the_open_passes() {
    let world = World::new();
    for status in ["processing", "needs_info", "expiring"] {
        world.put(CERTIFICATE, certificate(&format!("cert_{status}"), status));
    }
    world.put(REQUEST, request("cert_req_1", "pending"));
    let watcher = world.settled().await;
    for days in [45, 10, 1, 1] {
        world.tick(days * 24 * HOUR);
        assert_eq!(asked(&world, &watcher).await, [""; 0]);
    }
}

#[tokio::test]
async fn more_than_100_dates_at_once_are_left_to_a_sweep() {
    for (count, by_id, by_sweep) in [(100, 100, false), (101, 0, true)] {
        let world = World::new();
        let watcher = overdue(&world, count).await;
        assert_eq!(asked(&world, &watcher).await.len(), by_id);
        assert_eq!(waits_for_a_sweep(&watcher), by_sweep, "{count}");
        assert_eq!(asked(&world, &watcher).await, [""; 0], "until the next time");
        world.tick(6 * HOUR);
        assert_eq!(asked(&world, &watcher).await.len(), by_id);
    }
}

#[tokio::test]
async fn a_date_is_over_where_the_time_zone_says() {
    let mut world = World::new();
    world.settings.dates.timezone = jiff::tz::TimeZone::get("America/New_York").expect("a time zone");
    let watcher = overdue(&world, 1).await;
    assert_eq!(asked(&world, &watcher).await, [""; 0], "in New York it is seven in the evening");
    world.tick(5 * HOUR);
    assert_eq!(asked(&world, &watcher).await, [id(0)]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_answered_about_is_asked_for_by_the_next_pass() {
    let world = World::new();
    let watcher = overdue(&world, 3).await;
    (0..2).for_each(|_| world.source.break_get(&id(1), SourceError::Unavailable("503".into())));
    assert_eq!(run(&watcher, PassKind::Deadline).await.status, PassStatus::Failed);
    world.source.take_gets();
    assert_eq!(asked(&world, &watcher).await, [id(1)], "and only that one");
}

#[tokio::test]
async fn what_upstream_does_not_know_any_more_is_not_removed_and_not_asked_for_before_the_next_time() {
    let world = World::new();
    let watcher = overdue(&world, 20).await;
    (0..20).for_each(|number| world.remove(CERTIFICATE, &id(number)));
    assert_eq!(asked(&world, &watcher).await.len(), 20);
    assert_eq!(asked(&world, &watcher).await, [""; 0]);
    world.tick(6 * HOUR);
    assert_eq!(asked(&world, &watcher).await.len(), 20);
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.store.snapshot(CERTIFICATE, &id(0)).expect("kept").removed, None);
}

#[tokio::test]
async fn one_whose_answer_is_of_no_use_is_not_asked_for_before_the_next_time() {
    let world = World::new();
    let watcher = overdue(&world, 2).await;
    world.source.edit(|book| book.change(CERTIFICATE, &id(0), |object| object["trap"] = json!("malformed")));
    let refused = SourceError::Refused { status: 400, kind: "INVALID_REQUEST".into(), message: "no".into() };
    world.source.break_get(&id(1), refused);
    assert_eq!(run(&watcher, PassKind::Deadline).await.status, PassStatus::Failed, "one call was not answered");
    world.source.take_gets();
    assert_eq!(asked(&world, &watcher).await, [""; 0]);
    world.tick(6 * HOUR);
    assert_eq!(asked(&world, &watcher).await, [id(0), id(1)]);
}

#[tokio::test]
async fn what_is_due_survives_a_restart() {
    let world = World::new();
    drop(overdue(&world, 2).await);
    let watcher = world.watcher().await;
    assert_eq!(asked(&world, &watcher).await, [id(0), id(1)]);
    drop(watcher);
    let watcher = world.watcher().await;
    assert_eq!(asked(&world, &watcher).await, [""; 0], "and so does that it was done");
}

#[tokio::test]
async fn what_another_pass_has_told_meanwhile_is_not_asked_for() {
    let world = World::new();
    let watcher = overdue(&world, 2).await;
    world.source.edit(|book| {
        book.change(CERTIFICATE, &id(0), |object| {
            object["status"] = json!("expired");
            object["jurisdictions"][0]["status"] = json!("expired");
        });
    });
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(asked(&world, &watcher).await, [id(1)]);
}

#[tokio::test]
async fn a_date_that_moves_on_is_asked_about_when_it_is_over_itself() {
    let world = World::new();
    let watcher = overdue(&world, 1).await;
    let now = world.now().to_string();
    world.source.edit(|book| {
        book.change(CERTIFICATE, &id(0), |object| {
            for place in ["/expiration_date", "/jurisdictions/0/expiration_date"] {
                *object.pointer_mut(place).expect("it is there") = json!("2027-01-05");
            }
            object["updated_at"] = json!(now);
        });
    });
    run(&watcher, PassKind::Changes).await;
    assert_eq!(world.told(), ["cert_000 certificate.renewed"]);
    assert_eq!(asked(&world, &watcher).await, [""; 0]);
    world.wait_until("2027-01-06T00:00:00Z".parse().expect("an instant"));
    assert_eq!(asked(&world, &watcher).await, [id(0)]);
}
