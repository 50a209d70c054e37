//! The row of an answer that is kept for whoever asks again: in JSON, the answer itself sealed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::{StoreError, VERSION, from_plain, plain, unreadable};
use crate::model::time::Timestamp;
use crate::store::vault::{Purpose, Vault};
use crate::store::{AnswerName, KeptAnswer};

const ANSWER: &str = "an answer";

#[derive(Serialize, Deserialize)]
pub(super) struct AnswerRow {
    request_sha256: String,
    sealed_answer: String,
    expires_at: Timestamp,
}

/// What is sealed: this as JSON, a line's end, and the body.
#[derive(Serialize, Deserialize)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
    has_body: bool,
}

/// The row of an answer.
pub(crate) fn answer(name: AnswerName, answer: &KeptAnswer, vault: &Vault) -> Vec<u8> {
    let KeptAnswer { request, status, headers, body, expires_at } = answer;
    let head = Head { status: *status, headers: headers.clone(), has_body: body.is_some() };
    let mut whole = serde_json::to_vec(&head).expect("plain data can be written to memory");
    whole.push(b'\n');
    whole.extend_from_slice(body.as_deref().unwrap_or_default());
    let row = AnswerRow {
        request_sha256: STANDARD.encode(request),
        sealed_answer: vault.seal(Purpose::Answer(name), &whole),
        expires_at: *expires_at,
    };
    plain(VERSION, &row)
}

/// The answer in a row.
pub(crate) fn read_answer(name: AnswerName, bytes: &[u8], vault: &Vault) -> Result<KeptAnswer, StoreError> {
    let row: AnswerRow = from_plain(VERSION, ANSWER, bytes)?;
    let request = STANDARD.decode(&row.request_sha256).ok().and_then(|digest| digest.try_into().ok());
    let opened = vault.open(Purpose::Answer(name), &row.sealed_answer).map_err(|error| unreadable(ANSWER, error))?;
    let opened = opened.expose_secret();
    let end = opened.iter().position(|byte| *byte == b'\n').ok_or_else(|| unreadable(ANSWER, "it has no head"))?;
    // The reader's own words could show a part of it.
    let head: Head = serde_json::from_slice(&opened[..end]).map_err(|_| unreadable(ANSWER, "its head is none"))?;
    Ok(KeptAnswer {
        request: request.ok_or_else(|| unreadable(ANSWER, "its digest is none"))?,
        status: head.status,
        headers: head.headers,
        body: head.has_body.then(|| opened[end + 1..].to_vec()),
        expires_at: row.expires_at,
    })
}

/// When the answer in a row is forgotten, without opening it.
pub(crate) fn read_expiry(bytes: &[u8]) -> Result<Timestamp, StoreError> {
    from_plain::<AnswerRow>(VERSION, ANSWER, bytes).map(|row| row.expires_at)
}

/// A row, sealed with another key.
pub(crate) fn resealed_answer(
    name: AnswerName,
    bytes: &[u8],
    former: &Vault,
    next: &Vault,
) -> Result<Vec<u8>, StoreError> {
    read_answer(name, bytes, former).map(|read| answer(name, &read, next))
}
