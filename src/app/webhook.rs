//! Deliveries without a gateway: whether a captured one is what was sent, and events signed for somebody who works on
//! a receiver. In `changed`: what has become of a body that no secret signed.

use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};

use crate::deliver::sign::{self, ID_HEADER, VerifyError};
use crate::model::endpoint::{BadSecret, SigningSecret};
use crate::model::id::EventId;
use crate::model::time::Timestamp;

mod changed;

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
    /// A secret is no secret.
    #[error("the secret: {0}")]
    Secret(String),
    /// The code does not tell which, and nothing else does.
    #[error("the secret or the body: {0}")]
    SecretOrBody(String),
}

impl Distrust {
    /// The cause in a word.
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Header(_) => "header",
            Self::Age(_) => "age",
            Self::Body(_) => "body",
            Self::Secret(_) => "secret",
            Self::SecretOrBody(_) => "secret_or_body",
        }
    }
}

/// Checks a captured delivery as it stands at `now`, with secrets of which any may have signed it; gives the place of the
/// one that did.
///
/// # Errors
/// The cause that is worst: one that no waiting and no setting of clocks would change goes before its age.
pub fn verify(
    captured: &Captured,
    secrets: &[SecretString],
    now: Timestamp,
    tolerance: Duration,
) -> Result<usize, Distrust> {
    let mut keys = Vec::new();
    for (place, secret) in secrets.iter().enumerate() {
        let which = if secrets.len() == 1 { "it".into() } else { format!("the one in place {}", place + 1) };
        let read = SigningSecret::parse_text(secret.expose_secret().trim());
        keys.push(read.map_err(|BadSecret| Distrust::Secret(format!("{which} {BadSecret}")))?.key);
    }
    let check = |key, body: &[u8], tolerance| sign::verify(key, |name| captured.header(name), body, now, tolerance);
    let signer = |body: &[u8]| keys.iter().position(|key| check(key, body, Duration::MAX).is_ok());
    let signed_by = signer(&captured.body);
    let judged = keys.get(signed_by.unwrap_or(0)).map(|key| check(key, &captured.body, tolerance));
    match judged {
        Some(Ok(())) => Ok(signed_by.unwrap_or(0)),
        None => Err(Distrust::Secret("there is none".into())),
        Some(Err(error @ (VerifyError::Missing(_) | VerifyError::Malformed { .. }))) => Err(Distrust::Header(error)),
        Some(Err(error @ (VerifyError::TooOld { .. } | VerifyError::TooNew { .. }))) if signed_by.is_some() => {
            Err(Distrust::Age(error))
        }
        Some(Err(VerifyError::TooOld { .. } | VerifyError::TooNew { .. } | VerifyError::NoMatch)) => {
            Err(changed::unlike(captured, |body| signer(body).is_some()))
        }
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
