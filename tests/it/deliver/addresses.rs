//! A corpus of addresses: every spelling, every special-purpose block, every disguise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use certhook::deliver::Settings;
use certhook::deliver::guard::{Guard, Refusal, address};
use certhook::deliver::transport::Transport;
use certhook::model::delivery::Outcome;
use ipnet::IpNet;
use url::Url;

use super::fixture::{Names, PATIENT, Receiver, answer, request, strict, transport};

/// Hosts as one may write them in a URL, and the address that is meant.
const SPELLINGS: [(&str, &str); 61] = [
    ("127.0.0.1", "127.0.0.1"),
    ("127.0.0.1.", "127.0.0.1"),
    ("127.1", "127.0.0.1"),
    ("127.1.", "127.0.0.1"),
    ("127.0.1", "127.0.0.1"),
    ("127.65535", "127.0.255.255"),
    ("127.255.65535", "127.255.255.255"),
    ("2130706433", "127.0.0.1"),
    ("02130706433", "17.185.6.33"),
    ("0177.0.0.1", "127.0.0.1"),
    ("0177.0.0.01", "127.0.0.1"),
    ("0000000177.0.0.1", "127.0.0.1"),
    ("017700000001", "127.0.0.1"),
    ("0x7f000001", "127.0.0.1"),
    ("0X7F000001", "127.0.0.1"),
    ("0x7f.0x0.0x0.0x1", "127.0.0.1"),
    ("0x7f.1", "127.0.0.1"),
    ("0x7f.0.0.01", "127.0.0.1"),
    ("0x00000000007f.1", "127.0.0.1"),
    ("127.0x000001", "127.0.0.1"),
    ("0", "0.0.0.0"),
    ("0x", "0.0.0.0"),
    ("00", "0.0.0.0"),
    ("0.0", "0.0.0.0"),
    ("1", "0.0.0.1"),
    ("4294967295", "255.255.255.255"),
    ("0xffffffff", "255.255.255.255"),
    ("037777777777", "255.255.255.255"),
    ("10.1", "10.0.0.1"),
    ("0xa.1", "10.0.0.1"),
    ("012.1", "10.0.0.1"),
    ("167772161", "10.0.0.1"),
    ("0xa9fea9fe", "169.254.169.254"),
    ("2852039166", "169.254.169.254"),
    ("169.254.43518", "169.254.169.254"),
    ("0251.0376.0251.0376", "169.254.169.254"),
    ("%31%32%37.0.0.1", "127.0.0.1"),
    ("127%2e0%2e0%2e1", "127.0.0.1"),
    ("%30x7f.1", "127.0.0.1"),
    ("１２７.０.０.１", "127.0.0.1"),
    ("127．0．0．1", "127.0.0.1"),
    ("127。0。0。1", "127.0.0.1"),
    ("127｡0｡0｡1", "127.0.0.1"),
    ("127.0.0.1。", "127.0.0.1"),
    ("①②⑦.⓪.⓪.①", "127.0.0.1"),
    ("𝟏𝟐𝟕.𝟎.𝟎.𝟏", "127.0.0.1"),
    ("¹²⁷.⁰.⁰.¹", "127.0.0.1"),
    ("０ｘ７ｆ.１", "127.0.0.1"),
    ("127.0.0.\u{ad}1", "127.0.0.1"),
    ("12\u{200b}7.0.0.1", "127.0.0.1"),
    ("[::1]", "::1"),
    ("[0:0:0:0:0:0:0:1]", "::1"),
    ("[0000::0001]", "::1"),
    ("[::0.0.0.1]", "::1"),
    ("[::]", "::"),
    ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
    ("[::ffff:7f00:1]", "::ffff:127.0.0.1"),
    ("[0:0:0:0:0:FFFF:7F00:0001]", "::ffff:127.0.0.1"),
    ("[64:ff9b::a9fe:a9fe]", "64:ff9b::169.254.169.254"),
    ("[2002:7f00:1::]", "2002:7f00:1::"),
    ("[fe80::1]", "fe80::1"),
];

/// What is no host at all, so that no two parsers can differ about it.
const NO_HOSTS: [&str; 21] = [
    "",
    "256.0.0.1",
    "127.0.0.256",
    "127.0.0.0.1",
    "1.2.3.4.5",
    "127.16777216",
    "4294967296",
    "0x100000000",
    "040000000000",
    "0x7g.1",
    "08.0.0.1",
    "public.test.0x7f",
    "[::1",
    "::1",
    "[::1]x",
    "[fe80::1%25lo]",
    "[fe80::1%lo]",
    "[::ffff:127.0.0.1.]",
    "[::127.1]",
    "127.0.0.1 ",
    "public.test\u{0}.test",
];

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn network(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn guard(settings: &Settings) -> Guard {
    let names = ["public.test", "public.test."].into_iter();
    let names = names.fold(Names::default(), |names, name| names.with(name, &["93.184.215.14"]));
    Guard::with_look_up(settings, Arc::new(names), PATIENT)
}

/// What is said to a URL when it is registered.
async fn admit(settings: &Settings, url: &str) -> Result<(), Refusal> {
    guard(settings).admit(&url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))).await
}

