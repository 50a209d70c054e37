//! The folder on one machine: what every backend does, and what is true of files alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certhook::clock::ManualClock;
use certhook::model::delivery::DeliveryStatus;
use certhook::model::endpoint::Endpoint;
use certhook::model::id::Position;
use certhook::model::resource::Kind;
use certhook::store::sled::SledStore;
use certhook::store::{Settings, Store, StoreError, Updated};
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::samples::*;
use super::{access, answers, by_creation, conformance, endpoints, history, lists, model, replays, retention};

pub(super) fn settings(folder: &Path) -> Settings {
    Settings { path: folder.join("data"), encryption_key: None, min_free: 0 }
}

pub(super) fn try_open(settings: &Settings) -> Result<Arc<dyn Store>, StoreError> {
    SledStore::open(settings, &ManualClock::at(at(0))).map(|store| store as Arc<dyn Store>)
}

pub(super) fn open(folder: &Path) -> Arc<dyn Store> {
    try_open(&settings(folder)).unwrap()
}

pub(super) fn refusal(settings: &Settings) -> String {
    match try_open(settings) {
        Ok(_) => panic!("it opened"),
        Err(error) => error.to_string(),
    }
}

macro_rules! conforms {
    ($($room:ident::$promise:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let folder = TempDir::new().unwrap();
                $room::$promise(open(folder.path()), &|store| reopen(folder.path(), store)).await;
            }
        )+
    };
}

conforms! {
    conformance::snapshots_come_back_in_the_order_asked_for,
    conformance::removed_snapshots_are_kept_but_not_counted,
    conformance::events_keep_their_ids_and_bodies_for_ever,
    conformance::log_timestamps_never_go_back,
    conformance::the_log_is_read_both_ways_from_any_place,
    conformance::an_instant_has_a_place_in_the_log,
    conformance::the_head_wakes_who_waits_for_it,
    conformance::progress_is_committed_with_sights,
    conformance::large_sights_are_kept_whole_and_larger_ones_refused,
    conformance::a_reader_never_sees_half_of_a_large_value,
    conformance::what_waits_is_found_by_when_it_is_due,
    conformance::records_are_found_among_any_number_of_others,
    conformance::positions_are_set_moved_and_given_up,
    conformance::positions_of_many_endpoints_are_taken_at_once,
    conformance::what_records_bring_about_is_told_and_kept_with_them,
    conformance::a_large_delivery_commit_is_taken,
    conformance::a_closed_store_takes_nothing_more,
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
    lists::a_commit_that_is_refused_leaves_nothing_of_itself,
    by_creation::a_page_of_a_list_reads_no_more_than_it_may,
    by_creation::what_stays_is_on_exactly_one_page_while_all_around_it_changes,
    endpoints::endpoints_come_back_as_registered,
    endpoints::a_change_meets_the_endpoint_that_was_seen_or_nothing,
    endpoints::disabling_leaves_everything_else_as_it_is,
    endpoints::secrets_that_have_ended_are_forgotten_and_nothing_else,
    endpoints::numbers_are_never_given_twice,
    endpoints::a_uid_names_one_endpoint,
    endpoints::endpoints_are_listed_both_ways,
    endpoints::changes_of_endpoints_are_told,
    endpoints::deleting_cancels_what_waits_and_keeps_the_history,
    endpoints::a_deletion_that_a_stop_broke_off_is_finished,
    history::lists_of_deliveries_hold_what_matches_in_their_order,
    history::a_page_that_is_full_says_truly_whether_there_is_more,
    history::a_page_reads_no_more_than_it_may,
    history::lists_hold_what_nobody_touches_while_all_around_it_changes,
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
    retention::looking_through_many_records_goes_step_by_step,
    retention::deliveries_of_events_that_were_cut_are_listed_by_their_attempts,
}

