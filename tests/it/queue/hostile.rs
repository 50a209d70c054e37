//! Hostile receivers over the real network, seen from the queue: what becomes of deliveries to them, and of everybody
//! else's.

use std::sync::Arc;
use std::time::Duration;

use certhook::clock::{Clock, SystemClock};
use certhook::deliver::guard::Guard;
use certhook::deliver::transport::HttpTransport;
use certhook::model::delivery::{DeliveryRecord, DeliveryStatus, Outcome};
use certhook::model::endpoint::{DisabledReason, Endpoint, EndpointStatus, EndpointUrl};
use certhook::model::time::Timestamp;
use certhook::store::DeliveryQuery;

use super::rig::{Bench, names};
use crate::deliver::fixture::{PATIENT, Receiver, Step, answer, say, settings};
use crate::deliver::secure::{Identity, Secure};
use crate::support::process::until;

const HOUR: Duration = Duration::from_secs(3600);

/// A queue over the real network, with this deadline.
async fn bench(timeout: Duration) -> Bench {
    let settings = settings(timeout);
    let guard = Arc::new(Guard::new(&settings));
    Bench::over(Arc::new(HttpTransport::new(&settings, guard).expect("a transport"))).await
}

async fn register(bench: &Bench, name: &str, to: &str, retry: Vec<Duration>) -> Endpoint {
    let url = EndpointUrl::new(&to.parse().expect("a URL"));
    let change = |endpoint: &mut Endpoint| {
        endpoint.url = url;
        endpoint.retry = Some(retry);
    };
    bench.register(name, change).await
}

/// The only delivery for an endpoint, once it was tried so often.
async fn tried(bench: &Bench, endpoint: &Endpoint, times: u32) -> DeliveryRecord {
    until("an attempt", || async {
        let query = DeliveryQuery { endpoint: Some(endpoint.id.number), limit: 2, ..DeliveryQuery::default() };
        let mut found = bench.store.deliveries(query).await.expect("a list").found;
        assert!(found.len() < 2, "one event, one delivery");
        found.pop().filter(|record| record.attempt_count >= times)
    })
    .await
}

