//! Receivers over TLS: whom we trust, and what we say when we do not.

use std::net::SocketAddr;
use std::sync::Arc;

use certhook::deliver::Settings;
use certhook::deliver::guard::Guard;
use certhook::deliver::transport::{HttpTransport, Transport, TransportError};
use certhook::model::delivery::Outcome;
use rcgen::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::fixture::{IMPATIENT, PATIENT, Receiver, read_request, request, settings, transport};

/// A receiver with a certificate of its own making, which speaks HTTP/1 or, if it is told so, waits for HTTP/2.
struct Secure {
    address: SocketAddr,
    certificate: tempfile::NamedTempFile,
    serving: JoinSet<Vec<u8>>,
}

impl Secure {
    async fn start(name: &str, protocol: &str) -> Self {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a certificate and its key");
        config.alpn_protocols = vec![protocol.into()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut serving = JoinSet::new();
        let over_http2 = protocol == "h2";
        serving.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                if over_http2 {
                    let mut opening = vec![0; 14];
                    stream.read_exact(&mut opening).await.expect("an opening");
                    return opening;
                }
                read_request(&mut stream).await.expect("a request");
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("it reads");
            }
        });
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), pem(cert.der())).expect("a file");
        Self { address, certificate: file, serving }
    }

    fn trusting(&self, timeout: std::time::Duration) -> Settings {
        Settings { ca_file: Some(self.certificate.path().into()), ..settings(timeout) }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/hook", self.address.port())
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_trusted() {
    let receiver = Secure::start("localhost", "http/1.1").await;
    let response = transport(&settings(PATIENT)).send(request(&receiver.url("localhost"))).await;
    assert_eq!(response.outcome, Outcome::TlsFailed, "{response:?}");
    let error = response.error.expect("a reason");
    assert!(error.contains("invalid peer certificate"), "{error}");
}

#[tokio::test]
async fn a_root_of_our_own_makes_it_trusted_for_its_name_only() {
    let receiver = Secure::start("localhost", "http/1.1").await;
    let transport = transport(&receiver.trusting(PATIENT));
    let response = transport.send(request(&receiver.url("localhost"))).await;
    assert_eq!(response.outcome, Outcome::Delivered, "{response:?}");
    assert_eq!(response.address, Some(receiver.address.to_string()));
    let response = transport.send(request(&receiver.url("127.0.0.1"))).await;
    assert_eq!(response.outcome, Outcome::TlsFailed, "{response:?}");
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_offered() {
    let mut receiver = Secure::start("localhost", "h2").await;
    let response = transport(&receiver.trusting(PATIENT)).send(request(&receiver.url("localhost"))).await;
    assert_eq!(response.outcome, Outcome::Broken, "this receiver hangs up: {response:?}");
    let opening = receiver.serving.join_next().await.expect("it served").expect("without a panic");
    assert_eq!(opening, b"PRI * HTTP/2.0");
}

#[tokio::test]
async fn a_receiver_that_speaks_no_tls_is_told_from_one_that_says_nothing() {
    let receiver = Receiver::start(vec![]).await;
    let silent = receiver.url("/").replace("http:", "https:");
    let response = transport(&settings(IMPATIENT)).send(request(&silent)).await;
    assert_eq!(response.outcome, Outcome::ConnectFailed, "{response:?}");
    assert_eq!(response.error.as_deref(), Some("no connection within two thirds of the deadline"));

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("it reads");
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let response = transport(&settings(PATIENT)).send(request(&format!("https://{address}/"))).await;
    assert_eq!(response.outcome, Outcome::TlsFailed, "{response:?}");
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
    assert!(problem(std::path::Path::new("/nowhere")).contains("No such file"));
}
