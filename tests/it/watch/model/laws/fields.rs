//! A top-level field that upstream has come up with is absorbed, and watched from then on.

use certhook::model::source::{PassKind, PassStatus};

use super::super::life::{Known, Life, Sighting, View};
use super::super::record::Record;
use super::super::steps::{MEMO, NEW_FIELDS};
use super::{Verdict, demand};

/// The first sight of a resource with a field that no resource of its kind had before is no event. One that had been
/// seen without it since then, by a complete sweep, is one.
pub(super) fn a_field_that_is_new_upstream_is_absorbed(record: &Record, life: &Life) -> Verdict {
    for (before, after) in life.known.iter().zip(life.known.iter().skip(1)) {
        for name in NEW_FIELDS.into_iter().chain([MEMO]) {
            let came = before.object.get(name).is_none() && after.state.get(name).is_some();
            if !came {
                continue;
            }
            let is_told =
                after.observed().is_some_and(|(sight, _)| sight.previous_attributes.fields().contains_key(name));
            let Some(answer) = life.sightings().into_iter().rfind(|answer| answer.arrived < after.at) else { continue };
            // What rows leave out is unknown until an answer by id has shown it.
            let no_row_shows_it = name == MEMO && record.played.world.rows_lack_memo[0];
            let is_whole = matches!(answer.view, View::Whole(..));
            if !before.snapshot.is_whole && (no_row_shows_it || is_whole) {
                continue;
            }
            let Some(first) = record.first_shown(life.kind, name) else { continue };
            // Where a clock was set back, or stood still, instants do not tell what came first.
            let swept_at = record.progress_at(first.arrived).and_then(|progress| progress.swept_at);
            let is_told_apart = record.played.leaps.is_empty() && swept_at < Some(first.at);
            // What the baseline shows is usual.
            let is_new = record.has_baseline(first.arrived);
            let must_be_silent = is_new && is_told_apart && was_not_seen_since(life, first, answer);
            demand(!is_told || !must_be_silent, || format!("{name} is new upstream, and told at {}", after.at))?;
            let must_be_told = was_swept_without(record, life, before, name, first.arrived, answer);
            demand(is_told || !must_be_told, || format!("{name} came, and nobody told, at {}", after.at))?;
        }
    }
    Ok(())
}

/// Whether the resource was last seen at an instant before the field was first shown.
fn was_not_seen_since(life: &Life, first: &Sighting, answer: &Sighting) -> bool {
    let earlier = life.sightings().into_iter().filter(|other| other.arrived < answer.arrived);
    earlier.into_iter().all(|other| other.at < first.at && other.arrived < first.arrived)
}

/// Whether a sweep that was complete showed the resource without the field after that had first been shown.
fn was_swept_without(
    record: &Record,
    life: &Life,
    before: &Known,
    name: &'static str,
    first: u64,
    answer: &Sighting,
) -> bool {
    let shows_none = |row: &&Sighting| matches!(row.view, View::Row(_)) && !row.carried.contains(&name);
    let rows_show_it = name != MEMO || !record.played.world.rows_lack_memo[0];
    rows_show_it
        && record.looks().any(|look| {
            let is_complete = look.report.as_ref().is_some_and(|report| report.status == PassStatus::Complete);
            let is_between = look.began > first && look.ended < answer.asked && look.began > before.at;
            let is_swept = look.kind == PassKind::Sweep && is_complete && is_between;
            // The instants tell only where the clock has gone on.
            let first_at = record.first_shown(life.kind, name).map(|first| first.at);
            let rows = life.rows.iter().filter(|row| look.began < row.arrived && row.arrived < look.ended);
            is_swept && Some(look.clocks[0]) > first_at && rows.filter(shows_none).count() > 0
        })
}
