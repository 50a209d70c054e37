//! How often a key may be used: 100 calls a second, and 200 at once.
//!
//! The generic cell rate algorithm: of each key it is known when its next call would be due if its calls came evenly;
//! that may lie in the future by as much as may come at once. The root key is not held to it: it always works.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::id::KeyId;
use crate::model::time::Timestamp;

/// The time between two calls that come evenly: more than any integration needs, less than would keep others waiting.
const INTERVAL: Duration = Duration::from_millis(10);

/// How far ahead of that calls may be: 200 at once.
const SLACK: Duration = Duration::from_millis(10 * 199);

/// Above so many keys, those that have been quiet are forgotten: they are as good as new. It is more than there can be
/// at a time.
const KEYS_MAX: usize = 2_000;

/// When the next call of each key would be due.
#[derive(Default)]
pub(super) struct Paces {
    due: Mutex<HashMap<KeyId, Timestamp>>,
}

impl Paces {
    /// Whether a key may be used now.
    ///
    /// # Errors
    /// How long to wait, if not.
    pub(super) fn admit(&self, key: KeyId, now: Timestamp) -> Result<(), Duration> {
        let mut known = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEYS_MAX {
            known.retain(|_, due| *due > now);
        }
        let due = known.entry(key).or_insert(now);
        *due = next(*due, now)?;
        Ok(())
    }
}

/// When the next call is due, if one may come now; or else how long it has to wait.
fn next(due: Timestamp, now: Timestamp) -> Result<Timestamp, Duration> {
    let ahead = due.since(now);
    if ahead > SLACK { Err(ahead - SLACK) } else { Ok(due.max(now).plus(INTERVAL)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::KeyNumber;

    fn key(number: u32) -> KeyId {
        KeyId { number: KeyNumber(number), random: 1 }
    }

    #[test]
    fn two_hundred_calls_come_at_once_and_then_a_hundred_a_second() {
        let paces = Paces::default();
        let begin = Timestamp::from_millis(1_000_000);
        let admitted = |now: Timestamp| (0..1_000).filter(|_| paces.admit(key(1), now).is_ok()).count();
        assert_eq!(admitted(begin), 200);
        assert_eq!(paces.admit(key(1), begin), Err(Duration::from_millis(10)));
        assert_eq!(admitted(begin.plus(Duration::from_secs(1))), 100);
        assert_eq!(admitted(begin.plus(Duration::from_secs(60))), 200, "quiet time is not saved up");
        assert_eq!(paces.admit(key(2), begin), Ok(()), "each key has its own");
    }

    #[test]
    fn keys_that_have_been_quiet_are_forgotten() {
        let paces = Paces::default();
        let begin = Timestamp::from_millis(1_000_000);
        for number in 0..10_000 {
            paces.admit(key(number), begin.plus(Duration::from_millis(number.into()))).expect("its first call");
        }
        assert!(paces.due.lock().expect("no panic").len() <= KEYS_MAX);
    }
}
