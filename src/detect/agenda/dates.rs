//! The dates that a resource carries, and when each of them is over.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::super::compare::{JURISDICTIONS, jurisdiction_id};
use crate::model::json::Fields;
use crate::model::resource::{Kind, OpenList};
use crate::model::time::{Timestamp, plain_date};

/// The year that stands for "never".
const NEVER: &str = "9999-";

/// A date that a resource carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Carried<'a> {
    /// Whose it is; `None`: the resource's own.
    pub(super) jurisdiction_id: Option<&'a str>,
    /// As upstream wrote it.
    pub(super) text: &'a str,
    /// When it is.
    pub(super) when: When,
    /// Whether one is reminded of it ahead.
    pub(super) is_reminded: bool,
    /// Whether the resource is looked at once it is over, because lists may not show what becomes of it.
    pub(super) is_looked_after: bool,
}

/// When a date is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct When {
    /// The last valid day in the time zone.
    pub(super) day: Date,
    /// The instant from which on it is over.
    pub(super) end: Timestamp,
}

impl When {
    /// Reads a plain date, which is valid to the end of its day, or an instant. `None` for what is neither, and for a
    /// date that stands for "never".
    pub(super) fn read(text: &str, zone: &TimeZone) -> Option<Self> {
        if text.starts_with(NEVER) {
            return None;
        }
        if let Some(day) = plain_date(text) {
            let end = zone.to_timestamp(day.tomorrow().ok()?.at(0, 0, 0, 0)).ok()?;
            return Some(Self { day, end: Timestamp::from_millis(end.as_millisecond()) });
        }
        let end: Timestamp = text.parse().ok()?;
        Some(Self { day: end.day_in(zone), end })
    }
}

/// The dates of a resource, in the order of their jurisdictions, each once.
pub(super) fn carried<'a>(kind: Kind, fields: &'a Fields, zone: &TimeZone) -> Vec<Carried<'a>> {
    let status = fields.get("status").and_then(Value::as_str);
    let is_open = OpenList::of(kind, status).is_some();
    let of = |jurisdiction_id, text: Option<&'a Value>, is_reminded, is_looked_after| {
        let text = text.and_then(Value::as_str)?;
        Some(Carried { jurisdiction_id, text, when: When::read(text, zone)?, is_reminded, is_looked_after })
    };
    match kind {
        Kind::CertificateRequest => of(None, fields.get("expires_at"), is_open, false).into_iter().collect(),
        Kind::Certificate => {
            let entries = fields.get(JURISDICTIONS).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let is_reminded = entries.is_empty() && is_valid(status);
            let own = of(None, fields.get("expiration_date"), is_reminded, status == Some("active"));
            let of_entry = |entry: &'a Value| {
                let is_valid = is_valid(entry.get("status").and_then(Value::as_str));
                of(Some(jurisdiction_id(entry)?), entry.get("expiration_date"), is_valid, is_valid)
            };
            each_once(own.into_iter().chain(entries.iter().filter_map(of_entry)).collect())
        }
    }
}

/// Whether a certificate, or an entry of one, of this status exempts from tax.
fn is_valid(status: Option<&str>) -> bool {
    matches!(status, Some("active" | "expiring"))
}

/// A jurisdiction may stand twice with the same date; then whatever is true of either counts.
fn each_once(mut dates: Vec<Carried<'_>>) -> Vec<Carried<'_>> {
    dates.sort_by_key(|date| (date.jurisdiction_id, date.text));
    dates.dedup_by(|second, first| {
        let is_same = (second.jurisdiction_id, second.text) == (first.jurisdiction_id, first.text);
        if is_same {
            first.is_reminded |= second.is_reminded;
            first.is_looked_after |= second.is_looked_after;
        }
        is_same
    });
    dates
}
