//! How commands are given: words that are meant, keys, addresses, and the exit code of each mistake.

use serde_json::Value;

use super::shell::{House, Shell};
use crate::support::process::{PATIENCE, free_port};

fn nowhere() -> Shell {
    Shell::new(&std::env::temp_dir(), &format!("http://127.0.0.1:{}", free_port()), None)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_bad_usage_and_says_what_would_be_right() {
    let shell = nowhere();
    for (arguments, help) in [
        (&["evnts"][..], "'events'"),
        (&["events", "lst"], "'list'"),
        (&["events", "list", "--limit", "0"], "0 is not in 1.."),
        (&["events", "list", "--all", "--limit", "3"], "cannot be used with"),
        (&["events", "list", "--since", "yesterday"], "2026-11-20T18:00Z, or how long ago"),
        (&["events", "list", "--types", "certificate.expirng"], "did you mean certificate.expiring?"),
        (&["events", "tail", "--types", "certificates.*"], "use *, a prefix such as certificate.*"),
        (&["endpoints", "create", "https://a.example/", "--start", "soon"], "must be now, earliest"),
        (&["endpoints", "create", "https://a.example/", "--header", "x"], "must be NAME: VALUE"),
        (&["endpoints", "test", "crm", "--type", "webhook.tset"], "did you mean webhook.test?"),
        (&["endpoints", "show", ".."], "is no id and no name"),
        (&["replay"], "<ENDPOINT>"),
        (&["replay", "crm", "--select", "some"], "missed, failed, all"),
        (&["sources", "removals", "keep", "numeral"], "<IDS>"),
        (&["keys", "create", "ci"], "--scopes"),
        (&["events", "list", "--api", "there"], "relative URL without a base"),
    ] {
        let said = shell.run(arguments).await;
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}: {said:?}");
        assert!(said.err.contains(help), "{arguments:?}: {}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_answers_the_address_and_the_remedy_are_told() {
    let shell = nowhere();
    let said = shell.run(&["events", "list"]).await;
    assert_eq!(said.code, 1);
    assert!(said.err.contains("nothing answers at http://127.0.0.1:"), "{}", said.err);
    assert!(said.err.contains("certhook serve --sandbox") && said.err.contains("CERTHOOK_API"), "{}", said.err);
    let said = shell.run(&["events", "list", "--json"]).await;
    let error: Value = serde_json::from_str(&said.err).expect("the error is JSON");
    assert_eq!((said.code, &error["type"]), (1, &Value::from("UNREACHABLE")));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shell_that_is_known_can_complete_commands() {
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef certhook"), ("fish", "complete -c certhook")] {
        let script = nowhere().done(&["completions", shell]).await;
        assert!(script.contains(word) && script.contains("forward-to"), "{shell}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = nowhere().command(&["completions", "bash"]).spawn().expect("it starts");
    drop(child.stdout.take());
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").expect("an end");
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_wrong_key_is_told_with_what_would_be_right() {
    let house = House::start().await;
    let keyless = Shell::new(house.folder.path(), &house.gateway.url, None);
    for (said, message) in [
        (keyless.run(&["sources", "list"]).await, "authorization: Bearer"),
        (house.shell.run(&["sources", "list", "--key", "wrong"]).await, "this key opens nothing here"),
    ] {
        assert_eq!(said.code, 1);
        assert!(said.err.contains(message), "{}", said.err);
        assert!(said.err.contains("CERTHOOK_API_KEY") && said.err.contains("--key"), "{}", said.err);
    }
    let said = keyless.run(&["sources", "list", "--json"]).await;
    let error: Value = serde_json::from_str(&said.err).expect("the API's own error");
    assert_eq!((&error["code"], &error["type"]), (&Value::from(401), &Value::from("UNAUTHORIZED")));
    // Something else answers there.
    let wrong = Shell::new(house.folder.path(), &house.upstream.url, Some("any"));
    let said = wrong.run(&["events", "show", "evt_1"]).await;
    assert_eq!(said.code, 1);
    let path = format!("{}/below/", house.gateway.url);
    let said = Shell::new(house.folder.path(), &path, None).run(&["sources", "list"]).await;
    assert!(said.err.contains("there is no /below/v1/sources"), "an address may have a path: {}", said.err);
}
