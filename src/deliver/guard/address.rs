//! Which addresses are public: a table over the special-purpose registries of IANA.
//!
//! Everything in the [IPv4](https://www.iana.org/assignments/iana-ipv4-special-registry) and
//! [IPv6](https://www.iana.org/assignments/iana-ipv6-special-registry) registries is refused, and multicast, and
//! what is reserved. That includes the few blocks there that could be reached (AS112, AMT): nobody receives
//! webhooks on them. Of IPv6, only 2000::/3 has been given out, so all that lies outside it is refused as well.
//!
//! An IPv6 address that stands for an IPv4 address is judged as that address: IPv4-mapped, NAT64 and 6to4. Two
//! forms are refused whatever they hold: Teredo, which lies in a refused block and is dead, and NAT64 under
//! 64:ff9b:1::/48, where the place of the IPv4 address depends on a prefix length that only the network knows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(high: [u16; 4], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(high[0], high[1], high[2], high[3], 0, 0, 0, 0), length)
}

/// Refused blocks of IPv4, and what an address in each is. The first that fits counts.
const IPV4: &[(Ipv4Net, &str)] = &[
    (v4(0, 0, 0, 0, 8), "an address of \"this network\""),
    (v4(10, 0, 0, 0, 8), "a private address"),
    (v4(100, 64, 0, 0, 10), "an address shared by a carrier's customers"),
    (v4(127, 0, 0, 0, 8), "a loopback address"),
    (v4(169, 254, 0, 0, 16), "a link-local address"),
    (v4(172, 16, 0, 0, 12), "a private address"),
    (v4(192, 0, 0, 0, 24), "an address for protocol assignments"),
    (v4(192, 0, 2, 0, 24), "an address for documentation"),
    (v4(192, 31, 196, 0, 24), "an address of AS112"),
    (v4(192, 52, 193, 0, 24), "an address of AMT relays"),
    (v4(192, 88, 99, 0, 24), "an address of 6to4 relays"),
    (v4(192, 168, 0, 0, 16), "a private address"),
    (v4(192, 175, 48, 0, 24), "an address of AS112"),
    (v4(198, 18, 0, 0, 15), "an address for benchmarks"),
    (v4(198, 51, 100, 0, 24), "an address for documentation"),
    (v4(203, 0, 113, 0, 24), "an address for documentation"),
    (v4(224, 0, 0, 0, 4), "a multicast address"),
    (v4(255, 255, 255, 255, 32), "the broadcast address"),
    (v4(240, 0, 0, 0, 4), "a reserved address"),
];

/// Refused blocks of IPv6, and what an address in each is. The first that fits counts; [`stand_in`] goes before.
const IPV6: &[(Ipv6Net, &str)] = &[
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), "the unspecified address"),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "a loopback address"),
    (v6([0x64, 0xff9b, 1, 0], 48), "a local NAT64 address"),
    (v6([0, 0, 0, 0], 8), "a reserved address"),
    (v6([0x100, 0, 0, 0], 64), "a discard-only address"),
    (v6([0x100, 0, 0, 1], 64), "a dummy address"),
    (v6([0x2001, 0, 0, 0], 32), "a Teredo address"),
    (v6([0x2001, 0, 0, 0], 23), "an address for protocol assignments"),
    (v6([0x2001, 0xdb8, 0, 0], 32), "an address for documentation"),
    (v6([0x2620, 0x4f, 0x8000, 0], 48), "an address of AS112"),
    (v6([0x3fff, 0, 0, 0], 20), "an address for documentation"),
    (v6([0x5f00, 0, 0, 0], 16), "a segment identifier"),
    (v6([0xfc00, 0, 0, 0], 7), "a unique-local address"),
    (v6([0xfe80, 0, 0, 0], 10), "a link-local address"),
    (v6([0xfec0, 0, 0, 0], 10), "a site-local address"),
    (v6([0xff00, 0, 0, 0], 8), "a multicast address"),
];

/// All that has been given out of IPv6.
const IPV6_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0], 3);

const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0], 96);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0], 16);

/// What an address is, in words, if it is not public.
pub fn special(address: IpAddr) -> Option<&'static str> {
    match target(address) {
        IpAddr::V4(address) => IPV4.iter().find(|(block, _)| block.contains(&address)).map(|(_, what)| *what),
        IpAddr::V6(address) => match IPV6.iter().find(|(block, _)| block.contains(&address)) {
            Some((_, what)) => Some(what),
            None if IPV6_UNICAST.contains(&address) => None,
            None => Some("a reserved address"),
        },
    }
}

/// Whether an address lies in one of the networks. One that stands for an IPv4 address lies where that one does, and
/// in networks that are written in its own form; a network that merely includes that form does not open IPv4.
pub fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    match stand_in(address) {
        Some((form, target)) => networks.iter().any(|network| {
            network.contains(&IpAddr::V4(target)) || (form.contains(network) && network.contains(&address))
        }),
        None => networks.iter().any(|network| network.contains(&address)),
    }
}

/// The network of this address alone, as the configuration would name it.
pub fn as_network(address: IpAddr) -> IpNet {
    IpNet::from(target(address))
}

/// The address itself, or the IPv4 address that it stands for.
fn target(address: IpAddr) -> IpAddr {
    stand_in(address).map_or(address, |(_, target)| IpAddr::V4(target))
}

