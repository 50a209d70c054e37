//! TLS towards receivers: whom we trust, and which protocols we offer.

use std::fs;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::TransportError;
use crate::deliver::Settings;

/// The name of HTTP/2 in a handshake.
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// What TLS is spoken with: to receivers, and to a proxy, which is spoken to in HTTP/1.
pub(super) struct Tls {
    pub(super) receivers: TlsConnector,
    pub(super) proxy: TlsConnector,
}

impl Tls {
    /// Trusts the roots of this machine and those of the configuration.
    pub(super) fn new(settings: &Settings) -> Result<Self, TransportError> {
        let roots = roots(settings)?;
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TransportError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let offering = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            TlsConnector::from(Arc::new(config))
        };
        Ok(Self { receivers: offering(&[HTTP2, HTTP1]), proxy: offering(&[HTTP1]) })
    }
}

fn roots(settings: &Settings) -> Result<RootCertStore, TransportError> {
    let mut roots = RootCertStore::empty();
    // The stores of some machines hold a few certificates that nobody can read; the others are what counts.
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if let Some(path) = &settings.ca_file {
        let problem = |reason: String| TransportError::CaFile { path: path.clone(), reason };
        let bytes = fs::read(path).map_err(|error| problem(error.to_string()))?;
        let extra: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let extra = extra.map_err(|_| problem("not in PEM form".into()))?;
        if extra.is_empty() {
            return Err(problem("there is no certificate in it".into()));
        }
        for certificate in extra {
            roots.add(certificate).map_err(|error| problem(format!("a certificate in it cannot be used: {error}")))?;
        }
    }
    if roots.is_empty() {
        let reasons: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TransportError::Tls(format!("there are no trusted roots {}", reasons.join("; "))));
    }
    Ok(roots)
}
