//! The book's laws, and what each command does.

use std::time::Duration;

use proptest::prelude::*;

use super::command::{CertificateAction, NewCertificate, RequestAction};
use super::filter::Filter;
use super::object::CertificateStatus;
use super::shelf::{BadCursor, PageWanted};
use super::*;
use crate::sandbox::day::Day;
use crate::sandbox::options::{LostCursor, Order, TimeBounds};
use crate::sandbox::seed::seeded;

fn now() -> Timestamp {
    "2026-11-21T04:31:20.017Z".parse().expect("an instant")
}

/// A book with one certificate of that status, good from 2026-11-21 for a year, and its id.
fn book_with(status: CertificateStatus) -> (Book, String) {
    let mut book = seeded(1, 0, now());
    let new = NewCertificate { certificate_type_id: Some("12".into()), status: Some(status), ..Default::default() };
    let id = book.create_certificate(new, now()).expect("a good certificate");
    (book, id)
}

fn day(text: &str) -> Day {
    text.parse().expect("a date")
}

#[test]
fn actions_move_a_certificate_from_the_right_states_only() {
    use CertificateStatus::{Active, Expired, Expiring, Invalid, NeedsInfo, Processing};
    let table = [
        (CertificateAction::Approve { attach: true }, vec![Processing, NeedsInfo], Active),
        (CertificateAction::Reject, vec![Processing, NeedsInfo, Active, Expiring, Expired], Invalid),
        (CertificateAction::NeedsInfo, vec![Processing], NeedsInfo),
        (CertificateAction::Resubmit, vec![NeedsInfo], Processing),
        (CertificateAction::Expiring, vec![Active], Expiring),
        (CertificateAction::Expire, vec![Active, Expiring], Expired),
        (CertificateAction::Renew { until: None }, vec![Active, Expiring, Expired], Active),
    ];
    for (action, from, to) in table {
        for &status in CertificateStatus::ALL {
            let (mut book, id) = book_with(status);
            let later = now().plus(Duration::from_secs(1));
            let done = book.apply(Command::Certificate(id.clone(), action.clone()), later);
            let certificate = book.certificate(&id).expect("it is still there");
            if from.contains(&status) {
                assert_eq!(done, Ok(Subject::Certificate(id)), "{action:?} from {status}");
                assert_eq!((certificate.status, certificate.jurisdictions[0].status), (to, to));
                assert_eq!(certificate.updated_at, later);
            } else {
                assert!(matches!(done, Err(Refusal::WrongState { .. })), "{action:?} from {status}: {done:?}");
                assert_eq!((certificate.status, certificate.updated_at), (status, now()));
            }
        }
    }
}

#[test]
fn requests_move_from_the_right_states_only() {
    use RequestStatus::{Canceled, Fulfilled, Invalid, Pending};
    let into = [
        (Pending, None),
        (Fulfilled, Some(RequestAction::Submit { link: true })),
        (Canceled, Some(RequestAction::Cancel)),
        (Invalid, Some(RequestAction::Invalidate)),
    ];
    let table = [
        (RequestAction::Submit { link: true }, vec![Pending], Fulfilled),
        (RequestAction::Cancel, vec![Pending, Canceled], Canceled),
        (RequestAction::Invalidate, vec![Pending], Invalid),
        (RequestAction::Reopen, vec![Fulfilled, Canceled, Invalid], Pending),
        (RequestAction::Extend, vec![Pending], Pending),
    ];
    for (action, from, to) in table {
        for (status, preparation) in into.clone() {
            let mut book = seeded(1, 0, now());
            let id = book.create_request(NewRequest::default(), now()).expect("a good request");
            if let Some(preparation) = preparation {
                book.act_on_request(&id, preparation, now()).expect("a good preparation");
            }
            let done = book.apply(Command::Request(id.clone(), action.clone()), now());
            let after = book.request(&id).expect("it is still there").status;
            assert_eq!(done.is_ok(), from.contains(&status), "{action:?} from {status}: {done:?}");
            assert_eq!(after, if done.is_ok() { to } else { status });
            assert_eq!(book.contradiction(now()), None);
        }
    }
}