/// The IPv4 address that an IPv6 address stands for, if it does, and the block of all that do so in that form.
fn stand_in(address: IpAddr) -> Option<(IpNet, Ipv4Addr)> {
    let IpAddr::V6(address) = address else { return None };
    let [_, _, e, f, g, h, _, _, _, _, _, _, a, b, c, d] = address.octets();
    let (last, middle) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
    let forms = [(MAPPED, last), (NAT64, last), (SIX_TO_FOUR, middle)];
    forms.into_iter().find(|(form, _)| form.contains(&address)).map(|(form, target)| (form.into(), target))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn every_special_block_is_refused_from_its_first_address_to_its_last() {
        for (block, what) in [
            ("0.0.0.0/8", "\"this network\""),
            ("10.0.0.0/8", "private"),
            ("100.64.0.0/10", "carrier"),
            ("127.0.0.0/8", "loopback"),
            ("169.254.0.0/16", "link-local"),
            ("172.16.0.0/12", "private"),
            ("192.0.0.0/24", "protocol"),
            ("192.0.2.0/24", "documentation"),
            ("192.31.196.0/24", "AS112"),
            ("192.52.193.0/24", "AMT"),
            ("192.88.99.0/24", "6to4"),
            ("192.168.0.0/16", "private"),
            ("192.175.48.0/24", "AS112"),
            ("198.18.0.0/15", "benchmarks"),
            ("198.51.100.0/24", "documentation"),
            ("203.0.113.0/24", "documentation"),
            ("224.0.0.0/4", "multicast"),
            ("240.0.0.0/5", "reserved"),
            ("255.255.255.255/32", "broadcast"),
            ("::/128", "unspecified"),
            ("::1/128", "loopback"),
            ("::/97", ""),
            ("::ffff:0:0:0/96", "reserved"),
            ("64:ff9b:1::/48", "local NAT64"),
            ("100::/64", "discard-only"),
            ("100:0:0:1::/64", "dummy"),
            ("200::/7", "reserved"),
            ("400::/6", "reserved"),
            ("1000::/4", "reserved"),
            ("2001::/32", "Teredo"),
            ("2001:1::/32", "protocol"),
            ("2001:20::/28", "protocol"),
            ("2001:db8::/32", "documentation"),
            ("2620:4f:8000::/48", "AS112"),
            ("3fff::/20", "documentation"),
            ("4000::/3", ""),
            ("5f00::/16", "segment"),
            ("c000::/3", "reserved"),
            ("fc00::/7", "unique-local"),
            ("fe80::/10", "link-local"),
            ("fec0::/10", "site-local"),
            ("ff00::/8", "multicast"),
        ] {
            let block: IpNet = block.parse().expect("a network");
            for address in [block.network(), block.broadcast()] {
                let found = special(address);
                assert!(found.is_some_and(|found| found.contains(what)), "{address} of {block}: {found:?}");
            }
        }
    }

    #[test]
    fn an_address_that_stands_for_another_is_judged_as_that_one() {
        for (address, public) in [
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.1.2.3", false),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::169.254.169.254", false),
            ("64:ff9b::8.8.8.8", true),
            ("64:ff9b:1::8.8.8.8", false),
            ("64:ff9b:2::8.8.8.8", false),
            ("2002:7f00:1::", false),
            ("2002:a9fe:a9fe::1", false),
            ("2002:808:808::1", true),
            ("2001:0:808:808::f7f7:f7f7", false),
            ("::8.8.8.8", false),
            ("::ffff:0:8.8.8.8", false),
        ] {
            assert_eq!(special(ip(address)).is_none(), public, "{address}");
        }
    }

    #[test]
    fn a_network_holds_what_stands_for_its_addresses() {
        let networks = ["10.0.0.0/8".parse().expect("a network"), "fd00::/8".parse().expect("a network")];
        for (address, held) in [
            ("10.9.8.7", true),
            ("::ffff:10.9.8.7", true),
            ("64:ff9b::10.9.8.7", true),
            ("2002:a09:807::1", true),
            ("fd12::1", true),
            ("11.9.8.7", false),
            ("::10.9.8.7", false),
            ("fc00::1", false),
        ] {
            assert_eq!(is_in(&networks, ip(address)), held, "{address}");
        }
        assert_eq!(as_network(ip("::ffff:10.9.8.7")).to_string(), "10.9.8.7/32");
        assert_eq!(as_network(ip("fd12::1")).to_string(), "fd12::1/128");
    }

    proptest! {
        #[test]
        fn no_disguise_changes_the_verdict_on_an_ipv4_address(bits: u32, low: u64) {
            let plain = Ipv4Addr::from_bits(bits);
            let verdict = special(plain.into());
            let [a, b, c, d] = plain.octets().map(u128::from);
            let packed = a << 24 | b << 16 | c << 8 | d;
            for disguise in [0xffff << 32 | packed, 0x64_ff9b << 96 | packed, 0x2002 << 112 | packed << 80 | u128::from(low)] {
                prop_assert_eq!(special(Ipv6Addr::from_bits(disguise).into()), verdict);
            }
        }

        #[test]
        fn nothing_outside_the_unicast_block_is_public_but_what_stands_for_ipv4(bits: u128) {
            let address = Ipv6Addr::from_bits(bits);
            prop_assert!(special(address.into()).is_some() || IPV6_UNICAST.contains(&address) || stand_in(address.into()).is_some());
        }
    }
}
