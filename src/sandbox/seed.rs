//! The book that a sandbox begins with: an account that has been in use for three years.

use std::sync::Arc;

use super::book::Book;
use super::book::due;
use super::book::object::{Certificate, CertificateStatus, Customer, Jurisdiction, Request, RequestStatus};
use super::catalogue::{CertificateType, FORMS, NAMES, TRADES, TYPES};
use super::day::Day;
use super::dice::Dice;
use crate::model::time::Timestamp;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Certificates out of a hundred objects; the rest are requests.
const CERTIFICATES_PER_CENT: usize = 64;

/// What is to become of a certificate. A book goes through these in turn, so that even a small one has all of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Active,
    Expiring,
    Expired,
    Processing,
    NeedsInfo,
    Invalid,
    Archived,
    Revision,
}

const PARTS: [Part; 20] = {
    use Part::{Active, Archived, Expired, Expiring, Invalid, NeedsInfo, Processing, Revision};
    [
        Active, Expiring, Processing, Expired, Active, NeedsInfo, Active, Active, Invalid, Expiring, Active, Expired,
        Active, Processing, Active, Archived, Active, Expired, Revision, Active,
    ]
};

const REQUEST_PARTS: [RequestStatus; 10] = {
    use RequestStatus::{Canceled, Fulfilled, Invalid, Pending};
    [Fulfilled, Pending, Fulfilled, Canceled, Pending, Fulfilled, Invalid, Fulfilled, Pending, Fulfilled]
};

/// Makes a book of `size` objects, as it would stand at `now`. The same seed, size and time give the same book.
pub fn seeded(seed: u64, size: usize, now: Timestamp) -> Book {
    let mut dice = Dice::seeded(seed);
    let customers: Vec<_> = (0..size / 4 + 1).map(|index| Arc::new(customer(&mut dice, index))).collect();
    let mut book = Book::new(dice, customers);
    let certificates = size * CERTIFICATES_PER_CENT / 100;
    let mut canonical: Vec<Certificate> = Vec::new();
    for index in 0..certificates {
        let part = PARTS[index % PARTS.len()];
        let mut certificate = certificate(&mut book, part, now);
        if part == Part::Revision
            && let Some(parent) = canonical.last()
        {
            certificate.revision_of = Some(parent.id.clone());
        } else if part != Part::Archived {
            canonical.push(certificate.clone());
        }
        book.certificates.add(certificate);
    }
    for index in 0..size - certificates {
        let status = REQUEST_PARTS[index % REQUEST_PARTS.len()];
        let answer = if status == RequestStatus::Fulfilled { canonical.pop() } else { None };
        let request = request(&mut book, status, answer.as_ref(), index, now);
        book.requests.add(request);
    }
    book
}

fn customer(dice: &mut Dice, index: usize) -> Customer {
    let name = format!("{} {} {}", dice.pick(NAMES), dice.pick(TRADES), dice.pick(FORMS));
    // The vendor allows buyers without a reference id, so some have none.
    let reference_customer_id = (index % 9 != 8).then(|| (20_506 + 7 * index).to_string());
    Customer { id: format!("cust_{}", dice.uuid()), reference_customer_id, name }
}

fn certificate(book: &mut Book, part: Part, now: Timestamp) -> Certificate {
    let customer = book.dice.pick(&book.customers).clone();
    let ends = matches!(part, Part::Expiring | Part::Expired);
    let kind = loop {
        let kind = book.dice.pick(TYPES);
        if kind.term_days.is_some() || !ends {
            break kind;
        }
    };
    let dice = &mut book.dice;
    let expires = last_day(dice, part, kind, now);
    let (effective, created_at) = beginning(dice, part, kind, expires, now);
    let status = match part {
        Part::Processing => CertificateStatus::Processing,
        Part::NeedsInfo => CertificateStatus::NeedsInfo,
        Part::Invalid => CertificateStatus::Invalid,
        Part::Active | Part::Expiring | Part::Expired | Part::Archived | Part::Revision => due::by_date(expires, now),
    };
    let in_effect = status == due::by_date(expires, now);
    let jurisdictions = covered(dice, kind)
        .into_iter()
        .enumerate()
        .map(|(index, id)| {
            // Later entries of a multi-state certificate end earlier, so that they may stand otherwise than it.
            let days = i32::try_from(index).unwrap_or(0) * -200;
            let earlier = expires.filter(|&day| day < Day::FOREVER).map(|day| day.plus_days(days).max(effective));
            let expires = earlier.or(expires);
            let status = if in_effect { due::by_date(expires, now) } else { status };
            Jurisdiction { id, status, effective: Some(effective), expires }
        })
        .collect::<Vec<_>>();
    let moved_at = jurisdictions
        .iter()
        .map(|entry| (entry.status, entry.expires))
        .chain([(status, expires)])
        .filter_map(|(status, expires)| moved_by_time_at(status, expires?))
        .max();
    let updated_at = reviewed_at(dice, created_at, now).max(moved_at.unwrap_or(created_at));
    Certificate {
        id: format!("cert_{}", dice.uuid()),
        status,
        certificate_type: kind,
        customer,
        jurisdictions,
        effective: Some(effective),
        expires,
        created_at,
        updated_at,
        has_document: !matches!(part, Part::Processing | Part::NeedsInfo),
        is_archived: part == Part::Archived,
        is_deleted: false,
        revision_of: None,
    }
}

