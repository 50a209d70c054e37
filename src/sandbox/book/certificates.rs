//! What commands do to certificates.

use std::collections::BTreeSet;

use super::super::catalogue::{CertificateType, TYPES};
use super::super::day::Day;
use super::Book;
use super::command::{CertificateAction, NewCertificate, Refusal};
use super::due;
use super::object::{Certificate, CertificateStatus, Jurisdiction};
use crate::model::time::Timestamp;

use CertificateStatus::{Active, Expired, Expiring, Invalid, NeedsInfo, Processing};

impl Book {
    /// The type that a caller names; without a name, any.
    pub(super) fn certificate_type(&mut self, named: Option<&str>) -> Result<&'static CertificateType, Refusal> {
        match named {
            None => Ok(self.dice.pick(TYPES)),
            Some(text) => CertificateType::find(text).ok_or_else(|| Refusal::Invalid {
                field: "certificate_type_id",
                reason: format!("there is no certificate type {text:?}"),
            }),
        }
    }

    pub(super) fn create_certificate(&mut self, new: NewCertificate, now: Timestamp) -> Result<String, Refusal> {
        let customer = self.customer(new.customer_id.as_deref())?;
        let certificate_type = self.certificate_type(new.certificate_type_id.as_deref())?;
        let covered = covered(new.jurisdictions, certificate_type)?;
        let effective = new.effective_date.unwrap_or_else(|| Day::of(now));
        let expires = new.expiration_date.or(certificate_type.term_days.map(|days| effective.plus_days(days)));
        if expires.is_some_and(|day| day < effective) {
            return Err(Refusal::Invalid { field: "expiration_date", reason: "is before effective_date".into() });
        }
        let status = new.status.unwrap_or(Processing);
        let certificate = Certificate {
            id: format!("cert_{}", self.dice.uuid()),
            status,
            certificate_type,
            customer,
            jurisdictions: covered
                .into_iter()
                .map(|id| Jurisdiction { id, status, effective: Some(effective), expires })
                .collect(),
            effective: Some(effective),
            expires,
            created_at: now,
            updated_at: now,
            has_document: new.document.unwrap_or(!matches!(status, Processing | NeedsInfo)),
            is_archived: false,
            is_deleted: false,
            revision_of: None,
        };
        let id = certificate.id.clone();
        self.certificates.add(certificate);
        Ok(id)
    }

    pub(super) fn act_on_certificate(
        &mut self,
        id: &str,
        action: CertificateAction,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let known = self.certificates.get_mut(id).filter(|certificate| !certificate.is_deleted);
        let certificate = known.ok_or_else(|| Refusal::NotFound { what: "certificate", id: id.into() })?;
        if certificate.revision_of.is_some() {
            return Err(wrong_state(certificate, "only the certificate that it is a former state of can be changed"));
        }
        let before = certificate.clone();
        let renewed = matches!(action, CertificateAction::Renew { .. });
        let mut after = certificate.clone();
        change(&mut after, action, now)?;
        after.updated_at = after.updated_at.max(now);
        *certificate = after;
        if renewed {
            let id = format!("cert_{}", self.dice.uuid());
            self.certificates.add(Certificate { revision_of: Some(before.id.clone()), id, ..before });
        }
        Ok(())
    }
}

/// The jurisdictions that a caller names, checked; without any, all of the type's.
pub(super) fn covered(named: Option<Vec<String>>, kind: &CertificateType) -> Result<Vec<String>, Refusal> {
    let Some(named) = named else { return Ok(kind.jurisdictions.iter().map(|&id| id.into()).collect()) };
    if named.is_empty() || named.iter().collect::<BTreeSet<_>>().len() != named.len() {
        return Err(Refusal::Invalid {
            field: "jurisdictions",
            reason: "must name at least one, and each once".into(),
        });
    }
    named.iter().try_for_each(|id| check_jurisdiction(id))?;
    Ok(named)
}

fn check_jurisdiction(id: &str) -> Result<(), Refusal> {
    let proper = id.split_once('-').is_some_and(|(country, region)| {
        country.len() == 2
            && (1..=3).contains(&region.len())
            && country.bytes().all(|byte| byte.is_ascii_uppercase())
            && region.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    });
    if proper {
        return Ok(());
    }
    Err(Refusal::Invalid { field: "jurisdictions", reason: format!("{id:?} is no jurisdiction such as US-CA") })
}

