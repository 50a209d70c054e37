//! Goings and comings back.

use certhook::model::resource::{Absence, AbsenceState, Kind, RemovalReason};
use certhook::model::source::{PassKind, PassStatus, RemovalDecision};
use certhook::source::Selection;
use certhook::watch::RemovalGuard;

use super::super::life::{Known, Life, Sighting, View};
use super::super::record::Record;
use super::super::scene::{Decided, Look};
use super::{Verdict, demand};
use crate::support::scripted_source::calls::{Call, Question};

/// Commits with the ones before them.
fn pairs(life: &Life) -> impl Iterator<Item = (&Known, &Known)> {
    life.known.iter().zip(life.known.iter().skip(1))
}

/// Whether a call concerns the removal of a resource: it asks for it, or for what was created with it.
fn concerns(call: &Call, life: &Life) -> bool {
    call.kind == life.kind
        && match &call.question {
            Question::Get(id) => id.as_str() == life.id,
            Question::Page(selection, _) => matches!(selection, Selection::CreatedBetween(..)),
        }
}

/// Since a list last showed it, it was gone, in the way that is told. Only an upstream that lies twice is believed: in
/// its list, and when it is asked.
pub(super) fn what_is_removed_was_gone(record: &Record, life: &Life) -> Verdict {
    for (before, after) in pairs(life).filter(|(before, after)| !before.is_removed() && after.is_removed()) {
        let shown = life.rows.iter().filter(|row| row.arrived <= after.at).map(|row| row.made).max().unwrap_or(0);
        let reason = after.snapshot.removed.as_ref().expect("it is removed").reason;
        let was_gone = life.eras_between(shown, after.at).any(|era| match reason {
            RemovalReason::NotFound => !era.is_listed && !era.is_readable,
            RemovalReason::Unlisted => !era.is_listed,
        });
        let look = record.looks().find(|look| look.began < after.at && after.at < look.ended);
        let from = look.map_or(0, |look| look.began);
        let lied = record.played.calls.iter().any(|call| {
            call.is_a_lie
                && concerns(call, life)
                && call.asked > from
                && call.arrived.is_some_and(|(at, _)| at < after.at)
        });
        demand(was_gone || lied, || format!("it was not gone ({reason:?}) when it was removed at {}", after.at))?;
        let (_, drafts) = after.observed().ok_or_else(|| format!("nobody told its end at {}", after.at))?;
        let told = drafts[0].details.fields()["reason"].clone();
        let expected = match reason {
            RemovalReason::NotFound => "not_found",
            RemovalReason::Unlisted => "unlisted",
        };
        demand(told == expected, || format!("{told} is told and {expected} is stored"))?;
        demand(before.state == after.state, || format!("its end changed it at {}", after.at))?;
    }
    Ok(())
}

/// A list showed it since it was removed.
pub(super) fn what_is_restored_was_listed_again(_: &Record, life: &Life) -> Verdict {
    for (before, after) in pairs(life).filter(|(before, after)| before.is_removed() && !after.is_removed()) {
        let is_row = |view: &View| matches!(view, View::Row(_));
        // What is gone may be written down once more, when a sweep could not tell that it is.
        let earlier = life.known.iter().rev().skip_while(|known| known.at > before.at);
        let removed = earlier.take_while(|known| known.is_removed()).last().map_or(before.at, |known| known.at);
        let is_listed =
            life.rows.iter().any(|row| is_row(&row.view) && row.arrived > removed && row.arrived < after.at);
        demand(is_listed, || format!("it was not listed when it was restored at {}", after.at))?;
    }
    Ok(())
}

/// Nothing is told of what is gone but its end and its return.
pub(super) fn a_tombstone_is_silent(_: &Record, life: &Life) -> Verdict {
    for (_, after) in pairs(life).filter(|(before, after)| before.is_removed() && after.is_removed()) {
        demand(after.told.is_empty(), || format!("a tombstone tells something at {}", after.at))?;
    }
    Ok(())
}

