//! Reminders ahead of a date: what our clock finds due, whether upstream answers or not.

use certhook::model::event::{Cause, EventDraft, Mode, Sight};
use certhook::source::SourceError;

use super::running::Running;
use super::*;

const MINUTE: u64 = 60;
const DAY: u64 = 86_400;

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

/// A world in which one is reminded so many days ahead, at nine in the morning.
fn world(will_expire: &[u16]) -> World {
    let mut world = World::new();
    set_policy(&mut world, will_expire, "UTC");
    world
}

fn set_policy(world: &mut World, will_expire: &[u16], timezone: &str) {
    world.settings.dates = Policy {
        will_expire: will_expire.to_vec(),
        remind_at: "09:00".parse().expect("a time of day"),
        timezone: jiff::tz::TimeZone::get(timezone).expect("a time zone"),
    };
}

/// Certificate `cert_1`, valid in California up to a day.
fn valid_until(day: &str) -> Value {
    let mut object = certificate("cert_1", "active");
    object["expiration_date"] = json!(day);
    object["jurisdictions"][0]["expiration_date"] = json!(day);
    object
}

/// A reminder: whose date, the thresholds crossed, the days left.
fn reminder(sight: &Sight, draft: &EventDraft) -> String {
    let details = draft.details.fields();
    assert_eq!((sight.detection.mode, sight.detection.pass), (Mode::Derived, Some(Cause::Clock)));
    assert_eq!(sight.previous_attributes.text(), "{}");
    assert_eq!(
        details["threshold_days"],
        details["thresholds_crossed"].as_array().expect("a list").last().cloned().unwrap_or_default()
    );
    let whose = details["jurisdiction_id"].as_str().unwrap_or("its own");
    format!("{} {whose} {} {}", draft.event_type, details["thresholds_crossed"], details["days_remaining"])
}

/// The reminders that were told since the last look.
fn reminded(world: &World) -> Vec<String> {
    let sights = world.store.take_sights();
    let drafts = sights.iter().flat_map(|(sight, drafts)| drafts.iter().map(move |draft| (sight, draft)));
    drafts
        .filter(|(_, draft)| draft.event_type.as_str().ends_with(".will_expire"))
        .map(|(sight, draft)| reminder(sight, draft))
        .collect()
}

/// What a deadline pass tells, which does not need upstream for it.
async fn reminded_now(world: &World, watcher: &Watcher) -> Vec<String> {
    run(watcher, PassKind::Deadline).await;
    reminded(world)
}

fn california(thresholds: &str, days: u64) -> Vec<String> {
    vec![format!("certificate.will_expire US-CA {thresholds} {days}")]
}

#[tokio::test(start_paused = true)]
async fn a_reminder_is_told_at_its_time_whatever_upstream_does() {
    let unauthorized = SourceError::Unauthorized { status: 401, kind: "UNAUTHORIZED".into(), message: "no".into() };
    for trouble in [None, Some(SourceError::Unavailable("503".into())), Some(unauthorized)] {
        let world = world(&[30]);
        world.put(CERTIFICATE, valid_until("2027-01-01"));
        world.settled().await;
        world.wait_until(at("2026-12-02T08:50:00Z"));
        world.source.break_always(trouble.clone());
        let running = Running::begin(&world).await;
        running.pass_time(&world, 10 * MINUTE - 1).await;
        assert_eq!(reminded(&world), [""; 0], "{trouble:?}: it is not time yet");
        running.pass_time(&world, MINUTE).await;
        assert_eq!(reminded(&world), california("[30]", 30), "{trouble:?}");
        running.pass_time(&world, 10 * MINUTE).await;
        assert_eq!(reminded(&world), [""; 0], "{trouble:?}: once");
        running.end().await;
    }
}

#[tokio::test]
async fn a_reminder_carries_the_resource_as_it_is_known_and_raises_no_version() {
    let world = world(&[30]);
    world.put(CERTIFICATE, valid_until("2027-01-01"));
    let watcher = world.settled().await;
    world.set_status(CERTIFICATE, "cert_1", "invalid");
    run(&watcher, PassKind::Changes).await;
    world.told();
    world.wait_until(at("2026-12-02T09:00:00Z"));
    run(&watcher, PassKind::Deadline).await;
    let sights = world.store.take_sights();
    let (sight, drafts) = &sights[0];
    assert_eq!((sights.len(), drafts.len()), (1, 1), "California counts, whatever the summary says");
    assert_eq!(sight.detection.object_version, 1);
    assert_eq!(sight.detection.observed_before, world.now());
    let known = world.store.snapshot(CERTIFICATE, "cert_1").expect("known");
    assert_eq!((known.object_version, &known.object), (1, &sight.object));
}

