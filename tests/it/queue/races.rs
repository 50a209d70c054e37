//! Moments that are hard to hit by chance: each is held open until what must not harm has happened in it.

use std::sync::Arc;
use std::time::Duration;

use certhook::model::delivery::{DeliveryStatus, Outcome};
use certhook::model::endpoint::{EndpointStatus, EndpointUrl, Ordering};
use certhook::model::filter::Filter;
use certhook::model::id::Position;
use certhook::model::replay::Select;
use certhook::model::resource::Kind;
use certhook::store::DeliveryQuery;

use super::dice::Dice;
use super::meddler::{Gate, Meddler, Slow};
use super::replay::{counts, everything};
use super::resync::{keep, snapshot};
use super::rig::{Bench, TestClock, endpoint, names, resources};
use crate::support::process::until;

fn meddle(bench: &mut Bench) -> Arc<Meddler> {
    let meddler = Meddler::over(&bench.store);
    bench.store = Arc::clone(&meddler) as _;
    meddler
}

fn slow_down(bench: &mut Bench) -> Arc<Slow> {
    let slow = Arc::new(Slow { inner: Arc::clone(&bench.transport), answers: Gate::open() });
    slow.answers.shut();
    bench.transport = Arc::clone(&slow) as _;
    slow
}

fn attempts(bench: &Bench) -> Vec<String> {
    bench.sent().into_iter().map(|one| one.attempt).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_knows_of_the_attempt_before_it_although_no_record_is_durable_yet() {
    let mut bench = Bench::new(|number, _, _| if number < 2 { Outcome::ServerError } else { Outcome::Delivered }).await;
    let meddler = meddle(&mut bench);
    meddler.commits.shut();
    bench.start();
    bench.register("crm", |_| {}).await;
    bench.commit(names(0..1)).await;
    until("three attempts", || async { (bench.sent().len() == 3).then_some(()) }).await;
    assert_eq!(attempts(&bench), ["1", "2", "3"]);
    meddler.commits.let_all_pass();
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    let query = DeliveryQuery { limit: 2, ..DeliveryQuery::default() };
    let record = bench.store.deliveries(query).await.expect("a list").found.remove(0);
    assert_eq!((record.attempt_count, record.attempts.len()), (3, 3));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_made_anew_waits_for_the_records_of_the_one_before() {
    let mut bench =
        Bench::new(|number, _, _| if number == 0 { Outcome::ServerError } else { Outcome::Delivered }).await;
    let meddler = meddle(&mut bench);
    bench.start();
    let crm = bench.register("crm", |_| {}).await;
    until("it to be taken up", || async { (meddler.commits.passed() > 0).then_some(()) }).await;
    // Whether the registration was looked at depends on which came first, it or the start.
    let looks = meddler.looks.passed();
    bench.change(crm.id, |endpoint| endpoint.retry = Some(vec![Duration::from_millis(300)])).await;
    until("the change to be seen", || async { (meddler.looks.passed() == looks + 1).then_some(()) }).await;
    meddler.commits.shut();
    bench.commit(names(0..1)).await;
    until("the first attempt", || async { (bench.sent().len() == 1).then_some(()) }).await;
    bench.change(crm.id, |endpoint| endpoint.ordering = Ordering::None).await;
    until("the change to be seen", || async { (meddler.looks.passed() == looks + 2).then_some(()) }).await;
    meddler.commits.let_all_pass();
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    assert_eq!(attempts(&bench), ["1", "2"]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_never_called_more_often_at_a_time_than_it_may_be_when_its_queue_is_made_anew() {
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    let (meddler, slow) = (meddle(&mut bench), slow_down(&mut bench));
    bench.start();
    let crm = bench.register("crm", |endpoint| endpoint.max_in_flight = Some(1)).await;
    bench.commit(names(0..3)).await;
    until("the first one", || async { (bench.sent().len() == 1).then_some(()) }).await;
    let looks = meddler.looks.passed();
    bench.switch(crm.id, EndpointStatus::Disabled).await;
    until("the change to be seen", || async { (meddler.looks.passed() == looks + 1).then_some(()) }).await;
    bench.switch(crm.id, EndpointStatus::Enabled).await;
    until("the change to be seen", || async { (meddler.looks.passed() == looks + 2).then_some(()) }).await;
    // Another one shows that the loop has come further.
    bench.register("other", |_| {}).await;
    bench.commit(names(3..4)).await;
    until("the other one", || async { bench.sent().iter().any(|one| one.url.contains("other")).then_some(()) }).await;
    let calls = bench.sent().iter().filter(|one| one.url.contains("crm")).count();
    assert_eq!(calls, 1, "nothing more is sent while the first one is under way");
    slow.answers.let_all_pass();
    bench.await_ended(DeliveryStatus::Delivered, 5).await;
    assert_eq!(bench.sent().len(), 5, "each once");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_answer_does_not_disable_an_endpoint_that_was_enabled_since() {
    let mut bench = Bench::new(|number, _, _| if number < 2 { Outcome::Gone } else { Outcome::Delivered }).await;
    let slow = slow_down(&mut bench);
    bench.start();
    let crm = bench.register("crm", |endpoint| endpoint.max_in_flight = Some(2)).await;
    bench.commit(names(0..2)).await;
    until("both", || async { (bench.sent().len() == 2).then_some(()) }).await;
    slow.answers.let_pass(1);
    until("the endpoint to be disabled", || async {
        (bench.endpoint(crm.id).await.status == EndpointStatus::Disabled).then_some(())
    })
    .await;
    bench.switch(crm.id, EndpointStatus::Enabled).await;
    slow.answers.let_all_pass();
    bench.await_ended(DeliveryStatus::Delivered, 2).await;
    let mut numbers = attempts(&bench);
    numbers.sort();
    assert_eq!(numbers, ["1", "1", "2", "2"]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_speaks_only_for_the_url_that_was_called() {
    let mut bench = Bench::new(|_, url, _| if url.contains("old") { Outcome::Gone } else { Outcome::Delivered }).await;
    let (meddler, slow) = (meddle(&mut bench), slow_down(&mut bench));
    bench.start();
    let crm = bench.register("old", |_| {}).await;
    bench.commit(names(0..1)).await;
    until("the attempt", || async { (bench.sent().len() == 1).then_some(()) }).await;
    let looks = meddler.looks.passed();
    let url = EndpointUrl::new(&"http://new.test/".parse().expect("a URL"));
    bench.change(crm.id, |endpoint| endpoint.url = url.clone()).await;
    until("the change to be seen", || async { (meddler.looks.passed() == looks + 1).then_some(()) }).await;
    bench.register("other", |_| {}).await;
    until("the loop to come further", || async { (meddler.looks.passed() == looks + 2).then_some(()) }).await;
    slow.answers.let_all_pass();
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    assert_eq!(bench.endpoint(crm.id).await.status, EndpointStatus::Enabled);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_has_a_record_before_the_position_moves_past_it() {
    const EVENTS: usize = 600;
    let mut bench = Bench::new(|_, _, _| Outcome::Aborted).await;
    bench.settings.max_in_flight = EVENTS;
    let meddler = meddle(&mut bench);
    bench.start();
    bench.register("crm", |endpoint| endpoint.max_in_flight = Some(EVENTS as u32)).await;
    until("it to be taken up", || async { (meddler.commits.passed() > 0).then_some(()) }).await;
    meddler.commits.shut();
    let before = meddler.commits.passed();
    bench.commit(names(0..EVENTS)).await;
    until("all attempts", || async { (bench.sent().len() == EVENTS).then_some(()) }).await;
    meddler.commits.let_pass(2);
    until("two commits", || async { (meddler.commits.passed() == before + 2).then_some(()) }).await;
    bench.crash().await;
    meddler.commits.let_all_pass();
    bench.start();
    bench.await_ended(DeliveryStatus::Failed, EVENTS).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_wait_when_their_records_cannot_be_saved() {
    const UNSAVED_MAX: usize = 1_024;
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    let meddler = meddle(&mut bench);
    meddler.commits.shut();
    bench.start();
    for name in ["a", "b", "c"] {
        bench.register(name, |_| {}).await;
    }
    bench.commit(names(0..1_000)).await;
    until("attempts", || async { (bench.sent().len() >= UNSAVED_MAX).then_some(()) }).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(bench.sent().len() <= UNSAVED_MAX + bench.settings.max_in_flight, "{} were sent", bench.sent().len());
    meddler.commits.let_all_pass();
    bench.await_ended(DeliveryStatus::Delivered, 3_000).await;
    assert_eq!(bench.sent().len(), 3_000);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_are_behind_read_the_log_in_turns() {
    const SILENT: usize = 8;
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    bench.commit(names(0..6_000)).await;
    bench.start();
    bench.register("first", |endpoint| endpoint.start = Position(5_999)).await;
    bench.await_ended(DeliveryStatus::Delivered, 1).await;
    bench.stop().await;
    for number in 0..SILENT {
        bench
            .register(&format!("silent-{number}"), |endpoint| {
                endpoint.start = Position::START;
                endpoint.filter.customer_ids = vec!["nobody".into()];
            })
            .await;
    }
    bench.register("crm", |endpoint| endpoint.start = Position::START).await;
    let meddler = meddle(&mut bench);
    bench.start();
    until("the last one to read", || async {
        let reads = meddler.reads.lock().expect("no panic while it is held");
        (reads.iter().filter(|after| **after == Position::START).count() > SILENT).then_some(())
    })
    .await;
    bench.stop().await;
    let reads = meddler.reads.lock().expect("no panic while it is held").clone();
    let firsts = reads.iter().enumerate().filter(|(_, after)| **after == Position::START);
    let turn = firsts.map(|(turn, _)| turn).nth(SILENT).expect("it has read");
    assert!(turn < 2 * SILENT, "its first turn was the {turn}th");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_while_a_queue_finds_nothing_to_read_is_not_passed_over() {
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    let (meddler, slow) = (meddle(&mut bench), slow_down(&mut bench));
    bench.start();
    bench.register("crm", |endpoint| endpoint.max_in_flight = Some(1)).await;
    until("it to be taken up", || async { (meddler.commits.passed() > 0).then_some(()) }).await;
    // One is under way, 256 are ready, and the rest is read as soon as 128 of them are: that fills the queue again.
    bench.commit(names(0..257 + 128)).await;
    let sent = |count: usize| {
        let bench = &bench;
        async move { until("those sent", || async { (bench.sent().len() == count).then_some(()) }).await }
    };
    sent(1).await;
    slow.answers.let_pass(128);
    sent(129).await;
    until("the rest to be read", || async {
        let reads = meddler.reads.lock().expect("no panic while it is held");
        reads.contains(&Position(257)).then_some(())
    })
    .await;
    meddler.empty_pages.shut();
    slow.answers.let_pass(128);
    sent(257).await;
    until("nothing to be found", || async { (meddler.empty_pages.passed() > 0).then_some(()) }).await;
    bench.register("other", |_| {}).await;
    bench.commit(names(900..910)).await;
    slow.answers.let_all_pass();
    until("the other one to have all", || async {
        let all = bench.sent().iter().filter(|one| one.url.contains("other")).count() == 10;
        all.then_some(())
    })
    .await;
    meddler.empty_pages.let_all_pass();
    bench.await_ended(DeliveryStatus::Delivered, 257 + 128 + 20).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_comes_while_the_deliveries_start_gets_what_it_asked_for() {
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    bench.start();
    bench.register("crm", |_| {}).await;
    bench.commit(names(0..5)).await;
    bench.await_ended(DeliveryStatus::Delivered, 5).await;
    bench.stop().await;
    let meddler = meddle(&mut bench);
    *meddler.newcomer.lock().expect("no panic while it is held") = Some(endpoint("newcomer"));
    bench.start();
    bench.await_ended(DeliveryStatus::Delivered, 10).await;
    let to_newcomer: Vec<_> = bench.sent().into_iter().filter(|one| one.url.contains("newcomer")).collect();
    let mut arrived = resources(&to_newcomer);
    arrived.sort_unstable();
    assert_eq!(arrived, names(0..5).collect::<Vec<_>>());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_behind_asks_for_its_own_records_alone() {
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    bench.start();
    let crm = bench.register("crm", |_| {}).await;
    bench.register("other", |_| {}).await;
    bench.commit(names(0..5)).await;
    bench.await_ended(DeliveryStatus::Delivered, 10).await;
    bench.switch(crm.id, EndpointStatus::Disabled).await;
    until("it to have a position of its own", || async {
        let own = bench.store.positions().await.expect("positions").own;
        own.iter().any(|(number, _)| *number == crm.id.number).then_some(())
    })
    .await;
    bench.commit(names(5..2_000)).await;
    bench.await_ended(DeliveryStatus::Delivered, 2_005).await;
    let meddler = meddle(&mut bench);
    for attempt in 1..=2 {
        bench.stop().await;
        bench.switch(crm.id, EndpointStatus::Enabled).await;
        bench.start();
        bench.await_ended(DeliveryStatus::Delivered, 4_000).await;
        assert_eq!(meddler.sweeps.passed(), 0, "start {attempt}");
    }
    bench.stop().await;
    assert_eq!(bench.sent().len(), 4_000, "each once");
}

#[tokio::test(start_paused = true)]
async fn what_a_replay_hands_to_a_queue_that_was_made_anew_and_has_sent_it_already_is_not_sent_again() {
    let clock = Arc::new(TestClock::new(Dice(1)));
    let mut bench = Bench::in_memory(clock, |_, _, _| Outcome::Delivered);
    keep(&bench, (0..3).map(|number| snapshot(Kind::Certificate, &format!("cert_{number}"), "US-CA"))).await;
    let meddler = meddle(&mut bench);
    bench.start();
    let crm = bench.register("crm", |_| {}).await;
    // So that everything has happened that will happen.
    let settle = || tokio::time::sleep(Duration::from_secs(60));
    settle().await;
    meddler.commits.shut();
    bench.deliverer().resync(&crm, Filter::default()).await.expect("it runs").expect("it is enabled");
    settle().await;
    assert_eq!(bench.sent().len(), 0, "they are told, and how far the replay has come with them is being kept");
    bench.change(crm.id, |endpoint| endpoint.ordering = Ordering::None).await;
    settle().await;
    assert_eq!(attempts(&bench), ["1", "1", "1"], "the queue that was made anew has found them");
    meddler.commits.let_pass(1);
    settle().await;
    assert_eq!(attempts(&bench), ["1", "1", "1"], "they were handed over, and their records are on their way");
    meddler.commits.let_all_pass();
    bench.await_ended(DeliveryStatus::Delivered, 3).await;
    settle().await;
    assert_eq!(bench.sent().len(), 3);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_canceled_waits_for_what_its_disabled_endpoint_is_being_sent() {
    let clock = Arc::new(TestClock::new(Dice(1)));
    let mut bench = Bench::in_memory(clock, |_, _, _| Outcome::Delivered);
    keep(&bench, (0..2).map(|number| snapshot(Kind::Certificate, &format!("cert_{number}"), "US-CA"))).await;
    let (meddler, slow) = (meddle(&mut bench), slow_down(&mut bench));
    bench.start();
    let crm = bench.register("crm", |endpoint| endpoint.max_in_flight = Some(1)).await;
    let settle = || tokio::time::sleep(Duration::from_secs(60));
    settle().await;
    let replay = bench.deliverer().resync(&crm, Filter::default()).await.expect("it runs").expect("it is enabled");
    settle().await;
    assert_eq!(bench.sent().len(), 1);
    bench.switch(crm.id, EndpointStatus::Disabled).await;
    settle().await;
    bench.deliverer().cancel_replay(replay.id).await.expect("it runs");
    let looks = meddler.looks.passed();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(meddler.looks.passed() - looks < 10, "it asks once more, and not as fast as it can");
    slow.answers.let_all_pass();
    settle().await;
    let progress = bench.store.replay(replay.id).await.expect("a look").expect("it is kept").progress;
    assert_eq!((progress.matched, progress.delivered, progress.canceled), (2, 1, 1));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_canceled_while_it_lays_out_deliveries_answers_for_these_too() {
    let clock = Arc::new(TestClock::new(Dice(1)));
    let mut bench = Bench::in_memory(clock, |_, _, _| Outcome::Delivered);
    let (meddler, slow) = (meddle(&mut bench), slow_down(&mut bench));
    slow.answers.let_pass(5);
    bench.start();
    let crm = bench.register("crm", |endpoint| endpoint.max_in_flight = Some(1)).await;
    bench.commit(names(0..5)).await;
    bench.await_ended(DeliveryStatus::Delivered, 5).await;
    let settle = || tokio::time::sleep(Duration::from_secs(60));
    settle().await;
    meddler.commits.shut();
    let range = everything(&*bench.store, Select::All);
    let replay = bench.deliverer().replay(&crm, range).await.expect("it runs").expect("it is enabled");
    settle().await;
    let (answer, ()) = tokio::join!(bench.deliverer().cancel_replay(replay.id), async {
        settle().await;
        meddler.commits.let_all_pass();
    });
    let answer = answer.expect("it runs").expect("it is kept");
    assert_eq!(counts(&answer), [5, 0, 0, 4], "one is being tried");
    slow.answers.let_all_pass();
    settle().await;
    let after = bench.store.replay(replay.id).await.expect("a look").expect("it is kept");
    assert_eq!(counts(&after), [5, 1, 0, 4], "nothing has come to it since");
    assert_eq!(bench.sent().len(), 6);
    bench.stop().await;
}
