//! Looks by id whose time has come: dates that have passed.

use certhook::model::event::Cause;
use certhook::source::{SourceError, Urgency};

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
        world.source.take_urgencies();
        assert_eq!(asked(&world, &watcher).await, [""; 0]);
        assert!(world.source.take_urgencies().len() <= 1, "a page tells that lists show what moves");
        assert_eq!(asked(&world, &watcher).await, [""; 0]);
        assert_eq!(world.source.take_urgencies(), [], "until the next time");
    }
}

#[tokio::test]
async fn what_the_page_shows_that_tells_of_lists_is_told() {
    let world = World::new();
    world.put(CERTIFICATE, certificate(&id(0), "expiring"));
    let watcher = overdue(&world, 0).await;
    world.put(CERTIFICATE, certificate(&id(1), "active"));
    assert_eq!(asked(&world, &watcher).await, [""; 0]);
    assert_eq!(world.told()[0], "cert_001 certificate.created");
}

#[tokio::test]
async fn what_the_page_shows_without_a_status_is_not_removed_by_a_sweep_under_way() {
    let world = World::new();
    world.source.drop_status_from_rows();
    world.put(CERTIFICATE, certificate(&id(900), "expiring"));
    let watcher = overdue(&world, 30).await;
    [1, 2].iter().for_each(|number| world.remove(CERTIFICATE, &id(*number)));
    let late = world.source.delay_get(&id(2));
    let meanwhile = async {
        late.rendered.notified().await;
        world.put(CERTIFICATE, certificate(&id(1), "active"));
        asked(&world, &watcher).await;
        late.released.notify_one();
    };
    let (report, ()) = tokio::join!(run(&watcher, PassKind::Sweep), meanwhile);
    assert_eq!((report.status, world.told()), (PassStatus::Complete, vec!["cert_002 certificate.removed".to_owned()]));
}

#[tokio::test]
async fn what_an_open_list_covers_asks_for_no_sweep_and_stands_in_the_way_of_nothing_else() {
    let world = World::new();
    (100..260).for_each(|number| world.put(CERTIFICATE, certificate(&id(number), "expiring")));
    let watcher = overdue(&world, 90).await;
    assert_eq!(asked(&world, &watcher).await, (0..90).map(id).collect::<Vec<_>>());
    assert!(!waits_for_a_sweep(&watcher), "the open lists show the others");
    assert_eq!(asked(&world, &watcher).await, [""; 0]);
}

#[tokio::test]
async fn what_an_open_list_covers_and_does_not_tell_is_asked_about_by_id() {
    for status in ["processing", "needs_info", "expiring"] {
        let world = World::new();
        world.source.drop_status_from_rows();
        let mut object = certificate("cert_1", status);
        object["expiration_date"] = json!("2027-06-30");
        let texas = json!({"jurisdiction_id": "US-TX", "status": "active", "expiration_date": "2027-06-30"});
        object["jurisdictions"].as_array_mut().expect("entries").push(texas);
        world.put(CERTIFICATE, object);
        let watcher = world.settled().await;
        world.wait_until(over());
        assert_eq!(asked(&world, &watcher).await, ["cert_1"], "{status}: at once");
        world.tick(HOUR);
        world.source.edit(|book| {
            book.change(CERTIFICATE, "cert_1", |object| object["jurisdictions"][0]["status"] = json!("expired"));
        });
        for kind in [PassKind::Changes, PassKind::Open, PassKind::Sweep] {
            assert_eq!(run(&watcher, kind).await.status, PassStatus::Complete);
        }
        assert_eq!(world.told(), [""; 0], "{status}: no list shows it");
        world.tick(5 * HOUR);
        assert_eq!(asked(&world, &watcher).await, ["cert_1"], "{status}: after six hours");
        assert_eq!(world.told(), ["cert_1 certificate.jurisdiction.expired"], "{status}");
        world.tick(48 * HOUR);
        assert_eq!(asked(&world, &watcher).await, [""; 0], "{status}: until the date of Texas");
    }
}