#[tokio::test]
async fn whatever_the_spelling_the_address_is_seen() {
    let receiver = Receiver::start(vec![answer(200, "", "")]).await;
    let transport = transport(&Settings { allow_http: true, ..strict(PATIENT) });
    for (host, meant) in SPELLINGS {
        let url = format!("https://{host}:{}/hook", receiver.address.port());
        match admit(&strict(PATIENT), &url).await {
            Err(Refusal::Address { address, .. }) => assert_eq!(address, ip(meant), "{host}"),
            other if ip(meant) == ip("17.185.6.33") => assert_eq!(other, Ok(()), "{host} is octal, and public"),
            other => panic!("{host}: {other:?}"),
        }
        if address::special(ip(meant)).is_some() {
            for url in [url.clone(), url.replace("https:", "http:")] {
                let response = transport.send(request(&url)).await;
                assert_eq!((response.outcome, response.address), (Outcome::AddressRefused, None), "{url}");
            }
        }
    }
    assert!(receiver.was_never_called().await);
}

#[test]
fn what_is_no_host_is_no_url() {
    for host in NO_HOSTS {
        let url = Url::parse(&format!("https://{host}/"));
        assert!(url.is_err(), "{host:?} is taken for {:?}", url.map(|url| url.host().map(|host| host.to_string())));
    }
}

#[tokio::test]
async fn what_only_looks_like_another_host_is_judged_by_the_real_one() {
    for (url, real) in [
        ("https:127.0.0.1/", Some("127.0.0.1")),
        ("https:////127.0.0.1/", Some("127.0.0.1")),
        ("https:\\\\127.0.0.1\\", Some("127.0.0.1")),
        ("https://127.0.0.1\\@public.test/", Some("127.0.0.1")),
        ("https://127.0.0.1#@public.test/", Some("127.0.0.1")),
        ("https://127.0.0.1?@public.test/", Some("127.0.0.1")),
        ("ht\ntps://127.0.\t0.1/", Some("127.0.0.1")),
        ("  https://127.0.0.1/  ", Some("127.0.0.1")),
        ("https://public.test#@127.0.0.1/", None),
        ("https://public.test\\@127.0.0.1/", None),
        ("https://public.test./", None),
        ("https://PUBLIC.test/", None),
        ("https://ｐｕｂｌｉｃ.test/", None),
    ] {
        match (admit(&strict(PATIENT), url).await, real) {
            (Ok(()), None) => {}
            (Err(Refusal::Address { address, .. }), Some(real)) => assert_eq!(address, ip(real), "{url:?}"),
            (other, _) => panic!("{url:?}: {other:?}"),
        }
    }
    for url in [
        "https://public.test@127.0.0.1/",
        "https://public.test:80@127.0.0.1/",
        "https://127.0.0.1@public.test/",
        "https://127.0.0.1:443@public.test/",
        "https://:@public.test/x",
        "https://user%40public.test@public.test/",
        "https://public.test%00@public.test/",
    ] {
        let expected = if url.contains(":@") { Ok(()) } else { Err(Refusal::UserInfo) };
        assert_eq!(admit(&strict(PATIENT), url).await, expected, "{url}");
    }
}

/// The special-purpose registry of IPv4 as it is published, and what other registries reserve.
/// <https://www.iana.org/assignments/iana-ipv4-special-registry>
const IPV4_BLOCKS: [&str; 28] = [
    "0.0.0.0/8",
    "0.0.0.0/32",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.9/32",
    "192.0.0.10/32",
    "192.0.0.170/32",
    "192.0.0.171/32",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.88.99.2/32",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    // Multicast, beside that registry.
    "224.0.0.0/4",
    "233.252.0.0/24",
    "240.0.0.0/4",
    "255.255.255.255/32",
];

/// The same of IPv6. <https://www.iana.org/assignments/iana-ipv6-special-registry>
const IPV6_BLOCKS: [&str; 30] = [
    "::1/128",
    "::/128",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001::/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:2::/48",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    // Beside that registry: site-local, multicast, and all that has not been given out.
    "fec0::/10",
    "ff00::/8",
    "::/96",
    "::ffff:0:0:0/96",
    "200::/7",
    "400::/6",
    "1000::/4",
    "4000::/2",
];

/// Blocks whose addresses stand for IPv4 addresses, and are judged as those.
const STAND_INS: [&str; 3] = ["::ffff:0:0/96", "64:ff9b::/96", "2002::/16"];

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address with these bits, of the same kind as another.
fn like(kind: IpAddr, bits: u128) -> Option<IpAddr> {
    match kind {
        IpAddr::V4(_) => u32::try_from(bits).ok().map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(_) => Some(Ipv6Addr::from_bits(bits).into()),
    }
}

