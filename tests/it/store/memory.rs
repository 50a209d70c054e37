//! The store in memory that other tests use: it does what every backend does, but for what only a disk has (ids that
//! differ after a start, limits of size, what is left when it is closed).

use std::sync::Arc;

use certhook::store::Store;
use proptest::prelude::*;

use super::{conformance, lists, model, replays};
use crate::support::memory::Memory;

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
    lists::snapshots_keep_all_that_they_say,
    lists::snapshots_are_paged_in_the_order_of_their_ids,
    lists::open_lists_hold_what_snapshots_say,
    lists::what_is_due_comes_in_its_order,
    lists::absences_are_put_and_deleted,
    lists::all_that_a_commit_tells_is_in_the_log_in_its_order,
    replays::replays_are_numbered_and_listed_both_ways,
    replays::a_replay_counts_what_becomes_of_its_deliveries,
    replays::a_replay_ends_once,
    replays::a_resync_puts_states_into_the_log_with_their_deliveries,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_store_in_memory_says_what_plain_maps_say(steps in model::steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(model::agree(new(), &|store| store, steps));
    }
}
