//! The book: every customer, certificate and request of the simulated account, as a value.
//!
//! Everything here is a function of the book, a command and the time; there is no I/O, no lock and no clock. Chance
//! comes from the book's own [`Dice`], so that the same seed and the same commands give the same book.
//!
//! Invariants ([`Book::contradiction`] checks them): an object's place in lists never changes; `updated_at` is never
//! before `created_at` and never goes back; a request is fulfilled if and only if it has a certificate, which is its
//! customer's and of its type; a certificate covers at least one jurisdiction, and each once; once the book is
//! settled, no move that time alone makes is overdue; a refused command has changed nothing.
//!
//! In reading order: [`object`] (nouns), [`shelf`] (order and pages), [`filter`], [`command`] (verbs), [`due`] (what
//! time does), `certificates` and `requests` (what the verbs do).

use std::sync::Arc;

use self::command::{Command, NewRequest, Refusal, Subject};
use self::object::{Certificate, Customer, Listed, Request, RequestStatus};
use self::shelf::Shelf;
use super::dice::Dice;
use crate::model::time::Timestamp;

mod certificates;
pub mod command;
pub mod due;
pub mod filter;
pub mod object;
mod requests;
pub mod shelf;

/// The simulated account.
#[derive(Clone, Debug)]
pub struct Book {
    /// Where made-up ids and choices come from.
    pub(super) dice: Dice,
    /// Every buyer.
    pub(super) customers: Vec<Arc<Customer>>,
    /// Every certificate, the hidden ones too.
    pub(super) certificates: Shelf<Certificate>,
    /// Every request.
    pub(super) requests: Shelf<Request>,
    /// Nothing is due before this instant.
    quiet_until: Timestamp,
}

impl Book {
    /// A book with customers and nothing else.
    pub fn new(dice: Dice, customers: Vec<Arc<Customer>>) -> Self {
        let (certificates, requests) = (Shelf::default(), Shelf::default());
        Self { dice, customers, certificates, requests, quiet_until: Timestamp::EPOCH }
    }

    /// Every buyer.
    pub fn customers(&self) -> &[Arc<Customer>] {
        &self.customers
    }

    /// Every certificate, the hidden ones too.
    pub const fn certificates(&self) -> &Shelf<Certificate> {
        &self.certificates
    }

    /// Every request, the deleted ones too.
    pub const fn requests(&self) -> &Shelf<Request> {
        &self.requests
    }

    /// A certificate that is not deleted.
    pub fn certificate(&self, id: &str) -> Option<&Certificate> {
        self.certificates.get(id).filter(|certificate| !certificate.is_deleted)
    }

    /// A request that is not deleted.
    pub fn request(&self, id: &str) -> Option<&Request> {
        self.requests.get(id).filter(|request| !request.is_deleted)
    }

    /// A buyer by id; without one, any.
    fn customer(&mut self, id: Option<&str>) -> Result<Arc<Customer>, Refusal> {
        match id {
            None if self.customers.is_empty() => {
                Err(Refusal::Invalid { field: "customer_id", reason: "the book has no customers".into() })
            }
            None => Ok(self.dice.pick(&self.customers).clone()),
            Some(id) => {
                let known = self.customers.iter().find(|customer| customer.id == id);
                known.cloned().ok_or_else(|| Refusal::NotFound { what: "customer", id: id.into() })
            }
        }
    }

    /// Does what a command says.
    ///
    /// # Errors
    /// Why it was refused; nothing has changed then.
    pub fn apply(&mut self, command: Command, now: Timestamp) -> Result<Subject, Refusal> {
        let done = match command {
            Command::CreateCertificate(new) => self.create_certificate(new, now).map(Subject::Certificate),
            Command::CreateRequest(new) => self.open_request(new, now).map(Subject::Request),
            Command::Certificate(id, action) => {
                self.act_on_certificate(&id, action, now).map(|()| Subject::Certificate(id))
            }
            Command::Request(id, action) => self.act_on_request(&id, action, now).map(|()| Subject::Request(id)),
        };
        // Whatever was changed may be due earlier than anything was before.
        self.quiet_until = Timestamp::EPOCH;
        done
    }

    /// Opens a request, and gives its id.
    ///
    /// # Errors
    /// Why it was refused; nothing has changed then.
    pub fn open_request(&mut self, new: NewRequest, now: Timestamp) -> Result<String, Refusal> {
        self.quiet_until = Timestamp::EPOCH;
        self.create_request(new, now)
    }

    /// Makes every move that time has made due by `now`. It leaves the book as if somebody had looked at every
    /// instant in between. `bump`: whether such a move shows in `updated_at`. Gives the number of objects moved.
    pub fn settle(&mut self, now: Timestamp, bump: bool) -> usize {
        if now < self.quiet_until {
            return 0;
        }
        let mut moved = 0;
        let mut quiet_until = Timestamp::from_millis(i64::MAX);
        for certificate in self.certificates.iter_mut() {
            moved += usize::from(due::settle_certificate(certificate, now, bump));
            quiet_until = due::certificate_due(certificate).map_or(quiet_until, |at| at.min(quiet_until));
        }
        for request in self.requests.iter_mut() {
            moved += usize::from(due::settle_request(request, now, bump));
            quiet_until = due::request_due(request).map_or(quiet_until, |at| at.min(quiet_until));
        }
        self.quiet_until = quiet_until;
        moved
    }

    /// The first invariant that does not hold at `now`, in words; `None` if the book is sound.
    pub fn contradiction(&self, now: Timestamp) -> Option<String> {
        let certificates = self.certificates.iter().find_map(|certificate| {
            let fault = wrong_with_certificate(certificate, now)?;
            Some(format!("certificate {} {fault}", certificate.id))
        });
        let requests = || {
            self.requests.iter().find_map(|request| {
                let fault = self.wrong_with_request(request, now)?;
                Some(format!("request {} {fault}", request.id))
            })
        };
        certificates.or_else(requests)
    }

    fn wrong_with_request(&self, request: &Request, now: Timestamp) -> Option<&'static str> {
        if request.updated_at < request.created_at {
            return Some("was changed before it was made");
        }
        if due::request_due(request).is_some_and(|at| at <= now) {
            return Some("should have lapsed");
        }
        if self.requests.get(request.id()).is_none_or(|found| found != request) {
            return Some("is not where its id says");
        }
        match (request.status == RequestStatus::Fulfilled, &request.submitted_certificate_id) {
            (false, None) => None,
            (false, Some(_)) => Some("has a certificate without being fulfilled"),
            (true, None) => Some("is fulfilled without a certificate"),
            (true, Some(id)) => match self.certificates.get(id) {
                None => Some("names a certificate that does not exist"),
                Some(certificate) if certificate.certificate_type != request.certificate_type => {
                    Some("names a certificate of another type")
                }
                Some(certificate) if request.customer.as_ref().is_some_and(|who| who.id != certificate.customer.id) => {
                    Some("names somebody else's certificate")
                }
                Some(_) => None,
            },
        }
    }
}

fn wrong_with_certificate(certificate: &Certificate, now: Timestamp) -> Option<&'static str> {
    let mut ids: Vec<&str> = certificate.jurisdictions.iter().map(|entry| entry.id.as_str()).collect();
    ids.sort_unstable();
    if ids.is_empty() || ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Some("covers nothing, or something twice");
    }
    if certificate.updated_at < certificate.created_at {
        return Some("was changed before it was made");
    }
    if due::certificate_due(certificate).is_some_and(|at| at <= now) {
        return Some("is overdue for a move that time makes");
    }
    None
}

#[cfg(test)]
mod tests;
