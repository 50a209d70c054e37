//! What happened is known in time: after a pass beside which nothing happens, whatever that pass is there to find.

use std::time::Duration;

use certhook::model::resource::Kind;
use certhook::model::source::{PassKind, PassStatus};
use certhook::model::time::Timestamp;

use super::super::calendar::{Calendar, looked_after};
use super::super::life::{Era, Known, Life, Sighting, View};
use super::super::meaning::without_memos;
use super::super::record::Record;
use super::super::scene::Look;
use super::{Verdict, broken, demand};

fn is_complete(look: &Look) -> bool {
    look.report.as_ref().is_some_and(|report| report.status == PassStatus::Complete)
}

/// The passes of a kind beside which nothing happened, after the baseline was complete.
fn quiet(record: &Record, kind: PassKind) -> impl Iterator<Item = &Look> {
    let is_after = |look: &&Look| record.has_baseline(look.began);
    record.looks().filter(move |look| look.kind == kind && look.is_undisturbed && is_complete(look)).filter(is_after)
}

/// What a resource that is listed was, and what is known of it, after a look beside which nothing happened.
fn listed<'a>(life: &'a Life, look: &Look) -> Option<(&'a Era, Option<&'a Known>)> {
    let era = life.era(look.began).filter(|era| era.is_listed)?;
    Some((era, life.known_at(look.ended).filter(|known| !known.is_removed())))
}

/// Everything that a sweep shows is known, and what it does not show is removed, unless that is withheld.
pub(super) fn a_quiet_sweep_sees_everything(record: &Record) -> Verdict {
    for look in quiet(record, PassKind::Sweep) {
        for life in record.lives.values() {
            let agrees = match listed(life, look) {
                Some((era, known)) => {
                    let shown = era.state.as_ref().map(|state| record.row_of(state));
                    known.map(|known| record.row_of(&known.state)) == shown
                }
                None => {
                    // What the sweep itself comes to know of is no matter of its list.
                    let [before, after] = [look.began, look.ended].map(|at| life.known_at(at));
                    let is_gone = after.is_none_or(Known::is_removed) || life.absence_at(look.ended).is_some();
                    before.is_none_or(Known::is_removed) || is_gone
                }
            };
            demand(agrees, || format!("the sweep at {} did not see\n{}", look.began, life.tale()))?;
        }
    }
    Ok(())
}

/// Whatever `updated_at` tells since the last complete pass is known.
pub(super) fn a_quiet_changes_pass_sees_what_was_updated(record: &Record) -> Verdict {
    let world = &record.played.world;
    if !world.tells_time && (world.ahead != 0 || !record.played.leaps.is_empty()) {
        // Nothing tells how far the clocks are apart.
        return Ok(());
    }
    for look in quiet(record, PassKind::Changes) {
        let moves =
            |other: &&Look| other.began < look.began && matches!(other.kind, PassKind::Changes | PassKind::Sweep);
        let is_baseline = |other: &&Look| !record.has_baseline(other.began);
        let moving = record.looks().filter(moves).filter(|other| is_complete(other));
        let last =
            moving.filter(|other| other.kind == PassKind::Changes || is_baseline(other)).max_by_key(|it| it.began);
        let Some(last) = last else { continue };
        for life in record.lives.values() {
            let Some((era, known)) = listed(life, look) else { continue };
            let state = era.state.as_ref().expect("it is listed");
            let updated_at: Option<Timestamp> =
                state["updated_at"].as_str().and_then(|second| format!("{second}Z").parse().ok());
            // What upstream's clock moved since, rows without a status cannot show.
            let moves = life.eras.iter().filter_map(|other| other.state.as_ref());
            let mut same = moves.filter(|other| other["updated_at"] == state["updated_at"]);
            let is_shown = !world.rows_lack_status
                || same.all(|other| record.row_of(other) != record.row_of(state) || other == state);
            if is_shown && updated_at.is_some_and(|at| at > last.clocks[1]) {
                let known = known.map(|known| without_memos(&known.state));
                let agrees = known == Some(without_memos(state));
                demand(agrees, || format!("the changes pass at {} did not see\n{}", look.began, life.tale()))?;
            }
        }
    }
    Ok(())
}

/// How long after a date a resource is looked at, as long as its status has not moved.
const LOOKS_AFTER_A_DATE: [u64; 5] = [0, 6, 12, 24, 36];

/// After a deadline pass, whatever has a date that is over was looked at since, and again after some hours.
pub(super) fn a_quiet_deadline_pass_has_looked_after_every_date(record: &Record) -> Verdict {
    if !record.played.leaps.is_empty() {
        return Ok(());
    }
    for look in quiet(record, PassKind::Deadline) {
        let now = look.clocks[0];
        for life in record.lives.values() {
            let Some(known) = life.known_at(look.ended).filter(|known| !known.is_removed()) else { continue };
            for (_, date) in looked_after(life.kind, &known.state, record.played.world.rows_lack_status) {
                let [_, end] = Calendar::of(&record.played.settings.dates, &date).ends;
                let looks = LOOKS_AFTER_A_DATE.map(|hours| end.plus(Duration::from_secs(hours * 60 * 60)));
                let Some(last) = looks.into_iter().filter(|at| *at <= now).max() else { continue };
                // A row without a status shows nothing of what is looked for.
                let shows =
                    |row: &Sighting| !record.played.world.rows_lack_status || matches!(row.view, View::Malformed);
                let rows = life.rows.iter().filter(|row| shows(row));
                let mut answers = rows.chain(&life.by_id).filter(|answer| answer.arrived < look.ended);
                let is_looked_at = answers.any(|answer| answer.at >= last);
                demand(is_looked_at, || format!("nobody looked since {last} by {}\n{}", look.ended, life.tale()))?;
            }
        }
    }
    Ok(())
}

const OPEN: [&str; 4] = ["processing", "needs_info", "expiring", "pending"];

/// Whatever is, or was known to be, pending, processing, in need of information or expiring has the status that is
/// known.
pub(super) fn a_quiet_open_pass_sees_every_open_status(record: &Record) -> Verdict {
    for look in quiet(record, PassKind::Open) {
        for life in record.lives.values() {
            let Some((era, known)) = listed(life, look) else { continue };
            let former = life.known_at(look.began).filter(|known| !known.is_removed());
            let is_open = |status: Option<&str>| status.is_some_and(|status| OPEN.contains(&status));
            let status = era.state.as_ref().and_then(|state| state["status"].as_str());
            let was_open = is_open(former.and_then(|former| former.state["status"].as_str()));
            if !is_open(status) && !was_open || life.kind == Kind::Certificate && status == Some("pending") {
                continue;
            }
            let Some(known) = known else {
                return broken(format!("the open pass at {} did not see\n{}", look.began, life.tale()));
            };
            let agrees = known.state["status"].as_str() == status;
            demand(agrees, || format!("the open pass at {} did not see the status\n{}", look.began, life.tale()))?;
        }
    }
    Ok(())
}
