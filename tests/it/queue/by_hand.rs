//! What operators do with one delivery.

use std::sync::Arc;
use std::time::Duration;

use certhook::deliver::Deliverer;
use certhook::model::delivery::{ByHand, DeliveryRecord, DeliveryStatus, Outcome, Trigger};
use certhook::model::endpoint::{Endpoint, EndpointStatus};
use certhook::model::id::Position;
use certhook::store::DeliveryQuery;

use super::dice::Dice;
use super::rig::{Bench, TestClock, names};
use crate::support::memory::Memory;
use crate::support::process::until;

const HOUR: Duration = Duration::from_secs(3600);

async fn look(bench: &Bench, position: u64) -> Option<DeliveryRecord> {
    let query = DeliveryQuery { position: Some(Position(position)), limit: 9, ..DeliveryQuery::default() };
    bench.store.deliveries(query).await.expect("a list").found.into_iter().next()
}

async fn record(bench: &Bench, position: u64) -> DeliveryRecord {
    look(bench, position).await.expect("a record")
}

/// The record once it has so many attempts and nobody is busy with it any more.
async fn tried(bench: &Bench, attempts: u32) -> DeliveryRecord {
    let tried = |record: &DeliveryRecord| record.attempt_count == attempts;
    until("the attempts", || async { look(bench, 1).await.filter(tried) }).await
}

