//! How passes are shown: their reports, and one wide line of the log for each.

use super::super::pass::Tally;
use crate::clock::random_bytes;
use crate::model::id::base62;
use crate::model::resource::SourceName;
use crate::model::source::{PassKind, PassReport, PassStatus};

/// Puts what a pass has seen into its report.
pub(super) fn show(report: &mut PassReport, tally: &Tally, is_baseline: bool) {
    report.pages = tally.pages;
    report.seen = tally.seen;
    report.changed = tally.changed;
    if report.pass == PassKind::Sweep && !is_baseline {
        report.found_late = tally.changed.saturating_sub(tally.restored + tally.removed);
    }
}

/// A pass that is running shows what it struggles with, and not only once it has given up.
pub(super) fn with_trouble(report: PassReport, trouble: Option<&str>) -> PassReport {
    let error = match report.status {
        PassStatus::Running => report.error.or_else(|| trouble.map(str::to_owned)),
        PassStatus::Waiting | PassStatus::Complete | PassStatus::Incomplete | PassStatus::Failed => report.error,
    };
    PassReport { error, ..report }
}

/// One wide line per pass; one of the frequent ones that went well and found nothing only for those who want to see
/// it.
pub(super) fn log(source: &SourceName, report: &PassReport, tally: &Tally) {
    macro_rules! polled {
        ($level:ident) => {
            tracing::$level!(
                %source,
                pass = report.pass.as_str(),
                pass_id = report.id,
                status = status_word(report.status),
                pages = tally.pages,
                seen = tally.seen,
                changed = tally.changed,
                found_late = report.found_late,
                removed = tally.removed,
                absorbed = tally.absorbed,
                dropped = tally.dropped,
                malformed = tally.malformed,
                duration_ms = report.duration_ms,
                error = report.error.as_deref(),
                "source.polled"
            )
        };
    }
    let found_nothing = tally.changed + tally.absorbed + tally.dropped + tally.malformed == 0;
    if report.status == PassStatus::Complete && found_nothing && report.pass != PassKind::Sweep {
        polled!(debug);
    } else {
        polled!(info);
    }
}

fn status_word(status: PassStatus) -> &'static str {
    match status {
        PassStatus::Waiting => "waiting",
        PassStatus::Running => "running",
        PassStatus::Complete => "complete",
        PassStatus::Incomplete => "incomplete",
        PassStatus::Failed => "failed",
    }
}

/// The id of a new pass.
pub(super) fn pass_id() -> String {
    format!("pass_{}", base62(u128::from_le_bytes(random_bytes())))
}
