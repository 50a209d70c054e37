//! What is watched: certificates and certificate requests of a source, and our last sight of each.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::json::{Fields, Json};
use super::time::Timestamp;

/// The two kinds of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A submitted exemption certificate.
    Certificate,
    /// An outstanding ask for one.
    CertificateRequest,
}

impl Kind {
    /// Both, certificates first: a request's events may speak of a certificate, never the other way round.
    pub const ALL: [Self; 2] = [Self::Certificate, Self::CertificateRequest];

    /// The word that starts this kind's event types.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::CertificateRequest => "certificate_request",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text breaks the rule for names or ids that the message states.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must match {0}")]
pub struct BadName(pub &'static str);

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $max:literal, $rule:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                let allowed: fn(u8) -> bool = $allowed;
                if (1..=$max).contains(&text.len()) && text.bytes().all(allowed) {
                    Ok(Self(text.into()))
                } else {
                    Err(BadName($rule))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_text!(
    /// The identity of a source, as configured.
    SourceName, 32, "[a-z0-9_-]{1,32}", |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')
);

checked_text!(
    /// The upstream's id of a resource. Opaque: the vendor's prefixes are no rule.
    ResourceId, 128, "[A-Za-z0-9_-]{1,128}", |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
);

impl FromStr for Kind {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(BadName("certificate or certificate_request"))
    }
}

/// What names one resource among all sources.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ResourceKey {
    /// The source that holds it.
    pub source: SourceName,
    /// Which of the two kinds it is.
    pub kind: Kind,
    /// Its id there.
    pub id: ResourceId,
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.source, self.kind, self.id)
    }
}

/// What is known of a certificate's document. The URL itself is confidential and never gets here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Download {
    /// No answer that would tell was seen.
    #[default]
    Unknown,
    /// `download_url` was null.
    Missing,
    /// `download_url` was a URL.
    Available,
}

/// Whether an answer tells everything about a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// A row of a listing: a field that is absent is unknown.
    Row,
    /// An answer by id: a field that is absent is null.
    Whole,
}

/// One resource as an answer showed it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which resource.
    pub key: ResourceKey,
    /// Its fields as they came, without `download_url`.
    pub fields: Fields,
    /// Whether absent fields are unknown or null.
    pub coverage: Coverage,
    /// What the answer told of the document.
    pub download: Download,
}

impl Seen {
    /// The top-level status, if the answer carried one.
    pub fn status(&self) -> Option<&str> {
        self.fields.get("status").and_then(|status| status.as_str())
    }

    /// `updated_at` as an instant, if the answer carried one.
    pub fn updated_at(&self) -> Option<Timestamp> {
        instant(&self.fields, "updated_at")
    }

    /// `created_at` as an instant, if the answer carried one.
    pub fn created_at(&self) -> Option<Timestamp> {
        instant(&self.fields, "created_at")
    }
}

/// A field that is an instant.
pub(super) fn instant(fields: &Fields, name: &str) -> Option<Timestamp> {
    fields.get(name)?.as_str()?.parse().ok()
}

/// How a resource is known to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemovalReason {
    /// Upstream answers 404 to its id.
    NotFound,
    /// Upstream answers to its id and no list shows it: it was archived, deleted or replaced by a revision.
    Unlisted,
}

/// Why and when a resource was found to be gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConfirmedRemoval")]
pub struct Removal {
    /// How that is known.
    pub reason: RemovalReason,
    /// When it was confirmed.
    pub at: Timestamp,
}

/// A list of resources with one status that the clock or the vendor's people may move at any time, without a trace
/// in `updated_at`. Whatever is in one is looked at more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenList {
    /// Certificates under review.
    Processing,
    /// Certificates that lack information.
    NeedsInfo,
    /// Certificates that expire soon.
    Expiring,
    /// Requests that nobody has answered.
    Pending,
}

impl OpenList {
    /// All of them, certificates first.
    pub const ALL: [Self; 4] = [Self::Processing, Self::NeedsInfo, Self::Expiring, Self::Pending];

    /// What it lists.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Processing | Self::NeedsInfo | Self::Expiring => Kind::Certificate,
            Self::Pending => Kind::CertificateRequest,
        }
    }

    /// The status of whatever is in it.
    pub const fn status(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::NeedsInfo => "needs_info",
            Self::Expiring => "expiring",
            Self::Pending => "pending",
        }
    }

    /// The list that a resource of this kind and status is in.
    pub fn of(kind: Kind, status: Option<&str>) -> Option<Self> {
        Self::ALL.into_iter().find(|list| list.kind() == kind && Some(list.status()) == status)
    }
}

/// Up to which threshold the reminders ahead of one date have been told, or were past when the date was first seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reminded {
    /// Whose date it is; `None`: the resource's own.
    pub jurisdiction_id: Option<String>,
    /// The date, as upstream wrote it.
    pub date: String,
    /// The smallest threshold, in days, that is done with; all larger ones are, too.
    pub threshold_days: u16,
}

/// What is to be done about a resource at its time, and what of it has been done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agenda {
    /// When our clock has a reminder to tell.
    pub remind_at: Option<Timestamp>,
    /// When to ask for it by id, because a date has passed or its document is missing.
    pub fetch_at: Option<Timestamp>,
    /// When it was last asked for by id on that account.
    pub fetched_at: Option<Timestamp>,
    /// Since when its document is known to be missing.
    pub document_missing_since: Option<Timestamp>,
    /// The reminders that are done with.
    pub reminded: Vec<Reminded>,
}

/// How a resource stands of which the last complete sweep was no sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AbsenceState {
    /// So many were absent at once that somebody must decide.
    Withheld,
    /// Somebody decided that it is still there; it is not asked about again before it was listed again.
    Kept,
    /// Somebody decided that it may go; it is asked for by id before it does.
    Confirmed,
    /// Nobody is asked: whether it is gone could not be told, or it was shown and what was shown could not be used.
    Unknown,
}

/// A resource of which complete sweeps were no sight: they did not show it and it was not removed, or they showed it
/// and could not use what they showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// Which resource.
    pub key: ResourceKey,
    /// Where it stands.
    pub state: AbsenceState,
    /// When the first of these sweeps began.
    pub since: Timestamp,
}

/// Our last sight of one resource, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Which resource.
    pub key: ResourceKey,
    /// Counts the sights that gave an observed event; 0 for what a silent baseline found.
    pub object_version: u64,
    /// The resource as upstream last showed it, without `download_url`.
    pub object: Json,
    /// When the answer that this snapshot comes from arrived.
    pub observed_at: Timestamp,
    /// Fingerprint of the row's raw bytes in a listing; `None` if only answers by id were seen.
    pub row_fingerprint: Option<u128>,
    /// What is known of its document.
    pub download: Download,
    /// Set once it was confirmed gone; the row stays, so that the version lives on.
    pub removed: Option<Removal>,
    /// Whether an answer by id was ever part of it. Until then, a field that it lacks is unknown and not null.
    pub is_whole: bool,
    /// The open list that it belongs to; none once it is removed.
    pub open_list: Option<OpenList>,
    /// What is to be done about it at its time.
    pub agenda: Agenda,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_alphabet() {
        assert!("numeral-eu_2".parse::<SourceName>().is_ok());
        assert_eq!("Numeral".parse::<SourceName>(), Err(BadName("[a-z0-9_-]{1,32}")));
        assert!("".parse::<SourceName>().is_err());
        assert!("cert_A-1".parse::<ResourceId>().is_ok());
        assert!("cert/../x".parse::<ResourceId>().is_err());
        assert!("x".repeat(129).parse::<ResourceId>().is_err());
    }
}
