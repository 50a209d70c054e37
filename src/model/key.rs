//! Keys to our API: what a caller may do.

use serde::{Deserialize, Serialize};

/// A part of the API that a key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

    /// Whether they open that part. `admin` opens every part.
    pub fn open(&self, part: Scope) -> bool {
        self.0.contains(&part) || self.0.contains(&Scope::Admin)
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
