//! What somebody who waits for our API asks for: one resource by id, before all passes, its answer applied at once.

use certhook::detect::agenda::Policy;
use certhook::model::event::{Cause, Mode};
use certhook::source::{SourceError, Urgency};
use certhook::watch::CallFailed;
use jiff::civil::time;
use jiff::tz::TimeZone;
use tokio::task::JoinSet;

use super::*;

const CALL: &str = "req_1";

async fn look(watcher: &Arc<Watcher>, id: &str) -> Result<Option<Timestamp>, CallFailed> {
    watcher.refresh(CERTIFICATE, id.parse().expect("an id"), CALL.into()).await
}

fn status(world: &World, id: &str) -> Option<String> {
    let known = world.store.snapshot(CERTIFICATE, id)?;
    known.object.fields()["status"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn what_a_call_finds_is_told_at_once_and_names_the_call() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    world.source.take_urgencies();
    world.set_status(CERTIFICATE, "cert_1", "invalid");
    assert_eq!(look(&watcher, "cert_1").await.expect("an answer"), Some(world.now()));
    assert_eq!(world.source.take_urgencies(), [Urgency::Api]);
    let sights = world.store.take_sights();
    let [(sight, drafts)] = sights.as_slice() else { panic!("{sights:?}") };
    assert_eq!(drafts.iter().map(|draft| draft.event_type.as_str()).collect::<Vec<_>>(), ["certificate.invalid"]);
    let detection = &sight.detection;
    assert_eq!((detection.mode, detection.pass, detection.request_id.as_deref()), (Mode::Live, None, Some(CALL)));
    run(&watcher, PassKind::Changes).await;
    assert_eq!(world.told(), [""; 0], "the next pass finds nothing more");
    world.tick(5);
    assert_eq!(look(&watcher, "cert_1").await.expect("an answer"), Some(world.now()), "as of now, with nothing new");
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn what_is_new_is_told_as_created_and_what_was_gone_as_restored() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    let mut new = certificate("cert_2", "active");
    new["created_at"] = json!(world.now().to_string());
    world.put(CERTIFICATE, new);
    assert!(look(&watcher, "cert_2").await.expect("an answer").is_some());
    assert_eq!(world.told()[0], "cert_2 certificate.created");
    let old = certificate("cert_3", "active");
    world.put(CERTIFICATE, old);
    assert!(look(&watcher, "cert_3").await.expect("an answer").is_some());
    assert_eq!(world.told()[0], "cert_3 certificate.created", "it was not listed when the baseline was");
    world.remove(CERTIFICATE, "cert_1");
    world.tick(60);
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.told(), ["cert_1 certificate.removed"]);
    world.tick(60);
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    assert!(look(&watcher, "cert_1").await.expect("an answer").is_some());
    assert_eq!(world.told(), ["cert_1 certificate.restored"]);
    world.tick(60);
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn what_a_call_finds_behind_the_back_of_a_sweep_is_not_missing_from_it() {
    let world = World::new();
    ["cert_1", "cert_2"].iter().for_each(|id| world.put(CERTIFICATE, certificate(id, "active")));
    let watcher = world.settled().await;
    world.remove(CERTIFICATE, "cert_1");
    let late = world.source.delay_page((CERTIFICATE, 1));
    let meanwhile = async {
        late.rendered.notified().await;
        world.put(CERTIFICATE, certificate("cert_3", "active"));
        assert!(look(&watcher, "cert_3").await.expect("an answer").is_some());
        late.released.notify_one();
    };
    let (report, ()) = tokio::join!(run(&watcher, PassKind::Sweep), meanwhile);
    assert_eq!((report.status, report.error), (PassStatus::Complete, None));
    let told = world.told();
    assert_eq!(
        (told[0].as_str(), told.last()),
        ("cert_3 certificate.created", Some(&"cert_1 certificate.removed".into()))
    );
}

#[tokio::test]
async fn what_no_list_shows_is_none_of_ours_although_it_answers_to_its_id() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    world.put(CERTIFICATE, certificate("cert_2", "active"));
    world.source.edit(|book| book.archive("cert_1"));
    let watcher = world.settled().await;
    assert_eq!(look(&watcher, "cert_1").await.expect("an answer"), None);
    assert_eq!(status(&world, "cert_1"), None);
    world.source.edit(|book| book.archive("cert_2"));
    world.tick(60);
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.told(), ["cert_2 certificate.removed"]);
    world.tick(60);
    assert_eq!(look(&watcher, "cert_2").await.expect("an answer"), None, "it stays removed");
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn an_id_that_upstream_does_not_know_is_not_taken_for_a_removal() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    world.remove(CERTIFICATE, "cert_1");
    assert_eq!(look(&watcher, "cert_1").await.expect("an answer"), None);
    assert_eq!(look(&watcher, "cert_9").await.expect("an answer"), None);
    assert_eq!(world.told(), [""; 0]);
    assert!(world.store.snapshot(CERTIFICATE, "cert_1").expect("it is known").removed.is_none());
}