#[tokio::test]
async fn a_missing_document_is_looked_for_although_a_date_has_passed_that_an_open_list_tells_of() {
    let world = World::new();
    let mut object = certificate("cert_1", "processing");
    object["download_url"] = Value::Null;
    world.put(CERTIFICATE, object);
    let watcher = world.settled().await;
    world.wait_until(over());
    assert_eq!(asked(&world, &watcher).await, ["cert_1"]);
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
async fn dates_that_lists_do_not_tell_of_are_asked_about_by_id_100_at_a_time_behind_everything_else() {
    for entries_show_their_status in [false, true] {
        let world = World::new();
        if entries_show_their_status {
            world.source.set_rules(|rules| rules.rows_lack = Some("status"));
        } else {
            world.source.drop_status_from_rows();
        }
        let watcher = overdue(&world, 250).await;
        for hours in [0, 6] {
            let mut all = Vec::new();
            for (count, by_id) in [(100, Urgency::Sweep), (100, Urgency::Sweep), (50, Urgency::Deadline)] {
                world.source.take_urgencies();
                let asked = asked(&world, &watcher).await;
                let urgencies = world.source.take_urgencies();
                let (pages, gets) = urgencies.split_at(urgencies.len() - asked.len());
                assert_eq!((asked.len(), gets), (count, vec![by_id; count].as_slice()), "after {hours} hours");
                assert!(pages.len() <= 1, "one page tells what lists show");
                all.extend(asked);
            }
            all.sort_unstable();
            assert_eq!(all, (0..250).map(id).collect::<Vec<_>>(), "each once");
            assert_eq!(asked(&world, &watcher).await, [""; 0], "until the next time");
            assert!(!waits_for_a_sweep(&watcher), "it would not show what became of them");
            world.tick(6 * HOUR);
        }
        assert_eq!(world.told(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_are_not_answered_about_do_not_keep_the_others_from_being_asked_about() {
    let world = World::new();
    world.source.drop_status_from_rows();
    let watcher = overdue(&world, 250).await;
    for number in 0..250 {
        world.source.edit(|book| book.change(CERTIFICATE, &id(number), |object| object["status"] = json!("expired")));
    }
    for number in 0..120 {
        (0..2).for_each(|_| world.source.break_get(&id(number), SourceError::Unavailable("500".into())));
    }
    assert_eq!(run(&watcher, PassKind::Deadline).await.status, PassStatus::Incomplete);
    let expected: Vec<String> = (120..220).map(|number| format!("{} certificate.expired", id(number))).collect();
    assert_eq!(world.told(), expected);
}

#[tokio::test]
async fn one_row_that_does_not_tell_or_none_that_could_is_reason_enough_to_ask_by_id() {
    let world = World::new();
    let watcher = overdue(&world, 101).await;
    world.source.edit(|book| {
        book.change(CERTIFICATE, &id(7), |object| object["jurisdictions"][0] = json!({"jurisdiction_id": "US-CA"}));
    });
    assert_eq!(asked(&world, &watcher).await.len(), 100, "an entry without its status");

    let world = World::new();
    let watcher = overdue(&world, 101).await;
    let refused = SourceError::Refused { status: 400, kind: "INVALID_REQUEST".into(), message: "no".into() };
    world.source.break_page((CERTIFICATE, 1), Fault::Error(refused));
    assert_eq!(asked(&world, &watcher).await.len(), 100, "no page");

    let world = World::new();
    world.source.set_page_size(100);
    for number in 0..101 {
        let mut object = certificate(&id(number), "active");
        object["jurisdictions"] = json!([]);
        world.put(CERTIFICATE, object);
    }
    let watcher = world.settled().await;
    world.wait_until(over());
    assert_eq!(asked(&world, &watcher).await.len(), 100, "nothing shows how entries are shown");
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
