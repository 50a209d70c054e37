//! Wrong keys: after ten within a minute from one address, it has to wait for a minute.
//!
//! While it waits its keys are not even looked at, so that nobody guesses faster by hearing less. But a key that was
//! right from that address before is let through all the same: whoever shares an address with somebody who guesses, or
//! sits with all others behind a proxy that is not in `server.trusted_proxies`, is not kept out by him.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::key::KeyDigest;
use crate::model::time::Timestamp;

/// So many wrong keys
const FAILURES_MAX: u32 = 10;

/// within this time
const WINDOW: Duration = Duration::from_secs(60);

/// make an address wait so long.
const WAIT: Duration = Duration::from_secs(60);

/// So many addresses are known at most; then the one that was heard of first is forgotten.
const ADDRESSES_MAX: usize = 10_000;

/// What is known of addresses.
#[derive(Default)]
pub(super) struct Guesses {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Where wrong keys came from.
    wrong: HashMap<IpAddr, Failures>,
    /// Which keys were right from where, and when first. Only who has a key gets here.
    right: HashMap<(IpAddr, KeyDigest), Timestamp>,
}

/// Wrong keys from one address.
#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Timestamp,
    count: u32,
}

impl Failures {
    /// Until when it has to wait; `None`: it has not.
    fn blocked_until(self) -> Option<Timestamp> {
        (self.count >= FAILURES_MAX).then(|| self.since.plus(WAIT))
    }

    /// With one more. The wait begins with the one that is too many.
    fn and_one(self, now: Timestamp) -> Self {
        let fresh = Self { since: now, count: 1 };
        match self.blocked_until() {
            Some(end) if now < end => self,
            Some(_) => fresh,
            None if now.since(self.since) >= WINDOW => fresh,
            None if self.count + 1 == FAILURES_MAX => Self { since: now, count: FAILURES_MAX },
            None => Self { count: self.count + 1, ..self },
        }
    }

    fn matters(self, now: Timestamp) -> bool {
        now.since(self.since) < WINDOW.max(WAIT)
    }
}

impl Guesses {
    /// Whether a key from an address is looked at.
    ///
    /// # Errors
    /// How long to wait, if not.
    pub(super) fn admit(&self, address: IpAddr, key: KeyDigest, now: Timestamp) -> Result<(), Duration> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let address = of_one_owner(address);
        let until = known.wrong.get(&address).copied().and_then(Failures::blocked_until);
        match until.filter(|until| now < *until) {
            Some(until) if !known.right.contains_key(&(address, key)) => Err(until.since(now)),
            Some(_) | None => Ok(()),
        }
    }

    /// A key from an address was wrong.
    pub(super) fn was_wrong(&self, address: IpAddr, now: Timestamp) {
        let wrong = &mut self.known.lock().unwrap_or_else(PoisonError::into_inner).wrong;
        let address = of_one_owner(address);
        if wrong.len() >= ADDRESSES_MAX && !wrong.contains_key(&address) {
            wrong.retain(|_, failures| failures.matters(now));
            forget_first(wrong, |failures| failures.since);
        }
        let failures = wrong.entry(address).or_insert(Failures { since: now, count: 0 });
        *failures = failures.and_one(now);
    }

    /// A key from an address was right.
    pub(super) fn was_right(&self, address: IpAddr, key: KeyDigest, now: Timestamp) {
        let right = &mut self.known.lock().unwrap_or_else(PoisonError::into_inner).right;
        let name = (of_one_owner(address), key);
        if right.len() >= ADDRESSES_MAX && !right.contains_key(&name) {
            forget_first(right, |since| *since);
        }
        right.entry(name).or_insert(now);
    }
}

/// Makes room for one.
fn forget_first<K: Copy + Eq + std::hash::Hash, V>(known: &mut HashMap<K, V>, since: impl Fn(&V) -> Timestamp) {
    if known.len() < ADDRESSES_MAX {
        return;
    }
    if let Some(first) = known.iter().min_by_key(|(_, value)| since(value)).map(|(name, _)| *name) {
        known.remove(&first);
    }
}

/// An address, or the network of IPv6 that one customer of a provider has to himself: 2^64 addresses.
fn of_one_owner(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: KeyDigest = KeyDigest([1; 32]);
    const OTHER: KeyDigest = KeyDigest([2; 32]);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000).plus(Duration::from_secs(seconds))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn ten_wrong_keys_within_a_minute_make_an_address_wait_for_one() {
        let guesses = Guesses::default();
        let here = address("192.0.2.1");
        (0..9).for_each(|second| guesses.was_wrong(here, at(second)));
        assert_eq!(guesses.admit(here, OTHER, at(9)), Ok(()));
        guesses.was_wrong(here, at(10));
        assert_eq!(guesses.admit(here, OTHER, at(11)), Err(Duration::from_secs(59)));
        assert_eq!(guesses.admit(address("192.0.2.2"), OTHER, at(11)), Ok(()), "others do not wait");
        assert_eq!(guesses.admit(here, OTHER, at(70)), Ok(()));
        guesses.was_wrong(here, at(70));
        assert_eq!(guesses.admit(here, OTHER, at(71)), Ok(()), "it has ten tries again");
    }

    #[test]
    fn who_is_wrong_now_and_then_never_waits() {
        let guesses = Guesses::default();
        let here = address("192.0.2.1");
        for round in 0..100 {
            guesses.was_wrong(here, at(round * 7));
            assert_eq!(guesses.admit(here, OTHER, at(round * 7)), Ok(()), "{round}");
        }
    }

    #[test]
    fn a_key_that_was_right_from_there_goes_on_being_right() {
        let guesses = Guesses::default();
        let here = address("192.0.2.1");
        guesses.was_right(here, RIGHT, at(0));
        (0..10).for_each(|_| guesses.was_wrong(here, at(1)));
        assert_eq!(guesses.admit(here, RIGHT, at(2)), Ok(()));
        assert!(guesses.admit(here, OTHER, at(2)).is_err());
        (0..10).for_each(|_| guesses.was_wrong(address("192.0.2.2"), at(1)));
        assert!(guesses.admit(address("192.0.2.2"), RIGHT, at(2)).is_err(), "it was never used from there");
    }

    #[test]
    fn what_one_owner_has_of_ipv6_counts_as_one_address() {
        let guesses = Guesses::default();
        (0..10).for_each(|last| guesses.was_wrong(address(&format!("2001:db8::{last}")), at(0)));
        assert!(guesses.admit(address("2001:db8::ffff:1"), OTHER, at(1)).is_err());
        assert_eq!(guesses.admit(address("2001:db8:0:1::1"), OTHER, at(1)), Ok(()));
    }

    #[test]
    fn no_more_addresses_are_known_than_there_is_room_for() {
        let guesses = Guesses::default();
        let many = |number: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(number));
        (0..10).for_each(|_| guesses.was_wrong(many(20_000), at(1)));
        for number in 0..ADDRESSES_MAX as u32 + 5 {
            guesses.was_wrong(many(number), at(2));
            guesses.was_right(many(number), RIGHT, at(2));
        }
        let known = guesses.known.lock().expect("no panic");
        assert_eq!((known.wrong.len(), known.right.len()), (ADDRESSES_MAX, ADDRESSES_MAX));
        assert!(!known.wrong.contains_key(&many(20_000)), "the one that was heard of first is forgotten");
    }
}
