//! The rows of who may use the API, in JSON.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{StoreError, VERSION, from_plain, plain, unreadable};
use crate::model::audit::AuditEntry;
use crate::model::id::{AuditId, KeyId};
use crate::model::json::Json;
use crate::model::key::{Key, KeyDigest, Scopes};
use crate::model::time::Timestamp;

const KEY: &str = "a key to the API";

#[derive(Serialize, Deserialize)]
struct KeyRow {
    id: KeyId,
    name: String,
    prefix: String,
    sha256: String,
    scopes: Scopes,
    created_at: Timestamp,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    last_used_at: Option<Timestamp>,
}

/// The row of a key.
pub(crate) fn key(key: &Key) -> Vec<u8> {
    let row = KeyRow {
        id: key.id,
        name: key.name.clone(),
        prefix: key.prefix.clone(),
        sha256: STANDARD.encode(key.digest.0),
        scopes: key.scopes.clone(),
        created_at: key.created_at,
        expires_at: key.expires_at,
        last_used_at: key.last_used_at,
    };
    plain(VERSION, &row)
}

/// The key in a row.
pub(crate) fn read_key(bytes: &[u8]) -> Result<Key, StoreError> {
    let row: KeyRow = from_plain(VERSION, KEY, bytes)?;
    let digest = STANDARD.decode(&row.sha256).ok().and_then(|digest| digest.try_into().ok());
    Ok(Key {
        id: row.id,
        name: row.name,
        prefix: row.prefix,
        digest: KeyDigest(digest.ok_or_else(|| unreadable(KEY, "its digest is none"))?),
        scopes: row.scopes,
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
    })
}

#[derive(Serialize, Deserialize)]
struct AuditRow {
    id: AuditId,
    #[serde(default)]
    key_id: Option<KeyId>,
    key_name: String,
    #[serde(default)]
    address: Option<IpAddr>,
    operation: String,
    #[serde(default)]
    resource_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource_uid: Option<String>,
    #[serde(default)]
    before: Option<Json>,
    #[serde(default)]
    after: Option<Json>,
    #[serde(default)]
    omitted: Vec<String>,
    request_id: String,
}

/// The row of an entry in the audit log.
pub(crate) fn audit(entry: &AuditEntry) -> Vec<u8> {
    let entry = entry.clone();
    let row = AuditRow {
        id: entry.id,
        key_id: entry.key_id,
        key_name: entry.key_name,
        address: entry.address,
        operation: entry.operation,
        resource_id: entry.resource_id,
        resource_uid: entry.resource_uid,
        before: entry.before,
        after: entry.after,
        omitted: entry.omitted,
        request_id: entry.request_id,
    };
    plain(VERSION, &row)
}

/// The entry of the audit log in a row.
pub(crate) fn read_audit(bytes: &[u8]) -> Result<AuditEntry, StoreError> {
    let row: AuditRow = from_plain(VERSION, "an entry of the audit log", bytes)?;
    Ok(AuditEntry {
        id: row.id,
        key_id: row.key_id,
        key_name: row.key_name,
        address: row.address,
        operation: row.operation,
        resource_id: row.resource_id,
        resource_uid: row.resource_uid,
        before: row.before,
        after: row.after,
        omitted: row.omitted,
        request_id: row.request_id,
    })
}
