//! Who may ask, and for what: bearer keys, found by their digests and compared in constant time, and the scopes that
//! they have.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::address;
use super::error::{ApiError, ErrorKind};
use super::keys;
use super::state::Api;
use crate::model::id::KeyId;
use crate::model::key::{KeyDigest, Scope, Scopes};

/// The root key, as its digest: digests have one length, so that a comparison tells nothing about the key's.
pub(super) struct RootKey(KeyDigest);

impl RootKey {
    /// The key that configuration gives.
    pub(super) fn new(key: &SecretString) -> Self {
        Self(digest(key.expose_secret()))
    }
}

/// What is kept of a key's text.
pub(super) fn digest(key: &str) -> KeyDigest {
    KeyDigest(Sha256::digest(key).into())
}

fn are_same(one: KeyDigest, other: KeyDigest) -> bool {
    one.0.ct_eq(&other.0).into()
}

/// What the root key is called.
const ROOT: &str = "root";

/// Who sent a request.
#[derive(Clone)]
pub(super) struct Caller {
    /// The key; `None`: the root key, which is in the configuration and not in the store.
    pub(super) id: Option<KeyId>,
    /// What it is called.
    pub(super) name: String,
    /// From where it is used; `None` where the connection has no address.
    pub(super) address: Option<IpAddr>,
    scopes: Scopes,
}

impl Caller {
    /// Whether the key has the scope.
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.scopes.open(scope)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().cloned().ok_or_else(ApiError::internal)
    }
}

/// Lets a request through that carries a key, and tells those behind whose it is.
pub(super) async fn require_key(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Some(presented) = bearer(request.headers()) else {
        return Err(ApiError::new(ErrorKind::MissingKey, "send the header authorization: Bearer KEY"));
    };
    let address = address::of(&request, &api.trusted_proxies);
    let caller = Caller { address, ..known_holder(&api, presented, address).await? };
    if let Some(id) = caller.id {
        let now = api.clock.now();
        api.upkeep.used(id, now);
        api.paces.admit(id, now).map_err(|wait| {
            let message = "this key was used more than 100 times a second; use it more slowly";
            ApiError::new(ErrorKind::RateLimited, message).with_retry_after(wait)
        })?;
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Whose key that is, unless too many wrong ones came from that address.
async fn known_holder(api: &Api, presented: &str, address: Option<IpAddr>) -> Result<Caller, ApiError> {
    let digest = digest(presented);
    let Some(address) = address else { return holder(api, presented, digest).await };
    let now = api.clock.now();
    api.guesses.admit(address, digest, now).map_err(|wait| {
        let message = "too many wrong keys came from this address; try again later";
        ApiError::new(ErrorKind::RateLimited, message).with_retry_after(wait)
    })?;
    let holder = holder(api, presented, digest).await;
    match &holder {
        Ok(_) => api.guesses.was_right(address, digest, now),
        Err(error) if error.is(ErrorKind::WrongKey) => api.guesses.was_wrong(address, now),
        Err(_) => {}
    }
    holder
}

/// Whose key that is. It is looked up anew for each request, so that one that is deleted opens nothing at once.
async fn holder(api: &Api, presented: &str, digest: KeyDigest) -> Result<Caller, ApiError> {
    if are_same(api.root_key.0, digest) {
        return Ok(Caller { id: None, name: ROOT.into(), address: None, scopes: Scopes::all() });
    }
    let may_be_ours = presented.len() == keys::TEXT_BYTES && presented.starts_with(keys::PREFIX);
    let known = if may_be_ours { api.store.key_of(digest).await? } else { None };
    match known.filter(|known| are_same(known.digest, digest)) {
        Some(known) if known.is_live(api.clock.now()) => {
            Ok(Caller { id: Some(known.id), name: known.name, address: None, scopes: known.scopes })
        }
        Some(_) => Err(ApiError::new(ErrorKind::WrongKey, "this key has expired; ask for another one")),
        None => Err(ApiError::new(ErrorKind::WrongKey, "this key opens nothing here")),
    }
}

/// Whether the key that somebody came with, who has been waiting since, still opens anything.
///
/// # Errors
/// If it was deleted or has expired meanwhile, or the store fails.
pub(super) async fn still_holds(api: &Api, caller: &Caller) -> Result<(), ApiError> {
    let Some(id) = caller.id else { return Ok(()) };
    match keys::find(api, id).await? {
        Some(key) if key.is_live(api.clock.now()) => Ok(()),
        Some(_) | None => Err(ApiError::new(ErrorKind::WrongKey, "this key has expired or was deleted meanwhile")),
    }
}

/// Lets a request through whose key has the scope.
pub(super) async fn require_scope(
    State(scope): State<Scope>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = request.extensions().get::<Caller>().ok_or_else(ApiError::internal)?;
    if caller.may(scope) {
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
