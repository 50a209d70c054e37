//! What passes, and the gateway, say of themselves.

use std::collections::{BTreeMap, BTreeSet};

use certhook::model::source::{PassKind, PassStatus};
use certhook::source::Selection;

use super::super::record::{Record, urgency_of};
use super::super::scene::Look;
use super::{Verdict, demand};
use crate::support::scripted_source::calls::{Answer, Call, Question};

fn status(look: &Look) -> Option<PassStatus> {
    look.report.as_ref().map(|report| report.status)
}

/// The calls of a pass that were answered.
fn calls<'a>(record: &'a Record, look: &'a Look) -> impl Iterator<Item = &'a Call> {
    let is_its_own = |call: &&Call| {
        let arrived = call.arrived.map_or(0, |(arrived, _)| arrived);
        call.urgency == urgency_of(look.kind) && look.began < arrived && arrived < look.ended
    };
    record.played.calls.iter().filter(is_its_own)
}

/// A pass is complete only if every listing was, and every answer by id came. None has panicked.
pub(super) fn a_pass_that_missed_something_says_so(record: &Record) -> Verdict {
    for look in record.looks() {
        let error = look.report.as_ref().and_then(|report| report.error.as_deref());
        let has_panicked = error.is_some_and(|error| error.contains("panicked"));
        demand(!has_panicked, || format!("the pass at {} panicked", look.began))?;
        let mut missing: BTreeMap<String, bool> = BTreeMap::new();
        for call in calls(record, look) {
            let is_of_a_list = !matches!(&call.question, Question::Page(Selection::CreatedBetween(..), _));
            let (counts, what) = match &call.question {
                Question::Page(selection, cursor) => {
                    (is_of_a_list && look.kind != PassKind::Deadline, format!("{selection:?} {cursor:?}"))
                }
                Question::Get(id) => (matches!(look.kind, PassKind::Changes | PassKind::Open), id.as_str().to_owned()),
            };
            let is_missing = match &call.answer {
                Answer::Page { is_contradictory, .. } => *is_contradictory,
                Answer::Error(_) => true,
                Answer::Found(_) | Answer::NotFound | Answer::Malformed => false,
            };
            if counts {
                missing.insert(format!("{} {what}", call.kind), is_missing);
            }
        }
        let missed: Vec<_> = missing.iter().filter(|(_, is_missing)| **is_missing).map(|(what, _)| what).collect();
        let is_complete = status(look) == Some(PassStatus::Complete);
        demand(!is_complete || missed.is_empty(), || format!("the pass at {} missed {missed:?}", look.began))?;
    }
    Ok(())
}

/// A pass beside which nothing happens is complete, once there is a baseline to compare with.
pub(super) fn a_quiet_pass_is_complete(record: &Record) -> Verdict {
    for look in record.looks().filter(|look| look.is_undisturbed) {
        let has_baseline = record.has_baseline(look.began);
        let can_fail = look.kind != PassKind::Sweep && !has_baseline;
        let expected = if can_fail { PassStatus::Failed } else { PassStatus::Complete };
        demand(status(look) == Some(expected), || format!("the pass at {} ended as {:?}", look.began, look.report))?;
    }
    Ok(())
}

/// The watermark moves after a complete `changes` pass (and the first complete sweep), to no later instant than either
/// clock showed when it began; the instant of the last sweep likewise.
pub(super) fn only_a_complete_pass_moves_the_watermark(record: &Record) -> Verdict {
    let mut before = None;
    for (at, progress) in &record.progress {
        let former = before.replace(progress);
        let complete = |kinds: &[PassKind]| {
            let during = record.looks().filter(|look| look.began < *at && *at < look.ended);
            during
                .filter(|look| kinds.contains(&look.kind) && status(look).is_none_or(|it| it == PassStatus::Complete))
                .collect::<Vec<_>>()
        };
        let is_baseline = former.is_none_or(|former| former.baseline_completed_at.is_none());
        if progress.watermark != former.and_then(|former| former.watermark) {
            let kinds: &[PassKind] = if is_baseline { &[PassKind::Sweep] } else { &[PassKind::Changes] };
            let is_right = complete(kinds).iter().any(|look| {
                let upstream = look.clocks[1];
                let is_early = progress.watermark <= Some(upstream) || !record.played.world.tells_time;
                progress.watermark <= Some(look.clocks[0]) && is_early
            });
            let has_leapt = !record.played.leaps.is_empty() && is_baseline;
            demand(is_right || has_leapt, || format!("no complete pass moved the watermark at {at}"))?;
        }
        if progress.swept_at != former.and_then(|former| former.swept_at) {
            let is_right = complete(&[PassKind::Sweep]).iter().any(|look| progress.swept_at == Some(look.clocks[0]));
            demand(is_right, || format!("no complete sweep began at {:?}", progress.swept_at))?;
        }
    }
    Ok(())
}

/// A field is announced once for each kind; failing and recovered take turns; the baseline is said to be complete when
/// it is.
pub(super) fn what_the_gateway_says_it_says_once(record: &Record) -> Verdict {
    let mut announced = BTreeSet::new();
    let mut is_failing = false;
    let mut baselines = 0;
    for (at, _, drafts) in &record.gateway {
        for draft in drafts {
            let details = draft.details.fields();
            let is_right = match draft.event_type.as_str() {
                "gateway.schema_changed" => announced.insert(draft.details.text().to_owned()),
                "gateway.source_failing" => !std::mem::replace(&mut is_failing, true),
                "gateway.source_recovered" => std::mem::replace(&mut is_failing, false),
                "gateway.baseline_completed" => {
                    baselines += 1;
                    true
                }
                "gateway.removals_withheld" => true,
                _ => false,
            };
            demand(is_right, || format!("{} {details:?} is said at {at}", draft.event_type))?;
        }
    }
    demand(baselines > 0, || "nobody said that the baseline is complete".into())
}
