//! What every backend does with the lists over snapshots: all of them by id, those that are open, those about which
//! something is due; with those that are absent; and with several sights in one commit.

use std::sync::Arc;

use certhook::model::id::Position;
use certhook::model::json::Json;
use certhook::model::resource::{
    Absence, AbsenceState, Agenda, Kind, OpenList, Reminded, ResourceId, ResourceKey, Snapshot, SourceName,
};
use certhook::model::time::Timestamp;
use certhook::store::{Due, SightCommit, Store, StoreError, Task};
use serde_json::json;

use super::conformance::Reopen;
use super::samples::*;

fn id(text: &str) -> ResourceId {
    text.parse().unwrap()
}

fn of(source: &str, kind: Kind, text: &str) -> Snapshot {
    Snapshot { key: ResourceKey { source: source.parse().unwrap(), kind, id: id(text) }, ..snapshot(1, 1) }
}

fn certificate(text: &str) -> Snapshot {
    of("numeral", Kind::Certificate, text)
}

async fn put(store: &Arc<dyn Store>, snapshots: impl IntoIterator<Item = Snapshot>) {
    store.commit_sights(snapshots.into_iter().map(silent).collect(), None).await.unwrap();
}

/// The indexes of a source say what its snapshots say: these are all that it has, in the order of their ids, and all
/// are certificates.
pub(super) async fn assert_in_step(store: &Arc<dyn Store>, source: &SourceName, all: &[Snapshot]) {
    for list in OpenList::ALL {
        let listed = all.iter().filter(|one| one.open_list == Some(list) && one.removed.is_none());
        let wanted: Vec<_> = listed.map(|one| one.key.id.clone()).collect();
        assert_eq!(store.open_after(source, list, None, 1_000).await.unwrap(), wanted, "{list:?}");
    }
    for task in [Task::Remind, Task::Fetch] {
        let due = |one: &Snapshot| match task {
            Task::Remind => one.agenda.remind_at,
            Task::Fetch => one.agenda.fetch_at,
        };
        let due = |one: &Snapshot| Some(Due { at: due(one)?, kind: one.key.kind, id: one.key.id.clone() });
        let mut wanted: Vec<Due> = all.iter().filter_map(due).collect();
        wanted.sort_by_key(|due| due.at);
        let latest = Timestamp::from_millis(i64::MAX);
        assert_eq!(store.due(source, task, latest, 1_000).await.unwrap(), wanted, "{task:?}");
    }
}

pub(super) async fn snapshots_keep_all_that_they_say(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let reminded = |jurisdiction_id: Option<&str>, threshold_days| Reminded {
        jurisdiction_id: jurisdiction_id.map(Into::into),
        date: "2027-03-31".into(),
        threshold_days,
    };
    let agenda = Agenda {
        remind_at: Some(at(1)),
        fetch_at: Some(at(2)),
        fetched_at: Some(at(3)),
        document_missing_since: Some(at(4)),
        reminded: vec![reminded(None, 7), reminded(Some("US-CA"), 300)],
    };
    let full = Snapshot { is_whole: true, open_list: Some(OpenList::Expiring), agenda, ..snapshot(1, 1) };
    // An agenda that is longer than what one row may hold.
    let agenda = Agenda { reminded: vec![reminded(Some("US-CA"), 30); 500], ..full.agenda.clone() };
    let long = removed(Snapshot { key: key(2), agenda, ..full.clone() });
    put(&store, [full.clone(), long.clone()]).await;
    let store = reopen(store);
    let found = store.snapshots(&source(), Kind::Certificate, &[resource_id(1), resource_id(2)]).await.unwrap();
    assert_eq!(found, [Some(full.clone()), Some(long.clone())]);
    put(&store, [Snapshot { key: key(2), ..snapshot(2, 2) }]).await;
    let due = store.due(&source(), Task::Fetch, at(100), 10).await.unwrap();
    assert_eq!(due, [Due { at: at(2), kind: Kind::Certificate, id: resource_id(1) }], "the long one's entry went");
}

