//! Identifiers: base62 with a prefix that says what they name.
//!
//! Ids that we give carry the key of what they name, so that looking one up needs no index; the random bits that
//! go with it keep them from being guessed or given twice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::time::Timestamp;

/// In ASCII order, so that ids of one kind sort like the numbers that they carry.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// 62^22 is the first power above 2^128.
const DIGITS: usize = 22;

/// 62^10 is the last power below 2^64.
const PIECE_DIGITS: usize = 10;

const PIECE: u128 = 62_u128.pow(PIECE_DIGITS as u32);

/// `number` as 22 base62 digits.
pub fn base62(mut number: u128) -> String {
    let mut digits = [b'0'; DIGITS];
    // In pieces that a register holds: each delivery has two ids, and division of 128 bits is slow.
    for piece in digits.rchunks_mut(PIECE_DIGITS) {
        let mut rest = (number % PIECE) as u64;
        number /= PIECE;
        for digit in piece.iter_mut().rev() {
            *digit = ALPHABET[(rest % 62) as usize];
            rest /= 62;
        }
    }
    digits.iter().map(|&digit| char::from(digit)).collect()
}

/// The number behind 22 base62 digits; `None` for anything else.
pub fn from_base62(text: &str) -> Option<u128> {
    if text.len() != DIGITS {
        return None;
    }
    text.bytes().try_fold(0_u128, |number, byte| {
        let digit = ALPHABET.iter().position(|&known| known == byte)?;
        number.checked_mul(62)?.checked_add(digit as u128)
    })
}

/// The text is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {0}")]
pub struct NotAnId(pub &'static str);

macro_rules! text_form {
    ($name:ident, $prefix:literal, $what:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), base62(self.to_bits()))
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.strip_prefix($prefix).and_then(from_base62).map(Self::from_bits).ok_or(NotAnId($what))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_u128(self.to_bits())
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                } else {
                    u128::deserialize(deserializer).map(Self::from_bits)
                }
            }
        }
    };
}

/// A place in the event log. Counts from 1 without gaps; 0 is before the first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);

    /// The place after this one; the last that a number can name has none after it and stays. No log gets there, but
    /// a cursor that somebody made up does.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The place before this one; the start has none before it and stays.
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// The id of an event: its place in the log, the store's epoch, and random bits drawn at every start, so that no
/// id is given twice even if a disk lost the end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Where the event stands in the log.
    pub position: Position,
    /// The second in which the store was created or last restored.
    pub epoch: u32,
    /// Drawn when the process that committed the event started.
    pub start: u32,
}

impl EventId {
    fn to_bits(self) -> u128 {
        u128::from(self.position.0) << 64 | u128::from(self.epoch) << 32 | u128::from(self.start)
    }

    fn from_bits(bits: u128) -> Self {
        Self { position: Position((bits >> 64) as u64), epoch: (bits >> 32) as u32, start: bits as u32 }
    }
}

text_form!(EventId, "evt_", "an event id (evt_…)");

/// An id that is made of a number in the store and 96 random bits.
macro_rules! numbered_id {
    ($name:ident, $number:ident) => {
        impl $name {
            const RANDOM: u128 = (1 << 96) - 1;

            fn to_bits(self) -> u128 {
                u128::from(self.number.0) << 96 | self.random & Self::RANDOM
            }

            fn from_bits(bits: u128) -> Self {
                Self { number: $number((bits >> 96) as u32), random: bits & Self::RANDOM }
            }
        }
    };
}

/// The number of an endpoint inside the store: small keys, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointNumber(pub u32);

/// The id of an endpoint: its number and 96 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId {
    /// The endpoint's number in the store.
    pub number: EndpointNumber,
    /// Random; only the low 96 bits count.
    pub random: u128,
}

numbered_id!(EndpointId, EndpointNumber);
text_form!(EndpointId, "ep_", "an endpoint id (ep_…)");

/// The number of a replay inside the store: small keys, never used twice, and in the order in which they were begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplayNumber(pub u32);

/// The id of a replay: its number and 96 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplayId {
    /// The replay's number in the store.
    pub number: ReplayNumber,
    /// Random; only the low 96 bits count.
    pub random: u128,
}

numbered_id!(ReplayId, ReplayNumber);
text_form!(ReplayId, "rp_", "a replay id (rp_…)");

/// The number of a key to our API inside the store: small keys, never used twice, in the order in which they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyNumber(pub u32);

/// The id of a key to our API: its number and 96 random bits. It opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId {
    /// The key's number in the store.
    pub number: KeyNumber,
    /// Random; only the low 96 bits count.
    pub random: u128,
}

numbered_id!(KeyId, KeyNumber);
text_form!(KeyId, "key_", "a key id (key_…)");

/// The id of an entry in the audit log: when, and a number that no other entry has, so that entries sort by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditId {
    /// When the change was made; never before 1970.
    pub at: Timestamp,
    /// The entry's number in the store; without gaps, in the order in which entries were written.
    pub number: u64,
}

impl AuditId {
    fn to_bits(self) -> u128 {
        u128::from(self.at.as_millis().cast_unsigned()) << 64 | u128::from(self.number)
    }

    fn from_bits(bits: u128) -> Self {
        Self { at: Timestamp::from_millis(((bits >> 64) as u64).cast_signed()), number: bits as u64 }
    }
}

text_form!(AuditId, "aud_", "the id of an entry in the audit log (aud_…)");

/// The id of a delivery: one event for one endpoint, so those two name it; the epoch is the event's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    /// Where the event stands in the log.
    pub position: Position,
    /// Which endpoint it is for.
    pub endpoint: EndpointNumber,
    /// The epoch of the event.
    pub epoch: u32,
}

impl DeliveryId {
    fn to_bits(self) -> u128 {
        u128::from(self.position.0) << 64 | u128::from(self.endpoint.0) << 32 | u128::from(self.epoch)
    }

    fn from_bits(bits: u128) -> Self {
        Self {
            position: Position((bits >> 64) as u64),
            endpoint: EndpointNumber((bits >> 32) as u32),
            epoch: bits as u32,
        }
    }
}

text_form!(DeliveryId, "dlv_", "a delivery id (dlv_…)");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_read_back_and_sort_like_their_positions(a: u64, b: u64, epoch: u32, start: u32) {
            let id = |position| EventId { position: Position(position), epoch, start };
            prop_assert_eq!(id(a).to_string().parse::<EventId>(), Ok(id(a)));
            prop_assert_eq!(a.cmp(&b), id(a).to_string().cmp(&id(b).to_string()));
        }

        #[test]
        fn no_text_makes_the_id_parsers_panic(text in ".{0,40}") {
            let _ = text.parse::<EventId>();
            let _ = format!("ep_{text}").parse::<EndpointId>();
        }
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let id = EndpointId { number: EndpointNumber(7), random: 9 };
        assert_eq!(id.to_string().parse::<EventId>(), Err(NotAnId("an event id (evt_…)")));
        assert_eq!(id.to_string().parse::<EndpointId>(), Ok(id));
        assert!("evt_zzzzzzzzzzzzzzzzzzzzzz".parse::<EventId>().is_err(), "above 2^128");
    }
}
