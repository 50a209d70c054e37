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
        SigningSecret { key: vec![1; 32].into(), expires_at: None },
        SigningSecret { key: vec![2; 32].into(), expires_at: Some(now.plus(Duration::from_secs(60))) },
    ];
    let mut headers = reqwest::header::HeaderMap::new();
    for (name, value) in sign::headers(id, body, &secrets, 3, now) {
        headers.insert(name, value.parse().expect("a header value"));
    }
    for secret in &secrets {
        let printed = secret.to_text();
        let receiver = standardwebhooks::Webhook::new(printed.expose_secret()).expect("a secret");
        receiver.verify(body, &headers).expect("the signature is accepted");
        assert!(receiver.verify(b"{}", &headers).is_err());
    }
}

#[test]
fn we_accept_what_the_reference_library_signs() {
    let now = SystemClock::default().now();
    let secret = SigningSecret { key: vec![3; 32].into(), expires_at: None };
    let sender = standardwebhooks::Webhook::new(secret.to_text().expose_secret()).expect("a secret");
    let signature = sender.sign("msg_1", now.as_seconds(), b"{}").expect("a signature");
    let timestamp = now.as_seconds().to_string();
    let header = |name: &str| match name {
        sign::ID_HEADER => Some("msg_1"),
        sign::TIMESTAMP_HEADER => Some(timestamp.as_str()),
        sign::SIGNATURE_HEADER => Some(signature.as_str()),
        _ => None,
    };
    assert_eq!(sign::verify(&secret.key, header, b"{}", now, sign::TOLERANCE), Ok(()));
}
