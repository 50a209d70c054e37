//! Things that can happen at a vendor, by the name under which somebody may ask for them.

use std::cmp::Reverse;
use std::str::FromStr;

use super::book::Book;
use super::book::command::{CertificateAction, Command, NewCertificate, NewRequest, Refusal, RequestAction, Subject};
use super::book::due;
use super::book::object::{Certificate, CertificateStatus, Jurisdiction, Listed, Request, RequestStatus};
use super::day::Day;
use super::dice::at_chance;
use crate::model::time::Timestamp;

macro_rules! happenings {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is named by the word that its reader asks for")]
        pub enum $name { $($variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

happenings! {
    /// Something that can happen to a certificate.
    CertificateHappening {
        Created = "certificate.created",
        Processing = "certificate.processing",
        ProcessingCompleted = "certificate.processing_completed",
        NeedsInfo = "certificate.needs_info",
        Active = "certificate.active",
        Expiring = "certificate.expiring",
        Expired = "certificate.expired",
        Invalid = "certificate.invalid",
        Renewed = "certificate.renewed",
        DocumentAvailable = "certificate.document_available",
        WillExpire = "certificate.will_expire",
        Updated = "certificate.updated",
        Removed = "certificate.removed",
        Restored = "certificate.restored",
        JurisdictionProcessing = "certificate.jurisdiction.processing",
        JurisdictionNeedsInfo = "certificate.jurisdiction.needs_info",
        JurisdictionActive = "certificate.jurisdiction.active",
        JurisdictionExpiring = "certificate.jurisdiction.expiring",
        JurisdictionExpired = "certificate.jurisdiction.expired",
        JurisdictionInvalid = "certificate.jurisdiction.invalid",
        JurisdictionAdded = "certificate.jurisdiction.added",
        JurisdictionRemoved = "certificate.jurisdiction.removed",
    }
}

happenings! {
    /// Something that can happen to a request.
    RequestHappening {
        Created = "certificate_request.created",
        Fulfilled = "certificate_request.fulfilled",
        Canceled = "certificate_request.canceled",
        Invalid = "certificate_request.invalid",
        Reopened = "certificate_request.reopened",
        WillExpire = "certificate_request.will_expire",
        Updated = "certificate_request.updated",
        Removed = "certificate_request.removed",
        Restored = "certificate_request.restored",
    }
}

/// Something that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// To a certificate.
    Certificate(CertificateHappening),
    /// To a request.
    Request(RequestHappening),
}

impl Happening {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let certificates = CertificateHappening::ALL.iter().copied().map(Self::Certificate);
        certificates.chain(RequestHappening::ALL.iter().copied().map(Self::Request))
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Certificate(happening) => happening.as_str(),
            Self::Request(happening) => happening.as_str(),
        }
    }
}

impl FromStr for Happening {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::all().find(|happening| happening.as_str() == text).ok_or_else(|| {
            let known: Vec<_> = Self::all().map(Self::as_str).collect();
            Refusal::Invalid { field: "type", reason: format!("{text:?} is none of {}", known.join(", ")) }
        })
    }
}

/// How many of the certificates that end soonest may be taken for one that ends.
const SOONEST: usize = 5;

/// What lasts for more than so many days is not yet about to end, whoever asks.
const FAR_DAYS: i32 = 61;

/// In so many days something ends that is about to.
const NEAR_DAYS: i32 = 6;

/// Makes it happen to something suitable, chosen by `chance` (0 included, 1 excluded).
///
/// # Errors
/// Nothing in the book is suitable.
pub fn bring_about(book: &mut Book, happening: Happening, chance: f64, now: Timestamp) -> Result<Subject, Refusal> {
    let command = match happening {
        Happening::Certificate(CertificateHappening::Created) => {
            Some(Command::CreateCertificate(NewCertificate::default()))
        }
        Happening::Certificate(happening) => for_a_certificate(book, happening, chance, now),
        Happening::Request(RequestHappening::Created) => Some(Command::CreateRequest(NewRequest::default())),
        Happening::Request(happening) => for_a_request(book, happening, chance, now),
    };
    book.apply(command.ok_or(Refusal::NothingSuitable { what: happening.as_str() })?, now)
}

