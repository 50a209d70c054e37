//! The one bucket of a source. Its order, and what becomes of a call that is given up, are tested where they are
//! decided, without sockets.

use std::time::Duration;

use certhook::model::resource::Kind;
use certhook::source::http::Limits;
use certhook::source::{Selection, Source, SourceError, Urgency};
use serde_json::json;
use tokio::time::Instant;
use wiremock::ResponseTemplate;

use super::{CERTIFICATES, account, fetch, first_page, ok, page_of, settings, upstream};

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
