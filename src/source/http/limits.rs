//! How long and how large an answer may be.

use std::time::Duration;

/// A machine that does not accept a connection within this is not there: two lost SYN packets cost 3 s, a slow
/// name look-up 5 s.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);

/// The longest silence: before the first byte of an answer (upstream may think about a page of 100) and between two.
pub const READ_MAX: Duration = Duration::from_secs(30);

/// One call from connecting to the last byte. A full page at 50 KB/s fits; one that drips for ever does not.
pub const TOTAL_MAX: Duration = Duration::from_secs(60);

/// The largest answer, in bytes after decompression: 8 MiB. The largest proper page, 100 resources of 24 KiB, has
/// 2.4 MiB; the rest is room for items that are too large and are to be reported one by one, not as a lost page.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection stands, name look-up and TLS included.
    pub connect: Duration,
    /// The longest silence.
    pub read: Duration,
    /// From connecting to the last byte.
    pub total: Duration,
    /// The largest answer, in bytes after decompression.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: CONNECT_MAX, read: READ_MAX, total: TOTAL_MAX, body_bytes: BODY_BYTES_MAX }
    }
}