fn for_a_certificate(book: &Book, happening: CertificateHappening, chance: f64, now: Timestamp) -> Option<Command> {
    let mut suitable: Vec<(&Certificate, CertificateAction)> = book
        .certificates()
        .iter()
        .filter(|certificate| certificate.is_listed() || happening == CertificateHappening::Restored)
        .filter_map(|certificate| Some((certificate, on_certificate(happening, certificate, now)?)))
        .collect();
    if matches!(happening, CertificateHappening::Expiring | CertificateHappening::Expired) {
        suitable.sort_by_key(|(certificate, _)| certificate.expires.unwrap_or(Day::FOREVER));
        suitable.truncate(SOONEST);
    }
    if happening == CertificateHappening::Restored {
        // What went last is what somebody who looks has seen before.
        suitable.sort_by_key(|(certificate, _)| Reverse(certificate.updated_at));
        suitable.truncate(1);
    }
    let (certificate, action) = at_chance(&suitable, chance)?;
    Some(Command::Certificate(certificate.id.clone(), action.clone()))
}

fn for_a_request(book: &Book, happening: RequestHappening, chance: f64, now: Timestamp) -> Option<Command> {
    let mut suitable: Vec<(&Request, RequestAction)> = book
        .requests()
        .iter()
        .filter(|request| request.is_listed() || happening == RequestHappening::Restored)
        .filter_map(|request| Some((request, on_request(happening, request, now)?)))
        .collect();
    if happening == RequestHappening::Restored {
        suitable.sort_by_key(|(request, _)| Reverse(request.updated_at));
        suitable.truncate(1);
    }
    let (request, action) = at_chance(&suitable, chance)?;
    Some(Command::Request(request.id.clone(), action.clone()))
}

/// What to do to that certificate to make it happen; `None` if it is not suitable.
fn on_certificate(
    happening: CertificateHappening,
    certificate: &Certificate,
    now: Timestamp,
) -> Option<CertificateAction> {
    use CertificateStatus::{Active, Expired, Expiring, Invalid, NeedsInfo, Processing};
    let status = certificate.status;
    let when = |suitable: bool, action: CertificateAction| suitable.then_some(action);
    let in_review = matches!(status, Processing | NeedsInfo);
    match happening {
        CertificateHappening::Processing => when(status == NeedsInfo, CertificateAction::Resubmit),
        CertificateHappening::ProcessingCompleted => when(in_review, CertificateAction::Approve { attach: true }),
        CertificateHappening::Active => {
            let lasting = due::by_date(certificate.expires, now) == Active;
            when(in_review && lasting, CertificateAction::Approve { attach: true })
        }
        CertificateHappening::NeedsInfo => when(status == Processing, CertificateAction::NeedsInfo),
        CertificateHappening::Expiring => when(status == Active && ends(certificate), CertificateAction::Expiring),
        CertificateHappening::Expired => {
            when(matches!(status, Active | Expiring) && ends(certificate), CertificateAction::Expire)
        }
        CertificateHappening::Invalid => when(status != Invalid, CertificateAction::Reject),
        CertificateHappening::Renewed => {
            when(matches!(status, Expiring | Expired) && ends(certificate), CertificateAction::Renew { until: None })
        }
        CertificateHappening::DocumentAvailable => when(!certificate.has_document, CertificateAction::Attach),
        CertificateHappening::WillExpire => {
            let far = Day::of(now).plus_days(FAR_DAYS);
            let lasts = |entry: &Jurisdiction| entry.status == Active && entry.expires.is_some_and(|day| far < day);
            let id = one_of_several(certificate, lasts)?.id.clone();
            let expires = Some(Day::of(now).plus_days(NEAR_DAYS));
            Some(CertificateAction::SetJurisdiction { id, status: None, expires })
        }
        CertificateHappening::Updated => when(certificate.effective.is_some(), CertificateAction::Correct),
        CertificateHappening::Removed => Some(CertificateAction::Archive),
        CertificateHappening::Restored => {
            let hidden_only = certificate.is_archived && !certificate.is_deleted && certificate.revision_of.is_none();
            when(hidden_only, CertificateAction::Unarchive)
        }
        CertificateHappening::JurisdictionProcessing => set(certificate, |entry| entry.status == NeedsInfo, Processing),
        CertificateHappening::JurisdictionNeedsInfo => set(certificate, |entry| entry.status == Processing, NeedsInfo),
        CertificateHappening::JurisdictionActive => {
            set(certificate, |entry| matches!(entry.status, Processing | NeedsInfo), Active)
        }
        CertificateHappening::JurisdictionExpiring => set(certificate, |entry| entry.status == Active, Expiring),
        CertificateHappening::JurisdictionExpired => {
            set(certificate, |entry| matches!(entry.status, Active | Expiring), Expired)
        }
        CertificateHappening::JurisdictionInvalid => set(certificate, |entry| entry.status != Invalid, Invalid),
        CertificateHappening::JurisdictionAdded => {
            let uncovered = |id: &&&str| certificate.jurisdiction(id).is_none();
            let id = certificate.certificate_type.jurisdictions.iter().find(uncovered)?;
            Some(CertificateAction::SetJurisdiction { id: (*id).into(), status: None, expires: None })
        }
        CertificateHappening::JurisdictionRemoved => {
            let last = certificate.jurisdictions.get(1..)?.last()?;
            Some(CertificateAction::DropJurisdiction { id: last.id.clone() })
        }
        CertificateHappening::Created => None,
    }
}

