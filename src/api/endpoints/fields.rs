//! One reader for each field of an endpoint, with its limits.
//!
//! Together the limits, with those of headers, keep an endpoint well below the 224 KiB that the store commits at once.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::settings::Start;
use crate::api::input::{Input, must_be, whole_number};
use crate::model::endpoint::{EndpointUrl, SigningSecret};
use crate::model::event::EventType;
use crate::model::filter::Filter;
use crate::model::json::Fields;
use crate::model::pattern::Pattern;
use crate::model::resource::SourceName;

/// What browsers and proxies agree on.
pub(in crate::api) const URL_BYTES_MAX: usize = 2048;
/// A paragraph for people.
pub(in crate::api) const DESCRIPTION_CHARS_MAX: usize = 1000;
/// One for every type there is would be as many as make sense.
pub(in crate::api) const TYPES_MAX: usize = EventType::ALL.len();
/// Every event is held against every filter, in memory; longer lists are better kept by their owner.
pub(in crate::api) const FILTER_ENTRIES_MAX: usize = 200;
/// The longest id that a resource may have.
pub(in crate::api) const FILTER_ENTRY_BYTES_MAX: usize = 128;
/// All text of a filter together.
const FILTER_BYTES_MAX: usize = 8 * 1024;
/// Ten years: nothing is announced earlier.
pub(in crate::api) const DAYS_MAX: u32 = 3650;
/// At the longest wait, a year.
pub(in crate::api) const WAITS_MAX: usize = 50;
/// What comes sooner is no wait, and an endpoint that failed for so long has long been disabled.
const WAIT_SECONDS: RangeInclusive<u64> = 1..=7 * 24 * 3600;
/// Receivers that have not taken over a new secret within a week will not.
const OVERLAP_SECONDS: RangeInclusive<u64> = 0..=7 * 24 * 3600;
/// Long enough for a person to bring a secret to a receiver.
const OVERLAP_DEFAULT: Duration = Duration::from_secs(24 * 3600);
/// Twice the default for all endpoints together.
pub(in crate::api) const IN_FLIGHT_MAX: u32 = 1024;
/// Metadata has Stripe's bounds, which people know, and one for all of it.
pub(in crate::api) const METADATA_ENTRIES_MAX: usize = 50;
pub(in crate::api) const METADATA_NAME_CHARS_MAX: usize = 40;
pub(in crate::api) const METADATA_VALUE_CHARS_MAX: usize = 500;
const METADATA_BYTES_MAX: usize = 8 * 1024;
/// One segment of a URL that needs no encoding.
const UID_BYTES_MAX: usize = 128;

/// `url`, required. Whether it may be called is for others to say.
pub(super) fn url(input: &mut Input) -> Option<Url> {
    let Some(text) = input.take("url") else {
        input.report("url", "is required");
        return None;
    };
    let Value::String(text) = text else {
        input.report("url", must_be("a string", &text));
        return None;
    };
    check_url(&text).map_err(|why| input.report("url", why)).ok()
}

