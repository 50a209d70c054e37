//! What every backend does with replays: they keep what was asked for, and count what becomes of their deliveries.

use std::sync::Arc;

use certhook::model::delivery::{DeliveryRecord, DeliveryStatus};
use certhook::model::endpoint::Endpoint;
use certhook::model::event::{EventDraft, EventType};
use certhook::model::filter::Filter;
use certhook::model::id::{EventId, Position, ReplayId, ReplayNumber};
use certhook::model::replay::{Course, Cursor, Progress, Range, Replay, ReplayStatus, Replayed, Select};
use certhook::store::{Advance, DeliveryCommit, Store};

use super::conformance::Reopen;
use super::samples::*;

fn asked(endpoint: &Endpoint, course: Course) -> Replay {
    Replay {
        id: ReplayId { number: ReplayNumber(0), random: 77 },
        endpoint_id: endpoint.id,
        created_at: at(1),
        progress: Progress::before(&course),
        course,
    }
}

pub(super) fn of_the_log() -> Course {
    Course::Log(Range {
        after: Position(1),
        until: Position(9),
        types: vec!["certificate.*".parse().unwrap()],
        filter: Filter { jurisdictions: vec!["US-CA".into()], ..Filter::default() },
        resource_id: Some(resource_id(1)),
        event_ids: vec![EventId { position: Position(2), epoch: EPOCH, start: 7 }],
        asked_since: Some(at(3)),
        asked_until: None,
        select: Select::Failed,
    })
}

pub(super) async fn begun(store: &Arc<dyn Store>, endpoint: &Endpoint, course: Course) -> Replay {
    store.begin_replay(asked(endpoint, course)).await.unwrap().unwrap()
}

pub(super) async fn progress(store: &Arc<dyn Store>, replay: &Replay) -> Progress {
    store.replay(replay.id).await.unwrap().unwrap().progress
}

pub(super) fn pending(
    replay: &Replay,
    endpoint: &Endpoint,
    position: u64,
    former: Option<DeliveryStatus>,
) -> DeliveryRecord {
    let before = record(position, endpoint, former.unwrap_or(DeliveryStatus::Pending), None);
    before.anew(at(5), Some(Replayed { id: replay.id, former, ended: None }))
}

pub(super) async fn replays_are_numbered_and_listed_both_ways(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let crm = store.create(endpoint(None)).await.unwrap();
    let first = begun(&store, &crm, of_the_log()).await;
    let second = begun(&store, &crm, Course::Snapshots(Filter::default())).await;
    let mut stranger = crm.clone();
    stranger.id.number.0 += 1;
    assert_eq!(store.begin_replay(asked(&stranger, of_the_log())).await.unwrap(), None, "for nobody");
    let store = reopen(store);
    let third = begun(&store, &crm, of_the_log()).await;
    assert_eq!([&first, &second, &third].map(|one| one.id.number.0), [1, 2, 3]);
    let list = async |beyond: Option<u32>, ascending, limit| {
        store.replays(beyond.map(ReplayNumber), ascending, limit).await.unwrap()
    };
    assert_eq!(list(None, true, 10).await, [first.clone(), second.clone(), third.clone()]);
    assert_eq!(list(Some(3), false, 1).await, std::slice::from_ref(&second));
    assert_eq!(list(Some(1), true, 1).await, std::slice::from_ref(&second));
    assert_eq!((list(Some(1), false, 1).await, list(Some(3), true, 1).await), (vec![], vec![]));
    assert_eq!(store.replay(second.id).await.unwrap(), Some(second.clone()));
    let guessed = ReplayId { random: 78, ..second.id };
    assert_eq!(store.replay(guessed).await.unwrap(), None);
}

