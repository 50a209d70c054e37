//! Whether a customer is exempt from tax in a jurisdiction on a day.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::criteria::{entries, entry_id};
use super::resource::{ResourceId, Snapshot};
use super::time::{Timestamp, plain_date};

/// What certificates say of one jurisdiction on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exemption {
    /// The certificates that exempt, in the order in which they were given; none: there is no exemption.
    pub certificate_ids: Vec<ResourceId>,
    /// From when on they do, the day itself included; `None`: no beginning is known, or there is no exemption.
    pub valid_from: Option<Date>,
    /// The last day on which they do; `None`: no end is known, or there is no exemption.
    pub valid_until: Option<Date>,
}

/// What exempts on a day: entries for the jurisdiction that are active or expiring, and whose dates the day lies
/// within. The status of the entry decides, whatever the certificate as a whole says. The first and the last day
/// belong to it, and a date that is missing is no bound; one that cannot be read is, and holds no day.
///
/// All that exempt hold the day, so that together they hold one span of days without a gap.
pub fn exemption<'a>(
    certificates: impl IntoIterator<Item = &'a Snapshot>,
    jurisdiction: &str,
    today: Date,
    zone: &TimeZone,
) -> Exemption {
    let mut exemption = Exemption::default();
    let mut spans: Vec<Span> = Vec::new();
    for certificate in certificates.into_iter().filter(|certificate| certificate.removed.is_none()) {
        let fields = certificate.object.fields();
        let here = entries(&fields).filter(|entry| entry_id(entry) == Some(jurisdiction));
        let valid = here.filter_map(|entry| Span::of(entry, zone)).filter(|span| span.holds(today));
        let before = spans.len();
        spans.extend(valid);
        if spans.len() > before {
            exemption.certificate_ids.push(certificate.key.id.clone());
        }
    }
    // A bound that one of them does not have is no bound.
    exemption.valid_from = spans.iter().map(|span| span.first).min().flatten();
    exemption.valid_until =
        spans.iter().map(|span| span.last).collect::<Option<Vec<_>>>().and_then(|days| days.into_iter().max());
    exemption
}

/// The days on which an entry exempts; `None`: without a bound.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: Option<Date>,
    last: Option<Date>,
}

impl Span {
    /// That of an entry; `None` if it does not exempt on any day.
    fn of(entry: &Value, zone: &TimeZone) -> Option<Self> {
        let status = entry.get("status").and_then(Value::as_str);
        if !matches!(status, Some("active" | "expiring")) {
            return None;
        }
        let bound = |name: &str| bound(entry.get(name), zone);
        Some(Self { first: bound("effective_date")?, last: bound("expiration_date")? })
    }

    fn holds(&self, day: Date) -> bool {
        self.first.is_none_or(|first| first <= day) && self.last.is_none_or(|last| day <= last)
    }
}

