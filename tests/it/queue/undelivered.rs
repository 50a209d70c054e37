//! A delivery that ends undelivered holds back the later ones of its resource until that is durable: a process that is
//! killed before knows nothing of it, and tries it again.

use std::sync::Arc;
use std::time::Duration;

use certhook::model::delivery::{ByHand, DeliveryStatus, Outcome};
use certhook::store::DeliveryQuery;

use super::dice::Dice;
use super::meddler::Meddler;
use super::rig::{Bench, TestClock};

/// A receiver that refuses the first request, and then takes everything; each delivery is tried after such waits.
fn refuses_once(retry: Vec<Duration>) -> Bench {
    let answer = |number| if number == 0 { Outcome::Rejected } else { Outcome::Delivered };
    let mut bench = Bench::in_memory(Arc::new(TestClock::new(Dice(1))), move |number, _, _| answer(number));
    bench.settings.retry = retry;
    bench
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_delivery_that_is_given_up_does_not_go_before_that_is_durable() {
    let mut bench = refuses_once(Vec::new());
    let meddler = Meddler::over(&bench.store);
    bench.store = Arc::clone(&meddler) as _;
    let settle = || tokio::time::sleep(Duration::from_secs(60));
    bench.start();
    bench.register("crm", |_| {}).await;
    settle().await;
    meddler.commits.shut();
    bench.commit(["a", "a"].map(str::to_owned)).await;
    settle().await;
    let first = bench.sent()[0].id.clone();
    bench.crash().await;
    meddler.commits.let_all_pass();
    bench.start();
    bench.await_ended(DeliveryStatus::Delivered, 2).await;
    assert_eq!(bench.sent().len(), 3, "nobody knows any more that the first one was given up");
    assert_eq!(bench.sent()[1].id, first, "so it comes again, before the later one ever came");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_delivery_that_is_given_up_goes_as_soon_as_that_is_durable() {
    let mut bench = refuses_once(Vec::new());
    bench.start();
    bench.register("crm", |_| {}).await;
    bench.commit(["a", "a"].map(str::to_owned)).await;
    bench.await_ended(DeliveryStatus::Failed, 1).await;
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    assert_eq!(bench.sent().len(), 2);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_delivery_that_is_canceled_does_not_go_before_that_is_durable() {
    const RETRY: Duration = Duration::from_secs(600);
    let mut bench = refuses_once(vec![RETRY]);
    let meddler = Meddler::over(&bench.store);
    bench.store = Arc::clone(&meddler) as _;
    let settle = || tokio::time::sleep(Duration::from_secs(60));
    bench.start();
    bench.register("crm", |_| {}).await;
    bench.commit(["a", "a"].map(str::to_owned)).await;
    settle().await;
    let query = DeliveryQuery { limit: 2, ..DeliveryQuery::default() };
    let waiting = bench.store.deliveries(query).await.expect("a list").found.remove(0);
    assert_eq!((waiting.status, waiting.attempt_count), (DeliveryStatus::Pending, 1));
    meddler.commits.shut();
    let canceled = tokio::time::timeout(Duration::from_secs(60), bench.deliverer().cancel(&waiting)).await;
    assert!(canceled.is_err(), "it is being kept");
    bench.crash().await;
    meddler.commits.let_all_pass();
    bench.start();
    tokio::time::sleep(RETRY).await;
    bench.await_ended(DeliveryStatus::Delivered, 2).await;
    let sent: Vec<_> = bench.sent().into_iter().map(|one| one.id).collect();
    assert_eq!(sent.len(), 3);
    assert_eq!(sent[..2], [waiting.event_id.to_string(), waiting.event_id.to_string()], "it was never canceled");
    let handled = bench.deliverer().cancel(&waiting).await.expect("it runs");
    assert_eq!(handled, ByHand::Ended(DeliveryStatus::Delivered));
    bench.stop().await;
}
