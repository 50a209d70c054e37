//! Which objects a list is asked for.

use super::object::{Certificate, CertificateStatus, Customer, Request, RequestStatus};
use crate::model::time::Timestamp;
use crate::sandbox::options::TimeBounds;

/// How a list names a customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdType {
    /// By the vendor's id.
    #[default]
    Id,
    /// By the seller's own.
    ReferenceCustomerId,
}

/// A span of time, open where a bound is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Only what is after this instant.
    pub after: Option<Timestamp>,
    /// Only what is before this instant.
    pub before: Option<Timestamp>,
}

impl Window {
    fn holds(&self, at: Timestamp, bounds: TimeBounds) -> bool {
        match bounds {
            TimeBounds::Inclusive => {
                self.after.is_none_or(|after| at >= after) && self.before.is_none_or(|before| at <= before)
            }
            TimeBounds::Exclusive => {
                self.after.is_none_or(|after| at > after) && self.before.is_none_or(|before| at < before)
            }
        }
    }
}

/// What both lists can be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this customer's.
    pub customer: Option<(IdType, String)>,
    /// Only this type: an identifier or a numeric id. One that does not exist matches nothing.
    pub certificate_type: Option<String>,
    /// Only what was created then.
    pub created: Window,
    /// Only what was last changed then.
    pub updated: Window,
    /// Only certificates that stand so.
    pub certificate_status: Option<CertificateStatus>,
    /// Only requests that stand so.
    pub request_status: Option<RequestStatus>,
    /// Only certificates that cover this jurisdiction.
    pub jurisdiction: Option<String>,
}

impl Filter {
    fn means_customer(&self, customer: Option<&Customer>) -> bool {
        match (&self.customer, customer) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((IdType::Id, id)), Some(customer)) => customer.id == *id,
            (Some((IdType::ReferenceCustomerId, id)), Some(customer)) => {
                customer.reference_customer_id.as_ref() == Some(id)
            }
        }
    }

    /// Whether it means that certificate.
    pub fn matches_certificate(&self, certificate: &Certificate, bounds: TimeBounds) -> bool {
        let kind = certificate.certificate_type;
        self.certificate_status.is_none_or(|status| certificate.status == status)
            && self.jurisdiction.as_ref().is_none_or(|id| certificate.jurisdiction(id).is_some())
            && self.certificate_type.as_ref().is_none_or(|text| kind.identifier == text || kind.id == text)
            && self.created.holds(certificate.created_at, bounds)
            && self.updated.holds(certificate.updated_at, bounds)
            && self.means_customer(Some(&certificate.customer))
    }

    /// Whether it means that request.
    pub fn matches_request(&self, request: &Request, bounds: TimeBounds) -> bool {
        let kind = request.certificate_type;
        self.request_status.is_none_or(|status| request.status == status)
            && self.certificate_type.as_ref().is_none_or(|text| kind.identifier == text || kind.id == text)
            && self.created.holds(request.created_at, bounds)
            && self.updated.holds(request.updated_at, bounds)
            && self.means_customer(request.customer.as_deref())
    }
}
