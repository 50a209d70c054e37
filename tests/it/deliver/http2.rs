//! Receivers that offer HTTP/2: those that speak it, and those that do their worst in it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use certhook::deliver::transport::{Response, Transport};
use certhook::model::delivery::Outcome;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::fixture::{IMPATIENT, PATIENT, request, transport};
use super::secure::{Identity, Secure, TlsStream};

/// How much of a receiver's words is taken, with what the systems of both sides buffer.
const TAKEN_MAX: u64 = 512 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The header blocks of a bare status, from the static table of [RFC 7541](https://www.rfc-editor.org/rfc/rfc7541).
const STATUS_200: &[u8] = &[0x88];
const STATUS_500: &[u8] = &[0x8e];
const STATUS_103: &[u8] = &[0x08, 3, b'1', b'0', b'3'];

/// The first request on a connection.
const FIRST: u32 = 1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn go_away(last: u32, reason: u32, words: &[u8]) -> Vec<u8> {
    frame(GO_AWAY, 0, 0, &[&last.to_be_bytes()[..], &reason.to_be_bytes(), words].concat())
}

fn reset(stream: u32, reason: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &reason.to_be_bytes())
}

/// Reads until the headers of the next request, and gives its number.
async fn next_request(stream: &mut TlsStream) -> io::Result<u32> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, _, number @ ..] = head;
        stream.read_exact(&mut vec![0; u32::from_be_bytes([0, a, b, c]) as usize]).await?;
        if kind == HEADERS {
            return Ok(u32::from_be_bytes(number));
        }
    }
}

/// Says who it is, and waits for the first request.
async fn begin(stream: &mut TlsStream) -> io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    assert_eq!(next_request(stream).await?, FIRST);
    Ok(())
}

/// What a receiver does with the first request.
#[derive(Clone, Debug)]
enum Answer {
    Say(Vec<u8>),
    /// Without end, as fast as it is taken.
    Flood(Vec<u8>),
    Hang,
}

use Answer::{Flood, Hang, Say};

/// Sends a request to a receiver that answers so, and tells how much it could say.
async fn answered(answers: Vec<Answer>, timeout: Duration) -> (Response, u64) {
    let said = Arc::<AtomicU64>::default();
    let count = Arc::clone(&said);
    let serve = move |mut stream: TlsStream, _| {
        let (answers, count) = (answers.clone(), Arc::clone(&count));
        async move {
            begin(&mut stream).await?;
            for answer in answers {
                match answer {
                    Say(bytes) => stream.write_all(&bytes).await?,
                    Flood(bytes) => loop {
                        stream.write_all(&bytes).await?;
                        count.fetch_add(bytes.len() as u64, Ordering::SeqCst);
                    },
                    Hang => loop {
                        stream.read_u8().await?;
                    },
                }
            }
            stream.shutdown().await
        }
    };
    let receiver = Secure::start(Identity::of(["localhost"]).speaking("h2"), serve).await;
    let response = transport(&receiver.trusted(timeout)).send(request(&receiver.url("localhost"))).await;
    assert_eq!(receiver.connections(), 1, "nothing is sent twice over a new connection");
    (response, said.load(Ordering::SeqCst))
}

