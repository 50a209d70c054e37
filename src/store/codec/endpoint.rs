//! The row of an endpoint, in JSON. Its URL, its signing secrets and its own headers are sealed.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{StoreError, from_plain, plain, unreadable};
use crate::model::endpoint::{
    DisabledReason, Endpoint, EndpointStatus, EndpointUrl, Format, Ordering, OwnHeaders, Payload, RateLimit,
    SigningSecret,
};
use crate::model::filter::Filter;
use crate::model::id::{EndpointId, Position};
use crate::model::pattern::Pattern;
use crate::model::time::Timestamp;
use crate::store::vault::{Purpose, Vault};

const ENDPOINT: &str = "an endpoint";

/// Version 2 brought `payload`, `format`, headers and `rate_limit`: a program that passes over them would send what nobody asked
/// for, and lose them with the next change.
const VERSION: u8 = 2;

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
    payload: Payload,
    #[serde(default)]
    format: Format,
    #[serde(default)]
    sealed_headers: Option<String>,
    #[serde(default)]
    ordering: Ordering,
    #[serde(default)]
    retry_ms: Option<Vec<u64>>,
    #[serde(default)]
    max_in_flight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate_limit: Option<RateLimit>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    secrets: Vec<SecretRow>,
    status: EndpointStatus,
    #[serde(default)]
    disabled_reason: Option<DisabledReason>,
    start: Position,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enabled_at: Option<Timestamp>,
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
    let headers: BTreeMap<&str, &str> = endpoint.headers.expose().collect();
    let headers = serde_json::to_vec(&headers).expect("text can be written to memory");
    let seal_headers = || vault.seal(Purpose::Headers(endpoint.id), &headers);
    let row = EndpointRow {
        id: endpoint.id,
        uid: endpoint.uid.clone(),
        sealed_url: vault.seal(Purpose::Url(endpoint.id), endpoint.url.expose().as_bytes()),
        description: endpoint.description.clone(),
        types: endpoint.types.clone(),
        filter: endpoint.filter.clone(),
        payload: endpoint.payload,
        format: endpoint.format,
        sealed_headers: (!endpoint.headers.is_empty()).then(seal_headers),
        ordering: endpoint.ordering,
        retry_ms: endpoint.retry.as_ref().map(|waits| waits.iter().map(millis).collect()),
        max_in_flight: endpoint.max_in_flight,
        rate_limit: endpoint.rate_limit,
        metadata: endpoint.metadata.clone(),
        secrets: endpoint.secrets.iter().map(seal_key).collect(),
        status: endpoint.status,
        disabled_reason: endpoint.disabled_reason,
        start: endpoint.start,
        created_at: endpoint.created_at,
        updated_at: endpoint.updated_at,
        enabled_at: Some(endpoint.enabled_at),
    };
    plain(VERSION, &row)
}

fn millis(wait: &Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

/// The endpoint in a row.
pub(crate) fn read_endpoint(bytes: &[u8], vault: &Vault) -> Result<Endpoint, StoreError> {
    let row: EndpointRow = from_plain(VERSION, ENDPOINT, bytes)?;
    let open = |purpose, sealed: &str| vault.open(purpose, sealed).map_err(|error| unreadable(ENDPOINT, error));
    let url = open(Purpose::Url(row.id), &row.sealed_url)?;
    let url = std::str::from_utf8(url.expose_secret()).ok().and_then(|text| Url::parse(text).ok());
    let url = url.ok_or_else(|| unreadable(ENDPOINT, "its URL is none"))?;
    let mut secrets = Vec::with_capacity(row.secrets.len());
    for secret in &row.secrets {
        let key = open(Purpose::SigningKey(row.id), &secret.sealed_key)?;
        secrets.push(SigningSecret { key, expires_at: secret.expires_at });
    }
    let headers = match &row.sealed_headers {
        Some(sealed) => read_headers(open(Purpose::Headers(row.id), sealed)?.expose_secret())?,
        None => OwnHeaders::default(),
    };
    Ok(Endpoint {
        id: row.id,
        uid: row.uid,
        url: EndpointUrl::new(&url),
        description: row.description,
        types: row.types,
        filter: row.filter,
        payload: row.payload,
        format: row.format,
        headers,
        ordering: row.ordering,
        retry: row.retry_ms.map(|waits| waits.into_iter().map(Duration::from_millis).collect()),
        max_in_flight: row.max_in_flight,
        rate_limit: row.rate_limit,
        metadata: row.metadata,
        secrets,
        status: row.status,
        disabled_reason: row.disabled_reason,
        start: row.start,
        created_at: row.created_at,
        updated_at: row.updated_at,
        enabled_at: row.enabled_at.unwrap_or(row.created_at),
    })
}

/// A row, sealed with another key.
pub(crate) fn resealed(bytes: &[u8], former: &Vault, next: &Vault) -> Result<Vec<u8>, StoreError> {
    read_endpoint(bytes, former).map(|read| endpoint(&read, next))
}

fn read_headers(opened: &[u8]) -> Result<OwnHeaders, StoreError> {
    // Where the text is not what it should be, the reader's own words could show a part of it.
    let headers: BTreeMap<String, String> =
        serde_json::from_slice(opened).map_err(|_| unreadable(ENDPOINT, "its headers are none"))?;
    Ok(OwnHeaders::new(headers.into_iter().map(|(name, value)| (name, SecretString::from(value))).collect()))
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
    from_plain(VERSION, ENDPOINT, bytes)
}
