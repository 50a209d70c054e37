//! `certhook status`: one screen.

use serde_json::json;

use super::shell::{House, cells};
use crate::support::process::until;

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_of_sources_log_and_endpoints_in_trouble() {
    let house = House::start().await;
    let shell = &house.shell;
    let calm = shell.json(&["status"]).await.remove(0);
    assert_eq!((&calm["ready"], &calm["endpoints"]["in_trouble"]), (&json!(true), &json!(0)));
    assert_eq!(calm["log"]["newest"]["type"], "gateway.baseline_completed");
    let disk = |field: &str| calm["disk"][field].as_u64().expect("a size");
    assert!(disk("free_bytes") > disk("min_free_bytes") && disk("size_bytes") > 0, "{calm}");

    let dead = json!({"url": "http://127.0.0.1:9/", "uid": "dead", "retry": ["1h"]});
    let off = json!({"url": "http://127.0.0.1:9/", "uid": "off", "status": "disabled"});
    let fine = json!({"url": "http://127.0.0.1:9/", "uid": "fine", "types": ["delivery.exhausted"]});
    for endpoint in [dead, off, fine] {
        house.gateway.post("/v1/endpoints", &endpoint).await;
    }
    house.happen("certificate.expiring").await;
    let table = until("trouble", || async {
        let table = shell.done(&["status"]).await;
        table.contains("2 in trouble").then_some(table)
    })
    .await;
    assert!(table.contains("3, 2 in trouble") && table.contains("ready") && table.contains("MiB free of"), "{table}");
    let rows = cells(&table);
    let row = |name: &str| rows.iter().find(|row| row[..].first().is_some_and(|first| first == name));
    assert_eq!(row("numeral").expect("the source")[1], "healthy");
    assert_eq!(row("off").expect("an endpoint")[1], "disabled (manual)");
    let dead = row("dead").expect("an endpoint");
    assert!(dead[1] == "enabled" && dead[2] != "healthy" && dead[4] != "0", "{dead:?}");
    assert_eq!(row("fine"), None);
    assert!(table.lines().count() <= 24, "one screen: {table}");
}
