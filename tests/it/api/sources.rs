//! Sources.

use std::sync::atomic::Ordering;

use certhook::model::resource::{Absence, AbsenceState, Kind, ResourceKey};
use certhook::model::source::PassKind;
use certhook::model::time::Timestamp;
use serde_json::json;

use super::door::Door;

#[tokio::test]
async fn sources_are_listed_in_their_order_page_by_page() {
    let door = Door::open().await;
    let (sizes, all) = door.pages("/v1/sources?limit=2").await;
    assert_eq!(sizes, [2, 1]);
    let names: Vec<_> = all.iter().map(|source| source["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["numeral", "europe", "broken"]);
}

#[tokio::test]
async fn a_source_is_shown_whole() {
    let door = Door::open().await;
    let expected = json!({
        "name": "numeral", "object": "source", "kind": "numeral", "base_url": "https://api.numeralhq.com/",
        "status": "healthy", "lag_seconds": 7, "baseline": {"complete": true, "seen": 350, "rate": null},
        "watermark": "2026-11-21T04:00:00.000Z", "clock_skew_seconds": -1, "passes": [],
    });
    assert_eq!(door.json("GET /v1/sources/numeral", "").await, expected);
}

#[tokio::test]
async fn a_pass_is_asked_for_and_not_waited_for() {
    let door = Door::open().await;
    let answer = door.call("POST /v1/sources/europe/poll", "").await;
    assert_eq!(answer.status.as_u16(), 202);
    let expected = json!({
        "id": "pass_1", "pass": "changes", "status": "waiting", "pages": 0, "seen": 0, "changed": 0,
        "found_late": 0,
        "started_at": null, "duration_ms": null, "error": null,
    });
    assert_eq!(answer.json(), expected);
    door.json("POST /v1/sources/europe/poll", r#"{"pass":"sweep"}"#).await;
    let polls = door.sources.polls.lock().unwrap().clone();
    assert_eq!(polls, [("europe".into(), PassKind::Changes), ("europe".into(), PassKind::Sweep)]);
}

#[tokio::test]
async fn the_last_passes_are_listed_page_by_page() {
    let door = Door::open().await;
    for pass in ["changes", "open", "sweep"] {
        door.json("POST /v1/sources/europe/poll", &format!(r#"{{"pass":"{pass}"}}"#)).await;
    }
    let (sizes, all) = door.pages("/v1/sources/europe/passes?limit=2").await;
    assert_eq!(sizes, [2, 1]);
    let kinds = |all: &[serde_json::Value]| -> Vec<String> {
        all.iter().map(|pass| pass["pass"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&all), ["sweep", "open", "changes"]);
    let (sizes, all) = door.pages("/v1/sources/europe/passes?limit=2&order=asc").await;
    assert_eq!((sizes, kinds(&all)), (vec![2, 1], ["changes", "open", "sweep"].map(String::from).into()));
}

#[tokio::test]
async fn who_reads_passes_on_after_one_that_is_forgotten_goes_on_with_the_oldest() {
    let door = Door::open().await;
    for _ in 1..=5 {
        door.json("POST /v1/sources/europe/poll", "").await;
    }
    let first = door.json("GET /v1/sources/europe/passes?limit=2&order=asc", "").await;
    door.sources.forgotten.store(3, Ordering::Relaxed);
    let cursor = first["next_cursor"].as_str().unwrap();
    let path = format!("GET /v1/sources/europe/passes?limit=2&cursor={cursor}");
    let next = door.json(&format!("{path}&order=asc"), "").await;
    let ids: Vec<_> = next["data"].as_array().unwrap().iter().map(|pass| pass["id"].clone()).collect();
    assert_eq!((json!(ids), &next["has_more"]), (json!(["pass_4", "pass_5"]), &json!(false)));
    let newest = door.json("GET /v1/sources/europe/passes?limit=1", "").await;
    door.sources.forgotten.store(5, Ordering::Relaxed);
    let cursor = newest["next_cursor"].as_str().unwrap();
    let older = door.json(&format!("GET /v1/sources/europe/passes?cursor={cursor}"), "").await;
    assert_eq!(older["data"], json!([]), "what is older is forgotten, too");
}

fn withheld(kind: Kind, id: &str) -> Absence {
    let key = ResourceKey { source: "europe".parse().unwrap(), kind, id: id.parse().unwrap() };
    Absence { key, state: AbsenceState::Withheld, since: Timestamp::from_millis(1_795_233_600_000) }
}

#[tokio::test]
async fn withheld_removals_are_listed_and_decided() {
    let door = Door::open().await;
    *door.sources.absences.lock().unwrap() = vec![
        withheld(Kind::Certificate, "cert_1"),
        withheld(Kind::Certificate, "cert_2"),
        withheld(Kind::CertificateRequest, "cert_req_1"),
    ];
    let (sizes, all) = door.pages("/v1/sources/europe/removals?limit=2").await;
    assert_eq!(sizes, [2, 1]);
    let expected = json!({
        "object": "removal", "resource": "certificate_request", "id": "cert_req_1", "removal": "withheld",
        "absent_since": "2026-11-21T04:00:00.000Z",
    });
    assert_eq!(all[2], expected);
    let decided = door.json("POST /v1/sources/europe/removals", r#"{"decision":"keep","ids":["cert_2"]}"#).await;
    assert_eq!(decided, json!({"object": "removal_decision", "decision": "keep", "decided": 1}));
    let (_, all) = door.pages("/v1/sources/europe/removals").await;
    assert_eq!(
        all.iter().map(|one| one["removal"].as_str().unwrap()).collect::<Vec<_>>(),
        ["withheld", "kept", "withheld"]
    );
    let decided = door.json("POST /v1/sources/europe/removals", r#"{"decision":"confirm"}"#).await;
    assert_eq!(decided["decided"], 3);
}

#[tokio::test]
async fn a_decision_about_what_is_not_withheld_decides_nothing() {
    let door = Door::open().await;
    *door.sources.absences.lock().unwrap() = vec![withheld(Kind::Certificate, "cert_1")];
    let call = r#"{"decision":"confirm","ids":["cert_1","cert_9"]}"#;
    let answer = door.call("POST /v1/sources/europe/removals", call).await;
    assert_eq!(answer.status.as_u16(), 400);
    let message = "the removal of cert_9 is not withheld; nothing was decided";
    assert_eq!(answer.json()["errors"], json!([{"field": "ids", "message": message}]));
    let answer = door.call("POST /v1/sources/europe/removals", "{}").await;
    assert_eq!(answer.json()["errors"][0]["field"], "decision");
    assert_eq!(door.call("GET /v1/sources/nowhere/removals", "").await.status.as_u16(), 404);
}

#[tokio::test]
async fn a_paused_source_is_not_polled_until_it_is_resumed() {
    let door = Door::open().await;
    for _ in 0..2 {
        assert_eq!(door.json("POST /v1/sources/europe/pause", "").await["status"], "paused");
    }
    assert_eq!(door.json("GET /v1/sources/europe", "").await["status"], "paused");
    assert_eq!(door.json("GET /v1/sources/numeral", "").await["status"], "healthy");
    let answer = door.call("POST /v1/sources/europe/poll", "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (409, &json!("SOURCE_PAUSED")));
    assert_eq!(answer.json()["message"], "the source is paused; resume it first");
    for _ in 0..2 {
        assert_eq!(door.json("POST /v1/sources/europe/resume", "{}").await["status"], "healthy");
    }
    assert_eq!(door.call("POST /v1/sources/europe/poll", "").await.status.as_u16(), 202);
    for call in ["pause", "resume"] {
        let unknown = door.call(&format!("POST /v1/sources/nowhere/{call}"), "").await;
        assert_eq!((unknown.status.as_u16(), &unknown.json()["type"]), (404, &json!("SOURCE_NOT_FOUND")));
        let strange = door.call(&format!("POST /v1/sources/europe/{call}"), r#"{"until":"tomorrow"}"#).await;
        assert_eq!((strange.status.as_u16(), &strange.json()["type"]), (400, &json!("UNRECOGNIZED_FIELD")));
    }
}
