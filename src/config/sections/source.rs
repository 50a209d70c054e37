//! What is watched: the sources, each with its passes, and the section of events, which all of them share.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use secrecy::{ExposeSecret, SecretString};
use tokio_cron_scheduler::Job;

use super::super::SourceSettings;
use super::super::reader::{Reader, duration, expected_duration};
use super::{DAY, NO_BEARER, Network, SECOND, is_bearer, origin};
use crate::detect::agenda::Policy;
use crate::watch::{Baseline, RemovalGuard, Schedule};
use crate::{source, watch};

/// More often is no polling but an attack; less often, a sweep finds the same.
const CHANGES: RangeInclusive<Duration> = SECOND..=DAY;

/// No upstream that works shows a change a day late.
const OVERLAP: RangeInclusive<Duration> = Duration::ZERO..=DAY;

/// Less often, a sweep finds the same.
const OPEN: RangeInclusive<Duration> = SECOND..=DAY;

/// A month between two sweeps is as long as a removal may go unnoticed.
const SWEEP: RangeInclusive<Duration> = SECOND..=Duration::from_secs(30 * 24 * 60 * 60);

/// Second, minute, hour, day of the month, month, day of the week. The scheduler would take a year too, and words such
/// as `@daily`; one form is enough.
const CRON_FIELDS: usize = 6;

/// One call in 100 seconds is as good as none, and no vendor allows more than a thousand a second, as far as any says.
const REQUESTS_PER_SECOND: RangeInclusive<f64> = 0.01..=1000.0;

/// No guard that waits for more would ever hold anything back: it is more than a store can keep.
const GUARD_COUNT: RangeInclusive<i64> = 1..=1_000_000_000;

/// Days ahead of a date: nobody plans for a certificate more than ten years ahead.
const REMIND_DAYS: RangeInclusive<i64> = 0..=3650;

/// More reminders of one date are noise.
const REMINDERS_MAX: usize = 50;

/// The section of events.
pub(super) struct Events {
    ignore_fields: Vec<String>,
    dates: Policy,
}

impl Events {
    /// Where upstream's plain dates are.
    pub(super) fn timezone(&self) -> TimeZone {
        self.dates.timezone.clone()
    }
}

pub(super) fn events(reader: Reader<'_>) -> Option<Events> {
    let ignore_fields = ignore_fields(&reader);
    let will_expire = will_expire(&reader);
    let remind_at = reader.parsed("remind_at", "a time of day such as \"09:00\"", time_of_day);
    let expected = "a time zone of the tz database, such as \"UTC\" or \"America/New_York\"";
    let timezone = reader.parsed("timezone", expected, |name| TimeZone::get(name).ok());
    let dates = Policy { will_expire: will_expire?, remind_at: remind_at?, timezone: timezone? };
    Some(Events { ignore_fields: ignore_fields?, dates })
}

fn ignore_fields(reader: &Reader<'_>) -> Option<Vec<String>> {
    let is_field =
        |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let parse = |text: &str| Some(text).filter(is_field).map(str::to_owned);
    reader.list("ignore_fields", "the name of a top-level field, such as \"notes\"", parse)
}

/// The thresholds in descending order, each once.
fn will_expire(reader: &Reader<'_>) -> Option<Vec<u16>> {
    const KEY: &str = "will_expire";
    let mut days = reader.integers(KEY, REMIND_DAYS)?;
    days.sort_unstable_by(|one, other| other.cmp(one));
    if let Some(pair) = days.windows(2).find(|pair| pair[0] == pair[1]) {
        reader.refuse(KEY, format!("must have each number of days once; it has {} twice", pair[0]));
        return None;
    }
    if days.len() > REMINDERS_MAX {
        reader.refuse(KEY, format!("must have at most {REMINDERS_MAX} numbers of days; it has {}", days.len()));
        return None;
    }
    days.into_iter().map(|days| u16::try_from(days).ok()).collect()
}

/// A time in hours and minutes, both of two digits.
fn time_of_day(text: &str) -> Option<Time> {
    let is_short = text.len() == 5 && text.as_bytes()[2] == b':';
    if is_short { text.parse().ok() } else { None }
}

