//! What every backend does when retention removes something.

use std::sync::Arc;

use certhook::model::delivery::{DeliveryRecord, DeliveryStatus};
use certhook::model::endpoint::{Endpoint, EndpointStatus};
use certhook::model::event::{EventDraft, EventType};
use certhook::model::id::{DeliveryId, EndpointNumber, Position};
use certhook::model::replay::ReplayStatus;
use certhook::model::time::Timestamp;
use certhook::store::retention::{Forgotten, GivenUp, Missed};
use certhook::store::{DeliveryCommit, DeliveryQuery, Store, Updated};

use super::conformance::Reopen;
use super::replays::{begun, of_the_log, pending, progress};
use super::samples::*;

async fn set(store: &Arc<dyn Store>, mark: u64, own: &[(&Endpoint, u64)]) {
    let positions = own.iter().map(|(endpoint, position)| (endpoint.id.number, Some(Position(*position)))).collect();
    let commit = DeliveryCommit { live_mark: Some(Position(mark)), positions, ..DeliveryCommit::default() };
    store.commit_deliveries(commit).await.unwrap();
}

/// Cuts until no more goes; the first event that is kept.
pub(super) async fn cut(store: &Arc<dyn Store>, until: u64) -> u64 {
    let mut first = store.first();
    loop {
        let now = store.cut_events(Position(until)).await.unwrap();
        assert_eq!(now, store.first(), "it is told and shown alike");
        if now == first {
            return now.0;
        }
        first = now;
    }
}

pub(super) async fn a_log_that_was_cut_begins_later(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    assert_eq!((store.first(), store.last_cut()), (Position(1), None), "a new log");
    fill_log(&store, 900).await;
    set(&store, 900, &[]).await;
    let before = bodies(&store.events_after(Position(600), 300).await.unwrap());
    assert_eq!(cut(&store, 600).await, 601);
    assert_eq!(store.last_cut(), Some(at(600)));
    let store = reopen(store);
    assert_eq!((store.first(), store.last_cut()), (Position(601), Some(at(600))));
    fill_log(&store, 20).await;
    for (after, limit) in [(0, 3), (599, 3), (600, 3), (601, 3), (0, 1_000), (915, 9), (920, 9)] {
        let wanted: Vec<u64> = (after.max(600) + 1..=920).take(limit).collect();
        let events = store.events_after(Position(after), limit).await.unwrap();
        assert_eq!(positions(&events), wanted, "{limit} after {after}");
    }
    for (before, limit) in [(1, 9), (601, 9), (602, 9), (9_999, 5), (9_999, 1_000)] {
        let wanted: Vec<u64> = (601..before.min(921)).rev().take(limit).collect();
        let events = store.events_before(Position(before), limit).await.unwrap();
        assert_eq!(positions(&events), wanted, "{limit} before {before}");
    }
    assert_eq!(bodies(&store.events_after(Position::START, 300).await.unwrap()), before, "what is left is as it was");
    for gone in [1, 300, 600] {
        assert_eq!(store.event(Position(gone)).await.unwrap(), None);
    }
    for (instant, position) in [(0, 601), (600, 601), (601, 601), (602, 602), (901, 921)] {
        assert_eq!(store.position_at(at(instant)).await.unwrap(), Position(position), "at {instant}");
    }
}

pub(super) async fn a_log_can_be_cut_to_nothing_and_goes_on(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    assert_eq!(cut(&store, 9).await, 1, "nothing is there to be cut");
    fill_log(&store, 5).await;
    set(&store, 5, &[]).await;
    assert_eq!(cut(&store, 99).await, 6);
    let store = reopen(store);
    assert_eq!((store.first(), *store.head().borrow()), (Position(6), Position(5)));
    assert_eq!(store.last_cut(), Some(at(5)));
    assert!(store.events_after(Position::START, 9).await.unwrap().is_empty());
    assert!(store.events_before(Position(99), 9).await.unwrap().is_empty());
    assert_eq!(store.position_at(at(0)).await.unwrap(), Position(6));
    fill_log(&store, 2).await;
    let store = reopen(store);
    assert_eq!(positions(&store.events_after(Position::START, 9).await.unwrap()), [6, 7]);
    let last = store.event(Position(6)).await.unwrap().unwrap();
    assert_eq!(last.timestamp(), at(5), "instants do not go back, whatever was cut");
}