#[test]
fn every_block_of_the_registries_is_refused_and_every_neighbour_is_not() {
    let blocks: Vec<IpNet> = IPV4_BLOCKS.into_iter().chain(IPV6_BLOCKS).map(network).collect();
    let stand_ins = STAND_INS.map(network);
    let mut neighbours = 0;
    for block in &blocks {
        let (first, last) = (block.network(), block.broadcast());
        let middle = like(first, bits(first) + (bits(last) - bits(first)) / 2).expect("an address");
        for address in [first, middle, last] {
            assert!(address::special(address).is_some(), "{address} of {block}");
        }
        let before = bits(first).checked_sub(1).and_then(|bits| like(first, bits));
        let after = bits(last).checked_add(1).and_then(|bits| like(last, bits));
        for address in [before, after].into_iter().flatten() {
            let is_given_out = address.is_ipv4() || network("2000::/3").contains(&address);
            let is_elsewhere = blocks.iter().chain(&stand_ins).any(|other| other.contains(&address));
            if is_given_out && !is_elsewhere {
                assert_eq!(address::special(address), None, "{address} beside {block}");
                neighbours += 1;
            }
        }
    }
    assert!(neighbours > 30, "{neighbours}");
}

/// The forms in which an IPv6 address holds an IPv4 address; those of Teredo hold it inverted.
fn disguises(address: Ipv4Addr) -> [IpAddr; 10] {
    let [a, b] = [(address.to_bits() >> 16) as u16, address.to_bits() as u16];
    [
        [0, 0, 0, 0, 0, 0xffff, a, b],
        [0, 0, 0, 0, 0xffff, 0, a, b],
        [0, 0, 0, 0, 0, 0, a, b],
        [0x64, 0xff9b, 0, 0, 0, 0, a, b],
        [0x64, 0xff9b, 1, 0, 0, 0, a, b],
        [0x2002, a, b, 0, 0, 0, 0, 1],
        [0x2001, 0, a, b, 0, 0, !a, !b],
        [0x2001, 0, 0x5db8, 0xd70e, 0, 0xffff, !a, !b],
        [0xfec0, 0, 0, 0, 0, 0, a, b],
        [0xfe80, 0, 0, 0, 0, 0x5efe, a, b],
    ]
    .map(|words| IpAddr::V6(words.into()))
}

#[tokio::test]
async fn no_disguise_opens_a_refused_address() {
    for block in IPV4_BLOCKS.map(network) {
        for plain in [block.network(), block.broadcast()] {
            let IpAddr::V4(plain) = plain else { panic!("an IPv4 address") };
            for disguised in disguises(plain) {
                let refused = admit(&strict(PATIENT), &format!("https://[{disguised}]/")).await;
                assert!(matches!(refused, Err(Refusal::Address { .. })), "{plain} as {disguised}: {refused:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_network_that_a_refusal_names_permits_the_address_and_nothing_beside_it() {
    for (host, meant) in SPELLINGS {
        let url = format!("https://{host}/");
        let Err(refusal) = admit(&strict(PATIENT), &url).await else { continue };
        let message = refusal.to_string();
        let (_, named) = message.split_once("; to permit it, add \"").expect("a remedy");
        let (named, rest) = named.split_once('"').expect("a network");
        assert_eq!(rest, " to delivery.allow_networks");
        let settings = Settings { allow_networks: vec![network(named)], ..strict(PATIENT) };
        for scheme in ["https", "http"] {
            let url = url.replace("https", scheme);
            assert_eq!(admit(&settings, &url).await, Ok(()), "{url} with {named}");
        }
        for (other, means) in SPELLINGS {
            let is_the_same = address::as_network(ip(means)) == address::as_network(ip(meant));
            let admitted = admit(&settings, &format!("https://{other}/")).await.is_ok();
            assert_eq!(admitted, is_the_same || address::special(ip(means)).is_none(), "{other} with {named}");
        }
    }
}

#[tokio::test]
async fn a_network_opens_what_it_says() {
    for (allowed, opened, closed) in [
        (
            "10.1.0.0/16",
            &["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::1"][..],
            &["10.0.255.255", "10.2.0.0", "::10.1.2.3", "64:ff9b:1::10.1.2.3", "fec0::10.1.2.3", "127.0.0.1"][..],
        ),
        ("10.1.2.3/32", &["10.1.2.3"], &["10.1.2.2", "10.1.2.4"]),
        ("127.0.0.0/8", &["127.0.0.1", "127.255.255.255"], &["::1", "0.0.0.0"]),
        ("fd00::/8", &["fd00::1", "fdff::1"], &["fc00::1", "fe80::1"]),
        ("64:ff9b::/96", &["64:ff9b::10.1.2.3"], &["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b:1::1"]),
        ("0.0.0.0/0", &["127.0.0.1", "255.255.255.255", "::ffff:127.0.0.1"], &["::1", "fd00::1", "::127.0.0.1"]),
        (
            "::/0",
            &["::1", "fd00::1", "ff02::1"],
            &["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::"],
        ),
    ] {
        let settings = Settings { allow_networks: vec![network(allowed)], ..strict(PATIENT) };
        for (addresses, is_open) in [(opened, true), (closed, false)] {
            for address in addresses.iter().map(|address| ip(address)) {
                let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
                let admitted = admit(&settings, &format!("https://{host}/")).await.is_ok();
                assert_eq!(admitted, is_open, "{address} with {allowed}");
            }
        }
    }
}
