//! Machines whose clock is set while deliveries wait.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use certhook::clock::{Clock, ManualClock};
use certhook::deliver::transport::{Request, Response, Transport};
use certhook::model::delivery::{DeliveryStatus, Outcome};
use certhook::model::time::Timestamp;
use tokio::time::Instant;

use super::rig::Bench;

const HOUR: Duration = Duration::from_secs(3600);

fn noon() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().expect("an instant")
}

#[tokio::test(start_paused = true)]
async fn what_is_due_once_the_clock_was_set_forward_is_tried_within_a_minute() {
    let clock = Arc::new(ManualClock::at(noon()));
    let answer = |number| if number == 0 { Outcome::Throttled } else { Outcome::Delivered };
    let mut bench = Bench::in_memory(Arc::clone(&clock) as _, move |number, _, _| answer(number));
    bench.start();
    bench.register("crm", |_| {}).await;
    bench.commit(["a".to_owned()]).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.sent().len(), 1, "it is to be tried again after an hour");
    clock.advance(2 * HOUR);
    let set = Instant::now();
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    assert!(set.elapsed() < Duration::from_secs(60));
    bench.stop().await;
}

/// The clock of a machine that was set back by two hours.
struct SetBack(ManualClock);

impl Clock for SetBack {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn shown(&self) -> Timestamp {
        self.0.now().minus(2 * HOUR)
    }
}

/// Takes everything, and keeps the instants in the signatures.
#[derive(Debug, Default)]
struct Takes(Mutex<Vec<String>>);

#[async_trait]
impl Transport for Takes {
    async fn send(&self, request: Request) -> Response {
        let signed = request.headers.into_iter().find(|(name, _)| *name == "webhook-timestamp");
        self.0.lock().expect("no panic while it is held").extend(signed.map(|(_, at)| at));
        Response {
            outcome: Outcome::Delivered,
            status_code: Some(204),
            error: None,
            body: None,
            address: None,
            retry_after: None,
            took: Duration::ZERO,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_signed_is_the_instant_that_the_machines_clock_shows() {
    let mut bench = Bench::in_memory(Arc::new(SetBack(ManualClock::at(noon()))), |_, _, _| Outcome::Delivered);
    let receiver = Arc::new(Takes::default());
    bench.transport = Arc::clone(&receiver) as _;
    bench.start();
    bench.register("crm", |_| {}).await;
    bench.commit(["a".to_owned()]).await;
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    bench.stop().await;
    let ten = noon().minus(2 * HOUR).as_seconds().to_string();
    assert_eq!(*receiver.0.lock().expect("no panic while it is held"), [ten]);
}
