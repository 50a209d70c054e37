//! When passes are due: plain intervals on our own timer, cron expressions by tokio-cron-scheduler.

use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::parser::{CronParser, Seconds};
use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use super::{Schedule, Settings};
use crate::model::source::PassKind;
use crate::model::time::Timestamp;

/// The expression is not one that the scheduler understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a cron expression with six fields (second minute hour day month weekday), such as \"0 15 3 * * *\"")]
pub struct NotACronExpression;

/// Whether a text is a six-field cron expression. The scheduler itself would refuse five fields only when it is
/// started.
///
/// # Errors
/// If it is not.
pub fn check_cron(expression: &str) -> Result<(), NotACronExpression> {
    let has_six_fields = expression.split_whitespace().count() == 6;
    let parses = Job::new(expression, |_, _| {}).is_ok();
    if has_six_fields && parses { Ok(()) } else { Err(NotACronExpression) }
}

impl Settings {
    /// When passes of a kind are due; `None`: when an agenda says so.
    pub(super) fn schedule(&self, kind: PassKind) -> Option<&Schedule> {
        match kind {
            PassKind::Deadline => None,
            PassKind::Changes => Some(&self.changes),
            PassKind::Open => Some(&self.open),
            PassKind::Sweep => Some(&self.sweep),
        }
    }
}

/// How long after the process starts the first sweep by interval is due: what is left of the interval since the
/// last complete one, so that frequent restarts do not put it off for ever.
pub(super) fn first_sweep_in(every: Duration, swept_at: Option<Timestamp>, now: Timestamp) -> Duration {
    swept_at.map_or(Duration::ZERO, |swept_at| every.saturating_sub(now.since(swept_at)))
}

/// Whether a sweep was due since the last complete one began, while no process ran.
pub(super) fn has_missed(expression: &str, swept_at: Option<Timestamp>, now: Timestamp) -> bool {
    let parser = CronParser::builder().seconds(Seconds::Required).build();
    let Some(swept_at) = swept_at.and_then(|at| DateTime::<Utc>::from_timestamp_millis(at.as_millis())) else {
        return false;
    };
    let next = parser.parse(expression).ok().and_then(|cron| cron.find_next_occurrence(&swept_at, false).ok());
    next.is_some_and(|next| next.timestamp_millis() <= now.as_millis())
}

/// So many intervals without a complete `changes` pass are a gap.
pub(super) const GAP_INTERVALS: u32 = 10;

/// Whether so much time has passed since the last complete pass that it is a gap.
pub(super) fn is_gap(schedule: &Schedule, since: Timestamp, now: Timestamp) -> bool {
    match schedule {
        Schedule::Every(every) => now.since(since) >= every.saturating_mul(GAP_INTERVALS),
        Schedule::Cron(expression) => {
            let parser = CronParser::builder().seconds(Seconds::Required).build();
            let begin = DateTime::<Utc>::from_timestamp_millis(since.as_millis());
            let (Ok(cron), Some(begin)) = (parser.parse(expression), begin) else { return false };
            let next = |at: &DateTime<Utc>| cron.find_next_occurrence(at, false).ok();
            let missed = std::iter::successors(next(&begin), next);
            let is_past = |tick: &DateTime<Utc>| tick.timestamp_millis() <= now.as_millis();
            // From the first tick that was missed to the last one there is an interval less than there are ticks.
            missed.take_while(is_past).nth(GAP_INTERVALS as usize).is_some()
        }
    }
}

/// The running cron schedules of one source. Each does nothing but say that its kind of pass is due.
pub(super) struct Crons(Option<JobScheduler>);

impl Crons {
    /// Starts those that the settings name.
    pub(super) async fn start(settings: &Settings, due: &mpsc::Sender<PassKind>) -> Result<Self, JobSchedulerError> {
        let expressions: Vec<(PassKind, &str)> = PassKind::ALL
            .into_iter()
            .filter_map(|kind| match settings.schedule(kind)? {
                Schedule::Cron(expression) => Some((kind, expression.as_str())),
                Schedule::Every(_) => None,
            })
            .collect();
        if expressions.is_empty() {
            return Ok(Self(None));
        }
        let scheduler = JobScheduler::new().await?;
        for (kind, expression) in expressions {
            let due = due.clone();
            let job = Job::new(expression, move |_, _| {
                // A full channel means that the same is due already: the tick joins that.
                let _ = due.try_send(kind);
            })?;
            scheduler.add(job).await?;
        }
        scheduler.start().await?;
        Ok(Self(Some(scheduler)))
    }

    /// Stops them. The scheduler's `shutdown` does not wait for running jobs; ours are over in an instant.
    pub(super) async fn stop(self) {
        if let Some(mut scheduler) = self.0
            && let Err(error) = scheduler.shutdown().await
        {
            tracing::warn!(%error, "the cron scheduler did not stop");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cron_expression_has_six_fields() {
        assert_eq!(check_cron("0 15 3 * * *"), Ok(()));
        assert_eq!(check_cron("0 0 */4 * * MON-FRI"), Ok(()));
        for text in ["15 3 * * *", "", "every day", "61 15 3 * * *", "0 15 3 * * * *"] {
            assert_eq!(check_cron(text), Err(NotACronExpression), "{text}");
        }
    }

    #[test]
    fn a_sweep_that_was_due_while_no_process_ran_is_missed() {
        let at = |text: &str| text.parse::<Timestamp>().expect("an instant");
        for (swept_at, now, expected) in [
            ("2026-11-20T03:15:00Z", "2026-11-21T03:14:59Z", false),
            ("2026-11-20T03:15:00Z", "2026-11-21T03:15:00Z", true),
            ("2026-11-20T03:16:00Z", "2026-11-24T00:00:00Z", true),
            ("2026-11-21T03:15:02Z", "2026-11-21T12:00:00Z", false),
        ] {
            assert_eq!(has_missed("0 15 3 * * *", Some(at(swept_at)), at(now)), expected, "{swept_at} {now}");
        }
        assert!(!has_missed("0 15 3 * * *", None, at("2026-11-21T03:15:00Z")), "the baseline comes first");
    }

    #[test]
    fn ten_intervals_without_success_are_a_gap() {
        let at = |text: &str| text.parse::<Timestamp>().expect("an instant");
        let since = at("2026-11-21T04:00:00Z");
        for (schedule, now, expected) in [
            (Schedule::Every(Duration::from_secs(30)), "2026-11-21T04:04:59Z", false),
            (Schedule::Every(Duration::from_secs(30)), "2026-11-21T04:05:00Z", true),
            (Schedule::Cron("0 * * * * *".into()), "2026-11-21T04:10:59Z", false),
            (Schedule::Cron("0 * * * * *".into()), "2026-11-21T04:11:00Z", true),
            (Schedule::Cron("0 0 9 * * MON".into()), "2026-11-22T04:11:00Z", false),
        ] {
            assert_eq!(is_gap(&schedule, since, at(now)), expected, "{schedule:?} {now}");
        }
    }

    #[test]
    fn restarts_do_not_put_a_sweep_off() {
        let day = Duration::from_secs(86_400);
        let now = Timestamp::EPOCH.plus(day * 10);
        assert_eq!(first_sweep_in(day, None, now), Duration::ZERO);
        assert_eq!(first_sweep_in(day, Some(now.minus(day / 4)), now), day / 4 * 3);
        assert_eq!(first_sweep_in(day, Some(now.minus(day * 2)), now), Duration::ZERO);
    }
}
