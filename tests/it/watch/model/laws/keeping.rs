//! What an answer showed is known, and what is known is told: no transition between two sights is lost.

use certhook::model::resource::Kind;
use certhook::model::source::{PassKind, PassStatus};
use certhook::source::Urgency;

use super::super::life::{Known, Life, Sighting, View};
use super::super::record::{Record, urgency_of};
use super::super::scene::Look;
use super::{Verdict, demand};

/// Until when what an answer showed must have been applied; none if it need not be. It need not if another answer
/// about the resource came while it was under way, or if the process ended before it could be.
fn must_be_known_by(record: &Record, life: &Life, answer: &Sighting) -> Option<u64> {
    let look = record.look_of(answer.urgency, answer.arrived)?;
    if look.is_cut || look.report.is_none() {
        return None;
    }
    // A pass may have waited before it asked, and takes its place in the queue before it waits.
    // A deadline pass looks for documents with the urgency of a sweep: where both run, whose answer it is is not told.
    let is_certain = record.is_alone(look) || answer.urgency != Urgency::Sweep;
    let former = record.arrived_before(look, answer.urgency, answer.asked).filter(|_| is_certain);
    let asked = former.unwrap_or(look.began);
    let all = life.sightings();
    let is_other = |other: &&&Sighting| other.arrived != answer.arrived;
    let others = all.iter().filter(is_other).map(|other| other.arrived);
    let crosses = |at: u64| asked < at && at < answer.arrived;
    if others.clone().any(crosses) || life.known.iter().any(|known| crosses(known.at)) {
        return None;
    }
    // What may belong to the baseline, or must wait for a certificate, waits for the rest of the pass.
    let state = match &answer.view {
        View::Row(state) | View::Whole(state, _) => state,
        View::Malformed | View::NotFound => return None,
    };
    let waits = state["status"] == "fulfilled" && state["certificate_id"].is_string();
    let is_first = life.known_at(answer.arrived).is_none();
    let is_reviewed = matches!(state["status"].as_str(), Some("processing" | "needs_info"));
    if is_first && is_reviewed && life.kind == Kind::Certificate && matches!(answer.view, View::Row(_)) {
        // It is asked by id whether there is a document, and that answer is the first sight.
        return None;
    }
    if waits || is_first {
        // What others see meanwhile takes its place.
        let is_overtaken = others.clone().any(|at| answer.arrived < at && at < look.ended);
        if is_overtaken {
            return None;
        }
        let is_complete = look.report.as_ref().is_some_and(|report| report.status == PassStatus::Complete);
        return is_complete.then_some(look.ended);
    }
    let ends = record.looks().filter(|look| look.began < answer.arrived && answer.arrived < look.ended);
    let last = ends.map(|look| look.ended).max().unwrap_or(look.ended);
    Some(if is_certain { record.asked_after(look, answer.urgency, answer.arrived) } else { last })
}

/// Whether a resource was removed when the turn of an answer about it came: before the answer did; by a pass that had the
/// right to commit by then, and so asked for nothing more until it was removed; or while the answer waited for the rest
/// of its own pass.
fn was_gone(record: &Record, known: &Known, answer: &Sighting, horizon: u64) -> bool {
    let waits = record.look_of(answer.urgency, answer.arrived).is_some_and(|own| own.ended == horizon);
    let removes = |look: &&Look| matches!(look.kind, PassKind::Sweep | PassKind::Deadline);
    let during = |look: &&Look| look.began < known.at && known.at < look.ended;
    let removing: Vec<&Look> = record.looks().filter(removes).filter(during).collect();
    // Which of two asks is not told: a deadline pass looks for documents with the urgency of a sweep.
    let is_unclear = removing.len() > 1;
    let is_committing = |look: &&Look| known.at < record.asked_after(look, urgency_of(look.kind), answer.arrived);
    let is_later = known.at > answer.arrived;
    known.is_removed() && (!is_later || waits || is_unclear || removing.iter().any(is_committing))
}

/// What an answer showed, the store holds before the pass asks for anything else.
pub(super) fn what_an_answer_showed_is_known(record: &Record, life: &Life) -> Verdict {
    for answer in life.sightings() {
        let (shown, is_row) = match &answer.view {
            // A row without a status is no sight: it calls for one.
            View::Row(_) if record.played.world.rows_lack_status => continue,
            View::Row(state) => (state, true),
            View::Whole(state, _) => (state, false),
            View::Malformed | View::NotFound => continue,
        };
        let Some(horizon) = must_be_known_by(record, life, answer) else { continue };
        let former = life.known_at(answer.arrived);
        let later = life.known.iter().filter(|known| answer.arrived < known.at && known.at <= horizon);
        let mut known = former.into_iter().chain(later);
        // What is gone comes back only by a list.
        if !is_row && known.clone().any(|known| was_gone(record, known, answer, horizon)) {
            continue;
        }
        let is_known = known.any(|known| {
            let agrees = if is_row { record.row_of(&known.state) == *shown } else { known.state == *shown };
            agrees && !known.is_removed()
        });
        demand(is_known, || format!("what came at {} was not known at {horizon}", answer.arrived))?;
    }
    Ok(())
}

/// That a document came is told where an answer showed that there was none, and the next one that there is one; and
/// only there.
pub(super) fn a_document_is_told_when_it_comes(record: &Record, life: &Life) -> Verdict {
    if life.kind != Kind::Certificate {
        return Ok(());
    }
    let tellings: Vec<u64> = life
        .known
        .iter()
        .filter(|known| known.types().contains(&"certificate.document_available"))
        .map(|it| it.at)
        .collect();
    let mut last_told = 0;
    for &at in &tellings {
        let wholes =
            |from: u64, to: u64| life.by_id.iter().filter(move |answer| from < answer.arrived && answer.arrived < to);
        let was_missing = wholes(last_told, at).any(|answer| matches!(answer.view, View::Whole(_, false)));
        let is_there = wholes(last_told, at).any(|answer| matches!(answer.view, View::Whole(_, true)));
        demand(was_missing && is_there, || format!("a document is told that did not come, at {at}"))?;
        last_told = at;
    }
    let applied: Vec<(&Sighting, bool)> = life
        .by_id
        .iter()
        .filter_map(|answer| match answer.view {
            View::Whole(_, has_document) => Some((answer, has_document)),
            View::Row(_) | View::Malformed | View::NotFound => None,
        })
        .collect();
    for pair in applied.windows(2) {
        let [(one, false), (other, true)] = pair else { continue };
        let is_gone = |answer: &Sighting| life.known_at(answer.arrived).is_some_and(|known| known.is_removed());
        if is_gone(one) || is_gone(other) || must_be_known_by(record, life, one).is_none() {
            continue;
        }
        let Some(horizon) = must_be_known_by(record, life, other) else { continue };
        let is_told = tellings.iter().any(|at| other.arrived < *at && *at <= horizon);
        demand(is_told, || format!("a document came with the answer at {}, and nobody told", other.arrived))?;
    }
    Ok(())
}
