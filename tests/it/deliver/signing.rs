//! Signatures, against an independent implementation.

use certhook::clock::{Clock, SystemClock};
use certhook::deliver::sign;
use certhook::model::endpoint::SigningSecret;
use certhook::model::id::{EventId, Position};
use secrecy::ExposeSecret;
use std::time::Duration;

#[test]
fn the_reference_library_accepts_what_we_sign_with_every_live_secret() {
    let now = SystemClock::default().now();
    let id = EventId { position: Position(7), epoch: 1_795_233_600, start: 5 };
    let body = r#"{"type":"certificate.active","näme":"ü"}"#.as_bytes();
    let secrets = [
        SigningSecret { key: sign::new_key([1; 32]), expires_at: None },
        SigningSecret { key: sign::new_key([2; 32]), expires_at: Some(now.plus(Duration::from_secs(60))) },
    ];
    let mut headers = reqwest::header::HeaderMap::new();
    for (name, value) in sign::headers(id, body, &secrets, 3, now) {
        headers.insert(name, value.parse().expect("a header value"));
    }
    for secret in &secrets {
        let printed = sign::print_secret(&secret.key);
        let receiver = standardwebhooks::Webhook::new(printed.expose_secret()).expect("a secret");
        receiver.verify(body, &headers).expect("the signature is accepted");
        assert!(receiver.verify(b"{}", &headers).is_err());
    }
}

#[test]
fn we_accept_what_the_reference_library_signs() {
    let now = SystemClock::default().now();
    let key = sign::new_key([3; 32]);
    let sender = standardwebhooks::Webhook::new(sign::print_secret(&key).expose_secret()).expect("a secret");
    let signature = sender.sign("msg_1", now.as_seconds(), b"{}").expect("a signature");
    let timestamp = now.as_seconds().to_string();
    let header = |name: &str| match name {
        sign::ID_HEADER => Some("msg_1"),
        sign::TIMESTAMP_HEADER => Some(timestamp.as_str()),
        sign::SIGNATURE_HEADER => Some(signature.as_str()),
        _ => None,
    };
    assert_eq!(sign::verify(&key, header, b"{}", now, sign::TOLERANCE), Ok(()));
}