fn check_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|why| format!("is not an absolute URL: {why}"))?;
    if url.as_str().len() > URL_BYTES_MAX {
        return Err(format!("must have at most {URL_BYTES_MAX} bytes, not {}", url.as_str().len()));
    }
    if !matches!(url.scheme(), "https" | "http") {
        return Err(format!("must begin with https://, not {}:", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not carry a user name or password; deliveries are signed instead".into());
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment (#…): it would never be sent".into());
    }
    if EndpointUrl::new(&url).masked() == url.as_str() && url.query().is_some() {
        return Err("has a masked query, as answers show it; give the whole URL, or leave url out of a PATCH".into());
    }
    Ok(url)
}

/// `uid`, the subscriber's own name.
pub(super) fn uid(input: &mut Input) -> Option<String> {
    let uid = input.text("uid")?;
    check_uid(&uid).map_err(|why| input.report("uid", why)).ok()?;
    Some(uid)
}

/// Endpoints are found by id or by uid, so neither may look like the other; and a uid must survive clients that
/// normalise paths, so it is neither `.` nor `..`.
fn check_uid(uid: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let first = uid.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if !first || uid.len() > UID_BYTES_MAX || !uid.bytes().all(allowed) {
        return Err("must match [A-Za-z0-9][A-Za-z0-9._-]{0,127}");
    }
    if uid.starts_with("ep_") {
        return Err("must not begin with ep_, as the ids of endpoints do");
    }
    Ok(())
}

/// `description`, empty by default.
pub(super) fn description(input: &mut Input) -> String {
    let description = input.text("description").unwrap_or_default();
    let length = description.chars().count();
    if length > DESCRIPTION_CHARS_MAX {
        input.report("description", format!("must have at most {DESCRIPTION_CHARS_MAX} characters, not {length}"));
    }
    description
}

/// `types`, everything about resources by default.
pub(super) fn types(input: &mut Input) -> Vec<Pattern> {
    given_types(input).unwrap_or_else(|| vec![Pattern::Everything])
}

/// `types`, if they are given.
pub(in crate::api) fn given_types(input: &mut Input) -> Option<Vec<Pattern>> {
    let read = |entry: &Value| text(entry)?.parse::<Pattern>().map_err(|why| why.to_string());
    let types = input.list("types", TYPES_MAX, read)?;
    if types.is_empty() {
        input.report("types", "must name at least one event type that exists; leave it out for all");
    }
    Some(types)
}

/// `filter`, empty by default.
pub(in crate::api) fn filter(input: &mut Input) -> Filter {
    let Some(given) = input.fields("filter") else { return Filter::default() };
    let mut inner = input.enter("filter", given);
    let source = |entry: &Value| text(entry)?.parse::<SourceName>().map_err(|why| why.to_string());
    let days = |entry: &Value| {
        whole_number(entry, &(0..=DAYS_MAX)).ok_or_else(|| format!("must be a whole number from 0 to {DAYS_MAX}"))
    };
    let filter = Filter {
        sources: inner.list("sources", FILTER_ENTRIES_MAX, source).unwrap_or_default(),
        customer_ids: inner.list("customer_ids", FILTER_ENTRIES_MAX, filter_entry).unwrap_or_default(),
        reference_customer_ids: inner
            .list("reference_customer_ids", FILTER_ENTRIES_MAX, filter_entry)
            .unwrap_or_default(),
        jurisdictions: inner.list("jurisdictions", FILTER_ENTRIES_MAX, filter_entry).unwrap_or_default(),
        certificate_type_ids: inner.list("certificate_type_ids", FILTER_ENTRIES_MAX, filter_entry).unwrap_or_default(),
        will_expire_days: inner.list("will_expire_days", FILTER_ENTRIES_MAX, days).unwrap_or_default(),
    };
    input.leave(inner);
    let sources = filter.sources.iter().map(SourceName::as_str);
    let texts =
        [&filter.customer_ids, &filter.reference_customer_ids, &filter.jurisdictions, &filter.certificate_type_ids];
    let bytes: usize = texts.into_iter().flatten().map(String::as_str).chain(sources).map(str::len).sum();
    if bytes > FILTER_BYTES_MAX {
        input.report("filter", format!("must have at most {FILTER_BYTES_MAX} bytes of text, not {bytes}"));
    }
    filter
}

fn filter_entry(entry: &Value) -> Result<String, String> {
    let entry = text(entry)?;
    if (1..=FILTER_ENTRY_BYTES_MAX).contains(&entry.len()) {
        Ok(entry.into())
    } else {
        Err(format!("must have 1 to {FILTER_ENTRY_BYTES_MAX} bytes"))
    }
}

fn text(entry: &Value) -> Result<&str, String> {
    entry.as_str().ok_or_else(|| must_be("a string", entry))
}

/// `retry`, the configured schedule by default.
pub(super) fn retry(input: &mut Input) -> Option<Vec<Duration>> {
    let waits = input.list("retry", WAITS_MAX, |entry| wait(text(entry)?))?;
    if waits.is_empty() {
        input.report("retry", "must have at least one wait; leave it out for the configured ones");
    }
    Some(waits)
}

fn wait(text: &str) -> Result<Duration, String> {
    whole_seconds(text, &WAIT_SECONDS)
}

/// `overlap`, how long the former secret signs beside a new one; a day by default.
pub(super) fn overlap(input: &mut Input) -> Duration {
    let Some(text) = input.text("overlap") else { return OVERLAP_DEFAULT };
    whole_seconds(&text, &OVERLAP_SECONDS).unwrap_or_else(|why| {
        input.report("overlap", why);
        OVERLAP_DEFAULT
    })
}

fn whole_seconds(text: &str, range: &RangeInclusive<u64>) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|_| "must be a duration such as 30s, 5m or 2h")?;
    if duration.subsec_nanos() == 0 && range.contains(&duration.as_secs()) {
        return Ok(duration);
    }
    let [from, to] = [range.start(), range.end()].map(|seconds| duration_text(Duration::from_secs(*seconds)));
    Err(format!("must be whole seconds, from {from} to {to}"))
}

