//! What is taken up again after an endpoint was switched off and on, or after a restart, and what is not.

use std::sync::Arc;
use std::time::Duration;

use certhook::model::delivery::{ByHand, DeliveryRecord, DeliveryStatus, Outcome};
use certhook::model::endpoint::EndpointStatus;
use certhook::model::id::Position;
use certhook::store::DeliveryQuery;

use super::meddler::Meddler;
use super::rig::{Bench, names, resources};
use crate::support::process::until;

const HOUR: Duration = Duration::from_secs(3600);

/// Lets the deliveries see changes of endpoints only when the test says so.
fn blindfold(bench: &mut Bench) -> Arc<Meddler> {
    let meddler = Meddler::over(&bench.store);
    bench.store = Arc::clone(&meddler) as _;
    meddler
}

async fn records(bench: &Bench) -> Vec<DeliveryRecord> {
    let query = DeliveryQuery { ascending: true, limit: 100, ..DeliveryQuery::default() };
    bench.store.deliveries(query).await.expect("a list").found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_tried_again_also_if_nobody_saw_that_the_endpoint_was_off() {
    let mut bench =
        Bench::new(|number, _, _| if number == 0 { Outcome::ServerError } else { Outcome::Delivered }).await;
    let meddler = blindfold(&mut bench);
    bench.start();
    let crm = bench.register("crm", |endpoint| endpoint.retry = Some(Vec::new())).await;
    bench.commit(names(0..1)).await;
    bench.await_ended(DeliveryStatus::Failed, 1).await;
    meddler.looks.shut();
    bench.switch(crm.id, EndpointStatus::Disabled).await;
    bench.deliverer().retry_failed(&bench.endpoint(crm.id).await).await.expect("the store works");
    bench.switch(crm.id, EndpointStatus::Enabled).await;
    meddler.looks.let_all_pass();
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_skipped_also_if_nobody_saw_that_the_endpoint_was_off() {
    let mut bench = Bench::new(|number, _, _| if number == 0 { Outcome::Rejected } else { Outcome::Delivered }).await;
    let meddler = blindfold(&mut bench);
    bench.start();
    let crm = bench.register("crm", |endpoint| endpoint.retry = Some(vec![HOUR])).await;
    bench.commit(["a", "a"].map(str::to_owned)).await;
    bench.await_ended(DeliveryStatus::Pending, 1).await;
    meddler.looks.shut();
    bench.switch(crm.id, EndpointStatus::Disabled).await;
    let head = *bench.store.head().borrow();
    bench.enable(crm.id, Some(head)).await;
    meddler.looks.let_all_pass();
    bench.await_ended(DeliveryStatus::Canceled, 1).await;
    bench.commit(["b".to_owned()]).await;
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    bench.stop().await;
    assert_eq!(resources(&bench.sent()), ["a", "b"], "what waited behind it is skipped, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_sent_from_before_the_start_of_an_endpoint_goes_on_after_a_restart() {
    let mut bench = Bench::new(|number, _, _| if number == 0 { Outcome::Rejected } else { Outcome::Delivered }).await;
    bench.commit(names(0..1)).await;
    bench.start();
    let crm = bench.register("crm", |endpoint| endpoint.retry = Some(vec![HOUR])).await;
    assert_eq!(crm.start, Position(1), "it is not for it");
    let event = bench.store.event(Position(1)).await.expect("a look").expect("it is there");
    until("the endpoint to be taken up", || async {
        let handled = bench.deliverer().redeliver(&event, &crm).await.expect("it runs");
        matches!(handled, ByHand::Done(_)).then_some(())
    })
    .await;
    until("the first attempt", || async { (records(&bench).await.first()?.attempt_count == 1).then_some(()) }).await;
    bench.crash().await;
    bench.start();
    until("it to be taken up", || async { bench.deliverer().recover(crm.id.number).await.ok().filter(|done| *done) })
        .await;
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_never_wants_is_not_tried_again_when_its_endpoint_is_enabled() {
    let mut bench = Bench::new(|_, _, resource| match resource {
        "cert_0" => Outcome::Aborted,
        "cert_1" => Outcome::Delivered,
        _ => Outcome::ServerError,
    })
    .await;
    bench.start();
    let crm = bench.register("crm", |endpoint| endpoint.retry = Some(Vec::new())).await;
    for (nth, status) in [(0, DeliveryStatus::Failed), (1, DeliveryStatus::Delivered)] {
        bench.commit(names(nth..nth + 1)).await;
        bench.await_ended(status, 1).await;
    }
    let resumed = async |bench: &Bench| {
        bench.switch(crm.id, EndpointStatus::Disabled).await;
        let off = bench.endpoint(crm.id).await;
        bench.deliverer().retry_failed(&off).await.expect("the store works");
        bench.deliverer().backlog(&off).await.expect("a count").pending
    };
    assert_eq!(resumed(&bench).await, 0, "the endpoint took something since");
    bench.switch(crm.id, EndpointStatus::Enabled).await;
    bench.commit(["cert_0", "cert_2", "cert_0"].map(str::to_owned)).await;
    bench.await_ended(DeliveryStatus::Failed, 4).await;
    assert_eq!(resumed(&bench).await, 1, "and of what failed since, one ran out of attempts");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_a_receiver_asked_for_outlasts_a_restart() {
    let mut bench = Bench::new(|number, _, _| if number == 0 { Outcome::Throttled } else { Outcome::Delivered }).await;
    bench.start();
    let crm = bench.register("crm", |_| {}).await;
    bench.commit(names(0..1)).await;
    until("the attempt", || async { (records(&bench).await.first()?.attempt_count == 1).then_some(()) }).await;
    bench.crash().await;
    bench.start();
    bench.register("witness", |_| {}).await;
    bench.commit(names(1..2)).await;
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    let to_crm = || bench.sent().iter().filter(|one| one.url.contains("crm")).count();
    assert_eq!(to_crm(), 1, "it asked for an hour");
    assert!(bench.deliverer().recover(crm.id.number).await.expect("it runs"));
    bench.await_ended(DeliveryStatus::Delivered, 3).await;
    assert_eq!(to_crm(), 3, "unless an operator knows better");
    bench.stop().await;
}
