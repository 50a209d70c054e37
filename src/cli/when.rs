//! Instants as people give them.

use std::str::FromStr;
use std::time::Duration;

use crate::model::time::Timestamp;

/// An instant, or so long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    At(Timestamp),
    Ago(Duration),
}

impl When {
    /// The instant that is meant at `now`.
    pub(super) fn instant(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(instant) => instant,
            Self::Ago(duration) => now.minus(duration),
        }
    }
}

/// The text is no instant.
#[derive(Debug, thiserror::Error)]
#[error("must be an instant such as 2026-11-20T18:00Z, or how long ago: 90s, 12h, 3d")]
pub(super) struct NoInstant;

impl FromStr for When {
    type Err = NoInstant;

    fn from_str(text: &str) -> Result<Self, NoInstant> {
        let instant = text.parse().map(Self::At);
        instant.or_else(|_| humantime::parse_duration(text).map(Self::Ago)).map_err(|_| NoInstant)
    }
}

/// A length of time in its two largest units, such as `3d 4h`.
pub(super) fn length(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut parts = Vec::new();
    let mut rest = seconds;
    for (unit, size) in units {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() { "0s".into() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_people_give_them() {
        let now: Timestamp = "2026-11-21T18:00:00Z".parse().expect("an instant");
        for (text, expected) in [
            ("2026-11-20T18:00Z", "2026-11-20T18:00:00.000Z"),
            ("2026-11-20T18:00:00.5+02:00", "2026-11-20T16:00:00.500Z"),
            ("3d", "2026-11-18T18:00:00.000Z"),
            ("1h 30m", "2026-11-21T16:30:00.000Z"),
        ] {
            let when: When = text.parse().expect(text);
            assert_eq!(when.instant(now).to_string(), expected, "{text}");
        }
        for text in ["", "yesterday", "2026-11-20", "2026-11-20T18:00", "-3d"] {
            assert!(text.parse::<When>().is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_are_told_in_two_units() {
        for (seconds, expected) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (3_601, "1h"), (90_000, "1d 1h"), (3_725, "1h 2m")]
        {
            assert_eq!(length(Duration::from_secs(seconds)), expected);
        }
    }
}
