//! Endpoints that fail: how they are left alone, looked at, and taken up again.

use std::time::Duration;

use certhook::model::delivery::{DeliveryRecord, DeliveryStatus, Outcome, Trigger};
use certhook::store::DeliveryQuery;

use super::rig::{Bench, names};

const HOUR: Duration = Duration::from_secs(3600);

async fn records(bench: &Bench) -> Vec<DeliveryRecord> {
    let query = DeliveryQuery { ascending: true, limit: 1_000, ..DeliveryQuery::default() };
    bench.store.deliveries(query).await.expect("a list").found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_comes_back_is_found_by_a_probe_and_gets_all_that_waits() {
    let mut bench = Bench::new(|number, _, _| if number < 6 { Outcome::TimedOut } else { Outcome::Delivered }).await;
    bench.settings.circuit.first = HOUR;
    bench.settings.circuit.most = HOUR;
    bench.settings.circuit.probe = Duration::from_millis(20);
    bench.start();
    bench.register("crm", |endpoint| endpoint.retry = Some(vec![HOUR; 2])).await;
    bench.commit(names(0..1)).await;
    bench.await_ended(DeliveryStatus::Pending, 1).await;
    bench.commit(names(1..40)).await;
    bench.await_ended(DeliveryStatus::Delivered, 40).await;
    bench.stop().await;
    let first = records(&bench).await.remove(0);
    let triggers: Vec<Trigger> = first.attempts.iter().map(|attempt| attempt.trigger).collect();
    assert_eq!(triggers[0], Trigger::Scheduled);
    assert!(triggers[3..].iter().all(|trigger| *trigger == Trigger::Probe), "the breaker is open: {triggers:?}");
    let charged = triggers.iter().filter(|trigger| **trigger == Trigger::Scheduled).count();
    assert_eq!(first.charged as usize, charged, "probes are recorded and charged to nobody");
    assert_eq!(bench.sent().len(), 46, "six failures, and then each once");
}
