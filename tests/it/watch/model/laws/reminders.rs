//! Reminders ahead of dates: once each, at their time, as long as the date is not over.

use std::collections::BTreeSet;

use certhook::model::source::{PassKind, PassStatus};
use certhook::model::time::Timestamp;
use serde_json::Value;

use super::super::calendar::{Calendar, Dated, reminded};
use super::super::life::{Known, Life};
use super::super::record::Record;
use super::{Verdict, demand};

/// The thresholds that a reminder stands for.
fn crossed(details: &Value) -> Vec<u16> {
    let list = details["thresholds_crossed"].as_array().expect("thresholds").iter();
    list.map(|days| days.as_u64().and_then(|days| days.try_into().ok()).expect("days")).collect()
}

/// Every reminder is one of the configured ones, at its time, about a date that the resource has and that is not over,
/// and none is told twice.
pub(super) fn a_reminder_is_told_once_and_in_time(record: &Record) -> Verdict {
    for life in record.lives.values() {
        let mut told = BTreeSet::new();
        for known in &life.known {
            for (sight, drafts) in known.derived() {
                let now = sight.detection.observed_before;
                for draft in drafts {
                    let details = Value::Object(draft.details.fields());
                    check(record, life, known, &details, now, &mut told)
                        .map_err(|why| format!("{why}, at {} in {details}\n{}", known.at, life.tale()))?;
                }
            }
        }
    }
    Ok(())
}

fn check(
    record: &Record,
    life: &Life,
    known: &Known,
    details: &Value,
    now: Timestamp,
    told: &mut BTreeSet<(Dated, u16)>,
) -> Verdict {
    demand(!known.is_removed(), || "a reminder of what is gone".into())?;
    let whose = details["jurisdiction_id"].as_str().map(str::to_owned);
    let dates = reminded(life.kind, &known.state);
    let dated = dates.into_iter().find(|(owner, _)| *owner == whose);
    let dated = dated.ok_or_else(|| "a reminder of no date".to_owned())?;
    let calendar = Calendar::of(&record.played.settings.dates, &dated.1);
    let crossed = crossed(details);
    demand(now < calendar.ends[1], || "a reminder of a date that is over".into())?;
    demand(details["days_remaining"] == calendar.days_left(now), || "wrong days_remaining".into())?;
    let smallest = crossed.iter().min().copied();
    demand(details["threshold_days"].as_u64() == smallest.map(u64::from), || "not the smallest threshold".into())?;
    for threshold in crossed {
        let is_configured = record.policy_at(known.at).will_expire.contains(&threshold);
        demand(is_configured, || format!("{threshold} is not configured"))?;
        demand(calendar.due(threshold) <= now, || format!("the reminder of {threshold} days comes early"))?;
        let is_new = told.insert((dated.clone(), threshold));
        demand(is_new, || format!("the reminder of {threshold} days comes twice"))?;
    }
    Ok(())
}

/// After a deadline pass, whatever is due is told, unless it was past when the date was first seen, or when there came
/// to be such a reminder.
pub(super) fn a_reminder_that_is_due_is_told(record: &Record) -> Verdict {
    if !record.played.leaps.is_empty() {
        return Ok(());
    }
    for look in record.looks().filter(|look| look.kind == PassKind::Deadline && look.is_undisturbed) {
        if look.report.as_ref().is_none_or(|report| report.status != PassStatus::Complete) {
            continue;
        }
        let now = look.clocks[0];
        for life in record.lives.values() {
            let Some(known) = life.known_at(look.ended).filter(|known| !known.is_removed()) else { continue };
            for dated in reminded(life.kind, &known.state) {
                let calendar = Calendar::of(&record.played.settings.dates, &dated.1);
                let policy = record.policy_at(look.ended);
                let thresholds = policy.will_expire.iter().copied();
                let due: Vec<u16> = thresholds.filter(|days| calendar.due(*days) <= now).collect();
                let Some(smallest) = due.into_iter().min().filter(|_| now < calendar.ends[0]) else { continue };
                let since = seen_since(life, &dated, look.ended).max(policy.since);
                let is_told = is_told(life, &dated, smallest, look.ended);
                let is_past = calendar.due(smallest) <= since;
                demand(is_told || is_past, || {
                    format!("{smallest} days ahead of {dated:?} nobody was reminded by {}\n{}", look.ended, life.tale())
                })?;
            }
        }
    }
    Ok(())
}

/// Since when a resource has had a date, as far as we have seen.
fn seen_since(life: &Life, dated: &Dated, until: u64) -> Timestamp {
    let known = life.known.iter().rev().filter(|known| known.at <= until);
    let has_it = |known: &&Known| !known.is_removed() && reminded(life.kind, &known.state).contains(dated);
    let earliest = known.take_while(has_it).last();
    earliest.map_or(Timestamp::EPOCH, |known| known.snapshot.observed_at)
}

fn is_told(life: &Life, dated: &Dated, threshold: u16, until: u64) -> bool {
    life.known.iter().filter(|known| known.at <= until).any(|known| {
        reminded(life.kind, &known.state).contains(dated)
            && known.derived().flat_map(|(_, drafts)| drafts).any(|draft| {
                let details = Value::Object(draft.details.fields());
                details["jurisdiction_id"].as_str().map(str::to_owned) == dated.0
                    && crossed(&details).contains(&threshold)
            })
    })
}
