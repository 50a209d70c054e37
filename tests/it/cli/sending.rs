//! Deliveries and replays: what did not arrive, and how it does.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use super::shell::{House, cells};
use crate::support::process::{PATIENCE, until};
use crate::support::receiver::{Receiver, SECRET};

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_fails_is_found_looked_at_tried_and_given_up() {
    let house = House::start().await;
    let shell = &house.shell;
    let receiver = Receiver::refusing(|number| number == 0).await;
    let body = json!({"url": receiver.url, "secret": SECRET, "uid": "slow", "retry": ["1h"], "types": ["certificate.expiring"]});
    house.gateway.post("/v1/endpoints", &body).await;
    let resource = house.happen("certificate.expiring").await;
    let arguments = ["deliveries", "list", "--endpoint", "slow", "--status", "pending"];
    let pending = until("a failed attempt", || async { shell.json(&arguments).await.pop() }).await;
    let id = pending["id"].as_str().expect("an id");
    assert_eq!((&pending["resource"]["id"], &pending["attempt_count"]), (&json!(resource), &json!(1)));

    let told = shell.done(&["deliveries", "show", id]).await;
    assert!(
        cells(&told).iter().any(|row| row.len() > 4 && row[2..5] == ["scheduled", "server_error", "500"]),
        "{told}"
    );
    assert_eq!(shell.json(&["deliveries", "show", id]).await[0]["attempts"][0]["outcome"], "server_error");

    shell.json(&["deliveries", "retry", id]).await;
    let event = pending["event_id"].as_str().expect("an id");
    let delivered = until("the second attempt", || async {
        let found =
            shell.json(&["deliveries", "list", "--event", event, "--status", "delivered", "--since", "1h"]).await;
        found.into_iter().find(|delivery| delivery["id"] == id)
    })
    .await;
    assert_eq!(delivered["attempt_count"], 2);
    let told = shell.done(&["deliveries", "show", id]).await;
    let last = cells(&told).into_iter().find(|row| row.first().is_some_and(|number| number == "2")).expect("a row");
    assert_eq!(last[2..5], ["manual", "delivered", "204"]);
    for action in ["retry", "cancel"] {
        let said = shell.run(&["deliveries", action, id]).await;
        assert!(said.code == 1 && said.err.contains("DELIVERY_ENDED"), "{said:?}");
    }
    // It failed once, and nothing that failed is left.
    let said = shell.run(&["deliveries", "list", "--status", "failed"]).await;
    assert!(said.code == 0 && said.out.is_empty(), "{said:?}");
    let said = shell.run(&["deliveries", "list", "--endpoint", "slwo"]).await;
    assert!(said.code == 1 && said.err.contains("ENDPOINT_NOT_FOUND"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_tried_dry_then_done_and_waited_for() {
    let house = House::start().await;
    let shell = &house.shell;
    let resource = house.happen("certificate.expiring").await;
    let log = until("the events", || async {
        let events = shell.json(&["events", "list", "--resource", &resource]).await;
        (!events.is_empty()).then_some(events)
    })
    .await;
    // It begins now, and so has missed what came before.
    let receiver = Receiver::start().await;
    let body = json!({"url": receiver.url, "secret": SECRET, "uid": "late"});
    house.gateway.post("/v1/endpoints", &body).await;

    let replay = ["replay", "late", "--since", "1h", "--select", "all", "--resource", &resource];
    let dry = shell.done(&[&replay[..], &["--dry-run"]].concat()).await;
    assert_eq!(cells(&dry)[0], [format!("It would send {} events.", log.len())]);
    assert!(cells(&dry).iter().any(|row| row.last() == log[0]["id"].as_str().map(str::to_owned).as_ref()), "{dry}");
    assert_eq!(receiver.requests(), 0);

    let done = &shell.json(&replay).await[0];
    assert_eq!((&done["status"], &done["matched"]), (&json!("completed"), &json!(log.len())));
    assert_eq!((&done["delivered"], &done["failed"]), (&json!(log.len()), &json!(0)));
    assert_eq!((done["since"].is_string(), &done["until"], &done["cut"]), (true, &Value::Null, &json!(0)));
    assert_eq!(receiver.events().len(), log.len());
    receiver.assert_content();

    let ids: Vec<_> = log.iter().map(|event| event["id"].as_str().expect("an id")).collect();
    let again = ["replay", "late", "--select", "all", "--event", &ids.join(","), "--types", "certificate.expiring"];
    let done = shell.run(&again).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.ends_with(" completed: 1 matched, 1 delivered, 0 failed\n"), "{done:?}");
    let customer = log[0]["data"]["object"]["customer"]["id"].as_str().expect("a customer");
    let dry = |filter: [&str; 2]| {
        let arguments: Vec<_> =
            [&replay[..], &filter, &["--dry-run"]].concat().into_iter().map(str::to_owned).collect();
        async move { shell.json(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    assert_eq!(dry(["--customer", customer]).await[0]["matched"], log.len());
    assert_eq!(dry(["--customer", "cust_other"]).await[0]["matched"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_not_taken_fails() {
    let house = House::start().await;
    house.happen("certificate.expiring").await;
    until("the event", || async {
        let events: Vec<Value> = house.shell.json(&["events", "list", "--types", "certificate.expiring"]).await;
        (!events.is_empty()).then_some(())
    })
    .await;
    let receiver = Receiver::refusing(|_| true).await;
    let body = json!({"url": receiver.url, "secret": SECRET, "uid": "never", "retry": ["1s"]});
    house.gateway.post("/v1/endpoints", &body).await;
    let replay = ["replay", "never", "--types", "certificate.expiring", "--select", "all"];
    let said = house.shell.run(&replay).await;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("certhook replays show rp_"), "{said:?}");
    assert!(said.out.contains("0 delivered, 1 failed"), "{said:?}");
    assert!(said.err.contains("deliveries list --status failed"), "{said:?}");
    assert!(!said.err.contains('\r') && !said.err.contains('\u{1b}'), "no bar where nobody watches: {said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_are_listed_shown_and_stopped() {
    let house = House::start().await;
    let shell = &house.shell;
    house.happen("certificate.expiring").await;
    until("the event", || async {
        let events: Vec<Value> = shell.json(&["events", "list", "--types", "certificate.expiring"]).await;
        (!events.is_empty()).then_some(())
    })
    .await;
    assert!(shell.run(&["replays", "list"]).await.err.contains("nothing to list"));
    // Nobody listens there, so that it goes on until it is stopped.
    let body = json!({"url": "http://127.0.0.1:9/", "uid": "away", "retry": ["1h"]});
    house.gateway.post("/v1/endpoints", &body).await;
    let replay = ["replay", "away", "--types", "certificate.expiring", "--select", "all", "--detach"];
    let begun = shell.json(&replay).await.remove(0);
    let id = begun["id"].as_str().expect("an id");
    let table = cells(&shell.done(&["replays", "list"]).await);
    assert_eq!(table[0][..5], ["ID", "KIND", "ENDPOINT", "STATUS", "PROGRESS"]);
    assert_eq!((table.len(), &table[1][..2], table[1][3].as_str()), (2, &[id.into(), "replay".into()][..], "running"));
    assert_eq!(shell.json(&["replays", "list"]).await[0]["id"], id);
    let told = shell.done(&["replays", "show", id]).await;
    assert!(cells(&told).contains(&["types", "certificate.expiring"].map(String::from).into()), "{told}");

    // Whoever waits hears what it waits for.
    let hear = async |told: &str| {
        let mut waiting = shell.command(&["replays", "show", id, "--wait"]).spawn().expect("it starts");
        let mut remarks = BufReader::new(waiting.stderr.take().expect("a pipe")).lines();
        let said = timeout(PATIENCE, async {
            while let Some(line) = remarks.next_line().await.expect("text") {
                if line.contains(told) {
                    return line;
                }
            }
            panic!("it ended, and the replay has not")
        });
        (said.await.expect("it is told"), waiting)
    };
    let (said, _) = hear("takes nothing now").await;
    assert!(said.contains("http://127.0.0.1:9/") && said.contains("certhook deliveries list --endpoint ep_"), "{said}");
    shell.done(&["endpoints", "disable", "away"]).await;
    let (said, mut waiting) = hear("is disabled").await;
    assert!(said.contains("http://127.0.0.1:9/") && said.contains("certhook endpoints enable ep_"), "{said}");

    assert_eq!(shell.json(&["replays", "cancel", id]).await[0]["id"], id);
    let ended = timeout(PATIENCE, waiting.wait()).await.expect("it ends").expect("a status");
    assert_eq!(ended.code(), Some(1), "it was canceled");
    let said = shell.run(&["replays", "show", id, "--wait"]).await;
    assert!(said.code == 1 && said.err.contains("somebody has canceled it"), "{said:?}");
    assert!(shell.done(&["replays", "cancel", id]).await.contains("canceled"), "stopping it again changes nothing");
    let said = shell.run(&["replays", "show", "rp_none"]).await;
    assert!(said.code == 1 && said.err.contains("certhook replays list shows them"), "{said:?}");
}
