//! What a response or a failure means: total functions from what the network did to an [`Outcome`].

use std::error::Error;
use std::io;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderMap, RETRY_AFTER};

use crate::deliver::guard::NoAddress;
use crate::model::delivery::Outcome;

/// The header by which a receiver ends a delivery or the whole subscription, whatever the status.
const VERDICT_HEADER: &str = "webhook-delivery";

/// No date and no sensible number is longer.
const RETRY_AFTER_BYTES_MAX: usize = 64;

/// What a response means, by its status and the receiver's express word.
pub fn outcome_of_response(status: StatusCode, headers: &HeaderMap) -> Outcome {
    let verdict = headers.get(VERDICT_HEADER).map_or(&b""[..], |verdict| verdict.as_bytes().trim_ascii());
    if verdict.eq_ignore_ascii_case(b"disable") {
        Outcome::Gone
    } else if verdict.eq_ignore_ascii_case(b"abort-message") {
        Outcome::Aborted
    } else {
        outcome_of_status(status)
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

/// What an attempt can wait for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The addresses of the name.
    LookUp,
    /// A connection.
    Connect,
    /// The proxy's consent.
    Tunnel,
    /// The end of the TLS handshake.
    Tls,
    /// That the receiver takes the request.
    Request,
    /// The first byte of the response.
    Response,
    /// The end of the response's head.
    Head,
}

/// Why there was no response.
#[derive(Debug)]
pub enum Failure {
    /// The request cannot be made: what of it is malformed.
    Malformed(String),
    /// There is no address to connect to.
    NoAddress(NoAddress),
    /// There is no connection.
    Connect(io::Error),
    /// The proxy does not pass the request on; the status that it answered, if it was HTTP.
    Proxy(Option<u16>),
    /// There is no trust.
    Tls(io::Error),
    /// There was a connection, and no response over it.
    Exchange(hyper::Error),
    /// The deadline passed.
    TimedOut(Phase),
}

impl From<NoAddress> for Failure {
    fn from(reason: NoAddress) -> Self {
        Self::NoAddress(reason)
    }
}

/// What it means that there was no response.
pub fn outcome_of_failure(failure: &Failure) -> Outcome {
    match failure {
        Failure::NoAddress(NoAddress::Refused(_)) => Outcome::AddressRefused,
        Failure::NoAddress(NoAddress::Unresolved { .. }) | Failure::TimedOut(Phase::LookUp) => Outcome::DnsFailed,
        Failure::Connect(_) | Failure::Proxy(_) | Failure::TimedOut(Phase::Connect | Phase::Tunnel) => {
            Outcome::ConnectFailed
        }
        Failure::Tls(_) => Outcome::TlsFailed,
        // A receiver that wants a certificate of ours says so after the handshake.
        Failure::Exchange(error) if causes(error).any(|cause| cause.is::<rustls::Error>()) => Outcome::TlsFailed,
        Failure::TimedOut(Phase::Tls | Phase::Request | Phase::Response | Phase::Head) => Outcome::TimedOut,
        Failure::Exchange(_) | Failure::Malformed(_) => Outcome::Broken,
    }
}

/// Why there was no response within `deadline`, in words. Never holds the URL.
pub fn words_for_failure(failure: &Failure, deadline: Duration) -> String {
    let within = format!("within {} ms", deadline.as_millis());
    match failure {
        Failure::Malformed(what) => format!("the request could not be made: {what} is malformed"),
        Failure::NoAddress(reason) => reason.to_string(),
        Failure::Proxy(Some(status)) => format!("the proxy answered {status}"),
        Failure::Proxy(None) => "the proxy does not speak HTTP".into(),
        Failure::Connect(error) | Failure::Tls(error) => innermost(error),
        Failure::Exchange(error) => innermost(error),
        Failure::TimedOut(Phase::LookUp) => format!("no addresses {within}"),
        Failure::TimedOut(Phase::Connect) => format!("no connection {within}"),
        Failure::TimedOut(Phase::Tunnel) => format!("no answer of the proxy {within}"),
        Failure::TimedOut(Phase::Tls) => format!("no end of the TLS handshake {within}"),
        Failure::TimedOut(Phase::Request) => format!("the request was not taken {within}"),
        Failure::TimedOut(Phase::Response) => format!("no response {within}"),
        Failure::TimedOut(Phase::Head) => format!("no end of the response's head {within}"),
    }
}

/// Whether a receiver may not have heard a request over HTTP/2: it was going away, or refused to begin
/// ([RFC 9113, 8.7](https://www.rfc-editor.org/rfc/rfc9113#section-8.7)), or the connection broke.
pub(super) fn was_unheard_over_http2(error: &hyper::Error) -> bool {
    match causes(error).find_map(|cause| cause.downcast_ref::<h2::Error>()) {
        Some(told) => told.is_go_away() || told.is_io() || told.reason() == Some(h2::Reason::REFUSED_STREAM),
        None => error.is_canceled() || error.is_closed() || causes(error).any(|cause| cause.is::<io::Error>()),
    }
}

/// The innermost cause, which is the one that says something.
fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

/// The causes of an error, the outermost first.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(cause_of(error), |cause| cause_of(*cause))
}

/// The next cause. I/O errors carry other errors without naming them as their source, so they are looked into.
fn cause_of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(carried) => Some(carried),
        None => error.source(),
    }
}

/// The beginning of a text, in at most so many bytes.
pub(super) fn beginning(mut text: String, bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes));
    text
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
                ("Disable", Outcome::Gone),
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