/// When the review last did something: within four days after the submission, and not in the last half hour, so that
/// whatever moves next stands out.
fn reviewed_at(dice: &mut Dice, created_at: Timestamp, now: Timestamp) -> Timestamp {
    let until_lately = now.as_millis() - HOUR_MS / 2 - created_at.as_millis();
    Timestamp::from_millis(created_at.as_millis() + below(dice, until_lately.min(4 * DAY_MS)))
}

/// When time made it what it is.
fn moved_by_time_at(status: CertificateStatus, expires: Day) -> Option<Timestamp> {
    match status {
        CertificateStatus::Expiring => Some(due::warns_at(expires)),
        CertificateStatus::Expired => Some(expires.end()),
        CertificateStatus::Processing
        | CertificateStatus::NeedsInfo
        | CertificateStatus::Active
        | CertificateStatus::Invalid => None,
    }
}

/// The last day that makes a certificate what it is to be.
fn last_day(dice: &mut Dice, part: Part, kind: &CertificateType, now: Timestamp) -> Option<Day> {
    let Some(term) = kind.term_days else {
        // Both ways in which vendors write "never".
        return (dice.below(3) == 0).then_some(Day::FOREVER);
    };
    let ahead = match part {
        Part::Expiring => 2 + below(dice, 27),
        Part::Expired => -1 - below(dice, 500),
        Part::Active | Part::Invalid | Part::Archived | Part::Revision => 32 + below(dice, i64::from(term) - 50),
        Part::Processing | Part::NeedsInfo => i64::from(term) - 1 - below(dice, 10),
    };
    Some(Day::of(now).plus_days(i32::try_from(ahead).unwrap_or(0)))
}

/// The first valid day, and the instant of submission at about that time.
fn beginning(
    dice: &mut Dice,
    part: Part,
    kind: &CertificateType,
    expires: Option<Day>,
    now: Timestamp,
) -> (Day, Timestamp) {
    let reviewing = matches!(part, Part::Processing | Part::NeedsInfo);
    let effective = match (kind.term_days, expires) {
        (Some(term), Some(expires)) => expires.plus_days(-term),
        (Some(_) | None, _) if reviewing => Day::of(now).plus_days(-2),
        (Some(_) | None, _) => Day::of(now).plus_days(-30 - i32::try_from(below(dice, 900)).unwrap_or(0)),
    };
    let submitted = effective.start().as_millis() + 8 * HOUR_MS + below(dice, 10 * HOUR_MS);
    let latest = now.as_millis() - HOUR_MS - below(dice, DAY_MS);
    (effective, Timestamp::from_millis(submitted.min(latest)))
}

fn covered(dice: &mut Dice, kind: &CertificateType) -> Vec<String> {
    if !kind.is_multi_state() {
        return kind.jurisdictions.iter().map(|&id| id.into()).collect();
    }
    let first = dice.below(kind.jurisdictions.len() as u64 - 2);
    let count = 2 + dice.below(4);
    let few = kind.jurisdictions.iter().skip(usize::try_from(first).unwrap_or(0));
    few.take(usize::try_from(count).unwrap_or(2)).map(|&id| id.into()).collect()
}

