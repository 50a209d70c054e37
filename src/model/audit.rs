//! The audit log: what was changed through our API, when, by whom and from where.

use std::net::IpAddr;

use super::id::{AuditId, KeyId};
use super::json::Json;

/// One change that was made through our API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Which one, and when it was made.
    pub id: AuditId,
    /// With which key; `None`: the root key.
    pub key_id: Option<KeyId>,
    /// What that key was called.
    pub key_name: String,
    /// From which address; `None` where the connection has none.
    pub address: Option<IpAddr>,
    /// What was asked for: a method and the path of its route, such as `PATCH /v1/endpoints/{name}`.
    pub operation: String,
    /// What it was about, by its id; what has none, by its name.
    pub resource_id: Option<String>,
    /// The subscriber's own name for the endpoint that it was about, if it has one.
    pub resource_uid: Option<String>,
    /// What was changed, as the API showed it before; `None` where there was nothing, or nothing that was changed.
    pub before: Option<Json>,
    /// The same after it, or else what was answered; `None` where nothing is left.
    pub after: Option<Json>,
    /// The fields that are left out of both because they are too large.
    pub omitted: Vec<String>,
    /// The request's id, which is in the log of the process too.
    pub request_id: String,
}