/// What is to be kept stays until a list has shown it since it was missed, or somebody has changed their mind.
pub(super) fn what_is_to_be_kept_stays(record: &Record, life: &Life) -> Verdict {
    for (one, other) in life.absences.iter().zip(life.absences.iter().skip(1)) {
        let is_in = |entry: &(u64, Option<Absence>), state| entry.1.as_ref().is_some_and(|it| it.state == state);
        let (from, to) = (one.0, other.0);
        if is_in(one, AbsenceState::Kept) && !is_in(other, AbsenceState::Kept) {
            let earlier = life.absences.iter().rev().skip_while(|(at, _)| *at > from);
            let missed = earlier.take_while(|(_, absence)| absence.is_some()).last().map_or(from, |(at, _)| *at);
            let is_listed = life.rows.iter().any(|row| missed < row.arrived && row.arrived < to);
            let may_be = is_listed || is_in(other, AbsenceState::Confirmed);
            demand(may_be, || format!("it was to be kept, and that was forgotten at {to}"))?;
        }
        if !is_in(one, AbsenceState::Confirmed) && is_in(other, AbsenceState::Confirmed) {
            let confirms = |decided: &&Decided| decided.decision == RemovalDecision::Confirm;
            // The moment of a decision is taken once it is stored.
            let decided = record.played.decided.iter().filter(confirms).any(|decided| to < decided.at);
            demand(decided, || format!("nobody decided that it may go, at {to}"))?;
        }
    }
    for (_, after) in pairs(life).filter(|(before, after)| !before.is_removed() && after.is_removed()) {
        let is_kept = life.absence_at(after.at - 1).is_some_and(|absence| absence.state == AbsenceState::Kept);
        demand(!is_kept, || format!("it was to be kept, and was removed at {}", after.at))?;
    }
    Ok(())
}

/// Whether so many of each kind are too many at once: at least `count` of them that make up at least `share` of a
/// kind, or the whole of a kind of more than one.
pub(super) fn trips(guard: &RemovalGuard, gone: [u64; 2], all: [u64; 2]) -> bool {
    let is_share = |kind: usize| gone[kind] > 0 && gone[kind] as f64 >= guard.share * all[kind] as f64;
    let is_whole = |kind: usize| gone[kind] > 1 && gone[kind] >= all[kind];
    is_whole(0) || is_whole(1) || gone[0] + gone[1] >= guard.count && (is_share(0) || is_share(1))
}

/// What a sweep did not show, and nobody showed since it began: surely, and perhaps.
fn absent(record: &Record, look: &Look) -> [[u64; 2]; 2] {
    let (mut surely, mut perhaps) = ([0; 2], [0; 2]);
    let is_of_the_list = |call: &&Call| matches!(&call.question, Question::Page(Selection::Everything, _));
    let pages = record.played.calls.iter().filter(is_of_the_list).filter_map(|call| call.arrived);
    let listed_until = pages.map(|(at, _)| at).filter(|at| *at < look.ended).max().unwrap_or(0);
    for kind in Kind::ALL {
        for id in record.there(kind, look.began) {
            let life = &record.lives[&(kind, id.to_owned())];
            let during = |answer: &&Sighting| look.began < answer.arrived && answer.arrived <= listed_until;
            let state = life.absence_at(look.began).map(|absence| absence.state);
            if life.rows.iter().any(|row| during(&row)) || state == Some(AbsenceState::Kept) {
                continue;
            }
            perhaps[kind as usize] += 1;
            let is_seen = life.by_id.iter().filter(during).any(|answer| !matches!(answer.view, View::NotFound));
            surely[kind as usize] += u64::from(!is_seen && state != Some(AbsenceState::Confirmed));
        }
    }
    [surely, perhaps]
}

/// A sweep that missed too much removes nothing, and says so; one that missed less does not say so.
pub(super) fn what_is_too_much_to_be_believed_is_withheld(record: &Record) -> Verdict {
    for look in record.looks().filter(|look| look.kind == PassKind::Sweep) {
        let was_complete = record.has_baseline(look.began);
        let is_complete = look.report.as_ref().is_some_and(|report| report.status == PassStatus::Complete);
        if !record.is_alone(look) || !was_complete || !is_complete {
            continue;
        }
        let all = Kind::ALL.map(|kind| record.there(kind, look.began).len() as u64);
        let most = Kind::ALL.map(|kind| record.there_during(kind, look));
        let [surely, perhaps] = absent(record, look);
        let guard = &record.played.settings.removal_guard;
        let removed = record.lives.values().flat_map(|life| &life.known).find(|known| {
            let is_end = known.observed().is_some() && known.is_removed();
            is_end && look.began < known.at && known.at < look.ended
        });
        if trips(guard, surely, most) {
            let at = removed.map(|known| known.at);
            demand(at.is_none(), || format!("{surely:?} of {most:?} are absent, and one is removed at {at:?}"))?;
        }
        let is_said = record.gateway.iter().any(|(at, _, drafts)| {
            let is_within = look.began < *at && *at < look.ended;
            is_within && drafts.iter().any(|draft| draft.event_type.as_str() == "gateway.removals_withheld")
        });
        let may_say = trips(guard, perhaps, all);
        demand(!is_said || may_say, || format!("only {perhaps:?} of {all:?} are absent, and withheld"))?;
    }
    Ok(())
}
