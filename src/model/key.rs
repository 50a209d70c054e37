//! Keys to our API: whose they are, and what a caller may do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::id::KeyId;
use super::time::Timestamp;

/// A part of the API that a key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything that is merely shown, but for secrets, documents and the audit log.
    Read,
    /// Endpoints: registering and changing them, their secrets, and what receivers answered.
    Endpoints,
    /// Sending again what was sent, or what is there.
    Replay,
    /// The documents of certificates.
    Documents,
    /// What is changed at the vendor: requests made and withdrawn.
    Upstream,
    /// Everything, and besides: sources, keys and the audit log.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Read, Self::Endpoints, Self::Replay, Self::Documents, Self::Upstream, Self::Admin];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Endpoints => "endpoints",
            Self::Replay => "replay",
            Self::Documents => "documents",
            Self::Upstream => "upstream",
            Self::Admin => "admin",
        }
    }
}

/// Which scopes a key has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// These, each once, in the order of [`Scope::ALL`].
    pub fn new(mut scopes: Vec<Scope>) -> Self {
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes)
    }

    /// What the root key may do: everything.
    pub fn all() -> Self {
        Self(Scope::ALL.to_vec())
    }

    /// Each of them once, in the order of [`Scope::ALL`].
    pub fn as_slice(&self) -> &[Scope] {
        &self.0
    }

    /// Whether they open that part. `admin` opens every part.
    pub fn open(&self, part: Scope) -> bool {
        self.0.contains(&part) || self.0.contains(&Scope::Admin)
    }
}

/// The SHA-256 digest of a key's text, which is all of it that is kept: a key has 256 random bits, so nobody finds the
/// text from its digest, and no salt or slow function is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest(pub [u8; 32]);

/// A key that somebody was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Which one.
    pub id: KeyId,
    /// Whose it is, or what for.
    pub name: String,
    /// How its text begins, so that its owner can tell which one he has.
    pub prefix: String,
    /// What is kept of its text.
    pub digest: KeyDigest,
    /// What it opens.
    pub scopes: Scopes,
    /// When it was given.
    pub created_at: Timestamp,
    /// From when on it opens nothing.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to the minute or so.
    pub last_used_at: Option<Timestamp>,
}

impl Key {
    /// Whether it opens anything at that instant.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_opens_its_own_part_and_admin_opens_all() {
        for scope in Scope::ALL {
            for part in Scope::ALL {
                let opens = scope == part || scope == Scope::Admin;
                assert_eq!(Scopes::new(vec![scope]).open(part), opens, "{scope:?} {part:?}");
            }
        }
    }

    #[test]
    fn words_are_those_of_the_api() {
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).expect("a word"), scope.as_str());
        }
    }
}
