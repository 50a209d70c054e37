//! In the end: when all is well again, and upstream stays as it is, everything is known as it is.

use std::time::Duration;

use certhook::model::resource::{Download, Kind};
use certhook::model::source::PassStatus;

use super::super::life::{Era, Known, Life, View};
use super::super::meaning::without_memos;
use super::super::record::Record;
use super::{Verdict, broken, demand};

/// For how long a document is looked for.
const DOCUMENT_DAYS: u64 = 30;

/// What is listed is known as it is; what is not, and was known, is removed.
pub(super) fn in_the_end_everything_is_known_as_it_is(record: &Record, life: &Life) -> Verdict {
    let known = life.known.last();
    let Some(era) = life.era(u64::MAX).filter(|era| era.is_listed) else {
        return demand(known.is_none_or(Known::is_removed), || "it is gone, and not removed".into());
    };
    let Some(known) = known.filter(|known| !known.is_removed()) else {
        return broken("it is listed, and not known");
    };
    let state = era.state.as_ref().expect("it is listed");
    let world = &record.played.world;
    demand(record.row_of(&known.state) == record.row_of(state), || "it is not known as rows show it".into())?;
    let lacks_memo = world.rows_lack_memo[0] || world.rows_lack_memo[1];
    let agrees = if lacks_memo { without_memos(&known.state) == without_memos(state) } else { known.state == *state };
    let statuses = [&known.state, state].map(|state| state["status"].as_str().unwrap_or_default());
    let is_open = statuses.iter().any(|status| ["processing", "needs_info", "expiring", "pending"].contains(status));
    let is_excused = moved_unseen(record, life) && (statuses[0] == statuses[1] || !is_open);
    demand(agrees || is_excused, || "it is not known as it is".into())?;
    check_document(record, life, era, known)
}

/// Whether upstream's clock has moved a status since the last answer by id, and nothing shows it: rows have no status,
/// and `updated_at` is what it was.
fn moved_unseen(record: &Record, life: &Life) -> bool {
    let asked = life.by_id.iter().filter(|answer| matches!(answer.view, View::Whole(..)));
    let last = asked.map(|answer| answer.made).max().unwrap_or(0);
    let updated_at = |era: &Era| era.state.as_ref().map(|state| state["updated_at"].clone());
    let mut pairs = life.eras.iter().zip(life.eras.iter().skip(1));
    record.played.world.rows_lack_status
        && pairs.any(|(one, other)| other.since > last && updated_at(one) == updated_at(other))
}

/// A certificate under review is asked about its document when it is first seen, and one that lacked its document is
/// looked at for a month.
fn check_document(record: &Record, life: &Life, era: &Era, known: &Known) -> Verdict {
    if life.kind != Kind::Certificate {
        return Ok(());
    }
    let first = life.known.first().and_then(|known| known.state["status"].as_str());
    let was_reviewed = matches!(first, Some("processing" | "needs_info"));
    demand(!was_reviewed || !life.by_id.is_empty(), || "nobody asked for its document".into())?;
    let is_missing = |view: &View| matches!(view, View::Whole(_, false));
    let missed = life.by_id.iter().find(|answer| is_missing(&answer.view)).map(|answer| answer.at);
    let end = record.looks().last().map(|look| look.clocks[0]);
    let month = Duration::from_secs((DOCUMENT_DAYS - 1) * 24 * 60 * 60);
    let was_looked_for = missed.zip(end).is_some_and(|(missed, end)| end.since(missed) < month);
    let is_missed = era.has_document && known.snapshot.download == Download::Missing;
    demand(!was_looked_for || !is_missed || !record.played.leaps.is_empty(), || "its document was missed".into())
}

/// The last sweep finds nothing.
pub(super) fn in_the_end_nothing_is_left_to_tell(record: &Record) -> Verdict {
    let Some(last) = record.looks().last() else { return Ok(()) };
    let report = last.report.as_ref().expect("nobody killed it");
    let is_quiet = report.status == PassStatus::Complete && report.changed == 0;
    demand(is_quiet, || format!("the last sweep ended as {report:?}"))?;
    for life in record.lives.values() {
        let told = life.known.iter().find(|known| known.at > last.began && !known.told.is_empty());
        demand(told.is_none(), || format!("the last sweep told something\n{}", life.tale()))?;
    }
    Ok(())
}