pub(super) async fn snapshots_are_paged_in_the_order_of_their_ids(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let mut all: Vec<Snapshot> = (0..450).map(|number| certificate(&format!("c-{number:03}"))).collect();
    all.extend(["A", "C_", "_", "c", "c-", "c-1", "zz"].map(certificate));
    all[7] = removed(all[7].clone());
    all[9] = Snapshot { object: Json::of(&json!({"note": noise(9, 20_000)})), ..all[9].clone() };
    all[11] = removed(Snapshot { object: all[9].object.clone(), ..all[11].clone() });
    put(&store, all.iter().rev().cloned()).await;
    let others = ["c-0", "c-2"].map(|text| of("numeral", Kind::CertificateRequest, text));
    put(&store, others.clone()).await;
    put(&store, [of("numeral-2", Kind::Certificate, "c-3"), of("numera", Kind::Certificate, "c-4")]).await;
    all.sort_by(|one, other| one.key.id.cmp(&other.key.id));
    let store = reopen(store);
    for limit in [1, 16, 17, 200, 456, 457, 458, 5_000] {
        let (mut found, mut ids, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let page = store.snapshots_after(&source(), Kind::Certificate, after.as_ref(), limit).await.unwrap();
            ids.extend(store.ids_after(&source(), Kind::Certificate, after.as_ref(), limit).await.unwrap());
            let Some(last) = page.last() else { break };
            assert!(page.len() <= limit);
            after = Some(last.key.id.clone());
            found.extend(page);
            assert_eq!(ids.len(), found.len());
        }
        assert_eq!(found, all, "in pages of {limit}");
        let wanted: Vec<_> = all.iter().map(|one| (one.key.id.clone(), one.removed.is_some())).collect();
        assert_eq!(ids, wanted, "in pages of {limit}");
    }
    let requests = store.snapshots_after(&source(), Kind::CertificateRequest, None, 10).await.unwrap();
    assert_eq!(requests, others);
    for (after, next) in [("c-1", "c-100"), ("B", "C_"), ("c-1000", "c-101"), ("_", "c"), ("0", "A")] {
        let page = store.ids_after(&source(), Kind::Certificate, Some(&id(after)), 1).await.unwrap();
        assert_eq!(page, [(id(next), false)], "beyond {after}, which need not be there");
    }
    assert!(store.ids_after(&source(), Kind::Certificate, Some(&id("zz")), 9).await.unwrap().is_empty());
    assert!(store.ids_after(&source(), Kind::Certificate, None, 0).await.unwrap().is_empty());
    assert!(store.snapshots_after(&"other".parse().unwrap(), Kind::Certificate, None, 9).await.unwrap().is_empty());
}

async fn open(store: &Arc<dyn Store>, list: OpenList) -> Vec<String> {
    let ids = store.open_after(&source(), list, None, 1_000).await.unwrap();
    ids.iter().map(ToString::to_string).collect()
}

pub(super) async fn open_lists_hold_what_snapshots_say(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let listed = |text, list| Snapshot { open_list: list, ..certificate(text) };
    let (processing, expiring) = (Some(OpenList::Processing), Some(OpenList::Expiring));
    let request = Snapshot { open_list: Some(OpenList::Pending), ..of("numeral", Kind::CertificateRequest, "b") };
    let elsewhere = Snapshot { open_list: processing, ..of("numeral-2", Kind::Certificate, "x") };
    put(&store, [listed("b", processing), listed("a", processing), listed("c", expiring), listed("d", None)]).await;
    put(&store, [request, elsewhere]).await;
    let store = reopen(store);
    assert_eq!(open(&store, OpenList::Processing).await, ["a", "b"]);
    assert_eq!(open(&store, OpenList::NeedsInfo).await, [""; 0]);
    assert_eq!(open(&store, OpenList::Expiring).await, ["c"]);
    assert_eq!(open(&store, OpenList::Pending).await, ["b"]);
    let beyond = store.open_after(&source(), OpenList::Processing, Some(&id("a")), 5).await.unwrap();
    assert_eq!(beyond, [id("b")]);
    assert_eq!(store.open_after(&source(), OpenList::Processing, None, 1).await.unwrap(), [id("a")]);

    // Moved, removed, closed; and within one commit the last word counts.
    put(&store, [listed("a", expiring), listed("d", processing), removed(listed("b", processing))]).await;
    put(&store, [listed("c", processing), listed("c", None)]).await;
    let store = reopen(store);
    assert_eq!(open(&store, OpenList::Processing).await, ["d"]);
    assert_eq!(open(&store, OpenList::Expiring).await, ["a"]);
    put(&store, [listed("b", processing)]).await;
    assert_eq!(open(&store, OpenList::Processing).await, ["b", "d"], "it is back");
}

async fn due(store: &Arc<dyn Store>, task: Task, until: Timestamp) -> Vec<(i64, Kind, String)> {
    let due = store.due(&source(), task, until, 1_000).await.unwrap();
    due.into_iter().map(|due| (due.at.as_millis(), due.kind, due.id.to_string())).collect()
}

