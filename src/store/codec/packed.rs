//! Bytes that are packed against what all of their sort have in common.
//!
//! The objects of one vendor have the same keys and mostly the same words. A dictionary holds these once, in the program,
//! and what is packed refers to it: an LZ4 block, for which the dictionary is what came before. What only the reader and
//! the writer of one row know, as the name that is its key, may stand behind the dictionary. Weighed against zstd with a
//! dictionary made from samples: another tenth of the resource less, for a library in C and a dictionary that nobody can read.
//!
//! A dictionary never changes, since nothing that was packed with it could be read any more. A better one gets the next
//! number, and is what is packed with from then on.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use lz4_flex::block::{compress_into_with_dict, decompress_into_with_dict, get_maximum_output_size};

use super::{StoreError, unreadable, with_rest};

/// The dictionaries by their numbers: the vendor's examples as the vendor sends them, without what is never kept of them,
/// the words that they may have in their places, and names of certificates. What is most frequent comes last, since of
/// two places that begin alike the later one is found.
const DICTIONARIES: [&[u8]; 1] = [include_bytes!("dictionary_0.txt")];

/// The one that is packed with.
const NEWEST: usize = DICTIONARIES.len() - 1;

/// What is shorter would save less than the row costs beside it; what is longer is seldom, and lies beyond what a block
/// can refer to. The largest resource has 24 KiB.
const LENGTHS: RangeInclusive<usize> = 200..=60 * 1024;

/// The number of the dictionary, and how long it was.
type Head = (usize, usize);

/// Packs bytes; `None` if they stay as they are, since they would not get shorter. `name` is what else the reader knows.
pub(super) fn pack(plain: &[u8], name: &str) -> Option<Vec<u8>> {
    if !LENGTHS.contains(&plain.len()) {
        return None;
    }
    let head: Head = (NEWEST, plain.len());
    let mut packed = postcard::to_stdvec(&head).expect("two numbers can be written to memory");
    let begin = packed.len();
    packed.resize(begin + get_maximum_output_size(plain.len()), 0);
    let length = compress_into_with_dict(plain, &mut packed[begin..], &known(NEWEST, name)?).ok()?;
    packed.truncate(begin + length);
    (packed.len() < plain.len()).then_some(packed)
}

/// What was packed.
pub(super) fn unpack(what: &'static str, packed: &[u8], name: &str) -> Result<Vec<u8>, StoreError> {
    let ((number, length), block): (Head, &[u8]) = with_rest(what, packed)?;
    let Some(known) = known(number, name) else {
        let reason = format!("it needs dictionary {number}, this program knows up to {NEWEST}; run the newer program");
        return Err(unreadable(what, reason));
    };
    // Before anything is allocated: the length may be damaged.
    if !LENGTHS.contains(&length) {
        return Err(unreadable(what, format!("it cannot have been {length} bytes long")));
    }
    let mut plain = vec![0; length];
    match decompress_into_with_dict(block, &mut plain, &known) {
        Ok(unpacked) if unpacked == length => Ok(plain),
        Ok(unpacked) => Err(unreadable(what, format!("{unpacked} of its {length} bytes are there"))),
        Err(error) => Err(unreadable(what, error)),
    }
}

