//! Sources and events: lists, single ones, and what else is asked of them.

use serde_json::json;

use super::shell::{House, cells};
use crate::support::process::until;

#[tokio::test(flavor = "multi_thread")]
async fn sources_and_events_are_shown_to_people_and_to_programs() {
    let house = House::start().await;
    let shell = &house.shell;
    let table = cells(&shell.done(&["sources", "list"]).await);
    assert_eq!(table[0], ["NAME", "STATUS", "LAG", "BASELINE", "LAST PASS", "BASE URL"]);
    assert_eq!((table.len(), table[1][0].as_str(), table[1][1].as_str()), (2, "numeral", "healthy"));
    assert_eq!(shell.json(&["sources", "show", "numeral"]).await[0]["object"], "source");
    assert!(shell.done(&["sources", "show", "numeral"]).await.contains("sweep"));

    let resource = house.happen("certificate.expiring").await;
    let polled = shell.json(&["sources", "poll", "numeral", "--pass", "changes", "--wait"]).await;
    assert_eq!((&polled[0]["pass"], &polled[0]["status"]), (&json!("changes"), &json!("complete")));
    // The pass that was asked for may have been told that it joins one that had begun before.
    let arguments = ["events", "list", "--resource", &resource, "--oldest-first"];
    let events = until("the events", || async {
        let events = shell.json(&arguments).await;
        (!events.is_empty()).then_some(events)
    })
    .await;
    let api = house.gateway.list("/v1/events").await;
    let of_resource: Vec<_> = api.iter().filter(|event| event["data"]["object"]["id"] == *resource).collect();
    assert_eq!(events.iter().collect::<Vec<_>>(), of_resource, "the API's own JSON, in the order that was asked for");

    let table = cells(&shell.done(&arguments).await);
    assert_eq!((table.len(), table[0].len()), (1 + events.len(), 4));
    let id = events[0]["id"].as_str().expect("an id");
    assert_eq!(table[1], [events[0]["timestamp"].as_str().expect("a time"), "certificate.expiring", &resource, id]);

    let told = shell.done(&["events", "show", id]).await;
    assert!(cells(&told).contains(&["status", "active", "expiring"].map(String::from).into()), "{told}");
    assert_eq!(shell.json(&["events", "show", id]).await, events[..1]);

    let one = shell.run(&["events", "list", "--limit", "1"]).await;
    assert_eq!(cells(&one.out).len(), 2);
    assert!(one.err.contains("--all"), "that there are more is a remark: {}", one.err);
    let all = shell.json(&["events", "list", "--all", "--oldest-first"]).await;
    assert_eq!(all, house.gateway.list("/v1/events").await);
    let none = shell.run(&["events", "list", "--until", "3d"]).await;
    assert_eq!((none.code, none.out.as_str()), (0, ""));
    assert!(none.err.contains("nothing to list"));

    let missing = shell.run(&["sources", "show", "other"]).await;
    assert_eq!((missing.code, missing.out.as_str()), (1, ""));
    assert!(missing.err.contains("SOURCE_NOT_FOUND") && missing.err.contains("configured: numeral"), "{}", missing.err);
    for action in [&["show"][..], &["poll"], &["pause"], &["resume"]] {
        let missing = shell.run(&[&["sources"], action, &["numerla"]].concat()).await;
        assert!(missing.code == 1 && missing.err.contains("did you mean numeral?"), "{missing:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_is_waited_for_ends_with_its_pass_or_when_nothing_moves() {
    let house = House::start().await;
    let poll = ["sources", "poll", "numeral", "--wait", "--patience=1s"];
    // A refusal is no reason to try again, so the pass ends with it.
    house.upstream.post("/sandbox/faults", &json!({"fault": "status", "status": 400, "next": 1_000})).await;
    let said = house.shell.run(&poll).await;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("the pass is failed: ") && said.err.contains("400"), "{said:?}");
    // Nothing answers: the pass waits for upstream, and whoever gave the command does not.
    house.upstream.kill().await;
    let said = house.shell.run(&poll).await;
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains("numeral has got no further for 1s: "), "{said:?}");
    assert!(said.err.contains("certhook sources show numeral"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_longer_than_a_page_is_read_to_its_end() {
    let house = House::start().await;
    for number in 0..103 {
        let body = json!({"url": format!("http://127.0.0.1:9/{number}"), "uid": format!("e{number}")});
        house.gateway.post("/v1/endpoints", &body).await;
    }
    let listed = house.shell.json(&["endpoints", "list", "--limit", "102"]).await;
    assert_eq!((listed.len(), &listed[0]["uid"], &listed[101]["uid"]), (102, &json!("e102"), &json!("e1")));
    assert_eq!(house.shell.json(&["endpoints", "list", "--all"]).await.len(), 103);
    assert_eq!(house.shell.json(&["endpoints", "list"]).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_upstream_is_listed_and_decided() {
    let house = House::start().await;
    let shell = &house.shell;
    // The key is another account's now: everything that was known is missing at once.
    house.upstream.post("/sandbox/account", &json!({ "number": 7 })).await;
    let swept = shell.json(&["sources", "poll", "numeral", "--pass", "sweep", "--wait"]).await;
    assert_eq!(swept[0]["pass"], "sweep");
    let removals = shell.json(&["sources", "removals", "list", "numeral", "--all"]).await;
    assert!(removals.len() > 100, "{}", removals.len());
    assert!(removals.iter().all(|removal| removal["removal"] == "withheld"));
    let ids: Vec<_> = removals[..2].iter().map(|removal| removal["id"].as_str().expect("an id")).collect();
    let table = cells(&shell.done(&["sources", "removals", "list", "numeral", "--limit", "1"]).await);
    assert_eq!((table.len(), table[1][1].as_str(), table[1][2].as_str()), (2, ids[0], "withheld"));

    let refused = shell.run(&["sources", "removals", "confirm", "numeral", ids[0], "cert_1"]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("the removal of cert_1 is not withheld"), "{}", refused.err);
    let kept = shell.json(&["sources", "removals", "keep", "numeral", ids[0], ids[1]]).await;
    assert_eq!((&kept[0]["decision"], &kept[0]["decided"]), (&json!("keep"), &json!(2)));
    let confirmed = shell.done(&["sources", "removals", "confirm", "numeral", "--all"]).await;
    assert_eq!(confirmed, format!("confirm: {}\n", removals.len() - 2));
}
