//! The nouns of the book: customers, certificates, requests.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::catalogue::CertificateType;
use super::super::day::Day;
use crate::model::time::Timestamp;

macro_rules! statuses {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The public word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|status| status.as_str() == text).ok_or_else(|| {
                    format!("must be one of {}", Self::ALL.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", "))
                })
            }
        }
    };
}

statuses! {
    /// Where a certificate, or one of its jurisdictions, stands.
    CertificateStatus {
        /// Under review.
        Processing = "processing",
        /// The review waits for the customer.
        NeedsInfo = "needs_info",
        /// In effect.
        Active = "active",
        /// In effect, and about to end.
        Expiring = "expiring",
        /// Ended.
        Expired = "expired",
        /// Rejected or revoked.
        Invalid = "invalid",
    }
}

statuses! {
    /// Where a request stands.
    RequestStatus {
        /// The customer has not answered.
        Pending = "pending",
        /// The customer has submitted a certificate.
        Fulfilled = "fulfilled",
        /// Withdrawn.
        Canceled = "canceled",
        /// Expired, or impossible.
        Invalid = "invalid",
    }
}

/// A buyer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Customer {
    /// `cust_…`.
    pub id: String,
    /// The seller's own id for the buyer, if there is one.
    pub reference_customer_id: Option<String>,
    /// For people.
    pub name: String,
}

/// A certificate in one jurisdiction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jurisdiction {
    /// Such as `US-CA`.
    pub id: String,
    /// Where it stands there.
    pub status: CertificateStatus,
    /// Its first valid day there.
    pub effective: Option<Day>,
    /// Its last valid day there; `None`: it does not expire.
    pub expires: Option<Day>,
}

/// A submitted certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// `cert_…`.
    pub id: String,
    /// Where it stands as a whole.
    pub status: CertificateStatus,
    /// Its kind.
    pub certificate_type: &'static CertificateType,
    /// Whose it is.
    pub customer: Arc<Customer>,
    /// Where it is good; never empty, each jurisdiction once.
    pub jurisdictions: Vec<Jurisdiction>,
    /// Its first valid day as a whole.
    pub effective: Option<Day>,
    /// The latest of its jurisdictions' last days; `None` if one of them does not expire.
    pub expires: Option<Day>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When it was last changed; never before `created_at`.
    pub updated_at: Timestamp,
    /// Whether its document is ingested.
    pub has_document: bool,
    /// Whether it is hidden from lists.
    pub is_archived: bool,
    /// Whether it is gone.
    pub is_deleted: bool,
    /// The certificate of which it is a former state. Revisions are hidden, and time does not move them.
    pub revision_of: Option<String>,
}

impl Certificate {
    /// The entry of one jurisdiction.
    pub fn jurisdiction(&self, id: &str) -> Option<&Jurisdiction> {
        self.jurisdictions.iter().find(|jurisdiction| jurisdiction.id == id)
    }
}

/// An ask for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `cert_req_…`.
    pub id: String,
    /// Where it stands.
    pub status: RequestStatus,
    /// Who was asked; `None` once the buyer was removed.
    pub customer: Option<Arc<Customer>>,
    /// The certificate that came; set if and only if the request is fulfilled.
    pub submitted_certificate_id: Option<String>,
    /// Whether that certificate is shown already.
    pub is_linked: bool,
    /// What was asked for.
    pub certificate_type: &'static CertificateType,
    /// For where.
    pub jurisdictions: Vec<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was last changed; never before `created_at`.
    pub updated_at: Timestamp,
    /// When it lapses, if it does.
    pub expires_at: Option<Timestamp>,
    /// Whether it is gone.
    pub is_deleted: bool,
}

impl Request {
    /// The certificate as the request shows it.
    pub fn certificate_id(&self) -> Option<&str> {
        self.submitted_certificate_id.as_deref().filter(|_| self.is_linked)
    }
}

/// What certificates and requests have in common for a list.
pub trait Listed {
    /// The id.
    fn id(&self) -> &str;
    /// When it was created; never changes.
    fn created_at(&self) -> Timestamp;
    /// Whether lists show it.
    fn is_listed(&self) -> bool;
}

impl Listed for Certificate {
    fn id(&self) -> &str {
        &self.id
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    fn is_listed(&self) -> bool {
        !self.is_archived && !self.is_deleted && self.revision_of.is_none()
    }
}

impl Listed for Request {
    fn id(&self) -> &str {
        &self.id
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    fn is_listed(&self) -> bool {
        !self.is_deleted
    }
}
