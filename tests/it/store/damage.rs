//! Damage to the files of a folder: what can be made good is, and nothing is lost without a word.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certhook::model::id::Position;
use certhook::model::resource::Kind;
use certhook::store::Store;
use tempfile::TempDir;

use super::samples::*;
use super::sled::{open, rows, settings, try_open};

/// What [`fill_log`] put there is there, and nothing else.
async fn all_of(store: &Arc<dyn Store>, count: u64) {
    let events = store.events_after(Position::START, usize::MAX).await.unwrap();
    assert_eq!(positions(&events), (1..=count).collect::<Vec<_>>());
    let ids: Vec<_> = (1..=count).map(resource_id).collect();
    let snapshots = store.snapshots(&source(), Kind::Certificate, &ids).await.unwrap();
    assert!(snapshots.iter().all(Option::is_some));
}

fn indexes(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("snap.")).collect()
}

#[tokio::test]
async fn a_damaged_index_costs_nothing_but_a_scan() {
    for damage in ["truncated", "empty", "garbage", "unfinished"] {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        let store = open(folder.path());
        fill_log(&store, 300).await;
        drop(store);
        drop(open(folder.path()));
        let found = indexes(&data);
        assert!(!found.is_empty(), "sled wrote an index");
        for index in found {
            let bytes = fs::read(&index).unwrap();
            match damage {
                "truncated" => fs::write(&index, &bytes[..bytes.len() / 2]).unwrap(),
                "empty" => fs::write(&index, b"").unwrap(),
                "garbage" => fs::write(&index, vec![0xa5; bytes.len()]).unwrap(),
                _ => fs::rename(&index, data.join("snap.00000000000FFFFF.generating")).unwrap(),
            }
        }
        let store = open(folder.path());
        assert_eq!(*store.head().borrow(), Position(300), "{damage}");
        all_of(&store, 300).await;
    }
}

#[tokio::test]
async fn an_index_that_is_ahead_of_the_log_costs_nothing_either() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let store = open(folder.path());
    fill_log(&store, 300).await;
    store.close().await;
    drop(store);
    let former = ["db", "certhook.json"].map(|name| (data.join(name), fs::read(data.join(name)).unwrap()));
    let store = open(folder.path());
    for _ in 0..20 {
        fill_log(&store, 300).await;
    }
    store.close().await;
    drop(store);
    drop(open(folder.path()));
    former.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    all_of(&open(folder.path()), 300).await;
}

#[tokio::test]
async fn a_damaged_log_is_never_taken_for_a_new_or_a_shorter_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data/db");
    let store = open(folder.path());
    fill_log(&store, 300).await;
    store.close().await;
    drop(store);
    let whole = fs::read(&path).unwrap();
    let flipped = |byte: usize| {
        let mut bytes = whole.clone();
        bytes[byte] ^= 0xff;
        bytes
    };
    let damages = [Vec::new(), whole[..64].to_vec(), whole[..whole.len() / 2].to_vec(), flipped(3), flipped(60_000)];
    for damaged in damages {
        for index in indexes(&folder.path().join("data")) {
            fs::remove_file(index).unwrap();
        }
        fs::write(&path, damaged).unwrap();
        match try_open(&settings(folder.path())) {
            // The damage was where nothing is stored any more.
            Ok(store) => all_of(&store, 300).await,
            Err(error) => assert!(error.to_string().ends_with("restore a backup"), "{error}"),
        }
    }
    for index in indexes(&folder.path().join("data")) {
        fs::remove_file(index).unwrap();
    }
    fs::write(&path, whole).unwrap();
    all_of(&open(folder.path()), 300).await;
}

#[tokio::test]
async fn a_hole_in_the_log_is_an_error_and_never_passed_over() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    fill_log(&store, 5).await;
    store.close().await;
    drop(store);
    let tree = rows(folder.path());
    assert!(tree.remove([b"e".as_slice(), &3_u64.to_be_bytes()].concat()).unwrap().is_some());
    drop(tree);
    let store = open(folder.path());
    assert_eq!(positions(&store.events_after(Position::START, 2).await.unwrap()), [1, 2]);
    assert_eq!(positions(&store.events_after(Position(3), 9).await.unwrap()), [4, 5]);
    assert_eq!(positions(&store.events_before(Position(6), 2).await.unwrap()), [5, 4]);
    let holes = [
        store.events_after(Position::START, 9).await.unwrap_err(),
        store.events_after(Position(2), 1).await.unwrap_err(),
        store.events_before(Position(6), 3).await.unwrap_err(),
        store.event(Position(3)).await.unwrap_err(),
        store.position_at(at(3)).await.unwrap_err(),
    ];
    for hole in holes {
        assert_eq!(hole.to_string(), "cannot read an event: there is none at position 3");
    }
}
