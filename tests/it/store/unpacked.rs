//! What the program of the fifth format has left, which packed nothing: it is read as it is.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certhook::clock::ManualClock;
use certhook::model::criteria::{Criteria, CustomerId};
use certhook::model::delivery::{DeliveryRecord, DeliveryStatus};
use certhook::model::endpoint::Endpoint;
use certhook::model::event::EventType;
use certhook::model::id::{EndpointId, EndpointNumber, Position};
use certhook::model::json::{Fields, Json};
use certhook::model::resource::{Agenda, Kind, OpenList, Snapshot};
use certhook::model::source::SourceProgress;
use certhook::store::sled::{Look, SledStore};
use certhook::store::{DeliveryQuery, Due, Settings, SnapshotQuery, Store, Task};
use serde_json::json;
use tempfile::TempDir;

use super::backup::restore_at;
use super::by_creation::every;
use super::formats::{formats, keyed, lay, row_key};
use super::samples::*;
use super::sled::{close, rows, try_open};
use crate::support::vendor_pages::CERTIFICATE;

/// All rows of a store that the program of the fifth format has left.
const FIFTH: &str = include_str!("former/format_5.hex");

/// A backup of it, which that program has taken.
const FIFTH_BACKUP: &[u8] = include_bytes!("former/format_5.backup");

/// The highest format of that program.
const FIFTH_KNEW: u64 = 6;

/// The vendor's example, and a number that must come back as it was written.
fn certificate(number: u64, object_version: u64) -> Snapshot {
    let mut fields: Fields = serde_json::from_str(CERTIFICATE).unwrap();
    fields.shift_remove("download_url");
    fields["id"] = resource_id(number).as_str().into();
    fields["status"] = if object_version == 1 { "active" } else { "expiring" }.into();
    fields.insert("amount".into(), serde_json::from_str("1.50").unwrap());
    let agenda = Agenda { remind_at: Some(at(100)), fetch_at: Some(at(200)), ..Agenda::default() };
    let open_list = (object_version > 1).then_some(OpenList::Expiring);
    Snapshot { object: Json::of(&fields), open_list, agenda, is_whole: true, ..snapshot(number, object_version) }
}

fn gone() -> Snapshot {
    Snapshot { agenda: Agenda::default(), ..removed(certificate(9, 1)) }
}

fn progress() -> SourceProgress {
    SourceProgress { watermark: Some(at(2)), ..SourceProgress::new(source(), at(1)) }
}

fn registered() -> Endpoint {
    let id = EndpointId { number: EndpointNumber(1), ..endpoint(None).id };
    Endpoint { id, start: Position::START, ..endpoint(Some("crm")) }
}

fn recorded() -> DeliveryRecord {
    record(1, &registered(), DeliveryStatus::Pending, Some(at(60_000)))
}

async fn assert_whole(store: &dyn Store) {
    let seen: Vec<Snapshot> = (1..=5).map(|number| certificate(number, 1)).collect();
    let found = store.snapshots_after(&source(), Kind::Certificate, None, 9).await.unwrap();
    assert_eq!(found, [seen.clone(), vec![gone()]].concat());
    assert_eq!(store.snapshot_count(&source(), Kind::Certificate).await.unwrap(), 5);
    let customer = Some(CustomerId::Reference("20506".into()));
    for criteria in [Criteria::default(), Criteria { customer, ..Criteria::default() }] {
        let query = SnapshotQuery { criteria, ascending: true, limit: 9, ..every() };
        assert_eq!(store.listed(query.clone()).await.unwrap().found, seen, "it is in its lists at once");
        let of_what_is_gone = SnapshotQuery { removed: true, ..query };
        assert_eq!(store.listed(of_what_is_gone).await.unwrap().found, [gone()]);
    }
    for (task, due_at) in [(Task::Remind, at(100)), (Task::Fetch, at(200))] {
        let due = (1..=5).map(|number| Due { at: due_at, kind: Kind::Certificate, id: resource_id(number) });
        assert_eq!(store.due(&source(), task, at(300), 9).await.unwrap(), due.collect::<Vec<_>>());
    }
    let events = store.events_after(Position::START, 99).await.unwrap();
    assert_eq!(positions(&events), (1..=10).collect::<Vec<_>>());
    for (place, event) in events.iter().enumerate() {
        let (number, nth) = (place as u64 / 2 + 1, place % 2);
        assert_eq!(*event.sight, sight_of(&certificate(number, 1), at(number.cast_signed())));
        assert_eq!(event.event_type, EventType::ALL[nth]);
        assert_eq!(event.details, Json::of(&json!({"jurisdiction_id": format!("US-{nth}")})));
    }
    assert_eq!(store.progress(&source()).await.unwrap(), Some(progress()));
    assert_eq!(store.endpoints(None, true, 9).await.unwrap(), [registered()]);
    let all = DeliveryQuery { ascending: true, limit: 9, ..DeliveryQuery::default() };
    assert_eq!(store.deliveries(all).await.unwrap().found, [recorded()]);
}

