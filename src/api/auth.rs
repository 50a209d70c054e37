//! Who may ask, and for what: bearer keys, compared in constant time, and the scopes that they have.

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
use crate::model::key::{Scope, Scopes};

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

/// Who sent a request.
#[derive(Clone)]
pub(super) struct Caller {
    scopes: Scopes,
}

/// Lets a request through that carries a key, and tells those behind whose it is.
pub(super) async fn require_key(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = match bearer(request.headers()) {
        None => return Err(ApiError::new(ErrorKind::MissingKey, "send the header authorization: Bearer KEY")),
        Some(presented) if api.root_key.is(presented) => Caller { scopes: Scopes::all() },
        Some(_) => return Err(ApiError::new(ErrorKind::WrongKey, "this key opens nothing here")),
    };
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Lets a request through whose key has the scope.
pub(super) async fn require_scope(
    State(scope): State<Scope>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = request.extensions().get::<Caller>().ok_or_else(ApiError::internal)?;
    if caller.scopes.open(scope) {
        return Ok(next.run(request).await);
    }
    let message = format!("this key may not do that: it lacks the scope {}", scope.as_str());
    Err(ApiError::new(ErrorKind::ScopeMissing, message))
}

/// The key that a request carries. The scheme is read in any case (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
