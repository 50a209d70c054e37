//! What can go wrong with a call, by what the caller can do about it.

use std::error::Error;

use serde_json::Value;
use url::Url;

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Start the process, or name another address.
    #[error("nothing answers at {base} ({reason})")]
    Unreachable {
        /// Where.
        base: Url,
        /// What the network said.
        reason: String,
    },
    /// Try again; whether a change was made is not known.
    #[error("{base} does not finish its answer ({reason})")]
    Unfinished {
        /// Where.
        base: Url,
        /// What the network said.
        reason: String,
    },
    /// The process says what is wrong.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// Something else answers at that address.
    #[error("{base} answers {status} and nothing that certhook would say; is it the address of a gateway?")]
    Foreign {
        /// Where.
        base: Url,
        /// The HTTP status.
        status: u16,
    },
    /// This machine cannot make calls.
    #[error("cannot set up HTTP: {0}")]
    Setup(String),
}

impl ClientError {
    /// What a failed call means.
    pub(super) fn unanswered(base: &Url, error: &reqwest::Error) -> Self {
        let (base, reason) = (base.clone(), innermost(error));
        if error.is_connect() { Self::Unreachable { base, reason } } else { Self::Unfinished { base, reason } }
    }

    /// The process's own error, if it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Unreachable { .. } | Self::Unfinished { .. } | Self::Foreign { .. } | Self::Setup(_) => None,
        }
    }
}

/// The last of the causes says what happened; those before it only say to whom.
pub(super) fn innermost(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => innermost(cause),
        None => error.to_string(),
    }
}

/// An error as one of our processes tells it.
#[derive(Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The whole of it.
    pub body: Value,
}

impl Refusal {
    /// What a body says.
    pub(super) fn new(status: u16, body: Value) -> Self {
        Self { status, body }
    }

    /// The word for programs, such as `ENDPOINT_NOT_FOUND`.
    pub fn word(&self) -> &str {
        self.text("type").unwrap_or_default()
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.body.get(field)?.as_str()
    }
}

impl std::fmt::Display for Refusal {
    /// One line for what is wrong, or a heading and one for each field.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields = self.body.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let which = match self.word() {
            "" => self.status.to_string(),
            word => format!("{} {word}", self.status),
        };
        if fields.len() < 2 {
            return write!(f, "{} ({which})", self.text("message").unwrap_or("it does not say why"));
        }
        write!(f, "the call cannot be used ({which}):")?;
        for field in fields {
            let part = |name| field.get(name).and_then(Value::as_str).unwrap_or("?");
            write!(f, "\n  {}: {}", part("field"), part("message"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_is_wrong_is_told() {
        let told = |body: Value| Refusal::new(400, body).to_string();
        assert_eq!(told(json!({"type": "GONE", "message": "it is gone"})), "it is gone (400 GONE)");
        let one = json!({"type": "BAD", "message": "a: is bad", "errors": [{"field": "a", "message": "is bad"}]});
        assert_eq!(told(one), "a: is bad (400 BAD)");
        let errors = json!([{"field": "a", "message": "is bad"}, {"field": "b", "message": "is worse"}]);
        let two = json!({"type": "BAD", "message": "a: is bad (and 1 more)", "errors": errors});
        assert_eq!(told(two), "the call cannot be used (400 BAD):\n  a: is bad\n  b: is worse");
        assert_eq!(told(json!({})), "it does not say why (400)");
    }
}
