//! The row of an endpoint, in JSON. Its URL and its signing secrets are sealed.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{StoreError, from_plain, plain, unreadable};
use crate::model::endpoint::{DisabledReason, Endpoint, EndpointStatus, EndpointUrl, Ordering, SigningSecret};
use crate::model::filter::Filter;
use crate::model::id::{EndpointId, Position};
use crate::model::pattern::Pattern;
use crate::model::time::Timestamp;
use crate::store::vault::{Purpose, Vault};

const ENDPOINT: &str = "an endpoint";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct EndpointRow {
    id: EndpointId,
    #[serde(default)]
    uid: Option<String>,
    sealed_url: String,
    #[serde(default)]
    description: String,
    types: Vec<Pattern>,
    #[serde(default)]
    filter: Filter,
    #[serde(default)]
    ordering: Ordering,
    #[serde(default)]
    retry_ms: Option<Vec<u64>>,
    #[serde(default)]
    max_in_flight: Option<u32>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    secrets: Vec<SecretRow>,
    status: EndpointStatus,
    #[serde(default)]
    disabled_reason: Option<DisabledReason>,
    start: Position,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SecretRow {
    sealed_key: String,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

/// The row of an endpoint.
pub(crate) fn endpoint(endpoint: &Endpoint, vault: &Vault) -> Vec<u8> {
    let seal_key = |secret: &SigningSecret| SecretRow {
        sealed_key: vault.seal(Purpose::SigningKey(endpoint.id), secret.key.expose_secret()),
        expires_at: secret.expires_at,
    };
    plain(&EndpointRow {
        id: endpoint.id,
        uid: endpoint.uid.clone(),
        sealed_url: vault.seal(Purpose::Url(endpoint.id), endpoint.url.expose().as_bytes()),
        description: endpoint.description.clone(),
        types: endpoint.types.clone(),
        filter: endpoint.filter.clone(),
        ordering: endpoint.ordering,
        retry_ms: endpoint.retry.as_ref().map(|waits| waits.iter().map(millis).collect()),
        max_in_flight: endpoint.max_in_flight,
        metadata: endpoint.metadata.clone(),
        secrets: endpoint.secrets.iter().map(seal_key).collect(),
        status: endpoint.status,
        disabled_reason: endpoint.disabled_reason,
        start: endpoint.start,
        created_at: endpoint.created_at,
        updated_at: endpoint.updated_at,
    })
}

fn millis(wait: &Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

/// The endpoint in a row.
pub(crate) fn read_endpoint(bytes: &[u8], vault: &Vault) -> Result<Endpoint, StoreError> {
    let row: EndpointRow = from_plain(ENDPOINT, bytes)?;
    let open = |purpose, sealed: &str| vault.open(purpose, sealed).map_err(|error| unreadable(ENDPOINT, error));
    let url = open(Purpose::Url(row.id), &row.sealed_url)?;
    let url = std::str::from_utf8(url.expose_secret()).ok().and_then(|text| Url::parse(text).ok());
    let url = url.ok_or_else(|| unreadable(ENDPOINT, "its URL is none"))?;
    let mut secrets = Vec::with_capacity(row.secrets.len());
    for secret in &row.secrets {
        let key = open(Purpose::SigningKey(row.id), &secret.sealed_key)?;
        secrets.push(SigningSecret { key, expires_at: secret.expires_at });
    }
    Ok(Endpoint {
        id: row.id,
        uid: row.uid,
        url: EndpointUrl::new(&url),
        description: row.description,
        types: row.types,
        filter: row.filter,
        ordering: row.ordering,
        retry: row.retry_ms.map(|waits| waits.into_iter().map(Duration::from_millis).collect()),
        max_in_flight: row.max_in_flight,
        metadata: row.metadata,
        secrets,
        status: row.status,
        disabled_reason: row.disabled_reason,
        start: row.start,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// Who an endpoint is, without opening what is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Identity {
    /// Its id.
    pub(crate) id: EndpointId,
    /// Its subscriber's name for it.
    #[serde(default)]
    pub(crate) uid: Option<String>,
}

/// Who the endpoint in a row is.
pub(crate) fn read_identity(bytes: &[u8]) -> Result<Identity, StoreError> {
    from_plain(ENDPOINT, bytes)
}