/// A date as HTTP writes it.
fn http_date(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_seconds()).expect("a time").strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_receiver_asks_for_is_what_it_gets() {
    /// Of an hour, what chance leaves.
    const SCHEDULE: (u64, u64) = (2880, 4320);
    let now = SystemClock::default().now();
    let in_two_hours = http_date(now.plus(2 * HOUR));
    let last_year = http_date(Timestamp::from_millis(now.as_seconds() * 1000 - 365 * 24 * 3_600_000));
    let asking = |status: u16, wish: &str| answer(status, &format!("retry-after: {wish}\r\n"), "");
    let unreadable = [&b"HTTP/1.1 429 No\r\ncontent-length: 0\r\nretry-after: \xff\xfe\r\n\r\n"[..]].concat();
    let cases = [
        (asking(429, "7200"), Outcome::Throttled, (7200, 7260)),
        (asking(503, "7200"), Outcome::Throttled, (7200, 7260)),
        (asking(429, &in_two_hours), Outcome::Throttled, (7190, 7201)),
        (asking(429, "5"), Outcome::Throttled, SCHEDULE),
        (asking(429, "99999999999"), Outcome::Throttled, (86_400, 86_460)),
        (asking(503, &"9".repeat(60)), Outcome::Throttled, (86_400, 86_460)),
        (asking(429, "Fri, 31 Dec 9999 23:59:59 GMT"), Outcome::Throttled, (86_400, 86_460)),
        (asking(429, "-7200"), Outcome::Throttled, SCHEDULE),
        (asking(429, &last_year), Outcome::Throttled, SCHEDULE),
        (asking(429, "in two hours, please"), Outcome::Throttled, SCHEDULE),
        (asking(429, &"9".repeat(20_000)), Outcome::Throttled, SCHEDULE),
        (say(unreadable), Outcome::Throttled, SCHEDULE),
        (asking(500, "7200"), Outcome::ServerError, SCHEDULE),
        (answer(307, "location: http://127.0.0.1/\r\nretry-after: 7200\r\n", ""), Outcome::Redirected, SCHEDULE),
        (answer(404, "", ""), Outcome::Rejected, SCHEDULE),
    ];
    let mut bench = bench(PATIENT).await;
    let mut registered = Vec::new();
    for (number, (answer, outcome, wait)) in cases.into_iter().enumerate() {
        let receiver = Receiver::start(vec![answer]).await;
        let endpoint = register(&bench, &format!("receiver-{number}"), &receiver.url("/"), vec![HOUR]).await;
        registered.push((receiver, endpoint, outcome, wait));
    }
    bench.start();
    bench.commit(names(0..1)).await;
    for (number, (receiver, endpoint, outcome, (least, most))) in registered.into_iter().enumerate() {
        let record = tried(&bench, &endpoint, 1).await;
        assert_eq!((record.status, record.attempts[0].outcome), (DeliveryStatus::Pending, outcome), "{number}");
        let wait = record.next_attempt_at.expect("it is tried again").since(now).as_secs();
        assert!((least..=most).contains(&wait), "{number}: {wait} s");
        assert_eq!(receiver.requests().len(), 1);
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_can_end_one_delivery_or_all_of_them() {
    let mut bench = bench(PATIENT).await;
    let mut registered = Vec::new();
    for (number, (status, headers, disables)) in [
        (410, "", true),
        (200, "webhook-delivery: disable\r\n", true),
        (500, "webhook-delivery: disable\r\nretry-after: 5\r\n", true),
        (200, "webhook-delivery: abort-message\r\n", false),
        (410, "webhook-delivery: abort-message\r\n", false),
        (503, "webhook-delivery: abort-message\r\n", false),
    ]
    .into_iter()
    .enumerate()
    {
        let receiver = Receiver::start(vec![answer(status, headers, "")]).await;
        let endpoint = register(&bench, &format!("receiver-{number}"), &receiver.url("/"), vec![HOUR]).await;
        registered.push((receiver, endpoint, disables));
    }
    bench.start();
    bench.commit(names(0..1)).await;
    for (receiver, endpoint, disables) in registered {
        let record = tried(&bench, &endpoint, 1).await;
        let expected = if disables { (DeliveryStatus::Pending, 1) } else { (DeliveryStatus::Failed, 1) };
        assert_eq!((record.status, record.attempt_count), expected);
        let disabled = until("the endpoint's state", || async {
            let known = bench.store.endpoint(endpoint.id).await.expect("a look").expect("it is there");
            (disables == (known.status == EndpointStatus::Disabled)).then_some(known.disabled_reason)
        });
        assert_eq!(disabled.await, disables.then_some(DisabledReason::Gone));
        assert_eq!(receiver.requests().len(), 1);
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_ends_as_it_is_used_again_costs_no_attempt() {
    let ending = vec![Step::Read, answer(200, "", ""), Step::Read, Step::Reset];
    let receiver = Receiver::scripted(vec![ending.clone(), ending.clone(), ending]).await;
    let mut bench = bench(PATIENT).await;
    register(&bench, "crm", &receiver.url("/"), Vec::new()).await;
    bench.start();
    for count in 1..=3 {
        bench.commit(names(count..count + 1)).await;
        bench.await_ended(DeliveryStatus::Delivered, count).await;
    }
    let query = DeliveryQuery { limit: 10, ..DeliveryQuery::default() };
    let records = bench.store.deliveries(query).await.expect("a list").found;
    assert!(records.iter().all(|record| record.attempt_count == 1), "{records:?}");
    assert_eq!((receiver.connections(), receiver.requests().len()), (3, 5));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_receivers_hold_up_nobody_else() {
    let timeout = Duration::from_millis(300);
    let chunked = say("HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n");
    let flood = |text: &[u8]| Step::Repeat(text.repeat(16_384 / text.len()), Duration::ZERO);
    let drip = Step::Drip(b"HTTP/1.1 200 OK\r\nserver: slow\r\n\r\n".into(), Duration::from_millis(20));
    let hostile = [
        (vec![Step::Hang], Outcome::TimedOut),
        (vec![Step::Read, drip], Outcome::TimedOut),
        (vec![Step::Read, flood(b"HTTP/1.1 100 Continue\r\n\r\n")], Outcome::Broken),
        (vec![Step::Read, chunked, flood(b"1\r\nx\r\n")], Outcome::ServerError),
        (vec![Step::Read, Step::Reset], Outcome::Broken),
        (vec![Step::Read, say("what?\r\n"), Step::Hang], Outcome::Broken),
    ];
    let mut bench = bench(timeout).await;
    bench.settings.timeout = timeout;
    // Fewer slots than there are hostile receivers: each must give its own back.
    bench.settings.max_in_flight = 4;
    let good = Receiver::start(vec![answer(204, "", "")]).await;
    register(&bench, "good", &good.url("/"), Vec::new()).await;
    let mut registered = Vec::new();
    for (number, (script, outcome)) in hostile.into_iter().enumerate() {
        let receiver = Receiver::scripted(vec![script]).await;
        let endpoint = register(&bench, &format!("hostile-{number}"), &receiver.url("/"), Vec::new()).await;
        registered.push((receiver, endpoint, outcome));
    }
    bench.start();
    bench.commit(names(0..2)).await;
    bench.await_ended(DeliveryStatus::Failed, 2 * registered.len()).await;
    for (receiver, endpoint, outcome) in &mut registered {
        let query = DeliveryQuery { endpoint: Some(endpoint.id.number), limit: 3, ..DeliveryQuery::default() };
        let records = bench.store.deliveries(query).await.expect("a list").found;
        assert_eq!(records.len(), 2);
        for record in records {
            let [attempt] = &record.attempts[..] else { panic!("one attempt each: {record:?}") };
            assert_eq!(attempt.outcome, *outcome);
            assert!(attempt.response_body.as_ref().is_none_or(|body| body.len() <= 1024));
        }
        receiver.left_alone().await;
    }
    bench.commit(names(2..8)).await;
    bench.await_ended(DeliveryStatus::Delivered, 8).await;
    assert_eq!(good.requests().len(), 8, "each once");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_makes_long_errors_does_not_outgrow_its_record() {
    let thousands = (0..6000).map(|number| format!("{number}.test"));
    let receiver = Secure::start(Identity::of(thousands), |_, _| async { Ok(()) }).await;
    let settings = receiver.trusted(PATIENT);
    let guard = Arc::new(Guard::new(&settings));
    let mut bench = Bench::over(Arc::new(HttpTransport::new(&settings, guard).expect("a transport"))).await;
    let endpoint = register(&bench, "talker", &receiver.url("localhost"), vec![Duration::from_millis(1); 2]).await;
    bench.start();
    bench.commit(names(0..1)).await;
    let record = tried(&bench, &endpoint, 3).await;
    assert_eq!(record.status, DeliveryStatus::Failed);
    assert!(record.attempts.iter().all(|attempt| attempt.error.as_ref().is_some_and(|error| error.len() <= 512)));
    bench.stop().await;
}
