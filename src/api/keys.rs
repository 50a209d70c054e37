//! Keys: who else may use the API, and for what. A key is shown once, when it is made; what is kept is its digest.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::audit::Audited;
use super::auth;
use super::deed::Change;
use super::error::{ApiError, ErrorKind};
use super::input::{Input, must_be};
use super::openapi::examples;
use super::page::{List, Order, Page, PageQuery};
use super::request::{Body, Named, NoQuery, Query};
use super::state::Api;
use crate::clock::random_bytes;
use crate::model::id::{KeyId, KeyNumber, base62};
use crate::model::key::{Key, Scope, Scopes};
use crate::model::time::Timestamp;
use crate::store::StoreError;

/// What every key begins with, so that whoever looks for leaked secrets finds one.
pub(super) const PREFIX: &str = "ck_";

/// The prefix and 256 random bits in two numbers of 22 digits.
pub(super) const TEXT_BYTES: usize = PREFIX.len() + 2 * 22;

/// So much of a key is shown in lists: enough to tell two of them apart, and 37 digits too few to use one.
const SHOWN_BYTES: usize = PREFIX.len() + 7;

/// A line for people.
pub(super) const NAME_CHARS_MAX: usize = 100;

/// One for each program and person of a large house. More are a sign that somebody makes keys and does not delete them.
const KEYS_MAX: usize = 1_000;

/// A key.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Key", example = examples::key())]
pub(super) struct KeyView {
    /// Names it. It opens nothing.
    id: KeyId,
    /// The word for it.
    #[schemars(extend("const" = "key"))]
    object: &'static str,
    /// Whose key it is, or what it is for.
    name: String,
    /// How it begins.
    prefix: String,
    /// What it opens.
    scopes: Scopes,
    /// When it was made.
    created_at: Timestamp,
    /// Until when it opens anything; null: for good.
    expires_at: Option<Timestamp>,
    /// When it was used last, give or take a minute; null: never.
    last_used_at: Option<Timestamp>,
    /// The key itself; only when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    key: Option<String>,
}

impl From<Key> for KeyView {
    fn from(key: Key) -> Self {
        let Key { id, name, prefix, digest: _, scopes, created_at, expires_at, last_used_at } = key;
        Self { id, object: "key", name, prefix, scopes, created_at, expires_at, last_used_at, key: None }
    }
}

/// What is left of a deleted key.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeletedKey", example = examples::deleted_key())]
pub(super) struct DeletedView {
    /// Named it.
    id: KeyId,
    /// The word for it.
    #[schemars(extend("const" = "key"))]
    object: &'static str,
    /// Always true.
    deleted: bool,
}

/// `GET /v1/keys`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Query(mut input): Query,
) -> Result<Json<Page<KeyView>>, ApiError> {
    let page = PageQuery::<u32>::take(&mut input, List::Keys);
    input.finish()?;
    let ascending = page.order == Order::OldestFirst;
    let keys = api.store.keys(page.after.map(KeyNumber), ascending, page.limit + 1).await?;
    Ok(Json(page.answer_with_one_more(keys, |key| key.id.number.0).map(KeyView::from)))
}

/// `POST /v1/keys`. The key itself is in this answer and nowhere else.
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    change: Change,
    _: NoQuery,
    Body(given): Body,
) -> Result<Response, ApiError> {
    let now = api.clock.now();
    let mut input = Input::of_body(given);
    let (name, scopes, expires_at) = asked(&mut input, now);
    input.finish()?;
    if api.store.keys(None, true, KEYS_MAX).await?.len() == KEYS_MAX {
        let message = format!("there are {KEYS_MAX} keys already; delete those that nobody uses (last_used_at tells)");
        return Err(ApiError::new(ErrorKind::TooManyKeys, message));
    }
    let text = draw();
    // The store gives the number.
    let id = KeyId { number: KeyNumber(0), random: u128::from_le_bytes(random_bytes()) >> 32 };
    let (prefix, digest) = (text[..SHOWN_BYTES].to_owned(), auth::digest(&text));
    let key = Key { id, name, prefix, digest, scopes, created_at: now, expires_at, last_used_at: None };
    let view = KeyView { key: Some(text), ..key.clone().into() };
    let answer = (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(view));
    let prepared = change.prepare(&api, answer).await?;
    let made = prepared.commit(|deed| api.store.create_key_with(key.clone(), deed)).await?;
    Ok(prepared.done_as(&id, &made.id))
}

/// `DELETE /v1/keys/{id}`: it opens nothing from then on.
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    change: Change,
    Named(name): Named,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let not_found = || ApiError::new(ErrorKind::KeyNotFound, format!("there is no key {name:?}"));
    let id: KeyId = name.parse().map_err(|_| not_found())?;
    let found = find(&api, id).await?;
    let view = Json(DeletedView { id, object: "key", deleted: true });
    let answer = (Audited::deleted(&KeyView::from(found.ok_or_else(not_found)?)), view);
    let prepared = change.prepare(&api, answer).await?;
    prepared.commit(|deed| api.store.delete_key_with(id, deed)).await?.ok_or_else(not_found)?;
    Ok(prepared.done())
}

/// The key of an id.
pub(super) async fn find(api: &Api, id: KeyId) -> Result<Option<Key>, StoreError> {
    // The first one from its number on.
    let before = id.number.0.checked_sub(1).map(KeyNumber);
    Ok(api.store.keys(before, true, 1).await?.pop().filter(|key| key.id == id))
}

fn draw() -> String {
    let half = || base62(u128::from_le_bytes(random_bytes()));
    format!("{PREFIX}{}{}", half(), half())
}

/// Whose key, what it opens, and until when.
pub(super) fn asked(input: &mut Input, now: Timestamp) -> (String, Scopes, Option<Timestamp>) {
    (name(input), scopes(input), expires_at(input, now))
}

fn name(input: &mut Input) -> String {
    if !input.has("name") {
        input.report("name", "is required: whose key it is, or what it is for");
    }
    let Some(name) = input.text("name") else { return String::new() };
    let length = name.chars().count();
    if name.trim().is_empty() {
        input.report("name", "must not be empty: it says whose key it is, or what it is for");
    } else if length > NAME_CHARS_MAX {
        input.report("name", format!("must have at most {NAME_CHARS_MAX} characters, not {length}"));
    } else if name.chars().any(char::is_control) {
        input.report("name", "must have no control characters");
    }
    name
}

fn scopes(input: &mut Input) -> Scopes {
    let words = || Scope::ALL.map(Scope::as_str).join(", ");
    let read = |entry: &Value| {
        let text = entry.as_str().ok_or_else(|| must_be("a string", entry))?;
        let known = Scope::ALL.into_iter().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| format!("must be one of: {}", words()))
    };
    let is_given = input.has("scopes");
    let scopes = input.list("scopes", Scope::ALL.len(), read);
    if !is_given || scopes.as_ref().is_some_and(Vec::is_empty) {
        input.report("scopes", format!("must name at least one of: {}", words()));
    }
    Scopes::new(scopes.unwrap_or_default())
}

fn expires_at(input: &mut Input, now: Timestamp) -> Option<Timestamp> {
    let expires_at = input.parsed("expires_at");
    if expires_at.is_some_and(|at| at <= now) {
        input.report("expires_at", format!("must be in the future; it is {now} now"));
    }
    expires_at
}
