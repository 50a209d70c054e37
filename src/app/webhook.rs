//! Deliveries without a gateway: whether a captured one is what was sent, and events signed for somebody who works on
//! a receiver.

use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::deliver::sign::{self, ID_HEADER, VerifyError};
use crate::model::endpoint::{BadSecret, SigningSecret};
use crate::model::id::EventId;
use crate::model::time::Timestamp;

pub use crate::deliver::sign::TOLERANCE;

/// The id that the secret of forwarded events is drawn under. No event has it.
const FORWARDING: &str = "certhook events tail --forward-to";

/// A delivery as somebody received it.
#[derive(Clone, Debug)]
pub struct Captured {
    /// Its headers, by their lower-case names.
    pub headers: Vec<(String, String)>,
    /// Its body, byte for byte.
    pub body: Vec<u8>,
}

impl Captured {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The event that its headers name.
    pub fn id(&self) -> Option<&str> {
        self.header(ID_HEADER)
    }
}

/// What speaks against a captured delivery, by cause.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// A header is missing, or is none that was ever sent.
    #[error("a header: {0}")]
    Header(VerifyError),
    /// Everything is right but the time.
    #[error("its age: {0} (everything else is right)")]
    Age(VerifyError),
    /// The body is not what was sent.
    #[error("the body: {0}")]
    Body(String),
    /// The secret is no secret, or not the one that signed.
    #[error("the secret: {0}")]
    Secret(String),
}

impl Distrust {
    /// The cause in a word.
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Header(_) => "header",
            Self::Age(_) => "age",
            Self::Body(_) => "body",
            Self::Secret(_) => "secret",
        }
    }
}

/// Checks a captured delivery as it stands at `now`.
///
/// # Errors
/// The cause that is worst: one that no waiting and no setting of clocks would change goes before its age.
pub fn verify(captured: &Captured, secret: &str, now: Timestamp, tolerance: Duration) -> Result<(), Distrust> {
    let key = match SigningSecret::parse_text(secret.trim()) {
        Ok(secret) => secret.key,
        Err(BadSecret) => return Err(Distrust::Secret(format!("it {BadSecret}"))),
    };
    let check = |body: &[u8], tolerance| sign::verify(&key, |name| captured.header(name), body, now, tolerance);
    let signs = |body: &[u8]| check(body, Duration::MAX).is_ok();
    match check(&captured.body, tolerance) {
        Ok(()) => Ok(()),
        Err(error @ (VerifyError::Missing(_) | VerifyError::Malformed { .. })) => Err(Distrust::Header(error)),
        Err(error @ (VerifyError::TooOld { .. } | VerifyError::TooNew { .. })) if signs(&captured.body) => {
            Err(Distrust::Age(error))
        }
        Err(VerifyError::TooOld { .. } | VerifyError::TooNew { .. } | VerifyError::NoMatch) => {
            Err(unlike(captured, signs))
        }
    }
}

/// Why no signature matches. The code alone does not tell; but what usually happens to bodies can be undone, and what
/// is whole and belongs to its headers was hardly changed.
fn unlike(captured: &Captured, signs: impl Fn(&[u8]) -> bool) -> Distrust {
    let body = captured.body.as_slice();
    let without_end = body.strip_suffix(b"\n").map(|rest| rest.strip_suffix(b"\r").unwrap_or(rest));
    if without_end.is_some_and(&signs) {
        return Distrust::Body("the end of a line was added to it; keep it byte for byte".into());
    }
    let Ok(read) = serde_json::from_slice::<Value>(body) else {
        return Distrust::Body(format!("it is no JSON; are these {} bytes all that came?", body.len()));
    };
    if signs(read.to_string().as_bytes()) {
        return Distrust::Body("it was read and written anew, with other white space; sign what came".into());
    }
    let id = read.get("id").and_then(Value::as_str).unwrap_or_default();
    match captured.id() {
        Some(named) if named != id => Distrust::Body(format!("it is that of {id:?}, and the headers are of {named}")),
        Some(_) | None => Distrust::Secret(
            "it did not sign this: most likely it is another endpoint's, or was rotated away (if not, a value in the body \
             was changed)"
                .into(),
        ),
    }
}

/// The secret that signs what is forwarded: it follows from a key of the gateway, so that it is the same in each run,
/// and tells nothing of the key.
pub fn forwarding_secret(key: &SecretString) -> SigningSecret {
    let key = key.expose_secret().as_bytes().to_vec().into();
    let drawn = sign::signature(&key, FORWARDING, 0, b"");
    let text = drawn.replacen("v1,", "whsec_", 1);
    SigningSecret::parse_text(&text).expect("32 bytes in base64 make a secret")
}

/// The headers of an event that is forwarded at `now`.
///
/// # Errors
/// If the id is none of an event.
pub fn signed(
    secret: &SigningSecret,
    id: &str,
    body: &[u8],
    now: Timestamp,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let id: EventId = id.parse().with_context(|| format!("{id:?} is not the id of an event"))?;
    Ok(sign::headers(id, body, std::slice::from_ref(secret), 1, now))
}