#[test]
fn a_submitted_request_has_a_processing_certificate_without_a_document() {
    let mut book = seeded(1, 0, now());
    let id = book.create_request(NewRequest::default(), now()).expect("a good request");
    book.act_on_request(&id, RequestAction::Submit { link: false }, now()).expect("it is pending");
    assert_eq!(book.request(&id).expect("it is there").certificate_id(), None, "not shown yet");
    book.act_on_request(&id, RequestAction::Link, now()).expect("it is not linked yet");
    let certificate_id = book.request(&id).expect("it is there").certificate_id().expect("shown now").to_owned();
    let certificate = book.certificate(&certificate_id).expect("it was made");
    assert_eq!((certificate.status, certificate.has_document), (CertificateStatus::Processing, false));
}

#[test]
fn canceling_again_changes_nothing() {
    let mut book = seeded(1, 0, now());
    let id = book.create_request(NewRequest::default(), now()).expect("a good request");
    book.act_on_request(&id, RequestAction::Cancel, now()).expect("it is pending");
    let first = book.request(&id).cloned();
    book.act_on_request(&id, RequestAction::Cancel, now().plus(Duration::from_secs(9))).expect("it is idempotent");
    assert_eq!(book.request(&id).cloned(), first);
}

#[test]
fn a_renewal_keeps_the_id_moves_the_dates_and_leaves_a_hidden_revision() {
    let (mut book, id) = book_with(CertificateStatus::Expired);
    let early = CertificateAction::Renew { until: Some(day("2027-01-01")) };
    assert!(matches!(book.act_on_certificate(&id, early, now()), Err(Refusal::Invalid { field: "until", .. })));
    let late = CertificateAction::Renew { until: Some(day("2028-01-01")) };
    book.act_on_certificate(&id, late, now()).expect("it is later");
    let certificate = book.certificate(&id).expect("the id is canonical");
    assert_eq!((certificate.status, certificate.expires), (CertificateStatus::Active, Some(day("2028-01-01"))));
    let revisions: Vec<_> = book.certificates().iter().filter(|one| one.revision_of.as_ref() == Some(&id)).collect();
    assert_eq!(revisions.len(), 1);
    assert!(!revisions[0].is_listed());
    let revision = revisions[0].id.clone();
    assert!(matches!(
        book.act_on_certificate(&revision, CertificateAction::Touch, now()),
        Err(Refusal::WrongState { .. })
    ));
}

#[test]
fn one_jurisdiction_moves_without_the_certificate() {
    let (mut book, id) = book_with(CertificateStatus::Active);
    let add = |id: &str, status| CertificateAction::SetJurisdiction { id: id.into(), status, expires: None };
    book.act_on_certificate(&id, add("US-TX", Some(CertificateStatus::Expired)), now()).expect("a new one");
    book.act_on_certificate(&id, add("US-CA", Some(CertificateStatus::Invalid)), now()).expect("a known one");
    let shown = |book: &Book| {
        let certificate = book.certificate(&id).expect("it is there");
        (certificate.status, certificate.jurisdictions.iter().map(|entry| entry.status).collect::<Vec<_>>())
    };
    let both = vec![CertificateStatus::Invalid, CertificateStatus::Expired];
    assert_eq!(shown(&book), (CertificateStatus::Active, both));
    assert!(book.act_on_certificate(&id, add("Texas", None), now()).is_err());
    let drop = |id: &str| CertificateAction::DropJurisdiction { id: id.into() };
    book.act_on_certificate(&id, drop("US-CA"), now()).expect("there is another");
    assert!(matches!(book.act_on_certificate(&id, drop("US-CA"), now()), Err(Refusal::NotFound { .. })));
    assert!(matches!(book.act_on_certificate(&id, drop("US-TX"), now()), Err(Refusal::WrongState { .. })));
}

#[test]
fn time_moves_are_dated_when_they_fell_due_and_bump_updated_at_only_if_asked() {
    for bump in [true, false] {
        let (mut book, id) = book_with(CertificateStatus::Active);
        // It is good until 2027-11-21, and is looked at for the first time long after that.
        let late: Timestamp = "2028-02-01T12:00:00Z".parse().expect("an instant");
        assert_eq!(book.settle(late, bump), 1);
        let certificate = book.certificate(&id).expect("it is there");
        assert_eq!(certificate.status, CertificateStatus::Expired);
        let updated_at = if bump { "2027-11-22T00:00:00.000Z".into() } else { now().to_string() };
        assert_eq!(certificate.updated_at.to_string(), updated_at);
        assert_eq!(book.settle(late, bump), 0);
    }
}

