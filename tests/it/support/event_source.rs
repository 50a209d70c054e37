//! A client of server-sent events, written from the HTML standard (sections 9.2.3 to 9.2.6): the parser, and the
//! connection that is made again, with `Last-Event-ID`, whenever it is lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use super::process::ROOT_KEY;

/// How long the client waits before it connects again; browsers take a few seconds.
const RECONNECTION_TIME: Duration = Duration::from_millis(20);

/// What a page's handler would get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) event_type: String,
    pub(crate) data: String,
    pub(crate) last_event_id: String,
}

/// Section 9.2.6: the interpretation of one stream, line by line.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    bytes: Vec<u8>,
    data: String,
    event_type: String,
    last_event_id_buffer: String,
    /// The event source's own, which outlives the stream.
    pub(crate) last_event_id: String,
    pub(crate) comments: usize,
}

impl Parser {
    /// A new stream of the same event source: all its buffers are empty at first.
    pub(crate) fn reconnect(&mut self) {
        *self = Self { last_event_id: std::mem::take(&mut self.last_event_id), ..Self::default() };
    }

    /// Takes what came, and gives the messages that are complete with it.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.bytes.extend_from_slice(bytes);
        let mut messages = Vec::new();
        while let Some(line) = self.line() {
            messages.extend(self.interpret(&line));
        }
        messages
    }

    /// A line ends with a line feed, a carriage return, or both; a return at the very end may be half of both.
    fn line(&mut self) -> Option<String> {
        let end = self.bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
        let width = match &self.bytes[end..] {
            [b'\r'] => return None,
            [b'\r', b'\n', ..] => 2,
            _ => 1,
        };
        let line = String::from_utf8(self.bytes[..end].to_vec()).expect("UTF-8");
        self.bytes.drain(..end + width);
        Some(line)
    }

    fn interpret(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.comments += 1,
            "event" => self.event_type = value.into(),
            "data" => {
                self.data += value;
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.last_event_id_buffer = value.into(),
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Message> {
        self.last_event_id.clone_from(&self.last_event_id_buffer);
        let mut data = std::mem::take(&mut self.data);
        let event_type = std::mem::take(&mut self.event_type);
        // Without data there is nothing to dispatch.
        data.pop()?;
        let event_type = if event_type.is_empty() { "message".into() } else { event_type };
        Some(Message { event_type, data, last_event_id: self.last_event_id.clone() })
    }
}

#[derive(Debug, Default)]
struct Seen {
    messages: Vec<Message>,
    /// How often it was connected.
    connections: u32,
    /// An answer other than 200, at which an event source gives up.
    refusal: Option<String>,
}

/// An event source that is open until it goes out of scope.
pub(crate) struct EventSource {
    seen: Arc<Mutex<Seen>>,
    _task: JoinSet<()>,
}

impl EventSource {
    /// Opens a URL, and connects again whenever the stream ends or cannot be had.
    pub(crate) fn open(url: &str) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut task = JoinSet::new();
        task.spawn(run(url.to_owned(), Arc::clone(&seen)));
        Self { seen, _task: task }
    }

    fn look<T>(&self, at: impl FnOnce(&Seen) -> T) -> T {
        at(&self.seen.lock().expect("no panic while it is held"))
    }

    /// What has come so far.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.look(|seen| {
            assert_eq!(seen.refusal, None);
            seen.messages.clone()
        })
    }

    /// How often a stream has begun.
    pub(crate) fn connections(&self) -> u32 {
        self.look(|seen| seen.connections)
    }
}

async fn run(url: String, seen: Arc<Mutex<Seen>>) {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut parser = Parser::default();
    loop {
        let mut request = http.get(&url).bearer_auth(ROOT_KEY).header("accept", "text/event-stream");
        if !parser.last_event_id.is_empty() {
            request = request.header("last-event-id", &parser.last_event_id);
        }
        if let Ok(mut response) = request.send().await {
            if response.status() != 200 {
                let text = response.text().await.unwrap_or_default();
                seen.lock().expect("no panic while it is held").refusal = Some(text);
                return;
            }
            parser.reconnect();
            let mut has_begun = false;
            while let Ok(Some(bytes)) = response.chunk().await {
                let messages = parser.push(&bytes);
                let mut seen = seen.lock().expect("no panic while it is held");
                seen.messages.extend(messages);
                seen.connections += u32::from(!has_begun);
                has_begun = true;
            }
        }
        tokio::time::sleep(RECONNECTION_TIME).await;
    }
}

#[test]
fn the_parser_does_what_the_examples_of_the_standard_say() {
    let message = |event_type: &str, data: &str, id: &str| Message {
        event_type: event_type.into(),
        data: data.into(),
        last_event_id: id.into(),
    };
    let cases: [(&str, &[Message]); 6] = [
        ("data: YHOO\ndata: +2\ndata: 10\n\n", &[message("message", "YHOO\n+2\n10", "")]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            &[
                message("message", "first event", "1"),
                message("message", "second event", ""),
                message("message", " third event", ""),
            ],
        ),
        ("data\n\ndata\ndata\n\ndata:", &[message("message", "", ""), message("message", "\n", "")]),
        ("data:test\n\ndata: test\n\n", &[message("message", "test", ""), message("message", "test", "")]),
        ("event: add\r\ndata: 7\r\n\r\nevent: none\r\r", &[message("add", "7", "")]),
        ("id: 5\n\ndata: x\n\n", &[message("message", "x", "5")]),
    ];
    for (text, expected) in cases {
        assert_eq!(Parser::default().push(text.as_bytes()), expected, "{text:?}");
        let mut parser = Parser::default();
        let by_byte: Vec<Message> = text.bytes().flat_map(|byte| parser.push(&[byte])).collect();
        assert_eq!(by_byte, expected, "{text:?}, byte by byte");
    }
}
