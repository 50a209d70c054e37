//! Reminders ahead of a date: which are told now, which are done with, and when the next one is due.

use serde_json::json;

use super::super::compare::same_text;
use super::dates::{Carried, When};
use super::{Occasion, Policy};
use crate::model::event::{EventDraft, EventType};
use crate::model::json::Json;
use crate::model::resource::{Kind, Reminded};
use crate::model::time::Timestamp;

/// How many dates of a resource are remembered. It keeps the snapshot below what the store takes: the vendor knows
/// some fifty jurisdictions, each with one date at a time.
const REMINDED_MAX: usize = 200;

/// What follows for the reminders of a resource.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What is told now.
    pub(super) drafts: Vec<EventDraft>,
    /// What is done with from now on.
    pub(super) reminded: Vec<Reminded>,
    /// When the next one is due.
    pub(super) remind_at: Option<Timestamp>,
}

/// What the reminders of a resource are worked out from.
pub(super) struct Reminders<'a> {
    /// What it is.
    pub(super) kind: Kind,
    /// Its dates, in the order in which they are told.
    pub(super) carried: &'a [Carried<'a>],
    /// What is done with.
    pub(super) former: &'a [Reminded],
    /// Why this is worked out.
    pub(super) occasion: Occasion,
    /// What is past.
    pub(super) now: Timestamp,
    /// What configuration says.
    pub(super) policy: &'a Policy,
}

impl Reminders<'_> {
    /// Works them out.
    pub(super) fn work_out(&self) -> Outcome {
        let mut thresholds = self.policy.will_expire.clone();
        thresholds.sort_unstable_by(|one, other| other.cmp(one));
        thresholds.dedup();
        // A date beyond them could not be remembered, and what is not remembered would be told again and again.
        let carried = &self.carried[..self.carried.len().min(REMINDED_MAX)];
        let mut outcome = Outcome { reminded: self.left_behind(carried), ..Outcome::default() };
        for date in carried {
            let done = self.done_with(date, &thresholds, &mut outcome);
            outcome.reminded.extend(done.map(|threshold_days| Reminded {
                jurisdiction_id: date.jurisdiction_id.map(Into::into),
                date: date.text.into(),
                threshold_days,
            }));
        }
        outcome
    }

    /// What is remembered of dates that the resource carries no more: it may come back to them until they are over.
    fn left_behind(&self, carried: &[Carried<'_>]) -> Vec<Reminded> {
        let is_left = |known: &&Reminded| {
            !carried.iter().any(|date| is_of(known, date))
                && When::read(&known.date, &self.policy.timezone).is_some_and(|when| self.now < when.end)
        };
        let mut left: Vec<Reminded> = self.former.iter().filter(is_left).cloned().collect();
        let too_many = (left.len() + carried.len()).saturating_sub(REMINDED_MAX);
        left.drain(..too_many);
        left
    }

    /// The smallest threshold of a date that is done with, after what is told of it now. `thresholds` are in
    /// descending order, which is the order of their instants.
    fn done_with(&self, date: &Carried<'_>, thresholds: &[u16], outcome: &mut Outcome) -> Option<u16> {
        let done = self.former.iter().filter(|known| is_of(known, date)).map(|known| known.threshold_days).min();
        if date.when.end <= self.now {
            return done;
        }
        let due_at = |threshold: &u16| due_at(date.when, *threshold, self.policy);
        let is_left = |threshold: &&u16| done.is_none_or(|done| **threshold < done);
        let (crossed, ahead) = thresholds.split_at(thresholds.partition_point(|days| due_at(days) <= self.now));
        let crossed: Vec<u16> = crossed.iter().filter(is_left).copied().collect();
        if date.is_reminded {
            let next = ahead.iter().find(is_left).map(due_at).filter(|due_at| *due_at < date.when.end);
            outcome.remind_at = outcome.remind_at.into_iter().chain(next).min();
        }
        let smallest = crossed.last().copied();
        match self.occasion {
            Occasion::FirstSight | Occasion::NewPolicy => smallest.or(done),
            Occasion::Later | Occasion::Fetched if date.is_reminded => {
                outcome.drafts.extend(smallest.map(|_| self.draft(date, &crossed)));
                smallest.or(done)
            }
            Occasion::Later | Occasion::Fetched => done,
        }
    }

    fn draft(&self, date: &Carried<'_>, crossed: &[u16]) -> EventDraft {
        let today = self.now.day_in(&self.policy.timezone);
        // Where clocks are set back over midnight, a day ends twice, and today may be the day after the last one.
        let days_remaining = date.when.day.since(today).map_or(0, |left| left.get_days()).max(0);
        let event_type = match self.kind {
            Kind::Certificate => EventType::CertificateWillExpire,
            Kind::CertificateRequest => EventType::RequestWillExpire,
        };
        let details = json!({
            "threshold_days": crossed.last(), "thresholds_crossed": crossed,
            "days_remaining": days_remaining, "jurisdiction_id": date.jurisdiction_id,
        });
        EventDraft { event_type, details: Json::of(&details) }
    }
}

/// Whether what is remembered is about this very date, however upstream spelled it then.
fn is_of(known: &Reminded, date: &Carried<'_>) -> bool {
    known.jurisdiction_id.as_deref() == date.jurisdiction_id && same_text(&known.date, date.text)
}

/// When a reminder is due. A local time that does not exist, because clocks are set forward over it, is as much
/// later as they are.
fn due_at(when: When, threshold_days: u16, policy: &Policy) -> Timestamp {
    let day = when.day.saturating_sub(jiff::Span::new().days(threshold_days));
    let due_at = policy.timezone.to_timestamp(day.to_datetime(policy.remind_at));
    due_at.map_or(Timestamp::from_millis(i64::MIN), |due_at| Timestamp::from_millis(due_at.as_millisecond()))
}