#[test]
fn a_request_lapses_at_its_time() {
    let mut book = seeded(1, 0, now());
    let id = book.create_request(NewRequest::default(), now()).expect("a good request");
    let lapses_at = now().plus(Duration::from_secs(30 * 86_400));
    book.settle(Timestamp::from_millis(lapses_at.as_millis() - 1), true);
    assert_eq!(book.request(&id).expect("it is there").status, RequestStatus::Pending);
    book.settle(lapses_at.plus(Duration::from_secs(5)), true);
    let request = book.request(&id).expect("it is there");
    assert_eq!((request.status, request.updated_at), (RequestStatus::Invalid, lapses_at));
}

#[test]
fn a_command_may_make_something_due_earlier_than_the_book_had_expected() {
    let (mut book, id) = book_with(CertificateStatus::Active);
    book.settle(now(), true);
    let expires = Some(day("2026-11-22"));
    let sooner = CertificateAction::SetJurisdiction { id: "US-CA".into(), status: None, expires };
    book.apply(Command::Certificate(id.clone(), sooner), now()).expect("a known jurisdiction");
    assert_eq!(book.settle(now(), true), 1);
    assert_eq!(book.certificate(&id).expect("it is there").jurisdictions[0].status, CertificateStatus::Expiring);
}

fn page<'a>(cursor: Option<&'a str>, limit: usize, order: Order, lost_cursor: LostCursor) -> PageWanted<'a> {
    PageWanted { cursor, limit, order, lost_cursor }
}

#[test]
fn a_cursor_whose_object_is_gone_is_treated_as_chosen() {
    let mut book = seeded(1, 100, now());
    let all = page(None, 10, Order::Ascending, LostCursor::Refused);
    let ids: Vec<_> =
        book.requests().page(all, |_| true).expect("no cursor").rows.iter().map(|row| row.id.clone()).collect();
    book.act_on_request(&ids[4], RequestAction::Delete, now()).expect("it is there");
    let next = |lost| {
        let shown = book.requests().page(page(Some(&ids[4]), 5, Order::Ascending, lost), |_| true)?;
        Ok(shown.rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>())
    };
    assert_eq!(next(LostCursor::Refused), Err(BadCursor));
    assert_eq!(next(LostCursor::EmptyPage), Ok(vec![]));
    assert_eq!(next(LostCursor::Continues), Ok(ids[5..10].to_vec()));
    let unknown = page(Some("cert_req_1"), 5, Order::Ascending, LostCursor::Continues);
    assert!(book.requests().page(unknown, |_| true).is_err());
}

fn certificate_action() -> impl Strategy<Value = CertificateAction> {
    let id = || prop::sample::select(vec!["US-CA", "US-TX", "US-WI", "nowhere"]).prop_map(String::from);
    let expires = prop::option::of((-400..800_i32).prop_map(|days| Day::of(now()).plus_days(days)));
    let status = prop::option::of(prop::sample::select(CertificateStatus::ALL));
    prop_oneof![
        any::<bool>().prop_map(|attach| CertificateAction::Approve { attach }),
        Just(CertificateAction::Reject),
        Just(CertificateAction::NeedsInfo),
        Just(CertificateAction::Resubmit),
        Just(CertificateAction::Expiring),
        Just(CertificateAction::Expire),
        expires.clone().prop_map(|until| CertificateAction::Renew { until }),
        Just(CertificateAction::Archive),
        Just(CertificateAction::Unarchive),
        Just(CertificateAction::Delete),
        Just(CertificateAction::Touch),
        Just(CertificateAction::Correct),
        Just(CertificateAction::Attach),
        (id(), status, expires).prop_map(|(id, status, expires)| CertificateAction::SetJurisdiction {
            id,
            status,
            expires
        }),
        id().prop_map(|id| CertificateAction::DropJurisdiction { id }),
    ]
}

fn request_action() -> impl Strategy<Value = RequestAction> {
    prop_oneof![
        any::<bool>().prop_map(|link| RequestAction::Submit { link }),
        Just(RequestAction::Link),
        Just(RequestAction::Cancel),
        Just(RequestAction::Invalidate),
        Just(RequestAction::Reopen),
        Just(RequestAction::Extend),
        Just(RequestAction::Delete),
        Just(RequestAction::Restore),
    ]
}

