//! What follows from an outcome. Pure: time and chance are arguments.
//!
//! A failed attempt is followed by the next wait of the schedule, give or take a fifth, until there is none left.
//! A receiver that says when to come back (429 or 503 with `Retry-After`) is believed up to a day, but never makes
//! a wait shorter. A receiver that wants no more (410) is not tried again, and its deliveries stay pending.

use std::time::Duration;

use crate::model::delivery::{Outcome, Trigger};
use crate::model::http_date::http_date;
use crate::model::time::Timestamp;

/// The largest part of a wait that chance adds or takes away, so that what failed together does not come back
/// together.
const JITTER: f64 = 0.2;

/// How long a receiver may ask us to stay away. Beyond a day it is a mistake, or a 410 that does not know it.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is delivered.
    Delivered,
    /// Another attempt, not before this instant.
    RetryAt(Timestamp),
    /// Nothing: the delivery has failed, because no wait is left or because the receiver said so.
    Exhausted,
    /// The endpoint is disabled; the delivery stays pending.
    EndpointGone,
}

/// On whose account an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The delivery's schedule is charged with it, as its so-manieth, counted from 1.
    Charged(u32),
    /// Nobody's: it was a probe, or came before its time. The delivery is still due at that instant.
    Free(Timestamp),
}

/// On whose account an attempt is made that begins at `now`: a delivery that was charged so often, and is due at
/// `due` if it was tried before.
pub fn turn(trigger: Trigger, charged: u32, due: Option<Timestamp>, now: Timestamp) -> Turn {
    match (trigger, due) {
        (Trigger::Probe, due) => Turn::Free(due.unwrap_or(now)),
        (Trigger::Scheduled | Trigger::Manual | Trigger::Replay, Some(due)) if now < due => Turn::Free(due),
        (Trigger::Scheduled | Trigger::Manual | Trigger::Replay, _) => Turn::Charged(charged.saturating_add(1)),
    }
}

/// What follows from an attempt that had this outcome.
///
/// `schedule` holds the waits between attempts, so `n` waits make `n + 1` attempts. `retry_after` is the header's
/// text as it came. `chance` is drawn evenly from 0 (included) to 1 (excluded).
pub fn next(
    outcome: Outcome,
    turn: Turn,
    schedule: &[Duration],
    retry_after: Option<&str>,
    now: Timestamp,
    chance: f64,
) -> Next {
    match outcome {
        Outcome::Delivered => Next::Delivered,
        Outcome::Gone => Next::EndpointGone,
        Outcome::Aborted => Next::Exhausted,
        Outcome::Redirected
        | Outcome::Throttled
        | Outcome::Rejected
        | Outcome::ServerError
        | Outcome::DnsFailed
        | Outcome::AddressRefused
        | Outcome::ConnectFailed
        | Outcome::TlsFailed
        | Outcome::TimedOut
        | Outcome::Broken => {
            let due = match turn {
                Turn::Free(due) => due.max(now),
                Turn::Charged(number) => {
                    let index = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
                    let Some(wait) = schedule.get(index) else { return Next::Exhausted };
                    now.plus(jittered(*wait, chance))
                }
            };
            Next::RetryAt(paused_until(outcome, retry_after, now).map_or(due, |asked| asked.max(due)))
        }
    }
}

/// Until when a receiver asks not to be called at all, if it does: only a [`Outcome::Throttled`] asks for
/// anything. It speaks for the whole endpoint, not for the one delivery that got the answer.
pub fn paused_until(outcome: Outcome, retry_after: Option<&str>, now: Timestamp) -> Option<Timestamp> {
    if outcome != Outcome::Throttled {
        return None;
    }
    let asked = parse_retry_after(retry_after?, now)?.min(RETRY_AFTER_MAX);
    (!asked.is_zero()).then(|| now.plus(asked))
}

fn jittered(wait: Duration, chance: f64) -> Duration {
    let factor = 1.0 - JITTER + 2.0 * JITTER * chance.clamp(0.0, 1.0);
    Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(wait)
}

