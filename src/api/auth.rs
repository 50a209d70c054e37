//! Who may ask: bearer keys, compared in constant time.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::{ApiError, ErrorKind};
use super::state::Api;

/// The root key, as its digest: digests have one length, so that a comparison tells nothing about the key's.
pub(super) struct RootKey([u8; 32]);

impl RootKey {
    /// The key that configuration gives.
    pub(super) fn new(key: &SecretString) -> Self {
        Self(Sha256::digest(key.expose_secret()).into())
    }

    fn is(&self, presented: &str) -> bool {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        self.0.ct_eq(&presented).into()
    }
}

/// Lets a request through that carries the root key.
pub(super) async fn require_key(
    State(api): State<Arc<Api>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    match bearer(request.headers()) {
        None => Err(ApiError::new(ErrorKind::MissingKey, "send the header authorization: Bearer KEY")),
        Some(presented) if api.root_key.is(presented) => Ok(next.run(request).await),
        Some(_) => Err(ApiError::new(ErrorKind::WrongKey, "this key opens nothing here")),
    }
}

/// The key that a request carries. The scheme is read in any case (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