#[tokio::test]
async fn a_call_neither_waits_nor_asks_twice() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    let throttled = SourceError::Throttled { retry_after: Duration::from_secs(900) };
    for error in [SourceError::Unavailable("no connection".into()), throttled] {
        world.source.break_always(Some(error.clone()));
        match look(&watcher, "cert_1").await {
            Err(CallFailed::Source(told)) => assert_eq!(told, error),
            other => panic!("{other:?}"),
        }
        assert_eq!(world.source.take_gets(), ["cert_1"], "once");
    }
    // A pass would wait for a quarter of an hour now.
    world.source.break_always(None);
    assert!(look(&watcher, "cert_1").await.expect("an answer").is_some());
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_is_none_and_leaves_all_as_it_was() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    world.source.edit(|book| book.change(CERTIFICATE, "cert_1", |object| object["trap"] = json!("malformed")));
    assert!(matches!(look(&watcher, "cert_1").await, Err(CallFailed::Source(SourceError::Unavailable(_)))));
    assert_eq!(status(&world, "cert_1").as_deref(), Some("active"));
}

#[tokio::test]
async fn before_the_baseline_is_complete_a_call_tells_nothing() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    world.put(CERTIFICATE, certificate("cert_2", "active"));
    let watcher = world.watcher().await;
    assert!(look(&watcher, "cert_1").await.expect("an answer").is_some());
    assert_eq!(status(&world, "cert_1").as_deref(), Some("active"));
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    assert_eq!(world.told(), ["numeral gateway.baseline_completed"]);
}

#[tokio::test]
async fn an_older_answer_of_a_pass_does_not_overwrite_that_of_a_call() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    world.set_status(CERTIFICATE, "cert_1", "expiring");
    let late = world.source.delay_page((CERTIFICATE, 1));
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let watcher = Arc::clone(&watcher);
        async move { run(&watcher, PassKind::Changes).await }
    });
    late.rendered.notified().await;
    world.tick(3);
    world.set_status(CERTIFICATE, "cert_1", "expired");
    assert!(look(&watcher, "cert_1").await.expect("an answer").is_some());
    late.released.notify_one();
    let pass = tasks.join_next().await.expect("it was begun").expect("no panic");
    assert_eq!(pass.status, PassStatus::Complete);
    assert_eq!(world.told(), ["cert_1 certificate.expired"], "what lay between was not seen in time");
    assert_eq!(status(&world, "cert_1").as_deref(), Some("expired"));
}

#[tokio::test]
async fn an_answer_is_applied_although_who_asked_has_hung_up() {
    let world = World::new();
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    world.set_status(CERTIFICATE, "cert_1", "invalid");
    let late = world.source.delay_get("cert_1");
    let mut callers = JoinSet::new();
    callers.spawn({
        let watcher = Arc::clone(&watcher);
        async move { look(&watcher, "cert_1").await.is_ok() }
    });
    late.rendered.notified().await;
    callers.abort_all();
    assert!(callers.join_next().await.expect("it was begun").is_err());
    late.released.notify_one();
    while status(&world, "cert_1").as_deref() != Some("invalid") {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.told(), ["cert_1 certificate.invalid"]);
}

#[tokio::test(start_paused = true)]
async fn the_loop_looks_at_an_agenda_that_a_call_has_changed() {
    let mut world = World::new();
    world.settings.dates = Policy { will_expire: vec![30], remind_at: time(9, 0, 0, 0), timezone: TimeZone::UTC };
    world.put(CERTIFICATE, certificate("cert_1", "active"));
    let watcher = world.settled().await;
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    running.spawn(Arc::clone(&watcher).run(stop.clone()));
    world.source.edit(|book| {
        book.change(CERTIFICATE, "cert_1", |object| {
            object["jurisdictions"][0]["expiration_date"] = json!("2026-12-21");
        });
    });
    // The row is as it was, so that no pass can see it: only a call does.
    assert!(look(&watcher, "cert_1").await.expect("an answer").is_some());
    world.wait_until("2026-11-21T09:00:00Z".parse().expect("an instant"));
    let reminded = async {
        loop {
            let told = world.store.take_sights();
            if told.iter().any(|(sight, _)| sight.detection.pass == Some(Cause::Clock)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reminded).await.expect("it is reminded");
    stop.cancel();
    running.join_next().await.expect("it was begun").expect("it ends");
}
