//! Patterns over event types, as endpoints and queries name them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::event::EventType;
use super::nearest::nearest;

/// `*`, a prefix such as `certificate.*`, or the name of one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Pattern {
    /// Every certificate and certificate request event. What the gateway says about itself must be asked for by name.
    Everything,
    /// Every type below a prefix; kept with its final dot.
    Below(String),
    /// One type.
    One(EventType),
}

impl Pattern {
    /// Whether an event of that type is meant.
    pub fn matches(&self, event_type: EventType) -> bool {
        match self {
            Self::Everything => event_type.is_about_a_resource(),
            Self::Below(prefix) => event_type.as_str().starts_with(prefix.as_str()),
            Self::One(one) => *one == event_type,
        }
    }
}

/// No event type would ever match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no event type matches {0:?}; {help}", help = help(.0))]
pub struct MatchesNothing(pub String);

fn help(unknown: &str) -> String {
    match nearest(unknown, EventType::ALL.iter().map(|known| known.as_str())) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "use *, a prefix such as certificate.*, or a type's name".into(),
    }
}

impl FromStr for Pattern {
    type Err = MatchesNothing;

    fn from_str(text: &str) -> Result<Self, MatchesNothing> {
        if text == "*" {
            return Ok(Self::Everything);
        }
        if let Some(prefix) = text.strip_suffix('*').filter(|prefix| prefix.ends_with('.')) {
            let any = EventType::ALL.iter().any(|known| known.as_str().starts_with(prefix));
            return if any { Ok(Self::Below(prefix.into())) } else { Err(MatchesNothing(text.into())) };
        }
        text.parse().map(Self::One).map_err(|_| MatchesNothing(text.into()))
    }
}

impl TryFrom<String> for Pattern {
    type Error = MatchesNothing;

    fn try_from(text: String) -> Result<Self, MatchesNothing> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("*"),
            Self::Below(prefix) => write!(f, "{prefix}*"),
            Self::One(one) => f.write_str(one.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_leaves_out_what_the_gateway_says_about_itself() {
        let matches = |pattern: &str, name: &str| {
            pattern.parse::<Pattern>().expect("a pattern").matches(name.parse().expect("a type"))
        };
        assert!(matches("*", "certificate.jurisdiction.active"));
        assert!(matches("*", "certificate_request.fulfilled"));
        assert!(!matches("*", "endpoint.failing"));
        assert!(matches("certificate.*", "certificate.jurisdiction.active"));
        assert!(!matches("certificate.*", "certificate_request.created"));
        assert!(matches("certificate.jurisdiction.*", "certificate.jurisdiction.added"));
        assert!(matches("gateway.*", "gateway.gap"));
    }

    #[test]
    fn a_pattern_that_can_match_nothing_is_refused() {
        for text in ["", "certificate", "certificate.gone", "customer.*", "cert*", "**"] {
            assert_eq!(text.parse::<Pattern>(), Err(MatchesNothing(text.into())));
        }
    }
}
