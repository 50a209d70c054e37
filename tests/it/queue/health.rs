//! Endpoints that fail: how they are left alone, looked at, and taken up again.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use certhook::model::delivery::{DeliveryRecord, DeliveryStatus, Outcome, Trigger};
use certhook::model::endpoint::{DisabledReason, EndpointStatus};
use certhook::model::event::{Event, EventDraft, EventType};
use certhook::model::id::{EndpointNumber, EventId, Position};
use certhook::model::pattern::Pattern;
use certhook::store::DeliveryQuery;

use super::rig::{Bench, names};
use crate::support::process::until;
use crate::support::schemas::assert_fit;

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

/// What the log tells of endpoints and deliveries, in its order. Each fits the schema of its type.
async fn told(bench: &Bench) -> Vec<(EventType, EventId, String)> {
    let events = bench.store.events_after(Position::START, usize::MAX).await.expect("the log");
    let events = events.into_iter().filter(|event| event.event_type.is_about_delivering());
    let tell = |event: std::sync::Arc<Event>| {
        let draft = EventDraft { event_type: event.event_type, details: event.details.clone() };
        assert_fit(&event.sight, &[draft]);
        let object = event.sight.object.fields();
        (event.event_type, event.id, object["status"].as_str().expect("a status").to_owned())
    };
    events.map(tell).collect()
}

