//! Standard Webhooks 1.0 signatures: how a delivery is signed, and how a receiver checks it.
//!
//! The signature is `v1,` and the base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`, with the timestamp in whole
//! Unix seconds and the body exactly as it is sent. While a secret is being rotated there is one signature per live
//! secret, separated by spaces, and a receiver accepts any of them.
//!
//! See the [specification](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

use crate::model::endpoint::SigningSecret;
use crate::model::id::EventId;
use crate::model::time::Timestamp;

/// The event's id, the same on every attempt: what a receiver deduplicates by.
pub const ID_HEADER: &str = "webhook-id";
/// When this attempt was signed, in Unix seconds.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// One signature per live secret.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// The number of the attempt, from 1. Not signed.
pub const ATTEMPT_HEADER: &str = "certhook-attempt";

/// How far a receiver lets the timestamp be from its own clock, unless it has a reason for another figure. Five
/// minutes, like the reference libraries.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Names the replay that an attempt is part of.
pub const REPLAY_HEADER: &str = "certhook-replay";

const VERSION: &str = "v1";

/// The headers that make a request a delivery: id, timestamp, signatures and the number of the attempt (from 1).
///
/// Secrets that are no longer live at `now` do not sign; the current one has no end, so there is always a signature.
pub fn headers(
    id: EventId,
    body: &[u8],
    secrets: &[SigningSecret],
    attempt: u32,
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    let id = id.to_string();
    let signatures: Vec<String> = secrets
        .iter()
        .filter(|secret| secret.is_live(now))
        .map(|secret| signature(&secret.key, &id, now.as_seconds(), body))
        .collect();
    vec![
        (ID_HEADER, id),
        (TIMESTAMP_HEADER, now.as_seconds().to_string()),
        (SIGNATURE_HEADER, signatures.join(" ")),
        (ATTEMPT_HEADER, attempt.to_string()),
    ]
}

/// One signature, with its version: `v1,…`.
pub fn signature(key: &SecretSlice<u8>, id: &str, timestamp: i64, body: &[u8]) -> String {
    let code = code(key, id, timestamp, body).finalize().into_bytes();
    format!("{VERSION},{}", STANDARD.encode(code))
}

fn code(key: &SecretSlice<u8>, id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
    let mut code =
        <Hmac<Sha256> as KeyInit>::new_from_slice(key.expose_secret()).expect("HMAC takes keys of any length");
    code.update(format!("{id}.{timestamp}.").as_bytes());
    code.update(body);
    code
}

/// Why a received delivery is not to be trusted, by cause: each has another remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It was not sent by us, or something on the way dropped the header.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// It was not sent by us, or something on the way rewrote the header.
    #[error("the header {name} is malformed: {reason}")]
    Malformed {
        /// Which header.
        name: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is a replay by somebody else, waited somewhere, or the receiver's clock is fast.
    #[error("it was signed {} s ago, and only {} s are accepted: replayed, delayed, or this clock is fast", age.as_secs(), tolerance.as_secs())]
    TooOld {
        /// How long ago it was signed.
        age: Duration,
        /// How long ago it may have been.
        tolerance: Duration,
    },
    /// The receiver's clock is slow.
    #[error("it was signed {} s from now, and only {} s are accepted: this clock is slow", ahead.as_secs(), tolerance.as_secs())]
    TooNew {
        /// How far ahead it was signed.
        ahead: Duration,
        /// How far ahead it may have been.
        tolerance: Duration,
    },
    /// The secret is another endpoint's, or the body is not byte for byte what was sent.
    #[error("no signature matches: the secret is another one, or the body is not byte for byte what was sent")]
    NoMatch,
}

/// Checks a received delivery: `header` gives the value of a header by its lower-case name, `body` is what came,
/// before any parsing.
///
/// # Errors
/// The first cause found, in the order of [`VerifyError`].
pub fn verify<'h>(
    key: &SecretSlice<u8>,
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), VerifyError> {
    let required = |name: &'static str| header(name).ok_or(VerifyError::Missing(name));
    let id = required(ID_HEADER)?;
    let timestamp = parse_timestamp(required(TIMESTAMP_HEADER)?)?;
    let signatures = parse_signatures(required(SIGNATURE_HEADER)?)?;
    check_age(timestamp, now, tolerance)?;
    let matches = signatures.iter().any(|signature| code(key, id, timestamp, body).verify_slice(signature).is_ok());
    if matches { Ok(()) } else { Err(VerifyError::NoMatch) }
}