pub(super) async fn nothing_is_cut_that_somebody_has_not_dealt_with(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    fill_log(&store, 30).await;
    let one = store.create(endpoint(None)).await.unwrap();
    let other = store.create(endpoint(None)).await.unwrap();
    assert_eq!(cut(&store, 30).await, 1, "the mark stands before everything");
    set(&store, 20, &[(&one, 15), (&other, 10)]).await;
    assert_eq!(cut(&store, 30).await, 11);
    assert_eq!(cut(&store, 3).await, 11, "the log never begins earlier again");
    set(&store, 20, &[(&one, 15), (&other, 30)]).await;
    let store = reopen(store);
    assert_eq!(cut(&store, 30).await, 16);
    assert!(store.delete(one.id).await.unwrap());
    assert_eq!(cut(&store, 30).await, 21, "a deleted endpoint holds nothing back");
    assert_eq!(cut(&store, 17).await, 21);
    set(&store, 25, &[]).await;
    assert_eq!(cut(&store, 23).await, 24);
    let newcomer = store.create(Endpoint { start: Position::START, ..endpoint(None) }).await.unwrap();
    let own = store.positions().await.unwrap().own;
    assert!(own.contains(&(newcomer.id.number, Position(23))), "nobody begins before the log: {own:?}");
    set(&store, 25, &[(&newcomer, 2)]).await;
    let own = store.positions().await.unwrap().own;
    assert!(own.contains(&(newcomer.id.number, Position(23))), "or goes back there: {own:?}");
    assert_eq!(cut(&store, 30).await, 24);
}

pub(super) async fn a_sight_is_cut_whole_or_not_at_all(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let mut large = told(sized_snapshot(2, 1, 24_000), at(2), 1_200);
    large.told[0].1[700].details = certhook::model::json::Json::of(&noise(7, 20_000));
    let sights = vec![told(snapshot(1, 1), at(1), 3), large, told(snapshot(3, 1), at(3), 2)];
    store.commit_sights(sights, None).await.unwrap();
    for (mark, first) in [(2, 1), (3, 4), (4, 4), (1_202, 4), (1_203, 1_204), (1_204, 1_204), (1_205, 1_206)] {
        set(&store, mark, &[]).await;
        assert_eq!(cut(&store, 9_999).await, first, "with the mark at {mark}");
        let events = store.events_after(Position::START, 9_999).await.unwrap();
        assert_eq!(positions(&events), (first..=1_205).collect::<Vec<_>>());
    }
    assert_eq!(reopen(store).first(), Position(1_206));
}

async fn owned(store: &Arc<dyn Store>) -> Vec<(EndpointNumber, Position)> {
    let mut own = store.positions().await.unwrap().own;
    own.sort_unstable();
    own
}

/// What an endpoint gives up, and that this is told.
fn given_up(endpoint: &Endpoint, until: u64, waiting: &[u64]) -> GivenUp {
    GivenUp {
        endpoint: endpoint.id,
        until: Position(until),
        waiting: waiting.iter().map(|position| delivery_id(*position, endpoint)).collect(),
        missed: Missed { count: 3, more: false },
        told: Some((sight_of(&snapshot(77, 1), at(77)), EventDraft::plain(EventType::EndpointGap))),
    }
}