/// Gives a store up without closing it, and opens its folder again.
pub(super) fn reopen(folder: &Path, store: Arc<dyn Store>) -> Arc<dyn Store> {
    drop(store);
    open(folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_before_a_sight_that_is_too_large_is_durable() {
    let folder = TempDir::new().unwrap();
    let too_large = silent(sized_snapshot(2, 0, 600_000));
    let store = open(folder.path());
    conformance::what_comes_before_a_refused_sight_is_durable_and_nothing_after_it(&*store, too_large).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_store_says_what_plain_maps_say(steps in model::steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = TempDir::new().unwrap();
        runtime.block_on(model::agree(open(folder.path()), &|store| reopen(folder.path(), store), steps));
    }

    #[test]
    fn every_list_by_creation_is_a_filter_over_everything(
        rounds in prop::collection::vec(prop::collection::vec(by_creation::samples(), 0..20), 1..4),
        queries in prop::collection::vec(by_creation::queries(), 1..12),
        is_planned: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = TempDir::new().unwrap();
        let reopen = |store| reopen(folder.path(), store);
        runtime.block_on(by_creation::agree(open(folder.path()), &reopen, rounds, queries, is_planned));
    }
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if let Err(error) = fs::copy(entry.path(), &target) {
            // Files may go while a folder is copied.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_was_copied_while_it_was_written_holds_a_whole_prefix() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    for round in 0..6_u64 {
        let busy = Arc::clone(&store);
        let began = store.head().borrow().0;
        let mut writes = JoinSet::new();
        writes.spawn(async move {
            for turn in 0..60 {
                let sights = (0..10).map(|number| told(snapshot(number, round * 100 + turn), at(1), 2)).collect();
                busy.commit_sights(sights, None).await.unwrap();
            }
        });
        let mut head = store.head();
        head.wait_for(|head| head.0 > began + 100).await.unwrap();
        let acknowledged = head.borrow().0;
        let copied = TempDir::new().unwrap();
        copy(folder.path(), copied.path());
        writes.join_all().await;
        let twin = open(copied.path());
        let last = twin.head().borrow().0;
        assert!(last >= acknowledged, "what was acknowledged before the copy is in it: {last}, {acknowledged}");
        let events = twin.events_after(Position::START, usize::MAX).await.unwrap();
        assert_eq!(positions(&events), (1..=last).collect::<Vec<_>>());
        let originals = store.events_after(Position::START, events.len()).await.unwrap();
        assert_eq!(events, originals);
        let newest = &events[events.len() - 1].sight;
        let id = newest.resource().unwrap().id.clone();
        let snapshots = twin.snapshots(&source(), Kind::Certificate, &[id]).await.unwrap();
        assert_eq!(snapshots[0].as_ref().unwrap().object, newest.object, "a sight's snapshot and events are together");
    }
}

#[tokio::test]
async fn one_folder_has_one_owner() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let message = refusal(&settings(folder.path()));
    assert!(message.contains("another process has it open; stop that one"), "{message}");
    store.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_opened_empty_forgets_what_was_there_and_keeps_its_key() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    store.commit_sights(vec![told(snapshot(1, 1), at(1), 2)], None).await.unwrap();
    store.create(endpoint(None)).await.unwrap();
    close(store).await;
    let key = std::fs::read(folder.path().join("data.key")).unwrap();
    let store: Arc<dyn Store> = SledStore::open_empty(&settings(folder.path()), &ManualClock::at(at(0))).unwrap();
    assert_eq!(*store.head().borrow(), Position::START);
    assert!(store.endpoints(None, true, 10).await.unwrap().is_empty());
    assert_eq!(std::fs::read(folder.path().join("data.key")).unwrap(), key);
}

/// All that is in the files of a folder and of the folders in it.
fn contents(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        bytes.extend(if path.is_dir() { contents(&path) } else { fs::read(&path).unwrap() });
    }
    bytes
}

#[tokio::test]
async fn no_secret_is_readable_on_disk() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let one = store.create(endpoint(Some("crm"))).await.unwrap();
    assert_eq!(store.update(&one, one.clone()).await.unwrap(), Updated::Yes);
    fill_log(&store, 1).await;
    commit_records(&store, vec![record(1, &one, DeliveryStatus::Delivered, None)]).await;
    store.close().await;
    drop(store);
    let bytes = contents(&folder.path().join("data"));
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(holds(b"the CRM"), "the search finds what is there");
    let key = fs::read_to_string(folder.path().join("data.key")).unwrap();
    let encoded = "Y2FuYXJ5LWN1cnJlbnQtc2lnbmluZy1rZX"; // canary-current-signing-ke…, in base64
    for secret in [
        "canary-query",
        "canary-current-signing",
        "canary-former-signing",
        "canary-header",
        "example.com",
        encoded,
        key.trim(),
    ] {
        assert!(!holds(secret.as_bytes()), "{secret} is on disk");
    }
}

