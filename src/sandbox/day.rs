//! Plain dates, as certificates carry them: without a time zone. The sandbox reads them in UTC.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::model::time::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// A plain date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

impl Day {
    /// The date that vendors write for "never".
    pub const FOREVER: Self = Self(Date::constant(9999, 12, 31));

    /// The date on which an instant falls in UTC.
    pub fn of(at: Timestamp) -> Self {
        let days = i32::try_from(at.as_millis().div_euclid(DAY_MS)).unwrap_or(i32::MAX);
        Self(Date::constant(1970, 1, 1)).plus_days(days)
    }

    /// The date so many days later (negative: earlier). Stops at the ends of the calendar.
    pub fn plus_days(self, days: i32) -> Self {
        const CALENDAR: i32 = 7_304_483;
        Self(self.0.saturating_add(days.clamp(-CALENDAR, CALENDAR).days()))
    }

    /// The instant at which the date begins.
    pub fn start(self) -> Timestamp {
        let days = (self.0 - Date::constant(1970, 1, 1)).get_days();
        Timestamp::from_millis(i64::from(days) * DAY_MS)
    }

    /// The instant at which the date is over. The date of an expiry is the last valid day.
    pub fn end(self) -> Timestamp {
        Timestamp::from_millis(self.start().as_millis() + DAY_MS)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is no date.
#[derive(Debug, thiserror::Error)]
#[error("not a date such as 2027-01-31")]
pub struct NotADay;

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        text.parse().map(Self).map_err(|_| NotADay)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_and_ends_at_the_next() {
        let day: Day = "2027-01-31".parse().expect("a date");
        assert_eq!(day.start().to_string(), "2027-01-31T00:00:00.000Z");
        assert_eq!(day.end().to_string(), "2027-02-01T00:00:00.000Z");
        assert_eq!(Day::of(day.start()), day);
        assert_eq!(Day::of(day.end()), day.plus_days(1));
        assert_eq!(day.plus_days(1).to_string(), "2027-02-01");
    }

    #[test]
    fn the_calendar_has_an_end() {
        assert_eq!(Day::FOREVER.plus_days(i32::MAX), Day::FOREVER);
        assert!(Day::FOREVER.end() > Day::FOREVER.start());
        assert!("2027-02-30".parse::<Day>().is_err());
    }
}
