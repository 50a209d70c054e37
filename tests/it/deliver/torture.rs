//! Receivers that do their worst, all at once: what an attempt makes of each of them, how soon it is over, that it
//! leaves nothing behind, and how much of what they say is taken in.

use std::time::Duration;

use certhook::deliver::transport::{Request, Response, Transport};
use certhook::model::delivery::Outcome;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::fixture::{BUFFERED_MAX, PATIENT, Receiver, Step, answer, request, say, settings, transport};

/// Of those that are meant to run into it. The others have all the time that a busy machine needs.
const DEADLINE: Duration = Duration::from_secs(1);

/// A slot must be free so soon after the deadline.
const GRACE: Duration = Duration::from_millis(100);

/// How much of a response is read at most.
const READ_MAX: u64 = 64 * 1024;

const MOMENT: Duration = Duration::from_millis(20);
const HEAD: &str = "HTTP/1.1 200 OK\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const CHUNKED_FAILURE: &str = "HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n";

/// A receiver's behaviour, and what is to come of it.
struct Case {
    what: &'static str,
    script: Vec<Step>,
    /// Bytes of the request's body, if it is not a plain one.
    upload: Option<usize>,
    /// Whether the deadline is what ends it.
    is_late: bool,
    outcome: Outcome,
    status: Option<u16>,
    /// What the error must hold.
    error: &'static str,
    body: Option<String>,
}

fn case(what: &'static str, script: Vec<Step>, outcome: Outcome, status: Option<u16>, error: &'static str) -> Case {
    Case { what, script, upload: None, is_late: false, outcome, status, error, body: None }
}

fn delivered(what: &'static str, script: Vec<Step>) -> Case {
    case(what, script, Outcome::Delivered, Some(200), "")
}

fn broken(what: &'static str, script: Vec<Step>, error: &'static str) -> Case {
    case(what, script, Outcome::Broken, None, error)
}

fn late(what: &'static str, script: Vec<Step>, error: &'static str) -> Case {
    Case { is_late: true, ..case(what, script, Outcome::TimedOut, None, error) }
}

fn failed(what: &'static str, script: Vec<Step>, body: &str) -> Case {
    let body = (!body.is_empty()).then(|| body.to_owned());
    Case { body, ..case(what, script, Outcome::ServerError, Some(500), "the receiver answered 500") }
}

fn uploading(bytes: usize, case: Case) -> Case {
    Case { upload: Some(bytes), ..case }
}

/// Without end, as fast as it is taken.
fn flood(text: impl AsRef<[u8]>) -> Step {
    Step::Repeat(text.as_ref().repeat((16 * 1024 / text.as_ref().len()).max(1)), Duration::ZERO)
}

fn chunk(bytes: usize) -> Vec<u8> {
    [format!("{bytes:x}\r\n").as_bytes(), &vec![b'x'; bytes], b"\r\n"].concat()
}

fn cuts() -> Vec<Case> {
    let upload = 8 * 1024 * 1024;
    vec![
        broken("close at once", vec![Step::Close], ""),
        broken("reset within the request's head", vec![Step::ReadBytes(20), Step::Reset], ""),
        uploading(upload, broken("reset within the upload", vec![Step::ReadBytes(100_000), Step::Reset], "")),
        broken("reset after the request", vec![Step::Read, Step::Reset], ""),
        broken("close after the request", vec![Step::Read, Step::Close], ""),
        broken("reset within the response's head", vec![Step::Read, say(HEAD), Step::Wait(MOMENT), Step::Reset], ""),
        broken("close within the response's head", vec![Step::Read, say(HEAD), Step::Close], ""),
        delivered(
            "reset within the body of a success",
            vec![Step::Read, say(CHUNKED), say("5\r\nhe"), Step::Wait(MOMENT), Step::Reset],
        ),
        failed(
            "reset within the body of a failure",
            vec![Step::Read, say(CHUNKED_FAILURE), say("5\r\nhe"), Step::Wait(MOMENT), Step::Reset],
            "he",
        ),
        delivered("a success and then a reset", vec![Step::Read, answer(200, "", ""), Step::Wait(MOMENT), Step::Reset]),
        uploading(
            upload,
            delivered(
                "a success before the upload is over, and then a reset",
                vec![Step::ReadBytes(10_000), answer(200, "", ""), Step::Wait(MOMENT), Step::Reset],
            ),
        ),
    ]
}