/// How long a `Retry-After` asks to wait; zero if its date is past, `None` if it is neither seconds nor a date
/// ([RFC 9110, 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)).
fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are still a wish to be left alone, and capped like any other.
        return Some(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    http_date(text).map(|date| date.since(now))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAILURES: [Outcome; 10] = [
        Outcome::Redirected,
        Outcome::Throttled,
        Outcome::Rejected,
        Outcome::ServerError,
        Outcome::DnsFailed,
        Outcome::AddressRefused,
        Outcome::ConnectFailed,
        Outcome::TlsFailed,
        Outcome::TimedOut,
        Outcome::Broken,
    ];

    const HOUR: u64 = 3600;
    const DEFAULT: [Duration; 9] = [
        Duration::from_secs(5),
        Duration::from_secs(300),
        Duration::from_secs(1800),
        Duration::from_secs(2 * HOUR),
        Duration::from_secs(5 * HOUR),
        Duration::from_secs(10 * HOUR),
        Duration::from_secs(14 * HOUR),
        Duration::from_secs(20 * HOUR),
        Duration::from_secs(24 * HOUR),
    ];

    /// Sunday, 1994-11-06 08:49:37 UTC, the instant of the RFC's examples.
    const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);

    fn wait(outcome: Outcome, number: u32, retry_after: Option<&str>, chance: f64) -> Option<f64> {
        match next(outcome, Turn::Charged(number), &DEFAULT, retry_after, NOW, chance) {
            Next::RetryAt(at) => Some(at.since(NOW).as_secs_f64()),
            Next::Delivered | Next::Exhausted | Next::EndpointGone => None,
        }
    }

    #[test]
    fn the_default_schedule_makes_ten_attempts_over_three_days() {
        for (number, earliest, middle, latest) in [
            (1, 4.0, 5.0, 6.0),
            (2, 240.0, 300.0, 360.0),
            (3, 1_440.0, 1_800.0, 2_160.0),
            (4, 5_760.0, 7_200.0, 8_640.0),
            (5, 14_400.0, 18_000.0, 21_600.0),
            (6, 28_800.0, 36_000.0, 43_200.0),
            (7, 40_320.0, 50_400.0, 60_480.0),
            (8, 57_600.0, 72_000.0, 86_400.0),
            (9, 69_120.0, 86_400.0, 103_680.0),
        ] {
            for outcome in FAILURES {
                assert_eq!(wait(outcome, number, None, 0.0), Some(earliest), "attempt {number}");
                assert_eq!(wait(outcome, number, None, 0.5), Some(middle), "attempt {number}");
                assert_eq!(wait(outcome, number, None, 1.0), Some(latest), "attempt {number}");
            }
        }
        for outcome in FAILURES {
            assert_eq!(next(outcome, Turn::Charged(10), &DEFAULT, None, NOW, 0.5), Next::Exhausted);
            assert_eq!(next(outcome, Turn::Charged(u32::MAX), &DEFAULT, None, NOW, 0.5), Next::Exhausted);
            assert_eq!(
                next(outcome, Turn::Charged(1), &[], None, NOW, 0.5),
                Next::Exhausted,
                "an empty schedule is one attempt"
            );
        }
    }

    #[test]
    fn a_success_and_a_receiver_that_wants_no_more_end_it_whatever_the_attempt() {
        for number in [1, 9, 10, 11] {
            assert_eq!(next(Outcome::Delivered, Turn::Charged(number), &DEFAULT, Some("5"), NOW, 0.5), Next::Delivered);
            assert_eq!(next(Outcome::Gone, Turn::Charged(number), &DEFAULT, Some("5"), NOW, 0.5), Next::EndpointGone);
            assert_eq!(next(Outcome::Aborted, Turn::Charged(number), &DEFAULT, Some("5"), NOW, 0.5), Next::Exhausted);
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_a_date_and_capped_at_a_day() {
        const DAY: u64 = 24 * HOUR;
        for (text, asked) in [
            ("120", Some(120)),
            (" 120 ", Some(120)),
            ("86401", Some(DAY)),
            ("99999999999999999999999999", Some(DAY)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(120)),
            ("Sunday, 06-Nov-94 08:51:37 GMT", Some(120)),
            ("Sun Nov  6 08:51:37 1994", Some(120)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(DAY)),
            ("0", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", None),
            ("-120", None),
            ("+120", None),
            ("1.5", None),
            ("1e9", None),
            ("٣", None),
            ("", None),
            ("later", None),
            ("Sun, 31 Feb 1994 08:49:37 GMT", None),
            ("1994-11-06T08:51:37Z", None),
        ] {
            let expected = asked.map(|seconds| NOW.plus(Duration::from_secs(seconds)));
            assert_eq!(paused_until(Outcome::Throttled, Some(text), NOW), expected, "{text:?}");
        }
    }

    #[test]
    fn retry_after_lengthens_a_wait_and_never_shortens_it() {
        assert_eq!(wait(Outcome::Throttled, 1, Some("60"), 0.5), Some(60.0));
        assert_eq!(wait(Outcome::Throttled, 1, Some("1"), 0.5), Some(5.0));
        assert_eq!(wait(Outcome::Throttled, 9, Some("60"), 0.5), Some(86_400.0));
        assert_eq!(wait(Outcome::Throttled, 1, Some("later"), 0.5), Some(5.0));
        assert_eq!(wait(Outcome::ServerError, 1, Some("60"), 0.5), Some(5.0), "only a 429 or 503 asks");
        assert_eq!(next(Outcome::Throttled, Turn::Charged(10), &DEFAULT, Some("60"), NOW, 0.5), Next::Exhausted);
    }

    #[test]
    fn nobody_is_charged_for_a_probe_or_for_what_comes_before_its_time() {
        let (before, after) = (NOW.minus(Duration::from_secs(9)), NOW.plus(Duration::from_secs(9)));
        for (trigger, charged, due, expected) in [
            (Trigger::Scheduled, 0, None, Turn::Charged(1)),
            (Trigger::Scheduled, 3, Some(before), Turn::Charged(4)),
            (Trigger::Scheduled, 3, Some(NOW), Turn::Charged(4)),
            (Trigger::Scheduled, 3, Some(after), Turn::Free(after)),
            (Trigger::Manual, 3, Some(after), Turn::Free(after)),
            (Trigger::Manual, 0, Some(before), Turn::Charged(1)),
            (Trigger::Probe, 3, Some(before), Turn::Free(before)),
            (Trigger::Probe, 3, Some(after), Turn::Free(after)),
            (Trigger::Probe, 0, None, Turn::Free(NOW)),
        ] {
            assert_eq!(turn(trigger, charged, due, NOW), expected, "{trigger:?} {charged} {due:?}");
        }
        for (due, expected) in [(before, NOW), (after, after)] {
            for outcome in FAILURES {
                assert_eq!(next(outcome, Turn::Free(due), &[], None, NOW, 0.5), Next::RetryAt(expected));
            }
            assert_eq!(next(Outcome::Aborted, Turn::Free(due), &DEFAULT, None, NOW, 0.5), Next::Exhausted);
        }
        let asked = next(Outcome::Throttled, Turn::Free(after), &DEFAULT, Some("60"), NOW, 0.5);
        assert_eq!(asked, Next::RetryAt(NOW.plus(Duration::from_secs(60))), "what the receiver asks counts");
    }

    fn any_failure() -> impl Strategy<Value = Outcome> {
        prop::sample::select(&FAILURES[..])
    }

    proptest! {
        #[test]
        fn a_wait_stays_within_a_fifth_of_the_schedule(outcome in any_failure(), waits in prop::collection::vec(0..1_000_000_u64, 1..12), place: prop::sample::Index, chance in 0.0..1.0) {
            let index = place.index(waits.len());
            let schedule: Vec<Duration> = waits.iter().copied().map(Duration::from_secs).collect();
            let Next::RetryAt(at) = next(outcome, Turn::Charged(index as u32 + 1), &schedule, None, NOW, chance) else {
                return Err(TestCaseError::fail("a wait was left"));
            };
            let (waited, planned) = (at.since(NOW).as_secs_f64(), schedule[index].as_secs_f64());
            prop_assert!(waited >= planned * 0.8 - 0.001 && waited <= planned * 1.2 + 0.001, "{waited} for {planned}");
        }

        #[test]
        fn whatever_a_receiver_asks_the_wait_is_never_shorter_and_its_wish_ends_after_a_day(outcome in any_failure(), asked in ".{0,40}|[0-9]{1,30}", number in 1..10_u32, chance in 0.0..1.0) {
            let plain = wait(outcome, number, None, chance).expect("a wait is left");
            let waited = wait(outcome, number, Some(&asked), chance).expect("a wait is left");
            prop_assert!(waited >= plain);
            prop_assert!(waited <= plain.max(RETRY_AFTER_MAX.as_secs_f64()));
        }
    }
}
