//! Pulling instead of being pushed to: consumers who follow the log page by page, and wait at its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use certhook::clock::ManualClock;
use certhook::model::event::{EventDraft, EventType, Sight};
use certhook::model::id::{EventId, Position};
use certhook::model::json::Json;
use certhook::store::sled::SledStore;
use certhook::store::{DeliveryCommit, Settings, Store};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::door::Door;
use super::events::{commit_sight, names, seconds, sight, tell};
use crate::support::memory::Memory;

/// Somebody who follows the log, as the manual says: on with `next_cursor` where there is one, and otherwise with the
/// id of the last event, once there was any.
#[derive(Default)]
struct Consumer {
    query: &'static str,
    cursor: Option<String>,
    events: Vec<Value>,
}

impl Consumer {
    fn new(query: &'static str) -> Self {
        Self { query, ..Self::default() }
    }

    fn line(&self) -> String {
        let cursor = self.cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        format!("GET /v1/events?order=asc&{}{cursor}", self.query)
    }

    /// Reads one page; whether it had more after it.
    async fn read(&mut self, door: &Door) -> bool {
        let mut page = door.json(&self.line(), "").await;
        let Value::Array(data) = page["data"].take() else { panic!("data is an array") };
        let last = data.last().and_then(|event| event["id"].as_str()).map(str::to_owned);
        let next = page["next_cursor"].as_str().map(str::to_owned);
        assert_eq!(page["has_more"], next.is_some());
        self.cursor = next.or(last).or(self.cursor.take());
        self.events.extend(data);
        page["has_more"] == true
    }

    async fn read_to_the_end(&mut self, door: &Door) -> Vec<String> {
        while self.read(door).await {}
        names(&std::mem::take(&mut self.events))
    }
}

fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_who_follow_see_every_event_once_while_others_commit() {
    const SIGHTS: usize = 300;
    let door = Door::open().await;
    let write = async {
        for number in 0..SIGHTS {
            let types = [EventType::CertificateCreated, EventType::CertificateActive, EventType::CertificateUpdated];
            tell(&door, "c1", seconds(number as i64), &types[..=number % 3]).await;
            tokio::task::yield_now().await;
        }
    };
    let total: usize = (0..SIGHTS).map(|number| number % 3 + 1).sum();
    let rare = SIGHTS / 3;
    let [mut all, mut polling, mut some] =
        ["limit=7&wait=60", "limit=100", "types=certificate.updated&limit=3&wait=60s"].map(Consumer::new);
    let follow_all = async {
        while all.events.len() < total {
            all.read(&door).await;
        }
    };
    let poll = async {
        while polling.events.len() < total {
            polling.read(&door).await;
            tokio::task::yield_now().await;
        }
    };
    let follow_some = async {
        while some.events.len() < rare {
            some.read(&door).await;
        }
    };
    tokio::join!(write, follow_all, poll, follow_some);
    let log = door.store.events_after(Position::START, total + 1).await.unwrap();
    let expected: Vec<String> = log.iter().map(|event| event.id.to_string()).collect();
    assert_eq!(ids(&all.events), expected);
    assert_eq!(ids(&polling.events), expected);
    let updated = log.iter().filter(|event| event.event_type == EventType::CertificateUpdated);
    assert_eq!(ids(&some.events), updated.map(|event| event.id.to_string()).collect::<Vec<_>>());
    assert_eq!(some.events.len(), rare);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_with_the_first_event_that_is_meant() {
    let door = Door::open().await;
    tell(&door, "c1", seconds(1), &[EventType::CertificateCreated]).await;
    let mut consumer = Consumer::new("types=certificate.active&wait=60");
    let began = Instant::now();
    tokio::join!(consumer.read(&door), async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        tell(&door, "c2", seconds(2), &[EventType::CertificateCreated]).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        tell(&door, "c3", seconds(3), &[EventType::CertificateCreated, EventType::CertificateActive]).await;
    });
    assert_eq!(began.elapsed().as_secs(), 40);
    assert_eq!(names(&consumer.events), ["c3 active"]);
    let mut consumer = Consumer::new("since=1970-01-01T00:00:05Z&wait=60");
    tokio::join!(consumer.read(&door), async {
        for second in 4..=5 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            tell(&door, &format!("c{second}"), seconds(second), &[EventType::CertificateCreated]).await;
        }
    });
    assert_eq!(names(&consumer.events), ["c5 created"], "a time that is still to come is waited for");
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_waits_no_longer_than_it_was_told_and_not_at_all_if_nothing_can_come() {
    let door = Door::open().await;
    tell(&door, "c1", seconds(1), &[EventType::CertificateCreated]).await;
    tell(&door, "c2", seconds(9), &[EventType::CertificateCreated]).await;
    let waits = [
        ("order=asc&types=certificate.active&wait=60s", 60),
        ("order=asc&types=certificate.active&wait=7", 7),
        ("order=asc&types=certificate.active&wait=0", 0),
        ("order=asc&types=certificate.active", 0),
        ("order=asc&types=certificate.active&wait=60&until=1970-01-01T00:00:05Z", 0),
        ("order=asc&types=certificate.active&wait=60&until=2100-01-01T00:00:00Z", 60),
        ("order=asc&wait=60", 0),
    ];
    for (query, expected) in waits {
        let began = Instant::now();
        door.json(&format!("GET /v1/events?{query}"), "").await;
        assert_eq!(began.elapsed().as_secs(), expected, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_when_the_gateway_stops() {
    let door = Door::open().await;
    let began = Instant::now();
    let (page, ()) = tokio::join!(door.json("GET /v1/events?order=asc&wait=60", ""), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        door.stop.cancel();
    });
    assert_eq!((began.elapsed().as_secs(), page["data"].as_array().map(Vec::len)), (1, Some(0)));
}

#[tokio::test]
async fn the_id_of_an_event_is_a_cursor_in_both_orders() {
    let door = Door::open().await;
    for number in 1..=4 {
        tell(&door, &format!("c{number}"), seconds(number), &[EventType::CertificateCreated]).await;
    }
    let id = door.store.event(Position(2)).await.unwrap().unwrap().id;
    for (order, expected) in [("&order=asc", ["c3", "c4"].as_slice()), ("&order=desc", &["c1"]), ("", &["c1"])] {
        let page = door.json(&format!("GET /v1/events?cursor={id}{order}"), "").await;
        let expected: Vec<_> = expected.iter().map(|id| format!("{id} created")).collect();
        assert_eq!(names(page["data"].as_array().unwrap()), expected, "{order:?}");
    }
    // What stands there under another epoch is what a log holds that was restored.
    let other = EventId { epoch: id.epoch - 1, ..id };
    let answer = door.call(&format!("GET /v1/events?cursor={other}&order=asc"), "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["errors"][0]["field"]), (400, &"cursor".into()));
}

#[tokio::test]
async fn a_consumer_that_retention_has_passed_is_told_where_the_log_begins() {
    told_where_the_log_begins(Arc::new(Memory::new())).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { path: folder.path().join("data"), encryption_key: None, min_free: 0 };
    told_where_the_log_begins(SledStore::open(&settings, &ManualClock::at(seconds(0))).unwrap()).await;
}

async fn told_where_the_log_begins(store: Arc<dyn Store>) {
    let door = Door::over(Arc::clone(&store));
    for number in 1..=9 {
        tell(&door, &format!("c{number}"), seconds(number), &[EventType::CertificateCreated]).await;
    }
    let mut consumer = Consumer::new("limit=2");
    let mut at_the_brink = Consumer::new("limit=4");
    assert!(consumer.read(&door).await && at_the_brink.read(&door).await);
    let newest_first = door.json("GET /v1/events?limit=7", "").await["next_cursor"].take();
    let dealt_with = DeliveryCommit { live_mark: Some(Position(9)), ..DeliveryCommit::default() };
    store.commit_deliveries(dealt_with).await.unwrap();
    assert_eq!(store.cut_events(Position(4)).await.unwrap(), Position(5));
    assert_eq!(names(&consumer.events), ["c1 created", "c2 created"]);
    let answer = door.call(&consumer.line(), "").await.json();
    assert_eq!((&answer["code"], &answer["type"]), (&410.into(), &"CURSOR_EXPIRED".into()), "{answer}");
    let earliest = answer["earliest"].as_str().unwrap();
    assert!(answer["message"].as_str().unwrap().contains(earliest), "{answer}");
    consumer.cursor = Some(earliest.into());
    consumer.events.clear();
    let kept = ["c5", "c6", "c7", "c8", "c9"].map(|id| format!("{id} created"));
    assert_eq!(consumer.read_to_the_end(&door).await, kept, "nothing that is kept is skipped");
    assert_eq!(Consumer::new("").read_to_the_end(&door).await, kept, "without a cursor it begins there too");
    at_the_brink.events.clear();
    assert_eq!(at_the_brink.read_to_the_end(&door).await, kept, "what was cut was read, so nothing is missing");
    let line = format!("GET /v1/events?cursor={}", newest_first.as_str().unwrap());
    assert_eq!(door.call(&line, "").await.status.as_u16(), 410);
    let (_, all) = door.pages("/v1/events?limit=2&since=1970-01-01T00:00:02Z").await;
    assert_eq!(all.len(), kept.len(), "a time that has passed is the earliest");
}

#[tokio::test]
async fn a_consumer_of_rare_events_goes_on_from_the_newest_of_all() {
    let store = Arc::new(Memory::new());
    let door = Door::over(Arc::clone(&store) as _);
    let mut seen = BTreeSet::new();
    let mut consumer = Consumer::new("types=certificate.removed");
    for round in 1..=5_i64 {
        for number in 0..20 {
            let types = [EventType::CertificateUpdated, EventType::CertificateRemoved];
            let rare = usize::from(number == 7 && round % 2 == 0);
            tell(&door, &format!("c{round}"), seconds(100 * round + number), &types[rare..=rare]).await;
        }
        let newest = door.json("GET /v1/events?limit=1", "").await["data"][0]["id"].take();
        seen.extend(consumer.read_to_the_end(&door).await);
        consumer.cursor = newest.as_str().map(str::to_owned);
        store.cut(Position(20 * (round as u64 - 1) + 15));
    }
    assert_eq!(seen, ["c2 removed", "c4 removed"].map(str::to_owned).into());
}

#[tokio::test]
async fn a_customer_and_a_jurisdiction_are_matched_as_by_the_filter_of_an_endpoint() {
    let door = Door::open().await;
    let object = r#"{"id":"c1","customer":{"id":"cus_new"},
        "jurisdictions":[{"jurisdiction_id":"US-CA"},{"jurisdiction_id":"US-WA"}]}"#;
    let previous = json!({"customer": {"id": "cus_old"}, "jurisdictions": [{"jurisdiction_id": "US-NY"}]});
    let previous_attributes = Json::of(&previous);
    let sight = Sight { previous_attributes, ..sight("numeral", Some("c1"), object, seconds(1)) };
    let added = EventDraft {
        event_type: EventType::JurisdictionAdded,
        details: Json::of(&json!({"jurisdiction_id": "US-CA"})),
    };
    commit_sight(&door, sight, vec![added, EventDraft::plain(EventType::CertificateUpdated)]).await;
    let (added, updated) = ("c1 added", "c1 updated");
    let cases: [(&str, &[&str]); 7] = [
        ("customer_id=cus_new", &[added, updated]),
        ("customer_id=cus_old", &[added, updated]),
        ("customer_id=cus_other", &[]),
        ("jurisdiction=US-CA", &[added, updated]),
        ("jurisdiction=US-WA", &[updated]),
        ("jurisdiction=US-NY", &[updated]),
        ("jurisdiction=US-CA&customer_id=cus_other", &[]),
    ];
    for (query, expected) in cases {
        let (_, all) = door.pages(&format!("/v1/events?order=asc&{query}")).await;
        assert_eq!(names(&all), expected, "{query}");
    }
}
