//! What an operator wants an endpoint to get again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use certhook::model::delivery::{ByHand, DeliveryRecord, DeliveryStatus, Outcome, Trigger};
use certhook::model::endpoint::{DisabledReason, Endpoint, EndpointStatus};
use certhook::model::filter::Filter;
use certhook::model::id::{EventId, Position, ReplayId, ReplayNumber};
use certhook::model::replay::{Course, Progress, Range, Replay, ReplayStatus, Select};
use certhook::model::time::Timestamp;
use certhook::store::{DeliveryQuery, Store};

use super::dice::Dice;
use super::rig::{Bench, Sent, TestClock, names};
use crate::support::memory::Memory;
use crate::support::process::until;

const HOUR: Duration = Duration::from_secs(3600);

/// Everything up to now.
pub(super) fn everything(store: &dyn Store, select: Select) -> Range {
    Range {
        after: Position::START,
        until: *store.head().borrow(),
        types: Vec::new(),
        filter: Filter::default(),
        resource_id: None,
        event_ids: Vec::new(),
        asked_since: None,
        asked_until: None,
        select,
    }
}

async fn begun(bench: &Bench, endpoint: &Endpoint, range: Range) -> Replay {
    bench.deliverer().replay(endpoint, range).await.expect("it runs").expect("it is enabled")
}

pub(super) async fn ended(bench: &Bench, replay: &Replay) -> Replay {
    until("the replay to end", || async {
        let now = bench.store.replay(replay.id).await.expect("a look").expect("it is there");
        (now.progress.status != ReplayStatus::Running && now.progress.outstanding() == 0).then_some(now)
    })
    .await
}

/// So many were matched, delivered, failed, canceled.
pub(super) fn counts(replay: &Replay) -> [u64; 4] {
    let progress = &replay.progress;
    [progress.matched, progress.delivered, progress.failed, progress.canceled]
}

async fn record(bench: &Bench, endpoint: &Endpoint, position: u64) -> Option<DeliveryRecord> {
    let query = DeliveryQuery {
        position: Some(Position(position)),
        endpoint: Some(endpoint.id.number),
        limit: 9,
        ..DeliveryQuery::default()
    };
    bench.store.deliveries(query).await.expect("a list").found.into_iter().next()
}

/// The queue of every endpoint has dealt with all that is in the log.
async fn routed(bench: &Bench, endpoint: &Endpoint) {
    let head = *bench.store.head().borrow();
    let event = bench.store.event(head).await.expect("a look").expect("the last event");
    until("the queue to come to the end", || async {
        let range = Range { after: head.previous(), ..everything(&*bench.store, Select::All) };
        let preview = bench.deliverer().preview(endpoint, range).await.expect("it runs").expect("it is enabled");
        let is_for_it = endpoint.wants(event.event_type) && endpoint.filter.is_empty();
        (!is_for_it || preview.matched == 1).then_some(())
    })
    .await;
}

