//! Events as they come: a client of server-sent events (HTML standard, section 9.2) that comes again after the last one
//! it has got, whatever happens to the connection.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, Response};
use tokio::time::{sleep, timeout};

use super::{Client, ClientError, DEADLINE, Query};

/// The header that says how far a client has come.
const LAST_EVENT_ID: &str = "last-event-id";

/// The gateway sends a comment every 15 seconds; after three that are missing, nobody is there any more.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// How long to wait before coming again: at first, and at most.
const WAIT_MIN: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Several times the largest event there can be.
const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streamed {
    /// Its id.
    pub id: String,
    /// Its body.
    pub data: String,
}

/// What comes next of a stream.
#[derive(Debug)]
pub enum Next {
    /// An event.
    Event(Streamed),
    /// The connection is there again.
    Connected,
    /// The connection was lost, which the next call deals with.
    Lost(String),
}

/// Follows a stream.
#[derive(Debug)]
pub struct Follower<'a> {
    client: &'a Client,
    path: &'a [&'a str],
    query: Query,
    /// How the connection that there is goes on.
    connection: Option<(Response, Parser)>,
    /// The last id that was seen: an event, or a place without one.
    last: Option<String>,
    has_connected: bool,
    wait: Duration,
}

impl Client {
    /// A stream of events from now on, or after the event that `after` names.
    pub fn follow<'a>(&'a self, path: &'a [&'a str], query: Query, after: Option<String>) -> Follower<'a> {
        let wait = Duration::ZERO;
        Follower { client: self, path, query, connection: None, last: after, has_connected: false, wait }
    }
}

impl Follower<'_> {
    /// What comes next; waits for it.
    ///
    /// # Errors
    /// If the first connection fails, or the gateway refuses to go on, as when it no longer keeps what comes next.
    pub async fn next(&mut self) -> Result<Next, ClientError> {
        loop {
            let Some((response, parser)) = &mut self.connection else {
                return self.connect().await;
            };
            if let Some(event) = parser.next() {
                self.last = parser.last_id.clone();
                self.wait = Duration::ZERO;
                return Ok(Next::Event(event));
            }
            self.last = parser.last_id.clone();
            let lost = match timeout(SILENCE_MAX, response.chunk()).await {
                Ok(Ok(Some(bytes))) if parser.take(&bytes) => continue,
                Ok(Ok(Some(_))) => "it sent something that is no event".into(),
                Ok(Ok(None)) => "it was closed".into(),
                Ok(Err(error)) => super::error::innermost(&error),
                Err(_) => format!("nothing came for {} s", SILENCE_MAX.as_secs()),
            };
            self.connection = None;
            return Ok(Next::Lost(lost));
        }
    }

    async fn connect(&mut self) -> Result<Next, ClientError> {
        sleep(self.wait).await;
        self.wait = (self.wait * 2).clamp(WAIT_MIN, WAIT_MAX);
        match self.try_connect().await {
            Ok(response) => {
                self.has_connected = true;
                self.connection = Some((response, Parser::after(self.last.clone())));
                Ok(Next::Connected)
            }
            Err(error) if self.has_connected && may_pass(&error) => Ok(Next::Lost(error.to_string())),
            Err(error) => Err(error),
        }
    }

    async fn try_connect(&self) -> Result<Response, ClientError> {
        let mut request = self.client.request(Method::GET, self.path, &self.query);
        if let Some(last) = &self.last {
            request = request.header(LAST_EVENT_ID, last);
        }
        let (client, base) = (self.client, self.client.base.clone());
        let silent = |_| ClientError::Unfinished { base, reason: "no answer".into() };
        let response = timeout(DEADLINE, client.send(request)).await.map_err(silent)??;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, text) = client.read(response).await?;
        Err(client.refused(status.as_u16(), &text))
    }
}

/// Whether coming again may help, after a connection that was good.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Unfinished { .. } => true,
        ClientError::Refused(refusal) => refusal.status >= 500,
        ClientError::Foreign { status, .. } => *status >= 500,
        ClientError::Setup(_) => false,
    }
}

