//! Receivers over TLS, with certificates of their own making.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use certhook::deliver::Settings;
use rcgen::{CertificateParams, KeyPair};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::fixture::{listen, settings};

pub(crate) type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// What a receiver has to show, and what it asks for.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateParams,
    pub(crate) protocols: Vec<Vec<u8>>,
    pub(crate) wants_a_certificate: bool,
}

impl Identity {
    /// A certificate for these names that is good for a long time.
    pub(crate) fn of(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let certificate = CertificateParams::new(names).expect("names");
        Self { certificate, protocols: vec![b"http/1.1".into()], wants_a_certificate: false }
    }

    pub(crate) fn speaking(self, protocol: &str) -> Self {
        Self { protocols: vec![protocol.into()], ..self }
    }
}

/// A receiver on this machine that speaks TLS.
pub(crate) struct Secure {
    address: SocketAddr,
    /// What makes its certificate trusted.
    root: tempfile::NamedTempFile,
    connections: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

impl Secure {
    /// Serves every connection, which is told its number from 0, once TLS is agreed upon.
    pub(crate) async fn start<Served>(
        identity: Identity,
        serve: impl Fn(TlsStream, usize) -> Served + Send + Sync + 'static,
    ) -> Self
    where
        Served: Future<Output = io::Result<()>> + Send + 'static,
    {
        let (acceptor, root) = prepare(&identity);
        let listener = listen();
        let address = listener.local_addr().expect("an address");
        let connections = Arc::<AtomicUsize>::default();
        let mut accepting = JoinSet::new();
        accepting.spawn({
            let (connections, serve) = (Arc::clone(&connections), Arc::new(serve));
            async move {
                let mut serving = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let number = connections.fetch_add(1, Ordering::SeqCst);
                    let (acceptor, serve) = (acceptor.clone(), Arc::clone(&serve));
                    // An error here is the other side's going away, which many of these tests are about.
                    serving.spawn(async move { serve(acceptor.accept(stream).await?, number).await });
                }
            }
        });
        Self { address, root, connections, _accepting: accepting }
    }

    /// Settings that trust its certificate.
    pub(crate) fn trusted(&self, timeout: Duration) -> Settings {
        Settings { ca_file: Some(self.root.path().into()), ..settings(timeout) }
    }

    pub(crate) fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/hook", self.address.port())
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn prepare(identity: &Identity) -> (TlsAcceptor, tempfile::NamedTempFile) {
    let key = KeyPair::generate().expect("a key");
    let certificate = identity.certificate.self_signed(&key).expect("a certificate");
    let root = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(root.path(), pem(certificate.der())).expect("a file");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = if identity.wants_a_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).expect("a root");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let secret = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], secret).expect("a pair");
    config.alpn_protocols = identity.protocols.clone();
    (TlsAcceptor::from(Arc::new(config)), root)
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