#[tokio::test]
async fn each_threshold_is_told_once_across_restarts() {
    let world = world(&[60, 30, 14, 7, 1]);
    world.put(CERTIFICATE, valid_until("2027-01-01"));
    world.put(REQUEST, request("cert_req_1", "pending"));
    world.settled().await;
    let mut told = Vec::new();
    for _ in 0..60 {
        // Every day a new process, which looks twice.
        let watcher = world.watcher().await;
        told.extend(reminded_now(&world, &watcher).await);
        assert_eq!(reminded_now(&world, &watcher).await, [""; 0]);
        world.tick(DAY);
    }
    let of_request = |thresholds: &str, days| format!("certificate_request.will_expire its own {thresholds} {days}");
    let expected = [
        california("[30]", 30),
        vec![of_request("[30]", 29)],
        california("[14]", 13),
        california("[7]", 6),
        vec![of_request("[14]", 13)],
        california("[1]", 0),
        vec![of_request("[7]", 6), of_request("[1]", 0)],
    ];
    // A look at 04:31 finds what was due at nine on the day before.
    assert_eq!(told, expected.concat().iter().map(|line| line.replace("[30] 30", "[30] 29")).collect::<Vec<_>>());
}

#[tokio::test]
async fn after_an_outage_one_reminder_is_told_with_the_smallest_threshold() {
    let world = world(&[60, 30, 14, 7, 1]);
    world.put(CERTIFICATE, valid_until("2027-01-01"));
    world.settled().await;
    world.wait_until(at("2026-12-30T10:00:00Z"));
    let watcher = world.watcher().await;
    assert_eq!(reminded_now(&world, &watcher).await, california("[30,14,7]", 2), "60 days were past at first sight");
    world.wait_until(at("2026-12-31T09:00:00Z"));
    assert_eq!(reminded_now(&world, &watcher).await, california("[1]", 1));
}

#[tokio::test]
async fn what_is_over_when_the_outage_ends_is_not_reminded_of() {
    let world = world(&[30, 14]);
    world.put(CERTIFICATE, valid_until("2027-01-01"));
    let watcher = world.settled().await;
    world.wait_until(at("2027-01-02T00:00:00Z"));
    assert_eq!(reminded_now(&world, &watcher).await, [""; 0]);
}

#[tokio::test]
async fn what_is_past_at_first_sight_is_skipped() {
    let world = world(&[60, 30, 14]);
    let watcher = world.settled().await;
    world.wait_until(at("2026-12-10T09:00:00Z"));
    let mut object = valid_until("2027-01-01");
    object["updated_at"] = json!(world.now().to_string());
    world.put(CERTIFICATE, object);
    run(&watcher, PassKind::Changes).await;
    assert!(world.told().contains(&"cert_1 certificate.created".to_owned()));
    assert_eq!(reminded_now(&world, &watcher).await, [""; 0]);
    world.wait_until(at("2026-12-18T09:00:00Z"));
    assert_eq!(reminded_now(&world, &watcher).await, california("[14]", 14));
}

#[tokio::test]
async fn a_date_that_moves_later_is_reminded_of_at_its_own_time() {
    let world = world(&[30]);
    world.put(CERTIFICATE, valid_until("2027-01-01"));
    let watcher = world.settled().await;
    let mut renewed = valid_until("2027-03-01");
    renewed["updated_at"] = json!(world.now().to_string());
    world.put(CERTIFICATE, renewed);
    run(&watcher, PassKind::Changes).await;
    assert_eq!(world.told(), ["cert_1 certificate.renewed"]);
    world.wait_until(at("2026-12-31T12:00:00Z"));
    assert_eq!(reminded_now(&world, &watcher).await, [""; 0], "nothing ends on that day any more");
    world.wait_until(at("2027-01-30T09:00:00Z"));
    assert_eq!(reminded_now(&world, &watcher).await, california("[30]", 30));
}

#[tokio::test]
async fn a_date_that_moves_over_several_thresholds_is_told_in_the_same_pass_with_the_smallest() {
    let world = world(&[60, 30, 14]);
    world.put(CERTIFICATE, valid_until("2027-12-31"));
    let watcher = world.settled().await;
    let mut sooner = valid_until("2026-12-11");
    sooner["updated_at"] = json!(world.now().to_string());
    world.put(CERTIFICATE, sooner);
    run(&watcher, PassKind::Changes).await;
    let sights = world.store.take_sights();
    assert_eq!(sights.len(), 2, "what was seen, and then what our clock has to add");
    assert_eq!(sights[0].1[0].event_type.as_str(), "certificate.updated");
    assert_eq!(reminder(&sights[1].0, &sights[1].1[0]), california("[60,30]", 20)[0]);
    assert_eq!(reminded_now(&world, &watcher).await, [""; 0], "once");
}

