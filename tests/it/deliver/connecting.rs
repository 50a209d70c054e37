//! Where the real connector connects to, whatever URLs and names say: this machine has many addresses of its own, and
//! a few of them are permitted here.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certhook::deliver::Settings;
use certhook::deliver::guard::{Guard, LookUp};
use certhook::deliver::transport::{HttpTransport, Transport};
use certhook::model::delivery::Outcome;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::net::{TcpListener, TcpSocket};

use super::fixture::{IMPATIENT, Names, PATIENT, Receiver, answer, listen_at, request, settings, strict};

/// Addresses with receivers, the permitted ones first.
const ADDRESSES: [[u8; 4]; 6] =
    [[127, 0, 0, 2], [127, 0, 0, 3], [127, 7, 0, 1], [127, 0, 0, 1], [127, 0, 0, 4], [127, 8, 0, 1]];
const PERMITTED: usize = 3;

/// What permits the first three, and none of the others.
const NETWORKS: [&str; 2] = ["127.0.0.2/31", "127.7.0.0/16"];

/// Listeners at all of the addresses, at one port, if it is free everywhere.
fn listeners() -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    let mut port = 0;
    for address in ADDRESSES {
        let listener = listen_at(SocketAddr::new(Ipv4Addr::from(address).into(), port))?;
        port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(listeners)
}

/// One of the addresses, in one of its spellings in a URL or in an answer of a name server.
#[derive(Clone, Debug)]
struct Spelled {
    index: usize,
    spelling: usize,
}

impl Spelled {
    fn is_permitted(&self) -> bool {
        self.index < PERMITTED
    }

    fn plain(&self) -> IpAddr {
        Ipv4Addr::from(ADDRESSES[self.index]).into()
    }

    /// As a name server answers: plain, or as an IPv6 address that leads to the same place.
    fn resolved(&self) -> IpAddr {
        let plain = Ipv4Addr::from(ADDRESSES[self.index]);
        if self.spelling == 0 { plain.to_ipv6_mapped().into() } else { plain.into() }
    }

    fn host(&self) -> String {
        let [a, b, c, d] = ADDRESSES[self.index];
        let whole = u32::from_be_bytes([a, b, c, d]);
        let low = whole & 0xff_ffff;
        match self.spelling {
            0 => format!("[::ffff:{a}.{b}.{c}.{d}]"),
            1 => format!("{a}.{b}.{c}.{d}"),
            2 => format!("{whole}"),
            3 => format!("0x{whole:x}"),
            4 => format!("0{whole:o}."),
            5 => format!("{a}.{low}"),
            6 => format!("0{a:o}.0x{b:x}.{c}.{d}"),
            _ => format!("{a}。{b}。{c}。{d}"),
        }
    }
}

/// What a request is sent to.
#[derive(Clone, Debug)]
enum Host {
    Literal(Spelled),
    /// A name that is answered for so, by one after the other of these lists.
    Name(Vec<Vec<Spelled>>),
}

fn any_host() -> impl Strategy<Value = Host> {
    let spelled = || (0..ADDRESSES.len(), 0..8_usize).prop_map(|(index, spelling)| Spelled { index, spelling });
    // Lists of permitted addresses alone are as frequent as others.
    let list = prop_oneof![
        prop::collection::vec(spelled(), 1..5),
        prop::collection::vec(spelled().prop_filter("permitted", Spelled::is_permitted), 1..5),
    ];
    prop_oneof![spelled().prop_map(Host::Literal), prop::collection::vec(list, 1..4).prop_map(Host::Name)]
}

/// Answers for one name, by its lists in turn.
#[derive(Debug, Default)]
struct Fickle {
    lists: Mutex<Vec<Vec<IpAddr>>>,
}

impl LookUp for Fickle {
    fn look_up(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let mut lists = self.lists.lock().expect("no test panics here");
        lists.rotate_left(1);
        lists.last().cloned().ok_or_else(|| io::Error::other("no such name"))
    }
}

/// Sends to a host as often as its name has answers, and fails if one of them leads where it should not.
async fn sent_to(host: &Host, port: u16, names: &Fickle, transport: &HttpTransport) -> Result<(), TestCaseError> {
    let (host, expected) = match host {
        Host::Literal(address) => (address.host(), vec![vec![address.clone()]]),
        Host::Name(lists) => {
            let resolved = |list: &Vec<Spelled>| list.iter().map(Spelled::resolved).collect();
            *names.lists.lock().expect("no test panics here") = lists.iter().map(resolved).collect();
            ("fickle.test".to_owned(), lists.clone())
        }
    };
    for list in expected {
        let response = transport.send(request(&format!("http://{host}:{port}/hook"))).await;
        if list.iter().all(Spelled::is_permitted) {
            prop_assert_eq!(response.outcome, Outcome::Delivered, "{:?}", response);
            let reached: SocketAddr = response.address.expect("an address").parse().expect("an address");
            prop_assert!(list.iter().any(|one| one.plain() == reached.ip().to_canonical()), "{}", reached);
        } else {
            prop_assert_eq!((response.outcome, response.address), (Outcome::AddressRefused, None));
        }
    }
    Ok(())
}

