//! The life of an endpoint, by commands.

use std::time::Duration;

use serde_json::json;

use super::shell::House;
use crate::support::receiver::{Receiver, SECRET};

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_made_shown_changed_tried_and_deleted() {
    let house = House::start().await;
    let receiver = Receiver::start().await;
    let shell = &house.shell;
    std::fs::write(house.folder.path().join("secret"), format!("{SECRET}\n")).expect("a file");
    let url = format!("{}?token=canary-7", receiver.url);
    let created = shell
        .json(&[
            "endpoints",
            "create",
            &url,
            "--uid=crm",
            "--types=certificate.*,gateway.gap",
            "--jurisdiction=US-CA,US-NY",
            "--header=authorization: Bearer canary-8",
            "--metadata=team=tax",
            "--retry=5s,5m",
            "--secret-file=secret",
            "--start=3d",
            "--rate-limit=5/s",
        ])
        .await;
    let created = &created[0];
    assert_eq!(created["types"], json!(["certificate.*", "gateway.gap"]));
    assert_eq!(created["filter"]["jurisdictions"], json!(["US-CA", "US-NY"]));
    assert_eq!((&created["retry"], &created["rate_limit"]), (&json!(["5s", "5m"]), &json!("5/s")));
    assert_eq!(created["metadata"], json!({"team": "tax"}));
    assert!(created.get("secret").is_none(), "a secret is not written unless it is asked for");

    let told = shell.done(&["endpoints", "show", "crm"]).await;
    assert!(told.contains("US-CA, US-NY") && told.contains("token") == told.contains("canary-7"), "{told}");
    assert!(!told.contains("canary") && !told.contains("whsec_"), "{told}");
    assert_eq!(shell.done(&["endpoints", "show", "crm", "--secret"]).await, format!("{SECRET}\n"));

    let tried = shell.json(&["endpoints", "test", "crm", "--type", "certificate.expiring"]).await;
    assert_eq!((&tried[0]["outcome"], &tried[0]["status_code"]), (&json!("delivered"), &json!(204)));
    assert_eq!(receiver.events()[0]["detection"]["mode"], "test");
    receiver.assert_content();

    let arguments = ["endpoints", "update", "crm", "--unset", "filter,rate_limit", "--description", "ours"];
    let updated = &shell.json(&arguments).await[0];
    assert_eq!((&updated["filter"]["jurisdictions"], &updated["rate_limit"]), (&json!([]), &json!(null)));
    assert_eq!((&updated["description"], &updated["metadata"]), (&json!("ours"), &json!({"team": "tax"})));

    assert_eq!(shell.json(&["endpoints", "disable", "crm"]).await[0]["status"], "disabled");
    let enabled = &shell.json(&["endpoints", "enable", "crm"]).await[0];
    assert_eq!((&enabled["status"], &enabled["resumed"], &enabled["cut"]), (&json!("enabled"), &json!(0), &json!(0)));
    assert_eq!(shell.json(&["endpoints", "recover", "crm"]).await[0]["uid"], "crm");

    let rotated = shell.run(&["endpoints", "rotate", "crm"]).await;
    assert!(rotated.code == 0 && !format!("{rotated:?}").contains("whsec_"), "{rotated:?}");
    assert!(rotated.out.contains("the former one does, too, until 2"), "{rotated:?}");
    let shown = shell.run(&["endpoints", "show", "crm", "--secret"]).await;
    assert!(shown.out.lines().count() == 1 && shown.err.contains("1 that came before it"), "{shown:?}");
    assert_eq!(
        shell.done(&["endpoints", "rotate", "crm", "--overlap=0s"]).await,
        "The new secret signs, and no older one.\n"
    );
    let rotated = shell.json(&["endpoints", "rotate", "crm", "--overlap", "0s", "--show-secret"]).await;
    assert_ne!(rotated[0]["secret"], SECRET);
    assert_eq!(shell.json(&["endpoints", "show", "crm", "--secret"]).await[0]["secret"], rotated[0]["secret"]);

    assert_eq!(shell.json(&["endpoints", "delete", "crm"]).await[0]["deleted"], true);
    let gone = shell.run(&["endpoints", "show", "crm"]).await;
    assert_eq!(gone.code, 1);
    assert!(gone.err.contains("there are no endpoints yet: certhook endpoints create"), "{}", gone.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_an_endpoint_are_unset_and_the_whole_is_replaced() {
    let house = House::start().await;
    let shell = &house.shell;
    let url = "http://127.0.0.1:9/";
    let settings = json!({
        "url": url, "uid": "crm", "secret": SECRET, "description": "ours", "headers": {"Authorization": "canary-8"},
        "metadata": {"team": "tax"}, "filter": {"jurisdictions": ["US-CA"]},
    });
    let created = &house.gateway.post("/v1/endpoints", &settings).await;

    let parts = "headers.Authorization,metadata.team,filter.jurisdictions";
    let arguments = ["endpoints", "update", "crm", "--unset", parts, "--metadata=cost=7", "--status=disabled"];
    let updated = &shell.json(&arguments).await[0];
    assert_eq!((&updated["headers"], &updated["metadata"]), (&json!({}), &json!({"cost": "7"})));
    assert_eq!((&updated["filter"]["jurisdictions"], &updated["status"]), (&json!([]), &json!("disabled")));
    let arguments =
        ["endpoints", "update", "crm", "--jurisdiction=US-CA", "--metadata=team=tax", "--unset=metadata.cost"];
    assert_eq!(shell.json(&arguments).await[0]["filter"]["jurisdictions"], json!(["US-CA"]));

    let taken = shell.run(&["endpoints", "create", url, "--uid=crm"]).await;
    assert!(taken.code == 1 && taken.err.contains("certhook endpoints update"), "{taken:?}");
    let arguments = ["endpoints", "create", url, "--uid=crm", "--replace", "--types=certificate.*", "--show-secret"];
    let replaced = &shell.json(&arguments).await[0];
    assert_eq!((&replaced["description"], &replaced["types"]), (&json!(""), &json!(["certificate.*"])));
    assert_eq!((&replaced["id"], &replaced["secret"]), (&created["id"], &json!(null)), "its secret stays its own");
    assert_eq!(shell.done(&["endpoints", "show", "crm", "--secret"]).await, format!("{SECRET}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_endpoint_is_told_whole() {
    let house = House::start().await;
    let shell = &house.shell;
    house.gateway.post("/v1/endpoints", &json!({"url": "http://127.0.0.1:9/", "uid": "salesforce"})).await;
    let wrong = ["endpoints", "create", "ftp://a.example", "--rate-limit", "lots", "--max-in-flight", "0"];
    let said = shell.run(&wrong).await;
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    for option in ["  <URL>: ", "  --rate-limit: ", "  --max-in-flight: "] {
        assert!(said.err.contains(option), "{}", said.err);
    }
    let said = shell.run(&[&wrong[..], &["--json"]].concat()).await;
    let error: serde_json::Value = serde_json::from_str(&said.err).expect("an error in the shape of the API's");
    assert_eq!((&error["type"], error["errors"].as_array().map(Vec::len)), (&json!("BAD_USAGE"), Some(3)));
    // What only the gateway can tell is a failure, in its own words.
    let said = shell.run(&["endpoints", "create", "http://10.0.0.1/", "--json"]).await;
    let error: serde_json::Value = serde_json::from_str(&said.err).expect("the API's own error");
    assert_eq!((said.code, &error["type"]), (1, &json!("INVALID_REQUEST")), "{said:?}");

    let said = shell.run(&["endpoints", "show", "salesfroce"]).await;
    assert!(said.code == 1 && said.err.contains("did you mean salesforce?"), "{said:?}");
    // Nobody listens there.
    let said = shell.run(&["endpoints", "test", "salesforce"]).await;
    assert_eq!(said.code, 1);
    assert!(said.out.contains("connect_failed") && said.err.contains("did not take it"), "{said:?}");
    let said = shell.run(&["endpoints", "create", "https://a.example", "--secret-file", "no-such-file"]).await;
    assert!(said.code == 1 && said.err.contains("cannot read no-such-file"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resync_is_waited_for() {
    let house = House::start().await;
    let receiver = Receiver::start().await;
    let endpoint = house.gateway.register(&receiver.url, SECRET).await;
    let id = endpoint["id"].as_str().expect("an id");
    let begun = &house.shell.json(&["endpoints", "resync", id, "--jurisdiction", "US-CA", "--detach"]).await[0];
    assert_eq!((&begun["object"], &begun["kind"]), (&json!("replay"), &json!("resync")));
    let ended = &house.shell.json(&["endpoints", "resync", id, "--jurisdiction", "US-NY"]).await[0];
    assert_eq!((&ended["status"], &ended["failed"]), (&json!("completed"), &json!(0)));
    assert!(ended["delivered"].as_u64() > Some(0) && ended["delivered"] == ended["matched"], "{ended}");
    let of_new_york = |event: &serde_json::Value| event["data"]["object"].to_string().contains("US-NY");
    let came = || receiver.events().iter().filter(|event| of_new_york(event)).count() as u64;
    tokio::time::timeout(Duration::from_secs(60), async {
        while came() < ended["delivered"].as_u64().expect("a count") {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it was delivered before it was said to be");
    receiver.assert_content();
}
