//! A store as one file, taken while others commit, and a store out of it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use certhook::clock::ManualClock;
use certhook::model::id::Position;
use certhook::model::time::Timestamp;
use certhook::store::backup::{BadBackup, examine};
use certhook::store::sled::{RestoreError, Restored, SledStore};
use certhook::store::{DeliveryCommit, Settings, Store, StoreError};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::kill::Ledger;
use super::kill_child::{self, Chance, Told, tell};
use super::samples::*;
use super::sled::{close, open, refusal, rows, settings, try_open};

/// Stands before the folder and the seed in the arguments of the child.
const FOR_CHILD: &str = "backed-up-in=";

/// How often the process is killed.
const ROUNDS: u64 = 4;

/// Writes a backup into a file.
async fn back_up(store: &Arc<dyn Store>, file: &Path) -> Result<(), StoreError> {
    let mut backup = store.backup(at(5)).await?;
    let mut file = File::create(file).unwrap();
    while let Some(piece) = backup.next().await? {
        file.write_all(&piece).unwrap();
    }
    Ok(())
}

pub(super) fn restore_at(settings: &Settings, file: &Path, now: Timestamp) -> Result<Restored, RestoreError> {
    SledStore::restore(settings, file, false, &ManualClock::at(now))
}

/// Restores a file into a folder that has the key of another.
fn restore_elsewhere(file: &Path, key_of: &Path) -> (TempDir, Restored) {
    let folder = TempDir::new().unwrap();
    fs::copy(key_of.join("data.key"), folder.path().join("data.key")).unwrap();
    let restored = restore_at(&settings(folder.path()), file, at(1_000_000)).unwrap();
    (folder, restored)
}

/// What is in a folder, by name; nothing if it is not there.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// No test by itself: it is what the one below starts as a process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_commits_and_backs_up_until_it_is_killed() {
    let argument = std::env::args().find_map(|argument| argument.strip_prefix(FOR_CHILD).map(str::to_owned));
    let Some((seed, folder)) = argument.as_deref().and_then(|argument| argument.split_once(',')) else { return };
    let (seed, folder) = (seed.parse().unwrap(), PathBuf::from(folder));
    let store = open(&folder);
    let mut tasks = JoinSet::new();
    let busy = Arc::clone(&store);
    tasks.spawn(async move { kill_child::work(busy, seed).await });
    for number in 1.. {
        tell(&Told::BackingUp(number));
        back_up(&store, &folder.join(format!("{number}.backup"))).await.unwrap();
        tell(&Told::BackedUp(number));
    }
}

