//! Instants, as milliseconds since the Unix epoch.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant in UTC, in whole milliseconds. Shown as RFC 3339 with exactly three fractional digits, so that
/// what is stored and what is sent never differ in form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00.000Z.
    pub const EPOCH: Self = Self(0);

    /// The instant `milliseconds` after the Unix epoch (negative: before it).
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The instant `duration` later; saturates.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// The instant `duration` earlier; saturates.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// The day that it is somewhere.
    pub fn day_in(self, zone: &TimeZone) -> Date {
        let beyond = if self < Self::EPOCH { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        zone.to_datetime(jiff::Timestamp::from_millisecond(self.0).unwrap_or(beyond)).date()
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A date without a time, `YYYY-MM-DD` and nothing else.
pub fn plain_date(text: &str) -> Option<Date> {
    if text.len() == 10 { text.parse().ok() } else { None }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// The text is no RFC 3339 instant.
#[derive(Debug, thiserror::Error)]
#[error("not an RFC 3339 instant such as 2026-11-21T04:31:20Z")]
pub struct NotAnInstant;

impl FromStr for Timestamp {
    type Err = NotAnInstant;

    /// Reads RFC 3339 with any offset and any number of fractional digits; what is finer than a millisecond is
    /// cut off.
    fn from_str(text: &str) -> Result<Self, NotAnInstant> {
        let instant: jiff::Timestamp = text.parse().map_err(|_| NotAnInstant)?;
        Ok(Self(instant.as_millisecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_compared_and_shown_in_one_form() {
        let whole: Timestamp = "2026-06-10T18:24:09Z".parse().expect("seconds");
        let fine: Timestamp = "2026-06-10T20:24:09.000400+02:00".parse().expect("offset and microseconds");
        assert_eq!(whole, fine);
        assert_eq!(whole.to_string(), "2026-06-10T18:24:09.000Z");
        assert!("2026-06-10".parse::<Timestamp>().is_err());
    }
}