pub(super) async fn who_gives_up_goes_on_later_and_that_is_told(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    fill_log(&store, 30).await;
    let one = store.create(Endpoint { start: Position(4), ..endpoint(None) }).await.unwrap();
    let other = store.create(endpoint(None)).await.unwrap();
    set(&store, 30, &[(&one, 5), (&other, 25)]).await;
    let pending = |position| record(position, &one, DeliveryStatus::Pending, Some(at(40)));
    let delivered = record(4, &one, DeliveryStatus::Delivered, None);
    commit_records(&store, vec![pending(2), pending(3), delivered.clone(), pending(22)]).await;
    let mut changes = store.changes();
    assert!(store.give_up(given_up(&one, 20, &[2, 3, 4, 9])).await.unwrap());
    assert_eq!(changes.recv().await.unwrap(), one.id.number);
    let store = reopen(store);
    let gap = store.event(Position(31)).await.unwrap().unwrap();
    assert_eq!((gap.event_type, *store.head().borrow()), (EventType::EndpointGap, Position(31)));
    let own = [(one.id.number, Position(20)), (other.id.number, Position(25))];
    assert_eq!(owned(&store).await, own);
    let now = store.by_number(one.id.number).await.unwrap().unwrap();
    assert_eq!(now, Endpoint { start: Position(20), ..one.clone() }, "everything else of it is as it was");
    let status = async |position| store.delivery(delivery_id(position, &one)).await.unwrap().map(|one| one.status);
    assert_eq!(status(2).await, Some(DeliveryStatus::Canceled));
    assert_eq!(status(3).await, Some(DeliveryStatus::Canceled));
    assert_eq!(store.delivery(delivered.id).await.unwrap(), Some(delivered), "what has ended stays as it is");
    assert_eq!(status(9).await, None);
    assert_eq!(status(22).await, Some(DeliveryStatus::Pending));
    assert_eq!(store.waiting(one.id.number, 9).await.unwrap().len(), 1);
    assert_eq!(cut(&store, 30).await, 21);
    // Its lane does not know yet, and saves where it is.
    set(&store, 30, &[(&one, 20)]).await;
    assert!(store.give_up(given_up(&one, 10, &[])).await.unwrap());
    assert_eq!(owned(&store).await, own, "nobody goes back");
    let unknown =
        GivenUp { endpoint: certhook::model::id::EndpointId { random: 1, ..one.id }, ..given_up(&one, 30, &[]) };
    assert!(!store.give_up(unknown).await.unwrap());
    assert_eq!(*store.head().borrow(), Position(32), "and nothing is told of one that is not there");
}

pub(super) async fn what_was_given_up_holds_nothing_back_whatever_a_lane_saves(store: Arc<dyn Store>, _: Reopen<'_>) {
    fill_log(&store, 30).await;
    let one = store.create(Endpoint { start: Position(4), ..endpoint(None) }).await.unwrap();
    set(&store, 30, &[(&one, 5)]).await;
    assert!(store.give_up(given_up(&one, 20, &[])).await.unwrap());
    set(&store, 30, &[(&one, 7)]).await;
    assert_eq!(cut(&store, 30).await, 21);
}

pub(super) async fn what_was_missed_adds_up_until_the_endpoint_is_enabled(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    fill_log(&store, 9).await;
    let created = store.create(endpoint(None)).await.unwrap();
    let number = created.id.number;
    assert_eq!(store.missed(number).await.unwrap(), Missed::default());
    store.give_up(given_up(&created, 2, &[])).await.unwrap();
    store.give_up(GivenUp { missed: Missed { count: 4, more: true }, ..given_up(&created, 3, &[]) }).await.unwrap();
    let store = reopen(store);
    assert_eq!(store.missed(number).await.unwrap(), Missed { count: 7, more: true });
    let known = store.by_number(number).await.unwrap().unwrap();
    let disabled = Endpoint { status: EndpointStatus::Disabled, ..known.clone() };
    assert_eq!(store.update(&known, disabled.clone()).await.unwrap(), Updated::Yes);
    let renamed = Endpoint { description: "another".into(), ..disabled.clone() };
    assert_eq!(store.update(&disabled, renamed.clone()).await.unwrap(), Updated::Yes);
    assert_eq!(store.missed(number).await.unwrap(), Missed { count: 7, more: true }, "no other change forgets it");
    assert_eq!(store.update(&renamed, known).await.unwrap(), Updated::Yes);
    assert_eq!(store.missed(number).await.unwrap(), Missed::default());
    assert_eq!(store.missed(EndpointNumber(99)).await.unwrap(), Missed::default());
}