#[test]
fn no_refused_address_is_ever_connected_to() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let listeners = (0..100).find_map(|_| listeners().ok()).expect("a port that is free everywhere");
    let port = listeners[0].local_addr().expect("an address").port();
    let closing = vec![answer(200, "connection: close\r\n", "")];
    let receivers: Vec<_> = listeners.into_iter().map(|one| Receiver::start_at(one, closing.clone())).collect();
    let allow_networks = NETWORKS.map(|network| network.parse().expect("a network")).into();
    let settings = Settings { allow_networks, allow_http: true, ..strict(PATIENT) };
    let names = Arc::<Fickle>::default();
    // Nothing is remembered, so that every request asks anew, and once.
    let guard = Guard::with_look_up(&settings, Arc::clone(&names) as _, Duration::ZERO);
    let transport = HttpTransport::new(&settings, Arc::new(guard)).expect("a transport");
    let outcome =
        TestRunner::default().run(&any_host(), |host| runtime.block_on(sent_to(&host, port, &names, &transport)));
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let (permitted, refused) = receivers.split_at(PERMITTED);
    assert!(permitted.iter().all(|receiver| receiver.connections() > 0), "every permitted one was reached");
    for receiver in refused {
        assert!(runtime.block_on(receiver.was_never_called()), "{}", receiver.address);
    }
}

/// An address that does not answer at all: nobody takes its connections, and no more can wait. Beside it, what keeps it
/// so.
fn silent(address: SocketAddr) -> (TcpListener, Vec<std::net::TcpStream>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(address).expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok();
    let waiting = std::iter::from_fn(connect).take(100).collect();
    (listener, waiting)
}

#[tokio::test]
async fn an_address_that_does_not_answer_gives_way_to_the_next_one() {
    let receiver = Receiver::start(vec![answer(200, "", "")]).await;
    let port = receiver.address.port();
    let _silent = silent(SocketAddr::new(Ipv4Addr::new(127, 0, 0, 9).into(), port));
    let names = || Arc::new(Names::default().with("both.test", &["127.0.0.9", "127.0.0.1"]));
    for (host, timeout, outcome, error) in [
        ("both.test", PATIENT, Outcome::Delivered, None),
        ("127.0.0.9", IMPATIENT, Outcome::ConnectFailed, Some("no connection within 300 ms")),
    ] {
        let settings = settings(timeout);
        let guard = Guard::with_look_up(&settings, names(), PATIENT);
        let transport = HttpTransport::new(&settings, Arc::new(guard)).expect("a transport");
        let response = transport.send(request(&format!("http://{host}:{port}/"))).await;
        assert_eq!((response.outcome, response.error.as_deref()), (outcome, error));
        assert!(response.took < PATIENT / 2, "{:?}", response.took);
    }
}

#[tokio::test]
async fn of_several_addresses_the_first_that_answers_is_taken() {
    let receiver = Receiver::start(vec![answer(200, "connection: close\r\n", "")]).await;
    let names = Names::default()
        .with("one.test", &["127.0.0.9", "127.0.0.1"])
        .with("last.test", &["127.0.0.9", "127.0.0.10", "127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.1"])
        .with("many.test", &[&["127.0.0.9"; 8][..], &["127.0.0.1"]].concat())
        .with("none.test", &["127.0.0.9", "127.0.0.10"]);
    let settings = settings(PATIENT);
    let guard = Guard::with_look_up(&settings, Arc::new(names), PATIENT);
    let transport = HttpTransport::new(&settings, Arc::new(guard)).expect("a transport");
    for (host, outcome) in [
        ("one.test", Outcome::Delivered),
        ("last.test", Outcome::Delivered),
        ("many.test", Outcome::ConnectFailed),
        ("none.test", Outcome::ConnectFailed),
    ] {
        let response = transport.send(request(&format!("http://{host}:{}/", receiver.address.port()))).await;
        assert_eq!(response.outcome, outcome, "{host}: {response:?}");
        let reached = (outcome == Outcome::Delivered).then(|| receiver.address.to_string());
        assert_eq!(response.address, reached, "{host}");
    }
}
