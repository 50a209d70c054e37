//! What commands do to requests.

use std::time::Duration;

use super::Book;
use super::certificates::covered;
use super::command::{NewCertificate, NewRequest, Refusal, RequestAction};
use super::object::{Request, RequestStatus};
use crate::model::time::Timestamp;

use RequestStatus::{Canceled, Fulfilled, Invalid, Pending};

/// How long a customer has, if nothing else is said; the vendor's example has 30 days.
const OPEN_FOR_DAYS: u16 = 30;

/// How long a customer has left whose time is cut.
const SHORTENED_TO_DAYS: u16 = 6;

fn days(count: u16) -> Duration {
    Duration::from_secs(86_400) * u32::from(count)
}

impl Book {
    pub(super) fn create_request(&mut self, new: NewRequest, now: Timestamp) -> Result<String, Refusal> {
        let customer = self.customer(new.customer_id.as_deref())?;
        let certificate_type = self.certificate_type(new.certificate_type_id.as_deref())?;
        let jurisdictions = covered(new.jurisdictions, certificate_type)?;
        let id = format!("cert_req_{}", self.dice.uuid());
        let open_for = days(new.expires_in_days.unwrap_or(OPEN_FOR_DAYS));
        self.requests.add(Request {
            id: id.clone(),
            status: Pending,
            customer: Some(customer),
            submitted_certificate_id: None,
            is_linked: false,
            certificate_type,
            jurisdictions,
            created_at: now,
            updated_at: now,
            expires_at: (!new.never_expires).then(|| now.plus(open_for)),
            is_deleted: false,
        });
        Ok(id)
    }

    pub(super) fn act_on_request(&mut self, id: &str, action: RequestAction, now: Timestamp) -> Result<(), Refusal> {
        let restoring = action == RequestAction::Restore;
        let known = self.requests.get(id).filter(|request| restoring || !request.is_deleted);
        let mut after = known.ok_or_else(|| Refusal::NotFound { what: "certificate request", id: id.into() })?.clone();
        match action {
            RequestAction::Submit { link } => {
                after.submitted_certificate_id = Some(self.submit(&after, now)?);
                after.status = Fulfilled;
                after.is_linked = link;
            }
            RequestAction::Link => link(&mut after)?,
            RequestAction::Cancel if after.status == Canceled => return Ok(()),
            RequestAction::Cancel => {
                require(&after, &[Pending], "only pending can be canceled")?;
                after.status = Canceled;
            }
            RequestAction::Invalidate => {
                require(&after, &[Pending], "only pending can be invalidated")?;
                after.status = Invalid;
            }
            RequestAction::Reopen => reopen(&mut after, now)?,
            RequestAction::Extend => extend(&mut after)?,
            RequestAction::Shorten => shorten(&mut after, now)?,
            RequestAction::Delete => after.is_deleted = true,
            RequestAction::Restore if !after.is_deleted => {
                return Err(wrong_state(&after, "only a deleted one can be restored"));
            }
            RequestAction::Restore => after.is_deleted = false,
        }
        after.updated_at = after.updated_at.max(now);
        *self.requests.get_mut(id).expect("it was found above") = after;
        Ok(())
    }

    /// Makes the certificate that a customer submits in answer to a request.
    fn submit(&mut self, request: &Request, now: Timestamp) -> Result<String, Refusal> {
        require(request, &[Pending], "only pending can be submitted to")?;
        let Some(customer) = &request.customer else {
            return Err(wrong_state(request, "its customer was removed, and nobody can submit"));
        };
        self.create_certificate(
            NewCertificate {
                customer_id: Some(customer.id.clone()),
                certificate_type_id: Some(request.certificate_type.id.into()),
                jurisdictions: Some(request.jurisdictions.clone()),
                ..NewCertificate::default()
            },
            now,
        )
    }
}

fn link(request: &mut Request) -> Result<(), Refusal> {
    require(request, &[Fulfilled], "only a fulfilled one can be linked")?;
    if request.is_linked {
        return Err(wrong_state(request, "it shows its certificate_id already"));
    }
    request.is_linked = true;
    Ok(())
}

fn reopen(request: &mut Request, now: Timestamp) -> Result<(), Refusal> {
    require(request, &[Fulfilled, Canceled, Invalid], "only a closed one can be reopened")?;
    request.status = Pending;
    request.submitted_certificate_id = None;
    request.is_linked = false;
    if request.expires_at.is_some_and(|at| at <= now) {
        request.expires_at = Some(now.plus(days(OPEN_FOR_DAYS)));
    }
    Ok(())
}

fn extend(request: &mut Request) -> Result<(), Refusal> {
    require(request, &[Pending], "only pending can be extended")?;
    let Some(at) = request.expires_at else {
        return Err(wrong_state(request, "one that does not lapse cannot be extended"));
    };
    request.expires_at = Some(at.plus(days(OPEN_FOR_DAYS)));
    Ok(())
}

fn shorten(request: &mut Request, now: Timestamp) -> Result<(), Refusal> {
    require(request, &[Pending], "only pending can be shortened")?;
    let end = now.plus(days(SHORTENED_TO_DAYS));
    if request.expires_at.is_none_or(|at| at <= end) {
        return Err(wrong_state(request, "only one that lapses in more than six days can be shortened"));
    }
    request.expires_at = Some(end);
    Ok(())
}

fn require(request: &Request, from: &[RequestStatus], remedy: &'static str) -> Result<(), Refusal> {
    if from.contains(&request.status) { Ok(()) } else { Err(wrong_state(request, remedy)) }
}

fn wrong_state(request: &Request, remedy: &'static str) -> Refusal {
    let state = request.status.to_string();
    Refusal::WrongState { what: "certificate request", id: request.id.clone(), state, remedy }
}