fn everything() -> Vec<Pattern> {
    ["*", "endpoint.*", "delivery.*"].map(|pattern| pattern.parse().expect("a pattern")).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_an_endpoint_is_told_to_the_others_and_never_to_itself() {
    let calls = AtomicUsize::new(0);
    let mut bench = Bench::new(move |_, url, _| {
        let fails = url.contains("crm") && calls.fetch_add(1, SeqCst) < 4;
        if fails { Outcome::ServerError } else { Outcome::Delivered }
    })
    .await;
    bench.start();
    bench.register("crm", |endpoint| endpoint.types = everything()).await;
    bench.register("ops", |endpoint| endpoint.types = everything()[1..].to_vec()).await;
    bench.commit(names(0..1)).await;
    bench.await_ended(DeliveryStatus::Failed, 1).await;
    bench.commit(names(1..2)).await;
    bench.await_ended(DeliveryStatus::Delivered, 4).await;
    bench.stop().await;
    let told = told(&bench).await;
    let types: Vec<_> = told.iter().map(|(event_type, _, status)| (*event_type, status.as_str())).collect();
    let expected = [
        (EventType::DeliveryExhausted, "failed"),
        (EventType::EndpointFailing, "enabled"),
        (EventType::EndpointRecovered, "enabled"),
    ];
    assert_eq!(types, expected);
    let mut to_ops: Vec<_> = bench.sent().into_iter().filter(|one| one.url.contains("ops")).map(|one| one.id).collect();
    to_ops.sort();
    assert_eq!(to_ops, told.iter().map(|(_, id, _)| id.to_string()).collect::<Vec<_>>());
    assert_eq!(bench.sent().len(), 8, "five attempts and nothing of itself to the one, three events to the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_of_what_only_tells() {
    let mut bench = Bench::new(|_, _, _| Outcome::ServerError).await;
    bench.start();
    for name in ["one", "other"] {
        bench.register(name, |endpoint| endpoint.types = everything()[1..].to_vec()).await;
    }
    bench.register("crm", |_| {}).await;
    bench.commit(names(0..1)).await;
    // What the first failure tells fails at the two others until it is given up.
    bench.await_ended(DeliveryStatus::Failed, 5).await;
    bench.stop().await;
    let types: Vec<_> = told(&bench).await.into_iter().map(|(event_type, ..)| event_type).collect();
    assert_eq!(types, [EventType::DeliveryExhausted, EventType::EndpointFailing]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_for_too_long_is_disabled_and_goes_on_with_what_failed_once_it_is_enabled() {
    let healed = Arc::new(AtomicBool::new(false));
    let works = Arc::clone(&healed);
    let answer = move |_, _: &str, resource: &str| {
        if resource == "cert_0" || works.load(SeqCst) { Outcome::Delivered } else { Outcome::TimedOut }
    };
    let mut bench = Bench::new(answer).await;
    bench.settings.disable_after = Duration::from_millis(150);
    bench.start();
    let crm = bench.register("crm", |endpoint| endpoint.retry = Some(vec![Duration::from_millis(5)])).await;
    bench.commit(names(0..1)).await;
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    let mut events = 1;
    let disabled = until("it to be disabled", || {
        events += 1;
        let (bench, name) = (&bench, names(events - 1..events));
        async move {
            bench.commit(name).await;
            Some(bench.endpoint(crm.id).await).filter(|known| known.status == EndpointStatus::Disabled)
        }
    })
    .await;
    assert_eq!(disabled.disabled_reason, Some(DisabledReason::Failing));
    bench.await_ended(DeliveryStatus::Failed, 1).await;
    let calls = bench.sent().len();
    bench.stop().await;
    bench.start();
    healed.store(true, SeqCst);
    bench.deliverer().retry_failed(&disabled).await.expect("the store works");
    let backlog = bench.deliverer().backlog(&disabled).await.expect("a count");
    assert_eq!((backlog.pending, backlog.more), (events - 1, false));
    assert!(backlog.oldest_at.is_some());
    assert_eq!(bench.sent().len(), calls, "nothing is sent meanwhile");
    bench.switch(crm.id, EndpointStatus::Enabled).await;
    bench.await_ended(DeliveryStatus::Delivered, events).await;
    let backlog = bench.deliverer().backlog(&bench.endpoint(crm.id).await).await.expect("a count");
    assert_eq!((backlog.pending, backlog.oldest_at), (0, None));
    bench.stop().await;
    let told: Vec<_> = told(&bench).await.into_iter().map(|(event_type, _, status)| (event_type, status)).collect();
    let disabling = told.iter().filter(|(event_type, _)| *event_type == EventType::EndpointDisabled);
    assert_eq!(disabling.map(|(_, status)| status.as_str()).collect::<Vec<_>>(), ["disabled"]);
    // On a busy machine it may have been disabled before the fourth failure.
    let count = |wanted| told.iter().filter(|(event_type, _)| *event_type == wanted).count();
    assert_eq!(count(EventType::EndpointRecovered), count(EventType::EndpointFailing));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_skips_what_it_missed_gets_what_comes_from_then_on() {
    let mut bench = Bench::new(|number, _, _| if number == 0 { Outcome::Gone } else { Outcome::Delivered }).await;
    bench.start();
    let crm = bench.register("crm", |_| {}).await;
    bench.commit(names(0..5)).await;
    let gone = until("it to be disabled", || async {
        Some(bench.endpoint(crm.id).await).filter(|known| known.status == EndpointStatus::Disabled)
    })
    .await;
    let before = bench.sent().len();
    let head = *bench.store.head().borrow();
    bench.enable(gone.id, Some(head)).await;
    bench.commit(names(5..7)).await;
    until("the new ones", || async {
        let sent = bench.sent();
        sent[before..].iter().any(|one| one.resource == "cert_6").then_some(())
    })
    .await;
    bench.await_ended(DeliveryStatus::Canceled, 1).await;
    until("nothing to be left", || async {
        (bench.deliverer().backlog(&bench.endpoint(gone.id).await).await.expect("a count").pending == 0).then_some(())
    })
    .await;
    bench.stop().await;
    let mut later: Vec<_> = bench.sent()[before..].iter().map(|one| one.resource.clone()).collect();
    later.sort();
    assert_eq!(later, ["cert_5", "cert_6"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_make_all_that_waits_due() {
    let mut bench = Bench::new(|number, _, _| if number < 3 { Outcome::Rejected } else { Outcome::Delivered }).await;
    bench.start();
    let crm = bench.register("crm", |endpoint| endpoint.retry = Some(vec![HOUR; 2])).await;
    bench.commit(names(0..3)).await;
    bench.await_ended(DeliveryStatus::Pending, 3).await;
    assert!(bench.deliverer().recover(crm.id.number).await.expect("it runs"));
    bench.await_ended(DeliveryStatus::Delivered, 3).await;
    assert!(!bench.deliverer().recover(EndpointNumber(99)).await.expect("it runs"), "there is no such endpoint");
    bench.stop().await;
    assert!(bench.deliverer().recover(crm.id.number).await.is_err(), "nobody is there to do it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_remembered_after_a_crash() {
    let mut bench = Bench::new(|number, _, _| if number < 4 { Outcome::Rejected } else { Outcome::Delivered }).await;
    bench.start();
    bench.register("crm", |endpoint| endpoint.retry = Some(vec![HOUR; 2])).await;
    bench.commit(names(0..4)).await;
    bench.await_ended(DeliveryStatus::Pending, 4).await;
    bench.crash().await;
    bench.start();
    bench.commit(names(4..5)).await;
    bench.await_ended(DeliveryStatus::Delivered, 5).await;
    bench.stop().await;
    let types: Vec<_> = told(&bench).await.into_iter().map(|(event_type, ..)| event_type).collect();
    assert_eq!(types, [EventType::EndpointFailing, EventType::EndpointRecovered]);
}