pub(super) async fn what_is_due_comes_in_its_order(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let millis = Timestamp::from_millis;
    let planned = |snapshot: Snapshot, remind: Option<i64>, fetch: Option<i64>| {
        let agenda = Agenda { remind_at: remind.map(millis), fetch_at: fetch.map(millis), ..snapshot.agenda.clone() };
        Snapshot { agenda, ..snapshot }
    };
    let request = of("numeral", Kind::CertificateRequest, "a");
    let of_all = [
        planned(certificate("b"), Some(20), Some(10)),
        planned(certificate("a"), Some(20), None),
        planned(request.clone(), Some(20), Some(-5)),
        planned(certificate("c"), Some(-30), Some(300)),
        planned(certificate("d"), None, None),
        planned(of("numeral-2", Kind::Certificate, "e"), Some(1), Some(1)),
    ];
    put(&store, of_all).await;
    let store = reopen(store);
    let (certificate_kind, request_kind) = (Kind::Certificate, Kind::CertificateRequest);
    let named = |at, kind, id: &str| (at, kind, id.to_owned());
    let early = named(-30, certificate_kind, "c");
    assert_eq!(due(&store, Task::Remind, millis(19)).await, std::slice::from_ref(&early));
    let late = ["a", "b"].map(|id| named(20, certificate_kind, id));
    let reminders = [early, late[0].clone(), late[1].clone(), named(20, request_kind, "a")];
    assert_eq!(due(&store, Task::Remind, millis(20)).await, reminders, "what is due at that instant is in it");
    let fetches = [named(-5, request_kind, "a"), named(10, certificate_kind, "b"), named(300, certificate_kind, "c")];
    assert_eq!(due(&store, Task::Fetch, millis(i64::MAX)).await, fetches);
    assert_eq!(due(&store, Task::Fetch, millis(299)).await, fetches[..2]);
    assert!(due(&store, Task::Fetch, millis(-6)).await.is_empty());
    let first = store.due(&source(), Task::Remind, millis(20), 2).await.unwrap();
    assert_eq!(first.iter().map(|due| due.id.to_string()).collect::<Vec<_>>(), ["c", "a"]);

    // Moved, done with; and a removed one's agenda is what it says.
    let b = planned(certificate("b"), Some(40), None);
    put(&store, [b, planned(certificate("c"), None, None), removed(planned(request, None, Some(7)))]).await;
    let store = reopen(store);
    let reminders = [named(20, certificate_kind, "a"), named(40, certificate_kind, "b")];
    assert_eq!(due(&store, Task::Remind, millis(1_000)).await, reminders);
    assert_eq!(due(&store, Task::Fetch, millis(1_000)).await, [named(7, request_kind, "a")]);
}

fn absent(kind: Kind, text: &str, state: AbsenceState) -> Absence {
    Absence { key: ResourceKey { source: source(), kind, id: id(text) }, state, since: at(3) }
}

fn with_absence(key: &ResourceKey, absence: Option<&Absence>) -> SightCommit {
    SightCommit { absence: Some((key.clone(), absence.cloned())), ..SightCommit::default() }
}

pub(super) async fn absences_are_put_and_deleted(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let (certificates, requests) = (Kind::Certificate, Kind::CertificateRequest);
    let a = absent(certificates, "a", AbsenceState::Withheld);
    let c = absent(certificates, "c", AbsenceState::Kept);
    let request = absent(requests, "b", AbsenceState::Confirmed);
    let elsewhere = ResourceKey { source: "numeral-2".parse().unwrap(), ..a.key.clone() };
    let elsewhere = Absence { key: elsewhere, ..a.clone() };
    let commits = [&request, &c, &elsewhere, &a].map(|absence| with_absence(&absence.key, Some(absence)));
    store.commit_sights(commits.into(), None).await.unwrap();
    let store = reopen(store);
    assert_eq!(store.absences_after(&source(), None, 9).await.unwrap(), [a.clone(), c.clone(), request.clone()]);
    assert_eq!(store.absences_after(&source(), None, 2).await.unwrap(), [a.clone(), c.clone()]);
    let beyond = store.absences_after(&source(), Some((certificates, &id("a"))), 9).await.unwrap();
    assert_eq!(beyond, [c.clone(), request.clone()]);
    let beyond = store.absences_after(&source(), Some((certificates, &id("c"))), 9).await.unwrap();
    assert_eq!(beyond, std::slice::from_ref(&request), "the next kind");
    assert!(store.absences_after(&source(), Some((requests, &id("b"))), 9).await.unwrap().is_empty());
    let found = store.absences(&source(), certificates, &[id("c"), id("b"), id("a")]).await.unwrap();
    assert_eq!(found, [Some(c.clone()), None, Some(a.clone())]);
    assert_eq!(store.absences(&source(), requests, &[id("b")]).await.unwrap(), [Some(request.clone())]);

    // Decided, listed again, gone for good together with the snapshot; and deleting what is not there is nothing.
    let decided = Absence { state: AbsenceState::Confirmed, ..a.clone() };
    let gone = removed(certificate("c"));
    let together = SightCommit { absence: Some((c.key.clone(), None)), ..told(gone.clone(), at(5), 1) };
    let nothing = with_absence(&absent(requests, "zz", AbsenceState::Kept).key, None);
    let commits = vec![with_absence(&a.key, Some(&decided)), together, with_absence(&request.key, None), nothing];
    store.commit_sights(commits, None).await.unwrap();
    let store = reopen(store);
    assert_eq!(store.absences_after(&source(), None, 9).await.unwrap(), [decided]);
    let there = store.absences_after(&"numeral-2".parse().unwrap(), None, 9).await.unwrap();
    assert_eq!(there, [elsewhere]);
    assert_eq!(store.snapshots(&source(), certificates, &[id("c")]).await.unwrap(), [Some(gone)]);
    assert_eq!(*store.head().borrow(), Position(1));
}

