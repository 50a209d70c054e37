//! What can be done to the book, and why it may be refused.

use serde::Deserialize;

use super::super::day::Day;
use super::object::CertificateStatus;

/// A certificate to be made up. What is missing is chosen by the book.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewCertificate {
    /// Whose it is.
    pub customer_id: Option<String>,
    /// Identifier or numeric id of its type.
    pub certificate_type_id: Option<String>,
    /// Where it is good.
    pub jurisdictions: Option<Vec<String>>,
    /// Where it stands, as a whole and everywhere; `processing` if missing.
    pub status: Option<CertificateStatus>,
    /// Its first valid day; today if missing.
    pub effective_date: Option<Day>,
    /// Its last valid day; by the term of its type if missing.
    pub expiration_date: Option<Day>,
    /// Whether its document is ingested; if missing, unless it is processing or needs_info.
    pub document: Option<bool>,
}

/// A request to be opened. What is missing is chosen by the book.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewRequest {
    /// Who is asked.
    pub customer_id: Option<String>,
    /// Identifier or numeric id of the type that is asked for.
    pub certificate_type_id: Option<String>,
    /// For where.
    pub jurisdictions: Option<Vec<String>>,
    /// In how many days it lapses; 30 if missing.
    pub expires_in_days: Option<u16>,
    /// That it never lapses.
    pub never_expires: bool,
}

/// What can be done to a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateAction {
    /// The review ends well: from processing or needs_info to what the dates say.
    Approve {
        /// Whether the document is ingested by then.
        attach: bool,
    },
    /// The review ends badly, or the certificate is revoked.
    Reject,
    /// The review asks the customer for more.
    NeedsInfo,
    /// The customer has given more, and the review goes on.
    Resubmit,
    /// It counts as expiring, whatever its dates say.
    Expiring,
    /// It counts as expired, whatever its dates say.
    Expire,
    /// Its dates move later under the same id; what it was becomes a hidden revision.
    Renew {
        /// The new last day; by the term of its type if missing.
        until: Option<Day>,
    },
    /// Lists hide it from now on.
    Archive,
    /// Lists show it again.
    Unarchive,
    /// It is gone for good.
    Delete,
    /// Only `updated_at` moves, as when something internal changed.
    Touch,
    /// Its first valid day moves a day ahead, as when a typing error is mended.
    Correct,
    /// The document is ingested.
    Attach,
    /// One jurisdiction is set, and added if it was not covered. The certificate as a whole stays as it is.
    SetJurisdiction {
        /// Which one.
        id: String,
        /// Where it stands now; as before (for a new one: active) if missing.
        status: Option<CertificateStatus>,
        /// Its last valid day now; as before (for a new one: that of the certificate) if missing.
        expires: Option<Day>,
    },
    /// One jurisdiction is covered no longer.
    DropJurisdiction {
        /// Which one.
        id: String,
    },
}

/// What can be done to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestAction {
    /// The customer submits a certificate: the request is fulfilled, the certificate is in processing.
    Submit {
        /// Whether the request shows the certificate's id at once.
        link: bool,
    },
    /// A fulfilled request shows the certificate's id at last.
    Link,
    /// It is withdrawn. Repeating that changes nothing.
    Cancel,
    /// It could not be fulfilled.
    Invalidate,
    /// It is open again.
    Reopen,
    /// It is given 30 more days.
    Extend,
    /// It is left six days from now.
    Shorten,
    /// It is gone.
    Delete,
    /// It is back.
    Restore,
}

/// Anything that can be done to the book.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make up a certificate.
    CreateCertificate(NewCertificate),
    /// Open a request.
    CreateRequest(NewRequest),
    /// Do something to a certificate.
    Certificate(String, CertificateAction),
    /// Do something to a request.
    Request(String, RequestAction),
}

/// What a command was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The certificate of that id.
    Certificate(String),
    /// The request of that id.
    Request(String),
}

/// Why a command was refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Name something that exists.
    #[error("there is no {what} {id:?}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// By which id.
        id: String,
    },
    /// Bring it into another state first.
    #[error("{what} {id} is {state}; {remedy}")]
    WrongState {
        /// What it is.
        what: &'static str,
        /// Which one.
        id: String,
        /// How it stands.
        state: String,
        /// What would be right.
        remedy: &'static str,
    },
    /// Create something that it can happen to first.
    #[error("nothing in the book is suitable for {what}; create something suitable first")]
    NothingSuitable {
        /// What was to happen.
        what: &'static str,
    },
    /// Ask for something that makes sense.
    #[error("{field}: {reason}")]
    Invalid {
        /// What is wrong.
        field: &'static str,
        /// Why.
        reason: String,
    },
}
