//! What is counted of what an endpoint has not got yet.

use std::sync::Arc;

use certhook::clock::SystemClock;
use certhook::model::delivery::{DeliveryStatus, Outcome};
use certhook::model::endpoint::{Endpoint, EndpointStatus};
use certhook::model::filter::Filter;
use certhook::model::health::Backlog;
use certhook::model::id::Position;
use certhook::model::pattern::Pattern;

use super::rig::{Bench, names};
use crate::support::process::until;

fn patterns<const COUNT: usize>(patterns: [&str; COUNT]) -> Vec<Pattern> {
    patterns.map(|pattern| pattern.parse().expect("a pattern")).into()
}

async fn count(bench: &Bench, endpoint: &Endpoint) -> Backlog {
    bench.deliverer().backlog(&bench.endpoint(endpoint.id).await).await.expect("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pending_is_counted_by_type_and_filter_and_without_what_was_tried() {
    let mut bench = Bench::new(|_, _, _| Outcome::ServerError).await;
    bench.start();
    let crm = bench.register("crm", |crm| crm.types = patterns(["*", "endpoint.*", "delivery.*"])).await;
    let off = async |name: &str, types: Vec<Pattern>, filter: Filter| {
        let change = |endpoint: &mut Endpoint| {
            (endpoint.types, endpoint.filter, endpoint.status) = (types, filter, EndpointStatus::Disabled);
        };
        bench.register(name, change).await
    };
    let everything = off("everything", patterns(["*"]), Filter::default()).await;
    let nothing = off("nothing", patterns(["certificate.created"]), Filter::default()).await;
    let ops = off("ops", patterns(["endpoint.*", "delivery.*"]), Filter::default()).await;
    let second = Filter { customer_ids: vec!["cus_cert_2".into()], ..Filter::default() };
    let second = off("second", patterns(["*"]), second).await;
    bench.commit(names(0..1)).await;
    bench.await_ended(DeliveryStatus::Failed, 1).await;
    let told = until("what became of it", || async {
        let events = bench.store.events_after(Position::START, 10).await.expect("the log");
        (events.len() == 3).then_some(events)
    })
    .await;
    bench.switch(crm.id, EndpointStatus::Disabled).await;
    bench.commit(names(1..4)).await;
    let events = bench.store.events_after(Position::START, 10).await.expect("the log");
    let at = |position: usize| Some(events[position - 1].timestamp());
    for (endpoint, pending, oldest_at) in [
        (&crm, 3, at(4)),
        (&everything, 4, at(1)),
        (&nothing, 0, None),
        (&ops, 2, Some(told[1].timestamp())),
        (&second, 1, at(5)),
    ] {
        let expected = Backlog { pending, more: false, oldest_at };
        assert_eq!(count(&bench, endpoint).await, expected, "{:?}", endpoint.uid);
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_ten_thousand_events_are_looked_at_for_a_count() {
    let mut bench = Bench::in_memory(Arc::new(SystemClock::default()), |_, _, _| Outcome::Delivered);
    bench.start();
    let off = bench.register("off", |endpoint| endpoint.status = EndpointStatus::Disabled).await;
    bench.commit(names(0..10_000)).await;
    let whole = count(&bench, &off).await;
    assert_eq!((whole.pending, whole.more), (10_000, false));
    bench.commit(names(0..1)).await;
    let part = count(&bench, &off).await;
    assert_eq!((part.pending, part.more, part.oldest_at), (10_000, true, whole.oldest_at));
    bench.stop().await;
}