#[derive(Clone, Debug)]
enum Move {
    CreateCertificate,
    CreateRequest,
    Certificate(prop::sample::Index, CertificateAction),
    Request(prop::sample::Index, RequestAction),
    Wait(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        1 => Just(Move::CreateCertificate),
        1 => Just(Move::CreateRequest),
        4 => (any::<prop::sample::Index>(), certificate_action()).prop_map(|(which, action)| Move::Certificate(which, action)),
        4 => (any::<prop::sample::Index>(), request_action()).prop_map(|(which, action)| Move::Request(which, action)),
        1 => (0..90 * 86_400_u64).prop_map(Move::Wait),
    ];
    prop::collection::vec(one, 0..40)
}

/// Plays moves on a seeded book, and gives it with the time that it is then.
fn played(moves: Vec<Move>) -> Result<(Book, Timestamp), TestCaseError> {
    let (mut book, mut now) = (seeded(3, 24, now()), now());
    for played in moves {
        let nth = |ids: Vec<&str>, which: prop::sample::Index| which.get(&ids).to_string();
        let command = match played {
            Move::CreateCertificate => Command::CreateCertificate(NewCertificate::default()),
            Move::CreateRequest => Command::CreateRequest(NewRequest::default()),
            Move::Certificate(which, action) => {
                Command::Certificate(nth(book.certificates().iter().map(Listed::id).collect(), which), action)
            }
            Move::Request(which, action) => {
                Command::Request(nth(book.requests().iter().map(Listed::id).collect(), which), action)
            }
            Move::Wait(seconds) => {
                now = now.plus(Duration::from_secs(seconds));
                book.settle(now, seconds % 2 == 0);
                continue;
            }
        };
        let before = book.clone();
        if book.apply(command, now).is_err() {
            prop_assert!(book.certificates().iter().eq(before.certificates().iter()), "a refusal changed something");
            prop_assert!(book.requests().iter().eq(before.requests().iter()), "a refusal changed something");
        }
        for certificate in before.certificates().iter() {
            let after = book.certificates().get(certificate.id());
            prop_assert!(after.is_some_and(|after| after.updated_at >= certificate.updated_at));
        }
        book.settle(now, true);
        prop_assert_eq!(book.contradiction(now), None);
    }
    Ok((book, now))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_done_the_book_stays_sound(moves in moves()) {
        played(moves)?;
    }

    #[test]
    fn paging_shows_each_listed_object_once_in_order_when_nothing_moves(
        moves in moves(),
        limit in 1..12_usize,
        descending in any::<bool>(),
        status in prop::option::of(prop::sample::select(CertificateStatus::ALL)),
    ) {
        let (book, _) = played(moves)?;
        let filter = Filter { certificate_status: status, ..Filter::default() };
        let means = |certificate: &Certificate| filter.matches_certificate(certificate, TimeBounds::Inclusive);
        let order = if descending { Order::Descending } else { Order::Ascending };
        let (mut shown, mut cursor): (Vec<String>, Option<String>) = (Vec::new(), None);
        loop {
            let wanted = page(cursor.as_deref(), limit, order, LostCursor::Refused);
            let page = book.certificates().page(wanted, means).expect("cursors stay good");
            prop_assert!(page.rows.len() <= limit);
            prop_assert!(!page.has_more || page.rows.len() == limit);
            shown.extend(page.rows.iter().map(|row| row.id.clone()));
            if !page.has_more {
                break;
            }
            cursor = shown.last().cloned();
        }
        let mut listed: Vec<_> = book.certificates().iter().filter(|one| one.is_listed() && means(one)).map(|one| one.id.clone()).collect();
        if descending {
            listed.reverse();
        }
        prop_assert_eq!(shown, listed);
    }

    #[test]
    fn looking_often_and_looking_once_show_the_same(stops in prop::collection::vec(0..60 * 86_400_u64, 1..12)) {
        let (mut often, mut once, mut at) = (seeded(5, 60, now()), seeded(5, 60, now()), now());
        for seconds in stops {
            at = at.plus(Duration::from_secs(seconds));
            often.settle(at, true);
        }
        once.settle(at, true);
        prop_assert!(often.certificates().iter().eq(once.certificates().iter()));
        prop_assert!(often.requests().iter().eq(once.requests().iter()));
    }
}
