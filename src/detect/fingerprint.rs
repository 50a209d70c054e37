//! Rows recognised by their bytes: most of what a listing shows has not changed, and need not be parsed to know it.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::model::resource::ResourceId;

/// The fingerprint of a row's bytes as they came. Equal bytes always give the same one, on every machine and in
/// every version, because it is stored. Two different rows of one resource share one with a chance of 2^-128; it
/// protects against nobody who would try.
pub fn fingerprint(raw: &str) -> u128 {
    xxh3_128(raw.as_bytes())
}

/// A resource's id in 64 bits, for tables of millions. Not stored anywhere. Among ten million ids some two share one
/// with a chance of 3 in a million.
pub fn id_hash(id: &ResourceId) -> u64 {
    xxh3_64(id.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_stays_as_it_is() {
        assert_eq!(fingerprint(""), 0x99aa06d3014798d86001c324468d497f);
        assert_ne!(fingerprint(r#"{"a":1}"#), fingerprint(r#"{"a": 1}"#));
    }
}
