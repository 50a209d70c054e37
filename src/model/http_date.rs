//! Dates as HTTP writes them.

use jiff::civil::{DateTime, date};
use jiff::fmt::rfc2822::DateTimeParser;

use super::time::Timestamp;

/// The form to be preferred and the two obsolete ones that a recipient must accept all the same (RFC 9110, section
/// 5.6.7).
const FORMS: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// Reads a date of HTTP in any of its three forms; `None` for anything else.
pub fn http_date(text: &str) -> Option<Timestamp> {
    // A weekday that does not fit its date is the sender's slip and makes the instant no less clear.
    static PREFERRED_FORM: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    let text = text.trim();
    if let Ok(instant) = PREFERRED_FORM.parse_timestamp(text) {
        return Some(Timestamp::from_millis(instant.as_millisecond()));
    }
    // As a plain date, so that the last hours of the year 9999, which some take for "never", are one too.
    let instant = FORMS.iter().find_map(|form| DateTime::strptime(form, text).ok())?;
    let since_epoch = instant.duration_since(date(1970, 1, 1).at(0, 0, 0, 0)).as_secs();
    Some(Timestamp::from_millis(since_epoch * 1000))
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
    fn the_last_second_of_the_calendar_is_a_date() {
        assert_eq!(http_date("Fri, 31 Dec 9999 23:59:59 GMT"), Some(Timestamp::from_millis(253_402_300_799_000)));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "120", "1994-11-06T08:49:37Z", "Sun, 06 Nov 1994", "tomorrow", "Sun, 99 Nov 1994 08:49:37 GMT"]
        {
            assert_eq!(http_date(text), None, "{text:?}");
        }
    }
}
