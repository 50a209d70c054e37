//! Endpoints: their whole life, and what of them is shown to whom.

use std::sync::Arc;
use std::time::Duration;

use certhook::model::event::EventType;
use certhook::model::id::{EndpointId, Position};
use certhook::model::time::Timestamp;
use serde_json::{Value, json};

use super::door::{BEGIN, Door};
use super::events::tell;
use crate::support::memory::Memory;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The one endpoint as lists show it.
async fn listed(door: &Door) -> Value {
    door.json("GET /v1/endpoints", "").await["data"][0].take()
}

pub(super) async fn start_of(door: &Door, endpoint: &Value) -> Position {
    let id: EndpointId = endpoint["id"].as_str().unwrap().parse().unwrap();
    door.store.endpoint(id).await.unwrap().unwrap().start
}

#[tokio::test]
async fn an_endpoint_begins_with_its_defaults() {
    let door = Door::open().await;
    let answer = door.call("POST /v1/endpoints", r#"{"url":"https://crm.example/hook?token=hidden"}"#).await;
    assert_eq!(answer.status.as_u16(), 201);
    let mut endpoint = answer.json();
    let id = endpoint["id"].as_str().unwrap().to_owned();
    assert!(id.parse::<EndpointId>().is_ok(), "{id}");
    assert_eq!(answer.header("location"), format!("/v1/endpoints/{id}"));
    assert_eq!(answer.header("cache-control"), "no-store");
    let secret = endpoint.as_object_mut().unwrap().remove("secret").unwrap();
    let expected = json!({
        "id": id, "object": "endpoint", "uid": null, "url": "https://crm.example/hook?***", "description": "",
        "types": ["*"],
        "filter": {
            "sources": [], "customer_ids": [], "reference_customer_ids": [], "jurisdictions": [],
            "certificate_type_ids": [], "will_expire_days": [],
        },
        "payload": "full", "format": "standard", "headers": {}, "ordering": "per_resource", "retry": null, "max_in_flight": null,
        "rate_limit": null, "metadata": {}, "status": "enabled",
        "disabled_reason": null,
        "health": {
            "state": "healthy", "last_success_at": null, "last_failure_at": null, "consecutive_failures": 0,
        },
        "created_at": BEGIN, "updated_at": BEGIN,
    });
    assert_eq!(endpoint, expected);
    let mut expected = expected;
    expected["pending"] = 0.into();
    expected["oldest_pending_at"] = Value::Null;
    assert_eq!(door.json(&format!("GET /v1/endpoints/{id}"), "").await, expected);
    let shown = door.call(&format!("GET /v1/endpoints/{id}/secret"), "").await;
    assert_eq!(shown.header("cache-control"), "no-store");
    assert_eq!(shown.json(), json!({ "secret": secret, "previous": [] }));
    assert_eq!(secret.as_str().unwrap().len(), "whsec_".len() + 44, "32 bytes");
}

#[tokio::test]
async fn every_setting_is_kept_as_it_was_given() {
    let door = Door::open().await;
    let settings = json!({
        "url": "https://crm.example/hook", "uid": "crm.1", "description": "our CRM – Köln",
        "types": ["certificate.*", "gateway.gap", "*"],
        "filter": {
            "sources": ["numeral"], "customer_ids": ["cus_1"], "reference_customer_ids": ["77"],
            "jurisdictions": ["US-CA", "US-NY"], "certificate_type_ids": ["12"], "will_expire_days": [30, 7],
        },
        "payload": "thin", "format": "cloudevents", "ordering": "none",
        "retry": ["5s", "5m", "90s", "24h", "2d"], "max_in_flight": 4, "rate_limit": "5/s",
        "metadata": {"team": "tax", "empty": ""}, "status": "disabled",
    });
    let mut given = settings.clone();
    given["secret"] = SECRET.into();
    given["start"] = "earliest".into();
    let created = door.json("POST /v1/endpoints", &given.to_string()).await;
    for (name, value) in settings.as_object().unwrap() {
        assert_eq!(created[name], *value, "{name}");
    }
    assert_eq!(created["secret"], SECRET);
    assert_eq!(created["disabled_reason"], "manual");
    assert_eq!(created["id"], door.json("GET /v1/endpoints/crm.1", "").await["id"], "it is found by its uid");
    // Null is the default, as absence is.
    let nulls = r#"{"url":"https://a.example/","uid":null,"types":null,"filter":null,"metadata":{"a":null},"start":null,
        "description":null,"ordering":null,"payload":null,"format":null,"headers":null,"retry":null,"max_in_flight":null,
        "rate_limit":null,"secret":null,"status":null}"#;
    let plain = door.json("POST /v1/endpoints", nulls).await;
    assert_eq!((&plain["types"], &plain["metadata"]), (&json!(["*"]), &json!({})));
}