impl SourceSettings {
    /// Adds what all sources have in common.
    pub(super) fn with(mut self, network: &Network, events: &Events) -> Self {
        self.source.ca_file = network.ca_file.clone();
        self.source.proxy = network.proxy.clone();
        self.watch.ignore_fields = events.ignore_fields.clone();
        self.watch.dates = events.dates.clone();
        self
    }
}

/// One source, still without what all sources have in common.
pub(super) fn source(reader: Reader<'_>) -> Option<SourceSettings> {
    let name = reader.parsed("name", "[a-z0-9_-]{1,32}", |text| text.parse().ok());
    let kind = reader.word("kind", &[("numeral", ())]);
    let expected = "a URL such as \"https://api.numeralhq.com\", without a user, a path or a query";
    let base_url = reader.parsed("base_url", expected, origin);
    let api_key = reader.secret("api_key", "give it the vendor's live key").filter(|key| numeral_key(key, &reader));
    let is_date = |text: &str| text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok();
    let api_version = |text: &str| is_date(text).then(|| text.to_owned());
    let api_version = reader.parsed("api_version", "a date such as \"2026-03-01\"", api_version);
    let requests_per_second = reader.number("requests_per_second", REQUESTS_PER_SECOND);
    let page_size = reader.integer("poll.page_size", 1..=100);
    let changes = schedule(&reader, "poll.changes", &CHANGES);
    let overlap = reader.duration("poll.overlap", OVERLAP);
    let open = schedule(&reader, "poll.open", &OPEN);
    let sweep = schedule(&reader, "poll.sweep", &SWEEP);
    let removal_guard = removal_guard(&reader);
    let baseline = reader.word("poll.baseline", &[("silent", Baseline::Silent), ("emit", Baseline::Emit)]);
    kind?;
    let source = source::Settings {
        name: name?,
        base_url: base_url?,
        api_key: api_key?,
        api_version: api_version?,
        requests_per_second: requests_per_second?,
        page_size: u8::try_from(page_size?).ok()?,
        ca_file: None,
        proxy: None,
    };
    let watch = watch::Settings {
        changes: changes?,
        overlap: overlap?,
        open: open?,
        sweep: sweep?,
        removal_guard: removal_guard?,
        baseline: baseline?,
        dates: Policy::default(),
        ignore_fields: Vec::new(),
    };
    Some(SourceSettings { source, watch })
}

fn removal_guard(reader: &Reader<'_>) -> Option<RemovalGuard> {
    let guard = reader.table("poll.removal_guard", &["count", "share"], "{ count = 10, share = 0.10 }")?;
    let reader = reader.within("sources.poll.removal_guard", &guard);
    let count = reader.integer("count", GUARD_COUNT);
    let share = reader.number("share", 0.0..=1.0);
    Some(RemovalGuard { count: u64::try_from(count?).ok()?, share: share? })
}

/// Whether a key can be one that the vendor takes.
fn numeral_key(key: &SecretString, reader: &Reader<'_>) -> bool {
    let key = key.expose_secret();
    if key.starts_with("sk_test_") {
        let why = "is a test key (sk_test_…), which the vendor answers with TESTMODE_NOT_SUPPORTED: certificates and \
                   certificate requests are live-only; use a live key, or try `certhook serve --sandbox`";
        reader.refuse("api_key", why);
        return false;
    }
    if !is_bearer(key) {
        reader.refuse("api_key", NO_BEARER);
    }
    is_bearer(key)
}

/// A duration within bounds, or a cron expression that comes due at all.
fn schedule(reader: &Reader<'_>, key: &str, bounds: &RangeInclusive<Duration>) -> Option<Schedule> {
    let parse = |text: &str| match text.split_whitespace().count() {
        CRON_FIELDS => cron(text),
        _ => duration(text, bounds).map(Schedule::Every),
    };
    let expected =
        format!("{}, or a cron expression of six fields, such as \"0 15 3 * * *\"", expected_duration(bounds));
    reader.parsed(key, &expected, parse)
}

/// Asks the scheduler that will run it: it must parse there, and have a next time.
fn cron(text: &str) -> Option<Schedule> {
    let mut job = Job::new(text, |_, _| {}).ok()?;
    let comes_due = job.job_data().ok()?.next_tick > 0;
    comes_due.then(|| Schedule::Cron(text.into()))
}