/// Reads events out of pieces that are cut anywhere.
#[derive(Debug, Default)]
struct Parser {
    /// What has come and was not read.
    pending: Vec<u8>,
    /// Up to here there is no end of a line in it.
    searched: usize,
    id: Option<String>,
    data: Option<String>,
    last_id: Option<String>,
}

impl Parser {
    fn after(last_id: Option<String>) -> Self {
        Self { last_id, ..Self::default() }
    }

    /// Takes a piece; `false` if there is no event to be expected in so much.
    fn take(&mut self, piece: &Bytes) -> bool {
        self.pending.extend_from_slice(piece);
        self.pending.len() + self.data.as_ref().map_or(0, String::len) <= EVENT_BYTES_MAX
    }

    /// The next event that is there as a whole.
    fn next(&mut self) -> Option<Streamed> {
        let mut read = 0;
        let mut found = None;
        while found.is_none() {
            let from = self.searched.max(read);
            let Some(end) = self.pending[from..].iter().position(|&byte| byte == b'\n') else {
                self.searched = self.pending.len();
                break;
            };
            let line = String::from_utf8_lossy(&self.pending[read..from + end]).into_owned();
            (read, self.searched) = (from + end + 1, 0);
            found = self.line(line.trim_end_matches('\r'));
        }
        self.pending.drain(..read);
        self.searched = self.searched.saturating_sub(read);
        found
    }

    fn line(&mut self, line: &str) -> Option<Streamed> {
        if line.is_empty() {
            let id = self.id.take();
            if id.is_some() {
                self.last_id.clone_from(&id);
            }
            let data = self.data.take()?;
            return Some(Streamed { id: id.or_else(|| self.last_id.clone()).unwrap_or_default(), data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = Some(value.into()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.into()),
            },
            // A comment, the type (which the body says too), or a field that came after us.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = ":\nid: evt_0\n\nid: evt_1\nevent: certificate.active\ndata: {\"a\": 1}\n\n:\n\nid: evt_2\r\ndata: one\r\ndata: two\r\n\r\ndata";

    fn streamed(id: &str, data: &str) -> Streamed {
        Streamed { id: id.into(), data: data.into() }
    }

    fn read(parser: &mut Parser, piece: &[u8]) -> Vec<Streamed> {
        assert!(parser.take(&Bytes::copy_from_slice(piece)));
        std::iter::from_fn(|| parser.next()).collect()
    }

    #[test]
    fn events_are_read_and_a_place_without_one_is_remembered() {
        let mut parser = Parser::default();
        assert_eq!(read(&mut parser, b":\nid: evt_0\n\n"), []);
        assert_eq!(parser.last_id.as_deref(), Some("evt_0"));
        let mut parser = Parser::default();
        let expected = [streamed("evt_1", "{\"a\": 1}"), streamed("evt_2", "one\ntwo")];
        assert_eq!(read(&mut parser, STREAM.as_bytes()), expected);
        assert_eq!(parser.last_id.as_deref(), Some("evt_2"));
    }

    #[test]
    fn an_event_that_never_ends_is_none() {
        let mut parser = Parser::default();
        assert!(!parser.take(&vec![b'x'; EVENT_BYTES_MAX + 1].into()));
    }

    proptest! {
        #[test]
        fn it_makes_no_difference_where_pieces_are_cut(mut cuts in prop::collection::vec(0..STREAM.len(), 0..9)) {
            cuts.sort_unstable();
            cuts.push(STREAM.len());
            let (mut parser, mut found, mut begin) = (Parser::default(), Vec::new(), 0);
            for cut in cuts {
                found.extend(read(&mut parser, &STREAM.as_bytes()[begin..cut]));
                begin = cut;
            }
            prop_assert_eq!(found, read(&mut Parser::default(), STREAM.as_bytes()));
        }
    }
}