fn change(certificate: &mut Certificate, action: CertificateAction, now: Timestamp) -> Result<(), Refusal> {
    match action {
        CertificateAction::Approve { attach } => {
            require(certificate, &[Processing, NeedsInfo], "only processing and needs_info can be approved")?;
            certificate.has_document |= attach;
            certificate.status = due::by_date(certificate.expires, now);
            certificate.jurisdictions.iter_mut().for_each(|entry| entry.status = due::by_date(entry.expires, now));
        }
        CertificateAction::Reject => {
            require(certificate, &[Processing, NeedsInfo, Active, Expiring, Expired], "it is rejected already")?;
            move_all(certificate, &[Processing, NeedsInfo, Active, Expiring, Expired], Invalid);
        }
        CertificateAction::NeedsInfo => {
            require(certificate, &[Processing], "only processing can need more information")?;
            move_all(certificate, &[Processing], NeedsInfo);
        }
        CertificateAction::Resubmit => {
            require(certificate, &[NeedsInfo], "only needs_info can be resubmitted")?;
            move_all(certificate, &[NeedsInfo], Processing);
        }
        CertificateAction::Expiring => {
            require(certificate, &[Active], "only active can become expiring")?;
            move_all(certificate, &[Active], Expiring);
        }
        CertificateAction::Expire => {
            require(certificate, &[Active, Expiring], "only active and expiring can become expired")?;
            move_all(certificate, &[Active, Expiring], Expired);
        }
        CertificateAction::Renew { until } => renew(certificate, until, now)?,
        CertificateAction::Archive if certificate.is_archived => {
            return Err(wrong_state(certificate, "unarchive it first"));
        }
        CertificateAction::Archive => certificate.is_archived = true,
        CertificateAction::Unarchive if !certificate.is_archived => {
            return Err(wrong_state(certificate, "only an archived one can be unarchived"));
        }
        CertificateAction::Unarchive => certificate.is_archived = false,
        CertificateAction::Delete => certificate.is_deleted = true,
        CertificateAction::Touch => {}
        CertificateAction::Correct => correct(certificate)?,
        CertificateAction::Attach if certificate.has_document => {
            return Err(wrong_state(certificate, "it has its document already"));
        }
        CertificateAction::Attach => certificate.has_document = true,
        CertificateAction::SetJurisdiction { id, status, expires } => {
            set_jurisdiction(certificate, id, status, expires)?;
        }
        CertificateAction::DropJurisdiction { id } => drop_jurisdiction(certificate, &id)?,
    }
    Ok(())
}

fn require(certificate: &Certificate, from: &[CertificateStatus], remedy: &'static str) -> Result<(), Refusal> {
    if from.contains(&certificate.status) { Ok(()) } else { Err(wrong_state(certificate, remedy)) }
}

fn wrong_state(certificate: &Certificate, remedy: &'static str) -> Refusal {
    let state = if certificate.revision_of.is_some() {
        "a revision".into()
    } else if certificate.is_archived {
        format!("archived and {}", certificate.status)
    } else {
        certificate.status.to_string()
    };
    Refusal::WrongState { what: "certificate", id: certificate.id.clone(), state, remedy }
}

/// Moves the certificate as a whole, and those of its jurisdictions that the move makes sense for.
fn move_all(certificate: &mut Certificate, from: &[CertificateStatus], to: CertificateStatus) {
    certificate.status = to;
    for entry in certificate.jurisdictions.iter_mut().filter(|entry| from.contains(&entry.status)) {
        entry.status = to;
    }
}

fn renew(certificate: &mut Certificate, until: Option<Day>, now: Timestamp) -> Result<(), Refusal> {
    require(certificate, &[Active, Expiring, Expired], "only active, expiring and expired can be renewed")?;
    let Some(former) = certificate.expires.filter(|&day| day < Day::FOREVER) else {
        return Err(wrong_state(certificate, "one that does not expire cannot be renewed"));
    };
    let term = certificate.certificate_type.term_days.unwrap_or(365);
    let until = until.unwrap_or_else(|| former.max(Day::of(now)).plus_days(term));
    if until <= former {
        let reason = format!("must be after {former}, its last day so far");
        return Err(Refusal::Invalid { field: "until", reason });
    }
    certificate.expires = Some(until);
    certificate.status = due::by_date(certificate.expires, now);
    for entry in certificate.jurisdictions.iter_mut().filter(|entry| entry.status != Invalid) {
        entry.expires = entry.expires.map(|day| day.max(until));
        entry.status = due::by_date(entry.expires, now);
    }
    Ok(())
}

fn correct(certificate: &mut Certificate) -> Result<(), Refusal> {
    match certificate.effective {
        Some(day) => {
            certificate.effective = Some(day.plus_days(-1));
            Ok(())
        }
        None => Err(wrong_state(certificate, "it has no effective_date to be corrected")),
    }
}

fn set_jurisdiction(
    certificate: &mut Certificate,
    id: String,
    status: Option<CertificateStatus>,
    expires: Option<Day>,
) -> Result<(), Refusal> {
    if let Some(entry) = certificate.jurisdictions.iter_mut().find(|entry| entry.id == id) {
        entry.status = status.unwrap_or(entry.status);
        entry.expires = expires.or(entry.expires);
        return Ok(());
    }
    check_jurisdiction(&id)?;
    certificate.jurisdictions.push(Jurisdiction {
        id,
        status: status.unwrap_or(Active),
        effective: certificate.effective,
        expires: expires.or(certificate.expires),
    });
    Ok(())
}

fn drop_jurisdiction(certificate: &mut Certificate, id: &str) -> Result<(), Refusal> {
    if certificate.jurisdiction(id).is_none() {
        return Err(Refusal::NotFound { what: "jurisdiction", id: id.into() });
    }
    if certificate.jurisdictions.len() == 1 {
        return Err(wrong_state(certificate, "the only jurisdiction of a certificate cannot be dropped"));
    }
    certificate.jurisdictions.retain(|entry| entry.id != id);
    Ok(())
}
