//! Dates as HTTP writes them.

use jiff::civil::DateTime;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::tz::TimeZone;

use crate::model::time::Timestamp;

/// The two obsolete forms that a recipient must accept all the same (RFC 9110, section 5.6.7).
const OBSOLETE_FORMS: [&str; 2] = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// Reads a date of HTTP in any of its three forms; `None` for anything else.
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    // A weekday that does not fit its date is the sender's slip and makes the instant no less clear.
    static PREFERRED_FORM: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    let text = text.trim();
    let instant = PREFERRED_FORM.parse_timestamp(text).ok().or_else(|| {
        let date = OBSOLETE_FORMS.iter().find_map(|form| DateTime::strptime(form, text).ok())?;
        date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })?;
    Some(Timestamp::from_millis(instant.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_a_date_mean_the_same_instant() {
        let instant = "1994-11-06T08:49:37Z".parse().ok();
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            " Sun, 06 Nov 1994 08:49:37 GMT ",
        ] {
            assert_eq!(http_date(text), instant, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "120", "1994-11-06T08:49:37Z", "Sun, 06 Nov 1994", "tomorrow", "Sun, 99 Nov 1994 08:49:37 GMT"]
        {
            assert_eq!(http_date(text), None, "{text:?}");
        }
    }
}
