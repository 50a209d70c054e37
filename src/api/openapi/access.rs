//! Who may use the API, and what was changed through it.

use serde_json::json;

use super::operation::Operation;
use super::words::{id, instant, list as listed, object, or_null};
use crate::api::audit::EntryView;
use crate::api::error::ErrorKind;
use crate::api::keys::{DeletedView, KeyView, NAME_CHARS_MAX};
use crate::api::page::Page;
use crate::model::key::Scope;

const GROUP: &str = "Access";

/// Something that can be seen, and no control characters.
const VISIBLE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";

/// `GET /v1/keys`.
pub(in crate::api) fn keys() -> Operation {
    let description = "Newest first unless `order=asc`; never with the keys themselves. The root key, which is in the \
        configuration, is not among them.";
    Operation::new(GROUP, "listKeys", "List keys", description)
        .ordered_page()
        .answers::<Page<KeyView>>(200, "A page of keys.")
}

/// `POST /v1/keys`.
pub(in crate::api) fn create() -> Operation {
    let words = Scope::ALL.map(Scope::as_str);
    let scope = json!({"type": "string", "enum": words});
    let name = json!({
        "type": "string", "minLength": 1, "maxLength": NAME_CHARS_MAX, "pattern": VISIBLE,
        "description": "Whose key it is, or what it is for.",
    });
    let scopes = "What it opens: `read` (whatever is merely shown), `endpoints` (and their secrets), `replay`, \
        `documents`, `upstream` (what changes something at the vendor), `admin` (everything).";
    let body = object(
        "",
        &["name", "scopes"],
        json!({
            "name": name,
            "scopes": listed(scopes, &scope, 1..=words.len()),
            "expires_at": or_null(instant("Until when it opens anything; for good by default. In the future.")),
        }),
    );
    Operation::new(GROUP, "createKey", "Make a key", "The key itself is in this answer and nowhere else.")
        .body(body, json!({"name": "the CRM", "scopes": ["read", "endpoints"]}))
        .answers::<KeyView>(201, "The key.")
        .with_headers(&[("Cache-Control", "`no-store`: the answer is not to be kept by anybody between us.")])
        .fails(&[ErrorKind::TooManyKeys])
}

/// `DELETE /v1/keys/{id}`.
pub(in crate::api) fn delete() -> Operation {
    Operation::new(GROUP, "deleteKey", "Revoke a key", "It opens nothing from then on.")
        .path("id", id("The key's id.", "key", "key_00004BeXn2Qd7LxK9mTzRw"))
        .answers::<DeletedView>(200, "What is left of it.")
        .fails(&[ErrorKind::KeyNotFound])
}

/// `GET /v1/audit`.
pub(in crate::api) fn audit() -> Operation {
    let description = "Every change that was made through this API: when, with which key, from where, and what it was \
        before and after, without secrets. Newest first unless `order=asc`.";
    Operation::new(GROUP, "listAuditEntries", "Read the audit log", description)
        .ordered_page()
        .query("since", instant("Changes from then on."))
        .query("until", instant("Changes before then."))
        .answers::<Page<EntryView>>(200, "A page of entries.")
}
