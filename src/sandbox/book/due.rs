//! What only the clock does: certificates come near their end and reach it, requests lapse.

use std::time::Duration;

use super::super::day::Day;
use super::object::{Certificate, CertificateStatus, Request, RequestStatus};
use crate::model::time::Timestamp;

/// How long before its last day a certificate counts as expiring. The vendor does not say; 30 days is the custom.
pub const EXPIRING_FOR: Duration = Duration::from_secs(30 * 86_400);

/// The instant from which something that ends with `expires` counts as expiring.
pub fn warns_at(expires: Day) -> Timestamp {
    expires.start().minus(EXPIRING_FOR)
}

/// What the dates alone make of something in effect.
pub fn by_date(expires: Option<Day>, now: Timestamp) -> CertificateStatus {
    match expires {
        Some(day) if now >= day.end() => CertificateStatus::Expired,
        Some(day) if now >= warns_at(day) => CertificateStatus::Expiring,
        Some(_) | None => CertificateStatus::Active,
    }
}

/// The next move that time alone makes: to what, and when. `None`: it stays as it is.
fn next_move(status: CertificateStatus, expires: Option<Day>) -> Option<(CertificateStatus, Timestamp)> {
    let expires = expires?;
    match status {
        CertificateStatus::Active => Some((CertificateStatus::Expiring, warns_at(expires))),
        CertificateStatus::Expiring => Some((CertificateStatus::Expired, expires.end())),
        CertificateStatus::Processing
        | CertificateStatus::NeedsInfo
        | CertificateStatus::Expired
        | CertificateStatus::Invalid => None,
    }
}

/// Makes the moves that are due, and gives the instant of the last one.
fn settle_status(status: &mut CertificateStatus, expires: Option<Day>, now: Timestamp) -> Option<Timestamp> {
    let mut moved_at = None;
    while let Some((next, at)) = next_move(*status, expires)
        && at <= now
    {
        *status = next;
        moved_at = Some(at);
    }
    moved_at
}

/// Makes every move of a certificate that is due at `now`. Each counts as having happened when it fell due, whether
/// somebody looked then or not; `updated_at` follows only if `bump` says so. Tells whether something moved.
pub fn settle_certificate(certificate: &mut Certificate, now: Timestamp, bump: bool) -> bool {
    if certificate.is_deleted || certificate.revision_of.is_some() {
        return false;
    }
    let whole = settle_status(&mut certificate.status, certificate.expires, now);
    let parts = certificate
        .jurisdictions
        .iter_mut()
        .filter_map(|entry| settle_status(&mut entry.status, entry.expires, now))
        .max();
    let moved_at = whole.max(parts);
    if let Some(at) = moved_at
        && bump
    {
        certificate.updated_at = certificate.updated_at.max(at);
    }
    moved_at.is_some()
}

/// When time next moves a certificate, if ever.
pub fn certificate_due(certificate: &Certificate) -> Option<Timestamp> {
    if certificate.is_deleted || certificate.revision_of.is_some() {
        return None;
    }
    let parts = certificate.jurisdictions.iter().map(|entry| (entry.status, entry.expires));
    std::iter::once((certificate.status, certificate.expires))
        .chain(parts)
        .filter_map(|(status, expires)| next_move(status, expires))
        .map(|(_, at)| at)
        .min()
}

/// The same for a request, which lapses.
pub fn settle_request(request: &mut Request, now: Timestamp, bump: bool) -> bool {
    match request_due(request) {
        Some(at) if at <= now => {
            request.status = RequestStatus::Invalid;
            if bump {
                request.updated_at = request.updated_at.max(at);
            }
            true
        }
        Some(_) | None => false,
    }
}

/// When time next moves a request, if ever.
pub fn request_due(request: &Request) -> Option<Timestamp> {
    request.expires_at.filter(|_| request.status == RequestStatus::Pending && !request.is_deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_move_a_status_at_midnight_and_the_last_day_counts() {
        let expires: Day = "2027-03-31".parse().expect("a date");
        for (now, expected) in [
            ("2027-02-28T23:59:59Z", CertificateStatus::Active),
            ("2027-03-01T00:00:00Z", CertificateStatus::Expiring),
            ("2027-03-31T23:59:59.999Z", CertificateStatus::Expiring),
            ("2027-04-01T00:00:00Z", CertificateStatus::Expired),
        ] {
            let now: Timestamp = now.parse().expect("an instant");
            let mut status = CertificateStatus::Active;
            settle_status(&mut status, Some(expires), now);
            assert_eq!((status, by_date(Some(expires), now)), (expected, expected), "{now}");
        }
    }

    #[test]
    fn time_moves_only_what_is_in_effect_and_has_an_end() {
        let late: Timestamp = "2200-01-01T00:00:00Z".parse().expect("an instant");
        let past: Day = "2027-03-31".parse().expect("a date");
        for status in [CertificateStatus::Processing, CertificateStatus::NeedsInfo, CertificateStatus::Invalid] {
            let mut moved = status;
            assert_eq!(settle_status(&mut moved, Some(past), late), None);
            assert_eq!(moved, status);
        }
        for never in [None, Some(Day::FOREVER)] {
            assert_eq!(settle_status(&mut CertificateStatus::Active.clone(), never, late), None);
        }
    }
}
