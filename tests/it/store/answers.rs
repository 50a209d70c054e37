//! What every backend does with answers that are kept for whoever asks again.

use std::sync::Arc;

use certhook::store::{AnswerName, KeptAnswer, Store};

use super::conformance::Reopen;
use super::samples::*;

pub(super) fn answer(body: &str, expires: i64) -> KeptAnswer {
    KeptAnswer {
        request: [7; 32],
        status: 201,
        headers: vec![("location".into(), "/v1/endpoints/ep_1".into())],
        body: Some(body.into()),
        expires_at: at(expires),
    }
}

pub(super) fn name(number: u8) -> AnswerName {
    AnswerName([number; 32])
}

pub(super) async fn answers_are_kept_and_replaced(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let long = "long \n ".repeat(15_000);
    store.keep_answer(name(1), answer("one", 1)).await.unwrap();
    store.keep_answer(name(2), answer(&long, 2)).await.unwrap();
    store.keep_answer(name(3), KeptAnswer { body: None, headers: Vec::new(), ..answer("", 3) }).await.unwrap();
    let store = reopen(store);
    assert_eq!(store.kept_answer(name(1)).await.unwrap(), Some(answer("one", 1)));
    assert_eq!(store.kept_answer(name(2)).await.unwrap(), Some(answer(&long, 2)));
    assert_eq!(store.kept_answer(name(3)).await.unwrap().unwrap().body, None);
    assert_eq!(store.kept_answer(name(4)).await.unwrap(), None);
    store.keep_answer(name(2), answer("two", 9)).await.unwrap();
    assert_eq!(store.kept_answer(name(2)).await.unwrap(), Some(answer("two", 9)));
    assert_eq!(store.answers_kept().await.unwrap(), 3);
}

pub(super) async fn answers_are_forgotten_when_they_have_expired(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    for number in 1..=4 {
        store.keep_answer(name(number), answer("x", number.into())).await.unwrap();
    }
    store.keep_answer(name(1), answer("again", 9)).await.unwrap();
    assert_eq!(store.forget_answers(at(3)).await.unwrap(), 2);
    assert_eq!(store.forget_answers(at(3)).await.unwrap(), 0);
    let store = reopen(store);
    assert_eq!(store.answers_kept().await.unwrap(), 2);
    assert_eq!(store.kept_answer(name(1)).await.unwrap(), Some(answer("again", 9)), "the one in its place is younger");
    assert_eq!(store.kept_answer(name(3)).await.unwrap(), None);
    assert_eq!(store.forget_answers(at(9)).await.unwrap(), 2);
    assert_eq!(store.answers_kept().await.unwrap(), 0);
}

pub(super) async fn a_call_is_claimed_once_at_a_time(store: Arc<dyn Store>, _reopen: Reopen<'_>) {
    let claim = store.claim(name(1));
    assert!(claim.is_some());
    assert!(store.claim(name(1)).is_none());
    assert!(store.claim(name(2)).is_some());
    drop(claim);
    assert!(store.claim(name(1)).is_some());
}
