//! How long to wait before the next call after a refusal to serve us now.

use std::time::Duration;

use crate::model::http_date::http_date;
use crate::model::time::Timestamp;

/// The longest wait that a 429 can ask for. More is a mistake, and would look like an outage of ours.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// The wait after a 429 that does not say (in words that we know) how long. The vendor publishes no limits; half a
/// minute leaves any limit per second behind, and is short beside what a pass may take.
pub(super) const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(30);

/// The shortest wait after a 429. "0 seconds" or an instant in the past still says that we were too fast.
pub(super) const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// How long a 429 asks to wait: seconds or a date. A date is measured against the answer's own `Date` where it has
/// one, so that a clock that is wrong (theirs or ours) does no harm.
pub(super) fn retry_after(header: Option<&str>, date: Option<Timestamp>, now: Timestamp) -> Duration {
    let asked = header.map(str::trim).and_then(|text| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true if text.is_empty() => None,
        // Only a number beyond all bounds fails to parse here.
        true => Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX))),
        false => http_date(text).map(|until| until.since(date.unwrap_or(now))),
    });
    asked.unwrap_or(RETRY_AFTER_DEFAULT).clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_seconds_or_a_date_and_has_bounds() {
        let now: Timestamp = "2026-11-21T04:00:00Z".parse().expect("an instant");
        let ahead: Timestamp = "2026-11-21T05:00:00Z".parse().expect("an instant");
        for (header, date, seconds) in [
            (Some("7"), None, 7),
            (Some(" 7 "), None, 7),
            (Some("900"), None, 900),
            (Some("901"), None, 900),
            (Some("99999999999999999999999"), None, 900),
            (Some("0"), None, 1),
            (Some("Sat, 21 Nov 2026 04:02:00 GMT"), None, 120),
            (Some("Sat, 21 Nov 2026 05:02:00 GMT"), Some(ahead), 120),
            (Some("Sat, 21 Nov 2026 06:00:00 GMT"), None, 900),
            (Some("Sat, 21 Nov 2026 03:00:00 GMT"), None, 1),
            (None, None, 30),
            (Some(""), None, 30),
            (Some("-5"), None, 30),
            (Some("1.5"), None, 30),
            (Some("soon"), None, 30),
        ] {
            assert_eq!(retry_after(header, date, now), Duration::from_secs(seconds), "{header:?}");
        }
    }
}
