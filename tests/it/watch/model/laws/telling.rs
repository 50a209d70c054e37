//! A sight tells what changed, all of it, once, in the contract's order, and nothing else.

use certhook::model::event::{EventDraft, Mode};
use certhook::model::source::{PassKind, PassStatus};
use certhook::model::time::Timestamp;
use certhook::source::Urgency;
use serde_json::Value;

use super::super::life::{Known, Life, Sighting, View};
use super::super::meaning::{jurisdiction, meaning};
use super::super::record::Record;
use super::super::scene::Look;
use super::super::story::{Opening, story};
use super::{Verdict, demand};

/// The events of every sight are those that its two states call for.
pub(super) fn a_sight_tells_what_changed_and_nothing_else(_: &Record, life: &Life) -> Verdict {
    let mut before = None;
    for known in &life.known {
        let former = before.replace(known);
        let Some((sight, drafts)) = known.observed() else { continue };
        let told: Vec<String> = drafts.iter().map(name).collect();
        let detection = &sight.detection;
        if known.is_removed() {
            let expected = [format!("{}.removed", life.kind)];
            demand(told == expected, || format!("the end of it is told as {told:?} at {}", known.at))?;
        } else {
            let opening = match former {
                None => Opening::Created,
                Some(former) if former.is_removed() => Opening::Restored,
                Some(_) => Opening::None,
            };
            let mut start = sight.object.fields();
            start.extend(sight.previous_attributes.fields());
            let (start, end) = (meaning(&Value::Object(start)), meaning(&Value::Object(sight.object.fields())));
            let document_came = told.iter().any(|name| name == "certificate.document_available");
            let expected = story(life.kind, opening, &start, &end, document_came);
            demand(told == expected, || format!("{told:?} is told instead of {expected:?} at {}", known.at))?;
        }
        let may_be = detection.mode == Mode::Live || former.is_none() && detection.mode == Mode::Baseline;
        demand(may_be, || format!("{:?} at {}", detection.mode, known.at))?;
    }
    Ok(())
}

/// A transition happened between a sight of the former state and that of the new one: at the instant that is told, or
/// later, the former state was seen, and that is no earlier than the last sight of it.
pub(super) fn a_transition_is_told_with_the_time_between_two_sights(record: &Record, life: &Life) -> Verdict {
    let mut before: Option<&Known> = None;
    for known in &life.known {
        let former = before.replace(known);
        let Some((sight, _)) = known.observed() else { continue };
        let after = sight.detection.observed_after;
        let Some(former) = former else {
            demand(after.is_none(), || format!("a first sight comes after {after:?}, at {}", known.at))?;
            continue;
        };
        let after = after.ok_or_else(|| format!("a former state was never seen, at {}", known.at))?;
        demand(after <= sight.detection.observed_before, || format!("a window that is none, at {}", known.at))?;
        // Where a clock was set back, instants do not tell what came first.
        if record.played.leaps.is_empty() {
            let was_seen = after == former.snapshot.observed_at || was_seen_since(record, life, former, known, after);
            demand(was_seen, || format!("the former state was not seen after {after}, as is told at {}", known.at))?;
            let last = last_sight(record, life, former, known);
            demand(last <= after, || {
                format!("the former state was seen at {last}, later than is told at {}", known.at)
            })?;
        }
    }
    Ok(())
}

/// Whether a resource was seen as it was known at an instant or later. What is known to be gone a sweep shows by not
/// showing it.
fn was_seen_since(record: &Record, life: &Life, former: &Known, known: &Known, since: Timestamp) -> bool {
    if former.is_removed() {
        let mut sweeps = record.looks().filter(|look| look.kind == PassKind::Sweep && look.clocks[0] >= since);
        return sweeps.any(|look| look.began < known.at && !is_shown(life, look, look.ended.min(known.at)));
    }
    let is_between = |answer: &&Sighting| answer.at >= since && answer.arrived < known.at;
    life.rows.iter().chain(&life.by_id).filter(is_between).any(|answer| is_as(record, former, answer))
}

