//! Sources.

use certhook::model::source::PassKind;
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
        "status": "healthy", "lag_seconds": 7, "baseline": {"complete": true, "seen": 350},
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
        "started_at": null, "duration_ms": null, "error": null,
    });
    assert_eq!(answer.json(), expected);
    door.json("POST /v1/sources/europe/poll", r#"{"pass":"sweep"}"#).await;
    let polls = door.sources.polls.lock().unwrap().clone();
    assert_eq!(polls, [("europe".into(), PassKind::Changes), ("europe".into(), PassKind::Sweep)]);
}
