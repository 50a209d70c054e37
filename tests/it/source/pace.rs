//! The one bucket of a source. Its order, and what becomes of a call that is given up, are tested where they are
//! decided, without sockets.

use std::time::Duration;

use certhook::model::resource::Kind;
use certhook::source::http::{Limits, Turn, Turns};
use certhook::source::{Selection, Source, SourceError, Urgency};
use serde_json::json;
use tokio::time::Instant;
use wiremock::ResponseTemplate;

use super::{CERTIFICATES, REQUESTS, account, fetch, first_page, ok, page_of, settings, upstream};

#[tokio::test]
async fn listings_and_fetches_share_one_bucket() {
    let (server, _) = upstream(CERTIFICATES, ok(&page_of(&[], false, None))).await;
    let mut settings = settings(&server.uri());
    settings.requests_per_second = 20.0;
    let numeral = account(settings, Limits::default());
    let begun = Instant::now();
    for _ in 0..12 {
        first_page(&numeral).await.expect("a page");
        fetch(&numeral, "cert_1").await.expect_err("an empty 404");
    }
    // Of 24 calls 20 were there at once; the other 4 came at 20 a second.
    assert!(begun.elapsed() >= Duration::from_millis(199), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_open_listing_stretches_while_a_sweep_goes_on() {
    let (server, _) = upstream(CERTIFICATES, ok(&page_of(&[], false, None))).await;
    let mut settings = settings(&server.uri());
    settings.requests_per_second = 10.0;
    let numeral = account(settings, Limits::default());
    let pending = Selection::Status("pending");
    let open = || numeral.page(Kind::CertificateRequest, &pending, None, Urgency::Open);
    let begun = Instant::now();
    for _ in 0..5 {
        open().await.expect_err("an empty 404");
    }
    // Five tokens are left, and none of them is for an open listing.
    let (sixth, swept) = tokio::join!(open(), first_page(&numeral));
    swept.expect("a page");
    sixth.expect_err("an empty 404");
    assert!(begun.elapsed() >= Duration::from_millis(199), "{:?}", begun.elapsed());
    let requests = server.received_requests().await.expect("they are recorded");
    let paths: Vec<&str> = requests.iter().map(|request| request.url.path()).collect();
    assert_eq!(paths[5..], [CERTIFICATES, REQUESTS]);
}

#[test]
fn a_simulation_can_share_the_policy() {
    let mut turns = Turns::new(5.0).expect("a rate");
    let (mut now, mut open_calls, mut sweep_calls) = (Duration::ZERO, 0, 0);
    let hour = Duration::from_secs(3600);
    let (mut open, mut sweep) = (turns.enter(Urgency::Open), turns.enter(Urgency::Sweep));
    while now < hour {
        let next = turns.next(now).expect("both always want more");
        match turns.ask(next, now) {
            Turn::Wait(wait) => now += wait,
            Turn::Go if next == open => (open, open_calls) = (turns.enter(Urgency::Open), open_calls + 1),
            Turn::Go => (sweep, sweep_calls) = (turns.enter(Urgency::Sweep), sweep_calls + 1),
            Turn::Behind | Turn::Paused(_) => panic!("whoever is next is not behind, and nothing was paused"),
        }
    }
    turns.leave(open);
    turns.leave(sweep);
    assert_eq!(turns.next(now), None);
    // The 18 000 of an hour but for the last, which comes as it ends, and a burst of five, of which two are for open
    // calls.
    assert_eq!((open_calls, sweep_calls), (9000 + 2 - 1, 9000 + 3));
}

#[tokio::test]
async fn after_a_429_nothing_is_asked_until_the_wait_is_over() {
    let slow_down = ResponseTemplate::new(429).insert_header("retry-after", "7").set_body_json(json!({}));
    let (server, numeral) = upstream(CERTIFICATES, slow_down).await;
    let first = first_page(&numeral).await.expect_err("throttled");
    assert_eq!(first, SourceError::Throttled { retry_after: Duration::from_secs(7) });
    let api = numeral.page(Kind::CertificateRequest, &Selection::Everything, None, Urgency::Api).await.map(|_| ());
    for error in [api.expect_err("throttled"), fetch(&numeral, "cert_1").await.map(|_| ()).expect_err("throttled")] {
        let SourceError::Throttled { retry_after } = error else { panic!("{error}") };
        assert!(retry_after <= Duration::from_secs(7), "{retry_after:?}");
    }
    assert_eq!(server.received_requests().await.expect("they are recorded").len(), 1);
}

#[tokio::test]
async fn a_call_without_an_answer_is_seen_while_it_is_out() {
    let slowly = ok(&page_of(&[], false, None)).set_delay(Duration::from_millis(50));
    let (server, _) = upstream(CERTIFICATES, slowly).await;
    let numeral = account(settings(&server.uri()), Limits::default());
    assert_eq!(numeral.unanswered_since(), None);
    let seen = async {
        while numeral.unanswered_since().is_none() {
            tokio::task::yield_now().await;
        }
    };
    let (page, ()) = tokio::join!(first_page(&numeral), seen);
    page.expect("a page");
    assert_eq!(numeral.unanswered_since(), None);
}