pub(super) async fn what_was_cut_is_pending_for_nobody(store: Arc<dyn Store>, _: Reopen<'_>) {
    fill_log(&store, 9).await;
    let one = store.create(Endpoint { start: Position(9), ..endpoint(None) }).await.unwrap();
    set(&store, 9, &[]).await;
    assert_eq!(cut(&store, 5).await, 6);
    let late = |position| record(position, &one, DeliveryStatus::Pending, Some(at(40)));
    commit_records(&store, vec![late(5), late(6)]).await;
    let waiting = store.waiting(one.id.number, 9).await.unwrap();
    assert_eq!(waiting.iter().map(|one| one.id.position).collect::<Vec<_>>(), [Position(6)]);
    let kept = store.delivery(delivery_id(5, &one)).await.unwrap().unwrap();
    assert_eq!((kept.status, kept.next_attempt_at), (DeliveryStatus::Canceled, None));
}

fn tried_at(record: DeliveryRecord, instant: Timestamp) -> DeliveryRecord {
    let mut record = record;
    record.attempts[0].at = instant;
    record
}

/// Looks through all records once, in as many steps as it takes; how many were removed.
async fn forget(store: &Arc<dyn Store>, until: u64, before: Timestamp) -> usize {
    let (mut after, mut count) = (None, 0);
    loop {
        let Forgotten { count: removed, next } = store.forget_deliveries(after, Position(until), before).await.unwrap();
        count += removed;
        after = next;
        if after.is_none() {
            return count;
        }
    }
}

pub(super) async fn what_is_given_up_or_was_cut_is_canceled_for_its_replay(store: Arc<dyn Store>, _: Reopen<'_>) {
    fill_log(&store, 30).await;
    let one = store.create(Endpoint { start: Position(30), ..endpoint(None) }).await.unwrap();
    set(&store, 30, &[(&one, 30)]).await;
    let replay = begun(&store, &one, of_the_log()).await;
    let missed = pending(&replay, &one, 5, Some(DeliveryStatus::Failed));
    let delivered = pending(&replay, &one, 6, Some(DeliveryStatus::Delivered));
    commit_records(&store, vec![missed.clone(), delivered.clone(), pending(&replay, &one, 25, None)]).await;
    assert!(store.give_up(given_up(&one, 20, &[5, 6])).await.unwrap());
    assert_eq!(cut(&store, 10).await, 11);
    // An attempt that was under way says now that it will be tried again; and what was just found has been cut since.
    commit_records(&store, vec![missed.clone(), pending(&replay, &one, 7, None)]).await;
    let now = progress(&store, &replay).await;
    assert_eq!((now.matched, now.canceled, now.outstanding()), (4, 3, 1));
    let outstanding = store.outstanding(replay.id, 9).await.unwrap();
    assert_eq!(outstanding, [delivery_id(25, &one)]);
    let status = async |record: &DeliveryRecord| store.delivery(record.id).await.unwrap().unwrap().status;
    assert_eq!(status(&missed).await, DeliveryStatus::Failed, "as it was before");
    assert_eq!(status(&delivered).await, DeliveryStatus::Delivered, "as it was before");
}

