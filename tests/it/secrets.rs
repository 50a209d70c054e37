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
    assert_eq!(gateway.get(&format!("/v1/endpoints/{id}/secret")).await, json!({ "secret": OTHER, "previous": [] }));
    assert!(gateway.terminate().await.success());
}

/// Runs `certhook rekey` on the gateway's store; gives whether it was done, and what it said.
async fn rekey(folder: &tempfile::TempDir, variables: &[(&str, &str)], arguments: &[&str]) -> (bool, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_certhook"));
    command.args(["rekey", "--config", "gateway.toml"]).args(arguments).current_dir(folder.path());
    let output = command.env_clear().envs(variables.iter().copied()).output().await.expect("it runs");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text")).concat();
    (output.status.success(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_signs_after_a_rekey_as_it_did_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let upstream = Process::sandbox(folder.path()).await;
    let port = free_port();
    let gateway = Process::gateway(folder.path(), port, &upstream.url).await;
    let receiver = Receiver::start().await;
    let endpoint = gateway.register(&format!("{}?token=query", receiver.url), SECRET).await;
    let id = endpoint["id"].as_str().expect("an id");
    let key_file = folder.path().join("data.key");
    let key = || std::fs::read_to_string(&key_file).expect("a key file");
    let former = key();

    let (done, text) = rekey(&folder, &[], &[]).await;
    let refusal = "certhook: cannot rekey (no gateway may run on the store): cannot open the store at data: another \
                   process has it open; stop that one, or give this one another store.url\n";
    assert_eq!((done, &*text), (false, refusal));
    assert_eq!(key(), former);
    assert_eq!(test(&gateway, id).await, "delivered", "the gateway does not mind");
    assert!(gateway.terminate().await.success());

    let (done, text) = rekey(&folder, &[], &[]).await;
    assert!(
        done && text.contains("The secrets of 1 endpoint are sealed with the new key in data.key. Back it up"),
        "{text}"
    );
    assert_ne!(key(), former);
    let words: Vec<_> = text.split_whitespace().map(|word| word.trim_end_matches(':')).collect();
    let kept =
        words.iter().find(|word| word.starts_with("data.key.old-")).expect("it says where the former key is kept");
    assert_eq!(std::fs::read_to_string(folder.path().join(kept)).expect("a file"), former);
    assert!(!text.contains(key().trim()) && !text.contains(former.trim()), "no key is shown");
    let gateway = Process::gateway(folder.path(), port, &upstream.url).await;
    assert_eq!(gateway.get(&format!("/v1/endpoints/{id}/secret")).await, json!({ "secret": SECRET, "previous": [] }));
    assert_eq!(test(&gateway, id).await, "delivered");
    receiver.assert_content();
    assert!(gateway.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_key_needs_a_file_for_the_next_one() {
    let (folder, _upstream, gateway) = house().await;
    gateway.register("http://127.0.0.1:9/", SECRET).await;
    assert!(gateway.terminate().await.success());
    let key = std::fs::read_to_string(folder.path().join("data.key")).expect("a key file");
    let configured = [("CERTHOOK_ENCRYPTION_KEY", key.trim())];
    let (done, text) = rekey(&folder, &configured, &[]).await;
    let refusal = "certhook: cannot rekey (no gateway may run on the store): store.encryption_key is configured: name \
                   the file of the key that is to take its place (--new-key FILE)\n";
    assert_eq!((done, &*text), (false, refusal));
    let (done, text) = rekey(&folder, &configured, &["--new-key", "next.key"]).await;
    assert!(done && text.contains("Give that key to store.encryption_key before the next start"), "{text}");
    let next = std::fs::read_to_string(folder.path().join("next.key")).expect("a key file");
    assert!(!text.contains(next.trim()), "no key is shown");
    let (done, text) = rekey(&folder, &[("CERTHOOK_ENCRYPTION_KEY", next.trim())], &["--new-key", "third.key"]).await;
    assert!(done && text.contains("new key in third.key"), "{text}");
}