/// A folder with the store that was left.
fn left() -> TempDir {
    let folder = TempDir::new().unwrap();
    lay(folder.path(), FIFTH);
    assert_eq!(formats(folder.path()), [5, 5]);
    folder
}

#[tokio::test]
async fn a_store_of_the_fifth_format_is_read_whole_and_from_then_on_refused_by_its_program() {
    let folder = left();
    let looked = SledStore::look(&keyed(folder.path(), 7)).unwrap();
    assert!(matches!(looked, Look::Store { events: 10, .. }), "{looked:?}");
    assert_eq!(formats(folder.path()), [5, 5], "a look changes nothing");
    let store = try_open(&keyed(folder.path(), 7)).unwrap();
    assert_whole(&*store).await;
    drop(store);
    let after = formats(folder.path());
    assert!(after.iter().all(|format| *format > FIFTH_KNEW), "before anything else is written: {after:?}");
}

/// The row of a certificate.
fn row(folder: &Path, number: u64) -> Vec<u8> {
    rows(folder).get(row_key("s", format!("\u{1}cert_{number}").as_bytes())).unwrap().unwrap().to_vec()
}

#[tokio::test]
async fn what_changes_in_a_store_of_the_fifth_format_is_packed_and_the_rest_stays_as_it_is() {
    let folder = left();
    let former = [row(folder.path(), 1), row(folder.path(), 2)];
    let store = try_open(&keyed(folder.path(), 7)).unwrap();
    let moved = certificate(2, 2);
    store.commit_sights(vec![told(moved.clone(), at(9), 1)], None).await.unwrap();
    close(store).await;
    assert_eq!(row(folder.path(), 1), former[0]);
    let packed = row(folder.path(), 2);
    assert!(packed.len() * 2 < former[1].len(), "{} of {} bytes", packed.len(), former[1].len());
    let event = |position: u64| rows(folder.path()).get([b"e".as_slice(), &position.to_be_bytes()].concat());
    let [former, packed] = [1, 11].map(|position| event(position).unwrap().unwrap().len());
    assert!(packed * 2 < former, "an event: {packed} of {former} bytes");

    let store = try_open(&keyed(folder.path(), 7)).unwrap();
    let ids = [resource_id(1), resource_id(2)];
    let found = store.snapshots(&source(), Kind::Certificate, &ids).await.unwrap();
    assert_eq!(found, [Some(certificate(1, 1)), Some(moved.clone())]);
    let events = store.events_after(Position(9), 9).await.unwrap();
    assert_eq!(positions(&events), [10, 11]);
    assert_eq!(*events[1].sight, sight_of(&moved, at(9)));
    let open = store.open_after(&source(), OpenList::Expiring, None, 9).await.unwrap();
    assert_eq!(open, [resource_id(2)]);
    let removed = Snapshot { agenda: Agenda::default(), ..removed(moved) };
    store.commit_sights(vec![silent(removed.clone())], None).await.unwrap();
    let gone_ones = SnapshotQuery { removed: true, ascending: true, limit: 9, ..every() };
    assert_eq!(store.listed(gone_ones).await.unwrap().found, [removed, gone()]);
    assert_eq!(store.open_after(&source(), OpenList::Expiring, None, 9).await.unwrap(), []);
}

#[tokio::test]
async fn a_backup_of_the_fifth_format_is_restored() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("backup");
    fs::write(&file, FIFTH_BACKUP).unwrap();
    let restored = restore_at(&keyed(folder.path(), 7), &file, at(9_000)).unwrap();
    assert_eq!((restored.head, formats(folder.path())), (Position(10), [5, 5]));
    let store = try_open(&keyed(folder.path(), 7)).unwrap();
    assert_whole(&*store).await;
}

#[tokio::test]
async fn another_key_takes_over_a_store_of_the_fifth_format() {
    let folder = left();
    let next = folder.path().join("next.key");
    let rekeyed = SledStore::rekey(&keyed(folder.path(), 7), Some(&next), &ManualClock::at(at(0))).unwrap();
    assert_eq!(rekeyed.endpoints, Some(1));
    let key = STANDARD.decode(fs::read_to_string(&next).unwrap().trim()).unwrap();
    let store = try_open(&Settings { encryption_key: Some(key.into()), ..keyed(folder.path(), 0) }).unwrap();
    assert_whole(&*store).await;
}
