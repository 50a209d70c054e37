//! What other versions of the program have left: older data is read and goes on as ours, newer data is refused unharmed.

use std::fs;
use std::path::Path;

use certhook::model::delivery::{DeliveryRecord, DeliveryStatus, Trigger};
use certhook::model::endpoint::{DisabledReason, Endpoint, EndpointStatus};
use certhook::model::event::EventType;
use certhook::model::id::{EndpointId, EndpointNumber, Position};
use certhook::model::resource::{Kind, OpenList, Removal, RemovalReason, Snapshot};
use certhook::model::source::SourceProgress;
use certhook::model::time::Timestamp;
use certhook::store::{DeliveryCommit, DeliveryQuery, Positions, Settings, Store, Trace, Waiting};
use tempfile::TempDir;

use super::samples::*;
use super::sled::{close, open, refusal, rows, settings, try_open};

/// Changes a row behind the back of a store that is closed.
fn tamper(folder: &Path, key: &[u8], change: impl Fn(&str) -> String) {
    let tree = rows(folder);
    let row = tree.get(key).unwrap().unwrap();
    tree.insert(key, change(std::str::from_utf8(&row).unwrap()).into_bytes()).unwrap();
}

#[tokio::test]
async fn a_newer_store_is_refused_unharmed() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    fill_log(&store, 3).await;
    close(store).await;
    let mark = folder.path().join("data/certhook.json");
    let ours = fs::read_to_string(&mark).unwrap();
    fs::write(&mark, r#"{"format":9,"everything":"else may differ"}"#).unwrap();
    let message = refusal(&settings(folder.path()));
    assert!(message.contains("it has format 9, this program knows up to 8; run the newer program"), "{message}");
    fs::write(&mark, ours).unwrap();
    tamper(folder.path(), b"mstore", |row| row.replace(r#""format":7"#, r#""format":9"#));
    let message = refusal(&settings(folder.path()));
    assert!(message.contains("it has format 9, this program knows up to 8; run the newer program"), "{message}");
    tamper(folder.path(), b"mstore", |row| row.replace(r#""format":9"#, r#""format":7"#));
    let store = open(folder.path());
    assert_eq!(store.events_after(Position::START, 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_row_of_a_newer_version_is_an_error_and_never_a_guess() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let one = store.create(endpoint(None)).await.unwrap();
    let key = [b"n".as_slice(), &one.id.number.0.to_be_bytes()].concat();
    close(store).await;
    tamper(folder.path(), &key, |row| row.replacen('\u{2}', "\u{3}", 1));
    let error = open(folder.path()).endpoint(one.id).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read an endpoint: it has version 3, this program knows up to 2; run the newer program"
    );
}

#[tokio::test]
async fn what_was_noted_of_a_cut_counts_until_a_former_program_goes_on_cutting() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    fill_log(&store, 9).await;
    let mark = DeliveryCommit { live_mark: Some(Position(9)), ..DeliveryCommit::default() };
    store.commit_deliveries(mark).await.unwrap();
    assert_eq!(store.cut_events(Position(4)).await.unwrap(), Position(5));
    close(store).await;
    let noted = rows(folder.path()).get(b"mlast_cut").unwrap().unwrap();
    let store = open(folder.path());
    assert_eq!(store.last_cut(), Some(at(4)));
    assert_eq!(store.cut_events(Position(6)).await.unwrap(), Position(7));
    assert_eq!(store.last_cut(), Some(at(6)));
    close(store).await;
    let ours = rows(folder.path()).insert(b"mlast_cut", noted).unwrap().unwrap();
    let store = open(folder.path());
    assert_eq!((store.first(), store.last_cut()), (Position(7), None), "another one was the last");
    close(store).await;
    rows(folder.path()).remove(b"mlast_cut").unwrap();
    let store = open(folder.path());
    assert_eq!((store.first(), store.last_cut()), (Position(7), None), "it noted none");
    close(store).await;
    rows(folder.path()).insert(b"mlast_cut", ours).unwrap();
    assert_eq!(open(folder.path()).last_cut(), Some(at(6)));
}

/// A key that is a word, a source and the rest of it.
pub(super) fn row_key(first: &str, rest: &[u8]) -> Vec<u8> {
    [first.as_bytes(), b"numeral\0", rest].concat()
}

#[tokio::test]
async fn snapshots_of_a_former_program_are_read_and_then_kept_in_step() {
    let folder = TempDir::new().unwrap();
    let former = snapshot(1, 1);
    let store = open(folder.path());
    store.commit_sights(vec![silent(former.clone())], None).await.unwrap();
    close(store).await;
    let name = row_key("s", b"\x01cert_1");
    {
        let tree = rows(folder.path());
        // Today's row has three bytes behind the version and the removal that the former one had not.
        let row = tree.get(&name).unwrap().unwrap();
        let (beginning, ending) = row.split_at(5);
        assert_eq!(beginning, [2, 0, 0, 0, 0]);
        tree.insert(name.as_slice(), [&[1, 0], ending].concat()).unwrap();
        let mut gone = b"\x01\x01\x09not_found".to_vec();
        gone.extend([[2].as_slice(), ending].concat());
        tree.insert(row_key("s", b"\x01cert_2"), gone).unwrap();
    }
    let store = open(folder.path());
    let gone = Some(Removal { reason: RemovalReason::NotFound, at: Timestamp::from_millis(1) });
    let gone = Snapshot { key: key(2), removed: gone, ..former.clone() };
    let found = store.snapshots_after(&source(), Kind::Certificate, None, 9).await.unwrap();
    assert_eq!(found, [former.clone(), gone.clone()]);
    let ids = store.ids_after(&source(), Kind::Certificate, None, 9).await.unwrap();
    assert_eq!(ids, [(resource_id(1), false), (resource_id(2), true)]);
    let traces = store.traces_after(&source(), Kind::Certificate, None, 9).await.unwrap();
    assert_eq!(traces, found.into_iter().map(Trace::of).collect::<Vec<_>>());
    let count = async || store.snapshot_count(&source(), Kind::Certificate).await.unwrap();
    let listed = |snapshot| Snapshot { open_list: Some(OpenList::Processing), removed: None, ..snapshot };
    store.commit_sights(vec![silent(listed(former))], None).await.unwrap();
    assert_eq!(count().await, 1, "it was counted before");
    store.commit_sights(vec![silent(listed(gone))], None).await.unwrap();
    assert_eq!(count().await, 2);
    let open = store.open_after(&source(), OpenList::Processing, None, 9).await.unwrap();
    assert_eq!(open, [resource_id(1), resource_id(2)]);
}

/// All rows of a store that the program of the first format has left, with what it wrote down beside them.
const FIRST: &str = include_str!("former/format_1.hex");

/// The same after another key had taken over and before its rows had been moved to where they belong: the only other
/// format that program knew.
const FIRST_REKEYED: &str = include_str!("former/format_2.hex");

/// The highest format of that program.
const FIRST_KNEW: u64 = 2;

pub(super) fn keyed(folder: &Path, byte: u8) -> Settings {
    Settings { encryption_key: Some(vec![byte; 32].into()), ..settings(folder) }
}

/// Lays a store of a former program into a folder: a line with its mark, and one with key and value for each row.
pub(super) fn lay(folder: &Path, former: &str) {
    drop(try_open(&keyed(folder, 0)).unwrap());
    let (mark, lines) = former.split_once('\n').unwrap();
    let tree = rows(folder);
    tree.clear().unwrap();
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    for line in lines.lines() {
        let (key, value) = line.split_once(' ').unwrap();
        tree.insert(bytes(key), bytes(value)).unwrap();
    }
    tree.flush().unwrap();
    fs::write(folder.join("data/certhook.json"), mark).unwrap();
}

/// Which format a store says it has: in its mark, and in its rows.
pub(super) fn formats(folder: &Path) -> [u64; 2] {
    let format = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap()["format"].as_u64().unwrap();
    let mark = fs::read(folder.join("data/certhook.json")).unwrap();
    [format(&mark), format(&rows(folder).get(b"mstore").unwrap().unwrap()[1..])]
}

/// What was registered in the former stores.
fn registered() -> [Endpoint; 2] {
    let id = |number| EndpointId { number: EndpointNumber(number), ..endpoint(None).id };
    let one = Endpoint { id: id(1), start: Position::START, rate_limit: None, ..endpoint(Some("crm")) };
    let gone = Some(DisabledReason::Gone);
    let other =
        Endpoint { id: id(2), uid: None, status: EndpointStatus::Disabled, disabled_reason: gone, ..one.clone() };
    [one, other]
}

/// The deliveries in the former stores: every attempt had been charged.
fn recorded() -> Vec<DeliveryRecord> {
    let [one, other] = registered();
    let waits = DeliveryRecord {
        attempt_count: 3,
        charged: 3,
        attempts: (1..=3).map(attempt).collect(),
        ..record(1, &one, DeliveryStatus::Pending, Some(at(60_000)))
    };
    let at_once = record(1, &other, DeliveryStatus::Pending, Some(at(0)));
    vec![
        waits,
        at_once,
        record(2, &one, DeliveryStatus::Delivered, None),
        record(3, &one, DeliveryStatus::Failed, None),
    ]
}

async fn deliveries(store: &dyn Store) -> Vec<DeliveryRecord> {
    let query = DeliveryQuery { ascending: true, limit: 100, ..DeliveryQuery::default() };
    store.deliveries(query).await.unwrap().found
}

async fn assert_whole(store: &dyn Store) {
    let [one, other] = registered();
    assert_eq!(store.endpoints(None, true, 9).await.unwrap(), [one.clone(), other.clone()]);
    let events = store.events_after(Position::START, 9).await.unwrap();
    assert_eq!(positions(&events), [1, 2, 3, 4, 5]);
    for (number, event) in (1..).zip(&events) {
        let expected = sight_of(&snapshot(number, 1), at(number as i64));
        assert_eq!((event.event_type, &*event.sight), (EventType::CertificateCreated, &expected));
    }
    let mut snapshots: Vec<Snapshot> = (1..=5).map(|number| snapshot(number, 1)).collect();
    snapshots.push(removed(snapshot(9, 1)));
    assert_eq!(store.snapshots_after(&source(), Kind::Certificate, None, 9).await.unwrap(), snapshots);
    let progress = SourceProgress { watermark: Some(at(2)), ..SourceProgress::new(source(), at(1)) };
    assert_eq!(store.progress(&source()).await.unwrap(), Some(progress));
    let own = vec![(other.id.number, Position(1))];
    assert_eq!(store.positions().await.unwrap(), Positions { live_mark: Position(3), own });
    assert_eq!(deliveries(store).await, recorded());
    let waits = Waiting { id: delivery_id(1, &one), due: at(60_000) };
    assert_eq!(store.waiting(one.id.number, 9).await.unwrap(), [waits]);
    assert_eq!(store.health(one.id.number).await.unwrap(), None, "it kept none");
}

#[tokio::test]
async fn a_store_of_the_first_format_is_read_whole_and_from_then_on_refused_by_its_program() {
    for (former, key) in [(FIRST, 7), (FIRST_REKEYED, 9)] {
        let folder = TempDir::new().unwrap();
        lay(folder.path(), former);
        let before = formats(folder.path());
        assert!(before.iter().all(|format| (1..=FIRST_KNEW).contains(format)), "{before:?}");
        assert!(refusal(&keyed(folder.path(), 8)).contains("the encryption key is not the store's"));
        assert_eq!(formats(folder.path()), before, "what is refused changes nothing");

        let store = try_open(&keyed(folder.path(), key)).unwrap();
        assert_whole(&*store).await;
        drop(store);
        let after = formats(folder.path());
        assert!(after.iter().all(|format| *format > FIRST_KNEW), "before anything else is written: {after:?}");
    }
}

/// The highest format of the program before the keys to the API.
const THIRD_KNEW: u64 = 4;

#[tokio::test]
async fn a_store_of_the_third_format_goes_on_in_ours_and_is_refused_by_its_program() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    fill_log(&store, 3).await;
    let one = store.create(endpoint(None)).await.unwrap();
    close(store).await;
    // All its rows are as they were then.
    tamper(folder.path(), b"mstore", |row| row.replace(r#""format":7"#, r#""format":3"#));
    let mark = folder.path().join("data/certhook.json");
    fs::write(&mark, fs::read_to_string(&mark).unwrap().replace(r#""format":7"#, r#""format":3"#)).unwrap();
    assert_eq!(formats(folder.path()), [3, 3]);
    let store = open(folder.path());
    assert_eq!(store.events_after(Position::START, 10).await.unwrap().len(), 3);
    assert_eq!(store.endpoints(None, true, 9).await.unwrap(), [one]);
    assert_eq!(store.keys(None, true, 9).await.unwrap(), []);
    drop(store);
    let after = formats(folder.path());
    assert!(after.iter().all(|format| *format > THIRD_KNEW), "before anything else is written: {after:?}");
}

#[tokio::test]
async fn a_store_of_the_first_format_goes_on_in_ours() {
    for (former, key) in [(FIRST, 7), (FIRST_REKEYED, 9)] {
        let folder = TempDir::new().unwrap();
        lay(folder.path(), former);
        let mark = fs::read(folder.path().join("data/certhook.json")).unwrap();
        let store = try_open(&keyed(folder.path(), key)).unwrap();
        let mut probed = recorded().remove(0);
        probed.push(certhook::model::delivery::Attempt { trigger: Trigger::Probe, ..attempt(4) });
        commit_records(&store, vec![probed.clone()]).await;
        drop(store);
        // As if a kill had come between the two places that say which format it has.
        fs::write(folder.path().join("data/certhook.json"), mark).unwrap();
        let store = try_open(&keyed(folder.path(), key)).unwrap();
        let found = deliveries(&*store).await;
        assert_eq!((found[0].attempt_count, found[0].charged), (4, 3), "a probe is charged to nobody");
        assert_eq!(found, [vec![probed], recorded().split_off(1)].concat());
        assert_eq!(store.endpoints(None, true, 9).await.unwrap(), registered());
    }
}
