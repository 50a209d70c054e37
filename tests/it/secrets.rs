//! Secrets through the whole program: the ones that sign, and the key that seals them.

use serde_json::{Value, json};

use crate::support::process::{Process, free_port, until};
use crate::support::receiver::{Receiver, SECRET};

/// Takes over from [`SECRET`], which receivers under test verify with.
const OTHER: &str = "whsec_b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItMTI=";

async fn house() -> (tempfile::TempDir, Process, Process) {
    let folder = tempfile::tempdir().expect("a folder");
    let upstream = Process::sandbox(folder.path()).await;
    let gateway = Process::gateway(folder.path(), free_port(), &upstream.url).await;
    (folder, upstream, gateway)
}

/// What becomes of a test delivery to an endpoint.
async fn test(gateway: &Process, endpoint: &str) -> Value {
    gateway.post(&format!("/v1/endpoints/{endpoint}/test"), &json!({})).await["outcome"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_secret_signs_until_its_overlap_is_over() {
    let (_folder, _upstream, gateway) = house().await;
    let receiver = Receiver::start().await;
    let endpoint = gateway.register(&receiver.url, SECRET).await;
    let id = endpoint["id"].as_str().expect("an id");
    let rotate = format!("/v1/endpoints/{id}/secret/rotate");
    let rotated = gateway.post(&rotate, &json!({ "secret": OTHER, "overlap": "7d" })).await;
    assert_eq!(rotated["secret"], OTHER);
    assert_eq!(test(&gateway, id).await, "delivered", "the receiver verifies with the former secret");
    // Back to the secret that the receiver knows, and away from it with a short overlap.
    gateway.post(&rotate, &json!({ "secret": SECRET })).await;
    assert_eq!(test(&gateway, id).await, "delivered");
    gateway.post(&rotate, &json!({ "secret": OTHER, "overlap": "1s" })).await;
    receiver.assert_content();
    until("the overlap to be over", || async { (test(&gateway, id).await == "rejected").then_some(()) }).await;
    assert_eq!(gateway.get(&format!("/v1/endpoints/{id}/secret")).await, json!({ "secret": OTHER }));
    assert!(gateway.terminate().await.success());
}