pub(super) async fn all_that_a_commit_tells_is_in_the_log_in_its_order(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let mut several = told(snapshot(1, 2), at(50), 2);
    let reminder = |instant, count| told(snapshot(1, 2), at(instant), count).told.remove(0);
    several.told.extend([reminder(40, 1), reminder(45, 0), reminder(60, 3)]);
    store.commit_sights(vec![told(snapshot(2, 1), at(55), 1), several], None).await.unwrap();
    let store = reopen(store);
    let events = store.events_after(Position::START, 10).await.unwrap();
    let instants: Vec<Timestamp> = events.iter().map(|event| event.timestamp()).collect();
    assert_eq!(instants, [55, 55, 55, 55, 60, 60, 60].map(at), "each is moved up to the latest before it");
    let jurisdictions: Vec<Json> = events.iter().map(|event| event.details.clone()).collect();
    let nth = |nth: u8| Json::of(&json!({"jurisdiction_id": format!("US-{nth}")}));
    assert_eq!(jurisdictions, [0, 0, 1, 0, 0, 1, 2].map(nth));
    let mut alike = events.windows(2).map(|pair| pair[0].sight == pair[1].sight);
    assert_eq!(alike.by_ref().collect::<Vec<_>>(), [false, true, true, false, true, true]);
    store.commit_sights(vec![told(snapshot(3, 1), at(0), 1)], None).await.unwrap();
    assert_eq!(store.event(Position(8)).await.unwrap().unwrap().timestamp(), at(60));
}

pub(super) async fn a_commit_that_is_refused_leaves_nothing_of_itself(store: Arc<dyn Store>, reopen: Reopen<'_>) {
    let before = Snapshot { open_list: Some(OpenList::Processing), ..certificate("a") };
    put(&store, [before.clone()]).await;
    let agenda = Agenda { remind_at: Some(at(1)), fetch_at: Some(at(1)), ..Agenda::default() };
    let after = removed(Snapshot { open_list: Some(OpenList::Expiring), agenda, ..before.clone() });
    let mut refused = told(after.clone(), at(2), 2);
    let absence = absent(Kind::Certificate, "a", AbsenceState::Withheld);
    refused.absence = Some((absence.key.clone(), Some(absence)));
    let (sight, mut events) = refused.told[0].clone();
    events[1].details = Json::of(&"x".repeat(300_000));
    refused.told.push((sight, events));
    let result = store.commit_sights(vec![refused], None).await;
    assert!(matches!(result, Err(StoreError::TooLarge { .. })), "{result:?}");
    let mut store = store;
    for turn in 0..2 {
        store = if turn == 0 { store } else { reopen(store) };
        assert_eq!(store.snapshots(&source(), Kind::Certificate, &[id("a")]).await.unwrap(), [Some(before.clone())]);
        assert_eq!(store.snapshot_count(&source(), Kind::Certificate).await.unwrap(), 1);
        assert_eq!(open(&store, OpenList::Processing).await, ["a"]);
        assert!(open(&store, OpenList::Expiring).await.is_empty());
        assert!(due(&store, Task::Remind, at(9)).await.is_empty());
        assert!(due(&store, Task::Fetch, at(9)).await.is_empty());
        assert!(store.absences_after(&source(), None, 9).await.unwrap().is_empty());
        assert_eq!(*store.head().borrow(), Position::START);
    }
}
