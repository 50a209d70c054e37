//! What a call carries, and nothing else.

use certhook::model::resource::Kind;
use certhook::source::http::Limits;
use certhook::source::{Cursor, Selection, Source, Urgency};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{API_KEY, account, fetch, first_page, id, now, ok, page_of, settings};

/// An upstream that answers everything with an empty list.
async fn any_upstream() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ok(&page_of(&[], false, None))).mount(&server).await;
    server
}

/// The target of every request that has come so far, path and query.
async fn targets(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.expect("they are recorded");
    let target = |url: &url::Url| match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().into(),
    };
    requests.iter().map(|request| target(&request.url)).collect()
}

#[tokio::test]
async fn a_call_carries_exactly_the_documented_headers() {
    let server = any_upstream().await;
    let numeral = account(settings(&server.uri()), Limits::default());
    first_page(&numeral).await.expect("a page");
    let requests = server.received_requests().await.expect("they are recorded");
    let [request] = requests.as_slice() else { panic!("one request") };
    assert_eq!(request.method.as_str(), "GET");
    assert!(request.body.is_empty());
    let mut headers: Vec<(&str, &str)> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect();
    headers.sort_unstable();
    let host = server.address().to_string();
    assert_eq!(
        headers,
        [
            ("accept", "application/json"),
            ("accept-encoding", "gzip"),
            ("authorization", format!("Bearer {API_KEY}").as_str()),
            ("host", host.as_str()),
            ("user-agent", concat!("certhook/", env!("CARGO_PKG_VERSION"))),
            ("x-api-version", "2026-03-01"),
        ]
    );
}

#[tokio::test]
async fn a_listing_sends_only_documented_parameters() {
    let server = any_upstream().await;
    let mut settings = settings(&server.uri());
    settings.page_size = 7;
    let numeral = account(settings, Limits::default());
    let cursor = Cursor("cert_1&limit=1 ü+/%".into());
    let before = now();
    let after = "2026-11-21T05:31:20.017+01:00".parse().expect("an instant");
    for (kind, selection, cursor, target) in [
        (Kind::Certificate, Selection::Everything, None, "/tax/certificates?limit=7"),
        (Kind::CertificateRequest, Selection::Everything, None, "/tax/certificate-requests?limit=7"),
        (
            Kind::Certificate,
            Selection::UpdatedAfter(after),
            None,
            "/tax/certificates?limit=7&updated_after=2026-11-21T04%3A31%3A20.017Z",
        ),
        (
            Kind::CertificateRequest,
            Selection::Status("pending"),
            Some(&cursor),
            "/tax/certificate-requests?limit=7&status=pending&cursor=cert_1%26limit%3D1+%C3%BC%2B%2F%25",
        ),
        (
            Kind::Certificate,
            Selection::CreatedBetween(after, before),
            None,
            "/tax/certificates?limit=7&created_after=2026-11-21T04%3A31%3A20.017Z\
             &created_before=2026-11-21T04%3A31%3A20.000Z",
        ),
    ] {
        server.reset().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(500)).mount(&server).await;
        numeral.page(kind, &selection, cursor, Urgency::Sweep).await.expect_err("500");
        assert_eq!(targets(&server).await, [target]);
    }
}

#[tokio::test]
async fn an_id_is_one_segment_of_the_path_whatever_its_prefix() {
    let server = any_upstream().await;
    let numeral = account(settings(&server.uri()), Limits::default());
    let long = "x".repeat(128);
    for text in ["cert_a8f3d2c1-1b9a", "cus_1", "-", "_", "CERT", &long] {
        fetch(&numeral, text).await.expect("an answer");
    }
    numeral.get(Kind::CertificateRequest, &id("cert_req_1"), Urgency::Api).await.expect("an answer");
    let mut expected: Vec<String> = ["cert_a8f3d2c1-1b9a", "cus_1", "-", "_", "CERT", &long]
        .iter()
        .map(|text| format!("/tax/certificates/{text}"))
        .collect();
    expected.push("/tax/certificate-requests/cert_req_1".into());
    assert_eq!(targets(&server).await, expected);
}

#[tokio::test]
async fn a_base_url_may_end_in_a_slash_or_a_folder() {
    let server = any_upstream().await;
    for base in ["", "/", "/mirror", "/mirror/"] {
        let numeral = account(settings(&format!("{}{base}", server.uri())), Limits::default());
        first_page(&numeral).await.expect("a page");
    }
    let (plain, below) = ("/tax/certificates?limit=100", "/mirror/tax/certificates?limit=100");
    assert_eq!(targets(&server).await, [plain, plain, below, below]);
}

#[tokio::test]
async fn every_call_goes_through_the_proxy_that_is_configured() {
    let proxy = any_upstream().await;
    let mut settings = settings("http://upstream.invalid");
    settings.proxy = Some(proxy.uri().parse().expect("a URL"));
    first_page(&account(settings, Limits::default())).await.expect("the proxy answers");
    let requests = proxy.received_requests().await.expect("they are recorded");
    assert_eq!(requests[0].url.host_str(), Some("upstream.invalid"));
}

/// Runs another test of this binary with a dead proxy in its environment.
#[tokio::test]
async fn a_proxy_of_the_environment_is_never_used() {
    let binary = std::env::current_exe().expect("this test's binary");
    let other = "source::requests::a_call_carries_exactly_the_documented_headers";
    let mut command = tokio::process::Command::new(binary);
    command.args(["--exact", other]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:1");
    }
    let output = command.env_remove("NO_PROXY").env_remove("no_proxy").output().await.expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
