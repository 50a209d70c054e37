//! Who may use the API, as it was written once.

use super::*;
use crate::model::id::{KeyId, KeyNumber};
use crate::model::key::{Key, KeyDigest, Scope, Scopes};
use crate::store::codec::access::{key as row_of_key, read_key};

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