/// A date that may be missing; `None` if it is none. Of an instant it is the day that it falls on.
fn bound(date: Option<&Value>, zone: &TimeZone) -> Option<Option<Date>> {
    match date {
        None | Some(Value::Null) => Some(None),
        Some(date) => {
            let text = date.as_str()?;
            let day = plain_date(text).or_else(|| Some(text.parse::<Timestamp>().ok()?.day_in(zone)))?;
            Some(Some(day))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::json::Json;
    use crate::model::resource::{Agenda, Download, Kind, Removal, RemovalReason, ResourceKey};

    fn certificate(id: &str, jurisdictions: &Value) -> Snapshot {
        let key = ResourceKey {
            source: "numeral".parse().expect("a name"),
            kind: Kind::Certificate,
            id: id.parse().expect("an id"),
        };
        Snapshot {
            key,
            object_version: 1,
            // The summary says the opposite of what the entries say, and does not count.
            object: Json::of(&json!({"id": id, "status": "invalid", "jurisdictions": jurisdictions})),
            observed_at: Timestamp::EPOCH,
            row_fingerprint: None,
            download: Download::Unknown,
            removed: None,
            is_whole: true,
            open_list: None,
            agenda: Agenda::default(),
        }
    }

    fn entry(status: &str, first: Option<&str>, last: Option<&str>) -> Value {
        json!({"jurisdiction_id": "US-CA", "status": status, "effective_date": first, "expiration_date": last})
    }

    fn day(text: &str) -> Date {
        text.parse().expect("a day")
    }

    fn on(today: &str, certificates: &[Snapshot]) -> (usize, Option<String>, Option<String>) {
        let found = exemption(certificates, "US-CA", day(today), &TimeZone::UTC);
        let text = |day: Option<Date>| day.map(|day| day.to_string());
        (found.certificate_ids.len(), text(found.valid_from), text(found.valid_until))
    }

    fn check(status: &str, first: Option<&str>, last: Option<&str>, today: &str, expected: bool) {
        let (count, from, until) = on(today, &[certificate("c", &json!([entry(status, first, last)]))]);
        assert_eq!(count == 1, expected, "{status} {first:?} {last:?} {today}");
        if !expected {
            assert_eq!((from, until), (None, None));
        }
    }

    #[test]
    fn the_first_and_the_last_day_are_valid_and_no_other_beside_those_between() {
        for (today, expected) in [
            ("2025-12-31", false),
            ("2026-01-01", true),
            ("2026-07-01", true),
            ("2027-01-01", true),
            ("2027-01-02", false),
        ] {
            check("active", Some("2026-01-01"), Some("2027-01-01"), today, expected);
            check("expiring", Some("2026-01-01"), Some("2027-01-01"), today, expected);
        }
    }

    #[test]
    fn no_other_status_exempts_whatever_the_dates() {
        for status in ["processing", "needs_info", "expired", "invalid", "never_heard_of", ""] {
            check(status, Some("2026-01-01"), Some("2027-01-01"), "2026-07-01", false);
        }
        let silent = json!([{"jurisdiction_id": "US-CA", "effective_date": "2026-01-01"}]);
        assert_eq!(on("2026-07-01", &[certificate("c", &silent)]).0, 0, "an unknown status exempts from nothing");
    }

    #[test]
    fn a_date_that_is_missing_is_no_bound_and_one_that_cannot_be_read_holds_no_day() {
        check("active", None, None, "2026-07-01", true);
        check("active", Some("2026-07-02"), None, "2026-07-01", false);
        check("active", None, Some("2026-06-30"), "2026-07-01", false);
        check("active", None, Some("9999-12-31"), "2026-07-01", true);
        check("active", Some("soon"), None, "2026-07-01", false);
        check("active", None, Some("2026-13-01"), "2026-07-01", false);
        check("active", None, Some("2026-07-01T00:00:00Z"), "2026-07-01", true);
    }

    #[test]
    fn only_the_jurisdiction_that_was_asked_for_counts_and_nothing_that_was_removed() {
        let texas = json!([{"jurisdiction_id": "US-TX", "status": "active"}]);
        assert_eq!(
            on("2026-07-01", &[certificate("a", &texas), certificate("b", &json!([])), certificate("c", &json!(null))])
                .0,
            0
        );
        let mut gone = certificate("d", &json!([entry("active", None, None)]));
        gone.removed = Some(Removal { reason: RemovalReason::NotFound, at: Timestamp::EPOCH });
        assert_eq!(on("2026-07-01", &[gone]).0, 0);
    }

    #[test]
    fn several_certificates_hold_one_span_together() {
        let early = certificate("a", &json!([entry("active", Some("2026-01-01"), Some("2026-08-01"))]));
        let late = certificate("b", &json!([entry("expiring", Some("2026-06-01"), Some("2027-05-31"))]));
        let other = certificate("c", &json!([entry("active", Some("2028-01-01"), Some("2029-01-01"))]));
        let all = [early, late, other];
        let until = |day: &str| Some(day.to_owned());
        assert_eq!(on("2026-07-01", &all), (2, until("2026-01-01"), until("2027-05-31")));
        assert_eq!(on("2026-05-01", &all), (1, until("2026-01-01"), until("2026-08-01")));
        assert_eq!(on("2027-06-01", &all), (0, None, None));
        let endless = certificate("d", &json!([entry("active", None, None), entry("expired", None, None)]));
        assert_eq!(on("2026-07-01", &[all[0].clone(), endless]), (2, None, None), "one without bounds bounds nothing");
    }

    proptest! {
        #[test]
        fn every_day_of_the_span_that_is_told_is_exempt(
            spans in prop::collection::vec((0..40_i32, 0..40_i32), 0..5), today in 0..40_i32,
        ) {
            let date = |days: i32| day("2026-01-01").saturating_add(jiff::Span::new().days(days));
            let certificates: Vec<Snapshot> = spans
                .iter()
                .map(|&(first, last)| {
                    let (first, last) = (date(first).to_string(), date(last).to_string());
                    certificate("c", &json!([entry("active", Some(&first), Some(&last))]))
                })
                .collect();
            let on = |day: Date| exemption(&certificates, "US-CA", day, &TimeZone::UTC);
            let found = on(date(today));
            let wanted = spans.iter().filter(|(first, last)| (*first..=*last).contains(&today)).count();
            prop_assert_eq!(found.certificate_ids.len(), wanted);
            if let Some((from, until)) = found.valid_from.zip(found.valid_until) {
                for days in 0..40 {
                    let is_told = (from..=until).contains(&date(days));
                    prop_assert!(!is_told || !on(date(days)).certificate_ids.is_empty(), "{} {from} {until}", days);
                }
            } else {
                prop_assert_eq!(wanted, 0);
            }
        }
    }
}
