//! The queue of the `deliver` room: the real store, the real loop, and a scripted network.

use std::time::Duration;

use certhook::model::delivery::{DeliveryStatus, Outcome};
use certhook::model::endpoint::{DisabledReason, EndpointStatus};
use certhook::model::filter::Filter;
use certhook::model::id::Position;
use certhook::store::DeliveryQuery;

use self::rig::{Bench, Sent, names, resources};
use crate::support::process::until;

mod backlog;
mod by_hand;
mod clocks;
mod dice;
mod health;
mod hostile;
mod isolation;
mod meddler;
mod races;
mod receivers;
mod replay;
mod resync;
mod retention;
mod rig;
mod room;
mod simulation;
mod taken_up;
mod undelivered;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_is_not_sent_again_after_a_restart() {
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    bench.start();
    bench.register("crm", |_| {}).await;
    bench.commit(names(0..50)).await;
    bench.await_ended(DeliveryStatus::Delivered, 50).await;
    bench.stop().await;
    bench.start();
    bench.commit(names(50..60)).await;
    bench.await_ended(DeliveryStatus::Delivered, 60).await;
    assert_eq!(bench.sent().len(), 60, "each once");
    bench.crash().await;
    bench.start();
    bench.commit(names(60..61)).await;
    bench.await_ended(DeliveryStatus::Delivered, 61).await;
    assert_eq!(bench.sent().len(), 61, "what has a record is not sent again, crash or not");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_tried_again_and_later_events_of_its_resource_wait() {
    let mut bench = Bench::new(|number, _, _| if number < 2 { Outcome::ServerError } else { Outcome::Delivered }).await;
    bench.start();
    bench.register("crm", |_| {}).await;
    bench.commit(["a", "a", "a"].map(str::to_owned)).await;
    bench.await_ended(DeliveryStatus::Delivered, 3).await;
    let attempts: Vec<String> = bench.sent().into_iter().map(|one| one.attempt).collect();
    assert_eq!(attempts, ["1", "2", "3", "1", "1"]);
    let ids: Vec<String> = bench.sent().into_iter().map(|one| one.id).collect();
    assert_eq!([&ids[0], &ids[0]], [&ids[1], &ids[2]], "the id stays the same");
    assert!(ids[2] < ids[3] && ids[3] < ids[4], "in the order of the log");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_given_up_is_failed_and_releases_those_behind_it() {
    let mut bench = Bench::new(|number, _, _| if number < 4 { Outcome::Rejected } else { Outcome::Delivered }).await;
    bench.start();
    bench.register("crm", |_| {}).await;
    bench.commit(["a", "a"].map(str::to_owned)).await;
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    bench.await_ended(DeliveryStatus::Failed, 1).await;
    let query = DeliveryQuery { status: Some(DeliveryStatus::Failed), limit: 10, ..DeliveryQuery::default() };
    let failed = bench.store.deliveries(query).await.expect("a list").found.remove(0);
    let numbers: Vec<u32> = failed.attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!((failed.attempt_count, numbers, failed.next_attempt_at), (4, vec![1, 2, 3, 4], None));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_survives_a_crash_with_its_count() {
    let mut bench = Bench::new(|number, _, _| if number == 0 { Outcome::TimedOut } else { Outcome::Delivered }).await;
    bench.start();
    bench.register("crm", |endpoint| endpoint.retry = Some(vec![Duration::from_millis(300)])).await;
    bench.commit(["a", "a"].map(str::to_owned)).await;
    bench.await_ended(DeliveryStatus::Pending, 1).await;
    bench.crash().await;
    bench.start();
    bench.await_ended(DeliveryStatus::Delivered, 2).await;
    let attempts: Vec<String> = bench.sent().into_iter().map(|one| one.attempt).collect();
    assert_eq!(attempts, ["1", "2", "1"], "the retry first, then the one that waited behind it");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_far_behind_catches_up_from_the_log_in_order() {
    const EVENTS: usize = 6_000;
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    bench.commit(names(0..EVENTS)).await;
    bench.start();
    bench
        .register("crm", |endpoint| {
            endpoint.start = Position::START;
            endpoint.max_in_flight = Some(1);
        })
        .await;
    until("all of them", || async { (bench.sent().len() == EVENTS).then_some(()) }).await;
    let expected: Vec<String> = names(0..EVENTS).collect();
    assert_eq!(resources(&bench.sent()), expected);
    bench.stop().await;
    bench.start();
    bench.commit(names(EVENTS..EVENTS + 1)).await;
    until("the next one", || async { (bench.sent().len() > EVENTS).then_some(()) }).await;
    assert_eq!(bench.sent()[EVENTS].resource, format!("cert_{EVENTS}"), "and nothing is sent again");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_endpoint_gets_what_comes_after_its_registration() {
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    bench.start();
    bench.commit(names(0..5)).await;
    bench.register("crm", |_| {}).await;
    bench.crash().await;
    bench.start();
    bench.commit(names(5..8)).await;
    bench.await_ended(DeliveryStatus::Delivered, 3).await;
    let mut sent = bench.sent();
    sent.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(resources(&sent), ["cert_5", "cert_6", "cert_7"]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_does_not_hold_back_another() {
    let mut bench =
        Bench::new(|_, url, _| if url.contains("dead") { Outcome::ConnectFailed } else { Outcome::Delivered }).await;
    bench.start();
    bench.register("dead", |endpoint| endpoint.retry = Some(vec![Duration::from_secs(3600)])).await;
    bench.register("crm", |_| {}).await;
    bench.commit(names(0..300)).await;
    bench.await_ended(DeliveryStatus::Delivered, 300).await;
    bench.stop().await;
    let before = bench.sent().len();
    bench.start();
    bench.commit(names(300..301)).await;
    bench.await_ended(DeliveryStatus::Delivered, 301).await;
    let again = bench.sent()[before..].iter().filter(|one| one.url.contains("crm")).count();
    assert_eq!(again, 1, "only the new one");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_disabled_and_takes_up_where_it_stopped() {
    let mut bench = Bench::new(|number, _, _| if number == 2 { Outcome::Gone } else { Outcome::Delivered }).await;
    bench.start();
    let endpoint = bench.register("crm", |endpoint| endpoint.max_in_flight = Some(1)).await;
    bench.commit(names(0..5)).await;
    let disabled = until("the endpoint to be disabled", || async {
        Some(bench.endpoint(endpoint.id).await).filter(|known| known.status == EndpointStatus::Disabled)
    })
    .await;
    assert_eq!(disabled.disabled_reason, Some(DisabledReason::Gone));
    bench.register("witness", |_| {}).await;
    bench.commit(names(5..7)).await;
    bench.await_ended(DeliveryStatus::Delivered, 4).await;
    let to_crm = || bench.sent().into_iter().filter(|one| one.url.contains("crm")).collect::<Vec<_>>();
    assert_eq!(to_crm().len(), 3, "the witness has what came since, and nothing more is sent to who is gone");
    bench.switch(endpoint.id, EndpointStatus::Enabled).await;
    bench.await_ended(DeliveryStatus::Delivered, 9).await;
    let mut sent = to_crm();
    sent.sort_by(|a, b| (&a.id, &a.attempt).cmp(&(&b.id, &b.attempt)));
    let gone_again = ["cert_0", "cert_1", "cert_2", "cert_2", "cert_3", "cert_4", "cert_5", "cert_6"];
    assert_eq!(resources(&sent), gone_again, "each once, but for the one that was answered with 410");
    assert_eq!(sent[3].attempt, "2");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_patterns_choose_and_a_change_of_them_counts_from_then_on() {
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    bench.start();
    let chosen = bench
        .register("chosen", |endpoint| endpoint.filter.customer_ids = vec!["cus_cert_1".into(), "cus_cert_3".into()])
        .await;
    bench.register("requests", |endpoint| endpoint.types = vec!["certificate_request.*".parse().expect("ok")]).await;
    bench.register("all", |_| {}).await;
    bench.commit(names(0..5)).await;
    bench.await_ended(DeliveryStatus::Delivered, 7).await;
    bench.change(chosen.id, |chosen| chosen.filter = Filter::default()).await;
    until("the change to be taken up", || async {
        bench.commit(["late".to_owned()]).await;
        let late = |one: &Sent| one.url.contains("chosen") && one.resource == "late";
        bench.sent().iter().any(late).then_some(())
    })
    .await;
    let sent = bench.sent();
    let mut to_chosen: Vec<_> = sent
        .iter()
        .filter(|one| one.url.contains("chosen") && one.resource != "late")
        .map(|one| &one.resource)
        .collect();
    to_chosen.sort();
    assert_eq!(to_chosen, ["cert_1", "cert_3"]);
    assert!(!sent.iter().any(|one| one.url.contains("requests")));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_endpoint_gets_nothing_more_and_what_waited_is_canceled() {
    let mut bench = Bench::new(|_, _, _| Outcome::ServerError).await;
    bench.start();
    let endpoint = bench.register("crm", |endpoint| endpoint.retry = Some(vec![Duration::from_secs(3600)])).await;
    bench.commit(names(0..3)).await;
    bench.await_ended(DeliveryStatus::Pending, 3).await;
    assert!(bench.store.delete(endpoint.id).await.expect("it is deleted"));
    bench.await_ended(DeliveryStatus::Canceled, 3).await;
    bench.register("other", |endpoint| endpoint.retry = Some(vec![Duration::from_secs(3600)])).await;
    bench.commit(names(3..4)).await;
    until("the other one to be tried", || async { (bench.sent().len() == 4).then_some(()) }).await;
    bench.stop().await;
    bench.start();
    bench.commit(names(4..5)).await;
    until("the other one again", || async { (bench.sent().len() == 5).then_some(()) }).await;
    assert!(bench.sent()[3..].iter().all(|one| one.url.contains("other")));
    bench.stop().await;
}
