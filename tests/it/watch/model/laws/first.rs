//! First sights: told, or part of the baseline.

use certhook::model::resource::Kind;
use certhook::model::time::Timestamp;

use super::super::life::Life;
use super::super::record::Record;
use super::super::scene::Look;
use super::removal::trips;
use super::{Verdict, demand};

/// Whether a resource was created before the baseline began: surely, or perhaps, since states have whole seconds.
fn is_stray(record: &Record, life: &Life) -> [bool; 2] {
    let progress = record.progress_at(u64::MAX);
    let began = progress.and_then(|progress| progress.baseline_watermark).map(Timestamp::as_seconds);
    let created = life.known.first().and_then(|known| known.state["created_at"].as_str());
    let created: Option<Timestamp> = created.and_then(|second| format!("{second}Z").parse().ok());
    let (Some(began), Some(created)) = (began, created.map(Timestamp::as_seconds)) else { return [false; 2] };
    [created < began, created <= began]
}

/// Before the baseline is complete a first sight belongs to it; after that it does not, unless the resource was created
/// before. What belongs to the baseline is told only where that is wanted, and marked.
pub(super) fn a_first_sight_is_told_unless_it_belongs_to_the_baseline(record: &Record, life: &Life) -> Verdict {
    let Some(first) = life.known.first() else { return Ok(()) };
    let is_told = first.observed().is_some();
    let version = first.snapshot.object_version;
    demand(version == u64::from(is_told), || format!("a first sight has version {version}"))?;
    let baseline = record.progress_at(first.at).and_then(|progress| progress.baseline_completed_at);
    let [_, may_be_stray] = is_stray(record, life);
    let is_right = match baseline {
        None => first.is_of_the_baseline(),
        Some(_) => !first.is_of_the_baseline() || may_be_stray,
    };
    demand(is_right, || format!("a first sight is taken for what it is not, at {}", first.at))?;
    let may_be_told = record.played.world.baseline_is_told || !first.is_of_the_baseline();
    demand(is_told == may_be_told, || format!("the first sight at {} is told: {is_told}", first.at))
}

/// So many strays at once that the baseline must have been cut short are absorbed, all of them; fewer are told.
pub(super) fn strays_are_told_or_absorbed_together(record: &Record) -> Verdict {
    for look in record.looks() {
        let (absorbed, told) = strays(record, look);
        // Where passes ran side by side, what belongs to which is not told apart.
        let is_over = look.report.is_some() && !look.is_cut;
        if !is_over || !record.is_alone(look) {
            continue;
        }
        let before = Kind::ALL.map(|kind| record.there(kind, look.began).len() as u64);
        let sum = |one: [u64; 2], other: [u64; 2]| [one[0] + other[0], one[1] + other[1]];
        let all = sum(absorbed, told);
        let guard = &record.played.settings.removal_guard;
        if absorbed != [0, 0] {
            // One whose row was shown counts, although it is not known yet: its answer by id did not come.
            let all = sum(all, shown_only(record, look));
            let trips = trips(guard, all, sum(before, all));
            demand(trips, || format!("{absorbed:?} strays are absorbed by the pass at {}", look.began))?;
            let is_said = record.gateway.iter().any(|(at, _, drafts)| {
                let is_within = look.began < *at && *at < look.ended;
                is_within && drafts.iter().any(|draft| draft.event_type.as_str() == "gateway.baseline_completed")
            });
            demand(is_said, || format!("nobody said that the baseline has grown, at {}", look.ended))?;
        } else {
            // Some of those that there were may be gone by its end.
            let most = Kind::ALL.map(|kind| record.there_during(kind, look));
            let trips = told != [0, 0] && trips(guard, told, most);
            demand(!trips, || format!("{told:?} strays are told by the pass at {}", look.began))?;
        }
    }
    Ok(())
}

/// How many strays of each kind a pass was shown that nobody knows by its end.
fn shown_only(record: &Record, look: &Look) -> [u64; 2] {
    let mut shown = [0; 2];
    for life in record.lives.values() {
        let [_, may_be_stray] = is_stray(record, life);
        let is_known = life.known.first().is_some_and(|known| known.at < look.ended);
        let is_shown = life.rows.iter().any(|row| look.began < row.arrived && row.arrived < look.ended);
        shown[life.kind as usize] += u64::from(may_be_stray && is_shown && !is_known);
    }
    shown
}

/// How many strays of each kind a pass has seen first: as part of the baseline, and not.
fn strays(record: &Record, look: &Look) -> ([u64; 2], [u64; 2]) {
    let (mut absorbed, mut told) = ([0; 2], [0; 2]);
    for life in record.lives.values() {
        let [is_stray, may_be_stray] = is_stray(record, life);
        let Some(first) = life.known.first().filter(|known| look.began < known.at && known.at < look.ended) else {
            continue;
        };
        let was_complete = record.has_baseline(look.began);
        if was_complete {
            let is_told = !first.is_of_the_baseline();
            // A certificate that a request asked for is not one of those that lists show.
            let is_listed = life.rows.iter().any(|row| look.began < row.arrived && row.arrived < first.at);
            told[life.kind as usize] += u64::from(is_told && is_stray && is_listed);
            absorbed[life.kind as usize] += u64::from(!is_told && may_be_stray);
        }
    }
    (absorbed, told)
}