#[tokio::test]
async fn an_endpoint_at_every_limit_is_accepted_and_stays_below_the_stores() {
    let door = Door::open().await;
    let long = |prefix: &str, length: usize| format!("{prefix}{}", "x".repeat(length - prefix.len()));
    let metadata: serde_json::Map<String, Value> = (0..50).map(|n| (format!("{n}"), long("", 160).into())).collect();
    let types: Vec<_> = EventType::ALL.iter().map(|one| one.as_str()).collect();
    let settings = json!({
        "url": long("https://crm.example/", 2048), "uid": long("", 128), "description": "ü".repeat(1000),
        "types": types, "retry": vec!["7d"; 50], "max_in_flight": 1024, "metadata": metadata,
        "filter": {"customer_ids": vec![long("", 40); 200], "will_expire_days": vec![3650; 200]},
    });
    let created = door.json("POST /v1/endpoints", &settings.to_string()).await;
    assert!(created.to_string().len() < 32 * 1024);
    let beyond = json!({
        "url": long("https://crm.example/", 2049), "uid": long("", 129), "description": "ü".repeat(1001),
        "types": vec!["*"; types.len() + 1], "retry": vec!["7d"; 51], "max_in_flight": 1025,
        "rate_limit": "1001/s",
        "metadata": {"a": long("", 501), long("", 41): "a"}, "filter": {"jurisdictions": vec!["US-CA"; 201]},
    });
    let answer = door.call("POST /v1/endpoints", &beyond.to_string()).await.json();
    let wrong: Vec<_> = answer["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    let name = format!("metadata.{}", long("", 41));
    let expected = [
        "url",
        "uid",
        "types",
        "description",
        "filter.jurisdictions",
        "retry",
        "max_in_flight",
        "rate_limit",
        "metadata.a",
    ];
    assert_eq!(wrong, [&expected[..], &[&*name]].concat());
    let heavy = json!({
        "url": "https://a.example/", "filter": {"customer_ids": vec![long("", 128); 65]},
        "metadata": (0..50).map(|n| (format!("{n}"), long("", 500).into())).collect::<serde_json::Map<_, Value>>(),
    });
    let answer = door.call("POST /v1/endpoints", &heavy.to_string()).await;
    assert_eq!(answer.json()["message"], "filter: must have at most 8192 bytes of text, not 8320 (and 1 more)");
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_null_resets() {
    let door = Door::open().await;
    let given = r#"{"url":"https://crm.example/?key=1","uid":"crm","description":"old","types":["certificate.*"],
        "filter":{"jurisdictions":["US-CA"],"customer_ids":["cus_1"]},"metadata":{"a":"1","b":"2"},"retry":["5s"]}"#;
    let created = door.json("PUT /v1/endpoints/crm", given).await;
    door.clock.advance(Duration::from_secs(60));
    let patch = r#"{"description":null,"types":null,"retry":null,"uid":"crm2","max_in_flight":3,"rate_limit":"100/m",
        "filter":{"jurisdictions":["US-NY"],"customer_ids":null},"metadata":{"a":null,"c":"3"}}"#;
    let mut expected = listed(&door).await;
    let changed = door.json("PATCH /v1/endpoints/crm", patch).await;
    for (name, value) in [
        ("description", json!("")),
        ("types", json!(["*"])),
        ("retry", Value::Null),
        ("uid", json!("crm2")),
        ("max_in_flight", json!(3)),
        ("rate_limit", json!("100/m")),
        ("metadata", json!({"b": "2", "c": "3"})),
        ("updated_at", json!("2026-11-21T04:01:00.000Z")),
    ] {
        expected[name] = value;
    }
    expected["filter"]["jurisdictions"] = json!(["US-NY"]);
    expected["filter"]["customer_ids"] = json!([]);
    assert_eq!(changed, expected);
    assert_eq!(door.call("GET /v1/endpoints/crm", "").await.status.as_u16(), 404, "the old uid is free");
    let id = created["id"].as_str().unwrap();
    let secret = door.json(&format!("GET /v1/endpoints/{id}/secret"), "").await;
    assert_eq!(secret["secret"], created["secret"], "what was not named stays");
    let stored = door.store.by_uid("crm2").await.unwrap().unwrap();
    assert_eq!(stored.url.expose(), "https://crm.example/?key=1", "what answers mask is not lost");
}

