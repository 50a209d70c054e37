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
        resource_uid: None,
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

#[test]
fn answers_that_are_kept() {
    use crate::store::codec::answers::{AnswerRow, answer, read_answer, read_expiry};
    use crate::store::{AnswerName, KeptAnswer};
    let name = AnswerName([9; 32]);
    let kept = KeptAnswer {
        request: [7; 32],
        status: 201,
        headers: vec![("location".into(), "/v1/endpoints/ep_1".into())],
        body: Some(b"{\"secret\":\"whsec_x\"}\n".to_vec()),
        expires_at: at(1),
    };
    let line = include_str!("answer.hex").trim_end();
    let today = hex_of(&answer(name, &kept, &vault()));
    let bytes = bytes_of(line);
    let read = read_answer(name, &bytes, &vault());
    assert_eq!(read.unwrap_or_else(|error| panic!("{error}; written today:\n{today}\n")), kept);
    let row: AnswerRow = from_plain(1, "an answer", &bytes).unwrap();
    assert_eq!(hex_of(&plain(1, &row)), line);
    assert_eq!(read_expiry(&bytes).unwrap(), at(1));
    assert!(read_answer(AnswerName([8; 32]), &bytes, &vault()).is_err(), "it belongs to another name");
    assert!(read_answer(name, &[[2].as_slice(), &bytes[1..]].concat(), &vault()).is_err());
}
