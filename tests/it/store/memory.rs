//! The stores in memory that other tests use. `Memory` does what every backend does, but for what only a disk has (ids
//! that differ after a start, limits of size, what is left when it is closed); `SightMemory`, which refuses what a test
//! says, refuses it as every backend does.

use std::sync::Arc;

use certhook::store::Store;
use proptest::prelude::*;

use super::{access, answers, by_creation, conformance, lists, model, replays, retention, samples};
use crate::support::memory::Memory;
use crate::support::sight_memory::SightMemory;

fn new() -> Arc<dyn Store> {
    Arc::new(Memory::new())
}

macro_rules! conforms {
    ($($room:ident::$promise:ident,)+) => {
        $(
            #[tokio::test]
            async fn $promise() {
                $room::$promise(new(), &|store| store).await;
            }
        )+
    };
}

conforms! {
    conformance::snapshots_come_back_in_the_order_asked_for,
    conformance::removed_snapshots_are_kept_but_not_counted,
    conformance::log_timestamps_never_go_back,
    conformance::the_log_is_read_both_ways_from_any_place,
    conformance::an_instant_has_a_place_in_the_log,
    conformance::the_head_wakes_who_waits_for_it,
    conformance::progress_is_committed_with_sights,
    conformance::what_waits_is_found_by_when_it_is_due,
    conformance::records_are_found_among_any_number_of_others,
    lists::snapshots_keep_all_that_they_say,
    lists::snapshots_are_paged_in_the_order_of_their_ids,
    lists::open_lists_hold_what_snapshots_say,
    lists::what_is_due_comes_in_its_order,
    lists::absences_are_put_and_deleted,
    lists::all_that_a_commit_tells_is_in_the_log_in_its_order,
    replays::replays_are_numbered_and_listed_both_ways,
    replays::a_replay_counts_what_becomes_of_its_deliveries,
    replays::a_replay_counts_what_is_laid_out_for_an_endpoint_that_is_gone,
    replays::a_replay_ends_once,
    replays::a_resync_puts_states_into_the_log_with_their_deliveries,
    access::keys_are_found_by_their_digests,
    access::what_tells_of_a_change_is_committed_with_it_or_not_at_all,
    access::keys_are_listed_both_ways,
    access::a_deleted_key_is_gone_and_its_number_is_not_given_again,
    access::the_last_use_of_a_key_never_goes_back,
    access::the_audit_log_is_read_both_ways_and_between_instants,
    access::the_audit_log_loses_what_is_old_or_too_much,
    answers::answers_are_kept_and_replaced,
    answers::answers_are_forgotten_when_they_have_expired,
    answers::a_call_is_claimed_once_at_a_time,
    retention::a_log_that_was_cut_begins_later,
    retention::a_log_can_be_cut_to_nothing_and_goes_on,
    retention::nothing_is_cut_that_somebody_has_not_dealt_with,
    retention::a_sight_is_cut_whole_or_not_at_all,
    retention::who_gives_up_goes_on_later_and_that_is_told,
    retention::what_was_given_up_holds_nothing_back_whatever_a_lane_saves,
    retention::what_was_missed_adds_up_until_the_endpoint_is_enabled,
    retention::what_was_cut_is_pending_for_nobody,
    retention::what_is_given_up_or_was_cut_is_canceled_for_its_replay,
    retention::replays_go_some_time_after_their_end,
    retention::records_go_some_time_after_their_last_attempt,
    retention::deliveries_of_events_that_were_cut_are_listed_by_their_attempts,
}

#[tokio::test]
async fn the_store_of_sights_in_memory_keeps_what_comes_before_a_refused_one() {
    let store = SightMemory::default();
    let too_large = samples::silent(samples::snapshot(2, 0));
    store.refuse(samples::resource_id(2).as_str());
    conformance::what_comes_before_a_refused_sight_is_durable_and_nothing_after_it(&store, too_large).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_store_in_memory_says_what_plain_maps_say(steps in model::steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(model::agree(new(), &|store| store, steps));
    }

    #[test]
    fn every_list_by_creation_of_the_store_in_memory_is_a_filter_over_everything(
        rounds in prop::collection::vec(prop::collection::vec(by_creation::samples(), 0..20), 1..4),
        queries in prop::collection::vec(by_creation::queries(), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(by_creation::agree(new(), &|store| store, rounds, queries, true));
    }
}