fn ends(certificate: &Certificate) -> bool {
    certificate.expires.is_some_and(|day| day < Day::FOREVER)
}

/// The first suitable jurisdiction of a multi-state certificate; the certificate as a whole stays as it is.
fn one_of_several(certificate: &Certificate, suitable: impl Fn(&Jurisdiction) -> bool) -> Option<&Jurisdiction> {
    let entries = certificate.jurisdictions.iter().filter(|_| certificate.jurisdictions.len() > 1);
    entries.into_iter().find(|entry| suitable(entry))
}

fn set(
    certificate: &Certificate,
    suitable: impl Fn(&Jurisdiction) -> bool,
    status: CertificateStatus,
) -> Option<CertificateAction> {
    let entry = one_of_several(certificate, suitable)?;
    Some(CertificateAction::SetJurisdiction { id: entry.id.clone(), status: Some(status), expires: None })
}

/// What to do to that request to make it happen; `None` if it is not suitable.
fn on_request(happening: RequestHappening, request: &Request, now: Timestamp) -> Option<RequestAction> {
    let pending = request.status == RequestStatus::Pending;
    let when = |suitable: bool, action: RequestAction| suitable.then_some(action);
    match happening {
        RequestHappening::Fulfilled => {
            when(pending && request.customer.is_some(), RequestAction::Submit { link: true })
        }
        RequestHappening::Canceled => when(pending, RequestAction::Cancel),
        RequestHappening::Invalid => when(pending, RequestAction::Invalidate),
        RequestHappening::Reopened => when(!pending, RequestAction::Reopen),
        RequestHappening::WillExpire => {
            let lasts = |at: Timestamp| Day::of(now).plus_days(NEAR_DAYS) < Day::of(at);
            when(pending && request.expires_at.is_some_and(lasts), RequestAction::Shorten)
        }
        RequestHappening::Updated => when(pending && request.expires_at.is_some(), RequestAction::Extend),
        RequestHappening::Removed => Some(RequestAction::Delete),
        RequestHappening::Restored => when(request.is_deleted, RequestAction::Restore),
        RequestHappening::Created => None,
    }
}
