//! Where a request comes from: the peer, or whom a proxy that we trust names.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use ipnet::IpNet;

/// The header in which proxies note down from whom they have a request, each behind those before it.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address that a request comes from; `None` where its connection has none.
pub(super) fn of(request: &Request, trusted: &[IpNet]) -> Option<IpAddr> {
    let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    Some(behind(peer.ip(), request.headers(), trusted))
}

/// The last address that was not noted down by somebody whom we do not trust: anybody can send us the header, and only
/// what a trusted proxy has put behind it is true.
fn behind(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let values = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut noted = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    let mut address = peer.to_canonical();
    while is_trusted(address) {
        match noted.next().and_then(read) {
            Some(next) => address = next,
            None => break,
        }
    }
    address
}

/// An address as proxies write it, some with a port.
fn read(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(peer: &str, noted: &[&str]) -> String {
        let trusted: Vec<IpNet> =
            ["10.0.0.0/8", "2001:db8:1::/48"].map(|network| network.parse().expect("a network")).into();
        let mut headers = HeaderMap::new();
        for value in noted {
            headers.append(FORWARDED_FOR, value.parse().expect("a header"));
        }
        behind(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn only_what_a_trusted_proxy_has_noted_down_counts() {
        for (peer, noted, address) in [
            ("192.0.2.1", &[][..], "192.0.2.1"),
            ("192.0.2.1", &["198.51.100.9"], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.9"], "198.51.100.9"),
            ("10.0.0.1", &["203.0.113.66, 198.51.100.9"], "198.51.100.9"),
            ("10.0.0.1", &["203.0.113.66", "198.51.100.9, 10.0.0.2"], "198.51.100.9"),
            ("10.0.0.1", &["10.0.0.3,10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["203.0.113.66, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["198.51.100.9:4711"], "198.51.100.9"),
            ("10.0.0.1", &["[2001:db8:2::9]:4711"], "2001:db8:2::9"),
            ("10.0.0.1", &["[2001:db8:2::9]"], "2001:db8:2::9"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.9"], "198.51.100.9"),
            ("2001:db8:1::5", &["2001:db8:2::9"], "2001:db8:2::9"),
        ] {
            assert_eq!(found(peer, noted), address, "{peer} {noted:?}");
        }
    }
}
