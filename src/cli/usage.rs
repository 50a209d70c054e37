//! Bad usage: what cannot be meant, whatever a gateway would say to it. Nothing was asked of one then, and nothing has
//! changed; the exit code is 2.

use std::fmt;

use serde_json::{Value, json};
use url::Url;

use super::when::When;
use crate::api::examine::{FILTER_ENTRY_BYTES_MAX, FieldError};
use crate::model::time::Timestamp;

/// Options that cannot be used, each with what would be right.
#[derive(Debug, thiserror::Error)]
pub(super) struct BadUsage(Vec<(String, String)>);

impl fmt::Display for BadUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(option, message)] = self.0.as_slice() {
            return write!(f, "{option}: {message}");
        }
        write!(f, "what is given cannot be used:")?;
        self.0.iter().try_for_each(|(option, message)| write!(f, "\n  {option}: {message}"))
    }
}

impl BadUsage {
    /// One option, or what else was given.
    pub(super) fn of(option: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![(option.into(), message.into())])
    }

    /// The same for programs, in the shape of the API's errors.
    pub(super) fn value(&self) -> Value {
        value(&self.to_string(), &self.0)
    }
}

/// Bad usage for programs, option by option as far as that is known.
pub(super) fn value(message: &str, options: &[(String, String)]) -> Value {
    let errors = options.iter().map(|(option, message)| json!({ "field": option, "message": message }));
    json!({ "type": "BAD_USAGE", "message": message, "errors": errors.collect::<Vec<_>>() })
}

/// What the API's own readers say of a body that was put together of options. What is no field is an argument (`<URL>`)
/// already.
pub(super) fn examined(errors: Vec<FieldError>) -> Result<(), BadUsage> {
    let wrong: Vec<_> = errors.into_iter().map(|error| (option(&error.field), error.message)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(BadUsage(wrong)) }
}

/// The option that gives a field.
fn option(field: &str) -> String {
    if let Some(unset) = field.strip_prefix("unset ") {
        return format!("--unset {unset}");
    }
    if field.starts_with('<') {
        return field.into();
    }
    let (head, rest) = field.split_once(['.', '[']).unwrap_or((field, ""));
    let part = rest.split('[').next().unwrap_or_default();
    match (head, part) {
        ("filter", "sources") => "--source".into(),
        ("filter", "customer_ids") => "--customer".into(),
        ("filter", "reference_customer_ids") => "--reference-customer".into(),
        ("filter", "jurisdictions") => "--jurisdiction".into(),
        ("filter", "certificate_type_ids") => "--certificate-type".into(),
        ("filter", "will_expire_days") => "--days-ahead".into(),
        ("headers", name) => format!("--header {name}").trim_end().into(),
        ("metadata", name) => format!("--metadata {name}").trim_end().into(),
        ("secret", _) => "--secret-file".into(),
        ("expires_at", _) => "--expires-in".into(),
        ("name", _) => "<NAME>".into(),
        (head, _) => format!("--{}", head.replace('_', "-")),
    }
}

/// An id or a name that becomes a part of a path.
pub(super) fn name(given: &str) -> Result<String, &'static str> {
    if matches!(given, "" | "." | "..") { Err("is no id and no name") } else { Ok(given.into()) }
}

/// An id or a word of the vendor's, which is compared with what events say.
pub(super) fn entry(given: &str) -> Result<String, String> {
    if (1..=FILTER_ENTRY_BYTES_MAX).contains(&given.len()) {
        return Ok(given.into());
    }
    Err(format!("must have 1 to {FILTER_ENTRY_BYTES_MAX} bytes"))
}

/// Where something answers that speaks HTTP.
pub(super) fn http_url(given: &str) -> Result<Url, String> {
    let right = "must be such as http://127.0.0.1:8080";
    let url: Url = given.parse().map_err(|why| format!("{right} ({why})"))?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(format!("{right}, not {}:", url.scheme())) }
}

/// The instants that are meant by a beginning and an end, as the API takes them.
pub(super) fn range(
    since: Option<When>,
    until: Option<When>,
    now: Timestamp,
) -> Result<(Option<String>, Option<String>), BadUsage> {
    let (since, until) = (since.map(|when| when.instant(now)), until.map(|when| when.instant(now)));
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Err(BadUsage::of("--until", "must not be before --since"));
    }
    Ok((since.map(|since| since.to_string()), until.map(|until| until.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_told_as_the_option_that_gives_it() {
        let error = |field: &str| FieldError { field: field.into(), message: "is bad".into() };
        for (field, option) in [
            ("rate_limit", "--rate-limit"),
            ("retry[1]", "--retry"),
            ("filter.customer_ids[0]", "--customer"),
            ("headers.x-key", "--header x-key"),
            ("metadata", "--metadata"),
            ("secret", "--secret-file"),
            ("start.at", "--start"),
            ("url", "--url"),
            ("<URL>", "<URL>"),
        ] {
            let told = examined(vec![error(field)]).expect_err("it is wrong").to_string();
            assert_eq!(told, format!("{option}: is bad"));
        }
        let told = examined(vec![error("retry[0]"), error("uid")]).expect_err("it is wrong");
        assert_eq!(told.to_string(), "what is given cannot be used:\n  --retry: is bad\n  --uid: is bad");
    }

    #[test]
    fn a_range_ends_after_it_began() {
        let now: Timestamp = "2026-11-21T18:00:00Z".parse().expect("an instant");
        let when = |text: &str| Some(text.parse().expect("an instant"));
        assert!(range(when("1h"), when("2h"), now).is_err());
        let (since, until) = range(when("2h"), None, now).expect("a range");
        assert_eq!((since.as_deref(), until), (Some("2026-11-21T16:00:00.000Z"), None));
    }
}
