//! An account upstream, in a process of its own: a bare HTTP/1.1 server that lists certificates from pages that lie
//! ready in its memory, in the vendor's shape (<https://docs.numeralhq.com>, GET /tax/certificates): a hundred to a
//! page, the last id of a page as the cursor to the next. There are no requests in it.
//!
//! `/move` changes one certificate of a hundred, scattered over all pages, and says how many those were; `/bytes` says
//! how long all certificates are together.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

/// Certificates to a page: the most that the vendor gives.
pub(crate) const PAGE_SIZE: usize = 100;

/// One of so many certificates moves at a time.
const MOVED_ONE_OF: u64 = 100;

/// The answer to a question for requests.
const NO_REQUESTS: &[u8] = br#"{"object":"list","certificate_requests":[],"has_more":false}"#;

/// All certificates, as pages.
struct Account {
    /// How often each certificate has moved.
    moves: Vec<u16>,
    /// How often some have.
    rounds: u64,
    pages: Vec<Bytes>,
    /// Which page follows a cursor.
    places: HashMap<String, usize>,
}

impl Account {
    fn new(certificates: usize) -> Self {
        let mut account = Self { moves: vec![0; certificates], rounds: 0, pages: Vec::new(), places: HashMap::new() };
        for place in 0..certificates.div_ceil(PAGE_SIZE).max(1) {
            account.pages.push(account.page(place));
            account.places.insert(id(account.numbers(place).end.saturating_sub(1)), place + 1);
        }
        account
    }

    /// The certificates on a page.
    fn numbers(&self, place: usize) -> std::ops::Range<usize> {
        place * PAGE_SIZE..((place + 1) * PAGE_SIZE).min(self.moves.len())
    }

    fn page(&self, place: usize) -> Bytes {
        let numbers = self.numbers(place);
        let last = numbers.end.saturating_sub(1);
        let rows: Vec<String> = numbers.map(|number| certificate(number, self.moves[number])).collect();
        let has_more = (place + 1) * PAGE_SIZE < self.moves.len();
        let cursor = if has_more { format!(r#","next_cursor":"{}""#, id(last)) } else { String::new() };
        let rows = rows.join(",");
        format!(r#"{{"object":"list","certificates":[{rows}],"has_more":{has_more}{cursor}}}"#).into()
    }

    /// Moves some certificates; how many.
    fn go_on(&mut self) -> usize {
        self.rounds += 1;
        let mut moved = 0;
        for place in 0..self.pages.len() {
            let before = moved;
            for number in self.numbers(place) {
                if mixed(number as u64 ^ (self.rounds << 40)).is_multiple_of(MOVED_ONE_OF) {
                    self.moves[number] += 1;
                    moved += 1;
                }
            }
            if moved > before {
                self.pages[place] = self.page(place);
            }
        }
        moved
    }

    fn bytes(&self) -> usize {
        (0..self.moves.len()).map(|number| certificate(number, self.moves[number]).len()).sum()
    }
}

/// Scattered over all ids, as the vendor's are.
fn id(number: usize) -> String {
    let (high, low) = (mixed(number as u64), mixed(!(number as u64)));
    format!(
        "cert_{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// A number that shows nothing of what it was made of (the finalizer of splitmix64).
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// A certificate for one state, which is renewed for another year whenever it moves.
fn certificate(number: usize, moves: u16) -> String {
    let (id, customer) = (id(number), mixed((number as u64 / 2) ^ (1 << 50)));
    // The newest first, one every seven seconds.
    let created = jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(1_780_000_000 - 7 * number as i64);
    let (expires, moved_hour, moved_minute) = (2090 + u32::from(moves), moves / 60 % 24, moves % 60);
    let mut text = String::with_capacity(800);
    write!(
        text,
        r#"{{"id":"{id}","object":"tax.exemption_certificate","status":"active","certificate_type":{{"id":"12","name":"California Resale Certificate (CDTFA-230)","certificate_identifier":"US-CA-CDTFA-230"}},"customer":{{"id":"cust_{customer:016x}-4b9a-8c5e-6f4a3b2c1d0e","reference_customer_id":"{number}"}},"jurisdictions":[{{"jurisdiction_id":"US-CA","status":"active","effective_date":"2026-01-15","expiration_date":"{expires}-01-15"}}],"effective_date":"2026-01-15","expiration_date":"{expires}-01-15","created_at":"{created}","updated_at":"2026-06-10T{moved_hour:02}:{moved_minute:02}:09Z","livemode":true}}"#
    )
    .expect("memory can be written to");
    text
}

/// Answers on a free port, which it prints, until the process that started this one is gone.
pub(super) async fn serve(certificates: usize) -> anyhow::Result<()> {
    let account = Arc::new(Mutex::new(Account::new(certificates)));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?.port());
    tokio::select! {
        accepted = accept(listener, account) => accepted,
        gone = super::parent_is_gone() => gone,
    }
}

async fn accept(listener: TcpListener, account: Arc<Mutex<Account>>) -> anyhow::Result<()> {
    let connections = TaskTracker::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let account = Arc::clone(&account);
        connections.spawn(async move {
            let answer = service_fn(|request: Request<Incoming>| {
                let answer = answer(&request, &mut account.lock().expect("nothing panics while it holds this lock"));
                async { Ok::<_, Infallible>(answer) }
            });
            // A caller that goes away is no concern of the account's.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await);
        });
    }
}

fn answer(request: &Request<Incoming>, account: &mut Account) -> Response<Full<Bytes>> {
    let body = match request.uri().path() {
        "/tax/certificates" => {
            let mut query = request.uri().query().unwrap_or("").split('&');
            let cursor = query.find_map(|part| part.strip_prefix("cursor="));
            let place = cursor.map_or(Some(0), |cursor| account.places.get(cursor).copied());
            place.and_then(|place| account.pages.get(place).cloned())
        }
        "/tax/certificate-requests" => Some(Bytes::from_static(NO_REQUESTS)),
        "/move" => Some(account.go_on().to_string().into()),
        "/bytes" => Some(account.bytes().to_string().into()),
        _ => None,
    };
    let status = if body.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut response = Response::new(Full::new(body.unwrap_or_default()));
    *response.status_mut() = status;
    response
}