/// Lets a process commit and back up, kills it within a later backup, and gives what it was told until then.
async fn killed(folder: &Path, seed: u64, chance: &mut Chance) -> Vec<Told> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["store::backup::a_process_that_commits_and_backs_up_until_it_is_killed", "--exact", "--nocapture"])
        .arg(format!("{FOR_CHILD}{seed},{}", folder.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut text = Vec::new();
    let wanted = serde_json::to_string(&Told::BackedUp(1 + chance.below(3) as u32)).unwrap();
    while !String::from_utf8_lossy(&text).contains(&wanted) {
        assert_ne!(output.read_buf(&mut text).await.unwrap(), 0, "the process ended by itself (seed {seed})");
    }
    let lifetime = Duration::from_micros(chance.below(60_000));
    tokio::select! {
        _ = tokio::time::sleep(lifetime) => child.start_kill().unwrap(),
        read = output.read_to_end(&mut text) => panic!("the process ended by itself (seed {seed}): {read:?}"),
    }
    output.read_to_end(&mut text).await.unwrap();
    child.wait().await.unwrap();
    let text = String::from_utf8(text).unwrap();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Where a backup begins and ends in what was told.
fn place(told: &[Told], wanted: &Told) -> Option<usize> {
    let wanted = serde_json::to_string(wanted).unwrap();
    told.iter().position(|one| serde_json::to_string(one).unwrap() == wanted)
}

/// What was known of the store when that backup began, and what may have gone until it was over.
fn ledger_of(told: &[Told], number: u32) -> Option<Ledger> {
    let begin = place(told, &Told::BackingUp(number))?;
    let end = place(told, &Told::BackedUp(number))?;
    let again = |one: &Told| serde_json::from_str(&serde_json::to_string(one).unwrap()).unwrap();
    let mut ledger = Ledger::default();
    told[..begin].iter().for_each(|one| ledger.take(again(one)));
    let goes = |one: &&Told| matches!(one, Told::Deleting(_));
    told[begin..end].iter().filter(goes).for_each(|one| ledger.take(again(one)));
    Some(ledger)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_the_store_at_one_moment_whatever_is_committed_meanwhile() {
    let seed = u64::from_le_bytes(certhook::clock::random_bytes());
    println!("seed {seed}");
    let mut chance = Chance(seed);
    let (mut whole, mut broken_off) = (0, 0);
    for round in 0..ROUNDS {
        let folder = TempDir::new().unwrap();
        let told = killed(folder.path(), seed.wrapping_add(round), &mut chance).await;
        for number in 1.. {
            let file = folder.path().join(format!("{number}.backup"));
            let Some(mut ledger) = ledger_of(&told, number) else {
                if file.exists() && examine(&file).is_err() {
                    broken_off += 1;
                    let cut = restore_at(&settings(folder.path()), &file, at(0)).unwrap_err();
                    assert!(matches!(cut, RestoreError::File { .. }), "{cut}");
                }
                break;
            };
            whole += 1;
            let (restored_in, restored) = restore_elsewhere(&file, folder.path());
            let store = open(restored_in.path());
            ledger.check(&store).await;
            let head = *store.head().borrow();
            assert_eq!(restored.head, head);
            store.commit_sights(vec![kill_child::sight(0, 99, 1)], None).await.unwrap();
            let next = store.event(head.next()).await.unwrap().unwrap();
            assert_eq!((next.id.epoch, restored.epoch), (EPOCH + 1_000, EPOCH + 1_000));
        }
    }
    println!("{whole} whole, {broken_off} broken off");
    assert!(whole >= ROUNDS && broken_off > 0, "{whole} whole, {broken_off} broken off");
}

/// A store with something of everything.
async fn filled(folder: &Path) -> Arc<dyn Store> {
    let store = open(folder);
    let sights = (0..300).map(|number| told(sized_snapshot(number, 1, 100), at(1), 2)).collect();
    store.commit_sights(sights, None).await.unwrap();
    store.commit_sights(vec![told(sized_snapshot(300, 1, 23_000), at(2), 1)], None).await.unwrap();
    store.create(endpoint(Some("crm"))).await.unwrap();
    let mark = DeliveryCommit { live_mark: Some(Position(601)), ..DeliveryCommit::default() };
    store.commit_deliveries(mark).await.unwrap();
    assert_eq!(store.cut_events(Position(2)).await.unwrap(), Position(3));
    store
}

/// Every row of a store that nobody has open, but for what the store is.
fn all_rows(folder: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let all = rows(folder).iter().map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap());
    all.filter(|(key, _)| key != b"mstore").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_store_has_the_same_rows_and_a_later_epoch() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    let store = filled(folder.path()).await;
    back_up(&store, &file).await.unwrap();
    let endpoints = store.endpoints(None, true, 10).await.unwrap();
    close(store).await;
    let rows = all_rows(folder.path());
    assert!(rows.len() > 1_000 && rows.iter().any(|(key, _)| key[0] == b'+'), "parts of long values too");

    let elsewhere = TempDir::new().unwrap();
    fs::copy(folder.path().join("data.key"), elsewhere.path().join("data.key")).unwrap();
    // A clock that is behind gives no epoch again.
    let restored = restore_at(&settings(elsewhere.path()), &file, at(-50_000)).unwrap();
    assert_eq!((restored.backup.epoch, restored.epoch, restored.head), (EPOCH, EPOCH + 1, Position(601)));
    assert_eq!((restored.backup.taken_at, &restored.set_aside), (at(5), &None));
    assert!(all_rows(elsewhere.path()) == rows, "the rows differ");
    let store = open(elsewhere.path());
    assert_eq!(store.endpoints(None, true, 10).await.unwrap(), endpoints, "secrets open");
    assert_eq!((store.first(), store.last_cut()), (Position(3), Some(at(1))));
    store.commit_sights(vec![told(snapshot(7, 2), at(9), 1)], None).await.unwrap();
    let event = store.event(Position(602)).await.unwrap().unwrap();
    assert_eq!((event.id.epoch, event.sight.detection.object_version), (EPOCH + 1, 2));
    assert_eq!(store.event(Position(601)).await.unwrap().unwrap().id.epoch, EPOCH, "what is told is told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_whole_is_refused_and_nothing_is_touched() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    let store = filled(folder.path()).await;
    back_up(&store, &file).await.unwrap();
    close(store).await;
    let elsewhere = TempDir::new().unwrap();
    fs::copy(folder.path().join("data.key"), elsewhere.path().join("data.key")).unwrap();
    let bytes = fs::read(&file).unwrap();
    let bad = elsewhere.path().join("bad");
    let refused = |bytes: &[u8]| {
        fs::write(&bad, bytes).unwrap();
        let refused = restore_at(&settings(elsewhere.path()), &bad, at(0)).unwrap_err();
        let RestoreError::File { error, .. } = refused else { panic!("{refused}") };
        error
    };
    let mut chance = Chance(u64::from_le_bytes(certhook::clock::random_bytes()));
    for _ in 0..40 {
        let at = chance.below(bytes.len() as u64) as usize;
        let cut = refused(&bytes[..at]);
        assert!(matches!(cut, BadBackup::Cut(_)) || at < 16, "cut at {at}: {cut}");
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << chance.below(8);
        let _damaged = refused(&flipped);
    }
    assert!(matches!(refused(b"something else altogether"), BadBackup::Foreign));
    assert_eq!(names(elsewhere.path()), ["bad", "data.key"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_key_of_its_time_opens_a_backup() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    let store = filled(folder.path()).await;
    back_up(&store, &file).await.unwrap();
    close(store).await;
    let elsewhere = TempDir::new().unwrap();
    let missing = restore_at(&settings(elsewhere.path()), &file, at(0)).unwrap_err();
    assert!(missing.to_string().contains("its key file"), "{missing}");
    let other = Settings { encryption_key: Some(vec![7; 32].into()), ..settings(elsewhere.path()) };
    let refused = restore_at(&other, &file, at(0)).unwrap_err();
    assert!(refused.to_string().contains("it was sealed with the key"), "{refused}");
    assert_eq!(names(elsewhere.path()), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_there_is_moved_aside_only_by_force_and_never_while_it_is_open() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    let (settings, clock) = (settings(folder.path()), ManualClock::at(at(7_000)));
    let store = filled(folder.path()).await;
    back_up(&store, &file).await.unwrap();
    store.commit_sights(vec![told(snapshot(1, 2), at(3), 1)], None).await.unwrap();
    let refused = SledStore::restore(&settings, &file, false, &clock).unwrap_err();
    assert!(matches!(refused, RestoreError::StoreThere(_)), "{refused}");
    let refused = SledStore::restore(&settings, &file, true, &clock).unwrap_err();
    assert!(refused.to_string().contains("another process has it open"), "{refused}");
    store.check().await.unwrap();
    close(store).await;
    let refused = SledStore::restore(&settings, &file, false, &clock).unwrap_err();
    assert!(matches!(refused, RestoreError::StoreThere(_)), "{refused}");

    let restored = SledStore::restore(&settings, &file, true, &clock).unwrap();
    let aside = restored.set_aside.unwrap();
    assert_eq!(names(folder.path()), ["data", &format!("data.before-restore-{}", EPOCH + 7), "data.key", "file"]);
    assert_eq!(*open(folder.path()).head().borrow(), Position(601));
    fs::rename(folder.path().join("data"), folder.path().join("restored")).unwrap();
    fs::rename(aside, folder.path().join("data")).unwrap();
    assert_eq!(*open(folder.path()).head().borrow(), Position(602), "what was there is as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_restore_gives_an_epoch_that_the_store_before_it_had() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    let (settings, clock) = (settings(folder.path()), ManualClock::at(at(7_000)));
    let store = filled(folder.path()).await;
    back_up(&store, &file).await.unwrap();
    close(store).await;
    for further in 0..3 {
        let restored = SledStore::restore(&settings, &file, true, &clock).unwrap();
        assert_eq!(restored.epoch, EPOCH + 7 + further, "all within one second");
        let store = open(folder.path());
        assert_eq!(store.epoch(), restored.epoch);
        close(store).await;
    }
    // As a kill leaves it that comes right after the former store was moved aside.
    fs::rename(folder.path().join("data"), folder.path().join("data.before-restore-1")).unwrap();
    let restored = SledStore::restore(&settings, &file, false, &clock).unwrap();
    assert_eq!(restored.epoch, EPOCH + 10);
    // One whose mark cannot be read is what a restore is for.
    fs::write(folder.path().join("data/certhook.json"), "damaged").unwrap();
    assert!(SledStore::restore(&settings, &file, true, &clock).unwrap().epoch > EPOCH + 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_was_broken_off_is_opened_by_nobody_and_begins_anew() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    let store = filled(folder.path()).await;
    back_up(&store, &file).await.unwrap();
    close(store).await;
    let rows = all_rows(folder.path());
    // As a kill leaves it: some rows, and the marker.
    fs::remove_file(folder.path().join("data/certhook.json")).unwrap();
    fs::write(folder.path().join("data/certhook.restoring"), "").unwrap();
    let tree = super::sled::rows(folder.path());
    for key in [b"mstore".as_slice(), b"mhead"] {
        tree.remove(key).unwrap();
    }
    tree.insert(b"e-left-over", b"?").unwrap();
    drop(tree);
    let message = refusal(&settings(folder.path()));
    assert!(message.contains("a restore into it was broken off; restore the backup again"), "{message}");
    restore_at(&settings(folder.path()), &file, at(0)).unwrap();
    assert!(all_rows(folder.path()) == rows, "the rows differ");
    close(try_open(&settings(folder.path())).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_backup_at_a_time_and_one_that_was_dropped_is_no_more() {
    let folder = TempDir::new().unwrap();
    let store = filled(folder.path()).await;
    let mut first = store.backup(at(5)).await.unwrap();
    assert!(first.next().await.unwrap().is_some());
    assert!(matches!(store.backup(at(5)).await.map(drop), Err(StoreError::BackupUnderWay)));
    drop(first);
    back_up(&store, &folder.path().join("file")).await.unwrap();
    close(store).await;
}
