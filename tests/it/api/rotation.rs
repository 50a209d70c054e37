//! A secret that another one takes over from.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::door::{BEGIN, Door};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The secrets of the endpoint `crm` in their order, each with its end.
async fn kept(door: &Door) -> Vec<(String, Option<String>)> {
    let endpoint = door.store.by_uid("crm").await.unwrap().unwrap();
    let shown = endpoint.secrets.iter().map(|secret| {
        (secret.to_text().expose_secret().to_owned(), secret.expires_at.map(|expires_at| expires_at.to_string()))
    });
    shown.collect()
}

async fn door_with_endpoint() -> (Door, String) {
    let door = Door::open().await;
    let created = door.json("PUT /v1/endpoints/crm", r#"{"url":"https://a.example/"}"#).await;
    let secret = created["secret"].as_str().unwrap().to_owned();
    (door, secret)
}

const ROTATE: &str = "POST /v1/endpoints/{name}/secret/rotate";

async fn rotate(door: &Door, body: Value) -> Value {
    door.json("POST /v1/endpoints/crm/secret/rotate", &body.to_string()).await
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_rotation_draws_a_secret_and_leaves_the_old_one_a_day() {
    let (door, first) = door_with_endpoint().await;
    let answer = door.call("POST /v1/endpoints/crm/secret/rotate", "").await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
    let answer = answer.json();
    let second = text(&answer["secret"]);
    assert_eq!(answer, json!({"secret": second, "previous_expires_at": "2026-11-22T04:00:00.000Z"}));
    assert!(second != first && second.len() == "whsec_".len() + 44);
    assert_eq!(kept(&door).await, [(second.clone(), None), (first.clone(), Some("2026-11-22T04:00:00.000Z".into()))]);
    let former = json!({"secret": first, "expires_at": "2026-11-22T04:00:00.000Z"});
    let shown = door.json("GET /v1/endpoints/crm/secret", "").await;
    assert_eq!(shown, json!({"secret": second, "previous": [former]}));
    let shown = door.call("GET /v1/endpoints/crm", "").await;
    assert!(!shown.text.contains("whsec_") && shown.json()["updated_at"] == BEGIN);
}

#[tokio::test]
async fn a_secret_can_be_brought_and_the_overlap_chosen() {
    let (door, first) = door_with_endpoint().await;
    door.clock.advance(Duration::from_secs(60));
    let answer = rotate(&door, json!({"secret": SECRET, "overlap": "7d"})).await;
    assert_eq!(answer, json!({"secret": SECRET, "previous_expires_at": "2026-11-28T04:01:00.000Z"}));
    assert_eq!(kept(&door).await, [(SECRET.into(), None), (first, Some("2026-11-28T04:01:00.000Z".into()))]);
    assert_eq!(door.json("GET /v1/endpoints/crm", "").await["updated_at"], "2026-11-21T04:01:00.000Z");
}

#[tokio::test]
async fn without_an_overlap_the_old_secret_is_gone_at_once() {
    let (door, _) = door_with_endpoint().await;
    let answer = rotate(&door, json!({"overlap": "0s"})).await;
    assert_eq!(answer["previous_expires_at"], BEGIN);
    assert_eq!(kept(&door).await, [(text(&answer["secret"]), None)]);
}

#[tokio::test]
async fn a_rotation_forgets_what_signs_no_longer() {
    let (door, first) = door_with_endpoint().await;
    let second = text(&rotate(&door, json!({"overlap": "1h"})).await["secret"]);
    door.clock.advance(Duration::from_secs(3600));
    let third = text(&rotate(&door, json!({"overlap": "1h"})).await["secret"]);
    let kept = kept(&door).await;
    assert_eq!(kept, [(third, None), (second, Some("2026-11-21T06:00:00.000Z".into()))]);
    assert!(kept.iter().all(|(secret, _)| *secret != first));
}

#[tokio::test]
async fn an_eleventh_secret_is_refused_with_what_to_do() {
    let (door, _) = door_with_endpoint().await;
    for _ in 0..9 {
        rotate(&door, json!({})).await;
        door.clock.advance(Duration::from_secs(1));
    }
    let ten = kept(&door).await;
    assert_eq!(ten.len(), 10);
    let answer = door.call("POST /v1/endpoints/crm/secret/rotate", "").await;
    let message = "10 secrets sign already, and no more can; wait until 2026-11-22T04:00:00.000Z, when the first of \
                   them stops, or give \"overlap\": \"0s\", so that all of them stop at once";
    assert_eq!(answer.json(), json!({"code": 409, "type": "TOO_MANY_SECRETS", "message": message}));
    assert_eq!(kept(&door).await, ten, "nothing changed");
    let at_once = rotate(&door, json!({"overlap": "0s"})).await;
    assert_eq!(kept(&door).await, [(text(&at_once["secret"]), None)], "whatever they were promised");
    for _ in 0..9 {
        rotate(&door, json!({})).await;
    }
    assert_eq!(kept(&door).await.len(), 10);
    door.clock.advance(Duration::from_secs(24 * 3600));
    rotate(&door, json!({})).await;
    assert_eq!(kept(&door).await.len(), 2, "the overlaps are over");
}

#[tokio::test]
async fn the_secret_that_signs_can_stay_while_the_older_ones_end() {
    let (door, first) = door_with_endpoint().await;
    let second = text(&rotate(&door, json!({"overlap": "7d"})).await["secret"]);
    door.clock.advance(Duration::from_secs(60));
    let third = text(&rotate(&door, json!({"overlap": "1h"})).await["secret"]);
    let shown = door.json("GET /v1/endpoints/crm/secret", "").await;
    let former = json!([
        {"secret": second, "expires_at": "2026-11-21T05:01:00.000Z"},
        {"secret": first, "expires_at": "2026-11-28T04:00:00.000Z"},
    ]);
    assert_eq!(shown, json!({"secret": third, "previous": former}));
    door.clock.advance(Duration::from_secs(3600));
    let shown = door.json("GET /v1/endpoints/crm/secret", "").await;
    assert_eq!(
        shown["previous"],
        json!([former[1]]),
        "what has ended is not shown, though it may not be forgotten yet"
    );
    let answer = rotate(&door, json!({"secret": third, "overlap": "0s"})).await;
    assert_eq!(answer, json!({"secret": third, "previous_expires_at": "2026-11-21T05:01:00.000Z"}));
    assert_eq!(door.json("GET /v1/endpoints/crm/secret", "").await, json!({"secret": third, "previous": []}));
    let entries = || async { door.json("GET /v1/audit", "").await["data"].as_array().unwrap().len() };
    let before = entries().await;
    rotate(&door, json!({"secret": third, "overlap": "0s"})).await;
    assert_eq!(entries().await, before, "nothing was changed");
}

#[tokio::test]
async fn other_changes_leave_former_secrets_alone() {
    let (door, first) = door_with_endpoint().await;
    let second = text(&rotate(&door, json!({})).await["secret"]);
    let both = kept(&door).await;
    assert_eq!([&both[0].0, &both[1].0], [&second, &first]);
    door.json("PATCH /v1/endpoints/crm", r#"{"description":"x"}"#).await;
    door.json("PUT /v1/endpoints/crm", &json!({"url": "https://b.example/", "secret": second}).to_string()).await;
    door.json("POST /v1/endpoints/crm/disable", "").await;
    assert_eq!(kept(&door).await, both);
}

#[tokio::test]
async fn of_two_rotations_at_a_time_both_secrets_sign() {
    let (door, first) = door_with_endpoint().await;
    let (one, other) = tokio::join!(rotate(&door, json!({})), rotate(&door, json!({})));
    let kept: Vec<String> = kept(&door).await.into_iter().map(|(secret, _)| secret).collect();
    assert_eq!(kept.len(), 3);
    assert!([text(&one["secret"]), text(&other["secret"]), first].iter().all(|secret| kept.contains(secret)));
    let entries = door.json("GET /v1/audit", "").await["data"].clone();
    let rotations = entries.as_array().unwrap().iter().filter(|entry| entry["operation"] == ROTATE);
    assert_eq!(rotations.count(), 2, "each, although nothing that is shown has changed: {entries}");
}

#[tokio::test]
async fn what_is_no_rotation_is_refused_without_showing_it() {
    let (door, first) = door_with_endpoint().await;
    let seconds = "must be whole seconds, from 0s to 7d";
    let secret = "must be whsec_ and the base64 of 24 to 64 bytes";
    let same = "is the secret that signs already; give another one, or leave it out to have one drawn, or give \
                \"overlap\": \"0s\", so that the older ones stop and this one stays";
    for (body, field, message) in [
        (json!({"overlap": "8d"}), "overlap", seconds),
        (json!({"overlap": "500ms"}), "overlap", seconds),
        (json!({"overlap": "-1s"}), "overlap", "must be a duration such as 30s, 5m or 2h"),
        (json!({"overlap": 60}), "overlap", "must be a string, not a number"),
        (json!({"secret": "whsec_c2hvcnQ="}), "secret", secret),
        (json!({"secret": &SECRET[6..]}), "secret", secret),
        (json!({"secret": first}), "secret", same),
    ] {
        let answer = door.call("POST /v1/endpoints/crm/secret/rotate", &body.to_string()).await;
        assert_eq!(answer.status.as_u16(), 400, "{body}");
        assert_eq!(answer.json()["errors"], json!([{"field": field, "message": message}]), "{body}");
        assert!(
            !answer.text.contains("c2hvcnQ") && !answer.text.contains(&SECRET[6..]) && !answer.text.contains(&first)
        );
    }
    assert_eq!(kept(&door).await, [(first, None)]);
    let nobody = door.call("POST /v1/endpoints/nobody/secret/rotate", "").await;
    assert_eq!(nobody.json()["type"], "ENDPOINT_NOT_FOUND");
}