fn replayed(sent: &[Sent], replay: &Replay) -> Vec<Sent> {
    sent.iter().filter(|one| one.replay.as_deref() == Some(replay.id.to_string().as_str())).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_endpoint_missed_before_it_was_registered_is_sent_in_order_and_once() {
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    bench.start();
    bench.commit(names(0..700)).await;
    let crm = bench.register("crm", |_| {}).await;
    bench.commit(names(700..705)).await;
    bench.await_ended(DeliveryStatus::Delivered, 5).await;
    routed(&bench, &crm).await;
    let replay = ended(&bench, &begun(&bench, &crm, everything(&*bench.store, Select::Missed)).await).await;
    assert_eq!(replay.progress.status, ReplayStatus::Completed);
    assert_eq!(counts(&replay), [700, 700, 0, 0]);
    let sent = bench.sent();
    let again = replayed(&sent, &replay);
    assert_eq!((sent.len(), again.len()), (705, 700), "and nothing that was delivered before");
    let ids: BTreeSet<&str> = again.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids.len(), 700);
    let tried = record(&bench, &crm, 9).await.expect("a record");
    assert_eq!(tried.attempts.iter().map(|attempt| attempt.trigger).collect::<Vec<_>>(), [Trigger::Replay]);
    let nothing = ended(&bench, &begun(&bench, &crm, everything(&*bench.store, Select::Missed)).await).await;
    assert_eq!((counts(&nothing), bench.sent().len()), ([0; 4], 705), "now there is nothing left to be missed");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_stretch_everything_what_failed_or_what_is_named_is_sent_again_with_the_same_id() {
    // The first try of each of the first ten fails for good.
    let mut bench = Bench::new(|number, _, _| if number < 4 { Outcome::Aborted } else { Outcome::Delivered }).await;
    bench.settings.per_endpoint_in_flight = 1;
    bench.start();
    let crm = bench.register("crm", |_| {}).await;
    bench.commit(names(0..10)).await;
    bench.await_ended(DeliveryStatus::Delivered, 6).await;
    let first = bench.sent();
    routed(&bench, &crm).await;
    let all = ended(&bench, &begun(&bench, &crm, everything(&*bench.store, Select::All)).await).await;
    assert_eq!(counts(&all), [10, 10, 0, 0]);
    let ids = |sent: &[Sent]| sent.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&replayed(&bench.sent(), &all)), ids(&first), "in the order of the log");
    let failed = ended(&bench, &begun(&bench, &crm, everything(&*bench.store, Select::Failed)).await).await;
    assert_eq!(counts(&failed), [0; 4], "none any more");
    let named: Vec<EventId> =
        [3, 7, 7000].map(|position| EventId { position: Position(position), epoch: 1, start: 1 }).into();
    let strangers = Range { event_ids: named, ..everything(&*bench.store, Select::All) };
    assert_eq!(counts(&ended(&bench, &begun(&bench, &crm, strangers).await).await), [0; 4], "other ids");
    let event_ids = [2, 9].map(|place: usize| first[place].id.parse().expect("an id")).into();
    let two = Range { event_ids, ..everything(&*bench.store, Select::All) };
    let two = ended(&bench, &begun(&bench, &crm, two).await).await;
    assert_eq!(ids(&replayed(&bench.sent(), &two)), [first[2].id.clone(), first[9].id.clone()]);
    let part = Range { after: Position(3), until: Position(5), ..everything(&*bench.store, Select::All) };
    assert_eq!(counts(&ended(&bench, &begun(&bench, &crm, part).await).await), [2, 2, 0, 0]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_once_stays_delivered_when_its_replay_fails() {
    let mut bench = Bench::new(|number, _, _| if number == 0 { Outcome::Delivered } else { Outcome::Aborted }).await;
    bench.start();
    let crm = bench.register("crm", |_| {}).await;
    bench.commit(names(0..1)).await;
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    routed(&bench, &crm).await;
    let replay = ended(&bench, &begun(&bench, &crm, everything(&*bench.store, Select::All)).await).await;
    assert_eq!(counts(&replay), [1, 0, 1, 0]);
    let delivery = record(&bench, &crm, 1).await.expect("a record");
    assert_eq!((delivery.status, delivery.attempt_count), (DeliveryStatus::Delivered, 2));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_fails_holds_back_nothing_that_is_observed_meanwhile() {
    let mut bench = Bench::new(|number, _, _| if number == 1 { Outcome::Rejected } else { Outcome::Delivered }).await;
    bench.settings.circuit.probe = HOUR;
    bench.start();
    let crm = bench.register("crm", |endpoint| endpoint.retry = Some(vec![HOUR])).await;
    bench.commit(["a".to_owned()]).await;
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    routed(&bench, &crm).await;
    let replay = begun(&bench, &crm, everything(&*bench.store, Select::All)).await;
    until("the replay to fail once", || async { (bench.sent().len() == 2).then_some(()) }).await;
    bench.commit(["a".to_owned()]).await;
    until("the later event", || async {
        record(&bench, &crm, 2).await.filter(|record| record.status == DeliveryStatus::Delivered)
    })
    .await;
    // The success makes what waits due at once.
    assert_eq!(counts(&ended(&bench, &replay).await), [1, 1, 0, 0]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_canceled_leaves_every_delivery_as_it_was() {
    let mut bench = Bench::new(|number, _, _| if number < 3 { Outcome::Delivered } else { Outcome::Rejected }).await;
    bench.start();
    bench.commit(names(0..1)).await;
    let crm = bench.register("crm", |endpoint| endpoint.retry = Some(vec![HOUR])).await;
    bench.commit(names(1..4)).await;
    bench.await_ended(DeliveryStatus::Delivered, 3).await;
    routed(&bench, &crm).await;
    let replay = begun(&bench, &crm, everything(&*bench.store, Select::All)).await;
    until("a failure", || async { (bench.sent().len() > 3).then_some(()) }).await;
    let canceled = bench.deliverer().cancel_replay(replay.id).await.expect("it runs").expect("it is there");
    assert_eq!(canceled.progress.status, ReplayStatus::Canceled);
    let canceled = ended(&bench, &replay).await;
    assert_eq!(counts(&canceled), [4, 0, 0, 4]);
    let statuses = [1, 2, 3, 4].map(|position| record(&bench, &crm, position));
    let mut found = Vec::new();
    for status in statuses {
        found.extend(status.await.map(|record| record.status));
    }
    assert_eq!(found, [vec![DeliveryStatus::Canceled], vec![DeliveryStatus::Delivered; 3]].concat());
    let again = bench.deliverer().cancel_replay(replay.id).await.expect("it runs").expect("it is there");
    assert_eq!(again, canceled, "once is enough");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_on_after_a_crash_and_counts_each_delivery_once() {
    let mut bench =
        Bench::new(|number, _, _| if number % 7 == 3 { Outcome::Rejected } else { Outcome::Delivered }).await;
    bench.commit(names(0..900)).await;
    let crm = bench.register("crm", |endpoint| endpoint.retry = Some(vec![Duration::from_millis(1); 9])).await;
    bench.start();
    bench.commit(names(900..901)).await;
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    routed(&bench, &crm).await;
    let replay = begun(&bench, &crm, everything(&*bench.store, Select::Missed)).await;
    for sent in [50, 300, 301, 600, 900] {
        until("more to be sent", || async { (bench.sent().len() > sent).then_some(()) }).await;
        bench.crash().await;
        bench.start();
    }
    let replay = ended(&bench, &replay).await;
    assert_eq!((replay.progress.status, counts(&replay)), (ReplayStatus::Completed, [900, 900, 0, 0]));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_endpoint_gets_no_replay_and_one_that_is_disabled_meanwhile_gets_the_rest_later() {
    let mut bench = Bench::new(|number, _, _| if number < 2 { Outcome::Rejected } else { Outcome::Delivered }).await;
    bench.start();
    bench.commit(names(0..600)).await;
    let crm = bench.register("crm", |endpoint| endpoint.retry = Some(vec![HOUR; 3])).await;
    let replay = begun(&bench, &crm, everything(&*bench.store, Select::Missed)).await;
    until("a failure", || async { (!bench.sent().is_empty()).then_some(()) }).await;
    let reason = Some(DisabledReason::Manual);
    let off = Endpoint { status: EndpointStatus::Disabled, disabled_reason: reason, ..crm.clone() };
    bench.store.update(&crm, off.clone()).await.expect("it is disabled");
    until("it to be seen", || async {
        let range = everything(&*bench.store, Select::All);
        bench.deliverer().replay(&off, range).await.expect("it runs").is_none().then_some(())
    })
    .await;
    bench.store.update(&off, crm.clone()).await.expect("it is enabled");
    let recover = || async { bench.deliverer().recover(crm.id.number).await.expect("it runs").then_some(()) };
    until("it to be taken up", recover).await;
    assert_eq!(counts(&ended(&bench, &replay).await), [600, 600, 0, 0]);
    let gone = begun(&bench, &crm, everything(&*bench.store, Select::All)).await;
    bench.store.delete(crm.id).await.expect("it is deleted");
    let gone = ended(&bench, &gone).await;
    assert_eq!(gone.progress.outstanding(), 0);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_may_try_what_a_replay_has_pending() {
    let mut bench = Bench::new(|number, _, _| if number == 0 { Outcome::Rejected } else { Outcome::Delivered }).await;
    bench.commit(names(0..1)).await;
    let crm = bench.register("crm", |endpoint| endpoint.retry = Some(vec![HOUR; 3])).await;
    bench.start();
    let replay = begun(&bench, &crm, everything(&*bench.store, Select::Missed)).await;
    let waits =
        until("a failure", || async { record(&bench, &crm, 1).await.filter(|record| record.attempt_count == 1) }).await;
    until("it to be free", || async {
        matches!(bench.deliverer().retry(&waits).await.expect("it runs"), ByHand::Done(_)).then_some(())
    })
    .await;
    assert_eq!(counts(&ended(&bench, &replay).await), [1, 1, 0, 0]);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_tells_how_much_of_its_range_was_cut_before_it_came_to_it() {
    for (last, named, expected, cut) in [
        (10, &[][..], [6, 6, 0, 0], 4),
        (4, &[], [0, 0, 0, 0], 4),
        (3, &[], [0, 0, 0, 0], 3),
        (10, &[1, 4, 5, 9], [2, 2, 0, 0], 2),
    ] {
        let memory = Arc::new(Memory::new());
        let clock = Arc::new(TestClock::new(Dice(1)));
        let mut bench = Bench::in_memory(clock, |_, _, _| Outcome::Delivered).with(Arc::clone(&memory) as _);
        bench.start();
        let crm = bench.register("crm", |_| {}).await;
        bench.commit(names(0..10)).await;
        bench.await_ended(DeliveryStatus::Delivered, 10).await;
        bench.switch(crm.id, EndpointStatus::Disabled).await;
        let log = bench.store.events_after(Position::START, 10).await.expect("a log");
        let event_ids = named.iter().map(|position: &usize| log[position - 1].id).collect();
        let range = Range { until: Position(last), event_ids, ..everything(&*bench.store, Select::All) };
        let course = Course::Log(range);
        let id = ReplayId { number: ReplayNumber(0), random: 1 };
        let (created_at, progress) = (Timestamp::EPOCH, Progress::before(&course));
        let replay = Replay { id, endpoint_id: crm.id, created_at, course, progress };
        let replay = bench.store.begin_replay(replay).await.expect("the store works").expect("it is registered");
        memory.cut(Position(4));
        bench.switch(crm.id, EndpointStatus::Enabled).await;
        let ended = ended(&bench, &replay).await;
        assert_eq!(ended.progress.status, ReplayStatus::Completed);
        assert_eq!((counts(&ended), ended.progress.cut), (expected, cut), "up to {last}, {named:?}");
        bench.stop().await;
    }
}
