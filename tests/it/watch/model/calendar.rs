//! The dates of resources: of which somebody is reminded, after which somebody looks, and when they are over.

use std::time::Duration;

use certhook::detect::agenda::Policy;
use certhook::model::resource::Kind;
use certhook::model::time::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::Value;

use super::meaning::jurisdiction;

/// A date of which somebody may be reminded: whose it is, and what it is.
pub(super) type Dated = (Option<String>, String);

/// The dates of a state of which somebody may be reminded.
pub(super) fn reminded(kind: Kind, state: &Value) -> Vec<Dated> {
    let text = |value: &Value, name: &str| value[name].as_str().map(str::to_owned);
    let is_valid = |value: &Value| matches!(value["status"].as_str(), Some("active" | "expiring"));
    if kind == Kind::CertificateRequest {
        let date = text(state, "expires_at").filter(|_| state["status"] == "pending");
        return date.into_iter().map(|date| (None, date)).collect();
    }
    let entries = state["jurisdictions"].as_array().cloned().unwrap_or_default();
    if entries.is_empty() {
        let date = text(state, "expiration_date").filter(|_| is_valid(state));
        return date.into_iter().map(|date| (None, date)).collect();
    }
    let valid = entries.iter().filter(|entry| is_valid(entry));
    valid.filter_map(|entry| Some((Some(jurisdiction(entry).to_owned()), text(entry, "expiration_date")?))).collect()
}

/// When a reminder so many days ahead is due, how many days the date is ahead at an instant, and when it is over: at
/// the earliest, and at the latest. A date is the last valid day; an instant, here without its fraction, is over at
/// itself.
pub(super) struct Calendar<'a> {
    policy: &'a Policy,
    day: Date,
    pub(super) ends: [Timestamp; 2],
}

impl<'a> Calendar<'a> {
    /// Of a date, or of an instant without its fraction and zone, as states have it.
    pub(super) fn of(policy: &'a Policy, date: &str) -> Self {
        let zone = policy.timezone.clone();
        let stamp = |zoned: &jiff::Zoned| Timestamp::from_millis(zoned.timestamp().as_millisecond());
        match format!("{date}Z").parse::<jiff::Timestamp>() {
            Ok(instant) => {
                let zoned = instant.to_zoned(zone);
                let end = stamp(&zoned);
                Self { policy, day: zoned.date(), ends: [end, end.plus(Duration::from_millis(999))] }
            }
            Err(_) => {
                let day: Date = date.parse().expect("a date");
                let next = day.tomorrow().expect("a date").to_zoned(zone).expect("a day that begins");
                Self { policy, day, ends: [stamp(&next); 2] }
            }
        }
    }

    /// When a reminder so many days ahead is due.
    pub(super) fn due(&self, threshold: u16) -> Timestamp {
        let day = self.day.checked_sub(i64::from(threshold).days()).expect("a date");
        let at = day.to_datetime(self.policy.remind_at).to_zoned(self.policy.timezone.clone()).expect("an instant");
        Timestamp::from_millis(at.timestamp().as_millisecond())
    }

    /// How many days it is ahead at an instant.
    pub(super) fn days_left(&self, now: Timestamp) -> i64 {
        let zone = self.policy.timezone.clone();
        let now = jiff::Timestamp::from_millisecond(now.as_millis()).expect("an instant").to_zoned(zone);
        self.day.since(now.date()).expect("days").get_days().into()
    }
}

/// The dates after which a resource is looked at, because upstream's clock moves a status then: of one in an open list,
/// only where rows do not show it.
pub(super) fn looked_after(kind: Kind, state: &Value, rows_lack_status: bool) -> Vec<Dated> {
    let status = state["status"].as_str();
    let is_open = matches!(status, Some("processing" | "needs_info" | "expiring"));
    if kind == Kind::CertificateRequest || is_open && !rows_lack_status {
        return Vec::new();
    }
    let text = |value: &Value| value["expiration_date"].as_str().map(str::to_owned);
    let own = text(state).filter(|_| status == Some("active")).map(|date| (None, date));
    let entries = state["jurisdictions"].as_array().into_iter().flatten();
    let valid = entries.filter(|entry| matches!(entry["status"].as_str(), Some("active" | "expiring")));
    let valid = valid.filter_map(|entry| Some((Some(jurisdiction(entry).to_owned()), text(entry)?)));
    own.into_iter().chain(valid).collect()
}