#[tokio::test]
async fn a_change_that_changes_nothing_writes_nothing() {
    let door = Door::open().await;
    let given = format!(r#"{{"url":"https://crm.example/","types":["*"],"secret":"{SECRET}"}}"#);
    door.json("PUT /v1/endpoints/crm", &given).await;
    let before = listed(&door).await;
    door.clock.advance(Duration::from_secs(60));
    let mut changes = door.store.changes();
    for (line, body) in [
        ("PUT /v1/endpoints/crm", &*given),
        ("PATCH /v1/endpoints/crm", "{}"),
        ("PATCH /v1/endpoints/crm", r#"{"types":["*"],"status":"enabled","description":null}"#),
    ] {
        assert_eq!(door.json(line, body).await, before, "{line}");
    }
    let mut enabled = before.clone();
    enabled["resumed"] = 0.into();
    enabled["cut"] = 0.into();
    assert_eq!(door.json("POST /v1/endpoints/crm/enable", "").await, enabled);
    assert_eq!(door.json("POST /v1/endpoints/crm/enable", r#"{"catch_up":false}"#).await, enabled);
    assert!(changes.try_recv().is_err());
    assert_eq!(door.deliveries.looked_at.lock().unwrap().len(), 1, "a URL that stays is not looked up again");
}

#[tokio::test]
async fn of_two_changes_at_a_time_neither_is_lost() {
    let door = Door::open().await;
    door.json("PUT /v1/endpoints/crm", r#"{"url":"https://a.example/"}"#).await;
    let patch = |name: &str| format!(r#"{{"url":"https://{name}.example/","metadata":{{"{name}":"x"}}}}"#);
    let (b, c) = (patch("b"), patch("c"));
    tokio::join!(door.json("PATCH /v1/endpoints/crm", &b), door.json("PATCH /v1/endpoints/crm", &c));
    let endpoint = door.json("GET /v1/endpoints/crm", "").await;
    assert_eq!(endpoint["metadata"], json!({"b": "x", "c": "x"}));
}

#[tokio::test]
async fn a_put_replaces_the_settings_and_leaves_status_and_secret() {
    let door = Door::open().await;
    let first = door.call("PUT /v1/endpoints/crm", r#"{"url":"https://a.example/","description":"x"}"#).await;
    assert_eq!(first.status.as_u16(), 201);
    door.json("POST /v1/endpoints/crm/disable", "").await;
    let second = door.call("PUT /v1/endpoints/crm", r#"{"url":"https://b.example/","uid":"crm"}"#).await;
    assert_eq!(second.status.as_u16(), 200);
    let second = second.json();
    assert_eq!(second["id"], first.json()["id"]);
    assert_eq!((&second["url"], &second["description"]), (&json!("https://b.example/"), &json!("")));
    assert_eq!((&second["status"], &second["disabled_reason"]), (&json!("disabled"), &json!("manual")));
    assert_eq!(second.get("secret"), None, "only a registration shows it");
    let secret = door.json("GET /v1/endpoints/crm/secret", "").await;
    assert_eq!(secret["secret"], first.json()["secret"]);
    let enabled = door.json("PUT /v1/endpoints/crm", r#"{"url":"https://b.example/","status":"enabled"}"#).await;
    assert_eq!((&enabled["status"], &enabled["disabled_reason"]), (&json!("enabled"), &Value::Null));
}

#[tokio::test]
async fn a_secret_can_be_brought_or_drawn_anew() {
    let door = Door::open().await;
    let drawn = door.json("PUT /v1/endpoints/crm", r#"{"url":"https://a.example/"}"#).await["secret"].clone();
    let secret = || async { door.json("GET /v1/endpoints/crm/secret", "").await["secret"].clone() };
    let patched = door.json("PATCH /v1/endpoints/crm", &json!({ "secret": SECRET }).to_string()).await;
    assert_eq!(patched.get("secret"), None);
    assert_eq!(secret().await, SECRET);
    door.json("PATCH /v1/endpoints/crm", r#"{"secret":null}"#).await;
    let again = secret().await;
    assert!(again != SECRET && again != drawn);
}

#[tokio::test]
async fn a_deleted_endpoint_is_gone() {
    let door = Door::open().await;
    let created = door.json("PUT /v1/endpoints/crm", r#"{"url":"https://a.example/"}"#).await;
    let deleted = door.json("DELETE /v1/endpoints/crm", "").await;
    assert_eq!(deleted, json!({"id": created["id"], "object": "endpoint", "deleted": true}));
    assert_eq!(door.call("DELETE /v1/endpoints/crm", "").await.status.as_u16(), 404);
    let line = format!("GET /v1/endpoints/{}", created["id"].as_str().unwrap());
    assert_eq!(door.call(&line, "").await.json()["type"], "ENDPOINT_NOT_FOUND");
}

#[tokio::test]
async fn a_test_is_answered_with_its_attempt() {
    let door = Door::open().await;
    let id = door.json("PUT /v1/endpoints/crm", r#"{"url":"https://a.example/"}"#).await["id"].clone();
    let attempt = door.json("POST /v1/endpoints/crm/test", "").await;
    let expected = json!({
        "number": 1, "at": BEGIN, "duration_ms": 12, "outcome": "rejected", "status_code": 404, "error": null,
        "response_body": "no such page", "address": "203.0.113.7:443", "signed_at": BEGIN, "trigger": "manual",
    });
    assert_eq!(attempt, expected);
    door.json("POST /v1/endpoints/crm/test", r#"{"type":"certificate.active"}"#).await;
    let id = id.as_str().unwrap().to_owned();
    let tests = door.deliveries.tests.lock().unwrap().clone();
    assert_eq!(tests, [(id.clone(), EventType::WebhookTest), (id, EventType::CertificateActive)]);
}

#[tokio::test]
async fn a_gateway_that_sends_nothing_sends_no_test_either() {
    let door = Door::open().await;
    door.json("PUT /v1/endpoints/crm", r#"{"url":"https://a.example/"}"#).await;
    *door.deliveries.is_held.lock().unwrap() = true;
    let refused = door.call("POST /v1/endpoints/crm/test", "").await;
    let message = "the gateway was started with --paused, so nothing is sent; start it without";
    assert_eq!(refused.json(), json!({"code": 409, "type": "GATEWAY_PAUSED", "message": message}));
    assert!(door.deliveries.tests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_list_of_endpoints_holds_still_while_it_is_paged() {
    let door = Door::open().await;
    for number in 1..=5 {
        door.json(&format!("PUT /v1/endpoints/e{number}"), r#"{"url":"https://a.example/?k=1"}"#).await;
    }
    let failing = door.store.by_uid("e2").await.unwrap().unwrap().id.number;
    *door.deliveries.failing.lock().unwrap() = Some(failing);
    let uids = |list: &[Value]| list.iter().map(|one| one["uid"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let (sizes, all) = door.pages("/v1/endpoints?limit=2").await;
    assert_eq!((sizes, uids(&all)), (vec![2, 2, 1], ["e5", "e4", "e3", "e2", "e1"].map(Into::into).into()));
    let (sizes, all) = door.pages("/v1/endpoints?limit=5&order=asc").await;
    assert_eq!((sizes, uids(&all)), (vec![5], ["e1", "e2", "e3", "e4", "e5"].map(Into::into).into()));
    let health = json!({
        "state": "failing", "last_success_at": null, "last_failure_at": BEGIN, "consecutive_failures": 3,
    });
    assert_eq!((&all[0]["health"]["state"], &all[1]["health"]), (&json!("healthy"), &health));
    assert!(all.iter().all(|one| one.get("secret").is_none() && one["url"] == "https://a.example/?***"));
    // Between two pages one is added at the front and one is deleted that the cursor rests on.
    let first = door.json("GET /v1/endpoints?limit=2", "").await;
    door.json("PUT /v1/endpoints/e6", r#"{"url":"https://a.example/"}"#).await;
    door.json("DELETE /v1/endpoints/e4", "").await;
    let line = format!("GET /v1/endpoints?limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
    let second = door.json(&line, "").await;
    assert_eq!(uids(second["data"].as_array().unwrap()), ["e3", "e2"]);
    let empty = Door::open().await.json("GET /v1/endpoints", "").await;
    assert_eq!(empty, json!({"object": "list", "data": [], "has_more": false}));
}

#[tokio::test]
async fn an_endpoint_begins_where_it_was_told_to() {
    let door = Door::open().await;
    for second in 1..=4 {
        tell(&door, &format!("c{second}"), Timestamp::from_millis(second * 1000), &[EventType::CertificateCreated])
            .await;
    }
    let third = door.store.event(Position(3)).await.unwrap().unwrap().id.to_string();
    for (start, expected) in [
        (json!("now"), 4),
        (Value::Null, 4),
        (json!("earliest"), 0),
        (json!({"event": third}), 2),
        (json!({"at": "1970-01-01T00:00:02Z"}), 1),
        (json!({"at": "1970-01-01T00:00:02.001Z"}), 2),
        (json!({"at": "2100-01-01T00:00:00+02:00"}), 4),
    ] {
        let given = json!({"url": "https://a.example/", "start": start});
        let endpoint = door.json("POST /v1/endpoints", &given.to_string()).await;
        assert_eq!(start_of(&door, &endpoint).await, Position(expected), "{start}");
    }
    // What it was told at its registration is not told again.
    door.json("PUT /v1/endpoints/crm", r#"{"url":"https://a.example/","start":"earliest"}"#).await;
    for start in [json!("now"), json!({"event": "evt_0000000000000000000000"})] {
        let again = json!({"url": "https://b.example/", "start": start}).to_string();
        let again = door.json("PUT /v1/endpoints/crm", &again).await;
        assert_eq!(start_of(&door, &again).await, Position::START);
    }
}

#[tokio::test]
async fn secrets_and_queries_of_urls_leave_only_where_they_may() {
    let door = Door::open().await;
    let given = format!(r#"{{"url":"https://a.example/hook?token=hidden-1","secret":"{SECRET}"}}"#);
    let mut answers = vec![door.call("PUT /v1/endpoints/crm", &given).await.text.replace(SECRET, "")];
    for (line, body) in [
        ("PUT /v1/endpoints/crm", &*given),
        ("POST /v1/endpoints", r#"{"url":"https://user:hidden-2@a.example/","secret":"whsec_hidden-3"}"#),
        ("POST /v1/endpoints", r#"{"url":"https://10.0.0.1/?hidden-4"}"#),
        ("PATCH /v1/endpoints/crm", r#"{"description":"x"}"#),
        ("GET /v1/endpoints/crm", ""),
        ("GET /v1/endpoints", ""),
        ("POST /v1/endpoints/crm/disable", ""),
        ("POST /v1/endpoints/crm/test", ""),
        ("DELETE /v1/endpoints/crm", ""),
    ] {
        answers.push(door.call(line, body).await.text);
    }
    for answer in answers {
        assert!(!answer.contains("hidden") && !answer.contains(&SECRET[6..]), "{answer}");
    }
}

#[tokio::test]
async fn nobody_is_registered_while_there_is_too_little_room() {
    let store = Arc::new(Memory::new());
    let door = Door::over(Arc::clone(&store) as _);
    let body = r#"{"url":"https://crm.example/hook"}"#;
    assert_eq!(door.call("PUT /v1/endpoints/known", body).await.status.as_u16(), 201);
    store.has_free((1 << 30) - 1);
    for line in ["POST /v1/endpoints", "PUT /v1/endpoints/crm"] {
        let answer = door.call(line, body).await;
        assert_eq!(answer.status.as_u16(), 507, "{line}");
        let error = answer.json();
        assert_eq!((&error["code"], &error["type"]), (&json!(507), &json!("INSUFFICIENT_STORAGE")), "{line}");
    }
    let changed = door.call("PATCH /v1/endpoints/known", r#"{"description":"as before"}"#).await;
    assert_eq!(changed.status.as_u16(), 200, "who is there already can be changed");
    assert_eq!(door.call("GET /readyz", "").await.status.as_u16(), 200, "the store can be read and written");
    store.has_free(1 << 30);
    assert_eq!(door.call("POST /v1/endpoints", body).await.status.as_u16(), 201);
}
