//! A slow life of its own: what happens next when nobody steers.

use std::time::Duration;

use super::book::Book;
use super::book::command::Subject;
use super::dice::Dice;
use super::happening::{CertificateHappening as Certificate, Happening, RequestHappening as Request, bring_about};
use crate::model::time::Timestamp;

/// What happens first, so that a newcomer soon sees the things that matter most.
const OVERTURE: [Happening; 4] = [
    Happening::Request(Request::Fulfilled),
    Happening::Certificate(Certificate::Active),
    Happening::Certificate(Certificate::Expiring),
    Happening::Request(Request::Fulfilled),
];

/// What may happen later, with weights. They keep the book in balance: as many requests are opened as are closed,
/// and as many certificates are renewed as come near their end.
const LIFE: &[(u32, Happening)] = &[
    (24, Happening::Request(Request::Created)),
    (18, Happening::Request(Request::Fulfilled)),
    (14, Happening::Certificate(Certificate::Active)),
    (8, Happening::Certificate(Certificate::Expiring)),
    (8, Happening::Certificate(Certificate::Renewed)),
    (5, Happening::Certificate(Certificate::NeedsInfo)),
    (5, Happening::Certificate(Certificate::Processing)),
    (4, Happening::Certificate(Certificate::JurisdictionExpiring)),
    (3, Happening::Request(Request::Canceled)),
    (2, Happening::Request(Request::Updated)),
    (2, Happening::Certificate(Certificate::Expired)),
    (2, Happening::Certificate(Certificate::Updated)),
    (1, Happening::Certificate(Certificate::Invalid)),
    (1, Happening::Certificate(Certificate::JurisdictionAdded)),
];

/// Makes the next believable thing happen, and tells what it was and to what. `taken` counts the steps before this
/// one. If nothing in the book suits, a new request is opened instead; `None` only if not even that is possible.
pub fn step(book: &mut Book, taken: u64, dice: &mut Dice, now: Timestamp) -> Option<(Happening, Subject)> {
    let overture = usize::try_from(taken).ok().and_then(|taken| OVERTURE.get(taken));
    let wanted = overture.copied().unwrap_or_else(|| weighted(dice.chance()));
    [wanted, Happening::Request(Request::Created)].into_iter().find_map(|happening| {
        let subject = bring_about(book, happening, dice.chance(), now).ok()?;
        Some((happening, subject))
    })
}

/// How long the next step waits, after so many steps. The first comes when a newcomer's first poll has seen the book
/// as it was, and the overture is over within ten seconds.
pub fn wait(taken: u64, chance: f64) -> Duration {
    match taken {
        0 => Duration::from_millis(3_000),
        1..4 => Duration::from_millis(2_000),
        _ => Duration::from_millis(4_000) + Duration::from_millis(5_000).mul_f64(chance),
    }
}

fn weighted(chance: f64) -> Happening {
    let total: u32 = LIFE.iter().map(|(weight, _)| weight).sum();
    let mut left = chance * f64::from(total);
    for &(weight, happening) in LIFE {
        left -= f64::from(weight);
        if left < 0.0 {
            return happening;
        }
    }
    Happening::Request(Request::Created)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::book::object::{CertificateStatus, RequestStatus};
    use super::super::seed::seeded;
    use super::*;

    #[test]
    fn the_first_steps_show_what_matters_most() {
        let now = "2026-11-21T04:31:20.017Z".parse().expect("an instant");
        let (mut book, mut dice) = (seeded(1, 350, now), Dice::seeded(1));
        for (taken, expected) in (0..).zip(OVERTURE) {
            let (happened, subject) = step(&mut book, taken, &mut dice, now).expect("something happens");
            assert_eq!(happened, expected);
            match (expected, &subject) {
                (Happening::Request(_), Subject::Request(id)) => {
                    let request = book.request(id).expect("it exists");
                    assert_eq!(request.status, RequestStatus::Fulfilled);
                    assert_eq!(request.updated_at, now);
                }
                (Happening::Certificate(_), Subject::Certificate(id)) => {
                    let status = book.certificate(id).expect("it exists").status;
                    assert!(matches!(status, CertificateStatus::Active | CertificateStatus::Expiring), "{status}");
                }
                (expected, subject) => panic!("{expected:?} happened to {subject:?}"),
            }
        }
    }

    #[test]
    fn a_long_life_keeps_the_book_sound_varied_and_in_balance() {
        let mut now: Timestamp = "2026-11-21T04:31:20.017Z".parse().expect("an instant");
        let (mut book, mut dice) = (seeded(1, 350, now), Dice::seeded(9));
        let mut seen: HashMap<&str, u32> = HashMap::new();
        for taken in 0..2_000 {
            now = now.plus(Duration::from_secs(1_500));
            book.settle(now, true);
            let (happened, _) = step(&mut book, taken, &mut dice, now).expect("something happens");
            *seen.entry(happened.as_str()).or_default() += 1;
        }
        assert_eq!(book.contradiction(now), None);
        assert_eq!(seen.len(), LIFE.len(), "{seen:?}");
        let pending = book.requests().iter().filter(|request| request.status == RequestStatus::Pending).count();
        assert!((5..700).contains(&pending), "{pending} pending");
    }

    #[test]
    fn an_empty_book_comes_to_life_too() {
        let now = "2026-11-21T04:31:20.017Z".parse().expect("an instant");
        let (mut book, mut dice) = (seeded(1, 0, now), Dice::seeded(1));
        let (happened, _) = step(&mut book, 0, &mut dice, now).expect("something happens");
        assert_eq!(happened, Happening::Request(Request::Created));
        let (happened, _) = step(&mut book, 0, &mut dice, now).expect("something happens");
        assert_eq!(happened, Happening::Request(Request::Fulfilled));
    }
}