/// Whole seconds in the largest unit that says them exactly. Days begin at two, because people say 24h.
pub(super) fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(2 * 86_400, 86_400, "d"), (3600, 3600, "h"), (60, 60, "m")];
    let unit = units.into_iter().find(|(from, unit, _)| seconds >= *from && seconds.is_multiple_of(*unit));
    match unit {
        Some((_, unit, word)) => format!("{}{word}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// `metadata`, empty by default. A null leaves its name out.
pub(super) fn metadata(input: &mut Input) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    for (name, value) in input.fields("metadata").unwrap_or_default() {
        if value.is_null() {
            continue;
        }
        match check_metadata(&name, &value) {
            Ok(value) => {
                metadata.insert(name, value);
            }
            Err(why) => input.report(format!("metadata.{name}"), why),
        }
    }
    if metadata.len() > METADATA_ENTRIES_MAX {
        input.report("metadata", format!("must have at most {METADATA_ENTRIES_MAX} entries, not {}", metadata.len()));
    }
    let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > METADATA_BYTES_MAX {
        input.report("metadata", format!("must have at most {METADATA_BYTES_MAX} bytes of text, not {bytes}"));
    }
    metadata
}

fn check_metadata(name: &str, value: &Value) -> Result<String, String> {
    if !(1..=METADATA_NAME_CHARS_MAX).contains(&name.chars().count()) {
        return Err(format!("must have a name of 1 to {METADATA_NAME_CHARS_MAX} characters"));
    }
    let value = text(value)?;
    if value.chars().count() > METADATA_VALUE_CHARS_MAX {
        return Err(format!("must have at most {METADATA_VALUE_CHARS_MAX} characters"));
    }
    Ok(value.into())
}

/// `secret`, the subscriber's own.
pub(super) fn secret(input: &mut Input) -> Option<SigningSecret> {
    let text = SecretString::from(input.text("secret")?);
    SigningSecret::parse_text(text.expose_secret()).map_err(|why| input.report("secret", why)).ok()
}

/// `start`, now by default.
pub(super) fn start(input: &mut Input) -> Start {
    let shapes = r#"must be "now", "earliest", {"event": "evt_…"} or {"at": "2026-11-21T00:00:00Z"}"#;
    match input.take("start") {
        None => Start::Now,
        Some(Value::String(word)) if word == "now" => Start::Now,
        Some(Value::String(word)) if word == "earliest" => Start::Earliest,
        Some(Value::Object(fields)) if fields.len() == 1 && !fields.values().any(Value::is_null) => {
            start_at(input, fields).unwrap_or(Start::Now)
        }
        Some(_) => {
            input.report("start", shapes);
            Start::Now
        }
    }
}

fn start_at(input: &mut Input, fields: Fields) -> Option<Start> {
    let mut inner = input.enter("start", fields);
    let event = inner.parsed("event").map(Start::Event);
    let at = inner.parsed("at").map(Start::At);
    input.leave(inner);
    event.or(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_reads_back_from_its_text(seconds in WAIT_SECONDS) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(wait(&duration_text(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in ".{0,80}") {
            let _ = (wait(&text), check_uid(&text), check_url(&text));
        }
    }

    #[test]
    fn waits_are_shown_as_people_write_them() {
        let shown = |text: &str| wait(text).map(duration_text);
        for text in ["1s", "90s", "5m", "90m", "2h", "24h", "36h", "2d", "7d"] {
            assert_eq!(shown(text), Ok(text.into()));
        }
        assert_eq!(shown("1h 30m"), Ok("90m".into()));
        assert_eq!(shown("1day"), Ok("24h".into()));
    }

    #[test]
    fn a_uid_cannot_be_taken_for_an_id_or_for_a_path() {
        for uid in ["a", "7", "crm.eu-1_x", "EP_1", "ep-1", &"x".repeat(128)] {
            assert_eq!(check_uid(uid), Ok(()), "{uid}");
        }
        for uid in ["", ".", "..", ".a", "-a", "_a", "a/b", "a b", "ü", "ep_", "ep_1", &"x".repeat(129)] {
            assert!(check_uid(uid).is_err(), "{uid}");
        }
    }
}
