//! Who may look, and what comes.

use reqwest::StatusCode;

use super::exposition::Exposition;
use crate::support::process::{Process, ROOT_KEY, UPSTREAM_KEY, free_port};

/// An upstream and a gateway over it, started with variables of the environment.
pub(super) async fn house(variables: &[(&str, &str)]) -> (tempfile::TempDir, Process, Process) {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Process::sandbox(folder.path()).await;
    let gateway = Process::gateway_where(folder.path(), free_port(), &upstream.url, variables).await;
    (folder, upstream, gateway)
}

/// The answer to a scrape.
pub(super) async fn ask(gateway: &Process, path: &str, key: Option<&str>) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.get(format!("{}{path}", gateway.url));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    request.send().await.unwrap()
}

/// What a scrape tells.
pub(super) async fn scrape(gateway: &Process) -> Exposition {
    let answer = ask(gateway, "/metrics", Some(ROOT_KEY)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    Exposition::read(&answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_need_a_key() {
    let (_folder, _upstream, gateway) = house(&[]).await;
    for key in [None, Some("not-the-key-of-this-gateway")] {
        let answer = ask(&gateway, "/metrics", key).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{key:?}");
        assert!(answer.headers().contains_key("www-authenticate"));
        assert!(!answer.text().await.unwrap().contains("certhook_"));
    }
    let answer = ask(&gateway, "/metrics", Some(ROOT_KEY)).await;
    let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = answer.text().await.unwrap();
    for secret in [ROOT_KEY, UPSTREAM_KEY] {
        assert!(!text.contains(secret));
    }
    assert_eq!(ask(&gateway, "/metrics?name=x", Some(ROOT_KEY)).await.status(), StatusCode::BAD_REQUEST);
    let told = scrape(&gateway).await;
    let refused = told.get("certhook_api_requests_total", &[("route", "/metrics"), ("status", "4xx")]);
    assert_eq!(refused, 3.0, "those who were refused are counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_that_are_public_need_none_and_everything_else_still_does() {
    let (_folder, _upstream, gateway) = house(&[("CERTHOOK_SERVER__METRICS_PUBLIC", "true")]).await;
    let answer = ask(&gateway, "/metrics", None).await;
    assert_eq!(answer.status(), StatusCode::OK);
    Exposition::read(&answer.text().await.unwrap());
    assert_eq!(ask(&gateway, "/v1/sources", None).await.status(), StatusCode::UNAUTHORIZED);
}