#[tokio::test]
async fn only_what_is_valid_and_has_a_day_is_reminded_of() {
    let entry =
        |id: &str, status: &str, date: Value| json!({"jurisdiction_id": id, "status": status, "expiration_date": date});
    let day = "2027-01-01";
    let with = |entries: Vec<Value>| {
        let mut object = valid_until(day);
        object["jurisdictions"] = json!(entries);
        object
    };
    let of = |whose: &str| format!("certificate.will_expire {whose} [30] 30");
    for (object, expected) in [
        (
            with(vec![entry("US-CA", "active", json!(day)), entry("US-TX", "expiring", json!(day))]),
            vec![of("US-CA"), of("US-TX")],
        ),
        (with(vec![entry("US-CA", "expired", json!(day)), entry("US-TX", "processing", json!(day))]), vec![]),
        (with(vec![entry("US-CA", "active", json!("9999-12-31")), entry("US-TX", "active", Value::Null)]), vec![]),
        (with(vec![]), vec![of("its own")]),
    ] {
        let world = world(&[30]);
        world.put(CERTIFICATE, object.clone());
        let watcher = world.settled().await;
        world.wait_until(at("2026-12-02T09:00:00Z"));
        assert_eq!(reminded_now(&world, &watcher).await, expected, "{object}");
    }
    for status in ["pending", "fulfilled", "canceled", "invalid"] {
        let world = world(&[30]);
        world.put(REQUEST, request("cert_req_1", status));
        let watcher = world.settled().await;
        world.wait_until(at("2026-12-11T09:00:00Z"));
        assert_eq!(reminded_now(&world, &watcher).await.len(), usize::from(status == "pending"), "{status}");
    }
}

#[tokio::test]
async fn nothing_is_reminded_of_before_the_baseline_is_complete() {
    let world = world(&[30]);
    world.put(CERTIFICATE, valid_until("2027-01-01"));
    let watcher = world.watcher().await;
    world.source.break_page((REQUEST, 1), Fault::NoCursor);
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Incomplete);
    world.wait_until(at("2026-12-02T09:00:00Z"));
    assert_eq!(reminded_now(&world, &watcher).await, [""; 0]);
    world.source.break_page((REQUEST, 1), Fault::NoCursor);
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Incomplete);
    assert_eq!(reminded_now(&world, &watcher).await, [""; 0]);
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    assert_eq!(reminded_now(&world, &watcher).await, california("[30]", 30));
}

#[tokio::test]
async fn nine_in_the_morning_is_where_the_time_zone_says() {
    let mut world = world(&[30]);
    set_policy(&mut world, &[30], "America/New_York");
    world.put(CERTIFICATE, valid_until("2027-01-01"));
    let watcher = world.settled().await;
    world.wait_until(at("2026-12-02T13:59:59Z"));
    assert_eq!(reminded_now(&world, &watcher).await, [""; 0]);
    world.tick(1);
    assert_eq!(reminded_now(&world, &watcher).await, california("[30]", 30));
}

#[tokio::test]
async fn what_is_gone_is_not_reminded_of_and_what_comes_back_is() {
    let world = world(&[30, 14]);
    world.put(REQUEST, request("cert_req_1", "fulfilled"));
    world.put(CERTIFICATE, valid_until("2027-01-01"));
    let watcher = world.settled().await;
    world.remove(CERTIFICATE, "cert_1");
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.told(), ["cert_1 certificate.removed"]);
    world.wait_until(at("2026-12-03T09:00:00Z"));
    assert_eq!(reminded_now(&world, &watcher).await, [""; 0]);
    world.put(CERTIFICATE, valid_until("2027-01-01"));
    run(&watcher, PassKind::Sweep).await;
    let sights = world.store.take_sights();
    assert_eq!(sights[0].1[0].event_type.as_str(), "certificate.restored");
    assert_eq!(reminder(&sights[1].0, &sights[1].1[0]), california("[30]", 29)[0], "crossed while it was gone");
    world.wait_until(at("2026-12-18T09:00:00Z"));
    assert_eq!(reminded_now(&world, &watcher).await, california("[14]", 14));
}