/// The dictionary of that number, with a name behind it.
fn known(number: usize, name: &str) -> Option<Cow<'static, [u8]>> {
    let dictionary = *DICTIONARIES.get(number)?;
    Some(if name.is_empty() { dictionary.into() } else { [dictionary, name.as_bytes()].concat().into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    const WHAT: &str = "a sample";

    const ID: &str = "cert_63033b0c-a389-c35a-e8f9-38e3d92c0f81";

    /// A certificate as the vendor shows it, and as none of the examples is.
    fn certificate() -> String {
        let date = json!("2025-11-30");
        json!({
            "id": ID, "object": "tax.exemption_certificate", "status": "expired",
            "certificate_type": {"id": "7", "name": "Kentucky Resale Certificate", "certificate_identifier": "US-KY-51A105"},
            "customer": {"id": "cust_54d0b9be-40c7-4d88-9c2f-7f0824c64fcb", "reference_customer_id": "8321"},
            "jurisdictions": [{
                "jurisdiction_id": "US-KY", "status": "expired", "effective_date": "2022-12-01", "expiration_date": date
            }],
            "effective_date": "2022-12-01", "expiration_date": date,
            "created_at": "2022-11-07T05:31:56Z", "updated_at": "2025-12-01T00:00:11.250Z", "livemode": true,
        })
        .to_string()
    }

    fn message(result: Result<Vec<u8>, StoreError>) -> String {
        result.expect_err("it cannot be unpacked").to_string()
    }

    #[test]
    fn a_dictionary_never_changes() {
        let hashes = DICTIONARIES.map(|dictionary| format!("{:032x}", xxh3_128(dictionary)));
        assert_eq!(hashes, ["6b42b4d1a0b6134b5a986d1a2fc880ad"], "give a changed dictionary a number of its own");
    }

    #[test]
    fn a_certificate_is_less_than_half_as_long_and_its_own_name_costs_next_to_nothing() {
        let plain = certificate();
        let packed = pack(plain.as_bytes(), "").expect("it gets shorter");
        let with_name = pack(plain.as_bytes(), ID).expect("it gets shorter");
        let lengths = (plain.len(), packed.len(), with_name.len());
        assert!(packed.len() * 2 < plain.len() && with_name.len() + ID.len() / 2 < packed.len(), "{lengths:?}");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let word = prop_oneof![any::<String>(), "[a-z_]{1,12}", Just("certificate_type".to_owned())];
        let number = prop_oneof!["-?[1-9][0-9]{0,30}", "[0-9]\\.[0-9]{1,25}", "[1-9][eE][+-]?[0-9]{1,4}"];
        let number = number.prop_map(|text| serde_json::from_str::<Value>(&text).expect("a number"));
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number,
            word.clone().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 64, 8, move |inner| {
            let fields = prop::collection::vec((word.clone(), inner.clone()), 0..8);
            prop_oneof![
                prop::collection::vec(inner, 0..8).prop_map(Value::from),
                fields.prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// Bytes in which something is found again, and bytes in which nothing is.
    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        let few = prop::collection::vec(0..4_u8, 0..3_000);
        let all = prop::collection::vec(any::<u8>(), 0..3_000);
        let known = (0..DICTIONARIES[0].len(), 0..2_000_usize)
            .prop_map(|(at, length)| DICTIONARIES[0].iter().cycle().skip(at).take(length).copied().collect());
        prop_oneof![few, all, known]
    }

    fn comes_back(plain: &[u8], name: &str) -> Result<(), TestCaseError> {
        if let Some(packed) = pack(plain, name) {
            prop_assert!(packed.len() < plain.len());
            prop_assert_eq!(unpack(WHAT, &packed, name).expect("what was packed"), plain);
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn whatever_is_packed_comes_back_byte_by_byte(plain in any_bytes(), name in "[A-Za-z0-9_-]{0,128}") {
            comes_back(&plain, &name)?;
        }

        #[test]
        fn every_json_comes_back_byte_by_byte(value in any_json(), name in "[A-Za-z0-9_-]{1,40}") {
            comes_back(value.to_string().as_bytes(), &name)?;
            comes_back(serde_json::to_string_pretty(&value).expect("JSON").as_bytes(), &name)?;
        }

        #[test]
        fn damage_is_an_error_or_other_bytes_of_the_same_length_and_never_a_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            kept in any::<prop::sample::Index>(),
            anything: Vec<u8>,
        ) {
            let plain = certificate();
            let mut packed = pack(plain.as_bytes(), ID).expect("it gets shorter");
            let length = kept.index(packed.len());
            prop_assert!(unpack(WHAT, &packed[..length], ID).is_err(), "cut after {} bytes", length);
            // What comes first says how long the rest is when it is unpacked.
            let begin = postcard::to_stdvec(&(NEWEST, plain.len())).expect("memory").len();
            for (at, byte) in changes {
                let at = begin + at.index(packed.len() - begin);
                packed[at] = byte;
            }
            if let Ok(unpacked) = unpack(WHAT, &packed, ID) {
                prop_assert_eq!(unpacked.len(), plain.len());
            }
            if let Ok(unpacked) = unpack(WHAT, &anything, ID) {
                prop_assert!(LENGTHS.contains(&unpacked.len()));
            }
        }
    }

    #[test]
    fn what_cannot_have_been_packed_is_refused_before_room_is_made_for_it() {
        let head = |number: usize, length: usize| postcard::to_stdvec(&(number, length)).expect("memory");
        for length in [0, LENGTHS.start() - 1, LENGTHS.end() + 1, usize::MAX] {
            let refused = message(unpack(WHAT, &head(NEWEST, length), ""));
            assert!(refused.ends_with(&format!("it cannot have been {length} bytes long")), "{refused}");
        }
        let plain = certificate();
        let packed = pack(plain.as_bytes(), "").expect("it gets shorter");
        let block = &packed[head(NEWEST, plain.len()).len()..];
        let longer = [head(NEWEST, plain.len() + 1).as_slice(), block].concat();
        let refused = message(unpack(WHAT, &longer, ""));
        assert!(refused.ends_with(&format!("{} of its {} bytes are there", plain.len(), plain.len() + 1)), "{refused}");
        assert!(unpack(WHAT, &[head(NEWEST, plain.len() - 1).as_slice(), block].concat(), "").is_err());
        let refused = message(unpack(WHAT, &[head(NEWEST + 1, plain.len()).as_slice(), block].concat(), ""));
        assert!(
            refused.ends_with("it needs dictionary 1, this program knows up to 0; run the newer program"),
            "{refused}"
        );
    }

    #[test]
    fn what_is_short_or_longer_than_any_resource_stays_as_it_is() {
        for (length, is_packed) in [(0, false), (199, false), (200, true), (60 * 1024, true), (60 * 1024 + 1, false)] {
            let plain = vec![b'n'; length];
            assert_eq!(pack(&plain, "").is_some(), is_packed, "{length} bytes");
            comes_back(&plain, "").expect("it comes back");
        }
    }
}
