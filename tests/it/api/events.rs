//! Events: read as they are, page by page, through filters.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certhook::model::event::{Cause, Detection, EventDraft, EventType, Mode, Sight, Subject};
use certhook::model::id::{EventId, Position};
use certhook::model::json::Json;
use certhook::model::resource::{Kind, ResourceKey};
use certhook::model::source::SourceProgress;
use certhook::model::time::Timestamp;
use certhook::store::SightCommit;
use serde_json::{Value, json};

use super::door::Door;

/// Commits one sight of a certificate of the source `numeral`, with these events.
pub(super) async fn tell(door: &Door, id: &str, at: Timestamp, types: &[EventType]) {
    let object = format!(r#"{{"id":"{id}","amount":1.50,"customer":{{"id":"cus_{id}"}}}}"#);
    commit(door, "numeral", Some(id), &object, at, types).await;
}

async fn commit(door: &Door, source: &str, id: Option<&str>, object: &str, at: Timestamp, types: &[EventType]) {
    let drafts = types.iter().map(|&event_type| EventDraft::plain(event_type)).collect();
    commit_sight(door, sight(source, id, object, at), drafts).await;
}

/// Commits a sight with these events.
pub(super) async fn commit_sight(door: &Door, sight: Sight, drafts: Vec<EventDraft>) {
    let sights = vec![SightCommit { told: vec![(sight, drafts)], ..SightCommit::default() }];
    door.store.commit_sights(sights, None).await.unwrap();
}

/// A sight of a certificate, or without an id of the source itself.
pub(super) fn sight(source: &str, id: Option<&str>, object: &str, at: Timestamp) -> Sight {
    let source = source.parse().unwrap();
    let subject = match id {
        Some(id) => Subject::Resource(ResourceKey { source, kind: Kind::Certificate, id: id.parse().unwrap() }),
        None => Subject::Source(source),
    };
    Sight {
        subject,
        api_version: "2026-03-01".into(),
        livemode: true,
        object: Json::from_text(object.into()).unwrap(),
        previous_attributes: Json::of(&json!({})),
        detection: Detection {
            mode: Mode::Live,
            pass: Some(Cause::Changes),
            request_id: None,
            object_version: 1,
            observed_after: None,
            observed_before: at,
        },
    }
}

pub(super) fn seconds(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

/// What the tests call an event: its resource or source and the last word of its type.
pub(super) fn names(events: &[Value]) -> Vec<String> {
    let name = |event: &Value| {
        let word = event["type"].as_str().unwrap().rsplit('.').next().unwrap();
        format!("{} {word}", event["data"]["object"]["id"].as_str().unwrap())
    };
    events.iter().map(name).collect()
}

async fn listed(door: &Door, query: &str) -> Vec<String> {
    names(&door.pages(&format!("/v1/events?{query}")).await.1)
}

#[tokio::test]
async fn an_event_is_shown_byte_for_byte_as_it_is_delivered() {
    let door = Door::open().await;
    tell(&door, "c1", seconds(1), &[EventType::CertificateCreated, EventType::CertificateActive]).await;
    let events = door.store.events_after(Position::START, 10).await.unwrap();
    let [first, second] = [&events[0], &events[1]].map(|event| event.body().text().to_owned());
    let shown = door.call(&format!("GET /v1/events/{}", events[0].id), "").await;
    assert_eq!(shown.text, first);
    assert!(first.contains(r#""amount":1.50"#), "numbers keep their digits");
    let list = door.call("GET /v1/events", "").await;
    assert_eq!(list.text, format!(r#"{{"object":"list","data":[{second},{first}],"has_more":false}}"#));
    // The same place in the log under another epoch is another event.
    let mut stranger = events[0].id;
    stranger.epoch += 1;
    assert_eq!(door.call(&format!("GET /v1/events/{stranger}"), "").await.json()["type"], "EVENT_NOT_FOUND");
}

#[tokio::test]
async fn the_log_is_paged_in_both_orders_and_holds_still_meanwhile() {
    let door = Door::open().await;
    for number in 1..=25 {
        tell(&door, &format!("c{number:02}"), seconds(number), &[EventType::CertificateCreated]).await;
    }
    let forwards: Vec<_> = (1..=25).map(|number| format!("c{number:02} created")).collect();
    let backwards: Vec<_> = forwards.iter().rev().cloned().collect();
    let (sizes, all) = door.pages("/v1/events").await;
    assert_eq!((sizes, names(&all)), (vec![10, 10, 5], backwards.clone()), "ten, newest first");
    let (sizes, all) = door.pages("/v1/events?order=asc&limit=5").await;
    assert_eq!((sizes, names(&all)), (vec![5; 5], forwards), "a last page that is full has nothing after it");
    let first = door.json("GET /v1/events?limit=20", "").await;
    tell(&door, "c26", seconds(26), &[EventType::CertificateCreated]).await;
    let line = format!("GET /v1/events?limit=20&cursor={}", first["next_cursor"].as_str().unwrap());
    let second = door.json(&line, "").await;
    assert_eq!(names(second["data"].as_array().unwrap()), backwards[20..], "news do not shift the pages");
    // A cursor goes on in its own order without being told.
    let first = door.json("GET /v1/events?limit=1&order=asc", "").await;
    let line = format!("GET /v1/events?limit=1&cursor={}", first["next_cursor"].as_str().unwrap());
    assert_eq!(names(door.json(&line, "").await["data"].as_array().unwrap()), ["c02 created"]);
}

#[tokio::test]
async fn events_are_found_by_what_they_are_about() {
    let door = Door::open().await;
    let california = r#"{"id":"c1","customer":{"id":"cus_a","reference_customer_id":"77"},
        "jurisdictions":[{"jurisdiction_id":"US-CA"}]}"#;
    let new_york = r#"{"id":"c2","customer":{"id":"cus_b","reference_customer_id":"88"},
        "jurisdictions":[{"jurisdiction_id":"US-NY"},{"jurisdiction_id":"US-CA"}]}"#;
    let created = [EventType::CertificateCreated, EventType::CertificateActive];
    commit(&door, "numeral", Some("c1"), california, seconds(1), &created).await;
    commit(&door, "europe", Some("c2"), new_york, seconds(2), &created).await;
    commit(&door, "europe", None, r#"{"id":"europe"}"#, seconds(3), &[EventType::GatewayGap]).await;
    let (one, two, gap) = (["c1 created", "c1 active"], ["c2 created", "c2 active"], ["europe gap"]);
    let cases: &[(&str, &[&[&str]])] = &[
        ("", &[&one, &two, &gap]),
        ("types=*", &[&one, &two]),
        ("types=*,gateway.*", &[&one, &two, &gap]),
        ("types=certificate.active,%20gateway.gap", &[&["c1 active", "c2 active"], &gap]),
        ("source=europe", &[&two, &gap]),
        ("resource_id=c1", &[&one]),
        ("customer_id=cus_b", &[&two]),
        ("customer_id=77", &[]),
        ("customer_id=77&id_type=id", &[]),
        ("customer_id=77&id_type=reference_customer_id", &[&one]),
        ("id_type=reference_customer_id", &[&one, &two, &gap]),
        ("jurisdiction=US-CA", &[&one, &two]),
        ("jurisdiction=US-NY", &[&two]),
        ("jurisdiction=US-CA&source=numeral&types=certificate.created", &[&["c1 created"]]),
        ("since=1970-01-01T00:00:02Z", &[&two, &gap]),
        ("until=1970-01-01T00:00:02Z", &[&one]),
        ("since=1970-01-01T00:00:02Z&until=1970-01-01T00:00:03Z", &[&two]),
        ("since=2100-01-01T00:00:00Z", &[]),
        ("since=1970-01-01T00:00:03Z&until=1970-01-01T00:00:01Z", &[]),
    ];
    for (query, expected) in cases {
        let mut expected = expected.concat();
        assert_eq!(listed(&door, &format!("{query}&order=asc")).await, expected, "{query}");
        expected.reverse();
        assert_eq!(listed(&door, query).await, expected, "{query}");
        assert_eq!(listed(&door, &format!("{query}&limit=1")).await, expected, "{query}, one by one");
    }
}

#[tokio::test]
async fn a_filtered_page_reads_at_most_ten_thousand_events_and_may_be_short() {
    let door = Door::open().await;
    tell(&door, "first", seconds(1), &[EventType::CertificateCreated]).await;
    for _ in 0..100 {
        tell(&door, "many", seconds(2), &[EventType::CertificateUpdated; 100]).await;
    }
    for order in ["asc", "desc"] {
        let query = format!("resource_id=first&order={order}");
        let (sizes, all) = door.pages(&format!("/v1/events?{query}")).await;
        let expected = if order == "asc" { vec![1, 0] } else { vec![0, 1] };
        assert_eq!((sizes, names(&all)), (expected, vec!["first created".into()]), "{order}");
    }
}

#[tokio::test]
async fn a_made_up_cursor_at_the_end_of_the_numbers_is_refused() {
    let door = Door::open().await;
    tell(&door, "c1", seconds(1), &[EventType::CertificateCreated]).await;
    let id = EventId { position: Position(u64::MAX), epoch: u32::MAX, start: u32::MAX };
    let cursor = URL_SAFE_NO_PAD.encode(format!("1 events asc {id}"));
    let answer = door.call(&format!("GET /v1/events?cursor={cursor}"), "").await;
    assert_eq!(answer.json()["errors"][0]["field"], "cursor", "{}", answer.text);
}

#[tokio::test]
async fn a_source_that_was_configured_once_can_be_asked_for_while_the_log_tells_of_it() {
    let door = Door::open().await;
    let created = [EventType::CertificateCreated];
    commit(&door, "former", Some("c1"), r#"{"id":"c1"}"#, seconds(1), &created).await;
    assert_eq!(door.call("GET /v1/events?source=former", "").await.status.as_u16(), 400, "nothing was ever read of it");
    let progress = SourceProgress::new("former".parse().unwrap(), seconds(1));
    door.store.commit_sights(Vec::new(), Some(progress)).await.unwrap();
    assert_eq!(listed(&door, "source=former").await, ["c1 created"]);
}