#[tokio::test]
async fn deliveries_share_a_connection() {
    let serve = |stream: TlsStream, _| async move {
        let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| async move {
            assert_eq!(request.uri().path(), "/hook");
            assert_eq!(request.headers()["webhook-id"], "evt_1");
            let body = request.into_body().collect().await?.to_bytes();
            assert_eq!(body, "{\"id\":\"evt_1\"}");
            Ok::<_, hyper::Error>(hyper::Response::new(Full::new(Bytes::from_static(b"thank you"))))
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
    };
    let receiver = Secure::start(Identity::of(["localhost"]).speaking("h2"), serve).await;
    let transport = Arc::new(transport(&receiver.trusted(PATIENT)));
    let to = receiver.url("localhost");
    let first = transport.send(request(&to)).await;
    assert_eq!((first.outcome, first.address), (Outcome::Delivered, Some(receiver.address())));
    let mut sending = JoinSet::new();
    for _ in 0..50 {
        let (transport, to) = (Arc::clone(&transport), to.clone());
        sending.spawn(async move { transport.send(request(&to)).await.outcome });
    }
    assert!(sending.join_all().await.into_iter().all(|outcome| outcome == Outcome::Delivered));
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_refusal_in_http2_is_a_broken_connection() {
    const REFUSED: u32 = 7;
    const INTERNAL: u32 = 2;
    const CALM_DOWN: u32 = 11;
    for (answers, error) in [
        (vec![], ""),
        (
            vec![Say(reset(FIRST, REFUSED))],
            "stream error received: refused stream before processing any application logic",
        ),
        (vec![Say(reset(FIRST, INTERNAL)), Hang], "stream error received: unexpected internal error encountered"),
        (vec![Say(go_away(0, 0, b""))], ""),
        (vec![Say(go_away(0, CALM_DOWN, &b"go away ".repeat(2000))), Hang], "go away go away"),
        (vec![Say(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".into()), Hang], ""),
        (vec![Say(frame(HEADERS, END_HEADERS, FIRST, &[0xff; 40])), Hang], ""),
    ] {
        let (response, _) = answered(answers.clone(), PATIENT).await;
        assert_eq!((response.outcome, response.status_code), (Outcome::Broken, None), "{answers:?}: {response:?}");
        let told = response.error.expect("a reason");
        assert!(!told.is_empty() && told.contains(error) && told.len() <= 512, "{told}");
    }
}

#[tokio::test]
async fn the_status_counts_in_http2_too() {
    let whole = frame(HEADERS, END_HEADERS | END_STREAM, FIRST, STATUS_200);
    let (success, failure) =
        (frame(HEADERS, END_HEADERS, FIRST, STATUS_200), frame(HEADERS, END_HEADERS, FIRST, STATUS_500));
    let data = frame(DATA, 0, FIRST, &[b'x'; 16_384]);
    let interim = frame(HEADERS, END_HEADERS, FIRST, STATUS_103);
    let kept = "x".repeat(1024);
    for (answers, outcome, body) in [
        (vec![Say(whole.clone()), Hang], Outcome::Delivered, None),
        (vec![Say(interim), Say(whole), Hang], Outcome::Delivered, None),
        (vec![Say(success.clone())], Outcome::Delivered, None),
        (vec![Say(success.clone()), Hang], Outcome::Delivered, None),
        (vec![Say(success.clone()), Say(reset(FIRST, 2)), Hang], Outcome::Delivered, None),
        (vec![Say(success), Flood(data.clone())], Outcome::Delivered, None),
        (vec![Say(failure.clone()), Flood(data)], Outcome::ServerError, Some(kept)),
        (
            vec![Say(failure), Say(frame(DATA, END_STREAM, FIRST, b"why")), Hang],
            Outcome::ServerError,
            Some("why".into()),
        ),
    ] {
        let (response, said) = answered(answers.clone(), PATIENT).await;
        assert_eq!((response.outcome, response.body), (outcome, body));
        assert!(response.took < PATIENT / 2, "{:?}", response.took);
        assert!(said < TAKEN_MAX, "{said} bytes were taken");
    }
}

#[tokio::test]
async fn what_floods_an_http2_connection_is_cut_off() {
    let endless = frame(CONTINUATION, 0, FIRST, &[0; 8_192]);
    for flood in [
        frame(PING, 0, 0, &[0; 8]).repeat(100),
        frame(SETTINGS, 0, 0, &[]).repeat(100),
        frame(HEADERS, END_HEADERS, FIRST, STATUS_103).repeat(100),
        [frame(HEADERS, 0, FIRST, STATUS_200), endless.repeat(100)].concat(),
        frame(DATA, 0, FIRST, &[]).repeat(100),
        frame(0xbb, 0, 0, &[0; 1_000]).repeat(10),
    ] {
        let kind = flood[3];
        let (response, said) = answered(vec![Flood(flood)], PATIENT).await;
        assert_eq!((response.outcome, response.status_code), (Outcome::Broken, None), "{kind}: {response:?}");
        assert!(response.took < PATIENT / 2, "{kind}: {:?}", response.took);
        assert!(said < TAKEN_MAX, "{kind}: {said} bytes were taken");
    }
    let (response, _) = answered(vec![Hang], IMPATIENT).await;
    assert_eq!((response.outcome, response.error.as_deref()), (Outcome::TimedOut, Some("no response within 300 ms")));
}

#[tokio::test]
async fn a_connection_that_ends_as_it_is_used_again_is_replaced_and_one_that_fails_is_not() {
    const REFUSED: u32 = 7;
    const INTERNAL: u32 = 2;
    type Refusal = fn(u32) -> Vec<u8>;
    let second: [(Refusal, bool); 4] = [
        (|_| go_away(FIRST, 0, b"shutting down"), true),
        (|stream| reset(stream, REFUSED), true),
        (|_| Vec::new(), true),
        (|stream| reset(stream, INTERNAL), false),
    ];
    for (refusal, is_sent_again) in second {
        let serve = move |mut stream: TlsStream, number| async move {
            begin(&mut stream).await?;
            stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, FIRST, STATUS_200)).await?;
            let second = next_request(&mut stream).await?;
            assert_eq!(number, 0, "the new connection has one request");
            stream.write_all(&refusal(second)).await?;
            stream.shutdown().await
        };
        let receiver = Secure::start(Identity::of(["localhost"]).speaking("h2"), serve).await;
        let transport = transport(&receiver.trusted(PATIENT));
        let first = transport.send(request(&receiver.url("localhost"))).await;
        assert_eq!(first.outcome, Outcome::Delivered, "{first:?}");
        let second = transport.send(request(&receiver.url("localhost"))).await;
        let expected = if is_sent_again { (Outcome::Delivered, 2) } else { (Outcome::Broken, 1) };
        assert_eq!((second.outcome, receiver.connections()), expected, "{second:?}");
    }
}