/// Asks until nobody is busy with the delivery any more: its last attempt may be durable before the queue knows.
async fn retry(bench: &Bench, record: &DeliveryRecord) -> DeliveryRecord {
    until("the delivery to be free", || async {
        match bench.deliverer().retry(record).await.expect("it runs") {
            ByHand::Done(record) => Some(*record),
            ByHand::UnderWay => None,
            other @ (ByHand::Ended(_) | ByHand::Disabled | ByHand::NotKept) => panic!("{other:?}"),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_waits_is_tried_now_and_stays_due_when_it_was_if_that_fails() {
    let mut bench = Bench::new(|number, _, _| if number < 4 { Outcome::TimedOut } else { Outcome::Delivered }).await;
    (bench.settings.circuit.first, bench.settings.circuit.most) = (HOUR, HOUR);
    bench.start();
    bench.register("crm", |endpoint| endpoint.retry = Some(vec![HOUR; 2])).await;
    bench.commit(names(0..1)).await;
    let first = tried(&bench, 1).await;
    for attempts in 2..=4 {
        retry(&bench, &first).await;
        let again = tried(&bench, attempts).await;
        assert_eq!(
            (again.charged, again.next_attempt_at),
            (1, first.next_attempt_at),
            "an open breaker is no obstacle"
        );
    }
    retry(&bench, &first).await;
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    let last = record(&bench, 1).await;
    let triggers: Vec<Trigger> = last.attempts.iter().map(|attempt| attempt.trigger).collect();
    assert_eq!(triggers, [vec![Trigger::Scheduled], vec![Trigger::Manual; 4]].concat());
    let refused = bench.deliverer().retry(&first).await.expect("it runs");
    assert_eq!(refused, ByHand::Ended(DeliveryStatus::Delivered));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_has_failed_begins_its_schedule_anew() {
    let mut bench = Bench::new(|number, _, _| if number < 3 { Outcome::Rejected } else { Outcome::Delivered }).await;
    bench.start();
    let crm = bench.register("crm", |endpoint| endpoint.retry = Some(vec![Duration::from_millis(5)])).await;
    bench.commit(names(0..1)).await;
    bench.await_ended(DeliveryStatus::Failed, 1).await;
    let failed = record(&bench, 1).await;
    assert_eq!(retry(&bench, &failed).await.status, DeliveryStatus::Pending);
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    let last = record(&bench, 1).await;
    assert_eq!((last.attempt_count, last.charged), (4, 2), "the third failed as well, and had a wait left");
    bench.switch(crm.id, EndpointStatus::Disabled).await;
    let event = bench.store.event(Position(1)).await.expect("a look").expect("it is there");
    assert_eq!(bench.deliverer().redeliver(&event, &crm).await.expect("it runs"), ByHand::Disabled);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_canceled_releases_those_behind_it() {
    let mut bench = Bench::new(|number, _, _| if number == 0 { Outcome::Rejected } else { Outcome::Delivered }).await;
    bench.start();
    bench.register("crm", |endpoint| endpoint.retry = Some(vec![HOUR; 2])).await;
    bench.commit(["a", "a"].map(str::to_owned)).await;
    let first = tried(&bench, 1).await;
    until("it to be canceled", || async {
        matches!(bench.deliverer().cancel(&first).await.expect("it runs"), ByHand::Done(_)).then_some(())
    })
    .await;
    assert_eq!(record(&bench, 1).await.status, DeliveryStatus::Canceled, "as soon as that was said");
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    let second = record(&bench, 2).await;
    assert_eq!(second.status, DeliveryStatus::Delivered);
    let delivered = bench.deliverer().cancel(&second).await.expect("it runs");
    assert_eq!(delivered, ByHand::Ended(DeliveryStatus::Delivered));
    let canceled = bench.deliverer().cancel(&first).await.expect("it runs");
    assert_eq!(canceled, ByHand::Ended(DeliveryStatus::Canceled));
    bench.crash().await;
    bench.start();
    bench.commit(names(0..1)).await;
    bench.await_ended(DeliveryStatus::Delivered, 2).await;
    assert_eq!(bench.sent().len(), 3, "and it stays so");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_can_do_with_a_delivery_follows_from_its_status() {
    use DeliveryStatus::{Canceled, Delivered, Failed, Pending};
    let answers = |_: u64, _: &str, resource: &str| match resource {
        "delivered" => Outcome::Delivered,
        "failed" => Outcome::Aborted,
        _ => Outcome::Rejected,
    };
    for (status, retry_ends, cancel_ends) in [
        (Pending, None, None),
        (Delivered, Some(Delivered), Some(Delivered)),
        (Failed, None, Some(Failed)),
        (Canceled, None, Some(Canceled)),
    ] {
        for (what, ends) in [("retry", retry_ends), ("cancel", cancel_ends)] {
            let mut bench = Bench::in_memory(Arc::new(TestClock::new(Dice(1))), answers);
            bench.start();
            bench.register("crm", |endpoint| endpoint.retry = Some(vec![HOUR; 2])).await;
            let name = [(Delivered, "delivered"), (Failed, "failed")].into_iter().find(|(known, _)| *known == status);
            bench.commit([name.map_or("waits", |(_, name)| name).to_owned()]).await;
            let settle = || tokio::time::sleep(Duration::from_secs(60));
            settle().await;
            if status == Canceled {
                bench.deliverer().cancel(&record(&bench, 1).await).await.expect("it runs");
            }
            let before = record(&bench, 1).await;
            assert_eq!(before.status, status);
            let handled = match what {
                "retry" => bench.deliverer().retry(&before).await.expect("it runs"),
                _ => bench.deliverer().cancel(&before).await.expect("it runs"),
            };
            settle().await;
            let after = record(&bench, 1).await;
            match (ends, what) {
                (Some(ended), _) => {
                    assert_eq!((handled, after), (ByHand::Ended(ended), before), "{what} of {status:?}");
                }
                (None, "retry") => {
                    assert!(matches!(handled, ByHand::Done(record) if record.status == Pending), "{status:?}");
                    assert_eq!(after.attempt_count, before.attempt_count + 1, "{status:?} is tried again");
                }
                (None, _) => {
                    assert!(matches!(handled, ByHand::Done(record) if record.status == Canceled), "{status:?}");
                    assert_eq!(after.status, Canceled);
                }
            }
            bench.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_whose_event_is_no_longer_kept_is_not_begun_anew() {
    let memory = Arc::new(Memory::new());
    let clock = Arc::new(TestClock::new(Dice(1)));
    let mut bench = Bench::in_memory(clock, |_, _, _| Outcome::Aborted).with(Arc::clone(&memory) as _);
    bench.start();
    bench.register("crm", |_| {}).await;
    bench.commit(names(0..2)).await;
    bench.await_ended(DeliveryStatus::Failed, 2).await;
    let failed = record(&bench, 1).await;
    memory.cut(Position(1));
    assert_eq!(bench.deliverer().retry(&failed).await.expect("it runs"), ByHand::NotKept);
    let kept = bench.store.delivery(failed.id).await.expect("a look");
    assert_eq!(kept, Some(failed), "it stays failed");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_sent_once_more_or_to_whom_it_was_not_meant_for() {
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    bench.start();
    let crm = bench.register("crm", |_| {}).await;
    let other =
        bench.register("other", |endpoint| endpoint.types = vec!["gateway.*".parse().expect("a pattern")]).await;
    bench.commit(names(0..1)).await;
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    let event = bench.store.event(Position(1)).await.expect("a look").expect("it is there");
    for endpoint in [&crm, &other] {
        let handled = bench.deliverer().redeliver(&event, endpoint).await.expect("it runs");
        assert!(matches!(handled, ByHand::Done(_)), "{handled:?}");
    }
    bench.await_ended(DeliveryStatus::Delivered, 2).await;
    until("both", || async { (bench.sent().len() == 3).then_some(()) }).await;
    assert!(bench.sent().iter().all(|one| one.id == event.id.to_string()));
    bench.stop().await;
    let again = record(&bench, 1).await;
    assert_eq!((again.status, again.charged), (DeliveryStatus::Delivered, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_that_are_held_send_nothing_and_the_next_start_sends_all() {
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    bench.start_with(Deliverer::hold);
    let endpoint = bench.register("crm", |_| {}).await;
    bench.commit(names(0..3)).await;
    // Each of these goes once through the loop that would start attempts.
    until("the endpoint to be known", || async { recover(&bench, &endpoint).await.then_some(()) }).await;
    for _ in 0..200 {
        assert!(recover(&bench, &endpoint).await);
    }
    let event = bench.store.event(Position(1)).await.expect("a log").expect("an event");
    let asked = bench.deliverer().redeliver(&event, &endpoint).await.expect("it runs");
    assert!(matches!(asked, ByHand::UnderWay), "its turn has not come: {asked:?}");
    assert!(bench.sent().is_empty());
    bench.stop().await;
    bench.start();
    bench.await_ended(DeliveryStatus::Delivered, 3).await;
    bench.stop().await;
}

async fn recover(bench: &Bench, endpoint: &Endpoint) -> bool {
    bench.deliverer().recover(endpoint.id.number).await.expect("it runs")
}