pub(super) async fn replays_go_some_time_after_their_end(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    fill_log(&store, 9).await;
    let one = store.create(endpoint(None)).await.unwrap();
    let mut replays = Vec::new();
    for ended_at in [Some(5), Some(7), None, Some(5)] {
        let replay = begun(&store, &one, of_the_log()).await;
        if let Some(millis) = ended_at {
            store.end_replay(replay.id, ReplayStatus::Canceled, at(millis)).await.unwrap();
        }
        replays.push(replay);
    }
    commit_records(&store, vec![pending(&replays[3], &one, 9, None)]).await;
    assert_eq!(store.forget_replays(at(5)).await.unwrap(), 0);
    assert_eq!(store.forget_replays(at(6)).await.unwrap(), 1, "one of them has something pending");
    let store = reopen(store);
    let left = store.replays(None, true, 9).await.unwrap();
    assert_eq!(left.iter().map(|replay| replay.id.number.0).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(store.replay(replays[0].id).await.unwrap(), None);
    let next = begun(&store, &one, of_the_log()).await;
    assert_eq!(next.id.number.0, 5, "no number is given again");
}

pub(super) async fn records_go_some_time_after_their_last_attempt(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    fill_log(&store, 10).await;
    let one = store.create(endpoint(None)).await.unwrap();
    let gone = store.create(endpoint(None)).await.unwrap();
    let ended = |position, instant| tried_at(record(position, &one, DeliveryStatus::Delivered, None), at(instant));
    let mut retried = ended(4, 10);
    retried.push(certhook::model::delivery::Attempt { at: at(60), ..attempt(2) });
    let untried = DeliveryRecord { attempts: Vec::new(), ..record(6, &one, DeliveryStatus::Canceled, None) };
    let records = vec![
        ended(1, 49),
        ended(2, 50),
        tried_at(record(3, &one, DeliveryStatus::Pending, Some(at(90))), at(1)),
        retried,
        tried_at(record(5, &gone, DeliveryStatus::Failed, None), at(2)),
        untried,
        ended(8, 1),
    ];
    commit_records(&store, records).await;
    assert!(store.delete(gone.id).await.unwrap());
    assert_eq!(forget(&store, 7, at(50)).await, 3);
    let store = reopen(store);
    let left = store.recorded(Position::START, Position(10)).await.unwrap();
    let left: Vec<u64> = left.iter().map(|id| id.position.0).collect();
    assert_eq!(left, [2, 3, 4, 8], "young, pending, tried again lately, and of an event beyond");
    assert_eq!(forget(&store, 10, at(61)).await, 3);
    assert_eq!(store.waiting(one.id.number, 9).await.unwrap().len(), 1);
}

pub(super) async fn looking_through_many_records_goes_step_by_step(store: Arc<dyn Store>, _: Reopen<'_>) {
    fill_log(&store, 3_000).await;
    let one = store.create(endpoint(None)).await.unwrap();
    let old = |position: u64| position.is_multiple_of(3);
    let records = (1..=3_000).map(|position| {
        let instant = if old(position) { at(1) } else { at(9) };
        tried_at(record(position, &one, DeliveryStatus::Delivered, None), instant)
    });
    let records: Vec<_> = records.collect();
    for records in records.chunks(500) {
        commit_records(&store, records.to_vec()).await;
    }
    let first = store.forget_deliveries(None, Position(3_000), at(5)).await.unwrap();
    assert!(first.count < 1_000 && first.next.is_some(), "{first:?}");
    let rest = forget(&store, 3_000, at(5)).await;
    assert_eq!(first.count + rest, 1_000);
    let left = store.recorded(Position::START, Position(3_000)).await.unwrap();
    assert!(left.len() == 2_000 && left.iter().all(|id: &DeliveryId| !old(id.position.0)));
}

pub(super) async fn deliveries_of_events_that_were_cut_are_listed_by_their_attempts(
    store: Arc<dyn Store>,
    _: Reopen<'_>,
) {
    fill_log(&store, 10).await;
    let one = store.create(endpoint(None)).await.unwrap();
    let tried = |position: u64| {
        tried_at(record(position, &one, DeliveryStatus::Delivered, None), at(position.cast_signed() + 1))
    };
    commit_records(&store, (1..=10).map(tried).collect()).await;
    set(&store, 10, &[(&one, 10)]).await;
    assert_eq!(cut(&store, 5).await, 6);
    for (since, until, wanted) in [
        (None, None, (1..=10).collect::<Vec<u64>>()),
        (Some(4), None, (3..=10).collect()),
        (Some(8), None, (8..=10).collect()),
        (None, Some(4), vec![1, 2]),
        (None, Some(8), (1..=7).collect()),
        (Some(4), Some(6), vec![3, 4]),
    ] {
        let query = DeliveryQuery {
            since: since.map(at),
            until: until.map(at),
            ascending: true,
            limit: 100,
            ..DeliveryQuery::default()
        };
        let found = store.deliveries(query).await.unwrap().found;
        let found: Vec<u64> = found.iter().map(|record| record.id.position.0).collect();
        assert_eq!(found, wanted, "from {since:?} until {until:?}");
    }
}
