//! The gateway as a process over a simulated upstream: what it shows, and what it passes on.

use serde_json::{Value, json};

use crate::support::process::{Process, free_port, until};

async fn house() -> (tempfile::TempDir, Process, Process) {
    let folder = tempfile::tempdir().expect("a folder");
    let upstream = Process::sandbox(folder.path()).await;
    let gateway = Process::gateway(folder.path(), free_port(), &upstream.url).await;
    gateway.baseline().await;
    (folder, upstream, gateway)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().expect("a text")
}

/// The one event of a type about a resource, once it is there.
async fn event(gateway: &Process, event_type: &str, id: &str) -> Value {
    until(event_type, || async {
        let page = gateway.get(&format!("/v1/events?types={event_type}&resource_id={id}")).await;
        page["data"].get(0).cloned()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lists_show_what_upstream_lists_and_a_fresh_look_what_it_is_now() {
    let (_folder, upstream, gateway) = house().await;
    let listed = upstream.listed().await;
    let mut shown = gateway.list("/v1/certificates").await;
    shown.extend(gateway.list("/v1/certificate-requests").await);
    let mut ids: Vec<&str> = shown.iter().map(|one| text(one, "id")).collect();
    ids.sort_unstable();
    assert_eq!(ids, listed.keys().collect::<Vec<_>>());
    let certificate = upstream.post("/sandbox/trigger", &json!({"type": "certificate.updated"})).await;
    let id = text(&certificate["object"], "id");
    let fresh = gateway.get(&format!("/v1/certificates/{id}?fresh=true")).await;
    assert_eq!(fresh["updated_at"], certificate["object"]["updated_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_passed_on_is_told_at_once_and_names_the_call() {
    let (folder, _upstream, gateway) = house().await;
    let known = gateway.list("/v1/certificates").await;
    let customer = text(&known[0]["customer"], "id");
    let path = format!("/v1/customers/{customer}/certificate-requests");
    let made = gateway.post(&path, &json!({})).await;
    let id = text(&made, "id");
    assert_eq!(made["status"], "pending");
    let created = event(&gateway, "certificate_request.created", id).await;
    assert_eq!(created["detection"]["pass"], "write");
    assert!(text(&created["detection"], "request_id").starts_with("req_"));
    let cancel = json!({"customer_id": customer});
    let canceled = gateway.post("/v1/certificate-requests/cancel", &cancel).await;
    let own = canceled["data"].as_array().expect("a list").iter().find(|one| one["id"] == *id).expect("it was pending");
    assert_eq!((&own["status"], &own["error"]), (&json!("canceled"), &Value::Null));
    assert_eq!(event(&gateway, "certificate_request.canceled", id).await["detection"]["pass"], "write");

    let with_document = known.iter().find(|one| one["status"] == "active").expect("one is active");
    let download = format!("/v1/certificates/{}/download?redirect=false", text(with_document, "id"));
    let link = gateway.get(&download).await;
    assert!(text(&link, "url").contains("://"), "{link}");
    assert!(gateway.terminate().await.success());
    let log = std::fs::read_to_string(folder.path().join("gateway.log")).expect("a log");
    assert!(!log.contains(text(&link, "url")), "the URL is in no log");
}
