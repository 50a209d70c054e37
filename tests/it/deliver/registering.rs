//! What the API says to a URL that must not be called, with the real guard behind it.

use certhook::app::Gateway;
use certhook::config::Config;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const KEY: &str = "root-key-of-registering-tests";

/// A whole gateway in this process, over an upstream that is not there.
struct House {
    url: String,
    stop: CancellationToken,
    running: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl House {
    async fn start(allow_networks: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.toml");
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\napi_key = \"{KEY}\"\n[store]\nurl = \"sled:data\"\n[[sources]]\n\
             name = \"numeral\"\nbase_url = \"http://127.0.0.1:1\"\napi_key = \"sk_prod_none\"\n[delivery]\n\
             allow_networks = {allow_networks:?}\n"
        );
        std::fs::write(&path, text).expect("a configuration");
        let config = Config::load(Some(&path), []).expect("it is valid");
        let gateway = Gateway::start(config).await.expect("it starts");
        let (url, stop) = (format!("http://{}", gateway.address()), CancellationToken::new());
        let stopped = stop.clone();
        #[expect(clippy::disallowed_methods, reason = "the handle is awaited when the house is closed")]
        let running = tokio::spawn(async move { gateway.run(stopped).await.expect("it ends in order") });
        Self { url, stop, running, _folder: folder }
    }

    /// Makes a call with a URL in its body; gives the status and what is said about the URL.
    async fn call(&self, method: &str, path: &str, url: &str) -> (u16, Option<String>) {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let method = method.parse().expect("a method");
        let request = client.request(method, format!("{}{path}", self.url)).bearer_auth(KEY);
        let request = request.header("content-type", "application/json").body(json!({ "url": url }).to_string());
        let response = request.send().await.expect("it answers");
        let status = response.status().as_u16();
        let answer: Value = serde_json::from_str(&response.text().await.expect("a body")).expect("JSON");
        let errors = answer["errors"].as_array().cloned().unwrap_or_default();
        assert!(errors.iter().all(|error| error["field"] == "url"), "{answer}");
        (status, errors.first().and_then(|error| error["message"].as_str().map(str::to_owned)))
    }

    async fn close(self) {
        self.stop.cancel();
        self.running.await.expect("it ends in order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_must_not_be_called_is_not_registered() {
    let house = House::start(&[]).await;
    let add = |network: &str| format!("; to permit it, add \"{network}\" to delivery.allow_networks");
    for (url, said) in [
        ("https://10.1.2.3/hook", format!("leads to 10.1.2.3, a private address{}", add("10.1.2.3/32"))),
        ("https://0x7f.1:8443/", format!("leads to 127.0.0.1, a loopback address{}", add("127.0.0.1/32"))),
        (
            "https://１６９.254.43518/",
            format!("leads to 169.254.169.254, a link-local address{}", add("169.254.169.254/32")),
        ),
        ("https://[::ffff:10.1.2.3]/", format!("leads to ::ffff:10.1.2.3, a private address{}", add("10.1.2.3/32"))),
        ("https://[fd00::1]/", format!("leads to fd00::1, a unique-local address{}", add("fd00::1/128"))),
        (
            "https://user:password@crm.example/",
            "must not carry a user name or password; deliveries are signed instead".into(),
        ),
        (
            "http://93.184.215.14/",
            "is plain http; use https, or add \"93.184.215.14/32\" to delivery.allow_networks, or set \
             delivery.allow_http"
                .into(),
        ),
    ] {
        for (method, path) in [("POST", "/v1/endpoints"), ("PUT", "/v1/endpoints/crm")] {
            assert_eq!(house.call(method, path, url).await, (400, Some(said.clone())), "{method} {url}");
        }
    }
    let (created, _) = house.call("PUT", "/v1/endpoints/crm", "https://93.184.215.14/hook").await;
    assert_eq!(created, 201);
    let (status, said) = house.call("PATCH", "/v1/endpoints/crm", "https://10.1.2.3/hook").await;
    assert!(status == 400 && said.is_some_and(|said| said.contains("\"10.1.2.3/32\"")), "{status}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_resolves_to_such_an_address_is_registered_once_the_network_is_permitted() {
    let mut networks = Vec::new();
    // The name may have an address of either kind, and each is named in its turn.
    for _ in 0..3 {
        let house = House::start(&networks).await;
        let (status, said) = house.call("POST", "/v1/endpoints", "https://localhost:8443/hook").await;
        house.close().await;
        let Some(said) = said else {
            assert_eq!(status, 201);
            assert!(!networks.is_empty(), "it was refused before");
            return;
        };
        assert!(said.starts_with("leads to localhost, which resolves to "), "{said}");
        networks.extend(said.split('"').nth(1).map(str::to_owned));
    }
    panic!("these do not permit it: {networks:?}");
}