#[tokio::test]
async fn what_was_sealed_for_one_endpoint_does_not_open_at_another() {
    for moved in ["/sealed_url", "/sealed_headers", "/secrets/0/sealed_key", "/secrets/1/sealed_key"] {
        let folder = TempDir::new().unwrap();
        let store = open(folder.path());
        let (one, other) = (store.create(endpoint(None)).await.unwrap(), store.create(endpoint(None)).await.unwrap());
        close(store).await;
        let key = |endpoint: &Endpoint| [b"n".as_slice(), &endpoint.id.number.0.to_be_bytes()].concat();
        let tree = rows(folder.path());
        let row = |key| serde_json::from_slice::<Value>(&tree.get(key).unwrap().unwrap()[1..]).unwrap();
        let sealed = row(key(&one)).pointer(moved).unwrap().clone();
        let mut target = row(key(&other));
        *target.pointer_mut(moved).unwrap() = sealed;
        tree.insert(key(&other), [b"\x02".as_slice(), target.to_string().as_bytes()].concat()).unwrap();
        drop(tree);
        let store = open(folder.path());
        let error = store.endpoint(other.id).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot read an endpoint: the sealed value is damaged", "{moved}");
        assert_eq!(store.endpoint(one.id).await.unwrap(), Some(one));
    }
}

#[tokio::test]
async fn the_key_file_lies_beside_the_folder_for_its_owner_alone() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let one = store.create(endpoint(None)).await.unwrap();
    drop(store);
    let path = folder.path().join("data.key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let key = fs::read_to_string(&path).unwrap();

    fs::remove_file(&path).unwrap();
    let message = refusal(&settings(folder.path()));
    assert!(message.contains("its key file") && message.contains("is missing: put it back"), "{message}");
    assert!(!path.exists(), "no new key was made");

    let other = Settings { encryption_key: Some(vec![7; 32].into()), ..settings(folder.path()) };
    let message = refusal(&other);
    assert!(message.contains("the encryption key is not the store's"), "{message}");
    let short = Settings { encryption_key: Some(vec![7; 31].into()), ..settings(folder.path()) };
    assert!(refusal(&short).contains("store.encryption_key has 31 bytes; it must be 32 bytes in base64"));
    fs::write(&path, "not a key").unwrap();
    assert!(refusal(&settings(folder.path())).contains("is no key: it must hold 32 bytes in base64"));

    fs::write(&path, key).unwrap();
    assert_eq!(open(folder.path()).endpoint(one.id).await.unwrap(), Some(one));
}

#[tokio::test]
async fn a_configured_key_leaves_no_key_file() {
    let folder = TempDir::new().unwrap();
    let configured = Settings { encryption_key: Some(vec![7; 32].into()), ..settings(folder.path()) };
    let store = try_open(&configured).unwrap();
    let one = store.create(endpoint(None)).await.unwrap();
    drop(store);
    assert!(!folder.path().join("data.key").exists());
    assert!(refusal(&settings(folder.path())).contains("or set store.encryption_key"));
    assert_eq!(try_open(&configured).unwrap().endpoint(one.id).await.unwrap(), Some(one));
}

/// The rows of a store that was given up.
pub(super) fn rows(folder: &Path) -> ::sled::Db {
    // A process that another test is starting holds all our files, and their locks, until it is its own program.
    let opened = (0..50).find_map(|_| {
        let opened = ::sled::open(folder.join("data"));
        opened.map_err(|_locked| std::thread::sleep(Duration::from_millis(20))).ok()
    });
    opened.expect("a store that was given up leaves its folder")
}

pub(super) async fn close(store: Arc<dyn Store>) {
    store.close().await;
}

#[tokio::test]
async fn nothing_ever_becomes_a_blob_file() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    for round in 0..5 {
        let large = (0..40).map(|number| told(sized_snapshot(number, round, 24_000), at(1), 1)).collect();
        store.commit_sights(large, None).await.unwrap();
    }
    drop(store);
    drop(open(folder.path()));
    assert_eq!(fs::read_dir(folder.path().join("data/blobs")).unwrap().count(), 0);
}
