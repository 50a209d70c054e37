//! Receivers over TLS: whom we trust, and what we say when we do not.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use certhook::deliver::Settings;
use certhook::deliver::guard::Guard;
use certhook::deliver::transport::{HttpTransport, Transport, TransportError};
use certhook::model::delivery::Outcome;
use rcgen::{CertificateParams, date_time_ymd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fixture::{
    IMPATIENT, Names, PATIENT, Receiver, Step, answer, read_request, request, say, settings, transport,
};
use super::secure::{Identity, Secure, TlsStream};

/// Answers every request with a success.
async fn accept_all(mut stream: TlsStream, _: usize) -> io::Result<()> {
    loop {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_trusted() {
    let receiver = Secure::start(Identity::of(["localhost"]), accept_all).await;
    let response = transport(&settings(PATIENT)).send(request(&receiver.url("localhost"))).await;
    assert_eq!(response.outcome, Outcome::TlsFailed, "{response:?}");
    let error = response.error.expect("a reason");
    assert!(error.contains("invalid peer certificate"), "{error}");
    assert_eq!(response.address, Some(receiver.address()), "it says whom it does not trust");
}

#[tokio::test]
async fn a_root_of_our_own_makes_it_trusted_for_its_names_only() {
    let mut identity = Identity::of(["receiver.test", "re_ceiver.test"]);
    identity.protocols.clear();
    let receiver = Secure::start(identity, accept_all).await;
    let names = ["receiver.test", "receiver.test.", "re_ceiver.test", "other.test"];
    let names = names.into_iter().fold(Names::default(), |names, name| names.with(name, &["127.0.0.1"]));
    let settings = receiver.trusted(PATIENT);
    let guard = Guard::with_look_up(&settings, Arc::new(names), PATIENT);
    let transport = HttpTransport::new(&settings, Arc::new(guard)).expect("a transport");
    for host in ["receiver.test", "Receiver.TEST", "receiver.test.", "re_ceiver.test"] {
        let response = transport.send(request(&receiver.url(host))).await;
        assert_eq!(response.outcome, Outcome::Delivered, "{host}: {response:?}");
        assert_eq!(response.address, Some(receiver.address()));
    }
    let response = transport.send(request(&receiver.url("other.test"))).await;
    assert_eq!(response.outcome, Outcome::TlsFailed, "{response:?}");
    let response = transport.send(request(&receiver.url("127.0.0.1"))).await;
    assert_eq!(response.outcome, Outcome::TlsFailed, "{response:?}");
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_not_trusted_and_nothing_is_sent() {
    type Change = fn(&mut CertificateParams);
    let changes: [(Change, &str); 2] = [
        (|certificate| certificate.not_after = date_time_ymd(2020, 1, 1), "expired"),
        (|certificate| certificate.not_before = date_time_ymd(3000, 1, 1), "not valid yet"),
    ];
    for (change, reason) in changes {
        let mut identity = Identity::of(["localhost"]);
        change(&mut identity.certificate);
        let was_told = Arc::<AtomicBool>::default();
        let told = Arc::clone(&was_told);
        let receiver = Secure::start(identity, move |mut stream, _| {
            let told = Arc::clone(&told);
            async move {
                stream.read_u8().await?;
                told.store(true, Ordering::SeqCst);
                Ok(())
            }
        });
        let receiver = receiver.await;
        let response = transport(&receiver.trusted(PATIENT)).send(request(&receiver.url("localhost"))).await;
        assert_eq!(response.outcome, Outcome::TlsFailed, "{response:?}");
        let error = response.error.expect("a reason");
        assert!(error.contains(reason), "{error}");
        assert!(!was_told.load(Ordering::SeqCst));
    }
}

#[tokio::test]
async fn of_a_certificate_with_a_thousand_names_only_the_beginning_is_kept() {
    let names = (0..1000).map(|number| format!("{number}.receiver.example"));
    let receiver = Secure::start(Identity::of(names), accept_all).await;
    let response = transport(&receiver.trusted(PATIENT)).send(request(&receiver.url("localhost"))).await;
    assert_eq!(response.outcome, Outcome::TlsFailed, "{response:?}");
    let error = response.error.expect("a reason");
    assert!(error.contains("localhost") && error.len() <= 512, "{} bytes: {error}", error.len());
}

#[tokio::test]
async fn a_receiver_that_wants_a_certificate_of_ours_is_a_failure_of_tls() {
    let identity = Identity { wants_a_certificate: true, ..Identity::of(["localhost"]) };
    let receiver = Secure::start(identity, accept_all).await;
    let response = transport(&receiver.trusted(PATIENT)).send(request(&receiver.url("localhost"))).await;
    assert_eq!(response.outcome, Outcome::TlsFailed, "{response:?}");
    assert_eq!(response.error.as_deref(), Some("received fatal alert: CertificateRequired"));
}

#[tokio::test]
async fn a_receiver_that_offers_no_protocol_of_ours_is_a_failure_of_tls() {
    let receiver = Secure::start(Identity::of(["localhost"]).speaking("spdy/3"), accept_all).await;
    let response = transport(&receiver.trusted(PATIENT)).send(request(&receiver.url("localhost"))).await;
    assert_eq!(response.outcome, Outcome::TlsFailed, "{response:?}");
    assert_eq!(response.error.as_deref(), Some("received fatal alert: NoApplicationProtocol"));
}

#[tokio::test]
async fn a_handshake_that_fails_is_told_from_one_that_does_not_end() {
    let hello = [&b"\x16\x03\x03\x40\x00\x02\x00\xff\xff"[..], &[0; 16_379]].concat();
    let stalled = "no end of the TLS handshake within 300 ms";
    for (script, outcome, error) in [
        (vec![Step::Hang], Outcome::TimedOut, stalled),
        (vec![Step::ReadBytes(100), Step::Hang], Outcome::TimedOut, stalled),
        (vec![Step::Drip(hello.clone(), Duration::from_millis(20))], Outcome::TimedOut, stalled),
        (vec![Step::ReadBytes(100), Step::Close], Outcome::TlsFailed, ""),
        (vec![Step::ReadBytes(100), Step::Reset], Outcome::TlsFailed, ""),
        (vec![answer(400, "", ""), Step::Hang], Outcome::TlsFailed, ""),
        (vec![say(b"\x15\x03\x03\x00\x02\x02\x28"), Step::Hang], Outcome::TlsFailed, "HandshakeFailure"),
        (vec![Step::Repeat(hello, Duration::ZERO)], Outcome::TlsFailed, ""),
        (vec![Step::Repeat(b"\x14\x03\x03\x00\x01\x01".into(), Duration::ZERO)], Outcome::TlsFailed, ""),
        (vec![Step::Repeat(b"\x15\x03\x03\x00\x02\x01\x5a".into(), Duration::ZERO)], Outcome::TlsFailed, ""),
    ] {
        let mut receiver = Receiver::scripted(vec![script.clone()]).await;
        let to = receiver.url("/").replace("http:", "https:");
        let response = transport(&settings(IMPATIENT)).send(request(&to)).await;
        assert_eq!(response.outcome, outcome, "{:?}: {response:?}", script.first());
        let told = response.error.expect("a reason");
        assert!(!told.is_empty() && told.contains(error), "{told}");
        assert!(response.took < PATIENT / 2, "{:?}", response.took);
        assert!(receiver.said() < 512 * 1024, "{} bytes were taken", receiver.said());
        receiver.left_alone().await;
    }
}

#[test]
fn a_file_of_roots_must_hold_some() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let with = |path: &std::path::Path| {
        let settings = Settings { ca_file: Some(path.into()), ..settings(PATIENT) };
        HttpTransport::new(&settings, Arc::new(Guard::new(&settings))).map(drop)
    };
    let problem = |path: &std::path::Path| match with(path) {
        Err(TransportError::CaFile { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(problem(file.path()), "there is no certificate in it");
    std::fs::write(file.path(), "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n").expect("a file");
    assert_eq!(problem(file.path()), "not in PEM form");
    std::fs::write(file.path(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("a file");
    assert!(problem(file.path()).starts_with("a certificate in it cannot be used: "));
    assert!(problem(std::path::Path::new("/nowhere")).contains("No such file"));
}
