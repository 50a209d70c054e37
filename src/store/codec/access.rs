//! The rows of who may use the API, in JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{StoreError, VERSION, from_plain, plain, unreadable};
use crate::model::id::KeyId;
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