fn request(
    book: &mut Book,
    status: RequestStatus,
    answer: Option<&Certificate>,
    index: usize,
    now: Timestamp,
) -> Request {
    // A small book can run out of certificates to answer with; such a request is still open.
    let status = if status == RequestStatus::Fulfilled && answer.is_none() { RequestStatus::Pending } else { status };
    let customer = answer.map_or_else(|| book.dice.pick(&book.customers).clone(), |given| given.customer.clone());
    let certificate_type = answer.map_or_else(|| book.dice.pick(TYPES), |given| given.certificate_type);
    let dice = &mut book.dice;
    let jurisdictions = match answer {
        Some(given) => given.jurisdictions.iter().map(|entry| entry.id.clone()).collect(),
        None => covered(dice, certificate_type),
    };
    let age = match status {
        RequestStatus::Pending => HOUR_MS + below(dice, 27 * DAY_MS),
        RequestStatus::Invalid => 31 * DAY_MS + below(dice, 300 * DAY_MS),
        RequestStatus::Fulfilled | RequestStatus::Canceled => 2 * DAY_MS + below(dice, 300 * DAY_MS),
    };
    let created_at = match answer {
        Some(given) => Timestamp::from_millis(given.created_at.as_millis() - HOUR_MS - below(dice, 20 * DAY_MS)),
        None => Timestamp::from_millis(now.as_millis() - age),
    };
    let lapses_at = Timestamp::from_millis(created_at.as_millis() + 30 * DAY_MS);
    let updated_at = match (status, answer) {
        (RequestStatus::Fulfilled, Some(given)) => given.created_at,
        (RequestStatus::Invalid, _) => lapses_at,
        (RequestStatus::Canceled, _) => Timestamp::from_millis(created_at.as_millis() + below(dice, DAY_MS)),
        (RequestStatus::Pending | RequestStatus::Fulfilled, _) => created_at,
    };
    Request {
        id: format!("cert_req_{}", dice.uuid()),
        status,
        // The vendor's null for a buyer that was removed.
        customer: (index % 50 != 3).then_some(customer),
        submitted_certificate_id: answer.map(|given| given.id.clone()),
        is_linked: answer.is_some(),
        certificate_type,
        jurisdictions,
        created_at,
        updated_at,
        // Some never lapse; those that lapsed must have had a date.
        expires_at: (index % 7 != 4 || status == RequestStatus::Invalid).then_some(lapses_at),
        is_deleted: false,
    }
}

fn below(dice: &mut Dice, limit: i64) -> i64 {
    i64::try_from(dice.below(u64::try_from(limit).unwrap_or(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const NOW: &str = "2026-11-21T04:31:20.017Z";

    fn book(seed: u64, size: usize) -> (Book, Timestamp) {
        let now = NOW.parse().expect("an instant");
        (seeded(seed, size, now), now)
    }

    #[test]
    fn a_seed_gives_the_same_book_each_time() {
        let [one, same, other] = [book(1, 60).0, book(1, 60).0, book(2, 60).0];
        assert!(one.certificates().iter().eq(same.certificates().iter()));
        assert!(one.requests().iter().eq(same.requests().iter()));
        assert!(!one.certificates().iter().eq(other.certificates().iter()));
    }

    #[test]
    fn a_book_of_any_size_is_sound_and_settled_and_holds_so_many_objects() {
        for (seed, size) in [(1, 0), (1, 1), (2, 7), (3, 100), (4, 350), (5, 3_000)] {
            let (mut book, now) = book(seed, size);
            assert_eq!(book.certificates().len() + book.requests().len(), size);
            assert_eq!(book.contradiction(now), None, "seed {seed}, size {size}");
            assert_eq!(book.settle(now, true), 0, "nothing moves when nothing has happened");
        }
    }

    #[test]
    fn nothing_in_a_new_book_is_of_the_future() {
        let (book, now) = book(1, 350);
        assert!(book.certificates().iter().all(|certificate| certificate.updated_at <= now));
        assert!(book.requests().iter().all(|request| request.updated_at <= now));
    }

    #[test]
    fn the_default_book_has_everything_that_can_be_seen() {
        let (book, _) = book(1, 350);
        let mut statuses: BTreeMap<&str, usize> = BTreeMap::new();
        for certificate in book.certificates().iter() {
            *statuses.entry(certificate.status.as_str()).or_default() += 1;
        }
        for request in book.requests().iter() {
            *statuses.entry(request.status.as_str()).or_default() += 1;
        }
        assert_eq!(statuses.len(), 9, "six and four, and both have an invalid: {statuses:?}");
        assert!(statuses.values().all(|&count| count >= 10), "{statuses:?}");
        let mut certificates = book.certificates().iter();
        assert!(
            certificates.any(|certificate| {
                certificate.jurisdictions.iter().any(|entry| entry.status != certificate.status)
            })
        );
        assert!(book.requests().iter().any(|request| request.customer.is_none()));
        assert!(book.requests().iter().any(|request| request.expires_at.is_none()));
        assert!(book.certificates().iter().any(|certificate| certificate.expires == Some(Day::FOREVER)));
        assert!(book.certificates().iter().any(|certificate| certificate.expires.is_none()));
    }

    #[test]
    fn thirty_days_later_some_certificates_have_become_expiring() {
        let (mut book, now) = book(1, 350);
        let expiring = |book: &Book| {
            let certificates = book.certificates().iter();
            certificates.filter(|certificate| certificate.status == CertificateStatus::Active).count()
        };
        let before = expiring(&book);
        let later = Timestamp::from_millis(now.as_millis() + 30 * DAY_MS);
        assert!(book.settle(later, true) > 10);
        assert!(expiring(&book) < before);
        assert_eq!(book.contradiction(later), None);
    }
}