fn delays() -> Vec<Case> {
    let slow_head = "HTTP/1.1 200 OK\r\nserver: a receiver that has all the time there is\r\n\r\n";
    vec![
        delivered("latency", vec![Step::Read, Step::Wait(5 * MOMENT), answer(200, "", ""), Step::Close]),
        late("silence", vec![Step::Hang], "no response within 1000 ms"),
        late("silence after the request", vec![Step::Read, Step::Hang], "no response within 1000 ms"),
        uploading(
            64 * 1024 * 1024,
            late(
                "an upload that is not taken",
                vec![Step::ReadBytes(100), Step::Wait(DEADLINE * 3 / 2)],
                "the request was not taken within 1000 ms",
            ),
        ),
        late(
            "a head byte by byte",
            vec![Step::Read, Step::Drip(slow_head.into(), MOMENT)],
            "no end of the response's head within 1000 ms",
        ),
        late(
            "a head without an end",
            vec![Step::Read, say(HEAD), Step::Hang],
            "no end of the response's head within 1000 ms",
        ),
        late(
            "interim responses now and then",
            vec![Step::Read, Step::Repeat(b"HTTP/1.1 102 Processing\r\n\r\n".into(), MOMENT)],
            "no end of the response's head within 1000 ms",
        ),
        delivered(
            "the body of a success byte by byte",
            vec![
                Step::Read,
                say("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n"),
                Step::Drip(vec![b'x'; 5000], MOMENT),
            ],
        ),
        failed(
            "the body of a failure, and then silence",
            vec![Step::Read, say("HTTP/1.1 500 No\r\ncontent-length: 50\r\n\r\nwhy"), Step::Hang],
            "why",
        ),
    ]
}

fn floods() -> Vec<Case> {
    let headers: String = (0..100_000).map(|number| format!("x-{number}: 1\r\n")).collect();
    let kept = "x".repeat(1024);
    let bomb = [
        &b"HTTP/1.1 500 No\r\ncontent-encoding: gzip\r\ncontent-length: 10485760\r\n\r\n\x1f\x8b\x08\x00"[..],
        &vec![b'x'; 10 * 1024 * 1024],
    ]
    .concat();
    vec![
        broken("100 000 headers", vec![Step::Read, say(HEAD), say(headers), say("\r\n")], ""),
        broken(
            "a header of 1 MiB",
            vec![Step::Read, say(HEAD), say("x: "), say(vec![b'x'; 1 << 20]), say("\r\n\r\n")],
            "",
        ),
        broken("a header without an end", vec![Step::Read, say(HEAD), say("x: "), flood("x")], ""),
        broken("headers without an end", vec![Step::Read, say(HEAD), flood("x: 1\r\n")], ""),
        broken("a reason without an end", vec![Step::Read, say("HTTP/1.1 200 "), flood("x")], ""),
        broken(
            "interim responses without an end",
            vec![Step::Read, flood("HTTP/1.1 100 Continue\r\n\r\n")],
            "the response is longer than 64 KiB before its body begins",
        ),
        broken(
            "interim responses with headers without an end",
            vec![Step::Read, flood(format!("HTTP/1.1 103 Early Hints\r\nlink: <{}>\r\n\r\n", "x".repeat(3000)))],
            "the response is longer than 64 KiB before its body begins",
        ),
        delivered("a chunked success without an end", vec![Step::Read, say(CHUNKED), flood(chunk(4096))]),
        delivered("a success in chunks of a byte, without an end", vec![Step::Read, say(CHUNKED), flood(chunk(1))]),
        delivered(
            "a success without an end and without a length",
            vec![Step::Read, say("HTTP/1.1 200 OK\r\n\r\n"), flood("x")],
        ),
        delivered("a chunk's extension without an end", vec![Step::Read, say(CHUNKED), say("1;x="), flood("x")]),
        delivered("trailers without an end", vec![Step::Read, say(CHUNKED), say("0\r\n"), flood("x: 1\r\n")]),
        failed("a chunked failure without an end", vec![Step::Read, say(CHUNKED_FAILURE), flood(chunk(4096))], &kept),
        failed("a failure without an end", vec![Step::Read, say("HTTP/1.1 500 No\r\n\r\n"), flood("x")], &kept),
        failed(
            "a compressed failure of 10 MiB",
            vec![Step::Read, say(bomb)],
            &format!("\u{1f}\u{fffd}\u{8}\0{}", "x".repeat(1018)),
        ),
    ]
}

