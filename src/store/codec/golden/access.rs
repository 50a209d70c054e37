//! Who may use the API, as it was written once.

use super::*;
use crate::model::audit::AuditEntry;
use crate::model::id::{AuditId, KeyId, KeyNumber};
use crate::model::key::{Key, KeyDigest, Scope, Scopes};
use crate::store::codec::access::{audit, key as row_of_key, read_audit, read_key};

#[test]
fn keys_to_the_api() {
    let one = Key {
        id: KeyId { number: KeyNumber(3), random: 77 },
        name: "the CRM".into(),
        prefix: "ck_0123456".into(),
        digest: KeyDigest(std::array::from_fn(|index| index as u8)),
        scopes: Scopes::new(Scope::ALL.into()),
        created_at: at(1),
        expires_at: Some(at(2)),
        last_used_at: Some(at(3)),
    };
    let other = Key { scopes: Scopes::new(vec![Scope::Read]), expires_at: None, last_used_at: None, ..one.clone() };
    check(include_str!("key.hex"), &[one, other], row_of_key, |_, bytes| read_key(bytes));
}

#[test]
fn entries_of_the_audit_log() {
    let one = AuditEntry {
        id: AuditId { at: at(1), number: 300 },
        key_id: Some(KeyId { number: KeyNumber(3), random: 77 }),
        key_name: "the CRM".into(),
        address: Some("2001:db8::7".parse().unwrap()),
        operation: "PATCH /v1/endpoints/{name}".into(),
        resource_id: Some("ep_1".into()),
        before: Some(object()),
        after: Some(Json::of(&json!({"id": "ep_1"}))),
        omitted: vec!["types".into()],
        request_id: "req_1".into(),
    };
    let (key_id, address, resource_id) = (None, Some("192.0.2.7".parse().unwrap()), None);
    let other =
        AuditEntry { key_id, address, resource_id, before: None, after: None, omitted: Vec::new(), ..one.clone() };
    check(include_str!("audit.hex"), &[one, other], audit, |_, bytes| read_audit(bytes));
}
