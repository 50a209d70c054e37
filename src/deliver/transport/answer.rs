//! What a response or an error means: total functions from what the network did to an [`Outcome`].

use std::error::Error;
use std::io;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::deliver::guard::NoAddress;
use crate::model::delivery::Outcome;

/// The header by which a receiver ends a delivery or the whole subscription, whatever the status.
const VERDICT_HEADER: &str = "webhook-delivery";

/// No date and no sensible number is longer.
const RETRY_AFTER_BYTES_MAX: usize = 64;

/// What a response means, by its status and the receiver's express word.
pub fn outcome_of_response(status: StatusCode, headers: &HeaderMap) -> Outcome {
    match headers.get(VERDICT_HEADER).map(|verdict| verdict.as_bytes().trim_ascii()) {
        Some(b"disable") => Outcome::Gone,
        Some(b"abort-message") => Outcome::Aborted,
        Some(_) | None => outcome_of_status(status),
    }
}

/// What a status means. Statuses that no standard knows are the server's fault.
fn outcome_of_status(status: StatusCode) -> Outcome {
    match status.as_u16() {
        200..=299 => Outcome::Delivered,
        300..=399 => Outcome::Redirected,
        410 => Outcome::Gone,
        429 | 503 => Outcome::Throttled,
        400..=499 => Outcome::Rejected,
        _ => Outcome::ServerError,
    }
}

/// What a response that is no success says, in words.
pub fn words_for_response(status: StatusCode, outcome: Outcome) -> String {
    let reason = status.canonical_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
    let consequence = match outcome {
        Outcome::Redirected => "; redirects are not followed",
        Outcome::Gone => "; it wants no more deliveries",
        Outcome::Aborted => "; it never wants this delivery",
        Outcome::Delivered
        | Outcome::Throttled
        | Outcome::Rejected
        | Outcome::ServerError
        | Outcome::DnsFailed
        | Outcome::AddressRefused
        | Outcome::ConnectFailed
        | Outcome::TlsFailed
        | Outcome::TimedOut
        | Outcome::Broken => "",
    };
    format!("the receiver answered {}{reason}{consequence}", status.as_u16())
}

/// What a 429 or 503 asks for, as it came; `None` if that is nothing that could be a number or a date.
pub fn retry_after(outcome: Outcome, headers: &HeaderMap) -> Option<String> {
    if outcome != Outcome::Throttled {
        return None;
    }
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    (text.len() <= RETRY_AFTER_BYTES_MAX).then(|| text.to_owned())
}

/// What it means that there was no response. The first cause in the chain that has a word of its own decides.
pub fn outcome_of_error(error: &reqwest::Error) -> Outcome {
    for cause in causes(error) {
        match cause.downcast_ref::<NoAddress>() {
            Some(NoAddress::Refused(_)) => return Outcome::AddressRefused,
            Some(NoAddress::Unresolved { .. }) => return Outcome::DnsFailed,
            None => {}
        }
        if cause.is::<rustls::Error>() {
            return Outcome::TlsFailed;
        }
    }
    match error {
        error if error.is_connect() => Outcome::ConnectFailed,
        error if error.is_timeout() => Outcome::TimedOut,
        _ => Outcome::Broken,
    }
}

/// Why there was no response, in words: the innermost cause, which is the one that says something. Never holds the
/// URL.
pub fn words_for_error(error: &reqwest::Error) -> String {
    if error.is_connect() && error.is_timeout() {
        return "no connection within two thirds of the deadline".into();
    }
    let cause = causes(error).last().map(ToString::to_string);
    match cause {
        Some(cause) => cause,
        None if error.is_builder() => "the request could not be made: a header or the URL is malformed".into(),
        None => "the request failed without a reason".into(),
    }
}

/// The causes of an error, the outermost first, without the error itself (whose text holds the URL).
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| cause_of(*cause))
}

/// The next cause. I/O errors carry other errors without naming them as their source, so they are looked into.
fn cause_of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(carried) => Some(carried),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).expect("a status")
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn every_status_has_an_outcome() {
        for code in 100..=999 {
            let expected = match code {
                410 => Outcome::Gone,
                429 | 503 => Outcome::Throttled,
                code if code / 100 == 2 => Outcome::Delivered,
                code if code / 100 == 3 => Outcome::Redirected,
                code if code / 100 == 4 => Outcome::Rejected,
                _ => Outcome::ServerError,
            };
            assert_eq!(outcome_of_response(status(code), &HeaderMap::new()), expected, "{code}");
        }
    }

    #[test]
    fn a_receiver_can_say_what_it_wants_whatever_the_status() {
        for code in [200, 404, 500] {
            for (said, expected) in [
                ("disable", Outcome::Gone),
                (" abort-message ", Outcome::Aborted),
                ("something else", outcome_of_status(status(code))),
            ] {
                assert_eq!(outcome_of_response(status(code), &headers(&[(VERDICT_HEADER, said)])), expected);
            }
        }
    }

    #[test]
    fn only_a_throttled_answer_hands_on_when_to_come_back() {
        let soon = headers(&[("retry-after", "120")]);
        assert_eq!(retry_after(Outcome::Throttled, &soon), Some("120".into()));
        assert_eq!(retry_after(Outcome::ServerError, &soon), None);
        assert_eq!(retry_after(Outcome::Throttled, &headers(&[("retry-after", &"9".repeat(65))])), None);
        assert_eq!(retry_after(Outcome::Throttled, &HeaderMap::new()), None);
    }

    #[test]
    fn a_failure_is_told_in_words() {
        assert_eq!(words_for_response(status(404), Outcome::Rejected), "the receiver answered 404 Not Found");
        assert_eq!(words_for_response(status(599), Outcome::ServerError), "the receiver answered 599");
        assert_eq!(
            words_for_response(status(302), Outcome::Redirected),
            "the receiver answered 302 Found; redirects are not followed"
        );
    }
}