#[tokio::test]
async fn other_settings_hold_for_what_is_known_already() {
    let mut world = world(&[14]);
    world.put(CERTIFICATE, valid_until("2027-01-01"));
    world.settled().await;
    // 30 days ahead is still to come, 40 days ahead is past and is skipped.
    set_policy(&mut world, &[40, 30], "UTC");
    world.wait_until(at("2026-11-23T10:00:00Z"));
    let watcher = world.watcher().await;
    world.store.take_commits();
    watcher.plan().await.expect("planned");
    assert!(world.store.take_commits() > 0);
    watcher.plan().await.expect("planned");
    world.watcher().await.plan().await.expect("planned");
    assert_eq!(world.store.take_commits(), 0, "once for these settings");
    assert_eq!(reminded_now(&world, &watcher).await, [""; 0]);
    world.wait_until(at("2026-12-02T09:00:00Z"));
    assert_eq!(reminded_now(&world, &watcher).await, california("[30]", 30));
    // Turned off.
    set_policy(&mut world, &[], "UTC");
    let watcher = world.watcher().await;
    watcher.plan().await.expect("planned");
    world.wait_until(at("2026-12-31T09:00:00Z"));
    assert_eq!(reminded_now(&world, &watcher).await, [""; 0]);
    assert_eq!(world.store.snapshot(CERTIFICATE, "cert_1").expect("known").agenda.remind_at, None);
}

#[tokio::test]
async fn another_version_that_plans_otherwise_tells_what_came_due_while_it_was_installed() {
    let world = world(&[30]);
    world.put(CERTIFICATE, valid_until("2027-01-01"));
    world.settled().await;
    world.store.was_planned_otherwise();
    world.wait_until(at("2026-12-02T09:00:00Z"));
    let watcher = world.watcher().await;
    watcher.plan().await.expect("planned");
    assert_eq!(reminded(&world), california("[30]", 30));
    world.store.take_commits();
    watcher.plan().await.expect("planned");
    assert_eq!((reminded_now(&world, &watcher).await, world.store.take_commits()), (Vec::new(), 0), "once");
}

#[tokio::test]
async fn another_time_zone_moves_what_is_still_to_come_and_repeats_nothing() {
    let mut world = world(&[30, 14]);
    world.put(CERTIFICATE, valid_until("2027-01-01"));
    let watcher = world.settled().await;
    world.wait_until(at("2026-12-02T09:00:00Z"));
    assert_eq!(reminded_now(&world, &watcher).await, california("[30]", 30));
    set_policy(&mut world, &[30, 14], "America/New_York");
    let watcher = world.watcher().await;
    watcher.plan().await.expect("planned");
    world.wait_until(at("2026-12-02T14:00:00Z"));
    assert_eq!(reminded_now(&world, &watcher).await, [""; 0]);
    world.wait_until(at("2026-12-18T13:59:00Z"));
    assert_eq!(reminded_now(&world, &watcher).await, [""; 0]);
    world.tick(MINUTE);
    assert_eq!(reminded_now(&world, &watcher).await, california("[14]", 14));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_starts_with_other_settings_plans_and_reminds_by_itself() {
    let mut world = world(&[14]);
    world.put(CERTIFICATE, valid_until("2027-01-01"));
    world.settled().await;
    set_policy(&mut world, &[30], "UTC");
    world.wait_until(at("2026-12-02T08:55:00Z"));
    let running = Running::begin(&world).await;
    running.pass_time(&world, 4 * MINUTE).await;
    assert_eq!(reminded(&world), [""; 0]);
    running.pass_time(&world, 2 * MINUTE).await;
    assert_eq!(reminded(&world), california("[30]", 30));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_no_reminder_is_left_alone_for_a_while() {
    let world = world(&[30]);
    world.put(CERTIFICATE, valid_until("2027-01-01"));
    world.settled().await;
    world.wait_until(at("2026-12-02T09:00:00Z"));
    world.store.close_after(0);
    let running = Running::begin(&world).await;
    for _ in 0..5_000 {
        tokio::task::yield_now().await;
    }
    assert!(world.store.refused() < 50, "{} commits were tried while no time passed", world.store.refused());
    world.store.reopen();
    running.pass_time(&world, 2 * MINUTE).await;
    assert_eq!(reminded(&world), california("[30]", 30));
    running.end().await;
}

#[tokio::test]
async fn a_thousand_reminders_of_one_morning_are_all_told() {
    let world = world(&[30]);
    world.source.set_page_size(100);
    for number in 0..1_000 {
        world.put(CERTIFICATE, certificate(&format!("cert_{number:03}"), "active"));
    }
    let watcher = world.settled().await;
    world.wait_until(at("2026-12-02T09:00:00Z"));
    assert_eq!(reminded_now(&world, &watcher).await.len(), 1_000);
}
