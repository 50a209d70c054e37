//! Following the log of a real gateway, by stream and by pull, across stops and kills.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::event_source::EventSource;
use crate::support::process::{Process, ROOT_KEY, free_port, until};

/// What happens upstream, in turn.
const HAPPENINGS: [&str; 4] =
    ["certificate_request.created", "certificate.updated", "certificate.active", "certificate_request.fulfilled"];

/// Somebody who pulls, and asks again whenever there is no answer.
struct Puller {
    events: Arc<Mutex<Vec<Value>>>,
    _task: JoinSet<()>,
}

impl Puller {
    fn start(url: &str, wait: &'static str) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let (url, seen) = (format!("{url}/v1/events"), Arc::clone(&events));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let http = reqwest::Client::builder().no_proxy().build().expect("a client");
            let mut cursor: Option<String> = None;
            loop {
                let mut query = vec![("order", "asc"), ("wait", wait)];
                query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
                let mut address = url::Url::parse(&url).expect("a URL");
                address.query_pairs_mut().extend_pairs(query);
                let answer = http.get(address).bearer_auth(ROOT_KEY).send().await;
                let text = match answer {
                    Ok(answer) => answer.text().await.ok(),
                    Err(_) => None,
                };
                let Some(page) = text.and_then(|text| serde_json::from_str::<Value>(&text).ok()) else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let data = page["data"].as_array().unwrap_or_else(|| panic!("{page}"));
                let last = data.last().and_then(|event| event["id"].as_str());
                cursor = page["next_cursor"].as_str().or(last).map(str::to_owned).or(cursor);
                seen.lock().expect("no panic while it is held").extend(data.iter().cloned());
            }
        });
        Self { events, _task: task }
    }

    fn events(&self) -> Vec<Value> {
        self.events.lock().expect("no panic while it is held").clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_follow_miss_nothing_and_get_nothing_twice_whatever_ends_the_gateway() {
    let folder = tempfile::tempdir().expect("a folder");
    let upstream = Process::sandbox(folder.path()).await;
    let port = free_port();
    let mut gateway = Process::gateway(folder.path(), port, &upstream.url).await;
    gateway.baseline().await;
    let source = EventSource::open(&format!("{}/v1/events/stream", gateway.url));
    let requests = EventSource::open(&format!("{}/v1/events/stream?types=certificate_request.*", gateway.url));
    until("the streams", || async { (source.connections() == 1 && requests.connections() == 1).then_some(()) }).await;
    let pullers = [Puller::start(&gateway.url, "60s"), Puller::start(&gateway.url, "1s")];

    for round in 0..6 {
        // Of an even round nothing has come when the gateway ends: it has just begun, or the change is not polled yet.
        for _ in 0..3 {
            upstream.post("/sandbox/trigger", &json!({ "type": HAPPENINGS[round % HAPPENINGS.len()] })).await;
        }
        if round % 2 == 1 {
            let before = source.messages().len();
            until("an event", || async { (source.messages().len() > before).then_some(()) }).await;
        }
        if round % 3 == 0 {
            gateway.kill().await;
        } else {
            assert!(gateway.terminate().await.success());
        }
        gateway = Process::gateway(folder.path(), port, &upstream.url).await;
    }
    let request = upstream.post("/sandbox/trigger", &json!({ "type": "certificate_request.created" })).await;
    let last = request["object"]["id"].as_str().expect("an id").to_owned();
    let log = until("the last change", || async {
        let log = gateway.list("/v1/events").await;
        log.iter().any(|event| event["data"]["object"]["id"] == last.as_str()).then_some(log)
    })
    .await;

    assert_eq!(log[0]["type"], "gateway.baseline_completed", "which is before the streams began");
    assert!(source.connections() >= 6, "{} connections", source.connections());
    let named: Vec<_> = log[1..].iter().map(named).collect();
    assert_eq!(streamed(&source, named.len()).await, named);
    let of_requests: Vec<_> = named.into_iter().filter(|event| event.1.starts_with("certificate_request.")).collect();
    assert_eq!(streamed(&requests, of_requests.len()).await, of_requests);
    for puller in &pullers {
        until("everything to be pulled", || async { (puller.events().len() >= log.len()).then_some(()) }).await;
        assert_eq!(puller.events()[..log.len()], log);
    }
    assert!(gateway.terminate().await.success());
}

/// An event with its id and its type.
type Named = (String, String, Value);

fn named(event: &Value) -> Named {
    let text = |name: &str| event[name].as_str().expect(name).to_owned();
    (text("id"), text("type"), event.clone())
}

/// The first events that were streamed, once there are so many.
async fn streamed(source: &EventSource, count: usize) -> Vec<Named> {
    let messages = until("everything to be streamed", || async {
        let messages = source.messages();
        (messages.len() >= count).then_some(messages)
    })
    .await;
    let body = |data: &str| serde_json::from_str(data).expect("JSON");
    let named = messages.into_iter().take(count);
    named.map(|message| (message.last_event_id, message.event_type, body(&message.data))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_streams_in_order_and_waits_for_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let upstream = Process::sandbox(folder.path()).await;
    let gateway = Process::gateway(folder.path(), free_port(), &upstream.url).await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = http.get(format!("{}/v1/events/stream", gateway.url)).bearer_auth(ROOT_KEY);
    let mut stream = request.send().await.expect("a stream");
    let began = tokio::time::Instant::now();
    let reads = async {
        let mut text = Vec::new();
        while let Some(bytes) = stream.chunk().await.expect("the stream is not broken off") {
            text.extend_from_slice(&bytes);
        }
        text
    };
    let (text, status) = tokio::join!(reads, gateway.terminate());
    assert!(status.success());
    assert!(text.ends_with(b"\n\n"), "{}", String::from_utf8_lossy(&text));
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
}