pub(super) async fn a_replay_counts_what_becomes_of_its_deliveries(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    fill_log(&store, 4).await;
    let crm = store.create(endpoint(None)).await.unwrap();
    let replay = begun(&store, &crm, of_the_log()).await;
    let records: Vec<_> = [None, Some(DeliveryStatus::Failed), Some(DeliveryStatus::Delivered), None]
        .into_iter()
        .zip(1..)
        .map(|(former, position)| pending(&replay, &crm, position, former))
        .collect();
    let advances = vec![Advance { id: replay.id, cursor: Cursor::Log(Position(4)), cut: 2 }];
    let commit = DeliveryCommit { records: records.clone(), advances, ..DeliveryCommit::default() };
    // The records twice, as after a crash in between.
    store.commit_deliveries(DeliveryCommit { advances: Vec::new(), ..commit.clone() }).await.unwrap();
    store.commit_deliveries(commit).await.unwrap();
    let store = reopen(store);
    let ids: Vec<_> = records.iter().map(|record| record.id).collect();
    assert_eq!(store.outstanding(replay.id, 9).await.unwrap(), ids);
    assert_eq!(store.outstanding(replay.id, 2).await.unwrap(), ids[..2]);
    let before = Progress { cursor: Cursor::Log(Position(4)), matched: 4, cut: 2, ..replay.progress.clone() };
    assert_eq!(progress(&store, &replay).await, before);
    let ends = [DeliveryStatus::Delivered, DeliveryStatus::Failed, DeliveryStatus::Canceled];
    let ended: Vec<_> = records.iter().cloned().zip(ends).map(|(record, end)| record.ended(end)).collect();
    for _ in 0..2 {
        commit_records(&store, ended.clone()).await;
        let counted = Progress { delivered: 1, failed: 1, canceled: 1, ..before.clone() };
        assert_eq!(progress(&store, &replay).await, counted, "each once");
    }
    assert_eq!(store.outstanding(replay.id, 9).await.unwrap(), ids[3..]);
    let statuses = async |store: &Arc<dyn Store>| {
        let mut found = Vec::new();
        for id in &ids {
            found.push(store.delivery(*id).await.unwrap().unwrap().status);
        }
        found
    };
    use DeliveryStatus::{Canceled, Delivered, Failed, Pending};
    assert_eq!(statuses(&store).await, [Delivered, Failed, Delivered, Pending], "what was delivered stays so");
    store.delete(crm.id).await.unwrap();
    assert_eq!(statuses(&store).await, [Delivered, Failed, Delivered, Canceled]);
    assert_eq!(progress(&store, &replay).await.outstanding(), 0, "nothing is left for an endpoint that is gone");
}

pub(super) async fn a_replay_counts_what_is_laid_out_for_an_endpoint_that_is_gone(
    store: Arc<dyn Store>,
    reopen: Reopen<'_>,
) {
    fill_log(&store, 3).await;
    let crm = store.create(endpoint(None)).await.unwrap();
    let replay = begun(&store, &crm, of_the_log()).await;
    let records = [1, 2, 3].map(|position| pending(&replay, &crm, position, None));
    commit_records(&store, records[..1].to_vec()).await;
    store.delete(crm.id).await.unwrap();
    // Twice: what was under way may say once more that it is to be tried again.
    for _ in 0..2 {
        commit_records(&store, records.to_vec()).await;
    }
    let store = reopen(store);
    let expected = Progress { matched: 3, canceled: 3, ..replay.progress.clone() };
    assert_eq!(progress(&store, &replay).await, expected);
    assert_eq!(store.outstanding(replay.id, 9).await.unwrap(), []);
    for record in &records {
        assert_eq!(store.delivery(record.id).await.unwrap().unwrap().status, DeliveryStatus::Canceled);
    }
}

pub(super) async fn a_replay_ends_once(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let crm = store.create(endpoint(None)).await.unwrap();
    let replay = begun(&store, &crm, of_the_log()).await;
    assert!(store.end_replay(replay.id, ReplayStatus::Completed, at(7)).await.unwrap());
    assert!(!store.end_replay(replay.id, ReplayStatus::Canceled, at(8)).await.unwrap());
    let store = reopen(store);
    let ended = progress(&store, &replay).await;
    assert_eq!((ended.status, ended.ended_at), (ReplayStatus::Completed, Some(at(7))));
}

pub(super) async fn a_resync_puts_states_into_the_log_with_their_deliveries(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    fill_log(&store, 2).await;
    let crm = store.create(endpoint(None)).await.unwrap();
    let replay = begun(&store, &crm, Course::Snapshots(Filter::default())).await;
    let states =
        [1, 2].map(|number| (sight_of(&snapshot(number, 3), at(9)), EventDraft::plain(EventType::CertificateSnapshot)));
    let records = store.tell_snapshots(replay.id, states.to_vec(), at(10)).await.unwrap();
    let store = reopen(store);
    let found: Vec<_> = records.iter().map(|record| (record.id.position.0, record.status)).collect();
    assert_eq!(found, [(3, DeliveryStatus::Pending), (4, DeliveryStatus::Pending)]);
    for record in &records {
        assert_eq!(store.delivery(record.id).await.unwrap().as_ref(), Some(record));
        let event = store.event(record.id.position).await.unwrap().unwrap();
        assert_eq!((event.id, event.event_type), (record.event_id, EventType::CertificateSnapshot));
    }
    let waiting = store.waiting(crm.id.number, 9).await.unwrap();
    assert_eq!(waiting.iter().map(|one| one.due).collect::<Vec<_>>(), [at(10), at(10)]);
    let now = progress(&store, &replay).await;
    assert_eq!((now.matched, now.cursor), (2, Cursor::Snapshots(Some(key(2)))));
    store.end_replay(replay.id, ReplayStatus::Canceled, at(11)).await.unwrap();
    assert_eq!(store.tell_snapshots(replay.id, states.to_vec(), at(12)).await.unwrap(), [], "it has ended");
    assert_eq!(store.head().borrow().0, 4, "and so nothing is told");
}