fn lies() -> Vec<Case> {
    let length = |status: &str, length: &str| say(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n"));
    vec![
        delivered("a length that is too short", vec![Step::Read, length("200 OK", "1"), say("more than that")]),
        failed(
            "a failure's length that is too short",
            vec![Step::Read, length("500 No", "4"), say("more than that")],
            "more",
        ),
        delivered("a length that is too long", vec![Step::Read, length("200 OK", "9"), say("x"), Step::Close]),
        failed(
            "a failure's length that is too long",
            vec![Step::Read, length("500 No", "9"), say("x"), Step::Close],
            "x",
        ),
        delivered("a length beyond all bounds", vec![Step::Read, length("200 OK", "4611686018427387904"), flood("x")]),
        broken("a length that is no number", vec![Step::Read, length("200 OK", "-1")], ""),
        broken(
            "two lengths",
            vec![Step::Read, say("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx")],
            "",
        ),
        broken("no head at all", vec![Step::Read, say("<html>it worked</html>\n"), Step::Close], ""),
        broken("a status without a reason or an end", vec![Step::Read, say("HTTP/1.1 200"), Step::Close], ""),
        broken("HTTP of another kind", vec![Step::Read, say("HTTP/3.0 200 OK\r\n\r\n"), Step::Close], ""),
        broken("HTTP/2 in the clear", vec![Step::Read, say(b"\0\0\0\x04\0\0\0\0\0"), Step::Close], ""),
        broken("binary", vec![Step::Read, say([0_u8, 1, 2, 255, 13, 10, 13, 10]), Step::Close], ""),
        case(
            "another protocol",
            vec![
                Step::Read,
                say("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
                flood("x"),
            ],
            Outcome::ServerError,
            Some(101),
            "the receiver answered 101",
        ),
        broken(
            "an interim response and no more",
            vec![Step::Read, say("HTTP/1.1 100 Continue\r\n\r\n"), Step::Close],
            "",
        ),
    ]
}

/// Everything that is wrong with what came of it.
fn complaints(case: &Case, response: &Response, is_late: bool, said: u64) -> Vec<String> {
    let error = response.error.as_deref().unwrap_or_default();
    let failed = case.outcome != Outcome::Delivered;
    [
        (response.outcome != case.outcome, format!("outcome {:?}", response.outcome)),
        (response.status_code != case.status, format!("status {:?}", response.status_code)),
        (!error.contains(case.error) || error.is_empty() == failed, format!("error {error:?}")),
        (response.body != case.body, format!("body {:?}", response.body)),
        (is_late, format!("took {:?}", response.took)),
        (said > READ_MAX + BUFFERED_MAX, format!("{said} bytes taken")),
    ]
    .into_iter()
    .filter_map(|(is_wrong, what)| is_wrong.then(|| format!("{}: {what}", case.what)))
    .collect()
}

/// Sends to a receiver, with this deadline. Tells whether the slot was free too late.
async fn send_within(deadline: Duration, request: Request) -> (Response, bool) {
    let transport = transport(&settings(deadline));
    let due = Instant::now() + deadline;
    let attempt = async { (transport.send(request).await, Instant::now()) };
    // How late the machine's own timers are is not the attempt's fault.
    let timer = async {
        sleep_until(due).await;
        Instant::now()
    };
    let ((response, ended), rang) = tokio::join!(attempt, timer);
    (response, ended > rang + GRACE)
}

/// Sends to such a receiver.
async fn suffer(case: Case) -> Vec<String> {
    let mut receiver = Receiver::scripted(vec![case.script.clone()]).await;
    let plain = request(&receiver.url("/hook"));
    let request = case.upload.map_or(plain.clone(), |bytes| Request { body: vec![b'x'; bytes].into(), ..plain });
    let (response, is_late) = if case.is_late {
        send_within(DEADLINE, request).await
    } else {
        let response = transport(&settings(PATIENT)).send(request).await;
        let is_late = response.took > PATIENT / 2;
        (response, is_late)
    };
    receiver.left_alone().await;
    complaints(&case, &response, is_late, receiver.said())
}

/// Sends to all of them at once.
async fn suffer_all(cases: Vec<Case>) {
    let mut running: JoinSet<_> = cases.into_iter().map(suffer).collect();
    let mut complaints = Vec::new();
    while let Some(found) = running.join_next().await {
        complaints.extend(found.expect("no panic"));
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_may_be_cut_at_any_point() {
    suffer_all(cuts()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_takes_long_ends_with_the_deadline() {
    suffer_all(delays()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_flood_no_more_than_a_little_is_taken() {
    suffer_all(floods()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lie_is_no_more_than_a_bad_answer() {
    suffer_all(lies()).await;
}

#[tokio::test]
async fn the_deadline_covers_the_body_too() {
    let head = say("HTTP/1.1 500 No\r\n\r\nwhy");
    // On a busy machine the answer may miss the deadline altogether.
    for _ in 0..20 {
        let script = vec![Step::Read, Step::Wait(DEADLINE * 7 / 10), head.clone(), Step::Hang];
        let receiver = Receiver::scripted(vec![script]).await;
        let (response, is_late) = send_within(DEADLINE, request(&receiver.url("/"))).await;
        assert!(!is_late, "it took {:?}", response.took);
        if response.outcome == Outcome::ServerError {
            assert_eq!(response.body.as_deref(), Some("why"));
            return;
        }
    }
    panic!("no answer came in time");
}

#[tokio::test]
async fn what_good_answers_have_left_is_not_saved_up_for_a_bad_one() {
    let good = vec![vec![Step::Read, answer(200, "", "")]; 50].concat();
    let bad = vec![Step::Read, flood("HTTP/1.1 100 Continue\r\n\r\n")];
    let receiver = Receiver::scripted(vec![[good, bad].concat()]).await;
    let transport = transport(&settings(PATIENT));
    for _ in 0..50 {
        assert_eq!(transport.send(request(&receiver.url("/"))).await.outcome, Outcome::Delivered);
    }
    let response = transport.send(request(&receiver.url("/"))).await;
    assert_eq!((response.outcome, receiver.connections()), (Outcome::Broken, 1), "{response:?}");
    assert!(receiver.said() < READ_MAX + BUFFERED_MAX, "{} bytes taken", receiver.said());
}

#[tokio::test]
async fn a_connection_that_is_reset_at_once_is_a_failure_however_far_it_came() {
    let receiver = Receiver::scripted(vec![vec![Step::Reset]]).await;
    let response = transport(&settings(PATIENT)).send(request(&receiver.url("/"))).await;
    assert!(matches!(response.outcome, Outcome::ConnectFailed | Outcome::Broken), "{response:?}");
    assert!(response.error.is_some_and(|error| !error.is_empty()));
}

#[tokio::test]
async fn of_a_body_that_is_no_text_no_more_than_a_kib_is_kept() {
    let body = [&b"HTTP/1.1 500 No\r\n\r\n"[..], &[0xff; 4096]].concat();
    let receiver = Receiver::scripted(vec![vec![Step::Read, say(body), Step::Close]]).await;
    let response = transport(&settings(PATIENT)).send(request(&receiver.url("/"))).await;
    assert_eq!(response.body, Some("\u{fffd}".repeat(341)), "three bytes each");
}
