//! The stream of events: what is sent when, and how little of it is held for a client.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use certhook::model::event::EventType;
use certhook::model::id::{EventId, Position};
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::door::{Door, KEY};
use super::events::{commit_sight, seconds, sight, tell};
use crate::support::event_source::Parser;
use crate::support::memory::Memory;

const CREATED: &[EventType] = &[EventType::CertificateCreated];

/// One client of the stream.
struct Client {
    body: Body,
    parser: Parser,
}

impl Client {
    /// Asks for the stream, from after an event or from now.
    async fn ask(door: &Door, query: &str, last: Option<EventId>) -> Response {
        let mut request = Request::builder().uri(format!("/v1/events/stream{query}"));
        request = request.header("authorization", format!("Bearer {KEY}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        door.begin(request.body(Body::empty()).unwrap()).await
    }

    async fn open(door: &Door, query: &str, last: Option<EventId>) -> Self {
        let response = Self::ask(door, query, last).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(response.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
        Self { body: response.into_body(), parser: Parser::default() }
    }

    /// The next piece as it comes; `None` at the end.
    async fn piece(&mut self) -> Option<String> {
        let frame = self.body.frame().await?.unwrap();
        Some(String::from_utf8(frame.into_data().unwrap().into()).unwrap())
    }

    /// The resources of the next piece that has events.
    async fn events(&mut self) -> Vec<String> {
        loop {
            let piece = self.piece().await.expect("the stream goes on");
            let messages = self.parser.push(piece.as_bytes());
            if !messages.is_empty() {
                let id = |data: &str| {
                    serde_json::from_str::<serde_json::Value>(data).unwrap()["data"]["object"]["id"].clone()
                };
                return messages.iter().map(|message| id(&message.data).as_str().unwrap().to_owned()).collect();
            }
        }
    }
}

async fn id(door: &Door, position: u64) -> EventId {
    door.store.event(Position(position)).await.unwrap().unwrap().id
}

#[tokio::test]
async fn an_event_is_sent_with_its_id_its_type_and_its_body_on_one_line() {
    let door = Door::open().await;
    let mut client = Client::open(&door, "", None).await;
    assert_eq!(client.piece().await.unwrap(), ":\n\n", "a sign of life at once");
    let object = "{\"id\":\"c1\",\r\n\"text\":\"two\\nlines\"}";
    let drafts = vec![certhook::model::event::EventDraft::plain(EventType::CertificateCreated)];
    commit_sight(&door, sight("numeral", Some("c1"), object, seconds(1)), drafts).await;
    let event = door.store.event(Position(1)).await.unwrap().unwrap();
    let body = event.body().text().replace("\r\n", "");
    assert!(body.contains(r#"{"id":"c1","text":"two\nlines"}"#), "{body}");
    let expected = format!("id: {}\nevent: certificate.created\ndata: {body}\n\n", event.id);
    assert_eq!(client.piece().await.unwrap(), expected);
}

#[tokio::test]
async fn a_stream_begins_now_or_after_the_last_event_that_its_client_has() {
    let door = Door::open().await;
    for number in 1..=3 {
        tell(&door, &format!("c{number}"), seconds(number), CREATED).await;
    }
    let (mut now, mut later) =
        (Client::open(&door, "", None).await, Client::open(&door, "", Some(id(&door, 1).await)).await);
    assert_eq!(later.events().await, ["c2", "c3"]);
    tell(&door, "c4", seconds(4), CREATED).await;
    assert_eq!((now.events().await, later.events().await), (vec!["c4".into()], vec!["c4".into()]));
}

#[tokio::test]
async fn a_client_that_has_got_nothing_yet_knows_where_to_go_on_all_the_same() {
    let door = Door::open().await;
    tell(&door, "c1", seconds(1), CREATED).await;
    let last = id(&door, 1).await;
    for from in [None, Some(last)] {
        let mut client = Client::open(&door, "", from).await;
        let piece = client.piece().await.unwrap();
        assert_eq!(client.parser.push(piece.as_bytes()), [], "no event is made up for it");
        assert_eq!(client.parser.last_event_id, last.to_string());
    }
}

#[tokio::test]
async fn whose_key_is_deleted_gets_nothing_more() {
    let door = Door::open().await;
    let made = door.json("POST /v1/keys", r#"{"name": "gone soon", "scopes": ["read"]}"#).await;
    let asked = |path: &str| {
        let key = format!("Bearer {}", made["key"].as_str().unwrap());
        let request = Request::builder().uri(path.to_owned()).header("authorization", key);
        door.begin(request.body(Body::empty()).unwrap())
    };
    let mut stream = asked("/v1/events/stream").await.into_body();
    assert_eq!(stream.frame().await.unwrap().unwrap().into_data().unwrap(), ":\n\n");
    let poll = asked("/v1/events?order=asc&wait=60");
    let meanwhile = async {
        tokio::task::yield_now().await;
        door.json(&format!("DELETE /v1/keys/{}", made["id"].as_str().unwrap()), "").await;
        tell(&door, "c1", seconds(1), CREATED).await;
    };
    let (polled, ()) = tokio::join!(poll, meanwhile);
    assert_eq!(polled.status(), 401);
    assert!(stream.frame().await.is_none(), "the stream ends");
}

#[tokio::test(start_paused = true)]
async fn a_comment_comes_every_fifteen_seconds_with_the_way_that_was_made_without_events() {
    let door = Door::open().await;
    let mut client = Client::open(&door, "?types=certificate.active,gateway.*", None).await;
    client.piece().await.unwrap();
    let began = Instant::now();
    assert_eq!(client.piece().await.unwrap(), ":\n\n");
    assert_eq!(began.elapsed().as_secs(), 15);
    let types = [EventType::CertificateActive, EventType::CertificateUpdated];
    let (event, ()) = tokio::join!(client.piece(), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        tell(&door, "c1", seconds(1), &types).await;
    });
    assert!(event.unwrap().starts_with("id: "));
    assert_eq!(began.elapsed().as_secs(), 20);
    assert_eq!(client.piece().await.unwrap(), format!(":\nid: {}\n\n", id(&door, 2).await), "past what was not meant");
    assert_eq!(began.elapsed().as_secs(), 30, "events do not put it off");
    assert_eq!(client.piece().await.unwrap(), ":\n\n");
    // A client that took its time gets one comment, not one for each that it missed.
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(client.piece().await.unwrap(), ":\n\n");
    let asked = Instant::now();
    client.piece().await.unwrap();
    assert_eq!(asked.elapsed().as_secs(), 15);
}

#[tokio::test]
async fn a_stream_has_the_types_that_were_asked_for() {
    let door = Door::open().await;
    let mut client = Client::open(&door, "?types=certificate.created,%20certificate.renewed", None).await;
    for event_type in [EventType::CertificateUpdated, EventType::CertificateRenewed, EventType::CertificateCreated] {
        tell(&door, event_type.as_str().trim_start_matches("certificate."), seconds(1), &[event_type]).await;
    }
    assert_eq!(client.events().await, ["renewed", "created"]);
}

#[tokio::test]
async fn nothing_is_held_for_a_slow_client_but_the_piece_that_it_is_being_sent() {
    let store = Arc::new(Memory::new());
    let door = Door::over(Arc::clone(&store) as _);
    tell(&door, "first", seconds(1), CREATED).await;
    let first = id(&door, 1).await;
    let filler = "x".repeat(20 * 1024);
    for number in 0..40 {
        let object = format!(r#"{{"id":"c{number}","filler":"{filler}"}}"#);
        let drafts = vec![certhook::model::event::EventDraft::plain(EventType::CertificateUpdated)];
        commit_sight(&door, sight("numeral", Some("c"), &object, seconds(2)), drafts).await;
    }
    let mut client = Client::open(&door, "", Some(first)).await;
    client.piece().await.unwrap();
    let piece = client.piece().await.unwrap();
    assert!((64 * 1024..88 * 1024).contains(&piece.len()), "{}", piece.len());
    // What comes next is looked up when there is room for it, so that retention can be faster.
    store.cut(Position(30));
    assert_eq!(client.piece().await, None, "the client comes again, and is told");
    client.parser.push(piece.as_bytes());
    let last = client.parser.last_event_id.parse().unwrap();
    let refusal = Client::ask(&door, "", Some(last)).await;
    assert_eq!(refusal.status(), 410);
    let body = refusal.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["type"], "CURSOR_EXPIRED");
    let earliest = body["earliest"].as_str().unwrap().parse().unwrap();
    let mut client = Client::open(&door, "", Some(earliest)).await;
    assert_eq!(client.events().await[0], "c29", "the 31st event is the first that is kept");
}

#[tokio::test]
async fn streams_end_when_the_gateway_stops() {
    let door = Door::open().await;
    let mut waiting = Client::open(&door, "", None).await;
    waiting.piece().await.unwrap();
    tell(&door, "c1", seconds(1), CREATED).await;
    let mut unread = Client::open(&door, "", None).await;
    door.stop.cancel();
    assert_eq!(waiting.piece().await, None);
    assert_eq!(unread.piece().await.map(|piece| piece.starts_with(":\n")), Some(true));
    assert_eq!(unread.piece().await, None);
}

#[tokio::test]
async fn there_are_256_places_for_those_who_follow() {
    let door = Door::open().await;
    let mut clients = Vec::new();
    for _ in 0..256 {
        clients.push(Client::open(&door, "", None).await);
    }
    let refusal = "256 streams and long polls are open already; try again later";
    for line in ["GET /v1/events/stream", "GET /v1/events?order=asc&wait=60"] {
        let answer = door.call(line, "").await;
        let expected = format!(r#"{{"code":503,"type":"TOO_MANY_FOLLOWERS","message":"{refusal}"}}"#);
        assert_eq!((answer.status.as_u16(), answer.text), (503, expected), "{line}");
    }
    assert_eq!(door.call("GET /v1/events?order=asc", "").await.status, 200, "who does not wait needs none");
    clients.pop();
    Client::open(&door, "", None).await;
}