fn parse_timestamp(text: &str) -> Result<i64, VerifyError> {
    let malformed = VerifyError::Malformed { name: TIMESTAMP_HEADER, reason: "not whole Unix seconds" };
    // `parse` alone would take "+5" and "007", which no sender writes and which do not sign back to the same text.
    text.parse::<i64>().ok().filter(|seconds| *seconds >= 0 && seconds.to_string() == text).ok_or(malformed)
}

/// The signatures of our version. Others are another scheme's and no business of ours.
fn parse_signatures(text: &str) -> Result<Vec<Vec<u8>>, VerifyError> {
    let malformed = |reason| VerifyError::Malformed { name: SIGNATURE_HEADER, reason };
    let mut signatures = Vec::new();
    for entry in text.split(' ').filter(|entry| !entry.is_empty()) {
        let (version, encoded) = entry.split_once(',').ok_or(malformed("an entry is not version,signature"))?;
        if version == VERSION {
            signatures.push(STANDARD.decode(encoded).map_err(|_| malformed("a v1 signature is not base64"))?);
        }
    }
    if signatures.is_empty() { Err(malformed("there is no v1 signature in it")) } else { Ok(signatures) }
}

fn check_age(timestamp: i64, now: Timestamp, tolerance: Duration) -> Result<(), VerifyError> {
    let distance = Duration::from_secs(now.as_seconds().abs_diff(timestamp));
    if distance <= tolerance {
        Ok(())
    } else if timestamp < now.as_seconds() {
        Err(VerifyError::TooOld { age: distance, tolerance })
    } else {
        Err(VerifyError::TooNew { ahead: distance, tolerance })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::id::Position;

    const NOW: i64 = 1_795_233_600;

    fn key(byte: u8) -> SecretSlice<u8> {
        SecretSlice::from(vec![byte; 32])
    }

    fn secret(byte: u8, expires_at: Option<i64>) -> SigningSecret {
        SigningSecret { key: key(byte), expires_at: expires_at.map(|at| Timestamp::from_millis(at * 1000)) }
    }

    fn id() -> EventId {
        EventId { position: Position(7), epoch: 1_795_233_600, start: 5 }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000 + 999)
    }

    type Headers = Vec<(&'static str, String)>;

    fn check(key: &SecretSlice<u8>, headers: &Headers, body: &[u8], now: i64) -> Result<(), VerifyError> {
        let find = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        verify(key, find, body, at(now), TOLERANCE)
    }

    fn with(name: &'static str, value: Option<&str>) -> Headers {
        let mut headers = headers(id(), b"{}", &[secret(1, None)], 1, at(NOW));
        headers.retain(|(known, _)| *known != name);
        headers.extend(value.map(|value| (name, value.to_owned())));
        headers
    }

    #[test]
    fn the_published_vectors_come_out() {
        // The first is in the tests of the reference libraries for Python, Go and others, the second in Rust's.
        for (secret, id, timestamp, body, expected) in [
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                r#"{"email":"test@example.com","username":"test_user"}"#,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
        ] {
            let key = SigningSecret::parse_text(secret).expect("a published secret").key;
            assert_eq!(signature(&key, id, timestamp, body.as_bytes()), expected);
        }
    }

    #[test]
    fn a_delivery_has_one_signature_for_each_live_secret() {
        let secrets = [secret(1, None), secret(2, Some(NOW + 1)), secret(3, Some(NOW))];
        let headers = headers(id(), b"{}", &secrets, 12, Timestamp::from_millis(NOW * 1000));
        let expected = format!(
            "{} {}",
            signature(&key(1), &id().to_string(), NOW, b"{}"),
            signature(&key(2), &id().to_string(), NOW, b"{}")
        );
        assert_eq!(headers[0], ("webhook-id", id().to_string()));
        assert_eq!(headers[1], ("webhook-timestamp", "1795233600".into()));
        assert_eq!(headers[2], ("webhook-signature", expected));
        assert_eq!(headers[3], ("certhook-attempt", "12".into()));
        assert_eq!(check(&key(2), &headers, b"{}", NOW), Ok(()), "the second signature counts too");
        assert_eq!(check(&key(3), &headers, b"{}", NOW), Err(VerifyError::NoMatch));
    }

    #[test]
    fn a_refusal_names_its_cause() {
        let malformed = |name, reason| Err(VerifyError::Malformed { name, reason });
        let bad_timestamp = malformed("webhook-timestamp", "not whole Unix seconds");
        for (headers, expected) in [
            (with("webhook-id", None), Err(VerifyError::Missing("webhook-id"))),
            (with("webhook-timestamp", None), Err(VerifyError::Missing("webhook-timestamp"))),
            (with("webhook-signature", None), Err(VerifyError::Missing("webhook-signature"))),
            (with("webhook-timestamp", Some("soon")), bad_timestamp.clone()),
            (with("webhook-timestamp", Some("1795233600.5")), bad_timestamp.clone()),
            (with("webhook-timestamp", Some("-1795233600")), bad_timestamp.clone()),
            (with("webhook-timestamp", Some("+1795233600")), bad_timestamp),
            (
                with("webhook-signature", Some("v1")),
                malformed("webhook-signature", "an entry is not version,signature"),
            ),
            (with("webhook-signature", Some("v1,???")), malformed("webhook-signature", "a v1 signature is not base64")),
            (with("webhook-signature", Some("")), malformed("webhook-signature", "there is no v1 signature in it")),
            (
                with("webhook-signature", Some("v2,AAAA")),
                malformed("webhook-signature", "there is no v1 signature in it"),
            ),
            (with("webhook-signature", Some("v1,AAAA")), Err(VerifyError::NoMatch)),
            (with("webhook-id", Some("evt_other")), Err(VerifyError::NoMatch)),
        ] {
            assert_eq!(check(&key(1), &headers, b"{}", NOW), expected, "{headers:?}");
        }
    }

    #[test]
    fn the_timestamp_may_be_off_by_the_tolerance_and_no_more() {
        let headers = with("none", None);
        let (tolerance, beyond) = (TOLERANCE, Duration::from_secs(301));
        assert_eq!(check(&key(1), &headers, b"{}", NOW + 300), Ok(()));
        assert_eq!(check(&key(1), &headers, b"{}", NOW - 300), Ok(()));
        assert_eq!(check(&key(1), &headers, b"{}", NOW + 301), Err(VerifyError::TooOld { age: beyond, tolerance }));
        assert_eq!(check(&key(1), &headers, b"{}", NOW - 301), Err(VerifyError::TooNew { ahead: beyond, tolerance }));
    }

    proptest! {
        #[test]
        fn any_changed_byte_of_the_body_is_noticed(body in prop::collection::vec(any::<u8>(), 1..200), place: prop::sample::Index, change in 1..=255_u8) {
            let headers = headers(id(), &body, &[secret(1, None)], 1, at(NOW));
            prop_assert_eq!(check(&key(1), &headers, &body, NOW), Ok(()));
            let mut changed = body.clone();
            changed[place.index(body.len())] ^= change;
            prop_assert_eq!(check(&key(1), &headers, &changed, NOW), Err(VerifyError::NoMatch));
        }

        #[test]
        fn any_changed_character_of_a_header_is_noticed(which in 0..3_usize, place: prop::sample::Index, other in "[!-~]") {
            let good = headers(id(), b"{}", &[secret(1, None)], 1, at(NOW));
            let mut changed = good.clone();
            let place = place.index(changed[which].1.len());
            changed[which].1.replace_range(place..=place, &other);
            prop_assert_eq!(check(&key(1), &changed, b"{}", NOW).is_ok(), good == changed);
        }

        #[test]
        fn no_header_makes_verify_panic(id in ".{0,40}", timestamp in ".{0,40}", signature in ".{0,80}") {
            let headers = vec![(ID_HEADER, id), (TIMESTAMP_HEADER, timestamp), (SIGNATURE_HEADER, signature)];
            let refused = check(&key(1), &headers, b"{}", NOW).is_err();
            prop_assert!(refused);
        }
    }
}
