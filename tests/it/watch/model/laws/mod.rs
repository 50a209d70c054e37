//! What must hold of everything that happened, whatever happened.
//!
//! In reading order: `chain`, `telling` and `fields` (one sight after the other), `truth` (what is told was so),
//! `keeping` (what was seen is told), `latency` (in time), `removal`, `first` and `order` (comings and goings),
//! `reminders`, `passes` (what passes say of themselves), `healed` (in the end).

use super::life::Life;
use super::record::Record;

mod chain;
mod fields;
mod first;
mod healed;
mod keeping;
mod latency;
mod order;
mod passes;
mod reminders;
mod removal;
mod telling;
mod truth;

/// Whether a law was kept; if not, why.
type Verdict = Result<(), String>;

/// Says that a law was broken.
fn broken<T>(why: impl Into<String>) -> Result<T, String> {
    Err(why.into())
}

/// Says that a law was broken unless something holds.
fn demand(holds: bool, why: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(why()) }
}

/// Laws about one resource.
const OF_A_LIFE: [fn(&Record, &Life) -> Verdict; 15] = [
    chain::versions_have_no_gaps_and_each_sight_begins_where_the_last_ended,
    telling::a_sight_tells_what_changed_and_nothing_else,
    telling::a_transition_is_told_with_the_time_between_two_sights,
    telling::an_event_of_a_jurisdiction_carries_its_entry,
    fields::a_field_that_is_new_upstream_is_absorbed,
    truth::what_is_told_was_so_and_in_that_order,
    keeping::what_an_answer_showed_is_known,
    keeping::a_document_is_told_when_it_comes,
    removal::what_is_removed_was_gone,
    removal::what_is_restored_was_listed_again,
    removal::a_tombstone_is_silent,
    removal::what_is_to_be_kept_stays,
    first::a_first_sight_is_told_unless_it_belongs_to_the_baseline,
    order::a_certificate_comes_before_the_request_that_it_fulfils,
    healed::in_the_end_everything_is_known_as_it_is,
];

/// Laws about all of them together.
const OF_A_RECORD: [fn(&Record) -> Verdict; 13] = [
    latency::a_quiet_sweep_sees_everything,
    latency::a_quiet_changes_pass_sees_what_was_updated,
    latency::a_quiet_open_pass_sees_every_open_status,
    latency::a_quiet_deadline_pass_has_looked_after_every_date,
    removal::what_is_too_much_to_be_believed_is_withheld,
    first::strays_are_told_or_absorbed_together,
    reminders::a_reminder_is_told_once_and_in_time,
    reminders::a_reminder_that_is_due_is_told,
    passes::a_pass_that_missed_something_says_so,
    passes::a_quiet_pass_is_complete,
    passes::only_a_complete_pass_moves_the_watermark,
    passes::what_the_gateway_says_it_says_once,
    healed::in_the_end_nothing_is_left_to_tell,
];

/// The first law that was broken, and the story of what broke it.
pub(super) fn check(record: &Record) -> Verdict {
    for life in record.lives.values() {
        for law in OF_A_LIFE {
            law(record, life).map_err(|why| format!("{why}\n{}", life.tale()))?;
        }
    }
    OF_A_RECORD.iter().try_for_each(|law| law(record))
}
