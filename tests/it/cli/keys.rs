//! `certhook keys`: made, used, revoked.

use serde_json::{Value, json};

use super::shell::{House, Shell, cells};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_shown_once_used_for_what_it_may_and_revoked() {
    let house = House::start().await;
    let shell = &house.shell;
    let created = shell.run(&["keys", "create", "crm sync", "--scopes", "read,replay", "--expires-in", "90d"]).await;
    assert_eq!(created.code, 0, "{created:?}");
    let field = |name: &str| {
        let row = cells(&created.out).into_iter().find(|row| row[0] == name).expect("a field");
        row[1].clone()
    };
    assert_eq!((field("name"), field("scopes")), ("crm sync".to_owned(), "read, replay".to_owned()));
    assert!(created.err.contains("nobody can show it again"), "{created:?}");
    let (id, key) = (field("id"), field("key"));

    let other = Shell::new(house.folder.path(), &house.gateway.url, Some(&key));
    assert_eq!(other.json(&["sources", "list"]).await.len(), 1);
    let refused = other.run(&["keys", "list"]).await;
    assert_eq!((refused.code, refused.out.as_str()), (1, ""), "it may not do everything");
    assert!(refused.err.contains("(403 "), "{refused:?}");

    let listed = shell.json(&["keys", "list"]).await;
    assert_eq!((&listed[0]["id"], &listed[0]["scopes"]), (&json!(id), &json!(["read", "replay"])));
    assert!(listed[0]["expires_at"].is_string());
    let table = shell.done(&["keys", "list"]).await;
    assert!(table.contains("crm sync") && !table.contains(&key), "{table}");

    let wrong = shell.run(&["keys", "create", "x", "--scopes", "raed", "--json"]).await;
    let error: Value = serde_json::from_str(&wrong.err).expect("an error in the shape of the API's");
    assert_eq!((wrong.code, &error["type"]), (2, &json!("BAD_USAGE")));
    let message = error["message"].as_str().expect("text");
    assert!(message.contains("'raed'") && message.contains("--scopes"), "{message}");

    assert_eq!(shell.json(&["keys", "revoke", &id]).await[0]["deleted"], true);
    let refused = other.run(&["sources", "list"]).await;
    assert!(refused.code == 1 && refused.err.contains("(401 "), "{refused:?}");
    let twice = shell.run(&["keys", "revoke", &id]).await;
    assert!(twice.code == 1 && twice.err.contains("there is no key"), "{twice:?}");
}