/// Whether a sweep has shown a resource before a moment.
fn is_shown(life: &Life, sweep: &Look, until: u64) -> bool {
    let during = |row: &&Sighting| row.urgency == Urgency::Sweep && sweep.began < row.arrived && row.arrived < until;
    life.rows.iter().filter(during).any(|row| matches!(row.view, View::Row(_)))
}

/// Whether an answer shows a resource as it was known.
fn is_as(record: &Record, known: &Known, answer: &Sighting) -> bool {
    match &answer.view {
        View::Row(state) => *state == record.row_of(&known.state),
        View::Whole(state, _) => *state == known.state,
        View::Malformed | View::NotFound => false,
    }
}

/// The last sight of what was known before something was told: that of its snapshot, or the start of the last complete
/// sweep, if that showed it so, and nothing since has made that doubtful.
fn last_sight(record: &Record, life: &Life, former: &Known, known: &Known) -> Timestamp {
    let told_by = record.looks().filter(|look| look.began < known.at && known.at < look.ended);
    let began = told_by.map(|look| look.began).min().unwrap_or(0);
    // What answers to its id when it is asked whether it is gone is not seen for that.
    let former = life.known_at(began).filter(|_| known.is_removed()).unwrap_or(former);
    let seen_at = former.snapshot.observed_at;
    let is_complete = |look: &&Look| look.report.as_ref().is_some_and(|report| report.status == PassStatus::Complete);
    // A baseline that was taken up again need not have shown what an earlier try had seen.
    let is_sweep = |look: &&Look| look.kind == PassKind::Sweep && record.has_baseline(look.began);
    let is_sweep = |look: &&Look| is_sweep(look) && former.at < look.began && look.ended < began;
    let Some(last) = record.looks().filter(is_sweep).filter(is_complete).max_by_key(|look| look.began) else {
        return seen_at;
    };
    let since = |answer: &&Sighting| last.began < answer.arrived && answer.arrived < known.at;
    let is_doubtful = |answer: &Sighting| matches!(answer.view, View::Malformed | View::NotFound);
    let mut rows =
        life.rows.iter().filter(since).filter(|row| row.urgency == Urgency::Sweep && row.arrived < last.ended);
    let is_sight = rows.any(|row| is_as(record, former, row)) && !former.is_removed();
    let is_sight = is_sight && !life.sightings().into_iter().filter(|it| since(it)).any(is_doubtful);
    if is_sight { seen_at.max(last.clocks[0]) } else { seen_at }
}

/// An event's type, and the jurisdiction that it names.
fn name(draft: &EventDraft) -> String {
    match draft.details.fields().get("jurisdiction_id").and_then(Value::as_str) {
        Some(id) => format!("{} {id}", draft.event_type),
        None => draft.event_type.as_str().to_owned(),
    }
}

/// An event that names a jurisdiction carries its entry as it is and as it was.
pub(super) fn an_event_of_a_jurisdiction_carries_its_entry(_: &Record, life: &Life) -> Verdict {
    for known in &life.known {
        let Some((sight, drafts)) = known.observed() else { continue };
        let mut start = sight.object.fields();
        start.extend(sight.previous_attributes.fields());
        let is_first = known.types().first().is_some_and(|first| first.ends_with("certificate.created"));
        for draft in drafts {
            let details = draft.details.fields();
            let Some(id) = details.get("jurisdiction_id").and_then(Value::as_str) else { continue };
            let entry = |fields: &certhook::model::json::Fields| {
                let entries = fields.get("jurisdictions").and_then(Value::as_array).into_iter().flatten();
                let found = entries.into_iter().find(|entry| jurisdiction(entry) == id);
                found.cloned().unwrap_or_default()
            };
            let former = if is_first { Value::Null } else { entry(&start) };
            let carries = [&details["jurisdiction"], &details["previous_jurisdiction"]];
            let expected = [entry(&sight.object.fields()), former];
            let agree = carries.iter().zip(&expected).all(|(one, other)| meaning(one) == meaning(other));
            demand(agree, || format!("{} carries {carries:?} and not {expected:?}", name(draft)))?;
        }
    }
    Ok(())
}
