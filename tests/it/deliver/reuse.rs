//! Connections that are used again, and what becomes of a request that meets the end of one.

use std::sync::Arc;
use std::time::Duration;

use certhook::deliver::transport::Transport;
use certhook::model::delivery::Outcome;
use tokio::task::JoinSet;

use super::fixture::{PATIENT, Receiver, Step, answer, request, say, settings, transport};

const MOMENT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn connections_are_used_again_after_small_bodies_of_any_status() {
    for script in [
        answer(200, "", "ok"),
        answer(500, "", "sorry"),
        answer(200, "", &"x".repeat(60_000)),
        answer(500, "", &"x".repeat(60_000)),
        say("HTTP/1.1 204 No Content\r\n\r\n"),
        say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ] {
        let receiver = Receiver::start(vec![script.clone()]).await;
        let transport = transport(&settings(PATIENT));
        for _ in 0..5 {
            transport.send(request(&receiver.url("/"))).await;
        }
        assert_eq!(receiver.connections(), 1, "{script:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_twice_when_a_connection_breaks() {
    let receiver = Receiver::start(vec![Step::Reset]).await;
    let response = transport(&settings(PATIENT)).send(request(&receiver.url("/"))).await;
    assert_eq!(response.outcome, Outcome::Broken);
    assert_eq!(receiver.requests().len(), 1);
}

/// Sends two requests, one after the other, to a receiver whose first connection goes so after the first answer; any
/// further connection goes by `others`.
async fn twice(end: Vec<Step>, others: Vec<Step>) -> (Receiver, [Outcome; 2]) {
    let first = [vec![Step::Read, answer(200, "", "")], end].concat();
    let receiver = Receiver::scripted(vec![first, others]).await;
    let transport = transport(&settings(PATIENT));
    let mut outcomes = [Outcome::Broken; 2];
    for outcome in &mut outcomes {
        *outcome = transport.send(request(&receiver.url("/"))).await.outcome;
    }
    (receiver, outcomes)
}

#[tokio::test]
async fn a_connection_that_ends_as_it_is_used_again_is_no_failure_of_the_receiver() {
    for end in [
        vec![Step::Close],
        vec![Step::Reset],
        vec![Step::ReadBytes(1), Step::Close],
        vec![Step::ReadBytes(1), Step::Reset],
        vec![Step::Read, Step::Close],
        vec![Step::Read, Step::Reset],
    ] {
        let (receiver, outcomes) = twice(end.clone(), vec![Step::Read, answer(200, "", "")]).await;
        assert_eq!(outcomes, [Outcome::Delivered; 2], "{end:?}");
        assert_eq!(receiver.connections(), 2, "{end:?}");
    }
}

#[tokio::test]
async fn a_request_is_sent_over_one_new_connection_and_no_more() {
    let (receiver, outcomes) = twice(vec![Step::Read, Step::Close], vec![Step::Read, Step::Close]).await;
    assert_eq!(outcomes, [Outcome::Delivered, Outcome::Broken]);
    assert_eq!((receiver.connections(), receiver.requests().len()), (2, 3));
}

#[tokio::test]
async fn a_receiver_that_has_begun_to_answer_has_heard() {
    for end in [
        vec![Step::Read, say("H"), Step::Wait(MOMENT), Step::Reset],
        vec![Step::Read, say("HTTP/1.1 200 OK\r\n"), Step::Close],
        vec![Step::Read, say("what?\r\n\r\n"), Step::Close],
    ] {
        let (receiver, outcomes) = twice(end.clone(), vec![Step::Read, answer(200, "", "")]).await;
        assert_eq!(outcomes, [Outcome::Delivered, Outcome::Broken], "{end:?}");
        assert_eq!(receiver.connections(), 1, "{end:?}");
    }
}

#[tokio::test]
async fn the_deadline_covers_both_connections() {
    let deadline = Duration::from_millis(400);
    let receiver = Receiver::scripted(vec![
        vec![Step::Read, answer(200, "", ""), Step::Read, Step::Wait(deadline / 2), Step::Close],
        vec![Step::Hang],
    ]);
    let receiver = receiver.await;
    let transport = transport(&settings(deadline));
    assert_eq!(transport.send(request(&receiver.url("/"))).await.outcome, Outcome::Delivered);
    let late = transport.send(request(&receiver.url("/"))).await;
    assert_eq!((late.outcome, receiver.connections()), (Outcome::TimedOut, 2));
    assert!(late.took < deadline * 3 / 2, "not another deadline: {:?}", late.took);
}

#[tokio::test]
async fn what_comes_behind_a_response_is_never_taken_for_the_next_one() {
    let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let failure = "HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno";
    for script in [
        vec![Step::Read, say(format!("{failure}{smuggled}"))],
        vec![Step::Read, say(format!("{failure}more than that"))],
        vec![Step::Read, say(failure), say(smuggled.repeat(100))],
        vec![Step::Read, say(format!("HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"))],
    ] {
        let receiver = Receiver::scripted(vec![script.clone()]).await;
        let transport = transport(&settings(PATIENT));
        for count in 1..=20 {
            let response = transport.send(request(&receiver.url("/"))).await;
            assert_eq!(response.outcome, Outcome::ServerError, "{script:?}");
            assert_eq!(receiver.connections(), count, "a connection with a rest is not used again: {script:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_the_receiver_ends_with_its_answer_is_not_used_again() {
    for script in [
        vec![answer(200, "connection: close\r\n", "")],
        vec![say("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok")],
        vec![say("HTTP/1.1 200 OK\r\n\r\nuntil the end"), Step::Close],
        vec![answer(200, "", &"x".repeat(100_000))],
    ] {
        let receiver = Receiver::start(script.clone()).await;
        let transport = transport(&settings(PATIENT));
        for count in 1..=5 {
            assert_eq!(transport.send(request(&receiver.url("/"))).await.outcome, Outcome::Delivered, "{script:?}");
            assert_eq!((receiver.connections(), receiver.requests().len()), (count, count), "{script:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let mut receiver = Receiver::start(vec![answer(200, "", "")]).await;
    let transport = transport(&settings(PATIENT));
    transport.send(request(&receiver.url("/"))).await;
    receiver.left_alone().await;
    assert_eq!(transport.send(request(&receiver.url("/"))).await.outcome, Outcome::Delivered);
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn no_more_connections_are_kept_than_may_be_in_flight() {
    let mut settings = settings(PATIENT);
    settings.max_in_flight = 3;
    let transport = Arc::new(transport(&settings));
    let mut receivers = Vec::new();
    for _ in 0..5 {
        let receiver = Receiver::start(vec![answer(200, "", "")]).await;
        transport.send(request(&receiver.url("/"))).await;
        receivers.push(receiver);
    }
    for receiver in &mut receivers[..2] {
        receiver.left_alone().await;
    }
    let mut again = JoinSet::new();
    for receiver in &receivers {
        let (transport, request) = (Arc::clone(&transport), request(&receiver.url("/")));
        again.spawn(async move { transport.send(request).await.outcome });
    }
    assert!(again.join_all().await.into_iter().all(|outcome| outcome == Outcome::Delivered));
    let connections: Vec<_> = receivers.iter().map(Receiver::connections).collect();
    assert_eq!(connections, [2, 2, 1, 1, 1]);
}
